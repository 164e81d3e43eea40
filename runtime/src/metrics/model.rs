//! Families, series and what they are at one moment: what every form of the answer is made from.

use super::exemplars::Exemplar;
use std::fmt;

/// What a family is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
    Summary,
}

impl Kind {
    /// What a family's samples have behind its name, in text.
    pub(crate) fn suffixes(self) -> &'static [&'static str] {
        match self {
            Self::Counter => &["_total"],
            Self::Gauge => &[""],
            Self::Histogram => &["_bucket", "_count", "_sum"],
            Self::Summary => &["", "_count", "_sum"],
        }
    }

    /// The label that tells its samples from each other, which is none of the script's.
    pub(crate) fn own_label(self) -> Option<&'static str> {
        match self {
            Self::Counter | Self::Gauge => None,
            Self::Histogram => Some("le"),
            Self::Summary => Some("quantile"),
        }
    }
}

/// Labels, in order.
pub(crate) type Labels = Vec<(String, String)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    Whole(i128),
    /// A time in ns, which is told in seconds.
    Time(u64),
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(n) => n.fmt(f),
            Self::Time(ns) => write!(f, "{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000),
        }
    }
}

impl Number {
    pub(crate) fn float(self) -> f64 {
        match self {
            Self::Whole(n) => n as f64,
            Self::Time(ns) => ns as f64 / 1e9,
        }
    }
}

/// What one series holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Point {
    /// Of a counter or a gauge; only counters have an exemplar.
    Number(Number, Option<Exemplar>),
    /// Of a summary.
    Mean {
        total: Number,
        count: u64,
    },
    Histogram(Histogram),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Histogram {
    /// Upper bounds, inclusive, ascending, with the counts up to them.
    pub(crate) bounds: Vec<(i128, u64)>,
    pub(crate) count: u64,
    /// The same by powers, of `hist()`.
    pub(crate) powers: Option<Powers>,
    pub(crate) exemplars: Vec<Exemplar>,
}

impl Histogram {
    /// The newest exemplar above the bound of the bucket before, up to this one's; None: the last, which has none.
    pub(crate) fn exemplar(&self, above: Option<i128>, bound: Option<i128>) -> Option<&Exemplar> {
        let inside = |e: &&Exemplar| above.is_none_or(|a| e.value > a) && bound.is_none_or(|b| e.value <= b);
        self.exemplars.iter().filter(inside).max_by_key(|e| e.wall)
    }
}

/// A histogram whose bucket `i` is `(2^((i-1)/2^schema), 2^(i/2^schema)]`, as Prometheus' native ones and OpenTelemetry's exponential ones (which
/// call it `i - 1`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Powers {
    pub(crate) schema: u8,
    pub(crate) zero: u64,
    /// Ascending, without empty ones.
    pub(crate) positive: Vec<(i32, u64)>,
    /// By the number without its sign.
    pub(crate) negative: Vec<(i32, u64)>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Series {
    pub(crate) labels: Labels,
    pub(crate) point: Point,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Family {
    /// A counter's without `_total`.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) help: String,
    pub(crate) series: Vec<Series>,
    /// When its counts began, CLOCK_REALTIME ns; None: with the run.
    pub(crate) since: Option<u64>,
}

/// Everything, at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Exposition {
    pub(crate) families: Vec<Family>,
}

impl Exposition {
    /// Begins a family. A counter's name is without `_total`.
    pub(crate) fn family(&mut self, name: &str, kind: Kind, help: &str) {
        self.families.push(Family { name: name.into(), kind, help: help.into(), series: Vec::new(), since: None });
    }

    /// A number of the family that was begun last.
    pub(crate) fn number(&mut self, labels: Labels, number: Number) {
        self.point(labels, Point::Number(number, None));
    }

    /// When the counts of the family that was begun last began.
    pub(crate) fn since(&mut self, wall: Option<u64>) {
        if let Some(family) = self.families.last_mut() {
            family.since = wall;
        }
    }

    pub(crate) fn point(&mut self, labels: Labels, point: Point) {
        if let Some(family) = self.families.last_mut() {
            family.series.push(Series { labels, point });
        }
    }
}

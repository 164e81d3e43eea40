//! Metrics as text: Prometheus' exposition format, and OpenMetrics.

use crate::{
    alert::label_value,
    decode::{Num, scalar},
    maps::{Element, Merged, Snapshot},
    style::Style,
    text::write_field,
};
use std::{collections::BTreeSet, fmt::Write};
use weftrace_artifact::{
    map::{MapSpec, Value, hist_buckets, lhist_end, lhist_steps},
    ty::Type,
};

/// Longest value of a label, in bytes.
const LONGEST: usize = 256;

/// What a family is, as its `# TYPE` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
    Summary,
}

impl Kind {
    /// What a family's samples have behind its name.
    fn suffixes(self) -> &'static [&'static str] {
        match self {
            Self::Counter => &["_total"],
            Self::Gauge => &[""],
            Self::Histogram => &["_bucket", "_count", "_sum"],
            Self::Summary => &["", "_count", "_sum"],
        }
    }

    /// The label that tells its samples from each other, which is none of the script's.
    fn own_label(self) -> Option<&'static str> {
        match self {
            Self::Counter | Self::Gauge => None,
            Self::Histogram => Some("le"),
            Self::Summary => Some("quantile"),
        }
    }
}

/// Names of the maps' families. Those of two maps may be the same (`@a_total`, and `@a` that is a counter): the second is then called `…_2`.
#[derive(Debug)]
pub(crate) struct MapNames(BTreeSet<String>);

/// A family of our own that is named as a map's.
pub(crate) const LEFT_OUT: &str = "weftrace_map_series_left_out";

impl Default for MapNames {
    fn default() -> Self {
        Self(BTreeSet::from([LEFT_OUT.to_owned()]))
    }
}

impl MapNames {
    /// What a map is shown as, and by what name; None: it holds nothing that is a number. Maps must be asked for in the same order each time.
    pub(crate) fn of(&mut self, spec: &MapSpec) -> Option<(Kind, String)> {
        let kind = kind_of(spec)?;
        let plain = map_name(&spec.name);
        let mut name = plain.clone();
        for n in 2.. {
            // The family's own name is taken too, in OpenMetrics.
            let all: BTreeSet<String> =
                kind.suffixes().iter().chain(&[""]).map(|suffix| format!("{name}{suffix}")).collect();
            if self.0.is_disjoint(&all) {
                self.0.extend(all);
                break;
            }
            name = format!("{plain}_{n}");
        }
        Some((kind, name))
    }
}

/// Families, one after the other.
pub(crate) struct Exposition {
    out: String,
    open_metrics: bool,
}

/// Labels, in order.
pub(crate) type Labels = Vec<(String, String)>;

impl Exposition {
    pub(crate) fn new(open_metrics: bool) -> Self {
        Self { out: String::new(), open_metrics }
    }

    /// Begins a family. A counter's name is without `_total`.
    pub(crate) fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let (word, suffix) = match kind {
            // OpenMetrics names the family without it.
            Kind::Counter => ("counter", if self.open_metrics { "" } else { "_total" }),
            Kind::Gauge => ("gauge", ""),
            Kind::Histogram => ("histogram", ""),
            Kind::Summary => ("summary", ""),
        };
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = write!(self.out, "# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {word}\n");
    }

    pub(crate) fn sample(&mut self, name: &str, labels: &[(String, String)], value: &str) {
        self.out.push_str(name);
        for (n, (label, text)) in labels.iter().enumerate() {
            let _ = write!(self.out, "{}{label}=\"{}\"", if n == 0 { "{" } else { "," }, label_value(text));
        }
        let _ = writeln!(self.out, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        if self.open_metrics {
            self.out.push_str("# EOF\n");
        }
        self.out.into_bytes()
    }

    /// A map of the script, as [`MapNames`] has it: at most `most` series, the largest. How many were left out.
    pub(crate) fn map(
        &mut self,
        map: &Snapshot<'_>,
        (kind, name): (Kind, &str),
        most: usize,
        style: &mut Style<'_>,
    ) -> usize {
        let spec = map.spec;
        self.family(name, kind, &format!("{} of the script", spec.name));
        let most = most.max(1);
        let left_out = map.elements.len().saturating_sub(most);
        for element in &map.elements[left_out..] {
            let mut labels = key_labels(spec, element, style);
            for (label, _) in labels.iter_mut().filter(|(label, _)| kind.own_label() == Some(label)) {
                label.insert_str(0, "key_");
            }
            self.element(name, kind, spec, element, labels);
        }
        left_out
    }

    fn element(&mut self, name: &str, kind: Kind, spec: &MapSpec, element: &Element, mut labels: Labels) {
        match (&element.value, kind) {
            (Merged::Buckets(buckets), _) => {
                let mut total = 0;
                for (bound, count) in cumulative(&spec.value, buckets) {
                    labels.push(("le".into(), bound));
                    self.sample(&format!("{name}_bucket"), &labels, &count.to_string());
                    labels.pop();
                    total = count;
                }
                self.sample(&format!("{name}_count"), &labels, &total.to_string());
            }
            (Merged::Mean { total, count }, _) => {
                self.sample(&format!("{name}_sum"), &labels, &number(*total));
                self.sample(&format!("{name}_count"), &labels, &count.to_string());
            }
            (Merged::Plain(bytes), _) => {
                let Value::Plain(ty) = &spec.value else { return };
                if let Some(num) = scalar(ty, bytes) {
                    self.sample(name, &labels, &number(num));
                }
            }
            (Merged::Extreme(None) | Merged::Series(_), _) => {}
            (Merged::Extreme(Some(num)), _) => self.sample(name, &labels, &number(*num)),
            (Merged::Total(num), Kind::Counter) => self.sample(&format!("{name}_total"), &labels, &number(*num)),
            (Merged::Total(num), _) => self.sample(name, &labels, &number(*num)),
        }
    }
}

fn number(num: Num) -> String {
    num.wide().to_string()
}

/// None: it holds text, stacks, or values over time.
fn kind_of(spec: &MapSpec) -> Option<Kind> {
    Some(match &spec.value {
        // A window's count falls, and a sum of what may be negative.
        Value::Count | Value::Sum { signed: false } if spec.ring.is_none_or(|ring| ring.only_ns.is_none()) => {
            Kind::Counter
        }
        Value::Count | Value::Sum { .. } | Value::Min { .. } | Value::Max { .. } => Kind::Gauge,
        Value::Avg { .. } | Value::Stats { .. } => Kind::Summary,
        Value::Hist { .. } | Value::Lhist { .. } => Kind::Histogram,
        Value::Plain(Type::Bool | Type::Int { .. } | Type::Enum { .. }) => Kind::Gauge,
        Value::Plain(_) | Value::Series { .. } => return None,
    })
}

/// `@lat` → `weftrace_map_lat`, `@` → `weftrace_map`.
fn map_name(name: &str) -> String {
    let plain: String =
        name.trim_start_matches('@').chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if plain.is_empty() { "weftrace_map".to_owned() } else { format!("weftrace_map_{plain}") }
}

/// `key`, or `key1`, `key2` … of several parts; a record's parts have names.
fn key_labels(spec: &MapSpec, element: &Element, style: &mut Style<'_>) -> Labels {
    let text = |out: Vec<u8>| crate::alert::cut(&String::from_utf8_lossy(&out), LONGEST);
    match &spec.key {
        None => Vec::new(),
        Some(Type::Tuple { fields, .. } | Type::Record { fields, .. }) => fields
            .iter()
            .enumerate()
            .map(|(n, field)| {
                let mut out = Vec::new();
                write_field(&mut out, field, &element.key, &mut style.compacted());
                let name = field.name.clone().filter(|name| name.parse::<u32>().is_err());
                (name.unwrap_or_else(|| format!("key{}", n + 1)), text(out))
            })
            .collect(),
        Some(ty) => {
            let mut out = Vec::new();
            crate::text::write_value(&mut out, ty, &element.key, &mut style.compacted());
            vec![("key".into(), text(out))]
        }
    }
}

/// Upper bounds (inclusive, as values are whole) with the counts up to them, the last `+Inf`. Bounds don't depend on what was counted, but for how
/// far they reach: one that was there stays. Histograms of finer buckets are told by powers of two.
fn cumulative(value: &Value, buckets: &[u64]) -> Vec<(String, u64)> {
    let last = buckets.iter().rposition(|&b| b != 0).unwrap_or(0);
    let mut all = Vec::new();
    let mut count = 0u64;
    let bounds: Vec<Option<i128>> = match *value {
        Value::Hist { bits } => (0..hist_buckets(bits)).map(|i| log_bound(i, bits)).collect(),
        Value::Lhist { min, max, step } => {
            let steps = lhist_steps(min, max, step);
            let edge = |i: i64| Some(i128::from(min) + i128::from(i) * i128::from(step.max(1)) - 1);
            let mut bounds: Vec<Option<i128>> = (0..steps).map(edge).collect();
            bounds.push(Some(i128::from(lhist_end(min, max, step)) - 1));
            bounds
        }
        _ => Vec::new(),
    };
    let reach = if matches!(value, Value::Lhist { .. }) { buckets.len() } else { last + 1 };
    for (i, bucket) in buckets.iter().enumerate() {
        count = count.wrapping_add(*bucket);
        if let Some(Some(bound)) = bounds.get(i).filter(|_| i < reach) {
            all.push((bound.to_string(), count));
        }
    }
    all.push(("+Inf".into(), count));
    all
}

/// The largest number of bucket `i` of a log2 histogram, if it is one less than a power of two: of finer ones the others are left out.
fn log_bound(i: u32, bits: u8) -> Option<i128> {
    let Some(index) = i.checked_sub(1) else { return Some(-1) };
    let n = 1u32 << bits;
    // As the next bucket begins (maps::hist::log_label).
    let next = index + 1;
    let begin = if next <= 2 * n { i128::from(next) } else { i128::from(n + (next & (n - 1))) << ((next >> bits) - 1) };
    let is_power = begin > 0 && begin & (begin - 1) == 0;
    is_power.then(|| begin - 1)
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;

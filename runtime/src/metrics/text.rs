//! Metrics as text: Prometheus' exposition format, and OpenMetrics.

use super::{
    exemplars::Exemplar,
    model::{Exposition, Family, Histogram, Kind, Number, Point, Series},
};
use crate::alert::label_value;
use std::fmt::Write;

/// `open_metrics`: by that format, which has exemplars.
pub(super) fn write(all: &Exposition, open_metrics: bool) -> Vec<u8> {
    let mut text = Text { out: String::new(), open_metrics };
    for family in &all.families {
        text.head(family);
        for series in &family.series {
            text.series(family, series);
        }
    }
    if open_metrics {
        text.out.push_str("# EOF\n");
    }
    text.out.into_bytes()
}

struct Text {
    out: String,
    open_metrics: bool,
}

impl Text {
    fn head(&mut self, Family { name, kind, help, .. }: &Family) {
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

    fn series(&mut self, family: &Family, series: &Series) {
        let total = if family.kind == Kind::Counter { "_total" } else { "" };
        match &series.point {
            Point::Number(number, exemplar) => {
                self.sample((&family.name, total), series, None, *number, exemplar.as_ref());
            }
            Point::Mean { total, count } => {
                self.sample((&family.name, "_sum"), series, None, *total, None);
                self.sample((&family.name, "_count"), series, None, whole(*count), None);
            }
            Point::Histogram(histogram) => self.histogram(&family.name, series, histogram),
        }
    }

    fn histogram(&mut self, name: &str, series: &Series, histogram: &Histogram) {
        let (mut above, mut before) = (None, 0);
        let ends = histogram.bounds.iter().map(|(bound, count)| (Some(*bound), *count));
        for (bound, count) in ends.chain([(None, histogram.count)]) {
            let le = bound.map_or_else(|| "+Inf".to_owned(), |bound| bound.to_string());
            // Of an empty bucket there is none: the map was cleared since.
            let exemplar = histogram.exemplar(above, bound).filter(|_| count != before);
            self.sample((name, "_bucket"), series, Some(&le), whole(count), exemplar);
            (above, before) = (bound, count);
        }
        // OpenMetrics has a count only beside a sum, which isn't known: its last bucket is the count.
        if !self.open_metrics {
            self.sample((name, "_count"), series, None, whole(histogram.count), None);
        }
    }

    fn sample(
        &mut self,
        (name, suffix): (&str, &str),
        series: &Series,
        le: Option<&str>,
        number: Number,
        exemplar: Option<&Exemplar>,
    ) {
        let _ = write!(self.out, "{name}{suffix}");
        let labels = series.labels.iter().map(|(label, text)| (label.as_str(), text.as_str()));
        self.labels(labels.chain(le.map(|le| ("le", le))));
        let _ = write!(self.out, " {number}");
        if let Some(exemplar) = exemplar.filter(|_| self.open_metrics) {
            self.out.push_str(" # ");
            let labels = exemplar.trace.labels();
            self.labels(labels.iter().map(|(label, text)| (*label, text.as_str())));
            let _ = write!(self.out, " {} {}", exemplar.value, Number::Time(exemplar.wall));
        }
        self.out.push('\n');
    }

    fn labels<'a>(&mut self, labels: impl Iterator<Item = (&'a str, &'a str)>) {
        let mut mark = '{';
        for (label, text) in labels {
            let _ = write!(self.out, "{mark}{label}=\"{}\"", label_value(text));
            mark = ',';
        }
        if mark == ',' {
            self.out.push('}');
        }
    }
}

fn whole(n: u64) -> Number {
    Number::Whole(n.into())
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;

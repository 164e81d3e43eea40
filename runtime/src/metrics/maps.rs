//! A script's maps as families.

use super::{
    buckets,
    exemplars::Exemplar,
    model::{Exposition, Kind, Labels, Number, Point},
};
use crate::{
    alert::cut,
    decode::{Num, scalar},
    hash::fnv,
    maps::{Element, Merged, Snapshot},
    style::Style,
    text::write_field,
};
use std::collections::BTreeSet;
use weftrace_artifact::{
    map::{MapSpec, Value},
    ty::Type,
};

/// Longest value of a label, in bytes.
const LONGEST: usize = 256;

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

impl Exposition {
    /// A map of the script, as [`MapNames`] has it: at most `most` series, the largest. How many were left out. `exemplars`: of a key.
    pub(crate) fn map(
        &mut self,
        map: &Snapshot<'_>,
        (kind, name): (Kind, &str),
        most: usize,
        style: &mut Style<'_>,
        exemplars: impl Fn(&[u8]) -> Vec<Exemplar>,
    ) -> usize {
        let spec = map.spec;
        self.family(name, kind, &format!("{} of the script", spec.name));
        let left_out = map.elements.len().saturating_sub(most.max(1));
        for element in &map.elements[left_out..] {
            let Some(point) = point(kind, spec, element, exemplars(&element.key)) else { continue };
            let mut labels = key_labels(spec, element, style);
            for (label, _) in labels.iter_mut().filter(|(label, _)| kind.own_label() == Some(label)) {
                label.insert_str(0, "key_");
            }
            self.point(labels, point);
        }
        left_out
    }
}

/// None: it isn't known.
fn point(kind: Kind, spec: &MapSpec, element: &Element, mut exemplars: Vec<Exemplar>) -> Option<Point> {
    let number = |num: Num| Number::Whole(num.wide());
    Some(match &element.value {
        Merged::Buckets(all) => Point::Histogram(buckets::histogram(&spec.value, all, exemplars)),
        Merged::Mean { total, count } => Point::Mean { total: number(*total), count: *count },
        Merged::Plain(bytes) => {
            let Value::Plain(ty) = &spec.value else { return None };
            Point::Number(number(scalar(ty, bytes)?), None)
        }
        Merged::Extreme(num) => Point::Number(number((*num)?), None),
        Merged::Total(num) => {
            let exemplar = exemplars.pop().filter(|_| kind == Kind::Counter && num.wide() > 0);
            Point::Number(number(*num), exemplar)
        }
        Merged::Series(_) => return None,
    })
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

/// The text of a label. Two keys are never one, where their texts were cut or are none: what is lost has a mark.
fn label_text(text: &[u8]) -> String {
    let shown = String::from_utf8_lossy(text);
    if text.len() <= LONGEST && shown.as_bytes() == text {
        return shown.into_owned();
    }
    let mark = format!("{:08x}", fnv(0, text) as u32);
    cut(&shown, LONGEST - mark.len()) + &mark
}

/// `key`, or `key1`, `key2` … of several parts; a record's parts have names.
fn key_labels(spec: &MapSpec, element: &Element, style: &mut Style<'_>) -> Labels {
    match &spec.key {
        None => Vec::new(),
        Some(Type::Tuple { fields, .. } | Type::Record { fields, .. }) => fields
            .iter()
            .enumerate()
            .map(|(n, field)| {
                let mut out = Vec::new();
                write_field(&mut out, field, &element.key, &mut style.compacted());
                let name = field.name.clone().filter(|name| name.parse::<u32>().is_err());
                (name.unwrap_or_else(|| format!("key{}", n + 1)), label_text(&out))
            })
            .collect(),
        Some(ty) => {
            let mut out = Vec::new();
            crate::text::write_value(&mut out, ty, &element.key, &mut style.compacted());
            vec![("key".into(), label_text(&out))]
        }
    }
}

#[cfg(test)]
#[path = "maps_tests.rs"]
mod tests;

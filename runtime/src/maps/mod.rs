//! A script's maps as user space sees them: elements read from the kernel and from native handlers, merged over CPUs and homes,
//! sorted by value then key.

pub(crate) mod age;
mod hist;
mod json;
mod reads;
pub(crate) mod series;
mod store;
mod text;
mod value;

pub(crate) use hist::log_begin;
pub use hist::{Label, Row, rows};
pub use json::{write_contents_json, write_json, write_value_json};
pub(crate) use reads::{CLOCK, Read, Reads, What};
pub use store::{Homes, Part, Store};
pub use text::{write_text, write_value_text};
pub use value::Merged;
pub(crate) use value::merge_into;

use crate::decode::{self, scalar};
use std::{cmp::Ordering, collections::HashMap};
use weftrace_artifact::{
    map::{Kind, MapSpec, Value},
    ty::Type,
};

/// One element, merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    pub key: Vec<u8>,
    pub value: Merged,
}

/// A map at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot<'a> {
    pub spec: &'a MapSpec,
    /// Sorted by value, then key, ascending.
    pub elements: Vec<Element>,
}

impl<'a> Snapshot<'a> {
    /// Merges what the sources hold. A part's key is empty for scalar maps.
    pub fn new(spec: &'a MapSpec, parts: impl IntoIterator<Item = Part>) -> Self {
        let mut elements: Vec<Element> = Vec::new();
        let mut places: HashMap<Vec<u8>, usize> = HashMap::new();
        for part in parts {
            if !is_set(spec, &part.values) {
                continue;
            }
            let key = if spec.key.is_some() { part.key } else { Vec::new() };
            let at = *places.entry(key.clone()).or_insert_with(|| {
                elements.push(Element { key, value: Merged::empty(&spec.value) });
                elements.len() - 1
            });
            for cpu in &part.values {
                elements[at].value.add(&spec.value, cpu);
            }
        }
        elements.sort_by(|a, b| compare(spec, a, b));
        Self { spec, elements }
    }

    /// The `top` largest (0: all).
    pub fn top(&self, top: u32) -> &[Element] {
        match top as usize {
            0 => &self.elements,
            n => &self.elements[self.elements.len().saturating_sub(n)..],
        }
    }
}

/// Scalar maps live in arrays, whose element always exists: a word says whether the script has set it.
pub(crate) fn is_set(spec: &MapSpec, parts: &[Vec<u8>]) -> bool {
    match spec.presence {
        None => !parts.is_empty(),
        Some(offset) => parts.iter().any(|v| decode::u64_at(v, offset as usize) != 0),
    }
}

/// By value where values have an order, then by key.
fn compare(spec: &MapSpec, a: &Element, b: &Element) -> Ordering {
    let by_value = match (&a.value, &b.value, &spec.value) {
        (Merged::Plain(x), Merged::Plain(y), Value::Plain(ty)) if is_integer(ty) => {
            scalar(ty, x).map(decode::Num::wide).cmp(&scalar(ty, y).map(decode::Num::wide))
        }
        (Merged::Plain(_), Merged::Plain(_), _) => Ordering::Equal,
        (x, y, _) => x.rank().cmp(&y.rank()),
    };
    by_value.then_with(|| match &spec.key {
        Some(ty) => compare_bytes(ty, &a.key, &b.key),
        None => Ordering::Equal,
    })
}

fn is_integer(ty: &Type) -> bool {
    matches!(ty, Type::Bool | Type::Int { .. } | Type::Enum { .. })
}

/// The order of two values of one type: numbers by size, strings up to their NUL, tuples member by member, the rest by bytes.
pub fn compare_bytes(ty: &Type, a: &[u8], b: &[u8]) -> Ordering {
    if let (Some(x), Some(y)) = (scalar(ty, a), scalar(ty, b)) {
        return x.wide().cmp(&y.wide()).then_with(|| a.cmp(b));
    }
    match ty {
        Type::Str { cap } => decode::string(a, *cap).0.cmp(decode::string(b, *cap).0),
        Type::Buf { cap } => decode::buffer(a, *cap).cmp(decode::buffer(b, *cap)),
        Type::Tuple { fields, .. } | Type::Record { fields, .. } | Type::Struct { fields, .. } => fields
            .iter()
            .map(|f| compare_bytes(&f.ty, decode::member(f, a), decode::member(f, b)))
            .find(|o| o.is_ne())
            .unwrap_or(Ordering::Equal),
        _ => a.cmp(b),
    }
}

/// Bytes from one CPU's value to the next, as bpf(2) hands them over.
pub fn cpu_stride(spec: &MapSpec) -> usize {
    (spec.value_size as usize).next_multiple_of(8)
}

/// Splits the bytes of a look-up into one value per CPU.
pub fn split_cpus(spec: &MapSpec, bytes: &[u8]) -> Vec<Vec<u8>> {
    if spec.kind.is_percpu() {
        bytes.chunks(cpu_stride(spec).max(1)).map(|c| decode::slice(c, 0, spec.value_size as usize).to_vec()).collect()
    } else {
        vec![decode::slice(bytes, 0, spec.value_size as usize).to_vec()]
    }
}

/// Whether a full map drops old elements instead of refusing new ones.
pub fn is_lru(kind: Kind) -> bool {
    matches!(kind, Kind::LruHash | Kind::LruPercpuHash)
}

#[cfg(test)]
pub(crate) mod tests;

//! Merging an element's values over CPUs and homes.

use super::series::{self, Slot};
use crate::decode::{self, Num, u64_at};
use weftrace_artifact::{map::Value, ty::Type};

/// A merged value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Merged {
    /// Bytes of [`Value::Plain`]'s type; empty before the first part.
    Plain(Vec<u8>),
    /// count, sum
    Total(Num),
    /// min, max: None until a value was seen
    Extreme(Option<Num>),
    /// avg, stats
    Mean { total: Num, count: u64 },
    /// hist, lhist
    Buckets(Vec<u64>),
    /// tseries
    Series(Vec<Slot>),
}

impl Merged {
    /// What no part has been added to.
    pub fn empty(value: &Value) -> Self {
        let zero = |signed| if signed { Num::Signed(0) } else { Num::Unsigned(0) };
        match value {
            Value::Plain(_) => Self::Plain(Vec::new()),
            Value::Count => Self::Total(Num::Unsigned(0)),
            Value::Sum { signed } => Self::Total(zero(*signed)),
            Value::Min { .. } | Value::Max { .. } => Self::Extreme(None),
            Value::Avg { signed } | Value::Stats { signed } => Self::Mean { total: zero(*signed), count: 0 },
            Value::Hist { .. } | Value::Lhist { .. } => Self::Buckets(vec![0; (value.size() / 8) as usize]),
            Value::Series { count, .. } => Self::Series(series::empty(*count)),
        }
    }

    /// Adds one CPU's bytes.
    pub fn add(&mut self, value: &Value, bytes: &[u8]) {
        match self {
            Self::Plain(sum) => match value {
                Value::Plain(ty) => add_plain(sum, ty, bytes),
                _ => *sum = bytes.to_vec(),
            },
            Self::Total(total) => *total = plus(*total, u64_at(bytes, 0)),
            Self::Extreme(best) => {
                if u64_at(bytes, 8) == 0 {
                    return;
                }
                let (signed, max) = match value {
                    Value::Max { signed } => (*signed, true),
                    Value::Min { signed } => (*signed, false),
                    _ => return,
                };
                let raw = u64_at(bytes, 0);
                let new = if signed { Num::Signed(raw as i64) } else { Num::Unsigned(raw) };
                let better = best.is_none_or(|old| if max { new.wide() > old.wide() } else { new.wide() < old.wide() });
                if better {
                    *best = Some(new);
                }
            }
            Self::Mean { total, count } => {
                *total = plus(*total, u64_at(bytes, 0));
                *count = count.wrapping_add(u64_at(bytes, 8));
            }
            Self::Series(slots) => {
                if let Value::Series { how, signed, .. } = *value {
                    series::add(slots, bytes, how, signed);
                }
            }
            Self::Buckets(buckets) => {
                for (i, b) in buckets.iter_mut().enumerate() {
                    *b = b.wrapping_add(u64_at(bytes, i * 8));
                }
            }
        }
    }

    /// The value in the layout of one CPU's part, of `size` bytes.
    pub(crate) fn bytes(&self, size: usize) -> Vec<u8> {
        let words: Vec<u64> = match self {
            Self::Plain(bytes) => {
                let mut bytes = bytes.clone();
                bytes.resize(size, 0);
                return bytes;
            }
            Self::Total(n) => vec![n.bits()],
            Self::Extreme(n) => vec![n.as_ref().map_or(0, |n| n.bits()), u64::from(n.is_some())],
            Self::Mean { total, count } => vec![total.bits(), *count],
            Self::Buckets(all) => all.clone(),
            Self::Series(slots) => slots.iter().flat_map(Slot::words).collect(),
        };
        let mut bytes: Vec<u8> = words.iter().flat_map(|w| w.to_ne_bytes()).collect();
        bytes.resize(size, 0);
        bytes
    }

    /// What elements are sorted by: the number itself, the average, the sum of all buckets, the latest interval.
    pub fn rank(&self) -> i128 {
        match self {
            Self::Plain(_) => 0,
            Self::Total(n) => n.wide(),
            Self::Extreme(n) => n.map_or(0, Num::wide),
            Self::Mean { .. } => self.average().wide(),
            Self::Buckets(b) => b.iter().map(|&n| i128::from(n)).sum(),
            Self::Series(_) => self.latest().into(),
        }
    }

    /// Of a time series the number of its latest interval + 1; 0 without one, and for others.
    pub(super) fn latest(&self) -> u64 {
        match self {
            Self::Series(slots) => series::latest(slots),
            _ => 0,
        }
    }

    /// Average of a mean, rounded to zero; 0 without values. The total of others.
    pub fn average(&self) -> Num {
        match *self {
            Self::Mean { total: Num::Signed(t), count } if count > 0 => {
                Num::Signed((i128::from(t) / i128::from(count)) as i64)
            }
            Self::Mean { total: Num::Unsigned(t), count } if count > 0 => Num::Unsigned(t / count),
            Self::Mean { total: Num::Signed(_), .. } => Num::Signed(0),
            Self::Total(n) | Self::Extreme(Some(n)) => n,
            _ => Num::Unsigned(0),
        }
    }
}

/// Adds the aggregate of one event to an element as a map keeps it. Time series aren't sent so.
pub(crate) fn merge_into(value: &Value, words: &mut [u64], part: &[u8]) {
    let set = u64_at(part, 8) != 0;
    match value {
        Value::Min { signed } | Value::Max { signed } => {
            let (new, [old, is_set, ..]) = (u64_at(part, 0), words) else { return };
            let less = if *signed { (new as i64) < (*old as i64) } else { new < *old };
            let better = if matches!(value, Value::Max { .. }) { new != *old && !less } else { less };
            if set && (*is_set == 0 || better) {
                (*old, *is_set) = (new, 1);
            }
        }
        Value::Plain(_) | Value::Series { .. } => {}
        Value::Count
        | Value::Sum { .. }
        | Value::Avg { .. }
        | Value::Stats { .. }
        | Value::Hist { .. }
        | Value::Lhist { .. } => {
            for (word, at) in words.iter_mut().zip((0..part.len()).step_by(8)) {
                *word = word.wrapping_add(u64_at(part, at));
            }
        }
    }
}

fn plus(a: Num, raw: u64) -> Num {
    match a {
        Num::Signed(v) => Num::Signed(v.wrapping_add(raw as i64)),
        Num::Unsigned(v) => Num::Unsigned(v.wrapping_add(raw)),
    }
}

/// Per-CPU plain integers are partial sums; of other types the first part that isn't all zero counts.
fn add_plain(sum: &mut Vec<u8>, ty: &Type, bytes: &[u8]) {
    let size = ty.size() as usize;
    let part = decode::slice(bytes, 0, size);
    if let (Type::Int { bytes: width, .. }, false) = (ty, sum.is_empty()) {
        let n = usize::from(*width);
        let total = decode::uint(sum, n).wrapping_add(decode::uint(part, n)).to_ne_bytes();
        let from = if cfg!(target_endian = "little") { 0 } else { 8 - n };
        sum.copy_from_slice(&total[from..from + n]);
    } else if sum.is_empty() || sum.iter().all(|&b| b == 0) {
        *sum = part.to_vec();
        sum.resize(size, 0);
    }
}

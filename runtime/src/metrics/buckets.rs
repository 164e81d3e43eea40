//! Histograms of the language as those that receivers know: by bounds, and by powers.

use super::{
    exemplars::Exemplar,
    model::{Histogram, Powers},
};
use crate::maps::log_begin;
use weftrace_artifact::map::{Value, hist_buckets, lhist_end, lhist_steps};

/// A map's buckets, as the language counts them.
pub(super) fn histogram(value: &Value, buckets: &[u64], exemplars: Vec<Exemplar>) -> Histogram {
    let powers = match value {
        Value::Hist { bits } => Some(powers(buckets, *bits)),
        _ => None,
    };
    let count = buckets.iter().fold(0u64, |sum, bucket| sum.wrapping_add(*bucket));
    Histogram { bounds: bounds(value, buckets), count, powers, exemplars }
}

/// Upper bounds (inclusive, as values are whole) with the counts up to them. Bounds don't depend on what was counted, but for how far they reach:
/// one that was there stays. Histograms of finer buckets are told by powers of two.
fn bounds(value: &Value, buckets: &[u64]) -> Vec<(i128, u64)> {
    let last = buckets.iter().rposition(|&b| b != 0).unwrap_or(0);
    let (all, reach): (Vec<Option<i128>>, usize) = match *value {
        Value::Hist { bits } => ((0..hist_buckets(bits)).map(|i| log_bound(i, bits)).collect(), last + 1),
        Value::Lhist { min, max, step } => {
            let edge = |i: i64| Some(i128::from(min) + i128::from(i) * i128::from(step.max(1)) - 1);
            let end = Some(i128::from(lhist_end(min, max, step)) - 1);
            ((0..lhist_steps(min, max, step)).map(edge).chain([end]).collect(), buckets.len())
        }
        _ => return Vec::new(),
    };
    let mut count = 0u64;
    let mut counted = Vec::new();
    for (bound, bucket) in all.into_iter().zip(buckets).take(reach) {
        count = count.wrapping_add(*bucket);
        counted.extend(bound.map(|bound| (bound, count)));
    }
    counted
}

/// The largest number of bucket `i` of a log2 histogram, if it is one less than a power of two: of finer ones the others are left out.
fn log_bound(i: u32, bits: u8) -> Option<i128> {
    let Some(index) = i.checked_sub(1) else { return Some(-1) };
    let begin = log_begin(index + 1, bits);
    let is_power = begin > 0 && begin & (begin - 1) == 0;
    is_power.then(|| begin - 1)
}

/// Each bucket of the language counts where the middle of its numbers is: 2^bits buckets for each power of two, as it has, but these grow by a
/// factor and those by steps. Of numbers below 0 nothing more is known than that they are: they count as -1.
fn powers(buckets: &[u64], bits: u8) -> Powers {
    let mut powers = Powers { schema: bits, ..Powers::default() };
    for (i, count) in (0u32..).zip(buckets).filter(|(_, count)| **count != 0) {
        let Some(index) = i.checked_sub(1) else {
            powers.negative.push((0, *count));
            continue;
        };
        let (first, last) = (log_begin(index, bits), log_begin(index + 1, bits) - 1);
        if last == 0 {
            powers.zero = *count;
            continue;
        }
        let place = place((first + last) as f64 / 2.0, bits);
        match powers.positive.last_mut().filter(|(before, _)| *before == place) {
            Some((_, sum)) => *sum = sum.wrapping_add(*count),
            None => powers.positive.push((place, *count)),
        }
    }
    powers
}

/// The least `i` with `value <= 2^(i / 2^schema)`, of a value of at least 1.
fn place(value: f64, schema: u8) -> i32 {
    let bits = value.to_bits();
    let exponent = (bits >> 52 & 0x7ff) as i32 - 1023;
    // From 1 to 2: powers of two are told without a logarithm, which might be a little off.
    let rest = f64::from_bits(bits & ((1 << 52) - 1) | 1023 << 52);
    let above = (rest.log2() * f64::from(1u32 << schema)).ceil() as i32;
    (exponent << schema) + above
}

#[cfg(test)]
#[path = "buckets_tests.rs"]
mod tests;

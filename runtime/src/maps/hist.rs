//! Buckets of `hist` and `lhist` as labelled rows.

use weftrace_artifact::map::{Value, lhist_end};

/// A bound of a bucket: how it prints, and its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    pub text: String,
    pub value: i128,
}

/// One bucket `[low, high)`; None is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub low: Option<Label>,
    pub high: Option<Label>,
    pub count: u64,
}

/// The rows from the first to the last bucket with something in it; none if all are empty. `div` divides a log2 histogram's counts;
/// a linear one's are shown as they are, as in bpftrace.
pub fn rows(value: &Value, buckets: &[u64], div: u32) -> Vec<Row> {
    let Some(first) = buckets.iter().position(|&b| b != 0) else { return Vec::new() };
    let last = buckets.iter().rposition(|&b| b != 0).unwrap_or(first);
    (first..=last)
        .map(|i| match *value {
            Value::Lhist { min, max, step } => {
                let (low, high) = linear_bounds(i, min, max, step);
                Row { low, high, count: buckets[i] }
            }
            Value::Hist { bits } => Row {
                low: i.checked_sub(1).map(|j| log_label(j as u32, bits)),
                high: Some(log_label(i as u32, bits)),
                count: buckets[i] / u64::from(div.max(1)),
            },
            _ => Row { low: None, high: None, count: buckets[i] },
        })
        .collect()
}

/// Where bucket `index` (not counting the negative one) begins: the first 2^(bits+1) hold one number each, then each power of two
/// has 2^bits.
pub(crate) fn log_begin(index: u32, bits: u8) -> i128 {
    let n = 1u32 << bits;
    if index <= 2 * n { i128::from(index) } else { i128::from(n + (index & (n - 1))) << ((index >> bits) - 1) }
}

fn log_label(index: u32, bits: u8) -> Label {
    let value = log_begin(index, bits);
    if index <= 2 * (1u32 << bits) {
        return Label { text: index.to_string(), value };
    }
    let power = (index >> bits) - 1;
    let suffix = ["", "K", "M", "G", "T", "P", "E", "Z"][(power / 10).min(7) as usize];
    Label { text: format!("{}{suffix}", value >> (power / 10 * 10)), value }
}

fn linear_bounds(i: usize, min: i64, max: i64, step: i64) -> (Option<Label>, Option<Label>) {
    let max = i128::from(lhist_end(min, max, step));
    let (min, step) = (i128::from(min), i128::from(step.max(1)));
    let edge = |i: i128| linear_label(min + i * step, step);
    let i = i as i128;
    // Bucket 0 is below min; bucket i covers [min + (i-1)·step, min + i·step), then all above.
    let below = i == 0;
    let above = !below && min + (i - 1) * step >= max;
    let low = if below {
        None
    } else if above {
        Some(linear_label(max, step))
    } else {
        Some(edge(i - 1))
    };
    (low, if above { None } else { Some(edge(i)) })
}

/// Multiples of 1024 are shortened if the step is one.
fn linear_label(value: i128, step: i128) -> Label {
    const K: i128 = 1024;
    let text = if step % K != 0 || value == 0 || value % K != 0 {
        value.to_string()
    } else if value % (K * K) == 0 {
        format!("{}M", value / (K * K))
    } else {
        format!("{}K", value / K)
    };
    Label { text, value }
}

//! Time by layer: the layers' intervals, clipped to the total and made disjoint by `blame`'s priority.

/// Half-open interval of CLOCK_BOOTTIME ns.
pub(super) type Interval = (u64, u64);

/// A blamed leg keeps at most this many merged intervals; beyond it the closest are merged (`approx`).
pub(super) const MAX_INTERVALS: usize = 64;

/// How the total divides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Division {
    /// ns charged to each blamed leg, in the order of `blame`.
    pub charged: Vec<u64>,
    /// What no layer covers. Together with `charged` it is the total.
    pub rest: u64,
}

/// Divides `total` among layers: a moment belongs to the first layer (by priority) that covers it.
pub(super) fn divide(total: Interval, layers: &[&[Interval]]) -> Division {
    let (begin, end) = total;
    let mut charged = vec![0; layers.len()];
    let mut free = if begin < end { vec![total] } else { Vec::new() };
    for (layer, intervals) in layers.iter().enumerate() {
        for &interval in *intervals {
            charged[layer] += take(&mut free, interval);
        }
    }
    let rest = free.iter().map(|(a, b)| b - a).sum();
    Division { charged, rest }
}

/// Removes `interval` from the free pieces and returns how much it removed.
fn take(free: &mut Vec<Interval>, (from, to): Interval) -> u64 {
    let mut taken = 0;
    let mut left = Vec::with_capacity(free.len() + 1);
    for &(a, b) in free.iter() {
        let (cut_from, cut_to) = (a.max(from), b.min(to));
        if cut_from >= cut_to {
            left.push((a, b));
            continue;
        }
        taken += cut_to - cut_from;
        if a < cut_from {
            left.push((a, cut_from));
        }
        if cut_to < b {
            left.push((cut_to, b));
        }
    }
    *free = left;
    taken
}

/// Sorts and merges overlapping intervals; returns whether close ones had to be merged to stay within
/// [`MAX_INTERVALS`].
pub(super) fn merge(intervals: &mut Vec<Interval>) -> bool {
    intervals.retain(|(a, b)| a < b);
    intervals.sort_unstable();
    let mut merged: Vec<Interval> = Vec::with_capacity(intervals.len().min(MAX_INTERVALS));
    for &(a, b) in intervals.iter() {
        match merged.last_mut() {
            Some(last) if a <= last.1 => last.1 = last.1.max(b),
            _ => merged.push((a, b)),
        }
    }
    let approximate = merged.len() > MAX_INTERVALS;
    while merged.len() > MAX_INTERVALS {
        let closest = (1..merged.len()).min_by_key(|&i| (merged[i].0 - merged[i - 1].1, i)).unwrap_or(1);
        merged[closest - 1].1 = merged[closest].1;
        merged.remove(closest);
    }
    *intervals = merged;
    approximate
}

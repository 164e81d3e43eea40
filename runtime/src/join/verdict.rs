//! Time by layer: the layers' intervals, clipped to the total and made disjoint by `blame`'s priority.

/// Half-open interval of CLOCK_BOOTTIME ns.
pub(super) type Interval = (u64, u64);

/// A blamed leg keeps at most this many merged intervals; beyond it the closest are merged (`approx`).
pub(super) const MAX_INTERVALS: usize = 64;

/// What no layer has taken of a total yet: disjoint pieces, in order. Taking from it keeps the sum.
#[derive(Debug, Default)]
pub(super) struct Free {
    pieces: Vec<Interval>,
    left: Vec<Interval>,
}

impl Free {
    pub(super) fn begin(&mut self, (from, to): Interval) {
        self.pieces.clear();
        if from < to {
            self.pieces.push((from, to));
        }
    }

    /// Takes what is free of `intervals` and returns how much that was.
    pub(super) fn take(&mut self, intervals: &[Interval]) -> u64 {
        intervals.iter().map(|&interval| self.take_one(interval)).sum()
    }

    fn take_one(&mut self, interval: Interval) -> u64 {
        let taken = cut(&self.pieces, interval, &mut self.left);
        std::mem::swap(&mut self.pieces, &mut self.left);
        taken
    }

    /// Together with all that was taken it is the total.
    pub(super) fn rest(&self) -> u64 {
        self.pieces.iter().map(|(a, b)| b - a).sum()
    }
}

/// Intervals that together stick out of `total` at one end, all of them earlier or later by the least that brings them in, or as much of them as there is room for:
/// they are by one clock. Where that is more than `most`, by which that one and the total's may be apart, they were never within: they stay where they are.
/// `before`: what has ended when the total begins may truly have.
pub(super) fn bring_in(all: &mut [Interval], total: Interval, most: u64, before: bool) {
    let moves = |(_, to): &Interval| !before || *to > total.0;
    let hull = all.iter().copied().filter(moves).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
    let Some((from, to)) = hull else { return };
    let within = |by: &u64| *by <= most;
    let earlier = Some(to.saturating_sub(total.1).min(from.saturating_sub(total.0))).filter(within).unwrap_or(0);
    let later = Some(total.0.saturating_sub(from).min(total.1.saturating_sub(to))).filter(within).unwrap_or(0);
    for (from, to) in all.iter_mut().filter(|interval| moves(interval)) {
        (*from, *to) = (*from - earlier + later, *to - earlier + later);
    }
}

/// Removes `interval` from the free pieces and returns how much it removed.
pub(super) fn take(free: &mut Vec<Interval>, interval: Interval) -> u64 {
    let mut left = Vec::with_capacity(free.len() + 1);
    let taken = cut(free, interval, &mut left);
    *free = left;
    taken
}

/// What `interval` leaves of the pieces; returns how much it takes.
fn cut(pieces: &[Interval], (from, to): Interval, left: &mut Vec<Interval>) -> u64 {
    let mut taken = 0;
    left.clear();
    for &(a, b) in pieces {
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
    taken
}

/// Sorts and merges overlapping intervals; returns whether close ones had to be merged to stay within
/// [`MAX_INTERVALS`].
pub(super) fn merge(intervals: &mut Vec<Interval>) -> bool {
    intervals.retain(|(a, b)| a < b);
    intervals.sort_unstable();
    intervals.dedup_by(|next, last| {
        let touches = next.0 <= last.1;
        if touches {
            last.1 = last.1.max(next.1);
        }
        touches
    });
    let excess = intervals.len().saturating_sub(MAX_INTERVALS);
    if excess == 0 {
        return false;
    }
    // The smallest gaps go, the earlier first among equals.
    let mut gaps: Vec<(u64, usize)> = (1..intervals.len()).map(|i| (intervals[i].0 - intervals[i - 1].1, i)).collect();
    gaps.select_nth_unstable(excess - 1);
    let mut closed = vec![false; intervals.len()];
    gaps[..excess].iter().for_each(|&(_, i)| closed[i] = true);
    let mut at = 0;
    intervals.dedup_by(|next, last| {
        at += 1;
        if closed[at] {
            last.1 = next.1;
        }
        closed[at]
    });
    true
}

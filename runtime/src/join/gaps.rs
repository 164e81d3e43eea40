//! Stretches of time in which something is missing.

use super::verdict::Interval;

/// At most so many are kept apart; beyond that the closest are merged, which only makes more unknown.
const MAX_GAPS: usize = 256;

#[derive(Clone, Debug)]
struct Gap {
    interval: Interval,
    /// All that is missing, and how much of it was lost.
    count: u64,
    lost: u64,
    reason: Option<String>,
}

/// What is known to be missing of one stream: what was lost, what was evicted.
#[derive(Clone, Debug, Default)]
pub(super) struct Gaps(
    /// In order of their begin.
    Vec<Gap>,
);

impl Gaps {
    pub(super) fn add(&mut self, interval: Interval, count: u64, reason: Option<&str>) {
        let (from, to) = (interval.0.min(interval.1), interval.0.max(interval.1));
        // What has a reason is told piece by piece, and grows.
        let touches = |gap: &Gap| from <= gap.interval.1 && to >= gap.interval.0;
        let same = |gap: &Gap| {
            reason == gap.reason.as_deref() && if reason.is_some() { touches(gap) } else { gap.interval == (from, to) }
        };
        let lost = if reason.is_none() { count } else { 0 };
        let mut gap = Gap { interval: (from, to), count, lost, reason: reason.map(str::to_owned) };
        let last = self.0.len().saturating_sub(8);
        if let Some(at) = self.0[last..].iter().rposition(same) {
            let grown = self.0.remove(last + at);
            gap.interval = (from.min(grown.interval.0), to.max(grown.interval.1));
            gap.count += grown.count;
            gap.lost += grown.lost;
        }
        let at = self.0.partition_point(|other| other.interval <= gap.interval);
        self.0.insert(at, gap);
        if self.0.len() > MAX_GAPS {
            self.merge_closest();
        }
    }

    fn merge_closest(&mut self) {
        let apart = |i: &usize| self.0[*i].interval.0.saturating_sub(self.0[*i - 1].interval.1);
        let Some(at) = (1..self.0.len()).min_by_key(apart) else { return };
        let second = self.0.remove(at);
        let first = &mut self.0[at - 1];
        first.interval.1 = first.interval.1.max(second.interval.1);
        first.count += second.count;
        first.lost += second.lost;
        first.reason = first.reason.take().or(second.reason);
    }

    /// How much of what is missing in a window was lost, and isn't there for another reason.
    pub(super) fn lost_within(&self, (from, to): Interval) -> u64 {
        let here = |gap: &&Gap| gap.interval.0 <= to && gap.interval.1 >= from;
        self.0.iter().filter(here).map(|gap| gap.lost).sum()
    }

    /// What is missing in a window, and why if not for losses; None: nothing is.
    pub(super) fn within(&self, (from, to): Interval) -> Option<(u64, Option<&str>)> {
        let mut found = None;
        for gap in self.0.iter().filter(|gap| gap.interval.0 <= to && gap.interval.1 >= from) {
            let (count, reason) = found.get_or_insert((0, None));
            *count += gap.count;
            *reason = reason.or(gap.reason.as_deref());
        }
        found
    }

    pub(super) fn forget_before(&mut self, time: u64) {
        self.0.retain(|gap| gap.interval.1 >= time);
    }
}

/// The reason of what was dropped for want of room.
pub(super) const EVICTED: &str = "evicted";
/// The reason of a source that stands still.
pub(super) const STALLED: &str = "stalled";

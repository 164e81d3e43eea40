//! Stretches of time in which something is missing.

use super::verdict::Interval;
use std::collections::BTreeMap;
use weftrace_artifact::action::StreamId;

/// At most so many are kept apart; beyond that the closest are merged, which only makes more unknown.
const MAX_GAPS: usize = 256;

#[derive(Clone, Debug)]
struct Gap {
    interval: Interval,
    /// All that is missing, and how much of it was lost.
    count: u64,
    lost: u64,
    reason: Option<String>,
    /// What it lacks never comes: a source that stood still brings it later.
    lasts: bool,
}

impl Gap {
    fn meets(&self, (from, to): Interval) -> bool {
        self.interval.0 <= to && self.interval.1 >= from
    }
}

/// What is known to be missing: what was lost, what was evicted.
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
        let lasts = reason != Some(STALLED);
        let mut gap = Gap { interval: (from, to), count, lost, reason: reason.map(str::to_owned), lasts };
        let last = self.0.len().saturating_sub(8);
        if let Some(at) = self.0[last..].iter().rposition(same) {
            let grown = self.0.remove(last + at);
            gap.interval = (from.min(grown.interval.0), to.max(grown.interval.1));
            gap.count += grown.count;
            gap.lost += grown.lost;
        }
        self.put(gap);
    }

    fn put(&mut self, gap: Gap) {
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
        first.lasts |= second.lasts;
    }

    /// What is missing in a window, and why if not for losses; None: nothing is.
    pub(super) fn within(&self, window: Interval) -> Option<(u64, Option<&str>)> {
        let mut found = None;
        for gap in self.0.iter().filter(|gap| gap.meets(window)) {
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

/// At most so many sets of streams are told apart; what touches another one is taken to touch some of the others' too.
const MAX_SETS: usize = 64;

/// A stream that is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub stream: StreamId,
    pub window: Interval,
    /// What it lost since then is missing in the window too: what was told then may still hold. The window's begin, where that isn't so.
    pub since: u64,
}

impl Asked {
    /// For what was within a window alone.
    pub(super) fn within(stream: StreamId, window: Interval) -> Self {
        Self { stream, window, since: window.0 }
    }

    fn touches(&self, gap: &Gap) -> bool {
        let from = if gap.lasts { self.since.min(self.window.0) } else { self.window.0 };
        gap.meets((from, self.window.1))
    }
}

/// What is missing of streams. One loss may touch several: it is kept once, so that whoever asks for more than one of them counts it once.
#[derive(Debug, Default)]
pub(super) struct Losses(
    /// By the streams that are touched, in order.
    BTreeMap<Vec<StreamId>, Gaps>,
);

impl Losses {
    pub(super) fn add(&mut self, interval: Interval, mut streams: Vec<StreamId>, count: u64, reason: Option<&str>) {
        streams.sort_unstable();
        streams.dedup();
        self.of(streams).add(interval, count, reason);
    }

    /// What is missing of these streams (in order) together; where there are too many such sets, of more.
    fn of(&mut self, mut streams: Vec<StreamId>) -> &mut Gaps {
        if self.0.len() >= MAX_SETS
            && !self.0.contains_key(&streams)
            && let Some((others, gaps)) = self.0.pop_last()
        {
            streams.extend(others);
            streams.sort_unstable();
            streams.dedup();
            let merged = self.0.entry(streams.clone()).or_default();
            gaps.0.into_iter().for_each(|gap| merged.put(gap));
        }
        self.0.entry(streams).or_default()
    }

    /// What is missing of streams: how much was lost, and why the rest isn't there; None: nothing is.
    pub(super) fn within(&self, asked: &(impl Iterator<Item = Asked> + Clone)) -> Option<(u64, Option<&str>)> {
        let mut found = None;
        for (streams, gaps) in &self.0 {
            let touched = asked.clone().filter(|asked| streams.binary_search(&asked.stream).is_ok());
            if touched.clone().next().is_none() {
                continue;
            }
            for gap in gaps.0.iter().filter(|gap| touched.clone().any(|asked| asked.touches(gap))) {
                let (lost, reason) = found.get_or_insert((0, None));
                *lost += gap.lost;
                *reason = reason.or(gap.reason.as_deref());
            }
        }
        found
    }

    /// `lasting`: but what is missing of these streams is so for good.
    pub(super) fn forget_before(&mut self, time: u64, lasting: &[StreamId]) {
        let lasts = |stream: &StreamId| lasting.contains(stream);
        let mut kept: Vec<(Vec<StreamId>, Gap)> = Vec::new();
        for (streams, gaps) in self.0.iter_mut().filter(|(streams, _)| !streams.iter().all(lasts)) {
            let own: Vec<StreamId> = streams.iter().copied().filter(lasts).collect();
            let over = gaps.0.extract_if(.., |gap| gap.interval.1 < time);
            kept.extend(over.filter(|_| !own.is_empty()).map(|gap| (own.clone(), gap)));
        }
        self.0.retain(|_, gaps| !gaps.0.is_empty());
        for (own, gap) in kept {
            self.of(own).put(gap);
        }
    }
}

/// The reason of what was dropped for want of room.
pub(super) const EVICTED: &str = "evicted";
/// The reason of a source that stands still.
pub(super) const STALLED: &str = "stalled";
/// The reason of what came when its time had been told.
pub(super) const LATE: &str = "late";

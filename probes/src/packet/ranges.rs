//! Sets of bytes of a connection, as ranges: no more than a join's key has room for.
//!
//! Where there are more, those with the least between them become one, which is marked: its bytes are not all the set's own. Where ranges come
//! in order, what is left out is the most that can be, however many come.

use weftrace_artifact::abi::{ByteRange, BytesKey};
use weftrace_artifact::packet::RangesView;

const ROOM: usize = BytesKey::ROOM;

/// Ranges of one direction, sorted, with something between any two.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ranges {
    /// With room for one that is to be merged.
    all: [ByteRange; ROOM + 1],
    len: usize,
    /// A bit for each that others' bytes lie in.
    merged: u32,
}

impl Ranges {
    /// Adds bytes `[from, to)`. `unsure`: they may be others' too.
    pub(crate) fn add(&mut self, from: u64, to: u64, unsure: bool) {
        if from >= to {
            return;
        }
        let used = &self.all[..self.len];
        let at = used.partition_point(|range| range.to < from);
        let touched = used[at..].iter().take_while(|range| range.from <= to).count();
        if touched == 0 {
            self.all.copy_within(at..self.len, at + 1);
            let (below, above) = self.split(at);
            self.merged = below | u32::from(unsure) << at | above << (at + 1);
            self.all[at] = ByteRange { from, to };
            self.len += 1;
        } else {
            let range = &mut self.all[at];
            range.from = range.from.min(from);
            self.merged |= u32::from(unsure) << at;
            for _ in 1..touched {
                self.merge(at, false);
            }
            let range = &mut self.all[at];
            range.to = range.to.max(to);
        }
        if self.len > ROOM {
            self.merge_narrowest();
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (ByteRange, bool)> + '_ {
        self.all[..self.len].iter().enumerate().map(|(i, range)| (*range, self.merged >> i & 1 != 0))
    }

    /// The marks of those before `at`, and of the others.
    fn split(&self, at: usize) -> (u32, u32) {
        (self.merged & ((1 << at) - 1), self.merged >> at)
    }

    /// Bytes between the range at `at` and the next.
    fn gap(&self, at: usize) -> u64 {
        self.all[at + 1].from.saturating_sub(self.all[at].to)
    }

    /// The first of the two ranges with the least between them.
    fn narrowest(&self) -> Option<usize> {
        (0..self.len.saturating_sub(1)).min_by_key(|&at| self.gap(at))
    }

    fn merge_narrowest(&mut self) {
        if let Some(at) = self.narrowest() {
            self.merge(at, true);
        }
    }

    /// Makes one of the range at `at` and the next. `unsure`: with what lies between.
    fn merge(&mut self, at: usize, unsure: bool) {
        self.all[at].to = self.all[at].to.max(self.all[at + 1].to);
        self.all.copy_within(at + 2..self.len, at + 1);
        let (below, above) = self.split(at);
        self.merged = below | (above & 1 | above >> 1 & 1 | u32::from(unsure)) << at | (above >> 2) << (at + 1);
        self.len -= 1;
    }
}

/// Those of two directions as a view has them, which has room for so many together.
pub(crate) fn view(first: &Ranges, second: &Ranges) -> RangesView {
    let mut sides = [*first, *second];
    while sides[0].len + sides[1].len > ROOM {
        let narrowest = |side: &Ranges| side.narrowest().map_or(u64::MAX, |at| side.gap(at));
        let [first, second] = &mut sides;
        if narrowest(first) < narrowest(second) { first } else { second }.merge_narrowest();
    }
    let mut view = RangesView::default();
    for (is_second, side) in [false, true].into_iter().zip(&sides) {
        for (range, merged) in side.iter() {
            let fits = view.put(is_second, range, merged);
            debug_assert!(fits, "{ROOM} are left");
        }
    }
    view
}

#[cfg(test)]
#[path = "ranges_tests.rs"]
mod tests;

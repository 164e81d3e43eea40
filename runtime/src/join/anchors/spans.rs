//! The times of the anchors that carry one id.

use crate::join::verdict::Interval;
use std::collections::VecDeque;

/// Those of one id. They come about in the order of their ends, and go so; in between it may be very many, if a client sends one id again and again:
/// nothing here looks through those that are over.
#[derive(Debug, Default)]
pub(super) struct Spans {
    /// (end, start), in order.
    ends: VecDeque<(u64, u64)>,
    starts: VecDeque<u64>,
}

impl Spans {
    pub(super) fn add(&mut self, (start, end): Interval) {
        let at = self.ends.partition_point(|span| *span < (end, start));
        self.ends.insert(at, (end, start));
        let at = self.starts.partition_point(|other| *other < start);
        self.starts.insert(at, start);
    }

    pub(super) fn remove(&mut self, (start, end): Interval) {
        if let Ok(at) = self.ends.binary_search(&(end, start)) {
            self.ends.remove(at);
        }
        if let Ok(at) = self.starts.binary_search(&start) {
            self.starts.remove(at);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// How many began by `to`, and ended at `from` or later, but before `watermark`. (`from` isn't behind `to`.)
    pub(super) fn meeting(&self, (from, to): Interval, watermark: u64) -> usize {
        let begun = self.starts.partition_point(|start| *start <= to);
        let over = self.ends.partition_point(|span| span.0 < from);
        let known = self.ends.partition_point(|span| span.0 < watermark).max(over);
        // What is told of already and ends behind the watermark: as much as is under way.
        let unknown = self.ends.range(known..).filter(|span| span.1 <= to).count();
        begun.saturating_sub(over).saturating_sub(unknown)
    }
}

#[cfg(test)]
mod tests;

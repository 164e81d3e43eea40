//! How joins go on: to where their sources have come, and to the end; and what was lost by then.

use super::Core;
use crate::{
    engine::supply::{BLOCKS, Source},
    losses::ANY_TIME,
    record::event::Event,
};

impl Core {
    /// The end of all streams.
    pub(crate) fn flush_joins(&mut self, now: u64) {
        if let Some(consumer) = &mut self.consumer {
            consumer.flush();
        }
        if self.joins.is_empty() {
            return;
        }
        // Every source has ended and was drained: nothing can come late any more. What one join's blocks emit is for the next.
        for join in 0..self.joins.len() {
            let outputs = self.joins.advance(&mut self.native, join, (u64::MAX, now));
            self.join_outputs(outputs, now);
            let outputs = self.joins.flush(&mut self.native, join, now);
            self.join_outputs(outputs, now);
        }
    }

    /// How sure the sources' times are, where that has changed. A recording's are as it says.
    pub(crate) fn tell_uncertainty(&mut self) {
        if self.replayed.is_none() {
            self.supply.read_clocks(self.names.clock().width());
        }
        if self.supply.take_changed() {
            self.record_uncertainty();
            let supply = &self.supply;
            self.joins.uncertain(&|one, other| supply.apart(one, other));
        }
    }

    /// What joins' blocks take for the present: that of timers, which ask `rate()` and windows for what the blocks counted, and not how far the joins have
    /// come. That may be seconds ago, as far back as their slowest source.
    pub(in crate::engine) fn present(&self) -> u64 {
        self.supply.get(BLOCKS).map_or(0, Source::watermark)
    }

    /// Lets every join go on to where all of its sources have come.
    pub(crate) fn advance(&mut self) {
        if let Some(consumer) = &mut self.consumer {
            consumer.watermark(self.supply.all());
        }
        self.tell_uncertainty();
        self.record_marks();
        let now = self.present();
        for join in 0..self.joins.len() {
            let watermark = self.supply.watermark(join);
            let outputs = self.joins.advance(&mut self.native, join, (watermark, now));
            self.join_outputs(outputs, now);
            self.supply.joined(join, self.joins.told_to(join, watermark));
            if let Some(early) = self.supply.early(join).filter(|_| self.options.early) {
                let outputs = self.joins.tell_early(&mut self.native, (join, now), early);
                self.join_outputs(outputs, now);
            }
        }
    }

    /// Tells the joins what was lost since they were last told, each by its source; `now`: by then it was.
    pub(crate) fn tell_losses(&mut self, now: u64) {
        if self.replayed.as_ref().is_some_and(|replayed| replayed.same) {
            return;
        }
        let fresh = self.losses.fresh();
        let before = std::mem::take(&mut self.snapshot);
        self.snapshot = self.supply.sources().iter().map(Source::watermark).collect();
        for lost in fresh {
            let streams = self.touch.streams(&lost.source, lost.kind);
            let of = self.supply.named(&lost.source);
            // It was not counted by the last time; what it was about may be as late as its source can be.
            let from = before.get(of.0 as usize).copied().unwrap_or(0);
            let (from, to) = match lost.since {
                Some(ANY_TIME) => (0, u64::MAX),
                since => (since.map_or(from, |since| since.min(from)), now),
            };
            self.joins.lost((from, to), &streams, lost.count, Some(lost.kind));
            self.note(|| Event::Lost {
                source: lost.source.clone(),
                kind: lost.kind.name().to_owned(),
                from,
                to,
                count: lost.count,
                streams: streams.iter().map(|stream| stream.0).collect(),
            });
        }
    }
}

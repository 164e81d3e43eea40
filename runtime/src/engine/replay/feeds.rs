//! Recorded packets in the script's own blocks, and what of theirs the recorded run could not know.
//!
//! A recording says up to when its own streams were complete, and what was lost of them. Another script's blocks (or a later version's) may
//! feed streams that it doesn't have: of those this says both.

use super::{Core, Replay};
use crate::{
    engine::{
        packets::{BlockSpec, Blocks},
        supply::{Source, SourceId},
    },
    losses::{LossKind, Losses},
};
use std::rc::Rc;
use weftrace_artifact::action::StreamId;

/// A recorded source of packets, with the script's blocks on it.
pub(super) struct Feed {
    name: String,
    id: SourceId,
    pub(super) blocks: Option<Blocks>,
    /// Streams that the recording doesn't have lack something where its packets do.
    makes: bool,
    /// What its blocks' analysis could not keep or follow; the joins know it.
    lost: Losses,
    /// Its watermark when they were last told.
    told: u64,
}

impl Feed {
    /// The joins are about to go on: an exchange that waits for its acknowledgement holds the source back, as in a live run, and what was
    /// lost is told. `time`: by then it was.
    fn before_joins(&mut self, core: &mut Core, time: u64) {
        let Some(blocks) = self.blocks.as_ref().filter(|_| self.makes) else { return };
        core.supply.hold(self.id, blocks.oldest_unsettled());
        self.tell_losses(core, time);
    }

    fn tell_losses(&mut self, core: &mut Core, time: u64) {
        let Some(blocks) = &self.blocks else { return };
        blocks.count_losses(&self.name, &mut self.lost);
        let since = std::mem::replace(&mut self.told, core.supply.get(self.id).map_or(0, Source::watermark));
        for lost in self.lost.fresh().into_iter().filter(|_| self.makes) {
            let streams = core.touch.streams(&lost.source, lost.kind);
            core.joins.lost((since, time), &streams, lost.count, Some(lost.kind));
        }
    }
}

impl Replay {
    /// A source of packets; `own`: as which it is known here.
    pub(super) fn feed(&mut self, (id, own): (u32, SourceId), name: String, interfaces: &[String], core: &mut Core) {
        // A block is for the source that it was recorded with; of another script, for all, as if it read files.
        let known = |spec: &&BlockSpec| {
            let mine = interfaces.contains(&spec.interface);
            mine || !self.same
        };
        let specs: Vec<BlockSpec> = self.specs.iter().filter(known).cloned().collect();
        let artifact = Rc::clone(&core.artifact);
        let emits = specs.iter().filter_map(|s| artifact.probes.get(s.probe as usize)).flat_map(|p| p.emits.clone());
        core.supply.feed(own, emits);
        let probes: Vec<u32> = specs.iter().map(|spec| spec.probe).collect();
        core.touch.add_packets(&name, &probes, &artifact);
        let recorded = |stream| core.replayed.as_ref().is_some_and(|replayed| replayed.has(stream));
        let makes = core.touch.leave_out(&name, recorded);
        let blocks = match Blocks::new(&specs, self.wants) {
            Ok(blocks) if !specs.is_empty() => Some(blocks),
            Ok(_) => None,
            Err(error) => {
                core.warn(&error.to_string());
                None
            }
        };
        self.feeds.insert(id, Feed { name, id: own, blocks, makes, lost: Losses::default(), told: 0 });
    }

    pub(super) fn advance(&mut self, core: &mut Core) {
        for feed in self.feeds.values_mut() {
            feed.before_joins(core, self.last_time);
        }
        core.advance();
    }

    /// What the recorded run lost: `streams` of the recording lack it, and where it is packets, so do those that only the script's own blocks feed.
    pub(super) fn lost(
        &mut self,
        (source, kind): (&str, &str),
        interval: (u64, u64),
        count: u64,
        streams: &[u32],
        core: &mut Core,
    ) {
        let mut streams: Vec<StreamId> = streams.iter().filter_map(|s| self.own(*s)).collect();
        let (kind, count) = (LossKind::from_name(kind), count.min(super::MOST_LOST));
        if let Some(kind) = kind.filter(|kind| is_of_packets(*kind))
            && self.feeds.values().any(|feed| feed.makes && feed.name == source)
        {
            streams.extend(core.touch.streams(source, kind));
        }
        core.joins.lost(interval, &streams, count, kind);
        if let Some(kind) = kind {
            core.losses.add(source, kind, count);
            core.losses.fresh();
            if !self.stopped {
                core.losses.news();
            }
        }
    }

    /// All packets were handled: what became of them last. The recorded losses are in the table already; another script's analysis may have its own.
    pub(super) fn finish_feeds(&mut self, core: &mut Core) {
        let time = self.end.unwrap_or(self.last_time);
        for feed in self.feeds.values_mut().filter(|feed| !self.same || feed.makes) {
            core.supply.mark(feed.id, self.last_time, None);
            feed.tell_losses(core, time);
            for lost in feed.lost.rows() {
                core.losses.set_told(&lost.source, lost.kind, lost.count);
            }
        }
    }
}

/// Whether packets, or whose they are, are missing from the recording. All else that an analysis lacks, one of the same packets finds by itself.
fn is_of_packets(kind: LossKind) -> bool {
    matches!(kind, LossKind::Packets | LossKind::Device | LossKind::Analysis("filter" | "owners"))
}

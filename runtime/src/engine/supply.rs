//! Who feeds which streams, up to when each source was heard, and so up to when a join has heard all of its own.
//!
//! A source says "all of mine before this time was handled" ([`Supply::mark`]); what may still come of an earlier time is its
//! lateness. A join's watermark is the least of its own sources': a slow source that feeds none of its streams doesn't keep it
//! waiting. A source that stands still for long is stalled: it is left out, and its streams are known to lack something.

use crate::join::UNSAID_NS;
use std::collections::BTreeSet;
use weftrace_artifact::{
    Artifact,
    action::StreamId,
    join::{JoinSpec, Keep},
    plan::{ProbePlan, SocketSide, Unit, Way},
};
use weftrace_probes::packet::TURN_IDLE_NS;

/// Index into [`Supply::sources`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SourceId(pub(crate) u32);

/// Blocks that time or a signal runs: they run when they are due, so nothing of theirs is late.
pub(crate) const BLOCKS: SourceId = SourceId(0);
/// Programs in the kernel, through the event ring.
pub(crate) const KERNEL: SourceId = SourceId(1);

/// Between the moment at which a program reads the clock and the one at which its record is in the ring lie interrupts, and for programs
/// that can be preempted other threads. More is learned from records that were later.
const KERNEL_LATENESS_NS: u64 = 10_000_000;
const KERNEL_LATENESS_MOST_NS: u64 = 1_000_000_000;
/// That an answer is over is known a while later, when time is next looked at (a tenth of a second) and a bit.
const TURN_LATENESS_NS: u64 = TURN_IDLE_NS + 200_000_000;

/// A source that hasn't moved for so long, while time went on, is stalled.
pub(crate) const STALLED_AFTER_NS: u64 = 5_000_000_000;

/// What holds a source back (an exchange that was never acknowledged) does so for at most this long.
const LONGEST_HOLD_NS: u64 = 10_000_000_000;

/// What comes so long after it was is worth an early word (`--early`).
const LATE_FROM_NS: u64 = 1_000_000_000;

/// Results of a join are made this long after the watermark has passed an anchor's end, at most.
const JOIN_LATENESS_NS: u64 = 1_000_000;

/// How far the time of an event may be from when it was: programs and blocks read the one clock that all is measured by, when they run.
const CLOCK_NS: u64 = 5_000;
/// Packets have the wall clock's time, when the kernel took them: what lies between, and its pace between two readings of both clocks.
const PACKETS_NS: u64 = 90_000;
/// The readings' own width is told in steps of so much.
const WIDTH_STEP_NS: u64 = 10_000;
/// Capture files are of some machine's clock.
pub(crate) const FILES_NS: u64 = 1_000_000;
/// Applications tell milliseconds, of their own machine's clock.
pub(crate) const SPANS_NS: u64 = 5_000_000;

/// One source.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) name: String,
    /// The word for it in `--lateness`.
    pub(crate) kind: &'static str,
    pub(crate) lateness: u64,
    /// How far its times may be from the true ones, ns; None: nobody has said.
    uncertainty: Option<u64>,
    /// Its times come by the wall clock, as that is read.
    by_wall: bool,
    pub(crate) streams: BTreeSet<StreamId>,
    /// All before this time was handled, but for what is late.
    mark: u64,
    /// Something of this time is under way still.
    hold: Option<u64>,
    /// When the mark was last seen to move.
    moved: u64,
    stalled: bool,
    /// Nothing comes of it: it is stalled at once.
    gone: bool,
    /// By the command line: not learned.
    fixed: bool,
    sure: bool,
}

impl Source {
    pub(crate) fn uncertainty(&self) -> Option<u64> {
        self.uncertainty
    }

    /// Nothing comes of it, which has been told.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone
    }

    /// Everything before this time has arrived.
    pub(crate) fn watermark(&self) -> u64 {
        let usual = self.mark.saturating_sub(self.lateness);
        self.hold.map_or(usual, |hold| usual.min(hold.max(self.mark.saturating_sub(LONGEST_HOLD_NS))))
    }
}

/// What became of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stall {
    pub(crate) source: SourceId,
    /// From its watermark to now; what it has of that time comes too late, if at all.
    pub(crate) interval: (u64, u64),
    pub(crate) change: Change,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Begins = 0,
    GoesOn = 1,
    Ends = 2,
}

/// All sources of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Supply {
    sources: Vec<Source>,
    /// By probe: whether it is a program in the kernel, so that what it emits comes through the ring.
    in_kernel: Vec<bool>,
    /// By join: the streams it reads, and its source (what its blocks emit).
    joins: Vec<(BTreeSet<StreamId>, SourceId)>,
    /// What [`Self::apart`] says may have changed.
    changed: bool,
}

impl Supply {
    /// With the sources that every run has: blocks, the kernel, the joins themselves.
    pub(crate) fn new(artifact: &Artifact) -> Self {
        let mut supply = Self::default();
        let emitted = |of: &dyn Fn(&Way, bool) -> bool| -> BTreeSet<StreamId> {
            let probes = artifact.probes.iter().filter(|p| {
                let kernel = p.ways().any(|a| matches!(a.unit, Unit::Kernel(_)));
                of(&p.best.way, kernel)
            });
            probes.flat_map(|p| p.emits.iter().copied()).collect()
        };
        let elsewhere = |way: &Way| matches!(way, Way::Pcap { .. } | Way::Telemetry { .. } | Way::Join { .. });
        // What sockets carry comes through the ring too.
        let of_ring = |way: &Way, kernel: bool| kernel || matches!(way, Way::Exchange { .. });
        let is_turn = |p: &ProbePlan| matches!(p.best.way, Way::Exchange { side: SocketSide::Turns, .. });
        let takes_turns = artifact.probes.iter().any(is_turn);
        if !artifact.streams.is_empty() {
            let in_kernel = |p: &ProbePlan| matches!(p.best.unit, Unit::Kernel(_)) && !elsewhere(&p.best.way);
            supply.in_kernel = artifact.probes.iter().map(in_kernel).collect();
        }
        supply.add("blocks", "blocks", 0, emitted(&|way, kernel| !of_ring(way, kernel) && !elsewhere(way)));
        supply.add(
            "kernel",
            "kernel",
            if takes_turns { TURN_LATENESS_NS } else { KERNEL_LATENESS_NS },
            emitted(&|way, kernel| of_ring(way, kernel) && !elsewhere(way)),
        );
        for (i, spec) in artifact.joins.iter().enumerate() {
            let of = |way: &Way, _| matches!(way, Way::Join { join, .. } if *join as usize == i);
            let name = format!("join:{}", spec.name);
            let source = supply.add(&name, "join", join_lateness(spec), emitted(&of));
            let reads = spec.reads(&artifact.streams).collect();
            supply.joins.push((reads, source));
        }
        supply
    }

    pub(crate) fn add(
        &mut self,
        name: &str,
        kind: &'static str,
        lateness: u64,
        streams: BTreeSet<StreamId>,
    ) -> SourceId {
        self.sources.push(Source {
            name: name.to_owned(),
            kind,
            lateness,
            uncertainty: Some(match kind {
                "packets" => PACKETS_NS,
                "join" => 0,
                _ => CLOCK_NS,
            }),
            by_wall: kind == "packets",
            streams,
            mark: 0,
            hold: None,
            moved: 0,
            stalled: false,
            gone: false,
            fixed: false,
            sure: false,
        });
        self.changed = true;
        SourceId(self.sources.len() as u32 - 1)
    }

    pub(crate) fn get(&self, source: SourceId) -> Option<&Source> {
        self.sources.get(source.0 as usize)
    }

    /// The source of losses that have this name; programs' losses are the kernel's.
    pub(crate) fn named(&self, name: &str) -> SourceId {
        (0..).zip(&self.sources).find(|(_, source)| source.name == name).map_or(KERNEL, |(i, _)| SourceId(i))
    }

    pub(crate) fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// The lateness of all sources of a kind, or of the one of this name; false: there is none.
    pub(crate) fn set_lateness(&mut self, name: &str, ns: u64) -> bool {
        let mut any = false;
        for source in self.sources.iter_mut().filter(|s| s.kind == name || s.name == name) {
            (source.lateness, source.fixed, any) = (ns, true, true);
        }
        any
    }

    /// The same of how sure its times are.
    pub(crate) fn set_uncertainty(&mut self, name: &str, ns: u64) -> bool {
        let mut any = false;
        for source in self.sources.iter_mut().filter(|s| s.kind == name || s.name == name) {
            (source.uncertainty, source.sure, any) = (Some(ns), true, true);
        }
        self.changed |= any;
        any
    }

    /// A source's times are another machine's, or a recording says how sure they are.
    pub(crate) fn say_uncertainty(&mut self, source: SourceId, ns: u64) {
        if let Some(source) = self.sources.get_mut(source.0 as usize) {
            (source.uncertainty, source.by_wall) = (Some(ns), false);
            self.changed = true;
        }
    }

    /// Readings of both clocks were so wide.
    pub(crate) fn read_clocks(&mut self, width: u64) {
        let ns = PACKETS_NS.saturating_add(width.div_ceil(WIDTH_STEP_NS).saturating_mul(WIDTH_STEP_NS));
        for source in self.sources.iter_mut().filter(|s| s.by_wall && !s.sure && s.uncertainty != Some(ns)) {
            source.uncertainty = Some(ns);
            self.changed = true;
        }
    }

    /// Whether [`Self::apart`] may say something else than before the last call.
    pub(crate) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// By how many ns an event of one stream and one of another may be apart, and nobody can say which was first. Those of one source
    /// are by one clock.
    pub(crate) fn apart(&self, one: StreamId, other: StreamId) -> u64 {
        let feeding =
            |stream| (0..).zip(&self.sources).filter(move |(_, s): &(u32, &Source)| s.streams.contains(&stream));
        let pairs = feeding(one).flat_map(|one| feeding(other).map(move |other| (one.0, other.0)));
        let apart = pairs.map(|(i, k)| match (self.unsure(i), self.unsure(k)) {
            (Some(_), Some(_)) if i == k => 0,
            (Some(one), Some(other)) => one.saturating_add(other),
            _ => UNSAID_NS,
        });
        apart.max().unwrap_or(0)
    }

    /// How far a source's times may be from the true ones, ns; a join's blocks tell times of what the join reads, so theirs as far as any of that.
    fn unsure(&self, at: u32) -> Option<u64> {
        let source = self.sources.get(at as usize)?;
        let read = self.joins.iter().find(|(_, own)| own.0 == at).filter(|_| !source.sure);
        let Some((reads, _)) = read else { return source.uncertainty };
        // (Joins read each other's in turn: of each those before it count.)
        let feeds =
            |(i, other): &(u32, &Source)| (other.kind != "join" || *i < at) && !other.streams.is_disjoint(reads);
        let mut feeding = (0..).zip(&self.sources).filter(feeds);
        feeding.try_fold(0, |most, (i, _)| Some(self.unsure(i)?.max(most)))
    }

    /// Names and kinds that [`Self::set_lateness`] knows, of sources that feed something.
    pub(crate) fn names(&self) -> Vec<String> {
        let feeding = self.sources.iter().filter(|s| s.kind != "join" && !s.streams.is_empty());
        let mut names: Vec<String> = feeding.flat_map(|s| [s.kind.to_owned(), s.name.clone()]).collect();
        names.sort();
        names.dedup();
        names
    }

    /// A recording's watermarks are what they are.
    pub(crate) fn replay(&mut self) {
        for source in self.sources.iter_mut().filter(|s| s.kind != "join") {
            (source.lateness, source.fixed) = (0, true);
            source.uncertainty = None;
        }
        self.changed = true;
    }

    /// A source of a recording: how late it is and how sure its times are is said there.
    pub(crate) fn add_recorded(&mut self, name: &str) -> SourceId {
        let id = self.add(name, "packets", 0, BTreeSet::new());
        if let Some(source) = self.sources.last_mut() {
            (source.uncertainty, source.by_wall) = (None, false);
        }
        id
    }

    /// A source feeds streams besides those it was made with.
    pub(crate) fn feed(&mut self, source: SourceId, streams: impl IntoIterator<Item = StreamId>) {
        if let Some(source) = self.sources.get_mut(source.0 as usize) {
            source.streams.extend(streams);
            self.changed = true;
        }
    }

    /// A recorded watermark. It may have gone back: it was learned meanwhile how late the source can be, or something was under way.
    pub(crate) fn set_mark(&mut self, source: SourceId, watermark: u64) {
        if let Some(source) = self.sources.get_mut(source.0 as usize) {
            (source.mark, source.hold) = (watermark, None);
        }
    }

    /// Something that began then is under way in a recorded source, and its watermark doesn't know: the recorded run followed no such thing.
    pub(crate) fn hold(&mut self, source: SourceId, since: Option<u64>) {
        if let Some(source) = self.sources.get_mut(source.0 as usize) {
            source.hold = since;
        }
    }

    /// Who feeds a stream, as `--lateness` has them.
    pub(crate) fn feeding_names(&self, stream: StreamId) -> Vec<&str> {
        let feeding = self.sources.iter().filter(|source| source.streams.contains(&stream));
        feeding.map(|source| source.name.as_str()).collect()
    }

    /// What a source feeds.
    pub(crate) fn streams(&self, source: SourceId) -> Vec<StreamId> {
        self.sources.get(source.0 as usize).map_or_else(Vec::new, |source| source.streams.iter().copied().collect())
    }

    /// A recorded source stood still, or goes on; says what it feeds.
    pub(crate) fn set_stalled(&mut self, source: SourceId, stalled: bool) -> Vec<StreamId> {
        let Some(source) = self.sources.get_mut(source.0 as usize) else { return Vec::new() };
        source.stalled = stalled;
        source.streams.iter().copied().collect()
    }

    /// Nothing comes of a source any more, or it does again.
    #[cfg(any(feature = "live", test))]
    pub(crate) fn set_gone(&mut self, source: SourceId, gone: bool) {
        if let Some(source) = self.sources.get_mut(source.0 as usize) {
            source.gone = gone;
        }
    }

    /// All of a source's before `time` was handled. `hold`: but something that began then is under way.
    pub(crate) fn mark(&mut self, source: SourceId, time: u64, hold: Option<u64>) {
        if let Some(source) = self.sources.get_mut(source.0 as usize) {
            source.mark = source.mark.max(time);
            source.hold = hold;
        }
    }

    /// A record of `time` has come from a probe. If a program's is behind the kernel's watermark, such records are waited for from now on.
    pub(crate) fn came_from(&mut self, probe: u32, time: u64) {
        if !self.in_kernel.get(probe as usize).copied().unwrap_or(false) {
            return;
        }
        let Some(source) = self.sources.get_mut(KERNEL.0 as usize) else { return };
        if !source.fixed && time.saturating_add(source.lateness) < source.mark {
            source.lateness = (2 * (source.mark - time)).min(KERNEL_LATENESS_MOST_NS).max(source.lateness);
        }
    }

    /// The sources that a join waits for.
    fn feeding(&self, join: usize) -> impl Iterator<Item = &Source> {
        let feeds = move |(i, source): &(u32, &Source)| {
            let Some((reads, own)) = self.joins.get(join) else { return false };
            // What a later join's blocks emit comes when it comes: waiting for each other would be for ever.
            let waits = source.kind != "join" || *i < own.0;
            waits && !source.stalled && (*i == BLOCKS.0 || !source.streams.is_disjoint(reads))
        };
        (0..).zip(&self.sources).filter(feeds).map(|(_, source)| source)
    }

    /// Everything that a join reads has arrived up to this time.
    pub(crate) fn watermark(&self, join: usize) -> u64 {
        self.feeding(join).map(Source::watermark).min().unwrap_or(0)
    }

    /// How far a join's other sources have come where some are late, and what these feed.
    pub(crate) fn early(&self, join: usize) -> Option<(u64, Vec<StreamId>)> {
        let (late, others): (Vec<&Source>, Vec<&Source>) =
            self.feeding(join).partition(|source| source.lateness >= LATE_FROM_NS);
        let streams: Vec<StreamId> = late.iter().flat_map(|source| &source.streams).copied().collect();
        let watermark = others.iter().map(|source| source.watermark()).min()?;
        (!late.is_empty()).then_some((watermark, streams))
    }

    /// A join has come so far: what its blocks emit from now on is later.
    pub(crate) fn joined(&mut self, join: usize, watermark: u64) {
        if let Some((_, source)) = self.joins.get(join) {
            self.mark(*source, watermark, None);
        }
    }

    /// All sources together.
    pub(crate) fn all(&self) -> u64 {
        let first = self.sources.iter().filter(|s| s.kind != "join" && !s.streams.is_empty() && !s.stalled);
        first.map(Source::watermark).min().or_else(|| self.get(BLOCKS).map(Source::watermark)).unwrap_or(0)
    }

    /// Looks for sources that stand still; `now` must go on. To be called at every tick of a live run.
    pub(crate) fn stalls(&mut self, now: u64, seen: &mut Vec<u64>) -> Vec<Stall> {
        seen.resize(self.sources.len(), 0);
        let mut stalls = Vec::new();
        for (i, (source, before)) in (0..).zip(self.sources.iter_mut().zip(seen)) {
            if source.kind == "join" || source.streams.is_empty() {
                continue;
            }
            if source.mark != *before || source.moved == 0 {
                (*before, source.moved) = (source.mark, now);
            }
            let stuck = source.gone || now.saturating_sub(source.moved) > STALLED_AFTER_NS;
            let change = match (source.stalled, stuck) {
                (false, false) => continue,
                (false, true) => Change::Begins,
                (true, true) => Change::GoesOn,
                (true, false) => Change::Ends,
            };
            source.stalled = stuck;
            stalls.push(Stall { source: SourceId(i), interval: (source.watermark(), now), change });
        }
        stalls
    }
}

/// How much later than an anchor's end its result may come.
fn join_lateness(spec: &JoinSpec) -> u64 {
    match spec.keep {
        Keep::Slowest { per_ns, .. } => per_ns.saturating_add(JOIN_LATENESS_NS),
        _ => JOIN_LATENESS_NS,
    }
}

#[cfg(test)]
mod tests;

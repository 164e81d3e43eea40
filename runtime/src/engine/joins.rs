//! Streams into the join engines, and what they find into `join:NAME` blocks or the output.

mod onward;

use super::{core::Core, timers::Timers};
use crate::{
    join::{
        self, Evaluate, JoinResult, Output, Summary, ViewStorage,
        show::{self, Facts, Shown},
    },
    losses::LossKind,
    metrics::Trace,
    native::Native,
    sink::Message,
    sys,
};
use std::{rc::Rc, time::Instant};
use weftrace_artifact::{
    Artifact,
    action::StreamId,
    join::{Bound, JoinView, LegSpec, Passing},
    nat,
    plan::{JoinEvent, ProbePlan, Unit, Way},
};

/// A block at a join.
#[derive(Clone, Copy, Debug)]
struct Block {
    join: u32,
    on: JoinEvent,
    entry: u32,
    probe: u32,
}

/// All joins of an artifact.
pub(crate) struct Joins {
    engines: Vec<join::Engine>,
    blocks: Vec<Block>,
    /// By join: how far it was advanced.
    advanced: Vec<u64>,
    /// By probe.
    passing: Vec<Option<Passing>>,
}

/// Why a stream is not fed where a file is read: only the kernel's events feed it.
const NOT_RUNNING: &str = "not running";
/// The reason of what a probe that did not attach would have told.
const NOT_ATTACHED: &str = "not attached";

/// A join's number with what it found.
pub(crate) type Found = (u32, Output);

struct Eval<'a> {
    native: &'a mut Native,
    now: u64,
}

impl Evaluate for Eval<'_> {
    fn call(&mut self, handler: u32, view: &JoinView) -> u64 {
        self.native.run_join(handler, 0, self.now, view)
    }
}

impl Joins {
    pub(crate) fn new(artifact: &Artifact) -> Self {
        let mut engines: Vec<_> =
            artifact.joins.iter().map(|spec| join::Engine::new(spec.clone(), &artifact.streams)).collect();
        let mut blocks = Vec::new();
        for (probe, plan) in artifact.probes.iter().enumerate() {
            if let (Way::Join { join, on }, Unit::Native(entry)) = (&plan.best.way, plan.best.unit) {
                blocks.push(Block { join: *join, on: *on, entry, probe: probe as u32 });
            }
        }
        for (join, engine) in (0u32..).zip(&mut engines) {
            let wanted = |leg| blocks.iter().any(|b: &Block| b.join == join && b.on == JoinEvent::Orphan(leg));
            engine.want_orphans(wanted);
        }
        let mut passing = vec![None; artifact.probes.len()];
        for block in &artifact.passing {
            if let Some(place) = passing.get_mut(block.probe as usize) {
                *place = Some(block.clone());
            }
        }
        Self { advanced: vec![0; artifact.joins.len()], engines, blocks, passing }
    }

    /// What the block's joins may keep; None: it does more than to tell joins of exchanges.
    pub(super) fn bound(&self, probe: u32) -> Option<Bound> {
        self.passing.get(probe as usize)?.as_ref().map(|passing| passing.bound)
    }

    /// So many exchanges that the block need not tell of have ended by then: its joins count them.
    pub(super) fn pass_over(&mut self, probe: u32, (count, end): (u64, u64)) {
        let joins = self.passing.get(probe as usize).into_iter().flatten().flat_map(|passing| &passing.joins);
        for join in joins {
            if let Some(engine) = self.engines.get_mut(*join as usize) {
                engine.pass_over(count, end);
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.engines.is_empty()
    }

    /// A record of `time`. `now`: what blocks take for the present.
    pub(crate) fn record(
        &mut self,
        native: &mut Native,
        stream: StreamId,
        (time, now): (u64, u64),
        payload: &[u8],
    ) -> Vec<Found> {
        self.each(native, now, |engine, eval, out| engine.record(stream, time, payload, eval, out))
    }

    pub(crate) fn len(&self) -> usize {
        self.engines.len()
    }

    /// One join goes on to its watermark. `now`: what its blocks take for the present.
    fn advance(&mut self, native: &mut Native, join: usize, (watermark, now): (u64, u64)) -> Vec<Found> {
        let moved = self.advanced.get_mut(join).filter(|before| **before < watermark);
        let Some(()) = moved.map(|before| *before = watermark) else { return Vec::new() };
        self.one(native, (join, now), |engine, eval, out| engine.advance(watermark, eval, out))
    }

    /// Up to when a join has told all of its results: it waits for what may be at once with them.
    fn told_to(&self, join: usize, watermark: u64) -> u64 {
        self.engines.get(join).map_or(watermark, |engine| watermark.saturating_sub(engine.waits()))
    }

    /// What is known of a join's anchors without the streams that come late.
    fn tell_early(
        &mut self,
        native: &mut Native,
        (join, now): (usize, u64),
        early: (u64, Vec<StreamId>),
    ) -> Vec<Found> {
        self.one(native, (join, now), |engine, eval, out| engine.tell_early(early, eval, out))
    }

    fn flush(&mut self, native: &mut Native, join: usize, now: u64) -> Vec<Found> {
        self.one(native, (join, now), |engine, eval, out| engine.flush(eval, out))
    }

    fn one(
        &mut self,
        native: &mut Native,
        (join, now): (usize, u64),
        work: impl FnOnce(&mut join::Engine, &mut dyn Evaluate, &mut dyn FnMut(Output)),
    ) -> Vec<Found> {
        let mut found = Vec::new();
        if let Some(engine) = self.engines.get_mut(join) {
            work(engine, &mut Eval { native, now }, &mut |output| found.push((join as u32, output)));
        }
        found
    }

    fn each(
        &mut self,
        native: &mut Native,
        now: u64,
        mut work: impl FnMut(&mut join::Engine, &mut dyn Evaluate, &mut dyn FnMut(Output)),
    ) -> Vec<Found> {
        let mut found = Vec::new();
        for (i, engine) in self.engines.iter_mut().enumerate() {
            let mut eval = Eval { native: &mut *native, now };
            work(engine, &mut eval, &mut |output| found.push((i as u32, output)));
        }
        found
    }

    /// Something of these streams was lost between two times: no leg on them may say "none" for that stretch.
    pub(crate) fn lost(&mut self, interval: (u64, u64), streams: &[StreamId], count: u64, kind: Option<LossKind>) {
        if streams.is_empty() {
            return;
        }
        let reason = kind.and_then(LossKind::reason);
        self.engines.iter_mut().for_each(|engine| engine.lost(interval, streams, count, reason));
    }

    /// The source of these streams has stood still so long.
    pub(crate) fn stalled(&mut self, interval: (u64, u64), streams: &[StreamId]) {
        self.engines.iter_mut().for_each(|engine| engine.stalled(interval, streams));
    }

    /// No probe feeds a stream.
    pub(crate) fn unfed(&mut self, stream: StreamId, reason: &str) {
        for engine in &mut self.engines {
            if reason == NOT_RUNNING { engine.leave_out(stream) } else { engine.unfed(stream, reason) }
        }
    }

    /// What of a stream isn't there from this time on may be missing.
    pub(crate) fn doubted(&mut self, stream: StreamId, from: u64, reason: &str) {
        self.engines.iter_mut().for_each(|engine| engine.doubted(stream, from, reason));
    }

    /// Streams that some of their probes don't feed, since these did not attach; and the reason.
    pub(crate) fn tell_partly_fed(&mut self, artifact: &Artifact, failed: &[u32]) -> Vec<(StreamId, &'static str)> {
        let lacks = |stream: &StreamId| failed.iter().any(|i| artifact.probes[*i as usize].emits.contains(stream));
        let lacking: Vec<StreamId> = (0..artifact.streams.len() as u32).map(StreamId).filter(lacks).collect();
        for stream in &lacking {
            self.doubted(*stream, 0, NOT_ATTACHED);
        }
        lacking.into_iter().map(|stream| (stream, NOT_ATTACHED)).collect()
    }

    /// Streams that no running probe emits to. Where it did not attach, what their legs lack is unknown, not none; where it doesn't run on files
    /// they are left out (as where `unheard` probes are their only ones). `fed`: by a recording. Says which, and why.
    pub(crate) fn tell_unfed(
        &mut self,
        artifact: &Artifact,
        failed: &[u32],
        unheard: &[u32],
        fed: impl Fn(StreamId) -> bool,
    ) -> Vec<(StreamId, &'static str)> {
        let mut unfed = Vec::new();
        let heard = || (0u32..).zip(&artifact.probes).filter(|(i, _)| !unheard.contains(i));
        let emits = |stream: StreamId| heard().filter(move |(_, p)| p.emits.contains(&stream));
        for stream in (0..artifact.streams.len() as u32).map(StreamId) {
            // What is translated no probe tells.
            let is_nat = artifact.streams[stream.0 as usize].name == nat::STREAM;
            if is_nat || fed(stream) || emits(stream).any(|(i, _)| !failed.contains(&i)) {
                continue;
            }
            let reason = if emits(stream).next().is_some() { NOT_ATTACHED } else { NOT_RUNNING };
            self.unfed(stream, reason);
            unfed.push((stream, reason));
        }
        unfed
    }

    /// What is on a stream was seen since then.
    pub(super) fn seen_from(&mut self, stream: StreamId, time: u64) {
        self.engines.iter_mut().for_each(|engine| engine.seen_from(stream, time));
    }

    /// By how many ns events of two streams may be apart, and nobody can say which was first.
    fn uncertain(&mut self, apart: &dyn Fn(StreamId, StreamId) -> u64) {
        self.engines.iter_mut().for_each(|engine| engine.uncertain(apart));
    }

    fn blocks(&self, join: u32, on: JoinEvent) -> Vec<Block> {
        self.blocks.iter().filter(|b| b.join == join && b.on == on).copied().collect()
    }

    pub(super) fn summaries(&self) -> Vec<(String, Summary)> {
        self.engines.iter().map(|e| (e.name().to_owned(), e.summary().clone())).collect()
    }
}

/// The trace that a result belongs to, and of it the anchor's span, or the caller's.
pub(crate) fn trace_of(result: &JoinResult) -> Option<Trace> {
    let own = [result.field("span_id"), result.field("parent_span_id")];
    let span = own.iter().find(|id| !id.is_empty()).map_or("", |id| id);
    Trace::of(show::trace_of(result)?.as_bytes(), span.as_bytes())
}

/// Whether a probe sees things as they happen: what happened before it ran it has missed. (Applications tell later what they did, and a timer or a
/// join of what it has gathered.)
fn watches(probe: &ProbePlan) -> bool {
    match (&probe.best.way, probe.best.unit) {
        (Way::Pcap { .. } | Way::Exchange { .. }, _) => true,
        (Way::Interval { .. } | Way::Test { .. } | Way::Bench { .. }, _) => false,
        (_, unit) => matches!(unit, Unit::Kernel(_)),
    }
}

impl Core {
    /// Whether a block emits records.
    #[cfg(feature = "live")]
    pub(super) fn tells(&self, probe: u32) -> bool {
        self.artifact.probes.get(probe as usize).is_some_and(|plan| !plan.emits.is_empty())
    }

    /// Whether it does so and leaves nothing in maps, so that nobody but who reads the records sees that it ran once the script has ended (what it prints then isn't
    /// printed).
    pub(super) fn only_tells(&self, probe: u32) -> bool {
        self.artifact.probes.get(probe as usize).is_some_and(|plan| !plan.emits.is_empty() && plan.maps.is_empty())
    }

    /// All probes run from now on (of files: from the first packet on), timers too.
    pub(crate) fn runs_since(&mut self, time: u64, timers: &mut Timers) {
        timers.start(time);
        let artifact = Rc::clone(&self.artifact);
        let watched = |stream: &StreamId| artifact.probes.iter().any(|p| p.emits.contains(stream) && watches(p));
        for stream in (0..artifact.streams.len() as u32).map(StreamId).filter(watched) {
            self.joins.seen_from(stream, time);
        }
    }

    /// Runs the joins' blocks; results without a block are printed.
    pub(super) fn join_outputs(&mut self, outputs: Vec<Found>, now: u64) {
        for (join, output) in outputs {
            match output {
                Output::Result(result) => {
                    if let Some(recorder) = &mut self.recorder {
                        recorder.result(&result);
                    }
                    let blocks = self.joins.blocks(join, JoinEvent::Result);
                    let before = self.at_hand.replace((join, result.clone()));
                    if blocks.is_empty() && !self.limit_reached() {
                        self.printed += 1;
                        self.say_joined();
                    }
                    let trace = self.trace_of(&blocks, &result);
                    self.run_blocks(&blocks, (now, trace), &ViewStorage::for_result(&result));
                    self.at_hand = before;
                }
                // Printed, whatever blocks there are: they run for the result.
                Output::Early(result) => {
                    let facts = self.facts(join, &result);
                    self.say(&Message::Early(&Shown { result: &result, facts: &facts }));
                }
                Output::Orphan { leg, payload } => {
                    let blocks = self.joins.blocks(join, JoinEvent::Orphan(leg));
                    self.run_blocks(&blocks, (now, None), &ViewStorage::for_orphan(&payload));
                }
                Output::Late { payload } => {
                    let blocks = self.joins.blocks(join, JoinEvent::Late);
                    self.run_blocks(&blocks, (now, None), &ViewStorage::for_anchor(&payload));
                }
                Output::LateRecord { stream, by } => self.warn_late(join, stream, by),
            }
        }
    }

    /// What blocks count of a result is noted with its trace, if anybody wants to know.
    fn trace_of(&self, blocks: &[Block], result: &JoinResult) -> Option<Trace> {
        let wanted = !blocks.is_empty() && self.native.exemplars().is_some();
        wanted.then(|| trace_of(result)).flatten()
    }

    fn run_blocks(&mut self, blocks: &[Block], (now, trace): (u64, Option<Trace>), storage: &ViewStorage<'_>) {
        for block in blocks {
            self.native.run_join_of(trace, (block.entry, block.probe, now), &storage.view());
            self.take_native();
        }
    }

    /// Prints the result at hand, in the output's own form.
    pub(super) fn say_joined(&mut self) {
        let Some((join, result)) = self.at_hand.take() else { return };
        let facts = self.facts(join, &result);
        self.said_result = Instant::now();
        self.say(&Message::Joined(&Shown { result: &result, facts: &facts }));
        self.at_hand = Some((join, result));
    }

    /// What only the host knows of a result.
    pub(super) fn facts(&mut self, join: u32, result: &JoinResult) -> Facts {
        let artifact = Rc::clone(&self.artifact);
        let legs = artifact.joins.get(join as usize).map_or(&[][..], |spec| &spec.legs);
        let stream =
            |leg: &LegSpec| artifact.streams.get(leg.stream.0 as usize).map_or(String::new(), |s| s.name.clone());
        let cgroup = result.field("cgroup").parse().ok().filter(|id| *id != 0);
        let cgroup = cgroup.map_or(String::new(), |id| self.cgroup_path(id));
        Facts {
            wall: (self.names.wall(result.begin), self.names.wall(result.end)),
            community_id: result.conn.as_ref().map(|conn| show::community_id(conn, artifact.options.community_id_seed)),
            container: Some(result.field("container")).filter(|id| !id.is_empty()).or_else(|| show::container(&cgroup)),
            sources: legs.iter().map(stream).collect(),
            open: self.options.open,
        }
    }

    /// If nothing was told for long: says so, and that it all works.
    pub(crate) fn heartbeat(&mut self) {
        if self.options.heartbeat.is_some_and(|every| self.said_result.elapsed() >= every) {
            self.said_result = Instant::now();
            self.say_summaries(true);
        }
    }

    pub(crate) fn say_join_summaries(&mut self) {
        self.say_summaries(false);
    }

    fn say_summaries(&mut self, heartbeat: bool) {
        let wall = sys::now(libc::CLOCK_REALTIME);
        for (join, summary) in self.joins.summaries() {
            self.say(&Message::Summary { join: &join, summary: &summary, heartbeat, wall });
        }
    }
}

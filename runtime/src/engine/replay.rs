//! A recording in place of sources: its events in the order in which the run acted on them.

mod feeds;
mod script;

pub(crate) use script::{Replayed, own_maps};

use super::{
    core::Core,
    packets::{BlockSpec, Wants},
    recording::MAX_CGROUPS,
    supply::{BLOCKS, KERNEL, SourceId},
    timers::Timers,
};
use crate::{
    record::{
        event::Event,
        read::{Next, Recording, RecordingError},
        remap::{Remap, moved, remap},
    },
    sink::Message,
    sys::Pair,
};
use std::{collections::BTreeMap, rc::Rc};
use weftrace_artifact::{
    abi::RecordHeader,
    action::StreamId,
    plan::{Unit, Way},
};
use weftrace_probes::packet::RawPacket;

/// Sources of a recording: devices, mostly.
const MAX_SOURCES: usize = 256;
/// No source loses more between two looks: sums of what is claimed must fit.
const MOST_LOST: u64 = 1 << 40;
/// Events between two looks at signals.
const BATCH: usize = 4096;
/// More than any run acted on between two wake-ups, or at its end.
const MOST: usize = 1 << 24;

/// A recording being replayed.
pub(crate) struct Replay {
    recording: Recording,
    specs: Vec<BlockSpec>,
    wants: Wants,
    /// By recorded stream; None: the script has none of that name.
    streams: Vec<Option<Remap>>,
    /// By recorded action, where the script is the recorded one: the script's; None: it has none there.
    actions: Vec<Option<u32>>,
    /// The same of probes, and of maps.
    probes: Vec<Option<u32>>,
    maps: Vec<Option<u32>>,
    /// What was done behind the end of the run, once it was read.
    behind: Option<Vec<script::Acted>>,
    /// Actions that the script has none for.
    strange: u64,
    sources: BTreeMap<u32, SourceId>,
    feeds: BTreeMap<u32, feeds::Feed>,
    /// Streams that the recorded run's kernel probes fed, and no probe here does.
    watched: Vec<StreamId>,
    /// Blocks of signals: (number, entry, probe).
    signals: Vec<(i32, u32, u32)>,
    /// The script is the one that was recorded, with the same arguments.
    same: bool,
    stopped: bool,
    ended: bool,
    end: Option<u64>,
    pub(crate) damaged: bool,
    pub(crate) packets: u64,
    pub(crate) last_time: u64,
}

impl Replay {
    pub(crate) fn new(recording: Recording, specs: &[BlockSpec], wants: Wants, same: bool) -> Self {
        Self {
            recording,
            specs: specs.to_vec(),
            wants,
            watched: Vec::new(),
            streams: Vec::new(),
            actions: Vec::new(),
            probes: Vec::new(),
            maps: Vec::new(),
            behind: None,
            strange: 0,
            sources: BTreeMap::new(),
            feeds: BTreeMap::new(),
            signals: Vec::new(),
            same,
            stopped: false,
            ended: false,
            end: None,
            damaged: false,
            packets: 0,
            last_time: 0,
        }
    }

    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// Ties the recording's streams to the script's.
    pub(super) fn register(&mut self, core: &mut Core) {
        let artifact = Rc::clone(&core.artifact);
        self.last_time = self.recording.run.start;
        self.streams = self.recording.run.streams.iter().map(|stream| remap(stream, &artifact)).collect();
        if let Some(compiled) = self.recording.compiled.as_ref().filter(|_| self.same) {
            self.actions = script::own_actions(&compiled.actions, &artifact);
            self.probes = script::own_probes(&compiled.probes, &artifact);
            self.maps = script::own_maps(&compiled.maps, &artifact);
        }
        let mut replayed =
            Replayed { recorded: vec![false; artifact.streams.len()], same: self.same, ..Replayed::default() };
        for remap in self.streams.iter().flatten() {
            let (Remap::Same(own) | Remap::Fields(own, ..)) = remap;
            replayed.recorded[own.0 as usize] = true;
        }
        replayed.by_source = artifact.probes.iter().map(|p| matches!(p.best.way, Way::Pcap { .. })).collect();
        replayed.by_time = artifact.probes.iter().map(|p| is_timed(&p.best.way)).collect();
        replayed.made = vec![false; artifact.streams.len()];
        let signal = |(i, plan): (u32, &weftrace_artifact::plan::ProbePlan)| match (&plan.best.way, plan.best.unit) {
            (Way::Signal { number }, Unit::Native(entry)) => Some((*number, entry, i)),
            _ => None,
        };
        self.signals = (0..).zip(&artifact.probes).filter_map(signal).collect();
        core.supply.replay();
        core.replayed = Some(Box::new(replayed));
    }

    /// Handles a batch of events. A run that is over (`exit()`, enough was printed) ends where the recorded one ended, if it did too.
    pub(crate) fn step(&mut self, core: &mut Core, timers: &mut Timers) {
        for n in 0.. {
            let event = match self.recording.next() {
                Ok(Next::Event(event)) => event,
                Ok(Next::Packet(raw, kept)) => {
                    self.packets += 1;
                    self.last_time = self.last_time.max(kept.boot);
                    let raw = RawPacket {
                        interface: kept.interface,
                        netns: kept.netns,
                        number: kept.number,
                        boot_ns: Some(kept.boot),
                        live: true,
                        ..raw
                    };
                    let owner = kept.owner.as_ref().map(|(pid, comm)| (*pid, &comm[..]));
                    if let Some(blocks) = self.feeds.get_mut(&kept.source).and_then(|feed| feed.blocks.as_mut()) {
                        blocks.recorded(&raw, owner, core);
                    }
                    continue;
                }
                Ok(Next::Foreign) => continue,
                Ok(Next::End) => return self.cut(core, None),
                Err(error) => return self.cut(core, Some(&error)),
            };
            let wake = matches!(event, Event::Wake);
            self.event(event, core, timers);
            // Where the recorded run stopped there is no wake-up, but what it did at its end.
            let stops = wake && !self.stopped && core.should_stop();
            // Signals are looked at in between, wherever that is. But what is to stop must come to the place where the recorded run did.
            let pauses = n > if core.should_stop() { MOST } else { BATCH };
            if self.ended || stops || pauses {
                return;
            }
        }
    }

    /// Nothing feeds a stream, or what isn't there `from` a time on may be missing.
    fn lacks(&self, stream: u32, from: Option<u64>, reason: &str, core: &mut Core) {
        match (self.own(stream), from) {
            (None, _) => {}
            (Some(own), None) => core.joins.unfed(own, reason),
            (Some(own), Some(from)) => core.joins.doubted(own, from, reason),
        }
    }

    fn event(&mut self, event: Event, core: &mut Core, timers: &mut Timers) {
        match event {
            Event::Source { id, kind, name, streams, interfaces, .. } => {
                self.source(id, (&kind, name), &streams, &interfaces, core);
            }
            Event::Clock { boot, wall, width, offset, zone } => {
                core.names.clock().add(Pair { boot, wall, width });
                core.names.clock().set_zone(offset, &zone);
                core.names.clock().take_steps();
            }
            Event::Record { stream, derived, time, payload } => self.record(stream, derived, time, &payload, core),
            Event::Mark { source, time } => {
                if let Some(id) = self.sources.get(&source) {
                    core.supply.set_mark(*id, time);
                    self.last_time = self.last_time.max(time);
                }
            }
            Event::Uncertain { source, ns } => self.uncertain(source, ns, core),
            Event::Advance => self.advance(core),
            Event::Lost { source, kind, from, to, count, streams } => {
                self.lost((&source, &kind), (from, to), count, &streams, core);
            }
            Event::Stalled { source, change, from, to } => {
                if let Some(id) = self.sources.get(&source).copied() {
                    let streams = core.supply.set_stalled(id, change != 2);
                    core.joins.stalled((from, to), &streams);
                }
            }
            Event::Unfed { stream, reason } => self.lacks(stream, None, &reason, core),
            Event::Doubted { stream, from, reason } => self.lacks(stream, Some(from), &reason, core),
            Event::TimersStart(time) => self.runs_since(time, core, timers),
            Event::Tick(time) => self.tick(time, core, timers),
            Event::PassTime { source, time } => {
                if let Some(blocks) = self.feeds.get_mut(&source).and_then(|feed| feed.blocks.as_mut()) {
                    blocks.pass_time(time, core);
                }
            }
            Event::Signal { number, time } => self.signal(number, time, core),
            Event::Said { level, text } => said(level, &text, core),
            Event::Stop => self.stopped = true,
            Event::SourceEnd(source) => {
                if let Some(blocks) = self.feeds.get_mut(&source).and_then(|feed| feed.blocks.as_mut()) {
                    blocks.finish(core);
                }
            }
            Event::End(time) => (self.end, self.ended) = (Some(time), true),
            Event::Cgroup { id, path } => {
                if core.cgroups.len() < MAX_CGROUPS {
                    core.cgroups.insert(id, path);
                }
            }
            Event::Action { action, probe, time, payload } => self.action((action, probe, time), &payload, core),
            told @ (Event::Read(_) | Event::Name(_)) => self.told_ahead(told, core),
            // What was printed and not emptied then is printed.
            Event::Wake => core.flush_pending(),
            Event::Run(_) | Event::Compiled(_) | Event::Result { .. } => {}
        }
    }

    /// All probes of the recorded run had been attached.
    fn runs_since(&self, time: u64, core: &mut Core, timers: &mut Timers) {
        core.runs_since(time, timers);
        self.watched.iter().for_each(|stream| core.joins.seen_from(*stream, time));
    }

    fn uncertain(&self, source: u32, ns: u64, core: &mut Core) {
        if let Some(id) = self.sources.get(&source) {
            core.supply.say_uncertainty(*id, ns);
        }
    }

    fn signal(&mut self, number: i32, time: u64, core: &mut Core) {
        let artifact = Rc::clone(&core.artifact);
        let by_block = artifact.probes.iter().any(|p| matches!(p.best.way, Way::Signal { number: n } if n == number));
        if number == libc::SIGUSR1 && !by_block {
            core.native.store_mut().pass(time);
            core.print_maps();
        }
        for (_, entry, probe) in self.signals.clone().into_iter().filter(|s| s.0 == number) {
            core.run(entry, probe, time);
        }
    }

    fn tick(&mut self, time: u64, core: &mut Core, timers: &mut Timers) {
        // No clock shows such times, and no timer would ever come to their end.
        if time > i64::MAX as u64 {
            self.damaged = true;
            return;
        }
        self.last_time = self.last_time.max(time);
        while let Some(due) = timers.due(time, false) {
            core.run(due.entry, due.probe, due.time);
            if core.should_stop() {
                break;
            }
        }
    }

    fn own(&self, stream: u32) -> Option<StreamId> {
        let (Remap::Same(own) | Remap::Fields(own, ..)) = self.streams.get(stream as usize)?.as_ref()?;
        Some(*own)
    }

    fn source(
        &mut self,
        id: u32,
        (kind, name): (&str, String),
        streams: &[u32],
        interfaces: &[String],
        core: &mut Core,
    ) {
        if self.sources.len() >= MAX_SOURCES || self.sources.contains_key(&id) {
            self.damaged = true;
            return;
        }
        let streams: Vec<StreamId> = streams.iter().filter_map(|s| self.own(*s)).collect();
        let own = match kind {
            "blocks" => BLOCKS,
            "kernel" => KERNEL,
            _ => core.supply.add_recorded(&name),
        };
        if let Some(replayed) = core.replayed.as_mut().filter(|_| own == BLOCKS) {
            for stream in &streams {
                replayed.made[stream.0 as usize] = true;
            }
        }
        if own == KERNEL {
            let told_here = |s: &StreamId| core.artifact.probes.iter().any(|probe| probe.emits.contains(s));
            self.watched.extend(streams.iter().filter(|s| !told_here(s)));
        }
        core.supply.feed(own, streams);
        self.sources.insert(id, own);
        if kind == "packets" {
            self.feed((id, own), name, interfaces, core);
        }
    }

    fn record(&mut self, stream: u32, derived: bool, time: u64, payload: &[u8], core: &mut Core) {
        let Some(remap) = self.streams.get(stream as usize).and_then(Option::as_ref) else { return };
        let (Remap::Same(own) | Remap::Fields(own, ..)) = remap;
        self.last_time = self.last_time.max(time);
        // What the script's own blocks make again isn't taken twice.
        if derived && core.makes(*own) {
            return;
        }
        let header = RecordHeader { action: u32::MAX, probe: u32::MAX, time };
        match remap {
            Remap::Same(own) if payload.len() >= core.artifact.streams[own.0 as usize].size as usize => {
                core.deliver(*own, header, payload);
            }
            Remap::Same(_) => self.damaged = true,
            Remap::Fields(own, size, fields) => {
                core.deliver(*own, header, &moved(payload, *size, fields));
            }
        }
    }

    /// The recording ends before its run did.
    fn cut(&mut self, core: &mut Core, error: Option<&RecordingError>) {
        (self.ended, self.damaged) = (true, true);
        let why = error.map_or_else(|| "the file ends".to_owned(), ToString::to_string);
        core.warn(&format!("{why}; the recording can be read up to there: what came before this was replayed"));
        if !self.stopped {
            for feed in self.feeds.values_mut() {
                if let Some(blocks) = &mut feed.blocks {
                    blocks.finish(core);
                }
            }
        }
    }

    /// The time of the end.
    pub(crate) fn finish(&mut self, core: &mut Core) -> u64 {
        self.tell_strange(core);
        self.finish_feeds(core);
        self.end.unwrap_or(self.last_time)
    }
}

fn said(level: u8, text: &str, core: &mut Core) {
    match (level, text.parse()) {
        (1, Ok(lost)) => core.say(&Message::LostEvents(lost)),
        (2, Ok(attached)) => core.say(&Message::Attached(attached as usize)),
        (0, _) => core.warn(text),
        _ => {}
    }
}

/// Whether time or a signal runs it, and no event.
fn is_timed(way: &Way) -> bool {
    matches!(way, Way::Interval { .. } | Way::Profile { .. } | Way::Signal { .. })
}

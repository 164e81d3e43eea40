//! Before the loop: BEGIN, attaching, saying what attached.

use super::{
    AttachFailure, ByHand, Running, SessionOptions,
    attach::{Attacher, NO_SOURCE, Taken, load_failure},
    together::Waiting,
};
use crate::{
    engine::{
        BlockSpec, Core, ExchangeBlock, InKernel, Origin, SocketFeed, TelemetryBlock, TelemetryFeed, Wants, now,
        open_feeds,
    },
    error::Error,
    record::{Recorded, event::Event},
    sink::Message,
    sys::Child,
    telemetry::{Arrivals, BindError, Wanted},
};
use std::{collections::BTreeSet, os::fd::RawFd, rc::Rc};
use tokio::runtime::Runtime;
use weftrace_artifact::{
    Artifact, Place,
    action::LogLevel,
    map::{MapId, Role},
    packet::needs,
    plan::{Attach, ProbePlan, Rate, Unit, Way},
};
use weftrace_probes::kernel::{
    Host,
    program::run_once,
    sys::{SyscallError, want_descriptors},
};

/// Why a kernel program doesn't run beside capture files.
const NOT_WITH_FILES: &str = "not run: packets are read from files";

/// Whether a probe is for this run: `--test` and `--bench` run theirs by hand, with BEGIN and END, and what joins say of the records that
/// they emit; nothing else.
fn wanted(options: &SessionOptions, index: u32, way: &Way) -> bool {
    let by_hand = match way {
        Way::Begin | Way::End => return true,
        Way::Join { .. } if options.by_hand.is_some() => return true,
        Way::Test { .. } => Some(ByHand::Tests),
        Way::Bench { .. } => Some(ByHand::Benchmarks),
        _ => None,
    };
    by_hand == options.by_hand && !options.left_out.contains(&index)
}

/// Whether a kernel program is run by us, not by an event of the kernel.
fn is_called_by_us(way: &Way) -> bool {
    matches!(way, Way::End | Way::Signal { .. } | Way::Test { .. } | Way::Bench { .. })
}

/// Blocks at one event run in the order of the script. The kernel runs some kinds in the order in which they were attached, others the
/// other way round: those come last, backwards.
fn attach_order(artifact: &Artifact) -> Vec<u32> {
    let backwards = |index: &u32| {
        matches!(
            artifact.probes[*index as usize].best.way,
            Way::Kprobe { ret: false, .. } | Way::Uprobe { .. } | Way::Usdt { .. } | Way::Fentry { .. }
        )
    };
    let all = 0..artifact.probes.len() as u32;
    all.clone().filter(|i| !backwards(i)).chain(all.rev().filter(backwards)).collect()
}

/// Descriptors that are no probe's: maps, output, what the host's files take for a moment.
const OTHERS: u64 = 256;

/// Lets the process hold what these probes take at most: a program, and a perf event and a link, on each CPU or once.
fn make_room(artifact: &Artifact, order: &[u32], host: &Host) {
    let cpus = host.online().len() as u64;
    let probes = order.iter().map(|i| match artifact.probes[*i as usize].best.way {
        Way::Profile { .. } | Way::Counter { .. } | Way::Watchpoint { .. } => 1 + 2 * cpus,
        _ => 3,
    });
    want_descriptors(probes.sum::<u64>() + OTHERS);
}

/// Tells a program that watches many system calls that one of them is a probe's.
fn select_syscall(core: &mut Core, attach: &Attach, probe: u32) -> Result<(), SyscallError> {
    let (Way::Syscall { number, .. }, Unit::Kernel(program)) = (&attach.way, attach.unit) else { return Ok(()) };
    let artifact = Rc::clone(&core.artifact);
    let is_table =
        |map: &MapId| artifact.maps.get(map.0 as usize).is_some_and(|spec| matches!(spec.role, Role::Syscalls { .. }));
    let maps = artifact.programs.get(program as usize).into_iter().flat_map(|p| p.map_relocs.iter().map(|r| r.map));
    match maps.into_iter().find(is_table) {
        Some(table) => core.native.store_mut().set(table, &number.to_ne_bytes(), &(probe + 1).to_ne_bytes()),
        None => Ok(()),
    }
}

impl Running {
    pub(super) fn run_begin(&mut self, options: &SessionOptions, host: &Host, start: u64) {
        let artifact = Rc::clone(&self.core.artifact);
        let maps = self.core.native.store().descriptors();
        for (index, plan) in artifact.probes.iter().enumerate().filter(|(_, p)| p.best.way == Way::Begin) {
            let index = index as u32;
            if options.dry_run {
                self.attached += 1;
                continue;
            }
            if options.refused.contains_key(&index) {
                continue;
            }
            match plan.best.unit {
                Unit::Native(entry) => {
                    // The clock of recorded packets has not moved on yet.
                    let time = if options.read.is_empty() && options.record.is_none() { now() } else { start };
                    self.core.run(entry, index, time);
                    self.attached += 1;
                }
                Unit::Kernel(_) if options.replay == Some(true) => {}
                Unit::Kernel(_) if !options.read.is_empty() => {
                    self.failures.push(AttachFailure::new(index, plan, &NOT_WITH_FILES));
                }
                Unit::Kernel(program) => {
                    let done = match self.sources.programs.load(&artifact, program, None, &maps, host) {
                        Ok(fd) => run_once(fd).map(drop).map_err(|e| AttachFailure::new(index, plan, &e)),
                        Err(e) => Err(load_failure(index, plan, &e)),
                    };
                    match done {
                        Ok(()) => self.attached += 1,
                        Err(failure) => self.failures.push(failure),
                    }
                    self.drain_ring();
                }
            }
        }
    }

    pub(super) fn attach_all(&mut self, options: &SessionOptions, host: &Host, recorded: Option<Recorded>) {
        let artifact = Rc::clone(&self.core.artifact);
        let maps = self.core.native.store().descriptors();
        let pid = options.pid.or(self.child.as_ref().map(Child::pid));
        let attacher = Attacher::new(&artifact, host, &maps, pid);
        let mut blocks: Vec<BlockSpec> = Vec::new();
        let mut order = attach_order(&artifact);
        order.retain(|i| wanted(options, *i, &artifact.probes[*i as usize].best.way));
        make_room(&artifact, &order, host);
        let mut not: BTreeSet<u32> = options.refused.keys().copied().collect();
        for (at, &index) in order.iter().enumerate() {
            if not.contains(&index) && !options.refused.contains_key(&index) {
                continue;
            }
            let waiting = Waiting { order: &order[at..], not: &not };
            if options.read.is_empty()
                && !not.contains(&index)
                && let Some((link, held)) = attacher.attach_many(&waiting, &mut self.sources.programs)
            {
                self.sources.links.push((index, link));
                self.attached += held.iter().filter(|i| !artifact.probes[**i as usize].further).count();
                self.note_session(&held);
                not.extend(held);
                continue;
            }
            let plan = &artifact.probes[index as usize];
            if let Some(why) = options.refused.get(&index) {
                self.failures.push(AttachFailure::refused(index, plan, why));
                continue;
            }
            match plan.best.unit {
                _ if plan.best.way == Way::Begin => {}
                Unit::Native(entry) => blocks.extend(self.attach_handler(entry, index, plan)),
                Unit::Kernel(program) if matches!(plan.best.way, Way::Pcap { .. }) => {
                    let in_kernel = options.replay.is_none() && self.core.recorder.is_none();
                    blocks.extend(self.attach_packets(in_kernel.then_some(program), index, plan));
                }
                // What it did is in the recording.
                Unit::Kernel(_) if options.replay == Some(true) => self.attached += usize::from(!plan.further),
                Unit::Kernel(_) if !options.read.is_empty() => {
                    self.failures.push(AttachFailure::new(index, plan, &NOT_WITH_FILES));
                }
                Unit::Kernel(program) if is_called_by_us(&plan.best.way) => {
                    match self.sources.programs.load(&artifact, program, None, &maps, host) {
                        Ok(_) => self.attached += 1,
                        Err(e) => self.failures.push(load_failure(index, plan, &e)),
                    }
                }
                Unit::Kernel(_) => self.attach_one(&attacher, index, plan),
            }
        }
        self.core.ask_of_sockets();
        self.open_packets(options, &blocks, (&maps, host), recorded);
        self.open_telemetry(options);
    }

    /// `--lateness` and `--uncertainty`, once all sources are known.
    pub(super) fn set_up_sources(&mut self, options: &SessionOptions) -> Result<(), Error> {
        let supply = &mut self.core.supply;
        for (name, ns) in &options.lateness {
            if !supply.set_lateness(name, *ns) {
                return Err(Error::NoSource { flag: "lateness", name: name.clone(), there: supply.names() });
            }
        }
        for (name, ns) in &options.uncertainty {
            if !supply.set_uncertainty(name, *ns) {
                return Err(Error::NoSource { flag: "uncertainty", name: name.clone(), there: supply.names() });
            }
        }
        Ok(())
    }

    /// A handler in user space at an event of ours; packets it gets from the block that is returned.
    fn attach_handler(&mut self, entry: u32, index: u32, plan: &ProbePlan) -> Option<BlockSpec> {
        match &plan.best.way {
            Way::End | Way::Signal { .. } | Way::Join { .. } => {}
            Way::Interval { ns } | Way::Profile { rate: Rate::PeriodNs(ns) } => self.timers.add(*ns, entry, index),
            Way::Profile { rate: Rate::Hz(hz) } => self.timers.add(1_000_000_000 / (*hz).max(1), entry, index),
            Way::Exchange { side, port } => {
                let block = ExchangeBlock { entry, probe: index, side: *side, port: *port };
                let artifact = &self.core.artifact;
                self.core.sockets.get_or_insert_with(|| Box::new(SocketFeed::new(artifact))).add(block);
            }
            Way::Telemetry { signal, service, name } => {
                let wanted = Wanted::new(*signal, service, name);
                self.telemetry.push(TelemetryBlock { entry, probe: index, wanted });
                return None;
            }
            Way::Pcap { interface, filter } => {
                return Some(BlockSpec {
                    entry,
                    probe: index,
                    interface: interface.clone(),
                    filter: filter.as_ref().map_or_else(String::new, |(text, _)| text.clone()),
                    parts: plan.packet_needs & needs::PARTS,
                    asks: plan.asks,
                    ends: plan.packet_needs & needs::FLOW_END != 0,
                    needs: plan.packet_needs,
                    program: None,
                });
            }
            _ => {
                self.failures.push(AttachFailure::new(index, plan, &NO_SOURCE));
                return None;
            }
        }
        self.attached += 1;
        None
    }

    /// A kernel program at an event of the kernel.
    fn attach_one(&mut self, attacher: &Attacher<'_>, index: u32, plan: &ProbePlan) {
        let (link, taken) = match attacher.attach(index, plan, &mut self.sources.programs) {
            Ok(done) => done,
            Err(failure) => return self.failures.push(failure),
        };
        if let Some(attach) = plan.ways().nth(taken.at)
            && let Err(error) = select_syscall(&mut self.core, attach, index)
        {
            return self.failures.push(AttachFailure::new(index, plan, &error));
        }
        // Without it events can be missed, which is counted.
        if let Some(Ok(twin)) = attacher.attach_twin(index, plan, &taken, &mut self.sources.programs) {
            self.sources.links.push((index, twin));
        }
        self.taken.push((index, taken));
        match &plan.best.way {
            Way::Iter { .. } => self.walks.push(link),
            Way::Watchpoint { address, .. } => self.core.watchpoints.push((*address, link)),
            _ => self.sources.links.push((index, link)),
        }
        self.attached += usize::from(!plan.further);
    }

    /// Keeps which probes a session holds; `held` may be those of another link.
    fn note_session(&mut self, held: &[u32]) {
        let other = |i: &u32| self.core.artifact.probes[*i as usize].session;
        self.in_sessions.extend(held.iter().copied().filter(|i| other(i).is_some_and(|other| held.contains(&other))));
    }

    /// Whether a probe was attached by one link together with the other end of its function.
    pub fn is_in_session(&self, probe: u32) -> bool {
        self.in_sessions.contains(&probe)
    }

    /// How a probe was attached, and why not in the ways before that one; None: by a link together with others, or not at all.
    pub fn taken(&self, probe: u32) -> Option<(&Way, &[String])> {
        let (_, taken) = self.taken.iter().find(|(index, _)| *index == probe)?;
        let plan = self.core.artifact.probes.get(probe as usize)?;
        Some((&plan.ways().nth(taken.at)?.way, &taken.instead_of))
    }

    /// Of the probes that could be attached in several ways, how they were.
    pub fn told_ways(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (index, taken) in &self.taken {
            let plan = &self.core.artifact.probes[*index as usize];
            let Some(way) = plan.ways().nth(taken.at).filter(|_| !plan.fallbacks.is_empty()) else { continue };
            let how = match (&way.way, way.unit) {
                (Way::Pcap { .. }, Unit::Kernel(_)) => "runs in the kernel, on the packet socket".to_owned(),
                (Way::Pcap { .. }, Unit::Native(_)) => "runs in user space".to_owned(),
                (way, _) => format!("attached by {}", way.describe()),
            };
            let mut line = format!("{}: {how}", plan.name);
            for why in &taken.instead_of {
                line += "; ";
                line += why;
            }
            lines.push(line);
        }
        lines
    }

    /// A packet block with a program: its handler gets what that leaves. What is recorded passes through user space, without it.
    fn attach_packets(&mut self, program: Option<u32>, index: u32, plan: &ProbePlan) -> Option<BlockSpec> {
        let handler = plan.fallbacks.iter().find_map(|a| match a.unit {
            Unit::Native(entry) => Some(entry),
            Unit::Kernel(_) => None,
        });
        let block = self.attach_handler(handler?, index, plan)?;
        Some(BlockSpec { program, ..block })
    }

    fn open_packets(
        &mut self,
        options: &SessionOptions,
        blocks: &[BlockSpec],
        (maps, host): (&[RawFd], &Host),
        recorded: Option<Recorded>,
    ) {
        let _inside = self.runtime.as_ref().map(Runtime::enter);
        let artifact = Rc::clone(&self.core.artifact);
        let wants = Wants {
            needs: blocks.iter().fold(0, |all, block| all | block.needs),
            community_id_seed: artifact.options.community_id_seed,
            capture: artifact.options.capture,
        };
        let programs = &mut self.sources.programs;
        let mut in_kernel = InKernel { artifact: &artifact, maps, host, programs, came_of_it: Vec::new() };
        let opened = open_feeds(options, blocks, wants, &mut in_kernel, recorded);
        for (index, came) in in_kernel.came_of_it {
            let not = came.err();
            if let Some(not) = not.as_ref().filter(|n| n.failed) {
                let plan = &artifact.probes[index as usize];
                let text = format!("{} runs in user space: {}", plan.name, not.why);
                let at = self.core.locate(plan.place);
                self.core.say(&Message::Log { level: LogLevel::Warning, text: text.as_bytes(), at: &at });
            }
            let at = usize::from(not.is_some());
            self.taken.push((index, Taken { at, instead_of: not.into_iter().map(|n| n.why).collect() }));
        }
        for (feed, probes) in opened {
            match feed {
                Ok(mut feed) => {
                    feed.register(&mut self.core, &probes);
                    self.sources.feeds.push(feed);
                    self.attached += probes.len();
                }
                Err(error) => {
                    for index in probes {
                        let plan = &artifact.probes[index as usize];
                        self.failures.push(AttachFailure::new(index, plan, &error));
                    }
                }
            }
        }
    }

    /// Opens what applications send to, or reads what they have sent.
    fn open_telemetry(&mut self, options: &SessionOptions) {
        let blocks = std::mem::take(&mut self.telemetry);
        if blocks.is_empty() {
            return;
        }
        // Over recordings without any of spans there are none, but what was recorded of their streams.
        if !options.read.is_empty() && (options.telemetry.lines.is_empty() || options.replay.is_some()) {
            self.attached += blocks.len();
            self.unheard.extend(blocks.iter().map(|b| b.probe));
            return;
        }
        let wanted: Vec<Wanted> = blocks.iter().map(|b| b.wanted.clone()).collect();
        let from = if options.read.is_empty() {
            Arrivals::bind(&options.telemetry, wanted).map(Origin::Live)
        } else {
            options.telemetry.read(&wanted).map(Origin::Recorded)
        };
        match from {
            Ok(from) => {
                self.attached += blocks.len();
                self.core.telemetry = Some(Box::new(TelemetryFeed::new(from, blocks, &mut self.core)));
            }
            Err(BindError { why, remedy }) => {
                let artifact = Rc::clone(&self.core.artifact);
                for block in blocks {
                    let plan = &artifact.probes[block.probe as usize];
                    let failure = AttachFailure::new(block.probe, plan, &why);
                    self.failures.push(AttachFailure { remedy: Some(remedy.clone()), ..failure });
                }
            }
        }
    }

    /// Whether no probe of an attach point, or wildcard, attached. (Of our own texts, which have no name, they are in programs that were found to
    /// run, and may have ended.)
    fn nothing_of(&self, place: Place) -> bool {
        if self.core.artifact.sources.get(place.file as usize).is_some_and(|(name, _)| name.is_empty()) {
            return false;
        }
        let of = self.core.artifact.probes.iter().filter(|plan| plan.place == place).count();
        self.failures.iter().filter(|f| f.place == place).count() == of
    }

    pub(super) fn tell_attached(&mut self, options: &SessionOptions) -> Result<(), Error> {
        self.failures.sort_by_key(|f| f.index);
        if options.strict
            && let Some(failure) = self.failures.iter().find(|f| !f.wildcard || self.nothing_of(f.place))
        {
            let AttachFailure { probe, why, remedy, place, .. } = failure.clone();
            return Err(Error::Attach { probe, why, remedy, place });
        }
        for failure in std::mem::take(&mut self.failures) {
            let at = self.core.locate(failure.place);
            let (probe, why, remedy) = (failure.probe.as_str(), failure.why.as_str(), failure.remedy.as_deref());
            self.core.say(&Message::NotAttached { probe, why, remedy, at: &at });
            self.failures.push(failure);
        }
        let failed: Vec<u32> = self.failures.iter().map(|f| f.index).collect();
        let core = &mut self.core;
        let replayed = core.replayed.as_ref();
        let fed = |stream| replayed.is_some_and(|replayed| replayed.has(stream));
        for (stream, reason) in core.joins.tell_unfed(&core.artifact, &failed, &self.unheard, fed) {
            core.note(|| Event::Unfed { stream: stream.0, reason: reason.to_owned() });
        }
        for (stream, reason) in core.joins.tell_partly_fed(&core.artifact, &failed) {
            core.note(|| Event::Doubted { stream: stream.0, from: 0, reason: reason.to_owned() });
        }
        // A dry run leaves BEGIN out, and that may be all that there is.
        // And joins may have all of their streams from a recording.
        let may_be_none = (options.dry_run && self.failures.is_empty()) || options.replay.is_some();
        if self.attached == 0 && !may_be_none {
            self.core.flush();
            return Err(Error::NothingAttached(std::mem::take(&mut self.failures)));
        }
        if !options.dry_run && options.replay != Some(true) {
            let attached = self.attached;
            self.core.note(|| Event::Said { level: 2, text: attached.to_string() });
            self.core.say(&Message::Attached(attached));
        }
        self.core.flush();
        Ok(())
    }
}

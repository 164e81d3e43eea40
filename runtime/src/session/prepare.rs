//! Before the loop: BEGIN, attaching, saying what attached.

use super::{
    AttachFailure, ByHand, Running, SessionOptions,
    attach::{Attacher, NO_SOURCE, load_failure},
};
use crate::{
    engine::{BlockSpec, Core, now, open_feeds},
    error::Error,
    sink::Message,
    sys::Child,
};
use std::rc::Rc;
use tokio::runtime::Runtime;
use weftrace_artifact::{
    Artifact, Place,
    map::{MapId, Role},
    plan::{Attach, ProbePlan, Rate, Unit, Way},
};
use weftrace_probes::kernel::{
    Host,
    program::run_once,
    sys::{SyscallError, want_descriptors},
};

/// Why a kernel program doesn't run beside capture files.
const NOT_WITH_FILES: &str = "not run: packets are read from files";

/// Whether a probe is for this run: `--test` and `--bench` run theirs by hand, with BEGIN and END, and nothing else.
fn wanted(options: &SessionOptions, index: u32, way: &Way) -> bool {
    let by_hand = match way {
        Way::Begin | Way::End => return true,
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
                    let time = if options.read.is_empty() { now() } else { start };
                    self.core.run(entry, index, time);
                    self.attached += 1;
                }
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

    pub(super) fn attach_all(&mut self, options: &SessionOptions, host: &Host) {
        let artifact = Rc::clone(&self.core.artifact);
        let maps = self.core.native.store().descriptors();
        let pid = options.pid.or(self.child.as_ref().map(Child::pid));
        let attacher = Attacher::new(&artifact, host, &maps, pid);
        let mut blocks: Vec<BlockSpec> = Vec::new();
        let mut order = attach_order(&artifact);
        order.retain(|i| wanted(options, *i, &artifact.probes[*i as usize].best.way));
        make_room(&artifact, &order, host);
        let mut at = 0;
        while let Some(&index) = order.get(at) {
            if options.read.is_empty()
                && let Some((link, count)) = attacher.attach_many(&order[at..], &mut self.sources.programs)
            {
                self.sources.links.push((index, link));
                let further = |i: &&u32| artifact.probes[**i as usize].further;
                self.attached += count - order[at..at + count].iter().filter(further).count();
                at += count;
                continue;
            }
            at += 1;
            let plan = &artifact.probes[index as usize];
            if let Some(why) = options.refused.get(&index) {
                self.failures.push(AttachFailure::refused(index, plan, why));
                continue;
            }
            match plan.best.unit {
                _ if plan.best.way == Way::Begin => {}
                Unit::Native(entry) => blocks.extend(self.attach_handler(entry, index, plan)),
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
        self.open_packets(options, &blocks);
    }

    /// A handler in user space at an event of ours; packets it gets from the block that is returned.
    fn attach_handler(&mut self, entry: u32, index: u32, plan: &ProbePlan) -> Option<BlockSpec> {
        match &plan.best.way {
            Way::End | Way::Signal { .. } | Way::Join { .. } => {}
            Way::Interval { ns } | Way::Profile { rate: Rate::PeriodNs(ns) } => self.timers.add(*ns, entry, index),
            Way::Profile { rate: Rate::Hz(hz) } => self.timers.add(1_000_000_000 / (*hz).max(1), entry, index),
            Way::Pcap { interface, filter } => {
                return Some(BlockSpec {
                    entry,
                    probe: index,
                    interface: interface.clone(),
                    filter: filter.as_ref().map_or_else(String::new, |(text, _)| text.clone()),
                    parts: plan.packet_needs & weftrace_artifact::packet::needs::HTTP != 0,
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
        self.taken.push((index, taken));
        match &plan.best.way {
            Way::Iter { .. } => self.walks.push(link),
            Way::Watchpoint { address, .. } => self.core.watchpoints.push((*address, link)),
            _ => self.sources.links.push((index, link)),
        }
        self.attached += usize::from(!plan.further);
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
            let mut line = format!("{}: attached by {}", plan.name, way.way.describe());
            for why in &taken.instead_of {
                line += "; ";
                line += why;
            }
            lines.push(line);
        }
        lines
    }

    fn open_packets(&mut self, options: &SessionOptions, blocks: &[BlockSpec]) {
        let _inside = self.runtime.as_ref().map(Runtime::enter);
        let artifact = Rc::clone(&self.core.artifact);
        let opened = open_feeds(options, blocks, artifact.packet_needs);
        for (feed, probes) in opened {
            match feed {
                Ok(feed) => {
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

    /// Whether no probe of an attach point, or wildcard, attached.
    fn nothing_of(&self, place: Place) -> bool {
        let of = self.core.artifact.probes.iter().filter(|plan| plan.place == place).count();
        self.failures.iter().filter(|f| f.place == place).count() == of
    }

    pub(super) fn tell_attached(&mut self, options: &SessionOptions) -> Result<(), Error> {
        self.failures.sort_by_key(|f| f.index);
        if options.strict
            && let Some(failure) = self.failures.iter().find(|f| !f.wildcard || self.nothing_of(f.place))
        {
            let (probe, why, remedy) = (failure.probe.clone(), failure.why.clone(), failure.remedy.clone());
            return Err(Error::Attach { probe, why, remedy });
        }
        for failure in std::mem::take(&mut self.failures) {
            let at = self.core.locate(failure.place);
            let (probe, why, remedy) = (failure.probe.as_str(), failure.why.as_str(), failure.remedy.as_deref());
            self.core.say(&Message::NotAttached { probe, why, remedy, at: &at });
            self.failures.push(failure);
        }
        let failed: Vec<u32> = self.failures.iter().map(|f| f.index).collect();
        self.core.joins.tell_unfed(&self.core.artifact, &failed);
        // A dry run leaves BEGIN out, and that may be all that there is.
        if self.attached == 0 && !(options.dry_run && self.failures.is_empty()) {
            self.core.flush();
            return Err(Error::NothingAttached(std::mem::take(&mut self.failures)));
        }
        if !options.dry_run {
            self.core.say(&Message::Attached(self.attached));
        }
        self.core.flush();
        Ok(())
    }
}

//! The run: attach, loop, end.

use super::{
    AttachFailure, Parts, Programs, Session, SessionOptions,
    attach::{Attacher, load_failure},
    write_start,
};
use crate::{
    child::{Child, pidfd_open},
    engine::{
        BlockSpec, Core, Feed, StopHandle, Timers, Waits, Wake, finish, first_packet_time, now, open_feeds, tell_joins,
    },
    error::Error,
    losses::Lost,
    ring::Ring,
    sink::{Message, Sink},
    stats::Cost,
};
use std::{
    future::poll_fn,
    os::fd::AsFd,
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::runtime::Runtime;
use weftrace_artifact::plan::{Rate, Unit, Way};
use weftrace_probes::kernel::{Host, Link, program::run_once, sys::enable_stats};

/// What produces events, and what they run by.
pub(crate) struct Sources {
    pub(crate) links: Vec<Link>,
    pub(crate) programs: Programs,
    pub(crate) ring: Option<Ring>,
    pub(crate) feeds: Vec<Feed>,
    pub(crate) cost: bool,
    pub(crate) print_maps: bool,
    /// When the joins were last told of losses, CLOCK_BOOTTIME ns.
    pub(crate) losses_since: u64,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// `exit()` in the script.
    Exit,
    Signal(i32),
    /// The child of `-c` or the process of `-p` ended.
    ProcessEnded,
    Deadline,
    Count,
    /// All files were read, or there was nothing to wait for.
    NothingLeft,
    /// [`StopHandle::stop`]
    Stopped,
    /// Nobody reads the output any more.
    OutputClosed,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub ended: Ended,
    /// `exit(code)` in the script; 0 otherwise.
    pub exit_code: i64,
    /// Records that were acted on.
    pub delivered: u64,
    pub lost: Vec<Lost>,
    /// By probe, dearest first, if asked for.
    pub cost: Vec<Cost>,
    /// A capture file was damaged.
    pub damaged: bool,
    /// Packets read from files.
    pub packets: u64,
    /// Wait status of the child of `-c`, if it has ended.
    pub child_status: Option<i32>,
}

/// Attached.
pub struct Running {
    core: Core,
    sources: Sources,
    timers: Timers,
    waits: Waits,
    child: Option<Child>,
    failures: Vec<AttachFailure>,
    attached: usize,
    /// Blocks of signals: (number, entry, probe).
    signals: Vec<(i32, u32, u32)>,
    /// Kept while statistics are counted.
    _stats: Option<std::os::fd::OwnedFd>,
    told_losses: Instant,
    next_tick: Instant,
    // Last: descriptors that are registered with it go first.
    runtime: Option<Runtime>,
}

/// How often watermarks advance while nothing happens.
const TICK: Duration = Duration::from_millis(100);
/// Events of one time may be seen this far apart.
const DISORDER_NS: u64 = 10_000_000;
/// Records handled between two looks at signals and timers.
const RING_BATCH: u64 = 16 * 1024;
/// How often new losses are told.
const LOSSES_EVERY: Duration = Duration::from_secs(1);

impl Running {
    pub(super) fn start(session: Session, sink: Box<dyn Sink>) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().map_err(Error::Loop)?;
        let inside = runtime.enter();
        let (core, parts) = session.into_core(sink)?;
        let Parts { options, host, ring, child } = parts;
        let stats = if options.cost { enable_stats().ok() } else { None };
        let sources = Sources {
            links: Vec::new(),
            programs: Programs::default(),
            ring,
            feeds: Vec::new(),
            cost: options.cost,
            print_maps: options.print_maps,
            losses_since: now(),
        };
        let artifact = Rc::clone(&core.artifact);
        let signals = artifact.probes.iter().enumerate().filter_map(|(i, p)| match (&p.ways[..], p.unit) {
            ([Way::Signal { number }, ..], Unit::Native(entry)) => Some((*number, entry, i as u32)),
            _ => None,
        });
        let signals: Vec<_> = signals.collect();
        let numbers: Vec<i32> = signals.iter().map(|s| s.0).collect();
        let waits = Waits::new(sources.ring.as_ref(), &numbers, options.run_for)?;
        drop(inside);
        let mut running = Self {
            core,
            sources,
            timers: Timers::default(),
            waits,
            child,
            failures: Vec::new(),
            attached: 0,
            signals,
            _stats: stats,
            told_losses: Instant::now(),
            next_tick: Instant::now(),
            runtime: Some(runtime),
        };
        running.prepare(&options, &host)?;
        Ok(running)
    }

    fn prepare(&mut self, options: &SessionOptions, host: &Host) -> Result<(), Error> {
        let start = match options.read.is_empty() {
            true => now(),
            false => first_packet_time(&options.read).unwrap_or(0),
        };
        write_start(&mut self.core, start)?;
        self.run_begin(host, start);
        self.attach_all(options, host);
        self.tell_attached(options)?;
        let _inside = self.runtime.as_ref().map(Runtime::enter);
        if let Some(pid) = options.pid {
            let fd = pidfd_open(pid as libc::pid_t).map_err(|_| Error::NoProcess(pid))?;
            self.waits.watch_process(fd.as_fd())?;
        }
        if let Some(child) = &mut self.child {
            self.waits.watch_process(child.as_fd())?;
            child.start()?;
        }
        if options.read.is_empty() {
            self.timers.start(now());
        }
        Ok(())
    }

    fn run_begin(&mut self, host: &Host, start: u64) {
        let artifact = Rc::clone(&self.core.artifact);
        let maps = self.core.native.store().descriptors();
        for (index, plan) in artifact.probes.iter().enumerate().filter(|(_, p)| p.ways.contains(&Way::Begin)) {
            let index = index as u32;
            match plan.unit {
                Unit::Native(entry) => {
                    self.core.run(entry, index, start);
                    self.attached += 1;
                }
                Unit::Kernel(program) => {
                    let done = match self.sources.programs.load(&artifact, program, None, &maps, host) {
                        Ok(fd) => run_once(fd).map(drop).map_err(|e| AttachFailure::new(index, plan, e)),
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

    fn attach_all(&mut self, options: &SessionOptions, host: &Host) {
        let artifact = Rc::clone(&self.core.artifact);
        let maps = self.core.native.store().descriptors();
        let attacher = Attacher::new(&artifact, host, &maps);
        let mut blocks: Vec<BlockSpec> = Vec::new();
        for (index, plan) in artifact.probes.iter().enumerate() {
            let index = index as u32;
            match (plan.unit, plan.ways.first()) {
                (_, Some(Way::Begin)) => {}
                (Unit::Native(_), Some(Way::End | Way::Signal { .. } | Way::Join { .. })) => self.attached += 1,
                (Unit::Native(entry), Some(Way::Interval { ns } | Way::Profile { rate: Rate::PeriodNs(ns) })) => {
                    self.timers.add(*ns, entry, index);
                    self.attached += 1;
                }
                (Unit::Native(entry), Some(Way::Profile { rate: Rate::Hz(hz) })) => {
                    self.timers.add(1_000_000_000 / (*hz).max(1), entry, index);
                    self.attached += 1;
                }
                (Unit::Native(entry), Some(Way::Pcap { interface, filter })) => blocks.push(BlockSpec {
                    entry,
                    probe: index,
                    interface: interface.clone(),
                    filter: filter.as_ref().map_or_else(String::new, |(text, _)| text.clone()),
                    parts: plan.packet_needs & weftrace_artifact::packet::needs::HTTP != 0,
                }),
                (Unit::Native(_), _) => self.failures.push(AttachFailure::new(index, plan, "it has no source of events")),
                (Unit::Kernel(_), _) if !options.read.is_empty() => {
                    self.failures.push(AttachFailure::new(index, plan, "not run: packets are read from files"));
                }
                (Unit::Kernel(program), Some(Way::End)) => {
                    match self.sources.programs.load(&artifact, program, None, &maps, host) {
                        Ok(_) => self.attached += 1,
                        Err(e) => self.failures.push(load_failure(index, plan, &e)),
                    }
                }
                (Unit::Kernel(program), _) => match attacher.attach(index, plan, program, &mut self.sources.programs) {
                    Ok(link) => {
                        self.sources.links.push(link);
                        self.attached += 1;
                    }
                    Err(failure) => self.failures.push(failure),
                },
            }
        }
        self.open_packets(options, &blocks);
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

    fn tell_attached(&mut self, options: &SessionOptions) -> Result<(), Error> {
        self.failures.sort_by_key(|f| f.index);
        if options.strict
            && let Some(failure) = self.failures.iter().find(|f| !f.wildcard)
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
        if self.attached == 0 {
            self.core.flush();
            return Err(Error::NothingAttached);
        }
        self.core.say(&Message::Attached(self.attached));
        self.core.flush();
        Ok(())
    }

    /// Probes that did not attach.
    pub fn failures(&self) -> &[AttachFailure] {
        &self.failures
    }

    /// Probes that run.
    pub fn attached(&self) -> usize {
        self.attached
    }

    /// Ends the run from another thread.
    pub fn stop_handle(&self) -> StopHandle {
        self.waits.stop_handle()
    }

    /// Runs to the end: a signal, `exit()`, the end of the child or the files, a limit.
    pub fn run(mut self) -> Result<Outcome, Error> {
        let runtime = self.runtime.take();
        let ended = match &runtime {
            Some(runtime) if !self.core.should_stop() && self.can_wait() => runtime.block_on(self.event_loop()),
            _ => self.reason(),
        };
        let cost = finish(&mut self.core, &mut self.sources);
        let (mut damaged, mut packets) = (false, 0);
        for feed in &self.sources.feeds {
            if let Feed::Files(files) = feed {
                damaged |= files.damaged;
                packets += files.packets;
            }
        }
        let outcome = Outcome {
            ended: if self.core.output.is_some() { Ended::OutputClosed } else { ended },
            exit_code: self.core.exit.unwrap_or(0),
            delivered: self.core.delivered,
            lost: self.core.losses.rows(),
            cost,
            damaged,
            packets,
            child_status: self.child.as_mut().and_then(Child::ended),
        };
        let output = self.core.output.take();
        drop(self);
        drop(runtime);
        match output {
            Some(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Error::Output(error)),
            _ => Ok(outcome),
        }
    }

    /// Only BEGIN and END: there is nothing to wait for.
    fn can_wait(&self) -> bool {
        !self.sources.links.is_empty()
            || !self.sources.feeds.is_empty()
            || self.timers.next().is_some()
            || !self.signals.is_empty()
            || self.child.is_some()
    }

    fn reason(&self) -> Ended {
        if self.core.exit.is_some() {
            Ended::Exit
        } else if self.core.output.is_some() {
            Ended::OutputClosed
        } else if self.core.should_stop() {
            Ended::Count
        } else {
            Ended::NothingLeft
        }
    }

    async fn event_loop(&mut self) -> Ended {
        loop {
            self.set_timer();
            let Self { waits, sources, .. } = self;
            let wake = poll_fn(|cx| waits.poll(cx, &mut sources.feeds)).await;
            if let Some(ended) = self.handle(wake) {
                return ended;
            }
            self.core.flush();
            if self.core.should_stop() || self.files_ended() {
                return self.reason();
            }
            // Sources that are always ready must not keep signals from being seen.
            tokio::task::yield_now().await;
        }
    }

    fn handle(&mut self, wake: Wake) -> Option<Ended> {
        match wake {
            Wake::Stop => return Some(Ended::Stopped),
            Wake::Deadline => return Some(Ended::Deadline),
            Wake::ProcessEnded => return Some(Ended::ProcessEnded),
            Wake::Signal(number) => return self.signal(number),
            Wake::Ring => drop(self.drain_ring()),
            Wake::Timer => self.run_timers(),
            Wake::Packets(i) => match self.sources.feeds.get_mut(i) {
                Some(Feed::Files(files)) => files.step(&mut self.core, &mut self.timers),
                #[cfg(feature = "live")]
                Some(Feed::Live(live)) => {
                    let more = live.step(&mut self.core);
                    self.waits.packets_now[i] = more;
                }
                None => {}
            },
        }
        None
    }

    fn signal(&mut self, number: i32) -> Option<Ended> {
        let blocks: Vec<_> = self.signals.iter().filter(|s| s.0 == number).copied().collect();
        for (_, entry, probe) in &blocks {
            self.core.run(*entry, *probe, now());
        }
        match number {
            libc::SIGINT | libc::SIGTERM => Some(Ended::Signal(number)),
            libc::SIGUSR1 if blocks.is_empty() => {
                self.core.print_maps();
                None
            }
            _ => None,
        }
    }

    /// Whether everything up to now has been acted on.
    fn drain_ring(&mut self) -> bool {
        let Some(ring) = &mut self.sources.ring else { return true };
        let before = now();
        let used = ring.pending();
        let core = &mut self.core;
        let mut left = RING_BATCH;
        let drained = ring.drain(|record| {
            core.record(record);
            left -= 1;
            left > 0
        });
        let (quarter, half) = (ring.size() as u64 / 4, ring.size() as u64 / 2);
        self.waits.ring_drained(drained.records, drained.more, used > quarter);
        if used > half {
            self.tell_losses();
        }
        let done = left > 0 && !drained.busy;
        if done && self.sources.feeds.is_empty() {
            self.core.watermark(before.saturating_sub(DISORDER_NS));
        }
        done
    }

    fn run_timers(&mut self) {
        let time = now();
        // What happened before the tick is acted on before it.
        let mut done = self.drain_ring();
        while let Some(due) = self.timers.due(time, false) {
            self.core.run(due.entry, due.probe, due.time);
            if self.core.should_stop() {
                return;
            }
        }
        if !self.has_streams() || Instant::now() < self.next_tick {
            return;
        }
        self.next_tick = Instant::now() + TICK;
        for feed in &mut self.sources.feeds {
            match feed {
                Feed::Files(_) => done = false,
                #[cfg(feature = "live")]
                Feed::Live(live) => done &= !live.step(&mut self.core),
            }
        }
        self.tell_losses();
        if done {
            self.core.watermark(time.saturating_sub(DISORDER_NS));
        }
    }

    fn has_streams(&self) -> bool {
        !self.core.joins.is_empty() || self.core.consumer.is_some()
    }

    fn set_timer(&mut self) {
        if self.sources.feeds.iter().any(|f| matches!(f, Feed::Files(_))) {
            self.waits.timer = None;
            return;
        }
        let due = self.timers.next().map(|at| Instant::now() + Duration::from_nanos(at.saturating_sub(now())));
        let tick = self.has_streams().then_some(self.next_tick);
        self.waits.timer = [due, tick].into_iter().flatten().min();
    }

    fn tell_losses(&mut self) {
        if self.told_losses.elapsed() < LOSSES_EVERY {
            return;
        }
        self.told_losses = Instant::now();
        let lost = tell_joins(&mut self.core, &mut self.sources);
        if lost > 0 {
            self.core.say(&Message::LostEvents(lost));
        }
    }

    fn files_ended(&self) -> bool {
        let mut files = self.sources.feeds.iter().filter_map(|f| match f {
            Feed::Files(files) => Some(files),
            #[cfg(feature = "live")]
            Feed::Live(_) => None,
        });
        files.next().is_some_and(|files| files.ended())
    }
}

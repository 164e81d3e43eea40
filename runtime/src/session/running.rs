//! The run: attach, loop, end.

use super::{
    AttachFailure, ByHand, Parts, Privileges, Programs, Session, SessionOptions, attach::Taken, progress::Progress,
    unique::Unique, write_names, write_probes, write_start,
};
use crate::{
    alert::AlertCounts,
    engine::{Core, Feed, StopHandle, TelemetryBlock, Timers, Waits, finish, now},
    error::Error,
    losses::Lost,
    record::{Recorded, event::Event},
    sink::{Message, Sink},
    stats::Cost,
    sys::{Child, Ring, interrupt, pidfd_open},
};
use std::{
    collections::BTreeSet,
    io::{self, ErrorKind},
    os::fd::AsFd,
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::runtime::Runtime;
use weftrace_artifact::{
    Place,
    action::LogLevel,
    plan::{Unit, Way},
};
use weftrace_probes::kernel::{Host, Link, sys::enable_stats};
use weftrace_probes::packet::source::first_packet_time;

/// What produces events, and what they run by.
pub(crate) struct Sources {
    /// Each with the first probe that it is for.
    pub(crate) links: Vec<(u32, Link)>,
    pub(crate) programs: Programs,
    pub(crate) ring: Option<Ring>,
    pub(crate) feeds: Vec<Feed>,
    pub(crate) cost: bool,
    pub(crate) print_maps: bool,
}

/// Between two looks at the ring while an iterator is walked.
const WALK_PATIENCE: Duration = Duration::from_micros(200);

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
    pub alerts: AlertCounts,
    /// A capture file was damaged.
    pub damaged: bool,
    /// A recording ends before its run did: it could not be written on.
    pub unrecorded: bool,
    /// Packets read from files.
    pub packets: u64,
    /// Wait status of the child of `-c`, if it has ended.
    pub child_status: Option<i32>,
}

/// Attached.
pub struct Running {
    pub(super) core: Core,
    pub(super) sources: Sources,
    pub(super) timers: Timers,
    pub(super) waits: Waits,
    pub(super) child: Option<Child>,
    pub(super) failures: Vec<AttachFailure>,
    /// By which way a probe was attached, for each that attached by itself.
    pub(super) taken: Vec<(u32, Taken)>,
    /// Blocks at spans or log records.
    pub(super) telemetry: Vec<TelemetryBlock>,
    /// Probes that run but have no source here.
    pub(super) unheard: Vec<u32>,
    /// Those that a link holds together with the other end of their function.
    pub(super) in_sessions: BTreeSet<u32>,
    /// Whether functions that were named are the only ones of their name.
    pub(super) unique: Option<Unique>,
    pub(super) attached: usize,
    /// Iterators that attached, not walked yet.
    pub(super) walks: Vec<Link>,
    /// Blocks of signals: (number, unit, probe).
    pub(super) signals: Vec<(i32, Unit, u32)>,
    /// Of `--test` or `--bench`; None: neither.
    by_hand: Option<ByHand>,
    pub(super) left_out: BTreeSet<u32>,
    /// Kept while statistics are counted.
    pub(super) _stats: Option<std::os::fd::OwnedFd>,
    pub(super) told_losses: Instant,
    /// How far the ring was read.
    pub(super) progress: Progress,
    /// Known to the joins, not yet said.
    pub(super) untold_losses: u64,
    /// Marks of all sources when it was last looked whether any stands still.
    pub(super) marks_seen: Vec<u64>,
    pub(super) privileges: Privileges,
    pub(super) next_tick: Instant,
    /// When losses of live packets were last told.
    pub(super) told_drops: Instant,
    /// When maps were last looked through for what has ended.
    pub(super) swept: Instant,
    // Last: descriptors that are registered with it go first.
    pub(super) runtime: Option<Runtime>,
}

impl Running {
    pub(super) fn start(session: Session, sink: Box<dyn Sink>) -> Result<Self, Error> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().map_err(Error::Loop)?;
        let inside = runtime.enter();
        let (core, parts) = session.into_core(sink)?;
        let Parts { options, host, ring, child, privileges, recorded } = parts;
        let stats = if options.cost { enable_stats().ok() } else { None };
        let sources = Sources {
            links: Vec::new(),
            programs: Programs::default(),
            ring,
            feeds: Vec::new(),
            cost: options.cost,
            print_maps: options.print_maps,
        };
        let artifact = Rc::clone(&core.artifact);
        let signals = artifact.probes.iter().enumerate().filter_map(|(i, p)| match (&p.best.way, p.best.unit) {
            (Way::Signal { number }, unit) => Some((*number, unit, i as u32)),
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
            taken: Vec::new(),
            telemetry: Vec::new(),
            unheard: Vec::new(),
            in_sessions: BTreeSet::new(),
            unique: None,
            attached: 0,
            walks: Vec::new(),
            signals,
            by_hand: options.by_hand,
            left_out: options.left_out.clone(),
            _stats: stats,
            told_losses: Instant::now(),
            progress: Progress::default(),
            untold_losses: 0,
            marks_seen: Vec::new(),
            privileges,
            next_tick: Instant::now(),
            told_drops: Instant::now(),
            swept: Instant::now(),
            runtime: Some(runtime),
        };
        running.prepare(&options, &host, recorded)?;
        Ok(running)
    }

    fn prepare(&mut self, options: &SessionOptions, host: &Host, mut recorded: Option<Recorded>) -> Result<(), Error> {
        let start = match (&options.read[..], options.replay) {
            ([], _) => now(),
            (_, Some(own)) => recorded.as_mut().map_or(0, |recorded| self.core.begin_replay(recorded, own)),
            (files, _) => first_packet_time(files).unwrap_or(0),
        };
        if let Some(record) = &options.record {
            self.core
                .begin_recording(record, start)
                .map_err(|e| Error::Recording(format!("{}: {e}", record.path.display())))?;
        }
        // Recorded times are the wall clock's already.
        let wall = if options.read.is_empty() { crate::sys::now(libc::CLOCK_REALTIME).wrapping_sub(now()) } else { 0 };
        write_start(&mut self.core, start, wall as i64)?;
        write_names(&mut self.core)?;
        write_probes(&mut self.core)?;
        self.run_begin(options, host, start);
        self.attach_all(options, host, recorded);
        self.core.open_nat(options);
        self.tell_attached(options)?;
        self.set_up_sources(options)?;
        let _inside = self.runtime.as_ref().map(Runtime::enter);
        if let Some(pid) = options.pid {
            let fd = pidfd_open(pid as libc::pid_t).map_err(|_| Error::NoProcess(pid))?;
            self.waits.watch_process(fd.as_fd())?;
        }
        // All that the command does is within the run.
        let time = now();
        if let Some(child) = &mut self.child {
            self.waits.watch_process(child.as_fd())?;
            // A signal while BEGIN ran ends the run before the command begins.
            if interrupt::signal().is_none() {
                child.start()?;
            }
        }
        if options.read.is_empty() {
            self.core.note(|| Event::TimersStart(time));
            // What tests make up has whatever times they give it.
            if options.by_hand.is_some() {
                self.timers.start(time);
            } else {
                self.core.runs_since(time, &mut self.timers);
            }
        }
        self.privileges.give_up(self.core.native.store(), self.child.is_some());
        if let Some(Err(error)) = &self.privileges.shed {
            let text = format!("privileges could not be given up: {error}");
            let at = self.core.locate(Place::default());
            self.core.say(&Message::Log { level: LogLevel::Warning, text: text.as_bytes(), at: &at });
        }
        self.core.names.start_watching();
        // Threads have the privileges of the one that makes them.
        if let Some(feed) = &mut self.core.telemetry {
            feed.start().map_err(Error::Loop)?;
        }
        if let Some(feed) = &mut self.core.metrics {
            feed.start().map_err(Error::Loop)?;
        }
        if let Some(otlp) = &mut self.core.otlp {
            otlp.start();
        }
        Ok(())
    }

    /// Probes that did not attach.
    pub fn failures(&self) -> &[AttachFailure] {
        &self.failures
    }

    /// What became of the privileges that it started with.
    pub fn privileges(&self) -> &Privileges {
        &self.privileges
    }

    /// Where it listens for spans and log records.
    pub fn listens(&self) -> &[String] {
        self.core.telemetry.as_ref().map_or(&[], |feed| feed.places())
    }

    /// Where it offers metrics.
    pub fn metrics_at(&self) -> Option<String> {
        self.core.metrics.as_ref().map(|feed| feed.url())
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
        // Here, where privileges have been dropped: a thread would keep its own.
        self.ask_unique();
        self.walk_iterators();
        let failed = self.by_hand.is_some_and(|what| !self.run_by_hand(what));
        let runtime = self.runtime.take();
        let ended = match &runtime {
            Some(runtime) if !self.core.should_stop() && self.can_wait() => runtime.block_on(self.event_loop()),
            _ => self.reason(),
        };
        interrupt::taken();
        let impatient = matches!(ended, Ended::Signal(_));
        let cost = finish(&mut self.core, &mut self.sources, impatient);
        // The table of symbols is waited for only now: nothing is traced any more, and nothing in the ring.
        self.tell_several(true);
        self.core.flush();
        let (mut damaged, mut packets) = (false, 0);
        for feed in &self.sources.feeds {
            match feed {
                Feed::Files(files) => {
                    damaged |= files.damaged;
                    packets += files.packets;
                }
                Feed::Recording(replay) => {
                    damaged |= replay.damaged;
                    packets += replay.packets;
                }
                #[cfg(feature = "live")]
                Feed::Live(_) => {}
            }
        }
        let outcome = Outcome {
            ended: if self.core.output.is_some() { Ended::OutputClosed } else { ended },
            exit_code: self.core.exit.unwrap_or(i64::from(failed)),
            delivered: self.core.delivered,
            lost: self.core.losses.rows(),
            cost,
            alerts: self.core.alerts.as_ref().map_or_else(AlertCounts::default, |alerts| alerts.counts()),
            damaged,
            unrecorded: self.core.unrecorded,
            packets,
            child_status: self.child.as_mut().and_then(Child::ended),
        };
        let output = self.core.output.take();
        let unsaid = match self.core.unsaid {
            0 => String::new(),
            n => format!("; so was what was to be written after that ({n} messages)"),
        };
        drop(self);
        drop(runtime);
        match output {
            Some(error) if error.kind() != ErrorKind::BrokenPipe => {
                Err(Error::Output(io::Error::new(error.kind(), format!("{error}{unsaid}"))))
            }
            _ => Ok(outcome),
        }
    }

    /// Reads every iterator to its end, on a thread of its own so that the ring is emptied meanwhile.
    fn walk_iterators(&mut self) {
        let walks = std::mem::take(&mut self.walks);
        self.core.hears_all = true;
        for walk in &walks {
            std::thread::scope(|scope| {
                let reader = scope.spawn(|| walk.walk().map(|mut file| std::io::copy(&mut file, &mut std::io::sink())));
                while !reader.is_finished() {
                    self.drain_ring();
                    self.core.flush();
                    std::thread::sleep(WALK_PATIENCE);
                }
            });
            while !self.drain_ring() {}
        }
        self.core.hears_all = false;
        self.core.flush();
    }

    /// Only BEGIN and END: there is nothing to wait for.
    fn can_wait(&self) -> bool {
        self.by_hand.is_none()
            && (!self.sources.links.is_empty()
                || !self.core.watchpoints.is_empty()
                || !self.sources.feeds.is_empty()
                || self.core.telemetry.is_some()
                || self.timers.next().is_some()
                || !self.signals.is_empty()
                || self.child.is_some())
    }

    pub(super) fn reason(&self) -> Ended {
        if self.core.exit.is_some() {
            Ended::Exit
        } else if self.core.output.is_some() {
            Ended::OutputClosed
        } else if self.core.should_stop() {
            Ended::Count
        } else if let Some(number) = interrupt::signal() {
            // It came while BEGIN ran, and there is nothing to wait for.
            Ended::Signal(number)
        } else {
            Ended::NothingLeft
        }
    }
}

//! The loop: wait, drain, act, flush.

use super::{Ended, Running};
use crate::{
    engine::{BLOCKS, Change, Feed, KERNEL, Wake, answer, now, push, tell_joins},
    record::event::Event,
    sink::Message,
    sys::interrupt,
};
use std::{
    future::poll_fn,
    time::{Duration, Instant},
};

use weftrace_artifact::plan::Unit;
use weftrace_probes::kernel::program::run_once;

/// How often watermarks advance while nothing happens.
const TICK: Duration = Duration::from_millis(100);
/// Records handled between two looks at signals and timers.
const RING_BATCH: u64 = 16 * 1024;
/// And the time that it may take: actions such as `system()` are slow.
const BATCH_TIME: Duration = Duration::from_millis(20);
/// Records between two looks at the clock.
const CLOCK_EVERY: u64 = 256;
/// How long a `print(@m)` at the end of the ring waits for a `clear(@m)`.
const PAIR_PATIENCE: Duration = Duration::from_micros(100);
/// How often losses of live packets are told, while there are any.
const DROPS_EVERY: Duration = Duration::from_secs(2);
/// How often maps whose elements end are looked through.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// How often new losses are told.
const LOSSES_EVERY: Duration = Duration::from_secs(1);

impl Running {
    pub(super) async fn event_loop(&mut self) -> Ended {
        loop {
            self.set_timer();
            let Self { waits, sources, core, .. } = self;
            let wake = poll_fn(|cx| {
                waits.poll(cx, &mut sources.feeds, (core.telemetry.as_deref_mut(), core.metrics.as_deref_mut()))
            })
            .await;
            if let Some(ended) = self.handle(wake) {
                return ended;
            }
            self.tell_several(false);
            self.core.flush();
            if self.core.should_stop() || self.files_ended() {
                return self.reason();
            }
            // Sources that are always ready must not keep signals from being seen.
            tokio::task::yield_now().await;
        }
    }

    fn handle(&mut self, wake: Wake) -> Option<Ended> {
        self.core.begin_round();
        match wake {
            Wake::Stop => return Some(Ended::Stopped),
            Wake::Deadline => return Some(Ended::Deadline),
            Wake::ProcessEnded => return Some(Ended::ProcessEnded),
            Wake::Signal(number) => return self.signal(number),
            Wake::Ring => drop(self.drain_ring()),
            Wake::Timer => self.run_timers(),
            Wake::Telemetry => self.core.step_telemetry(),
            Wake::Scrape => {
                if !self.reads_files() {
                    self.core.native.store_mut().pass(now());
                }
                answer(&mut self.core, &mut self.sources);
            }
            Wake::Packets(i) => match self.sources.feeds.get_mut(i) {
                Some(Feed::Files(files)) => files.step(&mut self.core, &mut self.timers),
                Some(Feed::Recording(replay)) => replay.step(&mut self.core, &mut self.timers),
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
        if interrupt::ends(number) {
            interrupt::taken();
        }
        let blocks: Vec<_> = self.signals.iter().filter(|s| s.0 == number).copied().collect();
        let time = now();
        let prints_maps = number == libc::SIGUSR1 && blocks.is_empty();
        if prints_maps || !blocks.is_empty() {
            self.core.note(|| Event::Signal { number, time });
        }
        for (_, unit, probe) in &blocks {
            match unit {
                Unit::Native(entry) => self.core.run(*entry, *probe, time),
                Unit::Kernel(program) => {
                    if self.sources.programs.get(*program, None).is_some_and(|fd| run_once(fd).is_ok()) {
                        self.drain_ring();
                    }
                }
            }
            if self.core.should_stop() {
                return None;
            }
        }
        if prints_maps {
            if !self.reads_files() {
                self.core.native.store_mut().pass(time);
            }
            self.core.print_maps();
        }
        interrupt::ends(number).then_some(Ended::Signal(number))
    }

    /// Whether everything up to now has been acted on.
    pub(super) fn drain_ring(&mut self) -> bool {
        let Some(ring) = &mut self.sources.ring else { return true };
        let before = now();
        self.progress.begin(before, ring.produced());
        let used = ring.pending();
        let core = &mut self.core;
        let mut left = RING_BATCH;
        let until = Instant::now() + BATCH_TIME;
        let mut see = |record: &[u8]| {
            core.record(record);
            left -= 1;
            // The clock costs more than most records do.
            if left.is_multiple_of(CLOCK_EVERY) || core.acted_slowly() {
                left = if Instant::now() > until { 0 } else { left };
            }
            left > 0
        };
        let mut drained = ring.drain(&mut see);
        // A kernel block's `clear(@m)` comes right behind its `print(@m)`: the two are one snapshot.
        if core.print_waits() && ring.wait_for_more(PAIR_PATIENCE) {
            drained = ring.drain(|record| {
                core.record(record);
                true
            });
        }
        let size = ring.size() as u64;
        self.waits.ring_drained(drained.records, drained.more, (used, size));
        let reached = self.progress.reached(ring.consumed());
        if used > size / 2 {
            self.tell_losses();
        }
        // All that was reserved before the reading of the clock has been acted on.
        let done = left > 0 && !drained.busy;
        if let Some(time) = done.then_some(before).max(reached) {
            self.core.supply.mark(KERNEL, time, None);
        }
        done
    }

    fn run_timers(&mut self) {
        let time = now();
        // What happened before the tick is acted on before it.
        let done = self.drain_ring();
        self.core.note(|| Event::Tick(time));
        while let Some(due) = self.timers.due(time, false) {
            self.core.run(due.entry, due.probe, due.time);
            if self.core.should_stop() {
                return;
            }
        }
        self.tell_drops();
        #[cfg(feature = "live")]
        self.sources.feeds.iter_mut().for_each(|feed| feed.look(&mut self.core));
        self.sweep(time);
        self.push_metrics(time);
        if !self.has_ticks() || Instant::now() < self.next_tick {
            return;
        }
        self.next_tick = Instant::now() + TICK;
        if done {
            // Without a ring there is nothing to drain.
            self.core.supply.mark(KERNEL, time, None);
        }
        for feed in &mut self.sources.feeds {
            match feed {
                Feed::Files(_) | Feed::Recording(_) => {}
                #[cfg(feature = "live")]
                Feed::Live(live) => live.tick(&mut self.core, time),
            }
        }
        self.core.tick_telemetry(time);
        self.core.tick_nat(time);
        if done && self.core.takes_turns() {
            self.core.pass_turns(time);
        }
        self.core.supply.mark(BLOCKS, time, None);
        self.tell_clock_steps();
        self.tell_stalls(time);
        // Losses first: what they touch must not be closed as if nothing had been lost.
        self.tell_losses();
        self.core.advance();
    }

    /// Sources that stand still are told and left out; their streams lack something.
    fn tell_stalls(&mut self, time: u64) {
        for stall in self.core.supply.stalls(time, &mut self.marks_seen) {
            self.core.stalled(&stall);
            let Some(source) = self.core.supply.get(stall.source) else { continue };
            let text = match stall.change {
                Change::Begins if source.is_gone() => continue,
                Change::GoesOn => continue,
                Change::Begins => {
                    format!("{}: stalled: nothing was heard of it for 5 s; joins go on without it", source.name)
                }
                Change::Ends => format!("{}: goes on; joins wait for it again", source.name),
            };
            self.core.warn(&text);
        }
    }

    /// The wall clock was set.
    fn tell_clock_steps(&mut self) {
        self.core.names.clock().tick();
        for step in self.core.names.clock().take_steps() {
            self.core.warn(&step.to_string());
        }
        self.core.heartbeat();
    }

    /// Something happens by time alone: watermarks, ends of connections.
    fn has_ticks(&self) -> bool {
        #[cfg(feature = "live")]
        let ends = self.sources.feeds.iter().any(|f| matches!(f, Feed::Live(live) if live.ticks()));
        #[cfg(not(feature = "live"))]
        let ends = false;
        ends || self.has_streams() || self.core.takes_turns()
    }

    fn has_streams(&self) -> bool {
        !self.core.joins.is_empty() || self.core.consumer.is_some() || self.core.recorder.is_some()
    }

    fn reads_files(&self) -> bool {
        self.sources.feeds.iter().any(|f| matches!(f, Feed::Files(_) | Feed::Recording(_)))
    }

    /// Sends the run's numbers, if it is time.
    fn push_metrics(&mut self, time: u64) {
        if self.core.otlp.as_ref().and_then(|otlp| otlp.due()).is_some_and(|due| due <= Instant::now()) {
            self.core.native.store_mut().pass(time);
            push(&mut self.core, &mut self.sources);
        }
    }

    fn set_timer(&mut self) {
        if self.reads_files() {
            self.waits.timer = None;
            return;
        }
        let due = self.timers.next().map(|at| Instant::now() + Duration::from_nanos(at.saturating_sub(now())));
        let tick = self.has_ticks().then_some(self.next_tick);
        let drops = (!self.sources.feeds.is_empty()).then(|| self.told_drops + DROPS_EVERY);
        let look = self.sources.feeds.iter().filter_map(Feed::next_look).min();
        let sweep = self.core.native.store().forgets().then(|| self.swept + SWEEP_EVERY);
        let push = self.core.otlp.as_ref().and_then(|otlp| otlp.due());
        self.waits.timer = [due, tick, drops, look, sweep, push].into_iter().flatten().min();
    }

    /// Removes elements of the kernel's maps that have ended by themselves, at a time before which nothing is to be handled any more. (Those of our own maps go as
    /// handlers run.)
    fn sweep(&mut self, time: u64) {
        if self.swept.elapsed() < SWEEP_EVERY {
            return;
        }
        self.swept = Instant::now();
        if !self.core.native.store().forgets() {
            return;
        }
        #[cfg(feature = "live")]
        let time =
            self.sources.feeds.iter().zip(&self.waits.packets_now).fold(time, |time, (feed, waiting)| match feed {
                Feed::Live(live) => time.min(live.handled(&self.core, time, *waiting)),
                Feed::Files(_) | Feed::Recording(_) => time,
            });
        self.core.native.store_mut().sweep_kernel(time);
    }

    fn tell_drops(&mut self) {
        let since = self.told_drops.elapsed();
        if since < DROPS_EVERY {
            return;
        }
        self.told_drops = Instant::now();
        for feed in &mut self.sources.feeds {
            match feed {
                Feed::Files(_) | Feed::Recording(_) => {}
                #[cfg(feature = "live")]
                Feed::Live(live) => live.tell_losses(&mut self.core, since),
            }
        }
    }

    fn tell_losses(&mut self) {
        let due = self.told_losses.elapsed() >= LOSSES_EVERY;
        // Joins must know before the watermark lets them close what the losses may belong to.
        if !due && !self.has_streams() {
            return;
        }
        self.untold_losses += tell_joins(&mut self.core, &mut self.sources, now());
        if due {
            self.told_losses = Instant::now();
            let lost = std::mem::take(&mut self.untold_losses);
            if lost > 0 {
                self.core.note(|| Event::Said { level: 1, text: lost.to_string() });
                self.core.say(&Message::LostEvents(lost));
            }
        }
    }

    fn files_ended(&self) -> bool {
        let mut files = self.sources.feeds.iter().filter_map(|f| match f {
            Feed::Files(files) => Some(files.ended()),
            Feed::Recording(replay) => Some(replay.ended()),
            #[cfg(feature = "live")]
            Feed::Live(_) => None,
        });
        files.next().unwrap_or(false)
    }
}

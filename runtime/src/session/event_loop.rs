//! The loop: wait, drain, act, flush.

use super::{Ended, Running};
use crate::{
    engine::{Feed, LIVE_DISORDER_NS, Wake, now, tell_joins},
    sink::Message,
};
use std::{
    future::poll_fn,
    time::{Duration, Instant},
};

use weftrace_artifact::plan::Unit;
use weftrace_probes::kernel::program::run_once;

/// How often watermarks advance while nothing happens.
const TICK: Duration = Duration::from_millis(100);
/// Events of one time may be seen this far apart.
const DISORDER_NS: u64 = 10_000_000;
/// Records handled between two looks at signals and timers.
const RING_BATCH: u64 = 16 * 1024;
/// And the time that it may take: actions such as `system()` are slow.
const BATCH_TIME: Duration = Duration::from_millis(20);
/// Records between two looks at the clock.
const CLOCK_EVERY: u64 = 256;
/// How long a `print(@m)` at the end of the ring waits for a `clear(@m)`.
const PAIR_PATIENCE: Duration = Duration::from_micros(100);
/// How often new losses are told.
const LOSSES_EVERY: Duration = Duration::from_secs(1);

impl Running {
    pub(super) async fn event_loop(&mut self) -> Ended {
        loop {
            self.set_timer();
            let Self { waits, sources, .. } = self;
            let wake = poll_fn(|cx| waits.poll(cx, &mut sources.feeds)).await;
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
        for (_, unit, probe) in &blocks {
            match unit {
                Unit::Native(entry) => self.core.run(*entry, *probe, now()),
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
    pub(super) fn drain_ring(&mut self) -> bool {
        let Some(ring) = &mut self.sources.ring else { return true };
        let before = now();
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
            let behind = if self.sources.feeds.is_empty() { DISORDER_NS } else { LIVE_DISORDER_NS };
            self.core.watermark(time.saturating_sub(behind));
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
        let due = self.told_losses.elapsed() >= LOSSES_EVERY;
        // Joins must know before the watermark lets them close what the losses may belong to.
        if !due && !self.has_streams() {
            return;
        }
        self.untold_losses += tell_joins(&mut self.core, &mut self.sources);
        if due {
            self.told_losses = Instant::now();
            let lost = std::mem::take(&mut self.untold_losses);
            if lost > 0 {
                self.core.say(&Message::LostEvents(lost));
            }
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

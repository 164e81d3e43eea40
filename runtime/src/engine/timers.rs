//! Native intervals.

use super::core::Core;
use crate::sys::interrupt;

/// Ticks of one interval that are made up for between two packets: a clock that jumps by years would keep the script busy for hours.
const MOST_MADE_UP: u64 = 10_000;

/// One `interval` block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Timer {
    ns: u64,
    next: u64,
    entry: u32,
    probe: u32,
    /// Ticks made up for, up to this time.
    made_up: (u64, u64),
}

/// All intervals, on any clock that only goes forward: boot time live, packet time on files.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timers {
    timers: Vec<Timer>,
    started: bool,
}

/// A block to run, and the time it is run for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) entry: u32,
    pub(crate) probe: u32,
    pub(crate) time: u64,
    /// Ticks behind it that are not made up for.
    pub(crate) passed_over: u64,
}

impl Timers {
    pub(crate) fn add(&mut self, ns: u64, entry: u32, probe: u32) {
        self.timers.push(Timer { ns: ns.max(1), next: 0, entry, probe, made_up: (0, 0) });
    }

    /// Starts all at `now`; again does nothing.
    pub(crate) fn start(&mut self, now: u64) {
        if !std::mem::replace(&mut self.started, true) {
            for timer in &mut self.timers {
                timer.next = now.saturating_add(timer.ns);
            }
        }
    }

    /// When the next is due.
    pub(crate) fn next(&self) -> Option<u64> {
        if self.started { self.timers.iter().map(|t| t.next).min() } else { None }
    }

    /// The block due first, if it is due by `now`. `every`: ticks that were missed are made up for (files), the first
    /// [`MOST_MADE_UP`] of them; otherwise the timer goes on from now, as a busy machine's must not pile up ticks.
    pub(crate) fn due(&mut self, now: u64, every: bool) -> Option<Due> {
        if !self.started {
            return None;
        }
        let timer = self.timers.iter_mut().min_by_key(|t| (t.next, t.probe))?;
        if timer.next > now {
            return None;
        }
        let left = (now - timer.next) / timer.ns;
        let made_up = if timer.made_up.1 == now { timer.made_up.0 + 1 } else { 1 };
        timer.made_up = (made_up, now);
        let passed = if every && made_up < MOST_MADE_UP { 0 } else { left };
        let (time, passed_over) = if every { (timer.next, passed) } else { (now, 0) };
        let due = Due { entry: timer.entry, probe: timer.probe, time, passed_over };
        timer.next = timer.next.saturating_add(timer.ns.saturating_mul(passed + 1));
        Some(due)
    }
}

/// Ticks that the packets' clock jumped over.
#[derive(Debug, Default)]
pub(crate) struct Jumps {
    ticks: u64,
    times: u64,
}

impl Jumps {
    /// Runs what is due by the time of a packet; false: the run is to stop.
    pub(crate) fn run_due(&mut self, core: &mut Core, timers: &mut Timers, time: u64, frame: u64) -> bool {
        while let Some(due) = timers.due(time, true) {
            if !self.run(core, &due, frame) {
                return false;
            }
        }
        true
    }

    /// Runs one of these.
    pub(crate) fn run(&mut self, core: &mut Core, due: &Due, frame: u64) -> bool {
        core.run(due.entry, due.probe, due.time);
        if due.passed_over > 0 {
            self.tell(core, due, frame);
        }
        // Between two packets may lie years.
        !core.should_stop() && interrupt::signal().is_none()
    }

    /// The first is told at once, the others are at the end.
    fn tell(&mut self, core: &mut Core, due: &Due, frame: u64) {
        self.ticks = self.ticks.saturating_add(due.passed_over);
        self.times += 1;
        if self.times == 1 {
            let name = core.artifact.probes.get(due.probe as usize).map_or("", |plan| &plan.name).to_owned();
            core.warn(&format!(
                "the packets' clock jumps ahead at frame {frame}: {name} ran {MOST_MADE_UP} times for the time between, {} further ticks were passed over",
                due.passed_over,
            ));
        }
    }

    /// At the end.
    pub(crate) fn sum_up(&self, core: &mut Core) {
        if self.times > 1 {
            core.warn(&format!(
                "{} ticks of intervals were passed over, at {} jumps of the packets' clock",
                self.ticks, self.times
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_order_of_time() {
        let mut timers = Timers::default();
        timers.add(100, 1, 0);
        timers.add(40, 2, 1);
        assert_eq!(timers.due(u64::MAX, true), None);
        timers.start(1000);
        timers.start(5000);
        let mut seen = Vec::new();
        while let Some(due) = timers.due(1120, true) {
            seen.push((due.entry, due.time));
        }
        assert_eq!(seen, [(2, 1040), (2, 1080), (1, 1100), (2, 1120)]);
        assert_eq!(timers.next(), Some(1160));
    }

    /// Years between two packets cost no more than hours, and the grid stays.
    #[test]
    fn few_ticks_are_made_up_for() {
        const SECOND: u64 = 1_000_000_000;
        let mut timers = Timers::default();
        timers.add(SECOND, 1, 0);
        timers.add(3600 * SECOND, 2, 1);
        timers.start(0);
        let now = 365 * 24 * 3600 * SECOND + 7;
        let mut seen: [Vec<Due>; 2] = Default::default();
        while let Some(due) = timers.due(now, true) {
            seen[due.probe as usize].push(due);
        }
        let last = |of: usize| seen[of].last().map(|due| (due.time, due.passed_over));
        assert_eq!(
            (seen[0].len() as u64, last(0)),
            (MOST_MADE_UP, Some((MOST_MADE_UP * SECOND, now / SECOND - MOST_MADE_UP)))
        );
        assert_eq!((seen[1].len(), last(1)), (24 * 365, Some((now - 7, 0))));
        assert_eq!((timers.next(), timers.due(now, true)), (Some(now - 7 + SECOND), None));
        // The next gap has as many again.
        let due = timers.due(now + SECOND, true).map(|due| (due.time, due.passed_over));
        assert_eq!(due, Some((now - 7 + SECOND, 0)));
    }

    #[test]
    fn missed_ticks_are_dropped_live() {
        let mut timers = Timers::default();
        timers.add(10, 1, 0);
        timers.start(0);
        assert_eq!(timers.due(35, false), Some(Due { entry: 1, probe: 0, time: 35, passed_over: 0 }));
        assert_eq!(timers.due(35, false), None);
        assert_eq!(timers.next(), Some(40));
    }
}

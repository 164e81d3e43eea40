//! Native intervals.

/// One `interval` block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Timer {
    ns: u64,
    next: u64,
    entry: u32,
    probe: u32,
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
}

impl Timers {
    pub(crate) fn add(&mut self, ns: u64, entry: u32, probe: u32) {
        self.timers.push(Timer { ns: ns.max(1), next: 0, entry, probe });
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

    /// The block due first, if it is due by `now`. `every`: a tick that was missed is made up for (files); otherwise the timer goes on
    /// from now, as a busy machine's must not pile up ticks.
    pub(crate) fn due(&mut self, now: u64, every: bool) -> Option<Due> {
        if !self.started {
            return None;
        }
        let timer = self.timers.iter_mut().min_by_key(|t| (t.next, t.probe))?;
        if timer.next > now {
            return None;
        }
        let due = Due { entry: timer.entry, probe: timer.probe, time: if every { timer.next } else { now } };
        let passed = if every { 0 } else { (now - timer.next) / timer.ns };
        timer.next = timer.next.saturating_add(timer.ns.saturating_mul(passed + 1));
        Some(due)
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

    #[test]
    fn missed_ticks_are_dropped_live() {
        let mut timers = Timers::default();
        timers.add(10, 1, 0);
        timers.start(0);
        assert_eq!(timers.due(35, false), Some(Due { entry: 1, probe: 0, time: 35 }));
        assert_eq!(timers.due(35, false), None);
        assert_eq!(timers.next(), Some(40));
    }
}

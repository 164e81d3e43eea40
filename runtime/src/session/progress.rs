//! Up to when the event ring has been read, also while events come faster than they are acted on, and it is never read to its end.

/// A place in the ring that reading is on its way to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    /// The producer's position, and a time read before it: whatever was reserved by then lies before the position.
    ahead: Option<(u64, u64)>,
}

impl Progress {
    /// `time` was read, then the producer's position. A place that was not reached yet stays the one to reach.
    pub(super) fn begin(&mut self, time: u64, produced: u64) {
        self.ahead.get_or_insert((produced, time));
    }

    /// It was read up to here: everything up to the time that is returned has been acted on.
    pub(super) fn reached(&mut self, consumed: u64) -> Option<u64> {
        let (_, time) = self.ahead.take_if(|(place, _)| consumed >= *place)?;
        Some(time)
    }
}

#[cfg(test)]
mod tests {
    use super::Progress;

    /// Half of what comes is read in each round: time goes on all the same, and never too far.
    #[test]
    fn time_goes_on_in_a_ring_that_stays_full() {
        let (mut progress, mut consumed, mut newest) = (Progress::default(), 0, 0);
        for round in 1..100u64 {
            // A record of each time up to now, each a byte.
            let (time, produced) = (round * 10, round * 10);
            progress.begin(time, produced);
            consumed += 5;
            if let Some(done) = progress.reached(consumed) {
                assert!(done > newest && done <= consumed);
                newest = done;
            }
        }
        assert!(newest > 200, "{newest}");
    }
}

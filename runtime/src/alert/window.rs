//! A rate: so many requests in any span of time of this length. Pure: it is told what time it is.

use super::payload::Rate;
use std::{collections::VecDeque, time::Instant};

#[derive(Debug)]
pub(super) struct Window {
    rate: Rate,
    /// When the last ones went, at most as many as the rate allows.
    sent: VecDeque<Instant>,
}

impl Window {
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, sent: VecDeque::new() }
    }

    /// One more goes now; or when the next may.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Instant> {
        while self.sent.front().is_some_and(|at| now.saturating_duration_since(*at) >= self.rate.within) {
            self.sent.pop_front();
        }
        match self.sent.front() {
            Some(first) if self.sent.len() >= self.rate.count => Err(*first + self.rate.within),
            _ => {
                self.sent.push_back(now);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::payload::limits;
    use std::time::Duration;
    use weftrace_artifact::alert::SinkKind;

    /// When requests go that are all there at once, in ms after the first.
    fn times(kind: SinkKind, count: usize) -> Vec<u128> {
        let mut window = Window::new(limits(kind).1.expect("a rate"));
        let begin = Instant::now();
        let mut now = begin;
        let mut times = Vec::new();
        while times.len() < count {
            match window.take(now) {
                Ok(()) => times.push((now - begin).as_millis()),
                Err(next) => {
                    assert!(next > now);
                    now = next;
                }
            }
        }
        times
    }

    /// What docs/alerts.md says: Slack a message a second, the robots 20 a minute.
    #[test]
    fn chats_get_no_more_than_they_take() {
        assert_eq!(times(SinkKind::Slack, 4), [0, 1000, 2000, 3000]);
        for kind in [SinkKind::WeCom, SinkKind::DingTalk] {
            let times = times(kind, 45);
            assert_eq!((times[19], times[20], times[39], times[40]), (0, 60_000, 60_000, 120_000));
        }
    }

    /// In no span of that length are there more, wherever it begins.
    #[test]
    fn it_slides() {
        let within = Duration::from_mins(1);
        let mut window = Window::new(Rate { count: 2, within });
        let begin = Instant::now();
        let at = |second| begin + Duration::from_secs(second);
        assert_eq!((window.take(at(0)), window.take(at(50))), (Ok(()), Ok(())));
        assert_eq!(window.take(at(59)), Err(at(60)));
        assert_eq!((window.take(at(60)), window.take(at(61))), (Ok(()), Err(at(110))));
        assert_eq!(window.take(at(110)), Ok(()));
    }
}

//! How long to wait before a request is tried again.

use std::time::Duration;

/// Waits that double.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    next: Duration,
    longest: Duration,
    longest_asked: Duration,
}

impl Backoff {
    /// From `first` up to `longest`; a server is obeyed that asks for up to `longest_asked`.
    pub(crate) fn new(first: Duration, longest: Duration, longest_asked: Duration) -> Self {
        Self { next: first, longest, longest_asked }
    }

    /// The next wait. What the server asks for (Retry-After) makes it longer, never shorter: `Retry-After: 0` would make a loop that does
    /// nothing but ask.
    pub(crate) fn wait(&mut self, asked: Option<Duration>) -> Duration {
        let own = self.next;
        self.next = (2 * own).min(self.longest);
        asked.map_or(own, |asked| asked.min(self.longest_asked).max(own))
    }
}

#[cfg(test)]
mod tests {
    use super::Backoff;
    use std::time::Duration;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn grows_up_to_a_bound() {
        let mut backoff = Backoff::new(s(1), s(5), s(30));
        assert_eq!([(); 5].map(|()| backoff.wait(None)), [s(1), s(2), s(4), s(5), s(5)]);
    }

    /// A server that asks to be asked at once is not.
    #[test]
    fn servers_make_it_longer_only() {
        let mut backoff = Backoff::new(s(1), s(8), s(30));
        let asked = [0, 0, 20, 600, 0].map(|asked| backoff.wait(Some(s(asked))));
        assert_eq!(asked, [s(1), s(2), s(20), s(30), s(8)]);
    }
}

//! Questions that wait for their answers: a bounded table that forgets the oldest.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Times by key.
pub(crate) struct Pending<K> {
    times: HashMap<K, u64>,
    /// Keys in the order they came, with their time; answered ones stay until they are the oldest.
    order: VecDeque<(K, u64)>,
    max: usize,
    /// Forgotten without an answer because there were too many.
    pub(crate) dropped: u64,
}

impl<K: Hash + Eq + Copy> Pending<K> {
    pub(crate) fn new(max: usize) -> Self {
        Self { times: HashMap::new(), order: VecDeque::new(), max, dropped: 0 }
    }

    /// A question. The time of the same one before, if it is not answered and not older than `patience`.
    pub(crate) fn ask(&mut self, key: K, now: u64, patience: u64) -> Option<u64> {
        if let Some(&before) = self.times.get(&key)
            && now.saturating_sub(before) <= patience
        {
            return Some(before);
        }
        while self.order.len() >= self.max {
            let Some((oldest, time)) = self.order.pop_front() else { break };
            if self.times.get(&oldest) == Some(&time) {
                self.times.remove(&oldest);
                self.dropped += 1;
            }
        }
        self.times.insert(key, now);
        self.order.push_back((key, now));
        None
    }

    /// An answer: when its question was asked.
    pub(crate) fn answer(&mut self, key: &K) -> Option<u64> {
        self.times.remove(key)
    }
}

#[cfg(test)]
mod tests {
    use super::Pending;

    #[test]
    fn the_oldest_is_forgotten_and_told() {
        let mut pending = Pending::new(2);
        assert_eq!(pending.ask(1, 10, 5), None);
        assert_eq!(pending.ask(1, 12, 5), Some(10), "asked again");
        assert_eq!(pending.answer(&1), Some(10));
        assert_eq!(pending.answer(&1), None, "answered twice");
        for key in 2..5 {
            pending.ask(key, 20, 5);
        }
        assert_eq!((pending.answer(&2), pending.answer(&3), pending.answer(&4)), (None, Some(20), Some(20)));
        assert_eq!(pending.dropped, 1);
        assert_eq!(pending.ask(9, 30, 5), None);
        assert_eq!(pending.ask(9, 40, 5), None, "too late to be the same question");
    }
}

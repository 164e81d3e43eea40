//! Which anchors have begun, have ended, or were told, where records of beginnings come.

use crate::join::{calendar::Calendar, keys::NodeKey};
use std::collections::{BTreeSet, HashMap};

/// The record of a beginning and that of the end have these in common: when it began, and its first key.
pub(super) type Name = (u64, Option<NodeKey>);

/// What is known of the anchors of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// One waits for its end.
    Begun(u32),
    /// The end was there: the record of the beginning says nothing new.
    Ended,
    /// Its time was up, which was told: the end comes late.
    Told,
}

/// What is over is known for `timeout_ns` more.
#[derive(Debug)]
pub(super) struct Names {
    timeout_ns: u64,
    known: HashMap<Name, Named>,
    /// Those that are over, by their ends.
    over: BTreeSet<(u64, Name)>,
    /// Of those that went for want of room the last begin; and of those among them that were told.
    gone_to: u64,
    told_gone_to: u64,
}

impl Names {
    pub(super) fn new(timeout_ns: u64) -> Self {
        Self { timeout_ns, known: HashMap::new(), over: BTreeSet::new(), gone_to: 0, told_gone_to: 0 }
    }

    pub(super) fn get(&self, name: &Name) -> Option<Named> {
        self.known.get(name).copied()
    }

    pub(super) fn begun(&mut self, name: Name, id: u32) {
        self.known.insert(name, Named::Begun(id));
    }

    /// `what`: over in one way or the other.
    pub(super) fn over(&mut self, name: Name, what: Named, end: u64) {
        self.known.insert(name, what);
        self.over.insert((end, name));
    }

    /// Whether one that isn't known may have ended or been told all the same.
    pub(super) fn may_be_over(&self, (start, _): Name) -> bool {
        start <= self.gone_to
    }

    /// Whether one that isn't known may have been told all the same.
    pub(super) fn may_be_told(&self, (start, _): Name) -> bool {
        start <= self.told_gone_to
    }

    /// Forgets those whose end would be late by the watermark.
    pub(super) fn expire(&mut self, watermark: u64) {
        while let Some(&(end, name)) =
            self.over.first().filter(|over| over.0.saturating_add(self.timeout_ns) < watermark)
        {
            self.over.remove(&(end, name));
            self.known.remove(&name);
        }
    }

    /// The slot of the oldest end.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.over.first().map(|over| Calendar::slot(over.0))
    }

    /// Forgets those that were over first for want of room, at most `most`; says how many.
    pub(super) fn evict_oldest(&mut self, most: usize) -> u64 {
        let mut evicted = 0;
        for (_, name) in std::iter::from_fn(|| self.over.pop_first()).take(most) {
            evicted += 1;
            self.gone_to = self.gone_to.max(name.0);
            if self.known.remove(&name) == Some(Named::Told) {
                self.told_gone_to = self.told_gone_to.max(name.0);
            }
        }
        evicted
    }

    /// Memory taken, with what tables keep in reserve.
    pub(super) fn bytes(&self) -> u64 {
        let known = (size_of::<(Name, Named)>() + 1) * 3 / 2;
        let over = size_of::<(u64, Name)>() * 3 / 2;
        (self.known.len() * known + self.over.len() * over) as u64
    }
}

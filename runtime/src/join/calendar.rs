//! Numbers of records by a time: put in as they come, taken out oldest first.

use std::collections::{BTreeMap, btree_map::Entry};

/// Times of one slot are sorted only when they are taken out: 2^23 ns, 8 ms.
const SLOT: u32 = 23;

#[derive(Debug, Default)]
pub(super) struct Calendar {
    slots: BTreeMap<u64, Vec<u32>>,
    len: usize,
}

impl Calendar {
    pub(super) fn insert(&mut self, time: u64, id: u32) {
        self.slots.entry(Self::slot(time)).or_default().push(id);
        self.len += 1;
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = u32> {
        self.slots.values().flatten().copied()
    }

    pub(super) const fn slot(time: u64) -> u64 {
        time >> SLOT
    }

    /// The slot of the oldest.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.slots.first_key_value().map(|(&slot, _)| slot)
    }

    /// Takes out one that was put in with this time.
    pub(super) fn remove(&mut self, time: u64, id: u32) {
        let Entry::Occupied(mut entry) = self.slots.entry(Self::slot(time)) else { return };
        let Some(at) = entry.get().iter().position(|other| *other == id) else { return };
        entry.get_mut().swap_remove(at);
        self.len -= 1;
        if entry.get().is_empty() {
            entry.remove();
        }
    }

    /// Takes out all of before `time`, in no order. Of the slot that `time` is in, `is_before` says which.
    pub(super) fn take_before(&mut self, time: u64, out: &mut Vec<u32>, mut is_before: impl FnMut(u32) -> bool) {
        let before = out.len();
        while let Some(mut entry) = self.slots.first_entry().filter(|entry| *entry.key() <= Self::slot(time)) {
            if *entry.key() < Self::slot(time) {
                out.append(&mut entry.remove());
                continue;
            }
            let ids = entry.get_mut();
            ids.retain(|&id| {
                let is_before = is_before(id);
                if is_before {
                    out.push(id);
                }
                !is_before
            });
            if ids.is_empty() {
                entry.remove();
            }
            break;
        }
        self.len -= out.len() - before;
    }

    /// Takes out at most `most` of the oldest slot, those first that `order` puts first.
    pub(super) fn take_oldest<K: Ord>(&mut self, most: usize, out: &mut Vec<u32>, mut order: impl FnMut(u32) -> K) {
        let Some(mut entry) = self.slots.first_entry() else { return };
        let ids = entry.get_mut();
        let before = out.len();
        if ids.len() <= most {
            ids.sort_by_cached_key(|&id| order(id));
            out.append(&mut entry.remove());
        } else {
            ids.sort_by_cached_key(|&id| std::cmp::Reverse(order(id)));
            out.extend(ids.drain(ids.len() - most..).rev());
        }
        self.len -= out.len() - before;
    }
}

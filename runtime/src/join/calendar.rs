//! Numbers of records by a time: put in as they come, taken out oldest first.

use std::collections::BTreeMap;

/// Times of one slot are sorted only when they are taken out: 2^23 ns, 8 ms.
const SLOT: u32 = 23;

#[derive(Debug, Default)]
pub(super) struct Calendar {
    slots: BTreeMap<u64, Vec<u32>>,
    len: usize,
}

impl Calendar {
    pub(super) fn insert(&mut self, time: u64, id: u32) {
        self.slots.entry(time >> SLOT).or_default().push(id);
        self.len += 1;
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = u32> {
        self.slots.values().flatten().copied()
    }

    /// The slot of the oldest.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.slots.first_key_value().map(|(&slot, _)| slot)
    }

    /// Takes out all of before `time`, in no order. Of the slot that `time` is in, `is_before` says which.
    pub(super) fn take_before(&mut self, time: u64, out: &mut Vec<u32>, mut is_before: impl FnMut(u32) -> bool) {
        let before = out.len();
        while let Some(mut entry) = self.slots.first_entry().filter(|entry| *entry.key() <= time >> SLOT) {
            if *entry.key() < time >> SLOT {
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

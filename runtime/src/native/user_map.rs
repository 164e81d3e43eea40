//! Maps of native handlers: bounded, with values that stay where they are, since handlers hold their addresses.

mod order;

use super::key_hash::KeyHash;
use crate::maps::is_lru;
use order::Order;
use std::{collections::HashMap, rc::Rc};
use weftrace_artifact::map::{Kind, MapSpec};

/// Values per allocation.
const CHUNK: usize = 64;

/// A hash map, or an array of elements that always exist.
#[derive(Debug)]
pub struct UserMap {
    value_size: usize,
    /// u64s per value: every value is aligned to 8.
    words: usize,
    max: usize,
    array: bool,
    lru: bool,
    /// Empty for arrays: there a slot's number is its key.
    index: HashMap<Rc<[u8]>, u32, KeyHash>,
    chunks: Vec<Box<[u64]>>,
    /// Keys by slot. Empty for arrays.
    slots: Vec<Option<Rc<[u8]>>>,
    free: Vec<u32>,
    /// Of LRU kinds. It is exact, so that which element makes room depends on what was done with the map alone: a replay does the same.
    order: Order,
}

impl UserMap {
    pub fn new(spec: &MapSpec) -> Self {
        let mut map = Self {
            value_size: spec.value_size as usize,
            words: (spec.value_size as usize).div_ceil(8).max(1),
            max: (spec.max_entries as usize).max(1),
            array: matches!(spec.kind, Kind::Array | Kind::PercpuArray),
            lru: is_lru(spec.kind),
            index: HashMap::default(),
            chunks: Vec::new(),
            slots: Vec::new(),
            free: Vec::new(),
            order: Order::default(),
        };
        if map.array {
            for from in (0..map.max).step_by(CHUNK) {
                map.chunks.push(vec![0; map.words * CHUNK.min(map.max - from)].into());
            }
        }
        map
    }

    /// Address of an element's value: at least `value_size` bytes, valid as long as the map, even if the element is deleted.
    pub fn lookup(&mut self, key: &[u8]) -> Option<*mut u64> {
        let slot = self.slot(key)?;
        self.mark_used(slot);
        Some(self.value_mut(slot).as_mut_ptr())
    }

    /// An element's bytes.
    pub fn value_of(&self, key: &[u8]) -> Option<Vec<u8>> {
        let slot = self.slot(key)?;
        Some(self.value(slot).iter().flat_map(|w| w.to_ne_bytes()).take(self.value_size).collect())
    }

    /// Address of the value of an array of one: what maps without keys are.
    pub(crate) fn only_value(&mut self) -> Option<*mut u64> {
        (self.array && self.max == 1).then(|| self.value_mut(0).as_mut_ptr())
    }

    /// The slot of an array's element.
    fn place(&self, key: &[u8]) -> Option<u32> {
        let slot = u32::from_ne_bytes(*key.first_chunk()?);
        ((slot as usize) < self.max && key.len() == 4).then_some(slot)
    }

    /// The slot of an element that is there; all of an array's are.
    fn slot(&self, key: &[u8]) -> Option<u32> {
        if self.array { self.place(key) } else { self.index.get(key).copied() }
    }

    fn mark_used(&mut self, slot: u32) {
        if self.lru {
            self.order.touch(slot);
        }
    }

    /// As bpf_map_update_elem: flags 0 any, 1 only new, 2 only existing; 0 or -errno.
    pub fn update(&mut self, key: &[u8], value: &[u8], flags: u64) -> i64 {
        let slot = match (self.slot(key), flags) {
            (Some(_), 1) => return -i64::from(libc::EEXIST),
            (Some(slot), _) => slot,
            (None, 2) => return -i64::from(libc::ENOENT),
            (None, _) if self.array => return -i64::from(libc::E2BIG),
            (None, _) => match self.insert(key) {
                Some(slot) => slot,
                None => return -i64::from(libc::E2BIG),
            },
        };
        self.mark_used(slot);
        let size = self.value_size.min(value.len());
        let target = self.value_mut(slot);
        target.fill(0);
        for (word, bytes) in target.iter_mut().zip(value[..size].chunks(8)) {
            let mut padded = [0; 8];
            padded[..bytes.len()].copy_from_slice(bytes);
            *word = u64::from_ne_bytes(padded);
        }
        0
    }

    /// Changes an element's value in place, of a new one from zeros; false: the map is full.
    pub fn change(&mut self, key: &[u8], change: impl FnOnce(&mut [u64])) -> bool {
        let Some(slot) = self.slot(key).or_else(|| if self.array { None } else { self.insert(key) }) else {
            return false;
        };
        self.mark_used(slot);
        change(self.value_mut(slot));
        true
    }

    /// 0 or -errno. Elements of arrays become 0.
    pub fn delete(&mut self, key: &[u8]) -> i64 {
        if self.array {
            let Some(slot) = self.place(key) else { return -i64::from(libc::ENOENT) };
            self.value_mut(slot).fill(0);
            return 0;
        }
        let Some(slot) = self.index.remove(key) else { return -i64::from(libc::ENOENT) };
        self.empty(slot);
        0
    }

    /// A slot whose key is in the index no longer.
    fn empty(&mut self, slot: u32) {
        self.slots[slot as usize] = None;
        self.free.push(slot);
        if self.lru {
            self.order.remove(slot);
        }
    }

    pub fn len(&self) -> usize {
        if self.array { self.max } else { self.index.len() }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn clear(&mut self) {
        if self.array {
            self.chunks.iter_mut().for_each(|c| c.fill(0));
            return;
        }
        self.index.clear();
        self.order = Order::default();
        self.slots.fill(None);
        self.free = (0..self.slots.len() as u32).collect();
    }

    /// Zeroes the values, of scalars all but the presence word at `presence`.
    pub fn zero(&mut self, presence: Option<usize>) {
        let keep = presence.map_or(self.words, |p| p / 8);
        let slots: Vec<u32> =
            if self.array { (0..self.max as u32).collect() } else { self.index.values().copied().collect() };
        for slot in slots {
            let value = self.value_mut(slot);
            let end = keep.min(value.len());
            value[..end].fill(0);
        }
    }

    /// Every element in no particular order.
    pub fn for_each(&self, mut see: impl FnMut(&[u8], &[u8])) {
        let mut bytes = Vec::with_capacity(self.words * 8);
        let mut show = |key: &[u8], slot: u32| {
            bytes.clear();
            bytes.extend(self.value(slot).iter().flat_map(|w| w.to_ne_bytes()));
            see(key, &bytes[..self.value_size]);
        };
        if self.array {
            (0..self.max as u32).for_each(|slot| show(&slot.to_ne_bytes(), slot));
        }
        self.index.iter().for_each(|(key, &slot)| show(key, slot));
    }

    fn insert(&mut self, key: &[u8]) -> Option<u32> {
        if self.index.len() >= self.max {
            if !self.lru {
                return None;
            }
            self.evict();
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            if self.slots.len().is_multiple_of(CHUNK) {
                self.chunks.push(vec![0; self.words * CHUNK.min(self.max)].into());
            }
            self.slots.push(None);
            self.slots.len() as u32 - 1
        });
        let key: Rc<[u8]> = key.into();
        self.slots[slot as usize] = Some(Rc::clone(&key));
        if self.lru {
            self.order.push(slot);
        }
        self.index.insert(key, slot);
        self.value_mut(slot).fill(0);
        Some(slot)
    }

    /// The element that was unused for longest makes room.
    fn evict(&mut self) {
        let Some(slot) = self.order.oldest() else { return };
        if let Some(key) = &self.slots[slot as usize] {
            self.index.remove(key);
        }
        self.empty(slot);
    }

    fn value(&self, slot: u32) -> &[u64] {
        let (chunk, at) = (slot as usize / CHUNK, slot as usize % CHUNK * self.words);
        &self.chunks[chunk][at..at + self.words]
    }

    fn value_mut(&mut self, slot: u32) -> &mut [u64] {
        let (chunk, at) = (slot as usize / CHUNK, slot as usize % CHUNK * self.words);
        &mut self.chunks[chunk][at..at + self.words]
    }
}

#[cfg(test)]
mod tests;

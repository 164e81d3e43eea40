//! Keys as small numbers: each is looked up once for a record, whatever reads it afterwards.

use super::keys::NodeKey;
use crate::native::key_hash::KeyHash;
use std::hash::BuildHasher;

/// No node, no record.
pub(super) const NIL: u32 = u32::MAX;

/// A place of the hash table: 8 bytes, so that most of it stays in the cache; the key is beside what is wanted of it.
#[derive(Clone, Copy, Debug)]
struct Place {
    hash: u32,
    node: u32,
}

const EMPTY: Place = Place { hash: 0, node: NIL };

/// All keys that something has. Each has a row: the key, how many records, bindings and anchors have it, and the end of a list for
/// each store.
#[derive(Debug)]
pub(super) struct Nodes {
    /// Seeded: peers choose ports and addresses, and must not be able to choose collisions. Nothing visible depends on the order of the table.
    hash: KeyHash,
    /// A power of two, at most three quarters full.
    table: Vec<Place>,
    live: usize,
    rows: Vec<u32>,
    width: usize,
    free: Vec<u32>,
}

/// Words of a row before the list ends.
const KEY: usize = NodeKey::WORDS;
const HOLDERS: usize = KEY;
const LISTS: usize = KEY + 1;

impl Nodes {
    pub(super) fn new(stores: usize) -> Self {
        let width = LISTS + stores;
        Self { hash: KeyHash::default(), table: vec![EMPTY; 64], live: 0, rows: Vec::new(), width, free: Vec::new() }
    }

    fn hash(&self, key: &NodeKey) -> u32 {
        let hash = self.hash.hash_one(key);
        (hash ^ hash >> 32) as u32
    }

    /// Where the key stands in the table, or where it would.
    fn place(&self, hash: u32, key: &NodeKey) -> Result<usize, usize> {
        let mask = self.table.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let place = self.table[at];
            if place.node == NIL {
                return Err(at);
            }
            if place.hash == hash && self.key(place.node) == *key {
                return Ok(at);
            }
            at = (at + 1) & mask;
        }
    }

    pub(super) fn find(&self, key: &NodeKey) -> Option<u32> {
        self.place(self.hash(key), key).ok().map(|at| self.table[at].node)
    }

    pub(super) fn key(&self, node: u32) -> NodeKey {
        let from = node as usize * self.width;
        NodeKey::from_words(&self.rows[from..from + KEY])
    }

    fn holders(&mut self, node: u32) -> &mut u32 {
        &mut self.rows[node as usize * self.width + HOLDERS]
    }

    /// The key's number; it lives until [`Self::release`] was called as often as this.
    pub(super) fn hold(&mut self, key: NodeKey) -> u32 {
        let hash = self.hash(&key);
        let at = match self.place(hash, &key) {
            Ok(at) => {
                let node = self.table[at].node;
                *self.holders(node) += 1;
                return node;
            }
            Err(at) => at,
        };
        let node = self.free.pop().unwrap_or_else(|| self.add_row());
        let from = node as usize * self.width;
        let row = &mut self.rows[from..from + self.width];
        key.to_words(&mut row[..KEY]);
        row[HOLDERS] = 1;
        row[LISTS..].fill(NIL);
        self.table[at] = Place { hash, node };
        self.live += 1;
        if self.live * 4 > self.table.len() * 3 {
            self.grow();
        }
        node
    }

    /// Once more what is held already.
    pub(super) fn hold_too(&mut self, node: u32) {
        *self.holders(node) += 1;
    }

    fn add_row(&mut self) -> u32 {
        let len = self.rows.len();
        if self.rows.capacity() < len + self.width {
            // By an eighth: what is in reserve counts as well.
            self.rows.reserve_exact((len / 8).max(64 * self.width));
        }
        self.rows.resize(len + self.width, NIL);
        (len / self.width) as u32
    }

    fn grow(&mut self) {
        let larger = vec![EMPTY; self.table.len() * 2];
        let mask = larger.len() - 1;
        for place in std::mem::replace(&mut self.table, larger).into_iter().filter(|place| place.node != NIL) {
            let mut at = place.hash as usize & mask;
            while self.table[at].node != NIL {
                at = (at + 1) & mask;
            }
            self.table[at] = place;
        }
    }

    pub(super) fn release(&mut self, node: u32) {
        let holders = self.holders(node);
        *holders -= 1;
        if *holders > 0 {
            return;
        }
        let key = self.key(node);
        let Ok(mut hole) = self.place(self.hash(&key), &key) else { return };
        self.free.push(node);
        self.live -= 1;
        // Those behind it that would be looked for from before the hole move up.
        let mask = self.table.len() - 1;
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let place = self.table[at];
            if place.node == NIL {
                break;
            }
            let home = place.hash as usize & mask;
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(hole) & mask) {
                self.table[hole] = place;
                hole = at;
            }
        }
        self.table[hole] = EMPTY;
    }

    /// The newest record of a store under a key.
    pub(super) fn last(&self, node: u32, store: usize) -> u32 {
        self.rows[node as usize * self.width + LISTS + store]
    }

    pub(super) fn set_last(&mut self, node: u32, store: usize, record: u32) {
        self.rows[node as usize * self.width + LISTS + store] = record;
    }

    /// Memory taken, with what tables keep in reserve.
    pub(super) fn bytes(&self) -> u64 {
        let row = (self.width + 1) * size_of::<u32>();
        self.live as u64 * (row + row / 8 + 2 * size_of::<Place>()) as u64
    }
}

#[cfg(test)]
mod tests;

//! The hash of keys of maps and joins: a few multiplications, seeded, since keys come from the network.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Makes [`KeyHasher`]s of one seed.
#[derive(Clone, Debug)]
pub(crate) struct KeyHash {
    seed: u64,
}

impl Default for KeyHash {
    /// Who picks keys must not be able to pick collisions.
    fn default() -> Self {
        Self { seed: RandomState::new().build_hasher().finish() }
    }
}

impl BuildHasher for KeyHash {
    type Hasher = KeyHasher;

    fn build_hasher(&self) -> KeyHasher {
        KeyHasher { seed: self.seed, state: self.seed }
    }
}

pub(crate) struct KeyHasher {
    seed: u64,
    state: u64,
}

/// Folded multiplication: every bit of either factor reaches every bit of the result. Both are mixed with secrets, so that no
/// input can be chosen to make a factor 0.
fn fold(a: u64, b: u64) -> u64 {
    let wide = u128::from(a) * u128::from(b);
    (wide as u64) ^ (wide >> 64) as u64
}

const K0: u64 = 0x9e37_79b9_7f4a_7c15;
const K1: u64 = 0xe703_7ed1_a0b4_28db;

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        let mut pairs = bytes.chunks_exact(16);
        for pair in &mut pairs {
            let (a, b) = pair.split_at(8);
            self.state = fold(word(a) ^ self.state ^ K0, word(b) ^ self.seed ^ K1);
        }
        let rest = pairs.remainder();
        let (a, b) = rest.split_at(rest.len().min(8));
        self.state = fold(word(a) ^ self.state ^ K0, word(b) ^ self.seed ^ K1);
    }

    fn write_usize(&mut self, n: usize) {
        self.state ^= n as u64;
    }

    fn finish(&self) -> u64 {
        fold(self.state ^ K1, self.seed ^ K0)
    }
}

/// Up to eight bytes as a number.
fn word(bytes: &[u8]) -> u64 {
    if let Some(all) = bytes.first_chunk() {
        return u64::from_le_bytes(*all);
    }
    bytes.iter().rev().fold(0, |n, &byte| n << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn hash(make: &KeyHash, bytes: &[u8]) -> u64 {
        let mut hasher = make.build_hasher();
        hasher.write_usize(bytes.len());
        hasher.write(bytes);
        hasher.finish()
    }

    /// Keys as they occur: numbers, addresses with few bits that differ, strings padded with zeros, lengths.
    #[test]
    fn keys_that_differ_little_spread() {
        let make = KeyHash::default();
        let mut low = HashSet::new();
        for n in 0..4096u64 {
            let mut tuple = [0u8; 24];
            tuple[12..16].copy_from_slice(&(n as u32).to_be_bytes());
            low.insert(hash(&make, &tuple) & 0xffff);
            low.insert(hash(&make, &n.to_ne_bytes()) & 0xffff);
        }
        // 8192 balls into 65536 bins: 7700 bins are expected to be hit.
        assert!(low.len() > 7_500, "{}", low.len());
        let lengths: HashSet<u64> = (0..64).map(|n| hash(&make, &vec![0; n])).collect();
        assert_eq!(lengths.len(), 64);
    }

    #[test]
    fn seeds_differ() {
        let (a, b) = (KeyHash::default(), KeyHash::default());
        assert_ne!(hash(&a, b"key"), hash(&b, b"key"));
    }
}

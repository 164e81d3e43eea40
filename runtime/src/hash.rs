//! A hash that is the same in every run.

/// FNV-1a; `seed`: another hash, of what stands before.
pub(crate) fn fnv(seed: u64, bytes: &[u8]) -> u64 {
    let start = seed ^ 0xcbf2_9ce4_8422_2325;
    bytes.iter().fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

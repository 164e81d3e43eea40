//! Maps that forget: windows, whose values are what the last seconds brought, and elements that end.

use super::Part;
use crate::decode::u64_at;
use weftrace_artifact::map::{MapSpec, RING_SLOT_BYTES, Ring};

/// What a total grew by in the last `window` ns before `now`; None: nothing came.
pub(super) fn grown(ring: &Ring, value: &[u8], window: u64, now: u64) -> Option<u64> {
    let (first, back) = buckets(ring, window, now);
    let (_, base) = slots(ring, value)
        .map(|(base, mark)| (mark.wrapping_sub(first), base))
        .filter(|(distance, _)| *distance < back + 2)
        .min_by_key(|(distance, _)| *distance)?;
    Some(u64_at(value, 0).wrapping_sub(base))
}

/// The mark of a window's first bucket, which may lie before time began, and how many it has: as generated code has it.
fn buckets(ring: &Ring, window: u64, now: u64) -> (u64, u64) {
    let bucket = ring.bucket_ns.max(1);
    let back = window.div_ceil(bucket).min(u64::from(ring.slots).saturating_sub(1));
    ((now / bucket).wrapping_add(1).wrapping_sub(back), back)
}

/// (base, mark) of each slot.
fn slots<'v>(ring: &Ring, value: &'v [u8]) -> impl Iterator<Item = (u64, u64)> + 'v {
    let (offset, step) = (ring.offset as usize, RING_SLOT_BYTES as usize);
    (0..ring.slots as usize).map(move |i| (u64_at(value, offset + i * step), u64_at(value, offset + i * step + 8)))
}

/// One value that stands for all parts of an element, in a value's own layout: where a bucket began, each part has what it was then.
pub(crate) fn merged(ring: &Ring, parts: &[Vec<u8>], size: usize) -> Vec<u8> {
    let total = |part: &[u8]| u64_at(part, 0);
    let mut out = vec![0; size];
    let put = |out: &mut [u8], at: usize, word: u64| {
        if let Some(bytes) = out.get_mut(at..at + 8) {
            bytes.copy_from_slice(&word.to_ne_bytes());
        }
    };
    put(&mut out, 0, parts.iter().fold(0, |sum: u64, part| sum.wrapping_add(total(part))));
    for i in 0..ring.slots as usize {
        let at = ring.offset as usize + i * RING_SLOT_BYTES as usize;
        let Some(mark) = parts.iter().map(|part| u64_at(part, at + 8)).max().filter(|m| *m > 0) else { continue };
        let base = parts.iter().fold(0, |sum: u64, part| {
            let then = slots(ring, part).filter(|(_, m)| *m >= mark).min_by_key(|(_, m)| *m);
            sum.wrapping_add(then.map_or(total(part), |(base, _)| base))
        });
        put(&mut out, at, base);
        put(&mut out, at + 8, mark);
    }
    out
}

/// An element as it is at `now`: of a window what it holds; false: it is gone.
pub(super) fn at(spec: &MapSpec, part: &mut Part, now: u64) -> bool {
    if let Some((ring, window)) = spec.ring.and_then(|ring| Some((ring, ring.only_ns?))) {
        let mut any = false;
        for value in &mut part.values {
            let held = grown(&ring, value, window, now);
            any |= held.is_some();
            if let Some(first) = value.first_chunk_mut::<8>() {
                *first = held.unwrap_or(0).to_ne_bytes();
            }
        }
        return any;
    }
    !ended(spec, &part.values, now)
}

/// Whether an element was not written for longer than elements of its map live.
pub(super) fn ended(spec: &MapSpec, values: &[Vec<u8>], now: u64) -> bool {
    let Some(ttl) = spec.ttl else { return false };
    let written = values.iter().map(|v| u64_at(v, ttl.offset as usize)).max().unwrap_or(0);
    now.saturating_sub(written) > ttl.ns
}

/// Whether nothing can come of an element any more: its end, or that of its window, was past at `now`. What was written later is not old.
pub(super) fn is_old(spec: &MapSpec, values: &[Vec<u8>], now: u64) -> bool {
    match spec.ring.and_then(|ring| Some((ring, ring.only_ns?))) {
        Some((ring, window)) => {
            let (first, _) = buckets(&ring, window, now);
            let within = |(_, mark): (u64, u64)| mark.wrapping_sub(first) as i64 >= 0;
            !values.iter().any(|v| slots(&ring, v).any(within))
        }
        None => ended(spec, values, now),
    }
}

#[cfg(test)]
mod tests;

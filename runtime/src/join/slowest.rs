//! `keep slowest N per T`: windows of event time, so that what is kept doesn't depend on when it was looked at.

use super::result::JoinResult;
use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
pub(super) struct Slowest {
    /// By the window's end, the slowest first.
    windows: BTreeMap<u64, BTreeSet<Kept>>,
    bytes: u64,
    count: u64,
}

#[derive(Debug)]
struct Kept {
    result: Box<JoinResult>,
    /// Nothing else tells two apart whose records are equal.
    number: u64,
}

impl Kept {
    /// The slower first; among equals the earlier, then by what is in it.
    fn rank(&self) -> (Rank<'_>, u64) {
        (rank(&self.result), self.number)
    }
}

impl Ord for Kept {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl PartialOrd for Kept {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Kept {}

type Rank<'a> = (Reverse<u64>, u64, &'a [u8]);

fn rank(result: &JoinResult) -> Rank<'_> {
    (Reverse(result.total()), result.end, &result.anchor)
}

/// The end of the window that an anchor ends in.
fn window(result: &JoinResult, per_ns: u64) -> u64 {
    let per = per_ns.max(1);
    (result.end / per).saturating_add(1).saturating_mul(per)
}

/// Memory that a result takes: all that isn't shared, as allocators round it, and its place in the window.
fn size(kept: &Kept) -> u64 {
    let result = &*kept.result;
    let block = |bytes: usize| if bytes == 0 { 0 } else { (bytes + 8).next_multiple_of(16).max(32) };
    let ids = result.ids.iter().map(|(name, value)| block(name.len()) + block(value.len()));
    let legs = result.legs.iter().map(|leg| {
        block(leg.name.len()) + block(leg.state.reason().len()) + block(size_of_val(leg.intervals.as_slice()))
    });
    let lists = [size_of_val(&*result.ids), size_of_val(&*result.legs), size_of_val(&*result.blame)];
    let texts = [result.join.len(), result.text.len(), result.anchor.len(), size_of::<JoinResult>()];
    let blocks: usize = lists.into_iter().chain(texts).map(block).sum();
    (blocks + ids.chain(legs).sum::<usize>() + 2 * size_of::<Kept>()) as u64
}

impl Slowest {
    /// Whether the result is among the slowest so far.
    pub(super) fn wants(&self, result: &JoinResult, count: u32, per_ns: u64) -> bool {
        let kept = self.windows.get(&window(result, per_ns));
        let full = kept.filter(|kept| kept.len() >= count as usize);
        count > 0 && full.and_then(|kept| kept.last()).is_none_or(|last| rank(result) < rank(&last.result))
    }

    pub(super) fn add(&mut self, mut result: Box<JoinResult>, count: u32, per_ns: u64) {
        // What lists have in reserve would be kept with them.
        result.ids.shrink_to_fit();
        result.legs.iter_mut().for_each(|leg| leg.intervals.shrink_to_fit());
        self.count += 1;
        let kept = self.windows.entry(window(&result, per_ns)).or_default();
        let new = Kept { result, number: self.count };
        self.bytes += size(&new);
        kept.insert(new);
        while kept.len() > count as usize
            && let Some(gone) = kept.pop_last()
        {
            self.bytes -= size(&gone);
        }
    }

    /// Lets go of the least slow of the fullest window until all take no more than `most`; says how many went.
    pub(super) fn keep_within(&mut self, most: u64) -> u64 {
        let mut gone = 0;
        while self.bytes > most {
            let fullest = self.windows.values_mut().max_by_key(|kept| kept.len());
            let Some(last) = fullest.and_then(BTreeSet::pop_last) else { break };
            self.bytes -= size(&last);
            gone += 1;
        }
        gone
    }

    /// The next of what windows that ended by `time` have kept, in order.
    pub(super) fn next_before(&mut self, time: u64) -> Option<Box<JoinResult>> {
        loop {
            let mut entry = self.windows.first_entry().filter(|entry| *entry.key() <= time)?;
            let Some(kept) = entry.get_mut().pop_first() else {
                entry.remove();
                continue;
            };
            self.bytes -= size(&kept);
            return Some(kept.result);
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

#[cfg(test)]
mod tests;

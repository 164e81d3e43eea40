//! `keep slowest N per T`: windows of event time, so that what is kept doesn't depend on when it was looked at.

use super::result::JoinResult;
use std::cmp::Reverse;
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(super) struct Slowest {
    /// By the window's end, the slowest first.
    windows: BTreeMap<u64, Vec<JoinResult>>,
    bytes: u64,
}

/// Memory that a result takes, about.
fn size(result: &JoinResult) -> u64 {
    let legs = result.legs.iter().map(|leg| size_of_val(leg) + size_of_val(leg.intervals.as_slice())).sum::<usize>();
    (size_of::<JoinResult>() + result.anchor.len() + legs) as u64
}

/// The slower first; among equals the earlier, then by what is in it.
fn rank(result: &JoinResult) -> (Reverse<u64>, u64, &[u8]) {
    (Reverse(result.total()), result.end, &result.anchor)
}

/// The end of the window that an anchor ends in.
fn window(result: &JoinResult, per_ns: u64) -> u64 {
    let per = per_ns.max(1);
    (result.end / per).saturating_add(1).saturating_mul(per)
}

impl Slowest {
    /// Whether the result is among the slowest so far.
    pub(super) fn wants(&self, result: &JoinResult, count: u32, per_ns: u64) -> bool {
        let kept = self.windows.get(&window(result, per_ns));
        let full = kept.filter(|kept| kept.len() >= count as usize);
        count > 0 && full.and_then(|kept| kept.last()).is_none_or(|last| rank(result) < rank(last))
    }

    pub(super) fn add(&mut self, result: JoinResult, count: u32, per_ns: u64) {
        let kept = self.windows.entry(window(&result, per_ns)).or_default();
        let at = kept.partition_point(|other| rank(other) < rank(&result));
        self.bytes += size(&result);
        kept.insert(at, result);
        self.bytes -= kept.drain((count as usize).min(kept.len())..).map(|gone| size(&gone)).sum::<u64>();
    }

    /// Lets go of the least slow of the fullest window until all take no more than `most`; says how many went.
    pub(super) fn keep_within(&mut self, most: u64) -> u64 {
        let mut gone = 0;
        while self.bytes > most {
            let fullest = self.windows.values_mut().max_by_key(|kept| kept.len());
            let Some(last) = fullest.and_then(Vec::pop) else { break };
            self.bytes -= size(&last);
            gone += 1;
        }
        gone
    }

    /// What windows that ended by `time` have kept, in order.
    pub(super) fn before(&mut self, time: u64) -> Vec<JoinResult> {
        let mut out = Vec::new();
        while let Some(entry) = self.windows.first_entry().filter(|entry| *entry.key() <= time) {
            out.append(&mut entry.remove());
        }
        self.bytes -= out.iter().map(size).sum::<u64>();
        out
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

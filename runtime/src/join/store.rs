//! The legs' records, kept until no anchor can want them any more. Bounded; the oldest end goes first, and what went is known.
//!
//! A record is stored once for all legs that read it in the same way, in a list of its key's records by time.

use super::calendar::Calendar;
use super::engine::{read_int, read_value};
use super::gaps::{EVICTED, Gaps, LATE};
use super::keys::{Carried, Digest, Ends, NodeKey, Range, ranges};
use super::nodes::{NIL, Nodes};
use super::slab::{Payloads, Slab};
use super::verdict::Interval;
use std::collections::HashMap;
use weftrace_artifact::{
    action::StreamId,
    join::{IntAt, KeyAt, KeyKind, LegKey, LegSpec},
};

/// One record of a leg's stream.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// The time it stands for: an interval, or an instant (start = end).
    pub interval: Interval,
    pub value: i64,
    /// The latest end in its list up to it.
    latest: u64,
    /// Its first range; others are in `Store::more`.
    range: (u64, u64),
    dir: u8,
    merged: bool,
    /// Which of the leg's keys it goes by.
    pub key: u8,
    has_more: bool,
    pub ends: Ends,
    node: u32,
    pub prev: u32,
    next: u32,
    payload: u32,
    /// Legs of the store whose anchors have used it.
    matched: u32,
}

impl Record {
    fn range(&self) -> Range {
        let (from, to) = self.range;
        Range { dir: self.dir, from, to, merged: self.merged }
    }
}

/// How legs read a stream's records: those that agree share a store.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shape {
    pub stream: StreamId,
    value: Option<IntAt>,
    interval: Option<(u32, u32)>,
    duration: bool,
    keys: Vec<LegKey>,
}

impl Shape {
    pub(super) fn of(leg: &LegSpec) -> Self {
        // Only a record without an interval of its own needs to know whether its value is one.
        let duration = leg.duration && leg.interval.is_none();
        let keys = leg.keys.clone();
        Self { stream: leg.stream, value: leg.value, interval: leg.interval, duration, keys }
    }

    /// The time a record stands for, and its value.
    fn read(&self, payload: &[u8], time: u64) -> (Interval, i64) {
        let value = self.value.map_or(1, |at| read_value(payload, at));
        let interval = match self.interval {
            Some((start, end)) => {
                let start = read_int(payload, start, 8) as u64;
                (start, (read_int(payload, end, 8) as u64).max(start))
            }
            // (Unsigned too: nothing takes 2^63 ns, it is a difference that went below 0.)
            None if self.duration => (time.saturating_sub(value.max(0) as u64), time),
            None => (time, time),
        };
        (interval, value)
    }
}

/// Records of legs with one shape.
#[derive(Debug)]
pub(super) struct Store {
    pub shape: Shape,
    /// Its column in the nodes' rows.
    column: usize,
    /// Keys of its stream by which a record is found through bindings, where it lacks the leg's own.
    own: Vec<(KeyKind, KeyAt)>,
    records: Slab<Record>,
    more: HashMap<u32, Box<[Range]>>,
    by_end: Calendar,
    /// Kept for those that nobody wanted, if somebody asks for these.
    payloads: Option<Payloads>,
    size: u32,
    pub gone: Gaps,
    /// What came when results of its time had been told.
    pub late: Gaps,
    /// Records that ended before this were let go: no anchor was expected to want them any more.
    pub expired_to: u64,
    scratch: Vec<u32>,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    InTime,
    /// It carries none of the keys.
    Keyless,
    /// Results were told that it may belong to: it should have come so many ns before.
    Late(u64),
}

/// What was told when a record comes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Past {
    /// What happened before this time was to have come by now.
    pub watermark: u64,
    /// No result reaches beyond this time.
    pub told_to: u64,
}

impl Past {
    /// By how much a record comes too late for results; None: it doesn't. `time`: of the event that it tells of, which may tell what was over long
    /// before.
    pub(super) fn missed_by(self, time: u64, interval: Interval) -> Option<u64> {
        let by = self.watermark.saturating_sub(time.max(interval.1));
        Some(by).filter(|by| *by > 0 && interval.0 <= self.told_to)
    }
}

/// Legs that share a store: a record has a bit for each. What are more have a store of their own.
pub(super) const MAX_LEGS: usize = u32::BITS as usize;

/// Steps back from a list's end to where a late record belongs; beyond them the list is not in order.
const MAX_STEPS_BACK: u32 = 64;

impl Store {
    pub(super) fn new(shape: Shape, column: usize, size: u32, own: Vec<(KeyKind, KeyAt)>) -> Self {
        Self {
            shape,
            column,
            own,
            records: Slab::default(),
            more: HashMap::new(),
            by_end: Calendar::default(),
            payloads: Some(Payloads::new(size)),
            size,
            gone: Gaps::default(),
            late: Gaps::default(),
            expired_to: 0,
            scratch: Vec::new(),
        }
    }

    /// Nobody asks for records that belong to no anchor: only their number is needed.
    pub(super) fn drop_payloads(&mut self) {
        self.payloads = None;
    }

    /// Takes a record, if it carries any of the keys. One that comes late is there for results that are still to be told; what others of its time
    /// lack may be on its way.
    pub(super) fn insert(
        &mut self,
        payload: &[u8],
        time: u64,
        past: Past,
        (nodes, digest): (&mut Nodes, &Digest),
    ) -> Taken {
        let Some((key, carried, bytes_at)) = self.key(payload, digest) else { return Taken::Keyless };
        let node = nodes.hold(carried.node);
        let (interval, value) = self.shape.read(payload, time);
        let mut all = bytes_at.into_iter().flat_map(|at| ranges(payload, at));
        let Range { dir, from, to, merged } = all.next().unwrap_or_default();
        let more: Vec<Range> = all.collect();
        let id = self.records.insert(Record {
            interval,
            value,
            latest: interval.1,
            range: (from, to),
            dir,
            merged,
            key,
            has_more: !more.is_empty(),
            ends: carried.ends.unwrap_or_default(),
            node,
            prev: NIL,
            next: NIL,
            payload: self.payloads.as_mut().map_or(NIL, |payloads| payloads.insert(payload)),
            matched: 0,
        });
        if !more.is_empty() {
            self.more.insert(id, more.into());
        }
        self.link(id, nodes);
        self.by_end.insert(interval.1, id);
        let Some(by) = past.missed_by(time, interval) else { return Taken::InTime };
        self.late.add(interval, 1, Some(LATE));
        Taken::Late(by)
    }

    /// The first of the leg's keys that the record carries; for bytes, where its ranges are.
    fn key(&self, payload: &[u8], digest: &Digest) -> Option<(u8, Carried, Option<u32>)> {
        for (i, key) in (0u8..).zip(&self.shape.keys) {
            if let Some(at) = key.leg {
                if let Some(carried) = digest.read(key.kind, payload, at) {
                    return Some((i, carried, (key.kind == KeyKind::Bytes).then_some(at.offset)));
                }
            } else if let Some(carried) = self.own.iter().find_map(|(kind, at)| digest.read(*kind, payload, *at)) {
                return Some((i, carried, None));
            }
        }
        None
    }

    /// Puts a record into its key's list, which is in order of ends but for what comes very late. Those behind it end later, so that their `latest`
    /// stays as it is.
    fn link(&mut self, id: u32, nodes: &mut Nodes) {
        let (node, end) = (self.records[id].node, self.records[id].interval.1);
        let (mut after, mut before) = (nodes.last(node, self.column), NIL);
        for _ in 0..MAX_STEPS_BACK {
            if after == NIL || self.records[after].interval.1 <= end {
                break;
            }
            (before, after) = (after, self.records[after].prev);
        }
        if after != NIL {
            self.records[id].latest = self.records[after].latest.max(end);
            self.records[after].next = id;
        }
        (self.records[id].prev, self.records[id].next) = (after, before);
        if before == NIL {
            nodes.set_last(node, self.column, id);
        } else {
            self.records[before].prev = id;
        }
    }

    /// The records under a key, the newest first, until no earlier one ends at `from` or after it.
    pub(super) fn find(&self, node: u32, from: u64, nodes: &Nodes) -> impl Iterator<Item = (u32, &Record)> {
        let mut at = nodes.last(node, self.column);
        std::iter::from_fn(move || {
            let record = (at != NIL).then(|| &self.records[at]).filter(|record| record.latest >= from)?;
            let id = std::mem::replace(&mut at, record.prev);
            Some((id, record))
        })
    }

    /// The kinds of keys by which bindings lead to its records, where these lack the leg's own.
    pub(super) fn led_to_by(&self) -> impl Iterator<Item = KeyKind> {
        self.own.iter().map(|(kind, _)| *kind)
    }

    pub(super) fn get(&self, id: u32) -> &Record {
        &self.records[id]
    }

    /// Whether any of the record's ranges passes.
    pub(super) fn any_range(&self, id: u32, record: &Record, mut passes: impl FnMut(&Range) -> bool) -> bool {
        let more = if record.has_more { self.more.get(&id) } else { None };
        passes(&record.range()) || more.is_some_and(|more| more.iter().any(passes))
    }

    /// `leg`: its number among those of the store, below [`MAX_LEGS`].
    pub(super) fn mark(&mut self, id: u32, leg: u32) {
        self.records[id].matched |= 1 << leg;
    }

    pub(super) fn oldest(&self) -> Option<u64> {
        self.by_end.oldest()
    }

    /// Memory that the records take; keys are the nodes'.
    pub(super) fn bytes(&self) -> u64 {
        let payload = if self.payloads.is_some() { self.size } else { 0 };
        let each = size_of::<Record>() as u64 + 2 * size_of::<u32>() as u64 + u64::from(payload);
        self.by_end.len() as u64 * each + (self.more.len() * 2 * size_of::<Record>()) as u64
    }

    /// Drops records that ended before `time`; `orphan` is told how each was used, and its payload.
    pub(super) fn expire(&mut self, time: u64, nodes: &mut Nodes, mut orphan: impl FnMut(u32, Option<&[u8]>)) {
        if time <= self.expired_to {
            return;
        }
        self.expired_to = time;
        let mut ids = std::mem::take(&mut self.scratch);
        let records = &self.records;
        self.by_end.take_before(time, &mut ids, |id| records[id].interval.1 < time);
        ids.sort_by_cached_key(|&id| self.order(id, nodes));
        for id in ids.drain(..) {
            let record = &self.records[id];
            let payload = self.payloads.as_ref().map(|payloads| payloads.get(record.payload));
            orphan(record.matched, payload);
            self.remove(id, nodes);
        }
        self.scratch = ids;
        self.gone.forget_before(time);
        self.late.forget_before(time);
    }

    /// By time, then by what is in it: never by arrival.
    fn order(&self, id: u32, nodes: &Nodes) -> (Interval, i64, NodeKey, Ends, Range, Option<&[u8]>) {
        let record = &self.records[id];
        let (start, end) = record.interval;
        let payload = self.payloads.as_ref().map(|payloads| payloads.get(record.payload));
        ((end, start), record.value, nodes.key(record.node), record.ends, record.range(), payload)
    }

    /// Drops records with the oldest end for want of room: at most `most`.
    pub(super) fn evict_oldest(&mut self, most: usize, nodes: &mut Nodes) -> u64 {
        let mut ids = std::mem::take(&mut self.scratch);
        let mut calendar = std::mem::take(&mut self.by_end);
        calendar.take_oldest(most, &mut ids, |id| self.order(id, nodes));
        self.by_end = calendar;
        let evicted = ids.len() as u64;
        for id in ids.drain(..) {
            self.gone.add(self.records[id].interval, 1, Some(EVICTED));
            self.remove(id, nodes);
        }
        self.scratch = ids;
        evicted
    }

    fn remove(&mut self, id: u32, nodes: &mut Nodes) {
        let Record { node, prev, next, payload, has_more, .. } = self.records[id];
        if prev != NIL {
            self.records[prev].next = next;
        }
        if next == NIL {
            nodes.set_last(node, self.column, prev);
        } else {
            self.records[next].prev = prev;
        }
        nodes.release(node);
        if has_more {
            self.more.remove(&id);
        }
        if let Some(payloads) = &mut self.payloads {
            payloads.remove(payload);
        }
        self.records.remove(id);
    }
}

#[cfg(test)]
mod tests;

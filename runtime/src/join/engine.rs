//! Open anchors, closed by watermark, each once.

use super::leg::{self, Anchor, LegOutcome, Missing, State};
use super::result::{JoinResult, Status, ViewStorage};
use super::store::{Record, Store};
use super::summary::Summary;
use super::verdict::{self, Interval};
use std::collections::BTreeMap;
use weftrace_artifact::{
    action::{StreamId, StreamSpec},
    join::{JoinSpec, JoinView, Keep, LegSpec},
};

/// Runs the join's compiled expressions (filter, total, keep).
pub trait Evaluate {
    fn call(&mut self, handler: u32, view: &JoinView) -> u64;
}

/// What the engine hands on.
#[derive(Debug)]
pub enum Output {
    Result(Box<JoinResult>),
    /// A leg's record that belonged to no anchor.
    Orphan {
        leg: u32,
        payload: Box<[u8]>,
    },
    /// An anchor that ended before the watermark it arrived after.
    Late {
        payload: Box<[u8]>,
    },
}

/// A stretch of time in which events of some streams were lost.
#[derive(Clone, Debug)]
struct Loss {
    interval: Interval,
    count: u64,
    streams: Vec<StreamId>,
}

/// At most this many loss intervals are kept apart; older ones are merged.
const MAX_LOSSES: usize = 256;

struct Open {
    payload: Box<[u8]>,
    start: u64,
}

/// One join.
pub struct Engine {
    spec: JoinSpec,
    streams: Vec<StreamSpec>,
    /// By (end, order of arrival).
    open: BTreeMap<(u64, u64), Open>,
    open_bytes: u64,
    stores: Vec<Store>,
    unfed: Vec<Option<String>>,
    losses: Vec<Loss>,
    watermark: u64,
    arrivals: u64,
    /// `keep slowest`: what the current window holds, and its end.
    slowest: (u64, Vec<JoinResult>),
    summary: Summary,
}

impl Engine {
    /// `streams`: the artifact's, so that fields can be shown by name.
    pub fn new(spec: JoinSpec, streams: &[StreamSpec]) -> Self {
        let legs = spec.legs.len();
        Self {
            streams: streams.to_vec(),
            open: BTreeMap::new(),
            open_bytes: 0,
            stores: (0..legs).map(|_| Store::default()).collect(),
            unfed: vec![None; legs],
            losses: Vec::new(),
            watermark: 0,
            arrivals: 0,
            slowest: (0, Vec::new()),
            summary: Summary::default(),
            spec,
        }
    }

    pub fn name(&self) -> &str {
        &self.spec.name
    }

    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// No probe feeds this stream (it could not be attached): its legs are unknown, not none.
    pub fn unfed(&mut self, stream: StreamId, reason: &str) {
        for (leg, unfed) in self.spec.legs.iter().zip(&mut self.unfed) {
            if leg.stream == stream {
                *unfed = Some(reason.to_owned());
            }
        }
    }

    /// Events of `streams` were lost between two loss snapshots.
    pub fn lost(&mut self, interval: Interval, streams: &[StreamId], count: u64) {
        self.summary.lost += count;
        if self.losses.len() >= MAX_LOSSES {
            let second = self.losses.remove(1);
            let first = &mut self.losses[0];
            first.interval.1 = first.interval.1.max(second.interval.1);
            first.count += second.count;
            for stream in second.streams {
                if !first.streams.contains(&stream) {
                    first.streams.push(stream);
                }
            }
        }
        self.losses.push(Loss { interval, count, streams: streams.to_vec() });
    }

    /// Takes a record of any stream; those of other joins are ignored. `time`: CLOCK_BOOTTIME ns of the event.
    pub fn record(
        &mut self,
        stream: StreamId,
        time: u64,
        payload: &[u8],
        eval: &mut dyn Evaluate,
        out: &mut dyn FnMut(Output),
    ) {
        if stream == self.spec.anchor {
            self.anchor(payload, eval, out);
        }
        for i in 0..self.spec.legs.len() {
            let leg = &self.spec.legs[i];
            if leg.stream != stream {
                continue;
            }
            let value = leg.value.map_or(1, |(offset, size)| read_int(payload, offset, size));
            let interval = interval_of(leg, payload, time, value);
            let conn = leg
                .keys
                .iter()
                .find_map(|k| super::store::Key::read(k.kind, payload, k.leg_offset).and_then(|(_, conn)| conn));
            let record = Record { interval, value, conn, matched: false, payload: payload.into() };
            if self.stores[i].insert(leg, record).is_none() {
                self.summary.keyless += 1;
            }
        }
        self.bound(eval, out);
    }

    fn anchor(&mut self, payload: &[u8], eval: &mut dyn Evaluate, out: &mut dyn FnMut(Output)) {
        let storage = ViewStorage::for_anchor(payload);
        if let Some(filter) = self.spec.filter
            && eval.call(filter, &storage.view()) == 0
        {
            return;
        }
        self.summary.seen += 1;
        let start = read_int(payload, self.spec.start_offset, 8) as u64;
        let end = (read_int(payload, self.spec.end_offset, 8) as u64).max(start);
        if end < self.watermark {
            self.summary.late += 1;
            out(Output::Late { payload: payload.into() });
            return;
        }
        self.arrivals += 1;
        self.open_bytes += payload.len() as u64;
        self.open.insert((end, self.arrivals), Open { payload: payload.into(), start });
    }

    /// Everything up to `watermark` has arrived: closes the anchors that ended before it and forgets what no later
    /// anchor can want.
    pub fn advance(&mut self, watermark: u64, eval: &mut dyn Evaluate, out: &mut dyn FnMut(Output)) {
        self.watermark = self.watermark.max(watermark);
        while let Some((&(end, _), _)) = self.open.first_key_value() {
            if end + leg::EPSILON_NS >= self.watermark {
                break;
            }
            self.close_first(Status::Closed, eval, out);
        }
        let since = self.spec.legs.iter().filter_map(|l| l.since_ns).max().unwrap_or(0);
        self.expire(self.watermark.saturating_sub(self.spec.timeout_ns + since), out);
        if self.slowest.0 <= self.watermark {
            self.emit_slowest(out);
        }
    }

    /// The end: closes what is open, tells what is left.
    pub fn flush(&mut self, eval: &mut dyn Evaluate, out: &mut dyn FnMut(Output)) {
        while !self.open.is_empty() {
            self.close_first(Status::Flushed, eval, out);
        }
        self.emit_slowest(out);
        self.expire(u64::MAX, out);
    }

    fn expire(&mut self, time: u64, out: &mut dyn FnMut(Output)) {
        for (i, store) in self.stores.iter_mut().enumerate() {
            store.expire(time, |record| {
                self.summary.orphans += 1;
                out(Output::Orphan { leg: i as u32, payload: record.payload });
            });
        }
        self.losses.retain(|loss| loss.interval.1 >= time);
    }

    /// Keeps within the declared limits, oldest end first.
    fn bound(&mut self, eval: &mut dyn Evaluate, out: &mut dyn FnMut(Output)) {
        while self.open.len() > self.spec.max_anchors as usize {
            self.summary.evicted_anchors += 1;
            self.close_first(Status::Evicted, eval, out);
        }
        while self.open_bytes + self.stores.iter().map(Store::bytes).sum::<u64>() > self.spec.max_bytes {
            let oldest = (0..self.stores.len()).filter_map(|i| self.stores[i].oldest_end().map(|end| (end, i))).min();
            let Some((_, i)) = oldest else { break };
            self.stores[i].evict_oldest();
            self.summary.evicted_records += 1;
        }
    }

    fn close_first(&mut self, status: Status, eval: &mut dyn Evaluate, out: &mut dyn FnMut(Output)) {
        let Some(((end, _), open)) = self.open.pop_first() else { return };
        self.open_bytes -= open.payload.len() as u64;
        let result = Box::new(self.result(&open, end, status, eval));
        self.summary.closed += 1;
        match &self.spec.keep {
            Keep::All => {}
            Keep::If(handler) => {
                let storage = ViewStorage::for_keep(&result);
                if eval.call(*handler, &storage.view()) == 0 {
                    return;
                }
            }
            Keep::Slowest { count, per_ns } => {
                let (count, per_ns) = (*count as usize, *per_ns);
                if self.slowest.1.is_empty() {
                    self.slowest.0 = end + per_ns;
                }
                self.slowest.1.push(*result);
                self.slowest.1.sort_by_key(|r| (std::cmp::Reverse(r.total()), r.end));
                self.slowest.1.truncate(count);
                return;
            }
        }
        self.keep(result, out);
    }

    fn keep(&mut self, mut result: Box<JoinResult>, out: &mut dyn FnMut(Output)) {
        result.text = super::result::text(&result);
        self.summary.kept(&result);
        out(Output::Result(result));
    }

    fn emit_slowest(&mut self, out: &mut dyn FnMut(Output)) {
        for result in std::mem::take(&mut self.slowest.1) {
            self.keep(Box::new(result), out);
        }
    }

    fn result(&mut self, open: &Open, end: u64, status: Status, eval: &mut dyn Evaluate) -> JoinResult {
        let begin = self.begin(open, eval).min(end);
        let anchor = Anchor { payload: &open.payload, start: open.start, begin, end };
        let mut legs: Vec<LegOutcome> = Vec::with_capacity(self.spec.legs.len());
        for (i, spec) in self.spec.legs.iter().enumerate() {
            let missing = self.missing(spec, i, begin, end);
            legs.push(leg::outcome(spec, &mut self.stores[i], &anchor, &missing));
        }
        let begin = self.opened_by_any(open, begin, &legs);
        let blamed: Vec<&[Interval]> = self.spec.blame.iter().map(|&i| legs[i as usize].intervals.as_slice()).collect();
        let division = verdict::divide((begin, end), &blamed);
        let known = self.spec.blame.iter().all(|&i| matches!(legs[i as usize].state, State::Value(_) | State::None));
        for (&leg, charged) in self.spec.blame.iter().zip(division.charged) {
            legs[leg as usize].charged = charged;
        }
        let (app, unknown) = if known { (division.rest, 0) } else { (0, division.rest) };
        let stream = self.streams.get(self.spec.anchor.0 as usize).cloned().unwrap_or_default();
        JoinResult::new(&self.spec, stream, open.payload.clone(), (begin, end), legs, (app, unknown), status)
    }

    /// The first `total` clause that applies; without one the anchor's start.
    fn begin(&self, open: &Open, eval: &mut dyn Evaluate) -> u64 {
        let storage = ViewStorage::for_anchor(&open.payload);
        let view = storage.view();
        for (begin, condition) in &self.spec.total {
            if condition.is_none_or(|c| eval.call(c, &view) != 0) {
                return eval.call(*begin, &view);
            }
        }
        open.start
    }

    /// Where the total begins with the connection's opening, it begins with the earliest that any layer saw of it: packets captured at the
    /// server don't show a SYN that was lost before it, the client's kernel does.
    fn opened_by_any(&self, open: &Open, begin: u64, legs: &[LegOutcome]) -> u64 {
        let opened = self.streams.get(self.spec.anchor.0 as usize).and_then(|stream| stream.field("opened"));
        if opened.is_none_or(|field| read_int(&open.payload, field.offset, 8) as u64 != begin) {
            return begin;
        }
        let before = |interval: &&Interval| interval.1 <= open.start + leg::EPSILON_NS;
        legs.iter()
            .zip(&self.spec.legs)
            .filter(|(leg, spec)| spec.since_ns.is_some() && spec.duration && leg.key == "conn")
            .flat_map(|(leg, _)| leg.intervals.iter().filter(before).map(|interval| interval.0))
            .fold(begin, u64::min)
    }

    fn missing(&self, leg: &LegSpec, index: usize, begin: u64, end: u64) -> Missing {
        let from = leg.since_ns.map_or(begin, |since| begin.saturating_sub(since));
        let overlapping = self
            .losses
            .iter()
            .filter(|l| l.streams.contains(&leg.stream) && l.interval.0 <= end && l.interval.1 >= from);
        Missing { lost: overlapping.map(|l| l.count).sum(), unfed: self.unfed[index].clone() }
    }
}

/// The time a leg's record stands for.
fn interval_of(leg: &LegSpec, payload: &[u8], time: u64, value: i64) -> Interval {
    match leg.interval {
        Some((start, end)) => {
            let start = read_int(payload, start, 8) as u64;
            (start, (read_int(payload, end, 8) as u64).max(start))
        }
        None if leg.duration => (time.saturating_sub(value.max(0) as u64), time),
        None => (time, time),
    }
}

/// A little integer of 1, 2, 4 or 8 bytes, zero-extended; 0 if the record is too short.
pub(super) fn read_int(payload: &[u8], offset: u32, size: u8) -> i64 {
    let mut bytes = [0; 8];
    let (from, len) = (offset as usize, usize::from(size).min(8));
    let Some(source) = payload.get(from..from + len) else { return 0 };
    if cfg!(target_endian = "little") {
        bytes[..len].copy_from_slice(source);
    } else {
        bytes[8 - len..].copy_from_slice(source);
    }
    i64::from_ne_bytes(bytes)
}

//! Open anchors, closed by watermark, each once.

mod close;
mod records;

use super::anchors::{Anchors, Closing};
use super::bindings::Bindings;
use super::epsilon::Epsilon;
use super::gaps::{Losses, STALLED};
use super::keys::{Digest, Known, Range};
use super::leg::{Scratch, Source};
use super::nodes::Nodes;
use super::result::JoinResult;
use super::setup::{bindable, goroutines, source};
pub(super) use super::setup::{read_int, read_value};
use super::slowest::Slowest;
use super::store::{MAX_LEGS, Shape, Store};
use super::summary::Summary;
use super::translations::Translations;
use super::verdict::{Free, Interval};
use std::rc::Rc;
use weftrace_artifact::{
    action::{StreamId, StreamSpec},
    join::{JoinSpec, JoinView, KeyAt, KeyKind},
};

/// Runs the join's compiled expressions (filter, total, keep).
pub trait Evaluate {
    fn call(&mut self, handler: u32, view: &JoinView) -> u64;
}

/// What the engine hands on.
#[derive(Debug)]
pub enum Output {
    Result(Box<JoinResult>),
    /// What is known so far of an anchor whose result is still to come.
    Early(Box<JoinResult>),
    /// A leg's record that belonged to no anchor.
    Orphan {
        leg: u32,
        payload: Box<[u8]>,
    },
    /// An anchor that ended before the watermark it arrived after.
    Late {
        payload: Box<[u8]>,
    },
    /// A leg's record, or a binding, that came so many ns too late: results that it may belong to were told without it.
    LateRecord {
        stream: StreamId,
        by: u64,
    },
}

/// One join.
pub struct Engine {
    spec: JoinSpec,
    /// The anchor's, and its results'.
    stream: Rc<StreamSpec>,
    /// Offset of its `opened` field.
    opened: Option<u32>,
    /// Offset and bytes of the anchor's field that says whether all of it was seen.
    complete: Option<(u32, u8)>,
    anchors: Anchors,
    /// Keys of the anchor that legs go by, or bindings begin at.
    anchor_keys: Vec<(KeyKind, KeyAt)>,
    bytes_at: Option<u32>,
    /// By stream: where its records say whose goroutine they are of, if it matters which processes have any.
    goroutines: Vec<Option<KeyAt>>,
    /// Of each leg: its store, its number there, and where its keys come from.
    legs: Vec<(usize, u32, Vec<Source>)>,
    epsilon: Epsilon,
    stores: Vec<Store>,
    /// Stores that a stream feeds.
    by_stream: Vec<Vec<usize>>,
    orphans_wanted: Vec<bool>,
    nodes: Nodes,
    digest: Digest,
    bindings: Bindings,
    translations: Translations,
    unfed: Vec<Option<String>>,
    losses: Losses,
    watermark: u64,
    /// No result that was told reaches beyond this time.
    told_to: u64,
    /// How far the sources have come that aren't late, and the streams of those that are.
    early: (u64, Vec<StreamId>),
    /// The last time that is one: the last watermark that wasn't the end.
    clock: u64,
    /// The first watermark: everything that is later was seen, unless it was lost.
    began: Option<u64>,
    /// By stream: since when what is on it was seen at all; 0: always.
    seen_from: Vec<u64>,
    /// By stream: from when on what isn't there may be missing, and why.
    doubted: Vec<Option<(u64, String)>>,
    since_check: u32,
    slowest: Slowest,
    summary: Summary,
    work: Work,
}

/// Buffers that are used again.
#[derive(Debug, Default)]
struct Work {
    scratch: Scratch,
    keys: Vec<Option<Known>>,
    ranges: Vec<Range>,
    free: Free,
    closing: Vec<Closing>,
}

/// Records between two looks at how much room is taken.
const CHECK_EVERY: u32 = 64;

impl Engine {
    /// `streams`: the artifact's, so that fields can be shown by name.
    pub fn new(spec: JoinSpec, streams: &[StreamSpec]) -> Self {
        let bindings = Bindings::new(&spec, streams);
        let translations = Translations::new(&spec, streams);
        let stream = streams.get(spec.anchor.0 as usize).cloned().unwrap_or_default();
        let mut anchor_keys = bindable(&stream, streams, &bindings);
        let mut shapes: Vec<Shape> = Vec::new();
        let mut legs: Vec<(usize, u32, Vec<Source>)> = Vec::new();
        for leg in &spec.legs {
            let shape = Shape::of(leg);
            let full = |store: usize| legs.iter().filter(|(s, ..)| *s == store).count() >= MAX_LEGS;
            let store = (0..shapes.len()).find(|&i| shapes[i] == shape && !full(i)).unwrap_or(shapes.len());
            if store == shapes.len() {
                shapes.push(shape);
            }
            let of_store = legs.iter().filter(|(s, ..)| *s == store).count() as u32;
            let sources = leg.keys.iter().map(|key| source(key, &mut anchor_keys)).collect();
            legs.push((store, of_store, sources));
        }
        let mut by_stream = vec![Vec::new(); streams.len()];
        let mut stores = Vec::new();
        for (column, shape) in shapes.into_iter().enumerate() {
            let of = streams.get(shape.stream.0 as usize).cloned().unwrap_or_default();
            let used = spec.legs.iter().zip(&legs).any(|(leg, (store, ..))| *store == column && !leg.off);
            if let Some(list) = by_stream.get_mut(shape.stream.0 as usize).filter(|_| used) {
                list.push(column);
            }
            stores.push(Store::new(shape, column, of.size, bindable(&of, streams, &bindings)));
        }
        let bytes = anchor_keys.iter().find(|(kind, _)| *kind == KeyKind::Bytes);
        Self {
            opened: stream.field("opened").map(|f| f.offset),
            complete: stream.field("complete").map(|f| (f.offset, f.ty.size() as u8)),
            anchors: Anchors::new(&spec, &stream, &anchor_keys),
            bytes_at: bytes.map(|(_, at)| at.offset),
            anchor_keys,
            goroutines: goroutines(&spec, streams),
            epsilon: Epsilon::unsaid(spec.legs.len()),
            orphans_wanted: vec![true; spec.legs.len()],
            nodes: Nodes::new(stores.len()),
            legs,
            stores,
            by_stream,
            digest: Digest::default(),
            bindings,
            translations,
            unfed: vec![None; streams.len()],
            losses: Losses::default(),
            watermark: 0,
            told_to: 0,
            early: (0, Vec::new()),
            clock: 0,
            began: None,
            seen_from: vec![0; streams.len()],
            doubted: vec![None; streams.len()],
            since_check: 0,
            slowest: Slowest::default(),
            summary: Summary::of(&spec.keep),
            work: Work::default(),
            stream: stream.into(),
            spec,
        }
    }

    pub fn name(&self) -> &str {
        &self.spec.name
    }

    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// The legs whose orphans somebody asks for: records of others are kept without what is in them.
    pub fn want_orphans(&mut self, wanted: impl Fn(u32) -> bool) {
        self.orphans_wanted = (0..self.spec.legs.len() as u32).map(wanted).collect();
        for (i, store) in self.stores.iter_mut().enumerate() {
            let of_store = self.legs.iter().zip(&self.orphans_wanted).filter(|((s, ..), _)| *s == i);
            if !of_store.into_iter().any(|(_, wanted)| *wanted) {
                store.drop_payloads();
            }
        }
    }

    /// Nothing that a stream lacks from this time on is known not to have been: legs on which nothing is found in such a window are unknown.
    pub fn doubted(&mut self, stream: StreamId, from: u64, reason: &str) {
        self.bindings_doubted(stream, from, reason);
        if let Some(doubted) = self.doubted.get_mut(stream.0 as usize) {
            let before = doubted.as_ref().is_some_and(|(earlier, _)| *earlier <= from);
            if !before {
                *doubted = Some((from, reason.to_owned()));
            }
        }
    }

    /// No probe feeds this stream (it could not be attached): its legs are unknown, not none.
    pub fn unfed(&mut self, stream: StreamId, reason: &str) {
        self.bindings_doubted(stream, 0, reason);
        if let Some(unfed) = self.unfed.get_mut(stream.0 as usize) {
            *unfed = Some(reason.to_owned());
        }
    }

    fn bindings_doubted(&mut self, stream: StreamId, from: u64, reason: &str) {
        if self.bindings.are_ended_by(stream) {
            self.missing((from, u64::MAX), &[stream], 0, Some(reason));
        }
    }

    /// The probes of this stream run since then: what was before is unknown, not none.
    pub fn seen_from(&mut self, stream: StreamId, time: u64) {
        if let Some(from) = self.seen_from.get_mut(stream.0 as usize) {
            *from = time;
        }
    }

    /// By how many ns an event of one stream and one of another may be apart, and nobody can say which was first.
    pub fn uncertain(&mut self, apart: &dyn Fn(StreamId, StreamId) -> u64) {
        let bindings: Vec<StreamId> = self.bindings.streams().collect();
        let bound = |leg: usize| self.legs[leg].2.iter().any(|source| matches!(source, Source::Bound(_)));
        self.epsilon = Epsilon::new(&self.spec.legs, &bindings, bound, |stream| apart(self.spec.anchor, stream));
    }

    /// How far behind a watermark anchors may have ended and are not told yet, ns.
    pub(crate) fn waits(&self) -> u64 {
        self.epsilon.most()
    }

    /// Nothing of this run can feed the stream, as of kernel events where a capture is read: its legs are no layers of the result.
    pub fn leave_out(&mut self, stream: StreamId) {
        self.spec.legs.iter_mut().filter(|leg| leg.stream == stream).for_each(|leg| leg.off = true);
    }

    /// Events of `streams` were lost between two loss snapshots. `reason`: what a leg's state says then, instead of how many.
    pub fn lost(&mut self, interval: Interval, streams: &[StreamId], count: u64, reason: Option<&str>) {
        if self.missing(interval, streams, count, reason) {
            self.summary.lost += count;
        }
    }

    /// The source of `streams` has stood still since the interval's begin, until now: called again, the interval grows.
    pub fn stalled(&mut self, interval: Interval, streams: &[StreamId]) {
        self.missing(interval, streams, 0, Some(STALLED));
    }

    /// Says whether it reads any of the streams.
    fn missing(&mut self, interval: Interval, streams: &[StreamId], count: u64, reason: Option<&str>) -> bool {
        let read: Vec<StreamId> = streams.iter().copied().filter(|stream| self.reads(*stream)).collect();
        let any = !read.is_empty();
        if any {
            self.losses.add(interval, read, count, reason);
        }
        any
    }

    /// Whether results depend on the stream.
    fn reads(&self, stream: StreamId) -> bool {
        let mut legs = self.spec.legs.iter().filter(|leg| !leg.off);
        stream == self.spec.anchor
            || legs.any(|leg| leg.stream == stream)
            || self.bindings.streams().chain(self.translations.stream()).any(|own| own == stream)
    }

    /// Everything up to `watermark` has arrived: closes the anchors that ended before it and forgets what no later
    /// anchor can want.
    pub fn advance(&mut self, watermark: u64, eval: &mut dyn Evaluate, out: &mut dyn FnMut(Output)) {
        self.watermark = self.watermark.max(watermark);
        if watermark != u64::MAX {
            self.clock = self.clock.max(watermark);
            self.began.get_or_insert(watermark);
        }
        let mut closing = std::mem::take(&mut self.work.closing);
        self.anchors.ended_before(self.watermark, self.epsilon.most(), &mut closing);
        for closed in closing.drain(..) {
            self.close(&closed, eval, out);
        }
        self.work.closing = closing;
        self.bound(|limit| limit, eval, out);
        // At the end of all records those that have only begun still want theirs: `flush` closes them.
        if watermark != u64::MAX {
            let since = self.spec.legs.iter().filter_map(|l| l.since_ns).max().unwrap_or(0);
            let kept = self.spec.timeout_ns.saturating_add(since).saturating_add(2 * self.epsilon.most());
            self.expire(self.watermark.saturating_sub(kept), out);
        }
        while let Some(result) = self.slowest.next_before(self.watermark.saturating_sub(self.epsilon.most())) {
            self.keep(result, out);
        }
    }

    /// The end: closes what is open, tells what is left.
    pub fn flush(&mut self, eval: &mut dyn Evaluate, out: &mut dyn FnMut(Output)) {
        self.watermark = u64::MAX;
        let mut closing = Vec::new();
        self.anchors.rest(self.clock, &mut closing);
        for closed in closing {
            self.close(&closed, eval, out);
        }
        while let Some(result) = self.slowest.next_before(u64::MAX) {
            self.keep(result, out);
        }
        self.expire(u64::MAX, out);
    }

    fn expire(&mut self, time: u64, out: &mut dyn FnMut(Output)) {
        for (i, store) in self.stores.iter_mut().enumerate() {
            let of_store = self.legs.iter().enumerate().filter(|(_, (s, ..))| *s == i);
            let legs: Vec<(u32, u32)> = of_store.map(|(leg, (_, bit, _))| (leg as u32, *bit)).collect();
            store.expire(time, &mut self.nodes, |matched, payload| {
                for &(leg, _) in legs.iter().filter(|(_, bit)| matched & 1 << bit == 0) {
                    self.summary.orphans += 1;
                    if let Some(payload) = payload.filter(|_| self.orphans_wanted[leg as usize]) {
                        out(Output::Orphan { leg, payload: payload.into() });
                    }
                }
            });
        }
        self.bindings.expire(time, &mut self.nodes);
        self.translations.expire(time, &mut self.nodes);
        // One that ended as long before a leg's window as both may be off may have had a record that is within it.
        self.anchors.expire(time.saturating_sub(2 * self.epsilon.most()), self.watermark, &mut self.nodes);
        // What is lost of translations, and of what is bound, is so for as long as the connections last.
        let lasting: Vec<StreamId> =
            self.translations.stream().into_iter().chain(self.bindings.needed_streams()).collect();
        self.losses.forget_before(time, &lasting);
    }

    /// Memory taken by what is kept.
    pub fn bytes(&self) -> u64 {
        let stores: u64 = self.stores.iter().map(Store::bytes).sum();
        stores
            + self.nodes.bytes()
            + self.bindings.bytes()
            + self.translations.bytes()
            + self.anchors.bytes()
            + self.slowest.bytes()
    }

    /// Keeps within the declared limits, oldest end first.
    fn bound(&mut self, limit: impl Fn(u64) -> u64, eval: &mut dyn Evaluate, out: &mut dyn FnMut(Output)) {
        self.since_check = 0;
        let anchors = limit(u64::from(self.spec.max_anchors)) as usize;
        if self.anchors.len() > anchors {
            self.evict_anchors(self.anchors.len() - self.spec.max_anchors as usize, eval, out);
        }
        if self.bytes() <= limit(self.spec.max_bytes) {
            return;
        }
        loop {
            let excess = self.bytes().saturating_sub(self.spec.max_bytes);
            if excess == 0 {
                return;
            }
            let translations = self.translations.bytes();
            let oldest = (0..self.stores.len()).filter_map(|i| self.stores[i].oldest().map(|end| (end, i))).min();
            let known = self.anchors.oldest_known();
            let nothing = oldest.is_none() && known.is_none();
            let most = (excess / 256).max(1) as usize;
            // (Of results that were told only whether something comes too late for them.)
            if self.bindings.forget_told(&mut self.nodes) {
                continue;
            }
            if self.bindings.len() > 0 && (nothing || self.bindings.bytes() > self.spec.max_bytes / 2) {
                self.summary.evicted_bindings += self.bindings.evict_oldest(&mut self.nodes);
            } else if self.translations.len() > 0 && (nothing || translations > self.spec.max_bytes / 4) {
                self.summary.evicted_bindings += self.translations.evict_oldest(&mut self.nodes);
            } else if let Some((_, i)) = oldest.filter(|(end, _)| known.is_none_or(|known| *end <= known)) {
                self.summary.evicted_records += self.stores[i].evict_oldest(most, &mut self.nodes);
            } else if known.is_some() {
                self.summary.evicted_ids += self.anchors.forget_oldest(most, &mut self.nodes);
            } else if self.anchors.len() > 0 {
                self.evict_anchors((self.anchors.len() / 8).max(1), eval, out);
            } else {
                return;
            }
        }
    }

    fn evict_anchors(&mut self, count: usize, eval: &mut dyn Evaluate, out: &mut dyn FnMut(Output)) {
        let mut closing = Vec::new();
        self.anchors.oldest(count, self.clock, &mut closing);
        self.summary.evicted_anchors += closing.len() as u64;
        for closed in closing {
            self.close(&closed, eval, out);
        }
    }
}

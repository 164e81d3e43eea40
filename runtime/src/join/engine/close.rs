//! What an anchor comes to when it is closed.

use super::{Engine, Evaluate, Output, read_int};
use crate::join::{
    anchors::Closing,
    gaps::Asked,
    keys::{Known, ranges},
    leg::{self, Anchor, Inputs, LegOutcome},
    result::{JoinResult, Status, ViewStorage},
    show, translations,
};
use std::rc::Rc;
use weftrace_artifact::{
    action::StreamId,
    join::{Keep, KeyKind, LegSpec},
};

/// The reason of what comes late, where a result is told early.
const NOT_YET: &str = "not yet";
/// Everything is attached before the first watermark is made, which may be so much older.
const ATTACHED_BY_NS: u64 = 200_000_000;

impl Engine {
    pub(super) fn close(&mut self, closed: &Closing, eval: &mut dyn Evaluate, out: &mut dyn FnMut(Output)) {
        let mut result = Box::new(self.result(closed, eval));
        self.anchors.told(closed, &mut self.nodes, &self.digest);
        self.remember_what_lacks(&result);
        self.summary.closed += 1;
        self.told_to = self.told_to.max(closed.end.saturating_add(self.epsilon.most()));
        match self.spec.keep {
            Keep::All => {}
            Keep::If(handler) => {
                let storage = ViewStorage::for_close(&result, &self.spec);
                if eval.call(handler, &storage.view()) == 0 {
                    return;
                }
            }
            Keep::Slowest { count, per_ns } => {
                if self.slowest.wants(&result, count, per_ns) {
                    result.name(&self.spec);
                    self.slowest.add(result, count, per_ns);
                    // The other half is for what is joined meanwhile.
                    self.summary.evicted_slowest += self.slowest.keep_within(self.spec.max_bytes / 2);
                }
                return;
            }
        }
        result.name(&self.spec);
        self.keep(result, out);
    }

    /// Of a result that no binding led to a leg of, though one may come when it is over: so that it is noticed if one does. (Of one that was told before
    /// its time it is said already that it lacks something.)
    fn remember_what_lacks(&mut self, result: &JoinResult) {
        if !matches!(result.status, Status::Closed | Status::Open) || !result.legs.iter().any(|leg| leg.unled) {
            return;
        }
        for (kind, at) in &self.anchor_keys {
            if let Some(carried) = self.digest.read(*kind, &result.anchor, *at) {
                self.bindings.told_without(carried.node, (result.begin, result.end), &mut self.nodes);
            }
        }
    }

    /// Tells what is known so far of anchors that ended before `watermark`, up to which all has come but what is on the streams `late`: legs on these are
    /// unknown (`not yet`). Each once; it stays open, and its result comes as ever.
    pub(crate) fn tell_early(
        &mut self,
        (watermark, late): (u64, Vec<StreamId>),
        eval: &mut dyn Evaluate,
        out: &mut dyn FnMut(Output),
    ) {
        // Nothing can be said of an anchor that isn't there, or of bindings that may still come.
        if late.contains(&self.spec.anchor) || self.bindings.streams().any(|stream| late.contains(&stream)) {
            return;
        }
        self.early = (watermark, late);
        self.anchors.watch_early();
        let mut ended = Vec::new();
        self.anchors.ended_early(watermark.saturating_sub(self.epsilon.most()), &mut ended);
        for closing in ended {
            let mut result = Box::new(self.result(&closing, eval));
            let kept = match self.spec.keep {
                Keep::All => true,
                Keep::If(handler) => eval.call(handler, &ViewStorage::for_close(&result, &self.spec).view()) != 0,
                // Which ones are the slowest isn't known before their time is over.
                Keep::Slowest { .. } => false,
            };
            if kept {
                result.name(&self.spec);
                result.text = show::line::bare(&result);
                out(Output::Early(result));
            }
        }
    }

    pub(super) fn keep(&mut self, mut result: Box<JoinResult>, out: &mut dyn FnMut(Output)) {
        result.text = show::line::bare(&result);
        self.summary.kept(&result);
        out(Output::Result(result));
    }

    fn result(&mut self, closed: &Closing, eval: &mut dyn Evaluate) -> JoinResult {
        let payload: Box<[u8]> = self.anchors.payload(closed).into();
        let begin = self.begin(&payload, closed, eval);
        self.work.keys.clear();
        for (kind, at) in &self.anchor_keys {
            // An anchor that doesn't know its bytes still has a connection, whose bytes may have been its own.
            let kind = if *kind == KeyKind::Bytes { KeyKind::Conn } else { *kind };
            let carried = self.digest.read(kind, &payload, *at);
            let known = carried.map(|c| Known { kind, node: self.nodes.find(&c.node), ends: c.ends });
            self.work.keys.push(known);
        }
        self.work.ranges.clear();
        self.work.ranges.extend(self.bytes_at.into_iter().flat_map(|at| ranges(&payload, at)));
        let begin = self.opened_by_any(&payload, closed, begin);
        let mut legs = self.outcomes(closed, &payload, begin, |_| true);
        let torn = self.torn(&payload, closed);
        let free = &mut self.work.free;
        free.begin((begin, closed.end));
        let mut known = torn.is_none();
        for &i in &self.spec.blame {
            let leg = &mut legs[i as usize];
            leg.charged = free.take(&leg.intervals);
            known &= leg.is_known();
        }
        let (app, unknown) = if known { (free.rest(), 0) } else { (0, free.rest()) };
        let stream = Rc::clone(&self.stream);
        JoinResult {
            torn,
            ..JoinResult::new((stream, payload), (begin, closed.end), legs, (app, unknown), closed.status)
        }
    }

    /// Of an anchor that wasn't seen whole, where pieces of its stream were lost meanwhile, how many: it may have ended long before, and what its total
    /// consists of isn't known.
    fn torn(&self, payload: &[u8], closed: &Closing) -> Option<u64> {
        let (at, size) = self.complete?;
        if read_int(payload, at, size) != 0 {
            return None;
        }
        let asked = std::iter::once(Asked::within(self.spec.anchor, (closed.start, closed.end)));
        self.losses.within(&asked).map(|(lost, _)| lost)
    }

    /// Whether every binding of the anchor's connection is known that was told by now, but for losses: it was opened since the run began.
    fn all_bindings_known(&self, payload: &[u8], end: u64) -> bool {
        let opened = self.opened.map_or(0, |at| read_int(payload, at, 8) as u64);
        let life = (opened, end);
        let began = self.began.map_or(u64::MAX, |began| began.saturating_add(ATTACHED_BY_NS));
        opened >= began
            && self.bindings.gone.within(life).is_none()
            && !self.bindings.needed_streams().any(|s| self.unfed[s.0 as usize].is_some())
    }

    /// Of those legs that are asked for.
    fn outcomes(
        &mut self,
        closed: &Closing,
        payload: &[u8],
        begin: u64,
        wanted: impl Fn(&LegSpec) -> bool,
    ) -> Vec<LegOutcome> {
        let opened = self.opened.map_or(0, |at| read_int(payload, at, 8) as u64);
        let anchor = Anchor {
            opened,
            start: closed.start,
            begin,
            end: closed.end,
            keys: &self.work.keys,
            ids: self.anchors.ids(closed),
            ranges: &self.work.ranges,
            // Of what is closed before its time more may come.
            complete_to: match closed.status {
                Status::Flushed => u64::MAX,
                Status::Early => self.early.0,
                _ => self.watermark,
            },
            all_bindings_known: self.all_bindings_known(payload, closed.end),
        };
        let conn = self.work.keys.iter().flatten().find(|key| key.ends.is_some());
        let told = conn
            .and_then(|key| self.translations.told(&translations::Asked { node: key.node, opened, end: closed.end }));
        let mut legs = Vec::with_capacity(self.spec.legs.len());
        let all = self.spec.legs.iter().zip(&self.legs).enumerate();
        for (i, (spec, (store, bit, sources))) in all.filter(|(_, (spec, _))| wanted(spec)) {
            let by_id = spec.keys.iter().any(|key| key.kind == KeyKind::Id);
            let stream = spec.stream.0 as usize;
            let (anchors, watermark) = (&self.anchors, self.watermark);
            let namesakes = |around| anchors.namesakes(closed, around, watermark);
            let inputs = Inputs {
                spec,
                epsilon: self.epsilon.leg(i),
                sources,
                nodes: &self.nodes,
                bindings: &self.bindings,
                translations: &self.translations,
                told,
                unfed: if closed.status == Status::Early && self.early.1.contains(&spec.stream) {
                    Some(NOT_YET)
                } else {
                    self.unfed.get(stream).and_then(Option::as_deref)
                },
                losses: &self.losses,
                seen_from: self.seen_from.get(stream).copied().unwrap_or(0),
                doubted: self.doubted.get(stream).and_then(|d| d.as_ref().map(|(from, why)| (*from, why.as_str()))),
                namesakes: if by_id { Some(&namesakes) } else { None },
            };
            legs.push(leg::outcome(&inputs, &mut self.stores[*store], *bit, &anchor, &mut self.work.scratch));
        }
        legs
    }

    /// The first `total` clause that applies and gives a time: 0 is none, and neither is one behind the end. Without one the anchor's start.
    fn begin(&self, payload: &[u8], closed: &Closing, eval: &mut dyn Evaluate) -> u64 {
        if self.spec.total.is_empty() {
            return closed.start;
        }
        let storage = ViewStorage::for_anchor(payload);
        let view = storage.view();
        for (begin, condition) in &self.spec.total {
            if condition.is_none_or(|c| eval.call(c, &view) != 0) {
                let time = eval.call(*begin, &view);
                if time != 0 && time <= closed.end {
                    return time;
                }
            }
        }
        closed.start
    }

    /// Where the total begins with the connection's opening, it begins with the earliest that any layer saw of it: packets captured at the
    /// server don't show a SYN that was lost before it, the client's kernel does. All legs are then asked of the whole of it.
    fn opened_by_any(&mut self, payload: &[u8], closed: &Closing, begin: u64) -> u64 {
        if self.opened.is_none_or(|at| read_int(payload, at, 8) as u64 != begin) {
            return begin;
        }
        let by_conn = |leg: &LegSpec| leg.keys.iter().any(|key| key.kind == KeyKind::Conn);
        let opening = |leg: &LegSpec| leg.since_ns.is_some() && leg.duration && by_conn(leg);
        let legs = self.outcomes(closed, payload, begin, opening);
        let specs = self.spec.legs.iter().enumerate().filter(|(_, spec)| opening(spec));
        let mut first = begin;
        for (leg, (i, _)) in legs.iter().zip(specs).filter(|(leg, _)| leg.key == KeyKind::Conn.name()) {
            let start = closed.start.saturating_add(self.epsilon.leg(i));
            let before = leg.intervals.iter().filter(|interval| interval.1 <= start);
            first = before.fold(first, |first, interval| first.min(interval.0));
        }
        first
    }
}

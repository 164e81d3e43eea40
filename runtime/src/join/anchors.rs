//! Anchors that wait for the watermark to pass their end, and those that have begun and not ended.

mod names;
pub(super) mod spans;

use super::calendar::Calendar;
use super::engine::read_int;
use super::keys::{Digest, NodeKey};
use super::nodes::Nodes;
use super::result::{Status, id_value};
use super::slab::{Payloads, Slab};
use super::verdict::Interval;
use names::{Name, Named, Names};
use spans::Spans;
use std::collections::BTreeSet;
use weftrace_artifact::{
    action::StreamSpec,
    join::{IdSource, JoinSpec, KeyAt, KeyKind, keys_of},
};

#[derive(Debug)]
struct Open {
    start: u64,
    /// Of one that has only begun: when its time is up.
    end: u64,
    payload: u32,
    /// Nodes of its ids, if legs go by them.
    ids: Box<[u32]>,
    /// Its end hasn't come.
    begun: bool,
}

/// An anchor whose time has come.
#[derive(Debug)]
pub(super) struct Closing {
    id: u32,
    pub start: u64,
    pub end: u64,
    pub status: Status,
}

/// What became of an anchor's record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// Nothing was known of the anchor.
    pub first: bool,
    /// The watermark has passed its end, or its time was up.
    pub late: bool,
}

#[derive(Debug)]
pub(super) struct Anchors {
    start_offset: u32,
    end_offset: u32,
    timeout_ns: u64,
    /// The first key that a record carries names the anchor, with its start.
    name_keys: Vec<(KeyKind, KeyAt)>,
    /// What names its trace, if legs go by that.
    sources: Vec<IdSource>,
    id_keys: Vec<KeyAt>,
    open: Slab<Open>,
    payloads: Payloads,
    payload_size: u64,
    by_end: Calendar,
    /// There are records of beginnings: only then are names kept.
    begins: bool,
    names: Names,
    spans: Spans,
    /// Those of which nothing was told early, by their ends; None: nobody asks for that.
    untold: Option<BTreeSet<(u64, u32)>>,
}

impl Anchors {
    pub(super) fn new(spec: &JoinSpec, stream: &StreamSpec, keys: &[(KeyKind, KeyAt)]) -> Self {
        let by_alias = spec.legs.iter().flat_map(|leg| &leg.keys).any(|k| k.kind == KeyKind::Id && k.anchor.is_none());
        Self {
            start_offset: spec.start_offset,
            end_offset: spec.end_offset,
            timeout_ns: spec.timeout_ns,
            name_keys: keys_of(stream).collect(),
            sources: if by_alias { spec.ids.clone() } else { Vec::new() },
            id_keys: keys.iter().filter(|(kind, _)| *kind == KeyKind::Id).map(|(_, at)| *at).collect(),
            open: Slab::default(),
            payloads: Payloads::new(stream.size),
            payload_size: stream.size.into(),
            by_end: Calendar::default(),
            begins: false,
            names: Names::new(spec.timeout_ns),
            spans: Spans::default(),
            untold: None,
        }
    }

    /// From now on [`Self::ended_early`] has those that end.
    pub(super) fn watch_early(&mut self) {
        self.untold.get_or_insert_default();
    }

    pub(super) fn len(&self) -> usize {
        self.by_end.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        let each = size_of::<Open>() as u64 + 8 + self.payload_size;
        self.open.len() as u64 * each + self.spans.bytes() + self.names.bytes()
    }

    pub(super) fn take(&mut self, payload: &[u8], watermark: u64, nodes: &mut Nodes, digest: &Digest) -> Taken {
        let start = read_int(payload, self.start_offset, 8) as u64;
        let said = read_int(payload, self.end_offset, 8) as u64;
        if said == 0 && start != 0 {
            return self.begin(payload, start, watermark, nodes, digest);
        }
        let end = said.max(start);
        let mut first = true;
        if self.begins {
            let name = self.name(payload, start, digest);
            match self.names.get(&name) {
                Some(Named::Told) => return Taken { first: false, late: true },
                // There is one result at most of each.
                None if self.names.may_be_told(name) => return Taken { first: false, late: true },
                Some(Named::Begun(id)) => {
                    // What ends is another one.
                    first = false;
                    self.let_go(id, nodes);
                    self.by_end.remove(self.open[id].end, id);
                    self.open.remove(id);
                }
                Some(Named::Ended) | None => {}
            }
            self.names.over(name, Named::Ended, end);
        }
        if end < watermark {
            return Taken { first, late: true };
        }
        let ids = self.hold_ids(payload, nodes, digest);
        for &node in &ids {
            self.spans.add(node, (start, end), nodes);
        }
        self.add(Open { start, end, payload: 0, ids, begun: false }, payload);
        Taken { first, late: false }
    }

    fn begin(&mut self, payload: &[u8], start: u64, watermark: u64, nodes: &mut Nodes, digest: &Digest) -> Taken {
        self.expect_beginnings(digest);
        let end = start.saturating_add(self.timeout_ns);
        let name = self.name(payload, start, digest);
        match self.names.get(&name) {
            Some(Named::Ended | Named::Told) => return Taken::default(),
            // Of two that say the same the first in order counts, whichever comes first.
            Some(Named::Begun(id)) if self.payloads.get(self.open[id].payload) <= payload => return Taken::default(),
            Some(Named::Begun(id)) => {
                self.let_go(id, nodes);
                self.open[id].payload = self.payloads.insert(payload);
                self.open[id].ids = self.hold_ids(payload, nodes, digest);
                return Taken::default();
            }
            // It would be open for ever if its end was there: that end, if it is still to come, is a result of its own.
            None if self.names.may_be_over(name) => return Taken { first: false, late: true },
            None => {}
        }
        if end < watermark {
            self.names.over(name, Named::Told, end);
            return Taken { first: true, late: true };
        }
        let ids = self.hold_ids(payload, nodes, digest);
        let id = self.add(Open { start, end, payload: 0, ids, begun: true }, payload);
        self.names.begun(name, id);
        Taken { first: true, late: false }
    }

    fn add(&mut self, open: Open, payload: &[u8]) -> u32 {
        let (end, payload) = (open.end, self.payloads.insert(payload));
        let begun = open.begun;
        let id = self.open.insert(Open { payload, ..open });
        self.by_end.insert(end, id);
        if let Some(untold) = self.untold.as_mut().filter(|_| !begun) {
            untold.insert((end, id));
        }
        id
    }

    /// From the first record of a beginning on names are known, also of those that were there.
    fn expect_beginnings(&mut self, digest: &Digest) {
        if std::mem::replace(&mut self.begins, true) {
            return;
        }
        let ids: Vec<u32> = self.by_end.ids().collect();
        for id in ids {
            let Open { start, end, payload, .. } = self.open[id];
            let name = self.name(self.payloads.get(payload), start, digest);
            self.names.over(name, Named::Ended, end);
        }
    }

    fn name(&self, payload: &[u8], start: u64, digest: &Digest) -> Name {
        (
            start,
            self.name_keys.iter().find_map(|(kind, at)| digest.read(*kind, payload, *at)).map(|carried| carried.node),
        )
    }

    fn hold_ids(&self, payload: &[u8], nodes: &mut Nodes, digest: &Digest) -> Box<[u32]> {
        if self.sources.is_empty() && self.id_keys.is_empty() {
            return Box::default();
        }
        let own = self.id_keys.iter().filter_map(|at| digest.read(KeyKind::Id, payload, *at)).map(|c| c.node);
        let values: Vec<String> = self.sources.iter().filter_map(|source| id_value(source, payload)).collect();
        let aliases = values.iter().flat_map(|value| [Some(value.as_str()), trace_of(value)]).flatten();
        let mut keys: Vec<NodeKey> = own.chain(aliases.map(|id| digest.id(id.as_bytes()))).collect();
        keys.sort_unstable();
        keys.dedup();
        keys.into_iter().map(|key| nodes.hold(key)).collect()
    }

    /// Frees what one has.
    fn let_go(&mut self, id: u32, nodes: &mut Nodes) {
        let open = &mut self.open[id];
        std::mem::take(&mut open.ids).iter().for_each(|node| nodes.release(*node));
        self.payloads.remove(open.payload);
    }

    /// How many other anchors carry one of its ids within `around`, which has its own time in it, as far as all are known; None: some that may were
    /// forgotten for want of room.
    pub(super) fn namesakes(&self, closing: &Closing, around: Interval, watermark: u64) -> Option<u32> {
        if !self.spans.knows(around) {
            return None;
        }
        // One that has ended by then is among them.
        let own = usize::from(!self.open[closing.id].begun && closing.end < watermark);
        let others = |node: &u32| self.spans.meeting(*node, around, watermark).saturating_sub(own);
        Some(self.ids(closing).iter().map(others).max().unwrap_or(0) as u32)
    }

    /// Those that ended before the watermark, in order.
    pub(super) fn ended_before(&mut self, watermark: u64, epsilon: u64, out: &mut Vec<Closing>) {
        let time = watermark.saturating_sub(epsilon);
        let open = &self.open;
        let mut ids = Vec::new();
        // At the end of all records those that have only begun are not over.
        self.by_end.take_before(time, &mut ids, |id| open[id].end < time);
        if watermark == u64::MAX {
            ids.retain(|&id| {
                let waits = self.open[id].begun;
                if waits {
                    self.by_end.insert(self.open[id].end, id);
                }
                !waits
            });
        }
        self.collect(ids, u64::MAX, Status::Closed, out);
    }

    /// Those that ended before this time and were not given before, in order; they stay open.
    pub(super) fn ended_early(&mut self, time: u64, out: &mut Vec<Closing>) {
        let Some(untold) = &mut self.untold else { return };
        let rest = untold.split_off(&(time, 0));
        let ids = std::mem::replace(untold, rest).into_iter().map(|(_, id)| id).collect();
        self.collect(ids, u64::MAX, Status::Early, out);
    }

    /// All that are left; those that have only begun end at `now`.
    pub(super) fn rest(&mut self, now: u64, out: &mut Vec<Closing>) {
        let mut ids = Vec::new();
        self.by_end.take_before(u64::MAX, &mut ids, |_| true);
        self.collect(ids, now, Status::Flushed, out);
    }

    /// The first to end.
    pub(super) fn oldest(&mut self, count: usize, now: u64, out: &mut Vec<Closing>) {
        let mut ids = Vec::new();
        while ids.len() < count && self.by_end.oldest().is_some() {
            let most = count - ids.len();
            let (open, payloads) = (&self.open, &self.payloads);
            let order = |id: u32| (open[id].end, open[id].start, payloads.get(open[id].payload).to_vec());
            self.by_end.take_oldest(most, &mut ids, order);
        }
        self.collect(ids, now, Status::Evicted, out);
    }

    fn collect(&mut self, ids: Vec<u32>, now: u64, status: Status, out: &mut Vec<Closing>) {
        for id in ids {
            let open = &self.open[id];
            let (start, end, begun) = (open.start, open.end, open.begun);
            let closing = match (begun, status) {
                (false, _) => Closing { id, start, end, status },
                (true, Status::Closed) => Closing { id, start, end, status: Status::Open },
                (true, _) => Closing { id, start, end: end.min(now).max(start), status },
            };
            out.push(closing);
        }
        out.sort_by(|a, b| {
            let payload = |c: &Closing| self.payloads.get(self.open[c.id].payload);
            (a.end, a.start).cmp(&(b.end, b.start)).then_with(|| payload(a).cmp(payload(b)))
        });
    }

    pub(super) fn payload(&self, closing: &Closing) -> &[u8] {
        self.payloads.get(self.open[closing.id].payload)
    }

    pub(super) fn ids(&self, closing: &Closing) -> &[u32] {
        &self.open[closing.id].ids
    }

    /// It was told. Of one that has only begun it is remembered, since its end may still come.
    pub(super) fn told(&mut self, closing: &Closing, nodes: &mut Nodes, digest: &Digest) {
        let open = &self.open[closing.id];
        if open.begun {
            let name = self.name(self.payload(closing), open.start, digest);
            self.names.over(name, Named::Told, closing.end);
        }
        if let Some(untold) = &mut self.untold {
            untold.remove(&(closing.end, closing.id));
        }
        self.let_go(closing.id, nodes);
        self.open.remove(closing.id);
    }

    /// Forgets ids that nobody can ask for: of anchors that were over before `time`; and beginnings whose end would be late by the watermark.
    pub(super) fn expire(&mut self, time: u64, watermark: u64, nodes: &mut Nodes) {
        self.spans.expire(time, nodes);
        self.names.expire(watermark);
    }

    /// The slot of the oldest end of what is known of anchors beyond their own time.
    pub(super) fn oldest_known(&self) -> Option<u64> {
        [self.spans.oldest(), self.names.oldest()].into_iter().flatten().min()
    }

    /// Forgets of that what was over first for want of room, at most `most`; says how much.
    pub(super) fn forget_oldest(&mut self, most: usize, nodes: &mut Nodes) -> u64 {
        if self.spans.oldest() == self.oldest_known() {
            self.spans.evict_oldest(most, nodes)
        } else {
            self.names.evict_oldest(most)
        }
    }
}

/// The trace id in a `traceparent` header (W3C Trace Context: version, trace id, parent id, flags).
fn trace_of(value: &str) -> Option<&str> {
    let mut parts = value.split('-');
    let (version, trace, parent) = (parts.next()?, parts.next()?, parts.next()?);
    let hex = |part: &str, len: usize| part.len() == len && part.bytes().all(|b| b.is_ascii_hexdigit());
    (hex(version, 2) && hex(trace, 32) && hex(parent, 16)).then_some(trace)
}

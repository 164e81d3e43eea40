//! Connections that the kernel translates: one connection under two tuples (records of [`nat::STREAM`]).
//!
//! A pair of tuples is tied from when the last such pair was over (a translation is told of a little later than its first packet, and one that is
//! older than the run much later) until it is told to be over, or another pair takes one of its tuples in the same namespace.
//! Which connection of a tuple a record is of, its initial sequence numbers say: a translation leaves them as they are.

use super::ALWAYS;
use super::bindings::Reached;
use super::engine::read_int;
use super::keys::{Ends, NOWHERE, NodeKey, read_conn};
use super::nodes::{NIL, Nodes};
use super::slab::Slab;
use super::verdict::Interval;
use std::collections::{HashMap, HashSet};
use weftrace_artifact::{
    action::{StreamId, StreamSpec},
    join::{JoinSpec, MAX_STEPS},
    nat,
};

/// Connections on the other side of a translation that are looked at for one leg of an anchor at most: a client may take one port again and again.
const MAX_ADDED: usize = 64;
/// So many are kept before it is looked which of them are over.
const SWEEP_FROM: usize = if cfg!(test) { 4 } else { 4096 };
/// What is told of a connection's opening may be of so long before or after it was seen: a SYN that is lost on one side of the translation is sent
/// again.
const OPENING_NS: u64 = 10_000_000_000;

/// Where its records have what.
#[derive(Clone, Copy, Debug)]
struct Layout {
    stream: StreamId,
    conns: [u32; 2],
    start: u32,
    end: u32,
}

/// A pair of tuples in one network namespace.
#[derive(Clone, Debug)]
struct Pair {
    /// As the client addresses it, and as the server has it.
    nodes: [u32; 2],
    /// The next pair in the list of each tuple.
    next: [u32; 2],
    netns: u32,
    /// Endpoint `a` of one is `b` of the other.
    swapped: bool,
    /// Which endpoint opened the connection, in each.
    client: [u8; 2],
    /// When it was last told to be there; 0: never.
    opened: u64,
    /// When it was last told to be over; 0: never.
    closed: u64,
}

impl Pair {
    /// Whether it was told to be there after it was last told to be over.
    fn is_open(&self) -> bool {
        self.opened > self.closed
    }

    /// The ends as the other tuple has them.
    fn turn(&self, ends: &Ends, to: usize) -> Ends {
        let [a, b] = ends.isns;
        // Where it is translated both tuples can be seen; elsewhere only numbers tell.
        let netns = if ends.netns == self.netns || ends.netns == 0 { self.netns } else { NOWHERE };
        let isns = if self.swapped { [b, a] } else { [a, b] };
        Ends { netns, isns, local: 0, client: self.client[to], about: 0 }
    }
}

#[derive(Debug, Default)]
pub(super) struct Translations {
    layout: Option<Layout>,
    pairs: Slab<Pair>,
    /// The first pair of each tuple.
    by_node: HashMap<u32, u32>,
    live: Vec<u32>,
    sweep_at: usize,
    /// What was told of up to here may be gone for want of room.
    gone_to: u64,
}

impl Translations {
    /// Of a join that goes by no connection: nothing.
    pub(super) fn new(spec: &JoinSpec, streams: &[StreamSpec]) -> Self {
        let wanted = spec.goes_by_connection(streams);
        let at = streams.iter().position(|stream| stream.name == nat::STREAM).filter(|_| wanted);
        let layout = at.and_then(|i| {
            let at = |name: &str| streams[i].field(name).map(|field| field.offset);
            let conns = [at("conn")?, at("translated")?];
            Some(Layout { stream: StreamId(i as u32), conns, start: at("start")?, end: at("end")? })
        });
        Self { layout, sweep_at: SWEEP_FROM, ..Self::default() }
    }

    /// Its stream, if it is read.
    pub(super) fn stream(&self) -> Option<StreamId> {
        self.layout.map(|layout| layout.stream)
    }

    pub(super) fn insert(&mut self, stream: StreamId, time: u64, payload: &[u8], nodes: &mut Nodes) {
        let Some(layout) = self.layout.filter(|layout| layout.stream == stream) else { return };
        let [Some(conn), Some(translated)] = layout.conns.map(|at| read_conn(payload, at)) else { return };
        let keys = [NodeKey::tuple(&conn), NodeKey::tuple(&translated)];
        if keys[0] == keys[1] {
            return;
        }
        let id = self.pair(keys, conn.netns, nodes).unwrap_or_else(|| {
            let pair = Pair {
                nodes: keys.map(|key| nodes.hold(key)),
                next: [NIL; 2],
                netns: conn.netns,
                swapped: conn.client != translated.client,
                client: [conn.client, translated.client],
                opened: 0,
                closed: 0,
            };
            self.add(pair)
        });
        let [start, end] = [layout.start, layout.end].map(|at| read_int(payload, at, 8) as u64);
        let pair = &mut self.pairs[id];
        if end == 0 {
            pair.opened = pair.opened.max(if start <= ALWAYS { time } else { start });
        } else {
            pair.closed = pair.closed.max(end);
        }
    }

    fn add(&mut self, mut pair: Pair) -> u32 {
        pair.next = pair.nodes.map(|node| self.by_node.get(&node).copied().unwrap_or(NIL));
        let nodes = pair.nodes;
        let id = self.pairs.insert(pair);
        for node in nodes {
            self.by_node.insert(node, id);
        }
        self.live.push(id);
        id
    }

    fn pair(&self, keys: [NodeKey; 2], netns: u32, nodes: &Nodes) -> Option<u32> {
        let [conn, translated] = keys.map(|key| nodes.find(&key));
        let wanted = [conn?, translated?];
        self.of(wanted[0]).map(|(id, _)| id).find(|&id| {
            let pair = &self.pairs[id];
            pair.nodes == wanted && pair.netns == netns
        })
    }

    /// The pairs that have a tuple, and which of theirs it is.
    fn of(&self, node: u32) -> impl Iterator<Item = (u32, usize)> {
        let mut at = self.by_node.get(&node).copied().unwrap_or(NIL);
        std::iter::from_fn(move || {
            let pair = (at != NIL).then(|| &self.pairs[at])?;
            let side = usize::from(pair.nodes[0] != node);
            Some((std::mem::replace(&mut at, pair.next[side]), side))
        })
    }

    /// Other pairs with one of its tuples: no two connections of a namespace have one at a time.
    fn rivals(&self, pair: &Pair) -> impl Iterator<Item = &Pair> {
        let all = pair.nodes.into_iter().flat_map(|node| self.of(node)).map(|(id, _)| &self.pairs[id]);
        let (netns, nodes) = (pair.netns, pair.nodes);
        all.filter(move |other| other.netns == netns && other.nodes != nodes)
    }

    /// When it is over: told so, or taken over.
    fn end(&self, pair: &Pair) -> u64 {
        if !pair.is_open() {
            return pair.closed;
        }
        let later = self.rivals(pair).map(|other| other.opened).filter(|opened| *opened > pair.opened);
        later.min().unwrap_or(u64::MAX)
    }

    /// When a pair was tied, as far as that touches an interval: the connection that it is of now, and the one before.
    fn during(&self, pair: &Pair, (from, to): Interval) -> Option<Interval> {
        // Most of those that one port had in turn: no rival of theirs matters.
        if !pair.is_open() && pair.closed <= from {
            return None;
        }
        let before =
            |time: u64| self.rivals(pair).map(|other| other.closed).filter(|end| *end < time).max().unwrap_or(0);
        let now = pair.is_open().then(|| (before(pair.opened).max(pair.closed), self.end(pair)));
        let last = (pair.closed > 0).then(|| (before(pair.closed), pair.closed));
        let mut found: Option<Interval> = None;
        for (begin, end) in [last, now].into_iter().flatten() {
            // What has ended at a moment is not there at that moment.
            let end = end.saturating_sub(1);
            if begin <= to && end >= from {
                found = Some((found.map_or(begin, |(first, _)| first).max(from), end.min(to)));
            }
        }
        found
    }

    /// Adds what the connections in `reached` are on the other side of a translation. Whether there are more than are looked at: what is under those
    /// nobody knows.
    #[must_use]
    pub(super) fn expand(&self, reached: &mut Vec<Reached>) -> bool {
        let (mut begin, mut too_many) = (0, false);
        if self.live.is_empty() {
            return too_many;
        }
        let room = reached.len() + MAX_ADDED;
        for _ in 0..MAX_STEPS {
            let end = reached.len();
            for i in begin..end {
                too_many |= !self.step(reached[i], room, reached);
            }
            if reached.len() == end {
                break;
            }
            begin = end;
        }
        too_many
    }

    /// False: there was no room for all.
    fn step(&self, here: Reached, room: usize, reached: &mut Vec<Reached>) -> bool {
        let Some(ends) = here.ends else { return true };
        let mut all = true;
        for (id, side) in self.of(here.node) {
            let pair = &self.pairs[id];
            let Some(interval) = self.during(pair, here.interval) else { continue };
            let (node, there) = (pair.nodes[1 - side], pair.turn(&ends, 1 - side));
            let numbers = |r: &Reached| r.ends.map(|ends| ends.isns);
            let mut alike = reached.iter_mut().filter(|r| r.node == node && numbers(r) == Some(there.isns));
            // Where it comes from is known better.
            if let Some(known) = alike.find(|r| !r.translated || r.ends == Some(there)) {
                known.interval = (known.interval.0.min(interval.0), known.interval.1.max(interval.1));
            } else if reached.len() < room {
                let swapped = here.swapped != pair.swapped;
                reached.push(Reached { node, interval, ends: Some(there), translated: true, swapped, ..here });
            } else {
                all = false;
            }
        }
        all
    }

    /// Where an anchor's connection is told of: when it is opened. None: nothing is told.
    pub(super) fn told(&self, at: &Asked) -> Option<Told> {
        let opening = if at.opened == 0 {
            (0, at.end)
        } else {
            (at.opened.saturating_sub(OPENING_NS), at.opened.saturating_add(OPENING_NS).min(at.end))
        };
        let known = || at.node.is_some_and(|node| self.of(node).next().is_some());
        let evicted = self.gone_to > 0 && opening.0 <= self.gone_to && !known();
        Some(Told { asked: (self.stream()?, opening), evicted })
    }

    pub(super) fn len(&self) -> usize {
        self.live.len()
    }

    /// Memory taken; keys are the nodes'.
    pub(super) fn bytes(&self) -> u64 {
        let lists = 2 * 2 * (2 * size_of::<u32>() + 1);
        (self.pairs.len() * (size_of::<Pair>() + size_of::<u32>() + lists)) as u64
    }

    /// Forgets what was over before `time`, from time to time.
    pub(super) fn expire(&mut self, time: u64, nodes: &mut Nodes) {
        if self.live.len() < self.sweep_at {
            return;
        }
        let over = self.live.iter().copied().filter(|&id| self.end(&self.pairs[id]) < time);
        let over: Vec<u32> = over.collect();
        self.drop_those(&over, nodes);
        self.sweep_at = (2 * self.live.len()).max(SWEEP_FROM);
    }

    /// Drops an eighth for want of room, those that were over first, then the oldest. Returns how many.
    pub(super) fn evict_oldest(&mut self, nodes: &mut Nodes) -> u64 {
        let mut all = self.live.clone();
        let order = |&id: &u32| {
            let pair = &self.pairs[id];
            (self.end(pair), pair.opened, pair.netns, pair.nodes.map(|node| nodes.key(node)))
        };
        all.sort_by_cached_key(order);
        all.truncate((all.len() / 8).max(1));
        let told = all.iter().map(|&id| &self.pairs[id]).map(|pair| pair.opened.max(pair.closed));
        self.gone_to = told.max().unwrap_or(0).max(self.gone_to);
        self.drop_those(&all, nodes);
        all.len() as u64
    }

    fn drop_those(&mut self, dropped: &[u32], nodes: &mut Nodes) {
        for &id in dropped {
            for side in 0..2 {
                self.unlist(id, side);
            }
            self.pairs[id].nodes.into_iter().for_each(|node| nodes.release(node));
            self.pairs.remove(id);
        }
        let gone: HashSet<u32> = dropped.iter().copied().collect();
        self.live.retain(|id| !gone.contains(id));
    }

    /// Takes a pair out of the list of one of its tuples.
    fn unlist(&mut self, id: u32, side: usize) {
        let (node, next) = (self.pairs[id].nodes[side], self.pairs[id].next[side]);
        let before = self.of(node).take_while(|(at, _)| *at != id).last();
        match before {
            Some((before, its)) => self.pairs[before].next[its] = next,
            None if next == NIL => drop(self.by_node.remove(&node)),
            None => drop(self.by_node.insert(node, next)),
        }
    }
}

/// An anchor, as far as it matters whether its connection's translation was told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// Its tuple; None: nothing else has it.
    pub node: Option<u32>,
    /// When its connection was opened; 0: not known.
    pub opened: u64,
    pub end: u64,
}

/// Where it is told of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    /// The stream, and when.
    pub asked: (StreamId, Interval),
    /// It may be among those that had to go for want of room.
    pub evicted: bool,
}

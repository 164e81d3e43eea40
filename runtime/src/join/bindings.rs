//! What belongs together, and when: records of the streams `binding` and `binding.NAME`.
//!
//! A binding ties all keys that its record carries from `start` to `end`, or until a later one takes a key over that can have only one
//! partner of a kind at a time. When that is, is found when it is asked for, so that the order of arrival doesn't matter.

mod lists;
mod room;
mod told;

use super::ALWAYS;
use super::anchors::spans::Spans;
use super::engine::read_int;
use super::gaps::{EVICTED, Gaps};
use super::keys::{Agreement, Digest, Ends, NodeKey, agree};
use super::nodes::Nodes;
use super::slab::Slab;
use super::store::Past;
use super::verdict::Interval;
use lists::Lists;
use std::collections::{BTreeMap, HashMap, HashSet};
use told::Layout;
use weftrace_artifact::{
    action::{StreamId, StreamSpec},
    join::{HOLDS_MANY, JoinSpec, KeyKind, MAX_STEPS, Side, is_binding, keys_of},
    nat,
};

/// Keys that one binding ties at most.
const MAX_KEYS: usize = 8;

/// Keys that are looked at for one anchor at most: a process has many threads.
const MAX_REACHED: usize = 4096;

/// Processes with goroutines that are remembered.
const MAX_GO: usize = 4096;

#[derive(Clone, Debug)]
struct Link {
    from: u64,
    /// `u64::MAX`: nobody has said.
    to: u64,
    /// Of the connection, if one is tied.
    ends: Option<Ends>,
    nodes: [u32; MAX_KEYS],
    len: u8,
    /// It ties nothing, it ends.
    closes: bool,
    /// When all that it ties was found to be over.
    over: u64,
    /// It is about to be removed.
    gone: bool,
}

impl Link {
    fn nodes(&self) -> &[u32] {
        &self.nodes[..self.len as usize]
    }

    /// Whether one that closes is about what `other` ties: a single key is no longer bound to anything, several are no longer to each other.
    /// Of a connection's two ends on one machine each closes its own.
    fn is_about(&self, other: &Self) -> bool {
        let same = || self.len == other.len && self.nodes().iter().all(|node| other.nodes().contains(node));
        if self.len > 1 && !same() {
            return false;
        }
        let (Some(mine), Some(theirs)) = (self.ends, other.ends) else { return true };
        let another_end = mine.local != 0 && theirs.local != 0 && mine.local != theirs.local;
        !another_end && agree(&mine, &theirs) != Agreement::No
    }

    /// Whether it can end another: a single key does, and one that has one partner of another's kind at a time.
    fn may_end(&self, nodes: &Nodes) -> bool {
        let keys = || self.nodes().iter().map(|&node| nodes.key(node));
        self.closes || keys().any(|of| keys().any(|partner| has_one(&of, &partner)))
    }

    fn has_kind(&self, of: &NodeKey, nodes: &Nodes) -> bool {
        self.nodes().iter().any(|&node| nodes.key(node).is_same_kind(of))
    }
}

/// A key that an anchor leads to, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reached {
    pub node: u32,
    pub interval: Interval,
    /// Of a connection.
    pub ends: Option<Ends>,
    /// A step on the way was only likely.
    pub guess: bool,
    /// A connection on the other side of a translation from where the anchor is; `swapped`: its endpoints are the other way round.
    pub translated: bool,
    pub swapped: bool,
}

/// What the search of an anchor's bindings has met besides keys.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Met {
    /// There were more keys than are looked at.
    pub too_many: bool,
    /// A binding would have counted if one knew which side of the connection it is of.
    pub unsided: bool,
}

#[derive(Debug, Default)]
pub(super) struct Bindings {
    /// In their order: what is said first of several losses depends on it.
    layouts: BTreeMap<StreamId, Layout>,
    links: Slab<Link>,
    by_node: HashMap<u32, Lists>,
    /// Processes of which any record told a goroutine: their nodes stay.
    go: HashSet<u32>,
    live: Vec<u32>,
    sweep_at: usize,
    pub gone: Gaps,
    /// What came when results of its time had been told.
    pub late: Gaps,
    /// Results that were told without a binding which may come when it is over.
    unled: Spans,
    /// The last begin of what would have ended others and is gone for want of room.
    ends_gone_to: u64,
}

/// The first has at most one partner of the second's kind at a time, so that a later binding ends an earlier one.
const ONE: [(KeyKind, KeyKind); 15] = {
    use KeyKind::{Cgroup, Conn, Cookie, File, Goroutine, Pid, Socket, Tid};
    [
        (Goroutine, Tid),
        (Goroutine, Pid),
        (Tid, Goroutine),
        (Tid, Pid),
        (Tid, Cgroup),
        (Pid, Cgroup),
        (File, Socket),
        (File, Cookie),
        (File, Conn),
        (Socket, Cookie),
        (Socket, File),
        (Socket, Conn),
        (Cookie, Socket),
        (Cookie, File),
        (Cookie, Conn),
    ]
};

fn has_one(of: &NodeKey, partner: &NodeKey) -> bool {
    ONE.iter().any(|(a, b)| of.is(*a) && partner.is(*b))
}

fn holds_many(of: &NodeKey, partner: &NodeKey) -> bool {
    (of.is(KeyKind::Pid) || of.is(KeyKind::Cgroup)) && HOLDS_MANY.iter().any(|(a, b)| of.is(*a) && partner.is(*b))
}

impl Bindings {
    /// Of a join that needs none: nothing.
    pub(super) fn new(spec: &JoinSpec, streams: &[StreamSpec]) -> Self {
        let offset =
            |stream: &StreamSpec, name: &str| stream.field(name).filter(|f| f.ty.size() == 8).map(|f| f.offset);
        let layouts = (0u32..)
            .zip(streams)
            .filter(|(_, stream)| is_binding(&stream.name) && stream.name != nat::STREAM && spec.needs_bindings())
            .map(|(i, stream)| {
                // Bytes belong to a connection, which they are looked up by.
                let keys = keys_of(stream).filter(|(kind, _)| *kind != KeyKind::Bytes).collect();
                let (start, end) = (offset(stream, "start"), offset(stream, "end"));
                (StreamId(i), Layout::new(keys, start, end))
            })
            .collect();
        Self { layouts, sweep_at: room::SWEEP_FROM, ..Self::default() }
    }

    pub(super) fn streams(&self) -> impl Iterator<Item = StreamId> {
        self.layouts.keys().copied()
    }

    /// Those of which nothing may be lost. The end of a connection may: it has its own numbers, so that no later anchor is taken for one of
    /// it, while a file's address is another's afterwards.
    pub(super) fn needed_streams(&self) -> impl Iterator<Item = StreamId> + Clone {
        let ends_connections = |layout: &Layout| layout.keys.len() == 1 && layout.keys[0].0 == KeyKind::Conn;
        self.layouts.iter().filter(move |(_, layout)| !ends_connections(layout)).map(|(stream, _)| *stream)
    }

    /// Whether some binding has keys of this kind.
    pub(super) fn ties(&self, kind: KeyKind) -> bool {
        self.layouts.values().any(|layout| layout.keys.iter().any(|(k, _)| *k == kind))
    }

    /// Takes a record of a binding stream. Says by how much it comes too late for results that were told; None: it doesn't.
    pub(super) fn insert(
        &mut self,
        stream: StreamId,
        time: u64,
        payload: &[u8],
        past: Past,
        (nodes, digest): (&mut Nodes, &Digest),
    ) -> Option<u64> {
        let layout = self.layouts.get_mut(&stream)?;
        let number = |offset: Option<u32>| offset.map_or(0, |at| read_int(payload, at, 8) as u64);
        let (start, end) = (number(layout.start), number(layout.end));
        let mut link = Link {
            from: if start == 0 { time } else { start },
            to: if end == 0 { u64::MAX } else { end },
            ends: None,
            nodes: [0; MAX_KEYS],
            len: 0,
            closes: false,
            over: u64::MAX,
            gone: false,
        };
        for carried in layout.keys.iter().filter_map(|(kind, at)| digest.read(*kind, payload, *at)).take(MAX_KEYS) {
            link.ends = carried.ends.or(link.ends);
            link.nodes[link.len as usize] = nodes.hold(carried.node);
            link.len += 1;
        }
        link.closes = link.len == 1 || layout.ends() && end != 0;
        if link.closes {
            link.from = if end == 0 { time } else { end };
            link.to = link.from;
        }
        if link.len == 0 {
            return None;
        }
        layout.note(&link);
        let late = self.missed_by(&link, time, past, nodes);
        // What held for as long as there was a connection was ended by nothing before it was told.
        let began = if link.from == ALWAYS { time } else { link.from };
        if !link.closes && began < self.ends_gone_to {
            self.gone.add((link.from, link.to), 1, Some(EVICTED));
        }
        let id = self.links.insert(link);
        self.live.push(id);
        let all = self.links[id].nodes().iter().map(|&node| nodes.key(node));
        if all.clone().any(|key| key.is(KeyKind::Goroutine))
            && let Some(process) = all.clone().find(|key| key.is(KeyKind::Pid))
        {
            self.has_goroutines(&process, nodes);
        }
        for node in self.links[id].nodes() {
            self.by_node.entry(*node).or_default().add(id, *node, &self.links, nodes);
        }
        late
    }

    /// A record tells of this goroutine.
    pub(super) fn has_goroutine(&mut self, goroutine: &NodeKey, nodes: &mut Nodes) {
        if let Some(process) = goroutine.process() {
            self.has_goroutines(&process, nodes);
        }
    }

    fn has_goroutines(&mut self, process: &NodeKey, nodes: &mut Nodes) {
        let is_known = nodes.find(process).is_some_and(|node| self.go.contains(&node));
        if !is_known && self.go.len() < MAX_GO {
            self.go.insert(nodes.hold(*process));
        }
    }

    /// Whether a stream says what is no longer tied to each other: without it what is tied isn't known.
    pub(super) fn are_ended_by(&self, stream: StreamId) -> bool {
        self.layouts.get(&stream).is_some_and(|layout| layout.ends() && layout.keys.len() > 1)
    }

    /// When `a` and `b` were tied by a link: from its beginning until it was ended or taken over.
    fn tied(&self, link: &Link, a: u32, b: u32, nodes: &Nodes) -> Interval {
        let ended = self.ended(link, a, b, nodes).min(self.ended(link, b, a, nodes));
        (link.from, link.to.min(link.over).min(ended))
    }

    /// When something else ended what ties `of` to `partner`.
    fn ended(&self, link: &Link, of: u32, partner: u32, nodes: &Nodes) -> u64 {
        let Some(lists) = self.by_node.get(&of) else { return u64::MAX };
        let closed = lists.next_closer(link, &self.links, |l| l.is_about(link));
        let partner = nodes.key(partner);
        if !has_one(&nodes.key(of), &partner) {
            return closed;
        }
        closed.min(lists.next(link, &self.links, |l| l.has_kind(&partner, nodes)))
    }

    /// Whether a process is known to have goroutines; of too many nobody can say that it has none.
    pub(super) fn have_goroutines(&self, process: u32) -> bool {
        self.go.contains(&process) || self.go.len() >= MAX_GO
    }

    /// All keys that `start` leads to within a window, `start` among them. To none of a kind that the anchor has itself (`own`): a thread that serves two
    /// connections leads from neither to the other.
    pub(super) fn reach(
        &self,
        start: &[Reached],
        own: &[KeyKind],
        side: Side,
        anchor: Option<&Ends>,
        nodes: &Nodes,
        out: &mut Vec<Reached>,
    ) -> Met {
        let mut met = Met::default();
        out.clear();
        out.extend_from_slice(start);
        let mut begin = 0;
        for _ in 0..MAX_STEPS {
            let end = out.len();
            for i in begin..end {
                let here = out[i];
                let mut found = Found { out, next: end, own, met: &mut met };
                self.step(here, side, anchor, nodes, &mut found);
            }
            if out.len() == end {
                break;
            }
            begin = end;
        }
        met
    }

    fn step(&self, here: Reached, side: Side, anchor: Option<&Ends>, nodes: &Nodes, found: &mut Found<'_>) {
        // A goroutine's number is one in its process.
        let process = nodes.key(here.node).process().and_then(|pid| nodes.find(&pid));
        if let Some(node) = process {
            found.add(Reached { node, ends: None, ..here });
        }
        let Some(lists) = self.by_node.get(&here.node) else { return };
        for link in lists.during(here.interval, &self.links) {
            if link.to.min(link.over) < here.interval.0 {
                continue;
            }
            let agrees = if here.ends.is_some() { agreement(here.ends, link.ends) } else { Agreement::Yes };
            if agrees == Agreement::No {
                continue;
            }
            let anchor = here.ends.as_ref().filter(|_| here.translated).or(anchor);
            if let (Some(anchor), Some(ends), true) = (anchor, link.ends, side != Side::Any) {
                match ends.side(anchor) {
                    None => {
                        found.met.unsided = true;
                        continue;
                    }
                    Some(other) if other != side => continue,
                    Some(_) => {}
                }
            }
            for &node in link.nodes().iter().filter(|n| **n != here.node) {
                let key = nodes.key(node);
                if holds_many(&nodes.key(here.node), &key) || found.own.iter().any(|own| key.is(*own)) {
                    continue;
                }
                let tied = self.tied(link, here.node, node, nodes);
                let interval = (tied.0.max(here.interval.0), (tied.1.saturating_sub(1)).min(here.interval.1));
                // What has ended at a moment is not there at that moment.
                if interval.0 > interval.1 || tied.1 <= here.interval.0 || tied.0 >= tied.1 {
                    continue;
                }
                let ends = link.ends.filter(|_| key.is_conn());
                let guess = here.guess || agrees == Agreement::Maybe;
                found.add(Reached { node, interval, ends, guess, ..here });
            }
        }
    }
}

/// By time, then by what is in it: never by arrival.
fn order<'a>(link: &'a Link, nodes: &'a Nodes) -> (u64, u64, Option<Ends>, Keys<'a>) {
    (link.from, link.to, link.ends, Keys(link, nodes))
}

/// The keys of a link, compared only where all else is equal.
struct Keys<'a>(&'a Link, &'a Nodes);

impl Ord for Keys<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let keys = |k: &Self| k.0.nodes().iter().map(|n| k.1.key(*n)).collect::<Vec<_>>();
        keys(self).cmp(&keys(other))
    }
}

impl PartialOrd for Keys<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Keys<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Keys<'_> {}

fn agreement(x: Option<Ends>, y: Option<Ends>) -> Agreement {
    x.zip(y).map_or(Agreement::No, |(x, y)| agree(&x, &y))
}

/// What a search has found so far.
struct Found<'a> {
    out: &'a mut Vec<Reached>,
    /// Those from here on were not looked up from yet.
    next: usize,
    own: &'a [KeyKind],
    met: &'a mut Met,
}

impl Found<'_> {
    fn add(&mut self, reached: Reached) {
        let (from, to) = reached.interval;
        let alike = |r: &Reached| r.node == reached.node && r.ends == reached.ends;
        let known = |r: &Reached| r.guess <= reached.guess && r.interval.0 <= from && r.interval.1 >= to;
        if self.out.iter().any(|r| alike(r) && known(r)) {
            return;
        }
        let touches = |r: &Reached| r.interval.0 <= to && r.interval.1 >= from;
        let mut fresh = self.out[self.next..].iter_mut();
        if let Some(r) = fresh.find(|r| alike(r) && r.guess == reached.guess && touches(r)) {
            r.interval = (r.interval.0.min(from), r.interval.1.max(to));
        } else if self.out.len() < MAX_REACHED {
            self.out.push(reached);
        } else {
            self.met.too_many = true;
        }
    }
}

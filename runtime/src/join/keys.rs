//! What records and anchors carry to find each other by, and when two connection keys mean the same connection.
//!
//! The tuple is the index; network namespaces and initial sequence numbers decide. The two ends of a connection on one
//! machine have different namespaces and the same sequence numbers; a reused port has the same
//! namespace and other sequence numbers.

use super::engine::read_int;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash, Hasher, RandomState};
use std::mem::offset_of;
use weftrace_artifact::{
    abi::{ByteRange, BytesKey, CONN_KEY_SIZE, ConnKey},
    join::{KeyAt, KeyKind, Side},
};

/// A key as it is looked up: equal keys may belong together, others never do.
#[derive(Clone, Copy, Debug, Eq, PartialOrd, Ord)]
pub(super) struct NodeKey {
    kind: u8,
    words: [u64; 5],
}

/// By their numbers.
const KINDS: [KeyKind; 10] = {
    use KeyKind::{Bytes, Cgroup, Conn, Cookie, File, Goroutine, Id, Pid, Socket, Tid};
    let kinds = [Conn, Bytes, Pid, Tid, Goroutine, Cgroup, File, Socket, Cookie, Id];
    let mut i = 0;
    while i < kinds.len() {
        assert!(kinds[i] as usize == i);
        i += 1;
    }
    kinds
};

/// Without a call for each comparison, of which there are millions a second.
impl PartialEq for NodeKey {
    fn eq(&self, other: &Self) -> bool {
        let differ = self.words.iter().zip(&other.words).fold(0, |differ, (a, b)| differ | (a ^ b));
        differ | u64::from(self.kind ^ other.kind) == 0
    }
}

impl Hash for NodeKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // All at once: the hash takes two words with one multiplication.
        let mut bytes = [0; 40];
        let (places, _) = bytes.as_chunks_mut();
        for (place, word) in places.iter_mut().zip(self.words) {
            *place = word.to_ne_bytes();
        }
        bytes[7] ^= self.kind;
        state.write(&bytes);
    }
}

impl NodeKey {
    fn number(kind: KeyKind, number: u64, pid: u64) -> Self {
        Self { kind: kind as u8, words: [number, pid, 0, 0, 0] }
    }

    pub(super) fn tuple(key: &ConnKey) -> Self {
        let word = |bytes: &[u8; 16], at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap_or_default());
        let ports = u64::from(key.a_port) << 48 | u64::from(key.b_port) << 32;
        let what = ports | u64::from(key.family) << 16 | u64::from(key.proto);
        let (a, b) = (&key.a_addr, &key.b_addr);
        Self { kind: KeyKind::Conn as u8, words: [what, word(a, 0), word(a, 8), word(b, 0), word(b, 8)] }
    }

    /// As words of 32 bits: how many.
    pub(super) const WORDS: usize = 11;

    pub(super) fn to_words(self, out: &mut [u32]) {
        let (pairs, rest) = out.as_chunks_mut::<2>();
        for (pair, word) in pairs.iter_mut().zip(self.words) {
            *pair = [word as u32, (word >> 32) as u32];
        }
        if let [kind] = rest {
            *kind = self.kind.into();
        }
    }

    pub(super) fn from_words(words: &[u32]) -> Self {
        let (pairs, rest) = words.as_chunks::<2>();
        let mut out = Self { kind: rest.first().map_or(0, |kind| *kind as u8), words: [0; 5] };
        for (word, [low, high]) in out.words.iter_mut().zip(pairs) {
            *word = u64::from(*low) | u64::from(*high) << 32;
        }
        out
    }

    pub(super) fn is_conn(&self) -> bool {
        self.kind == KeyKind::Conn as u8
    }

    pub(super) fn is_same_kind(&self, other: &Self) -> bool {
        self.kind == other.kind
    }

    /// A goroutine's process.
    pub(super) fn process(&self) -> Option<Self> {
        let pid = self.words[1];
        (self.kind == KeyKind::Goroutine as u8 && pid != 0).then(|| Self::number(KeyKind::Pid, pid, 0))
    }

    pub(super) fn kind(&self) -> KeyKind {
        KINDS[usize::from(self.kind)]
    }

    /// Of what kind it is; bytes are looked up by their connection.
    pub(super) fn is(&self, kind: KeyKind) -> bool {
        self.kind == if kind == KeyKind::Bytes { KeyKind::Conn } else { kind } as u8
    }
}

/// A network namespace that isn't known: it is like none.
pub(super) const NOWHERE: u32 = u32::MAX;

/// What tells connections of one tuple apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ends {
    pub netns: u32,
    pub isns: [u32; 2],
    /// Whose socket the record is of, and which end opened the connection: 1 is `a`, 2 is `b`, 0 is not known.
    pub local: u8,
    pub client: u8,
    /// Whose doing packets tell of; the same.
    pub about: u8,
}

impl Ends {
    fn of(key: &ConnKey) -> Self {
        let isns = [key.a_isn, key.b_isn];
        Self { netns: key.netns, isns, local: key.local, client: key.client, about: key.about }
    }

    /// With its endpoints the other way round.
    pub(super) fn swapped(self) -> Self {
        let [a, b] = self.isns;
        let other = |end: u8| if end == 0 { 0 } else { 3 - end.min(2) };
        let (local, client, about) = (other(self.local), other(self.client), other(self.about));
        Self { isns: [b, a], local, client, about, ..self }
    }

    /// The end that a record is of, as the anchor or the record itself knows it.
    pub(super) fn side(&self, anchor: &Self) -> Option<Side> {
        let client = if anchor.client == 0 { self.client } else { anchor.client };
        let own = if self.local == 0 { self.about } else { self.local };
        match (own, client) {
            (0, _) | (_, 0) => None,
            (own, client) if own == client => Some(Side::Client),
            _ => Some(Side::Server),
        }
    }
}

/// How well two keys with the same tuple agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Agreement {
    /// Another incarnation, or another pair of namespaces.
    No,
    /// Other namespace, and no sequence number known on both sides.
    Maybe,
    /// Same namespace (or a capture file, which has none), or the same sequence numbers.
    Yes,
}

pub(super) fn agree(x: &Ends, y: &Ends) -> Agreement {
    let isns = [(x.isns[0], y.isns[0]), (x.isns[1], y.isns[1])];
    let known = || isns.iter().filter(|(p, q)| *p != 0 && *q != 0);
    // What a socket tells may be one too high: its counters include the SYN or FIN on some paths and not on others.
    if known().any(|(p, q)| p.wrapping_sub(*q).wrapping_add(1) > 2) {
        return Agreement::No;
    }
    let nowhere = x.netns == NOWHERE || y.netns == NOWHERE;
    let same_place = !nowhere && (x.netns == y.netns || x.netns == 0 || y.netns == 0);
    if same_place || known().next().is_some() { Agreement::Yes } else { Agreement::Maybe }
}

/// Bytes of one direction of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Range {
    /// 0: what `a` sends.
    pub dir: u8,
    pub from: u64,
    pub to: u64,
    /// Bytes of others lie in it too.
    pub merged: bool,
}

impl Range {
    /// As a key has it whose endpoints may be the other way round.
    pub(super) fn turned(self, swapped: bool) -> Self {
        Self { dir: self.dir ^ u8::from(swapped), ..self }
    }
}

/// Whether two ranges have bytes in common; each counts from its own idea of the initial sequence number.
pub(super) fn overlap(x: &Range, xs: &Ends, y: &Range, ys: &Ends) -> bool {
    let (x_isn, y_isn) = (xs.isns[usize::from(x.dir & 1)], ys.isns[usize::from(y.dir & 1)]);
    if x.dir != y.dir {
        return false;
    }
    if x_isn != 0 && y_isn != 0 {
        let apart = i64::from(x_isn.wrapping_sub(y_isn) as i32);
        let (from, to) = (x.from as i128 + i128::from(apart), x.to as i128 + i128::from(apart));
        return from < i128::from(y.to) && i128::from(y.from) < to;
    }
    // By sequence numbers as sent: their distance says who begins within the other.
    let at = |range: &Range, isn: u32| isn.wrapping_add(range.from as u32);
    let ahead = u64::from(at(x, x_isn).wrapping_sub(at(y, y_isn)));
    let behind = u64::from(at(y, y_isn).wrapping_sub(at(x, x_isn)));
    ahead < y.to - y.from || behind < x.to - x.from
}

/// A key as a record carries it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Carried {
    pub node: NodeKey,
    /// Of connections and their bytes.
    pub ends: Option<Ends>,
}

/// A key of an anchor, looked up once for all legs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub kind: KeyKind,
    /// None: nothing else has the key.
    pub node: Option<u32>,
    pub ends: Option<Ends>,
}

/// Makes ids comparable without keeping them: nobody can choose two that have the same digest. Its first word is the same in every run,
/// so that what goes by the order of keys is too.
#[derive(Debug, Default)]
pub(super) struct Digest([RandomState; 2]);

impl Digest {
    pub(super) fn id(&self, id: &[u8]) -> NodeKey {
        let [low, high] = [&self.0[0], &self.0[1]].map(|state| state.hash_one(id));
        let same = BuildHasherDefault::<DefaultHasher>::default().hash_one(id);
        NodeKey { kind: KeyKind::Id as u8, words: [same, low, high, 0, 0] }
    }

    /// Reads the key at `at`; None where the record carries none (no connection, no bytes, 0, an empty id).
    pub(super) fn read(&self, kind: KeyKind, payload: &[u8], at: KeyAt) -> Option<Carried> {
        let number = |size| Some(read_int(payload, at.offset, size) as u64).filter(|n| *n != 0);
        let plain = |node| Some(Carried { node, ends: None });
        match kind {
            KeyKind::Conn => conn(payload, at.offset),
            KeyKind::Bytes => {
                let has_some = ranges(payload, at.offset).next().is_some();
                conn(payload, at.offset).filter(|_| has_some)
            }
            KeyKind::Pid | KeyKind::Tid => plain(NodeKey::number(kind, number(4)?, 0)),
            KeyKind::Goroutine => {
                let pid = at.pid.map_or(0, |pid| read_int(payload, pid, 4) as u64);
                plain(NodeKey::number(kind, number(8)?, pid))
            }
            KeyKind::Cgroup | KeyKind::File | KeyKind::Socket | KeyKind::Cookie => {
                plain(NodeKey::number(kind, number(8)?, 0))
            }
            KeyKind::Id => {
                let bytes = payload.get(at.offset as usize..(at.offset + at.cap) as usize)?;
                let id = bytes.split(|b| *b == 0).next().unwrap_or_default();
                if id.is_empty() { None } else { plain(self.id(id)) }
            }
        }
    }
}

fn conn(payload: &[u8], offset: u32) -> Option<Carried> {
    read_conn(payload, offset).map(|key| Carried { node: NodeKey::tuple(&key), ends: Some(Ends::of(&key)) })
}

/// The ranges of a [`BytesKey`] that are in use.
pub(super) fn ranges(payload: &[u8], offset: u32) -> impl Iterator<Item = Range> + '_ {
    let at = move |member: usize| offset + member as u32;
    let [merged, crossed] =
        [offset_of!(BytesKey, merged), offset_of!(BytesKey, crossed)].map(|bits| read_int(payload, at(bits), 4) as u32);
    (0..BytesKey::ROOM)
        .map(move |i| {
            let range = offset_of!(BytesKey, ranges) + i * size_of::<ByteRange>();
            let [from, to] = [offset_of!(ByteRange, from), offset_of!(ByteRange, to)]
                .map(|end| read_int(payload, at(range + end), 8));
            let dir = BytesKey::direction(i, crossed) as u8;
            Range { dir, from: from as u64, to: to as u64, merged: merged >> i & 1 != 0 }
        })
        .filter(|range| range.from < range.to)
}

/// Reads a key from its bytes in a record; None if they are too few or the family is unset.
pub(crate) fn read_conn(bytes: &[u8], offset: u32) -> Option<ConnKey> {
    let at = offset as usize;
    let key = ConnKey::from_bytes(bytes.get(at..at + CONN_KEY_SIZE as usize)?.try_into().ok()?);
    (key.family != 0).then_some(key)
}

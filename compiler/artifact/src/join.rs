//! Joins as data: the engine in the runtime knows nothing of the language.
//!
//! Expressions became native handlers ([`crate::native`]) whose subject is a [`JoinView`].

use crate::{
    Place,
    action::{StreamId, StreamSpec},
    nat,
    ty::Type,
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JoinSpec {
    pub name: String,
    pub anchor: StreamId,
    /// The anchor stream's `start` and `end` fields: offsets of u64 CLOCK_BOOTTIME ns.
    pub start_offset: u32,
    pub end_offset: u32,
    /// Handler that says whether an anchor record takes part at all (`from …(port=8080)`).
    pub filter: Option<u32>,
    /// Where the total begins: the first whose condition holds. (begin handler, condition handler)
    pub total: Vec<(u32, Option<u32>)>,
    /// String fields of the anchor (offset, capacity) or header lookups that name the trace.
    pub ids: Vec<IdSource>,
    pub legs: Vec<LegSpec>,
    /// Indexes into `legs`, by priority.
    pub blame: Vec<u32>,
    pub keep: Keep,
    pub max_anchors: u32,
    pub max_bytes: u64,
    pub timeout_ns: u64,
    pub place: Place,
}

/// A block whose only work is to tell joins of HTTP exchanges, and which of them no join can keep: those need not be told of, only counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passing {
    /// The block, in [`crate::Artifact::probes`].
    pub probe: u32,
    /// The joins whose anchors it makes.
    pub joins: Vec<u32>,
    pub bound: Bound,
}

/// What a join's `keep` asks of an exchange at least: that it took longer than so many ns, or that its status is so high.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    pub longer_than_ns: u64,
    pub status_from: u64,
}

impl Bound {
    /// Of nothing it can be kept.
    pub const NEVER: Self = Self { longer_than_ns: u64::MAX, status_from: u64::MAX };

    /// What either of two asks for.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            longer_than_ns: self.longer_than_ns.min(other.longer_than_ns),
            status_from: self.status_from.min(other.status_from),
        }
    }

    /// Whether an exchange that took so long may be kept.
    pub fn allows(self, ns: u64, status: u32) -> bool {
        ns > self.longer_than_ns || u64::from(status) >= self.status_from
    }
}

impl JoinSpec {
    /// Whether bindings lead to any of its legs.
    pub fn needs_bindings(&self) -> bool {
        let mut keys = self.legs.iter().filter(|leg| !leg.off).flat_map(|leg| &leg.keys);
        keys.any(|key| is_bound(key.leg.is_some(), key.anchor.is_some(), key.kind == KeyKind::Id))
    }

    /// Whether its anchors find records by their connection, or by what that is bound to.
    pub fn goes_by_connection(&self, streams: &[StreamSpec]) -> bool {
        let is_conn = |kind: KeyKind| matches!(kind, KeyKind::Conn | KeyKind::Bytes);
        let anchor = streams.get(self.anchor.0 as usize);
        let begins = |spec: &StreamSpec| keys_of(spec).any(|(kind, _)| is_conn(kind));
        let mut keys = self.legs.iter().filter(|leg| !leg.off).flat_map(|leg| &leg.keys);
        keys.any(|key| is_conn(key.kind)) || self.needs_bindings() && anchor.is_some_and(begins)
    }

    /// The streams that its results depend on: with those of the bindings, if a leg needs any.
    pub fn reads<'a>(&'a self, streams: &'a [StreamSpec]) -> impl Iterator<Item = StreamId> + 'a {
        let (bound, by_connection) = (self.needs_bindings(), self.goes_by_connection(streams));
        let leads =
            move |s: &StreamSpec| if s.name == nat::STREAM { by_connection } else { bound && is_binding(&s.name) };
        let bindings = (0u32..).zip(streams).filter(move |(_, s)| leads(s)).map(|(i, _)| StreamId(i));
        let legs = self.legs.iter().filter(|leg| !leg.off).map(|leg| leg.stream);
        std::iter::once(self.anchor).chain(legs).chain(bindings)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum IdSource {
    /// A string field of the anchor record.
    Field { name: String, offset: u32, cap: u32 },
    /// A header in a [`crate::ty::Type::Headers`] field.
    Header { name: String, offset: u32 },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LegSpec {
    pub name: String,
    pub stream: StreamId,
    pub agg: LegAgg,
    /// The aggregated value in the stream's record; None for `count`.
    pub value: Option<IntAt>,
    /// Offsets of the interval `[start, end)` the record stands for, if the stream has them; otherwise
    /// [end - value, end) for durations, and the instant `time` for the rest.
    pub interval: Option<(u32, u32)>,
    /// The value is a duration in ns: it can be blamed.
    pub duration: bool,
    /// Keys in order of preference.
    pub keys: Vec<LegKey>,
    /// How long before the anchor's start a record may lie.
    pub since_ns: Option<u64>,
    pub side: Side,
    /// Switched off by an empty flag: left out of results and verdict.
    pub off: bool,
    pub place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LegAgg {
    Last,
    First,
    Sum,
    Count,
    Min,
    Max,
    Avg,
}

/// Where a record has an integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntAt {
    pub offset: u32,
    /// 1, 2, 4 or 8 bytes.
    pub size: u8,
    pub signed: bool,
}

/// A key by which a leg's records find their anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegKey {
    pub kind: KeyKind,
    /// Where the leg's record has it; None: it has other keys, which bindings tie to it.
    pub leg: Option<KeyAt>,
    /// Where the anchor's record has it; None: as above.
    pub anchor: Option<KeyAt>,
}

/// Whether bindings lead from an anchor to a leg's records by a key: one of both carries others. An id that the anchor has no field
/// for is any of its ids.
pub fn is_bound(leg_carries: bool, anchor_carries: bool, is_id: bool) -> bool {
    !leg_carries || !anchor_carries && !is_id
}

/// Where a record has a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyAt {
    pub offset: u32,
    /// [`KeyKind::Goroutine`]: where the record has the process whose goroutine it is.
    pub pid: Option<u32>,
    /// [`KeyKind::Id`]: bytes that the string has room for.
    pub cap: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyKind {
    /// [`crate::abi::ConnKey`], 1:1 during the connection's life.
    Conn,
    /// [`crate::abi::BytesKey`]: a range of bytes inside others of the same direction.
    Bytes,
    /// u32 tgid, by overlap.
    Pid,
    /// u32 tid, by overlap.
    Tid,
    /// u64 number of a Go program's goroutine, in its process; by overlap.
    Goroutine,
    /// u64 id, by overlap.
    Cgroup,
    /// u64 address of a `struct file`, 1:1 while it is open.
    File,
    /// u64 address of a `struct sock`, 1:1 between opening and destruction.
    Socket,
    /// u64 socket cookie, 1:1 for one end of a connection.
    Cookie,
    /// A string id, equal.
    Id,
}

/// A field that is a key by its name and type.
#[derive(Debug)]
pub struct KeyRow {
    pub name: &'static str,
    pub kind: KeyKind,
}

/// weftrace-lang's `check::keys` has their types in the language. Strings are ids, whatever their name.
pub static KEYS: &[KeyRow] = &[
    KeyRow { name: "conn", kind: KeyKind::Conn },
    KeyRow { name: "bytes", kind: KeyKind::Bytes },
    KeyRow { name: "pid", kind: KeyKind::Pid },
    KeyRow { name: "tid", kind: KeyKind::Tid },
    KeyRow { name: "goroutine", kind: KeyKind::Goroutine },
    KeyRow { name: "cgroup", kind: KeyKind::Cgroup },
    KeyRow { name: "file", kind: KeyKind::File },
    KeyRow { name: "socket", kind: KeyKind::Socket },
    KeyRow { name: "cookie", kind: KeyKind::Cookie },
];

impl KeyKind {
    /// In what the operator writes and reads.
    pub fn name(self) -> &'static str {
        KEYS.iter().find(|row| row.kind == self).map_or("id", |row| row.name)
    }

    /// Whether a field of this type holds such a key.
    fn fits(self, ty: &Type) -> bool {
        match self {
            Self::Conn => *ty == Type::Conn,
            Self::Bytes => *ty == Type::ByteRanges,
            Self::Pid | Self::Tid => matches!(ty, Type::Int { bytes: 4, .. }),
            Self::Goroutine | Self::Cgroup | Self::File | Self::Socket | Self::Cookie => {
                matches!(ty, Type::Int { bytes: 8, .. } | Type::Ptr)
            }
            Self::Id => matches!(ty, Type::Str { .. }),
        }
    }
}

/// The key that a field of a stream is, if it is one.
pub fn key_of(stream: &StreamSpec, name: &str) -> Option<(KeyKind, KeyAt)> {
    let field = stream.field(name)?;
    let at = |pid| KeyAt { offset: field.offset, pid, cap: 0 };
    if let Type::Str { cap } = field.ty {
        return Some((KeyKind::Id, KeyAt { cap, ..at(None) }));
    }
    // A connection or bytes may have any name.
    let by_type =
        KEYS.iter().find(|row| matches!(row.kind, KeyKind::Conn | KeyKind::Bytes) && row.kind.fits(&field.ty));
    let row = by_type.or_else(|| KEYS.iter().find(|row| row.name == name && row.kind.fits(&field.ty)))?;
    if row.kind != KeyKind::Goroutine {
        return Some((row.kind, at(None)));
    }
    let pid = stream.field("pid").filter(|pid| KeyKind::Pid.fits(&pid.ty));
    Some((row.kind, at(pid.map(|pid| pid.offset))))
}

/// All keys of a stream.
pub fn keys_of(stream: &StreamSpec) -> impl Iterator<Item = (KeyKind, KeyAt)> + '_ {
    stream.fields.iter().filter_map(|field| key_of(stream, field.name.as_deref()?))
}

/// Streams of this name, and those whose name begins with it and a dot, say what belongs together: docs/joins.md.
pub const BINDING: &str = "binding";

/// Bindings between a leg's key and its anchor's, at most.
pub const MAX_STEPS: usize = 4;

/// Processes and control groups hold many connections and goroutines: none of those is led to by what they hold besides.
pub const HOLDS_MANY: [(KeyKind, KeyKind); 10] = {
    use KeyKind::{Cgroup, Conn, Cookie, File, Goroutine, Pid, Socket};
    [
        (Pid, Conn),
        (Pid, Socket),
        (Pid, Cookie),
        (Pid, File),
        (Pid, Goroutine),
        (Cgroup, Conn),
        (Cgroup, Socket),
        (Cgroup, Cookie),
        (Cgroup, File),
        (Cgroup, Goroutine),
    ]
};

/// Whether a stream of this name ties keys.
pub fn is_binding(stream: &str) -> bool {
    stream.strip_prefix(BINDING).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Side {
    Any,
    Client,
    Server,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Keep {
    All,
    /// Handler on a [`JoinView`].
    If(u32),
    Slowest {
        count: u32,
        per_ns: u64,
    },
}

/// The subject of join handlers (`keep`, `join:NAME` blocks): read by generated code at fixed offsets.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct JoinView {
    /// The anchor's payload.
    pub anchor: *const u8,
    /// The orphan's or late record's payload, null otherwise.
    pub leg_record: *const u8,
    /// One per leg of the join, in order.
    pub legs: *const LegView,
    pub id: crate::packet::StrRef,
    pub verdict: crate::packet::StrRef,
    /// The whole record as text (`print(args)`).
    pub text: crate::packet::StrRef,
    pub total_ns: u64,
    pub app_ns: u64,
    pub unknown_ns: u64,
    pub begin_ns: u64,
    pub end_ns: u64,
    pub status: crate::packet::StrRef,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct LegView {
    pub value: i64,
    /// 0 a value, 1 none, 2 unknown, 3 ambiguous
    pub state: u32,
    pub count: u32,
    /// Time charged to it in the verdict.
    pub charged_ns: u64,
    /// Events lost in its window that might have belonged to it.
    pub lost: u64,
    /// The state as a word.
    pub state_name: crate::packet::StrRef,
    /// How its records were matched; empty where none was.
    pub via: crate::packet::StrRef,
    /// Why the value isn't known; empty where it is.
    pub reason: crate::packet::StrRef,
}

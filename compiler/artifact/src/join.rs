//! Joins as data: the engine in the runtime knows nothing of the language.
//!
//! Expressions became native handlers ([`crate::native`]) whose subject is a [`JoinView`].

use crate::{Place, action::StreamId};
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
    /// Offset and size of the aggregated value in the stream's record; None for `count`.
    pub value: Option<(u32, u8)>,
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
}

/// A key by which a leg's records find their anchor: offsets of the key in the leg's and in the anchor's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegKey {
    pub kind: KeyKind,
    pub leg_offset: u32,
    pub anchor_offset: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyKind {
    /// [`crate::abi::ConnKey`], 1:1 during the connection's life.
    Conn,
    /// u32 tgid, by overlap.
    Pid,
    /// u32 tid, by overlap.
    Tid,
    /// A string id, equal.
    Id { cap: u32 },
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
}

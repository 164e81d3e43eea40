//! Types, and what the host's types look like.

use serde::{Deserialize, Serialize};

/// Where a pointer points: decides how it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Space {
    Kernel,
    User,
    /// The program's context (tracepoint record, pt_regs): read directly.
    Ctx,
    /// BPF-owned memory (map values, scratch variables): `&$x`, `&@m[k]`.
    Bpf,
    /// Not known: by probe type, else kernel.
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Ty {
    /// No value.
    Void,
    Bool,
    /// bits: 8, 16, 32, 64
    Int {
        bits: u8,
        signed: bool,
    },
    Enum {
        name: String,
        bits: u8,
        signed: bool,
    },
    /// NUL-terminated, `cap` bytes with the NUL.
    Str {
        cap: u32,
    },
    Buf {
        cap: u32,
    },
    Ptr {
        to: Box<Ty>,
        space: Space,
    },
    /// By name; layout from [`Program::structs`].
    Struct(String),
    Array {
        elem: Box<Ty>,
        len: u32,
    },
    Tuple(Vec<Ty>),
    Record(Vec<(String, Ty)>),
    Ksym,
    Usym,
    KStack {
        mode: StackMode,
        limit: u32,
    },
    UStack {
        mode: StackMode,
        limit: u32,
    },
    /// `dw_ustack`: a copy of registers and stack, unwound when it prints.
    DwStack {
        mode: StackMode,
        limit: u32,
    },
    Inet,
    Mac,
    /// strftime
    Time {
        fmt: String,
    },
    Username,
    /// A floating-point number: members of structs have them, nothing computes with them.
    Float {
        bytes: u8,
    },
    /// A cgroup's id, shown as its path in the hierarchies whose names match.
    CgroupPath {
        filter: String,
    },
    Conn,
    /// Bytes of a connection.
    ByteRanges,
    /// Addresses, ports and protocol of a packet.
    Flow,
    Headers,
    /// An aggregate (only as a map's value).
    Agg(Agg),
    /// What could not be typed: an error was reported, stay quiet about it.
    Error,
}

/// A head of HTTP/1 that the kernel looks through is no longer than this, with what follows it.
pub const PLAIN_MOST: u32 = 512;
/// Above so many bits of what [`super::Func::PlainResponse`] says is how much of the response is still to come.
pub const PLAIN_LEFT_AT: u32 = 36;
/// Bytes that are kept of it: what may be looked at behind the last one, a header's name and a number, is there too.
pub const PLAIN_ROOM: u32 = PLAIN_MOST + 48;
/// Where the kernel is told which exchanges are kept, so many bits are the status; above them ns (`weftrace_artifact::sockets`).
pub const STATUS_BITS: u32 = 16;
/// In the kernel a request waits for its response; or, behind it, what was sent of that (`weftrace_artifact::sockets` too).
pub const PHASE_HELD: u32 = 2;
pub const PHASE_ANSWER_HELD: u32 = 6;

/// Bytes of a [`Ty::DwStack`]: two numbers, the registers, a piece of the stack.
pub const DW_STACK_BYTES: u32 = 8 + weftrace_arch::THIS.registers_size + (16 << 10);

impl Ty {
    pub const U8: Self = Self::Int { bits: 8, signed: false };
    pub const U16: Self = Self::Int { bits: 16, signed: false };
    pub const U32: Self = Self::Int { bits: 32, signed: false };
    pub const U64: Self = Self::Int { bits: 64, signed: false };
    pub const I32: Self = Self::Int { bits: 32, signed: true };
    pub const I64: Self = Self::Int { bits: 64, signed: true };

    /// Whether it holds a stack that is yet to be unwound ([`Self::DwStack`]).
    pub fn holds_sample(&self) -> bool {
        match self {
            Self::DwStack { .. } => true,
            Self::Tuple(items) => items.iter().any(Self::holds_sample),
            Self::Record(items) => items.iter().any(|(_, ty)| ty.holds_sample()),
            _ => false,
        }
    }

    /// The same once user space has unwound what it holds: what a map has as its key.
    #[must_use]
    pub fn unwound(&self) -> Self {
        match self {
            Self::DwStack { mode, limit } => Self::UStack { mode: *mode, limit: *limit },
            Self::Tuple(items) => Self::Tuple(items.iter().map(Self::unwound).collect()),
            Self::Record(items) => Self::Record(items.iter().map(|(n, ty)| (n.clone(), ty.unwound())).collect()),
            other => other.clone(),
        }
    }

    pub fn is_int(&self) -> bool {
        matches!(self, Self::Int { .. } | Self::Bool | Self::Enum { .. })
    }

    /// Held in a 64-bit register (rather than in memory by address).
    pub fn is_scalar(&self) -> bool {
        matches!(
            self,
            Self::Bool
                | Self::Int { .. }
                | Self::Enum { .. }
                | Self::Ptr { .. }
                | Self::Ksym
                | Self::Time { .. }
                | Self::Username
                | Self::CgroupPath { .. }
        )
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StackMode {
    #[default]
    Bpftrace,
    Perf,
    Raw,
    /// Build ids of files and offsets in them.
    BuildId,
}

/// Aggregations, with what their bytes mean.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Agg {
    Count,
    Sum {
        signed: bool,
    },
    Min {
        signed: bool,
    },
    Max {
        signed: bool,
    },
    Avg {
        signed: bool,
    },
    Stats {
        signed: bool,
    },
    Hist {
        bits: u8,
    },
    Lhist {
        min: i64,
        max: i64,
        step: i64,
    },
    /// `count` intervals of `interval` ns
    Series {
        interval: u64,
        count: u32,
        how: SeriesHow,
        signed: bool,
    },
}

/// What a time series keeps of several values in one interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SeriesHow {
    Last,
    Avg,
    Max,
    Min,
    Sum,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StructDef {
    pub name: String,
    pub union: bool,
    pub size: u32,
    pub align: u32,
    pub fields: Vec<StructField>,
    /// Of a Go program.
    #[serde(default)]
    pub go: Option<GoType>,
}

/// What a struct in a Go program's debug information stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GoType {
    /// `string`: `str`, `len`
    String,
    /// `[]T`: `array`, `len`, `cap`
    Slice,
    /// `any`: `_type`, `data`
    Any,
    /// An interface with methods, as `error`: `tab`, `data`
    Interface,
    /// What a map or channel points to; this member counts its elements.
    Counted(String),
    /// A struct; these members are embedded, their own members are found through them.
    Struct { embedded: Vec<String> },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StructField {
    /// Empty for anonymous members, whose own fields are found through them.
    pub name: String,
    pub ty: Ty,
    /// Bytes.
    pub offset: u32,
    /// (first bit within the little-endian word at `offset`, width)
    pub bits: Option<(u8, u8)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnumDef {
    pub name: String,
    pub bits: u8,
    pub signed: bool,
    pub variants: Vec<(String, i64)>,
}

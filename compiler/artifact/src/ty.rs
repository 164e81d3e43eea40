//! Types of values that cross from programs to user space, with their exact layout in bytes.
//! All integers are in host byte order.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StackMode {
    #[default]
    Bpftrace,
    Perf,
    Raw,
    /// Build ids of files and offsets in them.
    BuildId,
}

/// How the bytes of a value are read.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Type {
    /// 1 byte, 0 or 1.
    Bool,
    /// `bytes` is 1, 2, 4 or 8.
    Int {
        bytes: u8,
        signed: bool,
    },
    /// An integer that prints as a name where one matches.
    Enum {
        name: String,
        bytes: u8,
        signed: bool,
        variants: Vec<(String, i64)>,
    },
    /// 8 bytes, printed in hexadecimal.
    Ptr,
    /// `cap` bytes, NUL-terminated unless full.
    Str {
        cap: u32,
    },
    /// u32 length, then `cap` bytes.
    Buf {
        cap: u32,
    },
    Array {
        elem: Box<Type>,
        len: u32,
    },
    Tuple {
        fields: Vec<Field>,
        size: u32,
    },
    /// bpftrace's named records `(a=1, b=2)`.
    Record {
        fields: Vec<Field>,
        size: u32,
    },
    Struct {
        name: String,
        fields: Vec<Field>,
        size: u32,
    },
    /// u64 address of kernel code or data.
    Ksym,
    /// u64 address, u32 pid (tgid), u32 zero.
    Usym,
    /// i64 stack id (negative: -errno), in the stacks map.
    KStack {
        mode: StackMode,
        limit: u32,
    },
    /// i64 stack id, u32 pid (tgid), u32 zero.
    UStack {
        mode: StackMode,
        limit: u32,
    },
    /// [`crate::abi::StackSample`]: a user stack that is unwound when it prints.
    Sample {
        mode: StackMode,
        limit: u32,
    },
    /// u32 address family (AF_INET = 2, AF_INET6 = 10, 0: none), then 16 bytes in network order.
    Inet,
    /// 6 bytes.
    Mac,
    /// u64 ns since boot (CLOCK_BOOTTIME), shown by strftime.
    Time {
        fmt: String,
    },
    /// [`crate::abi::ConnKey`].
    Conn,
    /// [`crate::abi::BytesKey`].
    ByteRanges,
    /// [`crate::abi::FlowValue`].
    Flow,
    /// [`crate::abi::HEADERS_CAP`] bytes: packed HTTP headers, see [`crate::abi`].
    Headers,
    /// u32 uid, shown as a user name.
    Username,
    /// What has no form here (floating-point numbers): shown as null.
    Opaque {
        bytes: u8,
    },
    /// u64 cgroup id, shown as its path in the hierarchies whose names match `filter` (a glob).
    CgroupPath {
        filter: String,
    },
}

/// A member of a tuple, record or struct. Tuple members have no name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Field {
    pub name: Option<String>,
    /// Bytes from the start of the enclosing value.
    pub offset: u32,
    pub ty: Type,
    /// Bit offset within the bytes and width, for bit-fields.
    pub bits: Option<(u8, u8)>,
}

impl Type {
    pub const U64: Self = Self::Int { bytes: 8, signed: false };
    pub const I64: Self = Self::Int { bytes: 8, signed: true };
    pub const U32: Self = Self::Int { bytes: 4, signed: false };

    /// Size in bytes.
    pub fn size(&self) -> u32 {
        match self {
            Self::Bool => 1,
            Self::Int { bytes, .. } | Self::Enum { bytes, .. } => u32::from(*bytes),
            Self::Ptr | Self::Ksym | Self::KStack { .. } | Self::Time { .. } | Self::CgroupPath { .. } => 8,
            Self::Usym | Self::UStack { .. } => 16,
            Self::Sample { .. } => crate::abi::StackSample::SIZE,
            Self::Str { cap } => *cap,
            Self::Buf { cap } => 4 + cap,
            Self::Array { elem, len } => elem.size() * len,
            Self::Tuple { size, .. } | Self::Record { size, .. } | Self::Struct { size, .. } => *size,
            Self::Inet => 20,
            Self::Mac => 6,
            Self::Conn => crate::abi::CONN_KEY_SIZE,
            Self::ByteRanges => crate::abi::BYTES_KEY_SIZE,
            Self::Flow => crate::abi::FLOW_VALUE_SIZE,
            Self::Headers => crate::abi::HEADERS_CAP,
            Self::Username => 4,
            Self::Opaque { bytes } => u32::from(*bytes),
        }
    }

    /// Alignment in bytes; tuples and records are laid out by it.
    pub fn align(&self) -> u32 {
        match self {
            Self::Bool | Self::Str { .. } | Self::Mac | Self::Opaque { .. } => 1,
            Self::Int { bytes, .. } | Self::Enum { bytes, .. } => u32::from(*bytes),
            Self::Buf { .. } | Self::Inet | Self::Flow | Self::Headers | Self::Username => 4,
            Self::Array { elem, .. } => elem.align(),
            Self::Tuple { fields, .. } | Self::Record { fields, .. } | Self::Struct { fields, .. } => {
                fields.iter().map(|f| f.ty.align()).max().unwrap_or(1)
            }
            Self::Ptr
            | Self::Ksym
            | Self::Usym
            | Self::KStack { .. }
            | Self::UStack { .. }
            | Self::Sample { .. }
            | Self::Time { .. }
            | Self::CgroupPath { .. }
            | Self::Conn
            | Self::ByteRanges => 8,
        }
    }
}

/// Lays members out one after the other by their alignment; returns them and the padded size.
pub fn lay_out(members: impl IntoIterator<Item = (Option<String>, Type)>) -> (Vec<Field>, u32) {
    let mut fields = Vec::new();
    let (mut at, mut align) = (0u32, 1u32);
    for (name, ty) in members {
        let a = ty.align().max(1);
        align = align.max(a);
        at = at.next_multiple_of(a);
        let offset = at;
        at += ty.size();
        fields.push(Field { name, offset, ty, bits: None });
    }
    (fields, at.next_multiple_of(align))
}

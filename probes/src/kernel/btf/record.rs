//! One type: struct btf_type and what follows it.

/// BTF_KIND_*
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Void,
    Int,
    Ptr,
    Array,
    Struct,
    Union,
    Enum,
    Fwd,
    Typedef,
    Volatile,
    Const,
    Restrict,
    Func,
    FuncProto,
    Var,
    DataSec,
    Float,
    DeclTag,
    TypeTag,
    Enum64,
}

impl Kind {
    const ALL: [Self; 20] = [
        Self::Void,
        Self::Int,
        Self::Ptr,
        Self::Array,
        Self::Struct,
        Self::Union,
        Self::Enum,
        Self::Fwd,
        Self::Typedef,
        Self::Volatile,
        Self::Const,
        Self::Restrict,
        Self::Func,
        Self::FuncProto,
        Self::Var,
        Self::DataSec,
        Self::Float,
        Self::DeclTag,
        Self::TypeTag,
        Self::Enum64,
    ];

    fn of(info: u32) -> Option<Self> {
        Self::ALL.get(((info >> 24) & 0x1f) as usize).copied()
    }

    /// Kinds that [`Btf::find`] is asked for.
    pub(super) fn is_indexed(self) -> bool {
        matches!(self, Self::Struct | Self::Union | Self::Enum | Self::Enum64 | Self::Typedef | Self::Func)
    }
}

/// One type: struct btf_type and what follows it.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub id: u32,
    pub kind: Kind,
    pub name_off: u32,
    pub vlen: usize,
    /// Bit 31 of `info`: bit-fields are packed into members' offsets; enums are signed.
    pub flag: bool,
    /// `size` or `type`.
    pub word: u32,
    pub trailer: &'a [u8],
}

impl Record<'_> {
    /// u32 at `index` of the trailer; 0 beyond its end (its length was checked by the walk).
    pub(super) fn extra(&self, index: usize) -> u32 {
        word(self.trailer, index * 4).unwrap_or(0)
    }
}

/// u32 at an offset.
pub(super) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Bytes that follow struct btf_type by kind: (always, per vlen). A table of all 32 numbers that fit into `info`: this is the
/// inner loop of every walk. Unknown kinds have [`UNKNOWN`].
const TRAILERS: [(u8, u8); 32] = {
    let mut out = [(UNKNOWN, 0); 32];
    let mut kind = 0;
    while kind < Kind::ALL.len() {
        out[kind] = match Kind::ALL[kind] {
            Kind::Int | Kind::Var | Kind::DeclTag => (4, 0),
            Kind::Array => (12, 0),
            Kind::Struct | Kind::Union | Kind::DataSec | Kind::Enum64 => (0, 12),
            Kind::Enum | Kind::FuncProto => (0, 8),
            _ => (0, 0),
        };
        kind += 1;
    }
    out
};
const UNKNOWN: u8 = u8::MAX;

/// Start of a type: its name, its info word, and where the next type starts. None at the end and at an unknown kind.
#[inline]
pub(super) fn head(types: &[u8], at: usize) -> Option<(u32, u32, usize)> {
    let words = u64::from_ne_bytes(*types.get(at..at + 8)?.first_chunk()?);
    let (name_off, info) = if cfg!(target_endian = "little") {
        (words as u32, (words >> 32) as u32)
    } else {
        ((words >> 32) as u32, words as u32)
    };
    let (always, each) = TRAILERS[(info >> 24) as usize & 31];
    (always != UNKNOWN).then(|| (name_off, info, at + 12 + always as usize + each as usize * (info & 0xffff) as usize))
}

/// The type at an offset of the type section, and where the next one starts.
pub(super) fn record(types: &[u8], at: usize, id: u32) -> Option<(Record<'_>, usize)> {
    let (name_off, info, end) = head(types, at)?;
    let record = Record {
        id,
        kind: Kind::of(info)?,
        name_off,
        vlen: (info & 0xffff) as usize,
        flag: info >> 31 == 1,
        word: word(types, at + 8)?,
        trailer: types.get(at + 12..end)?,
    };
    Some((record, end))
}

//! Reading typed values out of bytes: no allocation, no panics on short input (missing bytes read as 0).

use weftrace_artifact::ty::{Field, Type};

/// An integer with the signedness of its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Num {
    Signed(i64),
    Unsigned(u64),
}

impl Num {
    /// The 64-bit pattern.
    pub fn bits(self) -> u64 {
        match self {
            Self::Signed(v) => v as u64,
            Self::Unsigned(v) => v,
        }
    }

    /// Divided by `div` (0 counts as 1), rounded to zero.
    pub fn divided(self, div: u32) -> Self {
        match self {
            Self::Signed(v) => Self::Signed(v / i64::from(div.max(1))),
            Self::Unsigned(v) => Self::Unsigned(v / u64::from(div.max(1))),
        }
    }

    /// As a number that orders signed and unsigned alike.
    pub fn wide(self) -> i128 {
        match self {
            Self::Signed(v) => i128::from(v),
            Self::Unsigned(v) => i128::from(v),
        }
    }
}

/// `len` bytes from `offset`, or what there is of them.
pub fn slice(bytes: &[u8], offset: usize, len: usize) -> &[u8] {
    let start = offset.min(bytes.len());
    let end = offset.saturating_add(len).min(bytes.len());
    &bytes[start..end]
}

/// The first `n` (at most 8) bytes as an unsigned integer in host order.
pub fn uint(bytes: &[u8], n: usize) -> u64 {
    let mut word = [0u8; 8];
    let n = n.min(8).min(bytes.len());
    if cfg!(target_endian = "little") {
        word[..n].copy_from_slice(&bytes[..n]);
    } else {
        word[8 - n..].copy_from_slice(&bytes[..n]);
    }
    u64::from_ne_bytes(word)
}

pub fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    uint(slice(bytes, offset, 8), 8)
}

pub fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    uint(slice(bytes, offset, 4), 4) as u32
}

/// Sign-extends the low `bits` bits.
pub fn sign_extend(value: u64, bits: u32) -> i64 {
    if bits == 0 || bits >= 64 {
        return value as i64;
    }
    ((value << (64 - bits)) as i64) >> (64 - bits)
}

fn sized(bytes: &[u8], width: u8, signed: bool) -> Num {
    let raw = uint(bytes, usize::from(width));
    if signed { Num::Signed(sign_extend(raw, u32::from(width) * 8)) } else { Num::Unsigned(raw) }
}

/// The value of a type that is one integer: integers, enums, booleans, pointers, addresses, ids.
pub fn scalar(ty: &Type, bytes: &[u8]) -> Option<Num> {
    Some(match ty {
        Type::Bool => Num::Unsigned(u64::from(uint(bytes, 1) != 0)),
        Type::Int { bytes: n, signed } | Type::Enum { bytes: n, signed, .. } => sized(bytes, *n, *signed),
        Type::Ptr | Type::Ksym | Type::Usym | Type::Time { .. } | Type::CgroupPath { .. } => {
            Num::Unsigned(uint(bytes, 8))
        }
        Type::KStack { .. } | Type::UStack { .. } => Num::Signed(uint(bytes, 8) as i64),
        Type::Username => Num::Unsigned(uint(bytes, 4)),
        _ => return None,
    })
}

/// The value of a bit-field of an integer type; `bytes` are those of the enclosing value.
pub fn bit_field(field: &Field, bytes: &[u8]) -> Option<Num> {
    let (at, width) = field.bits?;
    // A bit-field may start in the last byte of its word, so one byte more than the type is read.
    let raw = slice(bytes, field.offset as usize, 9);
    let low = u128::from(uint(raw, 8)) | (u128::from(raw.get(8).copied().unwrap_or(0)) << 64);
    let mask = if width >= 64 { u64::MAX } else { (1u64 << width) - 1 };
    let value = ((low >> at.min(127)) as u64) & mask;
    let signed = matches!(field.ty, Type::Int { signed: true, .. } | Type::Enum { signed: true, .. });
    Some(if signed { Num::Signed(sign_extend(value, u32::from(width))) } else { Num::Unsigned(value) })
}

/// Bytes of a string up to its NUL; `true` if it filled its space, that is, was cut.
pub fn string(bytes: &[u8], cap: u32) -> (&[u8], bool) {
    let bytes = slice(bytes, 0, cap as usize);
    match bytes.iter().position(|&b| b == 0) {
        Some(end) => (&bytes[..end], false),
        None => (bytes, cap != 0 && bytes.len() == cap as usize),
    }
}

/// Bytes of a buffer: its own length, at most its capacity.
pub fn buffer(bytes: &[u8], cap: u32) -> &[u8] {
    slice(bytes, 4, u32_at(bytes, 0).min(cap) as usize)
}

/// The bytes of a member.
pub fn member<'a>(field: &Field, bytes: &'a [u8]) -> &'a [u8] {
    slice(bytes, field.offset as usize, field.ty.size() as usize)
}

#[cfg(test)]
mod tests;

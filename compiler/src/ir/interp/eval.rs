//! Arithmetic on 64-bit values: the one definition, for the interpreter and constant folding.

use crate::ir::{BinaryOp, Cond, Mem, UnaryOp};

/// Division by zero gives 0, remainder by zero the dividend, MIN / -1 gives MIN and MIN % -1 gives 0; shift counts are taken
/// modulo 64; overflow wraps.
pub fn binary(op: BinaryOp, a: u64, b: u64) -> u64 {
    let (sa, sb) = (a as i64, b as i64);
    match op {
        BinaryOp::Iadd => a.wrapping_add(b),
        BinaryOp::Isub => a.wrapping_sub(b),
        BinaryOp::Imul => a.wrapping_mul(b),
        BinaryOp::Udiv => a.checked_div(b).unwrap_or(0),
        BinaryOp::Urem => a.checked_rem(b).unwrap_or(a),
        BinaryOp::Sdiv if sb == 0 => 0,
        BinaryOp::Sdiv => sa.wrapping_div(sb) as u64,
        BinaryOp::Srem if sb == 0 => a,
        BinaryOp::Srem => sa.wrapping_rem(sb) as u64,
        BinaryOp::Band => a & b,
        BinaryOp::Bor => a | b,
        BinaryOp::Bxor => a ^ b,
        BinaryOp::Shl => a << (b & 63),
        BinaryOp::Lshr => a >> (b & 63),
        BinaryOp::Ashr => (sa >> (b & 63)) as u64,
    }
}

pub fn unary(op: UnaryOp, a: u64) -> u64 {
    match op {
        UnaryOp::Ineg => a.wrapping_neg(),
        UnaryOp::Bnot => !a,
        UnaryOp::Zext8 => u64::from(a as u8),
        UnaryOp::Zext16 => u64::from(a as u16),
        UnaryOp::Zext32 => u64::from(a as u32),
        UnaryOp::Sext8 => i64::from(a as i8) as u64,
        UnaryOp::Sext16 => i64::from(a as i16) as u64,
        UnaryOp::Sext32 => i64::from(a as i32) as u64,
        UnaryOp::Bswap16 => u64::from((a as u16).swap_bytes()),
        UnaryOp::Bswap32 => u64::from((a as u32).swap_bytes()),
        UnaryOp::Bswap64 => a.swap_bytes(),
    }
}

pub fn icmp(cond: Cond, a: u64, b: u64) -> bool {
    let (sa, sb) = (a as i64, b as i64);
    match cond {
        Cond::Eq => a == b,
        Cond::Ne => a != b,
        Cond::Ult => a < b,
        Cond::Ule => a <= b,
        Cond::Ugt => a > b,
        Cond::Uge => a >= b,
        Cond::Slt => sa < sb,
        Cond::Sle => sa <= sb,
        Cond::Sgt => sa > sb,
        Cond::Sge => sa >= sb,
    }
}

/// Up to eight bytes, the first the lowest.
pub fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b))
}

/// What a load of `mem` gives for these bytes.
pub fn extend(mem: Mem, bytes: &[u8]) -> u64 {
    let n = little_endian(bytes);
    match mem {
        Mem::U8 | Mem::U16 | Mem::U32 | Mem::U64 => n,
        Mem::I8 => unary(UnaryOp::Sext8, n),
        Mem::I16 => unary(UnaryOp::Sext16, n),
        Mem::I32 => unary(UnaryOp::Sext32, n),
    }
}

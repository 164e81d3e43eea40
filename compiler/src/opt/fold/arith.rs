//! Integers.

use super::{Context, Simpler, bits, def};
use crate::ir::interp::eval;
use crate::ir::{BinaryOp, Cond, Op, UnaryOp, Value};

use Simpler::{Is, Op as Becomes};

impl Context<'_> {
    pub(super) fn binary(&mut self, op: BinaryOp, a: Value, b: Value) -> Option<Simpler> {
        match (self.constant(a), self.constant(b)) {
            (Some(x), Some(y)) => Some(Becomes(Op::Iconst(eval::binary(op, x as u64, y as u64) as i64))),
            // Constants stand on the right.
            (Some(_), None) if is_commutative(op) => Some(Becomes(Op::Binary { op, a: b, b: a })),
            (None, Some(n)) => self.with_constant(op, a, n).or_else(|| self.chained(op, a, n)),
            _ if a == b => match op {
                BinaryOp::Isub | BinaryOp::Bxor => Some(Becomes(Op::Iconst(0))),
                BinaryOp::Band | BinaryOp::Bor => Some(Is(a)),
                _ => None,
            },
            _ => None,
        }
    }

    fn with_constant(&mut self, op: BinaryOp, a: Value, n: i64) -> Option<Simpler> {
        let power = (n as u64).is_power_of_two().then(|| i64::from(n.trailing_zeros()));
        match (op, n) {
            (BinaryOp::Iadd | BinaryOp::Isub | BinaryOp::Bor | BinaryOp::Bxor | BinaryOp::Urem | BinaryOp::Srem, 0)
            | (BinaryOp::Imul | BinaryOp::Udiv | BinaryOp::Sdiv, 1)
            | (BinaryOp::Band, -1) => Some(Is(a)),
            (BinaryOp::Imul | BinaryOp::Band | BinaryOp::Udiv | BinaryOp::Sdiv, 0)
            | (BinaryOp::Urem, 1)
            | (BinaryOp::Srem, 1 | -1) => Some(Becomes(Op::Iconst(0))),
            (BinaryOp::Bor, -1) => Some(Becomes(Op::Iconst(-1))),
            (BinaryOp::Bxor, -1) => Some(Becomes(Op::Unary { op: UnaryOp::Bnot, a })),
            (BinaryOp::Imul | BinaryOp::Sdiv, -1) => Some(Becomes(Op::Unary { op: UnaryOp::Ineg, a })),
            // One form for sums, so that chains of them fold.
            (BinaryOp::Isub, _) => Some(self.becomes(BinaryOp::Iadd, a, n.wrapping_neg())),
            (BinaryOp::Imul, _) => power.map(|k| self.becomes(BinaryOp::Shl, a, k)),
            (BinaryOp::Udiv, _) => power.map(|k| self.becomes(BinaryOp::Lshr, a, k)),
            (BinaryOp::Urem, _) => power.map(|_| self.becomes(BinaryOp::Band, a, n.wrapping_sub(1))),
            (BinaryOp::Band, _) => {
                // A mask that keeps every bit that can be set.
                let width = bits(self.func, a);
                let all = if width == 64 { u64::MAX } else { (1 << width) - 1 };
                (n as u64 & all == all).then_some(Is(a))
            }
            (BinaryOp::Shl | BinaryOp::Lshr | BinaryOp::Ashr, _) => match n & 63 {
                0 => Some(Is(a)),
                count if count != n => Some(self.becomes(op, a, count)),
                _ => None,
            },
            _ => None,
        }
    }

    fn becomes(&mut self, op: BinaryOp, a: Value, n: i64) -> Simpler {
        let b = self.iconst(n);
        Becomes(Op::Binary { op, a, b })
    }

    /// `(x op m) op n` for operations that associate, and shifts one way.
    fn chained(&mut self, op: BinaryOp, a: Value, n: i64) -> Option<Simpler> {
        let Some(&Op::Binary { op: inner, a: x, b: m }) = def(self.func, a) else { return None };
        let m = self.constant(m)?;
        if inner != op {
            return None;
        }
        match op {
            BinaryOp::Iadd | BinaryOp::Imul | BinaryOp::Band | BinaryOp::Bor | BinaryOp::Bxor => {
                let both = eval::binary(op, m as u64, n as u64) as i64;
                Some(self.becomes(op, x, both))
            }
            BinaryOp::Shl | BinaryOp::Lshr => match (m & 63) + (n & 63) {
                count @ 0..64 => Some(self.becomes(op, x, count)),
                _ => Some(Becomes(Op::Iconst(0))),
            },
            BinaryOp::Ashr => Some(self.becomes(op, x, ((m & 63) + (n & 63)).min(63))),
            _ => None,
        }
    }

    pub(super) fn unary(&mut self, op: UnaryOp, a: Value) -> Option<Simpler> {
        if let Some(n) = self.constant(a) {
            return Some(Becomes(Op::Iconst(eval::unary(op, n as u64) as i64)));
        }
        let width = bits(self.func, a);
        let unchanged = match op {
            UnaryOp::Zext8 => width <= 8,
            UnaryOp::Zext16 => width <= 16,
            UnaryOp::Zext32 => width <= 32,
            UnaryOp::Sext8 => width < 8,
            UnaryOp::Sext16 => width < 16,
            UnaryOp::Sext32 => width < 32,
            _ => false,
        };
        if unchanged {
            return Some(Is(a));
        }
        match (op, def(self.func, a)?) {
            (UnaryOp::Ineg, &Op::Unary { op: UnaryOp::Ineg, a: x })
            | (UnaryOp::Bnot, &Op::Unary { op: UnaryOp::Bnot, a: x })
            | (UnaryOp::Bswap64, &Op::Unary { op: UnaryOp::Bswap64, a: x }) => Some(Is(x)),
            // An extension of an extension from no fewer bits: the outer one of what is inside.
            (_, &Op::Unary { op: inner, a: x }) if kept(op)? <= kept(inner)? => Some(Becomes(Op::Unary { op, a: x })),
            _ => None,
        }
    }

    pub(super) fn icmp(&mut self, cond: Cond, a: Value, b: Value) -> Option<Simpler> {
        match (self.constant(a), self.constant(b)) {
            (Some(x), Some(y)) => Some(Becomes(Op::Iconst(eval::icmp(cond, x as u64, y as u64).into()))),
            (Some(_), None) => Some(Becomes(Op::Icmp { cond: swapped(cond), a: b, b: a })),
            (None, Some(n)) => self.icmp_with_constant(cond, a, n),
            _ if a == b => {
                let holds = matches!(cond, Cond::Eq | Cond::Ule | Cond::Uge | Cond::Sle | Cond::Sge);
                Some(Becomes(Op::Iconst(holds.into())))
            }
            _ => None,
        }
    }

    fn icmp_with_constant(&mut self, cond: Cond, a: Value, n: i64) -> Option<Simpler> {
        let width = bits(self.func, a);
        let above_all = width < 64 && n as u64 >> width != 0;
        match (cond, n) {
            (Cond::Ult, 0) => return Some(Becomes(Op::Iconst(0))),
            (Cond::Uge, 0) => return Some(Becomes(Op::Iconst(1))),
            // What is 0 or 1 is its own truth value.
            (Cond::Ne | Cond::Ugt, 0) | (Cond::Eq | Cond::Uge, 1) if width == 1 => return Some(Is(a)),
            (Cond::Eq | Cond::Ult, _) if above_all => return Some(Becomes(Op::Iconst((cond == Cond::Ult).into()))),
            (Cond::Ne, _) if above_all => return Some(Becomes(Op::Iconst(1))),
            _ => {}
        }
        match (cond, n, def(self.func, a)?) {
            (Cond::Eq, 0, &Op::Icmp { cond: inner, a: x, b: y }) => {
                Some(Becomes(Op::Icmp { cond: inverted(inner), a: x, b: y }))
            }
            (Cond::Eq | Cond::Ne, 0, &Op::Binary { op: BinaryOp::Bxor | BinaryOp::Isub, a: x, b: y }) => {
                Some(Becomes(Op::Icmp { cond, a: x, b: y }))
            }
            _ => None,
        }
    }

    pub(super) fn select(&mut self, cond: Value, a: Value, b: Value) -> Option<Simpler> {
        if a == b {
            return Some(Is(a));
        }
        if let Some(n) = self.constant(cond) {
            return Some(Is(if n != 0 { a } else { b }));
        }
        if (self.constant(a), self.constant(b)) == (Some(1), Some(0)) && bits(self.func, cond) == 1 {
            return Some(Is(cond));
        }
        match def(self.func, cond)? {
            &Op::Icmp { cond: how @ (Cond::Eq | Cond::Ne), a: x, b: y } if self.constant(y) == Some(0) => {
                let (a, b) = if how == Cond::Ne { (a, b) } else { (b, a) };
                Some(Becomes(Op::Select { cond: x, a, b }))
            }
            _ => None,
        }
    }
}

fn is_commutative(op: BinaryOp) -> bool {
    matches!(op, BinaryOp::Iadd | BinaryOp::Imul | BinaryOp::Band | BinaryOp::Bor | BinaryOp::Bxor)
}

/// The low bits that an extension looks at.
fn kept(op: UnaryOp) -> Option<u32> {
    match op {
        UnaryOp::Zext8 | UnaryOp::Sext8 => Some(8),
        UnaryOp::Zext16 | UnaryOp::Sext16 => Some(16),
        UnaryOp::Zext32 | UnaryOp::Sext32 => Some(32),
        _ => None,
    }
}

/// The condition with its operands exchanged.
fn swapped(cond: Cond) -> Cond {
    match cond {
        Cond::Eq | Cond::Ne => cond,
        Cond::Ult => Cond::Ugt,
        Cond::Ule => Cond::Uge,
        Cond::Ugt => Cond::Ult,
        Cond::Uge => Cond::Ule,
        Cond::Slt => Cond::Sgt,
        Cond::Sle => Cond::Sge,
        Cond::Sgt => Cond::Slt,
        Cond::Sge => Cond::Sle,
    }
}

fn inverted(cond: Cond) -> Cond {
    match cond {
        Cond::Eq => Cond::Ne,
        Cond::Ne => Cond::Eq,
        Cond::Ult => Cond::Uge,
        Cond::Ule => Cond::Ugt,
        Cond::Ugt => Cond::Ule,
        Cond::Uge => Cond::Ult,
        Cond::Slt => Cond::Sge,
        Cond::Sle => Cond::Sgt,
        Cond::Sgt => Cond::Sle,
        Cond::Sge => Cond::Slt,
    }
}

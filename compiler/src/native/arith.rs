//! Arithmetic. Cranelift's division traps where the IR's has a result, and so is guarded; its shifts take the count modulo the width
//! as the IR's do.

use super::translate::Translator;
use crate::ir::{BinaryOp, Cond, Op, UnaryOp, Value, pointer};
use cranelift::prelude::{InstBuilder, IntCC, types};
use cranelift_codegen::ir as clif;

impl Translator<'_, '_> {
    pub(super) fn arith(&mut self, op: &Op) -> Result<clif::Value, String> {
        Ok(match *op {
            Op::Iconst(n) => self.iconst(n),
            Op::Binary { op, a, b } => self.binary(op, a, b)?,
            Op::Unary { op, a } => {
                let a = self.value(a)?;
                self.unary(op, a)
            }
            Op::Icmp { cond, a, b } => {
                let (a, b) = (self.value(a)?, self.value(b)?);
                let bit = self.b.ins().icmp(condition(cond), a, b);
                self.b.ins().uextend(types::I64, bit)
            }
            Op::Select { cond, a, b } => {
                let (cond, a, b) = (self.value(cond)?, self.value(a)?, self.value(b)?);
                self.b.ins().select(cond, a, b)
            }
            _ => return Err(format!("`{op}` is not arithmetic")),
        })
    }

    fn binary(&mut self, op: BinaryOp, a: Value, b: Value) -> Result<clif::Value, String> {
        let divisor = pointer::constant(self.func, b);
        let (a, b) = (self.value(a)?, self.value(b)?);
        let ins = self.b.ins();
        Ok(match op {
            BinaryOp::Iadd => ins.iadd(a, b),
            BinaryOp::Isub => ins.isub(a, b),
            BinaryOp::Imul => ins.imul(a, b),
            BinaryOp::Band => ins.band(a, b),
            BinaryOp::Bor => ins.bor(a, b),
            BinaryOp::Bxor => ins.bxor(a, b),
            BinaryOp::Shl => ins.ishl(a, b),
            BinaryOp::Lshr => ins.ushr(a, b),
            BinaryOp::Ashr => ins.sshr(a, b),
            BinaryOp::Udiv | BinaryOp::Urem | BinaryOp::Sdiv | BinaryOp::Srem => match divisor {
                Some(n) if n != 0 && n != -1 => self.divide(op, a, b),
                _ => self.guarded_divide(op, a, b),
            },
        })
    }

    fn divide(&mut self, op: BinaryOp, a: clif::Value, b: clif::Value) -> clif::Value {
        let ins = self.b.ins();
        match op {
            BinaryOp::Udiv => ins.udiv(a, b),
            BinaryOp::Urem => ins.urem(a, b),
            BinaryOp::Sdiv => ins.sdiv(a, b),
            _ => ins.srem(a, b),
        }
    }

    /// Divides by 1 where the machine would trap, and puts the IR's result in.
    fn guarded_divide(&mut self, op: BinaryOp, a: clif::Value, b: clif::Value) -> clif::Value {
        let (zero, one, minus_one) = (self.iconst(0), self.iconst(1), self.iconst(-1));
        let by_zero = self.b.ins().icmp(IntCC::Equal, b, zero);
        let mut safe = self.b.ins().select(by_zero, one, b);
        let signed = matches!(op, BinaryOp::Sdiv | BinaryOp::Srem);
        let by_minus_one = signed.then(|| self.b.ins().icmp(IntCC::Equal, b, minus_one));
        if let Some(by_minus_one) = by_minus_one {
            safe = self.b.ins().select(by_minus_one, one, safe);
        }
        let mut result = self.divide(op, a, safe);
        if let (BinaryOp::Sdiv, Some(by_minus_one)) = (op, by_minus_one) {
            let negated = self.b.ins().ineg(a);
            result = self.b.ins().select(by_minus_one, negated, result);
        }
        let if_zero = if matches!(op, BinaryOp::Udiv | BinaryOp::Sdiv) { zero } else { a };
        self.b.ins().select(by_zero, if_zero, result)
    }

    fn unary(&mut self, op: UnaryOp, a: clif::Value) -> clif::Value {
        let (ty, signed, swap) = match op {
            UnaryOp::Ineg => return self.b.ins().ineg(a),
            UnaryOp::Bnot => return self.b.ins().bnot(a),
            UnaryOp::Bswap64 => return self.b.ins().bswap(a),
            UnaryOp::Zext8 => (types::I8, false, false),
            UnaryOp::Zext16 => (types::I16, false, false),
            UnaryOp::Zext32 => (types::I32, false, false),
            UnaryOp::Sext8 => (types::I8, true, false),
            UnaryOp::Sext16 => (types::I16, true, false),
            UnaryOp::Sext32 => (types::I32, true, false),
            UnaryOp::Bswap16 => (types::I16, false, true),
            UnaryOp::Bswap32 => (types::I32, false, true),
        };
        let mut low = self.b.ins().ireduce(ty, a);
        if swap {
            low = self.b.ins().bswap(low);
        }
        if signed { self.b.ins().sextend(types::I64, low) } else { self.b.ins().uextend(types::I64, low) }
    }
}

fn condition(cond: Cond) -> IntCC {
    match cond {
        Cond::Eq => IntCC::Equal,
        Cond::Ne => IntCC::NotEqual,
        Cond::Ult => IntCC::UnsignedLessThan,
        Cond::Ule => IntCC::UnsignedLessThanOrEqual,
        Cond::Ugt => IntCC::UnsignedGreaterThan,
        Cond::Uge => IntCC::UnsignedGreaterThanOrEqual,
        Cond::Slt => IntCC::SignedLessThan,
        Cond::Sle => IntCC::SignedLessThanOrEqual,
        Cond::Sgt => IntCC::SignedGreaterThan,
        Cond::Sge => IntCC::SignedGreaterThanOrEqual,
    }
}

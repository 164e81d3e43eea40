//! Arithmetic, comparisons, selects.

use super::{Error, Selector};
use crate::{
    ebpf::{
        insn::{AluOp, Insn, JumpCond, Reg, Src, Swap, Width},
        mir::{VCmp, VSrc},
    },
    ir::{BinaryOp, Cond, Op, UnaryOp, Value},
};
use regalloc2::VReg;

const W64: Width = Width::W64;

fn jump_cond(cond: Cond) -> JumpCond {
    match cond {
        Cond::Eq => JumpCond::Eq,
        Cond::Ne => JumpCond::Ne,
        Cond::Ult => JumpCond::Lt,
        Cond::Ule => JumpCond::Le,
        Cond::Ugt => JumpCond::Gt,
        Cond::Uge => JumpCond::Ge,
        Cond::Slt => JumpCond::Slt,
        Cond::Sle => JumpCond::Sle,
        Cond::Sgt => JumpCond::Sgt,
        Cond::Sge => JumpCond::Sge,
    }
}

/// The machine operation of those that have one; signed division has none before cpu v4.
fn alu_op(op: BinaryOp) -> AluOp {
    match op {
        BinaryOp::Iadd => AluOp::Add,
        BinaryOp::Isub => AluOp::Sub,
        BinaryOp::Imul => AluOp::Mul,
        BinaryOp::Udiv => AluOp::Div,
        BinaryOp::Urem => AluOp::Mod,
        BinaryOp::Sdiv => AluOp::Sdiv,
        BinaryOp::Srem => AluOp::Smod,
        BinaryOp::Band => AluOp::And,
        BinaryOp::Bor => AluOp::Or,
        BinaryOp::Bxor => AluOp::Xor,
        BinaryOp::Shl => AluOp::Lsh,
        BinaryOp::Lshr => AluOp::Rsh,
        BinaryOp::Ashr => AluOp::Arsh,
    }
}

fn is_commutative(op: BinaryOp) -> bool {
    matches!(op, BinaryOp::Iadd | BinaryOp::Imul | BinaryOp::Band | BinaryOp::Bor | BinaryOp::Bxor)
}

impl Selector<'_> {
    pub(super) fn binary(&mut self, op: BinaryOp, a: Value, b: Value) -> Result<VReg, Error> {
        let (a, b) = if is_commutative(op) && self.imm_of(a).is_some() { (b, a) } else { (a, b) };
        match op {
            BinaryOp::Udiv | BinaryOp::Urem => {
                let left = self.exact(a)?;
                if let Some(c) = self.const_of(b) {
                    return Ok(self.unsigned_by(op, left, c as u64));
                }
                let right = self.exact(b)?;
                Ok(self.m.alu(W64, alu_op(op), left, VSrc::Reg(right)))
            }
            BinaryOp::Sdiv | BinaryOp::Srem => self.signed(op, a, b),
            BinaryOp::Shl | BinaryOp::Lshr | BinaryOp::Ashr => {
                let left = self.exact(a)?;
                // The verifier refuses constant counts from 64 on.
                let right = match self.const_of(b) {
                    Some(c) => VSrc::Imm((c & 63) as i32),
                    None => VSrc::Reg(self.exact(b)?),
                };
                Ok(self.m.alu(W64, alu_op(op), left, right))
            }
            _ => {
                let left = self.exact(a)?;
                let right = self.operand(b)?;
                Ok(self.m.alu(W64, alu_op(op), left, right))
            }
        }
    }

    /// Unsigned division by a constant. The verifier refuses a constant 0, whose meaning is 0 or the dividend.
    fn unsigned_by(&mut self, op: BinaryOp, a: VReg, divisor: u64) -> VReg {
        let quotient = matches!(op, BinaryOp::Udiv | BinaryOp::Sdiv);
        match (divisor, quotient) {
            (0, true) | (1, false) => self.m.number(0),
            (0, false) | (1, true) => a,
            (d, true) if d.is_power_of_two() => self.m.alu(W64, AluOp::Rsh, a, VSrc::Imm(d.trailing_zeros() as i32)),
            (d, false) if d.is_power_of_two() => {
                let mask = self.constant((d - 1) as i64);
                self.m.alu(W64, AluOp::And, a, mask)
            }
            (d, _) => {
                let by = self.constant(d as i64);
                self.m.alu(W64, if quotient { AluOp::Div } else { AluOp::Mod }, a, by)
            }
        }
    }

    fn constant(&mut self, c: i64) -> VSrc {
        match i32::try_from(c) {
            Ok(imm) => VSrc::Imm(imm),
            Err(_) => VSrc::Reg(self.m.number(c)),
        }
    }

    /// Signed division from unsigned division, without branches: with s = x >> 63 (0 or -1), |x| = (x ^ s) - s, and the same
    /// puts the sign back. Division by zero comes out as the IR wants it: 0, and the dividend. The machine's own signed division
    /// (cpu v4) is used with constant divisors only: kernels before 6.12 trap on MIN / -1.
    fn signed(&mut self, op: BinaryOp, a: Value, b: Value) -> Result<VReg, Error> {
        let left = self.exact(a)?;
        let quotient = op == BinaryOp::Sdiv;
        if let Some(c) = self.const_of(b) {
            if self.env.features.cpu_v4 && !matches!(c, -1 | 0) {
                let by = self.constant(c);
                return Ok(self.m.alu(W64, alu_op(op), left, by));
            }
            let sign = self.m.alu(W64, AluOp::Arsh, left, VSrc::Imm(63));
            let magnitude = self.flip(left, sign);
            let result = self.unsigned_by(op, magnitude, c.unsigned_abs());
            let sign = if quotient && c < 0 { self.m.alu(W64, AluOp::Xor, sign, VSrc::Imm(-1)) } else { sign };
            return Ok(self.flip(result, sign));
        }
        let right = self.exact(b)?;
        let left_sign = self.m.alu(W64, AluOp::Arsh, left, VSrc::Imm(63));
        let right_sign = self.m.alu(W64, AluOp::Arsh, right, VSrc::Imm(63));
        let left = self.flip(left, left_sign);
        let right = self.flip(right, right_sign);
        let code = if quotient { AluOp::Div } else { AluOp::Mod };
        let result = self.m.alu(W64, code, left, VSrc::Reg(right));
        let sign = if quotient { self.m.alu(W64, AluOp::Xor, left_sign, VSrc::Reg(right_sign)) } else { left_sign };
        Ok(self.flip(result, sign))
    }

    /// Negates `x` where `sign` is -1, leaves it where it is 0.
    fn flip(&mut self, x: VReg, sign: VReg) -> VReg {
        let x = self.m.alu(W64, AluOp::Xor, x, VSrc::Reg(sign));
        self.m.alu(W64, AluOp::Sub, x, VSrc::Reg(sign))
    }

    pub(super) fn unary(&mut self, op: UnaryOp, a: Value) -> Result<VReg, Error> {
        let a = self.exact(a)?;
        let unset = Reg::R0;
        Ok(match op {
            UnaryOp::Ineg => self.m.in_place(Insn::Alu { width: W64, op: AluOp::Neg, dst: unset, src: Src::Imm(0) }, a),
            UnaryOp::Bnot => self.m.alu(W64, AluOp::Xor, a, VSrc::Imm(-1)),
            UnaryOp::Zext8 => self.m.alu(W64, AluOp::And, a, VSrc::Imm(0xff)),
            UnaryOp::Zext16 => self.m.alu(W64, AluOp::And, a, VSrc::Imm(0xffff)),
            UnaryOp::Zext32 => {
                let mov = Insn::Alu { width: Width::W32, op: AluOp::Mov, dst: unset, src: Src::Reg(unset) };
                self.m.convert(mov, a)
            }
            UnaryOp::Sext8 => self.sign_extend(a, 8),
            UnaryOp::Sext16 => self.sign_extend(a, 16),
            UnaryOp::Sext32 => self.sign_extend(a, 32),
            // Programs are made for little-endian hosts, where `be` always swaps.
            UnaryOp::Bswap16 => self.m.in_place(Insn::Swap { order: Swap::ToBe, bits: 16, dst: unset }, a),
            UnaryOp::Bswap32 => self.m.in_place(Insn::Swap { order: Swap::ToBe, bits: 32, dst: unset }, a),
            UnaryOp::Bswap64 => self.m.in_place(Insn::Swap { order: Swap::ToBe, bits: 64, dst: unset }, a),
        })
    }

    pub(super) fn sign_extend(&mut self, a: VReg, bits: u8) -> VReg {
        if self.env.features.cpu_v4 {
            return self.m.convert(Insn::MovSx { width: W64, bits, dst: Reg::R0, src: Reg::R0 }, a);
        }
        let by = VSrc::Imm(64 - i32::from(bits));
        let up = self.m.alu(W64, AluOp::Lsh, a, by);
        self.m.alu(W64, AluOp::Arsh, up, by)
    }

    pub(super) fn icmp(&mut self, cond: Cond, a: Value, b: Value) -> Result<VReg, Error> {
        let cmp = self.compare(cond, a, b)?;
        Ok(self.m.set_cond(cmp))
    }

    fn compare(&mut self, cond: Cond, a: Value, b: Value) -> Result<VCmp, Error> {
        let cond = jump_cond(cond);
        if self.imm_of(a).is_some() && self.imm_of(b).is_none() {
            let lhs = self.reg(b)?;
            let lhs = self.unknown(b, lhs);
            return Ok(VCmp { cond: cond.swapped(), lhs, rhs: self.comparand(a)? });
        }
        let lhs = self.reg(a)?;
        let lhs = self.unknown(a, lhs);
        Ok(VCmp { cond, lhs, rhs: self.comparand(b)? })
    }

    fn comparand(&mut self, value: Value) -> Result<VSrc, Error> {
        match self.held(value)? {
            VSrc::Imm(imm) if imm < 0 && self.env.features.rbpf => Ok(VSrc::Reg(self.m.number(i64::from(imm)))),
            VSrc::Reg(reg) if self.const_of(value).is_none() => Ok(VSrc::Reg(self.unknown(value, reg))),
            src => Ok(src),
        }
    }

    /// The comparison behind a condition; any other value is compared with 0.
    pub(super) fn condition(&mut self, cond: Value) -> Result<VCmp, Error> {
        if let Some(&Op::Icmp { cond, a, b }) = self.def(cond) {
            return self.compare(cond, a, b);
        }
        let lhs = self.reg(cond)?;
        Ok(VCmp { cond: JumpCond::Ne, lhs: self.unknown(cond, lhs), rhs: VSrc::Imm(0) })
    }

    /// As [`Self::reg`], small constants as immediates.
    fn held(&mut self, value: Value) -> Result<VSrc, Error> {
        match self.imm_of(value) {
            Some(imm) => Ok(VSrc::Imm(imm)),
            None => self.reg(value).map(VSrc::Reg),
        }
    }

    pub(super) fn select(&mut self, cond: Value, a: Value, b: Value) -> Result<VReg, Error> {
        let cmp = self.condition(cond)?;
        let (a, b) = (self.held(a)?, self.held(b)?);
        if b == VSrc::Reg(cmp.lhs)
            && let Some(cond) = cmp.cond.inverse()
        {
            return Ok(self.m.select(VCmp { cond, ..cmp }, b, a));
        }
        Ok(self.m.select(cmp, a, b))
    }
}

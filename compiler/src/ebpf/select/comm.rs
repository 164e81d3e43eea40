//! The name of the running task, read where it is: bpf_get_current_comm copies and pads it byte by byte, 19 ns where this takes 5.

use super::{Error, ErrorKind, Selector, address::Address, facts::member_of, mem::pieces};
use crate::{
    ebpf::{
        insn::{AluOp, JumpCond, MemSize, Width},
        mir::{MBase, Reloc, VCmp, VSrc},
    },
    ir::Value,
};
use regalloc2::VReg;
use weftrace_artifact::program::RelocSlot;

/// bpf_get_current_task_btf (kernel 5.11)
const CURRENT_TASK_BTF: u32 = 158;
/// bpf_get_current_comm
const CURRENT_COMM: u32 = 16;
/// In each byte the lowest bit, and the highest.
const LOW: i64 = 0x0101_0101_0101_0101;
const HIGH: i64 = 0x8080_8080_8080_8080_u64 as i64;

impl Selector<'_> {
    /// `task_comm`; by bpf_get_current_comm where the place of the name is not at hand.
    pub(super) fn task_comm(&mut self, args: &[Value]) -> Result<VReg, Error> {
        let &[dst, len, place] = args else {
            return Err(self.error(ErrorKind::Malformed("task_comm without its arguments")));
        };
        let (_, steps) = member_of(self.func, place);
        if let [(offset, path)] = steps[..]
            && let Ok(at) = i32::try_from(offset)
            && self.env.features.current_task
            && !self.env.features.rbpf
        {
            let field = Reloc::Field { path, slot: RelocSlot::Imm, compiled: offset };
            let task = self.m.call_value(CURRENT_TASK_BTF, &[]);
            let name = self.m.alu_reloc(Width::W64, AluOp::Add, task, VSrc::Imm(at), Some(field));
            self.read_comm(dst, MBase::Reg(name))?;
        } else {
            self.pad_comm(dst, len)?;
            let (dst, len) = (self.exact(dst)?, self.exact(len)?);
            self.m.call(CURRENT_COMM, &[dst, len], false);
        }
        Ok(self.m.number(0))
    }

    /// What follows the NUL may be of an older name, and keys are compared as a whole: it is made zero.
    fn read_comm(&mut self, dst: Value, name: MBase) -> Result<(), Error> {
        let to = self.address(dst, 0)?;
        let (short, long, done) = (self.m.block(), self.m.block(), self.m.block());
        let first = self.m.load(MemSize::B8, false, name, 0, None);
        let end = self.first_nul(first);
        let ends = VCmp { cond: JumpCond::Ne, lhs: end, rhs: VSrc::Imm(0) };
        self.m.branch(ends, (short, vec![]), (long, vec![]));
        self.m.switch_to(short);
        let text = self.before(first, end);
        self.store_word(&to, 0, text);
        self.fill_at(&Address { offset: to.offset + 8, ..to }, 8);
        self.m.jump(done, vec![]);
        self.m.switch_to(long);
        self.store_word(&to, 0, first);
        let second = self.m.load(MemSize::B8, false, name, 8, None);
        let end = self.first_nul(second);
        let text = self.before(second, end);
        // A name without an end is being written: the kernel's helper ends it here, too.
        let ended = self.m.number(i64::MAX >> 7);
        let text = self.m.alu(Width::W64, AluOp::And, text, VSrc::Reg(ended));
        self.store_word(&to, 8, text);
        self.m.jump(done, vec![]);
        self.m.switch_to(done);
        Ok(())
    }

    /// The highest bit of the first byte that is 0 (and of others behind it); 0 if there is none.
    fn first_nul(&mut self, word: VReg) -> VReg {
        let (low, high) = (self.m.number(LOW), self.m.number(HIGH));
        let borrowed = self.m.alu(Width::W64, AluOp::Sub, word, VSrc::Reg(low));
        let inverse = self.m.alu(Width::W64, AluOp::Xor, word, VSrc::Imm(-1));
        let both = self.m.alu(Width::W64, AluOp::And, borrowed, VSrc::Reg(inverse));
        self.m.alu(Width::W64, AluOp::And, both, VSrc::Reg(high))
    }

    /// The bytes before the one that [`Self::first_nul`] found; all if it found none.
    fn before(&mut self, word: VReg, end: VReg) -> VReg {
        let below = self.m.alu(Width::W64, AluOp::Sub, end, VSrc::Imm(1));
        let above = self.m.alu(Width::W64, AluOp::Xor, end, VSrc::Imm(-1));
        let below = self.m.alu(Width::W64, AluOp::And, below, VSrc::Reg(above));
        self.m.alu(Width::W64, AluOp::And, word, VSrc::Reg(below))
    }

    fn store_word(&mut self, to: &Address, at: i64, word: VReg) {
        for (part, size) in pieces(&[&Address { offset: to.offset + at, ..*to }], 8) {
            let bits =
                if part > 0 { self.m.alu(Width::W64, AluOp::Rsh, word, VSrc::Imm(part as i32 * 8)) } else { word };
            self.store_at(to, at + part, size, VSrc::Reg(bits));
        }
    }
}

//! Samples of user stacks: registers, and the top of the stack, for unwinding in user space.

use super::{
    cx::{Cx, R},
    mem::Mem,
};
use crate::ir::{BinaryOp, Cond, Helper};
use weftrace_artifact::abi::StackSample;
use weftrace_lang::hir::{DW_STACK_BYTES, Expr, ExprKind as E, Func};

const _: () = assert!(StackSample::SIZE == DW_STACK_BYTES);

impl Cx<'_, '_> {
    /// [`StackSample`]. The stack is read piece by piece: the first that can't be read is above its top.
    pub(crate) fn sample_into(&mut self, e: &Expr, dst: Mem) -> R<()> {
        if !matches!(e.kind, E::Call { func: Func::DwStack, .. }) {
            return self.copy_converted(e, dst, &e.ty, false);
        }
        if !self.kernel {
            return self.elsewhere(e.span, "a stack trace");
        }
        self.m.user_names = true;
        let both = self.b.call(Helper::PidTgid, &[]);
        let pid = self.b.binary_imm(BinaryOp::Lshr, both, 32);
        // The u32 pid, and that nothing has been read so far.
        self.store(8, pid, dst);
        let task = self.b.call(Helper::CurrentTaskBtf, &[]);
        let from = self.b.call(Helper::TaskRegisters, &[task]);
        let to = self.addr(dst.at(StackSample::REGISTERS));
        let len = self.iconst(i64::from(StackSample::REGISTERS_SIZE));
        self.b.call(Helper::ReadKernel, &[to, len, from]);
        let sp = self.load(8, false, dst.at(StackSample::STACK_POINTER));
        let done = self.block();
        for piece in 0..StackSample::PIECES {
            let at = piece * StackSample::PIECE;
            let from = self.b.binary_imm(BinaryOp::Iadd, sp, i64::from(at));
            let to = self.addr(dst.at(StackSample::STACK + at));
            let len = self.iconst(i64::from(StackSample::PIECE));
            let result = self.b.call(Helper::ReadUser, &[to, len, from]);
            let failed = self.b.icmp_imm(Cond::Slt, result, 0);
            let next = self.block();
            self.brif(failed, done, next);
            self.start(next);
            let used = self.iconst(i64::from(at + StackSample::PIECE));
            self.store(4, used, dst.at(StackSample::USED));
        }
        self.jump(done);
        self.start(done);
        Ok(())
    }
}

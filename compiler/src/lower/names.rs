//! Names of numbers: looked up in an array that the runtime fills, or written out where the number is known.

use super::{
    cx::{Cx, R},
    mem::Mem,
};
use crate::ir::{BinaryOp, Cond, UnaryOp, Value};
use weftrace_artifact::{
    map::Role,
    names::{NAME_CAP, NameTable},
};
use weftrace_lang::hir::{Expr, ExprKind as E, Names};

fn table(names: Names) -> NameTable {
    match names {
        Names::Errors => NameTable::Errors,
        Names::Signals => NameTable::Signals,
        Names::Syscalls => NameTable::Syscalls,
    }
}

impl Cx<'_, '_> {
    /// `strerror(n)` and its like, as a string of at most `cap` bytes.
    pub(crate) fn number_name(
        &mut self,
        names: Names,
        args: &[Expr],
        e: &Expr,
        dst: Mem,
        cap: u32,
        zeroed: bool,
    ) -> R<()> {
        let table = table(names);
        let n = match args {
            [Expr { kind: E::Int(n), .. }] => {
                self.literal_into(table.name(*n).as_bytes(), dst, cap, zeroed);
                return Ok(());
            }
            [n] => self.scalar(n)?,
            _ => return self.not_yet(e.span, "a name without its number"),
        };
        let n = if table == NameTable::Errors { self.absolute(n) } else { n };
        let map = self.m.internal(Role::Names(table), self.kernel);
        let index = self.at_most(n, table.entries() - 1);
        let key = self.temp(4);
        self.store(4, index, key);
        let (missing, done) = (self.block(), self.block());
        let entry = self.lookup_or(map, key.ptr, missing);
        self.copy_string(dst, cap, Mem::new(entry, 0), NAME_CAP, zeroed);
        self.jump(done);
        // Cannot be: the index is within the array.
        self.start(missing);
        if !zeroed {
            self.fill(dst, cap);
        }
        self.jump(done);
        self.start(done);
        Ok(())
    }

    /// The kernel gives errors as negative numbers, programs as positive ones.
    fn absolute(&mut self, n: Value) -> Value {
        let negative = self.b.icmp_imm(Cond::Slt, n, 0);
        let (turn, done) = (self.block(), self.block_with(&[crate::ir::Ty::I64]));
        self.brif_with(negative, (turn, &[]), (done, &[n]));
        self.start(turn);
        let positive = self.b.unary(UnaryOp::Ineg, n);
        self.jump_with(done, &[positive]);
        self.start(done);
        self.b.param(done, 0)
    }

    /// Bytes of `a` before its NUL and then those of `b`, as a string of `cap` bytes.
    pub(crate) fn str_concat(&mut self, args: &[Expr], e: &Expr, dst: Mem, cap: u32) -> R<()> {
        let [a, b] = args else { return self.not_yet(e.span, "str_concat() of other than two strings") };
        let first = self.size_of(&a.ty, a.span)?.min(cap);
        self.string_into(a, dst, first, false)?;
        if cap > first {
            self.fill(dst.at(first), cap - first);
        }
        let length = self.strlen_of(dst, first);
        let text = self.text(b)?;
        let (tail, tail_cap) = self.in_memory(&text, b)?;
        let (to, from) = (self.addr(dst), self.addr(tail));
        let done = self.block();
        let last = cap.saturating_sub(1);
        self.count_up(tail_cap, done, |cx, i, next| {
            let p = cx.b.ptr_index(from, i, tail_cap.saturating_sub(1));
            let byte = cx.load(1, false, Mem { ptr: p, offset: 0, align: 1 });
            let at = cx.b.binary(BinaryOp::Iadd, length, i);
            let (room, write) = (cx.block(), cx.block());
            cx.brif(byte, room, done);
            cx.start(room);
            // The last byte stays for the NUL.
            let full = cx.b.icmp_imm(Cond::Uge, at, i64::from(last));
            cx.brif(full, done, write);
            cx.start(write);
            let q = cx.b.ptr_index(to, at, last);
            cx.store(1, byte, Mem { ptr: q, offset: 0, align: 1 });
            cx.jump(next);
        });
        self.start(done);
        Ok(())
    }
}

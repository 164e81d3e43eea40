//! `skboutput()`: a packet's bytes on their way to a capture file.

use super::{
    cx::{Cx, R},
    mem::Remote,
};
use crate::ir::{BinaryOp, Cond, Value};
use weftrace_artifact::{action::ActionKind, ty::Type};
use weftrace_lang::hir::{Expr, ExprKind as E};

/// Bytes of a packet that are kept where the script's length is not a number written out (tcpdump calls it the snapshot length).
const SNAPSHOT: u32 = 4096;
/// The most that is kept: larger packets don't exist on the wire.
const LONGEST: i64 = 16 * 1024;
/// -ENOSPC: the record was lost (and counted).
const NO_SPACE: i64 = -28;

impl Cx<'_, '_> {
    /// [skb, length, offset, file]: what lies in the buffer's own memory; bytes in pages (data_len) are counted, not kept.
    pub(crate) fn skb_output(&mut self, args: &[Expr], e: &Expr) -> R<Value> {
        let [skb, len, offset, Expr { kind: E::Str(path), .. }] = args else {
            return self.not_yet(e.span, "skboutput() with these arguments");
        };
        let mut members = [0u32; 3];
        for (slot, name) in members.iter_mut().zip(["data", "len", "data_len"]) {
            let Some(at) = self.member("sk_buff", name) else {
                return self.not_yet(e.span, "skboutput() on a kernel whose sk_buff is not known");
            };
            *slot = at;
        }
        if !self.kernel {
            return self.elsewhere(e.span, "skboutput()");
        }
        let cap = match len.kind {
            E::Int(n) => n.clamp(1, LONGEST) as u32,
            _ => SNAPSHOT,
        };
        let skb = self.scalar(skb)?;
        let (wanted, offset) = (self.scalar(len)?, self.scalar(offset)?);
        let data = self.read_member(skb, "sk_buff", "data", members[0], (8, false), e.span)?;
        let whole = self.read_member(skb, "sk_buff", "len", members[1], (4, false), e.span)?;
        let paged = self.read_member(skb, "sk_buff", "data_len", members[2], (4, false), e.span)?;
        let linear = self.b.isub(whole, paged);
        let (there, kept) = (self.behind(whole, offset), self.behind(linear, offset));
        let there = self.smaller(there, wanted);
        let kept = self.smaller(kept, wanted);
        let kept = self.at_most(kept, cap);
        let bytes = Type::Array { elem: Box::new(Type::Int { bytes: 1, signed: false }), len: cap };
        let kind = ActionKind::Packet { path: path.clone() };
        let action = self.m.action(kind, [Type::U32, Type::U32, bytes], e.span);
        let from = self.b.iadd(data, offset);
        let result = self.new_var();
        let lost = self.iconst(NO_SPACE);
        self.set_var(result, lost);
        let full = self.block();
        let record = self.reserve_or(action, full);
        self.store(4, kept, record);
        self.store(4, there, record.at(4));
        self.read_remote_dyn(record.at(8), kept, &Remote::new(from, false), e.span)?;
        self.b.submit(record.ptr);
        let done = self.iconst(0);
        self.set_var(result, done);
        self.jump(full);
        self.start(full);
        Ok(self.read_var(result))
    }

    /// Bytes of `len` behind `offset`, 0 if there are none.
    fn behind(&mut self, len: Value, offset: Value) -> Value {
        let zero = self.iconst(0);
        let some = self.b.icmp(Cond::Ugt, len, offset);
        let rest = self.b.binary(BinaryOp::Isub, len, offset);
        let done = self.block_with(&[crate::ir::Ty::I64]);
        self.brif_with(some, (done, &[rest]), (done, &[zero]));
        self.start(done);
        self.b.param(done, 0)
    }
}

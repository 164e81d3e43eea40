//! Strings: measuring and searching.

use super::{
    compare::Text,
    cx::{Cx, R},
    mem::Mem,
    strings::c_text,
};
use crate::ir::{BinaryOp, Block, Cond, Value};
use weftrace_lang::hir::{Expr, ExprKind as E};
use weftrace_lang::world::{Answer, Feature};

/// Byte comparisons that the kernel's verifier follows without trouble where loops stay in place (no bpf_loop).
const MAX_KERNEL_STEPS: u64 = 16 * 1024;

impl Cx<'_, '_> {
    pub(crate) fn strlen(&mut self, e: &Expr) -> R<Value> {
        match self.text(e)? {
            Text::Literal(s) => Ok(self.iconst(s.len() as i64)),
            Text::Slice { len, .. } => Ok(len),
            Text::Memory { at, cap } => Ok(self.strlen_of(at, cap)),
        }
    }

    /// Bytes before the NUL of a string in memory.
    pub(crate) fn strlen_of(&mut self, at: Mem, cap: u32) -> Value {
        let start = self.addr(at);
        let length = self.new_var();
        let full = self.iconst(i64::from(cap));
        self.set_var(length, full);
        let done = self.block();
        self.count_up(cap, done, |cx, i, next| {
            let p = cx.b.ptr_index(start, i, cap.saturating_sub(1));
            let byte = cx.load(1, false, Mem { ptr: p, offset: 0, align: 1 });
            let ended = cx.block();
            cx.brif(byte, next, ended);
            cx.start(ended);
            cx.set_var(length, i);
            cx.jump(done);
        });
        self.start(done);
        self.read_var(length)
    }

    /// `memcmp(a, b, n)`: the difference of the first bytes that differ, as signed characters, or 0.
    pub(crate) fn memcmp(&mut self, args: &[Expr], e: &Expr) -> R<Value> {
        let [a, b, n] = args else { return self.not_yet(e.span, "memcmp() with these arguments") };
        let room = self.size_of(&a.ty, a.span)?.min(self.size_of(&b.ty, b.span)?);
        let n = self.scalar(n)?;
        let n = self.at_most(n, room);
        let (left, right) = (self.bytes_of(a)?, self.bytes_of(b)?);
        let (left, right) = (self.addr(left), self.addr(right));
        let difference = self.new_var();
        let zero = self.iconst(0);
        self.set_var(difference, zero);
        let done = self.block();
        self.count_up(room, done, |cx, i, next| {
            let (inside, differs) = (cx.block(), cx.block());
            let beyond = cx.b.icmp(Cond::Uge, i, n);
            cx.brif(beyond, done, inside);
            cx.start(inside);
            let last = room.saturating_sub(1);
            let (p, q) = (cx.b.ptr_index(left, i, last), cx.b.ptr_index(right, i, last));
            let x = cx.load(1, true, Mem { ptr: p, offset: 0, align: 1 });
            let y = cx.load(1, true, Mem { ptr: q, offset: 0, align: 1 });
            let d = cx.b.isub(x, y);
            cx.brif(d, differs, next);
            cx.start(differs);
            cx.set_var(difference, d);
            cx.jump(done);
        });
        self.start(done);
        Ok(self.read_var(difference))
    }

    /// `strncmp(a, b, n)`: 0 if the first n bytes are equal, else 1.
    pub(crate) fn strncmp(&mut self, args: &[Expr], e: &Expr) -> R<Value> {
        let [a, b, Expr { kind: E::Int(n), .. }] = args else {
            return self.not_yet(e.span, "strncmp() with a length that is not constant");
        };
        let n = (*n).clamp(0, i64::from(u32::MAX)) as u32;
        if n == 0 {
            return Ok(self.iconst(0));
        }
        self.merge(
            |cx, same, differs| cx.branch_equal(a, b, n, same, differs),
            |cx| Ok(cx.iconst(0)),
            |cx| Ok(cx.iconst(1)),
        )
    }

    /// `strcontains(haystack, needle)`
    pub(crate) fn strcontains(&mut self, args: &[Expr], e: &Expr) -> R<Value> {
        let at = self.strstr(args, e)?;
        Ok(self.b.icmp_imm(Cond::Sge, at, 0))
    }

    /// `strstr(haystack, needle)`: the index of its first occurrence, or -1.
    pub(crate) fn strstr(&mut self, args: &[Expr], e: &Expr) -> R<Value> {
        let [haystack, needle] = args else { return self.not_yet(e.span, "a search with these arguments") };
        let cap = self.size_of(&haystack.ty, haystack.span)?;
        let literal: Option<Vec<u8>> = match &needle.kind {
            E::Str(s) => Some(c_text(s)),
            _ => None,
        };
        match &literal {
            Some(bytes) if bytes.is_empty() => return Ok(self.iconst(0)),
            Some(bytes) if bytes.len() as u32 > cap => return Ok(self.iconst(-1)),
            _ => {}
        }
        let last = cap - literal.as_ref().map_or(1, |l| l.len() as u32);
        let needle_cap = self.size_of(&needle.ty, needle.span)?;
        let in_place = self.kernel && self.m.world.feature(Feature::BpfLoop) == Answer::NotThere;
        if in_place && literal.is_none() && u64::from(cap) * u64::from(needle_cap) > MAX_KERNEL_STEPS {
            return self
                .not_yet(needle.span, "searching a long string for one that is not a literal in a kernel probe");
        }
        let text = self.text(haystack)?;
        let (hay, _) = self.in_memory(&text, haystack)?;
        let wanted = if literal.is_some() {
            None
        } else {
            let text = self.text(needle)?;
            Some(self.in_memory(&text, needle)?.0)
        };
        let start = self.addr(hay);
        let (found, missing) = (self.block(), self.block());
        let done = self.block_with(&[crate::ir::Ty::I64]);
        let index = self.new_var();
        self.count_up(last + 1, missing, |cx, i, next| {
            cx.set_var(index, i);
            match (&literal, wanted) {
                (Some(bytes), _) => {
                    let p = cx.b.ptr_index(start, i, last);
                    let first = cx.load(1, false, Mem { ptr: p, offset: 0, align: 1 });
                    let inside = cx.block();
                    cx.brif(first, inside, missing);
                    cx.start(inside);
                    cx.match_here(bytes, p, found, next);
                }
                (None, Some(wanted)) => cx.match_memory((start, i, cap), (wanted, needle_cap), (found, missing), next),
                (None, None) => cx.jump(next),
            }
        });
        self.start(found);
        let at = self.read_var(index);
        self.jump_with(done, &[at]);
        self.start(missing);
        let none = self.iconst(-1);
        self.jump_with(done, &[none]);
        self.start(done);
        Ok(self.b.param(done, 0))
    }

    /// Runs `body` for 0..end, then goes to `after`; `body` ends by jumping to the block it is given, or elsewhere.
    pub(crate) fn count_up(&mut self, end: u32, after: Block, body: impl FnOnce(&mut Self, Value, Block)) {
        let counter = self.new_var();
        let zero = self.iconst(0);
        self.set_var(counter, zero);
        let (header, inside, next) = (self.block(), self.block(), self.block());
        self.jump(header);
        self.start_loop(header);
        let i = self.read_var(counter);
        let go_on = self.b.icmp_imm(Cond::Ult, i, i64::from(end));
        self.brif(go_on, inside, after);
        self.start(inside);
        body(self, i, next);
        self.start(next);
        let i = self.b.binary_imm(BinaryOp::Iadd, i, 1);
        self.set_var(counter, i);
        self.jump(header);
        self.seal(header);
    }

    /// Whether the string `needle` stands at position `at` of the string at `start`, NULs not counted.
    fn match_memory(
        &mut self,
        (start, at, cap): (Value, Value, u32),
        (needle, needle_cap): (Mem, u32),
        (found, missing): (Block, Block),
        next: Block,
    ) {
        let base = self.addr(needle);
        self.count_up(needle_cap, found, |cx, j, more| {
            let p = cx.b.ptr_index(base, j, needle_cap - 1);
            let want = cx.load(1, false, Mem { ptr: p, offset: 0, align: 1 });
            let (compare, inside) = (cx.block(), cx.block());
            cx.brif(want, compare, found);
            cx.start(compare);
            let k = cx.b.iadd(at, j);
            let beyond = cx.b.icmp_imm(Cond::Uge, k, i64::from(cap));
            cx.brif(beyond, next, inside);
            cx.start(inside);
            let q = cx.b.ptr_index(start, k, cap - 1);
            let have = cx.load(1, false, Mem { ptr: q, offset: 0, align: 1 });
            let goes_on = cx.block();
            cx.brif(have, goes_on, missing);
            cx.start(goes_on);
            let differs = cx.b.icmp(Cond::Ne, have, want);
            cx.brif(differs, next, more);
        });
    }

    /// Byte by byte, leaving at the first difference: most positions differ in the first byte.
    fn match_here(&mut self, needle: &[u8], p: Value, found: Block, next: Block) {
        for (i, byte) in needle.iter().enumerate() {
            let loaded = self.load(1, false, Mem { ptr: p, offset: i as i32, align: 1 });
            let equal = self.b.icmp_imm(Cond::Eq, loaded, i64::from(*byte));
            let more = if i + 1 == needle.len() { found } else { self.block() };
            self.brif(equal, more, next);
            if more != found {
                self.start(more);
            }
        }
    }
}

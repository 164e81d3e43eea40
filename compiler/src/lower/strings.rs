//! Strings and byte sequences: making, comparing, searching.

use super::{
    cx::{Cx, R},
    layout::in_register,
    mem::{Mem, Place, Remote},
};
use crate::ir::{BinaryOp, Block, Cond, Helper, Value};
use weftrace_lang::{
    hir::{Expr, ExprKind as E, Func, JoinPart, Ty},
    span::Span,
};

/// A string or byte sequence to be compared.
enum Text<'e> {
    Literal(&'e [u8]),
    Memory { at: Mem, cap: u32 },
    /// Bytes elsewhere with a length of their own (packet data).
    Slice { ptr: Value, len: Value },
}

/// Comparisons up to this many bytes are written out, longer ones loop.
const UNROLLED: u32 = 64;

impl Cx<'_, '_> {
    /// Writes a string of at most `cap` bytes with its NUL; the rest becomes zero.
    pub(crate) fn string_into(&mut self, e: &Expr, dst: Mem, cap: u32, zeroed: bool) -> R<()> {
        match &e.kind {
            E::Str(text) => {
                self.literal_into(text.as_bytes(), dst, cap, zeroed);
                Ok(())
            }
            E::Call { func, args } => self.string_call(*func, args, e, dst, cap, zeroed),
            E::TraceArg { offset, data_loc, .. } => self.trace_string(e, *offset, *data_loc, dst, cap, zeroed),
            E::Packet(name) => {
                let (ptr, len) = self.packet_slice(name, e.span)?;
                self.slice_into(ptr, len, dst, cap);
                Ok(())
            }
            E::JoinPart(part) => {
                let (ptr, len) = self.join_text(*part, e.span)?;
                self.slice_into(ptr, len, dst, cap);
                Ok(())
            }
            E::Header { headers, name } => self.header_into(headers, name, dst, cap, zeroed, e.span).map(|_| ()),
            E::Cast(inner) if matches!(inner.ty, Ty::Str { .. }) => self.string_into(inner, dst, cap, zeroed),
            _ => self.placed_string(e, dst, cap, zeroed),
        }
    }

    fn literal_into(&mut self, text: &[u8], dst: Mem, cap: u32, zeroed: bool) {
        let keep = text.len().min(cap.saturating_sub(1) as usize);
        let mut bytes = text[..keep].to_vec();
        bytes.push(0);
        bytes.truncate(cap as usize);
        if !bytes.is_empty() {
            self.b.store_data(&bytes, dst.ptr, dst.offset);
        }
        if !zeroed {
            self.fill(dst.at(bytes.len() as u32), cap - bytes.len() as u32);
        }
    }

    fn slice_into(&mut self, ptr: Value, len: Value, dst: Mem, cap: u32) {
        let (dst, cap) = (self.addr(dst), self.iconst(i64::from(cap)));
        self.b.call(Helper::CopyStr, &[dst, cap, ptr, len]);
    }

    fn string_call(&mut self, func: Func, args: &[Expr], e: &Expr, dst: Mem, cap: u32, zeroed: bool) -> R<()> {
        match func {
            Func::Str => self.str_call(args, e, dst, cap, zeroed),
            Func::Comm => {
                // The kernel pads with zeroes to the size it is given.
                let len = cap.min(16);
                let (at, size) = (self.addr(dst), self.iconst(i64::from(len)));
                self.b.call(Helper::Comm, &[at, size]);
                if cap > len && !zeroed {
                    self.fill(dst.at(len), cap - len);
                }
                Ok(())
            }
            Func::ProbeName | Func::FuncName => {
                let name = self.name_text(func);
                self.literal_into(name.as_bytes(), dst, cap, zeroed);
                Ok(())
            }
            _ => self.not_yet(e.span, format!("{func:?} as a string")),
        }
    }

    fn name_text(&self, func: Func) -> String {
        let Some(target) = self.target else { return String::new() };
        match func {
            Func::ProbeName => target.name.clone(),
            _ => match &target.provider {
                weftrace_lang::hir::Provider::Kprobe { function, .. } => function.clone(),
                weftrace_lang::hir::Provider::Uprobe { symbol, .. } => symbol.clone(),
                _ => String::new(),
            },
        }
    }

    /// `str(p[, n])`
    fn str_call(&mut self, args: &[Expr], e: &Expr, dst: Mem, cap: u32, zeroed: bool) -> R<()> {
        let Some(p) = args.first() else { return self.not_yet(e.span, "str() without a pointer") };
        let size = match args.get(1) {
            None => self.iconst(i64::from(cap)),
            // n bytes and the NUL.
            Some(Expr { kind: E::Int(n), .. }) => self.iconst(n.saturating_add(1).clamp(1, i64::from(cap.max(1)))),
            Some(n) => {
                let n = self.scalar(n)?;
                let n = self.b.binary_imm(BinaryOp::Iadd, n, 1);
                self.at_most(n, cap)
            }
        };
        if let Ty::Ptr { space, .. } = &p.ty {
            let user = self.is_user(*space);
            let base = self.scalar(p)?;
            let remote = self.remote(base, user);
            return self.read_str(&remote, dst, cap, size, zeroed, e.span);
        }
        if in_register(&p.ty) {
            let base = self.scalar(p)?;
            let user = self.is_user(weftrace_lang::hir::Space::Unknown);
            let remote = self.remote(base, user);
            return self.read_str(&remote, dst, cap, size, zeroed, e.span);
        }
        match &p.kind {
            E::TraceArg { offset, data_loc, .. } => self.trace_string(p, *offset, *data_loc, dst, cap, zeroed),
            _ => self.placed_string(p, dst, cap, zeroed),
        }
    }

    fn read_str(&mut self, r: &Remote, dst: Mem, cap: u32, size: Value, zeroed: bool, span: Span) -> R<()> {
        if !zeroed {
            self.fill(dst, cap);
        }
        self.read_remote_str(dst, size, r, span).map(|_| ())
    }

    /// A string in a tracepoint's record: at a fixed offset, or where `__data_loc` says.
    fn trace_string(&mut self, e: &Expr, offset: u32, data_loc: bool, dst: Mem, cap: u32, zeroed: bool) -> R<()> {
        let base = if data_loc {
            let loc = self.trace_load(e, offset, 4, false)?;
            let at = self.b.binary_imm(BinaryOp::Band, loc, 0xffff);
            let ctx = self.b.ctx();
            self.b.ptr_index(ctx, at, 0xffff)
        } else {
            let ctx = self.b.ctx();
            self.b.ptr_add(ctx, offset as i32)
        };
        let cap_here = match &e.ty {
            Ty::Str { cap: c } if !data_loc => cap.min(*c),
            Ty::Array { len, .. } if !data_loc => cap.min(*len),
            _ => cap,
        };
        let size = self.iconst(i64::from(cap_here));
        let remote = self.remote(base, false);
        self.read_str(&remote, dst, cap, size, zeroed, e.span)
    }

    /// A string that lies somewhere: a variable, a member of a struct, a map's value.
    fn placed_string(&mut self, e: &Expr, dst: Mem, cap: u32, zeroed: bool) -> R<()> {
        let have = match &e.ty {
            Ty::Str { cap } => *cap,
            Ty::Array { len, .. } => *len,
            Ty::Buf { cap } => *cap,
            _ => return self.not_yet(e.span, "this value as a string"),
        };
        match self.place(e)? {
            Some(Place::Remote(r)) => {
                let size = self.iconst(i64::from(cap.min(have)));
                self.read_str(&r, dst, cap, size, zeroed, e.span)
            }
            Some(Place::Direct(m)) => {
                let m = if matches!(e.ty, Ty::Buf { .. }) { m.at(4) } else { m };
                self.copy_string(dst, cap, m, have, zeroed);
                Ok(())
            }
            None => match &e.kind {
                E::MapGet { map, key } => {
                    let m = self.temp(have);
                    self.map_get_into(*map, key.as_deref(), e.span, m, &e.ty, false)?;
                    self.copy_string(dst, cap, m, have, zeroed);
                    Ok(())
                }
                _ => self.not_yet(e.span, "this string"),
            },
        }
    }

    /// `buf(p, n)`: u32 length, then the bytes.
    pub(crate) fn buf_into(&mut self, e: &Expr, dst: Mem, cap: u32, zeroed: bool) -> R<()> {
        let E::Call { func: Func::Buf, args } = &e.kind else {
            return self.copy_converted(e, dst, &Ty::Buf { cap }, zeroed);
        };
        let Some(p) = args.first() else { return self.not_yet(e.span, "buf() without a pointer") };
        if !zeroed {
            self.fill(dst.at(4), cap);
        }
        let len = match args.get(1) {
            Some(Expr { kind: E::Int(n), .. }) => self.iconst((*n).clamp(0, i64::from(cap))),
            Some(n) => {
                let n = self.scalar(n)?;
                self.at_most(n, cap)
            }
            None => self.iconst(i64::from(cap)),
        };
        self.store(4, len, dst);
        let body = dst.at(4);
        if in_register(&p.ty) {
            let user = matches!(&p.ty, Ty::Ptr { space, .. } if self.is_user(*space));
            let base = self.scalar(p)?;
            let remote = self.remote(base, user);
            return self.read_remote_dyn(body, len, &remote, e.span);
        }
        let have = self.size_of(&p.ty, p.span)?;
        match self.place(p)? {
            Some(Place::Remote(r)) => self.read_remote_dyn(body, len, &r, e.span),
            Some(Place::Direct(m)) => {
                self.copy(body, m, cap.min(have));
                Ok(())
            }
            None => self.not_yet(p.span, "buf() of this value"),
        }
    }

    fn text<'e>(&mut self, e: &'e Expr) -> R<Text<'e>> {
        Ok(match &e.kind {
            E::Str(s) => Text::Literal(s.as_bytes()),
            E::Packet(name) if matches!(e.ty, Ty::Str { .. }) => {
                let (ptr, len) = self.packet_slice(name, e.span)?;
                Text::Slice { ptr, len }
            }
            E::JoinPart(JoinPart::Id | JoinPart::Verdict | JoinPart::Status | JoinPart::Text) => {
                let E::JoinPart(part) = e.kind else { return self.not_yet(e.span, "this text") };
                let (ptr, len) = self.join_text(part, e.span)?;
                Text::Slice { ptr, len }
            }
            E::Cast(inner) if matches!((&e.ty, &inner.ty), (Ty::Str { .. }, Ty::Str { .. })) => return self.text(inner),
            _ => {
                let cap = self.size_of(&e.ty, e.span)?;
                Text::Memory { at: self.memory_of(e)?, cap }
            }
        })
    }

    /// Compares strings (up to a NUL) or byte sequences over at most `len` bytes.
    pub(crate) fn branch_equal(&mut self, left: &Expr, right: &Expr, len: u32, same: Block, differs: Block) -> R<()> {
        let strings = matches!(left.ty, Ty::Str { .. }) || matches!(right.ty, Ty::Str { .. });
        let (l, r) = (self.text(left)?, self.text(right)?);
        match (l, r) {
            (Text::Literal(a), Text::Literal(b)) => {
                let cut = |s: &[u8]| s[..s.len().min(len as usize)].to_vec();
                self.jump(if cut(a) == cut(b) { same } else { differs });
                Ok(())
            }
            (Text::Literal(lit), Text::Memory { at, cap }) | (Text::Memory { at, cap }, Text::Literal(lit)) => {
                self.equal_literal(lit, at, cap, len, same, differs);
                Ok(())
            }
            (Text::Literal(lit), Text::Slice { ptr, len: n }) | (Text::Slice { ptr, len: n }, Text::Literal(lit)) => {
                self.equal_slice(lit, ptr, n, len, same, differs);
                Ok(())
            }
            (Text::Memory { at: a, cap: n }, Text::Memory { at: b, cap: m }) => {
                self.equal_memory((a, n), (b, m), len, strings, same, differs)
            }
            (a, b) => {
                let a = self.in_memory(a, left)?;
                let b = self.in_memory(b, right)?;
                self.equal_memory(a, b, len, true, same, differs)
            }
        }
    }

    fn in_memory(&mut self, text: Text<'_>, e: &Expr) -> R<(Mem, u32)> {
        Ok(match text {
            Text::Memory { at, cap } => (at, cap),
            Text::Literal(_) | Text::Slice { .. } => {
                let cap = self.size_of(&e.ty, e.span)?;
                let m = self.temp(cap);
                self.into(e, m, &e.ty, false)?;
                (m, cap)
            }
        })
    }

    /// Memory against constant bytes: the literal and its NUL, unless `len` cuts before it.
    fn equal_literal(&mut self, lit: &[u8], at: Mem, cap: u32, len: u32, same: Block, differs: Block) {
        let mut bytes = lit.to_vec();
        bytes.push(0);
        bytes.truncate(len.max(1) as usize);
        if bytes.len() as u32 > cap {
            // Longer than what it is compared with can be; equal only if the part that fits is cut there.
            return self.jump(differs);
        }
        self.equal_bytes(&bytes, at, same, differs);
    }

    /// Compares with constants, a register's width at a time: the differences are collected without branches.
    pub(crate) fn equal_bytes(&mut self, bytes: &[u8], at: Mem, same: Block, differs: Block) {
        let mut difference = None;
        let mut i = 0usize;
        while i < bytes.len() {
            let rest = bytes.len() - i;
            let here = at.at(i as u32);
            let n = [8usize, 4, 2, 1].into_iter().find(|n| *n <= rest && here.align as usize >= *n).unwrap_or(1);
            let mut word = [0u8; 8];
            word[..n].copy_from_slice(&bytes[i..i + n]);
            let loaded = self.load(n as u32, false, here);
            let d = self.b.binary_imm(BinaryOp::Bxor, loaded, i64::from_le_bytes(word));
            difference = Some(match difference {
                None => d,
                Some(all) => self.b.bor(all, d),
            });
            i += n;
            if i.is_multiple_of(32) && i < bytes.len() {
                // Long literals: leave at the first difference.
                if let Some(d) = difference.take() {
                    let next = self.block();
                    self.brif(d, differs, next);
                    self.start(next);
                }
            }
        }
        match difference {
            Some(d) => self.brif(d, differs, same),
            None => self.jump(same),
        }
    }

    /// Bytes with a length against constants: the length first, so that no byte beyond it is loaded.
    fn equal_slice(&mut self, lit: &[u8], ptr: Value, n: Value, len: u32, same: Block, differs: Block) {
        let body = self.block();
        if (len as usize) > lit.len() {
            let fits = self.b.icmp_imm(Cond::Eq, n, lit.len() as i64);
            self.brif(fits, body, differs);
        } else {
            let fits = self.b.icmp_imm(Cond::Uge, n, i64::from(len));
            self.brif(fits, body, differs);
        }
        self.start(body);
        let bytes = &lit[..lit.len().min(len as usize)];
        // Nothing is known of the pointer's alignment; data may be loaded unaligned.
        self.equal_bytes(bytes, Mem { ptr, offset: 0, align: 8 }, same, differs);
    }

    /// Two memories. Strings are zero behind their NUL, so that equal strings are equal bytes.
    fn equal_memory(
        &mut self,
        (a, n): (Mem, u32),
        (b, m): (Mem, u32),
        len: u32,
        strings: bool,
        same: Block,
        differs: Block,
    ) -> R<()> {
        let common = n.min(m).min(len);
        // The longer one must end where the shorter one's room does.
        let after = if strings && n != m && len > common { self.block() } else { same };
        if common <= UNROLLED {
            self.equal_unrolled(a, b, common, after, differs);
        } else {
            self.equal_loop(a, b, common, after, differs);
        }
        if after != same {
            self.start(after);
            let longer = if n > m { a } else { b };
            let next = self.load(1, false, longer.at(common));
            self.brif(next, differs, same);
        }
        Ok(())
    }

    fn equal_unrolled(&mut self, a: Mem, b: Mem, len: u32, same: Block, differs: Block) {
        let mut difference = None;
        let mut i = 0;
        while i < len {
            let align = a.at(i).align.min(b.at(i).align);
            let n = [8, 4, 2, 1].into_iter().find(|n| i + n <= len && align >= *n).unwrap_or(1);
            let x = self.load(n, false, a.at(i));
            let y = self.load(n, false, b.at(i));
            let d = self.b.bxor(x, y);
            difference = Some(match difference {
                None => d,
                Some(all) => self.b.bor(all, d),
            });
            i += n;
        }
        match difference {
            Some(d) => self.brif(d, differs, same),
            None => self.jump(same),
        }
    }

    fn equal_loop(&mut self, a: Mem, b: Mem, len: u32, same: Block, differs: Block) {
        let step = if a.align.min(b.align) == 8 { 8 } else { 1 };
        let whole = len / step * step;
        let (pa, pb) = (self.addr(a), self.addr(b));
        let counter = self.new_var();
        let zero = self.iconst(0);
        self.set_var(counter, zero);
        let (header, body, next, tail) = (self.block(), self.block(), self.block(), self.block());
        self.jump(header);
        self.start_loop(header);
        let i = self.read_var(counter);
        let go_on = self.b.icmp_imm(Cond::Ult, i, i64::from(whole));
        self.brif(go_on, body, tail);
        self.start(body);
        let x = self.b.ptr_index(pa, i, whole - step);
        let y = self.b.ptr_index(pb, i, whole - step);
        let x = self.load(step, false, Mem { ptr: x, offset: 0, align: step });
        let y = self.load(step, false, Mem { ptr: y, offset: 0, align: step });
        let unequal = self.b.icmp(Cond::Ne, x, y);
        self.brif(unequal, differs, next);
        self.start(next);
        let i = self.b.binary_imm(BinaryOp::Iadd, i, i64::from(step));
        self.set_var(counter, i);
        self.jump(header);
        self.seal(header);
        self.start(tail);
        self.equal_unrolled(a.at(whole), b.at(whole), len - whole, same, differs);
    }

    // Builtins on strings.

    pub(crate) fn strlen(&mut self, e: &Expr) -> R<Value> {
        if let E::Str(s) = &e.kind {
            return Ok(self.iconst(s.len() as i64));
        }
        match self.text(e)? {
            Text::Literal(s) => Ok(self.iconst(s.len() as i64)),
            Text::Slice { len, .. } => Ok(len),
            Text::Memory { at, cap } => {
                let start = self.addr(at);
                let counter = self.new_var();
                let zero = self.iconst(0);
                self.set_var(counter, zero);
                let (header, body, next, done) = (self.block(), self.block(), self.block(), self.block());
                self.jump(header);
                self.start_loop(header);
                let i = self.read_var(counter);
                let go_on = self.b.icmp_imm(Cond::Ult, i, i64::from(cap));
                self.brif(go_on, body, done);
                self.start(body);
                let p = self.b.ptr_index(start, i, cap.saturating_sub(1));
                let byte = self.load(1, false, Mem { ptr: p, offset: 0, align: 1 });
                self.brif(byte, next, done);
                self.start(next);
                let i = self.b.binary_imm(BinaryOp::Iadd, i, 1);
                self.set_var(counter, i);
                self.jump(header);
                self.seal(header);
                self.start(done);
                Ok(self.read_var(counter))
            }
        }
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
        self.merge(|cx, same, differs| cx.branch_equal(a, b, n, same, differs), |cx| Ok(cx.iconst(0)), |cx| Ok(cx.iconst(1)))
    }

    /// `strcontains(haystack, needle)` with a constant needle.
    pub(crate) fn strcontains(&mut self, args: &[Expr], e: &Expr) -> R<Value> {
        let [haystack, Expr { kind: E::Str(needle), .. }] = args else {
            return self.not_yet(e.span, "strcontains() with a needle that is not a literal");
        };
        let needle = needle.as_bytes();
        let cap = self.size_of(&haystack.ty, haystack.span)?;
        if needle.is_empty() {
            return Ok(self.iconst(1));
        }
        if needle.len() as u32 > cap {
            return Ok(self.iconst(0));
        }
        let text = self.text(haystack)?;
        let (m, cap) = self.in_memory(text, haystack)?;
        let start = self.addr(m);
        let last = cap - needle.len() as u32;
        let counter = self.new_var();
        let zero = self.iconst(0);
        self.set_var(counter, zero);
        let (header, body, next) = (self.block(), self.block(), self.block());
        let (found, missing) = (self.block(), self.block());
        let done = self.block_with(&[crate::ir::Ty::I64]);
        self.jump(header);
        self.start_loop(header);
        let i = self.read_var(counter);
        let go_on = self.b.icmp_imm(Cond::Ule, i, i64::from(last));
        self.brif(go_on, body, missing);
        self.start(body);
        let p = self.b.ptr_index(start, i, last);
        self.match_here(needle, p, found, next);
        self.start(next);
        let i = self.b.binary_imm(BinaryOp::Iadd, i, 1);
        self.set_var(counter, i);
        self.jump(header);
        self.seal(header);
        self.start(found);
        let one = self.iconst(1);
        self.jump_with(done, &[one]);
        self.start(missing);
        let zero = self.iconst(0);
        self.jump_with(done, &[zero]);
        self.start(done);
        Ok(self.b.param(done, 0))
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

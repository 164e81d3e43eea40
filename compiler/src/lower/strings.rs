//! Strings and byte sequences: making them.

use super::{
    cx::{Cx, R},
    layout::in_register,
    mem::{Mem, Place, Remote},
};
use crate::ir::{BinaryOp, Helper, Value};
use weftrace_artifact::program::FieldPath;
use weftrace_lang::{
    hir::{Expr, ExprKind as E, Func, Provider, Ty},
    span::Span,
    syntax::string_bytes,
};

/// Strings of this capacity and more (bpftrace's default) always keep their NUL.
const UNCUT_CAP: u32 = 1024;

/// The function that a target is about; empty: none.
pub(crate) fn function_of(provider: &Provider) -> &str {
    match provider {
        Provider::Kprobe { function, .. } | Provider::Fentry { function, .. } => function,
        Provider::Uprobe { symbol, .. } => symbol,
        _ => "",
    }
}

/// A literal as the string it is: what is written behind a `\0` belongs to no string.
pub(super) fn c_text(text: &str) -> Vec<u8> {
    string_bytes(text).into_iter().take_while(|b| *b != 0).collect()
}

impl Cx<'_, '_> {
    /// Writes a string of at most `cap` bytes with its NUL; the rest becomes zero.
    pub(crate) fn string_into(&mut self, e: &Expr, dst: Mem, cap: u32, zeroed: bool) -> R<()> {
        match &e.kind {
            E::Str(text) => {
                self.literal_into(&c_text(text), dst, cap, zeroed);
                Ok(())
            }
            E::Call { func, args } => self.string_call(*func, args, e, dst, cap, zeroed),
            E::TraceArg { offset, data_loc, .. } => self.trace_string(e, *offset, *data_loc, dst, cap, zeroed),
            E::Packet(name) => {
                let (ptr, len) = self.packet_slice(name, e.span)?;
                self.slice_into(ptr, len, dst, cap);
                Ok(())
            }
            E::JoinPart(_) | E::LegPart { .. } => {
                let (ptr, len) = self.result_text(e)?;
                self.slice_into(ptr, len, dst, cap);
                Ok(())
            }
            E::Header { headers, name } => self.header_into(headers, name, dst, cap, e.span).map(|_| ()),
            E::Cast(inner) if matches!(inner.ty, Ty::Str { .. }) => self.string_into(inner, dst, cap, zeroed),
            E::Cast(inner) if !in_register(&inner.ty) => self.placed_string(inner, dst, cap, zeroed),
            _ => self.placed_string(e, dst, cap, zeroed),
        }
    }

    pub(crate) fn literal_into(&mut self, text: &[u8], dst: Mem, cap: u32, zeroed: bool) {
        let mut bytes = text.to_vec();
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
        self.cut_visibly(dst, cap, |cx, dst, cap| {
            let (dst, cap) = (cx.addr(dst), cx.iconst(i64::from(cap)));
            cx.b.call(Helper::CopyStr, &[dst, cap, ptr, len])
        });
    }

    /// Has a string written by what ends it with a NUL even where it cuts it: a string that is as long as strings may be (and was not to be shorter, by a cast)
    /// has none then, which is how it tells that it was cut.
    pub(super) fn cut_visibly(
        &mut self,
        dst: Mem,
        cap: u32,
        write: impl FnOnce(&mut Self, Mem, u32) -> Value,
    ) -> Value {
        if cap < self.m.program.config.max_strlen {
            return write(self, dst, cap);
        }
        self.with_temps(|cx| {
            let whole = cx.temp(cap + 1);
            let written = write(cx, whole, cap + 1);
            cx.copy(dst, whole, cap);
            written
        })
    }

    fn string_call(&mut self, func: Func, args: &[Expr], e: &Expr, dst: Mem, cap: u32, zeroed: bool) -> R<()> {
        match func {
            Func::Str => self.str_call(args, e, dst, cap, zeroed),
            Func::Comm => {
                // The kernel pads with zeroes to the size it is given.
                let len = cap.min(16);
                let (at, size) = (self.addr(dst), self.iconst(i64::from(len)));
                match self.member("task_struct", "comm").filter(|_| self.kernel && len == 16) {
                    Some(offset) => {
                        let path = FieldPath::Struct { name: "task_struct".into(), members: "comm".into() };
                        let none = self.iconst(0);
                        let offset = self.b.field_off(none, i64::from(offset), &path);
                        self.b.call(Helper::TaskComm, &[at, size, offset])
                    }
                    None => self.b.call(Helper::Comm, &[at, size]),
                };
                if cap > len && !zeroed {
                    self.fill(dst.at(len), cap - len);
                }
                Ok(())
            }
            Func::CommOf => self.with_temps(|cx| cx.comm_of(args, e, dst, cap, zeroed)),
            Func::Path => self.with_temps(|cx| cx.path_of(args, e, dst, cap, zeroed)),
            Func::NameOf(names) => self.number_name(names, args, e, dst, cap, zeroed),
            Func::GoText => self.with_temps(|cx| cx.go_text(args, e, dst, cap, zeroed)),
            Func::GoTypeName => self.with_temps(|cx| cx.go_type_name(args, e, dst, cap, zeroed)),
            Func::StrConcat => self.with_temps(|cx| cx.str_concat(args, e, dst, cap)),
            Func::ProbeName | Func::FuncName if self.many || self.syscall.is_some() => {
                self.name_by_index(func, dst, cap, zeroed);
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
            _ => function_of(&target.provider).to_owned(),
        }
    }

    /// In a program of many probes: looked up by the index of the one that fired.
    fn name_by_index(&mut self, func: Func, dst: Mem, cap: u32, zeroed: bool) {
        let (map, name_cap, func_cap) = self.m.probe_names();
        let (at, have) = if func == Func::ProbeName { (0, name_cap) } else { (name_cap, func_cap) };
        let index = if let Some(syscall) = self.syscall {
            syscall.probe
        } else {
            let ctx = self.b.ctx();
            self.b.call(Helper::ProbeIndex, &[ctx])
        };
        let key = self.temp(4);
        self.store(4, index, key);
        let (missing, done) = (self.block(), self.block());
        let entry = self.lookup_or(map, key.ptr, missing);
        self.copy_string(dst, cap, Mem::new(entry, at as i32), have, zeroed);
        self.jump(done);
        // Cannot be: every probe has an entry.
        self.start(missing);
        if !zeroed {
            self.fill(dst, cap);
        }
        self.jump(done);
        self.start(done);
    }

    /// `str(p[, n])`
    fn str_call(&mut self, args: &[Expr], e: &Expr, dst: Mem, cap: u32, zeroed: bool) -> R<()> {
        let Some(p) = args.first() else { return self.not_yet(e.span, "str() without a pointer") };
        // With a length: that many bytes, the NUL among them.
        let size = match args.get(1) {
            None => None,
            Some(Expr { kind: E::Int(n), .. }) => Some(self.iconst((*n).clamp(0, i64::from(cap)))),
            Some(n) => {
                let n = self.scalar(n)?;
                Some(self.at_most(n, cap))
            }
        };
        if let E::TraceArg { offset, data_loc: true, .. } = &p.kind {
            return self.trace_string(p, *offset, true, dst, cap, zeroed);
        }
        if let Ty::Ptr { space, .. } = &p.ty {
            let user = self.is_user(*space);
            let base = self.scalar(p)?;
            let remote = Remote::new(base, user);
            return self.read_str(&remote, dst, cap, size, zeroed, e.span);
        }
        if in_register(&p.ty) {
            let base = self.scalar(p)?;
            let user = self.is_user(weftrace_lang::hir::Space::Unknown);
            let remote = Remote::new(base, user);
            return self.read_str(&remote, dst, cap, size, zeroed, e.span);
        }
        match &p.kind {
            E::TraceArg { offset, data_loc, .. } => self.trace_string(p, *offset, *data_loc, dst, cap, zeroed),
            _ => self.placed_string(p, dst, cap, zeroed),
        }
    }

    /// Reads at most `size` bytes with the NUL; without a size as many characters as there is room for, without a NUL if it
    /// is full, which is how a string tells that it was cut.
    fn read_str(&mut self, r: &Remote, dst: Mem, cap: u32, size: Option<Value>, zeroed: bool, span: Span) -> R<()> {
        if let Some(size) = size {
            if !zeroed {
                self.fill(dst, cap);
            }
            return self.read_remote_str(dst, size, r, span).map(|_| ());
        }
        if cap >= UNCUT_CAP {
            // The copy would cost more than the last character is worth.
            let size = self.iconst(i64::from(cap));
            return self.read_str(r, dst, cap, Some(size), zeroed, span);
        }
        let whole = self.temp(cap + 1);
        self.fill(whole, cap + 1);
        let size = self.iconst(i64::from(cap) + 1);
        self.read_remote_str(whole, size, r, span)?;
        self.copy(dst, whole, cap);
        Ok(())
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
        let remote = Remote::new(base, false);
        self.read_str(&remote, dst, cap, Some(size), zeroed, e.span)
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
            // A character array may lack the NUL.
            Some(Place::Remote(r)) if have < UNCUT_CAP && have <= cap => {
                if !zeroed {
                    self.fill(dst.at(have), cap - have);
                }
                self.read_str(&r, dst, have, None, zeroed, e.span)
            }
            Some(Place::Remote(r)) => {
                let size = self.iconst(i64::from(cap.min(have)));
                self.read_str(&r, dst, cap, Some(size), zeroed, e.span)
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

    /// Memory that holds all bytes of a value: of a literal those behind a `\0` too.
    pub(super) fn bytes_of(&mut self, e: &Expr) -> R<Mem> {
        let E::Str(text) = &e.kind else { return self.memory_of(e) };
        let cap = self.size_of(&e.ty, e.span)?;
        let m = self.temp(cap);
        self.literal_into(&string_bytes(text), m, cap, false);
        Ok(m)
    }

    /// `buf(p, n)`: u32 length, then the bytes.
    pub(crate) fn buf_into(&mut self, e: &Expr, dst: Mem, cap: u32, zeroed: bool) -> R<()> {
        if let E::Cast(inner) = &e.kind
            && matches!(inner.ty, Ty::Buf { .. })
        {
            return self.buf_into(inner, dst, cap, zeroed);
        }
        if let E::Call { func: Func::GoBytes, args } = &e.kind {
            return self.with_temps(|cx| cx.go_bytes(args, e, dst, cap, zeroed));
        }
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
            let remote = Remote::new(base, user);
            return self.read_remote_dyn(body, len, &remote, e.span);
        }
        let have = self.size_of(&p.ty, p.span)?;
        match self.place(p)? {
            Some(Place::Remote(r)) => self.read_remote_dyn(body, len, &r, e.span),
            Some(Place::Direct(m)) => {
                self.copy(body, m, cap.min(have));
                Ok(())
            }
            None => {
                let m = self.bytes_of(p)?;
                self.copy(body, m, cap.min(have));
                Ok(())
            }
        }
    }
}

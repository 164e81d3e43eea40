//! Places: memory that loads reach, and kernel or user memory that helpers read.

use super::{
    cx::{Cx, R, VarHome},
    layout::{in_register, width},
};
use crate::ir::{BinaryOp, Cond, Helper, Mem as Width, Size, Space, Target, Ty as IrTy, Value};
use weftrace_artifact::{program::FieldPath, ty::Type};
use weftrace_lang::{
    hir::{Expr, ExprKind as E, Func, Provider, Space as HirSpace, Ty},
    span::Span,
};

/// A struct that begins with an address, for a word that is no member of any: only structs can be named.
const WORD: &str = "list_head";

/// Memory that loads and stores reach: a slot, map value, record, context or data.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mem {
    pub(crate) ptr: Value,
    pub(crate) offset: i32,
    /// Of `ptr + offset`: 1, 2, 4 or 8.
    pub(crate) align: u32,
}

impl Mem {
    pub(crate) fn new(ptr: Value, offset: i32) -> Self {
        Self { ptr, offset, align: align_of(offset as u32) }
    }

    pub(crate) fn at(self, offset: u32) -> Self {
        Self { ptr: self.ptr, offset: self.offset + offset as i32, align: self.align.min(align_of(offset)) }
    }
}

fn align_of(offset: u32) -> u32 {
    if offset == 0 { 8 } else { 1 << offset.trailing_zeros().min(3) }
}

/// Kernel or user memory: an address that only helpers read.
#[derive(Clone, Debug)]
pub(crate) struct Remote {
    base: Value,
    /// Member of a kernel struct at `base`: its path and offset on the compiling host.
    member: Option<(String, String, i64)>,
    /// Bytes after that.
    pub(super) extra: i64,
    pub(super) user: bool,
    /// The kernel knows the type of what is at `base`, and that it is there: numbers in it are loaded.
    typed: bool,
}

impl Remote {
    /// At an address.
    pub(crate) fn new(base: Value, user: bool) -> Self {
        Self { base, member: None, extra: 0, user, typed: false }
    }
}

/// Where a value lies.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Direct(Mem),
    Remote(Remote),
}

impl Cx<'_, '_> {
    // Direct memory.

    pub(crate) fn load(&mut self, bytes: u32, signed: bool, m: Mem) -> Value {
        let width = match (bytes, signed) {
            (1, false) => Width::U8,
            (2, false) => Width::U16,
            (4, false) => Width::U32,
            (1, true) => Width::I8,
            (2, true) => Width::I16,
            (4, true) => Width::I32,
            _ => Width::U64,
        };
        if m.align >= bytes || self.unaligned_loads(m) {
            return self.b.load(width, m.ptr, m.offset);
        }
        // Byte by byte: the verifier wants aligned stack and context accesses.
        let mut all = self.b.load(Width::U8, m.ptr, m.offset);
        for i in 1..bytes {
            let byte = self.b.load(Width::U8, m.ptr, m.offset + i as i32);
            let byte = self.b.binary_imm(BinaryOp::Shl, byte, i64::from(i) * 8);
            all = self.b.binary(BinaryOp::Bor, all, byte);
        }
        let ty = Ty::Int { bits: (bytes * 8) as u8, signed };
        if signed { self.normalise(all, &ty) } else { all }
    }

    fn unaligned_loads(&self, m: Mem) -> bool {
        matches!(self.b.ty(m.ptr), IrTy::Ptr(Space::Map | Space::Record | Space::Data)) || !self.kernel
    }

    pub(crate) fn store(&mut self, bytes: u32, value: Value, m: Mem) {
        if m.align >= bytes || self.unaligned_loads(m) {
            self.b.store(Size::of(bytes).unwrap_or(Size::B8), value, m.ptr, m.offset);
            return;
        }
        let mut rest = value;
        for i in 0..bytes {
            self.b.store(Size::B1, rest, m.ptr, m.offset + i as i32);
            if i + 1 < bytes {
                rest = self.b.binary_imm(BinaryOp::Lshr, rest, 8);
            }
        }
    }

    pub(crate) fn fill(&mut self, m: Mem, len: u32) {
        self.b.fill(m.ptr, m.offset, len);
    }

    /// Copies between direct memories; the context in aligned pieces, since the verifier allows nothing else there.
    pub(crate) fn copy(&mut self, dst: Mem, src: Mem, len: u32) {
        if self.kernel && self.b.ty(src.ptr) == IrTy::Ptr(Space::Ctx) {
            let mut at = 0;
            while at < len {
                let piece = [8, 4, 2, 1].into_iter().find(|p| at + p <= len && src.at(at).align >= *p).unwrap_or(1);
                let v = self.load(piece, false, src.at(at));
                self.store(piece, v, dst.at(at));
                at += piece;
            }
        } else {
            self.b.copy((dst.ptr, dst.offset), (src.ptr, src.offset), len);
        }
    }

    /// The address as a value, for helpers.
    pub(crate) fn addr(&mut self, m: Mem) -> Value {
        self.b.ptr_add(m.ptr, m.offset)
    }

    /// Zeroes what no member of a tuple or record covers.
    pub(crate) fn fill_gaps(&mut self, m: Mem, ty: &Type) {
        let (Type::Tuple { fields, size } | Type::Record { fields, size }) = ty else { return };
        let mut at = 0;
        for f in fields {
            if f.offset > at {
                self.fill(m.at(at), f.offset - at);
            }
            at = f.offset + f.ty.size();
        }
        if *size > at {
            self.fill(m.at(at), size - at);
        }
    }

    // Remote memory.

    /// Whether a pointer of this space is read from user memory.
    pub(crate) fn is_user(&self, space: HirSpace) -> bool {
        match space {
            HirSpace::User => true,
            HirSpace::Kernel | HirSpace::Ctx | HirSpace::Bpf => false,
            HirSpace::Unknown => {
                matches!(self.target.map(|t| &t.provider), Some(Provider::Uprobe { .. } | Provider::Usdt { .. }))
            }
        }
    }

    /// The address as an integer.
    pub(crate) fn remote_addr(&mut self, r: &Remote) -> Value {
        let mut address = r.base;
        if let Some((name, members, offset)) = &r.member {
            let path = FieldPath::Struct { name: name.clone(), members: members.clone() };
            address = self.b.field_off(address, *offset, &path);
        }
        if r.extra != 0 {
            address = self.b.binary_imm(BinaryOp::Iadd, address, r.extra);
        }
        address
    }

    /// Reads `len` bytes; zeroes them if the read fails.
    pub(crate) fn read_remote(&mut self, dst: Mem, len: u32, r: &Remote, span: Span) -> R<()> {
        let len = self.iconst(i64::from(len));
        self.read_remote_dyn(dst, len, r, span)
    }

    pub(crate) fn read_remote_dyn(&mut self, dst: Mem, len: Value, r: &Remote, span: Span) -> R<()> {
        if !self.kernel {
            return self.elsewhere(span, "reading memory through a pointer");
        }
        let address = self.remote_addr(r);
        let dst = self.addr(dst);
        let helper = if r.user { Helper::ReadUser } else { Helper::ReadKernel };
        let result = self.b.call(helper, &[dst, len, address]);
        self.note_read(result);
        self.warn_if_failed(helper, result, span);
        Ok(())
    }

    /// Reads a NUL-terminated string of at most `cap` bytes; the length with the NUL, or negative.
    pub(crate) fn read_remote_str(&mut self, dst: Mem, cap: Value, r: &Remote, span: Span) -> R<Value> {
        if !self.kernel {
            return self.elsewhere(span, "reading a string through a pointer");
        }
        let address = self.remote_addr(r);
        let dst = self.addr(dst);
        let helper = if r.user { Helper::ReadUserStr } else { Helper::ReadKernelStr };
        let result = self.b.call(helper, &[dst, cap, address]);
        self.note_read(result);
        self.warn_if_failed(helper, result, span);
        Ok(result)
    }

    // Places of expressions.

    /// Where the value of an expression lies; None if it lies nowhere (it is computed).
    pub(crate) fn place(&mut self, e: &Expr) -> R<Option<Place>> {
        self.at(e.span, |cx| cx.place_inner(e))
    }

    fn place_inner(&mut self, e: &Expr) -> R<Option<Place>> {
        Ok(Some(match &e.kind {
            E::Deref(p) => self.deref_place(p)?,
            E::Var(v) => match self.var_home(*v) {
                Some(VarHome::Slot(slot)) => Place::Direct(Mem::new(self.b.slot_addr(slot), 0)),
                Some(VarHome::Element) => Place::Direct(self.opened_at(*v, e.span)?),
                _ => return Ok(None),
            },
            E::Field { base, name, offset, .. } => {
                if let Ty::Record(items) = &base.ty {
                    let Some(index) = items.iter().position(|(n, _)| n == name) else { return Ok(None) };
                    return self.member_place(base, index);
                }
                let Some(base_place) = self.place(base)? else {
                    let m = self.memory_of(base)?;
                    return Ok(Some(Place::Direct(m.at(*offset))));
                };
                self.field_place(base_place, &base.ty, name, *offset)
            }
            E::TupleField { base, index } => return self.member_place(base, *index as usize),
            E::Index { base, index } => return self.element_place(e, base, index).map(Some),
            E::TraceArg { offset, data_loc: false, .. } if !in_register(&e.ty) => {
                Place::Direct(Mem::new(self.b.ctx(), *offset as i32))
            }
            E::Anchor { field } => Place::Direct(self.anchor_field(field, e.span)?),
            E::LegField { leg, field } => Place::Direct(self.leg_field(*leg, field, e.span)?),
            // A reinterpretation of the same bytes.
            E::Cast(inner) if !in_register(&e.ty) && !in_register(&inner.ty) => {
                let same = self.size_of(&e.ty, e.span)? == self.size_of(&inner.ty, inner.span)?;
                return if same { self.place(inner) } else { Ok(None) };
            }
            _ => return Ok(None),
        }))
    }

    pub(super) fn deref_place(&mut self, p: &Expr) -> R<Place> {
        let mut pointer = p;
        while let E::Cast(inner) = &pointer.kind {
            pointer = inner;
        }
        if let E::Call { func: Func::Ctx, .. } = &pointer.kind {
            if !self.kernel {
                return self.elsewhere(p.span, "ctx");
            }
            return Ok(Place::Direct(Mem::new(self.b.ctx(), 0)));
        }
        if let E::AddrOf(inner) = &pointer.kind
            && let Some(place) = self.place(inner)?
        {
            return Ok(place);
        }
        let base = self.scalar(p)?;
        if matches!(self.b.ty(base), IrTy::Ptr(_)) {
            return Ok(Place::Direct(Mem::new(base, 0)));
        }
        let space = match &p.ty {
            Ty::Ptr { space, .. } => *space,
            _ => HirSpace::Unknown,
        };
        Ok(Place::Remote(Remote { typed: self.is_typed_argument(p), ..Remote::new(base, self.is_user(space)) }))
    }

    fn field_place(&mut self, base: Place, base_ty: &Ty, name: &str, offset: u32) -> Place {
        match base {
            Place::Direct(m) => Place::Direct(m.at(offset)),
            Place::Remote(mut r) => {
                match (&mut r.member, base_ty) {
                    // Deeper into the same struct.
                    (Some((_, members, at)), _) if r.extra == 0 => {
                        members.push('.');
                        members.push_str(name);
                        *at += i64::from(offset);
                    }
                    (None, Ty::Struct(s)) if !r.user && r.extra == 0 && self.m.is_kernel_struct(s) => {
                        r.member = Some((s.clone(), name.to_owned(), i64::from(offset)));
                    }
                    _ => r.extra += i64::from(offset),
                }
                Place::Remote(r)
            }
        }
    }

    fn member_place(&mut self, base: &Expr, index: usize) -> R<Option<Place>> {
        let layout = self.layout(&base.ty, base.span)?;
        let (Type::Tuple { fields, .. } | Type::Record { fields, .. }) = layout else {
            return self.not_yet(base.span, "members of this type");
        };
        let Some(offset) = fields.get(index).map(|f| f.offset) else {
            return self.not_yet(base.span, "this member");
        };
        let m = self.memory_of(base)?;
        Ok(Some(Place::Direct(m.at(offset))))
    }

    /// Memory that holds the expression's value in its own layout: where it lies, or a temporary copy.
    pub(crate) fn memory_of(&mut self, e: &Expr) -> R<Mem> {
        if !in_register(&e.ty)
            && let Some(Place::Direct(m)) = self.place(e)?
        {
            return Ok(m);
        }
        let size = self.size_of(&e.ty, e.span)?;
        let m = self.temp(size);
        self.into(e, m, &e.ty, false)?;
        Ok(m)
    }

    /// The number at a place, as its type holds it.
    pub(crate) fn load_place(&mut self, place: &Place, ty: &Ty, bits: Option<(u8, u8)>, span: Span) -> R<Value> {
        let (bytes, signed) = width(ty);
        let (load_bytes, load_signed) = match bits {
            Some((first, n)) => ((u32::from(first) + u32::from(n)).div_ceil(8).next_power_of_two().min(8), false),
            None => (bytes, signed),
        };
        let raw = match place {
            Place::Direct(m) => self.load(load_bytes, load_signed, *m),
            Place::Remote(r) if bits.is_none() && self.is_loaded(r, load_bytes) => {
                let raw = self.load_typed(r, load_bytes);
                self.normalise_int(raw, ty)
            }
            Place::Remote(r) => {
                let buffer = self.temp(8);
                self.read_remote(buffer, load_bytes, r, span)?;
                self.load(load_bytes, load_signed, buffer)
            }
        };
        Ok(match bits {
            Some((first, n)) => self.bit_field(raw, first, n, signed),
            None if matches!(ty, Ty::Bool) => self.b.icmp_imm(Cond::Ne, raw, 0),
            None => raw,
        })
    }

    /// Whether this is an argument that the kernel vouches for. Only in our own texts: whether a read failed isn't known of a load.
    fn is_typed_argument(&self, pointer: &Expr) -> bool {
        self.loads_kernel_memory() && matches!(pointer.kind, E::Arg(_))
    }

    fn loads_kernel_memory(&self) -> bool {
        let typed = matches!(self.b.func().target, Target::Kernel(prog) if prog.is_typed());
        typed && self.probe.is_some_and(|probe| probe.ours)
    }

    /// Whether so many bytes are read by a load: of what the kernel knows, or takes our word for.
    fn is_loaded(&mut self, r: &Remote, bytes: u32) -> bool {
        match &r.member {
            Some(_) if r.typed => true,
            Some((name, ..)) => !r.user && self.loads_kernel_memory() && self.m.cast(name).is_some(),
            None => !r.user && bytes == 8 && self.loads_kernel_memory() && self.m.cast(WORD).is_some(),
        }
    }

    fn load_typed(&mut self, r: &Remote, bytes: u32) -> Value {
        let known = if r.typed { None } else { self.m.cast(r.member.as_ref().map_or(WORD, |(name, ..)| name)) };
        let (mut base, mut extra) = (r.base, r.extra);
        if let Some((kfunc, id)) = known {
            if r.member.is_none() && extra != 0 {
                base = self.b.binary_imm(BinaryOp::Iadd, base, extra);
                extra = 0;
            }
            let (id, kfunc) = (self.iconst(i64::from(id)), self.iconst(i64::from(kfunc)));
            base = self.b.call(Helper::CastTyped, &[base, id, kfunc]);
        }
        let address = self.remote_addr(&Remote { base, extra: 0, ..r.clone() });
        let (further, bytes) = (self.iconst(extra), self.iconst(i64::from(bytes)));
        self.b.call(Helper::ReadTyped, &[address, further, bytes])
    }

    /// Bits of a word, with the sign of their type.
    fn bit_field(&mut self, raw: Value, first: u8, n: u8, signed: bool) -> Value {
        let up = 64 - i64::from(first) - i64::from(n);
        let shifted = if up > 0 { self.b.binary_imm(BinaryOp::Shl, raw, up) } else { raw };
        let down = if signed { BinaryOp::Ashr } else { BinaryOp::Lshr };
        self.b.binary_imm(down, shifted, 64 - i64::from(n))
    }
}

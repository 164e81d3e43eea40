//! Values that live in memory: written to where they are wanted.

use super::{
    cx::{Cx, R},
    layout::{in_register, width},
    mem::{Mem, Place},
};
use crate::ir::BinaryOp;
use weftrace_artifact::ty::Type;
use weftrace_lang::{
    hir::{Block, Expr, ExprKind as E, Ty},
    span::Span,
};

impl Cx<'_, '_> {
    /// Writes the value of `e`, converted to `ty`, in `ty`'s layout to `dst`; every byte, unless they are known to be `zeroed`.
    pub(crate) fn into(&mut self, e: &Expr, dst: Mem, ty: &Ty, zeroed: bool) -> R<()> {
        self.at(e.span, |cx| cx.value_into(e, dst, ty, zeroed))
    }

    fn value_into(&mut self, e: &Expr, dst: Mem, ty: &Ty, zeroed: bool) -> R<()> {
        if in_register(ty) {
            let v = self.scalar_as(e, ty)?;
            self.store(width(ty).0, v, dst);
            return Ok(());
        }
        match &e.kind {
            E::Cond { cond, then, otherwise } => self.either(
                |cx, a, b| cx.branch(cond, a, b),
                |cx| cx.into(then, dst, ty, zeroed),
                |cx| cx.into(otherwise, dst, ty, zeroed),
            ),
            E::Coalesce { left, right } => self.coalesce_into(left, right, dst, ty, zeroed),
            E::Block(block) => self.block_value(block, |cx, tail| cx.into(tail, dst, ty, zeroed)),
            E::Tuple(items) => self.members_into(&items.iter().collect::<Vec<_>>(), e.span, dst, ty, zeroed),
            E::Record(items) => {
                let Ty::Record(wanted) = ty else { return self.not_yet(e.span, "a record as this type") };
                let place = |name: &String| wanted.iter().position(|(n, _)| n == name);
                let order: Option<Vec<usize>> = items.iter().map(|(name, _)| place(name)).collect();
                let Some(order) = order else { return self.not_yet(e.span, "a record as this type") };
                let items: Vec<&Expr> = items.iter().map(|(_, e)| e).collect();
                self.placed_members_into(&items, &order, e.span, dst, ty, zeroed)
            }
            E::MapGet { map, key } if e.ty == *ty => self.map_get_into(*map, key.as_deref(), e.span, dst, ty, zeroed),
            E::MapGet { .. } => self.copy_converted(e, dst, ty, zeroed),
            E::Bytes(bytes) => self.bytes_into(bytes, dst, ty, zeroed, e.span),
            // A struct that came in registers: their bytes, as many as it has.
            E::Cast(inner) if matches!((&inner.kind, ty), (E::Tuple(_), Ty::Struct(_) | Ty::Array { .. })) => {
                let (have, want) = (self.size_of(&inner.ty, inner.span)?, self.size_of(ty, e.span)?);
                let registers = self.temp(have);
                self.into(inner, registers, &inner.ty, false)?;
                self.copy(dst, registers, want.min(have));
                if want > have && !zeroed {
                    self.fill(dst.at(have), want - have);
                }
                Ok(())
            }
            E::Cast(inner) if in_register(&inner.ty) => self.number_into(inner, dst, ty, zeroed),
            // A string's bytes as an array.
            E::Cast(inner) if matches!((ty, &inner.ty), (Ty::Array { .. }, Ty::Str { .. })) => {
                let size = self.size_of(ty, e.span)?;
                self.string_into(inner, dst, size, zeroed)
            }
            _ => self.family_into(e, dst, ty, zeroed),
        }
    }

    /// By the type that is wanted.
    fn family_into(&mut self, e: &Expr, dst: Mem, ty: &Ty, zeroed: bool) -> R<()> {
        match ty {
            Ty::Str { cap } => self.string_into(e, dst, *cap, zeroed),
            Ty::Buf { cap } => self.buf_into(e, dst, *cap, zeroed),
            Ty::Inet | Ty::Mac if !matches!(e.kind, E::Packet(_)) && self.place(e)?.is_none() => {
                self.address_into(e, dst, zeroed)
            }
            Ty::Usym => self.usym_into(e, dst),
            Ty::UStack { .. } => self.ustack_into(e, dst),
            Ty::DwStack { .. } => self.sample_into(e, dst),
            Ty::ByteRanges if self.place(e)?.is_none() => self.segment_into(e, dst, zeroed),
            Ty::Conn if self.place(e)?.is_none() => self.conn_into(e, dst, zeroed),
            _ => match &e.kind {
                E::Packet(name) => self.packet_into(name, dst, zeroed, e.span),
                E::Cast(inner) => self.value_into(inner, dst, ty, zeroed),
                _ => self.copy_converted(e, dst, ty, zeroed),
            },
        }
    }

    fn members_into(&mut self, items: &[&Expr], span: Span, dst: Mem, ty: &Ty, zeroed: bool) -> R<()> {
        let order: Vec<usize> = (0..items.len()).collect();
        self.placed_members_into(items, &order, span, dst, ty, zeroed)
    }

    /// Members in the order of their evaluation, each to its place in the type.
    fn placed_members_into(
        &mut self,
        items: &[&Expr],
        order: &[usize],
        span: Span,
        dst: Mem,
        ty: &Ty,
        zeroed: bool,
    ) -> R<()> {
        let tys: Vec<Ty> = match ty {
            Ty::Tuple(tys) => tys.clone(),
            Ty::Record(tys) => tys.iter().map(|(_, t)| t.clone()).collect(),
            _ => return self.not_yet(span, "a tuple as this type"),
        };
        let layout = self.layout(ty, span)?;
        if !zeroed {
            self.fill_gaps(dst, &layout);
        }
        let (Type::Tuple { fields, .. } | Type::Record { fields, .. }) = layout else { return Ok(()) };
        for (item, &at) in items.iter().zip(order) {
            let (Some(ty), Some(field)) = (tys.get(at), fields.get(at)) else {
                return self.not_yet(span, "a tuple as this type");
            };
            self.into(item, dst.at(field.offset), ty, zeroed)?;
        }
        Ok(())
    }

    /// Copies from where the value lies; member by member where the layouts differ.
    pub(crate) fn copy_converted(&mut self, e: &Expr, dst: Mem, ty: &Ty, zeroed: bool) -> R<()> {
        let want = self.layout(ty, e.span)?;
        let have = self.layout(&e.ty, e.span)?;
        let src = match self.place(e)? {
            Some(Place::Remote(r)) => {
                let len = want.size().min(have.size());
                if len < want.size() && !zeroed {
                    self.fill(dst.at(len), want.size() - len);
                }
                return self.read_remote(dst, len, &r, e.span);
            }
            Some(Place::Direct(m)) => m,
            None => match &e.kind {
                E::MapGet { map, key } => {
                    let m = self.temp(have.size());
                    self.map_get_into(*map, key.as_deref(), e.span, m, &e.ty.clone(), false)?;
                    m
                }
                _ => return self.not_yet(e.span, "this value"),
            },
        };
        self.convert_memory(src, &e.ty, dst, ty, zeroed, e.span)
    }

    /// Copies a value from one layout to another.
    pub(crate) fn convert_memory(&mut self, src: Mem, from: &Ty, dst: Mem, to: &Ty, zeroed: bool, span: Span) -> R<()> {
        let (have, want) = (self.layout(from, span)?, self.layout(to, span)?);
        if in_register(to) && in_register(from) {
            let v = self.load(width(from).0, width(from).1, src);
            let v = self.convert(v, from, to);
            self.store(width(to).0, v, dst);
            return Ok(());
        }
        if have == want || from == to {
            self.copy(dst, src, want.size());
            return Ok(());
        }
        if let (Ty::Str { cap: have }, Ty::Str { cap: want }) = (from, to) {
            self.copy_string(dst, *want, src, *have, zeroed);
            return Ok(());
        }
        let members = |ty: &Ty| match ty {
            Ty::Tuple(t) => Some(t.clone()),
            Ty::Record(t) => Some(t.iter().map(|(_, t)| t.clone()).collect()),
            _ => None,
        };
        if let (
            Some(from_tys),
            Some(to_tys),
            Type::Tuple { fields: ff, .. } | Type::Record { fields: ff, .. },
            Type::Tuple { fields: tf, .. } | Type::Record { fields: tf, .. },
        ) = (members(from), members(to), &have, &want)
        {
            if !zeroed {
                self.fill_gaps(dst, &want);
            }
            for (((f, t), a), b) in ff.iter().zip(tf).zip(&from_tys).zip(&to_tys) {
                self.convert_memory(src.at(f.offset), a, dst.at(t.offset), b, zeroed, span)?;
            }
            return Ok(());
        }
        let len = have.size().min(want.size());
        self.copy(dst, src, len);
        if len < want.size() && !zeroed {
            self.fill(dst.at(len), want.size() - len);
        }
        Ok(())
    }

    /// Copies a string; without its NUL if that is what does not fit, with zeroes behind it if there is room.
    pub(crate) fn copy_string(&mut self, dst: Mem, cap: u32, src: Mem, have: u32, zeroed: bool) {
        let len = cap.min(have);
        self.copy(dst, src, len);
        if !zeroed {
            self.fill(dst.at(len), cap - len);
        }
    }

    fn bytes_into(&mut self, bytes: &[u8], dst: Mem, ty: &Ty, zeroed: bool, span: Span) -> R<()> {
        if *ty == Ty::Inet {
            self.inet_bytes_into(bytes, dst, zeroed);
            return Ok(());
        }
        let size = self.size_of(ty, span)?;
        let len = bytes.len().min(size as usize);
        if len > 0 {
            self.b.store_data(&bytes[..len], dst.ptr, dst.offset);
        }
        if !zeroed {
            self.fill(dst.at(len as u32), size - len as u32);
        }
        Ok(())
    }

    /// `(uint8[8])n`: the number's bytes.
    fn number_into(&mut self, inner: &Expr, dst: Mem, ty: &Ty, zeroed: bool) -> R<()> {
        let size = self.size_of(ty, inner.span)?;
        let mut rest = self.scalar(inner)?;
        let mut at = 0;
        while at < size.min(8) {
            let bytes = [8, 4, 2, 1].into_iter().find(|n| at + n <= size).unwrap_or(1);
            self.store(bytes, rest, dst.at(at));
            at += bytes;
            if at < size.min(8) {
                rest = self.b.binary_imm(BinaryOp::Lshr, rest, i64::from(bytes) * 8);
            }
        }
        if !zeroed && size > at {
            self.fill(dst.at(at), size - at);
        }
        Ok(())
    }

    /// The statements of a block, then its value.
    pub(crate) fn block_value<T>(&mut self, block: &Block, f: impl FnOnce(&mut Self, &Expr) -> R<T>) -> R<T> {
        let opened = self.opened;
        for s in &block.stmts {
            self.stmt(s)?;
        }
        let value = match &block.tail {
            Some(tail) => f(self, tail),
            None => self.not_yet(block.span, "a block without a value here"),
        };
        self.opened = opened;
        value
    }
}

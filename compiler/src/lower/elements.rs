//! Elements of arrays, and of what pointers point to.

use super::{
    cx::{Cx, R},
    mem::{Mem, Place, Remote},
};
use crate::ir::{BinaryOp, Cond, Space, Ty as IrTy, Value};
use weftrace_artifact::action::Warning;
use weftrace_lang::hir::{Expr, ExprKind as E, Ty};

impl Cx<'_, '_> {
    /// An element that is a number. Beyond the end of an array it is 0, and a warning says so.
    pub(crate) fn load_element(&mut self, e: &Expr, base: &Expr, index: &Expr) -> R<Value> {
        let len = match &base.ty {
            Ty::Array { len, .. } if *len > 0 && !matches!(index.kind, E::Int(_)) => *len,
            _ => {
                let place = self.element_place(e, base, index)?;
                return self.with_temps(|cx| cx.load_place(&place, &e.ty, None, e.span));
            }
        };
        let i = self.scalar(index)?;
        self.merge(
            |cx, beyond, inside| {
                let is_beyond = cx.b.icmp_imm(Cond::Ugt, i, i64::from(len) - 1);
                cx.brif(is_beyond, beyond, inside);
                Ok(())
            },
            |cx| {
                cx.warn(Warning::ArrayBounds, e.span);
                Ok(cx.iconst(0))
            },
            |cx| {
                let place = cx.element_at(e, base, i)?;
                cx.with_temps(|cx| cx.load_place(&place, &e.ty, None, e.span))
            },
        )
    }

    pub(super) fn element_place(&mut self, e: &Expr, base: &Expr, index: &Expr) -> R<Place> {
        if !matches!(index.kind, E::Int(_)) {
            let i = self.scalar(index)?;
            if let Ty::Array { len, .. } = &base.ty
                && *len > 0
            {
                self.warn_beyond(i, *len - 1, e.span);
            }
            return self.element_at(e, base, i);
        }
        let size = self.size_of(&e.ty, e.span)?;
        let (place, len) = self.elements(base)?;
        let i = if let E::Int(i) = index.kind { i } else { 0 };
        Ok(match place {
            Place::Direct(m) => {
                let last = i64::from(len.unwrap_or(1)).saturating_sub(1).max(0);
                Place::Direct(m.at((i.clamp(0, last) as u32).saturating_mul(size)))
            }
            Place::Remote(mut r) => {
                r.extra = r.extra.wrapping_add(i.wrapping_mul(i64::from(size)));
                Place::Remote(r)
            }
        })
    }

    /// Where elements lie, and how many there are, if that is known.
    fn elements(&mut self, base: &Expr) -> R<(Place, Option<u32>)> {
        let (place, len) = match &base.ty {
            Ty::Ptr { .. } => (Some(self.deref_place(base)?), None),
            Ty::Array { len, .. } | Ty::Str { cap: len } => (self.place(base)?, Some(*len)),
            _ => return self.not_yet(base.span, "an index into this type"),
        };
        let place = match place {
            Some(p) => p,
            None => Place::Direct(self.memory_of(base)?),
        };
        Ok((place, len))
    }

    fn element_at(&mut self, e: &Expr, base: &Expr, i: Value) -> R<Place> {
        let size = self.size_of(&e.ty, e.span)?;
        let (place, len) = self.elements(base)?;
        Ok(match place {
            Place::Remote(r) => {
                if let Some(last) = len.and_then(|n| n.checked_sub(1)).filter(|_| matches!(base.ty, Ty::Array { .. })) {
                    self.warn_beyond(i, last, e.span);
                }
                let address = self.remote_addr(&r);
                let scaled = self.b.binary_imm(BinaryOp::Imul, i, i64::from(size));
                let base = self.b.iadd(address, scaled);
                Place::Remote(Remote::new(base, r.user))
            }
            Place::Direct(m) => {
                let last = len.unwrap_or(1).saturating_sub(1);
                let i = self.at_most(i, last);
                let scaled = self.b.binary_imm(BinaryOp::Imul, i, i64::from(size));
                let m = self.indexable(m, size.saturating_mul(last.saturating_add(1)));
                let start = self.addr(m);
                let ptr = self.b.ptr_index(start, scaled, last.saturating_mul(size));
                let align = m.align.min(if size == 0 { 1 } else { 1 << size.trailing_zeros().min(3) });
                Place::Direct(Mem { ptr, offset: 0, align })
            }
        })
    }

    /// The same array where an index that isn't constant may reach it: the verifier wants constant offsets in the context.
    fn indexable(&mut self, array: Mem, bytes: u32) -> Mem {
        if !self.kernel || self.b.ty(array.ptr) != IrTy::Ptr(Space::Ctx) {
            return array;
        }
        let copy = self.temp(bytes);
        self.copy(copy, array, bytes);
        copy
    }
}

//! Explicit casts.

use super::cx::Checker;
use super::expr::as_u64;
use super::types::{Flex, int_shape, is_char, show};
use super::value::{Val, cast};
use crate::ast::{self, TypeExpr, TypeKind};
use crate::diag::Diagnostic;
use crate::hir::{Expr, ExprKind, Ty};
use crate::span::Span;

impl<'a> Checker<'a> {
    pub(crate) fn cast_expr(&mut self, ty: &'a TypeExpr, inner: &'a ast::Expr, span: Span) -> Val {
        let to = self.resolve_type(ty);
        if let Some(name) = pointee_struct(&to)
            && !self.known_struct(&name, ty.span)
        {
            return Val::error(span);
        }
        let wants_array = matches!(ty.kind, TypeKind::Array(..));
        let v = if wants_array { self.place(inner) } else { self.expr(inner) };
        self.cast_val(v, to, span)
    }

    /// An explicit cast.
    pub(crate) fn cast_val(&mut self, v: Val, to: Ty, span: Span) -> Val {
        if let Ty::Agg(_) = v.e.ty {
            let v = self.agg_as_number(v);
            return self.cast_val(v, to, span);
        }
        let from = v.e.ty.clone();
        let result = match (&from, &to) {
            (Ty::Error, _) | (_, Ty::Error) => return Val::error(span),
            (f, Ty::Enum { name, .. }) if int_shape(f).is_some() => {
                let name = name.clone();
                self.check_variant(&v, &name, span);
                simple(v, to)
            }
            (f, t) if int_shape(f).is_some() && int_shape(t).is_some() => cast_int(v, to, span),
            (f, Ty::Ptr { to: pointee, .. }) if int_shape(f).is_some() => {
                let space = self.space_or_default(v.space);
                let ty = Ty::Ptr { to: pointee.clone(), space };
                // As C does it: a negative number is an address at the upper end, however narrow it is.
                let signed = int_shape(f).is_some_and(|s| s.1);
                let wide = super::value::coerce(v.e, &Ty::Int { bits: 64, signed });
                Val::new(ExprKind::Cast(Box::new(as_u64(wide))), ty, span)
            }
            (Ty::Ptr { .. }, Ty::Ptr { to: pointee, .. }) => {
                let ty = Ty::Ptr { to: pointee.clone(), space: self.pointer_space(&v) };
                Val::new(ExprKind::Cast(Box::new(v.e)), ty, span)
            }
            (Ty::Ptr { .. }, Ty::Bool) => self.truth(v),
            (Ty::Ptr { space, .. }, t) if int_shape(t).is_some() => {
                let space = *space;
                simple(v, to).with_space(space)
            }
            (Ty::Ksym | Ty::Usym | Ty::Username | Ty::Time { .. }, Ty::Int { .. }) => simple(v, to),
            (Ty::Int { .. }, Ty::Username) => simple(v, to),
            (Ty::Str { .. }, Ty::Str { .. }) | (Ty::Buf { .. }, Ty::Buf { .. }) => simple(v, to),
            (Ty::Array { .. } | Ty::Str { .. } | Ty::Buf { .. } | Ty::Int { .. } | Ty::Bool, Ty::Array { .. }) => {
                return self.cast_to_array(v, to, span);
            }
            (Ty::Array { elem, .. }, Ty::Str { .. }) if is_char(elem) => simple(v, to),
            (Ty::Array { .. }, t) if int_shape(t).is_some() => return self.cast_same_size(v, to, span),
            (Ty::Ptr { .. } | Ty::Int { .. }, Ty::Str { cap }) => {
                let cap = *cap;
                return self.string_at(v, cap, None, span);
            }
            (f, t) if f == t => v,
            (Ty::Str { .. }, Ty::Bool) => return self.truth(v),
            _ => {
                let mut d =
                    Diagnostic::error("bad-cast", span, format!("no cast from {} to {}", show(&from), show(&to)));
                match &to {
                    Ty::Struct(name) => d = d.write(format!("(struct {name} *)")),
                    Ty::Ptr { .. } if matches!(from, Ty::Str { .. } | Ty::Array { .. } | Ty::Struct(_)) => {
                        d = d.note("its address is written &…");
                    }
                    _ => {}
                }
                self.report(d);
                return Val::error(span);
            }
        };
        Val { e: Expr { span, ..result.e }, ..result }
    }

    fn check_variant(&mut self, v: &Val, name: &str, span: Span) {
        if let (Some(n), Some(def)) = (v.int(), self.types.enums.get(name))
            && !def.variants.iter().any(|(_, x)| i128::from(*x) == n)
        {
            self.error("bad-cast", span, format!("enum {name} has no name for {n}"));
        }
    }

    fn cast_to_array(&mut self, v: Val, to: Ty, span: Span) -> Val {
        let (Ty::Array { elem, len }, Some(size)) = (&to, self.size_of(&v.e.ty)) else { return Val::error(span) };
        let Some(each) = self.size_of(elem).filter(|n| *n > 0) else { return Val::error(span) };
        // A positive literal may be as wide as the array.
        let v = match (&v.e.ty, v.lit) {
            (Ty::Int { .. }, true) if *len > 0 && size < len.saturating_mul(each) && len.saturating_mul(each) <= 8 => {
                let bytes = len * each;
                let wide = Ty::Int { bits: (bytes * 8).next_power_of_two() as u8, signed: false };
                let v = Val { e: super::value::coerce(v.e, &wide), ..v };
                if !bytes.is_power_of_two() {
                    return Val::new(ExprKind::Cast(Box::new(v.e)), to, span);
                }
                v
            }
            _ => v,
        };
        let size = self.size_of(&v.e.ty).unwrap_or(size);
        if *len == 0 {
            if !size.is_multiple_of(each) {
                self.error("bad-cast", span, format!("{size} bytes are no whole number of {}", show(elem)));
                return Val::error(span);
            }
            let ty = Ty::Array { elem: elem.clone(), len: size / each };
            return Val::new(ExprKind::Cast(Box::new(v.e)), ty, span);
        }
        self.cast_same_size(v, to, span)
    }

    fn cast_same_size(&mut self, v: Val, to: Ty, span: Span) -> Val {
        let (have, want) = (self.size_of(&v.e.ty), self.size_of(&to));
        if have != want {
            let sizes = format!("{} and {} bytes", have.unwrap_or(0), want.unwrap_or(0));
            let message = format!("{} and {} differ in size", show(&v.e.ty), show(&to));
            let d = Diagnostic::error("bad-cast", span, message).note(sizes);
            self.report(d);
            return Val::error(span);
        }
        Val::new(ExprKind::Cast(Box::new(v.e)), to, span)
    }
}

fn simple(v: Val, to: Ty) -> Val {
    let space = v.space;
    let span = v.e.span;
    Val::new(ExprKind::Cast(Box::new(v.e)), to, span).with_space(space)
}

fn cast_int(v: Val, to: Ty, span: Span) -> Val {
    let space = v.space;
    if let (ExprKind::Int(n), Ty::Int { bits, signed }) = (&v.e.kind, &to) {
        let n = super::value::wrap(*n, *bits, *signed);
        return Val::new(ExprKind::Int(n), to, span).with_space(space);
    }
    if to == Ty::Bool {
        let zero = Expr { kind: ExprKind::Int(0), ty: v.e.ty.clone(), span };
        let kind = ExprKind::Binary { op: crate::hir::BinOp::Ne, left: Box::new(v.e), right: Box::new(zero) };
        return Val::new(kind, Ty::Bool, span);
    }
    let mut out = Val::new(ExprKind::Int(0), to.clone(), span).with_space(space);
    out.e = cast(v.e, to);
    out.flex = Flex::No;
    out
}

/// The struct that a pointer's type names.
fn pointee_struct(ty: &Ty) -> Option<String> {
    let Ty::Ptr { to, .. } = ty else { return None };
    match &**to {
        Ty::Struct(name) => Some(name.clone()),
        inner => pointee_struct(inner),
    }
}

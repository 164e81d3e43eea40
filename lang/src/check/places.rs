//! Ways into data: members, elements, pointers, casts.

use super::cx::Checker;
use super::expr::as_u64;
use super::types::{Flex, int_shape, is_char, show};
use super::value::{Val, cast};
use crate::ast::{self, ExprKind as A, Ident, TypeExpr, TypeKind};
use crate::diag::Diagnostic;
use crate::hir::{Expr, ExprKind, Space, Ty};
use crate::span::Span;

impl<'a> Checker<'a> {
    /// `base.name`, after what `base.name` may mean as a whole (packet fields, arguments, joins).
    pub(crate) fn field_expr(&mut self, e: &'a ast::Expr) -> Val {
        let A::Field { base, name, .. } = &e.kind else { return Val::error(e.span) };
        if let Some(v) = self.path_expr(e) {
            return v;
        }
        let base = match self.followed_retval(base) {
            Some(v) => v,
            None => self.place(base),
        };
        self.field_of(base, name, e.span)
    }

    /// A member of a value.
    pub(crate) fn field_of(&mut self, base: Val, name: &'a Ident, span: Span) -> Val {
        match &base.e.ty {
            Ty::Error => Val::error(span),
            Ty::Struct(owner) => {
                let owner = owner.clone();
                self.struct_field(base, &owner, name, span)
            }
            Ty::Ptr { to, .. } => match &**to {
                Ty::Struct(_) | Ty::Record(_) | Ty::Tuple(_) => {
                    let place = self.deref_val(base, span);
                    self.field_of(place, name, span)
                }
                other => {
                    let what = show(other);
                    let d = Diagnostic::error(
                        "not-a-struct",
                        name.span,
                        format!("this points to {what}, which has no members"),
                    )
                    .write(format!("((struct NAME *)…).{}", name.text));
                    self.report(d);
                    Val::error(span)
                }
            },
            Ty::Record(fields) => {
                if let Some(i) = fields.iter().position(|(n, _)| *n == name.text) {
                    self.tuple_field(base, i as i128, span)
                } else {
                    let names: Vec<String> = fields.iter().map(|(n, _)| n.clone()).collect();
                    self.unknown_name("the record", name, &names);
                    Val::error(span)
                }
            }
            Ty::Int { .. } => {
                let d = Diagnostic::error("not-a-struct", base.e.span, "this is a number: say what it points to")
                    .label(show(&base.e.ty))
                    .write(format!("((struct NAME *)…).{}", name.text));
                self.report(d);
                Val::error(span)
            }
            other => {
                let what = show(other);
                self.error("not-a-struct", name.span, format!("{what} has no members"));
                Val::error(span)
            }
        }
    }

    fn struct_field(&mut self, base: Val, owner: &str, name: &'a Ident, span: Span) -> Val {
        let Some(m) = self.member(owner, &name.text) else {
            if let Some(v) = self.go_promoted(&base, &name.text, span) {
                return v;
            }
            if self.known_struct(owner, base.e.span) {
                self.unknown_member(owner, name);
            }
            return Val::error(span);
        };
        let space = base.space;
        let ty = in_space(m.ty, space);
        let kind = ExprKind::Field { base: Box::new(base.e), name: name.text.clone(), offset: m.offset, bits: m.bits };
        Val::new(kind, ty, span).with_space(space)
    }

    pub(crate) fn unknown_member(&mut self, owner: &str, name: &Ident) {
        let names = self.member_names(owner);
        self.unknown_name(&show(&Ty::Struct(owner.to_owned())), name, &names);
    }

    /// A name that is none of these; shows the nearest, or all if they are few.
    pub(crate) fn unknown_name(&mut self, owner: &str, name: &Ident, names: &[String]) {
        let mut d = Diagnostic::error("unknown-field", name.span, format!("{owner} has no field {}", name.text));
        let near = crate::suggest::nearest(&name.text, names.iter().map(String::as_str), 4);
        if !near.is_empty() {
            d = d.near(near.join(", "));
        } else if !names.is_empty() && names.len() <= 16 {
            d = d.note(format!("it has: {}", names.join(", ")));
        }
        self.report(d);
    }

    pub(crate) fn deref(&mut self, inner: &'a ast::Expr, span: Span) -> Val {
        let v = match self.followed_retval(inner) {
            Some(v) => v,
            None => self.expr(inner),
        };
        match &v.e.ty {
            Ty::Error => v,
            Ty::Ptr { to, .. } if **to == Ty::Void => {
                let d = Diagnostic::error("deref-void", span, "a void pointer says nothing about what is there")
                    .write("*(uint64 *)…");
                self.report(d);
                Val::error(span)
            }
            Ty::Ptr { .. } => self.deref_val(v, span),
            Ty::Int { .. } => {
                let space = self.space_or_default(v.space);
                let ptr =
                    Val::new(ExprKind::Cast(Box::new(as_u64(v.e))), Ty::Ptr { to: Box::new(Ty::U64), space }, span);
                self.deref_val(ptr, span)
            }
            // `*args` is `args`, for old scripts.
            Ty::Record(_) if matches!(&inner.kind, A::Ident(n) if n == "args") => v,
            other => {
                let what = show(other);
                self.error("not-a-pointer", inner.span, format!("* wants a pointer, this is {what}"));
                Val::error(span)
            }
        }
    }

    /// What a pointer points to, as a place.
    pub(crate) fn deref_val(&mut self, v: Val, span: Span) -> Val {
        let space = self.pointer_space(&v);
        let Ty::Ptr { to, .. } = v.e.ty.clone() else { return Val::error(span) };
        let mut pointer = v.e;
        pointer.ty = Ty::Ptr { to: to.clone(), space };
        let ty = in_space(*to, space);
        Val::new(ExprKind::Deref(Box::new(pointer)), ty, span).with_space(space)
    }

    pub(crate) fn addr_of(&mut self, inner: &'a ast::Expr, span: Span) -> Val {
        let v = self.place(inner);
        if v.is_error() {
            if let A::Var(name) = &inner.kind
                && self.lookup(name).is_some()
                && self.sink.on
                && self.sink.errors == 0
            {
                let d = Diagnostic::error("untyped-variable", inner.span, format!("nothing says what ${name} holds"))
                    .write(format!("let ${name}: uint64"));
                self.report(d);
            }
            return v;
        }
        let space = match &v.e.kind {
            ExprKind::Var(_) | ExprKind::MapGet { .. } => Space::Bpf,
            ExprKind::Field { .. } | ExprKind::Index { .. } | ExprKind::Deref(_) => self.space_or_default(v.space),
            _ => {
                self.error(
                    "not-a-place",
                    inner.span,
                    "& wants a variable, a map element or a member: something that has an address",
                );
                return Val::error(span);
            }
        };
        let ty = Ty::Ptr { to: Box::new(v.e.ty.clone()), space };
        Val::new(ExprKind::AddrOf(Box::new(v.e)), ty, span)
    }

    pub(crate) fn index(&mut self, base: &'a ast::Expr, index: &'a ast::Expr, span: Span) -> Val {
        let base = match self.followed_retval(base) {
            Some(v) => v,
            None => self.place(base),
        };
        let i = self.expr(index);
        let i = self.agg_as_number(i);
        if base.is_error() || i.is_error() {
            return Val::error(span);
        }
        if base.e.ty == Ty::Headers {
            return self.header(base, &i, span);
        }
        if int_shape(&i.e.ty).is_none() {
            self.error("type-mismatch", index.span, format!("an index is a number, this is {}", show(&i.e.ty)));
            return Val::error(span);
        }
        if let Ty::Struct(_) = base.e.ty
            && let Some(v) = self.go_index(&base, &i, span)
        {
            return v;
        }
        let space = base.space;
        match &base.e.ty {
            Ty::Tuple(_) => {
                if let Some(n) = i.int() {
                    self.tuple_field(base, n, span)
                } else {
                    self.error("tuple-index", index.span, "a member of a tuple is chosen at compile time");
                    Val::error(span)
                }
            }
            Ty::Array { elem, len } => {
                if let Some(n) = i.int().filter(|n| *n < 0 || (*len > 0 && *n >= i128::from(*len))) {
                    return self.out_of_bounds(n, *len, index.span, span);
                }
                let ty = in_space((**elem).clone(), space);
                element(base, i, ty, span).with_space(space)
            }
            Ty::Str { cap } if i.int().is_some_and(|n| n < 0 || n >= i128::from(*cap)) => {
                self.out_of_bounds(i.int().unwrap_or(0), *cap, index.span, span)
            }
            Ty::Str { .. } => element(base, i, Ty::Int { bits: 8, signed: true }, span).with_space(space),
            Ty::Ptr { to, .. } if **to != Ty::Void => {
                let ty = base.e.ty.clone();
                let space = self.pointer_space(&base);
                let kind =
                    ExprKind::PtrAdd { ptr: Box::new(base.e), count: Box::new(super::value::coerce(i.e, &Ty::I64)) };
                let p = Val::new(kind, ty, span).with_space(space);
                self.deref_val(p, span)
            }
            other => {
                let what = show(other);
                self.error("not-an-array", span, format!("{what} has no elements by number"));
                Val::error(span)
            }
        }
    }

    fn out_of_bounds(&mut self, n: i128, len: u32, index: Span, span: Span) -> Val {
        let d = Diagnostic::error("out-of-bounds", index, format!("no element {n}: there are {len}, counted from 0"))
            .bpftrace(format!("the index {n} is out of bounds for array of size {len}"));
        self.report(d);
        Val::error(span)
    }

    /// `http.header["x-request-id"]`
    fn header(&mut self, base: Val, index: &Val, span: Span) -> Val {
        let Some(name) = index.text() else {
            self.error("header-name", index.e.span, "a header is named by a literal string");
            return Val::error(span);
        };
        let kind = ExprKind::Header { headers: Box::new(base.e), name: name.to_lowercase() };
        Val::new(kind, Ty::Str { cap: super::HEADER_VALUE_CAP }, span)
    }

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
                // Addresses have no sign: a narrow number keeps its bits, as in bpftrace.
                let bits = int_shape(f).map_or(64, |s| s.0);
                let bare = super::value::coerce(v.e, &Ty::Int { bits, signed: false });
                Val::new(ExprKind::Cast(Box::new(as_u64(bare))), ty, span)
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

/// A pointer found in a place points into the same memory.
pub(crate) fn in_space(ty: Ty, space: Space) -> Ty {
    match ty {
        Ty::Ptr { to, .. } if space != Space::Unknown && space != Space::Ctx && space != Space::Bpf => {
            Ty::Ptr { to, space }
        }
        other => other,
    }
}

fn element(base: Val, index: Val, ty: Ty, span: Span) -> Val {
    let index = Box::new(super::value::coerce(index.e, &Ty::I64));
    Val::new(ExprKind::Index { base: Box::new(base.e), index }, ty, span)
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

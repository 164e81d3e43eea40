//! Ways into data: members, elements, pointers.

use super::cx::Checker;
use super::expr::as_u64;
use super::layout::Member;
use super::types::{int_shape, show};
use super::value::Val;
use crate::ast::{self, ExprKind as A, Ident};
use crate::diag::Diagnostic;
use crate::hir::{ExprKind, Space, Ty};
use crate::span::Span;

/// A struct's member.
fn member_value(base: Val, name: &str, m: Member, span: Span) -> Val {
    let space = base.space;
    let ty = in_space(m.ty, space);
    let kind = ExprKind::Field { base: Box::new(base.e), name: name.to_owned(), offset: m.offset, bits: m.bits };
    Val::new(kind, ty, span).with_space(space)
}

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
            Ty::Flow => self.flow_field(base, name, span),
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

    /// A member of a flow: offsets of `weftrace_artifact::abi::FlowValue`.
    fn flow_field(&mut self, base: Val, name: &'a Ident, span: Span) -> Val {
        const MEMBERS: [(&str, Ty, u32); 5] = [
            ("src", Ty::Inet, 0),
            ("srcport", Ty::U16, 40),
            ("dst", Ty::Inet, 20),
            ("dstport", Ty::U16, 42),
            ("proto", Ty::U8, 44),
        ];
        let Some((_, ty, offset)) = MEMBERS.into_iter().find(|(n, ..)| *n == name.text) else {
            self.unknown_name("a flow", name, &MEMBERS.map(|(n, ..)| n.to_owned()));
            return Val::error(span);
        };
        let kind = ExprKind::Field { base: Box::new(base.e), name: name.text.clone(), offset, bits: None };
        Val::new(kind, ty, span)
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
        member_value(base, &name.text, m, span)
    }

    /// Members of structs, each in what the one before it is or points to. None: one of them has no such member.
    pub(crate) fn members(&mut self, mut at: Val, names: &[&str], span: Span) -> Option<Val> {
        for name in names {
            if matches!(at.e.ty, Ty::Ptr { .. }) {
                at = self.deref_val(at, span);
            }
            let Ty::Struct(owner) = at.e.ty.clone() else { return None };
            let m = self.member(&owner, name)?;
            at = member_value(at, name, m, span);
        }
        Some(at)
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
        let name = name.to_lowercase();
        self.headers.insert(name.clone());
        let kind = ExprKind::Header { headers: Box::new(base.e), name };
        Val::new(kind, Ty::Str { cap: self.config.max_strlen }, span)
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

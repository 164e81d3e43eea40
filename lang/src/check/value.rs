//! A checked expression on its way into the HIR, with what only the checker needs to know about it.

use super::types::{Flex, Open, fits, int_shape, literal_type};
use crate::hir::{Block, Expr, ExprKind, Space, Stmt, StmtKind, Ty};
use crate::span::Span;

/// A checked expression.
#[derive(Clone, Debug)]
pub(crate) struct Val {
    pub(crate) e: Expr,
    pub(crate) flex: Flex,
    /// Written as a literal, or folded from literals.
    pub(crate) lit: bool,
    /// Where an integer points, if it is cast to a pointer.
    pub(crate) space: Space,
}

impl Val {
    pub(crate) fn new(kind: ExprKind, ty: Ty, span: Span) -> Self {
        Self { e: Expr { kind, ty, span }, flex: Flex::No, lit: false, space: Space::Unknown }
    }

    /// What could not be typed: an error was reported (or will be known in a later round).
    pub(crate) fn error(span: Span) -> Self {
        Self::new(ExprKind::Int(0), Ty::Error, span)
    }

    pub(crate) fn literal(value: i128, span: Span) -> Self {
        let flex = if value >= 0 && i64::try_from(value).is_ok() { Flex::Yes } else { Flex::No };
        let mut v = Self::new(ExprKind::Int(value as i64), literal_type(value), span);
        v.flex = flex;
        v.lit = true;
        v
    }

    pub(crate) fn boolean(value: bool, span: Span) -> Self {
        let mut v = Self::new(ExprKind::Int(i64::from(value)), Ty::Bool, span);
        v.lit = true;
        v
    }

    pub(crate) fn string(text: impl Into<String>, span: Span) -> Self {
        let text = text.into();
        let cap = crate::syntax::string_bytes(&text).len() as u32 + 1;
        let mut v = Self::new(ExprKind::Str(text), Ty::Str { cap }, span);
        v.lit = true;
        v
    }

    /// An action, or anything else that is done and has no value.
    pub(crate) fn effect(kind: StmtKind, span: Span) -> Self {
        let block = Block { stmts: vec![Stmt { kind, span }], tail: None, span };
        Self::new(ExprKind::Block(Box::new(block)), Ty::Void, span)
    }

    pub(crate) fn with_space(mut self, space: Space) -> Self {
        self.space = space;
        self
    }

    pub(crate) fn is_error(&self) -> bool {
        self.e.ty == Ty::Error
    }

    pub(crate) fn open(&self) -> Open {
        Open { ty: self.e.ty.clone(), flex: self.flex.clone() }
    }

    /// The value of an integer literal.
    pub(crate) fn int(&self) -> Option<i128> {
        if !self.lit {
            return None;
        }
        match (&self.e.kind, int_shape(&self.e.ty)) {
            (ExprKind::Int(v), Some((64, false))) => Some(i128::from(*v as u64)),
            (ExprKind::Int(v), Some(_)) => Some(i128::from(*v)),
            _ => None,
        }
    }

    /// The text of a string literal.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.e.kind {
            ExprKind::Str(s) if self.lit => Some(s),
            _ => None,
        }
    }
}

/// Converts an expression to a type that it goes together with.
pub(crate) fn coerce(e: Expr, to: &Ty) -> Expr {
    if e.ty == *to || matches!(e.ty, Ty::Error) || matches!(to, Ty::Error | Ty::Void) {
        return e;
    }
    let span = e.span;
    match (e.kind, to) {
        (ExprKind::Int(v), Ty::Int { bits, signed }) if int_shape(&e.ty).is_some() => {
            let value = if int_shape(&e.ty) == Some((64, false)) { i128::from(v as u64) } else { i128::from(v) };
            let v = if fits(value, *bits, *signed) { v } else { wrap(v, *bits, *signed) };
            Expr { kind: ExprKind::Int(v), ty: to.clone(), span }
        }
        (ExprKind::Block(mut b), _) if b.tail.is_some() => {
            b.tail = b.tail.map(|t| Box::new(coerce(*t, to)));
            Expr { kind: ExprKind::Block(b), ty: to.clone(), span }
        }
        (ExprKind::Cond { cond, then, otherwise }, _) => {
            let (then, otherwise) = (Box::new(coerce(*then, to)), Box::new(coerce(*otherwise, to)));
            Expr { kind: ExprKind::Cond { cond, then, otherwise }, ty: to.clone(), span }
        }
        (ExprKind::Tuple(items), Ty::Tuple(types)) if items.len() == types.len() => {
            let items = items.into_iter().zip(types).map(|(i, t)| coerce(i, t)).collect();
            Expr { kind: ExprKind::Tuple(items), ty: to.clone(), span }
        }
        (ExprKind::Record(items), Ty::Record(types)) => {
            // In the order that they are written in, which is the order of their effects; the type says where each lies.
            let items = items
                .into_iter()
                .map(|(name, e)| {
                    let wanted = types.iter().find(|(n, _)| *n == name).map(|(_, t)| t);
                    let e = wanted.map_or_else(|| e.clone(), |t| coerce(e.clone(), t));
                    (name, e)
                })
                .collect();
            Expr { kind: ExprKind::Record(items), ty: to.clone(), span }
        }
        (kind, Ty::Tuple(types)) if matches!(e.ty, Ty::Tuple(_)) => {
            coerce_members(&Expr { kind, ty: e.ty, span }, types, to)
        }
        (kind, Ty::Record(types)) if matches!(e.ty, Ty::Record(_)) => {
            coerce_fields(&Expr { kind, ty: e.ty, span }, types, to)
        }
        (kind, _) => cast(Expr { kind, ty: e.ty, span }, to.clone()),
    }
}

/// Member by member, since each may need its own conversion. `e` is a variable, a map element or a member: it is read anew.
fn coerce_members(e: &Expr, types: &[Ty], to: &Ty) -> Expr {
    let Ty::Tuple(from) = &e.ty else { return e.clone() };
    let items = from
        .iter()
        .zip(types)
        .enumerate()
        .map(|(i, (f, t))| {
            let kind = ExprKind::TupleField { base: Box::new(e.clone()), index: i as u32 };
            coerce(Expr { kind, ty: f.clone(), span: e.span }, t)
        })
        .collect();
    Expr { kind: ExprKind::Tuple(items), ty: to.clone(), span: e.span }
}

fn coerce_fields(e: &Expr, types: &[(String, Ty)], to: &Ty) -> Expr {
    let Ty::Record(from) = &e.ty else { return e.clone() };
    let items = types
        .iter()
        .filter_map(|(name, t)| {
            let i = from.iter().position(|(n, _)| n == name)?;
            let kind = ExprKind::TupleField { base: Box::new(e.clone()), index: i as u32 };
            Some((name.clone(), coerce(Expr { kind, ty: from[i].1.clone(), span: e.span }, t)))
        })
        .collect();
    Expr { kind: ExprKind::Record(items), ty: to.clone(), span: e.span }
}

/// A conversion without any question asked.
pub(crate) fn cast(e: Expr, to: Ty) -> Expr {
    if e.ty == to {
        return e;
    }
    let span = e.span;
    Expr { kind: ExprKind::Cast(Box::new(e)), ty: to, span }
}

/// The low bits of a value, extended by the type's sign.
pub(crate) fn wrap(v: i64, bits: u8, signed: bool) -> i64 {
    match (bits, signed) {
        (8, true) => i64::from(v as i8),
        (8, false) => i64::from(v as u8),
        (16, true) => i64::from(v as i16),
        (16, false) => i64::from(v as u16),
        (32, true) => i64::from(v as i32),
        (32, false) => i64::from(v as u32),
        _ => v,
    }
}

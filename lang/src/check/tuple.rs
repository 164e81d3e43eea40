//! Tuples and records: literals, members, equality member by member.

use super::cx::Checker;
use super::types::{Flex, show};
use super::value::Val;
use crate::ast::{self, Ident};
use crate::hir::{BinOp, Expr, ExprKind, Ty};
use crate::span::Span;

/// A tuple of checked values.
pub(crate) fn tuple_of(values: Vec<Val>, span: Span) -> Val {
    if values.iter().any(Val::is_error) {
        return Val::error(span);
    }
    let ty = Ty::Tuple(values.iter().map(|v| v.e.ty.clone()).collect());
    let flex = Flex::Parts(values.iter().map(|v| v.flex.clone()).collect());
    let lit = values.iter().all(|v| v.lit);
    let mut t = Val::new(ExprKind::Tuple(values.into_iter().map(|v| v.e).collect()), ty, span);
    t.flex = flex;
    t.lit = lit;
    t
}

impl<'a> Checker<'a> {
    pub(crate) fn tuple(&mut self, items: &'a [ast::Expr], span: Span) -> Val {
        let values: Vec<Val> = items.iter().map(|i| self.member_value(i)).collect();
        tuple_of(values, span)
    }

    fn member_value(&mut self, item: &'a ast::Expr) -> Val {
        let v = self.expr(item);
        let v = self.agg_as_number(v);
        if v.e.ty == Ty::Void {
            self.error("no-value", v.e.span, "this has no value to put into a tuple");
            return Val::error(v.e.span);
        }
        v
    }

    pub(crate) fn record(&mut self, fields: &'a [(Ident, ast::Expr)], span: Span) -> Val {
        let mut values: Vec<(String, Val)> = Vec::new();
        for (name, e) in fields {
            if values.iter().any(|(n, _)| *n == name.text) {
                // The parser has said so.
                continue;
            }
            values.push((name.text.clone(), self.member_value(e)));
        }
        if values.iter().any(|(_, v)| v.is_error()) {
            return Val::error(span);
        }
        let ty = Ty::Record(values.iter().map(|(n, v)| (n.clone(), v.e.ty.clone())).collect());
        let flex = Flex::Parts(values.iter().map(|(_, v)| v.flex.clone()).collect());
        let mut r = Val::new(ExprKind::Record(values.into_iter().map(|(n, v)| (n, v.e)).collect()), ty, span);
        r.flex = flex;
        r
    }

    /// `e.0`, `e[0]`
    pub(crate) fn tuple_field(&mut self, base: Val, index: i128, span: Span) -> Val {
        let types: Vec<Ty> = match &base.e.ty {
            Ty::Tuple(t) => t.clone(),
            Ty::Record(t) => t.iter().map(|(_, t)| t.clone()).collect(),
            Ty::Error => return Val::error(span),
            other => {
                let what = show(other);
                self.error("not-a-tuple", span, format!("{what} has no members by number"));
                return Val::error(span);
            }
        };
        let Some(ty) = usize::try_from(index).ok().and_then(|i| types.get(i)) else {
            let n = types.len();
            self.error("tuple-index", span, format!("no member {index}: the tuple has {n}, counted from 0"));
            return Val::error(span);
        };
        let flex = part(&base.flex, index as usize);
        if let ExprKind::Tuple(items) = &base.e.kind
            && let Some(item) = items.get(index as usize)
        {
            // A member of a tuple that is written out is the member: the others compute nothing.
            return Val { flex, ..Val::new(item.kind.clone(), item.ty.clone(), span) };
        }
        if let Some(known) = super::typeinfo::member(&base, index as usize, span) {
            return known;
        }
        let mut v = Val::new(ExprKind::TupleField { base: Box::new(base.e), index: index as u32 }, ty.clone(), span);
        v.flex = flex;
        v
    }

    /// `==` of tuples or records: all members are equal.
    pub(crate) fn members_equal(&mut self, left: &Val, right: &Val, equal: bool, span: Span) -> Val {
        let pairs: Option<Vec<(usize, usize)>> = match (&left.e.ty, &right.e.ty) {
            (Ty::Tuple(a), Ty::Tuple(b)) if a.len() == b.len() => Some((0..a.len()).map(|i| (i, i)).collect()),
            (Ty::Record(a), Ty::Record(b)) if a.len() == b.len() => {
                a.iter().enumerate().map(|(i, (n, _))| b.iter().position(|(m, _)| m == n).map(|j| (i, j))).collect()
            }
            _ => None,
        };
        let Some(pairs) = pairs else {
            let (a, b) = (show(&left.e.ty), show(&right.e.ty));
            self.error("type-mismatch", span, format!("{a} and {b} cannot be equal: their members differ"));
            return Val::error(span);
        };
        let mut all: Option<Expr> = None;
        for (i, j) in pairs {
            let (l, r) =
                (self.tuple_field(left.clone(), i as i128, span), self.tuple_field(right.clone(), j as i128, span));
            let op = if equal { BinOp::Eq } else { BinOp::Ne };
            let same = self.compare(op, l, r, span);
            if same.is_error() {
                return same;
            }
            all = Some(match all {
                None => same.e,
                Some(before) => Expr {
                    kind: ExprKind::Logical { and: equal, left: Box::new(before), right: Box::new(same.e) },
                    ty: Ty::Bool,
                    span,
                },
            });
        }
        let Some(e) = all else { return Val::boolean(equal, span) };
        let mut v = Val::boolean(false, span);
        v.lit = false;
        v.e = e;
        v
    }
}

fn part(flex: &Flex, i: usize) -> Flex {
    match flex {
        Flex::Parts(p) => p.get(i).cloned().unwrap_or(Flex::No),
        other => other.clone(),
    }
}

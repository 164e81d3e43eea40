//! One walk over the HIR, for every question of the kind "does this body contain …".

use weftrace_lang::hir::{Block, Expr, ExprKind as E, Stmt, StmtKind as S, UnOp};

/// What a walk meets, before its parts.
#[derive(Clone, Copy)]
pub(crate) enum Node<'a> {
    Stmt(&'a Stmt),
    Expr(&'a Expr),
}

/// Calls `f` on every statement and expression of a block, in the order they are written. The side of an `if` that is known
/// never to be taken is not compiled: it isn't met.
pub(crate) fn block<'a>(b: &'a Block, f: &mut dyn FnMut(Node<'a>)) {
    for s in &b.stmts {
        stmt(s, f);
    }
    if let Some(tail) = &b.tail {
        expr(tail, f);
    }
}

pub(crate) fn stmt<'a>(s: &'a Stmt, f: &mut dyn FnMut(Node<'a>)) {
    f(Node::Stmt(s));
    let opt = |e: &'a Option<Expr>, f: &mut dyn FnMut(Node<'a>)| {
        if let Some(e) = e {
            expr(e, f);
        }
    };
    match &s.kind {
        S::Expr(e) | S::SetVar { value: e, .. } => expr(e, f),
        S::SetMap { key, value, .. } => {
            opt(key, f);
            expr(value, f);
        }
        S::Aggregate { key, arg, .. } => {
            opt(key, f);
            opt(arg, f);
        }
        S::AddMap { key, .. } | S::DeleteMap { key, .. } => opt(key, f),
        S::If { cond, then, otherwise } => {
            let truth = known(cond);
            if truth.is_none() {
                expr(cond, f);
            }
            if truth != Some(false) {
                block(then, f);
            }
            if let Some(b) = otherwise.as_ref().filter(|_| truth != Some(true)) {
                block(b, f);
            }
        }
        S::While { cond, body } => {
            expr(cond, f);
            block(body, f);
        }
        S::ForRange { from, to, body, .. } => {
            expr(from, f);
            expr(to, f);
            block(body, f);
        }
        S::ForMap { body, .. } | S::Unroll { body, .. } | S::Scope { body } => block(body, f),
        S::Break | S::Continue | S::Return | S::Leave => {}
        S::Action { args, .. } => args.iter().for_each(|e| expr(e, f)),
        S::Emit { fields, .. } => fields.iter().for_each(|e| expr(e, f)),
    }
}

pub(crate) fn expr<'a>(e: &'a Expr, f: &mut dyn FnMut(Node<'a>)) {
    f(Node::Expr(e));
    if let E::Block(b) = &e.kind {
        block(b, f);
    } else {
        for child in children(e) {
            expr(child, f);
        }
    }
}

/// Whether a condition is true, if that is known before anything runs: parameters, settings, what the kernel has.
pub(crate) fn known(e: &Expr) -> Option<bool> {
    match &e.kind {
        E::Int(i) => Some(*i != 0),
        E::Unary { op: UnOp::Not, expr } => known(expr).map(|truth| !truth),
        E::Logical { and, left, right } => match known(left)? {
            left if left == *and => known(right),
            decided => Some(decided),
        },
        _ => None,
    }
}

/// The direct operands of an expression, in order of evaluation; not the statements of a block.
pub(crate) fn children(e: &Expr) -> Vec<&Expr> {
    match &e.kind {
        E::MapGet { key, .. } | E::IncMap { key, .. } | E::Rate { key, .. } => key.iter().map(AsRef::as_ref).collect(),
        E::HasKey { key, .. } => vec![key],
        E::Unary { expr, .. } | E::Cast(expr) | E::Deref(expr) | E::AddrOf(expr) => vec![expr],
        E::Field { base, .. } | E::TupleField { base, .. } => vec![base],
        E::Binary { left, right, .. }
        | E::Logical { left, right, .. }
        | E::StrEq { left, right, .. }
        | E::Coalesce { left, right } => vec![left, right],
        E::Cond { cond, then, otherwise } => vec![cond, then, otherwise],
        E::Index { base, index } => vec![base, index],
        E::PtrAdd { ptr, count } => vec![ptr, count],
        E::Tuple(items) | E::Call { args: items, .. } => items.iter().collect(),
        E::Record(items) => items.iter().map(|(_, e)| e).collect(),
        E::Header { headers, .. } => vec![headers],
        E::NetMatch { addr, .. } => vec![addr],
        _ => vec![],
    }
}

/// Whether any node of an expression satisfies `f`.
pub(crate) fn any(e: &Expr, mut f: impl FnMut(Node<'_>) -> bool) -> bool {
    let mut found = false;
    expr(e, &mut |n| found |= f(n));
    found
}

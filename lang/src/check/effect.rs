//! What an expression does besides having a value.

use crate::hir::{Block, Expr, ExprKind, Stmt, StmtKind};

/// Whether an expression only computes.
pub(crate) fn is_pure(kind: &ExprKind) -> bool {
    !matches!(kind, ExprKind::Block(_) | ExprKind::IncVar { .. } | ExprKind::IncMap { .. } | ExprKind::Cond { .. })
}

/// What bpftrace too wants used.
pub(crate) fn is_question(kind: &ExprKind) -> bool {
    matches!(kind, ExprKind::HasKey { .. } | ExprKind::MapLen(_))
}

/// Turns an expression that nobody takes the value of into the statements that do what it does.
pub(crate) fn flatten(e: Expr, out: &mut Vec<Stmt>) {
    let span = e.span;
    match e.kind {
        ExprKind::Block(b) => {
            out.extend(b.stmts);
            if let Some(tail) = b.tail {
                flatten(*tail, out);
            }
        }
        ExprKind::Cond { cond, then, otherwise } => {
            let (mut a, mut b) = (Vec::new(), Vec::new());
            flatten(*then, &mut a);
            flatten(*otherwise, &mut b);
            if a.is_empty() && b.is_empty() {
                return flatten(*cond, out);
            }
            let then = Block { stmts: a, tail: None, span };
            let otherwise = (!b.is_empty()).then_some(Block { stmts: b, tail: None, span });
            out.push(Stmt { kind: StmtKind::If { cond: *cond, then, otherwise }, span });
        }
        ExprKind::IncMap { map, key, delta, .. } => {
            out.push(Stmt { kind: StmtKind::AddMap { map, key: key.map(|k| *k), delta }, span });
        }
        ExprKind::Cast(inner) => flatten(*inner, out),
        kind if is_pure(&kind) && !has_effect(&kind) => {}
        kind => out.push(Stmt { kind: StmtKind::Expr(Expr { kind, ty: e.ty, span }), span }),
    }
}

/// Whether anything inside a pure-looking expression acts. Only the forms that scripts use so are looked into.
fn has_effect(kind: &ExprKind) -> bool {
    let acts = |e: &Expr| !is_pure(&e.kind) || has_effect(&e.kind);
    match kind {
        ExprKind::Binary { left, right, .. }
        | ExprKind::Logical { left, right, .. }
        | ExprKind::Coalesce { left, right } => acts(left) || acts(right),
        ExprKind::Unary { expr, .. } | ExprKind::Cast(expr) | ExprKind::Deref(expr) => acts(expr),
        ExprKind::Tuple(items) => items.iter().any(acts),
        ExprKind::Record(items) => items.iter().any(|(_, e)| acts(e)),
        ExprKind::Call { args, .. } => args.iter().any(acts),
        ExprKind::HasKey { key, .. } => acts(key),
        ExprKind::MapGet { key: Some(key), .. } | ExprKind::Rate { key: Some(key), .. } => acts(key),
        _ => false,
    }
}

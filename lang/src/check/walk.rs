//! Walks over syntax trees, for questions that need no types.

use crate::ast::{Block, Expr, ExprKind, ForIter, Item, Probe, Script, Stmt, StmtKind, TypeOperand};
use std::collections::BTreeSet;

/// Calls `f` on every expression of probes, functions and macros.
pub(crate) fn script<'a>(s: &'a Script, f: &mut dyn FnMut(&'a Expr)) {
    for item in &s.items {
        match item {
            Item::Probe(probe) => {
                for p in probe.alternatives() {
                    p.predicate.iter().for_each(|e| expr(e, f));
                    block(&p.body, f);
                }
            }
            Item::Fn(x) => block(&x.body, f),
            Item::Macro(m) => block(&m.body, f),
            _ => {}
        }
    }
}

/// Calls `f` on every expression of a block, outer before inner.
pub(crate) fn block<'a>(b: &'a Block, f: &mut dyn FnMut(&'a Expr)) {
    for s in &b.stmts {
        stmt(s, f);
    }
    if let Some(tail) = &b.tail {
        expr(tail, f);
    }
}

/// Calls `f` on every statement of a block, and of all blocks in it.
pub(crate) fn stmts<'a>(b: &'a Block, f: &mut dyn FnMut(&'a Stmt)) {
    let mut blocks = vec![b];
    block(b, &mut |e| match &e.kind {
        ExprKind::If(parts) => {
            blocks.push(&parts.then);
            blocks.extend(parts.otherwise.as_ref());
        }
        ExprKind::Block(b) => blocks.push(b),
        _ => {}
    });
    for b in blocks {
        own_stmts(b, f);
    }
}

/// Of a block and its loops.
fn own_stmts<'a>(b: &'a Block, f: &mut dyn FnMut(&'a Stmt)) {
    for s in &b.stmts {
        f(s);
        if let StmtKind::While { body, .. } | StmtKind::For { body, .. } | StmtKind::Unroll { body, .. } = &s.kind {
            own_stmts(body, f);
        }
    }
}

/// Calls `f` on every expression of a statement.
pub(crate) fn stmt<'a>(s: &'a Stmt, f: &mut dyn FnMut(&'a Expr)) {
    match &s.kind {
        StmtKind::Expr(e) | StmtKind::Discard(e) => expr(e, f),
        StmtKind::Assign { place, value, .. } => {
            expr(place, f);
            expr(value, f);
        }
        StmtKind::Let { value, .. } | StmtKind::Return(value) => {
            if let Some(e) = value {
                expr(e, f);
            }
        }
        StmtKind::While { cond, body } => {
            expr(cond, f);
            block(body, f);
        }
        StmtKind::For { iter, body, .. } => {
            match iter {
                ForIter::Map(e) => expr(e, f),
                ForIter::Range(a, b) => {
                    expr(a, f);
                    expr(b, f);
                }
            }
            block(body, f);
        }
        StmtKind::Unroll { count, body } => {
            expr(count, f);
            block(body, f);
        }
        StmtKind::Break | StmtKind::Continue | StmtKind::Import(_) => {}
        StmtKind::Alert(alert) => {
            if let Some(told) = &alert.told {
                told.when.iter().chain(&told.keys).for_each(|e| expr(e, f));
                told.message.iter().for_each(|a| expr(&a.value, f));
            }
        }
        StmtKind::Tell(told) => {
            told.group.iter().for_each(|key| expr(&key.value, f));
            told.message.iter().for_each(|a| expr(&a.value, f));
        }
        StmtKind::Emit { fields, .. } => {
            for (_, e) in fields {
                expr(e, f);
            }
        }
    }
}

/// Calls `f` on an expression and everything in it.
pub(crate) fn expr<'a>(e: &'a Expr, f: &mut dyn FnMut(&'a Expr)) {
    f(e);
    match &e.kind {
        ExprKind::Map { key, .. } => {
            for k in key.iter().flatten() {
                expr(k, f);
            }
        }
        ExprKind::Unary { expr: inner, .. }
        | ExprKind::IncDec { expr: inner, .. }
        | ExprKind::Cast { expr: inner, .. }
        | ExprKind::Comptime(inner)
        | ExprKind::Field { base: inner, .. }
        | ExprKind::TupleField { base: inner, .. } => expr(inner, f),
        ExprKind::Binary { left, right, .. } | ExprKind::Index { base: left, index: right } => {
            expr(left, f);
            expr(right, f);
        }
        ExprKind::Ternary { cond, then, otherwise } => {
            expr(cond, f);
            if let Some(t) = then {
                expr(t, f);
            }
            expr(otherwise, f);
        }
        ExprKind::Call { args, .. } => {
            for a in args {
                expr(&a.value, f);
            }
        }
        ExprKind::TypeOp { operand: TypeOperand::Expr(inner), .. } => expr(inner, f),
        ExprKind::Tuple(items) => {
            for i in items {
                expr(i, f);
            }
        }
        ExprKind::Record(items) => {
            for (_, i) in items {
                expr(i, f);
            }
        }
        ExprKind::If(parts) => {
            expr(&parts.cond, f);
            block(&parts.then, f);
            if let Some(b) = &parts.otherwise {
                block(b, f);
            }
        }
        ExprKind::Block(b) => block(b, f),
        _ => {}
    }
}

/// What of `args` some code uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ArgsUse {
    /// The record as a whole.
    pub(crate) whole: bool,
    pub(crate) names: BTreeSet<String>,
}

impl ArgsUse {
    pub(crate) fn any(&self) -> bool {
        self.whole || !self.names.is_empty()
    }

    fn look(&mut self, e: &Expr) {
        // The base of `args.x` is seen after it and counted once more as a whole: take that back.
        match &e.kind {
            ExprKind::Field { base, name, .. } if is_args(base) => {
                self.names.insert(name.text.clone());
            }
            _ => {}
        }
    }

    /// What a probe and the macros that it may call use.
    pub(crate) fn of(probe: &Probe, macros: &ArgsUse) -> Self {
        let mut found = macros.clone();
        let mut bare = 0i64;
        let mut look = |e: &Expr| {
            if is_args(e) {
                bare += 1;
            }
            if let ExprKind::Field { base, .. } = &e.kind
                && is_args(base)
            {
                bare -= 1;
            }
            found.look(e);
        };
        if let Some(p) = &probe.predicate {
            expr(p, &mut look);
        }
        block(&probe.body, &mut look);
        found.whole |= bare > 0;
        found
    }

    /// What all macros of some scripts use.
    pub(crate) fn of_macros<'s>(scripts: impl Iterator<Item = &'s Script>) -> Self {
        let mut found = Self::default();
        for script in scripts {
            for item in &script.items {
                if let crate::ast::Item::Macro(m) = item {
                    let mut bare = 0i64;
                    block(&m.body, &mut |e: &Expr| {
                        bare += i64::from(is_args(e));
                        if let ExprKind::Field { base, .. } = &e.kind {
                            bare -= i64::from(is_args(base));
                        }
                        found.look(e);
                    });
                    found.whole |= bare > 0;
                }
            }
        }
        found
    }
}

fn is_args(e: &Expr) -> bool {
    match &e.kind {
        ExprKind::Ident(name) => name == "args",
        ExprKind::Unary { expr, .. } => is_args(expr),
        _ => false,
    }
}

//! Variables that outlive the blocks which assign them.
//!
//! Before 0.21 bpftrace's variables lived in the whole probe; scripts of that time assign `$x` in both branches of an `if` and
//! read it afterwards. Since then a variable lives in its block and such a script is refused. Where every branch assigns the
//! variable its value is certain, so that these scripts run here, with a warning; any other use stays an error.

use super::cx::Checker;
use super::walk;
use crate::ast::{Block, Expr, ExprKind, ForIter, IfExpr, Stmt, StmtKind};
use crate::diag::Diagnostic;
use crate::span::Span;
use std::collections::BTreeMap;

/// What happens first to a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    /// Read here.
    Read(Span),
    /// It gets a new value before it is read.
    Assigned,
    Nothing,
}

impl Checker<'_> {
    /// Declares what all branches of an `if` statement assign and the statements behind it read.
    pub(crate) fn declare_outliving(&mut self, s: &Stmt, rest: &[Stmt], tail: Option<&Expr>) {
        let StmtKind::Expr(Expr { kind: ExprKind::If(parts), .. }) = &s.kind else { return };
        for (name, assigned) in assigned_in_all(parts) {
            if self.lookup(name).is_some() {
                continue;
            }
            if let First::Read(at) = first_use(rest, tail, name) {
                self.declare(name, assigned);
                let d = Diagnostic::warning("old-scope", at, format!("${name} outlives the blocks that assign it"))
                    .other(assigned, "assigned here")
                    .note("bpftrace before 0.21 allowed it, newer ones refuse it: a variable lives in its block")
                    .write(format!("let ${name}; (before the `if`)"));
                self.report(d);
            }
        }
    }
}

/// Variables that every branch assigns at its own level, with the first place.
fn assigned_in_all(parts: &IfExpr) -> BTreeMap<&str, Span> {
    let Some(otherwise) = &parts.otherwise else { return BTreeMap::new() };
    let (mut names, others) = (assigned(&parts.then), assigned(otherwise));
    names.retain(|name, _| others.contains_key(name));
    names
}

fn assigned(block: &Block) -> BTreeMap<&str, Span> {
    let mut names = BTreeMap::new();
    for s in &block.stmts {
        match &s.kind {
            StmtKind::Assign { place: Expr { kind: ExprKind::Var(name), span }, op: None, .. } => {
                names.entry(name.as_str()).or_insert(*span);
            }
            StmtKind::Expr(e) => nested(e, &mut names),
            _ => {}
        }
    }
    if let Some(tail) = &block.tail {
        nested(tail, &mut names);
    }
    for s in &block.stmts {
        if let StmtKind::Let { var, .. } = &s.kind {
            names.remove(var.text.as_str());
        }
    }
    names
}

/// What all branches of a nested `if` assign.
fn nested<'e>(e: &'e Expr, names: &mut BTreeMap<&'e str, Span>) {
    if let ExprKind::If(parts) = &e.kind {
        for (name, span) in assigned_in_all(parts) {
            names.entry(name).or_insert(span);
        }
    }
}

fn first_use(stmts: &[Stmt], tail: Option<&Expr>, name: &str) -> First {
    for s in stmts {
        match first_in_stmt(s, name) {
            First::Nothing => {}
            found => return found,
        }
    }
    tail.map_or(First::Nothing, |e| first_in_expr(e, name))
}

fn first_in_stmt(s: &Stmt, name: &str) -> First {
    let inner = |e: &Expr, body: &Block| match first_in_expr(e, name) {
        First::Nothing => inside(body, name),
        found => found,
    };
    match &s.kind {
        StmtKind::Assign { place: Expr { kind: ExprKind::Var(var), .. }, op: None, value } => {
            match first_in_expr(value, name) {
                First::Nothing if var == name => First::Assigned,
                found => found,
            }
        }
        StmtKind::Let { var, value, .. } => match value.as_ref().map(|v| first_in_expr(v, name)) {
            Some(found @ (First::Read(_) | First::Assigned)) => found,
            _ if var.text == name => First::Assigned,
            _ => First::Nothing,
        },
        StmtKind::While { cond, body } => inner(cond, body),
        StmtKind::Unroll { count, body } => inner(count, body),
        StmtKind::For { var, iter, body } => {
            let of_iter = match iter {
                ForIter::Map(e) => first_in_expr(e, name),
                ForIter::Range(a, b) => match first_in_expr(a, name) {
                    First::Nothing => first_in_expr(b, name),
                    found => found,
                },
            };
            match of_iter {
                First::Nothing if var.text != name => inside(body, name),
                found => found,
            }
        }
        StmtKind::Expr(e) => first_in_expr(e, name),
        _ => {
            let mut found = First::Nothing;
            walk::stmt(s, &mut |e| read_of(e, name, &mut found));
            found
        }
    }
}

/// In a block of its own: what it assigns, it assigns to itself.
fn inside(block: &Block, name: &str) -> First {
    match first_use(&block.stmts, block.tail.as_deref(), name) {
        First::Assigned => First::Nothing,
        found => found,
    }
}

fn first_in_expr(e: &Expr, name: &str) -> First {
    match &e.kind {
        ExprKind::If(parts) => {
            let branches = [Some(&parts.then), parts.otherwise.as_ref()];
            let mut found = first_in_expr(&parts.cond, name);
            for branch in branches.into_iter().flatten() {
                if found == First::Nothing {
                    found = inside(branch, name);
                }
            }
            found
        }
        ExprKind::Block(block) => inside(block, name),
        _ => {
            let mut found = First::Nothing;
            walk::expr(e, &mut |e| read_of(e, name, &mut found));
            found
        }
    }
}

fn read_of(e: &Expr, name: &str, found: &mut First) {
    if let ExprKind::Var(var) = &e.kind
        && var == name
        && *found == First::Nothing
    {
        *found = First::Read(e.span);
    }
}

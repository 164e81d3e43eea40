//! Which variables in memory may be read before they are written: those are zeroed on entry, the others cost nothing.

use std::collections::BTreeSet;
use weftrace_lang::hir::{Block, Expr, ExprKind as E, ProbeDef, Stmt, StmtKind as S, VarRef};

use crate::place::walk;

/// Variables that some path reads before writing.
pub(crate) fn read_before_written(probe: &ProbeDef) -> BTreeSet<VarRef> {
    let mut a = Analysis { unwritten: BTreeSet::new() };
    let mut written = BTreeSet::new();
    if let Some(p) = &probe.predicate {
        a.expr(p, &mut written);
    }
    a.block(&probe.body, &mut written);
    a.unwritten
}

type Set = BTreeSet<VarRef>;

struct Analysis {
    unwritten: Set,
}

impl Analysis {
    fn block(&mut self, b: &Block, written: &mut Set) {
        for s in &b.stmts {
            self.stmt(s, written);
        }
        if let Some(tail) = &b.tail {
            self.expr(tail, written);
        }
    }

    /// Code that may not run: what it writes is not known afterwards.
    fn maybe(&mut self, b: &Block, written: &Set) {
        self.block(b, &mut written.clone());
    }

    fn stmt(&mut self, s: &Stmt, written: &mut Set) {
        match &s.kind {
            S::SetVar { var, value } => {
                self.expr(value, written);
                written.insert(*var);
            }
            S::If { cond, then, otherwise } => {
                self.expr(cond, written);
                let (mut a, mut b) = (written.clone(), written.clone());
                self.block(then, &mut a);
                if let Some(o) = otherwise {
                    self.block(o, &mut b);
                }
                *written = a.intersection(&b).copied().collect();
            }
            S::While { cond, body } => {
                self.expr(cond, written);
                self.maybe(body, written);
            }
            S::ForRange { var, from, to, body } => {
                self.expr(from, written);
                self.expr(to, written);
                let mut inside = written.clone();
                inside.insert(*var);
                self.block(body, &mut inside);
            }
            S::ForMap { var, body, .. } => {
                let mut inside = written.clone();
                inside.insert(*var);
                self.block(body, &mut inside);
            }
            S::Unroll { body, .. } | S::Scope { body } => self.maybe(body, written),
            S::Expr(e) => self.expr(e, written),
            S::SetMap { key, value, .. } => {
                self.each(key.iter(), written);
                self.expr(value, written);
            }
            S::Aggregate { key, arg, .. } => self.each(key.iter().chain(arg), written),
            S::AddMap { key, .. } | S::DeleteMap { key, .. } => self.each(key.iter(), written),
            S::Action { args, .. } => self.each(args.iter(), written),
            S::Emit { fields, .. } => self.each(fields.iter(), written),
            S::Break | S::Continue | S::Return | S::Leave => {}
        }
    }

    fn each<'a>(&mut self, items: impl Iterator<Item = &'a Expr>, written: &mut Set) {
        for e in items {
            self.expr(e, written);
        }
    }

    fn expr(&mut self, e: &Expr, written: &mut Set) {
        match &e.kind {
            E::Var(v) | E::IncVar { var: v, .. } => {
                if !written.contains(v) {
                    self.unwritten.insert(*v);
                }
            }
            E::Block(b) => self.block(b, written),
            E::Cond { cond, then, otherwise } => {
                self.expr(cond, written);
                self.expr(then, &mut written.clone());
                self.expr(otherwise, &mut written.clone());
            }
            E::Logical { left, right, .. } | E::Coalesce { left, right } => {
                self.expr(left, written);
                self.expr(right, &mut written.clone());
            }
            _ => self.each(walk::children(e).into_iter(), written),
        }
    }
}

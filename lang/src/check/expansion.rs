//! Macro calls in places: what a macro's body gives knows through which call it is seen.

use super::cx::Checker;
use crate::hir::{Block, Expr, ExprKind as E, Stmt, StmtKind as S};
use crate::span::Span;

impl Checker<'_> {
    /// The macro calls through which a place is reached, innermost first. A place that the macro was given is seen from
    /// outside.
    pub(crate) fn calls_around(&self, span: Span) -> Vec<Span> {
        let mut calls = Vec::new();
        let mut at = self.cur;
        let mut inside = span;
        while let Some(def) = self.frames.get(at).and_then(|f| f.def) {
            let frame = &self.frames[at];
            if def.body.span.contains(inside) {
                calls.push(frame.call);
                inside = frame.call;
            }
            at = frame.parent;
        }
        calls
    }
}

/// Marks everything that stands in the macro's body and is not of an inner call.
pub(crate) fn mark(e: &mut Expr, body: Span, expansion: u32) {
    let mut span = |s: &mut Span| {
        if s.expansion == 0 && body.contains(*s) {
            s.expansion = expansion;
        }
    };
    expr(e, &mut span);
}

/// Statements and expressions of a block, what is within them too.
pub(crate) fn size(b: &mut Block) -> u64 {
    let mut count = 0;
    block(b, &mut |_| count += 1);
    count
}

fn block(b: &mut Block, f: &mut dyn FnMut(&mut Span)) {
    f(&mut b.span);
    b.stmts.iter_mut().for_each(|s| stmt(s, f));
    if let Some(tail) = &mut b.tail {
        expr(tail, f);
    }
}

fn stmt(s: &mut Stmt, f: &mut dyn FnMut(&mut Span)) {
    f(&mut s.span);
    match &mut s.kind {
        S::Expr(e) | S::SetVar { value: e, .. } => expr(e, f),
        S::SetMap { key, value, .. } => {
            if let Some(key) = key {
                expr(key, f);
            }
            expr(value, f);
        }
        S::Aggregate { key, arg, .. } => key.iter_mut().chain(arg).for_each(|e| expr(e, f)),
        S::AddMap { key, .. } | S::DeleteMap { key, .. } => key.iter_mut().for_each(|e| expr(e, f)),
        S::If { cond, then, otherwise } => {
            expr(cond, f);
            block(then, f);
            if let Some(otherwise) = otherwise {
                block(otherwise, f);
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
        S::Action { args, .. } | S::Emit { fields: args, .. } => args.iter_mut().for_each(|e| expr(e, f)),
        S::Break | S::Continue | S::Return | S::Leave => {}
    }
}

fn expr(e: &mut Expr, f: &mut dyn FnMut(&mut Span)) {
    f(&mut e.span);
    match &mut e.kind {
        E::MapGet { key, .. } | E::IncMap { key, .. } | E::Rate { key, .. } => key.iter_mut().for_each(|e| expr(e, f)),
        E::HasKey { key: e, .. }
        | E::Unary { expr: e, .. }
        | E::Cast(e)
        | E::Deref(e)
        | E::AddrOf(e)
        | E::Field { base: e, .. }
        | E::TupleField { base: e, .. }
        | E::Header { headers: e, .. }
        | E::NetMatch { addr: e, .. } => expr(e, f),
        E::Binary { left, right, .. }
        | E::Logical { left, right, .. }
        | E::StrEq { left, right, .. }
        | E::Coalesce { left, right }
        | E::Index { base: left, index: right }
        | E::PtrAdd { ptr: left, count: right } => {
            expr(left, f);
            expr(right, f);
        }
        E::Cond { cond, then, otherwise } => {
            expr(cond, f);
            expr(then, f);
            expr(otherwise, f);
        }
        E::Tuple(items) | E::Call { args: items, .. } => items.iter_mut().for_each(|e| expr(e, f)),
        E::Record(items) => items.iter_mut().for_each(|(_, e)| expr(e, f)),
        E::Block(b) => block(b, f),
        // Leaves.
        _ => {}
    }
}

//! Blocks and statements.

use super::Printer;
use crate::ast::{Block, ExprKind, ForIter, Stmt, StmtKind};
use crate::syntax::build::INFIX;
use crate::syntax::literal::quote;

impl Printer {
    /// A block. Where it `has_value`, a last `if` or `{ }` that isn't the value needs a `;`.
    pub(super) fn block(&mut self, block: &Block, has_value: bool) {
        let empty = block.stmts.is_empty() && block.tail.is_none() && !self.has_comments_before(block.span.end);
        self.braces(empty, |p| {
            p.enter(block.span.start + 1);
            for (n, stmt) in block.stmts.iter().enumerate() {
                p.lead(stmt.span);
                p.stmt(stmt);
                let last = n + 1 == block.stmts.len() && block.tail.is_none();
                if !is_block_like(stmt) || (last && has_value && matches!(stmt.kind, StmtKind::Expr(_))) {
                    p.text(";");
                }
                p.trail(stmt.span);
                p.newline();
            }
            if let Some(tail) = &block.tail {
                p.lead(tail.span);
                p.expr(tail, 0);
                p.trail(tail.span);
                p.newline();
            }
            p.comments_before(block.span.end);
        });
    }

    fn for_iter(&mut self, iter: &ForIter) {
        match iter {
            ForIter::Map(e) => self.expr(e, 0),
            ForIter::Range(a, b) => {
                self.expr(a, 0);
                self.text("..");
                self.expr(b, 0);
            }
        }
    }

    fn stmt(&mut self, stmt: &Stmt) {
        match &stmt.kind {
            StmtKind::Expr(e) => self.expr(e, 0),
            StmtKind::Assign { place, op, value } => {
                self.expr(place, 0);
                let op = op.and_then(|op| INFIX.iter().find(|(_, o, _)| *o == op)).map_or("", |(text, ..)| text);
                self.text(&format!(" {op}= "));
                self.expr(value, 0);
            }
            StmtKind::Let { var, ty, value } => {
                self.text(&format!("let ${}", var.text));
                if let Some(ty) = ty {
                    self.text(": ");
                    self.ty(ty);
                }
                if let Some(value) = value {
                    self.text(" = ");
                    self.expr(value, 0);
                }
            }
            StmtKind::Discard(e) => {
                self.text("_ = ");
                self.expr(e, 0);
            }
            StmtKind::While { cond, body } => {
                self.text("while (");
                self.expr(cond, 0);
                self.text(") ");
                self.block(body, false);
            }
            StmtKind::Unroll { count, body } => {
                self.text("unroll (");
                self.expr(count, 0);
                self.text(") ");
                self.block(body, false);
            }
            StmtKind::For { var, iter, body } => {
                self.text(&format!("for (${} : ", var.text));
                self.for_iter(iter);
                self.text(") ");
                self.block(body, false);
            }
            StmtKind::Break => self.text("break"),
            StmtKind::Continue => self.text("continue"),
            StmtKind::Return(value) => {
                self.text("return");
                if let Some(value) = value {
                    self.text(" ");
                    self.expr(value, 0);
                }
            }
            StmtKind::Emit { stream, fields } => {
                self.text(&format!("emit {}(", stream.text));
                self.fields(fields);
                self.text(")");
            }
            StmtKind::Tell(told) => self.alert_tell(told),
            // Never parsed.
            StmtKind::Alert(_) => {}
            StmtKind::Import(i) => self.text(&format!("import {}", quote(&i.path))),
        }
    }
}

/// Ends in `}` and needs no `;`.
fn is_block_like(stmt: &Stmt) -> bool {
    match &stmt.kind {
        StmtKind::While { .. } | StmtKind::For { .. } | StmtKind::Unroll { .. } => true,
        StmtKind::Expr(e) => matches!(e.kind, ExprKind::If(_) | ExprKind::Block(_)),
        _ => false,
    }
}

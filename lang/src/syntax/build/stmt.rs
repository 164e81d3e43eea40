//! Blocks and statements.

use super::super::grammar::{Pair, Rule};
use super::Builder;
use crate::ast::{BinOp, Block, Expr, ExprKind, ForIter, Import, Stmt, StmtKind};
use crate::diag::Diagnostic;

impl Builder<'_> {
    /// A block. Where `has_value`, an expression without `;` at its end is the block's value; else a statement.
    pub(super) fn block(&mut self, pair: Pair<'_>, has_value: bool) -> Block {
        let span = self.span(&pair);
        let (mut block, _) = self.stmts(pair.into_inner(), has_value);
        block.span = span;
        block
    }

    /// Statements in a row; also whether the last one ended in `;`.
    pub(in crate::syntax) fn stmts<'p>(
        &mut self,
        pairs: impl Iterator<Item = Pair<'p>>,
        has_value: bool,
    ) -> (Block, bool) {
        let mut block = Block::default();
        let mut ended = true;
        for pair in pairs {
            if matches!(pair.as_rule(), Rule::semi | Rule::EOI) {
                ended |= pair.as_rule() == Rule::semi;
                continue;
            }
            ended = pair.clone().into_inner().any(|p| p.as_rule() == Rule::semi);
            let span = self.stmt_span(&pair);
            if let Some(kind) = self.stmt(pair) {
                block.stmts.push(Stmt { kind, span });
            }
        }
        if has_value && !ended {
            match block.stmts.pop() {
                Some(Stmt { kind: StmtKind::Expr(expr), .. }) => block.tail = Some(Box::new(expr)),
                other => block.stmts.extend(other),
            }
        }
        (block, ended)
    }

    /// Without the `;`.
    fn stmt_span(&self, pair: &Pair<'_>) -> crate::span::Span {
        let (start, mut end) = self.range(pair);
        if let Some(semi) = pair.clone().into_inner().find(|p| p.as_rule() == Rule::semi) {
            end = self.src.trim_end(start, self.range(&semi).0);
        }
        self.src.span(start, end)
    }

    fn stmt(&mut self, pair: Pair<'_>) -> Option<StmtKind> {
        let rule = pair.as_rule();
        match rule {
            Rule::s_expr => self.s_expr(pair),
            Rule::s_block_like => {
                let inner = pair.into_inner().next()?;
                let span = self.span(&inner);
                let ((kind, height), _) = self.measured(|b| {
                    b.measured(|b| match inner.as_rule() {
                        Rule::if_expr => ExprKind::If(Box::new(b.if_expr(inner))),
                        _ => ExprKind::Block(Box::new(b.block(inner, true))),
                    })
                });
                self.height = self.height.max(height + 1);
                Some(StmtKind::Expr(Expr { kind, span }))
            }
            Rule::s_let => self.s_let(pair),
            Rule::s_while | Rule::s_unroll => {
                let mut inner = pair.into_inner();
                inner.next();
                let cond = inner.next()?;
                let cond = if rule == Rule::s_while { self.condition(cond) } else { self.expr(cond) };
                let body = inner.next()?;
                let body = self.block(body, false);
                Some(match rule {
                    Rule::s_while => StmtKind::While { cond, body },
                    _ => StmtKind::Unroll { count: cond, body },
                })
            }
            Rule::s_for => self.s_for(pair),
            Rule::s_break => Some(StmtKind::Break),
            Rule::s_continue => Some(StmtKind::Continue),
            Rule::s_return => {
                let value = pair.into_inner().find(|p| p.as_rule() == Rule::expr);
                Some(StmtKind::Return(value.map(|v| self.expr(v))))
            }
            Rule::s_import => {
                let span = self.stmt_span(&pair);
                let path = pair.into_inner().find(|p| p.as_rule() == Rule::string)?;
                let path = self.string(&path);
                Some(StmtKind::Import(Import { path, span }))
            }
            Rule::s_emit => {
                let name = pair.clone().into_inner().find(|p| p.as_rule() == Rule::dotted)?;
                let stream = self.ident(&name);
                let fields = self.record_fields(pair);
                Some(StmtKind::Emit { stream, fields })
            }
            Rule::s_alert => self.alert_tell(pair).map(|told| StmtKind::Tell(Box::new(told))),
            _ => None,
        }
    }

    fn s_let(&mut self, pair: Pair<'_>) -> Option<StmtKind> {
        let mut var = None;
        let mut ty = None;
        let mut value = None;
        for inner in pair.into_inner() {
            match inner.as_rule() {
                Rule::var => var = Some(self.sigil(&inner)),
                Rule::annotation => ty = Some(self.type_expr(inner)),
                Rule::expr => value = Some(self.expr(inner)),
                _ => {}
            }
        }
        Some(StmtKind::Let { var: var?, ty, value })
    }

    fn s_for(&mut self, pair: Pair<'_>) -> Option<StmtKind> {
        let mut var = None;
        let mut ends = Vec::new();
        let mut body = None;
        for inner in pair.into_inner() {
            match inner.as_rule() {
                Rule::var => var = Some(self.sigil(&inner)),
                Rule::expr => ends.push(self.expr(inner)),
                Rule::block => body = Some(self.block(inner, false)),
                _ => {}
            }
        }
        let last = ends.pop()?;
        let iter = if let Some(first) = ends.pop() {
            ForIter::Range(first, last)
        } else {
            if !matches!(last.kind, ExprKind::Map { key: None, .. }) {
                self.diags.push(
                    Diagnostic::error("bad-loop", last.span, "`for` runs over a map or a range")
                        .label("neither `@map` nor `a..b`")
                        .write("for ($i : 0..10) { … }"),
                );
            }
            ForIter::Map(last)
        };
        Some(StmtKind::For { var: var?, iter, body: body? })
    }

    fn s_expr(&mut self, pair: Pair<'_>) -> Option<StmtKind> {
        let mut place = None;
        let mut assign = None;
        let mut value = None;
        for inner in pair.into_inner() {
            match inner.as_rule() {
                Rule::assign => assign = Some((inner.as_str().to_owned(), self.span(&inner))),
                Rule::expr if assign.is_some() => value = Some(self.expr(inner)),
                Rule::expr => place = Some(self.expr(inner)),
                _ => {}
            }
        }
        let place = place?;
        let (Some((op, _)), Some(value)) = (assign, value) else { return Some(StmtKind::Expr(place)) };
        let op = compound(&op);
        match &place.kind {
            ExprKind::Ident(name) if name == "_" && op.is_none() => return Some(StmtKind::Discard(value)),
            ExprKind::Var(_)
            | ExprKind::Map { .. }
            | ExprKind::Field { .. }
            | ExprKind::TupleField { .. }
            | ExprKind::Index { .. }
            | ExprKind::Unary { op: crate::ast::UnOp::Deref, .. } => {}
            ExprKind::Ident(name) => {
                let diag = Diagnostic::error("not-a-place", place.span, format!("`{name}` can't be assigned to"))
                    .label("a variable's name begins with `$`, a map's with `@`")
                    .write(format!("${name} = …"));
                self.diags.push(diag);
            }
            _ => self.diags.push(
                Diagnostic::error("not-a-place", place.span, "this can't be assigned to")
                    .label("neither a variable nor a map"),
            ),
        }
        Some(StmtKind::Assign { place, op, value })
    }
}

/// The operator of `+=` and the like; None for `=`.
fn compound(text: &str) -> Option<BinOp> {
    let op = text.strip_suffix('=').unwrap_or(text);
    super::expr::INFIX.iter().find(|(t, ..)| *t == op && !op.is_empty()).map(|(_, op, _)| *op)
}

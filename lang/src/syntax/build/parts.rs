//! What `recover.rs` gets of pieces parsed alone.

use super::super::grammar::{Pair, Rule};
use super::Builder;
use crate::ast::{AttachPoint, Expr, Item, JoinClause, Stmt};

/// The tree of the piece parsed last.
#[derive(Default)]
pub(super) struct Kept {
    points: Vec<AttachPoint>,
    predicate: Option<Expr>,
    stmts: Vec<Stmt>,
    clauses: Vec<JoinClause>,
    item: Option<Item>,
}

impl Builder<'_> {
    /// The expression of an `only_expr` pair.
    pub(in crate::syntax) fn only_expr(&mut self, pair: Pair<'_>) -> Expr {
        self.next_expr(&mut pair.into_inner())
    }

    /// Builds a piece and keeps it for the `kept_…` of its kind.
    pub(in crate::syntax) fn keep(&mut self, pair: Pair<'_>) {
        self.kept = Kept::default();
        match pair.as_rule() {
            Rule::only_head => {
                for inner in pair.into_inner() {
                    match inner.as_rule() {
                        Rule::attach_list => self.kept.points = self.attach_list(inner),
                        Rule::predicate => self.kept.predicate = self.predicate(inner),
                        _ => {}
                    }
                }
            }
            Rule::only_stmts => self.kept.stmts = self.stmts(pair.into_inner(), false).0.stmts,
            Rule::only_clauses => self.kept.clauses = self.clauses(pair.into_inner()),
            _ => self.kept.item = self.item(pair),
        }
    }

    pub(in crate::syntax) fn kept_head(&mut self) -> (Vec<AttachPoint>, Option<Expr>) {
        (std::mem::take(&mut self.kept.points), self.kept.predicate.take())
    }

    pub(in crate::syntax) fn kept_stmts(&mut self) -> Vec<Stmt> {
        std::mem::take(&mut self.kept.stmts)
    }

    pub(in crate::syntax) fn kept_clauses(&mut self) -> Vec<JoinClause> {
        std::mem::take(&mut self.kept.clauses)
    }

    pub(in crate::syntax) fn kept_item(&mut self) -> Option<Item> {
        self.kept.item.take()
    }
}

//! Statements that nothing reaches.

use super::cx::Checker;
use crate::diag::Diagnostic;
use crate::hir::{Action, Stmt, StmtKind as S};
use crate::span::Span;

impl Checker<'_> {
    /// Warns of a statement after one that ends the block; of the first only.
    pub(crate) fn warn_unreachable(&mut self, before: &[Stmt], next: Span) {
        let Some((last, earlier)) = before.split_last() else { return };
        if !ends(last) || earlier.iter().any(ends) {
            return;
        }
        let d = Diagnostic::warning("unreachable", next, "this is never reached")
            .other(last.span, "the block ends here")
            .bpftrace("Unreachable statement.");
        self.report(d);
    }
}

fn ends(s: &Stmt) -> bool {
    matches!(s.kind, S::Break | S::Continue | S::Return | S::Leave | S::Action { action: Action::Exit, .. })
}

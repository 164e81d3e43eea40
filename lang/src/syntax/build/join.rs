//! `join NAME { clauses }`.

use super::super::grammar::{Pair, Rule};
use super::Builder;
use crate::ast::{Expr, Ident, Join, JoinClause, JoinClauseKind, Leg};
use crate::diag::Diagnostic;

impl Builder<'_> {
    pub(super) fn join(&mut self, pair: Pair<'_>) -> Option<Join> {
        let span = self.span(&pair);
        let name = pair.clone().into_inner().find(|p| p.as_rule() == Rule::ident)?;
        let name = self.ident(&name);
        let clauses = self.clauses(pair.into_inner());
        Some(Join { name, clauses, span })
    }

    pub(in crate::syntax) fn clauses<'p>(&mut self, pairs: impl Iterator<Item = Pair<'p>>) -> Vec<JoinClause> {
        let mut clauses = Vec::new();
        for pair in pairs {
            let (start, mut end) = self.range(&pair);
            if let Some(semi) = pair.clone().into_inner().find(|p| p.as_rule() == Rule::semi) {
                end = self.src.trim_end(start, self.range(&semi).0);
            }
            let span = self.src.span(start, end);
            clauses.extend(self.clause(pair).map(|kind| JoinClause { kind, span }));
        }
        clauses
    }

    fn clause(&mut self, pair: Pair<'_>) -> Option<JoinClauseKind> {
        match pair.as_rule() {
            Rule::j_from => self.from(pair),
            Rule::j_total => {
                let parts = pair.into_inner().filter(|p| p.as_rule() == Rule::total_part);
                Some(JoinClauseKind::Total(parts.filter_map(|p| self.total_part(p)).collect()))
            }
            Rule::j_ids => Some(JoinClauseKind::Ids(self.exprs(pair))),
            Rule::j_blame => {
                let names = pair.into_inner().filter(|p| p.as_rule() == Rule::ident);
                Some(JoinClauseKind::Blame(names.map(|p| self.ident(&p)).collect()))
            }
            Rule::j_slowest => {
                let mut exprs = self.exprs(pair).into_iter();
                Some(JoinClauseKind::KeepSlowest { count: exprs.next()?, per: exprs.next()? })
            }
            Rule::j_keep => self.exprs(pair).pop().map(JoinClauseKind::Keep),
            Rule::j_limit => Some(JoinClauseKind::Limit(self.exprs(pair))),
            Rule::j_timeout => self.exprs(pair).pop().map(JoinClauseKind::Timeout),
            Rule::j_leg => self.leg(pair).map(JoinClauseKind::Leg),
            _ => None,
        }
    }

    fn from(&mut self, pair: Pair<'_>) -> Option<JoinClauseKind> {
        let mut var = None;
        let mut stream = None;
        for inner in pair.clone().into_inner() {
            match inner.as_rule() {
                Rule::ident => var = Some(self.ident(&inner)),
                Rule::dotted => stream = Some(self.ident(&inner)),
                _ => {}
            }
        }
        Some(JoinClauseKind::From { var: var?, stream: stream?, filters: self.record_fields(pair) })
    }

    fn total_part(&mut self, pair: Pair<'_>) -> Option<(Expr, Option<Expr>)> {
        let mut exprs = self.exprs(pair).into_iter();
        Some((exprs.next()?, exprs.next()))
    }

    fn leg(&mut self, pair: Pair<'_>) -> Option<Leg> {
        let mut names: Vec<Ident> = Vec::new();
        let mut source = None;
        let (mut by, mut since, mut side): (Vec<Ident>, Option<Expr>, Option<Ident>) = (Vec::new(), None, None);
        for inner in pair.into_inner() {
            let span = self.span(&inner);
            let twice = match inner.as_rule() {
                Rule::ident => {
                    names.push(self.ident(&inner));
                    None
                }
                Rule::dotted => {
                    source = Some(self.ident(&inner));
                    None
                }
                Rule::leg_by => {
                    let found: Vec<Ident> =
                        inner.into_inner().filter(|p| p.as_rule() == Rule::ident).map(|p| self.ident(&p)).collect();
                    (!std::mem::replace(&mut by, found).is_empty()).then_some("by")
                }
                Rule::leg_since => {
                    let value = self.next_expr(&mut inner.into_inner());
                    since.replace(value).map(|_| "since")
                }
                Rule::leg_side => {
                    let value = inner.into_inner().find(|p| p.as_rule() == Rule::ident)?;
                    side.replace(self.ident(&value)).map(|_| "side")
                }
                _ => None,
            };
            if let Some(word) = twice {
                self.diags.push(Diagnostic::error("duplicate-clause", span, format!("`{word}` is given twice")));
            }
        }
        let mut names = names.into_iter();
        Some(Leg { name: names.next()?, agg: names.next()?, source: source?, by, since, side })
    }
}

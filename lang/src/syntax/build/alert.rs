//! `alert "name" clauses;`.

use super::super::grammar::{Pair, Rule};
use super::Builder;
use crate::ast::{Alert, AlertClause, AlertClauseKind, AlertSink, AlertTell, Arg, GroupKey, Ident};

impl Builder<'_> {
    pub(super) fn alert(&mut self, pair: Pair<'_>) -> Option<Alert> {
        let span = self.span(&pair);
        let mut name = None;
        let mut clauses = Vec::new();
        for inner in pair.into_inner() {
            if inner.as_rule() == Rule::string {
                name = Some(Ident { text: self.string(&inner), span: self.span(&inner) });
                continue;
            }
            let span = self.span(&inner);
            clauses.extend(self.alert_clause(inner).map(|kind| AlertClause { kind, span }));
        }
        Some(Alert { name: name?, clauses, span })
    }

    /// A statement of a block.
    pub(super) fn alert_tell(&mut self, pair: Pair<'_>) -> Option<AlertTell> {
        let Alert { name, clauses, .. } = self.alert(pair)?;
        let mut told = AlertTell { name, group: Vec::new(), message: Vec::new() };
        for clause in clauses {
            match clause.kind {
                AlertClauseKind::Group(keys) => told.group = keys,
                AlertClauseKind::Message(list) => {
                    told.message = list.into_iter().map(|value| Arg { name: None, value }).collect();
                }
                _ => {}
            }
        }
        Some(told)
    }

    fn alert_clause(&mut self, pair: Pair<'_>) -> Option<AlertClauseKind> {
        Some(match pair.as_rule() {
            Rule::al_on => {
                let list = pair.into_inner().find(|p| p.as_rule() == Rule::attach_list)?;
                AlertClauseKind::On(self.attach_list(list))
            }
            Rule::al_when => {
                let cond = pair.into_inner().find(|p| p.as_rule() == Rule::expr)?;
                AlertClauseKind::When(self.condition(cond))
            }
            Rule::al_for => AlertClauseKind::For(self.exprs(pair).pop()?),
            Rule::al_every => AlertClauseKind::Every(self.exprs(pair).pop()?),
            Rule::al_message => AlertClauseKind::Message(self.exprs(pair)),
            Rule::al_labels => AlertClauseKind::Labels(self.record_fields(pair)),
            Rule::al_to => {
                let sinks = pair.into_inner().filter(|p| p.as_rule() == Rule::al_sink);
                AlertClauseKind::To(sinks.filter_map(|p| self.alert_sink(p)).collect())
            }
            Rule::al_group => {
                let keys = pair.into_inner().filter(|p| p.as_rule() == Rule::group_key);
                AlertClauseKind::Group(keys.map(|p| self.group_key(p)).collect())
            }
            _ => return None,
        })
    }

    fn alert_sink(&mut self, pair: Pair<'_>) -> Option<AlertSink> {
        let span = self.span(&pair);
        let (mut kind, mut args) = (None, Vec::new());
        for inner in pair.into_inner() {
            match inner.as_rule() {
                Rule::ident => kind = Some(self.ident(&inner)),
                Rule::call => args = self.args(inner),
                _ => {}
            }
        }
        Some(AlertSink { kind: kind?, args, span })
    }

    fn group_key(&mut self, pair: Pair<'_>) -> GroupKey {
        let mut inner = pair.into_inner();
        let name = inner.clone().find(|p| p.as_rule() == Rule::ident).map(|p| self.ident(&p));
        GroupKey { name, value: self.next_expr(&mut inner) }
    }
}

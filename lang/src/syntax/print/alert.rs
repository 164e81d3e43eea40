//! `alert` items: a line for each clause.

use super::Printer;
use crate::ast::{Alert, AlertClauseKind, AlertTell, GroupKey};
use crate::syntax::literal::quote;

impl Printer {
    pub(super) fn alert(&mut self, alert: &Alert) {
        self.text(&format!("alert {}", quote(&alert.name.text)));
        // An empty line is one of the text's own, between two clauses.
        self.enter(alert.name.span.end);
        self.indent += 1;
        for clause in &alert.clauses {
            self.newline();
            self.lead(clause.span);
            self.alert_clause(&clause.kind);
            self.enter(clause.span.end);
        }
        self.indent -= 1;
        self.text(";");
    }

    /// A block's statement.
    pub(super) fn alert_tell(&mut self, told: &AlertTell) {
        self.text(&format!("alert {}", quote(&told.name.text)));
        if !told.group.is_empty() {
            self.text(" group by ");
            self.list(&told.group, Self::group_key);
        }
        if !told.message.is_empty() {
            self.text(" message ");
            self.list(&told.message, |p, arg| p.expr(&arg.value, 0));
        }
    }

    fn group_key(&mut self, key: &GroupKey) {
        if let Some(name) = &key.name {
            self.text(&format!("{} = ", name.text));
        }
        self.expr(&key.value, 0);
    }

    fn alert_clause(&mut self, clause: &AlertClauseKind) {
        self.text(&format!("{} ", clause.word()));
        match clause {
            AlertClauseKind::On(points) => self.list(points, Self::attach_point),
            AlertClauseKind::When(e) | AlertClauseKind::For(e) | AlertClauseKind::Every(e) => self.expr(e, 0),
            AlertClauseKind::To(sinks) => self.list(sinks, |p, sink| {
                p.text(&sink.kind.text);
                if !sink.args.is_empty() {
                    p.args(&sink.args);
                }
            }),
            AlertClauseKind::Group(keys) => {
                self.text("by ");
                self.list(keys, Self::group_key);
            }
            AlertClauseKind::Message(list) => self.list(list, |p, e| p.expr(e, 0)),
            AlertClauseKind::Labels(list) => self.fields(list),
        }
    }
}

//! `alert` items: a line for each clause.

use super::Printer;
use crate::ast::{Alert, AlertClauseKind};
use crate::syntax::literal::quote;

impl Printer {
    pub(super) fn alert(&mut self, alert: &Alert) {
        self.text(&format!("alert {}", quote(&alert.name.text)));
        self.indent += 1;
        for clause in &alert.clauses {
            self.newline();
            self.lead(clause.span);
            self.alert_clause(&clause.kind);
        }
        self.indent -= 1;
        self.text(";");
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
                self.list(keys, |p, key| {
                    if let Some(name) = &key.name {
                        p.text(&format!("{} = ", name.text));
                    }
                    p.expr(&key.value, 0);
                });
            }
            AlertClauseKind::Message(list) => self.list(list, |p, e| p.expr(e, 0)),
            AlertClauseKind::Labels(list) => self.fields(list),
        }
    }
}

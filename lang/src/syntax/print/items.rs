//! Top-level items.

use super::Printer;
use crate::ast::{AttachPoint, Item, Join, JoinClause, JoinClauseKind, Leg, MacroParam, Probe, Segment};
use crate::syntax::literal::quote;

impl Printer {
    #[expect(clippy::too_many_lines, reason = "a table: one arm per item")]
    pub(super) fn item(&mut self, item: &Item) {
        match item {
            Item::Include(i) if i.system => self.text(&format!("#include <{}>", i.path)),
            Item::Include(i) => self.text(&format!("#include \"{}\"", i.path)),
            Item::Define(d) => {
                let params = d.params.as_ref().map_or(String::new(), |p| format!("({})", p.join(", ")));
                self.text(format!("#define {}{params} {}", d.name.text, d.value).trim_end());
            }
            Item::Typedef(t) => {
                self.text("typedef ");
                self.c_field(&t.field);
            }
            Item::CType(c) => {
                self.c_type(c);
                self.text(";");
            }
            Item::Config(c) => {
                self.text("config = ");
                self.braces(c.entries.is_empty(), |p| {
                    for (name, value) in &c.entries {
                        let text = if value.quoted { quote(&value.text) } else { value.text.clone() };
                        p.text(&format!("{} = {text};", name.text));
                        p.newline();
                    }
                });
            }
            Item::Import(i) => self.text(&format!("import {};", quote(&i.path))),
            Item::Param(param) => {
                self.text(&format!("param {} = ", param.name.text));
                self.expr(&param.default, 0);
                if let Some(help) = &param.help {
                    self.text(&format!(" {}", quote(help)));
                }
                self.text(";");
            }
            Item::MapDecl(m) => {
                self.text(&format!("let @{} = {}", m.name.text, m.kind.text));
                self.args(&m.args);
                self.text(";");
            }
            Item::Macro(m) => {
                self.text(&format!("macro {}(", m.name.text));
                self.list(&m.params, |p, param| match param {
                    MacroParam::Expr(i) => p.text(&i.text),
                    MacroParam::Var(i) => p.text(&format!("${}", i.text)),
                    MacroParam::Map(i) => p.text(&format!("@{}", i.text)),
                });
                self.text(") ");
                self.block(&m.body, true);
            }
            Item::Fn(f) => {
                self.text(&format!("fn {}(", f.name.text));
                self.list(&f.params, |p, (name, ty)| {
                    p.text(&format!("${}: ", name.text));
                    p.ty(ty);
                });
                self.text("): ");
                self.ty(&f.ret);
                self.text(" ");
                self.block(&f.body, false);
            }
            Item::Probe(probe) => self.probe(probe),
            Item::Join(join) => self.join(join),
            Item::Alert(alert) => self.alert(alert),
        }
    }

    fn probe(&mut self, probe: &Probe) {
        for (n, point) in probe.points.iter().enumerate() {
            if n > 0 {
                self.text(",");
                self.newline();
            }
            self.attach_point(point);
        }
        if let Some(predicate) = &probe.predicate {
            self.text(" /");
            self.expr(predicate, 0);
            self.text("/");
        }
        self.text(" ");
        self.block(&probe.body, false);
        if let Some(otherwise) = &probe.otherwise {
            self.text(" else ");
            self.probe(otherwise);
        }
    }

    pub(super) fn attach_point(&mut self, point: &AttachPoint) {
        if let Some(label) = &point.label {
            self.text(&format!("{}=", label.text));
        }
        // A provider is a plain word or a pattern; quotes keep any other text in one piece.
        let odd = point.label.is_none() && point.provider.text.contains('=');
        let quoted = odd || point.provider.text.is_empty() || !plain(&point.provider.text, "/:");
        self.segment(&Segment { text: point.provider.text.clone(), quoted, span: point.provider.span });
        for segment in &point.segments {
            self.text(":");
            self.segment(segment);
        }
    }

    fn segment(&mut self, segment: &Segment) {
        if segment.quoted {
            return self.text(&in_quotes(&segment.text));
        }
        if plain(&segment.text, ":") {
            return self.text(&segment.text);
        }
        // `$1` beside quoted pieces.
        let mut rest = segment.text.as_str();
        while !rest.is_empty() {
            let dollar = rest
                .match_indices('$')
                .map(|(at, _)| at)
                .find(|at| rest.as_bytes().get(at + 1).is_some_and(u8::is_ascii_digit));
            let (before, after) = rest.split_at(dollar.unwrap_or(rest.len()));
            if !before.is_empty() {
                self.text(&in_quotes(before));
            }
            let digits = after.bytes().skip(1).take_while(u8::is_ascii_digit).count();
            let end = if after.is_empty() { 0 } else { digits + 1 };
            self.text(&after[..end]);
            rest = &after[end..];
        }
    }

    fn join(&mut self, join: &Join) {
        self.text(&format!("join {} ", join.name.text));
        self.braces(join.clauses.is_empty(), |p| {
            for clause in &join.clauses {
                p.clause(clause);
                p.text(";");
                p.newline();
            }
        });
    }

    fn clause(&mut self, clause: &JoinClause) {
        match &clause.kind {
            JoinClauseKind::From { var, stream, filters } => {
                self.text(&format!("from {} = {}", var.text, stream.text));
                if !filters.is_empty() {
                    self.text("(");
                    self.fields(filters);
                    self.text(")");
                }
            }
            JoinClauseKind::Total(parts) => {
                self.text("total ");
                self.list(parts, |p, (e, cond)| {
                    p.expr(e, 0);
                    if let Some(cond) = cond {
                        p.text(" if ");
                        p.expr(cond, 0);
                    }
                });
            }
            JoinClauseKind::Ids(list) => {
                self.text("ids ");
                self.list(list, |p, e| p.expr(e, 0));
            }
            JoinClauseKind::Leg(leg) => self.leg(leg),
            JoinClauseKind::Blame(names) => {
                self.text("blame ");
                self.list(names, |p, name| p.text(&name.text));
            }
            JoinClauseKind::Keep(e) => {
                self.text("keep ");
                self.expr(e, 0);
            }
            JoinClauseKind::KeepSlowest { count, per } => {
                self.text("keep slowest ");
                self.expr(count, 0);
                self.text(" per ");
                self.expr(per, 0);
            }
            JoinClauseKind::Limit(list) => {
                self.text("limit ");
                self.list(list, |p, e| p.expr(e, 0));
            }
            JoinClauseKind::Timeout(e) => {
                self.text("timeout ");
                self.expr(e, 0);
            }
        }
    }

    fn leg(&mut self, leg: &Leg) {
        self.text(&format!("{} = {}({})", leg.name.text, leg.agg.text, leg.source.text));
        if !leg.by.is_empty() {
            let by: Vec<&str> = leg.by.iter().map(|b| b.text.as_str()).collect();
            self.text(&format!(" by {}", by.join(" else ")));
        }
        if let Some(since) = &leg.since {
            self.text(" since ");
            self.expr(since, 0);
        }
        if let Some(side) = &leg.side {
            self.text(&format!(" side={}", side.text));
        }
    }
}

/// No white space nor anything that ends an attach point's part.
fn plain(text: &str, besides: &str) -> bool {
    !text.chars().any(|c| matches!(c, ' ' | '\t' | '\r' | '\n') || "{},;\"".contains(c) || besides.contains(c))
}

fn in_quotes(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

//! What an alert's clauses say, and what is wrong with them.

use super::alerts::{Clauses, key_name};
use super::cx::Checker;
use crate::ast::{self, Alert, AlertClauseKind, AlertStmt, AlertTell, Expr, ExprKind, GroupKey, Ident};
use crate::builtins;
use crate::diag::Diagnostic;
use crate::hir::{self, Action, AlertDef, SinkDef, StmtKind, Ty};
use crate::span::Span;

/// `every` is no shorter, since somebody reads it.
const SHORTEST_EVERY: i128 = 1_000_000_000;
/// The label that every sink has the alert's name in.
const ALERTNAME: &str = "alertname";
/// Longest name of an alert, and label's text.
const LONGEST: usize = 200;

impl<'a> Checker<'a> {
    /// A statement that was made of an alert.
    pub(crate) fn alert_stmt(&mut self, s: &'a AlertStmt, span: Span) -> Option<StmtKind> {
        let Some(told) = &s.told else {
            return Some(StmtKind::Action { action: Action::AlertLooked { alert: s.alert }, args: Vec::new() });
        };
        let when = told.when.as_ref().map(|e| self.condition(e));
        self.alert_action(s.alert, when, (&mut told.keys.iter(), &told.message), span)
    }

    /// A block tells a group of an alert that is declared by its name.
    pub(crate) fn tell_stmt(&mut self, told: &'a AlertTell, span: Span) -> Option<StmtKind> {
        let items = self.items;
        let Some(at) = items.alerts.iter().position(|a| a.name.text == told.name.text) else {
            let text = format!("no alert \"{}\" is declared", told.name.text);
            let mut d = Diagnostic::error("unknown-alert", told.name.span, text);
            let known = items.alerts.iter().map(|a| a.name.text.as_str());
            d = match crate::suggest::nearest(&told.name.text, known, 2) {
                near if near.is_empty() => {
                    d.write(format!("alert \"{}\" every 5m; (outside of all blocks)", told.name.text))
                }
                near => d.near(near.join(", ")),
            };
            self.report(d);
            return None;
        };
        let clauses = Clauses::of(items.alerts[at]);
        let alert = items.alerts[at];
        if !clauses.is_told() {
            let word = if clauses.when.is_some() { "when" } else { "on" };
            let d = Diagnostic::error("alert-asks", told.name.span, "this alert fires by itself: no block tells it")
                .other(alert.name.span, format!("it has a `{word}`"));
            self.report(d);
            return None;
        }
        // What is wrong with the names there is told there.
        let declared: Vec<&str> = clauses.group.iter().filter_map(key_name).collect();
        let names = self.group_names(&told.group);
        if names != declared {
            let list = |names: &[&str]| if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
            let given = list(&names.iter().map(String::as_str).collect::<Vec<_>>());
            let text = format!("this alert is grouped by {}, and here by {given}", list(&declared));
            let mut d = Diagnostic::error("group-form", told.name.span, text).other(alert.name.span, "declared here");
            if !declared.is_empty() {
                let keys: Vec<String> = declared.iter().map(|name| format!("{name} = …")).collect();
                d = d.write(format!("group by {}", keys.join(", ")));
            }
            self.report(d);
            return None;
        }
        let keys = &mut told.group.iter().map(|key| &key.value);
        self.alert_action(at as u32, None, (keys, &told.message), span)
    }

    fn alert_action(
        &mut self,
        alert: u32,
        when: Option<hir::Expr>,
        (keys, message): (&mut dyn Iterator<Item = &'a Expr>, &'a [ast::Arg]),
        span: Span,
    ) -> Option<StmtKind> {
        let holds = hir::Expr { kind: hir::ExprKind::Int(1), ty: Ty::Bool, span };
        let mut args = vec![when.unwrap_or(holds)];
        for key in keys {
            let v = self.assignable(key);
            if v.is_error() {
                return None;
            }
            args.push(v.e);
        }
        let keys = args.len() as u32 - 1;
        let message = if message.is_empty() {
            None
        } else {
            let row = builtins::find("printf")?;
            let call = super::call::Call { row, name: "message", args: message, span, dropped: true };
            let (format, values) = self.format(&call)?;
            args.extend(values);
            Some(format)
        };
        Some(StmtKind::Action { action: Action::Alert { alert, keys, message }, args })
    }

    /// The definitions of all alerts.
    pub(crate) fn check_alerts(&mut self) -> Vec<AlertDef> {
        let items = self.items;
        let mut seen: Vec<&Ident> = Vec::new();
        for alert in &items.alerts {
            if let Some(first) = seen.iter().find(|name| name.text == alert.name.text) {
                let mut d = Diagnostic::error("duplicate-alert", alert.name.span, "two alerts have this name")
                    .other(first.span, "the first");
                if first.span.file != alert.name.span.file {
                    d = d.note("a module's alerts come with it: a script and its modules have names of their own");
                }
                self.report(d);
            }
            seen.push(&alert.name);
        }
        items.alerts.iter().map(|alert| self.check_alert(alert)).collect()
    }

    fn check_alert(&mut self, alert: &'a Alert) -> AlertDef {
        self.clauses_once(alert);
        self.alert_name(&alert.name);
        let clauses = Clauses::of(alert);
        let told = clauses.is_told();
        if clauses.when.is_none() && !(told && self.items.told.contains(alert.name.text.as_str())) {
            let mut d = Diagnostic::error("alert-without-when", alert.name.span, "nothing says when this alert fires")
                .write(format!("alert \"{}\" when rate(@n[$peer], 10s) > 5 group by $peer …;", alert.name.text));
            if told {
                d = d.note(format!("or a block tells it: if (…) {{ alert \"{}\" message \"…\"; }}", alert.name.text));
            }
            self.report(d);
        }
        if told && let [first, ..] = clauses.message {
            let d = Diagnostic::error("bad-alert", first.span, "what this alert says stands where a block tells it")
                .write(format!("{{ alert \"{}\" … message \"…\"; }}", alert.name.text));
            self.report(d);
        }
        let for_ns = clauses.hold.and_then(|e| self.alert_time(e, "for", 0)).unwrap_or(0);
        let every_ns = clauses.every.and_then(|e| self.alert_time(e, "every", SHORTEST_EVERY));
        if clauses.on.is_none() && !told {
            self.groups_by_time(&clauses);
        }
        let group = self.group_names(clauses.group);
        let mut def = AlertDef {
            name: alert.name.text.clone(),
            condition: clauses.when.map_or(String::new(), |e| one_line(self.sources.snippet(e.span))),
            group,
            labels: Vec::new(),
            for_ns,
            every_ns,
            on_events: clauses.on.is_some() || told,
            sinks: Vec::new(),
            span: alert.span,
        };
        for clause in &alert.clauses {
            match &clause.kind {
                AlertClauseKind::To(sinks) => {
                    for sink in sinks {
                        def.sinks.extend(self.alert_sink(sink));
                    }
                }
                AlertClauseKind::Labels(labels) => self.alert_labels(labels, &mut def),
                _ => {}
            }
        }
        if def.sinks.is_empty() {
            def.sinks.push(SinkDef { kind: "stderr", at: None, secret: None, span: alert.name.span });
        }
        def
    }

    fn clauses_once(&mut self, alert: &Alert) {
        for (at, clause) in alert.clauses.iter().enumerate() {
            let word = clause.kind.word();
            if let Some(first) = alert.clauses[..at].iter().find(|c| c.kind.word() == word) {
                let mut d = Diagnostic::error("duplicate-clause", clause.span, format!("an alert has one `{word}`"))
                    .other(first.span, "the first");
                if word == "to" {
                    d = d.write("to A, B");
                }
                self.report(d);
            }
        }
    }

    fn alert_name(&mut self, name: &Ident) {
        if name.text.trim().is_empty() {
            self.error("bad-alert", name.span, "an alert has a name: it stands in every message");
        } else if name.text.len() > LONGEST || name.text.chars().any(char::is_control) {
            let text = format!("an alert's name is one line of at most {LONGEST} bytes");
            self.error("bad-alert", name.span, text);
        }
    }

    /// A clause's time in ns.
    fn alert_time(&mut self, e: &'a Expr, word: &str, least: i128) -> Option<u64> {
        let n = self.const_int(e)?;
        if (least..=i128::from(i64::MAX)).contains(&n) {
            return u64::try_from(n).ok();
        }
        let text = match n {
            ..0 => format!("`{word}` is a time: it isn't negative"),
            _ if n < least => format!("`{word}` is at least 1s, this is {n} ns"),
            _ => format!("`{word}` is too long"),
        };
        self.report(Diagnostic::error("bad-limit", e.span, text).write(format!("{word} 30s")));
        None
    }

    /// Groups that are found in maps: by variables, which stand for the maps' keys.
    fn groups_by_time(&mut self, clauses: &Clauses<'a>) {
        let Some(variables) = clauses.variables() else {
            let Some(odd) = clauses.group.iter().find(|k| !matches!(k.value.kind, ExprKind::Var(_))) else { return };
            let d = Diagnostic::error(
                "group-form",
                odd.value.span,
                "an alert that looks at maps is grouped by variables, which stand for the maps' keys",
            )
            .write("when @n[$peer] > 5 group by $peer")
            .note("`on join:NAME` (or another probe) asks at each event, by any value of it");
            self.report(d);
            return;
        };
        if let Some(e) = clauses.loose(&variables)
            && let ExprKind::Var(name) = &e.kind
        {
            let mut all = variables.clone();
            all.push(name);
            let d = Diagnostic::error("unknown-variable", e.span, format!("nothing says what ${name} is"))
                .write(format!("group by ${}", all.join(", $")));
            return self.report(d);
        }
        if (1..variables.len()).any(|at| variables[..at].contains(&variables[at])) {
            // Their names are told to be equal.
            return;
        }
        if !variables.is_empty() && clauses.when.is_some() && clauses.maps(&variables).is_empty() {
            let span = clauses.group[0].value.span;
            let keys = format!("[${}]", variables.join(", $"));
            let d = Diagnostic::error(
                "group-form",
                span,
                format!("no map is asked by {keys}: nothing says which there are"),
            )
            .write(format!("when @n{keys} > 5 group by ${}", variables.join(", $")));
            self.report(d);
        }
    }

    /// The names that the groups' values go by.
    fn group_names(&mut self, keys: &'a [GroupKey]) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for key in keys {
            let name = key_name(key).map(str::to_owned);
            let span = key.name.as_ref().map_or(key.value.span, |n| n.span);
            match name {
                None => {
                    let d = Diagnostic::error("group-form", key.value.span, "this key has no name")
                        .write(format!("group by kind = {}", one_line(self.sources.snippet(key.value.span))));
                    self.report(d);
                }
                Some(name) if name == ALERTNAME => {
                    let text = format!("{ALERTNAME} is the label that has the alert's own name");
                    let d =
                        Diagnostic::error("group-form", span, text).write(format!("group by other_{ALERTNAME} = …"));
                    self.report(d);
                }
                Some(name) if names.contains(&name) => {
                    let d = Diagnostic::error("group-form", span, format!("two keys have the name {name}"))
                        .write(format!("group by {name}, other_{name} = …"));
                    self.report(d);
                }
                Some(name) => names.push(name),
            }
        }
        names
    }

    fn alert_labels(&mut self, labels: &'a [(Ident, Expr)], def: &mut AlertDef) {
        for (name, value) in labels {
            if name.text == ALERTNAME || def.group.contains(&name.text) {
                let text = format!("the label {} is there already", name.text);
                self.error("bad-label", name.span, text);
                continue;
            }
            let ExprKind::Str(text) = &value.kind else {
                let d = Diagnostic::error("bad-label", value.span, "a label's value is a text in quotes")
                    .note("what differs by event is a key: group by NAME = VALUE");
                self.report(d);
                continue;
            };
            if text.len() > LONGEST || text.chars().any(char::is_control) {
                let text = format!("a label's value is one line of at most {LONGEST} bytes");
                self.error("bad-label", value.span, text);
                continue;
            }
            def.labels.push((name.text.clone(), text.clone()));
        }
    }
}

/// A piece of the script as one line.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

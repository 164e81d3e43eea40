//! What an alert's clauses say, and what is wrong with them.

use super::alerts::Clauses;
use super::cx::Checker;
use crate::ast::{self, Alert, AlertClauseKind, AlertSink, AlertStmt, Expr, ExprKind, GroupKey, Ident};
use crate::builtins::{
    self,
    sinks::{self, At},
};
use crate::diag::Diagnostic;
use crate::hir::{self, Action, AlertDef, SinkDef, StmtKind, Ty, ValueFrom};
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
        let when = match &told.when {
            Some(e) => self.condition(e),
            None => hir::Expr { kind: hir::ExprKind::Int(1), ty: Ty::Bool, span },
        };
        let mut args = vec![when];
        for key in &told.keys {
            let v = self.assignable(key);
            if v.is_error() {
                return None;
            }
            args.push(v.e);
        }
        let message = if told.message.is_empty() {
            None
        } else {
            let row = builtins::find("printf")?;
            let call = super::call::Call { row, name: "message", args: &told.message, span, dropped: true };
            let (format, values) = self.format(&call)?;
            args.extend(values);
            Some(format)
        };
        let action = Action::Alert { alert: s.alert, keys: told.keys.len() as u32, message };
        Some(StmtKind::Action { action, args })
    }

    /// The definitions of all alerts.
    pub(crate) fn check_alerts(&mut self) -> Vec<AlertDef> {
        let items = self.items;
        let mut seen: Vec<&Ident> = Vec::new();
        for alert in &items.alerts {
            if let Some(first) = seen.iter().find(|name| name.text == alert.name.text) {
                let d = Diagnostic::error("duplicate-alert", alert.name.span, "two alerts have this name")
                    .other(first.span, "the first");
                self.report(d);
            }
            seen.push(&alert.name);
        }
        let (own, others): (Vec<&Alert>, Vec<&Alert>) =
            items.alerts.iter().copied().partition(|a| a.span.file == super::modules::MAIN);
        for alert in others {
            let text = "an alert stands in the script itself: a module would send for everyone who imports it";
            self.error("alert-in-module", alert.name.span, text);
        }
        own.into_iter().map(|alert| self.check_alert(alert)).collect()
    }

    fn check_alert(&mut self, alert: &'a Alert) -> AlertDef {
        self.clauses_once(alert);
        self.alert_name(&alert.name);
        let clauses = Clauses::of(alert);
        if clauses.when.is_none() {
            let d = Diagnostic::error("alert-without-when", alert.name.span, "nothing says when this alert fires")
                .write(format!("alert \"{}\" when rate(@n[$peer], 10s) > 5 group by $peer …;", alert.name.text));
            self.report(d);
        }
        let for_ns = clauses.hold.and_then(|e| self.alert_time(e, "for", 0)).unwrap_or(0);
        let every_ns = clauses.every.and_then(|e| self.alert_time(e, "every", SHORTEST_EVERY));
        if clauses.on.is_none() {
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
            on_events: clauses.on.is_some(),
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
            let name = match (&key.name, &key.value.kind) {
                (Some(name), _) => Some(name.text.clone()),
                (None, ExprKind::Var(name) | ExprKind::Ident(name)) => Some(name.clone()),
                (None, ExprKind::Field { name, .. }) => Some(name.text.clone()),
                _ => None,
            };
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

    fn alert_sink(&mut self, sink: &'a AlertSink) -> Option<SinkDef> {
        let name = &sink.kind;
        let Some(row) = sinks::find(&name.text) else {
            let known = sinks::SINKS.iter().map(|r| r.name);
            let mut d = Diagnostic::error("unknown-sink", name.span, format!("alerts can't be sent to {}", name.text));
            d = match crate::suggest::nearest(&name.text, known.clone(), 2) {
                near if near.is_empty() => d.note(format!("sinks: {}", known.collect::<Vec<_>>().join(", "))),
                near => d.near(near.join(", ")),
            };
            self.report(d);
            return None;
        };
        let mut made = SinkDef { kind: row.name, at: None, secret: None, span: sink.span };
        for arg in &sink.args {
            self.sink_argument(row, arg, &mut made)?;
        }
        match (row.at, &made.at) {
            (At::SecretUrl(variable), None) => made.at = Some(ValueFrom::Env(variable.into())),
            (At::Path | At::Url, None) => {
                let what = if row.at == At::Path { "which file" } else { "its address" };
                let d = Diagnostic::error("sink-form", sink.span, format!("{} doesn't say {what}", row.name))
                    .write(row.signature);
                self.report(d);
                return None;
            }
            _ => {}
        }
        Some(made)
    }

    fn sink_argument(&mut self, row: &sinks::Row, arg: &'a ast::Arg, made: &mut SinkDef) -> Option<()> {
        let ExprKind::Str(text) = &arg.value.kind else {
            let d = Diagnostic::error("sink-form", arg.value.span, "this is a text in quotes").write(row.signature);
            self.report(d);
            return None;
        };
        let secret = row.secret.options();
        let name = arg.name.as_ref().map(|n| n.text.as_str());
        let remote = matches!(row.at, At::Url | At::SecretUrl(_));
        let (place, value) = match name {
            None if row.at == At::Nothing => {
                self.error("sink-form", arg.value.span, format!("{} takes nothing", row.name));
                return None;
            }
            None => {
                self.literal_address(row, text, arg.value.span)?;
                (&mut made.at, ValueFrom::Script(text.clone()))
            }
            Some("env") if remote => (&mut made.at, ValueFrom::Env(text.clone())),
            Some("file") if remote => (&mut made.at, ValueFrom::File(text.clone())),
            Some(n) if secret.is_some_and(|(env, _)| n == env) => (&mut made.secret, ValueFrom::Env(text.clone())),
            Some(n) if secret.is_some_and(|(_, file)| n == file) => (&mut made.secret, ValueFrom::File(text.clone())),
            Some(other) => {
                let span = arg.name.as_ref().map_or(arg.value.span, |n| n.span);
                let mut d = Diagnostic::error("sink-form", span, format!("{} has no option {other}", row.name));
                d = match (other, secret) {
                    ("token" | "secret" | "key" | "password", Some((env, file))) => {
                        d.note("a secret doesn't stand in a script").write(format!("{env}=\"NAME\", {file}=\"PATH\""))
                    }
                    _ => d.write(row.signature),
                };
                self.report(d);
                return None;
            }
        };
        if place.replace(value).is_some() {
            self.error("sink-form", arg.value.span, format!("{} is told this twice", row.name));
            return None;
        }
        Some(())
    }

    /// A path or address that stands in the script.
    fn literal_address(&mut self, row: &sinks::Row, text: &str, span: Span) -> Option<()> {
        let d = match row.at {
            At::SecretUrl(variable) => Diagnostic::error(
                "secret-in-script",
                span,
                "whoever reads this address can write there: it is a secret",
            )
            .write(format!("{}(env=\"NAME\"), {0}(file=\"PATH\"), or {0} alone: {variable}", row.name)),
            At::Path if text.is_empty() => {
                Diagnostic::error("sink-form", span, "this names no file").write(row.signature)
            }
            At::Url if !(text.starts_with("http://") || text.starts_with("https://")) => {
                Diagnostic::error("sink-form", span, format!("`{text}` is no address")).write(row.signature)
            }
            At::Url
                if text
                    .split_once("://")
                    .is_some_and(|(_, rest)| rest.split('/').next().unwrap_or("").contains('@')) =>
            {
                Diagnostic::error("secret-in-script", span, "a password doesn't stand in a script")
                    .write(format!("{}(env=\"NAME\")", row.name))
            }
            _ => return Some(()),
        };
        self.report(d);
        None
    }
}

/// A piece of the script as one line.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

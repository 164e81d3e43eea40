//! Where an alert goes: `to` and what stands behind it.

use super::cx::Checker;
use crate::ast::{self, AlertSink, ExprKind};
use crate::builtins::sinks::{self, At};
use crate::diag::Diagnostic;
use crate::hir::{SinkDef, ValueFrom};
use crate::span::Span;

impl<'a> Checker<'a> {
    pub(super) fn alert_sink(&mut self, sink: &'a AlertSink) -> Option<SinkDef> {
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

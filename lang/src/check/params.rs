//! The script's flags: `param` items and getopt() are one table, set from the command line.

use super::cx::Checker;
use super::value::Val;
use crate::ast;
use crate::diag::Diagnostic;
use crate::hir::{ParamDef, Ty};
use crate::span::Span;
use crate::syntax::{DURATIONS, SIZES};
use std::borrow::Cow;

/// A number as scripts write it: `-5`, `0x1f`, `500ms`, `64MiB`, `1e6`. None: not a number.
pub(crate) fn parse_number(text: &str) -> Option<i128> {
    if let Some(rest) = text.strip_prefix('-') {
        return parse_number(rest).map(|n| -n);
    }
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return u64::from_str_radix(hex, 16).ok().map(i128::from);
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let n: u64 = number.parse().ok()?;
    if unit.is_empty() {
        let octal = number.len() > 1 && number.starts_with('0');
        return if octal { u64::from_str_radix(number, 8).ok().map(i128::from) } else { Some(i128::from(n)) };
    }
    if let Some(exponent) = unit.strip_prefix(['e', 'E']).and_then(|e| e.parse::<u32>().ok()) {
        return 10i128.checked_pow(exponent)?.checked_mul(i128::from(n)).filter(|v| u64::try_from(*v).is_ok());
    }
    let (_, factor) = DURATIONS.iter().chain(SIZES).find(|(u, _)| *u == unit)?;
    i128::from(n).checked_mul(i128::from(*factor)).filter(|v| u64::try_from(*v).is_ok())
}

/// Of a text that [`parse_number`] doesn't take: it is written as a number is, beyond 64 bits.
fn is_too_large(text: &str) -> bool {
    let text = text.trim_start_matches('-');
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let unit = &text[digits..];
    let is_exponent = unit.strip_prefix(['e', 'E']).is_some_and(|e| e.parse::<u32>().is_ok());
    digits > 0 && (unit.is_empty() || is_exponent || DURATIONS.iter().chain(SIZES).any(|(u, _)| *u == unit))
}

pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "" | "1" | "true" | "yes" => Some(true),
        "0" | "false" | "no" => Some(false),
        _ => None,
    }
}

impl<'a> Checker<'a> {
    /// A `param` used by its name.
    pub(crate) fn param_value(&mut self, name: &str, span: Span) -> Option<Val> {
        let items = self.items;
        let param = items.params.iter().find(|p| p.name.text == name)?;
        let default = self.expr(&param.default);
        if !default.lit {
            if !default.is_error() {
                self.error("not-constant", param.default.span, "a parameter's default is a literal");
            }
            return Some(Val::error(span));
        }
        let v = self.flag(name, default, param.help.as_deref().unwrap_or(""), param.span);
        self.has_unit(param);
        Some(Val { e: crate::hir::Expr { span, ..v.e }, ..v })
    }

    /// What a `param` stands for in an attach point: its text, a number in digits (a time in ns); of the command line, else the default.
    pub(super) fn param_text(&self, name: &str) -> Option<Cow<'a, str>> {
        let param = self.items.params.iter().find(|p| p.name.text == name)?;
        let given = self.opts.named.iter().rev().find(|(n, _)| n == name).and_then(|(_, text)| text.as_deref());
        let default = match &param.default.kind {
            ast::ExprKind::Str(default) => return Some(Cow::Borrowed(given.unwrap_or(default))),
            ast::ExprKind::Int { value, .. } => *value,
            ast::ExprKind::Duration(n) | ast::ExprKind::Size(n) => *n,
            _ => return None,
        };
        // What is given and is no number is told where the flag is read.
        Some(given.and_then(parse_number).unwrap_or_else(|| i128::from(default)).to_string().into())
    }

    /// A flag's value: from the command line, else the default. Remembers the flag.
    pub(crate) fn flag(&mut self, name: &str, default: Val, help: &str, span: Span) -> Val {
        let text = match (&default.e.ty, default.text(), default.int()) {
            (Ty::Bool, _, _) if matches!(default.e.kind, crate::hir::ExprKind::Int(n) if n != 0) => "true".to_owned(),
            (Ty::Bool, ..) => "false".to_owned(),
            (_, Some(t), _) => t.to_owned(),
            (_, _, Some(n)) => n.to_string(),
            _ => String::new(),
        };
        if let Some(known) = self.params.iter_mut().find(|p| p.name == name) {
            let same_kind = (known.ty == Ty::Bool) == (default.e.ty == Ty::Bool)
                && matches!(known.ty, Ty::Str { .. }) == matches!(default.e.ty, Ty::Str { .. });
            let (before, first) = (known.default.clone(), known.span);
            let other_help = !help.is_empty() && !known.help.is_empty() && known.help != help;
            if known.help.is_empty() {
                help.clone_into(&mut known.help);
            }
            if !same_kind || before != text {
                return self.two_defaults(name, &before, first, span);
            }
            if other_help {
                let d = Diagnostic::error(
                    "two-descriptions",
                    span,
                    format!("the flag --{name} has another description elsewhere"),
                )
                .other(first, "here")
                .note("a macro gives it one place: macro NAME() { getopt(…) }")
                .bpftrace(format!(
                    "Command line option '{name}' must have the same description in all places it's used."
                ));
                self.report(d);
            }
        } else {
            let ty = default.e.ty.clone();
            self.params.push(ParamDef { name: name.to_owned(), ty, default: text, help: help.to_owned(), span });
        }
        let opts = self.opts;
        match opts.named.iter().rev().find(|(n, _)| n == name) {
            Some((_, given)) => self.given(name, given.as_deref(), default, span),
            None => default,
        }
    }

    fn two_defaults(&mut self, name: &str, before: &str, first: Span, span: Span) -> Val {
        let d = Diagnostic::error("two-defaults", span, format!("the flag --{name} has another default elsewhere"))
            .other(first, format!("here it is {before}"))
            .note("a macro gives it one place: macro NAME() { getopt(…) }")
            .bpftrace(format!(
                "Command line option '{name}' needs to have the same default value in all places it is used. Previous default value: {before}"
            ));
        self.report(d);
        Val::error(span)
    }

    /// What the command line says; without a value, a flag is `true`.
    fn given(&mut self, name: &str, given: Option<&str>, default: Val, span: Span) -> Val {
        let text = given.unwrap_or("true");
        let (value, wants, words) = match &default.e.ty {
            Ty::Bool => (
                parse_bool(text).map(|b| Val::boolean(b, span)),
                "true or false",
                format!("expects a boolean (e.g. 'true') (value: {text})"),
            ),
            Ty::Str { .. } => {
                (given.map(|t| Val::string(t, span)), "a text", format!("expects a string (value: {text})"))
            }
            _ => {
                let number = parse_number(text);
                let fitting = number.filter(|n| i64::try_from(*n).is_ok() || u64::try_from(*n).is_ok());
                let words = match (given, text.bytes().all(|b| b.is_ascii_digit() || b == b'-')) {
                    (None, _) => format!("expects an integer (value: {text})"),
                    (_, true) => format!("value is out of range (value: {text})"),
                    (_, false) => format!("invalid integer (value: {text})"),
                };
                let wants = if self.is_time(name) { "a time, as 500ms or 5s" } else { "a number" };
                (fitting.map(|n| Val::literal(n, span)), wants, words)
            }
        };
        value.unwrap_or_else(|| {
            let message = match given {
                Some(text) if wants != "a text" && is_too_large(text) => {
                    format!(
                        "--{name} takes {wants}, and {text} is too large: it has 64 bits{}",
                        if self.is_time(name) { " of ns" } else { "" }
                    )
                }
                Some(text) => format!("--{name} takes {wants}, not \"{text}\""),
                None => format!("--{name} takes {wants}: --{name}=VALUE"),
            };
            let d = Diagnostic::error("bad-parameter", span, message);
            self.report(d.bpftrace(format!("program command line option --{name} {words}")));
            default
        })
    }

    /// Whether a flag's default is written as a time.
    fn is_time(&self, name: &str) -> bool {
        let params = &self.items.params;
        params.iter().any(|p| p.name.text == name && matches!(p.default.kind, ast::ExprKind::Duration(_)))
    }

    /// Flags given on the command line that the script doesn't have. `--help` asks for those that it has.
    pub(crate) fn unknown_flags(&mut self) {
        let opts = self.opts;
        let known: Vec<String> = self.params.iter().map(|p| p.name.clone()).collect();
        let mut unknown: Vec<&str> = opts.named.iter().map(|(n, _)| n.as_str()).collect();
        unknown.retain(|n| *n != "help" && !known.iter().any(|k| k == n));
        unknown.dedup();
        let Some(first) = unknown.first() else { return };
        let flags = |names: &[&str]| names.iter().map(|n| format!("--{n}")).collect::<Vec<_>>().join(", ");
        let s = if unknown.len() == 1 { "" } else { "s" };
        let mut d = Diagnostic::error(
            "unknown-parameter",
            Span::default(),
            format!("the script has no flag{s} {}", flags(&unknown)),
        )
        .bpftrace(format!("unexpected program command line options: {}", flags(&unknown)));
        let near = crate::suggest::nearest(first, known.iter().map(String::as_str), 3);
        if !near.is_empty() {
            d = d.near(near.iter().map(|n| format!("--{n}")).collect::<Vec<_>>().join(", "));
        }
        let all: Vec<&str> = known.iter().map(String::as_str).collect();
        d = if all.is_empty() {
            d.note("no custom program options defined.")
        } else {
            d.note(format!("expected program options: {}", flags(&all)))
        };
        self.report(d);
    }

    /// A bare number where the default is a time would be nanoseconds, which nobody means.
    fn has_unit(&mut self, param: &ast::Param) {
        if !matches!(param.default.kind, ast::ExprKind::Duration(_)) {
            return;
        }
        let name = &param.name.text;
        let given = self.opts.named.iter().rev().find(|(n, _)| n == name).and_then(|(_, text)| text.as_deref());
        let bare = |text: &&str| text.bytes().all(|b| b.is_ascii_digit()) && text.bytes().any(|b| b != b'0');
        if let Some(text) = given.filter(bare) {
            let message = format!("--{name} takes a time, and {text} has no unit");
            self.report(Diagnostic::error("bad-parameter", param.span, message).write(format!("--{name} {text}ms")));
        }
    }

    /// Flags that no checked code uses are still flags; and no two mean the same.
    pub(crate) fn note_params(&mut self) {
        let items = self.items;
        for (index, p) in items.params.iter().enumerate() {
            self.param_value(&p.name.text, p.span);
            self.collides(p, items.params[..index].iter().find(|before| before.name.text == p.name.text).copied());
        }
    }

    /// A name that means something else already: its value would be read nowhere, or a flag would have two.
    fn collides(&mut self, param: &ast::Param, before: Option<&ast::Param>) {
        let (name, span) = (&param.name.text, param.name.span);
        let d = |what: String| Diagnostic::error("param-collides", span, what);
        if name == "help" {
            self.report(d("--help is every script's".into()).note("it tells the script's flags"));
        } else if crate::builtins::find(name).is_some_and(|row| row.bare) {
            let found = d(format!("{name} is a builtin: the parameter would be read nowhere"));
            self.report(found.write(format!("param only_{name} = …")));
        } else if let Some(m) = self.find_macro(name, &[]) {
            self.report(
                d(format!("{name} is a macro: the parameter would be read nowhere")).other(m.name.span, "here"),
            );
        }
        let Some(before) = before else { return };
        if before.span.file == span.file {
            self.report(d(format!("the flag --{name} is declared twice")).other(before.name.span, "here too"));
        } else if before.default.without_spans() != param.default.without_spans() {
            let found = d(format!("a module has a flag --{name} with another default"))
                .other(before.name.span, "here")
                .note("flags of a script and of its modules are one table: give one of them another name, or both one default");
            self.report(found);
        }
    }
}

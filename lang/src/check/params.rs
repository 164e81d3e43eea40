//! The script's flags: `param` items and getopt() are one table, set from the command line.

use super::cx::Checker;
use super::value::Val;
use crate::diag::Diagnostic;
use crate::hir::{ParamDef, Ty};
use crate::span::Span;

/// Units of numbers on the command line: the same as in scripts.
static UNITS: &[(&str, i128)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("B", 1),
];

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
    let (_, factor) = UNITS.iter().find(|(u, _)| *u == unit)?;
    i128::from(n).checked_mul(*factor).filter(|v| u64::try_from(*v).is_ok())
}

fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "" | "1" | "true" | "yes" => Some(true),
        "0" | "false" | "no" => Some(false),
        _ => None,
    }
}

/// A default as it would be given on the command line.
fn default_text(default: &Val) -> String {
    match (&default.e.ty, default.text(), default.int()) {
        (Ty::Bool, _, Some(n)) => if n == 0 { "false" } else { "true" }.to_owned(),
        (_, Some(t), _) => t.to_owned(),
        (_, _, Some(n)) => n.to_string(),
        _ => String::new(),
    }
}

impl Checker<'_> {
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
        Some(Val { e: crate::hir::Expr { span, ..v.e }, ..v })
    }

    /// A flag's value: from the command line, else the default. Remembers the flag.
    pub(crate) fn flag(&mut self, name: &str, default: Val, help: &str, span: Span) -> Val {
        let text = default_text(&default);
        if let Some(first) = self.params.iter().find(|p| p.name == name).filter(|p| p.default != text) {
            let d = Diagnostic::error(
                "bad-parameter",
                span,
                format!("--{name} has the default {text} here and {} elsewhere", first.default),
            )
            .other(first.span, format!("{} here", first.default))
            .note("a flag has one default: keep the value in a variable and use that");
            self.report(d);
        }
        if !self.params.iter().any(|p| p.name == name) {
            self.params.push(ParamDef {
                name: name.to_owned(),
                ty: default.e.ty.clone(),
                default: text,
                help: help.to_owned(),
                span,
            });
        }
        let opts = self.opts;
        let Some((_, given)) = opts.named.iter().rev().find(|(n, _)| n == name) else { return default };
        let value = match &default.e.ty {
            Ty::Bool => parse_bool(given).map(|b| Val::boolean(b, span)),
            Ty::Str { .. } => Some(Val::string(given.clone(), span)),
            _ => parse_number(given)
                .filter(|n| i64::try_from(*n).is_ok() || u64::try_from(*n).is_ok())
                .map(|n| Val::literal(n, span)),
        };
        value.unwrap_or_else(|| {
            let wants = if default.e.ty == Ty::Bool { "true or false" } else { "a number" };
            let d = Diagnostic::error("bad-parameter", span, format!("--{name} takes {wants}, not \"{given}\""));
            self.report(d);
            default
        })
    }

    /// Flags given on the command line that the script doesn't have.
    pub(crate) fn unknown_flags(&mut self) {
        let opts = self.opts;
        for (name, _) in &opts.named {
            if !self.params.iter().any(|p| p.name == *name) {
                let near = crate::suggest::nearest(name, self.params.iter().map(|p| p.name.as_str()), 3);
                let mut d =
                    Diagnostic::error("unknown-parameter", Span::default(), format!("the script has no flag --{name}"));
                let flags = |names: &[String]| names.iter().map(|n| format!("--{n}")).collect::<Vec<_>>().join(", ");
                let all: Vec<String> = self.params.iter().map(|p| p.name.clone()).collect();
                d = match (near.is_empty(), all.is_empty()) {
                    (false, _) => d.near(flags(&near)),
                    (true, false) => d.note(format!("it has {}", flags(&all))),
                    (true, true) => d.note("it has no flags of its own"),
                };
                self.report(d);
            }
        }
    }

    /// Flags that no checked code uses are still flags.
    pub(crate) fn note_params(&mut self) {
        let items = self.items;
        for p in &items.params {
            self.param_value(&p.name.text, p.span);
        }
    }
}

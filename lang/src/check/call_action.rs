//! Checks of asynchronous actions.

use super::call::Call;
use super::cx::Checker;
use super::types::{int_shape, show};
use super::value::{Val, cast, coerce};
use crate::ast;
use crate::diag::Diagnostic;
use crate::format::FormatError;
use crate::hir::{Action, Expr, ExprKind, Format, LogLevel, MapRef, Piece, StmtKind, Ty};
use crate::span::Span;

fn act(action: Action, args: Vec<Expr>, span: Span) -> Val {
    Val::effect(StmtKind::Action { action, args }, span)
}

pub(crate) fn printf<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    match c.format(call) {
        Some((format, args)) => act(Action::Printf(format), args, call.span),
        None => Val::error(call.span),
    }
}

pub(crate) fn log<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    let level = match call.row.name {
        "errorf" => LogLevel::Error,
        "warnf" => LogLevel::Warning,
        _ => LogLevel::Debug,
    };
    match c.format(call) {
        Some((format, args)) => act(Action::Log { level, format }, args, call.span),
        None => Val::error(call.span),
    }
}

pub(crate) fn capture<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    if c.opts.nowhere_to_write {
        let d = Diagnostic::error("no-capture-file", call.span, "capture() keeps packets in a file: none is named")
            .write("weftrace run --write FILE.pcapng …, or weftrace replay --write FILE.pcapng …");
        c.report(d);
        return Val::error(call.span);
    }
    if call.arg(0).is_none() {
        return act(Action::Capture(None), Vec::new(), call.span);
    }
    match c.format(call) {
        Some((format, args)) => act(Action::Capture(Some(format)), args, call.span),
        None => Val::error(call.span),
    }
}

pub(crate) fn cat<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    match c.format(call) {
        Some((format, args)) => act(Action::Cat(format), args, call.span),
        None => Val::error(call.span),
    }
}

pub(crate) fn system<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    if !c.may_be_unsafe(call, "runs commands") {
        return Val::error(call.span);
    }
    match c.format(call) {
        Some((format, args)) => act(Action::System(format), args, call.span),
        None => Val::error(call.span),
    }
}

pub(crate) fn print<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    let Some(e) = call.arg(0) else { return Val::error(call.span) };
    let (written, frame) = c.peeled(e);
    if let ast::ExprKind::Map { name, key } = &written.kind {
        let Some(map) = c.in_frame(frame, |c| c.map_ref(name, written.span)) else { return Val::error(call.span) };
        return match key {
            None => print_map(c, call, map, e),
            Some(key) => c.in_frame(frame, |c| print_element(c, call, map, key, written.span)),
        };
    }
    let v = c.expr(e);
    if v.is_error() {
        return v;
    }
    if let Some(extra) = call.arg(1) {
        let d = Diagnostic::error("argument-count", extra.span, "print() of a value takes one argument")
            .note("top and div are for whole maps: print(@m, top, div)");
        c.report(d);
        return Val::error(call.span);
    }
    if matches!(v.e.ty, Ty::Void | Ty::Headers) {
        let what =
            if v.e.ty == Ty::Void { "this has no value".into() } else { format!("{} print one by one", show(&v.e.ty)) };
        c.error("no-value", e.span, format!("nothing to print: {what}"));
        return Val::error(call.span);
    }
    if c.is_whole_result(written, &v.e) {
        return act(Action::PrintJoin, Vec::new(), call.span);
    }
    c.need_whole(&v.e.ty, v.e.span);
    act(Action::PrintValue, vec![v.e], call.span)
}

fn print_map<'a>(c: &mut Checker<'a>, call: &Call<'a>, map: MapRef, e: &'a ast::Expr) -> Val {
    let info = c.map_info(map);
    if !info.written {
        let name = info.name.clone();
        c.undefined_map(&name, e.span);
        return Val::error(call.span);
    }
    let mut numbers = [0u32; 2];
    for (i, slot) in numbers.iter_mut().enumerate() {
        if let Some(e) = call.arg(i + 1) {
            match c.const_int(e) {
                Some(n) if u32::try_from(n).is_ok() => *slot = n as u32,
                Some(n) => c.error("bad-argument", e.span, format!("{n} is no count to print by")),
                None => return Val::error(call.span),
            }
        }
    }
    act(Action::PrintMap { map, top: numbers[0], div: numbers[1] }, Vec::new(), call.span)
}

fn print_element<'a>(c: &mut Checker<'a>, call: &Call<'a>, map: MapRef, key: &'a Vec<ast::Expr>, span: Span) -> Val {
    let Ok(Some(key)) = c.map_key(map, Some(key), span) else { return Val::error(call.span) };
    if let Some(extra) = call.arg(1) {
        let name = c.map_info(map).name.clone();
        let d = Diagnostic::error("argument-count", extra.span, "print() of one element takes no top and no div")
            .write(format!("print(@{name}, …) for the whole map"));
        c.report(d);
        return Val::error(call.span);
    }
    let value = c.read_map(map, Some(key.clone()), span);
    if value.is_error() {
        return value;
    }
    act(Action::PrintMapValue { map }, vec![key, value.e], call.span)
}

pub(crate) fn clear<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    match call.arg(0).and_then(|e| c.known_map_arg(e, "clear()")) {
        Some(map) => {
            c.map_info(map).resets = true;
            act(Action::Clear { map }, Vec::new(), call.span)
        }
        None => Val::error(call.span),
    }
}

pub(crate) fn zero<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    match call.arg(0).and_then(|e| c.known_map_arg(e, "zero()")) {
        Some(map) => {
            c.map_info(map).resets = true;
            act(Action::Zero { map }, Vec::new(), call.span)
        }
        None => Val::error(call.span),
    }
}

pub(crate) fn exit<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    let code = match call.arg(0) {
        Some(e) => c.number(e, "the exit code"),
        None => Val::literal(0, call.span),
    };
    if code.is_error() {
        return code;
    }
    act(Action::Exit, vec![coerce(code.e, &Ty::I64)], call.span)
}

pub(crate) fn time<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    let fmt = match call.arg(0) {
        Some(e) => c.literal_text(e, "the format"),
        None => Some("%H:%M:%S\n".to_owned()),
    };
    match fmt {
        Some(fmt) => act(Action::Time { fmt }, Vec::new(), call.span),
        None => Val::error(call.span),
    }
}

/// `unwatch(address)`
pub(crate) fn unwatch<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    let v = c.arg(call, 0);
    if v.is_error() {
        return v;
    }
    if !matches!(v.e.ty, Ty::Ptr { .. }) && int_shape(&v.e.ty).is_none() {
        return c.wrong_arg(call, &v, "an address");
    }
    act(Action::Unwatch, vec![cast(v.e, Ty::U64)], call.span)
}

/// `join(argv[, separator])`
pub(crate) fn join_strings<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    let Some(e) = call.arg(0) else { return Val::error(call.span) };
    let v = c.expr(e);
    let separator = match call.arg(1) {
        Some(e) => match c.literal_text(e, "the separator") {
            Some(s) => s,
            None => return Val::error(call.span),
        },
        None => " ".to_owned(),
    };
    if v.is_error() {
        return v;
    }
    if !matches!(v.e.ty, Ty::Ptr { .. } | Ty::Int { .. }) {
        let what = show(&v.e.ty);
        c.error("bad-argument", e.span, format!("join() takes an array of strings (char **), this is {what}"));
        return Val::error(call.span);
    }
    let space = c.pointer_space(&v);
    let text = Ty::Ptr { to: Box::new(Ty::Int { bits: 8, signed: true }), space };
    let argv = cast(v.e, Ty::Ptr { to: Box::new(text), space });
    act(Action::Join { separator }, vec![argv], call.span)
}

/// `assert(condition, message)` is a macro of the library (stdlib/base.bt), which is found before this row.
pub(crate) fn assert<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    c.wrong_macro_args(call.name, call.args, call.span)
}

pub(crate) fn static_assert<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    let (Some(cond), Some(message)) = (call.arg(0), call.arg(1)) else { return Val::error(call.span) };
    let v = c.expr(cond);
    let text = c.literal_text(message, "the message").unwrap_or_default();
    match v.int() {
        Some(0) => c.error("static-assert", call.span, text),
        Some(_) => {}
        None if v.is_error() => {}
        None => c.error("not-constant", cond.span, "this is not known at compile time"),
    }
    Val::new(ExprKind::Block(Box::default()), Ty::Void, call.span)
}

/// `fail("…")`: an error where the branch it is in is taken at compile time.
pub(crate) fn fail<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    let Some(text) = call.arg(0).and_then(|e| c.literal_text(e, "the message")) else { return Val::error(call.span) };
    let mut values = Vec::new();
    for a in &call.args[1..] {
        let v = c.expr(&a.value);
        match (v.text(), v.int()) {
            (Some(t), _) => values.push(t.to_owned()),
            (_, Some(n)) => values.push(n.to_string()),
            _ => values.push("?".to_owned()),
        }
    }
    let mut values = values.into_iter();
    let parts = crate::format::parse(&text).map_or(text.clone(), |pieces| {
        pieces
            .iter()
            .map(|p| match p {
                Piece::Text(t) => t.clone(),
                Piece::Arg { .. } => values.next().unwrap_or_default(),
            })
            .collect()
    });
    c.error("fail", call.span, parts);
    Val::new(ExprKind::Block(Box::default()), Ty::Void, call.span)
}

impl<'a> Checker<'a> {
    /// The format in a call's first argument, checked against the rest.
    pub(crate) fn format(&mut self, call: &Call<'a>) -> Option<(Format, Vec<Expr>)> {
        let first = call.arg(0)?;
        let text = self.literal_text(first, "the format");
        let values: Vec<Val> = call.args[1..]
            .iter()
            .map(|a| {
                let v = self.expr(&a.value);
                self.agg_as_number(v)
            })
            .collect();
        let text = text?;
        let pieces = match crate::format::parse(&text) {
            Ok(pieces) => pieces,
            Err(problem) => {
                let at = match &problem {
                    FormatError::Unknown(part) | FormatError::TooWide(part) => {
                        text.find(part.as_str()).map(|at| (at, part.len()))
                    }
                    FormatError::Unfinished => text.rfind('%').map(|at| (at, 1)),
                };
                let span = at.map_or(first.span, |(at, len)| self.in_string(first.span, at, len));
                let mut d = Diagnostic::error("bad-format", span, problem.to_string());
                if let FormatError::Unknown(part) = &problem {
                    d = if part.ends_with('*') {
                        d.note("a width is written out: %5d, %-20s")
                    } else {
                        d.write(format!("one of %d %u %x %s …, or %{part} for the text {part}"))
                    };
                }
                self.report(d);
                return None;
            }
        };
        if values.iter().any(Val::is_error) {
            return None;
        }
        let wanted = pieces.iter().filter(|p| matches!(p, Piece::Arg { .. })).count();
        if wanted != values.len() {
            self.wrong_number_of_values(call, &text, &pieces, &values);
            return None;
        }
        let mut args = Vec::new();
        for piece in &pieces {
            let Piece::Arg { index, spec } = piece else { continue };
            let v = values[*index as usize].clone();
            args.push(self.format_arg(v, spec.conv)?);
        }
        Some((Format { pieces }, args))
    }

    /// Points at the first place without a value, or the first value without a place.
    fn wrong_number_of_values(&mut self, call: &Call<'a>, text: &str, pieces: &[Piece], values: &[Val]) {
        let wanted = pieces.iter().filter(|p| matches!(p, Piece::Arg { .. })).count();
        let places = |n: usize| format!("{n} %-place{}", if n == 1 { "" } else { "s" });
        let given = match values.len() {
            0 => "no value is given".to_owned(),
            1 => "1 value is given".to_owned(),
            n => format!("{n} values are given"),
        };
        let message = format!("the format has {}, {given}", places(wanted));
        let d = match (values.get(wanted), call.arg(0)) {
            (Some(extra), _) => Diagnostic::error("format-arguments", extra.e.span, message).label("no place for this"),
            (None, Some(first)) => {
                let at =
                    crate::format::places(text).get(values.len()).map(|p| self.in_string(first.span, p.start, p.len()));
                Diagnostic::error("format-arguments", at.unwrap_or(call.span), message).label("no value for this")
            }
            (None, None) => Diagnostic::error("format-arguments", call.span, message),
        };
        let d = if wanted > values.len() { d.write("a value for each place, or %% for a percent sign") } else { d };
        self.report(d);
    }

    /// `%s` of a number prints the number; of an address that is seldom meant.
    fn warn_number_as_text(&mut self, v: &Val) {
        if matches!(v.e.ty, Ty::Ptr { .. }) || matches!(v.e.kind, ExprKind::Arg(_)) {
            let d = Diagnostic::warning("format-type", v.e.span, "%s prints this address, not the text that is there")
                .write("str(…) around it, or %p");
            self.report(d);
        }
    }

    fn format_arg(&mut self, v: Val, conv: char) -> Option<Expr> {
        let ty = v.e.ty.clone();
        let number = int_shape(&ty).is_some() || matches!(ty, Ty::Ptr { .. } | Ty::Ksym | Ty::Usym);
        let text = !matches!(ty, Ty::Void | Ty::Headers | Ty::Agg(_) | Ty::Error);
        let fine = match conv {
            's' if !text && number => {
                self.warn_number_as_text(&v);
                true
            }
            's' => text,
            'r' | 'R' | 'H' => matches!(ty, Ty::Buf { .. }),
            _ => number,
        };
        if fine {
            self.need_whole(&ty, v.e.span);
            return Some(v.e);
        }
        let shown = match conv {
            'R' => "rx".to_owned(),
            'H' => "rh".to_owned(),
            'g' => "gr".to_owned(),
            c => c.to_string(),
        };
        let mut d = Diagnostic::error("format-type", v.e.span, format!("%{shown} does not print {}", show(&ty)));
        d = match (&ty, conv) {
            (Ty::Str { .. } | Ty::Inet | Ty::Mac | Ty::Conn | Ty::ByteRanges | Ty::Flow, _) => d.write("%s"),
            (Ty::Buf { .. }, _) => d.write("%r"),
            (Ty::Tuple(_) | Ty::Record(_) | Ty::Array { .. } | Ty::Struct(_), _) => d.write("%s, or print(…)"),
            (Ty::Int { .. }, 'r' | 'R' | 'H') => d.write("%d, or buf(pointer, length) for bytes"),
            (Ty::KStack { .. } | Ty::UStack { .. } | Ty::DwStack { .. } | Ty::Time { .. } | Ty::Username, _) => {
                d.write("%s")
            }
            _ => d,
        };
        self.report(d);
        None
    }
}

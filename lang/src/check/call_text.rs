//! Checks of functions of strings.

use super::call::Call;
use super::call_func::made;
use super::cx::Checker;
use super::types::{int_shape, is_char, show};
use super::value::{Val, coerce};
use crate::ast;
use crate::diag::Diagnostic;
use crate::hir::{BinOp, Expr, ExprKind, Func, Ty};

impl<'a> Checker<'a> {
    /// A string argument: a string, a character array or a character pointer.
    fn text_arg(&mut self, call: &Call<'a>, i: usize) -> Val {
        let v = self.arg(call, i);
        match &v.e.ty {
            Ty::Str { .. } => v,
            Ty::Ptr { to, .. } if is_char(to) || **to == Ty::U8 || **to == Ty::Void => {
                let (cap, span) = (self.config.max_strlen, v.e.span);
                self.string_at(v, cap, None, span)
            }
            Ty::Int { .. } | Ty::Ptr { .. } => {
                let message = format!("{}() takes a string, this is {}", call.name, show(&v.e.ty));
                let d = Diagnostic::error("bad-argument", v.e.span, message)
                    .write("str(…) around it, if it is the address of one");
                self.report(d);
                Val::error(call.span)
            }
            _ => self.wrong_arg(call, &v, "a string"),
        }
    }
}

pub(crate) fn str<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    let Some(first) = call.arg(0) else { return Val::error(call.span) };
    if let Some(v) = positional_text(c, first) {
        return v;
    }
    let most = c.config.max_strlen;
    let (mut cap, mut len) = (most, None);
    let go = c.go().is_some().then(|| c.quietly(|c| c.place(first)));
    let go = go.and_then(|v| c.go_bytes(&v, Func::GoText, Ty::Str { cap }, None));
    let is_go = go.is_some();
    let mut v = match go {
        Some(v) => v,
        None => c.arg(call, 0),
    };
    if let Some(e) = call.arg(1) {
        let n = c.number(e, "the length");
        match n.int() {
            Some(n) if n < 0 => {
                c.error("bad-argument", e.span, "a length is not negative");
                return Val::error(call.span);
            }
            Some(n) if n > i128::from(most) => {
                let d = Diagnostic::warning(
                    "string-length",
                    e.span,
                    format!("strings have at most {} characters here", most - 1),
                )
                .write("config = { max_strlen = … }");
                c.report(d);
            }
            // n bytes with the NUL, as the kernel's helper counts.
            Some(bytes) => {
                cap = (bytes as u32).max(1);
                len = Some(coerce(n.e, &Ty::U64));
            }
            None if n.is_error() => return Val::error(call.span),
            None => len = Some(coerce(n.e, &Ty::U64)),
        }
        if let (true, ExprKind::Call { args, .. }) = (is_go, &mut v.e.kind) {
            args.extend(len.clone());
        }
    }
    match &v.e.ty {
        Ty::Str { cap: have } => {
            let ty = Ty::Str { cap: cap.min(*have) };
            Val { e: if call.arg(1).is_some() { coerce(v.e, &ty) } else { v.e }, ..v }
        }
        Ty::Array { elem, len: n } if int_shape(elem).is_some_and(|s| s.0 == 8) => {
            let ty = Ty::Str { cap: (*n).max(1) };
            Val { e: Expr { ty, ..v.e }, ..v }
        }
        Ty::Ptr { .. } | Ty::Int { .. } => c.string_at(v, cap, len, call.span),
        _ => not_a_string(c, call, &v),
    }
}

/// `str($1)`, `str($1 + 2)`
fn positional_text<'a>(c: &mut Checker<'a>, e: &'a ast::Expr) -> Option<Val> {
    let (n, skip) = match &e.kind {
        ast::ExprKind::Positional(n) => (*n, 0),
        ast::ExprKind::Binary { op: BinOp::Add, left, right } => match (&left.kind, &right.kind) {
            (ast::ExprKind::Positional(n), ast::ExprKind::Int { value, .. }) => (*n, *value as usize),
            _ => return None,
        },
        _ => return None,
    };
    let text = (n as usize).checked_sub(1).and_then(|i| c.opts.positional.get(i)).cloned().unwrap_or_default();
    if let Some(rest) = text.get(skip..) {
        Some(Val::string(rest, e.span))
    } else {
        c.error("bad-argument", e.span, format!("${n} has only {} characters", text.len()));
        Some(Val::error(e.span))
    }
}

fn not_a_string<'a>(c: &mut Checker<'a>, call: &Call<'a>, v: &Val) -> Val {
    if v.is_error() {
        return Val::error(call.span);
    }
    let mut d = Diagnostic::error(
        "bad-argument",
        v.e.span,
        format!("str() takes the address of a string, this is {}", show(&v.e.ty)),
    );
    if let ExprKind::Field { name, .. } = &v.e.kind {
        d.message = format!("str() takes the address of a string, {name} is {}", show(&v.e.ty));
        d = super::hints::for_field(d, name);
    }
    // By name here, unlike in a tracepoint: from the function's own parameters.
    if let super::cx::ArgsCx::Fn(proto) = &c.probe.args {
        d = d.label(super::args::signature(proto, c.probe.row.name));
    }
    c.report(d);
    Val::error(call.span)
}

pub(crate) fn strlen<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    let v = c.text_arg(call, 0);
    if v.is_error() {
        return v;
    }
    made(Func::Strlen, vec![v.e], Ty::U64, call.span)
}

pub(crate) fn strncmp<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    let (a, b) = (c.text_arg(call, 0), c.text_arg(call, 1));
    let Some(n) = call.arg(2).and_then(|e| c.const_int(e)) else { return Val::error(call.span) };
    if a.is_error() || b.is_error() {
        return Val::error(call.span);
    }
    if n < 0 {
        c.error("bad-argument", call.span, "a length is not negative");
        return Val::error(call.span);
    }
    let n = Expr { kind: ExprKind::Int(n as i64), ty: Ty::U64, span: call.span };
    made(Func::Strncmp, vec![a.e, b.e, n], Ty::U64, call.span)
}

pub(crate) fn strcontains<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    let (a, b) = (c.text_arg(call, 0), c.text_arg(call, 1));
    if a.is_error() || b.is_error() {
        return Val::error(call.span);
    }
    made(Func::Strcontains, vec![a.e, b.e], Ty::Bool, call.span)
}

pub(crate) fn strstr<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    let (a, b) = (c.text_arg(call, 0), c.text_arg(call, 1));
    if a.is_error() || b.is_error() {
        return Val::error(call.span);
    }
    made(Func::Strstr, vec![a.e, b.e], Ty::I64, call.span)
}

pub(crate) fn str_concat<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    let (a, b) = (c.text_arg(call, 0), c.text_arg(call, 1));
    let (Ty::Str { cap: first }, Ty::Str { cap: second }) = (&a.e.ty, &b.e.ty) else { return Val::error(call.span) };
    // One NUL for both.
    let cap = first.saturating_add(*second).saturating_sub(1).clamp(1, c.config.max_strlen.max(1));
    if let (Some(a), Some(b)) = (a.text(), b.text()) {
        // A string ends at its first NUL.
        let [a, b] = [a, b].map(|text| text.split('\0').next().unwrap_or_default());
        return Val::string(format!("{a}{b}"), call.span);
    }
    made(Func::StrConcat, vec![a.e, b.e], Ty::Str { cap }, call.span)
}

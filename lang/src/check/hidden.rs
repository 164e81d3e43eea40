//! Functions of our own texts alone ([`super::Options::hidden`]): what they are asked with is right.

use super::call::Call;
use super::call_func::made;
use super::cx::Checker;
use super::value::{Val, coerce};
use crate::ast::Arg;
use crate::builtins;
use crate::hir::{ExprKind, Func, Ty};
use crate::span::Span;

type Own = for<'a> fn(&mut Checker<'a>, &'a [Arg], Span) -> Val;

const OWN: &[(&str, Own)] = &[
    // (address, length, capacity): as buf(), of so many bytes at most
    ("__bytes", bytes),
    // (name): a register as the program had it when it made the system call under way
    ("__call_register", call_register),
    // (@map[$key]): the element itself, which is looked up once for what the rest of the block reads of it and writes to it
    ("__open", open),
    // (address, length, $open.member): whether that is one request of HTTP/1, whole (1), or may be more than one (2); it is kept there
    ("__plain_request", |c, args, span| head(c, Func::PlainRequest, args, span)),
    // (address, sent, pieces, last, $open.member): the status of the response that begins there, or in the first of the pieces; above it what the next one takes
    // for `last`, and above that how much of it is still to come: of such a one the first bytes are kept there
    ("__plain_response", |c, args, span| head(c, Func::PlainResponse, args, span)),
];

pub(super) fn find(name: &str) -> Option<Own> {
    OWN.iter().find(|(own, _)| *own == name).map(|(_, check)| *check)
}

fn bytes<'a>(c: &mut Checker<'a>, args: &'a [Arg], span: Span) -> Val {
    let Some(row) = builtins::find("buf") else { return Val::error(span) };
    super::call_func::buf(c, &Call { row, name: row.name, args, span, dropped: false })
}

fn call_register<'a>(c: &mut Checker<'a>, args: &'a [Arg], span: Span) -> Val {
    let Some(name) = args.first().map(|arg| c.expr(&arg.value)) else { return Val::error(span) };
    debug_assert!(matches!(name.e.kind, ExprKind::Str(_)), "a register has a name");
    made(Func::CallRegister, vec![name.e], Ty::I64, span)
}

fn open<'a>(c: &mut Checker<'a>, args: &'a [Arg], span: Span) -> Val {
    let args: Vec<_> = args.iter().map(|arg| c.expr(&arg.value).e).collect();
    let Some(ty) = args.first().map(|element| element.ty.clone()) else { return Val::error(span) };
    made(Func::Open, args, ty, span)
}

fn head<'a>(c: &mut Checker<'a>, func: Func, args: &'a [Arg], span: Span) -> Val {
    let values = args.iter().map(|arg| {
        let v = c.expr(&arg.value);
        if matches!(v.e.ty, Ty::Buf { .. }) { v.e } else { coerce(v.e, &Ty::U64) }
    });
    let values = values.collect();
    made(func, values, Ty::I64, span)
}

//! Checks of functions that compute at run time.

use super::address::{AF_INET, AF_INET6};
use super::call::Call;
use super::cx::Checker;
use super::expr::as_u64;
use super::types::{int_shape, show};
use super::value::{Val, cast, coerce};
use crate::diag::Diagnostic;
use crate::hir::{BinOp, Expr, ExprKind, Func, Space, Ty};
use crate::span::Span;

pub(super) fn made(func: Func, args: Vec<Expr>, ty: Ty, span: Span) -> Val {
    Val::new(ExprKind::Call { func, args }, ty, span)
}

impl<'a> Checker<'a> {
    /// The argument's value, or what is wrong with it.
    pub(super) fn arg(&mut self, call: &Call<'a>, i: usize) -> Val {
        match call.arg(i) {
            Some(e) => {
                let v = self.expr(e);
                // Their texts are read whole.
                if matches!(call.row.name, "strlen" | "strcontains" | "strstr") {
                    self.need_whole(&v.e.ty, v.e.span);
                }
                self.agg_as_number(v)
            }
            None => Val::error(call.span),
        }
    }

    pub(super) fn wrong_arg(&mut self, call: &Call<'a>, v: &Val, wants: &str) -> Val {
        if !v.is_error() {
            let d = Diagnostic::error(
                "bad-argument",
                v.e.span,
                format!("{}() takes {wants}, this is {}", call.name, show(&v.e.ty)),
            );
            self.report(d);
        }
        Val::error(call.span)
    }

    /// The string at a pointer (or at the address in an integer).
    pub(crate) fn string_at(&mut self, v: Val, cap: u32, len: Option<Expr>, span: Span) -> Val {
        let space = self.pointer_space(&v);
        let pointer = cast(v.e, Ty::Ptr { to: Box::new(Ty::Int { bits: 8, signed: true }), space });
        let mut args = vec![pointer];
        args.extend(len);
        made(Func::Str, args, Ty::Str { cap }, span)
    }
}

pub(crate) fn buf<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    let Some(first) = call.arg(0) else { return Val::error(call.span) };
    let v = c.place(first);
    // Within our own texts a capacity is given.
    let own = call.arg(2).and_then(|e| c.expr(e).int()).and_then(|n| u32::try_from(n).ok());
    let most = own.unwrap_or_else(|| c.config.max_strlen.max(5) - 4);
    let length = call.arg(1).map(|e| c.number(e, "the length"));
    if length.as_ref().is_none_or(|n| !n.is_error()) {
        let cap = length.as_ref().and_then(Val::int).map_or(most, |n| n.clamp(0, i128::from(most)) as u32);
        let len = length.as_ref().map(|n| coerce(n.e.clone(), &Ty::U64));
        if let Some(v) = c.go_bytes(&v, Func::GoBytes, Ty::Buf { cap }, len) {
            return v;
        }
    }
    match (&v.e.ty, length) {
        (Ty::Array { .. } | Ty::Str { .. }, None) => {
            let cap = c.size_of(&v.e.ty).unwrap_or(0).min(most);
            made(Func::Buf, vec![v.e], Ty::Buf { cap }, call.span)
        }
        (Ty::Array { .. } | Ty::Ptr { .. } | Ty::Int { .. } | Ty::Str { .. }, Some(n)) if !n.is_error() => {
            let fixed = n.int();
            if fixed.is_some_and(|n| n < 0) {
                c.error("bad-argument", n.e.span, "a length is not negative");
                return Val::error(call.span);
            }
            let cap = fixed.map_or(most, |n| (n.min(i128::from(most))) as u32);
            let data = match &v.e.ty {
                Ty::Array { .. } | Ty::Str { .. } => v.e,
                _ => {
                    let space = c.pointer_space(&v);
                    cast(v.e, Ty::Ptr { to: Box::new(Ty::U8), space })
                }
            };
            made(Func::Buf, vec![data, coerce(n.e, &Ty::U64)], Ty::Buf { cap }, call.span)
        }
        (Ty::Ptr { .. } | Ty::Int { .. }, None) => {
            c.error("argument-count", call.span, "buf() of a pointer needs the length");
            Val::error(call.span)
        }
        (_, Some(n)) if n.is_error() => Val::error(call.span),
        _ => c.wrong_arg(call, &v, "a pointer or an array"),
    }
}

/// Always `[af, address]` in the HIR; the address is a uint32 in network order, or 4 or 16 bytes.
pub(crate) fn ntop<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    let last = call.args.len() - 1;
    let Some(e) = call.arg(last) else { return Val::error(call.span) };
    let v = c.place(e);
    if last == 0 {
        c.rule_ipv4_only(e);
    }
    let bytes = |n| Ty::Array { elem: Box::new(Ty::U8), len: n };
    let size = c.size_of(&v.e.ty);
    let (addr, implied) = match (&v.e.ty, size) {
        (Ty::Inet, _) => return v,
        (Ty::Int { .. }, _) => (coerce(v.e, &Ty::U32), AF_INET),
        (Ty::Array { .. }, Some(4)) => (v.e, AF_INET),
        (Ty::Array { .. }, Some(16)) => (v.e, AF_INET6),
        (Ty::Struct(_), Some(n @ (4 | 16))) => (cast(v.e, bytes(n)), if n == 4 { AF_INET } else { AF_INET6 }),
        _ => return c.wrong_arg(call, &v, "a uint32 or an array of 4 or 16 bytes"),
    };
    let af = if last == 1 {
        let af = c.arg(call, 0);
        if int_shape(&af.e.ty).is_none() {
            return c.wrong_arg(call, &af, "the address family first (AF_INET, AF_INET6)");
        }
        coerce(af.e, &Ty::U64)
    } else {
        Expr { kind: ExprKind::Int(i64::from(implied)), ty: Ty::U64, span: call.span }
    };
    made(Func::Ntop, vec![af, addr], Ty::Inet, call.span)
}

pub(crate) fn macaddr<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    let Some(e) = call.arg(0) else { return Val::error(call.span) };
    let v = c.place(e);
    match (&v.e.ty, c.size_of(&v.e.ty)) {
        (Ty::Array { .. }, Some(n)) if n >= 6 => made(Func::Macaddr, vec![v.e], Ty::Mac, call.span),
        (Ty::Ptr { .. }, _) => made(Func::Macaddr, vec![v.e], Ty::Mac, call.span),
        // An address as a number, but not one written out: that is no address.
        (Ty::Int { .. }, _) if !v.lit => {
            let space = c.pointer_space(&v);
            let pointer = cast(v.e, Ty::Ptr { to: Box::new(Ty::U8), space });
            made(Func::Macaddr, vec![pointer], Ty::Mac, call.span)
        }
        _ => c.wrong_arg(call, &v, "an array of 6 bytes or a pointer to one"),
    }
}

fn symbol<'a>(c: &mut Checker<'a>, call: &Call<'a>, func: Func, ty: Ty) -> Val {
    let v = c.arg(call, 0);
    match &v.e.ty {
        Ty::Int { .. } | Ty::Ptr { .. } => made(func, vec![as_u64(v.e)], ty, call.span),
        _ => c.wrong_arg(call, &v, "an address"),
    }
}

pub(crate) fn ksym<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    symbol(c, call, Func::Ksym, Ty::Ksym)
}

pub(crate) fn usym<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    symbol(c, call, Func::Usym, Ty::Usym)
}

pub(crate) fn strftime<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    let (Some(fmt), v) = (call.arg(0), c.arg(call, 1)) else { return Val::error(call.span) };
    let Some(fmt) = c.literal_text(fmt, "the format") else { return Val::error(call.span) };
    if int_shape(&v.e.ty).is_none() {
        return c.wrong_arg(call, &v, "a time in ns");
    }
    if let Some(n) = v.int().filter(|n| *n < 0) {
        let d = Diagnostic::error("bad-argument", v.e.span, format!("{n} ns is no time: it is negative"))
            .write("strftime(fmt, nsecs)");
        c.report(d);
        return Val::error(call.span);
    }
    let ns = coerce(v.e, &Ty::U64);
    made(Func::Strftime, vec![ns], Ty::Time { fmt }, call.span)
}

pub(crate) fn bswap<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    let v = c.arg(call, 0);
    let Ty::Int { bits, .. } = v.e.ty else { return c.wrong_arg(call, &v, "an integer") };
    let ty = Ty::Int { bits, signed: false };
    made(Func::Bswap, vec![coerce(v.e, &ty)], ty, call.span)
}

/// The bytes of two values as they lie in memory, whatever their types.
pub(crate) fn memcmp<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    let (a, b) = (c.arg(call, 0), c.arg(call, 1));
    let Some(len) = call.arg(2) else { return Val::error(call.span) };
    let len_at = len.span;
    let n = c.number(len, "the length");
    if a.is_error() || b.is_error() || n.is_error() {
        return Val::error(call.span);
    }
    for v in [&a, &b] {
        if c.size_of(&v.e.ty).is_none() {
            return c.wrong_arg(call, v, "values that lie in memory");
        }
    }
    let room = c.size_of(&a.e.ty).unwrap_or(0).min(c.size_of(&b.e.ty).unwrap_or(0));
    if let Some(n) = n.int().filter(|n| !(0..=i128::from(room)).contains(n)) {
        let d = Diagnostic::error("bad-argument", len_at, format!("the two have {room} bytes in common, not {n}"))
            .note(format!(
                "{} has {:?} bytes, {} {:?}",
                show(&a.e.ty),
                c.size_of(&a.e.ty).unwrap_or(0),
                show(&b.e.ty),
                c.size_of(&b.e.ty).unwrap_or(0)
            ));
        c.report(d);
        return Val::error(call.span);
    }
    made(Func::Memcmp, vec![a.e, b.e, coerce(n.e, &Ty::U64)], Ty::I32, call.span)
}

fn respaced<'a>(c: &mut Checker<'a>, call: &Call<'a>, space: Space) -> Val {
    let mut v = c.arg(call, 0);
    match &v.e.ty {
        Ty::Ptr { to, .. } => {
            let ty = Ty::Ptr { to: to.clone(), space };
            v.e = cast(v.e, ty);
            v.with_space(space)
        }
        Ty::Int { .. } => v.with_space(space),
        _ => c.wrong_arg(call, &v, "a pointer"),
    }
}

pub(crate) fn kptr<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    respaced(c, call, Space::Kernel)
}

pub(crate) fn uptr<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    respaced(c, call, Space::User)
}

/// A `struct sock *`; integers are taken for one.
fn sock_arg<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Option<Expr> {
    let v = c.arg(call, 0);
    let sock = Ty::Ptr { to: Box::new(Ty::Struct("sock".into())), space: Space::Kernel };
    match &v.e.ty {
        // Every kind of socket begins with its struct sock.
        Ty::Ptr { to, .. } => match &**to {
            Ty::Void => Some(cast(v.e, sock)),
            Ty::Struct(n) if n == "sock" || n.ends_with("_sock") || n == "sock_common" => Some(cast(v.e, sock)),
            _ => {
                let v = c.wrong_arg(call, &v, "a struct sock *");
                debug_assert!(v.is_error());
                None
            }
        },
        Ty::Int { .. } => Some(cast(as_u64(v.e), sock)),
        _ => {
            c.wrong_arg(call, &v, "a struct sock *");
            None
        }
    }
}

pub(crate) fn conn<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    match sock_arg(c, call) {
        Some(sk) => made(Func::Conn, vec![sk], Ty::Conn, call.span),
        None => Val::error(call.span),
    }
}

pub(crate) fn bytes<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    let Some(sk) = sock_arg(c, call) else { return Val::error(call.span) };
    let v = c.arg(call, 1);
    let skb = Ty::Ptr { to: Box::new(Ty::Struct("sk_buff".into())), space: Space::Kernel };
    let segment = match &v.e.ty {
        Ty::Ptr { to, .. } if matches!(&**to, Ty::Void) || **to == Ty::Struct("sk_buff".into()) => cast(v.e, skb),
        Ty::Int { .. } => cast(as_u64(v.e), skb),
        _ => return c.wrong_arg(call, &v, "a struct sk_buff *"),
    };
    made(Func::Bytes, vec![sk, segment], Ty::ByteRanges, call.span)
}

pub(crate) fn sock_cookie<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    match sock_arg(c, call) {
        Some(sk) => made(Func::SockCookie, vec![sk], Ty::U64, call.span),
        None => Val::error(call.span),
    }
}

/// `(int64)p < 0 && (int64)p >= -4095` (include/linux/err.h)
pub(crate) fn is_err<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    let v = c.arg(call, 0);
    if !matches!(v.e.ty, Ty::Ptr { .. } | Ty::Int { .. }) {
        return c.wrong_arg(call, &v, "a pointer");
    }
    let p = Val { e: cast(v.e, Ty::I64), ..Val::error(call.span) };
    let below = c.compare(BinOp::Lt, p.clone(), Val::literal(0, call.span), call.span);
    let above = c.compare(BinOp::Ge, p, Val::literal(-4095, call.span), call.span);
    Val::new(ExprKind::Logical { and: true, left: Box::new(below.e), right: Box::new(above.e) }, Ty::Bool, call.span)
}

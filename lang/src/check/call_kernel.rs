//! Checks of what changes the traced task, and of what only a program's registers tell.

use super::call::Call;
use super::cx::Checker;
use super::expr::as_u64;
use super::providers::ProviderKind as P;
use super::typeop::typed_literal;
use super::types::{int_shape, show};
use super::value::{Val, coerce};
use crate::builtins::class;
use crate::diag::Diagnostic;
use crate::hir::{ExprKind, Func, Stmt, StmtKind, Ty};

/// Longest piece that `write_user` writes.
const MAX_WRITE: i128 = 256;

impl<'a> Checker<'a> {
    /// Whether the operator allowed what can do damage; says so if not.
    pub(crate) fn may_be_unsafe(&mut self, call: &Call<'a>, what: &str) -> bool {
        if !self.opts.unsafe_ok {
            let name = call.name;
            let d = Diagnostic::error("unsafe", call.span, format!("{name}() {what}: it needs --unsafe"))
                .write("weftrace run --unsafe …")
                .bpftrace(format!("{name}() is unsafe. To use you need the --unsafe flag"));
            self.report(d);
        }
        self.opts.unsafe_ok
    }

    /// A call that is made for its effect.
    fn effect_call(func: Func, args: Vec<crate::hir::Expr>, call: &Call<'a>) -> Val {
        let e = crate::hir::Expr { kind: ExprKind::Call { func, args }, ty: Ty::I64, span: call.span };
        let stmt = Stmt { kind: StmtKind::Expr(e), span: call.span };
        Val::effect(stmt.kind, call.span)
    }

    fn not_here(&mut self, call: &Call<'a>, why: &str) -> Val {
        let (name, row) = (call.name, self.probe.row.name);
        let d = Diagnostic::error(
            "wrong-place",
            call.span,
            format!("{name}() does nothing in {}: {why}", self.probe.name()),
        )
        .bpftrace(format!("{name}() can not be used for this probetype {row}"));
        self.report(d);
        Val::error(call.span)
    }
}

/// `signal("SIGSTOP")`, `signal_thread(19)`
pub(crate) fn signal<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    if !c.may_be_unsafe(call, "sends signals") {
        return Val::error(call.span);
    }
    let sampled = matches!(c.probe.kind(), P::Profile | P::Software | P::Hardware | P::Watchpoint);
    if c.class() == class::TIMER && !sampled {
        return c.not_here(call, "the current task is weftrace's own, or whatever the timer interrupted");
    }
    let Some(e) = call.arg(0) else { return Val::error(call.span) };
    let v = c.expr(e);
    let number = match (v.text(), v.int()) {
        (Some(name), _) => super::constants::signal(name).map_or_else(
            || {
                let d = Diagnostic::error("bad-argument", e.span, format!("no signal {name}"))
                    .write("SIGSTOP, SIGKILL, … or a number from 1 to 64")
                    .bpftrace(format!("Invalid string for signal: {name}"));
                c.report(d);
                Val::error(call.span)
            },
            |n| typed_literal(n, Ty::U32, e.span),
        ),
        (None, Some(n)) if !(1..=64).contains(&n) => {
            let d = Diagnostic::error("bad-argument", e.span, format!("signals have the numbers 1 to 64, not {n}"));
            c.report(d.bpftrace(format!(
                "{}() accepts a string literal or an integer between 1 and 64 (inclusive)",
                call.name
            )));
            Val::error(call.span)
        }
        _ if v.is_error() => v,
        _ if int_shape(&v.e.ty).is_some() => v,
        _ => {
            let d = Diagnostic::error(
                "bad-argument",
                e.span,
                format!("{}() takes a signal's name in quotes or its number, this is {}", call.name, show(&v.e.ty)),
            );
            c.report(d.bpftrace(format!("{}() accepts a string literal or an integer", call.name)));
            Val::error(call.span)
        }
    };
    if number.is_error() {
        return number;
    }
    let func = Func::Signal { thread: call.row.name == "signal_thread" };
    Checker::effect_call(func, vec![coerce(number.e, &Ty::U32)], call)
}

/// `override(n)`
pub(crate) fn override_return<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    if c.probe.kind() != P::Kprobe {
        let d =
            Diagnostic::error("wrong-place", call.span, format!("override() is for kprobe, not {}", c.probe.name()))
                .bpftrace("override() can only be used inside kprobes");
        c.report(d);
        return Val::error(call.span);
    }
    if !c.may_be_unsafe(call, "makes kernel functions fail") {
        return Val::error(call.span);
    }
    let Some(n) = call.arg(0).map(|e| c.number(e, "the value to return")).filter(|n| !n.is_error()) else {
        return Val::error(call.span);
    };
    Checker::effect_call(Func::Override, vec![coerce(n.e, &Ty::U64)], call)
}

/// `write_user(address, value, length)`
pub(crate) fn write_user<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    if !c.may_be_unsafe(call, "writes to a program's memory") {
        return Val::error(call.span);
    }
    let (Some(dst), Some(src), Some(len)) = (call.arg(0), call.arg(1), call.arg(2)) else {
        return Val::error(call.span);
    };
    let (to, from) = (c.expr(dst), c.expr(src));
    let len_at = len.span;
    let len = c.number(len, "the length");
    if to.is_error() || from.is_error() || len.is_error() {
        return Val::error(call.span);
    }
    if !matches!(to.e.ty, Ty::Ptr { .. } | Ty::Int { .. }) {
        c.error("bad-argument", to.e.span, format!("write_user() writes to an address, this is {}", show(&to.e.ty)));
        return Val::error(call.span);
    }
    // A pointer says where the bytes are, anything else is the bytes.
    let room = match &from.e.ty {
        Ty::Ptr { .. } => MAX_WRITE,
        ty => c.size_of(ty).map_or(0, i128::from),
    };
    match len.int() {
        Some(n) if !(0..=room).contains(&n) => {
            c.error("bad-argument", len_at, format!("there are 0 to {room} bytes to write, not {n}"));
            return Val::error(call.span);
        }
        None if matches!(from.e.ty, Ty::Ptr { .. }) => {
            c.error("not-constant", len_at, "what a pointer points to is written with a length known at compile time");
            return Val::error(call.span);
        }
        _ => {}
    }
    let args = vec![as_u64(to.e), from.e, coerce(len.e, &Ty::U64)];
    Val::new(ExprKind::Call { func: Func::WriteUser, args }, Ty::Bool, call.span)
}

/// `usermode`: from the code segment that the event interrupted.
pub(crate) fn usermode<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    if weftrace_arch::HOST.privilege.is_none() {
        let d = Diagnostic::error("wrong-architecture", call.span, "usermode is known on x86-64 only")
            .bpftrace("'usermode' builtin is only supported on x86_64");
        c.report(d);
        return Val::error(call.span);
    }
    match c.probe.kind() {
        // They run for weftrace itself.
        P::Begin | P::End | P::Signal | P::Test | P::Bench => typed_literal(1, Ty::U8, call.span),
        P::Interval
        | P::Profile
        | P::Software
        | P::Hardware
        | P::Watchpoint
        | P::Kprobe
        | P::Kretprobe
        | P::Uprobe
        | P::Uretprobe
        | P::Usdt => Val::new(ExprKind::Call { func: Func::UserMode, args: Vec::new() }, Ty::U8, call.span),
        // The kernel calls them.
        _ => typed_literal(0, Ty::U8, call.span),
    }
}

/// `skboutput("file.pcap", skb, length, offset)`
pub(crate) fn skboutput<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    let (Some(file), Some(skb), Some(len), Some(offset)) = (call.arg(0), call.arg(1), call.arg(2), call.arg(3)) else {
        return Val::error(call.span);
    };
    let Some(path) = c.literal_text(file, "the file's name") else { return Val::error(call.span) };
    let (skb, len, offset) = (c.expr(skb), c.number(len, "the length"), c.number(offset, "the offset"));
    if skb.is_error() || len.is_error() || offset.is_error() {
        return Val::error(call.span);
    }
    let fits = match &skb.e.ty {
        Ty::Int { .. } => true,
        Ty::Ptr { to, .. } => matches!(&**to, Ty::Void) || **to == Ty::Struct("sk_buff".into()),
        _ => false,
    };
    if !fits {
        let d = Diagnostic::error(
            "bad-argument",
            skb.e.span,
            format!("skboutput() takes a struct sk_buff *, this is {}", show(&skb.e.ty)),
        );
        c.report(d);
        return Val::error(call.span);
    }
    if !c.known_struct("sk_buff", call.span) {
        return Val::error(call.span);
    }
    let args = vec![as_u64(skb.e), coerce(len.e, &Ty::U64), coerce(offset.e, &Ty::U64), Val::string(path, file.span).e];
    Val::new(ExprKind::Call { func: Func::SkbOutput, args }, Ty::I64, call.span)
}

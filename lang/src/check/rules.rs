//! Findings about programs that are well-typed and still don't do what they seem to.

use super::binary::symbol;
use super::cx::{ArgsCx, Checker};
use super::hints;
use crate::ast::{self, BinOp, ExprKind as A};
use crate::diag::Diagnostic;
use crate::hir::{Agg, Expr, ExprKind, Ty};
use crate::span::Span;

/// Builtins about the current task.
static TASK: &[&str] = &["pid", "tid", "comm", "uid", "gid", "username", "cgroup", "ppid", "pcomm", "ustack"];

/// enum tcp state, include/net/tcp_states.h
const TCP_SYN_SENT: i64 = 2;

/// The state that a condition fixes by `args.newstate == N`, alone or in a conjunction.
pub(super) fn fixed_newstate(cond: &ast::Expr) -> Option<i64> {
    let A::Binary { op, left, right } = &cond.kind else { return None };
    let is_newstate = |e: &ast::Expr| matches!(&e.kind, A::Field { name, .. } if name.text == "newstate");
    let value = |e: &ast::Expr| match &e.kind {
        A::Int { value, .. } => i64::try_from(*value).ok(),
        A::Ident(name) if matches!(name.as_str(), "TCP_SYN_SENT" | "BPF_TCP_SYN_SENT") => Some(TCP_SYN_SENT),
        _ => None,
    };
    match op {
        BinOp::LogAnd => fixed_newstate(left).or_else(|| fixed_newstate(right)),
        BinOp::Eq if is_newstate(left) => value(right),
        BinOp::Eq if is_newstate(right) => value(left),
        _ => None,
    }
}

/// tcpdump's words after `tcp-`.
static TCPDUMP: &[&str] = &["syn", "ack", "fin", "rst", "push", "urg"];

/// A value without the conversions around it.
fn plain(mut e: &Expr) -> &Expr {
    while let ExprKind::Cast(inner) = &e.kind {
        e = inner;
    }
    e
}

fn literal(n: i64, ty: &Ty) -> i128 {
    if matches!(ty, Ty::Int { bits: 64, signed: false }) { i128::from(n as u64) } else { i128::from(n) }
}

/// What `5 < x` is of x.
fn turned(op: BinOp) -> BinOp {
    match op {
        BinOp::Lt => BinOp::Gt,
        BinOp::Le => BinOp::Ge,
        BinOp::Gt => BinOp::Lt,
        BinOp::Ge => BinOp::Le,
        same => same,
    }
}

impl<'a> Checker<'a> {
    /// The current task is not the owner of a packet event.
    pub(crate) fn rule_task_in_softirq(&mut self, name: &str, span: Span) {
        let told =
            span.file == self.task_told.file && span.start >= self.task_told.start && span.end <= self.task_told.end;
        // CLOSE → SYN_SENT runs in the task that connects.
        if !TASK.contains(&name) || told || self.newstate == Some(TCP_SYN_SENT) {
            return;
        }
        let Some(target) = self.probe.targets.iter().find(|t| hints::in_softirq(&t.name)) else { return };
        let d = Diagnostic::warning("task-in-softirq", span, format!("{name} is not the connection's owner in {}", target.name))
            .note("it runs in softirq: the current task is whoever was interrupted, often pid 0")
            .note("owners come by socket: join on conn, or remember pid where the process acts (sock:inet_sock_set_state to SYN_SENT)");
        self.report_once(self.probe.span, d);
    }

    /// `/pid != 0/` on a softirq event drops the events that interrupted nobody: most.
    pub(crate) fn rule_task_filter(&mut self, cond: &'a ast::Expr) {
        let task = |e: &ast::Expr| matches!(&e.kind, A::Ident(n) if n == "pid" || n == "tid");
        let zero = |e: &ast::Expr| matches!(e.kind, A::Int { value: 0, .. });
        let drops = match &cond.kind {
            A::Binary { op: BinOp::LogAnd, left, right } => {
                self.rule_task_filter(left);
                self.rule_task_filter(right);
                return;
            }
            A::Binary { op: BinOp::Ne | BinOp::Gt, left, right } => task(left) && zero(right),
            A::Ident(_) => task(cond),
            _ => false,
        };
        let Some(target) = self.probe.targets.iter().find(|t| hints::in_softirq(&t.name)).filter(|_| drops) else {
            return;
        };
        let d = Diagnostic::warning("task-in-softirq", cond.span, format!("this drops most events of {}", target.name))
            .note("it runs in softirq: the current task is whoever was interrupted, often nobody (pid 0), never the connection's owner")
            .write("no predicate: count them all");
        self.task_told = cond.span;
        self.report(d);
    }

    /// `ntop(args.saddr)` where the record has `saddr_v6` too: IPv6 connections show as 0.0.0.0.
    pub(crate) fn rule_ipv4_only(&mut self, e: &'a ast::Expr) {
        let A::Field { name, base, .. } = &e.kind else { return };
        if !matches!(&base.kind, A::Ident(base) if base == "args") {
            return;
        }
        let ArgsCx::Trace(event) = &self.probe.args else { return };
        let six = format!("{}_v6", name.text);
        if !event.fields.iter().any(|f| f.name == six) {
            return;
        }
        let about = self.probe.span;
        let text = self.sources.snippet(about);
        if text.contains(&six) || text.contains("family") {
            return;
        }
        let d = Diagnostic::warning(
            "ipv4-only",
            e.span,
            format!("args.{} is IPv4's: on an IPv6 connection it is 0.0.0.0", name.text),
        )
        .write(format!("args.family == AF_INET ? ntop(args.{}) : ntop(args.{six})", name.text));
        self.report_once(about, d);
    }

    /// `tcp-syn or tcp-ack` is tcpdump's language.
    pub(crate) fn tcpdump_words(&mut self, op: BinOp, left: &ast::Expr, right: &ast::Expr, span: Span) -> bool {
        let (A::Ident(l), A::Ident(r)) = (&left.kind, &right.kind) else { return false };
        let hit = op == BinOp::Sub
            && matches!(l.as_str(), "tcp" | "icmp" | "udp")
            && TCPDUMP.contains(&r.as_str())
            && self.bound_expr(l).is_none();
        if hit {
            let d = Diagnostic::error(
                "tcpdump-words",
                span,
                format!("{l}-{r} is a word of tcpdump's filters, not of predicates"),
            )
            .write(format!("pcap:any /tcp.flags.{r}/ {{ … }}"))
            .write("pcap:any:\"tcp[tcpflags] & (tcp-syn|tcp-fin|tcp-rst) != 0\" { … }");
            self.report(d);
        }
        hit
    }

    /// `r.status == 70000`, `port=80800`: the field has no room for such a number.
    pub(super) fn rule_never_true(&mut self, compared: &Expr) {
        let ExprKind::Binary { op, left, right } = &compared.kind else { return };
        let (field, number, op) = match (&right.kind, &left.kind) {
            (ExprKind::Int(n), _) => (plain(left), literal(*n, &right.ty), *op),
            (_, ExprKind::Int(n)) => (plain(right), literal(*n, &left.ty), turned(*op)),
            _ => return,
        };
        let Ty::Int { bits: bits @ ..=32, signed } = field.ty else { return };
        // What a script computes or keeps has the type that its largest value needs.
        if !matches!(field.kind, ExprKind::Anchor { .. } | ExprKind::Packet(_) | ExprKind::TraceArg { .. }) {
            return;
        }
        let most = (1i128 << (bits - u8::from(signed))) - 1;
        let least = if signed { -most - 1 } else { 0 };
        let never = match op {
            BinOp::Eq => !(least..=most).contains(&number),
            BinOp::Gt => number >= most,
            BinOp::Ge => number > most,
            BinOp::Lt => number <= least,
            BinOp::Le => number < least,
            _ => false,
        };
        if never {
            let text = format!("this is never true: {} holds {least} to {most}", self.sources.snippet(field.span));
            self.report(Diagnostic::warning("never-true", compared.span, text));
        }
    }

    /// `@n > 5` on a counter that nothing ever clears stays true for ever.
    pub(crate) fn rule_counter_compare(&mut self, cond: &'a ast::Expr) {
        let A::Binary { op, left, right } = &cond.kind else { return };
        match op {
            BinOp::LogAnd | BinOp::LogOr => {
                self.rule_counter_compare(left);
                self.rule_counter_compare(right);
                return;
            }
            BinOp::Gt | BinOp::Ge => {}
            _ => return,
        }
        let (A::Map { name, .. }, A::Int { value, .. }) = (&left.kind, &right.kind) else { return };
        let Some(map) = self.quietly(|c| c.map_ref(name, left.span)) else { return };
        let info = self.map_info(map);
        let counts = matches!(info.value.as_ref().map(|v| &v.ty), Some(Ty::Agg(Agg::Count | Agg::Sum { .. })));
        if !counts || info.resets {
            return;
        }
        let d = Diagnostic::warning(
            "never-resets",
            cond.span,
            format!("@{name} only grows: once it is {} {value} it stays so", symbol(*op)),
        )
        .write(format!("rate({}, 10s) {} {value} (in the last 10 s)", self.sources.snippet(left.span), symbol(*op)))
        .write(format!("interval:10s {{ clear(@{name}); }} (then it counts per 10 s)"));
        self.report(d);
    }
}

//! Findings about programs that are well-typed and still don't do what they seem to.

use super::binary::symbol;
use super::cx::Checker;
use super::hints;
use crate::ast::{self, BinOp, ExprKind as A};
use crate::diag::Diagnostic;
use crate::hir::{Agg, Ty};
use crate::span::Span;

/// Builtins about the current task.
static TASK: &[&str] = &["pid", "tid", "comm", "uid", "gid", "username", "cgroup", "ppid", "pcomm", "ustack"];

/// tcpdump's words after `tcp-`.
static TCPDUMP: &[&str] = &["syn", "ack", "fin", "rst", "push", "urg"];

impl<'a> Checker<'a> {
    /// The current task is not the owner of a packet event.
    pub(crate) fn rule_task_in_softirq(&mut self, name: &str, span: Span) {
        if !TASK.contains(&name) {
            return;
        }
        let Some(target) = self.probe.targets.iter().find(|t| hints::in_softirq(&t.name)) else { return };
        let d = Diagnostic::warning("task-in-softirq", span, format!("{name} is not the connection's owner in {}", target.name))
            .note("it runs in softirq: the current task is whoever was interrupted, often pid 0")
            .note("owners come by socket: join on conn, or remember pid where the process acts (sock:inet_sock_set_state to SYN_SENT)");
        self.report_once(self.probe.span, d);
    }

    /// `tcp-syn or tcp-ack` is tcpdump's language.
    pub(crate) fn tcpdump_words(&mut self, op: BinOp, left: &ast::Expr, right: &ast::Expr, span: Span) -> bool {
        let (A::Ident(l), A::Ident(r)) = (&left.kind, &right.kind) else { return false };
        let hit = op == BinOp::Sub
            && matches!(l.as_str(), "tcp" | "icmp" | "udp")
            && TCPDUMP.contains(&r.as_str())
            && self.bound_expr(l).is_none();
        if hit {
            let d = Diagnostic::error("tcpdump-words", span, format!("{l}-{r} is a word of tcpdump's filters, not of predicates"))
                .write(format!("pcap:any /tcp.flags.{r}/ {{ … }}"))
                .write("pcap:any:\"tcp[tcpflags] & (tcp-syn|tcp-fin|tcp-rst) != 0\" { … }");
            self.report(d);
        }
        hit
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
        let d = Diagnostic::warning("never-resets", cond.span, format!("@{name} only grows: once it is {} {value} it stays so", symbol(*op)))
            .write(format!("interval:10s {{ clear(@{name}); }} (then it counts per 10 s)"))
            .note(format!("“{value} in 10 s” as one expression will be rate(@{name}, 10s) {} {value}", symbol(*op)));
        self.report(d);
    }
}

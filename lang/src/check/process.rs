//! `-p PID` and `-c COMMAND`: what is limited to one process, by the kernel where it can, else by the probe's own condition.

use super::cx::{ArgsCx, Checker};
use super::providers::ProviderKind as P;
use super::value::Val;
use crate::hir::{BinOp, Expr, ExprKind, Func, Provider, Space, Ty};
use crate::span::Span;
use crate::world::{Answer, Feature};

impl Checker<'_> {
    /// The process that probes are limited to.
    pub(super) fn traced_pid(&self) -> Option<u32> {
        self.opts.pid.or(self.opts.child_pid)
    }

    /// The process that the kernel is to walk over. None: all; the program leaves out others where the kernel can't.
    pub(super) fn walked_pid(&self, kind: &str) -> Option<u32> {
        // Others have no owner to choose by.
        self.traced_pid().filter(|_| kind.starts_with("task") && !self.chooses_tasks())
    }

    /// Whether a walk's program compares whose task it has come to: before Linux 6.1. (The kernel's number of a process is ours where we are in no
    /// pid namespace; in one such a kernel is asked all the same, and says no.)
    fn chooses_tasks(&self) -> bool {
        self.world.pid_namespace().is_none() && self.world.feature(Feature::IterOfProcess) == Answer::NotThere
    }

    /// The condition of a block with that of its process: of events that cannot be asked of one.
    pub(super) fn of_process(&mut self, predicate: Option<Expr>, span: Span) -> Option<Expr> {
        let Some((ours, pid)) = self.whose(span) else { return predicate };
        let expr = |kind, ty| Expr { kind, ty, span };
        let wanted = expr(ExprKind::Int(i64::from(pid)), ours.ty.clone());
        let kind = ExprKind::Binary { op: BinOp::Eq, left: Box::new(ours), right: Box::new(wanted) };
        let own = expr(kind, Ty::Bool);
        let Some(predicate) = predicate else { return Some(own) };
        let kind = ExprKind::Logical { and: true, left: Box::new(own), right: Box::new(predicate) };
        Some(expr(kind, Ty::Bool))
    }

    /// What says whose an event is, and whose it must be; None: all are meant, or the kernel chooses.
    fn whose(&mut self, span: Span) -> Option<(Expr, u32)> {
        if self.probe.kind() == P::Iter {
            return self.whose_task(span);
        }
        let filtered = matches!(
            self.probe.kind(),
            P::Tracepoint | P::RawTracepoint | P::Kprobe | P::Kretprobe | P::Fentry | P::Fexit
        );
        // What happens to a socket happens in no task: of our own probes only those are asked that are within system calls.
        let within = [":sys_", ":sock_send_length", ":sock_recv_length", ":sock_splice_read"];
        let anywhere = self.opts.hidden.contains(&span.file) && !within.iter().any(|at| self.probe.name().contains(at));
        let pid = self.opts.pid.filter(|_| filtered && !anywhere)?;
        let kind = ExprKind::Call { func: Func::Pid, args: Vec::new() };
        Some((Expr { kind, ty: Ty::U32, span }, pid))
    }

    /// `ctx.task.tgid`, where the kernel walks over the tasks of all processes.
    fn whose_task(&mut self, span: Span) -> Option<(Expr, u32)> {
        let pid = self.traced_pid()?;
        let ArgsCx::Ctx(ty) = self.probe.args.clone() else { return None };
        let all = |p: &Provider| matches!(p, Provider::Iter { kind, pid: None } if kind.starts_with("task"));
        if !self.probe.targets.iter().any(|t| all(&t.provider)) {
            return None;
        }
        let ctx = ExprKind::Call { func: Func::Ctx, args: Vec::new() };
        let ctx = Val::new(ctx, ty, span).with_space(Space::Ctx);
        self.members(ctx, &["task", "tgid"], span).map(|v| (v.e, pid))
    }
}

//! Checks of builtin values.

use super::call::Call;
use super::cx::{ArgsCx, Checker};
use super::providers::ProviderKind;
use super::typeop::typed_literal;
use super::value::Val;
use crate::ast::{self, Ident};
use crate::builtins::values::clock;
use crate::diag::Diagnostic;
use crate::hir::{Clock, ExprKind, Func, Space, StackMode, Ty};
use crate::span::Span;
use crate::world::Feature;

fn value(func: Func, ty: Ty, span: Span) -> Val {
    Val::new(ExprKind::Call { func, args: Vec::new() }, ty, span)
}

/// The word in `pid(init)`, `nsecs(boot)`, `kstack(perf)`.
fn word(e: &ast::Expr) -> Option<&str> {
    match &e.kind {
        ast::ExprKind::Ident(name) => Some(name),
        _ => None,
    }
}

pub(crate) fn pid<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    number(c, call, (Func::Pid, Func::InitPid, Func::TaskNumber { process: true }))
}

pub(crate) fn tid<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    number(c, call, (Func::Tid, Func::InitTid, Func::TaskNumber { process: false }))
}

/// The current task's number, the same in the initial pid namespace, or a given task's.
fn number<'a>(c: &mut Checker<'a>, call: &Call<'a>, (own, init, of_task): (Func, Func, Func)) -> Val {
    let Some(e) = call.arg(0) else { return value(own, Ty::U32, call.span) };
    match word(e) {
        Some("curr_ns") => return value(own, Ty::U32, call.span),
        Some("init") => return value(init, Ty::U32, call.span),
        Some(name) if name != "curtask" && c.bound_expr(name).is_none() => {}
        _ => {
            let task = c.expr(e);
            match &task.e.ty {
                Ty::Ptr { to, .. } if **to == Ty::Struct("task_struct".into()) => {
                    let kind = ExprKind::Call { func: of_task, args: vec![task.e] };
                    return Val::new(kind, Ty::U32, call.span);
                }
                _ if task.is_error() => return task,
                _ => {}
            }
        }
    }
    let asked = word(e).unwrap_or("?");
    let d = Diagnostic::error("bad-argument", e.span, format!("{}() takes curr_ns, init or a task", call.name))
        .write(format!("{}((struct task_struct *)$task)", call.name));
    c.report(d.bpftrace(format!("Invalid PID namespace mode: {asked} (expects: curr_ns or init)")));
    Val::error(call.span)
}

pub(crate) fn comm<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    if call.arg(0).is_some() {
        return super::call_names::comm_of(c, call);
    }
    value(Func::Comm, Ty::Str { cap: 16 }, call.span)
}

/// ppid, pcomm, leader_tid, leader_comm: members of the parent or leader.
pub(crate) fn task_field<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    let (link, member) = match call.row.name {
        "ppid" => ("real_parent", "pid"),
        "pcomm" => ("real_parent", "comm"),
        "leader_tid" => ("group_leader", "pid"),
        _ => ("group_leader", "comm"),
    };
    let task = if let Some(e) = call.arg(0) {
        c.expr(e)
    } else {
        if c.struct_def("task_struct").is_none() && call.row.name == "ppid" {
            return value(Func::Ppid, Ty::U32, call.span);
        }
        task_pointer(call.span)
    };
    let mut v = task;
    for name in [link, member] {
        v = c.builtin_member(v, name, call.span);
    }
    if let Some(text) = super::ctypes::decayed(&v.e.ty) {
        v.e.ty = text;
    }
    v
}

fn task_pointer(span: Span) -> Val {
    let ty = Ty::Ptr { to: Box::new(Ty::Struct("task_struct".into())), space: Space::Kernel };
    value(Func::Curtask, ty, span).with_space(Space::Kernel)
}

pub(crate) fn curtask<'a>(_: &mut Checker<'a>, call: &Call<'a>) -> Val {
    task_pointer(call.span)
}

impl Checker<'_> {
    /// The provider's name; `special` for what no event starts, as bpftrace has it.
    pub(crate) fn probe_type(&self) -> &'static str {
        match self.probe.kind() {
            ProviderKind::Begin | ProviderKind::End | ProviderKind::Signal | ProviderKind::Test => "special",
            _ => self.probe.row.name,
        }
    }

    /// A member that a builtin reads, of a struct or through a pointer.
    pub(crate) fn builtin_member(&mut self, v: Val, name: &str, span: Span) -> Val {
        let v = match &v.e.ty {
            Ty::Ptr { .. } => self.deref_val(v, span),
            _ => v,
        };
        let Ty::Struct(owner) = v.e.ty.clone() else { return Val::error(span) };
        let Some(m) = self.member(&owner, name) else {
            self.unknown_member(&owner, &Ident { text: name.to_owned(), span });
            return Val::error(span);
        };
        let space = v.space;
        let kind = ExprKind::Field { base: Box::new(v.e), name: name.to_owned(), offset: m.offset, bits: m.bits };
        Val::new(kind, super::places::in_space(m.ty, space), span).with_space(space)
    }
}

pub(crate) fn nsecs<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    let which = match call.arg(0) {
        None => Clock::Boot,
        Some(e) => {
            if let Some(which) = word(e).and_then(clock) {
                which
            } else {
                c.error("bad-argument", e.span, "nsecs() takes boot, monotonic, tai or sw_tai");
                return Val::error(call.span);
            }
        }
    };
    value(Func::Nsecs(which), Ty::U64, call.span)
}

pub(crate) fn func_name(c: &Checker<'_>, kind: Func, span: Span) -> Val {
    let longest = c.probe.targets.iter().map(|t| t.name.len()).max().unwrap_or(0) as u32;
    value(kind, Ty::Str { cap: (longest + 1).next_multiple_of(8) }, span)
}

pub(crate) fn func<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    use ProviderKind as P;
    if !matches!(c.probe.kind(), P::Kprobe | P::Kretprobe | P::Fentry | P::Fexit | P::Uprobe | P::Uretprobe) {
        let d = Diagnostic::error("wrong-place", call.span, format!("func is not known in {}", c.probe.name()))
            .note("no function was entered here")
            .bpftrace(format!("The func builtin can not be used with '{}' probes", c.probe_type()));
        c.report(d);
        return Val::error(call.span);
    }
    // One program then serves all functions of a wildcard.
    if matches!(
        c.probe.kind(),
        ProviderKind::Kprobe | ProviderKind::Kretprobe | ProviderKind::Fentry | ProviderKind::Fexit
    ) && c.world.feature(Feature::AttachCookie).is_found()
    {
        return value(Func::FuncIp, Ty::Ksym, call.span);
    }
    func_name(c, Func::FuncName, call.span)
}

pub(crate) fn probe<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    func_name(c, Func::ProbeName, call.span)
}

pub(crate) fn probetype<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    let name = c.probe_type();
    Val::string(name, call.span)
}

pub(crate) fn config<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    c.config_record(call.span)
}

pub(crate) fn retval<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    c.retval(call.span)
}

pub(crate) fn args<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    c.args_value(call.span)
}

pub(crate) fn ctx<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    let ty = match &c.probe.args {
        ArgsCx::Ctx(ty) => ty.clone(),
        _ => Ty::Ptr { to: Box::new(Ty::Void), space: Space::Ctx },
    };
    value(Func::Ctx, ty, call.span).with_space(Space::Ctx)
}

pub(crate) fn kstack<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    match stack(c, call) {
        // The kernel's frames have no build ids.
        Some((StackMode::BuildId, limit)) => value(Func::KStack, Ty::KStack { mode: StackMode::Raw, limit }, call.span),
        Some((mode, limit)) => value(Func::KStack, Ty::KStack { mode, limit }, call.span),
        None => Val::error(call.span),
    }
}

pub(crate) fn ustack<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    match stack(c, call) {
        Some((mode, limit)) => value(Func::UStack, Ty::UStack { mode, limit }, call.span),
        None => Val::error(call.span),
    }
}

/// Bytes of the event ring where stacks travel as samples.
const SAMPLES_RING: u32 = 8 << 20;

/// `dw_ustack`: unwound by `.eh_frame`, so that programs without frame pointers have stacks.
pub(crate) fn dw_ustack<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    if !c.unstable("unstable_dw_ustack", "dw_ustack", call.span) {
        return Val::error(call.span);
    }
    if c.opts.unwound.as_ref().is_some_and(Vec::is_empty) {
        let d = Diagnostic::error(
            "no-target",
            call.span,
            "dw_ustack requires a target process: -p PID, -c CMD or --dwarf-pid PID",
        )
        .bpftrace("dw_ustack requires a target process. Use -p, -c, or --dwarf-pid to specify one.")
        .note("under its own name, `weftrace run` unwinds the stack of any process");
        c.report(d);
        return Val::error(call.span);
    }
    c.config.unwound.clone_from(&c.opts.unwound);
    // A sample takes 16 KiB of the ring.
    if !c.config.entries.iter().any(|(k, _)| k == "ring_bytes" || k == "perf_rb_pages") {
        c.config.ring_bytes = c.config.ring_bytes.max(SAMPLES_RING);
    }
    match stack(c, call) {
        Some((StackMode::BuildId, _)) => {
            let d = Diagnostic::error("bad-argument", call.span, "dw_ustack has no mode build_id")
                .near("bpftrace, perf, raw");
            c.report(d);
            Val::error(call.span)
        }
        Some((mode, limit)) => value(Func::DwStack, Ty::DwStack { mode, limit }, call.span),
        None => Val::error(call.span),
    }
}

/// Mode and limit of `kstack`, `kstack(5)`, `kstack(perf)`, `kstack(perf, 5)`.
fn stack<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Option<(StackMode, u32)> {
    let (mut mode, mut limit) = (c.config.stack_mode, 127);
    for (i, arg) in call.args.iter().enumerate() {
        match word(&arg.value) {
            Some("bpftrace") if i == 0 => mode = StackMode::Bpftrace,
            Some("perf") if i == 0 => mode = StackMode::Perf,
            Some("raw") if i == 0 => mode = StackMode::Raw,
            Some("build_id") if i == 0 => mode = StackMode::BuildId,
            Some(other)
                if c.enumerator(other).is_none()
                    && c.bound_expr(other).is_none()
                    && !c.items.defines.contains_key(other) =>
            {
                let d = if i == 0 {
                    Diagnostic::error("bad-argument", arg.value.span, format!("no stack mode {other}"))
                        .near("bpftrace, perf, raw, build_id")
                } else {
                    Diagnostic::error("bad-argument", arg.value.span, "after the mode stands the number of frames")
                        .write(format!("{}(perf, 5)", call.name))
                };
                c.report(d);
                return None;
            }
            _ => match c.const_int(&arg.value)? {
                n if (1..=127).contains(&n) => limit = n as u32,
                n => {
                    c.error("bad-argument", arg.value.span, format!("a stack has 1 to 127 frames, not {n}"));
                    return None;
                }
            },
        }
    }
    Some((mode, limit))
}

pub(crate) fn cpid<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    if let Some(pid) = c.opts.child_pid {
        typed_literal(i64::from(pid), Ty::U32, call.span)
    } else {
        c.warn("no-child", call.span, "no command was started by -c: cpid is 0");
        typed_literal(0, Ty::U32, call.span)
    }
}

pub(crate) fn has_cpid<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    Val::boolean(c.opts.child_pid.is_some(), call.span)
}

pub(crate) fn default_str_length<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    typed_literal(i64::from(c.config.max_strlen), Ty::U64, call.span)
}

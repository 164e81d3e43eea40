//! Checks of names for numbers: errors, signals, system calls, cgroups.

use super::call::Call;
use super::cx::Checker;
use super::typeop::typed_literal;
use super::value::{Val, coerce};
use crate::diag::Diagnostic;
use crate::hir::{ExprKind, Func, Names, Ty};
use crate::world::Answer;

/// Bytes of such a name (`weftrace_artifact::names::NAME_CAP`).
const NAME_CAP: u32 = 64;

/// `strerror(n)`, `signal_name(n)`, `syscall_name(n)`
pub(crate) fn number_name<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    let names = match call.row.name {
        "strerror" => Names::Errors,
        "signal_name" => Names::Signals,
        _ => Names::Syscalls,
    };
    let Some(e) = call.arg(0) else { return Val::error(call.span) };
    let n = c.number(e, "what is named");
    if n.is_error() {
        return n;
    }
    let kind = ExprKind::Call { func: Func::NameOf(names), args: vec![coerce(n.e, &Ty::I64)] };
    Val::new(kind, Ty::Str { cap: NAME_CAP }, call.span)
}

pub(crate) fn cgroupid<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    let Some(e) = call.arg(0) else { return Val::error(call.span) };
    let Some(path) = c.literal_text(e, "the cgroup's path") else { return Val::error(call.span) };
    match c.world.cgroup_id(&path) {
        Answer::Found(id) => typed_literal(id as i64, Ty::U64, call.span),
        Answer::NotThere => {
            let d = Diagnostic::error("no-cgroup", e.span, format!("there is no cgroup {path}"))
                .note("cgroups are directories, most often under /sys/fs/cgroup");
            c.report(d);
            Val::error(call.span)
        }
        Answer::NotPermitted(why) | Answer::CouldNotTell(why) => {
            c.error("no-permission", e.span, format!("the cgroup {path} cannot be looked at: {why}"));
            Val::error(call.span)
        }
    }
}

/// `cgroup_path(id[, "hierarchy"])`: the type carries which hierarchies are asked.
pub(crate) fn cgroup_path<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    let Some(e) = call.arg(0) else { return Val::error(call.span) };
    let id = c.number(e, "the cgroup's id");
    let filter = match call.arg(1) {
        Some(e) => c.literal_text(e, "the hierarchy"),
        None => Some("*".to_owned()),
    };
    let Some(filter) = filter.filter(|_| !id.is_error()) else { return Val::error(call.span) };
    let kind = ExprKind::Call { func: Func::CgroupPath, args: vec![coerce(id.e, &Ty::U64)] };
    Val::new(kind, Ty::CgroupPath { filter }, call.span)
}

/// The kfunc that a literal names.
fn kfunc_name<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Option<String> {
    let e = call.arg(0)?;
    let v = c.expr(e);
    if v.text().is_none() && !v.is_error() {
        let d = Diagnostic::error("not-a-literal", e.span, "the function is a string written out in quotes")
            .bpftrace(format!("{}() accepts a string literal only", call.name));
        c.report(d);
    }
    v.text().map(str::to_owned)
}

pub(crate) fn kfunc_exist<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    match kfunc_name(c, call) {
        Some(name) => Val::boolean(c.world.kfunc(&name).is_found(), call.span),
        None => Val::error(call.span),
    }
}

pub(crate) fn kfunc_allowed<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    match kfunc_name(c, call) {
        Some(name) => Val::boolean(may_call(c, &name), call.span),
        None => Val::error(call.span),
    }
}

fn may_call(c: &Checker<'_>, name: &str) -> bool {
    matches!(c.world.kfunc_allowed(name, c.probe.row.name), Answer::Found(true))
}

/// `comm(pid)`: from the task of that number in the kernel.
pub(crate) fn comm_of<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    let Some(e) = call.arg(0) else { return Val::error(call.span) };
    let pid = c.number(e, "the process's number");
    if pid.is_error() {
        return pid;
    }
    let mut args = vec![coerce(pid.e, &Ty::I32)];
    for name in ["bpf_task_from_pid", "bpf_task_release"] {
        let id = c.world.kfunc(name).found().filter(|_| may_call(c, name));
        let Some(id) = id else {
            let place = c.probe.name().to_owned();
            let d =
                Diagnostic::error("unsupported-here", call.span, format!("comm(pid) cannot be asked for in {place}"))
                    .note(format!("this kernel lets no program of its kind call {name}"))
                    .bpftrace(format!(
                        "Syntax comm(PID) is not supported in this probe type yet. Type: {}",
                        c.probe_type()
                    ));
            c.report(d);
            return Val::error(call.span);
        };
        args.push(typed_literal(id.into(), Ty::U32, call.span).e);
    }
    Val::new(ExprKind::Call { func: Func::CommOf, args }, Ty::Str { cap: 16 }, call.span)
}

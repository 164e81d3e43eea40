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

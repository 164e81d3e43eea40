//! `path()`: the kernel names a file's path, for those that it lets ask.

use super::call::Call;
use super::call_func::made;
use super::cx::Checker;
use super::types::show;
use super::value::Val;
use crate::diag::Diagnostic;
use crate::hir::{Expr, ExprKind, Func, Provider, Space, Ty};

/// Functions whose programs may call bpf_d_path (btf_allowlist_d_path in the kernel's kernel/trace/bpf_trace.c).
const MAY_ASK: [&str; 9] = [
    "dentry_open",
    "filp_close",
    "security_file_open",
    "security_file_permission",
    "security_inode_getattr",
    "security_path_truncate",
    "vfs_fallocate",
    "vfs_getattr",
    "vfs_truncate",
];

/// Bytes that a path has at most, with its NUL (PATH_MAX).
const LONGEST: i128 = 4096;

/// `path(struct path *[, size])`
pub(crate) fn path<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    let v = c.arg(call, 0);
    let mut cap = c.config.max_strlen;
    if let Some(e) = call.arg(1) {
        match c.const_int(e) {
            Some(n) if (1..=LONGEST).contains(&n) => cap = n as u32,
            Some(n) => {
                c.error("bad-argument", e.span, format!("a path has 1 to {LONGEST} bytes, not {n}"));
                return Val::error(call.span);
            }
            None => return Val::error(call.span),
        }
    }
    if v.is_error() || !may_ask(c, call) {
        return Val::error(call.span);
    }
    let of_path = |ty: &Ty| *ty == Ty::Struct("path".into());
    let address = match &v.e.ty {
        Ty::Ptr { to, .. } if of_path(to) => v.e,
        ty if of_path(ty) => {
            let (ty, span) = (Ty::Ptr { to: Box::new(ty.clone()), space: Space::Kernel }, v.e.span);
            Expr { kind: ExprKind::AddrOf(Box::new(v.e)), ty, span }
        }
        ty => {
            let text = format!("path() takes a struct path, this is {}", show(ty));
            let mut d = Diagnostic::error("bad-argument", v.e.span, text);
            if matches!(ty, Ty::Ptr { to, .. } if **to == Ty::Struct("file".into())) {
                d = d.write("its member f_path");
            }
            c.report(d);
            return Val::error(call.span);
        }
    };
    made(Func::Path, vec![address], Ty::Str { cap }, call.span)
}

/// Whether the kernel lets all of the probe's programs ask.
fn may_ask<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> bool {
    let refused = c.probe.targets.iter().find(|t| match &t.provider {
        Provider::Iter { .. } => false,
        Provider::Fentry { function, bpf: None, .. } => !MAY_ASK.contains(&function.as_str()),
        _ => true,
    });
    let Some(refused) = refused else { return true };
    let d = Diagnostic::error("wrong-place", call.span, format!("the kernel names no paths in {}", refused.name))
        .note(format!("it does in iterators, and in fentry and fexit of {}", MAY_ASK.join(", ")))
        .write("str(….dentry.d_name.name) for the last part of the path")
        .bpftrace("helper bpf_d_path not allowed in probe");
    c.report(d);
    false
}

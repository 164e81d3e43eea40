//! Checks of functions whose result is known, or nearly, at compile time.

use super::address::{AF_INET, parse_net};
use super::call::Call;
use super::cx::Checker;
use super::typeop::typed_literal;
use super::types::int_shape;
use super::value::{Val, cast, coerce};
use crate::ast::{self, ExprKind as A, Ident};
use crate::diag::Diagnostic;
use crate::hir::{Expr, ExprKind, Func, Space, Ty};
use crate::world::Answer;
use weftrace_arch::HOST;

pub(crate) fn pton<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    let Some(e) = call.arg(0) else { return Val::error(call.span) };
    let Some(text) = c.literal_text(e, "the address") else { return Val::error(call.span) };
    let Some((family, net, _)) = parse_net(&text).filter(|_| !text.contains('/')) else {
        c.error("bad-address", e.span, format!("\"{text}\" is no IP address"));
        return Val::error(call.span);
    };
    let len = if family == AF_INET { 4 } else { 16 };
    let bytes = net[..len].to_vec();
    Val::new(ExprKind::Bytes(bytes), Ty::Array { elem: Box::new(Ty::U8), len: len as u32 }, call.span)
}

pub(crate) fn kaddr<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    let Some(e) = call.arg(0) else { return Val::error(call.span) };
    let Some(name) = c.literal_text(e, "the symbol") else { return Val::error(call.span) };
    match c.world.kernel_symbol(&name) {
        Answer::Found(address) => {
            let v = Val::new(ExprKind::Int(address as i64), Ty::U64, call.span);
            v.with_space(Space::Kernel)
        }
        Answer::NotThere => {
            let d = Diagnostic::error("unknown-symbol", call.span, format!("the kernel has no symbol {name}"))
                .note("kernels without CONFIG_KALLSYMS_ALL list functions only, not variables")
                .bpftrace(format!("Failed to resolve kernel symbol: {name}"));
            c.report(d);
            Val::error(call.span)
        }
        Answer::NotPermitted(why) | Answer::CouldNotTell(why) => {
            let d = Diagnostic::error("no-permission", e.span, "addresses of kernel symbols cannot be read").note(why);
            c.report(d);
            Val::error(call.span)
        }
    }
}

/// `percpu_kaddr("symbol"[, cpu])`: the variable's address and the CPU's offset from it, `__per_cpu_offset[cpu]`
/// (include/asm-generic/percpu.h).
pub(crate) fn percpu_kaddr<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    let Some(e) = call.arg(0) else { return Val::error(call.span) };
    let Some(name) = c.literal_text(e, "the symbol") else { return Val::error(call.span) };
    let cpu = match call.arg(1) {
        Some(e) => c.number(e, "the CPU"),
        None => Val::new(ExprKind::Call { func: Func::Cpu, args: Vec::new() }, Ty::U32, call.span),
    };
    if cpu.is_error() {
        return cpu;
    }
    let mut addresses = [0u64; 2];
    for (slot, symbol) in addresses.iter_mut().zip([name.as_str(), "__per_cpu_offset"]) {
        match c.world.kernel_symbol(symbol) {
            Answer::Found(address) => *slot = address,
            Answer::NotThere => {
                let d = Diagnostic::error("unknown-symbol", call.span, format!("the kernel has no symbol {symbol}"))
                    .note("kernels without CONFIG_KALLSYMS_ALL list functions only, not variables")
                    .bpftrace(format!("Failed to resolve kernel symbol: {symbol}"));
                c.report(d);
                return Val::error(call.span);
            }
            Answer::NotPermitted(why) | Answer::CouldNotTell(why) => {
                let d = Diagnostic::error("no-permission", e.span, "addresses of kernel symbols cannot be read");
                c.report(d.note(why));
                return Val::error(call.span);
            }
        }
    }
    let constant = |n: u64| Expr { kind: ExprKind::Int(n as i64), ty: Ty::U64, span: call.span };
    let args = vec![constant(addresses[0]), constant(addresses[1]), coerce(cpu.e, &Ty::U64)];
    let ty = Ty::Ptr { to: Box::new(Ty::U64), space: Space::Kernel };
    Val::new(ExprKind::Call { func: Func::PercpuAddress, args }, ty, call.span).with_space(Space::Kernel)
}

pub(crate) fn reg<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    use super::providers::ProviderKind as P;
    let Some(e) = call.arg(0) else { return Val::error(call.span) };
    let Some(name) = c.literal_text(e, "the register") else { return Val::error(call.span) };
    if !matches!(c.probe.kind(), P::Kprobe | P::Kretprobe | P::Uprobe | P::Uretprobe | P::Usdt) {
        let place = c.probe.name().to_owned();
        c.error("wrong-place", call.span, format!("{place} has no registers: reg() is for kprobe and uprobe"));
        return Val::error(call.span);
    }
    if let Some(offset) = HOST.register(&name) {
        let space = c.probe.space;
        Val::new(ExprKind::Reg { offset: offset.into() }, Ty::U64, call.span).with_space(space)
    } else {
        let names: Vec<&str> = HOST.registers.iter().map(|r| r.0).collect();
        let d = Diagnostic::error("bad-argument", e.span, format!("no register {name}")).note(format!(
            "{} has: {}",
            HOST.title,
            names.join(", ")
        ));
        c.report(d);
        Val::error(call.span)
    }
}

pub(crate) fn strcap<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    let Some(e) = call.arg(0) else { return Val::error(call.span) };
    let ty = c.type_of(e);
    match &ty {
        Ty::Str { cap } | Ty::Array { len: cap, .. } => typed_literal(i64::from(*cap), Ty::U64, call.span),
        // Nothing bounds what a pointer points to but its NUL.
        Ty::Ptr { .. } => super::call_text::strlen(c, call),
        Ty::Error => Val::error(call.span),
        _ => {
            c.error("bad-argument", e.span, "strcap() takes a string");
            Val::error(call.span)
        }
    }
}

pub(crate) fn getopt<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    let Some(e) = call.arg(0) else { return Val::error(call.span) };
    let Some(name) = c.literal_text(e, "the flag's name") else { return Val::error(call.span) };
    let default = match call.arg(1) {
        Some(d) => {
            let v = c.expr(d);
            if !v.lit {
                if !v.is_error() {
                    c.error("not-constant", d.span, "a flag's default is a literal");
                }
                return Val::error(call.span);
            }
            v
        }
        None => Val::boolean(false, call.span),
    };
    let help = match call.arg(2) {
        Some(h) => c.literal_text(h, "the description").unwrap_or_default(),
        None => String::new(),
    };
    c.flag(&name, default, &help, call.span)
}

/// `container_of(p, struct_name, member)`
pub(crate) fn container_of<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    let (Some(p), Some(ty), Some(member)) = (call.arg(0), call.arg(1), call.arg(2)) else {
        return Val::error(call.span);
    };
    let p = c.expr(p);
    let to = match &ty.kind {
        A::TypeOp { operand, .. } => c.operand_type(operand),
        A::Ident(name) => {
            if let Some(t) = c.macro_type(name) {
                t
            } else {
                c.known_struct(name, ty.span);
                Ty::Struct(name.clone())
            }
        }
        _ => Ty::Error,
    };
    let Ty::Struct(owner) = to else {
        c.error("bad-argument", ty.span, "container_of() takes a pointer, a struct type and a member");
        return Val::error(call.span);
    };
    let Some(path) = member_path(member) else {
        c.error("bad-argument", member.span, "the member is a name");
        return Val::error(call.span);
    };
    let (mut at, mut offset) = (owner.clone(), 0u32);
    for (i, name) in path.iter().enumerate() {
        let Some(m) = c.member(&at, name) else {
            c.unknown_member(&at, &Ident { text: name.clone(), span: member.span });
            return Val::error(call.span);
        };
        offset += m.offset;
        match m.ty {
            Ty::Struct(inner) => at = inner,
            _ if i + 1 < path.len() => return Val::error(call.span),
            _ => {}
        }
    }
    if !matches!(p.e.ty, Ty::Ptr { .. } | Ty::Int { .. }) {
        return Val::error(call.span);
    }
    let space = c.pointer_space(&p);
    let bytes = Ty::Ptr { to: Box::new(Ty::U8), space };
    let back = Expr { kind: ExprKind::Int(-i64::from(offset)), ty: Ty::I64, span: call.span };
    let moved = Expr {
        kind: ExprKind::PtrAdd { ptr: Box::new(cast(p.e, bytes.clone())), count: Box::new(back) },
        ty: bytes,
        span: call.span,
    };
    let ty = Ty::Ptr { to: Box::new(Ty::Struct(owner)), space };
    Val::new(ExprKind::Cast(Box::new(moved)), ty, call.span)
}

fn member_path(e: &ast::Expr) -> Option<Vec<String>> {
    super::ident::dotted(e).map(|p| p.iter().map(|p| p.text.to_owned()).collect())
}

/// `is_str(e)` and its like: answered while compiling.
pub(crate) fn type_question<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    let Some(e) = call.arg(0) else { return Val::error(call.span) };
    if call.row.name == "is_literal" {
        let v = c.quietly(|c| c.expr(e));
        return if v.is_error() { v } else { Val::boolean(v.lit, call.span) };
    }
    let ty = c.type_of(e);
    let yes = match (call.row.name, &ty) {
        (_, Ty::Error) => return Val::error(call.span),
        ("is_str", Ty::Str { .. }) | ("is_ptr", Ty::Ptr { .. }) | ("is_array", Ty::Array { .. }) => true,
        ("is_integer", t) => matches!(t, Ty::Int { .. } | Ty::Enum { .. }),
        ("is_unsigned_integer", t) => matches!(t, Ty::Int { .. }) && int_shape(t).is_some_and(|s| !s.1),
        _ => false,
    };
    Val::boolean(yes, call.span)
}

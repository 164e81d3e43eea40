//! Functions about the traced program.

use super::call::Call;
use super::cx::Checker;
use super::value::Val;
use crate::diag::Diagnostic;
use crate::hir::{ExprKind, Func, Provider, Space, Ty};
use crate::world::Answer;

/// `uaddr("symbol")`: its address is known when the probe fires, where the program was loaded.
pub(crate) fn uaddr<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    let Some(e) = call.arg(0) else { return Val::error(call.span) };
    let Some(name) = c.literal_text(e, "the symbol") else { return Val::error(call.span) };
    let mut paths: Vec<String> = Vec::new();
    for target in &c.probe.targets {
        if let Provider::Uprobe { path, .. } | Provider::Usdt { path, .. } = &target.provider
            && !paths.contains(path)
        {
            paths.push(path.clone());
        }
    }
    let mut size = None;
    for path in &paths {
        match c.world.user_symbol(path, &name) {
            Answer::Found(symbol) => size = size.or(Some(symbol.size)),
            Answer::NotThere => {
                let d = Diagnostic::error("unknown-symbol", e.span, format!("{path} has no symbol {name}"));
                c.report(d.bpftrace(format!("Could not resolve symbol: {path}:{name}")));
                return Val::error(call.span);
            }
            Answer::NotPermitted(why) | Answer::CouldNotTell(why) => {
                let d = Diagnostic::error("no-permission", e.span, format!("the symbols of {path} cannot be read"));
                c.report(d.note(why));
                return Val::error(call.span);
            }
        }
    }
    // An array, a struct, a function: words.
    let bits = match size.unwrap_or(8) {
        1 => 8,
        2 => 16,
        4 => 32,
        _ => 64,
    };
    let to = Box::new(Ty::Int { bits, signed: false });
    let kind = ExprKind::Call { func: Func::Uaddr, args: vec![Val::string(&name, e.span).e] };
    Val::new(kind, Ty::Ptr { to, space: Space::User }, call.span).with_space(Space::User)
}

//! HIR → IR: one function per probe body and join handler.
//!
//! Numbers are SSA values; strings, tuples and other aggregates are written to memory where they are wanted (a slot, a record,
//! a map's value) and named by address. What cannot be lowered is a finding with its place in the script, never a panic.
//!
//! | file | family |
//! |---|---|
//! | `expr`, `into` | values in registers, values in memory |
//! | `mem` | places: direct memory, kernel and user memory |
//! | `control` | statements, loops, variables |
//! | `maps`, `aggregates`, `rings` | maps of plain values, aggregations, what they forget |
//! | `strings`, `compare`, `search` | text and bytes |
//! | `net`, `conn` | addresses, connections |
//! | `builtins`, `usdt`, `golang`, `syscalls`, `packet`, `join` | what probes, packets and join results offer |
//! | `dissect` | a packet's headers in the kernel |
//! | `actions` | records for user space |
//! | `warn` | what goes wrong at run time |
//! | `cx`, `ssa` | the function under construction |

mod actions;
mod aggregates;
pub(crate) mod asked;
mod assign;
mod assigned;
mod builtins;
mod coalesce;
mod compare;
mod conn;
mod control;
mod counting;
mod cx;
mod dissect;
mod elements;
mod expr;
mod golang;
mod http_head;
mod into;
mod join;
mod layout;
mod maps;
mod mem;
mod module;
mod names;
mod net;
mod opened;
mod packet;
mod path;
mod rings;
mod sample;
mod search;
mod series;
mod skb;
mod ssa;
mod strings;
mod syscalls;
mod task;
mod twin;
mod updates;
mod usdt;
mod warn;

pub use layout::layout;
pub(crate) use layout::{in_register, stack_mode};
pub use module::{Module, config, not_yet, place};
pub(crate) use syscalls::{has_layout, is_known_field};
pub(crate) use twin::{Twin, has_twin, may_have_twin};

use crate::{
    attach::Word,
    ir::{Function, Target},
    place::{
        Side,
        walk::{self, Node, known},
    },
};
use cx::{Cx, Subject, VarHome};
use std::collections::BTreeSet;
use weftrace_lang::{
    diag::Diagnostic,
    hir::{self, Expr, ExprKind, JoinDef, ProbeDef, Provider, VarRef},
    world::UsdtSite,
};

/// Lowers one probe's body for the side it was placed on. `name` names the function; `target` is the attach point that the probe's
/// name and arguments are about.
pub fn lower_probe<'a>(
    module: &mut Module<'a>,
    probe: &'a ProbeDef,
    target: &'a hir::Target,
    side: Side,
    name: &str,
) -> Result<Function, Box<Diagnostic>> {
    let site = match &target.provider {
        Provider::Usdt { sites, .. } => sites.first(),
        _ => None,
    };
    lower_probe_at(module, probe, Spot { target, site, many: false, words: None, frames: 0, twin: None }, side, name)
}

/// What a probe's function is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot<'a> {
    pub(crate) target: &'a hir::Target,
    /// Of a static marker: each of its places may have its arguments elsewhere.
    pub(crate) site: Option<&'a UsdtSite>,
    /// One function for many targets: which one fired is known when it runs.
    pub(crate) many: bool,
    /// Where the body's numbered arguments are, if not where the script's provider has them.
    pub(crate) words: Option<&'a [Option<Word>]>,
    /// Frames of our own that a kernel stack begins with.
    pub(crate) frames: u8,
    /// It is one of two copies that share the events.
    pub(crate) twin: Option<Twin>,
}

/// The same, for one spot.
pub(crate) fn lower_probe_at<'a, 's>(
    module: &'s mut Module<'a>,
    probe: &'a ProbeDef,
    Spot { target, site, many, words, frames, twin }: Spot<'s>,
    side: Side,
    name: &str,
) -> Result<Function, Box<Diagnostic>> {
    let (ir_target, subject) = match (side, &target.provider) {
        (Side::Kernel(ty), Provider::Pcap { .. }) => (Target::Kernel(ty), Subject::Packet),
        (Side::Kernel(ty), _) => (Target::Kernel(ty), Subject::Program),
        // A view like a packet's, with other fields.
        (_, Provider::Pcap { .. } | Provider::Exchange { .. } | Provider::Telemetry { .. }) => {
            (Target::Native, Subject::Packet)
        }
        (_, Provider::Join { join, .. }) => match module.program.joins.get(join.index()) {
            Some(def) => (Target::Native, Subject::Join(def)),
            None => return Err(Box::new(not_yet(target.span, "this join"))),
        },
        _ => (Target::Native, Subject::None),
    };
    let mut cx = Cx::new(module, name, ir_target, subject, probe.span);
    cx.probe = Some(probe);
    cx.target = Some(target);
    cx.site = site;
    cx.many = many;
    cx.words = words;
    cx.frames = frames;
    declare_vars(&mut cx, probe);
    match target.provider {
        Provider::Iter { .. } => leave_after_last(&mut cx),
        Provider::Syscall { ret, .. } => cx.enter_syscall(ret)?,
        Provider::Pcap { .. } if cx.kernel => cx.plain = Some(cx.dissect(probe)),
        _ => {}
    }
    if probe.predicate.as_ref().is_some_and(|p| known(p) == Some(false)) {
        cx.leave();
        return Ok(cx.finish());
    }
    if let Some(twin) = twin {
        cx.enter_twin(twin);
    }
    if let Some(predicate) = &probe.predicate {
        let (yes, no) = (cx.block(), cx.block());
        cx.with_temps(|cx| cx.branch(predicate, yes, no))?;
        cx.start(no);
        cx.leave();
        cx.start(yes);
    }
    zero_vars(&mut cx, probe);
    cx.block_stmts(&probe.body)?;
    Ok(cx.finish())
}

/// Lowers an expression of a join (filter, total, keep) to a handler that gives its value, 0 where the join is not concerned.
pub fn lower_join_expr<'a>(
    module: &mut Module<'a>,
    join: &'a JoinDef,
    e: &'a Expr,
    name: &str,
) -> Result<Function, Box<Diagnostic>> {
    let mut cx = Cx::new(module, name, Target::Native, Subject::Join(join), e.span);
    let value = if in_register(&e.ty) {
        cx.scalar(e)?
    } else {
        cx.merge(|cx, a, b| cx.branch(e, a, b), |cx| Ok(cx.iconst(1)), |cx| Ok(cx.iconst(0)))?
    };
    Ok(cx.finish_with(value))
}

/// An iterator's program runs once more when all objects have been walked, without one. The object is the context's second word.
fn leave_after_last(cx: &mut Cx<'_, '_>) {
    let ctx = cx.b.ctx();
    let object = cx.load(8, false, mem::Mem::new(ctx, 8));
    let (some, none) = (cx.block(), cx.block());
    cx.brif(object, some, none);
    cx.start(none);
    cx.leave();
    cx.start(some);
}

fn declare_vars(cx: &mut Cx<'_, '_>, probe: &ProbeDef) {
    let (addressed, elements) = (addressed_vars(probe), opened::names(probe));
    for (index, var) in probe.vars.iter().enumerate() {
        let home = if in_register(&var.ty) && !addressed.contains(&VarRef(index as u32)) {
            VarHome::Ssa(cx.new_var())
        } else if elements.contains(&VarRef(index as u32)) {
            VarHome::Element
        } else {
            // A variable that was never typed is never used.
            let size = layout(cx.m.program, &var.ty).map_or(1, |t| t.size());
            VarHome::Slot(cx.b.slot(size.next_multiple_of(8), 8))
        };
        cx.vars.push(home);
    }
}

/// Variables whose address is taken: they live in memory.
fn addressed_vars(probe: &ProbeDef) -> BTreeSet<VarRef> {
    let mut found = BTreeSet::new();
    walk::block(&probe.body, &mut |n| {
        if let Node::Expr(Expr { kind: ExprKind::AddrOf(inner), .. }) = n
            && let ExprKind::Var(v) = inner.kind
        {
            found.insert(v);
        }
    });
    found
}

fn zero_vars(cx: &mut Cx<'_, '_>, probe: &ProbeDef) {
    let unwritten: BTreeSet<VarRef> = assigned::read_before_written(probe);
    for var in unwritten {
        if let Some(VarHome::Slot(slot)) = cx.var_home(var) {
            let size = layout(cx.m.program, &cx.var_ty(var)).map_or(1, |t| t.size());
            let address = cx.b.slot_addr(slot);
            cx.b.fill(address, 0, size);
        }
    }
}

//! What crosses a loop's border.

use super::loops::{Loop, op_of};
use crate::ir::{
    Function, Op, Space, Term, Ty, Value, ValueDef,
    cfg::{Cfg, Positions},
};
use std::collections::BTreeSet;

#[derive(Debug, Default)]
pub(super) struct Border {
    /// Defined before and used within, in order of definition.
    pub(super) within: Vec<Value>,
    /// Defined within and used after.
    pub(super) after: BTreeSet<Value>,
}

/// What a value is made of can be made again anywhere: constants, addresses of slots, loads from the context.
pub(super) fn remade(func: &Function, value: Value) -> bool {
    match op_of(func, value) {
        Some(Op::Iconst(_) | Op::SlotAddr { .. }) => true,
        Some(Op::PtrAdd { ptr, .. }) => remade(func, *ptr) || is_context(func, *ptr),
        Some(Op::Load { ptr, .. }) => is_context(func, *ptr),
        _ => false,
    }
}

fn is_context(func: &Function, value: Value) -> bool {
    func.value_type(value) == Ty::Ptr(Space::Ctx) && value == func.blocks[0].params[0]
}

/// The values that cross. The context is everywhere at hand.
pub(super) fn border(func: &Function, cfg: &Cfg, positions: &Positions, l: &Loop) -> Border {
    let block_of = |v: Value| match func.values[v.index()].def {
        ValueDef::Param(block, _) => Some(block),
        ValueDef::Inst(inst) => positions.of_inst(inst).map(|(block, _)| block),
    };
    let inside = |v: Value| block_of(v).is_some_and(|b| l.blocks.contains(&b));
    let mut within = BTreeSet::new();
    let mut after = BTreeSet::new();
    for &block in cfg.reverse_postorder() {
        let here = l.blocks.contains(&block);
        let mut used = vec![];
        let mut note = |v: Value| used.push(v);
        let data = &func.blocks[block.index()];
        for inst in &data.insts {
            func.insts[inst.index()].op.for_each_use(&mut note);
        }
        match &data.term {
            Term::Brif { cond: v, .. } | Term::Lookup { key: v, .. } | Term::Return(v) => note(*v),
            Term::None | Term::Jump(_) | Term::Reserve { .. } => {}
        }
        for (dest, _) in data.term.targets() {
            if here && !l.blocks.contains(&dest.block) {
                // Arguments of the ways out are used by the caller.
                after.extend(dest.args.iter().copied().filter(|v| inside(*v)));
            } else {
                dest.args.iter().for_each(|v| note(*v));
            }
        }
        for v in used {
            match (here, inside(v)) {
                (true, false) => drop(within.insert(v)),
                (false, true) => drop(after.insert(v)),
                _ => {}
            }
        }
    }
    // What is made again brings what it is made from.
    let mut all = BTreeSet::new();
    for v in within {
        closure(func, v, &mut all);
    }
    all.remove(&func.blocks[0].params[0]);
    let mut within: Vec<Value> = all.into_iter().collect();
    let depth = |v: &Value| made_from(func, *v);
    within.sort_by_key(|v| (depth(v), *v));
    Border { within, after }
}

fn closure(func: &Function, value: Value, all: &mut BTreeSet<Value>) {
    if all.insert(value)
        && remade(func, value)
        && let Some(op) = op_of(func, value)
    {
        op.for_each_use(|v| closure(func, v, all));
    }
}

fn made_from(func: &Function, value: Value) -> u32 {
    match op_of(func, value) {
        Some(Op::PtrAdd { ptr, .. }) => 1 + made_from(func, *ptr),
        Some(Op::Load { .. }) => 1,
        _ => 0,
    }
}

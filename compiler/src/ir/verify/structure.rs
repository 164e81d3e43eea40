//! Blocks, terminators, handles.

use super::{At, Checker};
use crate::ir::{Block, Op, Space, Term, Ty, Value, ValueDef, cfg::Cfg};

pub(super) fn check(c: &mut Checker<'_>) {
    let func = c.func;
    let entry_ok = func.blocks.first().is_some_and(|entry| {
        entry.params.len() == 1 && func.values.get(entry.params[0].index()).is_some_and(|v| v.ty == Ty::Ptr(Space::Ctx))
    });
    if !entry_ok {
        return c.error(At::Function, "the entry block must have one parameter, the context");
    }
    if func.spans.is_empty() {
        c.error(At::Function, "span 0, the whole probe, is missing");
    }
    for (i, slot) in func.slots.iter().enumerate() {
        c.require(matches!(slot.align, 1 | 2 | 4 | 8), At::Function, || format!("ss{i}: alignment {}", slot.align));
        c.require(slot.size > 0 && i64::from(slot.size) <= super::memory::MAX_OBJECT, At::Function, || {
            format!("ss{i}: size {}", slot.size)
        });
    }
    for block in func.blocks() {
        check_block(c, block);
    }
    if !c.errors.is_empty() {
        return;
    }
    let cfg = Cfg::new(func);
    for block in func.blocks() {
        c.require(cfg.is_reachable(block), At::Block(block), || "nothing reaches it".into());
    }
    c.require(cfg.preds(Block(0)).is_empty(), At::Block(Block(0)), || "a jump to the entry".into());
}

fn check_block(c: &mut Checker<'_>, block: Block) {
    let func = c.func;
    let data = &func.blocks[block.index()];
    for (i, param) in data.params.iter().enumerate() {
        let def = func.values.get(param.index()).map(|v| v.def);
        c.require(def == Some(ValueDef::Param(block, i as u32)), At::Block(block), || {
            format!("{param} is not known as its parameter {i}")
        });
    }
    for &inst in &data.insts {
        let Some(data) = func.insts.get(inst.index()) else {
            c.error(At::Block(block), format!("{inst} does not exist"));
            continue;
        };
        let at = At::Inst(inst);
        data.op.for_each_use(|v| in_range(c, at, v));
        check_handles(c, at, &data.op);
        c.require(data.span.index() < func.spans.len(), at, || format!("{} does not exist", data.span));
        c.require(data.result.is_some() == data.op.has_result(), at, || "has a result, or should".into());
        if let Some(result) = data.result {
            let def = func.values.get(result.index()).map(|v| v.def);
            c.require(def == Some(ValueDef::Inst(inst)), at, || format!("{result} is not known as its result"));
        }
    }
    let at = At::Term(block);
    c.require(data.term != Term::None, at, || format!("{block} has no terminator"));
    c.require(data.term_span.index() < func.spans.len(), at, || format!("{} does not exist", data.term_span));
    data.term.for_each_use(|v| in_range(c, at, v));
    for (dest, given) in data.term.targets() {
        let Some(target) = func.blocks.get(dest.block.index()) else {
            c.error(at, format!("{} does not exist", dest.block));
            continue;
        };
        let (wanted, got) = (target.params.len(), dest.args.len() + given);
        c.require(wanted == got, at, || format!("{} wants {wanted} arguments, gets {got}", dest.block));
    }
}

fn in_range(c: &mut Checker<'_>, at: At, value: Value) {
    if value.index() >= c.func.values.len() {
        // The text of `at` shows the value's number.
        c.error(at, format!("{value} does not exist"));
    }
}

fn check_handles(c: &mut Checker<'_>, at: At, op: &Op) {
    let func = c.func;
    match op {
        Op::SlotAddr { slot, .. } => {
            c.require(slot.index() < func.slots.len(), at, || format!("{slot} does not exist"));
        }
        Op::StoreData { data, .. } => {
            c.require(data.index() < func.data.len(), at, || format!("{data} does not exist"));
        }
        Op::FieldOff { path, .. } | Op::Load { path: Some(path), .. } => {
            c.require(path.index() < func.paths.len(), at, || format!("{path} does not exist"));
        }
        _ => {}
    }
}

//! Renumbering: drops what nothing reaches, and numbers the rest in the order of the text form.

use super::{Block, Function, Inst, Value, ValueDef};

/// Drops unreachable blocks and the instructions and values that no block holds, then numbers instructions and values in block
/// order, as the parser does: `parse(print(f))` equals `f` for a compact function. Slots, data, paths and spans stay.
pub fn compact(func: &mut Function) {
    drop_unreachable(func);
    let old_insts = std::mem::take(&mut func.insts);
    let old_values = std::mem::take(&mut func.values);
    let mut slots: Vec<Option<_>> = old_insts.into_iter().map(Some).collect();
    let mut renamed: Vec<Option<Value>> = vec![None; old_values.len()];
    let mut rename = |old: Value, def: ValueDef, values: &mut Vec<_>| {
        let mut data = old_values[old.index()];
        data.def = def;
        values.push(data);
        let new = Value(values.len() as u32 - 1);
        renamed[old.index()] = Some(new);
        new
    };
    for (number, block) in func.blocks.iter_mut().enumerate() {
        for (index, param) in block.params.iter_mut().enumerate() {
            *param = rename(*param, ValueDef::Param(Block(number as u32), index as u32), &mut func.values);
        }
        for inst in &mut block.insts {
            let Some(mut data) = slots[inst.index()].take() else { continue };
            *inst = Inst(func.insts.len() as u32);
            data.result = data.result.map(|v| rename(v, ValueDef::Inst(*inst), &mut func.values));
            func.insts.push(data);
        }
    }
    let new = |v: &mut Value| {
        // A use without a definition stays out of range; the verifier reports it.
        *v = renamed.get(v.index()).copied().flatten().unwrap_or(Value(u32::MAX));
    };
    func.insts.iter_mut().for_each(|i| i.op.for_each_use_mut(new));
    func.blocks.iter_mut().for_each(|b| b.term.for_each_use_mut(new));
}

/// Drops the blocks that no path from the entry reaches; returns whether there were any.
pub fn drop_unreachable(func: &mut Function) -> bool {
    let reached = reachable(func);
    if reached.iter().all(|&r| r) {
        return false;
    }
    let mut renumbered = vec![Block(0); func.blocks.len()];
    let mut next = 0;
    for (block, &keep) in reached.iter().enumerate() {
        renumbered[block] = Block(next);
        next += u32::from(keep);
    }
    let mut index = 0;
    func.blocks.retain(|_| {
        index += 1;
        reached[index - 1]
    });
    for (number, block) in func.blocks.iter_mut().enumerate() {
        for dest in block.term.targets_mut() {
            dest.block = renumbered[dest.block.index()];
        }
        for (i, param) in block.params.iter().enumerate() {
            func.values[param.index()].def = ValueDef::Param(Block(number as u32), i as u32);
        }
    }
    true
}

fn reachable(func: &Function) -> Vec<bool> {
    let mut reached = vec![false; func.blocks.len()];
    let mut work = vec![Block(0)];
    while let Some(block) = work.pop() {
        let Some(seen) = reached.get_mut(block.index()) else { continue };
        if std::mem::replace(seen, true) {
            continue;
        }
        work.extend(func.blocks[block.index()].term.targets().iter().map(|(d, _)| d.block));
    }
    reached
}

//! Block parameters: those that always get the same value become that value, those that nothing uses go.

use super::rewrite::Replacements;
use crate::ir::{Block, Function, Value, ValueDef};

pub(super) fn run(func: &mut Function) -> bool {
    let mut changed = false;
    while same(func) | unused(func) {
        changed = true;
    }
    changed
}

/// The arguments that block's parameters get: one row per way in; None where a terminator supplies a value.
fn arguments(func: &Function) -> Vec<Vec<Vec<Option<Value>>>> {
    let mut rows = vec![vec![]; func.blocks.len()];
    for block in &func.blocks {
        for (dest, given) in block.term.targets() {
            let args = std::iter::repeat_n(None, given).chain(dest.args.iter().copied().map(Some));
            rows[dest.block.index()].push(args.collect());
        }
    }
    rows
}

fn same(func: &mut Function) -> bool {
    let rows = arguments(func);
    let mut replacements = Replacements::new(func);
    let mut dead = vec![];
    for block in func.blocks().skip(1) {
        for (i, &param) in func.blocks[block.index()].params.iter().enumerate() {
            let mut only = None;
            let all_same = rows[block.index()].iter().all(|row: &Vec<Option<Value>>| match row[i] {
                // Going round a loop, a parameter may be passed on to itself.
                Some(arg) if arg == param => true,
                Some(arg) => *only.get_or_insert(arg) == arg,
                None => false,
            });
            if let (true, Some(value)) = (all_same, only) {
                replacements.replace(param, value);
                dead.push((block, i));
            }
        }
    }
    remove(func, &dead);
    replacements.apply(func)
}

/// Parameters that nothing with an effect depends on, and the instructions that did depend on them.
fn unused(func: &mut Function) -> bool {
    let rows = arguments(func);
    let live = needed(func, &rows);
    let mut dead = vec![];
    for block in func.blocks().skip(1) {
        for (i, &param) in func.blocks[block.index()].params.iter().enumerate() {
            let supplied = rows[block.index()].iter().any(|row| row[i].is_none());
            if !live[param.index()] && !supplied {
                dead.push((block, i));
            }
        }
    }
    if dead.is_empty() {
        return false;
    }
    remove(func, &dead);
    for block in &mut func.blocks {
        block.insts.retain(|inst| {
            let data = &func.insts[inst.index()];
            !data.op.is_removable() || data.result.is_some_and(|v| live[v.index()])
        });
    }
    true
}

/// The values that effects, branches and returns depend on.
fn needed(func: &Function, rows: &[Vec<Vec<Option<Value>>>]) -> Vec<bool> {
    let mut live = vec![false; func.values.len()];
    let mut work = vec![];
    for block in &func.blocks {
        for inst in &block.insts {
            let op = &func.insts[inst.index()].op;
            if !op.is_removable() {
                op.for_each_use(|v| work.push(v));
            }
        }
        // What decides or returns; arguments only count if their parameter does.
        let mut term = block.term.clone();
        term.targets_mut().into_iter().for_each(|dest| dest.args.clear());
        term.for_each_use(|v| work.push(v));
    }
    while let Some(value) = work.pop() {
        if std::mem::replace(&mut live[value.index()], true) {
            continue;
        }
        match func.values[value.index()].def {
            ValueDef::Param(block, i) => work.extend(rows[block.index()].iter().filter_map(|row| row[i as usize])),
            ValueDef::Inst(inst) => func.insts[inst.index()].op.for_each_use(|v| work.push(v)),
        }
    }
    live
}

/// Removes parameters (block, index; indexes ascending within a block) and their arguments.
fn remove(func: &mut Function, dead: &[(Block, usize)]) {
    if dead.is_empty() {
        return;
    }
    for block in &mut func.blocks {
        let given: Vec<usize> = block.term.targets().iter().map(|(_, given)| *given).collect();
        for (dest, given) in block.term.targets_mut().into_iter().zip(given) {
            for &(_, i) in dead.iter().rev().filter(|(b, _)| *b == dest.block) {
                dest.args.remove(i - given);
            }
        }
    }
    for &(block, i) in dead.iter().rev() {
        func.blocks[block.index()].params.remove(i);
    }
    for block in func.blocks() {
        for (i, param) in func.blocks[block.index()].params.iter().enumerate() {
            func.values[param.index()].def = ValueDef::Param(block, i as u32);
        }
    }
}

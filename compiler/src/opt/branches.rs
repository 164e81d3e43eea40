//! Branches that always go one way, empty blocks, blocks with one way in, unreachable blocks.

use super::rewrite::{Replacements, use_counts};
use crate::ir::{Block, Dest, Function, Term, Value, cfg::Cfg, compact::drop_unreachable, pointer};

pub(super) fn run(func: &mut Function) -> bool {
    let mut changed = constant_branches(func);
    changed |= drop_unreachable(func);
    changed |= skip_empty(func);
    changed |= drop_unreachable(func);
    changed |= join_chains(func);
    changed
}

/// `brif` on a constant, or with both ways the same.
fn constant_branches(func: &mut Function) -> bool {
    let mut changed = false;
    for block in func.blocks() {
        let Term::Brif { cond, then, otherwise } = &func.blocks[block.index()].term else { continue };
        let dest = match pointer::constant(func, *cond) {
            Some(0) => otherwise,
            Some(_) => then,
            None if then == otherwise => then,
            None => continue,
        };
        func.blocks[block.index()].term = Term::Jump(dest.clone());
        changed = true;
    }
    changed
}

/// Ways to a block that only jumps on go there directly.
fn skip_empty(func: &mut Function) -> bool {
    let uses = use_counts(func);
    let next: Vec<Option<Dest>> = func.blocks().map(|block| onward(func, block, &uses)).collect();
    let mut changed = false;
    for i in 0..func.blocks.len() {
        let mut term = std::mem::replace(&mut func.blocks[i].term, Term::None);
        let given: Vec<usize> = term.targets().iter().map(|(_, given)| *given).collect();
        for (dest, given) in term.targets_mut().into_iter().zip(given) {
            // What a terminator supplies has no other name than the block's parameter.
            if given > 0 {
                continue;
            }
            // Bounded: empty blocks may jump in a circle.
            for _ in 0..func.blocks.len() {
                let Some(on) = &next[dest.block.index()] else { break };
                *dest = substituted(on, &func.blocks[dest.block.index()].params, &dest.args);
                changed = true;
                if on.block.index() == i {
                    break;
                }
            }
        }
        func.blocks[i].term = term;
    }
    changed
}

/// Where an empty block jumps, if its parameters are used by that jump alone.
fn onward(func: &Function, block: Block, uses: &[u32]) -> Option<Dest> {
    let data = &func.blocks[block.index()];
    let Term::Jump(dest) = &data.term else { return None };
    let only_here = |param: &Value| {
        let here = dest.args.iter().filter(|v| *v == param).count() as u32;
        uses[param.index()] == here
    };
    let skippable = data.insts.is_empty() && dest.block != block && data.params.iter().all(only_here);
    skippable.then(|| dest.clone())
}

/// `dest` with `args` in place of `params`.
pub(super) fn substituted(dest: &Dest, params: &[Value], args: &[Value]) -> Dest {
    let arg = |v: &Value| params.iter().position(|p| p == v).map_or(*v, |i| args[i]);
    Dest { block: dest.block, args: dest.args.iter().map(arg).collect() }
}

/// A block that jumps to a block with no other way in takes that one's contents.
fn join_chains(func: &mut Function) -> bool {
    let cfg = Cfg::new(func);
    let mut replacements = Replacements::new(func);
    let mut changed = false;
    for block in func.blocks() {
        while let Term::Jump(dest) = &func.blocks[block.index()].term {
            let (next, args) = (dest.block, dest.args.clone());
            if next == block || cfg.preds(next).len() != 1 {
                break;
            }
            let taken = &mut func.blocks[next.index()];
            let insts = std::mem::take(&mut taken.insts);
            let term = std::mem::replace(&mut taken.term, Term::None);
            let span = taken.term_span;
            for (&param, arg) in std::mem::take(&mut taken.params).iter().zip(args) {
                replacements.replace(param, arg);
            }
            let into = &mut func.blocks[block.index()];
            into.insts.extend(insts);
            (into.term, into.term_span) = (term, span);
            changed = true;
        }
    }
    replacements.apply(func);
    drop_unreachable(func);
    changed
}

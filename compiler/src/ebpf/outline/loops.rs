//! Natural loops, and which of them are worth a callback.

use crate::ir::{Block, Cond, Function, Helper, Inst, Op, Slot, Term, Value, ValueDef, cfg::Cfg};
use std::collections::{BTreeMap, BTreeSet};
use weftrace_artifact::map::MapId;

/// Instructions of a plain scan that the verifier may walk through in place.
const SCAN_LIMIT: i64 = 16384;

/// The blocks of a loop; its header dominates them all.
#[derive(Clone, Debug)]
pub(super) struct Loop {
    pub(super) header: Block,
    pub(super) blocks: BTreeSet<Block>,
}

/// A loop over a map's elements: its header asks for element number n.
#[derive(Clone, Copy, Debug)]
pub(super) struct Elements {
    pub(super) map: MapId,
    pub(super) call: Inst,
    pub(super) key: Value,
    pub(super) value: Value,
}

/// Natural loops, outer ones first.
pub(super) fn find(func: &Function, cfg: &Cfg) -> Vec<Loop> {
    let mut found: BTreeMap<Block, BTreeSet<Block>> = BTreeMap::new();
    for &block in cfg.reverse_postorder() {
        for (dest, _) in func.blocks[block.index()].term.targets() {
            let header = dest.block;
            if !cfg.dominates(header, block) {
                continue;
            }
            let blocks = found.entry(header).or_default();
            blocks.insert(header);
            let mut work = vec![block];
            while let Some(at) = work.pop() {
                if blocks.insert(at) {
                    work.extend(cfg.preds(at).iter().filter(|p| cfg.is_reachable(**p)));
                }
            }
        }
    }
    let mut all: Vec<Loop> = found.into_iter().map(|(header, blocks)| Loop { header, blocks }).collect();
    all.sort_by_key(|l| std::cmp::Reverse(l.blocks.len()));
    all
}

/// Rounds and instructions of a loop that the verifier can walk through as it is: one counter up to a constant, and nothing but
/// looking.
pub(super) fn short_scan(func: &Function, l: &Loop, all: &[Loop]) -> Option<(i64, i64)> {
    let header = &func.blocks[l.header.index()];
    let nested = all.iter().any(|o| o.header != l.header && l.blocks.contains(&o.header));
    let [counter] = header.params[..] else { return None };
    if nested {
        return None;
    }
    let mut length = 0;
    for block in &l.blocks {
        let data = &func.blocks[block.index()];
        if !matches!(data.term, Term::Jump(_) | Term::Brif { .. }) {
            return None;
        }
        if data.insts.iter().any(|i| func.insts[i.index()].op.has_effect()) {
            return None;
        }
        // Constants are parts of the instructions that use them.
        let constant = |i: &&Inst| matches!(func.insts[i.index()].op, Op::Iconst(_));
        length += data.insts.iter().filter(|i| !constant(i)).count() as i64 + 1;
    }
    let rounds = bound(func, &header.term, counter)?;
    let all = rounds.saturating_mul(length);
    (all <= SCAN_LIMIT).then_some((rounds, all))
}

/// The constant that the header compares the counter with.
fn bound(func: &Function, term: &Term, counter: Value) -> Option<i64> {
    let Term::Brif { cond, .. } = term else { return None };
    let Op::Icmp { cond: Cond::Ult | Cond::Slt, a, b } = *op_of(func, *cond)? else { return None };
    match op_of(func, b)? {
        Op::Iconst(n) if a == counter => Some(*n),
        _ => None,
    }
}

pub(super) fn op_of(func: &Function, value: Value) -> Option<&Op> {
    match func.values[value.index()].def {
        ValueDef::Inst(inst) => Some(&func.insts[inst.index()].op),
        ValueDef::Param(..) => None,
    }
}

/// The loop's map, if its header begins by asking for an element and leaves where there is none.
pub(super) fn elements(func: &Function, l: &Loop) -> Option<Elements> {
    let header = &func.blocks[l.header.index()];
    let call = header
        .insts
        .iter()
        .copied()
        .find(|i| matches!(func.insts[i.index()].op, Op::Call { helper: Helper::MapAt, .. }))?;
    let Op::Call { map: Some(map), ref args, .. } = func.insts[call.index()].op else { return None };
    let [_, key, value] = args[..] else { return None };
    let Term::Brif { cond, then, otherwise } = &header.term else { return None };
    let leaves = func.insts[call.index()].result == Some(*cond)
        && l.blocks.contains(&then.block)
        && !l.blocks.contains(&otherwise.block);
    leaves.then_some(Elements { map, call, key, value })
}

/// Whether a call asks for a map's first element: what is left of a loop over elements whose body always leaves it.
pub(super) fn asks_first(func: &Function, inst: Inst) -> bool {
    let Op::Call { helper: Helper::MapAt, ref args, .. } = func.insts[inst.index()].op else { return false };
    args.first().and_then(|index| op_of(func, *index)).is_some_and(|op| matches!(op, Op::Iconst(0)))
}

/// Loops of one round, as [`super::first`] makes them: a block that asks for the first element, and the one that leaves with it.
pub(super) fn single_rounds(func: &Function) -> impl Iterator<Item = Loop> {
    func.blocks().filter_map(|header| {
        let data = &func.blocks[header.index()];
        let [call] = data.insts[..] else { return None };
        let Term::Brif { then, .. } = &data.term else { return None };
        let blocks = BTreeSet::from([header, then.block]);
        asks_first(func, call).then_some(Loop { header, blocks })
    })
}

/// Slots that a function takes the address of.
pub(super) fn slots(func: &Function) -> BTreeSet<Slot> {
    let insts = func.blocks.iter().flat_map(|b| &b.insts);
    insts
        .filter_map(|i| match func.insts[i.index()].op {
            Op::SlotAddr { slot, .. } => Some(slot),
            _ => None,
        })
        .collect()
}

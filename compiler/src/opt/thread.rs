//! Jump threading: a way into a block that does nothing but branch on a parameter, where the argument is known, goes straight to
//! where the branch would. `&&` and `||` come out of lowering in this shape.

use super::branches::substituted;
use super::rewrite::use_counts;
use crate::ir::{BinaryOp, Block, Cond, Dest, Function, Op, Term, Value, ValueDef, compact::drop_unreachable, pointer};

pub(super) fn run(func: &mut Function) -> bool {
    let uses = use_counts(func);
    let mut changed = false;
    for i in 0..func.blocks.len() {
        let mut term = std::mem::replace(&mut func.blocks[i].term, Term::None);
        let given: Vec<usize> = term.targets().iter().map(|(_, given)| *given).collect();
        for (dest, given) in term.targets_mut().into_iter().zip(given) {
            if given == 0
                && dest.block.index() != i
                && let Some(direct) = direct(func, dest, &uses)
            {
                *dest = direct;
                changed = true;
            }
        }
        func.blocks[i].term = term;
    }
    if changed {
        drop_unreachable(func);
    }
    changed
}

/// Where the branch in `dest.block` goes for these arguments.
fn direct(func: &Function, dest: &Dest, uses: &[u32]) -> Option<Dest> {
    let data = &func.blocks[dest.block.index()];
    let Term::Brif { cond, then, otherwise } = &data.term else { return None };
    if !data.insts.is_empty() || !params_stay_here(func, dest.block, uses) {
        return None;
    }
    let param = data.params.iter().position(|p| p == cond)?;
    let taken = if truth(func, dest.args[param])? { then } else { otherwise };
    (taken.block != dest.block).then(|| substituted(taken, &data.params, &dest.args))
}

/// Whether the block's parameters are used by its terminator alone.
fn params_stay_here(func: &Function, block: Block, uses: &[u32]) -> bool {
    let data = &func.blocks[block.index()];
    data.params.iter().all(|&param| {
        let mut here = 0;
        data.term.for_each_use(|v| here += u32::from(v == param));
        uses[param.index()] == here
    })
}

/// Whether `value` is certainly zero or certainly not.
fn truth(func: &Function, value: Value) -> Option<bool> {
    if let Some(n) = pointer::constant(func, value) {
        return Some(n != 0);
    }
    let ValueDef::Inst(inst) = func.values[value.index()].def else { return None };
    match func.insts[inst.index()].op {
        Op::Binary { op: BinaryOp::Bor, b, .. } => pointer::constant(func, b).filter(|n| *n != 0).map(|_| true),
        Op::Icmp { cond: Cond::Eq, a, b } if a == b => Some(true),
        _ => None,
    }
}

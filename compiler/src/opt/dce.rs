//! Dead code: values that nothing uses, writes to slots that nothing reads, slots without a use.

use super::alias::{self, Writes};
use super::liveness::{self, Layout, Live};
use crate::ir::{Function, Helper, Inst, Op, Slot, ValueDef};

pub(super) fn run(func: &mut Function) -> bool {
    let mut changed = unused_values(func);
    changed |= dead_writes(func);
    changed | unused_slots(func)
}

/// Keeps what has an effect, and what that depends on.
fn unused_values(func: &mut Function) -> bool {
    let mut needed = vec![false; func.insts.len()];
    let mut work = vec![];
    for block in &func.blocks {
        for &inst in &block.insts {
            if !func.insts[inst.index()].op.is_removable() {
                needed[inst.index()] = true;
                func.insts[inst.index()].op.for_each_use(|v| work.push(v));
            }
        }
        block.term.for_each_use(|v| work.push(v));
    }
    while let Some(value) = work.pop() {
        if let ValueDef::Inst(inst) = func.values[value.index()].def
            && !std::mem::replace(&mut needed[inst.index()], true)
        {
            func.insts[inst.index()].op.for_each_use(|v| work.push(v));
        }
    }
    retain(func, |inst| needed[inst.index()])
}

fn retain(func: &mut Function, keep: impl Fn(Inst) -> bool) -> bool {
    let mut changed = false;
    for block in &mut func.blocks {
        let before = block.insts.len();
        block.insts.retain(|&inst| keep(inst));
        changed |= block.insts.len() != before;
    }
    changed
}

fn dead_writes(func: &mut Function) -> bool {
    let Some(layout) = Layout::new(func) else { return false };
    let uses = super::rewrite::use_counts(func);
    let ends = liveness::at_ends(func, &layout);
    let mut dead = vec![false; func.insts.len()];
    let mut changed = false;
    for (block, mut live) in func.blocks().zip(ends) {
        for inst in func.blocks[block.index()].insts.clone().into_iter().rev() {
            let data = &func.insts[inst.index()];
            let result_used = data.result.is_some_and(|v| uses[v.index()] > 0);
            if !result_used && is_dead(func, &layout, &live, &data.op) {
                dead[inst.index()] = true;
                continue;
            }
            if let Some(op) = trimmed(func, &layout, &live, &data.op) {
                func.insts[inst.index()].op = op;
                changed = true;
            }
            liveness::before(func, &layout, &func.insts[inst.index()].op, &mut live);
        }
    }
    retain(func, |inst| !dead[inst.index()]) || changed
}

/// Whether `op` does nothing but write bytes that nothing reads.
fn is_dead(func: &Function, layout: &Layout, live: &Live, op: &Op) -> bool {
    let only_writes = match op {
        Op::Store { .. } | Op::StoreData { .. } | Op::Fill { .. } | Op::Copy { .. } | Op::AtomicAdd { .. } => true,
        Op::Call { helper, .. } => is_only_output(*helper),
        _ => false,
    };
    match alias::writes(func, op) {
        Writes::These(bytes) if only_writes => bytes.iter().all(|b| layout.live_part(func, live, b).is_none()),
        _ => false,
    }
}

/// Helpers without an effect besides what they write to their output.
fn is_only_output(helper: Helper) -> bool {
    matches!(
        helper,
        Helper::ReadKernel
            | Helper::ReadUser
            | Helper::ReadKernelStr
            | Helper::ReadUserStr
            | Helper::Comm
            | Helper::TaskComm
            | Helper::CopyStr
            | Helper::HeaderGet
            | Helper::PacketConn
            | Helper::PacketBytes
    )
}

/// A fill without the ends that nothing reads.
fn trimmed(func: &Function, layout: &Layout, live: &Live, op: &Op) -> Option<Op> {
    let Op::Fill { ptr, offset, len } = *op else { return None };
    let Writes::These(bytes) = alias::writes(func, op) else { return None };
    let [bytes] = bytes[..] else { return None };
    if bytes.max - bytes.min != i64::from(len) {
        return None;
    }
    let (first, end) = layout.live_part(func, live, &bytes)?;
    let (skip, keep) = (first - bytes.min, end - first);
    let smaller = keep < i64::from(len);
    smaller.then(|| Op::Fill { ptr, offset: offset + skip as i32, len: keep as u32 })
}

fn unused_slots(func: &mut Function) -> bool {
    let mut used = vec![false; func.slots.len()];
    for inst in func.blocks.iter().flat_map(|b| &b.insts) {
        if let Op::SlotAddr { slot, .. } = func.insts[inst.index()].op {
            used[slot.index()] = true;
        }
    }
    if used.iter().all(|&u| u) {
        return false;
    }
    let mut next = 0;
    let renumbered: Vec<u32> = used
        .iter()
        .map(|&u| {
            next += u32::from(u);
            next.wrapping_sub(1)
        })
        .collect();
    for inst in func.blocks.iter().flat_map(|b| &b.insts) {
        if let Op::SlotAddr { slot, .. } = &mut func.insts[inst.index()].op {
            *slot = Slot(renumbered[slot.index()]);
        }
    }
    let mut i = 0;
    func.slots.retain(|_| {
        i += 1;
        used[i - 1]
    });
    true
}

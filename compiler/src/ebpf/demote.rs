//! More numbers in use at once than registers and frame hold: some move to the scratch map for good.

use super::outline::{Outlined, edit};
use crate::ir::{
    Block, Dest, Function, Helper, Inst, Mem, Op, Size, Slot, SlotData, SpanId, Term, Ty, Value, ValueDef,
    cfg::{Cfg, Positions},
};

/// Numbers moved beyond those that do not fit: stores and loads want registers too.
const SPARE: usize = 16;
/// Parameters of a block that are many.
const CROWD: usize = 20;

/// Gives numbers of a unit a home in the scratch map, those that are longest in use first; whether there were any. `loops`: the counters of loops
/// too, which the verifier would then no longer know.
pub(super) fn demote(outlined: &mut Outlined, unit: usize, bytes: u32, loops: bool) -> bool {
    let func = &outlined.units[unit].func;
    // What many ways bring together is in use all at once where they meet.
    let mut chosen = crowds(func, loops);
    if chosen.is_empty() {
        chosen = longest(func, (bytes / 8) as usize + SPARE, loops);
    }
    for &value in &chosen {
        let slot = Slot(outlined.units[unit].func.slots.len() as u32);
        for unit in &mut outlined.units {
            unit.func.slots.push(SlotData { size: 8, align: 8 });
        }
        move_home(&mut outlined.units[unit].func, value, slot);
    }
    !chosen.is_empty()
}

/// The parameters of blocks that have more than registers and frame could well hold.
fn crowds(func: &Function, loops: bool) -> Vec<Value> {
    let cfg = Cfg::new(func);
    let crowded = cfg.reverse_postorder().iter().map(|b| &func.blocks[b.index()].params).filter(|p| p.len() > CROWD);
    crowded.flatten().copied().filter(|p| func.value_type(*p) == Ty::I64 && movable(func, &cfg, *p, loops)).collect()
}

/// The numbers with the most instructions between their definition and their last use.
fn longest(func: &Function, most: usize, loops: bool) -> Vec<Value> {
    let cfg = Cfg::new(func);
    let positions = Positions::new(func);
    // Where each block starts, were the code laid out in order.
    let mut starts = vec![0u32; func.blocks.len()];
    let mut at = 0;
    for &block in cfg.reverse_postorder() {
        starts[block.index()] = at;
        at += func.blocks[block.index()].insts.len() as u32 + 1;
    }
    let mut last = vec![0u32; func.values.len()];
    for &block in cfg.reverse_postorder() {
        let data = &func.blocks[block.index()];
        let mut at = starts[block.index()];
        for inst in &data.insts {
            func.insts[inst.index()].op.for_each_use(|v| last[v.index()] = last[v.index()].max(at));
            at += 1;
        }
        data.term.for_each_use(|v| last[v.index()] = last[v.index()].max(at));
    }
    let typed = typed(func);
    let length = |value: Value| {
        let (block, at) = positions.of_value(func, value)?;
        let fits = func.value_type(value) == Ty::I64 && cfg.is_reachable(block) && movable(func, &cfg, value, loops);
        let fits = fits && !typed[value.index()];
        let length = last[value.index()].checked_sub(starts[block.index()] + at)?;
        (fits && length > 2).then_some((length, value))
    };
    let mut found: Vec<(u32, Value)> = (0..func.values.len() as u32).filter_map(|v| length(Value(v))).collect();
    found.sort_unstable_by_key(|(length, value)| (std::cmp::Reverse(*length), *value));
    found.into_iter().take(most).map(|(_, value)| value).collect()
}

/// Which numbers are, or lead to, what is read by its type: in memory they have none.
fn typed(func: &Function) -> Vec<bool> {
    let mut typed = vec![false; func.values.len()];
    for inst in func.blocks.iter().flat_map(|block| &block.insts) {
        let Op::Call { helper: Helper::ReadTyped | Helper::DPath | Helper::SocketCookie, args, .. } =
            &func.insts[inst.index()].op
        else {
            continue;
        };
        let mut value = args.first().copied();
        while let Some(here) = value {
            typed[here.index()] = true;
            value = match func.values[here.index()].def {
                ValueDef::Inst(inst) => match func.insts[inst.index()].op {
                    Op::FieldOff { base, .. } => Some(base),
                    _ => None,
                },
                ValueDef::Param(..) => None,
            };
        }
    }
    typed
}

fn movable(func: &Function, cfg: &Cfg, value: Value, loops: bool) -> bool {
    match func.values[value.index()].def {
        ValueDef::Inst(inst) => match func.insts[inst.index()].op {
            // Made where they are used.
            Op::Iconst(_) | Op::Icmp { .. } => false,
            // In memory it has no type.
            Op::Call { helper, .. } => !helper.gives_type(),
            _ => true,
        },
        // Not the entry's.
        ValueDef::Param(block, _) => {
            let simple = |p: &Block| {
                let mut targets = func.blocks[p.index()].term.targets().into_iter();
                (loops || !cfg.dominates(block, *p)) && targets.all(|(dest, own)| dest.block != block || own == 0)
            };
            block != Block(0) && cfg.preds(block).iter().all(simple)
        }
    }
}

fn move_home(func: &mut Function, value: Value, slot: Slot) {
    // Uses first: what is stored is the value itself.
    for block in 0..func.blocks.len() {
        load_uses(func, Block(block as u32), value, slot);
    }
    match func.values[value.index()].def {
        ValueDef::Inst(def) => {
            let at = func.blocks.iter().position(|b| b.insts.contains(&def));
            if let Some(block) = at {
                let after = func.blocks[block].insts.iter().position(|i| *i == def).map_or(0, |i| i + 1);
                let stores = store(func, value, slot, func.insts[def.index()].span);
                func.blocks[block].insts.splice(after..after, stores);
            }
        }
        ValueDef::Param(block, _) => store_arguments(func, block, value, slot),
    }
}

/// The parameter goes; what it was given is stored before the jump. In a loop that is the block's last act: what others are given
/// has been loaded then, parameters of the same block among it.
fn store_arguments(func: &mut Function, block: Block, value: Value, slot: Slot) {
    let Some(number) = func.blocks[block.index()].params.iter().position(|p| *p == value) else { return };
    let cfg = Cfg::new(func);
    let in_loop = cfg.preds(block).iter().any(|p| cfg.dominates(block, *p));
    for from in 0..func.blocks.len() {
        if func.blocks[from].term.targets().len() > 1 {
            split(func, from, block);
        }
    }
    for from in 0..func.blocks.len() {
        let span = func.blocks[from].term_span;
        let Term::Jump(dest) = &mut func.blocks[from].term else { continue };
        if dest.block == block {
            let arg = dest.args.remove(number);
            let stores = store(func, arg, slot, span);
            // As early as can be, so that what is given is no longer in use than it must.
            let insts = &mut func.blocks[from].insts;
            let at = match func.values[arg.index()].def {
                _ if in_loop => insts.len(),
                ValueDef::Inst(def) => insts.iter().position(|i| *i == def).map_or(0, |at| at + 1),
                ValueDef::Param(..) => 0,
            };
            insts.splice(at..at, stores);
        }
    }
    func.blocks[block.index()].params.remove(number);
    for (i, p) in func.blocks[block.index()].params.clone().into_iter().enumerate() {
        func.values[p.index()].def = ValueDef::Param(block, i as u32);
    }
}

/// Gives edges of a branch to `block` blocks of their own.
fn split(func: &mut Function, from: usize, block: Block) {
    let span = func.blocks[from].term_span;
    let edges = func.blocks[from].term.targets().len();
    for edge in 0..edges {
        if func.blocks[from].term.targets()[edge].0.block != block {
            continue;
        }
        let between = edit::push_block(func);
        let mut targets = func.blocks[from].term.targets_mut();
        let dest = std::mem::replace(targets[edge], Dest { block: between, args: vec![] });
        func.blocks[between.index()].term = Term::Jump(dest);
        func.blocks[between.index()].term_span = span;
    }
}

fn store(func: &mut Function, value: Value, slot: Slot, span: SpanId) -> Vec<Inst> {
    let (address, ptr) = edit::detached(func, Op::SlotAddr { slot, offset: 0 }, span);
    let op = Op::Store { size: Size::B8, value, ptr, offset: 0 };
    vec![address, edit::new_inst(func, op, None, span)]
}

/// Each instruction and terminator that uses the value gets it from its home.
fn load_uses(func: &mut Function, block: Block, value: Value, slot: Slot) {
    let mut insts = Vec::with_capacity(func.blocks[block.index()].insts.len());
    for inst in std::mem::take(&mut func.blocks[block.index()].insts) {
        let mut used = false;
        func.insts[inst.index()].op.for_each_use(|v| used |= v == value);
        if used {
            let span = func.insts[inst.index()].span;
            let (loads, again) = load(func, slot, span);
            insts.extend(loads);
            func.insts[inst.index()].op.for_each_use_mut(|v| replace(v, value, again));
        }
        insts.push(inst);
    }
    let mut used = false;
    func.blocks[block.index()].term.for_each_use(|v| used |= v == value);
    if used {
        let (loads, again) = load(func, slot, func.blocks[block.index()].term_span);
        insts.extend(loads);
        func.blocks[block.index()].term.for_each_use_mut(|v| replace(v, value, again));
    }
    func.blocks[block.index()].insts = insts;
}

fn replace(v: &mut Value, old: Value, new: Value) {
    if *v == old {
        *v = new;
    }
}

fn load(func: &mut Function, slot: Slot, span: SpanId) -> ([Inst; 2], Value) {
    let (address, ptr) = edit::detached(func, Op::SlotAddr { slot, offset: 0 }, span);
    let (inst, value) = edit::detached(func, Op::Load { mem: Mem::U64, ptr, offset: 0, path: None }, span);
    ([address, inst], value)
}

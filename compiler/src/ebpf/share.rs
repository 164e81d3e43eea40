//! Which slots are never in use at the same time, so that they can share memory: most temporaries of a script live for one statement.
//!
//! A slot is in use at a point if some use of it lies before on a path, and some use after. Addresses of slots do not
//! get into memory, so uses can be seen; a slot whose address goes through a jump or a select, or becomes a number, counts as
//! always in use.

use super::frame::root;
use crate::ir::{Block, Function, Op, Slot, Space, Ty, Value, ValueDef};

/// A set of slots.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Set(Vec<u64>);

impl Set {
    fn new(len: usize) -> Self {
        Self(vec![0; len.div_ceil(64)])
    }

    fn insert(&mut self, slot: Slot) {
        self.0[slot.index() / 64] |= 1 << (slot.index() % 64);
    }

    fn contains(&self, slot: usize) -> bool {
        self.0[slot / 64] >> (slot % 64) & 1 != 0
    }

    /// Whether it grew.
    fn add(&mut self, other: &Self) -> bool {
        let mut grew = false;
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            grew |= *theirs & !*mine != 0;
            *mine |= theirs;
        }
        grew
    }
}

/// For each pair of slots whether they are in use together.
pub(super) struct Conflicts {
    rows: Vec<Set>,
}

impl Conflicts {
    pub(super) fn new(func: &Function) -> Self {
        let slots = func.slots.len();
        let mut rows = vec![Set::new(slots); slots];
        if slots == 0 {
            return Self { rows };
        }
        let uses = Uses::new(func);
        let before = flow(func, &uses, true);
        let after = flow(func, &uses, false);
        for block in func.blocks() {
            let points = &uses.points[block.index()];
            // Uses before each point of the block, from its start; uses after it, from its end.
            let mut later = vec![after[block.index()].clone()];
            for used in points.iter().rev() {
                let mut set = later[later.len() - 1].clone();
                for &slot in used {
                    set.insert(slot);
                }
                later.push(set);
            }
            let mut earlier = before[block.index()].clone();
            for (used, later) in points.iter().zip(later.iter().rev()) {
                // What is in use changes only at uses.
                if used.is_empty() {
                    continue;
                }
                for &slot in used {
                    earlier.insert(slot);
                }
                conflict(&mut rows, &earlier, later);
            }
            conflict(&mut rows, &earlier, &later[0]);
        }
        for slot in uses.always {
            for (other, row) in rows.iter_mut().enumerate() {
                if other != slot.index() {
                    row.insert(slot);
                }
            }
            (0..slots as u32).map(Slot).filter(|s| *s != slot).for_each(|s| rows[slot.index()].insert(s));
        }
        Self { rows }
    }

    /// Whether the two are ever in use together.
    pub(super) fn between(&self, a: Slot, b: Slot) -> bool {
        self.rows[a.index()].contains(b.index()) || self.rows[b.index()].contains(a.index())
    }
}

fn conflict(rows: &mut [Set], earlier: &Set, later: &Set) {
    let live = Set(earlier.0.iter().zip(&later.0).map(|(a, b)| a & b).collect());
    for (slot, row) in rows.iter_mut().enumerate() {
        if live.contains(slot) {
            row.add(&live);
        }
    }
}

struct Uses {
    /// Per block, per instruction and terminator: slots used.
    points: Vec<Vec<Vec<Slot>>>,
    always: Vec<Slot>,
}

impl Uses {
    fn new(func: &Function) -> Self {
        let mut always = vec![];
        let points = func.blocks.iter().map(|data| {
            let mut points: Vec<Vec<Slot>> = Vec::with_capacity(data.insts.len() + 1);
            for inst in &data.insts {
                let op = &func.insts[inst.index()].op;
                let mut used = vec![];
                op.for_each_use(|v| used.extend(slot_of(func, v)));
                // A number that is an address may be used anywhere.
                if matches!(op, Op::Select { .. } | Op::PtrInt { .. }) {
                    always.append(&mut used);
                }
                points.push(used);
            }
            let mut used = vec![];
            data.term.for_each_use(|v| used.extend(slot_of(func, v)));
            for (dest, _) in data.term.targets() {
                always.extend(dest.args.iter().filter_map(|&v| slot_of(func, v)));
            }
            points.push(used);
            points
        });
        Self { points: points.collect(), always }
    }
}

/// The slot that a stack pointer points into, where the code says it.
fn slot_of(func: &Function, value: Value) -> Option<Slot> {
    if func.value_type(value) != Ty::Ptr(Space::Stack) {
        return None;
    }
    let mut at = value;
    loop {
        if let Some((slot, _)) = root(func, at) {
            return Some(slot);
        }
        let ValueDef::Inst(inst) = func.values[at.index()].def else { return None };
        match func.insts[inst.index()].op {
            Op::PtrIndex { ptr, .. } | Op::PtrAdd { ptr, .. } => at = ptr,
            _ => return None,
        }
    }
}

/// Per block: slots used on some path to its start (`forward`), or on some path from its end.
fn flow(func: &Function, uses: &Uses, forward: bool) -> Vec<Set> {
    let slots = func.slots.len();
    let own: Vec<Set> = (uses.points.iter())
        .map(|points| {
            let mut set = Set::new(slots);
            points.iter().flatten().for_each(|&s| set.insert(s));
            set
        })
        .collect();
    let mut found = vec![Set::new(slots); func.blocks.len()];
    let mut changed = true;
    while changed {
        changed = false;
        for block in func.blocks() {
            for (dest, _) in func.blocks[block.index()].term.targets() {
                let (from, to): (Block, Block) = if forward { (block, dest.block) } else { (dest.block, block) };
                let mut reaching = found[from.index()].clone();
                reaching.add(&own[from.index()]);
                changed |= found[to.index()].add(&reaching);
            }
        }
    }
    found
}

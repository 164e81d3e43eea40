//! Common subexpressions over the dominator tree: pure operations and helper calls; and loads, where nothing on any way between
//! can have changed the bytes. A load after a store of the same bytes is what was stored.

use super::alias::{self, Bytes, Writes};
use super::rewrite::Replacements;
use crate::ir::{Block, Function, Mem, Op, Size, Space, UnaryOp, Value, cfg::Cfg};
use std::collections::HashMap;

pub(super) fn run(func: &mut Function) -> bool {
    let cfg = Cfg::new(func);
    let mut children = vec![vec![]; func.blocks.len()];
    for &block in cfg.reverse_postorder() {
        if let Some(parent) = cfg.idom(block) {
            children[parent.index()].push(block);
        }
    }
    let mut pass = Cse { replacements: Replacements::new(func), pure: HashMap::new(), changed: false };
    // A block's entries go when its subtree is done.
    enum Step {
        Enter(Block, Vec<Known>),
        Leave(Vec<Op>),
    }
    let mut work = vec![Step::Enter(Block(0), vec![])];
    while let Some(step) = work.pop() {
        match step {
            Step::Leave(ops) => pass.pure.retain(|op, _| !ops.contains(op)),
            Step::Enter(block, mut loads) => {
                let added = pass.block(func, block, &mut loads);
                work.push(Step::Leave(added));
                for &child in &children[block.index()] {
                    // What memory holds is only known where the parent is the one way in.
                    let alone = cfg.preds(child) == [block];
                    work.push(Step::Enter(child, if alone { loads.clone() } else { vec![] }));
                }
            }
        }
    }
    let Cse { replacements, changed, .. } = pass;
    replacements.apply(func);
    changed
}

/// Bytes whose value is known.
#[derive(Clone)]
struct Known {
    bytes: Bytes,
    /// The load that gives it; a store counts as one, unsigned.
    op: Op,
    value: Value,
    /// A store's value may have more bits than were stored.
    stored: Option<Size>,
}

struct Cse {
    replacements: Replacements,
    /// Pure operations that dominate the block at hand.
    pure: HashMap<Op, Value>,
    changed: bool,
}

impl Cse {
    /// Handles one block; returns the entries added to `pure`.
    fn block(&mut self, func: &mut Function, block: Block, loads: &mut Vec<Known>) -> Vec<Op> {
        let mut added = vec![];
        for inst in func.blocks[block.index()].insts.clone() {
            let data = &mut func.insts[inst.index()];
            data.op.for_each_use_mut(|v| *v = self.replacements.resolve(*v));
            let (op, result) = (data.op.clone(), data.result);
            if let (Op::Load { .. } | Op::LoadPtr { .. }, Some(result)) = (&op, result) {
                if let Some(new) = self.load(func, &op, result, loads) {
                    func.insts[inst.index()].op = new;
                    self.changed = true;
                }
            } else if let (true, Some(result)) = (is_pure(&op), result) {
                if let Some(&known) = self.pure.get(&op) {
                    self.is(result, known);
                } else {
                    added.push(op.clone());
                    self.pure.insert(op, result);
                }
            } else {
                forget(func, &op, loads);
                remember(func, &op, loads);
            }
        }
        added
    }

    fn is(&mut self, value: Value, known: Value) {
        self.replacements.replace(value, known);
        self.changed = true;
    }

    /// Some: the load becomes this operation.
    fn load(&mut self, func: &Function, op: &Op, result: Value, loads: &mut Vec<Known>) -> Option<Op> {
        let (bytes, exact) = loaded(func, op)?;
        // Ranges (of `ptr_index`) can be equal and the addresses not.
        let same = |known: &&Known| {
            if exact { known.bytes == bytes && matches_load(&known.op, op) } else { known.op == *op }
        };
        let Some(known) = loads.iter().find(same) else {
            loads.push(Known { bytes, op: op.clone(), value: result, stored: None });
            return None;
        };
        match (known.stored, op) {
            (None | Some(Size::B8), _) => {
                let value = known.value;
                self.is(result, value);
                None
            }
            (Some(_), Op::Load { mem, .. }) => extension(*mem).map(|extend| Op::Unary { op: extend, a: known.value }),
            (Some(_), _) => None,
        }
    }
}

fn is_pure(op: &Op) -> bool {
    !op.has_effect() || matches!(op, Op::Call { helper, .. } if helper.row().pure)
}

/// Whether what `known` gives is what `load` would: the same width, sign and kind.
fn matches_load(known: &Op, load: &Op) -> bool {
    match (known, load) {
        (Op::Load { mem: a, path: p, .. }, Op::Load { mem: b, path: q, .. }) => a == b && p == q,
        (Op::LoadPtr { .. }, Op::LoadPtr { .. }) => true,
        _ => false,
    }
}

/// The bytes that a load reads, and whether they are exactly these.
fn loaded(func: &Function, op: &Op) -> Option<(Bytes, bool)> {
    let (ptr, offset, len) = match op {
        Op::Load { mem, ptr, offset, .. } => (*ptr, *offset, mem.bytes()),
        Op::LoadPtr { ptr, offset } => (*ptr, *offset, 8),
        _ => return None,
    };
    let bytes = Bytes::new(func, ptr, offset, Some(len));
    Some((bytes, bytes.max - bytes.min == i64::from(len)))
}

fn extension(mem: Mem) -> Option<UnaryOp> {
    Some(match mem {
        Mem::U8 => UnaryOp::Zext8,
        Mem::U16 => UnaryOp::Zext16,
        Mem::U32 => UnaryOp::Zext32,
        Mem::I8 => UnaryOp::Sext8,
        Mem::I16 => UnaryOp::Sext16,
        Mem::I32 => UnaryOp::Sext32,
        Mem::U64 => return None,
    })
}

/// Drops what `op` may change.
fn forget(func: &Function, op: &Op, loads: &mut Vec<Known>) {
    if alias::touches_maps(op) {
        loads.retain(|known| known.bytes.space != Space::Map);
    }
    if let Writes::These(written) = alias::writes(func, op) {
        loads.retain(|known| !written.iter().any(|w| known.bytes.may_overlap(w)));
    }
}

/// A store makes its bytes known, as every load of that width sees them. Not in map values, which others write too.
fn remember(func: &Function, op: &Op, loads: &mut Vec<Known>) {
    let Op::Store { size, value, ptr, offset } = *op else { return };
    let bytes = Bytes::new(func, ptr, offset, Some(size.bytes()));
    let exact = bytes.max - bytes.min == i64::from(size.bytes());
    if !exact || bytes.space == Space::Map {
        return;
    }
    let mems: &[Mem] = match size {
        Size::B1 => &[Mem::U8, Mem::I8],
        Size::B2 => &[Mem::U16, Mem::I16],
        Size::B4 => &[Mem::U32, Mem::I32],
        Size::B8 => &[Mem::U64],
    };
    for &mem in mems {
        let op = Op::Load { mem, ptr, offset, path: None };
        loads.push(Known { bytes, op, value, stored: Some(size) });
    }
}

//! Where pointers point, as far as the code says it: the object and the range of offsets.

use super::{Block, Function, Op, Slot, Space, Term, Ty, Value, ValueDef};

/// The object that a pointer points into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Root {
    Slot(Slot),
    /// A parameter (of type Ctx, Map, Record, or merged), or a pointer from `select` or `load_ptr`: this value.
    Value(Value),
}

/// A pointer: root + an offset between `min` and `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pointer {
    pub root: Root,
    pub min: i64,
    pub max: i64,
}

impl Pointer {
    /// The offset if it is known exactly.
    pub fn constant(self) -> Option<i64> {
        (self.min == self.max).then_some(self.min)
    }
}

/// Follows address arithmetic from `value` back to its root.
pub fn trace(func: &Function, value: Value) -> Pointer {
    let (mut at, mut min, mut max) = (value, 0_i64, 0_i64);
    // Bounded: a malformed function may have a cycle.
    for _ in 0..=func.values.len() {
        let ValueDef::Inst(inst) = func.values[at.index()].def else { break };
        match func.insts[inst.index()].op {
            Op::SlotAddr { slot, offset } => {
                let offset = i64::from(offset);
                return Pointer { root: Root::Slot(slot), min: min + offset, max: max + offset };
            }
            Op::PtrAdd { ptr, offset } => {
                at = ptr;
                min += i64::from(offset);
                max += i64::from(offset);
            }
            Op::PtrIndex { ptr, max: most, .. } => {
                at = ptr;
                max += i64::from(most);
            }
            _ => break,
        }
    }
    Pointer { root: Root::Value(at), min, max }
}

/// Bytes of the object if the function says it: slots, and records at their `reserve`.
pub fn object_size(func: &Function, root: Root, reserves: &[Option<u32>]) -> Option<i64> {
    match root {
        Root::Slot(slot) => func.slots.get(slot.index()).map(|s| i64::from(s.size)),
        Root::Value(v) => match (func.values[v.index()].def, func.value_type(v)) {
            (ValueDef::Param(block, 0), Ty::Ptr(Space::Record)) => reserves[block.index()].map(i64::from),
            _ => None,
        },
    }
}

/// For each block: the payload size if it is a `reserve`'s `ok`.
pub fn reserve_sizes(func: &Function) -> Vec<Option<u32>> {
    let mut sizes = vec![None; func.blocks.len()];
    for block in func.blocks() {
        if let Term::Reserve { size, ok, .. } = &func.blocks[block.index()].term {
            sizes[ok.block.index()] = Some(*size);
        }
    }
    sizes
}

/// The integer that `value` is, if it is a constant.
pub fn constant(func: &Function, value: Value) -> Option<i64> {
    match func.values[value.index()].def {
        ValueDef::Inst(inst) => match func.insts[inst.index()].op {
            Op::Iconst(n) => Some(n),
            _ => None,
        },
        ValueDef::Param(..) => None,
    }
}

/// The block whose parameter `value` is, if it is one.
pub fn param_block(func: &Function, value: Value) -> Option<Block> {
    match func.values[value.index()].def {
        ValueDef::Param(block, _) => Some(block),
        ValueDef::Inst(_) => None,
    }
}

//! Which accesses can touch the same bytes.

use crate::ir::pointer::{self, Pointer, Root};
use crate::ir::{Arg, Function, Op, Space, Ty, Value};

/// Bytes that an instruction reads or writes: `min..max` of `root`; `space` decides where roots don't.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bytes {
    pub(super) root: Root,
    pub(super) space: Space,
    pub(super) min: i64,
    pub(super) max: i64,
}

impl Bytes {
    /// `len` bytes at `ptr + offset`; `len` None: to the end of the object.
    pub(super) fn new(func: &Function, ptr: Value, offset: i32, len: Option<u32>) -> Self {
        let Pointer { root, min, max } = pointer::trace(func, ptr);
        let (min, max) = (min + i64::from(offset), max + i64::from(offset));
        let space = match func.value_type(ptr) {
            Ty::Ptr(space) => space,
            // Not through a pointer: cannot happen in a verified function.
            Ty::I64 => Space::Data,
        };
        Self { root, space, min, max: len.map_or(i64::MAX, |len| max + i64::from(len)) }
    }

    /// Whether a write to `other` can change these bytes.
    pub(super) fn may_overlap(&self, other: &Self) -> bool {
        if self.space != other.space {
            return false;
        }
        let ranges = self.min < other.max && other.min < self.max;
        match (self.root, other.root) {
            (Root::Slot(a), Root::Slot(b)) => a == b && ranges,
            (Root::Value(a), Root::Value(b)) if a == b => ranges,
            // Records are made anew; two addresses from `lookup` may be of one element.
            (Root::Value(_), Root::Value(_)) => self.space != Space::Record,
            _ => true,
        }
    }
}

/// What an instruction may write.
pub(super) enum Writes {
    Nothing,
    These(Vec<Bytes>),
}

/// A helper's arguments that point to memory it writes, with the length if it is a constant.
pub(super) fn outputs(func: &Function, op: &Op) -> Vec<(Value, Option<u32>)> {
    pointers(func, op, Arg::Out)
}

/// A helper's arguments that point to memory it reads, with the length if it is a constant.
pub(super) fn inputs(func: &Function, op: &Op) -> Vec<(Value, Option<u32>)> {
    pointers(func, op, Arg::In)
}

fn pointers(func: &Function, op: &Op, kind: Arg) -> Vec<(Value, Option<u32>)> {
    let Op::Call { helper, args, .. } = op else { return vec![] };
    let constant = |i: usize| pointer::constant(func, args[i]).and_then(|n| u32::try_from(n).ok());
    let chosen = helper.buffers().into_iter().filter(|(_, k, _)| *k == kind);
    chosen.map(|(i, _, len)| (args[i], len.and_then(constant))).collect()
}

/// Whether the call may change map values, or make their addresses stale.
pub(super) fn touches_maps(op: &Op) -> bool {
    matches!(op, Op::Call { helper, .. } if !helper.row().pure)
}

/// The bytes that `op` writes directly or by a helper's output; map values that a call may change are not among them
/// ([`touches_maps`]).
pub(super) fn writes(func: &Function, op: &Op) -> Writes {
    let one = |ptr: Value, offset: i32, len: u32| Writes::These(vec![Bytes::new(func, ptr, offset, Some(len))]);
    match op {
        Op::Store { size, ptr, offset, .. } | Op::AtomicAdd { size, ptr, offset, .. } => {
            one(*ptr, *offset, size.bytes())
        }
        Op::StoreData { data, ptr, offset } => one(*ptr, *offset, func.data[data.index()].len() as u32),
        Op::Fill { ptr, offset, len } => one(*ptr, *offset, *len),
        Op::Copy { dst, dst_offset, len, .. } => one(*dst, *dst_offset, *len),
        Op::Call { .. } => {
            let outs = outputs(func, op);
            Writes::These(outs.iter().map(|&(ptr, len)| Bytes::new(func, ptr, 0, len)).collect())
        }
        _ => Writes::Nothing,
    }
}

//! Addresses: constant offsets move into slot addresses, accesses and each other.

use super::{Context, Simpler, def};
use crate::ir::{Op, Value};

use Simpler::{Is, Op as Becomes};

impl Context<'_> {
    pub(super) fn address(&mut self, op: &Op) -> Option<Simpler> {
        match *op {
            Op::PtrAdd { ptr, offset: 0 } => Some(Is(ptr)),
            Op::PtrAdd { ptr, offset } => match *def(self.func, ptr)? {
                Op::SlotAddr { slot, offset: base } => {
                    let offset = u32::try_from(i64::from(base) + i64::from(offset)).ok()?;
                    Some(Becomes(Op::SlotAddr { slot, offset }))
                }
                Op::PtrAdd { ptr, offset: base } => {
                    Some(Becomes(Op::PtrAdd { ptr, offset: base.checked_add(offset)? }))
                }
                _ => None,
            },
            Op::PtrIndex { ptr, index, max } => {
                let offset = self.constant(index).filter(|n| (0..=i64::from(max)).contains(n))?;
                Some(Becomes(Op::PtrAdd { ptr, offset: i32::try_from(offset).ok()? }))
            }
            _ => self.access(op.clone()).map(Becomes),
        }
    }

    /// An access through `ptr_add` is one through its base. Relocated loads keep theirs: their offset is not ours to change.
    fn access(&self, mut op: Op) -> Option<Op> {
        let mut changed = self.copy_source(&mut op);
        match &mut op {
            Op::Load { ptr, offset, path: None, .. }
            | Op::LoadPtr { ptr, offset }
            | Op::Store { ptr, offset, .. }
            | Op::StoreData { ptr, offset, .. }
            | Op::Fill { ptr, offset, .. }
            | Op::AtomicAdd { ptr, offset, .. }
            | Op::Copy { dst: ptr, dst_offset: offset, .. } => changed |= self.base(ptr, offset),
            _ => {}
        }
        changed.then_some(op)
    }

    fn copy_source(&self, op: &mut Op) -> bool {
        match op {
            Op::Copy { src, src_offset, .. } => self.base(src, src_offset),
            _ => false,
        }
    }

    fn base(&self, ptr: &mut Value, offset: &mut i32) -> bool {
        let Some(&Op::PtrAdd { ptr: base, offset: more }) = def(self.func, *ptr) else { return false };
        let Some(sum) = offset.checked_add(more) else { return false };
        (*ptr, *offset) = (base, sum);
        true
    }
}

//! Addresses: base plus offset, with what is known of their alignment.

use super::{
    Error, ErrorKind, HEADER, Selector,
    facts::{alignment_of, known_alignment},
};
use crate::{
    ebpf::{
        frame::{self, Home},
        insn::MemSize,
        mir::{FrameSlot, MBase, VSrc},
    },
    ir::{Op, Space, Ty, Value, ValueDef},
};
use regalloc2::VReg;

/// An address; for records the offset counts from the payload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Address {
    pub(super) base: MBase,
    pub(super) offset: i64,
    /// What surely divides the address, at most 8.
    pub(super) align: u32,
    pub(super) space: Space,
}

impl Address {
    /// Bytes between what the base register holds and the meant base.
    pub(super) fn bias(&self) -> i64 {
        if self.space == Space::Record { HEADER } else { 0 }
    }

    /// The widest access at `offset + at` that the alignment allows, not beyond `left` bytes. Only the stack and the context
    /// insist on alignment: every architecture we run on loads and stores elsewhere at any address.
    pub(super) fn widest(&self, at: i64, left: u32) -> MemSize {
        let strict = matches!(self.space, Space::Stack | Space::Ctx);
        let aligned = if strict { self.align.min(alignment_of(self.offset + at)) } else { 8 };
        let bytes = aligned.min(1 << left.max(1).ilog2()).min(8);
        MemSize::of(bytes).expect("a power of two up to 8")
    }
}

impl Selector<'_> {
    fn space(&self, value: Value) -> Space {
        match self.func.value_type(value) {
            Ty::Ptr(space) => space,
            // An integer address: only helpers can read there.
            Ty::I64 => Space::Data,
        }
    }

    /// Takes constant additions apart.
    pub(super) fn address(&mut self, ptr: Value, offset: i64) -> Result<Address, Error> {
        if let Some((slot, at)) = frame::root(self.func, ptr) {
            let offset = offset + at;
            return match self.placement.home(slot) {
                Home::Frame(_) => {
                    let align = frame::alignment(self.func.slots[slot.index()]);
                    let base = MBase::Frame(FrameSlot(slot.0));
                    Ok(Address { base, offset, align, space: Space::Stack })
                }
                Home::Scratch(start) => {
                    let base =
                        self.scratch.ok_or_else(|| self.error(ErrorKind::Malformed("scratch before its look-up")))?;
                    Ok(Address {
                        base: MBase::Reg(base),
                        offset: offset + i64::from(start),
                        align: 8,
                        space: Space::Map,
                    })
                }
                Home::Unused => Err(self.error(ErrorKind::Malformed("slot that no one uses"))),
            };
        }
        let space = self.space(ptr);
        let (mut base, mut total) = (ptr, offset);
        while let Some(&Op::PtrAdd { ptr, offset }) = self.def(base) {
            total += i64::from(offset);
            base = ptr;
        }
        let align = self.base_alignment(base);
        Ok(Address { base: MBase::Reg(self.reg(base)?), offset: total, align, space })
    }

    fn base_alignment(&self, base: Value) -> u32 {
        match self.func.values[base.index()].def {
            ValueDef::Inst(inst) => match self.func.insts[inst.index()].op {
                Op::PtrIndex { ptr, index, max } => {
                    let below = match frame::root(self.func, ptr) {
                        Some((slot, at)) => frame::alignment(self.func.slots[slot.index()]).min(alignment_of(at)),
                        None => 8,
                    };
                    // Where the verifier forgets, it looks at what an index is cut to, too.
                    let cut = if self.forgets { alignment_of(i64::from(max)) } else { 8 };
                    below.min(known_alignment(self.func, index)).min(cut)
                }
                _ => 1,
            },
            // Look-ups, reservations and the context.
            ValueDef::Param(..) if self.space(base) != Space::Stack => 8,
            ValueDef::Param(..) => 1,
        }
    }

    /// The address in a register; `bias` 0 gives it as pointers are held, [`Address::bias`] as it is.
    pub(super) fn address_reg(&mut self, address: Address, bias: i64) -> VReg {
        let offset = address.offset + bias;
        match address.base {
            MBase::Reg(reg) => self.add_imm(reg, offset),
            MBase::Frame(slot) => self.m.lea(slot, offset as i32),
        }
    }

    /// A pointer argument, exactly.
    pub(super) fn pointer(&mut self, ptr: Value, offset: i64) -> Result<VReg, Error> {
        let address = self.address(ptr, offset)?;
        Ok(self.address_reg(address, address.bias()))
    }

    /// Base and 16-bit offset of an access at `at` bytes from the address.
    fn access(&mut self, address: &Address, at: i64) -> (MBase, i16) {
        let offset = address.offset + address.bias() + at;
        match (i16::try_from(offset), address.base) {
            (Ok(off), base) => (base, off),
            (Err(_), MBase::Reg(reg)) => {
                // Keep what neighbours share in the new base.
                let low = offset.rem_euclid(0x1000);
                (MBase::Reg(self.add_imm(reg, offset - low)), low as i16)
            }
            // The frame has 512 bytes: an offset beyond is refused by the verifier, not wrapped.
            (Err(_), base @ MBase::Frame(_)) => (base, i16::MAX),
        }
    }

    pub(super) fn load_at(&mut self, address: &Address, at: i64, size: MemSize) -> VReg {
        let (base, off) = self.access(address, at);
        self.m.load(size, false, base, off, None)
    }

    pub(super) fn store_at(&mut self, address: &Address, at: i64, size: MemSize, value: VSrc) {
        let (base, off) = self.access(address, at);
        self.m.store(size, base, off, value);
    }

    pub(super) fn atomic_add_at(&mut self, address: &Address, size: MemSize, value: VReg) {
        let (base, off) = self.access(address, 0);
        self.m.atomic_add(size, base, off, value);
    }
}

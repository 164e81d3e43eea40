//! Where slots live: in the 512-byte frame, or in this program's entry of the per-CPU scratch map.

use super::{Error, ErrorKind, FRAME_LIMIT, SCRATCH_LIMIT, mir::{FrameSlot, MFunction}};
use crate::ir::{Function, Op, Slot, SlotData, ValueDef, Value};

/// Bytes of the frame left to spilled registers at first.
pub(super) const SPILL_RESERVE: u32 = 128;

const SPILL_SIZE: u32 = 8;

/// A slot's home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Home {
    Unused,
    Frame,
    /// Byte offset in the scratch entry.
    Scratch(u32),
}

#[derive(Debug)]
pub(super) struct Placement {
    homes: Vec<Home>,
    /// Bytes of the scratch entry; 0: none.
    pub(super) scratch_size: u32,
}

impl Placement {
    pub(super) fn home(&self, slot: Slot) -> Home {
        self.homes.get(slot.index()).copied().unwrap_or(Home::Unused)
    }
}

/// The 4-byte key of look-ups that the back end itself makes.
pub(super) fn key_slot(func: &Function) -> FrameSlot {
    FrameSlot(func.slots.len() as u32)
}

/// 8 bytes for reads of context fields that the kernel does not let us load directly.
pub(super) fn read_slot(func: &Function) -> FrameSlot {
    FrameSlot(func.slots.len() as u32 + 1)
}

/// Alignment that we give: wide enough for the widest store that fits.
pub(super) fn alignment(slot: SlotData) -> u32 {
    if slot.size >= 8 { 8 } else { slot.align.max(slot.size.next_power_of_two()).min(8) }
}

/// Divides the slots: the smallest ones get the frame's `budget` bytes.
pub(super) fn place(func: &Function, budget: u32) -> Result<Placement, Error> {
    let mut homes = vec![Home::Unused; func.slots.len()];
    let mut used: Vec<Slot> = used_slots(func);
    used.sort_by_key(|s| (func.slots[s.index()].size, *s));
    let (mut frame, mut scratch) = (0u32, 0u32);
    for slot in used {
        let size = func.slots[slot.index()].size.next_multiple_of(8);
        homes[slot.index()] = if frame + size <= budget {
            frame += size;
            Home::Frame
        } else {
            scratch += size;
            Home::Scratch(scratch - size)
        };
        if scratch > SCRATCH_LIMIT {
            let total = func.slots.iter().map(|s| s.size).sum();
            return Err(Error::new(ErrorKind::ScratchTooLarge { size: total }, func.spans.first().copied()));
        }
    }
    Ok(Placement { homes, scratch_size: scratch })
}

fn used_slots(func: &Function) -> Vec<Slot> {
    let mut used = vec![false; func.slots.len()];
    for block in &func.blocks {
        for inst in &block.insts {
            if let Op::SlotAddr { slot, .. } = func.insts[inst.index()].op
                && let Some(u) = used.get_mut(slot.index())
            {
                *u = true;
            }
        }
    }
    (0..func.slots.len() as u32).map(Slot).filter(|s| used[s.index()]).collect()
}

/// The slot and offset that a stack pointer is known to be.
pub(super) fn root(func: &Function, value: Value) -> Option<(Slot, i64)> {
    let mut at = value;
    let mut total = 0i64;
    loop {
        let ValueDef::Inst(inst) = func.values[at.index()].def else { return None };
        match func.insts[inst.index()].op {
            Op::SlotAddr { slot, offset } => return Some((slot, total + i64::from(offset))),
            Op::PtrAdd { ptr, offset } => {
                total += i64::from(offset);
                at = ptr;
            }
            _ => return None,
        }
    }
}

/// Final offsets from r10.
#[derive(Debug)]
pub(super) struct Layout {
    offsets: Vec<i16>,
    pub(super) size: u32,
}

impl Layout {
    pub(super) fn slot(&self, slot: FrameSlot) -> i16 {
        self.offsets[slot.0 as usize]
    }

    /// Spilled registers come first; the verifier tracks pointers in aligned 8-byte slots.
    pub(super) fn spill(index: usize) -> i16 {
        -((index as i16 + 1) * SPILL_SIZE as i16)
    }
}

/// Assigns offsets; the bytes needed if they exceed the frame.
pub(super) fn lay_out(func: &Function, placement: &Placement, machine: &MFunction, spills: usize) -> Result<Layout, u32> {
    let slots = func.slots.len();
    let mut wanted: Vec<(usize, u32, u32)> = (0..slots)
        .filter(|&i| placement.homes[i] == Home::Frame)
        .map(|i| (i, func.slots[i].size, alignment(func.slots[i])))
        .collect();
    if machine.key_slot_used {
        wanted.push((slots, 4, 4));
    }
    if machine.read_slot_used {
        wanted.push((slots + 1, 8, 8));
    }
    // Widest alignment first wastes nothing between slots.
    wanted.sort_by_key(|&(i, _, align)| (std::cmp::Reverse(align), i));
    let mut offsets = vec![0i16; slots + 2];
    let mut used = spills as u32 * SPILL_SIZE;
    for (index, size, align) in wanted {
        used = (used + size).next_multiple_of(align);
        if used > FRAME_LIMIT {
            continue;
        }
        offsets[index] = -(used as i16);
    }
    let size = used.next_multiple_of(8);
    if size > FRAME_LIMIT { Err(size) } else { Ok(Layout { offsets, size }) }
}

/// How much of the frame slots may have at the next attempt: less by what was too much, and some for the spills of the
/// scratch pointer.
pub(super) fn next_budget(budget: u32, needed: u32) -> u32 {
    budget.saturating_sub((needed - FRAME_LIMIT).max(8) + 16) & !7
}

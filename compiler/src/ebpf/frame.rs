//! Where slots live: in the 512-byte frame, or in this program's entry of the per-CPU scratch map.

use super::{
    Error, ErrorKind, FRAME_LIMIT,
    mir::{FrameSlot, MFunction},
    outline::{Kind, Outlined},
    share::Conflicts,
};
use crate::ir::{Function, Op, Slot, SlotData, Value, ValueDef};

/// Bytes of the frame left to spilled registers at first.
pub(super) const SPILL_RESERVE: u32 = 128;

const SPILL_SIZE: u32 = 8;

/// A slot's home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Home {
    Unused,
    /// Byte offset in the slots' part of the frame.
    Frame(u32),
    /// Byte offset in the scratch entry.
    Scratch(u32),
}

#[derive(Debug)]
pub(super) struct Placement {
    homes: Vec<Home>,
    /// Bytes of the slots' part of the frame.
    frame_size: u32,
    /// Bytes of the scratch entry; 0: none.
    pub(super) scratch_size: u32,
    /// Where in the entry is noted that a run has it, in programs that claim theirs.
    pub(super) claim: Option<u32>,
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

/// The link area, through which loops reach the program's pointers.
pub(super) fn link_slot(func: &Function) -> FrameSlot {
    FrameSlot(func.slots.len() as u32 + 2)
}

/// The address of the scratch entry that the run has claimed, or 0.
pub(super) fn claim_slot(func: &Function) -> FrameSlot {
    FrameSlot(func.slots.len() as u32 + 3)
}

/// Alignment that we give: wide enough for the widest store that fits.
pub(super) fn alignment(slot: SlotData) -> u32 {
    if slot.size >= 8 { 8 } else { slot.align.max(slot.size.next_power_of_two()).min(8) }
}

/// Divides the slots: the smallest ones get the frame's `budget` bytes. Where the budget is short, slots that are not in use at
/// the same time share memory. `func` still has its loops.
pub(super) fn place(
    func: &Function,
    outlined: &Outlined,
    budget: u32,
    (on_stack, scratch_limit): (u32, u32),
    claims: bool,
) -> Result<Placement, Error> {
    let mut used: Vec<Slot> = used_slots(func);
    used.sort_by_key(|s| (func.slots[s.index()].size, *s));
    let total: u32 = used.iter().map(|s| func.slots[s.index()].size.next_multiple_of(8)).sum();
    let conflicts = (total > budget).then(|| Conflicts::new(func));
    let mut frame = Region::default();
    let mut scratch = Region::default();
    let mut homes = vec![Home::Unused; outlined.units[0].func.slots.len()];
    for slot in used {
        let data = func.slots[slot.index()];
        let conflict = |other: Slot| conflicts.as_ref().is_none_or(|c| c.between(slot, other));
        let start = frame.fit(data, conflict);
        homes[slot.index()] =
            if start + data.size <= budget && data.size <= on_stack && !outlined.shared.contains(&slot) {
                frame.put(slot, start, data.size);
                Home::Frame(start)
            } else {
                let start = scratch.fit(data, conflict);
                scratch.put(slot, start, data.size);
                Home::Scratch(start)
            };
    }
    for home in homes.iter_mut().skip(outlined.first_home as usize) {
        let start = scratch.size.next_multiple_of(8);
        *home = Home::Scratch(start);
        scratch.size = start + 8;
    }
    let claim = (claims && scratch.size > 0).then(|| scratch.size.next_multiple_of(8));
    if let Some(at) = claim {
        scratch.size = at + 8;
    }
    if scratch.size > scratch_limit {
        return Err(Error::new(ErrorKind::ScratchTooLarge { size: scratch.size }, func.spans.first().copied()));
    }
    Ok(Placement { homes, frame_size: frame.size, scratch_size: scratch.size.next_multiple_of(8), claim })
}

/// Memory given to slots so far: (slot, start, end).
#[derive(Default)]
struct Region {
    taken: Vec<(Slot, u32, u32)>,
    size: u32,
}

impl Region {
    /// The lowest place where the slot overlaps none that it conflicts with.
    fn fit(&self, data: SlotData, conflict: impl Fn(Slot) -> bool) -> u32 {
        let mut busy: Vec<(u32, u32)> =
            self.taken.iter().filter(|(other, ..)| conflict(*other)).map(|&(_, start, end)| (start, end)).collect();
        busy.sort_unstable();
        let mut at = 0;
        for (start, end) in busy {
            if at + data.size <= start {
                break;
            }
            at = at.max(end).next_multiple_of(alignment(data));
        }
        at
    }

    fn put(&mut self, slot: Slot, start: u32, size: u32) {
        self.taken.push((slot, start, start + size));
        self.size = self.size.max(start + size);
    }
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

/// Final offsets from r10: spilled registers at the top, then the back end's own slots, then the function's.
#[derive(Debug)]
pub(super) struct Layout {
    offsets: Vec<i16>,
    pub(super) size: u32,
}

impl Layout {
    pub(super) fn slot(&self, slot: FrameSlot) -> i16 {
        self.offsets[slot.0 as usize]
    }

    /// The verifier tracks pointers in aligned 8-byte slots.
    pub(super) fn spill(index: usize) -> i16 {
        -((index as i16 + 1) * SPILL_SIZE as i16)
    }
}

/// Assigns offsets; the bytes needed if they exceed the frame.
pub(super) fn lay_out(
    func: &Function,
    kind: Kind,
    placement: &Placement,
    machine: &MFunction,
    spills: usize,
    (limit, link_size): (u32, u32),
) -> Result<Layout, u32> {
    let mut offsets = vec![0i16; func.slots.len() + 4];
    let mut used = spills as u32 * SPILL_SIZE;
    let program = kind == Kind::Program;
    let own = [
        (link_slot(func), link_size, program && link_size > 0),
        (claim_slot(func), 8, program && placement.claim.is_some()),
        (read_slot(func), 8, machine.read_slot_used),
        (key_slot(func), 4, machine.key_slot_used),
    ];
    for (slot, size, _) in own.into_iter().filter(|(.., wanted)| *wanted) {
        used += size;
        offsets[slot.0 as usize] = -(used.min(FRAME_LIMIT) as i16);
    }
    let slots = if program { placement.frame_size } else { 0 };
    let size = (used + slots).next_multiple_of(8);
    if size > limit {
        return Err(size);
    }
    for (offset, home) in offsets.iter_mut().zip(&placement.homes) {
        if let Home::Frame(start) = home {
            *offset = *start as i16 - size as i16;
        }
    }
    Ok(Layout { offsets, size })
}

/// How much of the frame slots may have at the next attempt: less by what was too much, and some for the spills of the
/// scratch pointer.
pub(super) fn next_budget(budget: u32, needed: u32, limit: u32) -> u32 {
    budget.saturating_sub(needed.saturating_sub(limit).max(8) + 16) & !7
}

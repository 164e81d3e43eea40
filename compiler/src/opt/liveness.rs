//! Which bytes of slots may still be read: backwards over the blocks, byte by byte.

use super::alias::{self, Bytes};
use crate::ir::pointer::{self, Root};
use crate::ir::{Block, Function, Helper, Op, Slot, Space, Term, Ty, Value, cfg::Cfg};

/// Slots of more bytes than this in all are not looked at.
const MAX_BYTES: usize = 1 << 16;

/// A set of slots' bytes.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Live {
    words: Vec<u64>,
}

impl Live {
    fn none(layout: &Layout) -> Self {
        Self { words: vec![0; layout.total.div_ceil(64)] }
    }

    fn set(&mut self, range: std::ops::Range<usize>, to: bool) {
        for i in range {
            if to {
                self.words[i / 64] |= 1 << (i % 64);
            } else {
                self.words[i / 64] &= !(1 << (i % 64));
            }
        }
    }

    fn get(&self, i: usize) -> bool {
        self.words[i / 64] >> (i % 64) & 1 == 1
    }

    fn add(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(a, b)| *a |= b);
    }
}

/// Where each slot's bytes are in the set.
pub(super) struct Layout {
    starts: Vec<usize>,
    total: usize,
    /// Slots whose address is a number somewhere: reads of them can't be seen.
    escaped: Vec<bool>,
}

impl Layout {
    /// None: too large.
    pub(super) fn new(func: &Function) -> Option<Self> {
        let mut total = 0_usize;
        let starts = func.slots.iter().map(|slot| {
            let start = total;
            total = total.saturating_add(slot.size as usize);
            start
        });
        let starts = starts.collect();
        let mut escaped = vec![false; func.slots.len()];
        for inst in func.blocks.iter().flat_map(|b| &b.insts) {
            if let Op::PtrInt { ptr } = func.insts[inst.index()].op {
                match pointer::trace(func, ptr).root {
                    Root::Slot(slot) => escaped[slot.index()] = true,
                    Root::Value(_) if func.value_type(ptr) == Ty::Ptr(Space::Stack) => escaped.fill(true),
                    Root::Value(_) => {}
                }
            }
        }
        (total <= MAX_BYTES).then_some(Self { starts, total, escaped })
    }

    /// The bytes of `slot` from `min` to `max`, cut to the slot.
    fn range(&self, func: &Function, slot: Slot, min: i64, max: i64) -> std::ops::Range<usize> {
        let size = i64::from(func.slots[slot.index()].size);
        let start = self.starts[slot.index()];
        start + min.clamp(0, size) as usize..start + max.clamp(0, size) as usize
    }

    /// The live bytes among those that a write covers, as offsets (first, end); None: none are. Writes through pointers
    /// of unknown root count as live.
    pub(super) fn live_part(&self, func: &Function, live: &Live, bytes: &Bytes) -> Option<(i64, i64)> {
        let Root::Slot(slot) = bytes.root else { return Some((bytes.min, bytes.max)) };
        if self.escaped[slot.index()] {
            return Some((bytes.min, bytes.max));
        }
        let range = self.range(func, slot, bytes.min, bytes.max);
        let offset = |i: usize| (i - self.starts[slot.index()]) as i64;
        let first = range.clone().find(|&i| live.get(i))?;
        let last = range.rev().find(|&i| live.get(i))?;
        Some((offset(first), offset(last) + 1))
    }
}

/// The live bytes at the end of each block (before its terminator reads).
pub(super) fn at_ends(func: &Function, layout: &Layout) -> Vec<Live> {
    let cfg = Cfg::new(func);
    let mut starts = vec![Live::none(layout); func.blocks.len()];
    let mut ends = starts.clone();
    let mut changed = true;
    while changed {
        changed = false;
        for &block in cfg.reverse_postorder().iter().rev() {
            let mut live = Live::none(layout);
            for (dest, _) in func.blocks[block.index()].term.targets() {
                live.add(&starts[dest.block.index()]);
            }
            before_term(func, layout, &func.blocks[block.index()].term, &mut live);
            ends[block.index()].clone_from(&live);
            before_block(func, layout, block, &mut live);
            if starts[block.index()] != live {
                starts[block.index()] = live;
                changed = true;
            }
        }
    }
    ends
}

fn before_block(func: &Function, layout: &Layout, block: Block, live: &mut Live) {
    for inst in func.blocks[block.index()].insts.iter().rev() {
        before(func, layout, &func.insts[inst.index()].op, live);
    }
}

fn before_term(func: &Function, layout: &Layout, term: &Term, live: &mut Live) {
    if let Term::Lookup { key, .. } = *term {
        read(func, layout, key, 0, None, live);
    }
}

/// Changes `live` from what it is after `op` to what it is before.
pub(super) fn before(func: &Function, layout: &Layout, op: &Op, live: &mut Live) {
    match *op {
        Op::Load { mem, ptr, offset, .. } => read(func, layout, ptr, offset, Some(mem.bytes()), live),
        Op::AtomicAdd { size, ptr, offset, .. } => read(func, layout, ptr, offset, Some(size.bytes()), live),
        Op::Store { size, ptr, offset, .. } => overwrite(func, layout, ptr, offset, size.bytes(), live),
        Op::StoreData { data, ptr, offset } => {
            overwrite(func, layout, ptr, offset, func.data[data.index()].len() as u32, live);
        }
        Op::Fill { ptr, offset, len } => overwrite(func, layout, ptr, offset, len, live),
        Op::Copy { dst, dst_offset, src, src_offset, len } => {
            overwrite(func, layout, dst, dst_offset, len, live);
            read(func, layout, src, src_offset, Some(len), live);
        }
        Op::Call { helper, .. } => {
            for (ptr, len) in alias::outputs(func, op) {
                if let (true, Some(len)) = (writes_all(helper), len) {
                    overwrite(func, layout, ptr, 0, len, live);
                }
            }
            for (ptr, len) in alias::inputs(func, op) {
                read(func, layout, ptr, 0, len, live);
            }
        }
        _ => {}
    }
}

/// Helpers that always write the whole of their output.
fn writes_all(helper: Helper) -> bool {
    matches!(
        helper,
        Helper::ReadKernel | Helper::ReadUser | Helper::Comm | Helper::TaskComm | Helper::CopyStr | Helper::CopyHeaders
    )
}

fn read(func: &Function, layout: &Layout, ptr: Value, offset: i32, len: Option<u32>, live: &mut Live) {
    let bytes = Bytes::new(func, ptr, offset, len);
    if bytes.space != Space::Stack {
        return;
    }
    match bytes.root {
        Root::Slot(slot) => live.set(layout.range(func, slot, bytes.min, bytes.max), true),
        // A pointer that may be to any slot.
        Root::Value(_) => live.set(0..layout.total, true),
    }
}

fn overwrite(func: &Function, layout: &Layout, ptr: Value, offset: i32, len: u32, live: &mut Live) {
    let bytes = Bytes::new(func, ptr, offset, Some(len));
    let exact = bytes.max - bytes.min == i64::from(len);
    if let (Root::Slot(slot), true) = (bytes.root, exact) {
        live.set(layout.range(func, slot, bytes.min, bytes.max), false);
    }
}

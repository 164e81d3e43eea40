//! Statements on memory: slots, context, maps, records.

use super::{CTX_SIZE, Generator, MAPS};
use crate::ir::{BinaryOp, Helper, Mem, Size, Space, Ty, Value};
use weftrace_artifact::{action::ActionId, map::MapId};

const MEMS: [Mem; 7] = [Mem::U64, Mem::U8, Mem::U16, Mem::U32, Mem::I8, Mem::I16, Mem::I32];
const SIZES: [Size; 4] = [Size::B8, Size::B1, Size::B2, Size::B4];

impl Generator<'_> {
    /// An address in a slot and the bytes from there to its end; the address is aligned to 8.
    fn place(&mut self) -> (Value, u32) {
        let chosen = self.below(self.slots.len());
        let (slot, size) = self.slots[chosen];
        let offset = self.below(size as usize / 8) as u32 * 8;
        match self.below(3) {
            0 => (self.b.slot_addr_at(slot, offset), size - offset),
            1 => {
                let start = self.b.slot_addr(slot);
                (self.b.ptr_add(start, offset as i32), size - offset)
            }
            _ => {
                // Any word of the first power of two of them.
                let words = (size / 8).next_power_of_two() >> u32::from(!(size / 8).is_power_of_two());
                let index = self.int();
                let max = (words - 1) * 8;
                let index = self.b.binary_imm(BinaryOp::Band, index, i64::from(max));
                let start = self.b.slot_addr(slot);
                (self.b.ptr_index(start, index, max), size - max)
            }
        }
    }

    /// An offset for an access of `bytes` below `room`.
    fn offset(&mut self, room: u32, bytes: u32) -> i32 {
        (self.below((room / bytes) as usize) as u32 * bytes) as i32
    }

    pub(super) fn load_ctx(&mut self) {
        let ctx = self.b.ctx();
        let offset = self.below(CTX_SIZE / 8) as i32 * 8;
        let value = self.b.load(Mem::U64, ctx, offset);
        self.ints.push(value);
    }

    pub(super) fn load(&mut self) {
        let mem = MEMS[self.below(MEMS.len())];
        let (ptr, room) = self.place();
        let offset = self.offset(room, mem.bytes());
        let value = self.b.load(mem, ptr, offset);
        self.ints.push(value);
    }

    pub(super) fn store(&mut self) {
        let size = SIZES[self.below(SIZES.len())];
        let value = self.int();
        let (ptr, room) = self.place();
        let offset = self.offset(room, size.bytes());
        self.b.store(size, value, ptr, offset);
    }

    pub(super) fn atomic_add(&mut self) {
        let size = [Size::B8, Size::B4][self.below(2)];
        let value = self.int();
        let (ptr, room) = self.place();
        let offset = self.offset(room, size.bytes());
        self.b.atomic_add(size, value, ptr, offset);
    }

    pub(super) fn fill(&mut self) {
        let (ptr, room) = self.place();
        let len = room.min(1 + u32::from(self.byte()));
        self.b.fill(ptr, 0, len);
    }

    pub(super) fn store_data(&mut self) {
        let (ptr, room) = self.place();
        let data: Vec<u8> = (0..=self.below(room.min(20) as usize)).map(|_| self.byte()).collect();
        self.b.store_data(&data, ptr, 0);
    }

    /// Between different slots, so that nothing overlaps.
    pub(super) fn copy(&mut self) {
        let from = self.below(self.slots.len());
        let to = (from + 1 + self.below(self.slots.len() - 1)) % self.slots.len();
        let (from, to) = (self.slots[from], self.slots[to]);
        let len = from.1.min(to.1).min(1 + u32::from(self.byte()));
        let (src, dst) = (self.b.slot_addr(from.0), self.b.slot_addr(to.0));
        self.b.copy((dst, 0), (src, 0), len);
    }

    fn free_map(&mut self) -> Option<usize> {
        let map = self.below(MAPS.len());
        (!self.locked[map]).then_some(map)
    }

    /// A key made of a small number, so that keys meet.
    fn key(&mut self) -> Value {
        let n = self.int();
        let n = self.b.binary_imm(BinaryOp::Band, n, 3);
        let (slot, _) = self.slots[self.slots.len() - 2];
        let key = self.b.slot_addr(slot);
        self.b.store(Size::B4, n, key, 0);
        key
    }

    pub(super) fn map_update(&mut self) {
        let Some(map) = self.free_map() else { return };
        let key = self.key();
        let (slot, _) = self.slots[self.slots.len() - 1];
        let value = self.b.slot_addr(slot);
        let flags = [0, 0, 1, 2][self.below(4)];
        let flags = self.b.iconst(flags);
        let result = self.b.call_map(Helper::MapUpdate, MapId(map as u32), &[key, value, flags]);
        self.ints.push(result);
    }

    pub(super) fn map_delete(&mut self) {
        // Not from the array: the kernel refuses at load what it can see.
        if !self.locked[0] {
            let key = self.key();
            let result = self.b.call_map(Helper::MapDelete, MapId(0), &[key]);
            self.ints.push(result);
        }
    }

    /// Looks up, works on the value where it is found, and merges one integer.
    pub(super) fn lookup(&mut self) {
        let map = self.below(MAPS.len());
        let key = self.key();
        let missing = self.b.create_block(&[]);
        let merge = self.b.create_block(&[Ty::I64]);
        let other = self.int();
        let value = self.b.lookup_or(MapId(map as u32), key, missing);
        let scope = self.ints.len();
        let was_locked = std::mem::replace(&mut self.locked[map], true);
        let words = MAPS[map].value_size as usize / 8;
        for _ in 0..=self.below(3) {
            let offset = self.below(words) as i32 * 8;
            let int = self.int();
            match self.below(3) {
                0 => self.b.store(Size::B8, int, value, offset),
                1 => self.b.atomic_add(Size::B8, int, value, offset),
                _ => {
                    let word = self.b.load(Mem::U64, value, offset);
                    self.ints.push(word);
                }
            }
        }
        self.nested(4);
        let given = self.int();
        self.b.jump(merge, &[given]);
        self.ints.truncate(scope);
        self.locked[map] = was_locked;
        self.b.switch_to(missing);
        self.b.jump(merge, &[other]);
        self.b.switch_to(merge);
        self.ints.push(self.b.param(merge, 0));
    }

    /// Reserves a record, writes to it, and submits or discards it.
    pub(super) fn record(&mut self) {
        if !self.options.records {
            return;
        }
        let (size, action) = (8 * (1 + self.below(4)) as u32, ActionId(self.below(3) as u32));
        let after = self.b.create_block(&[]);
        let record = self.b.reserve_or(action, size, after);
        debug_assert_eq!(self.b.ty(record), Ty::Ptr(Space::Record));
        let scope = self.ints.len();
        for _ in 0..=self.below(3) {
            let value = self.int();
            let width = SIZES[self.below(SIZES.len())];
            let offset = self.offset(size, width.bytes());
            self.b.store(width, value, record, offset);
        }
        match self.below(4) {
            0 => self.b.discard(record),
            1 => {
                let (submit, discard) = (self.b.create_block(&[]), self.b.create_block(&[]));
                let cond = self.int();
                self.b.brif(cond, submit, discard);
                self.b.switch_to(submit);
                self.b.submit(record);
                self.b.jump(after, &[]);
                self.b.switch_to(discard);
                self.b.discard(record);
            }
            _ => self.b.submit(record),
        }
        self.b.jump(after, &[]);
        self.ints.truncate(scope);
        self.b.switch_to(after);
    }
}

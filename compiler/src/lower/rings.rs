//! Counts that remember their last seconds, and elements that end: the layouts of `weftrace_artifact::map::{Ring, Ttl}`.

use super::{
    cx::{Cx, R},
    maps::map_id,
    mem::Mem,
};
use crate::ir::{BinaryOp, Block, Cond, Helper, Value};
use weftrace_artifact::map::{RING_SLOT_BYTES, Ring, Ttl};
use weftrace_lang::{
    hir::{Expr, MapRef, Ty},
    span::Span,
};

impl Cx<'_, '_> {
    pub(super) fn ring_of(&self, map: MapRef) -> Option<Ring> {
        self.m.maps[map.index()].ring
    }

    fn ttl_of(&self, map: MapRef) -> Option<Ttl> {
        self.m.maps[map.index()].ttl
    }

    /// The event's time.
    fn now(&mut self) -> Value {
        self.b.call(Helper::KtimeBoot, &[])
    }

    /// Before an event adds to a total: notes what it was when the event's bucket began.
    pub(super) fn ring_enter(&mut self, m: Mem, ring: Ring) {
        let now = self.now();
        let bucket = self.iconst(ring.bucket_ns as i64);
        let number = self.b.udiv(now, bucket);
        let count = self.iconst(i64::from(ring.slots));
        let at = self.b.urem(number, count);
        let offset = self.b.binary_imm(BinaryOp::Imul, at, i64::from(RING_SLOT_BYTES));
        let start = self.addr(m.at(ring.offset));
        let slot = Mem::new(self.b.ptr_index(start, offset, (ring.slots - 1) * RING_SLOT_BYTES), 0);
        let mark = self.b.binary_imm(BinaryOp::Iadd, number, 1);
        // The total before the mark: where another CPU enters the bucket at the same moment, a total that has its event comes with its mark.
        let total = self.load(8, false, m);
        let held = self.load(8, false, slot.at(8));
        let (first, go_on) = (self.block(), self.block());
        let newer = self.b.icmp(Cond::Ult, held, mark);
        self.brif(newer, first, go_on);
        self.start(first);
        self.store(8, total, slot);
        self.store(8, mark, slot.at(8));
        self.jump(go_on);
        self.start(go_on);
    }

    /// What a total grew by in the last `window` ns, and whether there was anything. The number counts what was before the window in
    /// its first bucket too.
    fn ring_window(&mut self, m: Mem, ring: Ring, window: u64, signed: bool) -> (Value, Value) {
        let now = self.now();
        let bucket = self.iconst(ring.bucket_ns as i64);
        let number = self.b.udiv(now, bucket);
        let back = window.div_ceil(ring.bucket_ns).min(u64::from(ring.slots) - 1) as i64;
        // The mark of the window's first bucket; the last one's is `back` more, one more where another CPU's clock is ahead.
        let first = self.b.binary_imm(BinaryOp::Iadd, number, 1 - back);
        let none = self.iconst(back + 2);
        let (mut nearest, mut before) = (none, self.iconst(0));
        for slot in 0..ring.slots {
            let at = m.at(ring.offset + slot * RING_SLOT_BYTES);
            let (base, mark) = (self.load(8, false, at), self.load(8, false, at.at(8)));
            let distance = self.b.isub(mark, first);
            let better = self.b.icmp(Cond::Ult, distance, nearest);
            before = self.b.select(better, base, before);
            nearest = self.b.select(better, distance, nearest);
        }
        // Last, so that it isn't older than what it is compared with.
        let total = self.load(8, false, m);
        let grown = self.b.isub(total, before);
        let found = self.b.icmp(Cond::Ult, nearest, none);
        let zero = self.iconst(0);
        let mut value = self.b.select(found, grown, zero);
        if !signed {
            // A copy made while another CPU counted may be torn.
            let negative = self.b.icmp_imm(Cond::Slt, value, 0);
            value = self.b.select(negative, zero, value);
        }
        (value, found)
    }

    /// What an element of a map grew by in a window, over all its parts; and whether there was anything.
    fn element_window(&mut self, map: MapRef, key: Value, ring: Ring, window: u64) -> (Value, Value) {
        let signed =
            matches!(self.m.program.maps[map.index()].value, Ty::Agg(weftrace_lang::hir::Agg::Sum { signed: true }));
        let (sum, there) = (self.new_var(), self.new_var());
        let zero = self.iconst(0);
        self.set_var(sum, zero);
        self.set_var(there, zero);
        let done = self.block();
        let add = |cx: &mut Self, m: Mem| {
            let (value, found) = cx.ring_window(m, ring, window, signed);
            let (so_far, any) = (cx.read_var(sum), cx.read_var(there));
            let (more, found) = (cx.b.iadd(so_far, value), cx.b.bor(any, found));
            cx.set_var(sum, more);
            cx.set_var(there, found);
        };
        if self.in_parts(map) {
            let part = self.temp(self.m.maps[map.index()].value_size);
            self.count_up(super::aggregates::MOST_CPUS, done, |cx, cpu, next| {
                let found = cx.b.call_map(Helper::MapCpu, map_id(map), &[cpu, key, part.ptr]);
                let inside = cx.block();
                cx.brif(found, inside, done);
                cx.start(inside);
                add(cx, part);
                cx.jump(next);
            });
        } else {
            let found = self.lookup_or(map_id(map), key, done);
            add(self, Mem::new(found, 0));
            self.jump(done);
        }
        self.start(done);
        (self.read_var(sum), self.read_var(there))
    }

    /// `rate(@m[k], window)`
    pub(super) fn rate(&mut self, map: MapRef, key: Option<&Expr>, window: u64, span: Span) -> R<Value> {
        let Some(ring) = self.ring_of(map) else { return self.not_yet(span, "the rate of this map") };
        let key = self.key(map, key, span)?;
        Ok(self.element_window(map, key, ring, window).0)
    }

    /// The value of an element of a map that is a window, and whether there is any; None: it is no window.
    pub(super) fn windowed(&mut self, map: MapRef, key: Value) -> Option<(Value, Value)> {
        let ring = self.ring_of(map)?;
        let window = ring.only_ns?;
        Some(self.element_window(map, key, ring, window))
    }

    /// Looks up a key; goes on in a new block with the value's address, where the element has not ended.
    pub(crate) fn lookup_live_or(&mut self, map: MapRef, key: Value, missing: Block) -> Value {
        let found = self.lookup_or(map_id(map), key, missing);
        if let Some(ttl) = self.ttl_of(map) {
            self.alive_or(Mem::new(found, 0), ttl, missing);
        }
        found
    }

    /// Goes to `ended` where an element was not written for too long.
    fn alive_or(&mut self, m: Mem, ttl: Ttl, ended: Block) {
        let now = self.now();
        let written = self.load(8, false, m.at(ttl.offset));
        let age = self.b.isub(now, written);
        // Signed: what another CPU has just written may be ahead of us.
        let over = self.b.icmp_imm(Cond::Sgt, age, ttl.ns.min(i64::MAX as u64) as i64);
        let go_on = self.block();
        self.brif(over, ended, go_on);
        self.start(go_on);
    }

    /// Before an element is changed where it is: one that has ended begins anew.
    pub(super) fn renew(&mut self, map: MapRef, m: Mem) {
        let Some(ttl) = self.ttl_of(map) else { return };
        let (ended, go_on) = (self.block(), self.block());
        self.alive_or(m, ttl, ended);
        self.jump(go_on);
        self.start(ended);
        self.fill(m, ttl.offset);
        self.jump(go_on);
        self.start(go_on);
        self.stamp(map, m);
    }

    /// Notes that an element is written now.
    pub(super) fn stamp(&mut self, map: MapRef, m: Mem) {
        let Some(ttl) = self.ttl_of(map) else { return };
        let now = self.now();
        self.store(8, now, m.at(ttl.offset));
    }

    /// In a loop over a map in the kernel: goes to `next` where the element at hand has ended.
    pub(super) fn skip_ended(&mut self, map: MapRef, copy: Mem, next: Block) {
        // User space walks what has not ended.
        if let Some(ttl) = self.ttl_of(map).filter(|_| self.kernel) {
            self.alive_or(copy, ttl, next);
        }
    }
}

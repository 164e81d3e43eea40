//! Maps of plain values: reading, writing, deleting, counting up and down.

use super::{
    cx::{Cx, R},
    layout::{in_register, width},
    mem::{Mem, Place},
};
use crate::{
    ir::{Cond, Helper, Value},
    place::printed,
};
use weftrace_artifact::{
    abi::LossSlot,
    action::ActionKind,
    map::{Home, MapId, Role},
};
use weftrace_lang::{
    hir::{Expr, MapRef, Ty},
    span::Span,
};

/// Flags of map_update (enum in include/uapi/linux/bpf.h).
pub(super) const BPF_ANY: i64 = 0;
const BPF_NOEXIST: i64 = 1;
/// Values up to this size are zeroed in the frame; larger ones come from the zeros map.
const SMALL_VALUE: u32 = 64;

pub(crate) fn map_id(map: MapRef) -> MapId {
    MapId(map.0)
}

impl Cx<'_, '_> {
    /// The key's address.
    pub(crate) fn key(&mut self, map: MapRef, key: Option<&Expr>, span: Span) -> R<Value> {
        let spec = &self.m.maps[map.index()];
        let ty = self.m.program.maps[map.index()].key.clone();
        let size = spec.key_size;
        let (Some(e), Some(ty)) = (key, ty) else {
            if key.is_some() || self.m.maps[map.index()].key.is_some() {
                return self.not_yet(span, "a map both with and without a key");
            }
            let m = self.temp(4);
            let zero = self.iconst(0);
            self.store(4, zero, m);
            return Ok(m.ptr);
        };
        let filled = self.size_of(&ty, span)?;
        if !in_register(&ty)
            && e.ty == ty
            && filled == size
            && let Some(Place::Direct(m)) = self.place(e)?
            && self.is_key_memory(m)
        {
            return Ok(self.addr(m));
        }
        if e.ty.holds_sample() {
            return Self::not_answered(e.span);
        }
        let m = self.temp(size);
        if filled < size {
            self.fill(m.at(filled), size - filled);
        }
        self.into(e, m, &ty, false)?;
        Ok(m.ptr)
    }

    /// Whether helpers take a key from this memory.
    fn is_key_memory(&self, m: Mem) -> bool {
        use crate::ir::{Space, Ty};
        matches!(self.b.ty(m.ptr), Ty::Ptr(Space::Stack | Space::Map))
    }

    /// A kernel map seen from user space: looked-up values are copies, so writes go through the system call.
    pub(super) fn is_far(&self, map: MapRef) -> bool {
        !self.kernel && self.m.maps[map.index()].home == Home::Kernel
    }

    pub(super) fn is_scalar_map(&self, map: MapRef) -> bool {
        self.m.maps[map.index()].presence.is_some()
    }

    /// `&@m[k]`: the null pointer if it is missing.
    pub(crate) fn map_address(&mut self, map: MapRef, key: Option<&Expr>, span: Span) -> R<Value> {
        let key = self.key(map, key, span)?;
        Ok(self.of_element(map, key, |cx, element| cx.b.ptr_int(element)))
    }

    /// What `found` makes of an element; 0 where there is none.
    pub(super) fn of_element(
        &mut self,
        map: MapRef,
        key: Value,
        found: impl FnOnce(&mut Self, Value) -> Value,
    ) -> Value {
        let (absent, done) = (self.block(), self.block_with(&[crate::ir::Ty::I64]));
        let element = self.lookup_live_or(map, key, absent);
        let value = found(self, element);
        self.jump_with(done, &[value]);
        self.start(absent);
        let none = self.iconst(0);
        self.jump_with(done, &[none]);
        self.start(done);
        self.b.param(done, 0)
    }

    /// Whether memory stays where it is while the program runs: variables and map values.
    pub(crate) fn is_lasting(&self, m: Mem) -> bool {
        use crate::ir::{Space, Ty};
        matches!(self.b.ty(m.ptr), Ty::Ptr(Space::Stack | Space::Map))
    }

    /// `@m[k]`: 0 if it is missing.
    pub(crate) fn map_get(&mut self, map: MapRef, key: Option<&Expr>, e: &Expr) -> R<Value> {
        self.map_get_or(map, key, e, false, |_, value| value, |cx| Ok(cx.iconst(0)))
    }

    /// `@m[k]` by way of `found`, or what `missing` gives. A scalar map always exists and is 0 while unset: only where `ask_presence` is it looked
    /// at whether it was set.
    pub(crate) fn map_get_or(
        &mut self,
        map: MapRef,
        key: Option<&Expr>,
        e: &Expr,
        ask_presence: bool,
        found: impl FnOnce(&mut Self, Value) -> Value,
        missing: impl FnOnce(&mut Self) -> R<Value>,
    ) -> R<Value> {
        let ty = self.m.program.maps[map.index()].value.clone();
        if self.ring_of(map).is_some_and(|r| r.only_ns.is_some()) {
            let key = self.key(map, key, e.span)?;
            let (value, is_there) = self.windowed(map, key).unwrap_or((key, key));
            return self.one_or_other(is_there, |cx| Ok(found(cx, value)), missing);
        }
        if let Ty::Agg(agg) = &ty
            && self.in_parts(map)
        {
            let key = self.key(map, key, e.span)?;
            let (whole, is_there) = self.over_cpus(map, key, agg, e.span)?;
            let whole = |cx: &mut Self| cx.aggregate_value(agg, whole, e.span).map(|value| found(cx, value));
            return self.one_or_other(is_there, whole, missing);
        }
        if !in_register(&ty) {
            return self.not_yet(e.span, "this map's value as a number");
        }
        let key = self.key(map, key, e.span)?;
        let (absent, done) = (self.block(), self.block_with(&[crate::ir::Ty::I64]));
        let element = self.lookup_live_or(map, key, absent);
        let m = Mem::new(element, 0);
        if let Some(at) =
            self.m.maps[map.index()].presence.filter(|_| ask_presence || self.m.program.config.helper_warnings)
        {
            let there = self.load(8, false, m.at(at));
            let set = self.block();
            self.brif(there, set, absent);
            self.start(set);
        }
        let value = match &ty {
            Ty::Agg(agg) => self.aggregate_value(agg, m, e.span)?,
            plain => {
                let (bytes, signed) = width(plain);
                self.load(bytes, signed, m)
            }
        };
        let value = found(self, value);
        self.jump_with(done, &[value]);
        self.start(absent);
        if !ask_presence {
            self.warn_missing(e.span);
        }
        let other = missing(self)?;
        self.jump_with(done, &[other]);
        self.start(done);
        Ok(self.b.param(done, 0))
    }

    /// A value in memory, zeroes if it is missing.
    pub(crate) fn map_get_into(
        &mut self,
        map: MapRef,
        key: Option<&Expr>,
        span: Span,
        dst: Mem,
        ty: &Ty,
        zeroed: bool,
    ) -> R<()> {
        let size = self.size_of(ty, span)?;
        self.map_get_into_or(map, key, span, dst, |cx| {
            if !zeroed {
                cx.fill(dst, size);
            }
            cx.warn_missing(span);
            Ok(())
        })
    }

    pub(crate) fn map_get_into_or(
        &mut self,
        map: MapRef,
        key: Option<&Expr>,
        span: Span,
        dst: Mem,
        missing: impl FnOnce(&mut Self) -> R<()>,
    ) -> R<()> {
        let ty = self.m.program.maps[map.index()].value.clone();
        let size = self.size_of(&ty, span)?;
        let key = self.key(map, key, span)?;
        let (absent, done) = (self.block(), self.block());
        let found = self.lookup_live_or(map, key, absent);
        self.copy(dst, Mem::new(found, 0), size);
        self.jump(done);
        self.start(absent);
        missing(self)?;
        self.jump(done);
        self.start(done);
        Ok(())
    }

    /// After an update: a failure is counted and told.
    pub(super) fn check_update(&mut self, result: Value, span: Span) {
        let bad = self.b.icmp_imm(Cond::Slt, result, 0);
        let (told, done) = (self.block(), self.block());
        self.brif(bad, told, done);
        self.start(told);
        // The native helper counts by itself.
        if self.kernel {
            self.count_loss(LossSlot::MapFull);
        }
        self.warn_helper("map_update_elem", result, span);
        self.jump(done);
        self.start(done);
    }

    pub(super) fn store_one(&mut self, m: Mem) {
        let one = self.iconst(1);
        self.store(8, one, m);
    }

    /// Runs `update` on the element's address; a missing element is first made, all zero. If the map is full the loss is counted and
    /// `update` does not run. Scalar maps are marked as set.
    pub(crate) fn element(
        &mut self,
        map: MapRef,
        key: Option<&Expr>,
        span: Span,
        update: impl FnOnce(&mut Self, Mem) -> R<()>,
    ) -> R<()> {
        let key = self.key(map, key, span)?;
        self.element_of(map, key, span, update)
    }

    /// The same by a key that has been computed.
    pub(crate) fn element_of(
        &mut self,
        map: MapRef,
        key: Value,
        span: Span,
        update: impl FnOnce(&mut Self, Mem) -> R<()>,
    ) -> R<()> {
        let id = map_id(map);
        let (done, missing) = (self.block(), self.block());
        if let Some(presence) = self.m.maps[map.index()].presence {
            let m = Mem::new(self.lookup_or(id, key, done), 0);
            self.store_one(m.at(presence));
            update(self, m)?;
            self.jump(done);
            self.start(done);
            return Ok(());
        }
        let go_on = self.block_with(&[crate::ir::Ty::Ptr(crate::ir::Space::Map)]);
        let first = self.lookup_or(id, key, missing);
        self.jump_with(go_on, &[first]);
        self.start(missing);
        let size = self.m.maps[map.index()].value_size;
        let zeros = self.zeros(size, done);
        let flags = self.iconst(BPF_NOEXIST);
        // Fails if another CPU was faster; then the element is there.
        let result = self.b.call_map(Helper::MapUpdate, id, &[key, zeros, flags]);
        let full = self.block();
        let second = self.lookup_or(id, key, full);
        self.jump_with(go_on, &[second]);
        self.start(full);
        // The native helper counts by itself.
        if self.kernel {
            self.count_loss(LossSlot::MapFull);
        }
        self.warn_helper("map_update_elem", result, span);
        self.jump(done);
        self.start(go_on);
        let m = Mem::new(self.b.param(go_on, 0), 0);
        self.renew(map, m);
        update(self, m)?;
        self.jump(done);
        self.start(done);
        Ok(())
    }

    /// Address of `size` zero bytes; `nowhere` is for the case that cannot happen.
    fn zeros(&mut self, size: u32, nowhere: crate::ir::Block) -> Value {
        if size <= SMALL_VALUE {
            let m = self.temp(size);
            self.fill(m, size);
            return m.ptr;
        }
        let zeros = self.m.internal(Role::Zeros, self.kernel);
        self.m.need_zeros(zeros, size);
        let key = self.temp(4);
        let zero = self.iconst(0);
        self.store(4, zero, key);
        self.lookup_or(zeros, key.ptr, nowhere)
    }

    /// `delete(@m, k)`; of a scalar map: unset; of a whole map: as clear.
    pub(crate) fn map_delete(&mut self, map: MapRef, key: Option<&Expr>, span: Span) -> R<()> {
        if self.m.maps[map.index()].presence.is_some() {
            return self.unset(map, span);
        }
        if key.is_none() {
            return self.send(ActionKind::Clear { map: map_id(map) }, span);
        }
        if self.is_open(map) {
            return self.not_yet(span, "the end of an element that is open");
        }
        let key = self.key(map, key, span)?;
        self.b.call_map(Helper::MapDelete, map_id(map), &[key]);
        Ok(())
    }

    /// `delete(@x)` of a scalar map. What isn't here in one piece, as other CPUs' counts, user space clears; so it does after a print of it, which it
    /// comes to later than the block to its end.
    fn unset(&mut self, map: MapRef, span: Span) -> R<()> {
        let spec = &self.m.maps[map.index()];
        let (size, aggregate) = (spec.value_size, spec.value.is_aggregate());
        let here = if self.kernel { Home::Kernel } else { Home::User };
        let elsewhere = spec.home != here || self.in_parts(map);
        if aggregate && (elsewhere || self.probe.is_some_and(|probe| printed::prints(probe, map))) {
            return self.send(ActionKind::Clear { map: map_id(map) }, span);
        }
        let done = self.block();
        let key = self.key(map, None, span)?;
        if self.is_far(map) {
            // The kernel's arrays have no elements to delete.
            let zeros = self.zeros(size, done);
            let flags = self.iconst(BPF_ANY);
            let result = self.b.call_map(Helper::MapUpdate, map_id(map), &[key, zeros, flags]);
            self.check_update(result, span);
        } else {
            let m = Mem::new(self.lookup_or(map_id(map), key, done), 0);
            self.fill(m, size);
        }
        self.jump(done);
        self.start(done);
        Ok(())
    }

    /// Whether a value is negative, as a value.
    pub(crate) fn is_negative(&mut self, v: Value) -> Value {
        self.b.icmp_imm(Cond::Slt, v, 0)
    }
}

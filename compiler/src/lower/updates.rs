//! Updates of maps that user space makes: those whose key has a stack that is unwound there. The program sends the key as it is and
//! the value of this event.

use super::{
    cx::{Cx, R},
    maps::map_id,
    mem::Mem,
};
use weftrace_artifact::{
    action::{ActionKind, UpdateHow},
    ty::Type,
};
use weftrace_lang::{
    diag::Diagnostic,
    hir::{Expr, MapRef, Ty},
    span::Span,
};

impl Cx<'_, '_> {
    /// `@m[dw_ustack]` where what the map has is wanted at once.
    pub(super) fn not_answered<T>(span: Span) -> R<T> {
        let d = Diagnostic::error("bad-key", span, "what a map has for this stack is not known in the probe")
            .note("stacks of dw_ustack are unwound in user space, after the program has gone on: there the map is updated")
            .write("@m[dw_ustack] = count(), sum(n), max(n), … or @m[dw_ustack]++; ustack where the value is needed at once");
        Err(Box::new(d))
    }

    /// `@m[dw_ustack] = value`
    pub(super) fn send_value(&mut self, map: MapRef, key: &Expr, value: &Expr, ty: &Ty, span: Span) -> R<()> {
        let layout = self.layout(ty, span)?;
        let m = self.temp(layout.size());
        self.into(value, m, ty, false)?;
        self.send_update(map, UpdateHow::Set, key, (layout, m), span)
    }

    /// `@m[dw_ustack]++`
    pub(super) fn send_added(&mut self, map: MapRef, key: &Expr, by: &Expr, span: Span) -> R<()> {
        let m = self.temp(8);
        self.into(by, m, &Ty::I64, false)?;
        self.send_update(map, UpdateHow::Add, key, (Type::I64, m), span)
    }

    /// `@m[dw_ustack] = count()` and the like: the aggregate of this one event.
    pub(super) fn send_aggregate(
        &mut self,
        map: MapRef,
        key: &Expr,
        span: Span,
        add: impl FnOnce(&mut Self, Mem) -> R<()>,
    ) -> R<()> {
        let size = self.m.maps[map.index()].value_size;
        let m = self.temp(size);
        self.fill(m, size);
        add(self, m)?;
        let layout = Type::Array { elem: Box::new(Type::I64), len: size / 8 };
        self.send_update(map, UpdateHow::Merge, key, (layout, m), span)
    }

    fn send_update(&mut self, map: MapRef, how: UpdateHow, key: &Expr, value: (Type, Mem), span: Span) -> R<()> {
        let Some(wanted) = self.m.program.maps[map.index()].key.clone() else {
            return self.not_yet(span, "a map both with and without a key");
        };
        let key_ty = sampled(&key.ty, &wanted);
        let (layout, from) = value;
        let size = layout.size();
        let types = [self.layout(&key_ty, key.span)?, layout];
        let id = self.m.action(ActionKind::Update { map: map_id(map), how }, types, span);
        let offsets: Vec<u32> = self.m.actions[id.0 as usize].args.iter().map(|f| f.offset).collect();
        let done = self.block();
        let record = self.reserve_or(id, done);
        self.copy(record.at(offsets[1]), from, size);
        self.into(key, record.at(offsets[0]), &key_ty, true)?;
        self.b.submit(record.ptr);
        self.jump(done);
        self.start(done);
        Ok(())
    }
}

/// The map's key as the program has it: with stacks that are yet to be unwound.
fn sampled(own: &Ty, wanted: &Ty) -> Ty {
    match (own, wanted) {
        (Ty::DwStack { .. }, _) => own.clone(),
        (Ty::Tuple(own), Ty::Tuple(wanted)) => Ty::Tuple(own.iter().zip(wanted).map(|(o, w)| sampled(o, w)).collect()),
        (Ty::Record(own), Ty::Record(wanted)) => {
            Ty::Record(own.iter().zip(wanted).map(|((name, o), (_, w))| (name.clone(), sampled(o, w))).collect())
        }
        _ => wanted.clone(),
    }
}

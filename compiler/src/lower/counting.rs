//! Numbers in maps that are counted up and down where they are.

use super::{
    cx::{Cx, R},
    layout::width,
    mem::Mem,
};
use crate::ir::{Size, Value};
use weftrace_artifact::map::Home;
use weftrace_lang::{
    hir::{Expr, ExprKind as E, MapRef, Ty},
    span::Span,
};

impl Cx<'_, '_> {
    /// `@m[k]++` as a statement.
    pub(crate) fn map_add(&mut self, map: MapRef, key: Option<&Expr>, delta: i64, span: Span) -> R<()> {
        if self.is_far(map) {
            return self.not_yet(span, "counting in a kernel map from user space");
        }
        if let Some(key) = key.filter(|k| k.ty.holds_sample()) {
            let by = Expr { kind: E::Int(delta), ty: Ty::I64, span };
            return self.send_added(map, key, &by, span);
        }
        let ty = self.m.program.maps[map.index()].value.clone();
        self.element(map, key, span, |cx, m| {
            let by = cx.iconst(delta);
            cx.add_to(map, m, by, width(&ty).0);
            Ok(())
        })
    }

    /// Adds to a number in a map: atomically where others may do the same at the same time.
    pub(crate) fn add_to(&mut self, map: MapRef, m: Mem, by: Value, bytes: u32) {
        if bytes >= 4 && self.is_shared(map) {
            let size = if bytes == 4 { Size::B4 } else { Size::B8 };
            self.b.atomic_add(size, by, m.ptr, m.offset);
        } else {
            let old = self.load(bytes, false, m);
            let new = self.b.iadd(old, by);
            self.store(bytes, new, m);
        }
    }

    /// Whether another program can update the same value while this one does. Handlers in user space run one after the other; a
    /// per-CPU value of a map that one program alone updates is safe where programs do not nest in themselves.
    pub(super) fn is_shared(&self, map: MapRef) -> bool {
        let percpu = self.m.maps[map.index()].kind.is_percpu();
        let alone = self.m.placement.maps.get(map.index()).is_some_and(|m| m.kernel_writers <= 1);
        // What is sent to user space is a value of its own.
        self.kernel && self.m.maps[map.index()].home != Home::User && !(percpu && alone)
    }

    /// `@m[k]++` as a value.
    pub(crate) fn map_inc(
        &mut self,
        map: MapRef,
        key: Option<&Expr>,
        delta: i64,
        prefix: bool,
        span: Span,
    ) -> R<Value> {
        let ty = self.m.program.maps[map.index()].value.clone();
        let (bytes, signed) = width(&ty);
        let result = self.new_var();
        let fallback = self.iconst(if prefix { delta } else { 0 });
        self.set_var(result, fallback);
        self.element(map, key, span, |cx, m| {
            let old = cx.load(bytes, signed, m);
            let by = cx.iconst(delta);
            cx.add_to(map, m, by, bytes);
            let new = cx.b.iadd(old, by);
            let new = cx.normalise(new, &ty);
            cx.set_var(result, if prefix { new } else { old });
            Ok(())
        })?;
        Ok(self.read_var(result))
    }
}

//! `@m[k] = v`, `@m = v`.

use super::{
    cx::{Cx, R},
    layout::{in_register, width},
    maps::{BPF_ANY, map_id},
    mem::Mem,
};
use crate::{
    ir::Helper,
    place::walk::{self, Node},
};
use weftrace_artifact::map::Kind;
use weftrace_lang::{
    hir::{BinOp, Expr, ExprKind as E, MapRef, Ty},
    span::Span,
};

/// A number before it was made at least so many bytes wide: what it adds up to is the same in these.
fn widened(e: &Expr, bytes: u32) -> &Expr {
    match &e.kind {
        E::Cast(inner) if matches!((&e.ty, &inner.ty), (Ty::Int { .. }, Ty::Int { .. })) && width(&e.ty).0 >= bytes => {
            widened(inner, bytes)
        }
        _ => e,
    }
}

impl Cx<'_, '_> {
    /// `@m[k] = v`
    pub(crate) fn map_set(&mut self, map: MapRef, key: Option<&Expr>, value: &Expr, span: Span) -> R<()> {
        let ty = self.m.program.maps[map.index()].value.clone();
        let ends = self.m.maps[map.index()].ttl.is_some();
        if let Some(key) = key.filter(|k| k.ty.holds_sample()) {
            if ends {
                return self.not_yet(span, "a time to live by stacks of dw_ustack");
            }
            return self.send_value(map, key, value, &ty, span);
        }
        if let Some((op, by)) = self.added_to_itself(map, key, value, &ty) {
            let by = self.scalar_as(by, &ty)?;
            let zero = self.iconst(0);
            let by = if op == BinOp::Sub { self.b.isub(zero, by) } else { by };
            return self.element(map, key, span, |cx, m| {
                cx.add_to(map, m, by, width(&ty).0);
                Ok(())
            });
        }
        if self.is_scalar_map(map) && !self.is_far(map) {
            return self.scalar_map_set(map, value, &ty, span);
        }
        if let Some(opened) = self.opened(map, key) {
            return self.set_opened(opened, key, value);
        }
        // The value first: it may read this map.
        let (presence, size) = (self.m.maps[map.index()].presence, self.m.maps[map.index()].value_size);
        let m = self.temp(size);
        let zeroed = presence.is_some() || ends;
        if zeroed {
            self.fill(m, size);
        }
        self.into(value, m, &ty, zeroed)?;
        if let Some(at) = presence {
            self.store_one(m.at(at));
        }
        self.stamp(map, m);
        let at = self.key(map, key, span)?;
        let in_place = self.writes_in_place(map).then(|| {
            let (missing, done) = (self.block(), self.block());
            let found = self.lookup_or(map_id(map), at, missing);
            self.copy(Mem::new(found, 0), m, size);
            self.jump(done);
            self.start(missing);
            done
        });
        let flags = self.iconst(BPF_ANY);
        let result = self.b.call_map(Helper::MapUpdate, map_id(map), &[at, m.ptr, flags]);
        self.check_update(result, span);
        if let Some(done) = in_place {
            self.jump(done);
            self.start(done);
        }
        Ok(())
    }

    /// `@m[k] += v` and `-=`, where others may do so at the same time: what is added, so that no update is lost between reading and writing. (The key that is read is the one
    /// that is written, which it is made of.)
    fn added_to_itself<'e>(
        &self,
        map: MapRef,
        key: Option<&Expr>,
        value: &'e Expr,
        ty: &Ty,
    ) -> Option<(BinOp, &'e Expr)> {
        if !matches!(ty, Ty::Int { .. }) {
            return None;
        }
        let sum = &widened(value, width(ty).0).kind;
        let E::Binary { op: op @ (BinOp::Add | BinOp::Sub), left, right } = sum else { return None };
        let E::MapGet { map: read, key: at } = &widened(left, width(ty).0).kind else { return None };
        let same = *read == map && at.as_deref().map(|at| at.span) == key.map(|key| key.span);
        let number = matches!(right.ty, Ty::Int { .. }) && width(ty).0 >= 4;
        (same && number && self.is_shared(map) && !self.is_far(map)).then_some((*op, right))
    }

    /// Whether an element that is there is written where it is, in a third of the time that its replacement takes. Of our own texts only: who
    /// reads it meanwhile may see half of a tuple.
    pub(super) fn writes_in_place(&self, map: MapRef) -> bool {
        let spec = &self.m.maps[map.index()];
        self.kernel
            && spec.is_library()
            && matches!(spec.kind, Kind::Hash | Kind::LruHash)
            && spec.presence.is_none()
            && spec.ttl.is_none()
    }

    fn scalar_map_set(&mut self, map: MapRef, value: &Expr, ty: &Ty, span: Span) -> R<()> {
        let presence = self.m.maps[map.index()].presence.unwrap_or(0);
        let done = self.block();
        if in_register(ty) {
            let v = self.scalar_as(value, ty)?;
            let key = self.key(map, None, span)?;
            let m = Mem::new(self.lookup_or(map_id(map), key, done), 0);
            self.store(width(ty).0, v, m);
            self.store_one(m.at(presence));
        } else {
            let size = self.size_of(ty, span)?;
            let reads_itself =
                walk::any(value, |n| matches!(n, Node::Expr(Expr { kind: E::MapGet { map: r, .. }, .. }) if *r == map));
            if reads_itself {
                let fresh = self.temp(size);
                self.into(value, fresh, ty, false)?;
                let key = self.key(map, None, span)?;
                let m = Mem::new(self.lookup_or(map_id(map), key, done), 0);
                self.copy(m, fresh, size);
                self.store_one(m.at(presence));
            } else {
                let key = self.key(map, None, span)?;
                let m = Mem::new(self.lookup_or(map_id(map), key, done), 0);
                self.into(value, m, ty, false)?;
                self.store_one(m.at(presence));
            }
        }
        self.jump(done);
        self.start(done);
        Ok(())
    }
}

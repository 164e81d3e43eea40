//! `a ?? b`: b where a isn't there: a packet field, a leg that isn't known, an element that a map lacks.

use super::{
    asked,
    cx::{Cx, R},
    layout::in_register,
    mem::Mem,
};
use crate::{
    ir::{Cond, Value},
    place::walk,
};
use weftrace_lang::hir::{Expr, ExprKind as E, MapRef, Ty};

/// An element that an expression reads.
type Read<'e> = (MapRef, Option<&'e Expr>, &'e Expr);

impl Cx<'_, '_> {
    pub(super) fn coalesce(&mut self, left: &Expr, right: &Expr, ty: &Ty) -> R<Value> {
        let read = uncast(left);
        if let E::MapGet { map, key } = &read.kind {
            let found = |cx: &mut Self, value| {
                let value = cx.cast_as(left, value);
                cx.convert(value, &left.ty, ty)
            };
            return self.map_get_or(*map, key.as_deref(), read, true, found, |cx| cx.scalar_as(right, ty));
        }
        let Some(present) = self.presence_of(left)? else { return self.scalar_as(left, ty) };
        self.one_or_other(present, |cx| cx.scalar_as(left, ty), |cx| cx.scalar_as(right, ty))
    }

    /// One value or another, by whether the first is there.
    pub(super) fn one_or_other(
        &mut self,
        present: Value,
        value: impl FnOnce(&mut Self) -> R<Value>,
        missing: impl FnOnce(&mut Self) -> R<Value>,
    ) -> R<Value> {
        let which = |cx: &mut Self, there, absent| {
            cx.brif(present, there, absent);
            Ok(())
        };
        self.merge(which, value, missing)
    }

    /// The value of what is inside an expression's casts, after them.
    fn cast_as(&mut self, e: &Expr, value: Value) -> Value {
        match &e.kind {
            E::Cast(inner) if in_register(&inner.ty) => {
                let value = self.cast_as(inner, value);
                self.convert(value, &inner.ty, &e.ty)
            }
            _ => value,
        }
    }

    /// The same into memory.
    pub(super) fn coalesce_into(&mut self, left: &Expr, right: &Expr, dst: Mem, ty: &Ty, zeroed: bool) -> R<()> {
        if let E::MapGet { map, key } = &left.kind
            && left.ty == *ty
            && !self.is_scalar_map(*map)
        {
            return self.map_get_into_or(*map, key.as_deref(), left.span, dst, |cx| cx.into(right, dst, ty, zeroed));
        }
        if let E::Header { headers, name } = &left.kind
            && let Ty::Str { cap } = ty
        {
            let found = self.header_into(headers, name, dst, *cap, left.span)?;
            let (absent, done) = (self.block(), self.block());
            let missing = self.b.icmp_imm(Cond::Slt, found, 0);
            self.brif(missing, absent, done);
            self.start(absent);
            self.into(right, dst, ty, zeroed)?;
            self.jump(done);
            self.start(done);
            return Ok(());
        }
        let Some(present) = self.presence_of(left)? else { return self.into(left, dst, ty, zeroed) };
        self.either(
            |cx, a, b| {
                cx.brif(present, a, b);
                Ok(())
            },
            |cx| cx.into(left, dst, ty, zeroed),
            |cx| cx.into(right, dst, ty, zeroed),
        )
    }

    /// Whether a value is there at all; None: it always is.
    fn presence_of(&mut self, e: &Expr) -> R<Option<Value>> {
        let mut all = self.legs_known(&[e]).or_else(|| self.is_there(asked::value(e)));
        for (map, key, read) in elements(e) {
            let there = self.map_there(map, key, read)?;
            all = Some(all.map_or(there, |others| self.b.band(others, there)));
        }
        Ok(all)
    }

    fn map_there(&mut self, map: MapRef, key: Option<&Expr>, read: &Expr) -> R<Value> {
        if let Some(key) = key {
            return self.map_has(map, key);
        }
        if in_register(&self.m.program.maps[map.index()].value) {
            return self.map_get_or(map, None, read, true, |cx, _| cx.iconst(1), |cx| Ok(cx.iconst(0)));
        }
        // It always exists, and knows whether it was set.
        let (key, presence) = (self.key(map, None, read.span)?, self.m.maps[map.index()].presence);
        Ok(self.of_element(map, key, |cx, element| match presence {
            Some(at) => {
                let set = cx.load(8, false, Mem::new(element, 0).at(at));
                cx.b.icmp_imm(Cond::Ne, set, 0)
            }
            None => cx.iconst(1),
        }))
    }
}

/// What a number's casts are of.
fn uncast(e: &Expr) -> &Expr {
    match &e.kind {
        E::Cast(inner) if in_register(&inner.ty) => uncast(inner),
        _ => e,
    }
}

/// All elements without which an expression has no value. (A key that does something is looked up once alone, with the value.)
fn elements(e: &Expr) -> Vec<Read<'_>> {
    match &e.kind {
        E::MapGet { map, key } => {
            let key = key.as_deref();
            if key.is_some_and(does_something) { Vec::new() } else { vec![(*map, key, e)] }
        }
        // These have a value whatever is missing in them, or take one side alone.
        E::Coalesce { .. } | E::Block(_) | E::Cond { .. } | E::Logical { .. } => Vec::new(),
        _ => walk::children(e).into_iter().flat_map(elements).collect(),
    }
}

fn does_something(e: &Expr) -> bool {
    let mut does = false;
    walk::expr(e, &mut |node| {
        does |= matches!(node, walk::Node::Expr(Expr { kind: E::IncVar { .. } | E::IncMap { .. } | E::Block(_), .. }));
    });
    does
}

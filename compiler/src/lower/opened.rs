//! `$was = __open(@m[$key])`: an element that a program reads once and writes again and again is looked up once.

use super::{
    cx::{Cx, R},
    maps::{BPF_ANY, map_id},
    mem::Mem,
};
use crate::ir::{Helper, Space, Ty as IrTy, Value};
use weftrace_artifact::map::Kind;
use weftrace_lang::{
    hir::{Expr, ExprKind as E, MapRef, VarRef},
    span::Span,
};

/// An element that was looked up, for the rest of the block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened {
    map: MapRef,
    key: VarRef,
    /// Where it is; of one that isn't there, where nobody's is.
    at: Value,
    /// Whether it is there: 1 or 0.
    there: Value,
}

impl Cx<'_, '_> {
    /// A copy of the element; zeroes, if it isn't there. Then its address is that of the element with a key of zeroes, which is nobody's and stays as it is: the
    /// verifier walks on once for both.
    pub(crate) fn open_into(&mut self, args: &[Expr], dst: Mem, span: Span) -> R<()> {
        let [Expr { kind: E::MapGet { map, key: Some(key) }, .. }] = args else {
            return self.not_yet(span, "an element without its map");
        };
        let E::Var(var) = key.kind else { return self.not_yet(span, "an element by what is no variable") };
        let spec = &self.m.maps[map.index()];
        if spec.kind != Kind::Hash {
            return self.not_yet(span, "an element of a map that gives up elements by itself");
        }
        let (id, key_size, size) = (map_id(*map), spec.key_size, spec.value_size);
        let (missing, first, full) = (self.block(), self.block(), self.block());
        let done = self.block_with(&[IrTy::Ptr(Space::Map), IrTy::I64]);
        let (zero, one) = (self.iconst(0), self.iconst(1));
        let at = self.key(*map, Some(key), span)?;
        let found = self.lookup_or(id, at, missing);
        self.copy(dst, Mem::new(found, 0), size);
        self.jump_with(done, &[found, one]);
        self.start(missing);
        self.fill(dst, size);
        let nobody = self.temp(key_size);
        self.fill(nobody, key_size);
        let spare = self.lookup_or(id, nobody.ptr, first);
        self.jump_with(done, &[spare, zero]);
        self.start(first);
        let flags = self.iconst(BPF_ANY);
        let result = self.b.call_map(Helper::MapUpdate, id, &[nobody.ptr, dst.ptr, flags]);
        self.check_update(result, span);
        let spare = self.lookup_or(id, nobody.ptr, full);
        self.jump_with(done, &[spare, zero]);
        self.start(full);
        self.leave();
        self.start(done);
        let (at, there) = (self.b.param(done, 0), self.b.param(done, 1));
        self.opened = Some(Opened { map: *map, key: var, at, there });
        Ok(())
    }

    /// Where an element that is open is written, once `missing` has what to do if it isn't there.
    pub(crate) fn opened_or(&mut self, map: MapRef, key: Option<&Expr>, missing: crate::ir::Block) -> Option<Value> {
        let opened =
            self.opened.filter(|o| o.map == map && matches!(key, Some(Expr { kind: E::Var(v), .. }) if *v == o.key))?;
        let here = self.block();
        self.brif(opened.there, here, missing);
        self.start(here);
        Some(opened.at)
    }

    /// Another key is another element.
    pub(crate) fn close(&mut self, var: VarRef) {
        self.opened = self.opened.filter(|o| o.key != var);
    }

    /// An element that goes is open no more; what is written to it later would be lost.
    pub(crate) fn is_open(&self, map: MapRef) -> bool {
        self.opened.is_some_and(|o| o.map == map)
    }
}

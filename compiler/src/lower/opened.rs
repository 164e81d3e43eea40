//! `$was = __open(@m[$key])`: an element that a program reads and writes again and again is looked up once, and read and written where it is.

use super::{
    cx::{Cx, R},
    layout::{in_register, width},
    maps::{BPF_ANY, map_id},
    mem::Mem,
    ssa::Variable,
};
use crate::{
    ir::{Block, Helper, Space, Value},
    place::walk::{self, Node},
};
use std::collections::BTreeSet;
use weftrace_artifact::{map::Kind, ty::Type};
use weftrace_lang::{
    hir::{Expr, ExprKind as E, Func, MapRef, ProbeDef, Stmt, StmtKind as S, Ty, VarRef},
    span::Span,
};

/// An element that was looked up, for the rest of the block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened {
    map: MapRef,
    key: VarRef,
    /// The variable that it is called by.
    name: VarRef,
    /// Where it is; of one that isn't there, where nobody's is.
    at: Variable,
    /// Whether it is there: 1 or 0.
    there: Variable,
}

/// What is opened, if this is an element to open.
fn element(value: &Expr) -> Option<&Expr> {
    match &value.kind {
        E::Call { func: Func::Open, args } => args.first(),
        _ => None,
    }
}

/// Variables that stand for elements: they have no memory of their own.
pub(super) fn names(probe: &ProbeDef) -> BTreeSet<VarRef> {
    let mut found = BTreeSet::new();
    walk::block(&probe.body, &mut |node| {
        if let Node::Stmt(Stmt { kind: S::SetVar { var, value }, .. }) = node
            && element(value).is_some()
        {
            found.insert(*var);
        }
    });
    found
}

impl Cx<'_, '_> {
    /// Looks an element up. One that isn't there reads as zeroes: its address is that of the element with a key of zeroes, which is nobody's and stays as it is, so that
    /// the verifier walks on once for both.
    pub(super) fn open(&mut self, name: VarRef, value: &Expr) -> R<()> {
        let span = value.span;
        let Some(Expr { kind: E::MapGet { map, key: Some(key) }, .. }) = element(value) else {
            return self.not_yet(span, "an element without its map");
        };
        let E::Var(var) = key.kind else { return self.not_yet(span, "an element by what is no variable") };
        let spec = &self.m.maps[map.index()];
        if spec.kind != Kind::Hash || !self.writes_in_place(*map) {
            return self.not_yet(span, "an element of such a map");
        }
        let (id, key_size, size) = (map_id(*map), spec.key_size, spec.value_size);
        let (missing, first, full, done) = (self.block(), self.block(), self.block(), self.block());
        let opened = Opened { map: *map, key: var, name, at: self.new_pointer(Space::Map), there: self.new_var() };
        let at = self.key(*map, Some(key), span)?;
        let found = self.lookup_or(id, at, missing);
        self.is_at(opened, found, 1, done);
        self.start(missing);
        let nobody = self.temp(key_size);
        self.fill(nobody, key_size);
        let spare = self.lookup_or(id, nobody.ptr, first);
        self.is_at(opened, spare, 0, done);
        self.start(first);
        let zeroes = self.temp(size);
        self.fill(zeroes, size);
        let flags = self.iconst(BPF_ANY);
        let result = self.b.call_map(Helper::MapUpdate, id, &[nobody.ptr, zeroes.ptr, flags]);
        self.check_update(result, span);
        let spare = self.lookup_or(id, nobody.ptr, full);
        self.is_at(opened, spare, 0, done);
        self.start(full);
        self.leave();
        self.start(done);
        self.opened = Some(opened);
        Ok(())
    }

    fn is_at(&mut self, opened: Opened, at: Value, there: i64, next: Block) {
        self.set_var(opened.at, at);
        let there = self.iconst(there);
        self.set_var(opened.there, there);
        self.jump(next);
    }

    /// Where the element lies that this variable stands for.
    pub(super) fn opened_at(&mut self, name: VarRef, span: Span) -> R<Mem> {
        let Some(opened) = self.opened.filter(|o| o.name == name) else {
            return self.not_yet(span, "an element that is open no more");
        };
        Ok(Mem::new(self.read_var(opened.at), 0))
    }

    /// The memory of one of its members, to be written; to `missing` where the element isn't there.
    pub(super) fn open_member(&mut self, member: &Expr, missing: Block) -> R<Mem> {
        let span = member.span;
        let E::TupleField { base, index } = &member.kind else { return self.not_yet(span, "what is no member") };
        let Some(opened) = self.opened.filter(|o| matches!(base.kind, E::Var(name) if name == o.name)) else {
            return self.not_yet(span, "a member of what isn't open");
        };
        let Type::Tuple { fields, .. } = self.layout(&base.ty, span)? else {
            return self.not_yet(span, "a member of what is no tuple");
        };
        let (there, here) = (self.read_var(opened.there), self.block());
        self.brif(there, here, missing);
        self.start(here);
        Ok(Mem::new(self.read_var(opened.at), 0).at(fields[*index as usize].offset))
    }

    /// The element with this key, if it is open.
    pub(super) fn opened(&self, map: MapRef, key: Option<&Expr>) -> Option<Opened> {
        self.opened.filter(|o| o.map == map && matches!(key, Some(Expr { kind: E::Var(v), .. }) if *v == o.key))
    }

    /// `@m[$key] = (a, $was.1, c)` where it is, or where it comes to be then; a member that is to be what it was is not touched.
    pub(super) fn set_opened(&mut self, opened: Opened, key: Option<&Expr>, value: &Expr) -> R<()> {
        let span = value.span;
        let E::Tuple(items) = &value.kind else { return self.not_yet(span, "what is no tuple for an open element") };
        let (Ty::Tuple(tys), Type::Tuple { fields, .. }) = (&value.ty, self.layout(&value.ty, span)?) else {
            return self.not_yet(span, "what is no tuple for an open element");
        };
        let (here, missing, done) = (self.block(), self.block(), self.block());
        let there = self.read_var(opened.there);
        self.brif(there, here, missing);
        self.start(missing);
        let (id, spare, flags) = (map_id(opened.map), self.read_var(opened.at), self.iconst(BPF_ANY));
        let at = self.key(opened.map, key, span)?;
        let result = self.b.call_map(Helper::MapUpdate, id, &[at, spare, flags]);
        self.check_update(result, span);
        let new = self.lookup_or(id, at, done);
        self.is_at(opened, new, 1, here);
        self.start(here);
        let same = |(i, item): (usize, &Expr)| {
            matches!(&item.kind, E::TupleField { base, index }
                if *index as usize == i && matches!(base.kind, E::Var(name) if name == opened.name))
        };
        let changed: Vec<usize> = (0..items.len()).filter(|&i| !same((i, &items[i]))).collect();
        // Numbers are read before any is written: they may be what others were.
        let mut numbers = Vec::new();
        for &i in changed.iter().filter(|&&i| in_register(&tys[i])) {
            numbers.push((self.scalar_as(&items[i], &tys[i])?, width(&tys[i]).0, fields[i].offset));
        }
        let element = Mem::new(self.read_var(opened.at), 0);
        for (number, bytes, offset) in numbers {
            self.store(bytes, number, element.at(offset));
        }
        for &i in changed.iter().filter(|&&i| !in_register(&tys[i])) {
            self.into(&items[i], element.at(fields[i].offset), &tys[i], false)?;
        }
        self.jump(done);
        self.start(done);
        Ok(())
    }

    /// Another key is another element, another element has this name.
    pub(crate) fn close(&mut self, var: VarRef) {
        self.opened = self.opened.filter(|o| o.key != var && o.name != var);
    }

    /// An element that goes is open no more; what is written to it later would be lost.
    pub(crate) fn is_open(&self, map: MapRef) -> bool {
        self.opened.is_some_and(|o| o.map == map)
    }
}

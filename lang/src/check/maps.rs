//! Maps: their key and value types grow over the whole script, and every use must agree with the first.

use super::cx::Checker;
use super::scope::Bound;
use super::types::{Flex, Open, agg_number, join, show, spelled};
use super::value::{Val, coerce};
use super::windows::Windows;
use crate::ast;
use crate::diag::Diagnostic;
use crate::hir::{Agg, Expr, ExprKind, MapDef, MapKind, MapRef, StmtKind, Ty};
use crate::span::Span;

/// A map as known so far.
#[derive(Clone, Debug)]
pub(crate) struct MapInfo {
    pub(crate) name: String,
    pub(crate) key: Option<Open>,
    pub(crate) value: Option<Open>,
    /// First use without and with a key.
    scalar: Option<Span>,
    keyed: Option<Span>,
    first_key: Option<Span>,
    first_value: Option<Span>,
    pub(crate) written: bool,
    /// Read somewhere.
    pub(crate) read: bool,
    pub(crate) kind: Option<MapKind>,
    pub(crate) max_entries: Option<u32>,
    pub(crate) windows: Windows,
    pub(crate) span: Span,
    /// Emptied or printed by a timer, or anywhere else: a counter that starts again.
    pub(crate) resets: bool,
    /// In this round it was given a value that is an error: it stays untyped, and quiet.
    pub(crate) poisoned: bool,
    /// In this round it was given a value that has no type yet: it is of what another map holds.
    pub(crate) waits: bool,
}

impl MapInfo {
    /// Used, and without a type.
    fn is_open(&self) -> bool {
        self.value.is_none() && (self.written || self.read) && !self.poisoned
    }

    /// Where its values got their type.
    pub(crate) fn first_use(&self) -> Span {
        self.first_value.or(self.scalar).or(self.keyed).unwrap_or(self.span)
    }

    pub(crate) fn is_scalar(&self) -> bool {
        self.scalar.is_some()
    }
}

/// All maps, in order of first appearance.
#[derive(Debug, Default)]
pub(crate) struct MapTable {
    pub(crate) maps: Vec<MapInfo>,
}

impl MapTable {
    fn find(&self, name: &str) -> Option<MapRef> {
        self.maps.iter().position(|m| m.name == name).map(|i| MapRef(i as u32))
    }

    pub(crate) fn get_or_add(&mut self, name: &str, span: Span) -> MapRef {
        self.find(name).unwrap_or_else(|| {
            self.maps.push(MapInfo {
                name: name.to_owned(),
                key: None,
                value: None,
                scalar: None,
                keyed: None,
                first_key: None,
                first_value: None,
                written: false,
                read: false,
                kind: None,
                max_entries: None,
                windows: Windows::default(),
                span,
                resets: false,
                poisoned: false,
                waits: false,
            });
            MapRef(self.maps.len() as u32 - 1)
        })
    }

    /// Values that are only counted up from nothing (`@x++`, `@x += 1`), or read and never written, are a literal 0. True if
    /// there were any. Maps that wait for another's type (`@h = hist(@x)`) have their turn when nothing else is left.
    pub(crate) fn default_values(&mut self) -> bool {
        [false, true].into_iter().any(|waiting| {
            let mut any = false;
            for m in self.maps.iter_mut().filter(|m| m.waits == waiting && m.is_open()) {
                m.value = Some(Open { ty: Ty::Int { bits: 8, signed: true }, flex: Flex::Yes });
                any = true;
            }
            any
        })
    }

    /// Maps that are written and have no type: their values depend on each other only.
    pub(crate) fn untyped(&self) -> impl Iterator<Item = &MapInfo> {
        self.maps.iter().filter(|m| m.value.is_none() && m.written)
    }

    pub(crate) fn defs(&self, default_entries: u32) -> Vec<MapDef> {
        let def = |m: &MapInfo| MapDef {
            name: m.name.clone(),
            key: m.keyed.map(|_| m.key.as_ref().map_or(Ty::I64, |k| k.ty.clone())),
            value: m.value.as_ref().map_or(Ty::I64, |v| v.ty.clone()),
            kind: m.kind,
            max_entries: m.max_entries.unwrap_or(default_entries),
            ttl_ns: m.windows.ttl.map(|t| t.0),
            ring: m.windows.ring(),
            span: m.span,
        };
        self.maps.iter().map(def).collect()
    }
}

impl<'a> Checker<'a> {
    /// The map that a name means here: in a macro only its own parameters.
    pub(crate) fn map_ref(&mut self, name: &str, span: Span) -> Option<MapRef> {
        if self.frames[self.cur].def.is_none() {
            return Some(self.maps.get_or_add(name, span));
        }
        if let Some(Bound::Map(outer)) = self.frames[self.cur].bound.get(&format!("@{name}")) {
            let outer = outer.clone();
            Some(self.maps.get_or_add(&outer, span))
        } else {
            let d = Diagnostic::error(
                "unhygienic-macro",
                span,
                format!("a macro sees only the maps it is given: @{name} is not one"),
            )
            .write(format!("add @{name} to the macro's parameters, and pass it"));
            self.report(d);
            None
        }
    }

    pub(crate) fn map_info(&mut self, map: MapRef) -> &mut MapInfo {
        &mut self.maps.maps[map.index()]
    }

    /// Evaluates a key as written (None: no key) and makes it fit. `Err`: an error was reported.
    pub(crate) fn map_key(
        &mut self,
        map: MapRef,
        key: Option<&'a Vec<ast::Expr>>,
        span: Span,
    ) -> Result<Option<Expr>, ()> {
        let Some(parts) = key else {
            self.use_scalar(map, span)?;
            return Ok(None);
        };
        let values: Vec<Val> = parts.iter().map(|p| self.expr(p)).collect();
        let value =
            if values.len() == 1 { values.into_iter().next() } else { Some(super::tuple::tuple_of(values, span)) };
        match value {
            Some(v) => self.fit_key(map, v, span).map(Some),
            None => Err(()),
        }
    }

    /// A key from an argument: `delete(@m, key)`.
    pub(crate) fn fit_key(&mut self, map: MapRef, key: Val, span: Span) -> Result<Expr, ()> {
        self.use_keyed(map, span)?;
        let key = self.agg_as_number(key);
        if key.is_error() {
            return Err(());
        }
        if matches!(key.e.ty, Ty::Void | Ty::Agg(_) | Ty::Headers) {
            let what = show(&key.e.ty);
            self.error("bad-key", key.e.span, format!("{what} cannot be a map's key"));
            return Err(());
        }
        // Of `dw_ustack` user space makes the key: the program sends it as it is.
        let sent = key.e.ty.holds_sample();
        let open = if sent { Open { ty: key.e.ty.unwound(), ..key.open() } } else { key.open() };
        self.need_whole(&key.e.ty, key.e.span);
        self.need_layout(&open.ty);
        let info = self.map_info(map);
        let Some(old) = info.key.clone() else {
            info.key = Some(open);
            info.first_key = Some(key.e.span);
            self.changed = true;
            return Ok(key.e);
        };
        let Some(joined) = join(&old, &open) else {
            let first = info.first_key.unwrap_or(info.span);
            let d = Diagnostic::error(
                "type-mismatch",
                key.e.span,
                format!(
                    "the key of {} is {}, this is {}",
                    at(&self.maps.maps[map.index()].name),
                    show(&old.ty),
                    show(&key.e.ty)
                ),
            )
            .label(format!("{} here", show(&key.e.ty)))
            .other(first, format!("first used as {} here", show(&old.ty)))
            .bpftrace(format!(
                "Argument mismatch for {}: trying to access with arguments: '{}' when map expects arguments: '{}'",
                at(&self.maps.maps[map.index()].name),
                spelled(&key.e.ty),
                spelled(&old.ty)
            ));
            self.report(d);
            return Err(());
        };
        if joined != old {
            self.map_info(map).key = Some(joined.clone());
            self.changed = true;
        }
        Ok(if sent { key.e } else { coerce(key.e, &joined.ty) })
    }

    pub(crate) fn use_scalar(&mut self, map: MapRef, span: Span) -> Result<(), ()> {
        let info = self.map_info(map);
        if let Some(other) = info.keyed {
            let name = at(&info.name);
            let d = Diagnostic::error("map-key", span, format!("{name} has keys, but none is given here"))
                .other(other, "first used with a key here")
                .write(format!("{name}[key]"));
            self.report(d);
            return Err(());
        }
        info.scalar.get_or_insert(span);
        Ok(())
    }

    pub(crate) fn use_keyed(&mut self, map: MapRef, span: Span) -> Result<(), ()> {
        let info = self.map_info(map);
        if let Some(other) = info.scalar {
            let d =
                Diagnostic::error("map-key", span, format!("{} has no keys, but one is given here", at(&info.name)))
                    .other(other, "first used without a key here");
            self.report(d);
            return Err(());
        }
        info.keyed.get_or_insert(span);
        Ok(())
    }

    /// A function that only works on maps with keys is called with this one.
    pub(crate) fn needs_keys(&mut self, map: MapRef, what: &str, span: Span) -> Result<(), ()> {
        let info = self.map_info(map);
        let Some(other) = info.scalar else { return self.use_keyed(map, span) };
        let name = at(&info.name);
        let d = Diagnostic::error("map-key", span, format!("{what} wants a map with keys, {name} has none"))
            .other(other, "used without a key here")
            .bpftrace(format!("call to {what} expects a map with explicit keys (non-scalar map)"));
        self.report(d);
        Err(())
    }

    /// Lets a map hold one more type of value; its type afterwards.
    pub(crate) fn widen_map(&mut self, map: MapRef, new: &Open, span: Span) -> Ty {
        let info = self.map_info(map);
        info.written = true;
        let Some(old) = info.value.clone() else {
            if matches!(new.ty, Ty::Error | Ty::Void) {
                return Ty::Error;
            }
            info.value = Some(new.clone());
            info.first_value = Some(span);
            self.changed = true;
            return new.ty.clone();
        };
        if let Some(joined) = join(&old, new) {
            if joined != old {
                self.map_info(map).value = Some(joined.clone());
                self.changed = true;
            }
            joined.ty
        } else {
            self.value_mismatch(map, &old.ty, &new.ty, span);
            old.ty
        }
    }

    fn value_mismatch(&mut self, map: MapRef, old: &Ty, new: &Ty, span: Span) {
        let info = self.map_info(map);
        let (name, first) = (at(&info.name), info.first_value.unwrap_or(info.span));
        let mut d =
            Diagnostic::error("type-mismatch", span, format!("{name} holds {}, this is {}", show(old), show(new)))
                .label(format!("{} here", show(new)))
                .other(first, format!("first used as {} here", show(old)))
                .bpftrace(format!(
                    "Type mismatch for {name}: trying to assign value of type '{}' when map already has a type '{}'",
                    spelled(new),
                    spelled(old)
                ));
        if let (Ty::Agg(a), Ty::Agg(b)) = (old, new) {
            let (a, b) = (super::types::agg_full(a), super::types::agg_full(b));
            d.message = format!("{name} holds {a}, this is {b}");
        }
        if let (Ty::Agg(a), true) = (old, !matches!(new, Ty::Agg(_))) {
            d = d.note(format!(
                "a map that counts is only written by {}(); use another map for plain values",
                super::types::agg_name(a)
            ));
        }
        self.report(d);
    }

    /// `@m[k]` as a value; an aggregate is read as a number where it has one.
    pub(crate) fn read_map(&mut self, map: MapRef, key: Option<Expr>, span: Span) -> Val {
        let info = self.map_info(map);
        info.read = true;
        let (written, name) = (info.written, info.name.clone());
        let open = info.value.clone().unwrap_or(Open::firm(Ty::Error));
        if !written && open.ty != Ty::Error {
            let d =
                Diagnostic::warning("undefined-map", span, format!("{} is never written: it is always 0", at(&name)));
            self.report(self.near_maps(d, &name));
        }
        let mut v = Val::new(ExprKind::MapGet { map, key: key.map(Box::new) }, open.ty, span);
        v.flex = open.flex;
        v
    }

    pub(crate) fn undefined_map(&mut self, name: &str, span: Span) {
        let d = Diagnostic::error("undefined-map", span, format!("{} is never written", at(name)))
            .bpftrace(format!("Undefined map: {}", at(name)));
        self.report(self.near_maps(d, name));
    }

    fn near_maps(&self, d: Diagnostic, name: &str) -> Diagnostic {
        let known: Vec<&str> = self.maps.maps.iter().filter(|m| m.written).map(|m| m.name.as_str()).collect();
        let near = crate::suggest::nearest(name, known, 3);
        if near.is_empty() { d } else { d.near(near.iter().map(|n| at(n)).collect::<Vec<_>>().join(", ")) }
    }

    /// What declared maps are for: one that nothing uses, and one whose kind doesn't go with its values.
    pub(crate) fn check_declared(&mut self) {
        let mut found = Vec::new();
        for m in self.maps.maps.iter().filter(|m| m.kind.is_some()) {
            let name = at(&m.name);
            // A module's are of its probes, which may be left out.
            let own = m.span.file == super::modules::MAIN;
            if own && m.scalar.is_none() && m.keyed.is_none() && !m.written && !m.read {
                let d = Diagnostic::warning("unused-map", m.span, format!("nothing uses {name}"))
                    .bpftrace(format!("Unused map: {name}"));
                found.push(d);
            }
            let percpu = matches!(m.kind, Some(MapKind::PercpuHash | MapKind::LruPercpuHash));
            let plain = m.value.as_ref().is_some_and(|v| !matches!(v.ty, Ty::Agg(_) | Ty::Error));
            if percpu && plain && m.written {
                let d = Diagnostic::error(
                    "map-kind",
                    m.first_value.unwrap_or(m.span),
                    format!("{name} is declared per CPU, where a plain value would be another on each"),
                )
                .other(m.span, "declared here")
                .write("hash(…) or lruhash(…); count(), sum() and their like are what goes into a map per CPU");
                found.push(d);
            }
        }
        for d in found {
            self.report(d);
        }
    }

    /// Reads an aggregate as a number; reports those that have none.
    pub(crate) fn agg_as_number(&mut self, mut v: Val) -> Val {
        let Ty::Agg(agg) = &v.e.ty else { return v };
        if let Some(ty) = agg_number(agg) {
            v.e.ty = ty;
            v
        } else {
            let name = super::types::agg_name(agg);
            let d = Diagnostic::error("bad-aggregate-use", v.e.span, format!("{name}() has no single number to read"))
                .note("print() it, or keep a second map with count(), sum() or max()");
            self.report(d);
            Val::error(v.e.span)
        }
    }

    /// The type behind `typeof(@m)`: the key's, the value's where there are no keys.
    pub(crate) fn map_key_or_value(&mut self, name: &str) -> Ty {
        let Some(map) = self.map_ref(name, Span::default()) else { return Ty::Error };
        let info = self.map_info(map);
        let open = if info.keyed.is_some() { info.key.clone() } else { info.value.clone() };
        open.map_or(Ty::Error, |o| o.ty)
    }

    /// `None` while it is not known whether a map has keys.
    pub(crate) fn map_is_scalar(&mut self, map: MapRef) -> Option<bool> {
        let info = self.map_info(map);
        if info.keyed.is_some() { Some(false) } else { info.scalar.map(|_| true) }
    }

    /// `@m = count()` and the like.
    pub(crate) fn aggregate(
        &mut self,
        map: MapRef,
        key: Option<Expr>,
        agg: Agg,
        arg: Option<Expr>,
        span: Span,
    ) -> StmtKind {
        self.widen_map(map, &Open::firm(Ty::Agg(agg)), span);
        StmtKind::Aggregate { map, key, arg }
    }
}

/// A map's name as written.
pub(crate) fn at(name: &str) -> String {
    format!("@{name}")
}

//! What the script and its modules define, by kind.

use super::walk::{self, ArgsUse};
use crate::ast::{self, Block, Expr, Ident, Item, Script, StmtKind};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A definition in C's syntax.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CDef<'a> {
    Type(&'a ast::CTypeDef),
    Alias(&'a ast::Typedef),
}

impl<'a> CDef<'a> {
    /// The name that it defines.
    pub(crate) fn name(&self) -> Option<&'a str> {
        match self {
            Self::Type(def) => Some(&def.name.text),
            Self::Alias(alias) => alias.field.name.as_ref().map(|n| n.text.as_str()),
        }
    }
}

/// All items, modules before what imports them.
#[derive(Debug)]
pub(crate) struct Items<'a> {
    pub(crate) macros: BTreeMap<&'a str, Vec<&'a ast::Macro>>,
    pub(crate) fns: Vec<&'a ast::FnDef>,
    pub(crate) params: Vec<&'a ast::Param>,
    pub(crate) map_decls: Vec<&'a ast::MapDecl>,
    pub(crate) joins: Vec<&'a ast::Join>,
    /// Of the joins that there are, made or not.
    pub(crate) join_names: Vec<&'a str>,
    pub(crate) alerts: Vec<&'a ast::Alert>,
    /// Names of alerts that blocks tell.
    pub(crate) told: BTreeSet<&'a str>,
    pub(crate) probes: Vec<&'a ast::Probe>,
    /// In order: what is used is defined before.
    pub(crate) ctypes: Vec<CDef<'a>>,
    pub(crate) configs: Vec<&'a ast::Config>,
    pub(crate) defines: &'a HashMap<String, Expr>,
    /// What of `args` macros use.
    pub(crate) macro_args: ArgsUse,
    /// Streams that something emits, by name.
    pub(crate) streams: BTreeMap<String, &'a Ident>,
}

impl<'a> Items<'a> {
    pub(crate) fn collect(
        scripts: &[&'a Script],
        defines: &'a HashMap<String, Expr>,
        c_macros: &'a [ast::Macro],
    ) -> Self {
        let mut items = Self {
            macros: BTreeMap::new(),
            fns: Vec::new(),
            params: Vec::new(),
            map_decls: Vec::new(),
            joins: Vec::new(),
            join_names: Vec::new(),
            alerts: Vec::new(),
            told: BTreeSet::new(),
            probes: Vec::new(),
            ctypes: Vec::new(),
            configs: Vec::new(),
            defines,
            macro_args: ArgsUse::of_macros(scripts.iter().copied()),
            streams: BTreeMap::new(),
        };
        for m in c_macros {
            items.macros.entry(&m.name.text).or_default().push(m);
        }
        for item in scripts.iter().flat_map(|s| &s.items) {
            match item {
                Item::Include(_) | Item::Define(_) | Item::Import(_) => {}
                Item::CType(c) => items.ctypes.push(CDef::Type(c)),
                Item::Typedef(t) => items.ctypes.push(CDef::Alias(t)),
                Item::Config(c) => items.configs.push(c),
                Item::Param(p) => items.params.push(p),
                Item::MapDecl(m) => items.map_decls.push(m),
                Item::Macro(m) => {
                    items.emits(&m.body);
                    items.macros.entry(&m.name.text).or_default().push(m);
                }
                Item::Fn(f) => {
                    items.tells(&f.body);
                    items.fns.push(f);
                }
                Item::Probe(p) => {
                    p.alternatives().for_each(|p| items.emits(&p.body));
                    items.probes.push(p);
                }
                Item::Join(j) => items.joins.push(j),
                Item::Alert(a) => items.alerts.push(a),
            }
        }
        items.join_names = items.joins.iter().map(|j| j.name.text.as_str()).collect();
        items.joins = super::modules::joins(&items.joins, &items.probes);
        items.probes = super::modules::probes(std::mem::take(&mut items.probes), &items.fns, &items.joins);
        items
    }

    /// Notes the streams that a block emits, and the alerts that it tells.
    fn emits(&mut self, block: &'a Block) {
        walk::stmts(block, &mut |s| {
            if let StmtKind::Emit { stream, .. } = &s.kind {
                self.streams.entry(stream.text.clone()).or_insert(stream);
            }
        });
        self.tells(block);
    }

    fn tells(&mut self, block: &'a Block) {
        walk::stmts(block, &mut |s| {
            if let StmtKind::Tell(told) = &s.kind {
                self.told.insert(&told.name.text);
            }
        });
    }
}

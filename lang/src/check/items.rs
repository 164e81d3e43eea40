//! What the script and its modules define, by kind.

use super::walk::{self, ArgsUse};
use crate::ast::{self, Block, Expr, ExprKind, Ident, Item, Script, Stmt, StmtKind};
use std::collections::{BTreeMap, HashMap};

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
                Item::Fn(f) => items.fns.push(f),
                Item::Probe(p) => {
                    let mut probe = Some(p);
                    while let Some(p) = probe {
                        items.emits(&p.body);
                        probe = p.otherwise.as_deref();
                    }
                    items.probes.push(p);
                }
                Item::Join(j) => items.joins.push(j),
            }
        }
        items
    }

    /// Notes the streams that a block emits.
    fn emits(&mut self, block: &'a Block) {
        let mut blocks = vec![block];
        let mut inner = |e: &'a Expr| match &e.kind {
            ExprKind::If(parts) => {
                blocks.push(&parts.then);
                blocks.extend(parts.otherwise.as_ref());
            }
            ExprKind::Block(b) => blocks.push(b),
            _ => {}
        };
        walk::block(block, &mut inner);
        for b in blocks {
            self.emits_of(&b.stmts);
        }
    }

    fn emits_of(&mut self, stmts: &'a [Stmt]) {
        for s in stmts {
            match &s.kind {
                StmtKind::Emit { stream, .. } => {
                    self.streams.entry(stream.text.clone()).or_insert(stream);
                }
                StmtKind::While { body, .. } | StmtKind::For { body, .. } | StmtKind::Unroll { body, .. } => {
                    self.emits_of(&body.stmts);
                }
                _ => {}
            }
        }
    }
}

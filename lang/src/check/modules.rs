//! What of imported modules a script uses: joins that it names, probes whose streams something reads. The rest is left out before
//! anything of it is looked up on the host, so that an import costs what is used of it.

use super::glob;
use super::keys;
use super::walk;
use crate::ast::{AttachPoint, Block, Expr, ExprKind, FnDef, ForIter, Join, JoinClauseKind, Probe, Stmt, StmtKind};
use crate::span::FileId;
use std::collections::{BTreeMap, BTreeSet};

/// The script itself; modules come after it.
pub(super) const MAIN: FileId = FileId(0);

/// Joins that are made: the script's own, and those of modules that a block is at. A script's join takes the place of a module's
/// of its name.
pub(super) fn joins<'a>(all: &[&'a Join], probes: &[&'a Probe]) -> Vec<&'a Join> {
    let own = |name: &str| all.iter().any(|j| j.span.file == MAIN && j.name.text == name);
    let named = |j: &Join| probes.iter().copied().any(|p| points(p).any(|point| names(point, &j.name.text)));
    all.iter().copied().filter(|j| j.span.file == MAIN || !own(&j.name.text) && named(j)).collect()
}

/// Whether a map (without its `@`) is printed at the end, whoever fills it. Names of the library's own begin with `__`.
pub fn is_shown(map: &str) -> bool {
    !map.starts_with("__")
}

/// A probe's attach points, with those after `else`.
pub(super) fn points(probe: &Probe) -> impl Iterator<Item = &AttachPoint> {
    probe.alternatives().flat_map(|p| &p.points)
}

fn names(point: &AttachPoint, join: &str) -> bool {
    point.provider.text == "join" && point.segments.first().is_some_and(|s| glob::matches(&s.text, join))
}

/// Leaves out what only emits streams that no join reads.
pub(super) fn probes<'a>(all: Vec<&'a Probe>, fns: &[&'a FnDef], joins: &[&Join]) -> Vec<&'a Probe> {
    let called: BTreeMap<&str, Effects<'_>> = fns.iter().map(|f| (f.name.text.as_str(), Effects::of_fn(f))).collect();
    let effects: Vec<Effects<'_>> = all.iter().map(|p| Effects::of(p).with(&called)).collect();
    let read: Vec<&str> = joins.iter().flat_map(|j| streams(j)).collect();
    // A leg may find its anchor by way of a binding: what the records carry isn't known here, place::prune asks again.
    let bound = joins.iter().any(|j| streams(j).nth(1).is_some());
    let is_read = |stream: &str| {
        // What sockets carry is read by blocks on them.
        if stream.starts_with(super::sockets::STREAMS) {
            return true;
        }
        if bound && keys::is_binding(stream) {
            return true;
        }
        read.iter().any(|r| r.strip_prefix(stream).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
    };
    let mut kept: Vec<bool> = all
        .iter()
        .zip(&effects)
        .map(|(p, e)| {
            let silent = e.emits.is_empty() && e.writes.is_empty();
            let shown = e.acts || silent || e.writes.iter().any(|map| is_shown(map));
            p.span.file == MAIN || shown || e.emits.iter().any(|s| is_read(s))
        })
        .collect();
    loop {
        // Maps that a kept probe reads may be filled, or emptied, by another; who only reads them too is not needed for it.
        let read: BTreeSet<&str> =
            effects.iter().zip(&kept).filter(|(_, k)| **k).flat_map(|(e, _)| e.reads.iter().copied()).collect();
        let more: Vec<usize> = (0..all.len()).filter(|&i| !kept[i] && !effects[i].writes.is_disjoint(&read)).collect();
        if more.is_empty() {
            break;
        }
        for i in more {
            kept[i] = true;
        }
    }
    all.into_iter().zip(kept).filter(|(_, k)| *k).map(|(p, _)| p).collect()
}

/// The streams that a join reads; of legs with the field.
fn streams(join: &Join) -> impl Iterator<Item = &str> {
    join.clauses.iter().filter_map(|c| match &c.kind {
        JoinClauseKind::From { stream, .. } => Some(stream.text.as_str()),
        JoinClauseKind::Leg(leg) => Some(leg.source.text.as_str()),
        _ => None,
    })
}

/// What a probe does, as far as its text tells.
#[derive(Default)]
struct Effects<'a> {
    emits: BTreeSet<&'a str>,
    reads: BTreeSet<&'a str>,
    writes: BTreeSet<&'a str>,
    /// Functions of the script's among others.
    calls: BTreeSet<&'a str>,
    /// It may do more than emit and note things in maps.
    acts: bool,
}

impl<'a> Effects<'a> {
    fn of(probe: &'a Probe) -> Self {
        let mut found = Self::default();
        for p in probe.alternatives() {
            p.predicate.iter().for_each(|e| found.expr(e));
            found.block(&p.body);
        }
        found
    }

    fn of_fn(f: &'a FnDef) -> Self {
        let mut found = Self::default();
        f.body.stmts.iter().for_each(|s| found.stmt(s));
        // Its value.
        f.body.tail.iter().for_each(|e| found.expr(e));
        found
    }

    /// With what the functions do that it calls, and those that they call.
    fn with(mut self, fns: &BTreeMap<&'a str, Self>) -> Self {
        let mut seen = BTreeSet::new();
        let mut open: Vec<&str> = self.calls.iter().copied().collect();
        while let Some(name) = open.pop() {
            let Some(of) = fns.get(name).filter(|_| seen.insert(name)) else { continue };
            self.emits.extend(&of.emits);
            self.reads.extend(&of.reads);
            self.writes.extend(&of.writes);
            self.acts |= of.acts;
            open.extend(&of.calls);
        }
        self
    }

    fn block(&mut self, block: &'a Block) {
        block.stmts.iter().for_each(|s| self.stmt(s));
        block.tail.iter().for_each(|e| self.done(e));
    }

    fn stmt(&mut self, s: &'a Stmt) {
        match &s.kind {
            StmtKind::Emit { stream, fields } => {
                self.emits.insert(&stream.text);
                for (_, e) in fields {
                    self.expr(e);
                }
            }
            StmtKind::Expr(e) => self.done(e),
            StmtKind::Assign { place, value, .. } => {
                self.place(place);
                self.expr(value);
            }
            StmtKind::While { cond: of, body } | StmtKind::Unroll { count: of, body } => {
                self.expr(of);
                self.block(body);
            }
            StmtKind::For { iter, body, .. } => {
                match iter {
                    ForIter::Map(e) => self.expr(e),
                    ForIter::Range(from, to) => [from, to].into_iter().for_each(|e| self.expr(e)),
                }
                self.block(body);
            }
            _ => {
                // An alert is why it is there: of a module too.
                self.acts |= matches!(s.kind, StmtKind::Alert(_) | StmtKind::Tell(_));
                walk::stmt(s, &mut |e| self.look(e));
            }
        }
    }

    /// What is assigned to, counted up or deleted: its value is used for itself alone.
    fn place(&mut self, e: &'a Expr) {
        let ExprKind::Map { name, key } = &e.kind else { return self.expr(e) };
        self.writes.insert(name);
        key.iter().flatten().for_each(|e| self.expr(e));
    }

    /// An expression that stands as a statement: what it does is why it is there.
    fn done(&mut self, e: &'a Expr) {
        match &e.kind {
            ExprKind::If(parts) => {
                self.expr(&parts.cond);
                self.block(&parts.then);
                parts.otherwise.iter().for_each(|b| self.block(b));
            }
            ExprKind::Block(block) => self.block(block),
            ExprKind::Call { name, args, .. } if name.text == "delete" => {
                args.iter().take(1).for_each(|arg| self.place(&arg.value));
                args.iter().skip(1).for_each(|arg| self.expr(&arg.value));
            }
            ExprKind::IncDec { expr, .. } => self.place(expr),
            _ => {
                self.expr(e);
                self.acts = true;
            }
        }
    }

    fn expr(&mut self, e: &'a Expr) {
        walk::expr(e, &mut |e| self.look(e));
    }

    fn look(&mut self, e: &'a Expr) {
        match &e.kind {
            ExprKind::Map { name, .. } => {
                self.reads.insert(name);
            }
            // What is in it is looked at after it: not here too, else nested ones would take for ever.
            ExprKind::IncDec { expr, .. } => {
                if let ExprKind::Map { name, .. } = &expr.kind {
                    self.writes.insert(name);
                }
            }
            // A macro may write a map that it is given.
            ExprKind::Call { name, args, .. } => {
                self.calls.insert(&name.text);
                for arg in args {
                    if let ExprKind::Map { name, key: None } = &arg.value.kind {
                        self.writes.insert(name);
                    }
                }
            }
            // What calls what is not known here but of these.
            ExprKind::If(_) | ExprKind::Block(_) => self.acts = true,
            _ => {}
        }
    }
}

#[cfg(test)]
#[path = "modules_tests.rs"]
mod tests;

//! Macros: hygienic expansion. A body sees its parameters and its own variables, nothing else.

use super::cx::Checker;
use super::expansion;
use super::scope::{Bound, Frame};
use super::value::Val;
use crate::ast::{self, Expr, ExprKind, Macro, MacroParam, TypeOp};
use crate::builtins;
use crate::diag::Diagnostic;
use crate::hir::{self, Ty};
use crate::span::Span;
use std::collections::HashMap;

/// Expansions in one probe, and how deep they nest: far more than a person writes.
pub(super) const MOST_EXPANSIONS: u32 = 2000;
const DEEPEST: usize = 40;

impl<'a> Checker<'a> {
    /// What is wrong with definitions of macros themselves.
    pub(crate) fn check_macros(&mut self) {
        let items = self.items;
        for all in items.macros.values() {
            for (i, m) in all.iter().enumerate() {
                self.check_params(m);
                let same = |o: &&&Macro| o.name.span.file == m.name.span.file && shape(o) == shape(m);
                if let Some(first) = all[..i].iter().find(same) {
                    let d = Diagnostic::error(
                        "macro-twice",
                        m.name.span,
                        format!("there is a macro {} with such parameters already", m.name.text),
                    )
                    .other(first.name.span, "the first one")
                    .note("macros of one name differ in how many parameters they take, or in $, @ and plain ones");
                    self.report(d);
                }
            }
        }
    }

    /// A function is there once, whatever module it is of: a call would mean either.
    pub(crate) fn check_functions(&mut self) {
        let items = self.items;
        for (i, f) in items.fns.iter().enumerate() {
            if let Some(first) = items.fns[..i].iter().find(|o| o.name.text == f.name.text) {
                let what = format!("there is a function {} already", f.name.text);
                let d = Diagnostic::error("function-twice", f.name.span, what).other(first.name.span, "the first one");
                self.report(d.note("functions of a script and of all modules that it imports have names of their own"));
            }
        }
    }

    fn check_params(&mut self, m: &'a Macro) {
        for (i, p) in m.params.iter().enumerate() {
            let (kind, name) = param(p);
            if let Some(first) = m.params[..i].iter().map(param).find(|(k, n)| (*k, &n.text) == (kind, &name.text)) {
                let d = Diagnostic::error("macro-params", name.span, format!("two parameters are named {}", name.text))
                    .other(first.1.span, "the first one");
                self.report(d);
            }
            if kind == ' ' && builtins::find(&name.text).is_some_and(|row| row.bare) {
                let d = Diagnostic::error(
                    "macro-params",
                    name.span,
                    format!("{} is a builtin: a parameter of that name would hide it", name.text),
                )
                .write(format!("{}_ or another name", name.text));
                self.report(d);
            }
        }
    }

    /// The macro of this name that takes these arguments; the one whose parameters say most.
    pub(crate) fn find_macro(&self, name: &str, args: &'a [ast::Arg]) -> Option<&'a Macro> {
        let all = self.items.macros.get(name)?;
        let mut best: Option<(usize, &'a Macro)> = None;
        for m in all {
            if m.params.len() != args.len() || args.iter().any(|a| a.name.is_some()) {
                continue;
            }
            let mut exact = 0;
            let fits = m.params.iter().zip(args).all(|(p, a)| match (p, self.peel(&a.value, self.cur).0) {
                (MacroParam::Expr(_), _) => true,
                (MacroParam::Var(_), Expr { kind: ExprKind::Var(_), .. })
                | (MacroParam::Map(_), Expr { kind: ExprKind::Map { key: None, .. }, .. }) => {
                    exact += 1;
                    true
                }
                _ => false,
            });
            if fits && best.is_none_or(|(n, _)| exact > n) {
                best = Some((exact, m));
            }
        }
        best.map(|(_, m)| m)
    }

    /// Looks through parameters that stand for a bare expression of an outer frame.
    fn peel(&self, mut e: &'a Expr, mut frame: usize) -> (&'a Expr, usize) {
        while let ExprKind::Ident(name) = &e.kind {
            match self.frames[frame].bound.get(name) {
                Some(Bound::Expr(inner, outer)) => (e, frame) = (*inner, *outer),
                _ => break,
            }
        }
        (e, frame)
    }

    /// An argument as it was first written, and the frame it was written in.
    pub(crate) fn peeled(&self, e: &'a Expr) -> (&'a Expr, usize) {
        self.peel(e, self.cur)
    }

    /// A macro's parameter of this name, as an expression, where it was written.
    pub(crate) fn bound_expr(&self, name: &str) -> Option<(&'a Expr, usize)> {
        match self.frames[self.cur].bound.get(name) {
            Some(Bound::Expr(e, frame)) => Some((*e, *frame)),
            _ => None,
        }
    }

    /// Runs `f` in an outer frame.
    pub(crate) fn in_frame<T>(&mut self, frame: usize, f: impl FnOnce(&mut Self) -> T) -> T {
        let here = std::mem::replace(&mut self.cur, frame);
        let result = f(self);
        self.cur = here;
        result
    }

    /// A type that a macro got as `typeof(T)`.
    pub(crate) fn macro_type(&mut self, name: &str) -> Option<Ty> {
        let (e, frame) = self.bound_expr(name)?;
        match &e.kind {
            ExprKind::TypeOp { op: TypeOp::Typeof, operand, .. } => {
                Some(self.in_frame(frame, |c| c.operand_type(operand)))
            }
            ExprKind::Ident(inner) => self.in_frame(frame, |c| c.macro_type(inner)),
            _ => None,
        }
    }

    /// Reports a call that no macro of the name takes.
    pub(crate) fn wrong_macro_args(&mut self, name: &str, args: &'a [ast::Arg], span: Span) -> Val {
        let Some(first) = self.items.macros.get(name).and_then(|m| m.first()) else { return Val::error(span) };
        let mut d = Diagnostic::error("macro-args", span, format!("no macro {name} takes these arguments"))
            .other(first.name.span, format!("takes {}", signature(first)));
        for (p, a) in first.params.iter().zip(args) {
            let what = self.peel(&a.value, self.cur).0;
            match p {
                MacroParam::Var(v) if !matches!(what.kind, ExprKind::Var(_)) => {
                    d = d.note(format!("${} stands for a variable: put the value into one, and pass that", v.text));
                }
                MacroParam::Map(m) if !matches!(what.kind, ExprKind::Map { key: None, .. }) => {
                    d = d.note(format!("@{} stands for a whole map: pass @name", m.text));
                }
                _ => {}
            }
        }
        self.report(d);
        Val::error(span)
    }

    pub(crate) fn expand(&mut self, m: &'a Macro, args: &'a [ast::Arg], span: Span) -> Val {
        if let Some(d) = self.expansion_limit(m, span) {
            // All calls behind the one that is too much are: they are told of once.
            let area = if d.code == "macro-limit" { Span::default() } else { span };
            self.report_once(area, d);
            return Val::error(span);
        }
        self.expanded += 1;
        let mut bound = HashMap::new();
        for (p, a) in m.params.iter().zip(args) {
            match p {
                MacroParam::Expr(name) => {
                    bound.insert(name.text.clone(), Bound::Expr(&a.value, self.cur));
                }
                MacroParam::Var(name) => {
                    let (e, frame) = self.peel(&a.value, self.cur);
                    let ExprKind::Var(outer) = &e.kind else { continue };
                    let var = self.in_frame(frame, |c| c.assigned_var(outer, e.span));
                    bound.insert(format!("${}", name.text), Bound::Var(var));
                }
                MacroParam::Map(name) => {
                    let (e, frame) = self.peel(&a.value, self.cur);
                    let ExprKind::Map { name: outer, .. } = &e.kind else { continue };
                    let Some(map) = self.in_frame(frame, |c| c.map_ref(outer, e.span)) else { continue };
                    let outer = self.map_info(map).name.clone();
                    bound.insert(format!("@{}", name.text), Bound::Map(outer));
                }
            }
        }
        let expansion = self.expansion(span);
        let frame = Frame { expansion, bound, def: Some(m), parent: self.cur, call: span, ..Frame::root() };
        self.frames.push(frame);
        let at = self.frames.len() - 1;
        let mut value = self.in_frame(at, |c| c.block_value(&m.body, span));
        self.frames.truncate(at);
        expansion::mark(&mut value.e, m.body.span, expansion);
        value
    }

    fn expansion_limit(&self, m: &'a Macro, span: Span) -> Option<Diagnostic> {
        let mut depth = 0;
        let mut at = self.cur;
        while let Some(def) = self.frames[at].def {
            if std::ptr::eq(def, m) {
                return Some(
                    Diagnostic::error("macro-recursion", span, format!("the macro {} calls itself", m.name.text))
                        .other(m.name.span, "defined here")
                        .other(self.frames[at].call, "first called here"),
                );
            }
            depth += 1;
            at = self.frames[at].parent;
        }
        if depth >= DEEPEST || self.expanded >= MOST_EXPANSIONS {
            return Some(Diagnostic::error("macro-limit", span, "too many macro calls: the program would not fit"));
        }
        None
    }

    /// `{ …; e }` as a value.
    pub(crate) fn block_value(&mut self, block: &'a ast::Block, span: Span) -> Val {
        self.scoped(|c| {
            let stmts = c.stmts(&block.stmts, block.tail.as_deref());
            let Some(tail) = &block.tail else {
                let b = hir::Block { stmts, tail: None, span };
                return Val::new(hir::ExprKind::Block(Box::new(b)), Ty::Void, span);
            };
            let mut value = c.expr(tail);
            if stmts.is_empty() {
                return value;
            }
            let ty = value.e.ty.clone();
            let b = hir::Block { stmts, tail: Some(Box::new(value.e)), span };
            value.e = hir::Expr { kind: hir::ExprKind::Block(Box::new(b)), ty, span };
            value.lit = false;
            value
        })
    }
}

/// A parameter's sign and name.
fn param(p: &MacroParam) -> (char, &ast::Ident) {
    match p {
        MacroParam::Expr(i) => (' ', i),
        MacroParam::Var(i) => ('$', i),
        MacroParam::Map(i) => ('@', i),
    }
}

/// What tells apart macros of one name.
fn shape(m: &Macro) -> Vec<char> {
    m.params.iter().map(|p| param(p).0).collect()
}

/// `name($a, b, @c)`
fn signature(m: &Macro) -> String {
    let params: Vec<String> = m
        .params
        .iter()
        .map(|p| match p {
            MacroParam::Expr(i) => i.text.clone(),
            MacroParam::Var(i) => format!("${}", i.text),
            MacroParam::Map(i) => format!("@{}", i.text),
        })
        .collect();
    format!("{}({})", m.name.text, params.join(", "))
}

//! Scratch variables: block scopes, macro frames, and the types that grow from round to round.

use super::cx::Checker;
use super::types::{self, Open, fits, join, show, show_full};
use super::value::{Val, coerce};
use crate::ast::{self, Ident};
use crate::diag::Diagnostic;
use crate::hir::{Expr, ExprKind, StmtKind, Ty, VarDef, VarRef};
use crate::span::Span;
use std::collections::HashMap;

/// A variable across rounds: the probe, the macro expansion it is in, and where it is first written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CellKey {
    pub(crate) instance: u32,
    pub(crate) expansion: u32,
    pub(crate) span: Span,
}

#[derive(Clone, Debug)]
struct Cell {
    open: Option<Open>,
    /// By `let $x: type`: never grows.
    declared: bool,
    first: Span,
}

/// Types of variables, kept across rounds.
#[derive(Debug, Default)]
pub(crate) struct Cells {
    cells: HashMap<CellKey, Cell>,
    /// (expansion, call) → expansion
    expansions: HashMap<(u32, Span), u32>,
}

impl Cells {
    /// The calls of macros by the number of their expansion, each with the expansion that it stands in.
    pub(crate) fn calls(&self) -> Vec<Span> {
        let mut calls: Vec<(u32, Span)> =
            self.expansions.iter().map(|(&(parent, call), &n)| (n, Span { expansion: parent, ..call })).collect();
        calls.sort_unstable_by_key(|(n, _)| *n);
        calls.into_iter().map(|(_, call)| call).collect()
    }
}

/// A variable of the probe being checked.
#[derive(Clone, Debug)]
pub(crate) struct Local {
    pub(crate) name: String,
    pub(crate) key: CellKey,
    pub(crate) span: Span,
}

/// What a macro's parameter stands for.
#[derive(Clone, Debug)]
pub(crate) enum Bound<'a> {
    /// An expression, seen from the frame it was written in.
    Expr(&'a ast::Expr, usize),
    Var(VarRef),
    /// A map's name.
    Map(String),
}

/// The body of the probe, or an expansion of a macro.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) expansion: u32,
    pub(crate) scopes: Vec<HashMap<String, VarRef>>,
    /// Parameters: `name`, `$name`, `@name`.
    pub(crate) bound: HashMap<String, Bound<'a>>,
    /// Which macro, None for the probe.
    pub(crate) def: Option<&'a ast::Macro>,
    pub(crate) parent: usize,
    pub(crate) call: Span,
    /// Of a function's body.
    pub(crate) function: Option<Function<'a>>,
}

/// A function being called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Function<'a> {
    pub(crate) def: &'a ast::FnDef,
    /// Where `return` leaves the value; None: void.
    pub(crate) result: Option<VarRef>,
}

impl Frame<'_> {
    pub(crate) fn root() -> Self {
        Self {
            expansion: 0,
            scopes: vec![HashMap::new()],
            bound: HashMap::new(),
            def: None,
            parent: 0,
            call: Span::default(),
            function: None,
        }
    }
}

impl<'a> Checker<'a> {
    pub(crate) fn frame(&mut self) -> &mut Frame<'a> {
        let cur = self.cur;
        &mut self.frames[cur]
    }

    pub(crate) fn scoped<T>(&mut self, f: impl FnOnce(&mut Self) -> T) -> T {
        let at = self.cur;
        self.frames[at].scopes.push(HashMap::new());
        let result = f(self);
        self.frames[at].scopes.pop();
        result
    }

    /// The number of a macro's expansion at a call, the same in every round.
    pub(crate) fn expansion(&mut self, call: Span) -> u32 {
        let next = self.cells.expansions.len() as u32 + 1;
        let parent = self.frames[self.cur].expansion;
        *self.cells.expansions.entry((parent, call)).or_insert(next)
    }

    pub(crate) fn lookup(&self, name: &str) -> Option<VarRef> {
        let frame = &self.frames[self.cur];
        if let Some(var) = frame.scopes.iter().rev().find_map(|s| s.get(name)) {
            return Some(*var);
        }
        match frame.bound.get(&format!("${name}")) {
            Some(Bound::Var(var)) => Some(*var),
            _ => None,
        }
    }

    /// A new variable in the innermost scope.
    pub(crate) fn declare(&mut self, name: &str, span: Span) -> VarRef {
        let expansion = self.frames[self.cur].expansion;
        let key = CellKey { instance: self.probe.instance, expansion, span };
        self.cells.cells.entry(key).or_insert(Cell { open: None, declared: false, first: span });
        let var = VarRef(self.locals.len() as u32);
        self.locals.push(Local { name: name.to_owned(), key, span });
        if let Some(scope) = self.frame().scopes.last_mut() {
            scope.insert(name.to_owned(), var);
        }
        var
    }

    fn cell(&mut self, var: VarRef) -> &mut Cell {
        let key = self.locals[var.index()].key;
        self.cells.cells.entry(key).or_insert(Cell { open: None, declared: false, first: key.span })
    }

    pub(crate) fn var_type(&mut self, var: VarRef) -> Open {
        self.cell(var).open.clone().unwrap_or(Open::firm(Ty::Error))
    }

    /// Fixes a variable's type by its declaration.
    pub(crate) fn declare_type(&mut self, var: VarRef, ty: Ty) {
        let cell = self.cell(var);
        cell.declared = true;
        if cell.open.as_ref().map(|o| &o.ty) != Some(&ty) {
            cell.open = Some(Open::firm(ty));
            self.changed = true;
        }
    }

    /// Whether a variable's type was written down.
    pub(crate) fn is_declared(&mut self, var: VarRef) -> bool {
        self.cell(var).declared
    }

    /// Lets a variable hold one more type; its type afterwards. Reports what doesn't go together.
    pub(crate) fn widen(&mut self, var: VarRef, new: &Open, span: Span) -> Ty {
        if matches!(new.ty, Ty::Error | Ty::Void) {
            return self.var_type(var).ty;
        }
        let cell = self.cell(var).clone();
        let Some(old) = cell.open else {
            self.cell(var).open = Some(new.clone());
            self.changed = true;
            return new.ty.clone();
        };
        let joined = join(&old, new);
        match joined {
            Some(joined) if cell.declared => {
                if let (Ty::Str { cap }, Ty::Str { cap: longer }) = (&old.ty, &new.ty)
                    && longer > cap
                {
                    self.too_long(var, (*cap, *longer), span);
                } else if !declared_takes(&old.ty, new, &joined) {
                    self.var_mismatch(var, &old.ty, &new.ty, span, cell.first);
                }
                old.ty
            }
            Some(joined) => {
                if joined != old {
                    self.cell(var).open = Some(joined.clone());
                    self.changed = true;
                }
                joined.ty
            }
            None => {
                self.var_mismatch(var, &old.ty, &new.ty, span, cell.first);
                old.ty
            }
        }
    }

    fn too_long(&mut self, var: VarRef, (cap, longer): (u32, u32), span: Span) {
        let local = &self.locals[var.index()];
        let message = format!("${} takes {cap} bytes with the NUL, this may have {longer}", local.name);
        let d = Diagnostic::error("type-mismatch", span, message)
            .other(local.span, "declared here")
            .write(format!("let ${}: string[{longer}], or str(…, {cap})", local.name));
        self.report(d);
    }

    fn var_mismatch(&mut self, var: VarRef, old: &Ty, new: &Ty, span: Span, first: Span) {
        let name = self.locals[var.index()].name.clone();
        let show = if matches!((old, new), (Ty::Str { .. }, Ty::Str { .. })) { show_full } else { show };
        let d = Diagnostic::error("type-mismatch", span, format!("${name} is {}, this is {}", show(old), show(new)))
            .label(format!("{} here", show(new)))
            .other(first, format!("first used as {} here", show(old)))
            .bpftrace(format!(
                "Type mismatch for ${name}: trying to assign value of type '{}' when variable already has a type '{}'",
                types::spelled(new),
                types::spelled(old)
            ));
        self.report(d);
    }

    /// `$x` as a value.
    pub(crate) fn read_var(&mut self, name: &str, span: Span) -> Val {
        let Some(var) = self.lookup(name) else {
            let near = self.near_variables(name);
            let mut d = Diagnostic::error("undefined-variable", span, format!("${name} has no value here"))
                .note("a variable lives in the block that first assigns it; declare it with `let` before the block");
            if !near.is_empty() {
                d = d.near(near);
            }
            self.report(d);
            return Val::error(span);
        };
        let open = self.var_type(var);
        let mut v = Val::new(ExprKind::Var(var), open.ty, span);
        v.flex = open.flex;
        v
    }

    fn near_variables(&self, name: &str) -> String {
        let mut names: Vec<&str> =
            self.frames[self.cur].scopes.iter().flat_map(|s| s.keys().map(String::as_str)).collect();
        names.sort_unstable();
        let near = crate::suggest::nearest(name, names, 3);
        near.iter().map(|n| format!("${n}")).collect::<Vec<_>>().join(", ")
    }

    /// The variable that an assignment writes: the visible one, or a new one in this block.
    pub(crate) fn assigned_var(&mut self, name: &str, span: Span) -> VarRef {
        self.lookup(name).unwrap_or_else(|| self.declare(name, span))
    }

    pub(crate) fn let_var(&mut self, var: &'a Ident) -> VarRef {
        if let Some(old) = self.lookup(&var.text) {
            let first = self.locals[old.index()].span;
            let d = Diagnostic::error("shadowed-variable", var.span, format!("${} exists already", var.text))
                .other(first, "first declared here")
                .note("give the new variable another name, or assign without `let`");
            self.report(d);
        }
        self.declare(&var.text, var.span)
    }

    /// `$x = value`, with the conversion that the variable's type asks for.
    pub(crate) fn store_var(&mut self, var: VarRef, value: Val, span: Span) -> StmtKind {
        if let (true, Some(n), Ty::Int { bits, signed }) = (self.is_declared(var), value.int(), self.var_type(var).ty)
            && !fits(n, bits, signed)
        {
            let ty = Ty::Int { bits, signed };
            let name = self.locals[var.index()].name.clone();
            let message = format!("{n} is not in the range of {}", show(&ty));
            let d = Diagnostic::error("out-of-range", value.e.span, message)
                .write(format!("let ${name}: {}", show(&value.e.ty)));
            self.report(d);
            return StmtKind::SetVar { var, value: coerce(value.e, &ty) };
        }
        let ty = self.widen(var, &value.open(), span);
        self.warn_sign(&ty, &value, span);
        self.warn_cut(&ty, &value, span);
        StmtKind::SetVar { var, value: coerce(value.e, &ty) }
    }

    /// A variable that the checker needs for itself.
    pub(crate) fn temp(&mut self, ty: &Ty, span: Span) -> VarRef {
        let name = format!("_{}", self.locals.len());
        let var = self.declare(&name, span);
        self.cell(var).open = Some(Open::firm(ty.clone()));
        if let Some(scope) = self.frame().scopes.last_mut() {
            scope.remove(&name);
        }
        var
    }

    pub(crate) fn var_expr(&mut self, var: VarRef, span: Span) -> Expr {
        let ty = self.var_type(var).ty;
        Expr { kind: ExprKind::Var(var), ty, span }
    }

    /// The probe's variables with their final types.
    pub(crate) fn var_defs(&mut self) -> Vec<VarDef> {
        (0..self.locals.len())
            .map(|i| {
                let ty = match self.var_type(VarRef(i as u32)).ty {
                    Ty::Error => Ty::I64,
                    ty => ty,
                };
                let local = &self.locals[i];
                VarDef { name: local.name.clone(), ty, span: local.span }
            })
            .collect()
    }
}

/// Whether a declared variable takes a value: integers convert (a literal must be in range, which is asked elsewhere), strings fit.
fn declared_takes(declared: &Ty, new: &Open, joined: &Open) -> bool {
    match (declared, &new.ty) {
        (Ty::Int { .. }, Ty::Int { .. }) => true,
        (Ty::Str { cap }, Ty::Str { cap: new }) => new <= cap,
        (Ty::Ptr { .. }, _) => true,
        (Ty::Bool | Ty::Enum { .. }, _) | (Ty::Array { .. }, Ty::Array { .. }) => true,
        _ => joined.ty == *declared,
    }
}

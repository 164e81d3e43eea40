//! Functions of the script: `fn name($a: type): type { … }`.
//!
//! A body sees its parameters and its own variables, nothing else; arguments are values. It is put where it is called, so that
//! strings and tuples go in and out without a copy, and the kernel's limits on calls don't matter. It cannot call itself.

use super::cx::Checker;
use super::expansion;
use super::macros::MOST_EXPANSIONS;
use super::scope::{Frame, Function};
use super::types::show;
use super::value::Val;
use crate::ast::{self, FnDef, StmtKind, TypeKind};
use crate::diag::Diagnostic;
use crate::hir::{self, ExprKind, Ty};
use crate::span::Span;

impl<'a> Checker<'a> {
    /// The function whose body is being checked.
    pub(crate) fn function(&self) -> Option<Function<'a>> {
        let mut at = self.cur;
        loop {
            if self.frames[at].function.is_some() || at == 0 {
                return self.frames[at].function;
            }
            at = self.frames[at].parent;
        }
    }

    pub(crate) fn call_function(&mut self, f: &'a FnDef, args: &'a [ast::Arg], span: Span) -> Val {
        if let Some(d) = self.wrong_call(f, args, span) {
            self.report(d);
            return Val::error(span);
        }
        self.expanded += 1;
        let values: Vec<Val> = args.iter().map(|a| self.expr(&a.value)).collect();
        if values.iter().any(Val::is_error) {
            return Val::error(span);
        }
        let ret = self.resolve_type(&f.ret);
        let number = self.expansion(span);
        let function = Some(Function { def: f, result: None });
        self.frames.push(Frame { expansion: number, parent: self.cur, call: span, function, ..Frame::root() });
        let at = self.frames.len() - 1;
        let loops = std::mem::take(&mut self.loops);
        let mut value = self.in_frame(at, |c| c.function_body(f, ret, values, span));
        self.loops = loops;
        self.frames.truncate(at);
        expansion::mark(&mut value.e, f.body.span, number);
        value
    }

    fn wrong_call(&self, f: &'a FnDef, args: &'a [ast::Arg], span: Span) -> Option<Diagnostic> {
        let name = &f.name.text;
        if let Some(named) = args.iter().find_map(|a| a.name.as_ref()) {
            let text = format!("{name} takes no arguments by name");
            return Some(Diagnostic::error("named-argument", named.span, text));
        }
        if args.len() != f.params.len() {
            let (wants, given) = (f.params.len(), args.len());
            let plural = if wants == 1 { "" } else { "s" };
            let text = format!("{name} takes {wants} argument{plural}, {given} given");
            return Some(Diagnostic::error("argument-count", span, text).other(f.name.span, "defined here"));
        }
        let mut at = self.cur;
        let mut way = vec![name.as_str()];
        loop {
            let frame = &self.frames[at];
            way.extend(frame.function.map(|c| c.def.name.text.as_str()));
            if frame.function.is_some_and(|c| std::ptr::eq(c.def, f)) {
                way.reverse();
                let round = if way.len() > 2 { format!(": {}", way.join(" → ")) } else { String::new() };
                let text = format!("the function {name} calls itself{round}");
                let d = Diagnostic::error("function-recursion", span, text)
                    .other(f.name.span, "defined here")
                    .other(frame.call, "first called here")
                    .note("the kernel runs no recursion: write it as a loop");
                return Some(d);
            }
            if at == 0 {
                break;
            }
            at = frame.parent;
        }
        (self.expanded >= MOST_EXPANSIONS)
            .then(|| Diagnostic::error("macro-limit", span, "too many calls: the program would not fit"))
    }

    fn function_body(&mut self, f: &'a FnDef, ret: Ty, values: Vec<Val>, span: Span) -> Val {
        let mut stmts = vec![];
        for ((name, written), value) in f.params.iter().zip(values) {
            let ty = self.resolve_type(written);
            let at = value.e.span;
            let var = self.declare(&name.text, name.span);
            // A string without a size is as long as what is given.
            let text = matches!(&written.kind, TypeKind::Name(n) if n == "string" || n == "buffer");
            let as_given = text && matches!(value.e.ty, Ty::Str { .. } | Ty::Buf { .. });
            if !as_given && ty != Ty::Error && self.is_small_enough(&ty, written.span) {
                self.declare_type(var, ty);
            }
            let kind = self.store_var(var, value, at);
            stmts.push(hir::Stmt { kind, span: at });
        }
        let void = matches!(ret, Ty::Void | Ty::Error);
        let text = matches!(&f.ret.kind, TypeKind::Name(n) if n == "string" || n == "buffer");
        let result = (!void).then(|| self.declare(&format!("_{}", f.name.text), f.ret.span));
        if let Some(var) = result.filter(|_| !text && self.is_small_enough(&ret, f.ret.span)) {
            self.declare_type(var, ret);
        }
        let cur = self.cur;
        self.frames[cur].function = Some(Function { def: f, result });
        let body = self.block(&f.body);
        if result.is_some() && !returns(&f.body) {
            let d =
                Diagnostic::error("missing-return", f.name.span, format!("{} can end without a value", f.name.text))
                    .write("return VALUE; at the end of its body");
            self.report(d);
        }
        stmts.push(hir::Stmt { kind: hir::StmtKind::Scope { body }, span });
        let tail = result.map(|var| Box::new(self.var_expr(var, span)));
        let ty = tail.as_ref().map_or(Ty::Void, |e| e.ty.clone());
        Val::new(ExprKind::Block(Box::new(hir::Block { stmts, tail, span })), ty, span)
    }

    /// `return` in a function's body.
    pub(crate) fn return_value(&mut self, value: Option<&'a ast::Expr>, span: Span, out: &mut Vec<hir::Stmt>) {
        let Some(function) = self.function() else { return };
        let name = &function.def.name.text;
        match (value, function.result) {
            (Some(e), Some(var)) => {
                let v = self.expr(e);
                let wants = self.var_type(var);
                if self.is_declared(var) && super::types::join(&wants, &v.open()).is_none() && !v.is_error() {
                    let text = format!("{name} returns {}, this is {}", show(&wants.ty), show(&v.e.ty));
                    let d = Diagnostic::error("type-mismatch", e.span, text).other(function.def.ret.span, "said here");
                    self.report(d);
                } else if !v.is_error() {
                    let kind = self.store_var(var, v, e.span);
                    out.push(hir::Stmt { kind, span });
                }
            }
            (Some(e), None) => self.error("return-value", e.span, format!("{name} is void: it returns no value")),
            (None, Some(_)) => self.error("return-value", span, format!("{name} must return a value")),
            (None, None) => {}
        }
        out.push(hir::Stmt { kind: hir::StmtKind::Leave, span });
    }
}

/// Whether every way through the block ends with `return`.
fn returns(block: &ast::Block) -> bool {
    block.stmts.last().is_some_and(|s| match &s.kind {
        StmtKind::Return(_) => true,
        StmtKind::Expr(e) => expr_returns(e),
        _ => false,
    }) || block.tail.as_deref().is_some_and(expr_returns)
}

fn expr_returns(e: &ast::Expr) -> bool {
    match &e.kind {
        ast::ExprKind::If(e) => returns(&e.then) && e.otherwise.as_ref().is_some_and(returns),
        ast::ExprKind::Block(b) => returns(b),
        _ => false,
    }
}

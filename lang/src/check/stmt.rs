//! Statements.

use super::cx::{ArgsCx, Checker};
use super::effect::{flatten, is_pure, is_question};
use super::types::{Flex, Open, agg_name, int_shape, show};
use super::value::{Val, coerce};
use crate::ast::{self, BinOp, ForIter, Stmt, StmtKind};
use crate::diag::Diagnostic;
use crate::hir::{self, Block, ExprKind, MapRef, Ty};
use crate::span::Span;

impl<'a> Checker<'a> {
    /// A block in its own scope; a value at its end is dropped.
    pub(crate) fn block(&mut self, block: &'a ast::Block) -> Block {
        self.scoped(|c| {
            let mut stmts = c.stmts(&block.stmts, block.tail.as_deref());
            if let Some(tail) = &block.tail {
                c.warn_unreachable(&stmts, tail.span);
                c.effect(tail, &mut stmts);
            }
            Block { stmts, tail: None, span: block.span }
        })
    }

    /// `tail` is the value behind the statements.
    pub(crate) fn stmts(&mut self, stmts: &'a [Stmt], tail: Option<&'a ast::Expr>) -> Vec<hir::Stmt> {
        let mut out = Vec::new();
        for (i, s) in stmts.iter().enumerate() {
            self.declare_outliving(s, &stmts[i + 1..], tail);
            self.warn_unreachable(&out, s.span);
            self.stmt(s, &mut out);
        }
        out
    }

    fn stmt(&mut self, s: &'a Stmt, out: &mut Vec<hir::Stmt>) {
        let span = s.span;
        let kind = match &s.kind {
            StmtKind::Expr(e) => return self.effect(e, out),
            StmtKind::Discard(e) => {
                let v = self.expr(e);
                return flatten(v.e, out);
            }
            StmtKind::Assign { place, op, value } => return self.assign(place, *op, value, span, out),
            StmtKind::Let { var, ty, value } => self.let_stmt(var, ty.as_ref(), value.as_ref(), span),
            StmtKind::While { cond, body } => {
                let cond = self.condition(cond);
                let body = self.loop_body(body);
                Some(hir::StmtKind::While { cond, body })
            }
            StmtKind::For { var, iter, body } => self.for_stmt(var, iter, body),
            StmtKind::Unroll { count, body } => self.unroll(count, body),
            StmtKind::Break | StmtKind::Continue => {
                let is_break = matches!(s.kind, StmtKind::Break);
                if self.loops == 0 {
                    let word = if is_break { "break" } else { "continue" };
                    let d = Diagnostic::error("outside-loop", span, format!("`{word}` outside a loop"))
                        .write("return (ends this block), or exit() (ends the program)");
                    self.report(d);
                    return;
                }
                Some(if is_break { hir::StmtKind::Break } else { hir::StmtKind::Continue })
            }
            StmtKind::Return(value) if self.function().is_some() => {
                return self.return_value(value.as_ref(), span, out);
            }
            StmtKind::Return(value) => {
                if let Some(value) = value {
                    self.number(value, "what a probe returns");
                }
                Some(hir::StmtKind::Return)
            }
            StmtKind::Emit { stream, fields } => self.emit(stream, fields),
            StmtKind::Alert(told) => self.alert_stmt(told, span),
            StmtKind::Tell(told) => self.tell_stmt(told, span),
            StmtKind::Import(_) => {
                self.not_yet(span, "import inside a body", "import at the top of the script");
                None
            }
        };
        if let Some(kind) = kind {
            out.push(hir::Stmt { kind, span });
        }
    }

    /// An expression as a statement: what it does is kept, a value that nobody takes is told.
    fn effect(&mut self, e: &'a ast::Expr, out: &mut Vec<hir::Stmt>) {
        self.dropped = true;
        let v = self.expr(e);
        let from_macro =
            matches!(&e.kind, ast::ExprKind::Call { .. } | ast::ExprKind::Ident(_) | ast::ExprKind::Block(_));
        let wanted = !from_macro || is_question(&v.e.kind);
        if wanted && is_pure(&v.e.kind) && !matches!(v.e.ty, Ty::Void | Ty::Error) {
            let d = Diagnostic::warning("unused-value", e.span, "this value is not used")
                .write("_ = … (or nothing)")
                .bpftrace("Return value discarded.");
            self.report(d);
        }
        flatten(v.e, out);
    }

    fn let_stmt(
        &mut self,
        name: &'a ast::Ident,
        ty: Option<&'a ast::TypeExpr>,
        value: Option<&'a ast::Expr>,
        span: Span,
    ) -> Option<hir::StmtKind> {
        // The value is seen before the name: `let $x = x` in a macro.
        let value = value.map(|v| self.assignable(v));
        let ty = ty.map(|t| (self.resolve_type(t), t));
        let var = self.let_var(name);
        if let Some((ty, written)) = ty {
            let unsized_string = matches!(&written.kind, ast::TypeKind::Name(n) if n == "string" || n == "buffer");
            match (&value, unsized_string) {
                (Some(v), true) if matches!(v.e.ty, Ty::Str { .. } | Ty::Buf { .. }) => {}
                _ if ty == Ty::Void => self.error("bad-type", written.span, "a variable cannot be void"),
                _ if ty != Ty::Error && self.is_small_enough(&ty, written.span) => self.declare_type(var, ty),
                _ => {}
            }
        }
        let value = if let Some(v) = value {
            v
        } else {
            // In a loop the variable starts anew each time.
            let ty = self.var_type(var).ty;
            int_shape(&ty)?;
            Val::literal(0, span)
        };
        Some(self.store_var(var, value, span))
    }

    /// A value that can be assigned.
    pub(crate) fn assignable(&mut self, e: &'a ast::Expr) -> Val {
        let v = self.expr(e);
        let v = self.agg_as_number(v);
        if v.e.ty == Ty::Void {
            self.error("no-value", v.e.span, "this gives no value to assign");
            return Val::error(v.e.span);
        }
        self.need_whole(&v.e.ty, v.e.span);
        v
    }

    fn assign(
        &mut self,
        place: &'a ast::Expr,
        op: Option<BinOp>,
        value: &'a ast::Expr,
        span: Span,
        out: &mut Vec<hir::Stmt>,
    ) {
        match &place.kind {
            ast::ExprKind::Var(name) => {
                let v = match op {
                    None => self.assignable(value),
                    Some(op) => {
                        let old = self.read_var(name, place.span);
                        let new = self.assignable(value);
                        self.binary(op, old, new, span)
                    }
                };
                let var = self.assigned_var(name, place.span);
                let kind = self.store_var(var, v, span);
                out.push(hir::Stmt { kind, span });
            }
            ast::ExprKind::Map { name, key } => {
                let Some(map) = self.map_ref(name, place.span) else { return };
                // `@ = { let $a = 100; avg($a) }`
                if let ast::ExprKind::Block(b) = &value.kind
                    && let Some(tail) = &b.tail
                    && matches!(&tail.kind, ast::ExprKind::Call { name, .. } if super::call_map::is_aggregation(&name.text))
                {
                    self.scoped(|c| {
                        out.extend(c.stmts(&b.stmts, Some(tail)));
                        let kind = c.assign_map(map, place, key.as_ref(), op, tail, span);
                        out.extend(kind.map(|kind| hir::Stmt { kind, span }));
                    });
                    return;
                }
                if let Some(kind) = self.assign_map(map, place, key.as_ref(), op, value, span) {
                    out.push(hir::Stmt { kind, span });
                }
            }
            ast::ExprKind::TupleField { .. }
            | ast::ExprKind::Field { .. }
            | ast::ExprKind::Index { .. }
            | ast::ExprKind::Unary { .. } => {
                self.expr(value);
                let d = Diagnostic::error("not-assignable", place.span, "only variables and maps are assigned")
                    .note("tuples and records are made as a whole: $t = (1, \"a\"); memory behind pointers is read only")
                    .bpftrace("Tuples and records are immutable once created. Consider creating a new value and assigning it instead.");
                self.report(d);
            }
            // The parser has said that this cannot be assigned.
            _ => {
                self.expr(value);
            }
        }
    }

    fn assign_map(
        &mut self,
        map: MapRef,
        place: &'a ast::Expr,
        key: Option<&'a Vec<ast::Expr>>,
        op: Option<BinOp>,
        value: &'a ast::Expr,
        span: Span,
    ) -> Option<hir::StmtKind> {
        if op.is_none()
            && let ast::ExprKind::Call { name, args } = &value.kind
            && self.find_macro(&name.text, args).is_none()
            && super::call_map::is_aggregation(&name.text)
        {
            let key = self.map_key(map, key, place.span);
            return self.aggregation(map, key, &name.text, args, value.span);
        }
        let errors = self.sink.errors;
        let v = self.assignable(value);
        let key = self.map_key(map, key, place.span);
        let Ok(key) = key else {
            self.map_info(map).written = true;
            return None;
        };
        let v = match op {
            None => v,
            Some(op) => {
                self.map_info(map).written = true;
                let old = self.read_map(map, key.clone(), place.span);
                let old = self.plain_value(old);
                self.binary(op, old, v, span)
            }
        };
        if v.is_error() {
            let ghost = matches!(self.probe.args, ArgsCx::Ghost);
            // Else it was computed from maps that have no type in this round: `@n = @n + 1`.
            let wrong = self.sink.errors > errors || matches!(v.e.kind, hir::ExprKind::MapGet { .. });
            let info = self.map_info(map);
            // What reads the map has found it unwritten in this round.
            let first = !std::mem::replace(&mut info.written, true);
            info.poisoned |= wrong && op.is_none() && !ghost;
            info.waits |= op.is_none();
            self.changed |= first;
            return None;
        }
        if let Some(Open { ty: Ty::Agg(agg), .. }) = &self.map_info(map).value
            && int_shape(&v.e.ty).is_some()
        {
            let agg = agg.clone();
            self.agg_overwritten(map, agg_name(&agg), &v, span);
            return None;
        }
        let ty = self.widen_map(map, &v.open(), span);
        self.warn_sign(&ty, &v, span);
        Some(hir::StmtKind::SetMap { map, key, value: coerce(v.e, &ty) })
    }

    fn agg_overwritten(&mut self, map: MapRef, name: &str, v: &Val, span: Span) {
        let info = self.map_info(map);
        let (map_name, first) = (info.name.clone(), info.span);
        let mut d =
            Diagnostic::error("type-mismatch", span, format!("@{map_name} holds {name}(), this is {}", show(&v.e.ty)))
                .other(first, format!("first used as {name}() here"));
        d = match v.int() {
            Some(0) => d.write(format!("clear(@{map_name}) or delete(@{map_name}, key)")),
            _ => d.note(format!("a map that counts is only written by {name}()")),
        };
        self.report(d);
    }

    fn plain_value(&mut self, v: Val) -> Val {
        if let Ty::Agg(a) = &v.e.ty {
            let name = agg_name(a);
            self.error("type-mismatch", v.e.span, format!("a {name}() map is only written by {name}()"));
            return Val::error(v.e.span);
        }
        v
    }

    /// `++` and `--` on a map, as a value. The statement form is made of it by [`flatten`].
    pub(crate) fn step_map(
        &mut self,
        map: MapRef,
        key: Option<hir::Expr>,
        delta: i64,
        prefix: bool,
        span: Span,
    ) -> Val {
        let info = self.map_info(map);
        info.written = true;
        let known = info.value.clone();
        let Some(open) = known else { return Val::error(span) };
        let ty = match &open.ty {
            Ty::Ptr { .. } => open.ty.clone(),
            other => {
                if let Some((_, signed)) = int_shape(other) {
                    let wide = Ty::Int { bits: 64, signed: signed || delta < 0 };
                    self.widen_map(map, &Open { ty: wide, flex: Flex::No }, span)
                } else {
                    let (what, name) = (show(other), self.map_info(map).name.clone());
                    self.error("type-mismatch", span, format!("@{name} holds {what}: it cannot be counted up or down"));
                    return Val::error(span);
                }
            }
        };
        let delta = delta * self.step_size(&ty);
        Val::new(ExprKind::IncMap { map, key: key.map(Box::new), delta, prefix }, ty, span)
    }

    /// How far `++` moves: by the pointee's size for pointers.
    pub(crate) fn step_size(&mut self, ty: &Ty) -> i64 {
        match ty {
            Ty::Ptr { to, .. } => self.size_of(to).map_or(1, |n| i64::from(n.max(1))),
            _ => 1,
        }
    }

    fn loop_body(&mut self, body: &'a ast::Block) -> Block {
        self.loops += 1;
        let b = self.block(body);
        self.loops -= 1;
        b
    }

    fn for_stmt(&mut self, var: &'a ast::Ident, iter: &'a ForIter, body: &'a ast::Block) -> Option<hir::StmtKind> {
        match iter {
            // Of what is neither, the parser has said so.
            ForIter::Map(e) if !matches!(e.kind, ast::ExprKind::Map { .. } | ast::ExprKind::Ident(_)) => {
                self.expr(e);
                None
            }
            ForIter::Map(e) => {
                let map = self.map_arg(e, "a for loop")?;
                if self.sink.on && !self.map_info(map).written {
                    let name = self.map_info(map).name.clone();
                    self.undefined_map(&name, e.span);
                    return None;
                }
                if self.map_is_scalar(map) == Some(true) {
                    let name = self.map_info(map).name.clone();
                    self.error("map-key", e.span, format!("@{name} has no keys to walk through"));
                    return None;
                }
                let info = self.map_info(map);
                let key = info.key.clone().map_or(Ty::Error, |k| k.ty);
                let mut value = info.value.clone().map_or(Ty::Error, |v| v.ty);
                if let Ty::Agg(a) = &value
                    && let Some(number) = super::types::agg_number(a)
                {
                    value = number;
                }
                Some(self.scoped(|c| {
                    let v = c.let_var(var);
                    if key != Ty::Error && value != Ty::Error {
                        c.declare_type(v, Ty::Tuple(vec![key, value]));
                    }
                    let body = c.loop_body(body);
                    hir::StmtKind::ForMap { var: v, map, body }
                }))
            }
            ForIter::Range(from, to) => {
                let (from, to) = (self.number(from, "a range's start"), self.number(to, "a range's end"));
                if from.is_error() || to.is_error() {
                    self.scoped(|c| {
                        c.let_var(var);
                        c.loop_body(body)
                    });
                    return None;
                }
                let joined = super::types::join(&from.open(), &to.open());
                let signed = joined.and_then(|j| int_shape(&j.ty)).is_none_or(|s| s.1);
                let ty = Ty::Int { bits: 64, signed };
                let (from, to) = (coerce(from.e, &ty), coerce(to.e, &ty));
                Some(self.scoped(|c| {
                    let v = c.let_var(var);
                    c.declare_type(v, ty);
                    let body = c.loop_body(body);
                    hir::StmtKind::ForRange { var: v, from, to, body }
                }))
            }
        }
    }

    fn unroll(&mut self, count: &'a ast::Expr, body: &'a ast::Block) -> Option<hir::StmtKind> {
        let n = self.expr(count);
        match n.int() {
            Some(n) if (1..=100).contains(&n) => {
                let before = std::mem::take(&mut self.unrolled);
                let mut body = self.block(body);
                let fits = self.may_unroll(n as u32, &mut body, before, count.span);
                fits.then_some(hir::StmtKind::Unroll { count: n as u32, body })
            }
            _ => {
                if !n.is_error() {
                    let theirs = match n.int() {
                        Some(n) if n > 100 => "unroll maximum value is 100",
                        Some(_) => "unroll minimum value is 1",
                        None => "invalid unroll value",
                    };
                    let text = "unroll() wants a number from 1 to 100, known at compile time";
                    let d = Diagnostic::error("bad-unroll", count.span, text)
                        .write("for ($i : 0..n) { … } counts as far as a value says")
                        .bpftrace(theirs);
                    self.report(d);
                }
                None
            }
        }
    }
}

//! Expressions: the dispatch, and what needs no family of its own.

use super::ctypes::decayed;
use super::cx::Checker;
use super::golang::Which;
use super::types::{Flex, Open, int_shape, join, show};
use super::value::{Val, cast, coerce};
use crate::ast::{self, ExprKind as A, UnOp};
use crate::diag::Diagnostic;
use crate::hir::{BinOp, Block, Expr, ExprKind, Space, Stmt, StmtKind, Ty};
use crate::span::Span;

/// Deeper nesting than this is refused, so that no script can exhaust the stack.
const DEEPEST: u32 = 250;

impl<'a> Checker<'a> {
    /// An expression's value. Character arrays have become strings.
    pub(crate) fn expr(&mut self, e: &'a ast::Expr) -> Val {
        let mut v = self.place(e);
        if matches!(
            v.e.kind,
            ExprKind::Field { .. } | ExprKind::Index { .. } | ExprKind::Deref(_) | ExprKind::TraceArg { .. }
        ) && let Some(text) = decayed(&v.e.ty)
        {
            v.e.ty = text;
        }
        if let Ty::Struct(_) = v.e.ty { self.go_value(v) } else { v }
    }

    /// An expression without the step from character array to string: what `[]`, `sizeof` and `&` look at.
    pub(crate) fn place(&mut self, e: &'a ast::Expr) -> Val {
        if self.depth >= DEEPEST {
            self.error("too-deep", e.span, "this is nested too deeply");
            return Val::error(e.span);
        }
        self.depth += 1;
        let v = self.dispatch(e);
        self.depth -= 1;
        v
    }

    fn dispatch(&mut self, e: &'a ast::Expr) -> Val {
        let span = e.span;
        let dropped = std::mem::take(&mut self.dropped);
        match &e.kind {
            A::Int { value, .. } => Val::literal(i128::from(*value), span),
            A::Duration(n) | A::Size(n) => Val::literal(i128::from(*n), span),
            A::Net(text) => Val::string(text.clone(), span),
            A::Bool(b) => Val::boolean(*b, span),
            A::Str(s) => Val::string(s.clone(), span),
            A::Ident(name) => self.ident(e, name, span),
            A::Positional(n) => self.positional(*n, span),
            A::PositionalCount => Val::literal(self.opts.positional.len() as i128, span),
            A::Var(name) => self.read_var(name, span),
            A::Map { name, key } => self.map_value(name, key.as_ref(), span),
            A::Unary { op, expr } => self.unary(*op, expr, span),
            A::IncDec { increment, prefix, expr } => self.step(*increment, *prefix, expr, span),
            A::Binary { op, left, right } => {
                let v = self.binary_expr(*op, left, right, span);
                self.rule_never_true(&v.e);
                v
            }
            A::Ternary { cond, then, otherwise } => self.ternary(cond, then.as_deref(), otherwise, span),
            A::Field { .. } => self.field_expr(e),
            A::TupleField { base, index } => {
                if matches!(&base.kind, A::Ident(name) if name == "retval")
                    && let Some(v) = self.go_result(&Which::Number(i128::from(*index)), span)
                {
                    return v;
                }
                let base = self.place(base);
                self.tuple_field(base, i128::from(*index), span)
            }
            A::Index { base, index } => self.index(base, index, span),
            A::Call { name, args } => self.call(name, args, span, dropped),
            A::Cast { ty, expr } => self.cast_expr(ty, expr, span),
            A::TypeOp { op, operand, path } => self.type_op(*op, operand, path, span),
            A::Tuple(items) => self.tuple(items, span),
            A::Record(fields) => self.record(fields, span),
            A::If(parts) => self.if_expr(parts, span),
            A::Block(block) => self.block_value(block, span),
            A::Comptime(inner) => self.comptime(inner),
        }
    }

    fn map_value(&mut self, name: &str, key: Option<&'a Vec<ast::Expr>>, span: Span) -> Val {
        let Some(map) = self.map_ref(name, span) else { return Val::error(span) };
        match self.map_key(map, key, span) {
            Ok(key) => self.read_map(map, key, span),
            Err(()) => Val::error(span),
        }
    }

    /// Warns where a large unsigned number becomes signed or a negative one unsigned.
    pub(crate) fn warn_sign(&mut self, to: &Ty, value: &Val, span: Span) {
        let (Some((64, to_signed)), Some((64, signed))) = (int_shape(to), int_shape(&value.e.ty)) else { return };
        if let Some(n) = value.int().filter(|n| !super::types::fits(*n, 64, to_signed)) {
            let d = Diagnostic::error("out-of-range", value.e.span, format!("{n} is not in the range of {}", show(to)))
                .note(format!("elsewhere it is negative or signed, so that it is {} as a whole", show(to)))
                .write(format!("({}){n}", show(to)));
            self.report(d);
        }
        if to_signed != signed && !value.lit && value.flex == Flex::No {
            let d = Diagnostic::warning(
                "sign-mismatch",
                span,
                format!("{} becomes {}: large numbers change", show(&value.e.ty), show(to)),
            )
            .write(format!("({}) in front of the value, if that is meant", show(to)));
            self.report(d);
        }
    }

    /// Warns where a declared variable is too narrow for a value: `let $x: uint8 = 5; $x = $y`. The parts of a sum are 64 bits wide
    /// by themselves: only values that were read are meant.
    pub(crate) fn warn_cut(&mut self, to: &Ty, value: &Val, span: Span) {
        let (Some((bits, _)), Some((have, _))) = (int_shape(to), int_shape(&value.e.ty)) else { return };
        let read = !matches!(value.e.kind, ExprKind::Binary { .. } | ExprKind::Unary { .. } | ExprKind::Int(_));
        if have > bits && read && !value.lit && *to != Ty::Bool {
            let d = Diagnostic::warning(
                "narrowed",
                span,
                format!("{} becomes {}: larger numbers are cut", show(&value.e.ty), show(to)),
            )
            .write(format!("({}) in front of the value, if that is meant", show(to)));
            self.report(d);
        }
    }

    /// An integer known at compile time.
    pub(crate) fn const_int(&mut self, e: &'a ast::Expr) -> Option<i128> {
        let v = self.expr(e);
        let n = v.int();
        if n.is_none() && !v.is_error() {
            self.error("not-constant", e.span, "this must be a number known at compile time");
        }
        n
    }

    /// A number; `what` names it in the message.
    pub(crate) fn number(&mut self, e: &'a ast::Expr, what: &str) -> Val {
        let v = self.expr(e);
        let v = self.agg_as_number(v);
        if !v.is_error() && int_shape(&v.e.ty).is_none() {
            self.error("type-mismatch", e.span, format!("{what} is a number, this is {}", show(&v.e.ty)));
            return Val::error(e.span);
        }
        v
    }

    /// A condition as a bool.
    pub(crate) fn condition(&mut self, e: &'a ast::Expr) -> Expr {
        let v = self.leg_told(true, |c| c.expr(e));
        self.truth(v).e
    }

    pub(crate) fn truth(&mut self, v: Val) -> Val {
        let v = self.agg_as_number(v);
        let span = v.e.span;
        match &v.e.ty {
            Ty::Bool => v,
            Ty::Error => Val::error(span),
            Ty::Int { .. } | Ty::Enum { .. } | Ty::Ptr { .. } | Ty::Ksym => {
                if let Some(n) = v.int() {
                    return Val::boolean(n != 0, span);
                }
                let zero = Expr { kind: ExprKind::Int(0), ty: v.e.ty.clone(), span };
                let kind = ExprKind::Binary { op: BinOp::Ne, left: Box::new(v.e), right: Box::new(zero) };
                Val::new(kind, Ty::Bool, span)
            }
            // A string that isn't empty.
            Ty::Str { .. } => {
                if let Some(text) = v.text() {
                    return Val::boolean(!text.is_empty(), span);
                }
                let right = Box::new(Val::string("", span).e);
                let kind = ExprKind::StrEq { left: Box::new(v.e), right, len: 1, equal: false };
                Val::new(kind, Ty::Bool, span)
            }
            other => {
                let d = Diagnostic::error("bad-condition", span, format!("{} is neither true nor false", show(other)));
                self.report(d);
                Val::error(span)
            }
        }
    }

    fn unary(&mut self, op: UnOp, inner: &'a ast::Expr, span: Span) -> Val {
        match op {
            UnOp::Deref => return self.deref(inner, span),
            UnOp::AddrOf => return self.addr_of(inner, span),
            _ => {}
        }
        let v = self.expr(inner);
        let v = self.agg_as_number(v);
        if v.is_error() {
            return v;
        }
        if op == UnOp::Not {
            let v = self.truth(v);
            if let Some(n) = v.int() {
                return Val::boolean(n == 0, span);
            }
            return Val::new(ExprKind::Unary { op, expr: Box::new(v.e) }, Ty::Bool, span);
        }
        let Some((bits, signed)) = int_shape(&v.e.ty) else {
            let what = show(&v.e.ty);
            let mut d =
                Diagnostic::error("bad-operand", span, format!("{} wants a number, this is {what}", op.symbol()));
            if matches!(v.e.ty, Ty::Ptr { .. }) {
                d = d.write(format!("{}(uint64)…", op.symbol()));
            }
            self.report(d);
            return Val::error(span);
        };
        if op == UnOp::BitNot && v.e.ty == Ty::Bool {
            let d = Diagnostic::error("bad-operand", span, "~ turns the bits of a number, this is true or false")
                .write("!");
            self.report(d);
            return Val::error(span);
        }
        if let (Some(n), false) = (v.int(), matches!(v.e.ty, Ty::Bool)) {
            let folded = match op {
                UnOp::Neg => Some(-n),
                UnOp::Plus => Some(n),
                // bpftrace: ~ of a literal is an unsigned number of 64 bits.
                UnOp::BitNot => Some(i128::from(!(n as u64))),
                _ => None,
            };
            if let Some(folded) = folded.filter(|f| i64::try_from(*f).is_ok() || u64::try_from(*f).is_ok()) {
                return Val::literal(folded, span);
            }
            let d = Diagnostic::error("overflow", span, format!("the result of -({n}) does not fit 64 bits"))
                .note("numbers go from -9223372036854775808 to 18446744073709551615");
            self.report(d);
            return Val::error(span);
        }
        if op == UnOp::Plus {
            return v;
        }
        // The complement of an unsigned number has its width; what it is put into is 64 bits wide, as of all arithmetic.
        let wide = Ty::Int { bits: 64, signed: signed || op == UnOp::Neg };
        let own = if op == UnOp::BitNot && !signed { Ty::Int { bits, signed } } else { wide.clone() };
        let operand = coerce(v.e, &own);
        let e = Expr { kind: ExprKind::Unary { op, expr: Box::new(operand) }, ty: own, span };
        let e = coerce(e, &wide);
        Val::new(e.kind, wide, span)
    }

    /// `++e`, `e--`
    fn step(&mut self, increment: bool, prefix: bool, inner: &'a ast::Expr, span: Span) -> Val {
        let delta = if increment { 1 } else { -1 };
        match &inner.kind {
            A::Var(name) => {
                let Some(var) = self.lookup(name) else { return self.read_var(name, inner.span) };
                let open = self.var_type(var);
                let ty = match &open.ty {
                    Ty::Error => return Val::error(span),
                    Ty::Ptr { .. } => open.ty.clone(),
                    other => {
                        if let Some((_, signed)) = int_shape(other) {
                            let wide = Ty::Int { bits: 64, signed: signed || !increment };
                            self.widen_step(var, &wide, span)
                        } else {
                            self.error(
                                "bad-operand",
                                span,
                                format!("${name} is {}: it cannot be counted up or down", show(other)),
                            );
                            return Val::error(span);
                        }
                    }
                };
                let delta = delta * self.step_size(&ty);
                Val::new(ExprKind::IncVar { var, delta, prefix }, ty, span)
            }
            A::Map { name, key } => {
                let Some(map) = self.map_ref(name, inner.span) else { return Val::error(span) };
                let Ok(key) = self.map_key(map, key.as_ref(), inner.span) else {
                    self.map_info(map).written = true;
                    return Val::error(span);
                };
                self.step_map(map, key, delta, prefix, span)
            }
            // The parser has said that this cannot be counted.
            _ => Val::error(span),
        }
    }

    /// A declared variable keeps its type when it is counted; others grow to 64 bits.
    fn widen_step(&mut self, var: crate::hir::VarRef, wide: &Ty, span: Span) -> Ty {
        let before = self.var_type(var).ty;
        if self.is_declared(var) { before } else { self.widen(var, &Open::firm(wide.clone()), span) }
    }

    fn ternary(
        &mut self,
        cond: &'a ast::Expr,
        then: Option<&'a ast::Expr>,
        otherwise: &'a ast::Expr,
        span: Span,
    ) -> Val {
        let Some(then) = then else { return self.elvis(cond, otherwise, span) };
        let cond = self.expr(cond);
        let cond = self.truth(cond);
        let (a, b) = (self.expr(then), self.expr(otherwise));
        match cond.int() {
            Some(n) => self.agg_as_number(if n != 0 { a } else { b }),
            None => self.choose(cond.e, a, b, span),
        }
    }

    /// `a ?: b`: `a` is computed once.
    fn elvis(&mut self, first: &'a ast::Expr, otherwise: &'a ast::Expr, span: Span) -> Val {
        let a = self.expr(first);
        let a = self.agg_as_number(a);
        let b = self.expr(otherwise);
        if a.is_error() || b.is_error() {
            return Val::error(span);
        }
        let var = self.temp(&a.e.ty, span);
        let held = Val { e: self.var_expr(var, span), ..a.clone() };
        let cond = self.truth(Val { lit: false, ..held.clone() }).e;
        let mut v = self.choose(cond, Val { lit: false, ..held }, b, span);
        let ty = v.e.ty.clone();
        let set = Stmt { kind: StmtKind::SetVar { var, value: a.e }, span };
        v.e = Expr {
            kind: ExprKind::Block(Box::new(Block { stmts: vec![set], tail: Some(Box::new(v.e)), span })),
            ty,
            span,
        };
        v
    }

    fn choose(&mut self, cond: Expr, a: Val, b: Val, span: Span) -> Val {
        let (a, b) = (self.agg_as_number(a), self.agg_as_number(b));
        let open = match (&a.e.ty, &b.e.ty) {
            (Ty::Error, _) | (_, Ty::Error) => return Val::error(span),
            (Ty::Void, Ty::Void) => Open::firm(Ty::Void),
            _ => match join(&a.open(), &b.open()) {
                Some(open) if !matches!(open.ty, Ty::Void) => open,
                _ => {
                    let d = Diagnostic::error("type-mismatch", span, "both sides of a choice must have one type")
                        .other(a.e.span, show(&a.e.ty))
                        .other(b.e.span, show(&b.e.ty));
                    self.report(d);
                    return Val::error(span);
                }
            },
        };
        let (then, otherwise) = (Box::new(coerce(a.e, &open.ty)), Box::new(coerce(b.e, &open.ty)));
        let mut v = Val::new(ExprKind::Cond { cond: Box::new(cond), then, otherwise }, open.ty, span);
        v.flex = open.flex;
        v
    }

    fn if_expr(&mut self, parts: &'a ast::IfExpr, span: Span) -> Val {
        if let A::Comptime(inner) = &parts.cond.kind {
            return match self.comptime(inner).int() {
                Some(n) if n != 0 => self.block_value(&parts.then, span),
                Some(_) => match &parts.otherwise {
                    Some(block) => self.block_value(block, span),
                    None => Val::new(ExprKind::Block(Box::default()), Ty::Void, span),
                },
                None => Val::error(span),
            };
        }
        let cond = self.condition(&parts.cond);
        self.rule_counter_compare(&parts.cond);
        let outside = self.newstate;
        self.newstate = super::rules::fixed_newstate(&parts.cond).or(outside);
        let then = self.block_value(&parts.then, parts.then.span);
        self.newstate = outside;
        let otherwise = parts.otherwise.as_ref().map(|b| self.block_value(b, b.span));
        match otherwise {
            Some(b) if then.e.ty != Ty::Void && b.e.ty != Ty::Void => self.choose(cond, then, b, span),
            otherwise => {
                let mut stmts = (Vec::new(), Vec::new());
                super::effect::flatten(then.e, &mut stmts.0);
                let has_else = otherwise.is_some();
                if let Some(b) = otherwise {
                    super::effect::flatten(b.e, &mut stmts.1);
                }
                let then = Block { stmts: stmts.0, tail: None, span: parts.then.span };
                let otherwise = has_else.then_some(Block { stmts: stmts.1, tail: None, span });
                Val::effect(StmtKind::If { cond, then, otherwise }, span)
            }
        }
    }

    /// `comptime e`: must be known now.
    fn comptime(&mut self, inner: &'a ast::Expr) -> Val {
        let v = self.expr(inner);
        if !v.lit && !v.is_error() {
            self.error("not-constant", inner.span, "this is not known at compile time");
            return Val::error(inner.span);
        }
        v
    }

    /// Space of what a pointer expression points to.
    pub(crate) fn pointer_space(&self, v: &Val) -> Space {
        match &v.e.ty {
            Ty::Ptr { space, .. } if *space != Space::Unknown => *space,
            _ => self.space_or_default(v.space),
        }
    }
}

/// `e` as a 64-bit unsigned number: addresses and the like.
pub(crate) fn as_u64(e: Expr) -> Expr {
    match &e.ty {
        Ty::Int { bits: 64, signed: false } => e,
        _ => cast(e, Ty::U64),
    }
}

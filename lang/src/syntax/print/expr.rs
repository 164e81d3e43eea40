//! Expressions with the fewest brackets that keep their meaning.

use super::Printer;
use crate::ast::{Arg, BinOp, Expr, ExprKind, Ident, IfExpr, TypeExpr, TypeKind, TypeOp, TypeOperand, UnOp};
use crate::syntax::build::INFIX;
use crate::syntax::literal::{DURATIONS, SIZES, quote, with_unit};

/// Precedence of prefix operators; binary ones have 2 to 12, `?:` has 1.
const PREFIX: u8 = 13;
const POSTFIX: u8 = 14;

/// Names that `sizeof(NAME)` reads as a type.
const TYPE_WORDS: &[&str] = &[
    "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool", "void", "string", "buffer",
    "inet", "unsigned", "signed", "long", "short", "int", "char", "const", "volatile", "restrict",
];

fn infix(op: BinOp) -> (&'static str, u8) {
    INFIX.iter().find(|(_, o, _)| *o == op).map_or(("?", 0), |(text, _, precedence)| (*text, *precedence))
}

fn precedence(kind: &ExprKind) -> u8 {
    match kind {
        ExprKind::Ternary { .. } | ExprKind::If(_) | ExprKind::Block(_) => 1,
        ExprKind::Binary { op, .. } => infix(*op).1,
        ExprKind::Unary { .. }
        | ExprKind::Cast { .. }
        | ExprKind::Comptime(_)
        | ExprKind::IncDec { prefix: true, .. } => PREFIX,
        ExprKind::IncDec { prefix: false, .. } => POSTFIX,
        _ => 15,
    }
}

impl Printer {
    /// The expression, in brackets where its precedence is below `least`.
    pub(super) fn expr(&mut self, e: &Expr, least: u8) {
        if let Some(written) = self.spelling(e) {
            return self.text(&written);
        }
        if precedence(&e.kind) >= least {
            return self.bare(&e.kind);
        }
        self.in_parens(e);
    }

    fn in_parens(&mut self, e: &Expr) {
        self.text("(");
        self.bare(&e.kind);
        self.text(")");
    }

    fn bare(&mut self, kind: &ExprKind) {
        match kind {
            ExprKind::Int { value, unsigned } => self.text(&format!("{value}{}", if *unsigned { "u" } else { "" })),
            ExprKind::Duration(ns) => self.text(&with_unit(*ns, DURATIONS)),
            ExprKind::Size(bytes) => self.text(&with_unit(*bytes, SIZES)),
            ExprKind::Net(text) | ExprKind::Ident(text) => self.text(text),
            ExprKind::Bool(b) => self.text(if *b { "true" } else { "false" }),
            ExprKind::Str(text) => self.text(&quote(text)),
            ExprKind::Positional(n) => self.text(&format!("${n}")),
            ExprKind::PositionalCount => self.text("$#"),
            ExprKind::Var(name) => self.text(&format!("${name}")),
            ExprKind::Map { name, key } => {
                self.text(&format!("@{name}"));
                if let Some(key) = key {
                    self.text("[");
                    self.list(key, |p, e| p.expr(e, 0));
                    self.text("]");
                }
            }
            ExprKind::Unary { op, expr } => self.unary(*op, expr),
            ExprKind::IncDec { increment, prefix, expr } => {
                let op = if *increment { "++" } else { "--" };
                if *prefix {
                    self.text(op);
                }
                self.expr(expr, POSTFIX);
                if !prefix {
                    self.text(op);
                }
            }
            ExprKind::Binary { op, left, right } => {
                let (text, precedence) = infix(*op);
                self.expr(left, precedence);
                self.text(&format!(" {text} "));
                self.expr(right, precedence + 1);
            }
            ExprKind::Ternary { cond, then, otherwise } => self.ternary(cond, then.as_deref(), otherwise),
            ExprKind::If(inner) => self.if_expr(inner),
            ExprKind::Block(inner) => self.block(inner, true),
            _ => self.compound(kind),
        }
    }

    fn compound(&mut self, kind: &ExprKind) {
        match kind {
            ExprKind::Field { base, name, arrow } => {
                self.base(base);
                self.text(if *arrow { "->" } else { "." });
                self.text(&name.text);
            }
            ExprKind::TupleField { base, index } => {
                self.base(base);
                self.text(&format!(".{index}"));
            }
            ExprKind::Index { base, index } => {
                self.base(base);
                self.text("[");
                self.expr(index, 0);
                self.text("]");
            }
            ExprKind::Call { name, args } => {
                self.text(&name.text);
                self.args(args);
            }
            ExprKind::Cast { ty, expr } => self.cast(ty, expr),
            ExprKind::TypeOp { op, operand, path } => self.type_op(*op, operand, path),
            ExprKind::Tuple(items) => {
                self.text("(");
                self.list(items, |p, e| p.expr(e, 0));
                self.text(if items.len() == 1 { ",)" } else { ")" });
            }
            ExprKind::Record(fields) => {
                self.text("(");
                self.fields(fields);
                self.text(")");
            }
            ExprKind::Comptime(expr) => {
                self.text("comptime ");
                self.expr(expr, PREFIX);
            }
            _ => {}
        }
    }

    /// `a=1, b=2`
    pub(super) fn fields(&mut self, fields: &[(Ident, Expr)]) {
        self.list(fields, |p, (name, value)| {
            p.text(&name.text);
            p.text("=");
            p.expr(value, 0);
        });
    }

    pub(super) fn args(&mut self, args: &[Arg]) {
        self.text("(");
        self.list(args, |p, arg| {
            if let Some(name) = &arg.name {
                p.text(&name.text);
                p.text("=");
            }
            p.expr(&arg.value, 0);
        });
        self.text(")");
    }

    fn unary(&mut self, op: UnOp, expr: &Expr) {
        self.text(op.symbol());
        // `- -x` must not become `--x`, nor `&&`; brackets read better than a space.
        let same = match &expr.kind {
            ExprKind::Unary { op: inner, .. } => *inner == op && matches!(op, UnOp::Neg | UnOp::AddrOf | UnOp::Plus),
            ExprKind::IncDec { prefix: true, .. } => matches!(op, UnOp::Neg | UnOp::Plus),
            _ => false,
        };
        if same { self.in_parens(expr) } else { self.expr(expr, PREFIX) }
    }

    /// What stands before `.`, `[` or `->`.
    fn base(&mut self, base: &Expr) {
        // `5.0` would be a fraction, `@m[k]` a map's element, `typeof` has no postfix.
        let bracketed = matches!(
            base.kind,
            ExprKind::Int { .. }
                | ExprKind::Duration(_)
                | ExprKind::Size(_)
                | ExprKind::Net(_)
                | ExprKind::Map { key: None, .. }
        );
        if bracketed { self.in_parens(base) } else { self.expr(base, POSTFIX) }
    }

    fn cast(&mut self, ty: &TypeExpr, expr: &Expr) {
        self.text("(");
        self.ty(ty);
        self.text(")");
        // `(n)-x` would be a difference where `n` is a known value.
        let ambiguous = matches!(&ty.kind, TypeKind::Name(name) if !TYPE_WORDS.contains(&name.split(' ').next().unwrap_or("")))
            && matches!(expr.kind, ExprKind::Unary { op: UnOp::Neg | UnOp::Deref | UnOp::AddrOf, .. });
        let unstartable = matches!(
            expr.kind,
            ExprKind::Unary { op: UnOp::Plus, .. } | ExprKind::IncDec { increment: true, prefix: true, .. }
        );
        if ambiguous || unstartable { self.in_parens(expr) } else { self.expr(expr, PREFIX) }
    }

    fn ternary(&mut self, cond: &Expr, then: Option<&Expr>, otherwise: &Expr) {
        self.expr(cond, 2);
        match then {
            Some(then) => {
                self.text(" ? ");
                self.expr(then, 1);
                self.text(" : ");
            }
            None => self.text(" ?: "),
        }
        // `a ? b : if …` reads as well without brackets, but only a ternary parses so.
        let plain = matches!(otherwise.kind, ExprKind::Ternary { .. });
        self.expr(otherwise, if plain { 1 } else { 2 });
    }

    fn type_op(&mut self, op: TypeOp, operand: &TypeOperand, path: &[Ident]) {
        self.text(match op {
            TypeOp::Sizeof => "sizeof",
            TypeOp::Typeof => "typeof",
            TypeOp::Typeinfo => "typeinfo",
            TypeOp::Offsetof => "offsetof",
        });
        self.text("(");
        self.type_operand(operand);
        for (n, name) in path.iter().enumerate() {
            self.text(if n == 0 { ", " } else { "." });
            self.text(&name.text);
        }
        self.text(")");
    }

    fn type_operand(&mut self, operand: &TypeOperand) {
        match operand {
            TypeOperand::Type(ty) => self.ty(ty),
            TypeOperand::Expr(e) => self.typed_expr(e),
        }
    }

    /// An expression where a type may stand: in brackets if it could be read as one.
    pub(super) fn typed_expr(&mut self, e: &Expr) {
        if reads_as_type(e) { self.in_parens(e) } else { self.expr(e, 0) }
    }

    pub(super) fn if_expr(&mut self, inner: &IfExpr) {
        self.text("if (");
        self.expr(&inner.cond, 0);
        self.text(") ");
        self.block(&inner.then, true);
        let Some(otherwise) = &inner.otherwise else { return };
        self.text(" else ");
        match otherwise.tail.as_deref() {
            Some(Expr { kind: ExprKind::If(next), .. }) if otherwise.stmts.is_empty() => self.if_expr(next),
            _ => self.block(otherwise, true),
        }
    }
}

fn reads_as_type(e: &Expr) -> bool {
    match &e.kind {
        ExprKind::Ident(name) => TYPE_WORDS.contains(&name.as_str()),
        ExprKind::Index { base, .. } => {
            let mut root = base;
            while let ExprKind::Index { base, .. } = &root.kind {
                root = base;
            }
            matches!(root.kind, ExprKind::Ident(_))
        }
        _ => false,
    }
}

//! Expressions: a flat list of operands and operators, folded by precedence.

use super::super::grammar::{Pair, Rule};
use super::Builder;
use crate::ast::{BinOp, Expr, ExprKind, Ident, TypeExpr, TypeKind, UnOp};
use crate::diag::Diagnostic;

/// Binary operators with their precedence, low to high; all group to the left. `?:` is below them.
pub(in crate::syntax) const INFIX: &[(&str, BinOp, u8)] = &[
    ("??", BinOp::Coalesce, 2),
    ("||", BinOp::LogOr, 3),
    ("&&", BinOp::LogAnd, 4),
    ("|", BinOp::BitOr, 5),
    ("^", BinOp::BitXor, 6),
    ("&", BinOp::BitAnd, 7),
    ("==", BinOp::Eq, 8),
    ("!=", BinOp::Ne, 8),
    ("<", BinOp::Lt, 9),
    (">", BinOp::Gt, 9),
    ("<=", BinOp::Le, 9),
    (">=", BinOp::Ge, 9),
    ("<<", BinOp::Shl, 10),
    (">>", BinOp::Shr, 10),
    ("+", BinOp::Add, 11),
    ("-", BinOp::Sub, 11),
    ("*", BinOp::Mul, 12),
    ("/", BinOp::Div, 12),
    ("%", BinOp::Mod, 12),
];

/// An expression with the text it covers, brackets included, and the height of its tree.
pub(super) struct Term {
    pub(super) expr: Expr,
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) height: u16,
}

enum Prefix {
    Op(UnOp),
    IncDec { increment: bool },
    Comptime,
    Cast(TypeExpr),
}

enum Piece {
    Prefix(Prefix, usize),
    Operand(Term),
    Infix(BinOp, u8),
}

/// One arm of `a ? b : c ? d : e`: what stands before its chain, and the chain.
struct Arm {
    middle: Option<Expr>,
    pieces: Vec<Piece>,
}

impl Builder<'_> {
    pub(super) fn expr(&mut self, pair: Pair<'_>) -> Expr {
        let (start, end) = self.range(&pair);
        let outer = std::mem::take(&mut self.height);
        let mut arms = vec![Arm { middle: None, pieces: Vec::new() }];
        let mut middle = None;
        for inner in pair.into_inner() {
            match inner.as_rule() {
                Rule::tern_q => middle = None,
                Rule::expr => middle = Some(self.expr(inner)),
                Rule::tern_c => arms.push(Arm { middle: middle.take(), pieces: Vec::new() }),
                _ => {
                    if let Some(arm) = arms.last_mut() {
                        self.piece(&mut arm.pieces, inner);
                    }
                }
            }
        }
        let middles = self.height;
        let mut result: Option<Term> = None;
        let mut otherwise_of: Option<Option<Expr>> = None;
        for arm in arms.into_iter().rev() {
            let mut pieces = arm.pieces.into_iter().peekable();
            let cond = self.climb(&mut pieces, 0);
            result = Some(match (otherwise_of.take(), result.take()) {
                (Some(then), Some(otherwise)) => self.ternary(cond, then, otherwise, middles),
                _ => cond,
            });
            otherwise_of = Some(arm.middle);
        }
        let term = result.unwrap_or_else(|| Term { expr: self.missing_expr(), start, end, height: 0 });
        self.height = outer.max(middles).max(term.height);
        term.expr
    }

    fn ternary(&mut self, cond: Term, then: Option<Expr>, otherwise: Term, middles: u16) -> Term {
        let height = cond.height.max(otherwise.height).max(middles) + 1;
        let (start, end) = (cond.start, otherwise.end);
        if self.too_tall(height, start, end) {
            return cond;
        }
        let kind = ExprKind::Ternary {
            cond: Box::new(cond.expr),
            then: then.map(Box::new),
            otherwise: Box::new(otherwise.expr),
        };
        Term { expr: Expr { kind, span: self.src.span(start, end) }, start, end, height }
    }

    /// Adds one pair of the flat list; postfix operators are applied at once.
    fn piece(&mut self, pieces: &mut Vec<Piece>, pair: Pair<'_>) {
        let at = self.base + pair.as_span().start();
        let after_operand = matches!(pieces.last(), Some(Piece::Operand(_)));
        match pair.as_rule() {
            Rule::infix => {
                let found = INFIX.iter().find(|(text, ..)| *text == pair.as_str());
                pieces.extend(found.map(|&(_, op, precedence)| Piece::Infix(op, precedence)));
            }
            Rule::unary => self.unary(pieces, pair.as_str(), at),
            Rule::inc_dec if !after_operand => {
                pieces.push(Piece::Prefix(Prefix::IncDec { increment: pair.as_str() == "++" }, at));
            }
            Rule::kw_comptime => pieces.push(Piece::Prefix(Prefix::Comptime, at)),
            Rule::cast => {
                let (ty, _) = self.measured(|b| b.type_in(pair));
                pieces.push(Piece::Prefix(Prefix::Cast(ty), at));
            }
            Rule::field | Rule::arrow | Rule::index | Rule::call | Rule::inc_dec => {
                if let Some(Piece::Operand(base)) = pieces.pop() {
                    let term = self.postfix(base, pair);
                    pieces.push(Piece::Operand(term));
                }
            }
            _ => {
                let term = self.primary(pair);
                pieces.push(Piece::Operand(term));
            }
        }
    }

    /// A prefix operator; after `(N)` with a known value `N` it is a binary one: `(LIMIT) - 1`.
    fn unary(&mut self, pieces: &mut Vec<Piece>, text: &str, at: usize) {
        let (op, binary) = match text {
            "!" => (UnOp::Not, None),
            "~" => (UnOp::BitNot, None),
            "-" => (UnOp::Neg, Some((BinOp::Sub, 11))),
            "*" => (UnOp::Deref, Some((BinOp::Mul, 12))),
            "&" => (UnOp::AddrOf, Some((BinOp::BitAnd, 7))),
            _ => (UnOp::Plus, None),
        };
        if let (Some((op, precedence)), Some(Piece::Prefix(Prefix::Cast(ty), start))) = (binary, pieces.last())
            && let TypeKind::Name(name) = &ty.kind
            && self.values.contains(name)
        {
            let expr = Expr { kind: ExprKind::Ident(name.clone()), span: ty.span };
            let (start, end) = (*start, self.src.trim_end(*start, at));
            pieces.pop();
            pieces.push(Piece::Operand(Term { expr, start, end, height: 1 }));
            pieces.push(Piece::Infix(op, precedence));
            return;
        }
        pieces.push(Piece::Prefix(Prefix::Op(op), at));
    }

    fn climb(&mut self, pieces: &mut std::iter::Peekable<std::vec::IntoIter<Piece>>, least: u8) -> Term {
        let mut left = self.prefixed(pieces);
        while let Some(&Piece::Infix(op, precedence)) = pieces.peek() {
            if precedence < least {
                break;
            }
            pieces.next();
            let right = self.climb(pieces, precedence + 1);
            let height = left.height.max(right.height) + 1;
            let (start, end) = (left.start, right.end);
            if self.too_tall(height, start, end) {
                continue;
            }
            let kind = ExprKind::Binary { op, left: Box::new(left.expr), right: Box::new(right.expr) };
            left = Term { expr: Expr { kind, span: self.src.span(start, end) }, start, end, height };
        }
        left
    }

    fn prefixed(&mut self, pieces: &mut std::iter::Peekable<std::vec::IntoIter<Piece>>) -> Term {
        let mut prefixes = Vec::new();
        let mut term = None;
        for piece in pieces.by_ref() {
            match piece {
                Piece::Prefix(prefix, at) => prefixes.push((prefix, at)),
                Piece::Operand(operand) => {
                    term = Some(operand);
                    break;
                }
                Piece::Infix(..) => break,
            }
        }
        let mut term =
            term.unwrap_or_else(|| Term { expr: self.missing_expr(), start: self.base, end: self.base, height: 1 });
        for (prefix, start) in prefixes.into_iter().rev() {
            let (end, height) = (term.end, term.height + 1);
            if self.too_tall(height, start, end) {
                break;
            }
            let kind = self.with_prefix(prefix, term.expr);
            term = Term { expr: Expr { kind, span: self.src.span(start, end) }, start, end, height };
        }
        term
    }

    fn with_prefix(&mut self, prefix: Prefix, expr: Expr) -> ExprKind {
        match prefix {
            Prefix::Op(op) => ExprKind::Unary { op, expr: Box::new(expr) },
            Prefix::IncDec { increment } => {
                self.check_inc_dec(&expr);
                ExprKind::IncDec { increment, prefix: true, expr: Box::new(expr) }
            }
            Prefix::Comptime => ExprKind::Comptime(Box::new(expr)),
            Prefix::Cast(ty) => ExprKind::Cast { ty, expr: Box::new(expr) },
        }
    }

    fn check_inc_dec(&mut self, expr: &Expr) {
        if !matches!(expr.kind, ExprKind::Var(_) | ExprKind::Map { .. }) {
            self.diags.push(
                Diagnostic::error("not-a-place", expr.span, "`++` and `--` count up a variable or a map")
                    .label("neither `$name` nor `@name`"),
            );
        }
    }

    fn postfix(&mut self, base: Term, pair: Pair<'_>) -> Term {
        let (pair_start, end) = self.range(&pair);
        let start = base.start;
        let rule = pair.as_rule();
        let adjacent = base.expr.span.end as usize == pair_start;
        let (kind, inner) = self.measured(|b| b.postfix_kind(base.expr, rule, pair, adjacent));
        let height = base.height.max(inner) + 1;
        if self.too_tall(height, start, end) {
            let expr = self.missing_expr();
            return Term { expr, start, end, height: 1 };
        }
        Term { expr: Expr { kind, span: self.src.span(start, end) }, start, end, height }
    }

    fn postfix_kind(&mut self, base: Expr, rule: Rule, pair: Pair<'_>, adjacent: bool) -> ExprKind {
        let text = pair.as_str();
        let increment = text.starts_with("++");
        match rule {
            Rule::field | Rule::arrow => {
                let Some(name) = pair.into_inner().next() else { return base.kind };
                if name.as_rule() == Rule::number {
                    return self.tuple_field(base, &name, adjacent);
                }
                ExprKind::Field { base: Box::new(base), name: self.ident(&name), arrow: rule == Rule::arrow }
            }
            Rule::index => {
                let index = self.next_expr(&mut pair.into_inner());
                ExprKind::Index { base: Box::new(base), index: Box::new(index) }
            }
            Rule::call => {
                let args = self.args(pair);
                let span = base.span;
                if let Some(text) = dotted_name(&base) {
                    return ExprKind::Call { name: Ident { text, span }, args };
                }
                let what = self.src.text.get(span.start as usize..span.end as usize).unwrap_or("this");
                self.diags.push(
                    Diagnostic::error("not-a-function", span, format!("`{what}` can't be called"))
                        .note("only functions and macros are called, by their plain names"),
                );
                base.kind
            }
            _ => {
                self.check_inc_dec(&base);
                ExprKind::IncDec { increment, prefix: false, expr: Box::new(base) }
            }
        }
    }

    fn tuple_field(&mut self, base: Expr, name: &Pair<'_>, adjacent: bool) -> ExprKind {
        let span = self.span(name);
        if adjacent && matches!(base.kind, ExprKind::Int { .. }) {
            self.diags.push(
                Diagnostic::error("no-floats", base.span.to(span), "there are no fractions here: numbers are whole")
                    .note("count in a smaller unit: 1500ms instead of 1.5s"),
            );
            return base.kind;
        }
        if let Ok(index) = name.as_str().parse() {
            return ExprKind::TupleField { base: Box::new(base), index };
        }
        let text = format!("`.{}` is no field: a tuple's fields are .0, .1, .2 …", name.as_str());
        self.diags.push(Diagnostic::error("bad-tuple-field", span, text));
        base.kind
    }
}

/// `a`, `a.b.c`: the name of what is called.
fn dotted_name(expr: &Expr) -> Option<String> {
    match &expr.kind {
        ExprKind::Ident(name) => Some(name.clone()),
        ExprKind::Field { base, name, arrow: false } => Some(format!("{}.{}", dotted_name(base)?, name.text)),
        _ => None,
    }
}

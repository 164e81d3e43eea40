//! Operands: literals, names, maps, brackets, `if`, types as values, arguments.

use super::super::grammar::{Pair, Rule};
use super::Builder;
use super::expr::Term;
use crate::ast::{Arg, Block, Expr, ExprKind, Ident, IfExpr, TypeKind, TypeOp, TypeOperand};
use crate::diag::Diagnostic;

/// How many `else if` one statement may have.
const MAX_ELSE_IF: usize = 100;

impl Builder<'_> {
    pub(super) fn args(&mut self, call: Pair<'_>) -> Vec<Arg> {
        let args = call.into_inner().filter(|p| p.as_rule() == Rule::arg);
        args.map(|arg| self.arg(arg)).collect()
    }

    fn arg(&mut self, arg: Pair<'_>) -> Arg {
        let mut name = None;
        let mut value = None;
        for inner in arg.into_inner() {
            match inner.as_rule() {
                Rule::ident => name = Some(self.ident(&inner)),
                Rule::typeof_type => {
                    let span = self.span(&inner);
                    let ty = self.type_expr(inner);
                    let operand = match ty.kind {
                        TypeKind::Typeof(expr) => TypeOperand::Expr(expr),
                        _ => TypeOperand::Type(ty),
                    };
                    let kind = ExprKind::TypeOp { op: TypeOp::Typeof, operand, path: Vec::new() };
                    value = Some(Expr { kind, span });
                }
                Rule::expr => value = Some(self.expr(inner)),
                _ => {}
            }
        }
        Arg { name, value: value.unwrap_or_else(|| self.missing_expr()) }
    }

    pub(super) fn primary(&mut self, pair: Pair<'_>) -> Term {
        let (start, end) = self.range(&pair);
        let (expr, height) = self.measured(|b| {
            let span = b.src.span(start, end);
            if pair.as_rule() == Rule::paren {
                return b.paren(pair);
            }
            Expr { kind: b.primary_kind(pair), span }
        });
        Term { expr, start, end, height: height + 1 }
    }

    fn primary_kind(&mut self, pair: Pair<'_>) -> ExprKind {
        let text = pair.as_str();
        match pair.as_rule() {
            Rule::net => {
                self.check_net(&pair);
                ExprKind::Net(text.to_owned())
            }
            Rule::number => self.number(&pair),
            Rule::character => self.character(&pair),
            Rule::string => ExprKind::Str(self.string(&pair)),
            Rule::var => ExprKind::Var(text[1..].to_owned()),
            Rule::positional_count => ExprKind::PositionalCount,
            Rule::positional => self.positional(&pair),
            Rule::name => match text.trim_end() {
                "true" => ExprKind::Bool(true),
                "false" => ExprKind::Bool(false),
                _ => ExprKind::Ident(pair.into_inner().next().map_or_else(String::new, |i| i.as_str().to_owned())),
            },
            Rule::map => self.map(pair),
            Rule::record => ExprKind::Record(self.record_fields(pair)),
            Rule::if_expr => ExprKind::If(Box::new(self.if_expr(pair))),
            Rule::type_op | Rule::offsetof => self.type_op(pair),
            Rule::block => ExprKind::Block(Box::new(self.block(pair, true))),
            _ => ExprKind::Int { value: 0, unsigned: false },
        }
    }

    fn positional(&mut self, pair: &Pair<'_>) -> ExprKind {
        match pair.as_str()[1..].parse::<u32>() {
            Ok(n) if n > 0 => ExprKind::Positional(n),
            _ => {
                let span = self.span(pair);
                let text = format!("{} is no argument of the script: they are $1, $2 …", pair.as_str());
                self.diags.push(Diagnostic::error("bad-positional", span, text));
                ExprKind::Positional(1)
            }
        }
    }

    fn check_net(&mut self, pair: &Pair<'_>) {
        let (address, length) = pair.as_str().split_once('/').unwrap_or((pair.as_str(), "32"));
        let octets = address.split('.').all(|o| o.parse::<u8>().is_ok());
        if !octets || length.parse::<u8>().is_ok_and(|l| l > 32) {
            let span = self.span(pair);
            self.diags.push(
                Diagnostic::error("bad-network", span, format!("{} is no IPv4 address or network", pair.as_str()))
                    .write("10.0.0.0/8"),
            );
        }
    }

    fn map(&mut self, pair: Pair<'_>) -> ExprKind {
        let mut name = String::new();
        let mut key = None;
        for inner in pair.into_inner() {
            if inner.as_rule() == Rule::map_name {
                inner.as_str()[1..].clone_into(&mut name);
            } else {
                key = Some(self.exprs(inner));
            }
        }
        ExprKind::Map { name, key }
    }

    /// All `expr`s directly inside `pair`.
    pub(super) fn exprs(&mut self, pair: Pair<'_>) -> Vec<Expr> {
        pair.into_inner().filter(|p| p.as_rule() == Rule::expr).map(|p| self.expr(p)).collect()
    }

    fn paren(&mut self, pair: Pair<'_>) -> Expr {
        let span = self.span(&pair);
        let mut items = Vec::new();
        let mut comma = false;
        for inner in pair.into_inner() {
            match inner.as_rule() {
                Rule::expr => items.push(self.expr(inner)),
                _ => comma = true,
            }
        }
        match items.pop() {
            Some(only) if !comma => only,
            last => {
                items.extend(last);
                Expr { kind: ExprKind::Tuple(items), span }
            }
        }
    }

    pub(super) fn record_fields(&mut self, pair: Pair<'_>) -> Vec<(Ident, Expr)> {
        let mut fields: Vec<(Ident, Expr)> = Vec::new();
        for field in pair.into_inner().filter(|p| p.as_rule() == Rule::record_field) {
            let mut inner = field.into_inner();
            let Some(name) = inner.next() else { continue };
            let name = self.ident(&name);
            let value = self.next_expr(&mut inner);
            if let Some((first, _)) = fields.iter().find(|(n, _)| n.text == name.text) {
                self.diags.push(
                    Diagnostic::error(
                        "duplicate-field",
                        name.span,
                        format!("the field `{}` is given twice", name.text),
                    )
                    .other(first.span, "first here"),
                );
                continue;
            }
            fields.push((name, value));
        }
        fields
    }

    pub(super) fn if_expr(&mut self, pair: Pair<'_>) -> IfExpr {
        let span = self.span(&pair);
        let mut arms: Vec<(Expr, Block, usize)> = Vec::new();
        let mut cond: Option<(Expr, usize)> = None;
        let mut otherwise = None;
        let mut at = span.start as usize;
        for inner in pair.into_inner() {
            match inner.as_rule() {
                Rule::kw_if => at = self.range(&inner).0,
                Rule::expr => cond = Some((self.condition(inner), at)),
                Rule::block => {
                    let block = self.block(inner, true);
                    match cond.take() {
                        Some((c, at)) => arms.push((c, block, at)),
                        None => otherwise = Some(block),
                    }
                }
                _ => {}
            }
        }
        if arms.len() > MAX_ELSE_IF {
            let text = format!("more than {MAX_ELSE_IF} `else if` in a row");
            self.diags.push(Diagnostic::error("too-long", span, text));
            arms.truncate(MAX_ELSE_IF);
        }
        self.height += arms.len() as u16 * 2;
        let mut result: Option<(IfExpr, usize)> = None;
        while let Some((cond, then, at)) = arms.pop() {
            let inner = result.take().map(|(inner, at)| {
                let end = inner.otherwise.as_ref().map_or(inner.then.span.end, |b| b.span.end);
                let span = self.src.span(at, end as usize);
                let tail = Expr { kind: ExprKind::If(Box::new(inner)), span };
                Block { stmts: Vec::new(), tail: Some(Box::new(tail)), span }
            });
            result = Some((IfExpr { cond, then, otherwise: inner.or_else(|| otherwise.take()) }, at));
        }
        match result {
            Some((result, _)) => result,
            None => IfExpr { cond: self.missing_expr(), then: Block::default(), otherwise: None },
        }
    }

    /// A condition; `(x = 1)`, which reads as a record, is a slip for `==`.
    pub(super) fn condition(&mut self, pair: Pair<'_>) -> Expr {
        let expr = self.expr(pair);
        if let ExprKind::Record(fields) = &expr.kind {
            let matching = fields.first().is_some_and(|(name, _)| {
                let after = self.src.text.get(name.span.end as usize..).unwrap_or("").trim_start();
                after.starts_with("=~")
            });
            if matching {
                let text = "there are no regular expressions: `strcontains(text, part)` looks for a part";
                self.diags
                    .push(Diagnostic::error("foreign-operator", expr.span, text).write("strcontains(comm, \"part\")"));
                return expr;
            }
            let written = |s: crate::span::Span| self.src.text.get(s.start as usize..s.end as usize).unwrap_or("…");
            let write: Vec<String> =
                fields.iter().map(|(name, value)| format!("{} == {}", name.text, written(value.span))).collect();
            let diag = Diagnostic::error("assign-in-condition", expr.span, "`=` assigns: to compare, write `==`")
                .write(write.join(" && "));
            self.diags.push(diag);
        }
        expr
    }

    fn type_op(&mut self, pair: Pair<'_>) -> ExprKind {
        let mut op = TypeOp::Offsetof;
        let mut operand = None;
        let mut path = Vec::new();
        for inner in pair.into_inner() {
            match inner.as_rule() {
                Rule::kw_sizeof => op = if inner.as_str() == "sizeof" { TypeOp::Sizeof } else { TypeOp::Typeinfo },
                Rule::ident => path.push(self.ident(&inner)),
                Rule::expr => operand = Some(TypeOperand::Expr(Box::new(self.expr(inner)))),
                Rule::typeof_type | Rule::type_operand => operand = Some(TypeOperand::Type(self.type_expr(inner))),
                _ => {}
            }
        }
        let operand = operand.unwrap_or_else(|| TypeOperand::Expr(Box::new(self.missing_expr())));
        ExprKind::TypeOp { op, operand, path }
    }
}

//! pest's pairs → syntax tree.

mod alert;
mod c;
mod expr;
mod items;
mod join;
mod operand;
mod parts;
mod stmt;
mod types;

use super::grammar::{Pair, Rule};
use super::literal;
use super::scan::Source;
use crate::ast::{Expr, ExprKind, Ident};
use crate::diag::Diagnostic;
use crate::span::Span;
use std::collections::HashSet;

pub(super) use expr::INFIX;
pub(super) use items::chain;

/// Height of the tallest expression tree: later passes recurse over it. `a + a + …` grows by one with each operator.
pub(super) const MAX_HEIGHT: u16 = 400;

/// Builds the tree of one parsed piece of text, which begins at `base` in the source.
pub(super) struct Builder<'a> {
    pub(super) src: &'a Source<'a>,
    pub(super) base: usize,
    pub(super) diags: Vec<Diagnostic>,
    /// Names known to be values (`#define`s, enum constants, parameters): `(N) - 1` with such a name is no cast.
    pub(super) values: HashSet<String>,
    /// Height of the tallest expression built since the enclosing one began.
    height: u16,
    too_tall: bool,
    kept: parts::Kept,
}

impl<'a> Builder<'a> {
    pub(super) fn new(src: &'a Source<'a>) -> Self {
        Self {
            src,
            base: 0,
            diags: Vec::new(),
            values: HashSet::new(),
            height: 0,
            too_tall: false,
            kept: parts::Kept::default(),
        }
    }

    /// Start and end in the source, without the white space that pest leaves at the end.
    fn range(&self, pair: &Pair<'_>) -> (usize, usize) {
        let span = pair.as_span();
        let start = self.base + span.start();
        (start, self.src.trim_end(start, self.base + span.end()))
    }

    fn span(&self, pair: &Pair<'_>) -> Span {
        let (start, end) = self.range(pair);
        self.src.span(start, end)
    }

    fn ident(&self, pair: &Pair<'_>) -> Ident {
        Ident { text: pair.as_str().to_owned(), span: self.span(pair) }
    }

    /// A name without its first byte (`$`, `@`), with the whole word's place.
    fn sigil(&self, pair: &Pair<'_>) -> Ident {
        Ident { text: pair.as_str()[1..].to_owned(), span: self.span(pair) }
    }

    /// The text of a `string` pair, escapes resolved and checked.
    fn string(&mut self, pair: &Pair<'_>) -> String {
        let raw = pair.as_str();
        let inner = &raw[1..raw.len() - 1];
        let (text, errors) = literal::unescape(inner);
        let base = self.base + pair.as_span().start() + 1;
        for (range, e) in errors {
            let span = self.src.span(base + range.start, base + range.end);
            self.literal_error("unknown-escape", span, e);
        }
        text
    }

    fn number(&mut self, pair: &Pair<'_>) -> ExprKind {
        match literal::number(pair.as_str()) {
            Ok(kind) => kind,
            Err(e) => {
                let span = self.span(pair);
                self.literal_error("bad-number", span, e);
                ExprKind::Int { value: 0, unsigned: false }
            }
        }
    }

    fn character(&mut self, pair: &Pair<'_>) -> ExprKind {
        let value = literal::character(pair.as_str()).unwrap_or_else(|e| {
            let span = self.span(pair);
            self.literal_error("bad-number", span, e);
            0
        });
        ExprKind::Int { value, unsigned: false }
    }

    fn literal_error(&mut self, code: &'static str, span: Span, e: literal::LiteralError) {
        let mut diag = Diagnostic::error(code, span, e.message);
        if let Some(text) = e.write {
            diag = diag.write(text);
        }
        if let Some(text) = e.note {
            diag = diag.note(text);
        }
        self.diags.push(diag);
    }

    /// Runs `f` with a height of its own; returns it, and lets the enclosing one be at least as high.
    fn measured<T>(&mut self, f: impl FnOnce(&mut Self) -> T) -> (T, u16) {
        let outer = std::mem::take(&mut self.height);
        let value = f(self);
        let inner = self.height;
        self.height = outer.max(inner);
        (value, inner)
    }

    /// True, and told once, where a tree of this height would be too tall.
    fn too_tall(&mut self, height: u16, start: usize, end: usize) -> bool {
        if height <= MAX_HEIGHT {
            return false;
        }
        if !self.too_tall {
            self.too_tall = true;
            let span = self.src.span(start, end);
            self.diags.push(
                Diagnostic::error(
                    "too-long",
                    span,
                    format!("this expression has more than {MAX_HEIGHT} steps in a row"),
                )
                .note("compute a part first and keep it in a variable"),
            );
        }
        true
    }

    /// The first `expr` among `pairs`; the grammar has put one there.
    fn next_expr<'p>(&mut self, pairs: &mut impl Iterator<Item = Pair<'p>>) -> Expr {
        for pair in pairs {
            if pair.as_rule() == Rule::expr {
                return self.expr(pair);
            }
        }
        self.missing_expr()
    }

    /// Stands for an expression that couldn't be built; a diagnostic told why.
    fn missing_expr(&self) -> Expr {
        let span = self.src.span(self.base, self.base);
        Expr { kind: ExprKind::Int { value: 0, unsigned: false }, span }
    }
}

//! `if`, `else` and loops whose condition or body is not written as one.

use super::{BINARY, Place, Stuck};
use crate::diag::Diagnostic;

impl Stuck<'_> {
    /// `if (x) f();`: bodies stand in braces.
    pub(super) fn no_block(&self) -> Option<Diagnostic> {
        if self.place != Place::Stmt {
            return None;
        }
        let first = self.word(self.lo);
        if first == "else" {
            let next = self.word(self.lo + 1);
            if next == "{" || next == "if" {
                return Some(
                    Diagnostic::error("else-without-if", self.span(self.lo), "this `else` belongs to no `if`")
                        .note("`else` follows the `}` of an `if` directly, without a `;`"),
                );
            }
        }
        // The last `else` before the place, or the statement's own word.
        let start = (self.lo..self.at.min(self.hi)).rev().find(|i| self.word(*i) == "else" && self.word(i + 1) != "if");
        let start = start.unwrap_or(self.lo);
        let word = self.word(start);
        if !matches!(word, "if" | "else" | "while" | "for" | "unroll") {
            return None;
        }
        let body = self.behind_brackets(start + 1);
        let none = body < self.hi && (body..self.hi).all(|i| self.word(i) != "{");
        if !none || self.at < body || matches!(self.word(body), "=" | "==") || BINARY.contains(&self.word(body)) {
            return None;
        }
        if body == start + 1 && matches!(word, "if" | "while" | "unroll") {
            return Some(self.no_brackets(start));
        }
        let last = self.hi - 1;
        let stmt = self.text(body, last);
        let stmt = stmt.trim_end_matches(';');
        let stmt = if stmt.is_empty() { "…".to_owned() } else { format!("{stmt};") };
        Some(
            Diagnostic::error("missing-block", self.span(body), format!("expected `{{` after `{word}`"))
                .label("a body stands in braces")
                .write(format!("{} {{ {stmt} }}", self.text(start, body - 1))),
        )
    }

    /// `if $x > 3 f();`: neither brackets around the condition nor braces around the body.
    fn no_brackets(&self, start: usize) -> Diagnostic {
        let word = self.word(start);
        let stmt = if self.at < self.hi { self.text(self.at, self.hi - 1).trim_end_matches(';') } else { "" };
        let stmt = if stmt.is_empty() { "…".to_owned() } else { format!("{stmt};") };
        let cond = self.text(start + 1, self.before());
        let span = if self.at < self.hi { self.span(self.at) } else { self.span(self.before()) };
        Diagnostic::error("missing-block", span, format!("expected `{{` after the condition of `{word}`"))
            .label("a body stands in braces")
            .write(format!("{word} ({cond}) {{ {stmt} }}"))
    }

    /// `if { … }`: the block was read as the condition.
    pub(super) fn no_condition(&self) -> Option<Diagnostic> {
        if self.place != Place::Stmt {
            return None;
        }
        let bare = |i: &usize| matches!(self.word(*i), "if" | "while" | "unroll") && self.word(i + 1) == "{";
        let at = (self.lo..self.at.min(self.hi)).rev().find(bare)?;
        let word = self.word(at);
        // Stuck right behind that block.
        if self.behind(at + 1, "{", "}") != self.at {
            return None;
        }
        let example = if word == "unroll" { "3" } else { "$x > 5" };
        let what = if word == "unroll" { "number of times" } else { "condition" };
        Some(
            Diagnostic::error("expected-expression", self.span(at), format!("the {what} of this `{word}` is missing"))
                .write(format!("{word} ({example}) {{ … }}")),
        )
    }

    /// The token behind a pair of brackets that may begin at `index`.
    fn behind_brackets(&self, index: usize) -> usize {
        if self.word(index) == "(" { self.behind(index, "(", ")") } else { index }
    }

    fn behind(&self, mut index: usize, open: &str, close: &str) -> usize {
        let mut depth = 0usize;
        while index < self.hi {
            let word = self.word(index);
            depth = if word == open { depth + 1 } else { depth - usize::from(word == close) };
            index += 1;
            if depth == 0 {
                break;
            }
        }
        index
    }
}

//! What is wrong where the grammar got stuck, in the operator's words.
//!
//! The grammar gives a place; the tokens around it say what was meant. Rules are tried in order, the first that knows
//! speaks.

mod blocks;
mod forms;
mod head;
mod words;

use super::scan::{ItemKind, Kind, Source, Token};
use crate::diag::Diagnostic;

/// What kind of text the grammar got stuck in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Attach points and predicate.
    Head,
    Stmt,
    /// A join's clause.
    Clause,
    Expr,
    Item(ItemKind),
}

/// The tokens of the text in question, and the one where the grammar got stuck.
pub(super) struct Stuck<'s> {
    src: &'s Source<'s>,
    place: Place,
    /// Tokens `lo..hi` are the text; `at` is the stuck one, or `hi` for its end.
    lo: usize,
    hi: usize,
    at: usize,
    /// Where the text ends.
    end: usize,
}

type Rule = fn(&Stuck<'_>) -> Option<Diagnostic>;

const RULES: &[Rule] = &[
    words::foreign_statement,
    words::foreign_operator,
    |s| s.head(),
    |s| s.turned_comparison(),
    |s| s.assign_for_compare(),
    |s| s.no_condition(),
    |s| s.no_block(),
    forms::item_form,
    forms::empty_key,
    |s| s.expected_expression(),
    |s| s.half_ternary(),
    forms::statement_form,
    forms::record_form,
    |s| s.two_expressions(),
];

/// Explains why `range` of the text doesn't parse; `at` is where the grammar got stuck.
pub(super) fn explain(src: &Source<'_>, place: Place, range: (usize, usize), at: usize) -> Diagnostic {
    let lo = src.token_at(range.0);
    let hi = src.tokens.partition_point(|t| t.start < range.1).max(lo);
    let at = src.token_at(at).clamp(lo, hi);
    let stuck = Stuck { src, place, lo, hi, at, end: range.1 };
    RULES.iter().find_map(|rule| rule(&stuck)).unwrap_or_else(|| stuck.unexpected())
}

const BINARY: &[&str] = &[
    "+", "-", "*", "/", "%", "&", "|", "^", "==", "!=", "<", ">", "<=", ">=", "<<", ">>", "&&", "||", "??", "=", "+=",
    "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<=", ">>=", "!", "~",
];

const KEYWORDS: &[&str] = &[
    "if", "else", "let", "while", "for", "unroll", "break", "continue", "return", "sizeof", "typeinfo", "offsetof",
    "typeof", "comptime",
];

impl<'s> Stuck<'s> {
    fn token(&self, index: usize) -> Option<Token> {
        (self.lo..self.hi).contains(&index).then(|| self.src.tokens[index])
    }

    /// The token's text; empty outside the text in question.
    fn word(&self, index: usize) -> &'s str {
        self.token(index).map_or("", |t| self.src.text.get(t.start..t.end).unwrap_or(""))
    }

    fn kind(&self, index: usize) -> Option<Kind> {
        self.token(index).map(|t| t.kind)
    }

    fn span(&self, index: usize) -> crate::span::Span {
        if let Some(t) = self.token(index) {
            return self.src.span(t.start, t.end);
        }
        // Just after the last token.
        let end = self.hi.checked_sub(1).and_then(|i| self.token(i)).map_or(self.end, |t| t.end);
        self.src.span(end, end)
    }

    fn text(&self, from: usize, to: usize) -> &'s str {
        match (self.token(from), self.token(to)) {
            (Some(a), Some(b)) => self.src.text.get(a.start..b.end).unwrap_or(""),
            _ => "",
        }
    }

    fn before(&self) -> usize {
        self.at.wrapping_sub(1)
    }

    /// The bracket that is open at `index`.
    fn enclosing(&self, index: usize) -> Option<usize> {
        let mut open = Vec::new();
        for i in self.lo..index.min(self.hi) {
            match self.word(i) {
                "(" | "[" | "{" => open.push(i),
                ")" | "]" | "}" => {
                    open.pop();
                }
                _ => {}
            }
        }
        open.pop()
    }

    /// An operand may end with this token.
    fn ends_operand(&self, index: usize) -> bool {
        match self.kind(index) {
            Some(Kind::Word) => !KEYWORDS.contains(&self.word(index)),
            Some(Kind::Number | Kind::Str | Kind::Sigil) => true,
            Some(Kind::Punct) => matches!(self.word(index), ")" | "]" | "++" | "--"),
            _ => false,
        }
    }

    fn begins_operand(&self, index: usize) -> bool {
        match self.kind(index) {
            Some(Kind::Word) => self.word(index) != "else",
            Some(Kind::Number | Kind::Str | Kind::Sigil) => true,
            Some(Kind::Punct) => matches!(self.word(index), "(" | "!" | "~" | "{" | "++" | "--"),
            _ => false,
        }
    }

    /// First token of the operand (`a.b[c]`) that ends with `index`.
    fn operand_start(&self, mut index: usize) -> usize {
        loop {
            let closes = matches!(self.word(index), ")" | "]");
            if closes {
                index = self.enclosing(index).unwrap_or(self.lo);
            }
            let before = index.wrapping_sub(1);
            let joined = matches!(self.word(before), "." | "->");
            if joined && index > self.lo + 1 {
                index -= 2;
            } else if closes
                && matches!(self.kind(before), Some(Kind::Word | Kind::Sigil))
                && !KEYWORDS.contains(&self.word(before))
            {
                index = before;
            } else {
                return index;
            }
        }
    }

    /// The text of the operand after `index`, as far as it is simple.
    fn operand_after(&self, index: usize) -> &'s str {
        let mut last = index + 1;
        while matches!(self.word(last + 1), "." | "->") {
            last += 2;
        }
        self.text(index + 1, last)
    }

    /// `=` where a value is compared.
    fn assign_for_compare(&self) -> Option<Diagnostic> {
        if self.word(self.at) != "=" || self.at == self.lo {
            return None;
        }
        let enclosing = self.enclosing(self.at).map(|i| (self.word(i), self.word(i.wrapping_sub(1))));
        let condition = matches!(self.place, Place::Head)
            || matches!(self.word(self.lo), "if" | "while")
            || matches!(enclosing, Some(("(" | "[", _)));
        if !condition || matches!(self.place, Place::Item(_)) {
            return None;
        }
        let left = self.text(self.operand_start(self.before()), self.before());
        let right = self.operand_after(self.at);
        let diag = Diagnostic::error("assign-in-condition", self.span(self.at), "`=` assigns: to compare, write `==`");
        Some(if left.is_empty() || right.is_empty() { diag } else { diag.write(format!("{left} == {right}")) })
    }

    /// `$x => 1`: the two characters of a comparison, the wrong way round.
    fn turned_comparison(&self) -> Option<Diagnostic> {
        let first = if self.word(self.at) == "=" { self.at } else { self.before() };
        let (one, two) = (self.token(first)?, self.token(first + 1)?);
        let (second, right) = (self.word(first + 1), self.operand_after(first + 1));
        if self.word(first) != "=" || one.end != two.start || !matches!(second, ">" | "<" | "!") || right.is_empty() {
            return None;
        }
        let before = first.wrapping_sub(1);
        let left = self.text(self.operand_start(before), before);
        let span = self.span(first).to(self.span(first + 1));
        let text = format!("`={second}` is no operator: the comparison is `{second}=`");
        let diag = Diagnostic::error("foreign-operator", span, text);
        Some(if left.is_empty() { diag } else { diag.write(format!("{left} {second}= {right}")) })
    }

    /// An operator, comma or opening bracket with nothing after it.
    fn expected_expression(&self) -> Option<Diagnostic> {
        let word = self.word(self.at);
        let nothing = self.at >= self.hi || matches!(word, ")" | "]" | "}" | ";" | "," | ":") || BINARY.contains(&word);
        if !nothing || self.at == self.lo {
            return None;
        }
        let before = self.word(self.before());
        let waits = BINARY.contains(&before)
            || matches!(before, "(" | "[" | "," | "?" | ":" | "return" | "comptime" | ".." | "." | "->")
            || (self.place == Place::Clause && forms::CLAUSE_WORDS.contains(&before));
        if !waits || self.kind(self.before()) == Some(Kind::Attach) {
            return None;
        }
        let what = match before {
            "." | "->" => "a field's name",
            _ => "an expression",
        };
        let span = if self.at >= self.hi { self.span(self.before()) } else { self.span(self.at) };
        let mut diag = Diagnostic::error("expected-expression", span, format!("expected {what} after `{before}`"));
        if self.at < self.hi {
            diag = diag.label(format!("found `{word}`")).other(self.span(self.before()), "after this");
        }
        if before == "=" && word == "=" {
            diag = diag.write("==");
        }
        Some(diag)
    }

    /// `a ? b` without `: c`.
    fn half_ternary(&self) -> Option<Diagnostic> {
        if !self.ends_operand(self.before()) || !matches!(self.word(self.at), ";" | ")" | "]" | "}" | "," | "") {
            return None;
        }
        let mut depth = 0usize;
        let mut colons = 0usize;
        for i in (self.lo..self.at.min(self.hi)).rev() {
            match self.word(i) {
                ")" | "]" | "}" => depth += 1,
                "(" | "[" | "{" if depth == 0 => return None,
                "(" | "[" | "{" => depth -= 1,
                ":" if depth == 0 => colons += 1,
                "?" if depth == 0 && colons > 0 => colons -= 1,
                "?" if depth == 0 => {
                    return Some(
                        Diagnostic::error("half-ternary", self.span(i), "this `?` has no `:`")
                            .label("`condition ? this : that`"),
                    );
                }
                _ => {}
            }
        }
        None
    }

    /// Two operands without anything between them: a `;`, a `,` or an operator is missing.
    fn two_expressions(&self) -> Option<Diagnostic> {
        let before = self.before();
        let ended = self.ends_operand(before) || matches!(self.word(before), "break" | "continue" | "return");
        let block = self.word(before) == "}" && self.place == Place::Stmt;
        let begins = self.begins_operand(self.at) || (self.kind(self.at) == Some(Kind::Word));
        if self.at == self.lo || !(ended || block) || !begins {
            return None;
        }
        let (last, next) = (self.word(before), self.word(self.at));
        if let Some(open) = self.enclosing(self.at).filter(|i| self.word(*i) != "{") {
            return Some(
                Diagnostic::error(
                    "missing-operator",
                    self.span(self.at),
                    format!("missing `,` or an operator before `{next}`"),
                )
                .label(format!("after `{last}`"))
                .other(self.span(open), "in this bracket"),
            );
        }
        if self.kind(before) == Some(Kind::Word) && self.kind(self.at) == Some(Kind::Str) {
            return Some(
                Diagnostic::error(
                    "missing-brackets",
                    self.span(self.at),
                    format!("the arguments of `{last}` stand in brackets"),
                )
                .write(format!("{last}({next})")),
            );
        }
        if !matches!(self.place, Place::Stmt | Place::Clause) {
            return None;
        }
        let end = self.span(before).end as usize;
        let diag = Diagnostic::error(
            "missing-semicolon",
            self.src.span(end.saturating_sub(1), end),
            format!("missing `;` after `{last}`"),
        )
        .label("the statement ends here")
        .other(self.span(self.at), "this begins another");
        let line = self.text(self.lo, before).lines().next_back().unwrap_or("").trim_start();
        Some(diag.write(format!("{line};")))
    }

    fn unexpected(&self) -> Diagnostic {
        let before = self.word(self.before());
        let after = if self.at > self.lo && !before.is_empty() { format!(" after `{before}`") } else { String::new() };
        if self.at >= self.hi {
            let what = if matches!(self.place, Place::Stmt | Place::Clause) { "the statement" } else { "the text" };
            return Diagnostic::error(
                "unexpected-end",
                self.span(self.before()),
                format!("{what} stops too early{after}"),
            );
        }
        Diagnostic::error("unexpected", self.span(self.at), format!("unexpected `{}`{after}", self.word(self.at)))
    }
}

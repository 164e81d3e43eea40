//! Brackets that don't match are told by both their places.

use super::MAX_NESTING;
use super::lexer::{Kind, Lexer, Token};
use crate::diag::Diagnostic;

#[derive(Default)]
pub(super) struct Brackets {
    /// Open brackets: which, and where.
    pub(super) stack: Vec<(u8, usize)>,
    /// `?` and `if` since the last `;` or brace: they nest without brackets.
    chain: usize,
    pub(super) too_deep: bool,
    pub(super) wrong: bool,
    /// A `{` that by indentation is closed by its outer block's `}`.
    suspect: Option<usize>,
}

fn closer_of(open: u8) -> char {
    match open {
        b'(' => ')',
        b'[' => ']',
        _ => '}',
    }
}

fn opener_of(close: u8) -> u8 {
    match close {
        b')' => b'(',
        b']' => b'[',
        _ => b'{',
    }
}

/// Columns of white space before `at`, where it is the first character of its line.
fn own_indent(bytes: &[u8], at: usize) -> Option<usize> {
    let width = bytes[..at].iter().rev().take_while(|b| matches!(b, b' ' | b'\t')).count();
    (width == at || bytes[at - width - 1] == b'\n').then_some(width)
}

/// Columns of white space at the start of the line of `at`.
fn line_indent(bytes: &[u8], at: usize) -> usize {
    let line = bytes[..at].iter().rposition(|b| *b == b'\n').map_or(0, |n| n + 1);
    bytes[line..].iter().take_while(|b| matches!(b, b' ' | b'\t')).count()
}

impl Brackets {
    /// Takes account of one token. Returns false where the stack has become empty by it.
    pub(super) fn feed(&mut self, lexer: &mut Lexer<'_>, token: Token) -> bool {
        let byte = lexer.byte(token.start);
        match token.kind {
            Kind::Word if lexer.word_at(token.start) == "if" => self.chain += 1,
            Kind::Punct if token.end - token.start == 1 => match byte {
                b'{' | b'(' | b'[' => {
                    if byte == b'{' {
                        self.chain = 0;
                    }
                    self.stack.push((byte, token.start));
                }
                b'}' | b')' | b']' => {
                    if byte == b'}' {
                        self.chain = 0;
                    }
                    self.close(lexer, byte, token.start);
                    return !self.stack.is_empty();
                }
                b';' if self.is_c_loop(lexer) => {}
                b';' => {
                    self.chain = 0;
                    self.drop_parens(lexer, token.start, "before this `;`");
                }
                b'?' => self.chain += 1,
                _ => {}
            },
            _ => {}
        }
        if self.stack.len() + self.chain > MAX_NESTING && !self.too_deep {
            self.too_deep = true;
            lexer.diags.push(
                Diagnostic::error(
                    "too-deep",
                    lexer.span(token.start, token.end),
                    format!("nested more than {MAX_NESTING} levels deep"),
                )
                .note("compute the inner part first and keep it in a variable"),
            );
        }
        true
    }

    /// `for (a; b; c)`: told once; the bracket stays open for its `)`.
    fn is_c_loop(&mut self, lexer: &mut Lexer<'_>) -> bool {
        let Some(&(b'(', place)) = self.stack.last() else { return false };
        let at = lexer.tokens.partition_point(|t| t.start < place);
        let Some(word) = at.checked_sub(1).map(|n| lexer.tokens[n]) else { return false };
        if lexer.text.get(word.start..word.end) != Some("for") {
            return false;
        }
        let span = lexer.span(word.start, word.end);
        if !lexer.diags.iter().any(|d| d.code == "c-loop" && d.span == span) {
            self.wrong = true;
            lexer.diags.push(
                Diagnostic::error("c-loop", span, "`for` runs over a range or a map, not by three clauses as in C")
                    .write("for ($i : 0..10) { … }")
                    .note("`for ($entry : @map) { … }` runs over a map's entries"),
            );
        }
        true
    }

    /// Reports the `(` and `[` that are open above the innermost `{`, and forgets them.
    fn drop_parens(&mut self, lexer: &mut Lexer<'_>, at: usize, label: &str) {
        let mut reported = false;
        while let Some(&(open, place)) = self.stack.last() {
            if open == b'{' {
                break;
            }
            self.stack.pop();
            if !reported {
                self.missing(lexer, open, place, at, label);
                reported = true;
            }
        }
    }

    fn missing(&mut self, lexer: &mut Lexer<'_>, open: u8, place: usize, at: usize, label: &str) {
        self.wrong = true;
        if lexer.swallowed {
            return;
        }
        let closer = closer_of(open);
        let what = if open == b'{' { "block opened" } else { "bracket opened" };
        let span = lexer.span(place, place + 1);
        let other = lexer.span(at, (at + 1).min(lexer.bytes.len()));
        lexer.diags.push(
            Diagnostic::error("unclosed", span, format!("missing `{closer}`: the {what} here is never closed"))
                .label("opened here")
                .other(other, format!("`{closer}` is expected {label}")),
        );
    }

    fn close(&mut self, lexer: &mut Lexer<'_>, close: u8, at: usize) {
        let wanted = opener_of(close);
        if close == b'}' {
            self.drop_parens(lexer, at, "before this `}`");
        }
        match self.stack.last() {
            Some(&(open, place)) if open == wanted => {
                if open == b'{' && self.suspect.is_none() {
                    let outer = own_indent(lexer.bytes, at);
                    if outer.is_some_and(|outer| outer < line_indent(lexer.bytes, place)) {
                        self.suspect = Some(place);
                    }
                }
                self.stack.pop();
            }
            Some(_) => {
                let inner = self.stack.iter().rposition(|(o, _)| *o == b'{').map_or(0, |n| n + 1);
                if let Some(found) = self.stack[inner..].iter().rposition(|(o, _)| *o == wanted) {
                    let (open, place) = self.stack[inner + found + 1];
                    self.missing(lexer, open, place, at, "before this");
                    self.stack.truncate(inner + found);
                } else if let Some(&(open, place)) = self.stack.last().filter(|(o, _)| *o != b'{') {
                    self.stack.pop();
                    self.wrong = true;
                    if !lexer.swallowed {
                        let text = format!("`{}` closes a `{}`", close as char, open as char);
                        let span = lexer.span(at, at + 1);
                        let diag = Diagnostic::error("mismatched", span, text).write(closer_of(open).to_string());
                        lexer.diags.push(diag.other(lexer.span(place, place + 1), "opened here"));
                    }
                } else {
                    self.stray(lexer, close, at);
                }
            }
            None => self.stray(lexer, close, at),
        }
    }

    fn stray(&mut self, lexer: &mut Lexer<'_>, close: u8, at: usize) {
        self.wrong = true;
        if lexer.swallowed {
            return;
        }
        let span = lexer.span(at, at + 1);
        let text = format!("`{}` closes nothing", close as char);
        let diag = Diagnostic::error("stray-closer", span, text);
        lexer.diags.push(match self.stack.last() {
            Some(&(open, place)) => {
                let inner = format!("the innermost open bracket is this `{}`", open as char);
                diag.other(lexer.span(place, place + 1), inner)
            }
            None => diag.label("nothing is open here"),
        });
    }

    /// The text (or the item) ends at `at` with brackets open.
    pub(super) fn unclosed(&mut self, lexer: &mut Lexer<'_>, at: usize, label: &str) {
        let Some(&(top, place)) = self.stack.last() else { return };
        let (open, place) = match self.suspect {
            Some(place) if top == b'{' => (b'{', place),
            _ => (top, place),
        };
        let at = at.min(lexer.bytes.len());
        self.missing(lexer, open, place, at, label);
        self.stack.clear();
    }
}

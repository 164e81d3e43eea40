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

/// Columns of white space before the first character of the line of `at`, and whether `at` is that character.
fn indent(bytes: &[u8], at: usize) -> (usize, bool) {
    let line = bytes[..at].iter().rposition(|b| *b == b'\n').map_or(0, |n| n + 1);
    let width = bytes[line..].iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
    (width, line + width == at)
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
                    let (outer, first) = indent(lexer.bytes, at);
                    if first && outer < indent(lexer.bytes, place).0 {
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

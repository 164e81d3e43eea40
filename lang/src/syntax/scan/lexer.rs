//! Tokens: just enough for brackets, items and error messages.

use crate::diag::Diagnostic;
use crate::span::{FileId, Span};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::syntax) enum Kind {
    Word,
    Number,
    Str,
    /// `$x`, `$1`, `$#`, `@m`, `@`
    Sigil,
    Punct,
    /// A whole attach point.
    Attach,
    /// Told by a diagnostic.
    Bad,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::syntax) struct Token {
    pub(in crate::syntax) kind: Kind,
    pub(in crate::syntax) start: usize,
    pub(in crate::syntax) end: usize,
}

const LONG_PUNCT: &[&str] = &[
    "<<=", ">>=", "===", "!==", "->", "++", "--", "&&", "||", "??", "==", "!=", "<=", ">=", "<<", ">>", "+=", "-=",
    "*=", "/=", "%=", "&=", "|=", "^=", "..", ":=", "<>", "=~",
];

pub(super) struct Lexer<'a> {
    pub(super) text: &'a str,
    pub(super) bytes: &'a [u8],
    pub(super) file: FileId,
    pub(super) pos: usize,
    pub(super) tokens: Vec<Token>,
    pub(super) comments: Vec<(usize, usize)>,
    pub(super) diags: Vec<Diagnostic>,
    /// Within a definition in C, where `'a'` is a number.
    pub(super) in_c: bool,
    /// A string didn't end: what follows on its line was swallowed, so brackets can't be judged.
    pub(super) swallowed: bool,
}

pub(super) fn is_word_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str, file: FileId) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            file,
            pos: 0,
            tokens: Vec::with_capacity(text.len() / 4),
            comments: Vec::new(),
            diags: Vec::new(),
            in_c: false,
            swallowed: false,
        }
    }

    pub(super) fn span(&self, start: usize, end: usize) -> Span {
        Span::new(self.file, start, end.max(start))
    }

    pub(super) fn byte(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(0)
    }

    pub(super) fn at_end(&self) -> bool {
        self.pos >= self.bytes.len()
    }

    /// Where the word (or nothing) that begins at `at` ends.
    pub(super) fn word_end(&self, at: usize) -> usize {
        if !is_word_start(self.byte(at)) {
            return at;
        }
        self.bytes[at..].iter().position(|b| !is_word(*b)).map_or(self.bytes.len(), |n| at + n)
    }

    pub(super) fn word_at(&self, at: usize) -> &'a str {
        self.text.get(at..self.word_end(at)).unwrap_or("")
    }

    /// The next position that isn't white space or comment, without moving.
    pub(super) fn after_layout(&self, mut at: usize) -> usize {
        loop {
            match self.byte(at) {
                b' ' | b'\t' | b'\r' | b'\n' => at += 1,
                b'/' if matches!(self.byte(at + 1), b'/' | b'*') => at = self.comment_end(at).0,
                _ => return at,
            }
        }
    }

    /// End of the comment that begins at `at`, and whether it is closed.
    fn comment_end(&self, at: usize) -> (usize, bool) {
        let rest = &self.bytes[at + 2..];
        if self.byte(at + 1) == b'/' {
            let end = rest.iter().position(|b| *b == b'\n').map_or(self.bytes.len(), |n| at + 2 + n);
            return (end, true);
        }
        match rest.windows(2).position(|w| w == b"*/") {
            Some(n) => (at + 2 + n + 2, true),
            None => (self.bytes.len(), false),
        }
    }

    pub(super) fn skip_layout(&mut self) {
        loop {
            match self.byte(self.pos) {
                b' ' | b'\t' | b'\r' | b'\n' => self.pos += 1,
                b'/' if matches!(self.byte(self.pos + 1), b'/' | b'*') => {
                    let start = self.pos;
                    let (end, closed) = self.comment_end(start);
                    if !closed {
                        self.diags.push(
                            Diagnostic::error(
                                "unterminated-comment",
                                self.span(start, start + 2),
                                "this comment never ends",
                            )
                            .label("`/*` without a `*/`"),
                        );
                        self.swallowed = true;
                    }
                    self.comments.push((start, end));
                    self.pos = end;
                }
                _ => return,
            }
        }
    }

    pub(super) fn push(&mut self, kind: Kind, start: usize, end: usize) -> Token {
        let token = Token { kind, start, end };
        self.tokens.push(token);
        self.pos = end;
        token
    }

    /// Skips layout and takes one token; None at the end of the text.
    pub(super) fn next(&mut self) -> Option<Token> {
        self.skip_layout();
        if self.at_end() {
            return None;
        }
        let start = self.pos;
        let first = self.byte(start);
        Some(match first {
            b'"' => self.string(),
            b'0'..=b'9' => {
                let end = self.bytes[start..].iter().position(|b| !is_word(*b)).map_or(self.bytes.len(), |n| start + n);
                self.push(Kind::Number, start, end)
            }
            b'\'' if self.in_c && self.character_end().is_some() => {
                let end = self.character_end().unwrap_or(start + 1);
                self.push(Kind::Number, start, end)
            }
            b'$' => self.dollar(),
            b'@' => self.push(Kind::Sigil, start, self.word_end(start + 1)),
            _ if is_word_start(first) => self.push(Kind::Word, start, self.word_end(start)),
            _ => {
                if let Some(long) = LONG_PUNCT.iter().find(|p| self.bytes[start..].starts_with(p.as_bytes())) {
                    return Some(self.push(Kind::Punct, start, start + long.len()));
                }
                if b"{}()[];,.?:+-*/%&|^~!<>=".contains(&first) {
                    return Some(self.push(Kind::Punct, start, start + 1));
                }
                self.bad()
            }
        })
    }

    /// Where the character constant that begins here ends, if it is one: `'a'`, `'\n'`, `'\x41'`.
    fn character_end(&self) -> Option<usize> {
        let inner = self.pos + 1;
        let escaped = usize::from(self.byte(inner) == b'\\');
        let rest = self.text.get(inner + escaped..)?;
        let first = rest.chars().next().filter(|c| *c != '\n' && (*c != '\'' || escaped == 1))?;
        let close = first.len_utf8() + rest[first.len_utf8()..].find('\'')?;
        let digits = &rest[first.len_utf8()..close];
        let whole = digits.is_empty() || escaped == 1 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        whole.then_some(inner + escaped + close + 1)
    }

    fn dollar(&mut self) -> Token {
        let start = self.pos;
        let next = self.byte(start + 1);
        let end = if next == b'#' {
            start + 2
        } else if next.is_ascii_digit() {
            self.bytes[start + 1..].iter().position(|b| !b.is_ascii_digit()).map_or(self.bytes.len(), |n| start + 1 + n)
        } else {
            self.word_end(start + 1)
        };
        if end == start + 1 {
            self.diags.push(
                Diagnostic::error("bare-dollar", self.span(start, end), "`$` needs a name after it")
                    .note("`$name` is a variable, `$1` the script's first argument, `$#` their number"),
            );
            return self.push(Kind::Bad, start, end);
        }
        self.push(Kind::Sigil, start, end)
    }

    fn string(&mut self) -> Token {
        let start = self.pos;
        let mut at = start + 1;
        while at < self.bytes.len() {
            match self.bytes[at] {
                b'"' => return self.push(Kind::Str, start, at + 1),
                b'\\' if at + 1 < self.bytes.len() => at += 2,
                b'\n' => break,
                _ => at += 1,
            }
        }
        let mut end = at.min(self.bytes.len());
        while !self.text.is_char_boundary(end) {
            end += 1;
        }
        self.swallowed = true;
        self.diags.push(
            Diagnostic::error("unterminated-string", self.span(start, end), "unterminated string")
                .label("no closing `\"` on this line")
                .note("a string ends on its line; write a line break as \\n"),
        );
        self.push(Kind::Bad, start, end)
    }

    /// Text in quotes of another kind, as far as they close on the line.
    fn wrong_quote(&mut self, found: char) -> Token {
        let start = self.pos;
        let inner = &self.text[start + found.len_utf8()..];
        let line = inner.split('\n').next().unwrap_or("");
        let close = line.find(['\'', '`', '“', '”', '‘', '’']).filter(|at| !line[..*at].contains('"'));
        let text = close.map_or("", |at| &line[..at]);
        let closer = close.and_then(|at| line[at..].chars().next()).map_or(0, char::len_utf8);
        let end = start + found.len_utf8() + text.len() + closer;
        let message = format!("strings are written in double quotes, not in {found}");
        let written = if text.is_empty() { "text" } else { text };
        self.diags
            .push(Diagnostic::error("wrong-quote", self.span(start, end), message).write(format!("\"{written}\"")));
        self.push(Kind::Bad, start, end)
    }

    /// A character that begins no token.
    fn bad(&mut self) -> Token {
        let start = self.pos;
        let found = self.text[start..].chars().next().unwrap_or('?');
        if matches!(found, '\'' | '`' | '“' | '”' | '„' | '‘' | '’') {
            return self.wrong_quote(found);
        }
        let end = start + found.len_utf8();
        let span = self.span(start, end);
        let diag = match found {
            '#' => Diagnostic::error("stray-character", span, "`#` begins no comment here")
                .note("comments begin with `//`; `#include`, `#define` and `#if` stand at the start of a line"),
            '\u{a0}' | '\u{200b}' | '\u{feff}' | '\u{2028}' | '\u{3000}' => Diagnostic::error(
                "stray-character",
                span,
                format!("an invisible character (U+{:04X}) that isn't a space", found as u32),
            )
            .note("it often comes with text copied from a web page: delete it and type a space"),
            '–' | '—' | '−' => {
                Diagnostic::error("stray-character", span, format!("`{found}` is a dash, not a minus")).write("-")
            }
            '\\' => Diagnostic::error("stray-character", span, "`\\` has no meaning outside a string"),
            c if c.is_alphabetic() => {
                Diagnostic::error("stray-character", span, format!("`{c}` can't be part of a name"))
                    .note("names are made of a-z, A-Z, 0-9 and _")
            }
            c if c.is_control() => {
                Diagnostic::error("stray-character", span, format!("a control character (U+{:04X})", c as u32))
            }
            c => Diagnostic::error("stray-character", span, format!("`{c}` has no meaning here")),
        };
        // One finding for a run of them.
        let again = self.tokens.last().is_some_and(|t| t.kind == Kind::Bad && t.end == start);
        if !again {
            self.diags.push(diag);
        }
        self.push(Kind::Bad, start, end)
    }
}

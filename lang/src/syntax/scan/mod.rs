//! Cuts a text into top-level items before the grammar sees it.
//!
//! One pass over the bytes that knows quotes, comments, brackets and the words that begin items, so that a broken item
//! is told apart from its neighbours, brackets that don't match are told by both their places, and nesting is bounded
//! before pest (which recurses) runs. The tokens are kept for `explain.rs`.

mod brackets;
mod items;
mod lexer;
mod probe;

use crate::diag::Diagnostic;
use crate::span::{FileId, Span};

pub(super) use lexer::{Kind, Token};

/// How deep brackets (and unbracketed `?:` and `if` chains) may nest. pest recurses about fifteen calls per level.
pub(super) const MAX_NESTING: usize = 80;

/// Words that begin an alert's clauses.
pub(super) const ALERT_CLAUSES: &[&str] = &["on", "when", "for", "to", "group", "every", "message", "labels"];

/// What the first words of an item say it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ItemKind {
    Probe,
    Config,
    Import,
    Param,
    MapDecl,
    Macro,
    Fn,
    Join,
    Alert,
    CType,
    Typedef,
    /// Already told by a diagnostic; not parsed.
    Junk,
}

/// One top-level item: `text[start..end]`.
#[derive(Clone, Debug)]
pub(super) struct RawItem {
    pub(super) kind: ItemKind,
    pub(super) start: usize,
    pub(super) end: usize,
    /// Not to be parsed as a whole: brackets or quotes don't match, or it nests too deeply.
    pub(super) broken: bool,
    /// Too deep for the parser even in parts.
    pub(super) too_deep: bool,
}

/// What the scan found.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) items: Vec<RawItem>,
    pub(super) tokens: Vec<Token>,
    /// Comments as byte ranges, in order.
    pub(super) comments: Vec<(usize, usize)>,
    pub(super) diags: Vec<Diagnostic>,
}

/// A text (preprocessed, so with directives blanked) and what is known of its tokens.
pub(super) struct Source<'a> {
    pub(super) text: &'a str,
    pub(super) file: FileId,
    pub(super) tokens: Vec<Token>,
    pub(super) comments: Vec<(usize, usize)>,
}

impl Source<'_> {
    pub(super) fn span(&self, start: usize, end: usize) -> Span {
        Span::new(self.file, start, end.max(start))
    }

    /// `end` without the white space and comments before it; pest's rules swallow those.
    pub(super) fn trim_end(&self, start: usize, mut end: usize) -> usize {
        let bytes = self.text.as_bytes();
        loop {
            while end > start && bytes[end - 1].is_ascii_whitespace() {
                end -= 1;
            }
            match self.comments.binary_search_by_key(&end, |c| c.1) {
                Ok(at) if self.comments[at].0 > start => end = self.comments[at].0,
                _ => return end,
            }
        }
    }

    /// Index of the first token that ends after `at`.
    pub(super) fn token_at(&self, at: usize) -> usize {
        self.tokens.partition_point(|t| t.end <= at)
    }

    pub(super) fn word(&self, token: Token) -> &str {
        self.text.get(token.start..token.end).unwrap_or("")
    }
}

/// Scans a whole script.
pub(super) fn scan(text: &str, file: FileId) -> Scan {
    let mut scanner = items::Scanner::new(text, file);
    scanner.script();
    scanner.finish()
}

/// Scans a text that is one expression.
pub(super) fn scan_expr(text: &str, file: FileId) -> Scan {
    let mut scanner = items::Scanner::new(text, file);
    scanner.expression();
    scanner.finish()
}

//! Top-level items.

use super::brackets::Brackets;
use super::lexer::{Kind, Lexer, Token, is_word_start};
use super::{ALERT_CLAUSES, ItemKind, RawItem, Scan};
use crate::diag::Diagnostic;
use crate::span::FileId;

/// Providers and item words that, at the start of a line and followed by `:` or `{`, begin a new item for sure: an
/// unclosed block is cut there.
const ITEM_WORDS: &[&str] = &[
    "begin",
    "end",
    "BEGIN",
    "END",
    "kprobe",
    "kretprobe",
    "k",
    "kr",
    "fentry",
    "fexit",
    "f",
    "fr",
    "kfunc",
    "kretfunc",
    "tracepoint",
    "t",
    "rawtracepoint",
    "rt",
    "uprobe",
    "uretprobe",
    "u",
    "ur",
    "usdt",
    "U",
    "interval",
    "i",
    "profile",
    "p",
    "software",
    "s",
    "hardware",
    "h",
    "watchpoint",
    "w",
    "iter",
    "it",
    "self",
    "test",
    "bench",
    "pcap",
    "http",
    "tcp",
    "span",
    "log",
    "join",
];

/// C words that begin something this language doesn't have, with what to say.
const C_WORDS: &[(&str, &str)] = &[
    ("static", "C functions and variables aren't part of the language: use `macro`, `fn` or `let`"),
    ("extern", "C declarations aren't part of the language"),
    ("inline", "C functions aren't part of the language: use `macro` or `fn`"),
    ("function", "functions are written with `fn` or `macro`"),
    ("def", "functions are written with `fn` or `macro`"),
];

pub(super) struct Scanner<'a> {
    pub(super) lexer: Lexer<'a>,
    items: Vec<RawItem>,
    pub(super) brackets: Brackets,
    /// Where an unclosed block may be cut.
    cut: Option<Cut>,
}

/// The state of the scan at a place where, were the block unclosed, the next item would begin.
struct Cut {
    pos: usize,
    tokens: usize,
    comments: usize,
    diags: usize,
    stack: Vec<(u8, usize)>,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str, file: FileId) -> Self {
        Self { lexer: Lexer::new(text, file), items: Vec::new(), brackets: Brackets::default(), cut: None }
    }

    pub(super) fn finish(self) -> Scan {
        let Lexer { tokens, comments, diags, .. } = self.lexer;
        Scan { items: self.items, tokens, comments, diags }
    }

    pub(super) fn expression(&mut self) {
        self.lexer.skip_layout();
        let start = self.lexer.pos;
        while let Some(token) = self.lexer.next() {
            self.brackets.feed(&mut self.lexer, token);
        }
        let end = self.lexer.pos;
        self.brackets.unclosed(&mut self.lexer, end, "before the end");
        self.finish_item(ItemKind::Param, start, 0);
    }

    pub(super) fn script(&mut self) {
        loop {
            self.lexer.skip_layout();
            if self.lexer.at_end() {
                return;
            }
            if self.lexer.byte(self.lexer.pos) == b';' {
                // `};` as after a C function: harmless.
                self.lexer.pos += 1;
                continue;
            }
            let start = self.lexer.pos;
            let diags = self.lexer.diags.len();
            self.brackets = Brackets::default();
            self.cut = None;
            self.lexer.swallowed = false;
            let kind = self.item(start);
            self.lexer.in_c = false;
            if self.lexer.pos == start {
                // Nothing was taken: a stray closing bracket or the like.
                if let Some(token) = self.lexer.next() {
                    self.brackets.feed(&mut self.lexer, token);
                    self.stray_token(token, diags);
                }
                self.finish_item(ItemKind::Junk, start, diags);
                continue;
            }
            self.finish_item(kind, start, diags);
        }
    }

    fn stray_token(&mut self, token: Token, diags: usize) {
        if self.lexer.diags.len() == diags {
            let word = &self.lexer.text[token.start..token.end];
            let span = self.lexer.span(token.start, token.end);
            self.lexer.diags.push(
                Diagnostic::error("stray-character", span, format!("`{word}` begins no probe"))
                    .note("a probe is `provider:target /condition/ { … }`"),
            );
        }
    }

    fn finish_item(&mut self, kind: ItemKind, start: usize, diags: usize) {
        let broken = self.brackets.wrong || self.lexer.swallowed || self.lexer.diags.len() > diags;
        let end = self.lexer.pos;
        self.items.push(RawItem { kind, start, end, broken, too_deep: self.brackets.too_deep });
    }

    /// Takes one item from `start` on and says what it is.
    fn item(&mut self, start: usize) -> ItemKind {
        let word = self.lexer.word_at(start);
        let after = self.lexer.after_layout(start + word.len());
        let gap = after > start + word.len();
        let next = self.lexer.byte(after);
        let named = gap && is_word_start(next);
        match word {
            "struct" | "union" | "enum" if self.is_c_definition(after) => {
                self.lexer.in_c = true;
                self.braced(false);
                self.c_tail();
                ItemKind::CType
            }
            "typedef" if named => {
                self.lexer.in_c = true;
                self.c_declaration();
                ItemKind::Typedef
            }
            "config" if next == b'=' || (gap && next == b'{') => {
                self.braced(true);
                ItemKind::Config
            }
            "import" if next == b'"' || (gap && (is_word_start(next) || next.is_ascii_digit() || next == b'<')) => {
                self.until_semicolon(2);
                ItemKind::Import
            }
            "param" if named || (gap && next == b'$') => {
                self.until_semicolon(3);
                ItemKind::Param
            }
            "let" if gap || next == b'@' => {
                self.until_semicolon(2);
                ItemKind::MapDecl
            }
            "macro" if named => {
                self.braced(false);
                ItemKind::Macro
            }
            "fn" if named => {
                self.braced(false);
                ItemKind::Fn
            }
            // Without a name it is told by its form.
            "join" if named || next == b'{' => {
                self.braced(false);
                ItemKind::Join
            }
            // `alert:…` is a probe.
            "alert" if next == b'"' || named => {
                self.alert();
                ItemKind::Alert
            }
            _ => {
                if let Some((_, text)) = C_WORDS.iter().find(|(w, _)| *w == word && (named || next == b'*')) {
                    return self.c_junk(start, word, text);
                }
                self.probe();
                ItemKind::Probe
            }
        }
    }

    /// After `struct`: words and `(…)` groups up to a `{`, as bpftrace looks ahead.
    fn is_c_definition(&self, mut at: usize) -> bool {
        loop {
            let byte = self.lexer.byte(at);
            if byte == b'{' {
                return true;
            }
            if is_word_start(byte) {
                at = self.lexer.after_layout(self.lexer.word_end(at));
                continue;
            }
            if byte != b'(' {
                return false;
            }
            let mut depth = 0usize;
            loop {
                match self.lexer.byte(at) {
                    b'(' => depth += 1,
                    b')' => depth -= 1,
                    0 => return false,
                    _ => {}
                }
                at += 1;
                if depth == 0 {
                    break;
                }
            }
            at = self.lexer.after_layout(at);
        }
    }

    /// `__attribute__((…))` and `;` after a definition.
    fn c_tail(&mut self) {
        loop {
            let at = self.lexer.after_layout(self.lexer.pos);
            if self.lexer.word_at(at) == "__attribute__" {
                self.take();
                let open = self.lexer.after_layout(self.lexer.pos);
                if self.lexer.byte(open) == b'(' {
                    self.balanced();
                }
                continue;
            }
            if self.lexer.byte(at) == b';' {
                self.take();
            }
            return;
        }
    }

    /// Tokens up to a `;` outside of brackets.
    fn c_declaration(&mut self) {
        while let Some(token) = self.take() {
            if self.brackets.stack.is_empty() && self.lexer.byte(token.start) == b';' {
                return;
            }
        }
        let end = self.lexer.pos;
        self.brackets.unclosed(&mut self.lexer, end, "before the end of the text");
    }

    fn c_junk(&mut self, start: usize, word: &str, text: &str) -> ItemKind {
        let span = self.lexer.span(start, start + word.len());
        self.lexer.diags.push(Diagnostic::error("not-c", span, text).label("not part of the language"));
        let mut seen_brace = false;
        while let Some(token) = self.take() {
            let byte = self.lexer.byte(token.start);
            seen_brace |= byte == b'{';
            let done = matches!(byte, b';' | b'}');
            if self.brackets.stack.is_empty() && done {
                break;
            }
        }
        if seen_brace {
            let at = self.lexer.after_layout(self.lexer.pos);
            if self.lexer.byte(at) == b';' {
                self.take();
            }
        }
        ItemKind::Junk
    }

    /// Takes one token and feeds the brackets.
    pub(super) fn take(&mut self) -> Option<Token> {
        let token = self.lexer.next()?;
        self.brackets.feed(&mut self.lexer, token);
        Some(token)
    }

    pub(super) fn peek(&self) -> u8 {
        self.lexer.byte(self.lexer.after_layout(self.lexer.pos))
    }

    /// `… { … }`, with a `;` after it where that is usual.
    fn braced(&mut self, semicolon: bool) {
        loop {
            match self.peek() {
                b'{' if self.brackets.stack.is_empty() => break,
                0 => {
                    self.lexer.skip_layout();
                    return;
                }
                b';' | b'}' if self.brackets.stack.is_empty() => {
                    self.take();
                    return;
                }
                _ => {
                    self.take();
                }
            }
        }
        self.balanced();
        if semicolon && self.peek() == b';' {
            self.take();
        }
    }

    /// Tokens up to `;`, or up to a word at the start of a line once `least` tokens are taken.
    fn until_semicolon(&mut self, least: usize) {
        let mut taken = 0;
        loop {
            let at = self.lexer.after_layout(self.lexer.pos);
            let byte = self.lexer.byte(at);
            let open = !self.brackets.stack.is_empty();
            let line_start = at == 0 || self.lexer.byte(at - 1) == b'\n';
            if byte == 0 || (!open && byte == b'}') || (!open && taken >= least && line_start && is_word_start(byte)) {
                break;
            }
            let Some(token) = self.take() else { break };
            taken += 1;
            let last = self.lexer.byte(token.start);
            if self.brackets.stack.is_empty() {
                // bpftrace doesn't ask for the `;` after a map's declaration, nor does `import "x" BEGIN` go far.
                let complete = (last == b')' || token.kind == Kind::Str) && self.peek() != b';' && taken >= least;
                if last == b';' || (complete && is_word_start(self.peek())) {
                    break;
                }
            }
        }
        let end = self.lexer.pos;
        self.brackets.unclosed(&mut self.lexer, end, "before the next item");
    }

    /// Tokens up to `;`, or up to a word at the start of a line that begins none of an alert's clauses.
    fn alert(&mut self) {
        self.take();
        loop {
            let at = self.lexer.after_layout(self.lexer.pos);
            let byte = self.lexer.byte(at);
            let open = !self.brackets.stack.is_empty();
            let line_start = self.lexer.byte(at - 1) == b'\n';
            let next_item = line_start && is_word_start(byte) && !ALERT_CLAUSES.contains(&self.lexer.word_at(at));
            if byte == 0 || (!open && (byte == b'}' || next_item)) {
                break;
            }
            let Some(token) = self.take() else { break };
            if self.brackets.stack.is_empty() && self.lexer.byte(token.start) == b';' {
                break;
            }
        }
        let end = self.lexer.pos;
        self.brackets.unclosed(&mut self.lexer, end, "before the next item");
    }

    /// From an opening bracket to the one that closes it.
    pub(super) fn balanced(&mut self) {
        self.take();
        while !self.brackets.stack.is_empty() {
            self.lexer.skip_layout();
            self.note_cut();
            if self.take().is_none() {
                self.cut_or_end();
                return;
            }
        }
    }

    /// Remembers the first place where, were the block unclosed, the next item would begin.
    fn note_cut(&mut self) {
        let at = self.lexer.pos;
        if self.cut.is_some() || !(at == 0 || self.lexer.byte(at - 1) == b'\n') {
            return;
        }
        let word = self.lexer.word_at(at);
        let end = at + word.len();
        let after = self.lexer.after_layout(end);
        let begins = match self.lexer.byte(end) {
            b':' => ITEM_WORDS.contains(&word),
            b' ' | b'\t' | b'\n' | b'\r' | b'{' => {
                (matches!(word, "begin" | "end" | "BEGIN" | "END") && self.lexer.byte(after) == b'{')
                    || (matches!(word, "macro" | "fn" | "join" | "param") && is_word_start(self.lexer.byte(after)))
            }
            _ => false,
        };
        if begins {
            self.cut = Some(Cut {
                pos: at,
                tokens: self.lexer.tokens.len(),
                comments: self.lexer.comments.len(),
                diags: self.lexer.diags.len(),
                stack: self.brackets.stack.clone(),
            });
        }
    }

    fn cut_or_end(&mut self) {
        let (at, label) = match self.cut.take() {
            Some(cut) => {
                self.lexer.pos = cut.pos;
                self.lexer.tokens.truncate(cut.tokens);
                self.lexer.comments.truncate(cut.comments);
                self.lexer.diags.truncate(cut.diags);
                self.brackets.stack = cut.stack;
                (cut.pos, "before the next probe")
            }
            None => (self.lexer.pos, "before the end of the text"),
        };
        self.brackets.unclosed(&mut self.lexer, at, label);
        self.brackets.wrong = true;
    }
}

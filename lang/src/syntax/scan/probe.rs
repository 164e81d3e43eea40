//! Probes: attach points and predicates are texts of their own kind, up to the body's `{`.

use super::items::Scanner;
use super::lexer::Kind;
use crate::diag::Diagnostic;

impl Scanner<'_> {
    /// `a, b /predicate/ { … }`, and `else` with more of the kind.
    pub(super) fn probe(&mut self) {
        loop {
            if !self.head() {
                return;
            }
            self.balanced();
            let at = self.lexer.after_layout(self.lexer.pos);
            if self.lexer.word_at(at) != "else" || self.lexer.byte(at + 4) == b':' {
                return;
            }
            self.take();
            if matches!(self.peek(), 0 | b'{' | b'}' | b';') {
                let span = self.lexer.span(at, at + 4);
                self.lexer.diags.push(
                    Diagnostic::error("else-without-probe", span, "expected a probe after `else`")
                        .write("fentry:vfs_read { … } else kprobe:vfs_read { … }")
                        .note("the second is attached where the first can't be"),
                );
            }
        }
    }

    /// Attach points and predicate; true before a `{`.
    fn head(&mut self) -> bool {
        let start = self.lexer.after_layout(self.lexer.pos);
        loop {
            self.lexer.skip_layout();
            match self.lexer.byte(self.lexer.pos) {
                b'{' => return true,
                b',' => {
                    self.take();
                }
                b'/' => {
                    self.take();
                    return self.predicate();
                }
                0 | b';' | b'}' => {
                    let end = self.lexer.pos;
                    self.no_body(start, end);
                    if self.lexer.byte(end) == b';' {
                        self.take();
                    }
                    return false;
                }
                // Told as a stray character.
                b'#' => {
                    self.take();
                }
                _ => self.attach_point(),
            }
        }
    }

    fn no_body(&mut self, start: usize, end: usize) {
        if end == start || self.lexer.swallowed {
            return;
        }
        let words = self.lexer.text[start..end].trim_end();
        let shown = words.lines().next().unwrap_or(words);
        let span = self.lexer.span(start, start + shown.len());
        let name = self.lexer.word_end(start);
        if shown.starts_with(['$', '@']) || (name > start && self.lexer.byte(name) == b'(') {
            let diag = Diagnostic::error("top-level-statement", span, "statements stand inside a probe's body");
            self.lexer.diags.push(diag.write(format!("BEGIN {{ {}; }}", shown.trim_end())));
            return;
        }
        self.lexer.diags.push(
            Diagnostic::error("no-body", span, "this probe has no body")
                .label("`{ … }` is expected after it")
                .write(format!("{} {{ }}", shown.trim_end().trim_end_matches(['{', ',', '/']).trim_end())),
        );
    }

    /// One attach point: up to white space, `{`, `,`, `;` or `}`; `/` ends it only before the first `:`.
    fn attach_point(&mut self) {
        let start = self.lexer.pos;
        let mut at = start;
        let mut colon = false;
        while at < self.lexer.bytes.len() {
            match self.lexer.byte(at) {
                b' ' | b'\t' | b'\r' | b'\n' | b'{' | b'}' | b',' | b';' => break,
                b'/' if !colon => break,
                b'"' => {
                    let quote = at;
                    at += 1;
                    while at < self.lexer.bytes.len() && self.lexer.byte(at) != b'"' {
                        at += if self.lexer.byte(at) == b'\\' { 2 } else { 1 };
                    }
                    if at >= self.lexer.bytes.len() {
                        let line = self.lexer.bytes[quote..].iter().position(|b| *b == b'\n');
                        at = line.map_or(self.lexer.bytes.len(), |n| quote + n);
                        let span = self.lexer.span(quote, at);
                        self.lexer.swallowed = true;
                        self.lexer.diags.push(
                            Diagnostic::error("unterminated-string", span, "unterminated string")
                                .label("no closing `\"`"),
                        );
                        break;
                    }
                }
                b':' => colon = true,
                _ => {}
            }
            at += 1;
        }
        let mut end = at.min(self.lexer.bytes.len()).max(start + 1);
        while !self.lexer.text.is_char_boundary(end) {
            end += 1;
        }
        self.lexer.push(Kind::Attach, start, end);
    }

    /// After the `/`: up to the body's `{`.
    fn predicate(&mut self) -> bool {
        let start = self.lexer.pos - 1;
        loop {
            let byte = self.peek();
            let closed = byte == b'{' && self.brackets.stack.is_empty();
            if closed {
                return true;
            }
            if byte == 0 || ((byte == b'}' || byte == b';') && self.brackets.stack.is_empty()) {
                self.lexer.skip_layout();
                let at = self.lexer.pos;
                if self.brackets.stack.is_empty() {
                    self.no_body(start, at);
                } else {
                    self.brackets.unclosed(&mut self.lexer, at, "before the end");
                }
                if byte == b';' {
                    self.take();
                }
                return false;
            }
            if byte == b'{' && self.brackets.stack.iter().all(|(b, _)| *b != b'{') {
                // A `{` inside a parenthesis of a predicate: more likely the `)` is missing.
                let at = self.lexer.after_layout(self.lexer.pos);
                self.brackets.unclosed(&mut self.lexer, at, "before the body");
                continue;
            }
            self.take();
        }
    }
}

//! The little of C's preprocessor that bpftrace scripts use: `#include`, object-like `#define`, conditionals.
//!
//! It runs before everything else and leaves a text of the same length: directives and what a conditional leaves out
//! are blanked, so that byte offsets stay true.

mod condition;

use crate::ast::{Define, Ident, Include, Item};
use crate::diag::Diagnostic;
use crate::span::{FileId, Span};
use std::borrow::Cow;
use std::collections::HashMap;

/// The text without directives, and the items they make.
pub(super) struct Preprocessed<'a> {
    pub(super) text: Cow<'a, str>,
    pub(super) shebang: Option<String>,
    pub(super) items: Vec<Item>,
    pub(super) diags: Vec<Diagnostic>,
}

/// One `#if` that is open.
struct Level {
    span: Span,
    /// The enclosing text is kept.
    outer: bool,
    /// The current branch is kept.
    active: bool,
    /// A branch was kept already.
    taken: bool,
    seen_else: bool,
}

struct Preprocessor<'a> {
    file: FileId,
    out: Option<Vec<u8>>,
    text: &'a str,
    levels: Vec<Level>,
    defines: &'a mut Defines,
    items: Vec<Item>,
    diags: Vec<Diagnostic>,
}

/// Names that are `#define`d: (parameters, replacement).
#[derive(Clone, Debug)]
pub struct Defines(HashMap<String, String>);

impl Default for Defines {
    /// What C compilers for this machine define, and bpftrace where the kernel has BTF: we need BTF always.
    fn default() -> Self {
        let names = ["BPFTRACE_HAVE_BTF", "__linux__", "__KERNEL__", weftrace_arch::HOST.define];
        Self(names.iter().map(|n| ((*n).to_owned(), "1".to_owned())).collect())
    }
}

impl Defines {
    pub fn set(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), value.to_owned());
    }
}

pub(super) fn preprocess<'a>(text: &'a str, file: FileId, defines: &'a mut Defines) -> Preprocessed<'a> {
    let mut shebang = None;
    let mut p =
        Preprocessor { file, out: None, text, levels: Vec::new(), defines, items: Vec::new(), diags: Vec::new() };
    let mut at = 0;
    if text.starts_with("#!") {
        let end = text.find('\n').unwrap_or(text.len());
        shebang = Some(text[..end].trim_end().to_owned());
        p.blank(0, end);
        at = end;
    }
    if text[at..].contains('#') {
        p.lines(at);
    }
    let text = match p.out {
        // Blanking replaces whole lines or pieces between ASCII characters by spaces.
        Some(bytes) => String::from_utf8(bytes).map_or_else(|_| Cow::Borrowed(text), Cow::Owned),
        None => Cow::Borrowed(text),
    };
    Preprocessed { text, shebang, items: p.items, diags: p.diags }
}

impl Preprocessor<'_> {
    fn blank(&mut self, start: usize, end: usize) {
        let out = self.out.get_or_insert_with(|| self.text.as_bytes().to_vec());
        for byte in &mut out[start..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
    }

    fn span(&self, start: usize, end: usize) -> Span {
        Span::new(self.file, start, end.max(start))
    }

    fn active(&self) -> bool {
        self.levels.last().is_none_or(|l| l.active)
    }

    fn lines(&mut self, mut at: usize) {
        let mut in_comment = false;
        while at < self.text.len() {
            let mut end = self.text[at..].find('\n').map_or(self.text.len(), |n| at + n);
            let line = &self.text[at..end];
            let body = line.trim_start();
            if !in_comment && body.starts_with('#') && !body.starts_with("#!") {
                // A backslash at the end joins the next line.
                while self.text[at..end].trim_end_matches('\r').ends_with('\\') && end < self.text.len() {
                    end = self.text[end + 1..].find('\n').map_or(self.text.len(), |n| end + 1 + n);
                }
                let start = at + (line.len() - body.len());
                self.directive(start, end);
                self.blank(start, end);
            } else if self.active() {
                in_comment = comment_goes_on(line, in_comment);
            } else {
                self.blank(at, end);
            }
            at = end + 1;
        }
        for level in std::mem::take(&mut self.levels) {
            self.diags.push(
                Diagnostic::error("unclosed-conditional", level.span, "missing `#endif`")
                    .label("this conditional never ends"),
            );
        }
    }

    fn directive(&mut self, start: usize, end: usize) {
        let line = &self.text[start..end];
        let name_at = 1 + (line[1..].len() - line[1..].trim_start().len());
        let name_len = line[name_at..].bytes().take_while(u8::is_ascii_alphabetic).count();
        let name = &line[name_at..name_at + name_len];
        let rest_at = start + name_at + name_len;
        let span = self.span(start, start + name_at + name_len);
        match name {
            "if" | "ifdef" | "ifndef" => {
                let outer = self.active();
                let active = outer && self.condition(name, rest_at, end);
                self.levels.push(Level { span, outer, active, taken: active, seen_else: false });
            }
            "elif" | "else" | "endif" => self.branch(name, rest_at, end, span),
            _ if !self.active() => {}
            "include" => self.include(start, rest_at, end),
            "define" => self.define(start, rest_at, end),
            "pragma" | "line" | "" => {}
            "undef" => {
                let name = self.text[rest_at..end].trim().to_owned();
                self.defines.0.remove(&name);
            }
            "error" | "warning" => {
                let text = self.text[rest_at..end].trim().to_owned();
                let diag = if name == "error" { Diagnostic::error } else { Diagnostic::warning };
                self.diags.push(diag("directive", self.span(start, end), text));
            }
            _ => {
                let known = ["include", "define", "undef", "if", "ifdef", "ifndef", "elif", "else", "endif"];
                let mut diag = Diagnostic::error("unknown-directive", span, format!("`#{name}` is no directive"))
                    .note("comments begin with `//`");
                for near in crate::suggest::nearest(name, known.iter().copied(), 1) {
                    diag = diag.near(format!("#{near}"));
                }
                self.diags.push(diag);
            }
        }
    }

    fn condition(&mut self, name: &str, start: usize, end: usize) -> bool {
        let text = strip_comments(&self.text[start..end]);
        let word = text.trim();
        if name != "if" && name != "elif" {
            if word.is_empty() || word.contains(char::is_whitespace) {
                let span = self.span(start, end);
                self.diags.push(Diagnostic::error("bad-condition", span, format!("`#{name}` needs one name")));
            }
            return self.defines.0.contains_key(word) == (name == "ifdef");
        }
        match condition::evaluate(&text, &self.defines.0) {
            Ok(value) => value != 0,
            Err(message) => {
                let lead = self.text[start..end].len() - self.text[start..end].trim_start().len();
                let span = self.span(start + lead, end);
                self.diags.push(Diagnostic::error("bad-condition", span, message));
                false
            }
        }
    }

    fn branch(&mut self, name: &str, start: usize, end: usize, span: Span) {
        let Some((outer, taken, seen_else)) = self.levels.last().map(|l| (l.outer, l.taken, l.seen_else)) else {
            self.diags.push(Diagnostic::error("stray-conditional", span, format!("`#{name}` without `#if`")));
            return;
        };
        if name == "endif" {
            self.levels.pop();
            return;
        }
        if seen_else {
            self.diags.push(Diagnostic::error("stray-conditional", span, format!("`#{name}` after `#else`")));
        }
        let active = outer && !taken && (name == "else" || self.condition(name, start, end));
        if let Some(level) = self.levels.last_mut() {
            level.active = active;
            level.taken |= active;
            level.seen_else |= name == "else";
        }
    }

    fn include(&mut self, start: usize, rest_at: usize, end: usize) {
        let rest = strip_comments(&self.text[rest_at..end]);
        let rest = rest.trim();
        let quoted = |open: char, close: char| rest.strip_prefix(open).and_then(|r| r.strip_suffix(close));
        let span = self.span(start, rest_at + self.text[rest_at..end].trim_end().len());
        let found = quoted('<', '>').map(|p| (p, true)).or_else(|| quoted('"', '"').map(|p| (p, false)));
        match found.filter(|(path, _)| !path.is_empty() && !path.contains(['"', '<', '>'])) {
            Some((path, system)) => self.items.push(Item::Include(Include { path: path.to_owned(), system, span })),
            None => self.diags.push(
                Diagnostic::error("bad-include", span, "`#include` needs a file's name in <> or \"\"")
                    .write("#include <linux/sched.h>"),
            ),
        }
    }

    fn define(&mut self, start: usize, rest_at: usize, end: usize) {
        let rest = &self.text[rest_at..end];
        let lead = rest.len() - rest.trim_start().len();
        let name_at = rest_at + lead;
        let len = self.text[name_at..end].bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
        let name = &self.text[name_at..name_at + len];
        let span = self.span(start, rest_at + rest.trim_end().len());
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            self.diags.push(Diagnostic::error("bad-define", span, "`#define` needs a name").write("#define LIMIT 100"));
            return;
        }
        let after = &self.text[name_at + len..end];
        let (params, after) = match after.strip_prefix('(').and_then(|a| a.split_once(')')) {
            Some((names, body)) => {
                let names: Vec<String> =
                    names.split(',').map(|n| n.trim().to_owned()).filter(|n| !n.is_empty()).collect();
                (Some(names), body)
            }
            None => (None, after),
        };
        let value = strip_comments(after).split_whitespace().collect::<Vec<_>>().join(" ");
        self.defines.0.insert(name.to_owned(), value.clone());
        let name = Ident { text: name.to_owned(), span: self.span(name_at, name_at + len) };
        self.items.push(Item::Define(Define { name, params, value, span }));
    }
}

/// Whether a `/* … */` is open at the end of `line`.
fn comment_goes_on(line: &str, mut open: bool) -> bool {
    let bytes = line.as_bytes();
    let mut at = 0;
    let mut in_string = false;
    // A path such as `uprobe:/lib/*:f` opens no comment.
    let mut word_has_colon = false;
    while at < bytes.len() {
        let next = bytes.get(at + 1).copied();
        match bytes[at] {
            b'*' if open && next == Some(b'/') => {
                open = false;
                at += 1;
            }
            _ if open => {}
            b'\\' if in_string => at += 1,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b':' => word_has_colon = true,
            b' ' | b'\t' | b'{' | b'}' | b',' | b';' => word_has_colon = false,
            b'/' if word_has_colon => {}
            b'/' if next == Some(b'/') => return false,
            b'/' if next == Some(b'*') => {
                open = true;
                at += 1;
            }
            _ => {}
        }
        at += 1;
    }
    open
}

/// Without comments and joined lines' backslashes.
fn strip_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut in_string = false;
    while let Some(c) = rest.chars().next() {
        if !in_string && rest.starts_with("//") {
            rest = rest.find('\n').map_or("", |n| &rest[n..]);
            continue;
        }
        if !in_string && rest.starts_with("/*") {
            out.push(' ');
            rest = rest.find("*/").map_or("", |n| &rest[n + 2..]);
            continue;
        }
        if rest.starts_with("\\\n") || rest.starts_with("\\\r\n") {
            out.push(' ');
            rest = &rest[if rest.starts_with("\\\n") { 2 } else { 3 }..];
            continue;
        }
        let escaped = in_string && c == '\\';
        if c == '"' {
            in_string = !in_string;
        }
        out.push(c);
        rest = &rest[c.len_utf8()..];
        if let Some(next) = rest.chars().next().filter(|_| escaped) {
            out.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    out
}

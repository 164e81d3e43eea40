//! C headers: their `struct`, `union`, `enum` and `typedef` definitions and `#define`s. Everything else of C (functions,
//! variables) is passed over.

use super::build::Builder;
use super::grammar::{Grammar, Rule};
use super::preprocess::{self, Defines};
use super::scan::Source;
use crate::ast::{Item, Script};
use crate::diag::Diagnostic;
use crate::span::FileId;
use pest::Parser as _;

/// Longest header that is read.
const MAX_TEXT: usize = 4 << 20;
/// A definition that nests deeper isn't read: pest recurses.
const MAX_NESTING: usize = 40;

/// What a header defines. A definition that can't be read is a finding; its other declarations are not looked at.
pub fn parse_header(text: &str, file: FileId, defines: &mut Defines) -> (Script, Vec<Diagnostic>) {
    if text.len() > MAX_TEXT {
        let diag = Diagnostic::error("too-long", crate::span::Span::new(file, 0, 0), "a header of more than 4 MiB");
        return (Script::default(), vec![diag]);
    }
    let pre = preprocess::preprocess(text, file, defines);
    let src = Source { text: &pre.text, file, tokens: Vec::new(), comments: Vec::new() };
    let mut builder = Builder::new(&src);
    let mut items = pre.items;
    let mut diags = pre.diags;
    for (start, end, depth) in declarations(&pre.text) {
        let declaration = &pre.text[start..end];
        let rule = match declaration.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next() {
            Some("typedef") => Rule::item_typedef,
            Some("struct" | "union" | "enum") if declaration.contains('{') => Rule::item_ctype,
            _ => continue,
        };
        // `struct s { … } variable;` defines the struct too.
        let until = declaration.rfind('}').map_or(end, |at| start + at + 1);
        let tries = [end, if rule == Rule::item_ctype { until } else { end }];
        builder.base = start;
        let read = depth <= MAX_NESTING
            && tries.into_iter().any(|end| match Grammar::parse(rule, &pre.text[start..end]) {
                Ok(mut pairs) => {
                    items.extend(pairs.next().and_then(|p| builder.item(p)));
                    true
                }
                Err(_) => false,
            });
        if !read {
            let first = declaration.lines().next().unwrap_or_default().trim_end();
            let span = src.span(start, start + first.len());
            diags.push(Diagnostic::error("header-definition", span, "this definition can't be read"));
        }
    }
    diags.append(&mut builder.diags);
    items.sort_by_key(|item: &Item| item.span().start);
    (Script { shebang: None, items }, diags)
}

/// Top-level declarations, each with the depth of its brackets: up to a `;`, or to the `}` of a function's body.
fn declarations(text: &str) -> Vec<(usize, usize, usize)> {
    let bytes = text.as_bytes();
    let (mut out, mut at, mut start) = (Vec::new(), 0, None);
    let (mut depth, mut deepest, mut called) = (0usize, 0, false);
    while at < bytes.len() {
        match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                at += text[at..].find('\n').unwrap_or(text.len() - at);
                continue;
            }
            b'/' if bytes.get(at + 1) == Some(&b'*') => {
                at += text[at + 2..].find("*/").map_or(text.len() - at, |n| n + 4);
                continue;
            }
            quote @ (b'"' | b'\'') => {
                at += 1;
                while at < bytes.len() && bytes[at] != quote {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
            }
            b'(' | b'[' | b'{' => {
                // `extern "C" {`: what is inside counts.
                if bytes[at] == b'{' && depth == 0 && start.is_some_and(|s| text[s..at].trim_end().ends_with('"')) {
                    (start, at) = (None, at + 1);
                    continue;
                }
                called |= depth == 0 && bytes[at] == b'(';
                depth += 1;
                deepest = deepest.max(depth);
            }
            b')' | b']' | b'}' => {
                depth = depth.saturating_sub(1);
                let body = depth == 0 && bytes[at] == b'}' && called && is_function(text, start);
                if body || start.is_none() {
                    (start, deepest, called) = (None, 0, false);
                    at += 1;
                    continue;
                }
            }
            b';' if depth == 0 => {
                if let Some(start) = start.take() {
                    out.push((start, at + 1, deepest));
                }
                (deepest, called) = (0, false);
            }
            byte if !byte.is_ascii_whitespace() && start.is_none() && byte.is_ascii() => start = Some(at),
            _ => {}
        }
        at += 1;
    }
    out
}

/// `int f(void) {`: a name directly before a bracket, but for `__attribute__((…))` of a type.
fn is_function(text: &str, start: Option<usize>) -> bool {
    let Some(rest) = start.and_then(|s| text.get(s..)) else { return true };
    let head = rest.split('{').next().unwrap_or_default().replace("__attribute__", "");
    let named =
        head.split_once('(').is_some_and(|(before, _)| before.ends_with(|c: char| c.is_alphanumeric() || c == '_'));
    named && !head.starts_with("typedef")
}

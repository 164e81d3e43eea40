//! `weftrace fmt`: the canonical text with the writer's comments, empty lines and spellings of literals.

use super::{Printer, same_group};
use crate::ast::{Expr, ExprKind, Item, Script};
use crate::diag::{Diagnostic, Severity};
use crate::span::{FileId, Span};
use crate::syntax::{parse, preprocess, scan};

/// The source text, and how far it was taken over.
#[derive(Debug)]
pub(super) struct Written {
    text: String,
    comments: Vec<(usize, usize)>,
    /// The first comment that is not printed yet.
    next: usize,
    /// Where in the text the last thing printed ends.
    at: usize,
}

/// A script's text laid out anew; what is wrong with it, if it doesn't parse.
pub fn format(text: &str, file: FileId) -> Result<String, Vec<Diagnostic>> {
    let (script, diags) = parse(text, file);
    if diags.iter().any(|d| d.severity == Severity::Error) {
        return Err(diags);
    }
    let mut defines = preprocess::Defines::default();
    let bare = preprocess::preprocess(text, file, &mut defines);
    let comments = scan::scan(&bare.text, file).comments;
    let head = head(text, &script).map_err(|span| {
        let d = Diagnostic::error(
            "not-formatted",
            Span { file, ..span },
            "a conditional among probes can't be laid out anew",
        );
        vec![d.note("conditionals that stand before the first probe are kept as they are")]
    })?;
    let next = comments.iter().filter(|c| c.0 < head).count();
    let kept = comments.len() - next;
    let mut p =
        Printer { source: Some(Written { text: text.to_owned(), comments, next, at: head }), ..Printer::default() };
    p.out.push_str(&text[..head]);
    p.script(&script, head);
    let (again, _) = parse(&p.out, file);
    let mut defines = preprocess::Defines::default();
    let bare = preprocess::preprocess(&p.out, file, &mut defines);
    let now = scan::scan(&bare.text, file).comments.iter().filter(|c| c.0 >= head).count();
    if again.without_spans() != script.without_spans() || now != kept {
        let d = Diagnostic::error(
            "not-formatted",
            Span::new(file, 0, 0),
            "this script can't be laid out anew without changing it",
        );
        return Err(vec![d]);
    }
    Ok(p.out)
}

/// Length of the text that is kept as it is: up to the last directive, if there are conditionals.
fn head(text: &str, script: &Script) -> Result<usize, Span> {
    let is = |line: &str, words: &[&str]| {
        line.trim_start().strip_prefix('#').is_some_and(|rest| words.iter().any(|w| rest.trim_start().starts_with(w)))
    };
    let (mut at, mut last, mut conditional) = (0, 0, false);
    for line in text.split_inclusive('\n') {
        let begin = at;
        at += line.len();
        conditional |= is(line, &["if", "undef", "error", "warning", "pragma"]);
        if is(line, &["if", "el", "endif", "undef", "define", "include", "error", "warning", "pragma"]) {
            last = at;
            let probe = script.items.iter().any(|i| matches!(i, Item::Probe(p) if (p.span.start as usize) < begin));
            if probe {
                return Err(Span::new(FileId::default(), begin, at));
            }
        }
    }
    Ok(if conditional { last } else { 0 })
}

impl Printer {
    fn script(&mut self, script: &Script, head: usize) {
        if let Some(shebang) = script.shebang.as_ref().filter(|_| head == 0) {
            self.text(shebang);
            self.newline();
            self.enter(shebang.len() as u32);
        }
        let mut last: Option<&Item> = None;
        for item in script.items.iter().filter(|i| i.span().start as usize >= head) {
            let apart = last.is_some_and(|last| !same_group(last, item));
            if apart || (last.is_none() && !self.out.is_empty()) {
                self.empty_line();
            }
            self.lead(item.span());
            self.item(item);
            self.trail(item.span());
            self.newline();
            last = Some(item);
        }
        self.comments_before(u32::MAX);
    }

    /// Nothing of the text before `at` counts as an empty line.
    pub(super) fn enter(&mut self, at: u32) {
        if let Some(source) = &mut self.source {
            let end = source.text.get(..at as usize).map_or(at as usize, |t| t.trim_end().len());
            source.at = source.at.max(end);
        }
    }

    fn empty_line(&mut self) {
        if !self.out.is_empty() && !self.out.ends_with("\n\n") {
            self.out.push('\n');
        }
    }

    pub(super) fn has_comments_before(&self, end: u32) -> bool {
        self.source.as_ref().is_some_and(|s| s.comments.get(s.next).is_some_and(|c| c.0 < end as usize))
    }

    /// Comments above something, and one empty line where the text has any.
    pub(super) fn lead(&mut self, span: Span) {
        self.comments_before(span.start);
        self.gap(span.start as usize);
        self.enter(span.start);
    }

    /// An empty line, if the text has one between what was printed last and `to`.
    fn gap(&mut self, to: usize) {
        let Some(source) = &self.source else { return };
        let between = source.text.get(source.at..to).unwrap_or_default();
        // Directly after `{` there is none.
        if between.matches('\n').count() > 1 && !self.out.ends_with("{\n") {
            self.empty_line();
        }
    }

    /// Comments that stand before a place and were not printed, each on a line of its own.
    pub(super) fn comments_before(&mut self, end: u32) {
        while let Some((start, stop)) = self.next_comment(end as usize) {
            self.gap(start);
            let text = self.take_comment(start, stop);
            self.text(&text);
            self.newline();
        }
    }

    /// Comments behind something on its last line.
    pub(super) fn trail(&mut self, span: Span) {
        self.enter(span.end);
        let Some(source) = &self.source else { return };
        let end = source.text.get(..span.end as usize).map_or(span.end as usize, |t| t.trim_end().len());
        let line_end = source.text.get(end..).and_then(|t| t.find('\n')).map_or(source.text.len(), |n| end + n);
        while let Some((start, stop)) = self.next_comment(line_end) {
            let behind = self.source.as_ref().and_then(|s| s.text.get(s.at.max(end)..start)).unwrap_or_default();
            if !behind.chars().all(|c| c.is_whitespace() || c == ';') {
                return;
            }
            let text = self.take_comment(start, stop);
            self.out.push(' ');
            self.out.push_str(&text);
            if text.starts_with("//") {
                return;
            }
        }
    }

    fn next_comment(&self, before: usize) -> Option<(usize, usize)> {
        let source = self.source.as_ref()?;
        source.comments.get(source.next).copied().filter(|c| c.0 < before)
    }

    fn take_comment(&mut self, start: usize, stop: usize) -> String {
        let Some(source) = &mut self.source else { return String::new() };
        source.next += 1;
        let text = source.text.get(start..stop).unwrap_or_default().trim_end().to_owned();
        source.at = source.at.max(start + text.len());
        text
    }

    /// A literal as it was written.
    pub(super) fn spelling(&self, e: &Expr) -> Option<String> {
        let literal =
            matches!(e.kind, ExprKind::Int { .. } | ExprKind::Duration(_) | ExprKind::Size(_) | ExprKind::Str(_));
        let source = self.source.as_ref().filter(|_| literal)?;
        let text = source.text.get(e.span.start as usize..e.span.end as usize)?.trim();
        let word = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let fits = match e.kind {
            ExprKind::Str(_) => text.len() > 1 && text.starts_with('"') && text.ends_with('"'),
            _ => word && text.starts_with(|c: char| c.is_ascii_digit()),
        };
        fits.then(|| text.to_owned())
    }
}

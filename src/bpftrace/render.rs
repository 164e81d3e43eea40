//! Findings as bpftrace prints them: `file:line:column-column: ERROR: text`, the source line, a `~~~~` underline, hints.

use std::fmt::Write;
use weftrace_lang::{
    diag::{Diagnostic, Note, Severity},
    span::{SourceMap, Span},
};

/// All findings of one severity, in the order in which they were found.
pub fn render_all(diagnostics: &[Diagnostic], sources: &SourceMap, severity: Severity) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics.iter().filter(|d| d.severity == severity) {
        render(&mut out, diagnostic, sources);
    }
    out
}

fn render(out: &mut String, diagnostic: &Diagnostic, sources: &SourceMap) {
    let level = match diagnostic.severity {
        Severity::Error => "ERROR",
        Severity::Warning => "WARNING",
    };
    let text = diagnostic.bpftrace.as_deref().unwrap_or(&diagnostic.message);
    if text.is_empty() {
        return;
    }
    match (diagnostic.code, &diagnostic.bpftrace) {
        // What the command line says is in no text.
        ("bad-parameter", _) => place(out, sources, Span::default(), level, text),
        // clang's line first, which names a file of its own.
        ("no-such-header", Some(words)) => {
            let _ = writeln!(out, "{words}");
            place(out, sources, diagnostic.span, level, &diagnostic.message);
        }
        // What bpftrace finds while it attaches has no place.
        _ if text.starts_with(level) => {
            let _ = writeln!(out, "{text}");
        }
        _ => place(out, sources, diagnostic.span, level, text),
    }
    for (span, text) in diagnostic.others.iter().filter(|(_, text)| !text.is_empty()) {
        place(out, sources, *span, level, text);
    }
    for call in &diagnostic.expanded_from {
        place(out, sources, *call, level, "expanded from");
    }
    for note in &diagnostic.notes {
        let _ = match note {
            Note::Write(text) => writeln!(out, "HINT: write: {text}"),
            Note::Note(text) => writeln!(out, "HINT: {text}"),
            Note::Near(text) => writeln!(out, "HINT: near by name: {text}"),
        };
    }
}

/// One message with its place and source line.
fn place(out: &mut String, sources: &SourceMap, span: Span, level: &str, text: &str) {
    if span == Span::default() {
        let _ = writeln!(out, "{level}: {text}");
        return;
    }
    let (line, column) = sources.line_col(span);
    let (end_line, end_column) = sources.line_col(Span { start: span.end, ..span });
    let file = sources.file(span.file);
    if line == end_line {
        let _ = writeln!(out, "{}:{line}:{column}-{end_column}: {level}: {text}", file.name);
        let source = file.text.lines().nth(line - 1).unwrap_or_default();
        let _ = writeln!(out, "{}", source.replace('\t', "    "));
        let mark = |i: usize| if i + 1 < column { ' ' } else { '~' };
        for (i, c) in source.chars().take(end_column - 1).enumerate() {
            out.extend(std::iter::repeat_n(mark(i), if c == '\t' { 4 } else { 1 }));
        }
        out.push('\n');
    } else {
        let _ = writeln!(out, "{}:{line}-{end_line}: {level}: {text}", file.name);
        for source in file.text.lines().skip(line - 1).take(end_line - line + 1) {
            let _ = writeln!(out, "{source}");
        }
    }
}

//! Diagnostics as people read them (source line, caret, remedy) and as JSON lines.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet, renderer::DecorStyle};
use serde_json::json;
use std::{collections::BTreeSet, fmt::Write};
use weftrace_lang::{
    diag::{Diagnostic, Note, Severity, kinds::by_code},
    span::{SourceMap, Span},
};

/// How diagnostics are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Plain,
    Colour,
    Json,
}

/// All diagnostics in the order of the source, errors and warnings mixed.
pub fn render_all(diagnostics: &[Diagnostic], sources: &SourceMap, style: Style) -> String {
    // Those without words of ours are shown under bpftrace's name only.
    let mut sorted: Vec<&Diagnostic> = diagnostics.iter().filter(|d| !d.message.is_empty()).collect();
    sorted.sort_by_key(|d| (d.span.file, d.span.start));
    sorted.iter().map(|d| render(d, sources, style)).collect()
}

/// Which `weftrace explain` says more about the errors; empty: there are none.
pub fn more(diagnostics: &[Diagnostic]) -> String {
    let errors = diagnostics.iter().filter(|d| d.severity == Severity::Error && !d.message.is_empty());
    let numbers: BTreeSet<&str> = errors.filter_map(|d| Some(by_code(d.code)?.number)).collect();
    if numbers.is_empty() {
        return String::new();
    }
    let numbers: Vec<&str> = numbers.into_iter().collect();
    format!(
        "more about {}: weftrace explain {}\n",
        if numbers.len() == 1 { "this" } else { "these" },
        numbers.join(" ")
    )
}

pub fn render(diagnostic: &Diagnostic, sources: &SourceMap, style: Style) -> String {
    match style {
        Style::Json => render_json(diagnostic, sources),
        Style::Plain => render_text(diagnostic, sources, &Renderer::plain()),
        Style::Colour => render_text(diagnostic, sources, &Renderer::styled()),
    }
}

fn render_text(diagnostic: &Diagnostic, sources: &SourceMap, renderer: &Renderer) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = Group::with_title(level.primary_title(diagnostic.message.as_str()));
    // About no place in the script: a flag of the command line.
    if diagnostic.span == Span::default() {
        let mut text = format!(
            "{}: {}\n",
            if diagnostic.severity == Severity::Error { "error" } else { "warning" },
            diagnostic.message
        );
        for note in &diagnostic.notes {
            let (name, note) = note_parts(note);
            let _ = writeln!(text, "  = {name}: {note}");
        }
        text.push('\n');
        return text;
    }
    let mut snippet = snippet(sources, diagnostic.span);
    let primary = AnnotationKind::Primary.span(range(sources, diagnostic.span));
    snippet = snippet.annotation(match diagnostic.label.as_str() {
        "" => primary,
        label => primary.label(label),
    });
    let mut elsewhere = Vec::new();
    let calls = diagnostic.expanded_from.iter().map(|call| (*call, "the macro is called here"));
    for (span, text) in diagnostic.others.iter().map(|(span, text)| (*span, text.as_str())).chain(calls) {
        if span.file == diagnostic.span.file {
            snippet = snippet.annotation(AnnotationKind::Context.span(range(sources, span)).label(text));
        } else {
            elsewhere.push((span, text));
        }
    }
    group = group.element(snippet);
    for (span, text) in elsewhere {
        let annotation = AnnotationKind::Context.span(range(sources, span)).label(text);
        group = group.element(self::snippet(sources, span).annotation(annotation));
    }
    for note in &diagnostic.notes {
        let (name, text) = note_parts(note);
        group = group.element(Level::NOTE.with_name(name).message(text));
    }
    let mut text = renderer.clone().decor_style(DecorStyle::Ascii).render(&[group]);
    text.push_str("\n\n");
    text
}

fn snippet(sources: &SourceMap, span: Span) -> Snippet<'_, annotate_snippets::Annotation<'_>> {
    let file = sources.file(span.file);
    Snippet::source(file.text.as_str()).path(file.name.as_str()).fold(true)
}

/// The span's bytes, moved onto character boundaries of the text.
fn range(sources: &SourceMap, span: Span) -> std::ops::Range<usize> {
    let text = &sources.file(span.file).text;
    let on_boundary = |at: u32| {
        let mut at = (at as usize).min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = on_boundary(span.start);
    start..on_boundary(span.end).max(start)
}

fn note_parts(note: &Note) -> (&'static str, &str) {
    match note {
        Note::Write(text) => ("write", text),
        Note::Note(text) => ("note", text),
        Note::Near(text) => ("near by name", text),
    }
}

fn render_json(diagnostic: &Diagnostic, sources: &SourceMap) -> String {
    let place = |span: Span| {
        let (line, column) = sources.line_col(span);
        let (end_line, end_column) = sources.line_col(Span { start: span.end, ..span });
        json!({
            "file": sources.file(span.file).name,
            "line": line, "column": column, "end_line": end_line, "end_column": end_column,
        })
    };
    let others: Vec<_> =
        diagnostic.others.iter().map(|(span, text)| json!({"at": place(*span), "text": text})).collect();
    let expanded_from: Vec<_> = diagnostic.expanded_from.iter().map(|call| place(*call)).collect();
    let mut line = json!({
        "severity": diagnostic.severity,
        "code": diagnostic.code,
        "number": by_code(diagnostic.code).map(|kind| kind.number),
        "message": diagnostic.message,
        "at": place(diagnostic.span),
        "label": diagnostic.label,
        "others": others,
        "notes": diagnostic.notes,
    });
    if !expanded_from.is_empty() {
        line["expanded_from"] = json!(expanded_from);
    }
    format!("{line}\n")
}

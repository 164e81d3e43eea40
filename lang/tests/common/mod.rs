//! What the file tests share.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use weftrace_lang::diag::{Diagnostic, Note, Severity};
use weftrace_lang::span::{SourceMap, Span};

pub fn dir(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/syntax").join(name)
}

/// The `.probe` files of a folder, by name.
pub fn probes(name: &str) -> Vec<(PathBuf, String)> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(dir(name))
        .expect("the folder is committed")
        .map(|e| e.expect("a readable folder").path())
        .filter(|p| p.extension().is_some_and(|e| e == "probe"))
        .collect();
    paths.sort();
    paths.into_iter().map(|p| (p.clone(), std::fs::read_to_string(&p).expect("UTF-8 text"))).collect()
}

/// None if the sibling file with `extension` holds `actual`; with WEFTRACE_BLESS it is written.
pub fn bless_or_compare(path: &Path, extension: &str, actual: &str) -> Option<String> {
    let expected = path.with_extension(extension);
    if std::env::var_os("WEFTRACE_BLESS").is_some() {
        std::fs::write(&expected, actual).expect("a writable folder");
        return None;
    }
    let wanted = std::fs::read_to_string(&expected).unwrap_or_default();
    (wanted != actual).then(|| format!("{} differs\n--- expected\n{wanted}--- actual\n{actual}", expected.display()))
}

fn place(map: &SourceMap, span: Span) -> String {
    let (line, column) = map.line_col(span);
    let end = Span { start: span.end, ..span };
    let (end_line, end_column) = map.line_col(end);
    if end_line == line {
        format!("{line}:{column}-{end_column}")
    } else {
        format!("{line}:{column}-{end_line}:{end_column}")
    }
}

/// Diagnostics as text: place, message, the marked text, notes.
pub fn render(map: &SourceMap, diags: &[Diagnostic]) -> String {
    let mut out = String::new();
    for d in diags {
        let kind = if d.severity == Severity::Error { "error" } else { "warning" };
        let _ = writeln!(out, "{} {kind}[{}] {}", place(map, d.span), d.code, d.message);
        let marked: String = map.snippet(d.span).chars().take(60).collect();
        let _ = write!(out, "  `{}`", marked.replace('\n', "⏎"));
        let _ = writeln!(out, "{}{}", if d.label.is_empty() { "" } else { "  " }, d.label);
        for (span, text) in &d.others {
            let _ = writeln!(out, "  {} {text}", place(map, *span));
        }
        for note in &d.notes {
            let (kind, text) = match note {
                Note::Write(t) => ("write", t),
                Note::Note(t) => ("note", t),
                Note::Near(t) => ("near", t),
            };
            let _ = writeln!(out, "  = {kind}: {text}");
        }
    }
    out
}

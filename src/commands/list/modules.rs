//! `weftrace list 'std/*'`: the bundled modules with the streams that they emit.

use crate::bundle;
use std::fmt::Write;
use weftrace_lang::{check, span::FileId, syntax};

/// Whether a pattern is of modules' names.
pub(super) fn asked(pattern: &str) -> bool {
    pattern.starts_with("std/") && !pattern.contains(':')
}

/// Each module with its title; of each stream the fields, and where what it tells is seen.
pub(super) fn list(pattern: &str) -> String {
    let mut out = String::new();
    let modules = bundle::SCRIPTS.iter().filter(|(name, _)| name.starts_with("std/"));
    for (name, text) in modules.filter(|(name, _)| check::glob_matches(pattern, name)) {
        let _ = writeln!(out, "{name:<24} {}", bundle::header(text).title());
        if let Some(needs) = bundle::header(text).get("needs") {
            let _ = writeln!(out, "{:<24} needs {needs}", "");
        }
        for found in check::emitted(&syntax::parse(text, FileId(0)).0) {
            let _ = writeln!(out, "    {:<20} {}", found.stream, found.fields.join(", "));
            let _ = writeln!(out, "{:<24} by {}", "", found.by.join(", "));
        }
    }
    out
}

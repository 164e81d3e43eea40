//! File tests of the syntax layer: `syntax/wrong/*.probe` with the diagnostics they give, `syntax/corpus/*.probe` with
//! their canonical text. WEFTRACE_BLESS=1 writes the expectations anew.

mod common;

use common::{bless_or_compare, probes, render};
use weftrace_lang::span::{FileId, SourceMap};
use weftrace_lang::syntax::{parse, print};

#[test]
fn wrong_programs_are_explained() {
    let files = probes("wrong");
    assert!(files.len() >= 25, "only {} wrong programs", files.len());
    let mut failures = Vec::new();
    for (path, text) in files {
        let mut map = SourceMap::default();
        let file = map.add("-", text.as_str());
        let (script, diags) = parse(&text, file);
        assert!(!diags.is_empty(), "{} gives no diagnostic", path.display());
        // What was understood still prints.
        let _ = print(&script);
        failures.extend(bless_or_compare(&path, "expect", &render(&map, &diags)));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn messages_are_in_the_operators_words() {
    for (path, text) in probes("wrong") {
        let (_, diags) = parse(&text, FileId::default());
        for d in diags {
            let words = format!("{} {} {:?} {:?}", d.message, d.label, d.others, d.notes);
            for inner in ["Rule", "item_", "s_expr", "kw_", "only_", "EOI", "pest"] {
                assert!(!words.contains(inner), "{}: {words}", path.display());
            }
            let end = d.span.end as usize;
            assert!(d.span.start <= d.span.end && end <= text.len(), "{}: {:?}", path.display(), d.span);
            assert!(
                text.get(d.span.start as usize..end).is_some(),
                "{}: {:?} cuts a character",
                path.display(),
                d.span
            );
        }
    }
}

#[test]
fn corpus_prints_canonically_and_round_trips() {
    let files = probes("corpus");
    assert!(files.len() >= 50, "only {} programs", files.len());
    let mut failures = Vec::new();
    for (path, text) in files {
        let mut map = SourceMap::default();
        let file = map.add("-", text.as_str());
        let (script, diags) = parse(&text, file);
        if !diags.is_empty() {
            failures.push(format!("{}:\n{}", path.display(), render(&map, &diags)));
            continue;
        }
        let printed = print(&script);
        let (again, errors) = parse(&printed, FileId::default());
        assert!(errors.is_empty(), "{}: printed text is wrong: {errors:?}\n{printed}", path.display());
        assert_eq!(script.without_spans(), again.without_spans(), "{}", path.display());
        assert_eq!(printed, print(&again), "{}: printing isn't stable", path.display());
        failures.extend(bless_or_compare(&path, "fmt", &printed));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

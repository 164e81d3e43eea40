//! File tests of the checker: `tests/check/{wrong,right}/*.probe` hold cases, `==== title` before each; the `.out` beside
//! holds what is found and, where there is no error, the HIR; of `accepted`, neighbours of wrong programs, only the warnings. `// opt: …` lines in a case are its command line.
//! WEFTRACE_BLESS=1 writes the expectations.
#![allow(clippy::print_stdout, reason = "what was run and skipped")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use weftrace_lang::check::{Options, analyze};
use weftrace_lang::diag::{Diagnostic, Note, Severity};
use weftrace_lang::hir_dump::dump;
use weftrace_lang::recorded::{RecordedWorld, Recorder, WorldLog};
use weftrace_lang::span::{SourceMap, Span};
use weftrace_lang::syntax::parse;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check")
}

fn fixture() -> WorldLog {
    let text = std::fs::read_to_string(folder().join("world.json")).expect("the fixture is committed");
    serde_json::from_str(&text).expect("the fixture is a WorldLog")
}

/// `--unsafe`, `--read`, `--max_strlen=64` (settings begin with `config.`), `--name=value`, bare words.
fn options(case: &str) -> Options {
    let mut opts = Options::default();
    for line in case.lines().filter_map(|l| l.strip_prefix("// opt: ")) {
        for word in line.split_whitespace() {
            match word.strip_prefix("--") {
                Some("unsafe") => opts.unsafe_ok = true,
                Some("read") => opts.reading_file = true,
                Some(flag) => {
                    let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
                    match name.strip_prefix("config.") {
                        Some(setting) => opts.config.push((setting.into(), value.into())),
                        None => opts.named.push((name.into(), Some(value.to_owned()))),
                    }
                }
                None => opts.positional.push(word.into()),
            }
        }
    }
    opts
}

fn place(map: &SourceMap, span: Span) -> String {
    let (line, column) = map.line_col(span);
    let file = if span.file.0 == 0 { String::new() } else { format!("{}:", map.file(span.file).name) };
    let mut text: String = map.snippet(span).chars().take(48).collect();
    text = text.replace('\n', "⏎");
    format!("{file}{line}:{column} `{text}`")
}

fn render(map: &SourceMap, diags: &[Diagnostic]) -> String {
    let mut out = String::new();
    for d in diags.iter().filter(|d| !d.message.is_empty()) {
        let kind = if d.severity == Severity::Error { "error" } else { "warning" };
        let _ = writeln!(out, "{kind}[{}] {}", d.code, d.message);
        let label = if d.label.is_empty() { String::new() } else { format!("  {}", d.label) };
        let _ = writeln!(out, "  --> {}{label}", place(map, d.span));
        for (span, text) in &d.others {
            let _ = writeln!(out, "  --- {}  {text}", place(map, *span));
        }
        for call in &d.expanded_from {
            let _ = writeln!(out, "  <-- {}", place(map, *call));
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

fn check(text: &str, world: &RecordedWorld, with_hir: bool) -> (String, bool) {
    let mut sources = SourceMap::default();
    let file = sources.add("case.probe", text);
    let (script, mut diags) = parse(text, file);
    let recorder = Recorder::new(world);
    let (program, found) = analyze(&script, &mut sources, &recorder, &options(text));
    diags.extend(found);
    let failed = diags.iter().any(|d| d.severity == Severity::Error);
    let mut out = render(&sources, &diags);
    if !failed {
        if with_hir {
            out.push_str(&dump(&program));
        }
        assert!(!dump(&program).contains("unknown"), "accepted with an unknown type:\n{text}\n{}", dump(&program));
        // What was asked is all that is needed to check it again.
        let replay = RecordedWorld::new(recorder.into_log());
        let mut again = SourceMap::default();
        again.add("case.probe", text);
        let (second, _) = analyze(&script, &mut again, &replay, &options(text));
        assert_eq!(dump(&program), dump(&second), "replaying the recorded answers gives another program:\n{text}");
    }
    (out, failed)
}

fn cases(text: &str) -> Vec<(&str, &str)> {
    text.split("\n==== ").map(|c| c.strip_prefix("==== ").unwrap_or(c)).filter_map(|c| c.split_once('\n')).collect()
}

fn run(kind: &str, wants_error: bool) {
    let world = RecordedWorld::whole(fixture());
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder().join(kind))
        .expect("the folder is committed")
        .map(|e| e.expect("a readable folder").path())
        .filter(|p| p.extension().is_some_and(|e| e == "probe"))
        .collect();
    files.sort();
    let mut wrong = Vec::new();
    let mut count = 0;
    for path in files {
        let text = std::fs::read_to_string(&path).expect("UTF-8 text");
        let mut out = String::new();
        for (title, case) in cases(&text) {
            count += 1;
            let (result, failed) = check(case, &world, kind != "accepted");
            if failed != wants_error && !title.ends_with("(warning)") {
                wrong.push(format!("{}: {title}: failed = {failed}\n{case}\n{result}", path.display()));
            }
            let _ = write!(out, "==== {title}\n{result}");
        }
        let expected = path.with_extension("out");
        if std::env::var_os("WEFTRACE_BLESS").is_some() {
            std::fs::write(&expected, &out).expect("a writable folder");
        } else {
            let wanted = std::fs::read_to_string(&expected).unwrap_or_default();
            if wanted != out {
                wrong.push(format!("{} differs\n--- expected\n{wanted}--- actual\n{out}", expected.display()));
            }
        }
    }
    println!("{count} cases in {kind}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn wrong_programs_say_what_is_wrong() {
    run("wrong", true);
}

#[test]
fn neighbours_of_wrong_programs_are_accepted() {
    run("accepted", false);
}

#[test]
fn right_programs_become_hir() {
    run("right", false);
}

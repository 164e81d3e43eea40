//! File tests: `tests/ir/**/*.ir`. The first line says what is tested; comments start with `;`.
//!
//! - `; test run`: each `; run: WORDS => OUTCOME` line is run by every executor that supports the function, before and after
//!   optimisation; all must give the outcome. [`support::case`] describes the words.
//! - `; test opt [PASS]`: the function after that pass (or all of them) must print as what stands after the line `; ===`.
//! - `; test verify`: the verifier must report `; error: TEXT` on exactly the lines that say so.
//! - `; test text`: it must parse and print as it stands.
//!
//! `; only: NAME…` names the executors, for functions that others refuse by design (the kernel: loops without a bound).
//!
//! `WEFTRACE_BLESS=1` writes what came out as the expectation, into `; run:` lines and after `; ===`.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "test code")]

mod support;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use support::case::{Case, map_shape};
use weftrace_compiler::ir::parser::{Parsed, parse, parse_with_lines};
use weftrace_compiler::ir::verify::{At, verify};
use weftrace_compiler::ir::{Function, compact::compact};
use weftrace_compiler::opt;

const SEPARATOR: &str = "; ===\n";

#[test]
fn ir_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ir");
    let mut files = vec![];
    find(&root, &mut files);
    files.sort();
    assert!(files.len() >= 40, "only {} files under {}", files.len(), root.display());
    let bless = std::env::var_os("WEFTRACE_BLESS").is_some();
    let mut failures = String::new();
    for file in &files {
        let text = std::fs::read_to_string(file).unwrap();
        match check(&text) {
            Ok(new) if new == text => {}
            Ok(new) if bless => std::fs::write(file, new).unwrap(),
            Ok(new) => writeln!(failures, "{}: gives\n{}", file.display(), difference(&text, &new)).unwrap(),
            Err(message) => writeln!(failures, "{}: {message}", file.display()).unwrap(),
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
}

fn find(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            find(&path, files);
        } else if path.extension().is_some_and(|e| e == "ir") {
            files.push(path);
        }
    }
}

/// Lines that differ, as `-old` and `+new`.
fn difference(old: &str, new: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (old.lines().collect(), new.lines().collect());
    let mut out = String::new();
    for i in 0..old.len().max(new.len()) {
        let (a, b) = (old.get(i), new.get(i));
        if a != b {
            let shown = a.map(|a| ('-', a)).into_iter().chain(b.map(|b| ('+', b)));
            for (sign, line) in shown {
                writeln!(out, "  {sign}{line}").unwrap();
            }
        }
    }
    out
}

/// The file as it should be; Err: no text can make it right.
fn check(text: &str) -> Result<String, String> {
    let first = text.lines().next().unwrap_or_default();
    let command: Vec<&str> = first.trim_start_matches(';').split_whitespace().collect();
    match command[..] {
        ["test", "run"] => check_run(text),
        ["test", "opt"] => check_opt(text, None),
        ["test", "opt", pass] => check_opt(text, Some(pass)),
        ["test", "verify"] => check_verify(text),
        ["test", "text"] => check_text(text),
        _ => Err(format!("`{first}` names no test")),
    }
}

fn check_text(text: &str) -> Result<String, String> {
    let (head, _) = text.split_once('\n').unwrap_or((text, ""));
    let function = parse(text).map_err(|e| e.to_string())?;
    Ok(format!("{head}\n{function}"))
}

fn check_verify(text: &str) -> Result<String, String> {
    let parsed = parse_with_lines(text).map_err(|e| e.to_string())?;
    let mut found: Vec<(u32, String)> = match verify(&parsed.function) {
        Ok(()) => vec![],
        Err(errors) => errors.errors.iter().map(|e| (line_of(&parsed, e.at), e.message.clone())).collect(),
    };
    for (number, line) in text.lines().enumerate() {
        let Some((_, wanted)) = line.split_once("; error: ") else { continue };
        let at = found.iter().position(|(at, message)| *at == number as u32 + 1 && message == wanted);
        let at = at.ok_or_else(|| format!("line {}: no error {wanted:?}; found {found:?}", number + 1))?;
        found.remove(at);
    }
    if found.is_empty() { Ok(text.into()) } else { Err(format!("unexpected errors {found:?}")) }
}

fn line_of(parsed: &Parsed, at: At) -> u32 {
    match at {
        At::Function => 2,
        At::Block(block) => parsed.block_lines[block.index()].0,
        At::Inst(inst) => parsed.inst_lines[inst.index()],
        At::Term(block) => parsed.block_lines[block.index()].1,
    }
}

fn check_opt(text: &str, pass: Option<&str>) -> Result<String, String> {
    let (input, _) = text.split_once(SEPARATOR).unwrap_or((text, ""));
    let before = verified(input)?;
    let mut after = before.clone();
    match pass {
        None => opt::run(&mut after),
        Some(name) => {
            let pass = opt::PASSES.iter().find(|p| p.name == name).ok_or_else(|| format!("no pass {name}"))?;
            (pass.run)(&mut after);
            compact(&mut after);
        }
    }
    verify(&after).map_err(|e| format!("after the pass: {e}\n{after}"))?;
    let runs = run_lines(input, &[("before", &before), ("after", &after)])?;
    Ok(format!("{runs}{SEPARATOR}{after}"))
}

fn check_run(text: &str) -> Result<String, String> {
    let function = verified(text)?;
    let mut optimised = function.clone();
    opt::run(&mut optimised);
    run_lines(text, &[("as it is", &function), ("optimised", &optimised)])
}

fn verified(text: &str) -> Result<Function, String> {
    let function = parse(text).map_err(|e| e.to_string())?;
    verify(&function).map_err(|e| e.to_string())?;
    Ok(function)
}

/// `text` with the outcomes of its `; run:` lines; Err if executors disagree.
fn run_lines(text: &str, functions: &[(&str, &Function)]) -> Result<String, String> {
    let mut maps = vec![];
    let mut common = String::new();
    let only: Option<Vec<&str>> =
        text.lines().find_map(|line| line.strip_prefix("; only: ")).map(|names| names.split_whitespace().collect());
    let mut out = String::new();
    for line in text.lines() {
        let comment = line.strip_prefix("; ").unwrap_or_default();
        if let Some((number, shape)) = comment.strip_prefix("map").and_then(|c| c.split_once(": ")) {
            assert_eq!(number.parse(), Ok(maps.len()), "maps are declared in order");
            maps.push(map_shape(shape).ok_or_else(|| format!("`{line}` is not understood"))?);
        } else if let Some(words) = comment.strip_prefix("host: ") {
            write!(common, " {words}").unwrap();
        } else if let Some(run) = comment.strip_prefix("run:") {
            let words = run.split_once("=>").map_or(run, |(words, _)| words).trim();
            let mut case = Case::new(&maps);
            case.apply(&format!("{common} {words}"))?;
            let outcome = outcome(functions, &case, only.as_deref()).map_err(|e| format!("`{line}`: {e}"))?;
            let space = if words.is_empty() { "" } else { " " };
            writeln!(out, "; run:{space}{words} => {outcome}").unwrap();
            continue;
        }
        writeln!(out, "{line}").unwrap();
    }
    Ok(out)
}

/// What every executor says of every function; the interpreter on the first function has the first word.
fn outcome(functions: &[(&str, &Function)], case: &Case, only: Option<&[&str]>) -> Result<String, String> {
    let mut agreed: Option<String> = None;
    for (which, function) in functions {
        for executor in support::executors().iter().filter(|e| e.supports(function, case)) {
            if only.is_some_and(|names| !names.contains(&executor.name())) {
                continue;
            }
            let outcome = match executor.run(function, case) {
                Ok(outcome) => outcome.to_string(),
                Err(message) => format!("error: {message}"),
            };
            match &agreed {
                None if outcome.starts_with("error: ") => return Ok(outcome),
                None => agreed = Some(outcome),
                Some(agreed) if *agreed == outcome => {}
                Some(agreed) => {
                    let name = executor.name();
                    return Err(format!("the interpreter says {agreed}, {name} ({which}) says {outcome}\n{function}"));
                }
            }
        }
    }
    agreed.ok_or_else(|| "nothing runs it".into())
}

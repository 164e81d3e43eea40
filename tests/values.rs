//! Values, their arithmetic and how they print: tables of programs with their exact output, as text and as JSON. Those of
//! tests/values/as_bpftrace.txt printed the same under bpftrace 0.27.1; those of ours.txt differ from it on purpose, for which
//! docs/compat.md has the reasons (WEFTRACE_BLESS=1 writes them anew).
#![allow(clippy::print_stdout, reason = "tests say what they skip")]

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
    thread,
};

const AT_ONCE: usize = 4;

/// One row of a table.
struct Case {
    /// `text` or `json`, then `root`, `clock`, `exit=N`.
    how: String,
    program: String,
    output: String,
}

impl Case {
    fn is(&self, word: &str) -> bool {
        self.how.split_whitespace().any(|w| w == word)
    }

    fn exit_code(&self) -> i32 {
        let code = self.how.split_whitespace().find_map(|w| w.strip_prefix("exit="));
        code.map_or(0, |n| n.parse().expect("a number"))
    }

    /// What it prints now, without empty lines at both ends, and its exit code.
    fn run(&self) -> (String, Option<i32>) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weftrace"));
        command.arg("-q");
        // Times of day are printed in local time; time series may be given a clock that stands still.
        command.env("TZ", "UTC");
        if self.is("clock") {
            command.env("BPFTRACE_DUMMY_TS_MAP", "@ts");
        }
        if self.is("json") {
            command.args(["-f", "json"]);
        }
        let out = command.args(["-e", &self.program]).output().expect("weftrace runs");
        (String::from_utf8_lossy(&out.stdout).trim_matches('\n').to_owned(), out.status.code())
    }
}

fn path(table: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/values").join(table)
}

/// The table's head and rows.
fn read(table: &str) -> (String, Vec<Case>) {
    let text = std::fs::read_to_string(path(table)).expect("the table");
    let head: String = text.lines().take_while(|l| l.starts_with('#')).flat_map(|l| [l, "\n"]).collect();
    let cases = text[head.len()..].split("\n---\n").filter(|c| !c.trim().is_empty()).map(|case| {
        let (first, output) = case.split_once('\n').unwrap_or((case, ""));
        let (how, program) = first.split_once("> ").expect("a program");
        Case { how: how.to_owned(), program: program.to_owned(), output: output.to_owned() }
    });
    (head, cases.collect())
}

/// What a case printed and its exit code; None: it was left out.
type Ran = Option<(String, Option<i32>)>;

/// Runs what can run here.
fn run_all(cases: &[Case]) -> Vec<Ran> {
    // Only root may look there.
    let root = std::fs::read_dir("/proc/1/fd").is_ok();
    if !root {
        println!("SKIP root");
    }
    let next = Mutex::new(0..cases.len());
    let results: Mutex<Vec<Ran>> = Mutex::new(vec![None; cases.len()]);
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(i) = next.lock().expect("no panics while it is held").next() else { break };
                    if root || !cases[i].is("root") {
                        let result = cases[i].run();
                        results.lock().expect("no panics while it is held")[i] = Some(result);
                    }
                }
            });
        }
    });
    results.into_inner().expect("no panics while it was held")
}

fn compare(table: &str, least: usize) {
    let (head, cases) = read(table);
    assert!(cases.len() >= least, "{table} has only {} rows", cases.len());
    let results = run_all(&cases);
    if std::env::var_os("WEFTRACE_BLESS").is_some() && table == "ours.txt" {
        let mut text = head;
        for (case, result) in cases.iter().zip(&results) {
            let output = result.as_ref().map_or(&case.output, |r| &r.0);
            let _ = writeln!(text, "{}> {}\n{output}\n---", case.how, case.program);
        }
        std::fs::write(path(table), text).expect("the table is written");
        return;
    }
    let mut wrong = String::new();
    let mut count = 0;
    for (case, result) in cases.iter().zip(results) {
        let Some((output, code)) = result else { continue };
        if output != case.output || code != Some(case.exit_code()) {
            count += 1;
            let _ =
                writeln!(wrong, "{}\n--- expected\n{}\n--- printed ({code:?})\n{output}\n", case.program, case.output);
        }
    }
    assert!(count == 0, "{count} of {} rows of {table} differ\n\n{wrong}", cases.len());
}

#[test]
fn programs_print_what_bpftrace_prints() {
    compare("as_bpftrace.txt", 400);
}

#[test]
fn programs_that_differ_on_purpose_print_what_is_right() {
    compare("ours.txt", 60);
}

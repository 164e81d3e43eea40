//! For tests that build a program and trace it.
#![allow(clippy::print_stdout, dead_code, reason = "tests say what they skip; each uses a part")]

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{LazyLock, Mutex},
};

/// Built already: tests run side by side, and none may find a program half written or replaced.
static BUILT: LazyLock<Mutex<HashMap<String, Option<PathBuf>>>> = LazyLock::new(Mutex::default);

pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}

/// A program of tests/programs, built with these flags; None: there is no compiler for it.
pub fn build(name: &str, source: &str, flags: &[&str]) -> Option<PathBuf> {
    let mut built = BUILT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    built.entry(name.to_owned()).or_insert_with(|| compile(name, source, flags)).clone()
}

fn compile(name: &str, source: &str, flags: &[&str]) -> Option<PathBuf> {
    let path = folder().join(name);
    let source_path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs").join(source);
    let compiler = match source.rsplit('.').next() {
        Some("cpp") => "c++",
        Some("rs") => "rustc",
        _ => "cc",
    };
    let out = Command::new(compiler).current_dir(folder()).args(flags).arg("-o").arg(&path).arg(source_path).output();
    let Ok(out) = out else {
        println!("SKIP {name}: no {compiler}");
        return None;
    };
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    Some(path)
}

pub fn weftrace(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weftrace")).args(args).output().expect("the binary runs")
}

pub fn can_trace() -> bool {
    let doctor = String::from_utf8_lossy(&weftrace(&["doctor"]).stdout).into_owned();
    let ready = doctor.lines().any(|l| l.split_whitespace().take(2).eq(["uprobe", "ready"]));
    if !ready {
        println!("SKIP uprobes");
    }
    ready
}

/// What a script prints while a command runs, without empty lines; and what it says. `BIN` stands for the program.
pub fn traced_command(script: &str, path: &Path, command: &str) -> (Vec<String>, String) {
    let script = script.replace("BIN", &path.to_string_lossy());
    let out = weftrace(&["-q", "-e", &script, "-c", command]);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    (text.lines().filter(|l| !l.trim().is_empty()).map(str::to_owned).collect(), said)
}

/// The same while the program itself runs.
pub fn traced(script: &str, path: &Path) -> (Vec<String>, String) {
    traced_command(script, path, &path.to_string_lossy())
}

/// What the checker says.
pub fn checked(script: &str, path: &Path) -> String {
    let out = weftrace(&["check", "-e", &script.replace("BIN", &path.to_string_lossy())]);
    String::from_utf8_lossy(&out.stderr).into_owned()
}

//! Feature by feature against bpftrace: tests/compat/*.txt name each with a command line and what it must print, or with the test that
//! shows it. docs/compat.md is made of them: WEFTRACE_BLESS=1 writes it.
//!
//! A row's command is what follows `bpftrace` in a shell; TARGET is the program made of tests/compat/target.c, ADDRESS that of its
//! variable `watched`; `> text` must be part
//! of a line that is printed.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "tests say what they skip")]

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// One feature.
#[derive(Debug, Default)]
struct Row {
    section: String,
    feature: String,
    command: String,
    expected: Vec<String>,
    /// (file, names that stand in it)
    shown_by: Option<(String, Vec<String>)>,
}

fn rows() -> Vec<Row> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(root().join("tests/compat")).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|p| p.extension().is_some_and(|e| e == "txt"));
    files.sort();
    let (mut rows, mut section): (Vec<Row>, String) = (Vec::new(), String::new());
    for line in files.iter().flat_map(|f| fs::read_to_string(f).unwrap().lines().map(str::to_owned).collect::<Vec<_>>())
    {
        if let Some(title) = line.strip_prefix("## ") {
            title.clone_into(&mut section);
        } else if let Some(expected) = line.strip_prefix("    > ") {
            rows.last_mut().unwrap().expected.push(expected.to_owned());
        } else if let Some(test) = line.strip_prefix("    = ") {
            let mut words = test.split(' ').map(str::to_owned);
            rows.last_mut().unwrap().shown_by = words.next().map(|file| (file, words.collect()));
        } else if line.is_empty() || line == "    >" {
        } else if let Some(row) =
            rows.last_mut().filter(|r| line.starts_with("    ") || !r.command.is_empty() && open_quote(&r.command))
        {
            let part = line.strip_prefix("    ").unwrap_or(&line);
            let _ = write!(row.command, "{}{part}", if row.command.is_empty() { "" } else { "\n" });
        } else {
            rows.push(Row { section: section.clone(), feature: line.clone(), ..Row::default() });
        }
    }
    rows
}

fn open_quote(command: &str) -> bool {
    command.matches('\'').count() % 2 == 1
}

/// The traced program, and a folder in which our binary is called bpftrace.
fn prepare() -> Option<(PathBuf, PathBuf)> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("compat");
    fs::create_dir_all(&folder).unwrap();
    let target = folder.join("target");
    let source = root().join("tests/compat/target.c");
    let built = Command::new("cc")
        .args(["-g", "-O0", "-no-pie", "-fno-omit-frame-pointer", "-o"])
        .arg(&target)
        .arg(source)
        .status();
    if !built.is_ok_and(|s| s.success()) {
        return None;
    }
    let link = folder.join("bpftrace");
    let _ = fs::remove_file(&link);
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_weftrace"), &link).unwrap();
    Some((folder, target))
}

/// Address of a variable of the program, in hexadecimal.
fn address(program: &Path, variable: &str) -> String {
    let symbols = Command::new("nm").arg(program).output().map(|o| String::from_utf8_lossy(&o.stdout).into_owned());
    let line = symbols.unwrap_or_default().lines().find(|l| l.ends_with(&format!(" {variable}"))).map(str::to_owned);
    line.and_then(|l| l.split(' ').next().map(str::to_owned)).unwrap_or_default()
}

fn run(row: &Row, folder: &Path, target: &Path) -> Result<(), String> {
    let command =
        row.command.replace("TARGET", &target.to_string_lossy()).replace("ADDRESS", &address(target, "watched"));
    let output = Command::new("timeout")
        .args(["-s", "INT", "-k", "5", "20", "bash", "-c", &format!("bpftrace {command}")])
        .env("PATH", format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default()))
        .stdin(Stdio::null())
        .output()
        .map_err(|e| e.to_string())?;
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    match row.expected.iter().find(|e| !text.lines().any(|line| line.contains(e.as_str()))) {
        None => Ok(()),
        Some(missing) => {
            Err(format!("{}: no `{missing}` in what it prints:\n  bpftrace {command}\n{text}", row.feature))
        }
    }
}

/// Every row's command prints what it says.
#[test]
fn what_the_document_claims_works() {
    let Some((folder, target)) = prepare() else { return println!("SKIP a C compiler") };
    let root_user = Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout == b"0\n");
    if !root_user {
        return println!("SKIP root");
    }
    let (mut wrong, mut ran) = (Vec::new(), 0);
    for row in rows() {
        if let Some((file, names)) = &row.shown_by {
            let text = fs::read_to_string(root().join(file)).unwrap_or_default();
            for name in names.iter().filter(|n| !text.contains(n.as_str())) {
                wrong.push(format!("{}: no {name} in {file}", row.feature));
            }
        } else if row.expected.is_empty() {
            wrong.push(format!("{}: it expects nothing", row.feature));
        } else {
            ran += 1;
            wrong.extend(run(&row, &folder, &target).err());
        }
    }
    println!("{ran} commands ran");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// docs/compat.md: what is written by hand, and the table.
#[test]
fn the_document_is_made_of_the_table() {
    let path = root().join("docs/compat.md");
    let old = fs::read_to_string(&path).unwrap_or_default();
    const MARK: &str = "<!-- Made of tests/compat/*.txt; WEFTRACE_BLESS=1 cargo test --test compat writes it. -->\n";
    let hand = old.split(MARK).next().unwrap_or_default();
    let mut text = format!("{hand}{MARK}");
    let mut section = String::new();
    for row in rows() {
        if row.section != section {
            let _ = write!(text, "\n## {}\n\n| feature | shown by |\n|---|---|\n", row.section);
            section.clone_from(&row.section);
        }
        let shown = match &row.shown_by {
            Some((file, names)) => format!("{file}: {}", names.join(", ")),
            None => format!(
                "`{}`",
                row.command.replace('\n', " ").replace('|', "\\|").split_whitespace().collect::<Vec<_>>().join(" ")
            ),
        };
        let _ = writeln!(text, "| {} | {shown} |", row.feature);
    }
    if std::env::var_os("WEFTRACE_BLESS").is_some() {
        fs::write(&path, &text).unwrap();
    } else {
        assert!(old == text, "docs/compat.md is not what its table says: run the test with WEFTRACE_BLESS=1");
    }
}

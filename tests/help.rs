//! `weftrace explain`, completions and pages of the manual.
#![allow(clippy::unwrap_used, reason = "tests")]

mod traced;

use std::{
    fs,
    process::{Command, Output, Stdio},
};
use traced::text;

fn weftrace(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weftrace")).args(args).output().unwrap()
}

#[test]
fn findings_are_explained_by_number() {
    let output = weftrace(&["check", "--read", "-e", "pcap:any { print(pidd); }"]);
    let said = text(&output.stderr);
    let number = said.lines().find_map(|l| l.strip_prefix("more about this: weftrace explain ")).expect(&said);
    let explained = text(&weftrace(&["explain", number]).stdout);
    assert!(explained.starts_with(&format!("{number} unknown-name\n")), "{explained}");
    assert_eq!(text(&weftrace(&["explain", "unknown-name"]).stdout), explained);
    let json = text(&weftrace(&["check", "--read", "-f", "json", "-e", "pcap:any { print(pidd); }"]).stdout);
    assert!(json.contains(&format!("\"number\":\"{number}\"")) && !json.contains("more about"), "{json}");
    let unknown = weftrace(&["explain", "unknown-nam"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stderr).contains("near by name: unknown-name"), "{}", text(&unknown.stderr));
    assert!(text(&weftrace(&["explain"]).stdout).lines().count() > 200);
}

#[test]
fn completions_and_manual_are_made() {
    let bash = text(&weftrace(&["completions", "bash"]).stdout);
    assert!(bash.contains("--otlp-grpc") && bash.contains("doctor"), "{}", bash.len());
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        assert!(text(&weftrace(&["completions", shell]).stdout).contains("weftrace"), "{shell}");
    }
    // It is a script that bash reads.
    let mut child = Command::new("bash").arg("-n").stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), bash.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    let folder = std::env::temp_dir().join(format!("weftrace-man-{}", std::process::id()));
    assert!(weftrace(&["manpages", folder.to_str().unwrap()]).status.success());
    for page in ["weftrace.1", "weftrace-run.1", "weftrace-lib-add.1"] {
        let page = fs::read_to_string(folder.join(page)).unwrap_or_else(|error| panic!("{page}: {error}"));
        assert!(page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"));
    }
    fs::remove_dir_all(folder).unwrap();
    assert_eq!(weftrace(&["manpages", "/proc/nothing"]).status.code(), Some(6));
}

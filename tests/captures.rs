//! The analysis of every capture of ../shared/captures counts what tshark counts there (truth.jsonl, made by tshark 4.0.17).
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "tests say what they skip")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const PROGRAM: &str = "pcap:any /tcp.analysis.retransmission/ { @r = count(); } pcap:any /tcp.analysis.zero_window/ { @z = count(); } \
                       pcap:any { @n = count(); }";

/// Where the captures are: WEFTRACE_CAPTURES, or beside the repository.
fn captures() -> Option<PathBuf> {
    let set = std::env::var_os("WEFTRACE_CAPTURES").map(PathBuf::from);
    let path = set.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/captures"));
    path.join("truth.jsonl").is_file().then_some(path)
}

/// (retransmissions, zero windows, packets) as weftrace prints them in JSON.
fn counted(file: &Path) -> [u64; 3] {
    let output = Command::new(env!("CARGO_BIN_EXE_weftrace"))
        .args(["-q", "-f", "json", "-e", PROGRAM, "--read"])
        .arg(file)
        .output()
        .expect("weftrace runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&output.stderr));
    let mut counts = [0; 3];
    for line in text.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("NDJSON");
        for (count, map) in counts.iter_mut().zip(["@r", "@z", "@n"]) {
            if let Some(n) = line["data"][map].as_u64() {
                *count = n;
            }
        }
    }
    counts
}

#[test]
fn counts_equal_tsharks() {
    let Some(captures) = captures() else {
        println!("SKIP captures");
        return;
    };
    let truth = fs::read_to_string(captures.join("truth.jsonl")).expect("readable");
    let mut wrong = Vec::new();
    let mut files = 0;
    for line in truth.lines() {
        let truth: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let name = truth["file"].as_str().expect("a file name");
        let path = captures.join(name);
        if !path.is_file() {
            wrong.push(format!("{name} is missing"));
            continue;
        }
        files += 1;
        let expected =
            ["retransmission", "zero_window", "packets"].map(|c| truth["counts"][c].as_u64().expect("a count"));
        let found = counted(&path);
        if found != expected {
            wrong.push(format!(
                "{name}: [retransmissions, zero windows, packets] are {found:?}, tshark says {expected:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(files >= 30, "only {files} captures");
}

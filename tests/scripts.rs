//! Every bundled script is whole, and those that have a fixture print what is expected of them (`weftrace test scripts`; WEFTRACE_BLESS=1
//! writes expectations anew).
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "tests say what they skip")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn weftrace(args: &[&str]) -> Output {
    let root = env!("CARGO_MANIFEST_DIR");
    Command::new(env!("CARGO_BIN_EXE_weftrace"))
        .args(args)
        .current_dir(root)
        .env("TZ", "UTC")
        .output()
        .expect("weftrace runs")
}

fn scripts() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for area in fs::read_dir(root.join("scripts")).expect("scripts").flatten().filter(|e| e.path().is_dir()) {
        let files = fs::read_dir(area.path()).expect("an area").flatten().map(|e| e.path());
        let script = |p: &PathBuf| {
            p.extension().is_some_and(|e| e == "probe") && !p.display().to_string().ends_with(".test.probe")
        };
        found.extend(files.filter(script));
    }
    let mut found: Vec<PathBuf> =
        found.iter().map(|p| p.strip_prefix(root).expect("below the root").to_owned()).collect();
    found.sort();
    found
}

/// Largest fixture, and that of the demo.
const MOST: u64 = 60 << 10;
const MOST_OF_DEMO: u64 = 1 << 20;

/// `weftrace test scripts` is the one way: this asks for it.
#[test]
fn fixtures_print_what_is_expected() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut args = vec!["test", "scripts"];
    args.extend(std::env::var_os("WEFTRACE_BLESS").map(|_| "--bless"));
    let output = weftrace(&args);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    let passed = said.lines().last().and_then(|line| line.split(" passed").next()?.parse::<u32>().ok());
    assert!(passed.is_some_and(|n| n >= 40), "too few fixtures: {said}");
    no_script_is_without(&said);
    for script in scripts() {
        let most = if script.ends_with("http/slow_requests.probe") { MOST_OF_DEMO } else { MOST };
        let size = fs::metadata(root.join(script.with_extension("pcap"))).map_or(0, |meta| meta.len());
        assert!(size <= most, "the capture of {} is too large", script.display());
    }
}

/// Modules of packets alone print nothing: what imports them tests them, on a capture.
fn no_script_is_without(said: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tested: Vec<String> = scripts()
        .iter()
        .map(|script| root.join(script))
        .filter(|script| script.with_extension("pcap").exists())
        .map(|script| fs::read_to_string(script).expect("a script"))
        .collect();
    let without = said.lines().filter_map(|line| line.strip_prefix("no fixture: ")).flat_map(|line| line.split(", "));
    for name in without.map(|path| path.strip_prefix("scripts/").expect("a bundled one")) {
        let imported = tested.iter().any(|text| text.contains(&format!("import \"{name}\";")));
        let module = name.starts_with("std/") && imported;
        assert!(module, "{name} has no fixture (docs/testing.md)");
    }
}

#[test]
fn headers_and_bundle() {
    let streams = String::from_utf8_lossy(&weftrace(&["list", "std/t*"]).stdout).into_owned();
    assert!(streams.contains("    tcp.connect          conn, start, end, dur, ok\n"), "{streams}");
    assert!(streams.contains("by tracepoint:sock:inet_sock_set_state, pcap:any:tcp\n"), "{streams}");
    assert!(streams.contains("    tls.handshake ") && !streams.contains("sched.runq"), "{streams}");
    assert_eq!(weftrace(&["list", "std/nothing"]).status.code(), Some(1));
    // What headers say is held by tests/docs.rs.
    let listed = String::from_utf8_lossy(&weftrace(&["list", "scripts"]).stdout).into_owned();
    for script in scripts() {
        let name = script.strip_prefix("scripts").expect("below scripts").with_extension("");
        let bundled = listed.lines().any(|l| l.split_whitespace().next().is_some_and(|n| Path::new(n) == name));
        assert!(bundled, "{} is not bundled", name.display());
    }
}

/// Live, each script is accepted as it stands: no error, and no warning that a reader of the library would have to explain.
#[test]
fn scripts_check_without_findings() {
    if weftrace(&["list", "tracepoint:tcp:tcp_probe"]).stdout.is_empty() {
        println!("SKIP tracefs");
        return;
    }
    for script in scripts() {
        let output = weftrace(&["check", script.to_str().expect("UTF-8")]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && said.is_empty(), "{}: {said}", script.display());
    }
}

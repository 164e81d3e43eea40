//! produced = delivered + told as lost, with the workload's own loop count as the judge.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "tests say what they skip")]

use std::process::{Command, Output};

/// The lab's workload, if it was built beside these tests.
fn lab() -> Option<std::path::PathBuf> {
    let beside = std::path::Path::new(env!("CARGO_BIN_EXE_weftrace")).with_file_name("lab");
    beside.exists().then_some(beside)
}

fn can_trace() -> bool {
    let probe = Command::new(env!("CARGO_BIN_EXE_weftrace"))
        .args(["-q", "-e", "tracepoint:syscalls:sys_enter_getppid { } BEGIN { exit(); }"])
        .output()
        .expect("weftrace runs");
    probe.status.success()
}

fn run(count: u64, extra: &[&str], config: &str) -> Output {
    let program =
        format!("{config} tracepoint:syscalls:sys_enter_getppid /comm == \"lab\"/ {{ printf(\"event %d\\n\", pid); }}");
    let workload = format!("{} getppid {count}", lab().expect("checked").display());
    Command::new(env!("CARGO_BIN_EXE_weftrace"))
        .args(["run", "-f", "json", "-c", &workload])
        .args(extra)
        .args(["-e", &program])
        .output()
        .expect("weftrace runs")
}

/// (delivered, told as lost)
fn account(output: &Output) -> (u64, u64) {
    let (mut delivered, mut lost) = (0, 0);
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let record: serde_json::Value = serde_json::from_str(line).expect("JSON");
        match record["type"].as_str() {
            Some("printf") => delivered += 1,
            Some("losses") => {
                let rows = record["data"].as_array().cloned().unwrap_or_default();
                lost += rows.iter().filter_map(|row| row["count"].as_u64()).sum::<u64>();
            }
            _ => {}
        }
    }
    (delivered, lost)
}

fn needs() -> bool {
    if lab().is_none() {
        println!("SKIP lab");
        return false;
    }
    if !can_trace() {
        println!("SKIP tracepoints");
        return false;
    }
    true
}

/// One test: two workloads at once would each be seen by both scripts.
#[test]
fn every_event_is_delivered_or_told_as_lost() {
    if needs() {
        a_tiny_ring();
        a_million_events_ten_times();
    }
}

fn a_million_events_ten_times() {
    for round in 0..10 {
        let output = run(1_000_000, &[], "");
        let (delivered, lost) = account(&output);
        println!("round {round}: {delivered} delivered, {lost} lost");
        assert_eq!(delivered + lost, 1_000_000, "{}", String::from_utf8_lossy(&output.stderr));
    }
}

fn a_tiny_ring() {
    let (delivered, lost) = account(&run(300_000, &[], "config = { perf_rb_pages=1 }"));
    assert_eq!(delivered + lost, 300_000);
    assert!(lost > 0 && delivered > 0, "{delivered} delivered, {lost} lost");
}

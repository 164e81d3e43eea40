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
        a_full_map();
        what_is_cleared_is_told_once();
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

/// A map that is full is told now and then, in the ring too: what finds no room there is no event.
fn a_full_map() {
    const EVENTS: u64 = 300_000;
    let program = "config = { perf_rb_pages=1 } let @k = hash(1);
        tracepoint:syscalls:sys_enter_getppid /comm == \"lab\"/ { printf(\"event %d\\n\", pid); @k[nsecs] = 1; } END { clear(@k); }";
    let workload = format!("{} getppid {EVENTS}", lab().expect("checked").display());
    let output = Command::new(env!("CARGO_BIN_EXE_weftrace"))
        .args(["run", "-f", "json", "-c", &workload, "-e", program])
        .output()
        .expect("weftrace runs");
    let (mut delivered, mut lost) = (0, 0);
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let record: serde_json::Value = serde_json::from_str(line).expect("JSON");
        delivered += u64::from(record["type"] == "printf");
        let rows = record["data"].as_array().filter(|_| record["type"] == "losses").cloned().unwrap_or_default();
        lost +=
            rows.iter().filter(|row| row["kind"] == "ring_full").filter_map(|row| row["count"].as_u64()).sum::<u64>();
    }
    println!("a full map: {delivered} delivered, {lost} lost");
    assert!(lost > 0 && delivered > 0);
    assert_eq!(delivered + lost, EVENTS, "{}", String::from_utf8_lossy(&output.stderr));
}

/// Sums that are printed and counted anew a thousand times a second, while a program adds to them: each event is in one of them.
fn what_is_cleared_is_told_once() {
    const EVENTS: u64 = 3_000_000;
    let program =
        "tracepoint:syscalls:sys_enter_getppid /comm == \"lab\"/ { @n = count(); @s = sum(2); @h = hist(pid); }
        interval:ms:1 { print(@n); clear(@n); print(@s); clear(@s); print(@h); clear(@h); }";
    let workload = format!("{} getppid {EVENTS}", lab().expect("checked").display());
    let mut weftrace = Command::new(env!("CARGO_BIN_EXE_weftrace"));
    let output = weftrace.args(["-f", "json", "-c", &workload, "-e", program]).output().expect("weftrace runs");
    let (mut count, mut sum, mut buckets) = (0, 0, 0);
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let data = &serde_json::from_str::<serde_json::Value>(line).expect("JSON")["data"];
        count += data["@n"].as_u64().unwrap_or(0);
        sum += data["@s"].as_u64().unwrap_or(0);
        buckets += data["@h"].as_array().into_iter().flatten().filter_map(|row| row["count"].as_u64()).sum::<u64>();
    }
    assert_eq!((count, sum, buckets), (EVENTS, 2 * EVENTS, EVENTS), "{}", String::from_utf8_lossy(&output.stderr));
}

fn a_tiny_ring() {
    let (delivered, lost) = account(&run(300_000, &[], "config = { perf_rb_pages=1 }"));
    assert_eq!(delivered + lost, 300_000);
    assert!(lost > 0 && delivered > 0, "{delivered} delivered, {lost} lost");
}

/// A pcapng block.
fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let size = (12 + body.len().next_multiple_of(4)) as u32;
    let mut out = [&kind.to_le_bytes()[..], &size.to_le_bytes(), body].concat();
    out.resize(size as usize - 4, 0);
    out.extend(size.to_le_bytes());
    out
}

/// Datagrams, one a millisecond; at some of them the file says how many it has dropped so far.
fn capture_with_drops(packets: u64, said: &[(u64, u64)]) -> Vec<u8> {
    const RAW: u8 = 101;
    let section = [&[0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0][..], &[0xff; 8]].concat();
    let mut file = [block(0x0a0d_0d0a, &section), block(1, &[RAW, 0, 0, 0, 0, 0, 0, 0])].concat();
    for ms in 1..=packets {
        let port = if ms % 1000 == 0 { 7 } else { 8 };
        let mut data = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        data.extend([(ms / 1000) as u8, 0, 0, port, 0, 8, 0, 0]);
        let head = [0, 0, ms as u32 * 1000, 28, 28].map(u32::to_le_bytes).concat();
        file.extend(block(6, &[head, data].concat()));
        for (_, dropped) in said.iter().filter(|(at, _)| *at == ms) {
            let head = [0, 0, ms as u32 * 1000].map(u32::to_le_bytes).concat();
            file.extend(block(5, &[&head[..], &[7, 0, 8, 0], &dropped.to_le_bytes(), &[0; 4]].concat()));
        }
    }
    file
}

/// What a file says to have dropped is of any time since it said so last: legs of that time are unknown, others none.
#[test]
fn drops_that_a_capture_tells_of_reach_the_joins_that_are_open() {
    let file = std::env::temp_dir().join(format!("weftrace-drops-{}.pcapng", std::process::id()));
    std::fs::write(&file, capture_with_drops(12_000, &[(3001, 2), (6001, 5), (9001, 5)])).unwrap();
    let script = r#"
        pcap:any /udp.dstport == 7/ { emit ask.one(pid = 1, nr = udp.srcport >> 8, start = nsecs - 50ms, end = nsecs); }
        pcap:any /udp.dstport == 9/ { emit quiet.one(pid = 1, nr = 1); }
        join asked { from a = ask.one(); total a.start; quiet = count(quiet.one) by pid; timeout 30s; }
        join:asked { printf("leg %d %s\n", a.nr, quiet.state); }"#;
    let args = ["run", "-q", "--read", file.to_str().unwrap(), "-e", script];
    let output = Command::new(env!("CARGO_BIN_EXE_weftrace")).args(args).output().expect("weftrace runs");
    let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // What was closed before the file told of it can't be taken back.
    let want = |n: &u8| format!("leg {n} {}", if (3..=6).contains(n) { "unknown" } else { "none" });
    let legs: Vec<_> = said.lines().filter(|line| line.starts_with("leg ")).collect();
    assert_eq!(legs, (1..=12).map(|n| want(&n)).collect::<Vec<_>>(), "{told}");
    assert!(told.contains("lost 5 packets"), "{told}");
    std::fs::remove_file(file).unwrap();
}

/// What of a file of spans can't be read is known before the first packet: no result says none of it.
#[test]
fn spans_that_cannot_be_read_are_missing_from_the_first_result_on() {
    let folder = std::env::temp_dir();
    let [file, spans] =
        ["pcapng", "ndjson"].map(|end| folder.join(format!("weftrace-unread-{}.{end}", std::process::id())));
    std::fs::write(&file, capture_with_drops(12_000, &[])).unwrap();
    std::fs::write(&spans, "no json\nnor this\n").unwrap();
    let script = r#"
        pcap:any /udp.dstport == 7/ { emit ask.one(pid = 1, start = nsecs - 50ms, end = nsecs); }
        span:* { emit told.one(pid = 1, start = span.start, end = span.end); }
        join asked { from a = ask.one(); told = count(told.one) by pid; }
        join:asked { printf("leg %s\n", told.reason); }"#;
    let [read, from] = [&file, &spans].map(|path| path.to_str().unwrap());
    let args = ["run", "-q", "--read", read, "--spans", from, "-e", script];
    let output = Command::new(env!("CARGO_BIN_EXE_weftrace")).args(args).output().expect("weftrace runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let legs: Vec<_> = said.lines().filter(|line| line.starts_with("leg ")).collect();
    assert_eq!(legs, ["leg lost 2"; 12], "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::remove_file(file).and_then(|()| std::fs::remove_file(spans)).unwrap();
}

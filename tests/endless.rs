//! Blocks in user space whose loops don't end: a signal leaves them, and the run ends as at any other time.

mod traced;

use std::{
    fs,
    process::{Command, Stdio},
};
use traced::{lines, soon, text};

const WARNING: &str = "WARNING: a loop was left, since weftrace is to end";

/// A line of /proc/PID/status.
fn status(pid: u32, name: &str) -> String {
    let all = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    all.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned()
}

/// Clock ticks that it ran for (/proc/PID/stat: the name, which may hold anything, and eleven fields come before).
fn ticks(pid: u32) -> u64 {
    let all = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    all.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(11)?.parse().ok()).unwrap_or(0)
}

/// What a script prints and says that is interrupted while it loops. It must end by itself then, and well.
fn interrupted(script: &str, signal: &str) -> (Vec<String>, String) {
    let (lines, said) = interrupted_on(&[], script, signal);
    assert_eq!(said.matches(WARNING).count(), 1, "{script}: {said}");
    (lines, said)
}

fn interrupted_on(args: &[&str], script: &str, signal: &str) -> (Vec<String>, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_weftrace"))
        .arg("run")
        .args(args)
        .args(["-e", script])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let pid = child.id();
    let handled = || u64::from_str_radix(&status(pid, "SigCgt:"), 16).is_ok_and(|set| set & 1 << 14 != 0);
    let ready = soon(handled);
    let before = ticks(pid);
    let loops = soon(|| ticks(pid) > before + 20);
    let asked = Command::new("kill").args([signal, &pid.to_string()]).status().is_ok_and(|s| s.success());
    let ends = soon(|| status(pid, "State:").starts_with('Z'));
    // It does nothing to one that has ended.
    let _ = child.kill();
    let out = child.wait_with_output().expect("it has ended");
    assert!(ready && loops && asked, "{script}: signals handled {ready}, loops {loops}, asked to end {asked}");
    assert!(ends, "{script}: goes on after its signal");
    let (said, status) = (text(&out.stderr), out.status);
    assert_eq!(status.code(), Some(0), "{script}: {status}: {said}");
    (lines(&out.stdout), said)
}

/// The number of a map without keys.
fn number(lines: &[String], map: &str) -> u64 {
    let line = lines.iter().find_map(|line| line.strip_prefix(map)?.strip_prefix(": "));
    line.unwrap_or_else(|| panic!("no {map} in {lines:?}")).parse().expect("a number")
}

#[test]
fn begin_is_left_and_end_runs_to_its_end() {
    let script = r#"BEGIN { while (1) { @x++; } printf("behind it\n"); } END { for ($i : 0..1000000) { @y++; } }"#;
    for signal in ["-INT", "-TERM"] {
        let (lines, said) = interrupted(script, signal);
        assert!(number(&lines, "@x") >= 65_535, "{lines:?}");
        assert_eq!(number(&lines, "@y"), 1_000_000);
        assert!(lines.contains(&"behind it".to_owned()), "{lines:?}");
        assert!(said.contains("-e:1:16-17"), "{said}");
    }
}

/// Loops around the one that is left are left too, and those behind it.
#[test]
fn loops_within_loops() {
    let script = "BEGIN { for ($i : 0..100000000000) { $j = 0; while ($j < 100000) { $j++; @x++; } @rounds++; }
        for ($i : 0..100000000000) { @more++; } }";
    let (lines, _) = interrupted(script, "-INT");
    assert!(number(&lines, "@rounds") > 0 && number(&lines, "@x") > 0, "{lines:?}");
    assert!(!lines.iter().any(|line| line.starts_with("@more")), "{lines:?}");
}

/// A capture of empty frames at these seconds.
fn capture(name: &str, times: impl Iterator<Item = u32>) -> String {
    let mut bytes = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1].map(u32::to_le_bytes).concat();
    for seconds in times {
        bytes.extend([seconds, 0, 14, 14].map(u32::to_le_bytes).concat());
        bytes.extend([0; 14]);
    }
    let file = traced::folder().join(name);
    fs::write(&file, bytes).expect("a capture");
    file.to_str().expect("a path of letters").to_owned()
}

/// Intervals between packets: to look at signals between packets alone would take minutes.
#[test]
fn ticks_of_intervals() {
    const PACKETS: u32 = 4096;
    let file = capture("ticks.pcap", (0..PACKETS).map(|n| n * 10));
    let intervals = "interval:ms:1 { @ticks++; } ".repeat(64);
    let script = format!("pcap:any {{ @packets = count(); }} {intervals} END {{ printf(\"the end\\n\"); }}");
    let (lines, said) = interrupted_on(&["--read", &file], &script, "-INT");
    let packets = number(&lines, "@packets");
    assert!(number(&lines, "@ticks") > 100 && (1..PACKETS.into()).contains(&packets), "{lines:?}");
    assert!(lines.contains(&"the end".to_owned()) && !said.contains(WARNING), "{lines:?} {said}");
}

/// The second packet came half a century later, the fourth a year: of each such time little is made up for, and that is told.
#[test]
fn ticks_of_years() {
    let file = capture("years.pcap", [0, 1_700_000_000, 1_700_000_003, 1_731_536_000].into_iter());
    let script =
        "pcap:any { @packets = count(); @last = @ticks; } interval:s:1 { @ticks++; } interval:s:86400 { @days++; }";
    let out = traced::weftrace(&["run", "--read", &file, "-e", script]);
    let (lines, said) = (lines(&out.stdout), text(&out.stderr));
    assert!(out.status.success(), "{said}");
    let counts = ["@packets", "@last", "@days"].map(|map| number(&lines, map));
    assert_eq!(counts, [4, 20_003, 10_000 + 365], "{lines:?} {said}");
    let (jump, passed) =
        ("the packets' clock jumps ahead at frame 2: interval:", " 1699990000 further ticks were passed over");
    assert!(said.contains(jump) && said.contains(passed), "{said}");
    assert!(said.contains("ticks of intervals were passed over, at 3 jumps of the packets' clock"), "{said}");
}

#[test]
fn blocks_of_the_run() {
    let (lines, _) = interrupted("interval:ms:1 { while (1) { @x++; } }", "-INT");
    assert!(number(&lines, "@x") >= 65_535, "{lines:?}");
    // The block runs anew for each result, also for those that are still open at the end.
    let script = "interval:ms:10 { emit a.b(id = (uint64)1, start = nsecs - 1ms, end = nsecs); }
        join rq { from r = a.b(); } join:rq { while (1) { @x++; } }";
    let (lines, _) = interrupted(script, "-TERM");
    assert!(number(&lines, "@x") >= 65_535, "{lines:?}");
}

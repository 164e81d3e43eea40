//! Results of tests and benchmarks, in bpftrace's shapes (those of Google's test and benchmark libraries).

use crate::json::write_string;
use std::io::Write;

const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";

/// Least width of the names' column.
const NAMES: usize = 40;
const TIMES: usize = 15;

/// One test; before the first and after the last what frames them.
pub(super) fn test_text(out: &mut Vec<u8>, names: &[String], index: usize, ns: u64, passed: &[bool], output: &[u8]) {
    let name = &names[index];
    if index == 0 {
        let _ = writeln!(out, "{GREEN}[==========]{PLAIN} Running {} tests.", names.len());
    }
    let _ = writeln!(out, "{GREEN}[ RUN      ]{PLAIN} {name}");
    if passed[index] {
        let _ = write!(out, "{GREEN}[       OK ]{PLAIN} {name}");
    } else {
        for line in output.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            out.extend_from_slice(line);
            out.push(b'\n');
        }
        let _ = write!(out, "{RED}[  FAILED  ]{PLAIN} {name}");
    }
    let _ = writeln!(out, " ({})", duration(ns));
    if index + 1 < names.len() {
        return;
    }
    let count = |n: usize| format!("{n} {}", if n == 1 { "test" } else { "tests" });
    let good = passed.iter().filter(|p| **p).count();
    let _ = writeln!(out, "{GREEN}[==========]{PLAIN} {} ran.", count(names.len()));
    let _ = writeln!(out, "{GREEN}[  PASSED  ]{PLAIN} {}.", count(good));
    if good < names.len() {
        let _ = writeln!(out, "{RED}[  FAILED  ]{PLAIN} {}, listed below:", count(names.len() - good));
        for (name, _) in names.iter().zip(passed).filter(|(_, passed)| !**passed) {
            let _ = writeln!(out, "{RED}[  FAILED  ]{PLAIN} {name}");
        }
    }
}

/// In the largest unit of which there is one.
fn duration(ns: u64) -> String {
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{} \u{3bc}s", ns / 1_000),
        1_000_000..1_000_000_000 => format!("{} ms", ns / 1_000_000),
        _ => format!("{} s", ns / 1_000_000_000),
    }
}

pub(super) fn test_json(out: &mut Vec<u8>, name: &str, ns: u64, passed: bool, output: &[u8]) {
    out.push(b'{');
    write_string(out, name.as_bytes());
    let _ = write!(out, ": {{\"duration\": {ns}, \"passed\": {passed}, \"output\": ");
    write_string(out, output);
    out.extend_from_slice(b"}}");
}

/// A row of the table; before the first its head.
pub(super) fn bench_text(out: &mut Vec<u8>, names: &[String], index: usize, ns: u64, runs: u64) {
    let width = names.iter().map(String::len).max().unwrap_or(0).max(NAMES) + 1;
    if index == 0 {
        let head = format!("{:width$}{:TIMES$}Iterations", "Benchmark", "Time(ns)");
        let _ = writeln!(out, "{head}\n{}", "-".repeat(head.len()));
    }
    let _ = writeln!(out, "{:width$}{ns:<TIMES$}{runs}", names[index]);
}

pub(super) fn bench_json(out: &mut Vec<u8>, name: &str, ns: u64, runs: u64) {
    out.push(b'{');
    write_string(out, name.as_bytes());
    let _ = write!(out, ": {{\"average\": {ns}, \"iters\": {runs}}}}}");
}

//! Attaching as `bpftrace` does it: counted events, tests and benchmarks, order, filters, what is missing.
#![allow(clippy::print_stdout, reason = "tests say what they skip")]

use std::{
    os::unix::process::CommandExt,
    process::{Command, Output},
};

fn bpftrace(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weftrace")).arg0("bpftrace").args(args).output().expect("the binary runs")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Without the time, and the place of a message.
fn short(line: &str) -> &str {
    let line = line.split(" (").next().unwrap_or(line);
    line.find("ERROR: ").map_or(line, |at| &line[at..])
}

/// Whether kernel programs may be loaded here.
fn permitted() -> bool {
    let runs = bpftrace(&["-q", "-e", "test:t { }", "--test"]).status.success();
    if !runs {
        println!("SKIP root");
    }
    runs
}

#[test]
fn tests_tell_what_failed() {
    if !permitted() {
        return;
    }
    let program = "BEGIN { @n = 1; } test:good { @n = 2; } test:bad { errorf(\"why\\n\"); } test:left { exit(1); }";
    let run = bpftrace(&["--test", "-e", program]);
    let text = out(&run).replace("\x1b[32m", "").replace("\x1b[31m", "").replace("\x1b[0m", "");
    assert_eq!(run.status.code(), Some(1), "{text}");
    let lines: Vec<&str> = text.lines().map(short).collect();
    assert_eq!(
        lines[..14],
        [
            "[==========] Running 3 tests.",
            "[ RUN      ] good",
            "[       OK ] good",
            "[ RUN      ] bad",
            "ERROR: why",
            "[  FAILED  ] bad",
            "[ RUN      ] left",
            "[  FAILED  ] left",
            "[==========] 3 tests ran.",
            "[  PASSED  ] 1 test.",
            "[  FAILED  ] 2 tests, listed below:",
            "[  FAILED  ] bad",
            "[  FAILED  ] left",
            "",
        ],
        "{text}"
    );
    assert!(text.contains("@n: 2"), "maps are printed at the end: {text}");
    let one = bpftrace(&["--test", "--probe-filter", "^test:good$", "-f", "json", "-e", program]);
    assert_eq!(one.status.code(), Some(0));
    let json = out(&one);
    assert!(json.starts_with("{\"type\": \"test_result\", \"data\": {\"good\": {\"duration\": "), "{json}");
    assert!(json.contains("\"passed\": true, \"output\": \"\"}}}"), "{json}");
}

#[test]
fn benchmarks_are_a_table_or_json() {
    if !permitted() {
        return;
    }
    let program = "bench:a { @ = count(); } bench:stack { @s[kstack] = count(); } END { clear(@); clear(@s); }";
    let text = out(&bpftrace(&["--bench", "-e", program]));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], format!("{:41}{:15}Iterations", "Benchmark", "Time(ns)"));
    assert_eq!(lines[1], "-".repeat(66));
    for (line, name) in lines[2..].iter().zip(["a", "stack"]) {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert!(words.len() == 3 && words[0] == name && words[1..].iter().all(|n| n.parse::<u64>().is_ok()), "{text}");
    }
    let json = out(&bpftrace(&["-q", "-f", "json", "--mode", "bench", "-e", program]));
    assert!(json.starts_with("{\"type\": \"benchmark_result\", \"data\": {\"a\": {\"average\": "), "{json}");
    let idle = bpftrace(&["-e", "bench:a { }"]);
    assert_eq!(idle.status.code(), Some(1));
    assert_eq!(err(&idle), "ERROR: No probes attached; use --bench to run benchmark probes.\n");
}

#[test]
fn counted_events_fire_and_have_names() {
    if !permitted() {
        return;
    }
    let program = "software:cpu-clock:1e6 { print(probe); exit(); }";
    assert!(out(&bpftrace(&["-e", program])).starts_with("software:cpu-clock:1000000\n"));
    let walk = out(&bpftrace(&["-q", "-e", "iter:task { @[ctx.task.comm] = count(); }"]));
    assert!(walk.contains("@[weftrace]: "), "{walk}");
}

#[test]
fn blocks_at_one_event_run_in_the_scripts_order() {
    if !permitted() {
        return;
    }
    // Events of one processor. An interval is no processor's: it may be another one each time, or never that one.
    for (probe, here) in [
        ("software:cpu:1e6", "cpu == 0"),
        ("rawtracepoint:sched_switch", "cpu == 0"),
        ("tracepoint:sched:sched_switch", "cpu == 0"),
        ("interval:ms:20", "true"),
    ] {
        let program = format!(
            "{probe} /{here}/ {{ if (@n == 0) {{ @n = 1; printf(\"first\"); }} }} {probe} /{here} && @n == 1/ {{ @n = 2; printf(\" second\\n\"); exit(); }}"
        );
        let run = bpftrace(&["-q", "-e", &program]);
        assert!(out(&run).starts_with("first second\n"), "{probe}: {}{}", out(&run), err(&run));
    }
}

#[test]
fn exit_silences_what_comes_later() {
    if !permitted() {
        return;
    }
    let program = "begin,end { printf(\"%s\\n\", probe); } interval:ms:10 { print(1); exit(); print(2); } interval:ms:10 { print(3); }";
    assert_eq!(out(&bpftrace(&["-q", "-e", program])), "begin\n1\nend\n\n\n");
}

#[test]
fn parameters_stand_for_any_part_of_an_attach_point() {
    if !permitted() {
        return;
    }
    for (program, parameters) in
        [("BEG$1 { print(\"x\"); exit(); }", &["IN"][..]), ("$1 { print(\"x\"); exit(); }", &["i:ms:1"])]
    {
        let args = [&["-q", "-e", program][..], parameters].concat();
        assert!(out(&bpftrace(&args)).starts_with("x\n"), "{program}");
    }
}

#[test]
fn what_is_missing_is_an_error_a_warning_or_nothing() {
    if !permitted() {
        return;
    }
    let point = "tracepoint:sched:nonsense { exit(); }";
    let strict = bpftrace(&["-e", point]);
    let text = err(&strict);
    assert_eq!(strict.status.code(), Some(1));
    assert!(text.contains("stdin:1:1-26: ERROR: No matches for tracepoint sched:nonsense.\n"), "{text}");
    assert!(text.contains("ERROR: Probe has no valid attach points. If this is expected"), "{text}");
    let warned = bpftrace(&["-e", &format!("config = {{ missing_probes = warn }} {point} begin {{ exit(); }}")]);
    let text = err(&warned);
    assert_eq!(warned.status.code(), Some(0), "{text}");
    assert!(text.contains("WARNING: No matches for tracepoint sched:nonsense. Skipping.\n"), "{text}");
    assert!(text.contains("WARNING: Probe has no valid attach points. It is being removed"), "{text}");
    let ignored = bpftrace(&["-e", &format!("config = {{ missing_probes = ignore }} {point}")]);
    assert_eq!((ignored.status.code(), out(&ignored).as_str()), (Some(1), "No probes to attach\n"));
    assert_eq!(err(&ignored), "");
    let limited = bpftrace(&["-e", "config = { max_probes = 1 } begin, end { exit(); }"]);
    assert!(err(&limited).contains("Can't attach to 2 probes because it exceeds the current limit of 1 probes."));
}

#[test]
fn a_process_filters_what_the_kernel_cannot() {
    if !permitted() {
        return;
    }
    let mut busy = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().expect("sh");
    let pid = busy.id().to_string();
    let program = "rawtracepoint:sched_switch { @t[pid] = count(); } software:cpu:1e6 { @s[pid] = count(); } interval:ms:400 { exit(); }";
    let text = out(&bpftrace(&["-q", "-p", &pid, "-e", program]));
    busy.kill().and_then(|()| busy.wait()).expect("ended");
    let keys: Vec<&str> = text.lines().filter(|line| line.starts_with('@')).collect();
    assert!(keys.iter().all(|line| line.contains(&format!("[{pid}]"))), "{text}");
    assert!(keys.iter().any(|line| line.starts_with("@s[")), "{text}");
}

#[test]
fn a_dry_run_prints_nothing() {
    if !permitted() {
        return;
    }
    let run = bpftrace(&["--dry-run", "-e", "begin { printf(\"hello\\n\"); @ = 0; }"]);
    assert_eq!((run.status.code(), out(&run).as_str(), err(&run).as_str()), (Some(0), "", ""));
}

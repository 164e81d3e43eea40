//! `bpftrace -l` and `weftrace list`: what there is to probe.

use std::{
    os::unix::process::CommandExt,
    process::{Command, Output},
};

fn called(name: &str, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weftrace")).arg0(name).args(args).output().expect("the binary runs")
}

fn lines(name: &str, args: &[&str]) -> Vec<String> {
    String::from_utf8_lossy(&called(name, args).stdout).lines().map(str::to_owned).collect()
}

#[test]
fn software_events_need_no_kernel() {
    assert_eq!(lines("bpftrace", &["-l", "software:page*"]), ["software:page-faults:"]);
    assert_eq!(lines("weftrace", &["list", "software:page*"]), ["software:page-faults:"]);
    let both = lines("bpftrace", &["-l", "*ware:*"]);
    assert!(both.contains(&"hardware:cycles:".to_owned()) && both.contains(&"software:cs:".to_owned()));
}

#[test]
fn several_patterns_and_definitions() {
    let found = lines("bpftrace", &["-lv", "interval:s,struct list_head"]);
    if found.len() > 1 {
        assert_eq!(found[..2], ["interval:s:", "vmlinux: struct list_head {"]);
    }
}

#[test]
fn what_a_program_attaches_to() {
    let program = "hardware:cache-misses:10 { } BEGIN { } interval:ms:$1, software:cs:1 { }";
    assert_eq!(
        lines("bpftrace", &["-l", "-e", program, "100"]),
        ["hardware:cache-misses:", "interval:ms:", "software:cs:"]
    );
    let wrong = called("bpftrace", &["-l", "-e", "BEGIN {"]);
    assert_eq!(wrong.status.code(), Some(1));
}

#[test]
fn a_file_that_is_not_there_is_a_pattern() {
    let out = called("bpftrace", &["-l", "nowhere_at_all.bt"]);
    assert_eq!(out.status.code(), Some(0));
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(said.contains("It appears that 'nowhere_at_all.bt' is a filename but the file does not exist."), "{said}");
}

#[test]
fn functions_come_from_the_file_that_the_user_names() {
    let file = std::env::temp_dir().join(format!("weftrace-traceable-{}", std::process::id()));
    std::fs::write(&file, "alpha_one\nalpha_two [net]\nbeta\n").expect("written");
    let path = file.to_string_lossy().into_owned();
    let found = lines("bpftrace", &["--traceable-functions", &path, "-l", "kprobe:alpha*"]);
    let with_module = lines("bpftrace", &["--traceable-functions", &path, "-l", "kprobe:net:*"]);
    let _ = std::fs::remove_file(&file);
    assert_eq!(found, ["kprobe:alpha_one", "kprobe:alpha_two"]);
    assert_eq!(with_module, ["kprobe:net:alpha_two"]);
}

#[test]
fn a_misspelt_provider_is_told() {
    let out = called("weftrace", &["list", "tracpoint:tcp:*"]);
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.code() == Some(1) && said.contains("near by name: tracepoint"), "{said}");
}

//! Tracepoints attached in other ways bring the records of perf tracepoints: one script has both, and what they saw is compared.
#![allow(clippy::print_stdout, reason = "tests say what they skip")]

mod traced;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};
use traced::{build, can_trace, folder, ready, traced_command, weftrace};

/// A body that asks for the kernel's stack is attached as written; this one never gets there.
const AS_WRITTEN: &str = "if (pid == 0) { print(kstack); }";

fn program() -> Option<PathBuf> {
    if !can_trace() {
        return None;
    }
    build("calls", "calls.c", &["-O1"])
}

/// The ways in the plan: probe → way.
fn ways(script: &str) -> Vec<(String, String)> {
    let plan = weftrace(&["dump", "--stage", "plan", "-e", script]);
    let text = String::from_utf8_lossy(&plan.stdout).into_owned();
    let rows = text.lines().filter_map(|line| line.strip_prefix("kernel  tracepoint:"));
    rows.map(|row| {
        let (name, rest) = row.split_once(' ').unwrap_or((row, ""));
        let way = rest.trim_start().split("  ").next().unwrap_or("");
        (name.to_owned(), way.to_owned())
    })
    .collect()
}

/// What maps hold at the end: map → key → value.
fn maps(lines: &[String]) -> BTreeMap<String, BTreeMap<String, i64>> {
    let mut all: BTreeMap<String, BTreeMap<String, i64>> = BTreeMap::new();
    for line in lines {
        let Some((map, rest)) = line.split_once('[') else { continue };
        let Some((key, value)) = rest.rsplit_once("]: ") else { continue };
        all.entry(map.to_owned()).or_default().insert(key.to_owned(), value.parse().unwrap_or(-1));
    }
    all
}

/// Runs one body both ways while the program runs.
fn both(targets: &str, filter: &str, key: &str, command: &str, words: &str) -> BTreeMap<String, BTreeMap<String, i64>> {
    let script = format!(
        "{targets} /{filter}/ {{ @other[{key}] = count(); }} {targets} /{filter}/ {{ {AS_WRITTEN} @perf[{key}] = count(); }}"
    );
    let ways = ways(&script.replace("cpid", "1"));
    let (first, second) = ways.split_at(ways.len() / 2);
    assert!(first.iter().all(|(_, way)| way.starts_with("tp_btf")), "{first:?}");
    assert!(second.iter().all(|(_, way)| way == "perf tracepoint"), "{second:?}");
    // On a busy machine a perf tracepoint misses what happens while another runs on its processor, which is told: nothing to compare then.
    let run = || traced_command(&script, Path::new(command), &format!("{command} {words}"));
    let missed = |(_, said): &(Vec<String>, String)| said.contains("already running on that CPU");
    let (lines, said) = (0..5).map(|_| run()).find(|ran| !missed(ran)).expect("a run that misses nothing");
    // A string on a page that is not in memory.
    assert!(said.trim().is_empty() || said.contains("reads of memory"), "{script}: {said}");
    maps(&lines)
}

fn has_tp_btf() -> bool {
    let ready = ready("tp_btf");
    if !ready {
        println!("SKIP tp_btf");
    }
    ready
}

#[test]
fn system_calls_at_one_place_are_those_of_their_tracepoints() {
    let Some(program) = program().filter(|_| has_tp_btf()) else { return };
    let command = program.to_string_lossy().into_owned();
    let point = |names: &[&str], at: &str| {
        names.iter().map(|n| format!("tracepoint:syscalls:sys_{at}_{n}")).collect::<Vec<_>>().join(",")
    };
    if Command::new(&program).arg("ia32").status().is_ok_and(|s| s.code() == Some(77)) {
        println!("SKIP 32-bit system calls");
    }
    let names = ["getppid", "openat", "getpriority", "semget", "pwrite64"];
    for (at, key) in [("enter", "probe, args.__syscall_nr"), ("exit", "probe, args.__syscall_nr, args.ret")] {
        let seen = both(&point(&names, at), "pid == cpid", key, &command, "ia32");
        assert_eq!(seen.get("@other"), seen.get("@perf"), "{seen:?}");
        let all = &seen["@perf"];
        let of = |name: &str| -> i64 {
            let full = format!("tracepoint:syscalls:sys_{at}_{name},");
            all.iter().filter(|(key, _)| key.starts_with(&full)).map(|(_, n)| n).sum()
        };
        assert_eq!((of("getppid"), of("getpriority"), of("semget"), of("pwrite64")), (1000, 10, 0, 5), "{all:?}");
        assert!(of("openat") >= 100, "{all:?}");
    }
}

#[test]
fn arguments_of_system_calls_are_those_of_the_records() {
    let Some(program) = program().filter(|_| has_tp_btf()) else { return };
    let command = program.to_string_lossy().into_owned();
    // Calls with fields of the same names in the same places.
    let names = ["openat", "fchmodat", "fchownat", "faccessat"].map(|n| format!("tracepoint:syscalls:sys_enter_{n}"));
    let key = "args.dfd, args.filename, str(args.filename), comm, tid, len(ustack)";
    let seen = both(&names.join(","), "pid == cpid", key, &command, "");
    assert_eq!(seen.get("@other"), seen.get("@perf"), "{seen:?}");
    assert!(seen["@perf"].keys().any(|k| k.contains("/nowhere/at/all")), "{seen:?}");
}

/// (tracepoint, what belongs to the program, fields that are made of the arguments).
const EVENTS: &[(&str, &str, &[&str])] = &[
    ("raw_syscalls:sys_enter", "pid == cpid", &["id"]),
    ("raw_syscalls:sys_exit", "pid == cpid", &["id", "ret"]),
    (
        "sched:sched_switch",
        "args.prev_pid == cpid || args.next_pid == cpid",
        &["prev_pid", "prev_prio", "next_pid", "next_prio"],
    ),
    ("sched:sched_waking", "pid == cpid || args.pid == cpid", &["pid", "prio"]),
    ("sched:sched_wakeup", "pid == cpid || args.pid == cpid", &["pid", "prio"]),
    ("sched:sched_wakeup_new", "pid == cpid", &["pid", "prio"]),
    ("sched:sched_migrate_task", "args.pid == cpid", &["pid", "prio", "dest_cpu"]),
    ("sched:sched_process_exit", "pid == cpid", &["pid", "prio"]),
    ("sched:sched_process_fork", "args.parent_pid == cpid", &["parent_pid", "child_pid"]),
    ("sched:sched_process_exec", "pid == cpid", &["pid", "old_pid"]),
    ("sched:sched_stat_runtime", "args.pid == cpid", &["pid", "runtime"]),
    ("sock:inet_sock_set_state", "pid == cpid", &["skaddr", "oldstate", "newstate"]),
    ("skb:kfree_skb", "pid == cpid", &["skbaddr", "location"]),
    ("skb:consume_skb", "pid == cpid", &["skbaddr"]),
];

#[test]
fn arguments_of_tracepoints_make_their_records() {
    let Some(program) = program().filter(|_| has_tp_btf()) else { return };
    let command = program.to_string_lossy().into_owned();
    for (event, filter, fields) in EVENTS {
        let key: Vec<String> = fields.iter().map(|f| format!("args.{f}")).collect();
        let seen = both(&format!("tracepoint:{event}"), filter, &key.join(", "), &command, "all");
        let none = BTreeMap::new();
        let (other, perf) = (seen.get("@other").unwrap_or(&none), seen.get("@perf").unwrap_or(&none));
        assert!(!perf.is_empty(), "{event}: {seen:?}");
        // What an interrupt does in the middle of a program perf leaves out.
        let missed: i64 = other.iter().map(|(key, n)| n - perf.get(key).unwrap_or(&0)).sum();
        assert!(perf.iter().all(|(key, n)| other.get(key).is_some_and(|o| o >= n)), "{event}: {other:?} {perf:?}");
        assert!((0..=2).contains(&missed), "{event}: {other:?} {perf:?}");
    }
}

/// Sends to an address that nobody has, in a namespace of its own: at the other end of the cable it is dropped.
const NOBODY: &str = "ip link add cable type veth peer name end && ip addr add 10.87.0.1/24 dev cable || exit 1
ip link set cable up && ip link set end up && ip neigh add 10.87.0.2 lladdr 02:00:00:00:00:02 dev cable || exit 1
timeout 4 bash -c ': < /dev/tcp/10.87.0.2/7000' 2>/dev/null; exit 0";

#[test]
fn what_is_sent_again_is_told_as_its_record_has_it() {
    if !can_trace() || !has_tp_btf() {
        return;
    }
    let can = Command::new("unshare")
        .args(["-n", "ip", "link", "add", "cable", "type", "veth", "peer", "name", "end"])
        .status();
    if !can.is_ok_and(|status| status.success()) {
        println!("SKIP network namespaces");
        return;
    }
    let command = folder().join(format!("nobody-{}.sh", std::process::id()));
    std::fs::write(&command, NOBODY).expect("a file");
    let run = format!("unshare -n sh {}", command.display());
    let err = weftrace(&["list", "-v", "tracepoint:tcp:tcp_retransmit_skb"]);
    let err = if String::from_utf8_lossy(&err.stdout).contains(" err") { ", args.err" } else { "" };
    let key =
        format!("args.state, args.family, args.sport != 0, args.dport, args.skaddr, args.skbaddr, args.sport{err}");
    let script = "tracepoint:tcp:tcp_retransmit_skb";
    let seen = both(script, "args.dport == 7000 && args.family == 2", &key, &run, "");
    assert_eq!(seen.get("@other"), seen.get("@perf"), "{seen:?}");
    let all = &seen["@perf"];
    // A SYN is sent again after a second, and then once or twice more (net.ipv4.tcp_syn_linear_timeouts).
    let times = all.values().sum::<i64>();
    assert!(all.keys().all(|key| key.starts_with("2, 2, true, 7000, ")) && (2..=3).contains(&times), "{seen:?}");
    std::fs::remove_file(command).expect("it is there");
}

#[test]
fn what_other_ways_cannot_do_is_attached_as_written() {
    let way = |script: &str| ways(script).into_iter().map(|(_, way)| way).collect::<Vec<_>>();
    if !has_tp_btf() {
        return;
    }
    let perf = |script: &str| assert_eq!(way(script), ["perf tracepoint"], "{script}");
    perf("tracepoint:sched:sched_switch { @[kstack] = count(); }");
    perf("tracepoint:sched:sched_switch { @[args.prev_comm] = count(); }");
    // Programs allocate memory themselves.
    perf("tracepoint:kmem:kmalloc { @ = count(); }");
    perf("tracepoint:syscalls:sys_enter_read { @ = count(); }");
    let four = "tracepoint:syscalls:sys_enter_read,tracepoint:syscalls:sys_enter_write,tracepoint:syscalls:sys_enter_close,\
                tracepoint:syscalls:sys_enter_openat";
    assert!(way(&format!("{four} {{ @ = count(); }}")).iter().all(|w| w.starts_with("tp_btf on sys_enter")));
    assert!(way(&format!("{four} {{ @[kstack] = count(); }}")).iter().all(|w| w == "perf tracepoint"));
    // Named twice it runs twice.
    let twice = way(&format!("{four},tracepoint:syscalls:sys_enter_read {{ @ = count(); }}"));
    assert_eq!(twice.iter().filter(|w| *w == "perf tracepoint").count(), 2, "{twice:?}");
}

//! What a run keeps of its capabilities once everything is attached: nothing, but in its helper process, and where commands need them.
#![allow(clippy::print_stdout, reason = "tests say what they skip")]

mod traced;

use std::{fs, path::PathBuf, process::Command};
use traced::{Tracer, soon, text};

/// As root, who has something to give up, and where programs load.
fn runs() -> bool {
    let root = fs::read_to_string("/proc/self/status").is_ok_and(|status| status.contains("\nUid:\t0\t0\t"));
    let runs = root && traced::ready("rawtracepoint");
    if !runs {
        println!("SKIP root");
    }
    runs
}

/// A line of /proc/PID/status, in each thread.
fn statuses(pid: u32, field: &str) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    let of = |path: PathBuf| {
        let status = fs::read_to_string(path.join("status")).ok()?;
        status.lines().find_map(|l| l.strip_prefix(field)).map(|l| l.trim().to_owned())
    };
    tasks.flatten().filter_map(|task| of(task.path())).collect()
}

fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|n| n.parse().ok()).collect()
}

const NONE: &str = "0000000000000000";

#[test]
fn nothing_is_kept_once_attached() {
    if !runs() {
        return;
    }
    let scripts = [
        ("rawtracepoint:sched_switch { @[ustack(3)] = count(); }", true),
        ("rawtracepoint:sched_switch { @ = count(); }", false),
        ("profile:hz:99 { @[kstack] = count(); }", false),
        ("pcap:lo { @ = count(); }", false),
        ("interval:s:1 { @ = count(); }", false),
        ("interval:s:1 { cat(\"/etc/hostname\"); }", true),
    ];
    for (script, helped) in scripts {
        let run = Tracer::start(script, &[]);
        for field in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
            let sets = statuses(run.pid(), field);
            assert!(!sets.is_empty() && sets.iter().all(|set| set == NONE), "{script}: {field} {sets:?}");
        }
        assert!(statuses(run.pid(), "NoNewPrivs:").iter().all(|n| n == "1"), "{script}");
        let helpers = children(run.pid());
        assert_eq!(helpers.len(), usize::from(helped), "{script}");
        if let Some(helper) = helpers.into_iter().next() {
            // CAP_CHECKPOINT_RESTORE, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH; given up by itself, once it runs.
            let kept = || statuses(helper, "CapPrm:") == ["0000010000080004"];
            assert!(soon(kept), "{script}: {:?}", statuses(helper, "CapPrm:"));
            assert_eq!(statuses(helper, "CapBnd:"), ["0000010000080004"], "{script}");
            let open = fs::read_dir(format!("/proc/{helper}/fd")).expect("ours").flatten();
            let open: Vec<String> =
                open.filter_map(|f| Some(fs::read_link(f.path()).ok()?.display().to_string())).collect();
            let others = open.iter().filter(|f| *f != "/dev/null" && !f.starts_with("socket:"));
            assert_eq!((others.count(), open.len()), (0, 4), "{script}: {open:?}");
            drop(run);
            assert!(gone(helper), "{script}: the helper is left");
        }
    }
}

/// Whether a process ends soon.
fn gone(pid: u32) -> bool {
    soon(|| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.is_empty() || stat.contains(") Z ")
    })
}

#[test]
fn commands_keep_what_they_are_given() {
    if !runs() {
        return;
    }
    let own = statuses(std::process::id(), "CapEff:").pop().expect("this process");
    // system() runs commands as the operator would: everything is kept, and said.
    let out = Command::new(env!("CARGO_BIN_EXE_weftrace"))
        .args(["-v", "--unsafe", "-e", "interval:ms:10 { system(\"grep CapEff /proc/self/status\"); exit(); }"])
        .output()
        .expect("runs");
    assert!(text(&out.stdout).contains(&own), "{}", text(&out.stdout));
    assert!(text(&out.stderr).contains("all kept, since commands of system()"), "{}", text(&out.stderr));
    // So does the command of -c, while the tracer has nothing.
    let file = traced::folder().join("of-the-command");
    let command = format!("sh -c 'grep CapEff /proc/self/status > {}; sleep 5'", file.display());
    let run = Tracer::start("interval:s:1 { }", &["-c", &command]);
    assert_eq!(statuses(run.pid(), "CapEff:"), ["0000000000000020"], "CAP_KILL, to end it");
    assert!(soon(|| fs::read_to_string(&file).unwrap_or_default().contains(&own)), "{own}");
}

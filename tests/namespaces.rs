//! weftrace in a pid namespace of its own, as in a container: every number of a process is that namespace's, so that joins by process meet.
#![allow(clippy::print_stdout, reason = "tests say what they skip")]

mod traced;

use std::process::Command;
use traced::{folder, lines, ready, text};

/// Runs a shell's text as the first process of a new pid namespace. `WEFTRACE` is the binary. None: that isn't allowed here.
fn within(script: &str) -> Option<(Vec<String>, String)> {
    if !ready("rawtracepoint") {
        println!("SKIP raw tracepoints");
        return None;
    }
    let unshare = ["--pid", "--fork", "--mount-proc", "--kill-child"];
    if !Command::new("unshare").args(unshare).arg("true").status().is_ok_and(|status| status.success()) {
        println!("SKIP pid namespaces");
        return None;
    }
    let script = script.replace("WEFTRACE", env!("CARGO_BIN_EXE_weftrace"));
    let out = Command::new("unshare")
        .args(unshare)
        .args(["sh", "-c", &script])
        .current_dir(folder())
        .output()
        .expect("it ran");
    Some((lines(&out.stdout), text(&out.stderr)))
}

#[test]
fn a_task_has_the_number_that_its_namespace_gives_it() {
    let Some((lines, said)) = within(
        r#"sleep 100 & echo $!
           WEFTRACE run -q -e 'iter:task /ctx.task.comm == "sleep" && pid(ctx.task) != 0/ {
             printf("%d %d\n", pid(ctx.task), tid(ctx.task)); }'"#,
    ) else {
        return;
    };
    let [own, seen] = &lines[..] else { panic!("{lines:?} {said}") };
    assert_eq!(*seen, format!("{own} {own}"), "{said}");
}

/// Two that want the same processor: each waits for it, and the wait is found by the number that its own probe knows it by. One of them
/// is in a namespace of its own below ours.
#[test]
fn a_join_by_process() {
    let Some((lines, said)) = within(
        r#"cp /bin/sh ./spins
           echo 'for below in "" "unshare --pid --fork"; do
             $below timeout 1 taskset -c 0 ./spins -c "while :; do :; done" & done; wait' > spin
           WEFTRACE run -q -c "sh ./spin" -e 'import "std/sched";
             rawtracepoint:sched_process_exit /comm == "spins" && pid == tid/ {
               emit work.done(pid = pid, start = nsecs - 900000000, end = nsecs);
             }
             join work { from r = work.done(); total r.start; runq = sum(sched.runq.dur) by pid; blame runq; }
             join:work { printf("%d %s\n", r.pid, runq.state); }' --runq_min 1ms"#,
    ) else {
        return;
    };
    let (summary, lines) = lines.split_last().expect("the join's summary");
    assert!(summary.contains("2 kept of 2") && !summary.contains("without a key"), "{summary} {said}");
    assert_eq!(lines.len(), 2, "{lines:?} {said}");
    for line in lines {
        let (pid, state) = line.split_once(' ').unwrap_or_default();
        assert!(
            pid.parse::<u32>().is_ok_and(|pid| (2..100).contains(&pid)),
            "not the namespace's number: {line} {said}"
        );
        assert_eq!(state, "value", "{lines:?} {said}");
    }
}

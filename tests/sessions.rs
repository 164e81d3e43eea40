//! Entry and return of a function by one link: the same records as by two.
#![allow(clippy::print_stdout, reason = "tests say what they skip")]

mod traced;

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};
use traced::{Running, Tracer, build, can_trace, ready, text, traced_command, weftrace};

fn program() -> Option<PathBuf> {
    if !can_trace() {
        return None;
    }
    if !ready("uprobe_session") {
        println!("SKIP uprobe_session");
        return None;
    }
    build("ends", "ends.c", &["-O1"])
}

/// The lines of maps at the end.
fn run(script: &str, program: &str) -> Vec<String> {
    let (lines, said) = traced_command(script, program.as_ref(), program);
    assert!(said.trim().is_empty(), "{script}: {said}");
    lines.into_iter().filter(|line| line.starts_with('@')).collect()
}

/// Whether doctor finds the ends attached together.
fn in_session(script: &str) -> bool {
    let found = weftrace(&["doctor", "-e", script]);
    text(&found.stdout).lines().any(|line| line.contains("in a session with its"))
}

/// Runs a script by sessions and by two links; what it printed.
fn both(script: &str, program: &str) -> Vec<String> {
    let apart = format!("config = {{ attach = written }} {script}");
    assert!(in_session(script) && !in_session(&apart), "{script}");
    let (session, links) = (run(script, program), run(&apart, program));
    assert_eq!(session, links, "{script}");
    session
}

#[test]
fn a_session_sees_what_two_links_see() {
    let Some(program) = program() else { return };
    let program = program.to_string_lossy();
    let script = format!(
        "uprobe:{program}:ends_one {{ @in = count(); @sum = sum(arg0); @t[tid] = nsecs; }}
         uretprobe:{program}:ends_one /@t[tid]/ {{ @out = count(); @sum_out = sum(retval); @[probe, func] = count(); delete(@t, tid); }}"
    );
    let lines = both(&script, &program);
    for line in ["@in: 100", "@out: 100", "@sum: 4950", "@sum_out: 5050"] {
        assert!(lines.contains(&line.to_owned()), "{line}: {lines:?}");
    }
    let key = format!("@[uretprobe:{program}:ends_one, ends_one]: 100");
    assert!(lines.contains(&key), "{lines:?}");
}

#[test]
fn predicates_are_each_ends_own() {
    let Some(program) = program() else { return };
    let program = program.to_string_lossy();
    // The entry of none is let through; the return of some is.
    let script = format!(
        "uprobe:{program}:ends_one /arg0 > 1000/ {{ @in = count(); }}
         uretprobe:{program}:ends_one /retval > 90/ {{ @out = count(); }}"
    );
    assert_eq!(both(&script, &program), ["@out: 10"]);
}

#[test]
fn calls_within_calls_and_calls_without_a_return() {
    let Some(program) = program() else { return };
    let program = program.to_string_lossy();
    let script = format!(
        "uprobe:{program}:ends_deep {{ @deep = count(); }} uretprobe:{program}:ends_deep {{ @deep_out = sum(retval); }}
         uprobe:{program}:ends_never {{ @never = count(); }} uretprobe:{program}:ends_never {{ @never_out = count(); }}"
    );
    assert_eq!(both(&script, &program), ["@deep: 41", "@deep_out: 820", "@never: 10", "@never_out: 5"]);
}

#[test]
fn many_functions_are_one_session() {
    let Some(program) = program() else { return };
    let program = program.to_string_lossy();
    let script = format!(
        "uprobe:{program}:ends_* {{ @in = count(); }} uretprobe:{program}:ends_* {{ @out = count(); @values = sum(retval); }}"
    );
    assert_eq!(both(&script, &program), ["@in: 201", "@out: 196", "@values: 8320"]);
}

#[test]
#[cfg(target_arch = "x86_64")]
fn one_that_cannot_be_probed_is_told_and_the_others_are_attached() {
    let Some(program) = program() else { return };
    // The kernel looks at the instructions of processes that have them: one waits for the end of its input.
    let mut waits = Running(Command::new(&program).arg("wait").stdin(Stdio::piped()).spawn().expect("it starts"));
    let (program, pid) = (program.to_string_lossy(), waits.0.id());
    let tracer = Tracer::start(
        &format!(
            "uprobe:{program}:locked_* /pid == {pid}/ {{ @in[func] = count(); }}
             uretprobe:{program}:locked_* /pid == {pid}/ {{ @out[func] = count(); }}"
        ),
        &[],
    );
    drop(waits.0.stdin.take());
    assert!(waits.0.wait().expect("it ends").success());
    let said = tracer.started.clone();
    let (out, _) = tracer.end();
    assert_eq!(said.matches("locked_first did not attach").count(), 2, "{said}");
    assert_eq!(said.matches("did not attach").count(), 2, "{said}");
    for line in ["@in[locked_not]: 1", "@out[locked_not]: 1"] {
        assert!(out.iter().any(|l| l == line), "{line}: {out:?}");
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_probe_that_cannot_be_attached_is_named_once_at_its_place() {
    let Some(program) = program() else { return };
    let mut waits = Running(Command::new(&program).arg("wait").stdin(Stdio::piped()).spawn().expect("it starts"));
    let (program, pid) = (program.to_string_lossy(), waits.0.id().to_string());
    let script = format!("BEGIN {{ @a = 1; }}\nuprobe:{program}:locked_first {{ @ = count(); }}");
    for (partial, status) in [(false, 3), (true, 0)] {
        let mut args = vec!["run", "-p", &pid, "--for", "10ms", "-e", &script];
        args.extend(partial.then_some("--partial"));
        let run = weftrace(&args);
        let said = text(&run.stderr);
        assert_eq!(run.status.code(), Some(status), "{said}");
        let told = said.split_once("the kernel can't probe this instruction").expect(&said);
        // In words, and in the script's line where that is shown.
        let times = told.0.matches("locked_first").count() + told.1.matches("locked_first").count();
        assert_eq!(times, if partial { 1 } else { 2 }, "{said}");
        assert!(said.contains("-e:2:1") && (partial || said.contains("^^^^")), "{said}");
    }
    drop(waits.0.stdin.take());
    assert!(waits.0.wait().expect("it ends").success());
}

#[test]
fn a_library_of_many_with_one_that_cannot_is_soon_detached() {
    if !can_trace() || !ready("uprobe_multi") {
        println!("SKIP uprobe_multi");
        return;
    }
    let started = std::time::Instant::now();
    // pthread_spin_lock starts with a lock prefix in most C libraries for x86-64. A perf event for each would take a minute to detach.
    let run = weftrace(&[
        "run",
        "-e",
        "uprobe:libc:pthread_* { @ = count(); } uretprobe:libc:pthread_* { @r = count(); }",
        "-c",
        "/bin/true",
    ]);
    assert!(run.status.success() && started.elapsed().as_secs() < 30, "{}", text(&run.stderr));
}

#[test]
fn blocks_at_one_place_keep_their_order() {
    let Some(program) = program() else { return };
    let program = program.to_string_lossy();
    // Two at the entry: which of them would the return belong to? Each is attached for itself.
    let script = format!(
        "uprobe:{program}:ends_two {{ @n = 1; }} uprobe:{program}:ends_two /@n == 1/ {{ @second = count(); @n = 2; }}
         uretprobe:{program}:ends_two /@n == 2/ {{ @last = count(); @n = 0; }}"
    );
    assert!(!in_session(&script));
    assert_eq!(run(&script, &program), ["@last: 50", "@n: 0", "@second: 50"]);
}

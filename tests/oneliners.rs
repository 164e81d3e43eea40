//! What `weftrace check` accepts, the kernel's verifier must not refuse: the programs of tests/vm/oneliners.txt and
//! tests/oneliners_large.txt are loaded and attached here; tests/vm/run does the same with the former on other kernels.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "tests say what they skip")]

mod traced;

use std::{path::Path, process::Command, sync::Mutex, thread};
use traced::{ready, weftrace};

/// A run mostly waits for the kernel to detach.
const AT_ONCE: usize = 8;

/// What weftrace says if it refuses a program or doesn't come to an end with it.
fn refused(program: &str) -> Option<String> {
    let out = weftrace(&["-q", "-e", program, "--dry-run"]);
    let said = String::from_utf8_lossy(&out.stderr);
    (!out.status.success()).then(|| format!("{program}\n{}", said.trim_end()))
}

#[test]
fn the_verifier_takes_what_check_accepts() {
    if !ready("tracepoint") || !ready("uprobe") {
        println!("SKIP root");
        return;
    }
    let read = |list| std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(list)).expect("the list");
    let list = read("tests/vm/oneliners.txt") + &read("tests/oneliners_large.txt");
    let kprobes = ready("kprobe");
    let nginx = Command::new("nginx").arg("-v").output().is_ok();
    let needs = |program: &str| {
        let there = [("kprobe:", kprobes), ("kretprobe:", kprobes), ("nginx:", nginx)];
        there.iter().all(|(mark, here)| *here || !program.contains(mark))
    };
    let (programs, absent): (Vec<&str>, Vec<&str>) =
        list.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).partition(|program| needs(program));
    if !kprobes {
        println!("SKIP kprobes");
    }
    if absent.iter().any(|program| program.contains("nginx:")) {
        println!("SKIP nginx");
    }
    assert!(programs.len() > 80, "the list has only {} programs for this machine", programs.len());
    let (todo, wrong) = (Mutex::new(programs.into_iter()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = todo.lock().expect("no panics while it is held").next();
                    let Some(program) = next else { break };
                    if let Some(said) = refused(program) {
                        wrong.lock().expect("no panics while it is held").push(said);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().expect("no panics while it was held");
    assert!(wrong.is_empty(), "{} programs were refused:\n\n{}", wrong.len(), wrong.join("\n\n"));
}

/// Where the promise is broken, it is known, told in the script's words with its place, and seen when it is mended.
#[test]
fn known_refusals_are_told_with_their_place() {
    if !ready("tracepoint") {
        println!("SKIP root");
        return;
    }
    let list = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/known_refused.txt"))
        .expect("the list");
    for program in list.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        assert!(weftrace(&["check", "-e", program]).status.success(), "check says so now: drop it here\n{program}");
        let said = refused(program).unwrap_or_else(|| panic!("accepted now: move it to oneliners.txt\n{program}"));
        assert!(said.contains("-e:1:") && said.contains("too many paths"), "{said}");
    }
}

use super::*;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Signals are the whole process's: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn sh(line: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", line]);
    command
}

/// Waits until a process has ended, which somebody else started.
fn await_end(runs: &Runs, pid: &str) {
    let Ok(pidfd) = pidfd_open(pid.trim().parse().expect("a pid")) else { return };
    runs.runtime.block_on(async { watch(pidfd.as_fd()).expect("a pidfd").readable().await.map(drop) }).expect("ended");
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

#[test]
fn what_is_printed_and_how_it_ended() {
    let _alone = alone();
    let mut runs = Runs::new(Duration::from_mins(1)).expect("a runtime");
    let ran = runs.run(sh("echo out; echo err >&2; exit 3")).expect("sh");
    assert_eq!((text(&ran.out), text(&ran.err), ran.ended), ("out\n", "err\n", Ended::Code(3)));
    let ran = runs.run(sh("kill -9 $$")).expect("sh");
    assert_eq!(ran.ended, Ended::Otherwise("signal 9 ended it".into()));
    // More than a pipe holds, and more than is kept.
    let ran = runs.run(sh("head -c 1000000 /dev/zero")).expect("sh");
    assert_eq!((ran.out.len(), ran.ended), (1_000_000, Ended::Code(0)));
    let ran = runs.run(sh(&format!("head -c {} /dev/zero", MOST + 2))).expect("sh");
    assert_eq!(ran.ended, Ended::Otherwise("it printed more than 64 MiB".into()));
}

/// Who holds the pipes open keeps nobody waiting, whether the run has ended or took too long.
#[test]
fn grandchildren_end_with_the_run() {
    let _alone = alone();
    let mut runs = Runs::new(Duration::from_mins(1)).expect("a runtime");
    let ran = runs.run(sh("sleep 100000 & echo $!")).expect("sh");
    assert_eq!(ran.ended, Ended::Code(0));
    await_end(&runs, text(&ran.out));
    // One that left the group is not ended, and not waited for.
    let ran = runs.run(sh("setsid sleep 100000 & echo $!")).expect("sh");
    assert_eq!(ran.ended, Ended::Code(0));
    let pid = text(&ran.out).trim();
    let _ = Command::new("kill").args(["-9", pid]).status();
    await_end(&runs, pid);

    let mut runs = Runs::new(Duration::from_millis(300)).expect("a runtime");
    let ran = runs.run(sh("sleep 100000 & echo $!; wait")).expect("sh");
    assert_eq!(ran.ended, Ended::Otherwise("it did not end within 0.3 s".into()));
    await_end(&runs, text(&ran.out));
    assert!(!runs.interrupted);
}

/// Ctrl-C is for this process alone, since runs have groups of their own.
#[test]
fn an_interrupt_ends_the_run() {
    let _alone = alone();
    let mut runs = Runs::new(Duration::from_mins(10)).expect("a runtime");
    let ran = runs.run(sh("sleep 100000 & echo $!; kill -INT $PPID; wait")).expect("sh");
    assert_eq!(ran.ended, Ended::Otherwise("it was interrupted".into()));
    assert!(runs.interrupted);
    await_end(&runs, text(&ran.out));
}

//! Measures the runtime by itself: attaches a hand-written program to getppid, runs a command, says what it cost.
//! `getppid [-n] COMMAND…`; `-n`: attach, then end at once (what starting costs).
#![allow(clippy::print_stdout, reason = "a program, not the library")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::{
    ffi::OsString,
    fs::File,
    io,
    time::{Duration, Instant},
};
use weftrace_runtime::{Session, SessionOptions, sink::TextSink};

fn main() {
    let started = Instant::now();
    let mut command: Vec<OsString> = std::env::args_os().skip(1).collect();
    let only_start = command.first().is_some_and(|a| a == "-n");
    if only_start {
        command.clear();
    }
    let run_for = only_start.then_some(Duration::ZERO);
    let options = SessionOptions { command, run_for, ..SessionOptions::default() };
    let session = Session::new(common::getppid_artifact(256 * 1024), options).expect("maps");
    let out = File::create("/dev/null").expect("/dev/null");
    let running =
        session.start(Box::new(TextSink::new(Box::new(out), Box::new(io::stderr()), true))).expect("attached");
    let attached = started.elapsed();
    let usage = common::usage();
    let outcome = running.run().expect("ran");
    let after = common::usage();
    let cpu = after.0 - usage.0;
    let lost: u64 = outcome.lost.iter().map(|l| l.count).sum();
    println!(
        "attached after {} us ({} us CPU), {} KiB; delivered {}, lost {lost}, {} ms CPU, {} ns each",
        attached.as_micros(),
        usage.0,
        after.1,
        outcome.delivered,
        cpu / 1000,
        cpu * 1000 / outcome.delivered.max(1)
    );
}

//! `lab demo`: real servers and clients in network namespaces, faults induced on purpose, weftrace beside them, and a
//! comparison of what it said with what the client measured and the router dropped.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool")]

mod client;
mod demo;
mod net;
mod scenario;
mod server;
mod sys;
mod watch;

use std::{path::PathBuf, process::ExitCode};

const USAGE: &str = "usage: lab demo --weftrace BINARY [--script NAME] [--recorded FILE]
       lab retransmits --weftrace BINARY";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_default();
    let mut weftrace = PathBuf::from("weftrace");
    let mut script = String::from("http/slow_requests");
    while let Some(flag) = args.next() {
        let Some(value) = args.next() else {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        };
        match flag.as_str() {
            "--weftrace" => weftrace = value.into(),
            "--script" => script = value,
            _ => {
                eprintln!("lab: unknown flag {flag}\n{USAGE}");
                return ExitCode::from(2);
            }
        }
    }
    let outcome = match command.as_str() {
        "demo" => demo::run(&weftrace, &script),
        "retransmits" => scenario::retransmits(&weftrace),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("lab: {error}");
            ExitCode::FAILURE
        }
    }
}

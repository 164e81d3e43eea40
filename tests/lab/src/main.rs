//! `lab demo`: real servers and clients in network namespaces, faults induced on purpose, weftrace beside them, and a
//! comparison of what it said with what the client measured and the router dropped.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool")]

mod bench;
mod client;
mod demo;
mod joins;
mod net;
mod scenario;
mod server;
mod sys;
mod watch;

use std::{path::PathBuf, process::ExitCode};

const USAGE: &str = "usage: lab demo --weftrace BINARY [--script NAME]
       lab retransmits --weftrace BINARY
       lab joins --weftrace BINARY
       lab getppid COUNT [CPU]
       lab bench --name TEXT --ours COMMAND --peer COMMAND [--runs N]";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_default();
    if command == "getppid" {
        let count = args.next().and_then(|n| n.parse().ok()).unwrap_or(0u64);
        match args.next().and_then(|cpu| cpu.parse().ok()) {
            None => sys::getppid(count),
            Some(cpu) => match bench::calls(count, cpu) {
                Ok(ns) => println!("{ns:.1}"),
                Err(error) => {
                    eprintln!("lab: {error}");
                    return ExitCode::FAILURE;
                }
            },
        }
        return ExitCode::SUCCESS;
    }
    let mut weftrace = PathBuf::from("weftrace");
    let mut script = String::from("http/slow_requests");
    let (mut name, mut ours, mut peer, mut runs) = (String::new(), String::new(), String::new(), 9);
    while let Some(flag) = args.next() {
        let Some(value) = args.next() else {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        };
        match flag.as_str() {
            "--weftrace" => weftrace = value.into(),
            "--script" => script = value,
            "--name" => name = value,
            "--ours" => ours = value,
            "--peer" => peer = value,
            "--runs" => runs = value.parse().unwrap_or(9),
            _ => {
                eprintln!("lab: unknown flag {flag}\n{USAGE}");
                return ExitCode::from(2);
            }
        }
    }
    let outcome = match command.as_str() {
        "demo" => demo::run(&weftrace, &script),
        "bench" => bench::run(&name, &ours, &peer, runs),
        "joins" => joins::run(&weftrace),
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

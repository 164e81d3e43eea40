//! `lab demo`: real servers and clients in network namespaces, faults induced on purpose, weftrace beside them, and a
//! comparison of what it said with what the client measured and the router dropped.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool")]

mod accuracy;
mod bench;
mod cgroup;
mod client;
mod demo;
mod joins;
mod live;
mod load;
mod net;
mod scan;
mod scenario;
mod server;
mod sys;
mod watch;
mod witness;

use std::{path::PathBuf, process::ExitCode};

const USAGE: &str = "usage: lab demo --weftrace BINARY [--script NAME]
       lab retransmits --weftrace BINARY
       lab joins --weftrace BINARY
       lab flood --weftrace BINARY [--rate PACKETS/S] [--seconds N]
       lab bridge --weftrace BINARY
       lab accuracy --weftrace BINARY [--cause NAME] [--mode NAME] [--count N] [--rate N] [--ids yes|no|both] [--report FILE]
       lab load --weftrace BINARY [--script NAME] [--seconds N] [--runs N]
       lab scan --weftrace BINARY [--script NAME] [--sockets N] [--runs N]
       lab getppid COUNT [CPU]
       lab bench --name TEXT --ours COMMAND --peer COMMAND [--runs N]";

/// The layers of `http/slow_requests` without a Go program, whose pieces are the total.
const LAYERS: [&str; 8] = ["runq", "syn", "loss", "zwin", "tls", "accept", "app", "unknown"];

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
    if command == "accuracy" {
        return accuracy(args);
    }
    let given = match Given::read(args) {
        Ok(given) => given,
        Err(error) => {
            eprintln!("lab: {error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let Given { weftrace, script, rate, seconds, sockets, runs, name, ours, peer } = &given;
    let outcome = match command.as_str() {
        "demo" => demo::run(weftrace, script),
        "bench" => bench::run(name, ours, peer, *runs),
        "joins" => joins::run(weftrace),
        "load" => load::run(weftrace, script, *seconds, *runs),
        "scan" => scan::run(weftrace, script, *sockets, *runs),
        "flood" => live::flood(weftrace, *rate, *seconds),
        "bridge" => live::bridge(weftrace),
        "retransmits" => scenario::retransmits(weftrace),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    ended(outcome)
}

/// The flags of all commands but `accuracy` and `getppid`.
struct Given {
    weftrace: PathBuf,
    script: String,
    /// Packets a second.
    rate: u64,
    seconds: u64,
    sockets: usize,
    runs: usize,
    name: String,
    ours: String,
    peer: String,
}

impl Given {
    fn read(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut given = Self {
            weftrace: "weftrace".into(),
            script: "http/slow_requests".into(),
            rate: 300_000,
            seconds: 4,
            sockets: 10_000,
            runs: 9,
            name: String::new(),
            ours: String::new(),
            peer: String::new(),
        };
        while let Some(flag) = args.next() {
            let value = args.next().ok_or_else(|| format!("{flag} wants a value"))?;
            let number = || value.parse::<u64>().map_err(|_| format!("{flag} wants a number, not {value:?}"));
            match flag.as_str() {
                "--rate" => given.rate = number()?.max(1),
                "--seconds" => given.seconds = number()?.max(1),
                "--sockets" => given.sockets = number()? as usize,
                "--runs" => given.runs = number()?.max(1) as usize,
                "--weftrace" => given.weftrace = value.into(),
                "--script" => given.script = value,
                "--name" => given.name = value,
                "--ours" => given.ours = value,
                "--peer" => given.peer = value,
                _ => return Err(format!("unknown flag {flag}")),
            }
        }
        Ok(given)
    }
}

fn ended(outcome: std::io::Result<bool>) -> ExitCode {
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("lab: {error}");
            ExitCode::FAILURE
        }
    }
}

fn accuracy(mut args: impl Iterator<Item = String>) -> ExitCode {
    let mut options = accuracy::Options::new();
    while let Some(flag) = args.next() {
        let set = args.next().map_or_else(|| Err(format!("{flag} wants a value")), |value| options.set(&flag, &value));
        if let Err(error) = set {
            eprintln!("lab: {error}\n{USAGE}");
            return ExitCode::from(2);
        }
    }
    ended(accuracy::run(&options))
}

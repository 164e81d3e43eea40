//! The `weftrace` binary: reads argv, runs a command, exits. Everything else is in the library crates.
#![allow(clippy::exit, reason = "the only place that ends the process")]

mod args;
mod bpftrace;
mod bundle;
mod commands;
mod exit;
mod frontend;
mod libraries;
mod own_options;
mod printer;
mod render;
mod script_help;

use exit::ExitStatus;

fn main() {
    if std::env::args_os().next().is_some_and(|name| bpftrace::is_called(&name)) {
        std::process::exit(bpftrace::main(std::env::args_os()));
    }
    let argv: Vec<_> = std::env::args_os().collect();
    let parsed = args::parse(argv.clone());
    // `weftrace run NAME --read FILE` means what `weftrace run --read FILE NAME` does.
    let anew = match &parsed {
        Ok(args::Command::Run(run) | args::Command::Record(args::Record { run, .. })) => {
            own_options::options_first(&argv, &run.source)
        }
        Ok(args::Command::Replay(replay)) => own_options::options_first(&argv, &replay.run.source),
        _ => None,
    };
    let parsed = anew.map_or(parsed, args::parse);
    let status = match parsed {
        Ok(command) => commands::run(command),
        Err(early) => early.print(),
    };
    std::process::exit(status.code());
}

impl args::Early {
    /// Prints help or a usage error, and says how to exit.
    fn print(&self) -> ExitStatus {
        if self.usage_error {
            printer::err(&self.text);
            ExitStatus::Usage
        } else {
            printer::out(&self.text);
            ExitStatus::Ok
        }
    }
}

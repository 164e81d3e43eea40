//! The `weftrace` binary: reads argv, runs a command, exits. Everything else is in the library crates.
#![allow(clippy::exit, reason = "the only place that ends the process")]

mod args;
mod bpftrace;
mod bundle;
mod commands;
mod exit;
mod frontend;
mod printer;
mod render;

use exit::ExitStatus;

fn main() {
    if std::env::args_os().next().is_some_and(|name| bpftrace::is_called(&name)) {
        std::process::exit(bpftrace::main(std::env::args_os()));
    }
    let status = match args::parse(std::env::args_os()) {
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

//! One file per command.

mod check;
mod doctor;
mod dump;
mod explain;
mod fmt;
mod generate;
mod lib;
mod list;
mod needs;
mod replay;
mod run;
mod test;

use crate::{args::Command, exit::ExitStatus};

pub fn run(command: Command) -> ExitStatus {
    match command {
        Command::Run(args) => run::run(&args),
        Command::Record(args) => replay::record(args),
        Command::Replay(args) => replay::replay(args),
        Command::Check(args) => check::run(&args),
        Command::Dump(args) => dump::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Lib(args) => lib::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Completions(args) => generate::completions(&args),
        Command::Manpages(args) => generate::manpages(&args),
        Command::Fmt(args) => fmt::run(&args),
        Command::List(args) => list::run(&args),
        Command::Doctor(args) => doctor::run(&args),
    }
}

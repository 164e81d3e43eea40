//! `weftrace doctor`: what this machine can do, asked by trying, and what a script needs.

mod script;

use crate::{args::Doctor, exit::ExitStatus, printer};
use std::fmt::Write;
use weftrace_lang::world::World;
use weftrace_probes::{
    kernel::{
        Host,
        feature::{self, Readiness},
    },
    world::HostWorld,
};

pub fn run(args: &Doctor) -> ExitStatus {
    let world = HostWorld::new();
    printer::out(&format!("{}\n", world.kernel_release()));
    if args.source.program.is_none() && args.source.script.is_empty() {
        printer::out(&machine(&Host::new()));
        return ExitStatus::Ok;
    }
    script::run(args)
}

/// Every feature, tried.
fn machine(host: &Host) -> String {
    let mut out = String::new();
    for (feature, readiness) in feature::doctor(host) {
        let (state, why) = match readiness {
            Readiness::Ready => ("ready", String::new()),
            Readiness::Unsupported(why) => ("unsupported", why),
            Readiness::NotPermitted { capability, why } => {
                ("not permitted", capability.map_or(why, |c| format!("needs {}", c.name())))
            }
            Readiness::CouldNotTell(why) => ("could not tell", why),
        };
        let line = format!("  {:<18} {state:<15} {why}", format!("{feature:?}"));
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

//! `weftrace doctor`: what this machine can do, asked by trying, and what a script needs.

use crate::{
    args::Doctor,
    exit::ExitStatus,
    frontend::{self, Setting},
    printer,
};
use std::{collections::BTreeSet, fmt::Write};
use weftrace_artifact::plan::{ProbePlan, Unit, Way};
use weftrace_lang::world::World;
use weftrace_probes::{
    kernel::{
        Host,
        caps::{self, CapSet, Capability},
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
    let mut loaded = match frontend::load(&args.source, &Setting::default()) {
        Ok(loaded) => loaded,
        Err(status) => return status,
    };
    let program = loaded.check();
    let artifact = if loaded.has_errors() { None } else { Some(loaded.compile(&program)) };
    let (failed, not_permitted) = (loaded.has_errors(), loaded.lacks_only_permission());
    loaded.report(false, frontend::text_style());
    if not_permitted {
        printer::err_line(&frontend::how_to_permit("cap_bpf,cap_perfmon,cap_dac_read_search"));
        return ExitStatus::Attach;
    }
    let Some(artifact) = artifact.filter(|_| !failed) else { return ExitStatus::Script };
    let have = CapSet::effective();
    let mut missing = BTreeSet::new();
    for probe in &artifact.probes {
        let needed = needs(probe, &artifact);
        let lacking: Vec<&str> = needed.iter().filter(|c| !have.has(**c)).map(|c| c.name()).collect();
        let state = if lacking.is_empty() { "ready" } else { "not permitted" };
        let names: Vec<&str> = needed.iter().map(|c| c.name()).collect();
        let needs = if names.is_empty() { String::new() } else { format!("needs {}", names.join(" ")) };
        printer::out(&format!("  {:<44} {state:<14} {needs}\n", probe.name));
        missing.extend(lacking);
    }
    if missing.is_empty() {
        printer::out("everything it needs is here\n");
        return ExitStatus::Ok;
    }
    let list: Vec<&str> = missing.into_iter().collect();
    let set: Vec<String> = list.iter().map(|c| c.to_lowercase()).collect();
    printer::out(&format!("missing: {}.   sudo setcap {}+ep $(which weftrace)\n", list.join(" "), set.join(",")));
    ExitStatus::Attach
}

/// Every probe's name and the capabilities it needs.
pub(super) fn script_needs(artifact: &weftrace_artifact::Artifact) -> Vec<(String, Vec<Capability>)> {
    artifact.probes.iter().map(|p| (p.name.clone(), needs(p, artifact))).collect()
}

/// Capabilities of a probe: its program's and its attachment's.
fn needs(probe: &ProbePlan, artifact: &weftrace_artifact::Artifact) -> Vec<Capability> {
    let mut needed: Vec<Capability> = Vec::new();
    if let Unit::Kernel(program) = probe.best.unit
        && let Some(image) = artifact.programs.get(program as usize)
    {
        needed.extend(caps::for_program(image.prog_type));
    }
    // What runs in user space asks the kernel for nothing, but for packets.
    let way = &probe.best.way;
    if matches!(probe.best.unit, Unit::Kernel(_)) || matches!(way, Way::Pcap { .. }) {
        needed.extend(caps::for_way(way));
    }
    needed.sort_unstable();
    needed.dedup();
    needed
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

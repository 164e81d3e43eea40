//! What a script needs, and what of it isn't here.

use crate::{
    args::Doctor,
    commands::needs,
    exit::ExitStatus,
    frontend::{self, Setting},
    printer,
};
use weftrace_probes::kernel::{
    Host,
    caps::{self, PlanNeeds},
};

pub(super) fn run(args: &Doctor) -> ExitStatus {
    let setting = Setting { unsafe_ok: true, ..Setting::default() };
    let mut loaded = match frontend::load(&args.source, &setting) {
        Ok(loaded) => loaded,
        Err(status) => return status,
    };
    let program = loaded.check();
    let artifact = if loaded.has_errors() { None } else { Some(loaded.compile(&program)) };
    let (failed, not_permitted) = (loaded.has_errors(), loaded.lacks_only_permission());
    let said = loaded.said();
    loaded.report(false, frontend::text_style());
    if not_permitted {
        printer::err(&needs::how_to_permit(needs::to_check(&said)));
        return ExitStatus::Attach;
    }
    let Some(artifact) = artifact.filter(|_| !failed) else { return ExitStatus::Script };
    let plan = PlanNeeds::of(&artifact, &Host::new(), caps::Setting { commands_run: true, ..Default::default() });
    for (probe, its) in artifact.probes.iter().zip(&plan.probes) {
        let state = if its.missing.is_empty() { "ready" } else { "not permitted" };
        let set = its.set();
        let needs = if set.is_empty() { String::new() } else { format!("needs {}", needs::list(set)) };
        printer::out(&format!("  {:<44} {state:<14} {needs}\n", probe.name));
    }
    printer::out(&needs::plan_lines(&plan));
    if plan.attach.missing.is_empty() {
        printer::out("everything it needs is here\n");
        return ExitStatus::Ok;
    }
    printer::out(&format!("missing: {}\n", needs::list(caps::set(&plan.attach.missing))));
    printer::out(&needs::how_to_permit(plan.everything()));
    ExitStatus::Attach
}

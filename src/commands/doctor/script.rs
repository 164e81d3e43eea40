//! What a script needs, which way each of its probes would be attached here, and what is missing.

use super::{Head, trial};
use crate::{
    args::{Doctor, Format},
    commands::needs,
    exit::ExitStatus,
    frontend::{self, Loaded, Setting},
    printer,
};
use serde_json::{Value, json};
use std::fmt::Write;
use weftrace_artifact::Artifact;
use weftrace_probes::kernel::{
    Host,
    caps::{self, CapSet, Needs, PlanNeeds},
    feature::CHECKS,
    tracefs::Access,
};

/// One probe, or all of one wildcard that fare alike.
pub(super) struct Row {
    pub(super) name: String,
    /// Of how many probes.
    pub(super) count: usize,
    pub(super) state: &'static str,
    /// How it would be attached, or why not.
    pub(super) how: String,
    pub(super) needs: CapSet,
}

/// All that is told.
struct Findings {
    rows: Vec<Row>,
    /// None: the script could not be checked for want of permissions.
    plan: Option<PlanNeeds>,
    missing: CapSet,
    /// The whole set that the script needs, and wants.
    set: CapSet,
    notes: Vec<String>,
}

pub(super) fn run(head: &Head, args: &Doctor) -> ExitStatus {
    let setting = Setting { unsafe_ok: true, ..Setting::default() };
    let mut loaded = match frontend::load(&args.source, &setting) {
        Ok(loaded) => loaded,
        Err(status) => return status,
    };
    let program = loaded.check();
    let findings = if loaded.lacks_only_permission() {
        unchecked(&mut loaded)
    } else {
        let artifact = if loaded.has_errors() { None } else { Some(loaded.compile(&program)) };
        let failed = loaded.has_errors();
        loaded.report(false, frontend::text_style());
        match artifact.filter(|_| !failed) {
            Some(artifact) => checked(&artifact),
            None => return ExitStatus::Script,
        }
    };
    match args.format {
        Format::Text => printer::out(&text(head, &findings)),
        Format::Json => printer::out(&format!("{}\n", json_of(head, &findings))),
    }
    let good = findings.rows.iter().all(|row| row.state == "ready") && findings.missing.is_empty();
    if good { ExitStatus::Ok } else { ExitStatus::Attach }
}

/// What may not be looked at: a row for each place that could not be checked.
fn unchecked(loaded: &mut Loaded) -> Findings {
    let set = needs::to_check(&loaded.world);
    let rows = loaded.take_refusals().into_iter().map(|refusal| Row {
        name: refusal.source,
        count: 1,
        state: if refusal.not_permitted { "not permitted" } else { "could not tell" },
        how: refusal.why,
        needs: set,
    });
    let rows = rows.collect();
    let missing = set.lacking_in(CapSet::effective());
    Findings { rows, plan: None, missing, set, notes: Vec::new() }
}

fn checked(artifact: &Artifact) -> Findings {
    let host = Host::new();
    let plan = PlanNeeds::of(artifact, &host, caps::Setting { commands_run: true, ..caps::Setting::default() });
    let trial = trial::attach(artifact, &plan);
    let mut rows: Vec<Row> = Vec::new();
    let mut last = None;
    for (index, probe) in (0u32..).zip(&artifact.probes) {
        let its = &plan.probes[index as usize];
        let (state, how) = trial.of(index, probe, its);
        // So that those of a wildcard that fare alike read alike.
        let how = how.replace(&probe.name, "it");
        let same = last == Some(probe.place) && probe.wildcard;
        match rows.last_mut().filter(|row| same && row.state == state && row.how == how) {
            Some(row) => {
                row.name = wildcard(artifact, probe.place).unwrap_or_else(|| row.name.clone());
                row.count += 1;
            }
            None => rows.push(Row { name: probe.name.clone(), count: 1, state, how, needs: its.set() }),
        }
        last = Some(probe.place);
    }
    let missing = caps::set(&plan.attach.missing);
    let set = plan.everything();
    let notes = notes(artifact, &plan, &rows, &host);
    Findings { rows, plan: Some(plan), missing, set, notes }
}

/// The attach point as the script has it.
fn wildcard(artifact: &Artifact, place: weftrace_artifact::Place) -> Option<String> {
    let (_, text) = artifact.sources.get(place.file as usize)?;
    text.get(place.start as usize..place.end as usize).map(str::to_owned)
}

/// What else is worth knowing about what the script uses.
fn notes(artifact: &Artifact, plan: &PlanNeeds, rows: &[Row], host: &Host) -> Vec<String> {
    let mut notes = Vec::new();
    for optional in plan.optional.iter().filter(|o| !o.needs.missing.is_empty()) {
        let set = needs::list(caps::set(&optional.needs.missing));
        notes.push(format!("{}: {set} is missing; without it there are {}", optional.what, optional.without));
    }
    let functions = |name: &str| name.starts_with("kprobe:") || name.starts_with("kretprobe:") || name.starts_with('f');
    let asks = [
        ("traceable functions", artifact.probes.iter().any(|p| p.wildcard && functions(&p.name))),
        ("tracefs", artifact.probes.iter().any(|p| p.name.starts_with("tracepoint:"))),
    ];
    for (name, _) in asks.iter().filter(|(_, used)| *used) {
        let Some(check) = CHECKS.iter().find(|c| c.name == *name) else { continue };
        let (state, line) = super::machine::told((check.test)(host), check.instead);
        if state != "ready" {
            notes.push(format!("{name}: {state}: {line}"));
        }
    }
    if host.tracefs_access() == Access::NotMounted && asks[1].1 {
        notes.push(
            "tracefs is not mounted: `mount -t tracefs tracefs /sys/kernel/tracing` would make CAP_SYS_ADMIN needless"
                .into(),
        );
    }
    let (good, all): (usize, usize) = rows
        .iter()
        .fold((0, 0), |(good, all), row| (good + if row.state == "ready" { row.count } else { 0 }, all + row.count));
    if good > 0 && good < all {
        notes.push(format!("as it is, {good} of {all} probes run: weftrace run --partial"));
    }
    notes
}

fn text(head: &Head, findings: &Findings) -> String {
    let mut out = head.text();
    let name = |row: &Row| {
        if row.count > 1 { format!("{} ({} probes)", row.name, row.count) } else { row.name.clone() }
    };
    let width = findings.rows.iter().map(|row| name(row).chars().count()).max().unwrap_or(0).min(60);
    // Long reasons have a line of their own.
    let short = |row: &Row| row.how.chars().count() <= 40;
    let how = findings.rows.iter().filter(|r| short(r)).map(|r| r.how.chars().count()).max().unwrap_or(0);
    for row in &findings.rows {
        let needs = if row.needs.is_empty() { String::new() } else { format!("needs {}", needs::list(row.needs)) };
        let beside = if short(row) { row.how.as_str() } else { "" };
        let line = format!("  {:<width$}  {:<15} {beside:<how$}  {needs}", name(row), row.state);
        let _ = writeln!(out, "{}", line.trim_end());
        if !short(row) {
            let _ = writeln!(out, "    = {}", row.how);
        }
    }
    if let Some(plan) = &findings.plan {
        out += &needs::plan_lines(plan);
    }
    for note in &findings.notes {
        let _ = writeln!(out, "note    {note}");
    }
    if findings.missing.is_empty() {
        if findings.rows.iter().all(|row| row.state == "ready") {
            out += "everything it needs is here\n";
        }
        return out;
    }
    let _ = writeln!(out, "missing {}", needs::list(findings.missing));
    if let Some(plan) = &findings.plan {
        out += &needs::reasons(&plan.attach.missing);
    }
    out + &needs::how_to_permit(findings.set)
}

fn json_of(head: &Head, findings: &Findings) -> Value {
    let rows: Vec<Value> = findings
        .rows
        .iter()
        .map(|row| {
            json!({
                "probe": row.name, "probes": row.count, "state": row.state, "how": row.how, "needs": row.needs.names(),
            })
        })
        .collect();
    let of = |needs: &Needs| needs.set().names();
    let optional: Vec<Value> = findings
        .plan
        .iter()
        .flat_map(|plan| &plan.optional)
        .map(|o| {
            let missing = caps::set(&o.needs.missing).names();
            json!({ "for": o.what, "needs": of(&o.needs), "missing": missing, "without": o.without })
        })
        .collect();
    let mut all = head.json();
    all["probes"] = rows.into();
    all["needs"] = findings.plan.as_ref().map(|plan| of(&plan.attach)).into();
    all["wants"] = optional.into();
    all["keeps"] = findings.plan.as_ref().map(|plan| CapSet::of(&plan.kept).names()).into();
    all["missing"] = findings.missing.names().into();
    all["set"] = findings.set.names().into();
    all["notes"] = findings.notes.clone().into();
    all
}

//! What this machine can do: a line for each probe type and what probes lean on, then settings.

use crate::{args::Format, commands::needs::list, printer};
use serde_json::{Value, json};
use std::fmt::Write;
use weftrace_probes::kernel::{
    Host,
    caps::{CapSet, Capability},
    feature::{self, Check, Readiness, Setting},
};

/// A state in one word or two, why, and what to do about it.
struct Told {
    state: &'static str,
    why: String,
    needs: Vec<Capability>,
    instead: String,
}

impl Told {
    fn of(readiness: Readiness, instead: &str) -> Self {
        let (state, why, needs) = match readiness {
            Readiness::Ready => ("ready", String::new(), Vec::new()),
            Readiness::Unsupported(why) => ("unsupported", why, Vec::new()),
            Readiness::NotPermitted { lacks, why } if lacks.is_empty() => {
                let why = format!(
                    "{why}, though its capabilities are here; the cause is unknown (lockdown? another policy?)"
                );
                ("not permitted", why, lacks)
            }
            Readiness::NotPermitted { lacks, why } => ("not permitted", why, lacks),
            Readiness::CouldNotTell(why) => ("could not tell", why, Vec::new()),
        };
        let instead = if state == "ready" || !needs.is_empty() { String::new() } else { instead.to_owned() };
        Self { state, why, needs, instead }
    }

    fn line(&self) -> String {
        let mut line = if self.needs.is_empty() {
            self.why.clone()
        } else {
            format!("needs {} ({})", list(CapSet::of(&self.needs)), self.why)
        };
        if !self.instead.is_empty() {
            let _ = write!(line, " → {}", self.instead);
        }
        line
    }
}

/// State and line of one.
pub(super) fn told(readiness: Readiness, instead: &str) -> (&'static str, String) {
    let told = Told::of(readiness, instead);
    (told.state, told.line())
}

pub(super) fn print(head: &super::Head, format: Format) {
    let host = Host::new();
    let checks: Vec<(&Check, Told)> = feature::all(&host).map(|(c, r)| (c, Told::of(r, c.instead))).collect();
    let settings = feature::settings();
    match format {
        Format::Text => printer::out(&text(head, &checks, &settings)),
        Format::Json => printer::out(&format!("{}\n", json_of(head, &checks, &settings))),
    }
}

fn text(head: &super::Head, checks: &[(&Check, Told)], settings: &[Setting]) -> String {
    let mut out = head.text();
    let mut group = None;
    for (check, told) in checks {
        if group != Some(check.group) {
            group = Some(check.group);
            let _ = writeln!(out, "{}", check.group.title());
        }
        let line = format!("  {:<22} {:<15} {}", check.name, told.state, told.line());
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out += "settings\n";
    for setting in settings {
        let _ = writeln!(out, "  {:<34} {:<12} {}", setting.name, setting.value, setting.means);
    }
    out
}

fn json_of(head: &super::Head, checks: &[(&Check, Told)], settings: &[Setting]) -> Value {
    let checks: Vec<Value> = checks
        .iter()
        .map(|(check, told)| {
            json!({
                "name": check.name,
                "group": check.group.title(),
                "state": told.state,
                "why": told.why,
                "needs": CapSet::of(&told.needs).names(),
                "instead": told.instead,
            })
        })
        .collect();
    let settings: Vec<Value> =
        settings.iter().map(|s| json!({ "name": s.name, "value": s.value, "means": s.means })).collect();
    let mut all = head.json();
    all["checks"] = checks.into();
    all["settings"] = settings.into();
    all
}

//! `dump --stage plan`: what runs where, and why.

use super::units::LeftOut;
use std::fmt::Write;
use weftrace_artifact::{
    Artifact,
    map::{Home, Role},
    plan::{Passed, ProbePlan, Unit, Way},
    sockets,
};

/// Rows of probes with their side, way and reason; maps with their homes.
pub(super) fn text(artifact: &Artifact, left_out: &[LeftOut]) -> String {
    let mut out = String::new();
    let rows: Vec<[String; 4]> = artifact.probes.iter().map(|p| row(artifact, p)).collect();
    let width = |i: usize| rows.iter().map(|r| r[i].chars().count()).max().unwrap_or(0);
    let (name, way) = (width(1), width(2));
    for ([side, probe, how, why], plan) in rows.iter().zip(&artifact.probes) {
        let _ = writeln!(out, "{side:<6}  {probe:<name$}  {how:<way$}  {why}");
        for Passed { way: how, why } in &plan.passed {
            let _ = writeln!(out, "{:<6}  {:<name$}  not {how}: {why}", "", "");
        }
    }
    for LeftOut { name, reason, .. } in left_out {
        let _ = writeln!(out, "off     {name}  {reason}");
    }
    let maps = maps(artifact);
    if !maps.is_empty() {
        let _ = writeln!(out, "maps    {}", maps.join("  ·  "));
    }
    out
}

fn row(artifact: &Artifact, probe: &ProbePlan) -> [String; 4] {
    let side = match probe.best.unit {
        Unit::Kernel(_) => "kernel",
        Unit::Native(_) => "user",
    };
    let mut how = match (&probe.best.way, probe.best.unit) {
        // The other way is for the packets that the program leaves.
        (way @ Way::Pcap { .. }, Unit::Kernel(_)) => format!("{}; tunnels, fragments …: in user space", way.describe()),
        _ => probe.ways().map(|a| a.way.describe()).collect::<Vec<_>>().join(", else "),
    };
    if let Some(other) = probe.session.and_then(|other| artifact.probes.get(other as usize)) {
        let _ = write!(how, ", in a session with its {}", other.best.way.describe());
    }
    if let Unit::Kernel(program) = probe.best.unit
        && artifact.programs.get(program as usize).is_some_and(|p| p.twin.is_some())
    {
        how += " (twice: one sees what comes in while the other runs)";
    }
    let mut why = probe.reason.clone();
    if !probe.best.why.is_empty() {
        let _ = write!(why, "; {}", probe.best.why);
    }
    let emits: Vec<&str> =
        probe.emits.iter().filter_map(|s| artifact.streams.get(s.0 as usize)).map(|s| s.name.as_str()).collect();
    if !emits.is_empty() {
        let _ = write!(why, "; emits {}", emits.join(", "));
    }
    if artifact.passing.iter().any(|p| artifact.probes.get(p.probe as usize).is_some_and(|p| std::ptr::eq(p, probe))) {
        why.push_str("; passes over what no join keeps");
    }
    [side.to_owned(), probe.name.clone(), how, why]
}

fn maps(artifact: &Artifact) -> Vec<String> {
    artifact
        .maps
        .iter()
        .filter(|m| m.role == Role::Script && !m.name.starts_with(sockets::MAPS))
        .map(|m| {
            let home = match m.home {
                Home::Kernel => "kernel",
                Home::User => "user",
                Home::Both => "kernel and user",
            };
            let home =
                if m.home == Home::Both { format!("{home}, partial sums added when read") } else { home.to_owned() };
            let mut text = match m.presence {
                Some(_) => format!("{} {home}", m.name),
                None => format!("{} {home}, {} entries", m.name, m.max_entries),
            };
            if let Some(ring) = m.ring {
                let _ = write!(text, ", {} buckets of {} ms", ring.slots, ring.bucket_ns / 1_000_000);
            }
            if let Some(ttl) = m.ttl {
                let _ = write!(text, ", elements end after {} ms", ttl.ns / 1_000_000);
            }
            text
        })
        .collect()
}

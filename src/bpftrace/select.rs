//! Which of a script's probes a command line is about.

use regex_lite::Regex;
use std::collections::BTreeSet;
use weftrace_artifact::{Artifact, plan::Way};
use weftrace_runtime::ByHand;

/// `--test`, `--bench` and their long forms.
pub(super) fn by_hand(mode: &str) -> Option<ByHand> {
    match mode {
        "test" => Some(ByHand::Tests),
        "bench" => Some(ByHand::Benchmarks),
        _ => None,
    }
}

/// Probes that `--probe-filter` does not name; begin, end and self always run.
pub(super) fn left_out(artifact: &Artifact, filter: Option<&str>) -> Result<BTreeSet<u32>, String> {
    let Some(filter) = filter.filter(|f| !f.is_empty()) else { return Ok(BTreeSet::new()) };
    let filter = Regex::new(filter).map_err(|e| format!("Invalid --probe-filter regex '{filter}': {e}"))?;
    let always = |way: &Way| matches!(way, Way::Begin | Way::End | Way::Signal { .. });
    let probes = artifact.probes.iter().enumerate();
    Ok(probes.filter(|(_, p)| !always(&p.best.way) && !filter.is_match(&p.name)).map(|(i, _)| i as u32).collect())
}

/// Why nothing of a script runs without another option.
pub(super) fn idle(artifact: &Artifact) -> Option<&'static str> {
    let any = |of: fn(&Way) -> bool| artifact.probes.iter().any(|p| of(&p.best.way));
    if any(|w| matches!(w, Way::Test { .. })) {
        Some("No probes attached; use --test to run test probes.")
    } else if any(|w| matches!(w, Way::Bench { .. })) {
        Some("No probes attached; use --bench to run benchmark probes.")
    } else {
        None
    }
}

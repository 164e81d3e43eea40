//! A script's probes attached for a moment, to see how it goes: nothing of the script runs.

use std::{collections::BTreeMap, io};
use weftrace_artifact::{
    Artifact,
    plan::{ProbePlan, Unit},
};
use weftrace_probes::kernel::caps::{self, Needs, PlanNeeds};
use weftrace_runtime::{AttachFailure, Error, Session, SessionOptions, sink::TextSink};

/// How it went.
#[derive(Default)]
pub(super) struct Trial {
    failures: BTreeMap<u32, AttachFailure>,
    /// By probe: the way that was taken.
    taken: BTreeMap<u32, String>,
    /// Why nothing could be tried.
    failed: Option<String>,
}

/// Attaches and detaches. What lacks a capability isn't tried: why it fails is known.
pub(super) fn attach(artifact: &Artifact, plan: &PlanNeeds) -> Trial {
    let lacking = |(index, needs): (u32, &Needs)| (!needs.missing.is_empty()).then(|| (index, String::new()));
    let options = SessionOptions {
        dry_run: true,
        refused: (0u32..).zip(&plan.probes).filter_map(lacking).collect(),
        ..SessionOptions::default()
    };
    // Maps can't be made: nothing can be loaded.
    if options.refused.len() == artifact.probes.len() {
        return Trial::default();
    }
    let silent = || Box::new(io::sink());
    let started = Session::new(artifact.clone(), options)
        .and_then(|session| session.start(Box::new(TextSink::new(silent(), silent(), true))));
    let by_index = |failures: &[AttachFailure]| failures.iter().map(|f| (f.index, f.clone())).collect();
    match started {
        Ok(running) => {
            let taken = (0u32..artifact.probes.len() as u32).filter_map(|index| {
                let (way, instead_of) = running.taken(index)?;
                let mut how = vec![way.describe()];
                how.extend_from_slice(instead_of);
                Some((index, how.join("; ")))
            });
            let mut taken: BTreeMap<u32, String> = taken.collect();
            for (index, probe) in (0u32..).zip(&artifact.probes).filter(|(i, _)| running.is_in_session(*i)) {
                let other = probe.session.and_then(|other| artifact.probes.get(other as usize));
                let with =
                    other.map_or_else(String::new, |o| format!(", in a session with its {}", o.best.way.describe()));
                taken.insert(index, probe.best.way.describe() + &with);
            }
            Trial { failures: by_index(running.failures()), taken, failed: None }
        }
        Err(Error::NothingAttached(failures)) => Trial { failures: by_index(&failures), ..Trial::default() },
        Err(error) => Trial { failed: Some(error.to_string()), ..Trial::default() },
    }
}

impl Trial {
    /// A probe's state, and how it would be attached or why not.
    pub(super) fn of(&self, index: u32, probe: &ProbePlan, needs: &Needs) -> (&'static str, String) {
        if !needs.missing.is_empty() {
            let lacks = caps::set(&needs.missing);
            // The whole of it stands beside.
            let some = lacks != needs.set();
            return ("not permitted", if some { format!("lacks {}", lacks.names().join(" ")) } else { String::new() });
        }
        if let Some(failure) = self.failures.get(&index) {
            let state = if failure.not_permitted { "not permitted" } else { "can't attach" };
            let remedy = failure.remedy.as_ref().map_or_else(String::new, |r| format!(" → {r}"));
            return (state, format!("{}{remedy}", failure.why));
        }
        if let (Some(why), Unit::Kernel(_)) = (&self.failed, probe.best.unit) {
            return ("can't attach", why.clone());
        }
        let best = || probe.best.way.describe();
        ("ready", self.taken.get(&index).cloned().unwrap_or_else(best))
    }
}

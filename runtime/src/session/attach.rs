//! From the plan's ways to links, one error per probe.

use super::Programs;
use std::os::fd::RawFd;
use weftrace_artifact::{
    Artifact, Place,
    plan::{ProbePlan, Unit},
};
use weftrace_probes::kernel::{AttachError, AttachOptions, Host, Link, LoadError, attach, program::TypedTarget};

/// A probe that did not attach.
#[derive(Clone, Debug)]
pub struct AttachFailure {
    /// Index into the artifact's probes.
    pub index: u32,
    pub probe: String,
    pub why: String,
    /// What the operator can do.
    pub remedy: Option<String>,
    pub place: Place,
    /// Attached by a wildcard: others of it may have worked.
    pub wildcard: bool,
    /// The verifier refused what the compiler made: our bug.
    pub bug: bool,
    /// For want of a privilege.
    pub not_permitted: bool,
}

impl AttachFailure {
    pub(super) fn new(index: u32, plan: &ProbePlan, why: &dyn ToString) -> Self {
        Self {
            index,
            probe: plan.name.clone(),
            why: why.to_string(),
            remedy: None,
            place: plan.place,
            wildcard: plan.wildcard,
            bug: false,
            not_permitted: false,
        }
    }
}

/// What attaching needs.
pub(super) struct Attacher<'a> {
    pub(super) artifact: &'a Artifact,
    pub(super) host: &'a Host,
    pub(super) maps: &'a [RawFd],
    /// Of `-p` or `-c`.
    pid: Option<u32>,
    /// Probes that share each program: those learn which fired by their cookie.
    users: Vec<u32>,
}

impl<'a> Attacher<'a> {
    pub(super) fn new(artifact: &'a Artifact, host: &'a Host, maps: &'a [RawFd], pid: Option<u32>) -> Self {
        let mut users = vec![0; artifact.programs.len()];
        for plan in &artifact.probes {
            if let Unit::Kernel(program) = plan.unit
                && let Some(n) = users.get_mut(program as usize)
            {
                *n += 1;
            }
        }
        Self { artifact, host, maps, pid, users }
    }

    /// Tries the ways in order; the first that works counts. On failure the last way's error is told: it is the most general.
    pub(super) fn attach(
        &self,
        index: u32,
        plan: &ProbePlan,
        program: u32,
        programs: &mut Programs,
    ) -> Result<Link, AttachFailure> {
        let mut failure = AttachFailure::new(index, plan, &"the plan has no way to attach it");
        for way in &plan.ways {
            let target = TypedTarget::of(way);
            let fd = match programs.load(self.artifact, program, target.as_ref(), self.maps, self.host) {
                Ok(fd) => fd,
                Err(error) => {
                    failure = load_failure(index, plan, &error);
                    continue;
                }
            };
            let shared = self.users.get(program as usize).is_some_and(|&n| n > 1);
            let cookie = if shared { u64::from(index) } else { 0 };
            let options = AttachOptions { cookie, pid: self.pid, ..AttachOptions::new(self.host) };
            match attach(fd, way, &options) {
                Ok(link) => return Ok(link),
                Err(error) => {
                    failure = AttachFailure {
                        remedy: error.remedy(),
                        not_permitted: matches!(error, AttachError::NotPermitted { .. }),
                        ..AttachFailure::new(index, plan, &error)
                    };
                }
            }
        }
        Err(failure)
    }
}

pub(super) fn load_failure(index: u32, plan: &ProbePlan, error: &LoadError) -> AttachFailure {
    AttachFailure {
        bug: matches!(error, LoadError::Rejected(_)),
        not_permitted: matches!(error, LoadError::NotPermitted { .. }),
        ..AttachFailure::new(index, plan, error)
    }
}

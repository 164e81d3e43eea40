//! From the plan's ways to links, one error per probe.

use super::Programs;
use std::{cell::Cell, os::fd::RawFd};
use weftrace_artifact::{
    Artifact, Place,
    plan::{ProbePlan, Unit, Way},
};
use weftrace_probes::kernel::{
    AttachError, AttachOptions, Host, Link, LoadError, Uprobes, attach, program::TypedTarget, uprobes,
};

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
    /// One link can't hold many uprobes here (before Linux 6.6): not tried again.
    one_by_one: Cell<bool>,
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
        Self { artifact, host, maps, pid, users, one_by_one: Cell::new(false) }
    }

    /// Attaches the first of these probes that are functions of one file and share a program, by one link: thousands take as
    /// long as one. The link, and how many; None: one by one.
    pub(super) fn attach_many(&self, order: &[u32], programs: &mut Programs) -> Option<(Link, usize)> {
        if self.one_by_one.get() {
            return None;
        }
        let (program, all) = self.together(order)?;
        let count = all.sites.len();
        if count < 2 {
            return None;
        }
        let fd = programs.load_for_many(self.artifact, program, self.maps, self.host);
        let link = fd.and_then(|fd| uprobes(fd, &all, self.host).ok());
        if link.is_none() {
            // Whatever it was: each for itself says which can't be attached, and why.
            self.one_by_one.set(true);
        }
        Some((link?, count))
    }

    /// As many uprobes from the first one on as are of the same program, file and process.
    fn together(&self, order: &[u32]) -> Option<(u32, Uprobes<'a>)> {
        let artifact: &'a Artifact = self.artifact;
        let uprobe = |plan: &'a ProbePlan| match (plan.unit, &plan.ways[..]) {
            (Unit::Kernel(program), [Way::Uprobe { path, offset, ret, pid, semaphore: 0, .. }]) => {
                Some(((program, path.as_str(), *ret, *pid), *offset))
            }
            _ => None,
        };
        let (common, _) = uprobe(&artifact.probes[*order.first()? as usize])?;
        let mut sites = Vec::new();
        for &index in order {
            match uprobe(&artifact.probes[index as usize]) {
                Some((its, offset)) if its == common => sites.push((offset, u64::from(index))),
                _ => break,
            }
        }
        let (program, path, ret, pid) = common;
        Some((program, Uprobes { path, ret, pid, sites }))
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

//! From the plan's ways to links, one error per probe.

use super::Programs;
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    os::fd::RawFd,
};
use weftrace_artifact::{
    Artifact, Place,
    plan::{Attach, ProbePlan, Site, Unit, Way},
    program::ProgramImage,
};
use weftrace_probes::kernel::{
    AttachError, AttachOptions, Host, Link, LoadError, Uprobes, attach,
    caps::Capability,
    program::{Many, TypedTarget},
    uprobes,
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
    /// One that isn't tried.
    pub(super) fn refused(index: u32, plan: &ProbePlan, why: &str) -> Self {
        Self { not_permitted: true, ..Self::new(index, plan, &why) }
    }

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

    /// What failed for another probe of the same program.
    fn for_probe(self, index: u32, plan: &ProbePlan) -> Self {
        let own = Self::new(index, plan, &self.why);
        Self { remedy: self.remedy, bug: self.bug, not_permitted: self.not_permitted, ..own }
    }

    /// Of every way that was tried: what each said, and the remedy of the last, which is the most general.
    fn of_all(plan: &ProbePlan, mut failures: Vec<Self>) -> Option<Self> {
        let mut last = failures.pop()?;
        last.bug |= failures.iter().any(|f| f.bug);
        last.not_permitted |= failures.iter().any(|f| f.not_permitted);
        let passed = plan.passed.iter().map(|p| format!("nor by {}: {}", p.way, p.why));
        let tried = plan.ways().zip(&failures).map(|(one, f)| format!("nor by {}: {}", one.way.describe(), f.why));
        let others: Vec<String> = passed.chain(tried).collect();
        if !others.is_empty() {
            last.why = format!("{} ({})", last.why, others.join("; "));
        }
        Some(last)
    }
}

/// What runs in user space has other sources than the kernel's.
pub(super) const NO_SOURCE: &str = "it has no source of events";

/// The way that worked.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    /// Its place in the chain.
    pub(super) at: usize,
    /// Why those before it didn't.
    pub(super) instead_of: Vec<String>,
}

/// What attaching needs.
pub(super) struct Attacher<'a> {
    pub(super) artifact: &'a Artifact,
    pub(super) host: &'a Host,
    pub(super) maps: &'a [RawFd],
    /// Of `-p` or `-c`.
    pid: Option<u32>,
    /// What one link can't hold many of here (older kernels): not tried again.
    pub(super) one_by_one: RefCell<BTreeSet<Many>>,
    /// Links that failed, of those that hold many.
    pub(super) refused_links: Cell<u32>,
    /// Programs that watch many system calls, and whether they could be attached: each is once, for its first probe.
    watching: RefCell<BTreeMap<u32, Result<(), AttachFailure>>>,
}

impl<'a> Attacher<'a> {
    pub(super) fn new(artifact: &'a Artifact, host: &'a Host, maps: &'a [RawFd], pid: Option<u32>) -> Self {
        Self {
            artifact,
            host,
            maps,
            pid,
            one_by_one: RefCell::default(),
            refused_links: Cell::new(0),
            watching: RefCell::default(),
        }
    }

    /// Tries the ways in order: the first that works counts. The failure tells of all of them.
    pub(super) fn attach(
        &self,
        index: u32,
        plan: &ProbePlan,
        programs: &mut Programs,
    ) -> Result<(Link, Taken), AttachFailure> {
        let mut failures = Vec::new();
        for (at, one) in plan.ways().enumerate() {
            match self.attach_one(index, plan, one, programs) {
                Ok(link) => {
                    return Ok((link, Taken { at, instead_of: instead_of(plan, &failures) }));
                }
                Err(failure) => failures.push(failure),
            }
        }
        Err(AttachFailure::of_all(plan, failures).unwrap_or_else(|| AttachFailure::new(index, plan, &NO_SOURCE)))
    }

    /// A uprobe by a link of its own: it detaches without the lock under which perf events are removed one by one (docs/performance.md), and asks for less:
    /// for perf events the kernel wants CAP_SYS_ADMIN, for links CAP_PERFMON is enough. (Of one process perf events are surer: which threads a link's are
    /// differs between kernels.)
    fn without_perf_event(&self, index: u32, program: u32, way: &Way, programs: &mut Programs) -> Option<Link> {
        if (self.pid.is_some() && self.host.caps().has(Capability::SysAdmin)) || !self.host.has_uprobe_multi() {
            return None;
        }
        let (path, ret, pid, sites) = match way {
            Way::Uprobe { path, offset, more, ret, pid, semaphore, .. } => {
                let site = |offset: &u64| Site { offset: *offset, semaphore: *semaphore };
                (path, *ret, *pid, std::iter::once(offset).chain(more).map(site).collect())
            }
            Way::Usdt { path, sites, pid, .. } => (path, false, *pid, sites.clone()),
            _ => return None,
        };
        let semaphores = sites.iter().map(|s| s.semaphore).collect();
        let sites = sites.iter().map(|s| (s.offset, u64::from(index))).collect();
        let fd = programs.load_for_many(self.artifact, program, Many::Uprobes, self.maps, self.host)?;
        uprobes(fd, &Uprobes { path, ret, pid, sites, semaphores }, self.host).ok()
    }

    fn attach_one(
        &self,
        index: u32,
        plan: &ProbePlan,
        one: &Attach,
        programs: &mut Programs,
    ) -> Result<Link, AttachFailure> {
        let Unit::Kernel(program) = one.unit else { return Err(AttachFailure::new(index, plan, &NO_SOURCE)) };
        if let Some(link) = self.without_perf_event(index, program, &one.way, programs) {
            return Ok(link);
        }
        if !matches!(one.way, Way::Syscall { .. }) {
            return self.attach_program(index, plan, one, program, programs);
        }
        if let Some(known) = self.watching.borrow().get(&program) {
            return known.clone().map(|()| Link::shared()).map_err(|failure| failure.for_probe(index, plan));
        }
        let link = self.attach_program(index, plan, one, program, programs);
        self.watching.borrow_mut().insert(program, link.as_ref().map(drop).map_err(AttachFailure::clone));
        link
    }

    fn attach_program(
        &self,
        index: u32,
        plan: &ProbePlan,
        one: &Attach,
        program: u32,
        programs: &mut Programs,
    ) -> Result<Link, AttachFailure> {
        let target = TypedTarget::of(&one.way);
        if let Some(twin) = self.artifact.programs.get(program as usize).and_then(|image| image.twin) {
            // Loaded before the first is attached, so that only its attaching lies between the two.
            let loaded = programs.load(self.artifact, twin, target.as_ref(), self.maps, self.host);
            loaded.map_err(|error| load_failure(index, plan, &error))?;
        }
        let fd = programs
            .load(self.artifact, program, target.as_ref(), self.maps, self.host)
            .map_err(|error| load_failure(index, plan, &error))?;
        // Older kernels have none for some events, or for any: only who asks for it gets one.
        let asks = self.artifact.programs.get(program as usize).is_some_and(ProgramImage::asks_cookie);
        let cookie = if asks { u64::from(index) } else { 0 };
        let options = AttachOptions { cookie, pid: self.pid, ..AttachOptions::new(self.host) };
        attach(fd, &one.way, &options).map_err(|error| AttachFailure {
            remedy: error.remedy(),
            not_permitted: matches!(error, AttachError::NotPermitted { .. }),
            // What the kernel lacks isn't a matter of one function: what the others count would be a part of what was asked for.
            wildcard: plan.wildcard && !matches!(error, AttachError::NotSupported { .. }),
            ..AttachFailure::new(index, plan, &error.why())
        })
    }
}

impl Attacher<'_> {
    /// The second copy of a program that was just attached, if it has one: the kernel runs it behind the first.
    pub(super) fn attach_twin(
        &self,
        index: u32,
        plan: &ProbePlan,
        taken: &Taken,
        programs: &mut Programs,
    ) -> Option<Result<Link, AttachFailure>> {
        let one = plan.ways().nth(taken.at)?;
        let Unit::Kernel(program) = one.unit else { return None };
        let twin = self.artifact.programs.get(program as usize)?.twin?;
        Some(self.attach_program(index, plan, one, twin, programs))
    }
}

/// The ways before the one that worked, with why they didn't.
fn instead_of(plan: &ProbePlan, failures: &[AttachFailure]) -> Vec<String> {
    plan.ways().zip(failures).map(|(one, f)| format!("not by {}: {}", one.way.describe(), f.why)).collect()
}

pub(super) fn load_failure(index: u32, plan: &ProbePlan, error: &LoadError) -> AttachFailure {
    AttachFailure {
        bug: matches!(error, LoadError::Rejected(_)),
        not_permitted: matches!(error, LoadError::NotPermitted { .. }),
        ..AttachFailure::new(index, plan, error)
    }
}

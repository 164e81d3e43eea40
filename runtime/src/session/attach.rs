//! From the plan's ways to links, one error per probe.

use super::Programs;
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    os::fd::RawFd,
};
use weftrace_artifact::{
    Artifact, Place,
    plan::{Attach, ProbePlan, Site, Unit, Way},
};
use weftrace_probes::kernel::{
    AttachError, AttachOptions, Host, Kprobes, Link, LoadError, Uprobes, attach,
    caps::Capability,
    kprobes,
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
        let tried = failures.iter().map(|f| format!("nor otherwise: {}", f.why));
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

/// What probes of one link have in common.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Shared<'a> {
    program: u32,
    of: Common<'a>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Common<'a> {
    File { path: &'a str, ret: bool, pid: Option<u32> },
    Kernel { ret: bool },
}

/// And what they haven't.
struct Own<'a> {
    offsets: Vec<u64>,
    function: &'a str,
}

enum Group<'a> {
    Uprobes(Uprobes<'a>),
    Kprobes(Kprobes<'a>),
}

impl<'a> Shared<'a> {
    fn of(plan: &'a ProbePlan) -> Option<(Self, Own<'a>)> {
        let (Unit::Kernel(program), []) = (plan.best.unit, &plan.fallbacks[..]) else { return None };
        Some(match &plan.best.way {
            Way::Uprobe { path, offset, more, ret, pid, semaphore: 0, .. } => {
                let of = Common::File { path, ret: *ret, pid: *pid };
                let offsets = std::iter::once(offset).chain(more).copied().collect();
                (Self { program, of }, Own { offsets, function: "" })
            }
            // By name: a link takes no modules, and no offsets.
            Way::Kprobe { function, module, offset: 0, ret } if module.as_deref().is_none_or(|m| m == "vmlinux") => {
                (Self { program, of: Common::Kernel { ret: *ret } }, Own { offsets: Vec::new(), function })
            }
            _ => return None,
        })
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
    /// What one link can't hold many of here (older kernels): not tried again.
    one_by_one: RefCell<BTreeSet<Many>>,
    /// Programs that watch many system calls, and whether they could be attached: each is once, for its first probe.
    watching: RefCell<BTreeMap<u32, Result<(), AttachFailure>>>,
}

impl<'a> Attacher<'a> {
    pub(super) fn new(artifact: &'a Artifact, host: &'a Host, maps: &'a [RawFd], pid: Option<u32>) -> Self {
        let mut users = vec![0; artifact.programs.len()];
        for attach in artifact.probes.iter().flat_map(ProbePlan::ways) {
            if let Unit::Kernel(program) = attach.unit
                && let Some(n) = users.get_mut(program as usize)
            {
                *n += 1;
            }
        }
        Self { artifact, host, maps, pid, users, one_by_one: RefCell::default(), watching: RefCell::default() }
    }

    /// Attaches the first of these probes that one link can hold together: thousands take as long as one. The link, and how many;
    /// None: one by one.
    pub(super) fn attach_many(&self, order: &[u32], programs: &mut Programs) -> Option<(Link, usize)> {
        let (program, count, group) = self.together(order)?;
        let (what, places) = match &group {
            Group::Uprobes(all) => (Many::Uprobes, all.sites.len()),
            Group::Kprobes(all) => (Many::Kprobes, all.functions.len()),
        };
        if places < 2 || self.one_by_one.borrow().contains(&what) {
            return None;
        }
        let fd = programs.load_for_many(self.artifact, program, what, self.maps, self.host);
        let link = fd.and_then(|fd| match &group {
            Group::Uprobes(all) => uprobes(fd, all, self.host).ok(),
            Group::Kprobes(all) => kprobes(fd, all, self.host).ok(),
        });
        if link.is_none() {
            // Whatever it was: each for itself says which can't be attached, and why.
            self.one_by_one.borrow_mut().insert(what);
        }
        Some((link?, count))
    }

    /// As many probes from the first one on as are of the same program, and functions of one file and process or of the kernel.
    fn together(&self, order: &[u32]) -> Option<(u32, usize, Group<'a>)> {
        let artifact: &'a Artifact = self.artifact;
        let place = |index: u32| Shared::of(&artifact.probes[index as usize]);
        let (common, _) = place(*order.first()?)?;
        let alike: Vec<(Own<'a>, u64)> = order
            .iter()
            .map_while(|&index| {
                let (its, site) = place(index)?;
                (its == common).then_some((site, u64::from(index)))
            })
            .collect();
        let count = alike.len();
        let alike = alike.into_iter();
        let group = match common.of {
            Common::File { path, ret, pid } => {
                let each =
                    |(site, cookie): (Own<'_>, u64)| site.offsets.into_iter().map(move |offset| (offset, cookie));
                let sites = alike.flat_map(each).collect();
                Group::Uprobes(Uprobes { path, ret, pid, sites, semaphores: Vec::new() })
            }
            Common::Kernel { ret } => {
                let functions = alike.map(|(site, cookie)| (site.function, cookie)).collect();
                Group::Kprobes(Kprobes { ret, functions })
            }
        };
        Some((common.program, count, group))
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
                    return Ok((
                        link,
                        Taken { at, instead_of: failures.into_iter().map(|f: AttachFailure| f.why).collect() },
                    ));
                }
                Err(failure) => failures.push(failure),
            }
        }
        Err(AttachFailure::of_all(plan, failures).unwrap_or_else(|| AttachFailure::new(index, plan, &NO_SOURCE)))
    }

    /// A uprobe by a link of its own: for perf events the kernel wants CAP_SYS_ADMIN, for links CAP_PERFMON is enough.
    fn without_perf_event(&self, index: u32, program: u32, way: &Way, programs: &mut Programs) -> Option<Link> {
        if self.host.caps().has(Capability::SysAdmin) {
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
        let fd = programs
            .load(self.artifact, program, target.as_ref(), self.maps, self.host)
            .map_err(|error| load_failure(index, plan, &error))?;
        let shared = self.users.get(program as usize).is_some_and(|&n| n > 1);
        // Typed programs have none on older kernels, and don't ask.
        let typed = target.is_some();
        let cookie = if shared && !typed { u64::from(index) } else { 0 };
        let options = AttachOptions { cookie, pid: self.pid, ..AttachOptions::new(self.host) };
        attach(fd, &one.way, &options).map_err(|error| AttachFailure {
            remedy: error.remedy(),
            not_permitted: matches!(error, AttachError::NotPermitted { .. }),
            ..AttachFailure::new(index, plan, &error)
        })
    }
}

pub(super) fn load_failure(index: u32, plan: &ProbePlan, error: &LoadError) -> AttachFailure {
    AttachFailure {
        bug: matches!(error, LoadError::Rejected(_)),
        not_permitted: matches!(error, LoadError::NotPermitted { .. }),
        ..AttachFailure::new(index, plan, error)
    }
}

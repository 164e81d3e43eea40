//! Probes that one link holds: many functions of a program or of the kernel, and both ends of a function. Thousands take as long as one.

use super::{Programs, attach::Attacher};
use std::collections::BTreeSet;
use weftrace_artifact::{
    Artifact,
    plan::{ProbePlan, Unit, Way},
};
use weftrace_probes::kernel::{
    Ends, Kprobes, Link, Uprobes, kprobe_session, kprobes, program::Many, uprobe_session, uprobes,
};

/// Links that the kernel may refuse until each function is attached for itself, which says what can't be attached, and why.
const MOST_REFUSED: u32 = 64;

/// What probes of one link have in common.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Shared<'a> {
    program: u32,
    /// Of a session: the other end's program.
    other: Option<u32>,
    of: Common<'a>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Common<'a> {
    File { path: &'a str, ret: bool, pid: Option<u32> },
    Kernel { ret: bool },
}

/// And what they haven't.
struct Own<'a> {
    index: u32,
    /// Of a session: the probe at the other end.
    other: Option<u32>,
    offsets: Vec<u64>,
    function: &'a str,
}

/// Which probes can be attached now.
pub(super) struct Waiting<'a> {
    /// In order, from the first that isn't attached.
    pub(super) order: &'a [u32],
    /// Those that aren't to be, or are already.
    pub(super) not: &'a BTreeSet<u32>,
}

impl Waiting<'_> {
    fn has(&self, index: u32) -> bool {
        self.order.contains(&index) && !self.not.contains(&index)
    }
}

impl<'a> Shared<'a> {
    fn of(artifact: &'a Artifact, index: u32, in_session: bool) -> Option<(Self, Own<'a>)> {
        let plan: &ProbePlan = artifact.probes.get(index as usize)?;
        let (Unit::Kernel(program), []) = (plan.best.unit, &plan.fallbacks[..]) else { return None };
        let other = if in_session { Some(plan.session?) } else { None };
        let program_of = |index: u32| match artifact.probes.get(index as usize)?.best.unit {
            Unit::Kernel(program) => Some(program),
            Unit::Native(_) => None,
        };
        let shared = |of| Self { program, other: other.and_then(program_of), of };
        Some(match &plan.best.way {
            Way::Uprobe { path, offset, more, ret, pid, semaphore: 0, .. } => {
                let offsets = std::iter::once(offset).chain(more).copied().collect();
                let of = Common::File { path, ret: *ret, pid: *pid };
                (shared(of), Own { index, other, offsets, function: "" })
            }
            // By name: a link takes no modules, and no offsets.
            Way::Kprobe { function, module, offset: 0, ret } if module.as_deref().is_none_or(|m| m == "vmlinux") => {
                (shared(Common::Kernel { ret: *ret }), Own { index, other, offsets: Vec::new(), function })
            }
            _ => return None,
        })
    }

    fn many(&self) -> Many {
        match (self.of, self.other) {
            (Common::File { .. }, None) => Many::Uprobes,
            (Common::File { .. }, Some(_)) => Many::UprobeSession,
            (Common::Kernel { .. }, None) => Many::Kprobes,
            (Common::Kernel { .. }, Some(_)) => Many::KprobeSession,
        }
    }
}

impl Attacher<'_> {
    /// Attaches the first of these probes that one link can hold together. The link, and the probes; None: one by one.
    pub(super) fn attach_many(&self, waiting: &Waiting<'_>, programs: &mut Programs) -> Option<(Link, Vec<u32>)> {
        self.attach_together(waiting, true, programs).or_else(|| self.attach_together(waiting, false, programs))
    }

    fn attach_together(
        &self,
        waiting: &Waiting<'_>,
        in_session: bool,
        programs: &mut Programs,
    ) -> Option<(Link, Vec<u32>)> {
        let of = |index: u32| Shared::of(self.artifact, index, in_session);
        let (common, first) = of(*waiting.order.first()?)?;
        let what = common.many();
        if self.one_by_one.borrow().contains(&what) || first.other.is_some_and(|other| !waiting.has(other)) {
            return None;
        }
        let next = |&index: &u32| of(index).filter(|(its, _)| *its == common && !waiting.not.contains(&index));
        let mut all: Vec<Own<'_>> = waiting.order.iter().map_while(next).map(|(_, own)| own).collect();
        if in_session && all.len() > 1 {
            let there: BTreeSet<u32> = waiting.order.iter().copied().filter(|i| !waiting.not.contains(i)).collect();
            let whole = all.iter().take_while(|own| own.other.is_some_and(|other| there.contains(&other))).count();
            all.truncate(whole);
        }
        let places: usize = all.iter().map(|own| own.offsets.len().max(1)).sum();
        if places < 2 && !in_session {
            return None;
        }
        let mut link = self.link(common, what, &all, programs);
        // One that can't be probed fails all, and the kernel doesn't say which: halves are tried, so that the others still have few links.
        while link.is_none() && all.len() > 1 && self.refused_links.get() < MOST_REFUSED {
            self.refused_links.set(self.refused_links.get() + 1);
            all.truncate(all.len() / 2);
            link = self.link(common, what, &all, programs);
        }
        if link.is_none() {
            self.refused_links.set(self.refused_links.get() + 1);
        }
        if self.refused_links.get() >= MOST_REFUSED {
            self.one_by_one.borrow_mut().insert(what);
        }
        let held = all.iter().flat_map(|own| [Some(own.index), own.other]).flatten().collect();
        Some((link?, held))
    }

    fn link(&self, common: Shared<'_>, what: Many, all: &[Own<'_>], programs: &mut Programs) -> Option<Link> {
        for program in [Some(common.program), common.other].into_iter().flatten() {
            programs.load_for_many(self.artifact, program, what, self.maps, self.host)?;
        }
        let program = programs.for_many(common.program, what)?;
        let other = common.other.and_then(|other| programs.for_many(other, what));
        let ends = |ret: bool| {
            let other = other?;
            Some(if ret { Ends { entry: other, ret: program } } else { Ends { entry: program, ret: other } })
        };
        match common.of {
            Common::File { path, ret, pid } => {
                let each = |own: &Own<'_>| {
                    let cookie = u64::from(own.index);
                    own.offsets.iter().map(move |offset| (*offset, cookie)).collect::<Vec<_>>()
                };
                let all =
                    Uprobes { path, ret, pid, sites: all.iter().flat_map(each).collect(), semaphores: Vec::new() };
                match ends(ret) {
                    Some(ends) => uprobe_session(ends, &all, self.host).ok(),
                    None => uprobes(program, &all, self.host).ok(),
                }
            }
            Common::Kernel { ret } => {
                let functions = all.iter().map(|own| (own.function, u64::from(own.index))).collect();
                let all = Kprobes { ret, functions };
                match ends(ret) {
                    Some(ends) => kprobe_session(ends, &all, self.host).ok(),
                    None => kprobes(program, &all, self.host).ok(),
                }
            }
        }
    }
}

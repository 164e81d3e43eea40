//! Entry and return of a function by one link (a session), where the kernel has such: two probes with a program each, and the kernel
//! keeps the function's place once. What they see is the same; a return is seen in any number of calls at once, where a kretprobe has a
//! limit, and detaching waits once instead of twice.
//!
//! Only where a function has one entry probe and one return probe: the order of several at one place stays the script's.

use super::units::Units;
use crate::{attach::Policy, place::Uses};
use std::{cell::LazyCell, collections::BTreeMap};
use weftrace_artifact::plan::{Passed, ProbePlan, Unit, Way};
use weftrace_lang::{hir::Provider, world::World};

/// What the two have in common.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Kernel(String),
    File(String, u64, Option<u32>),
}

/// What the body asks for that a session gives otherwise: of kernel functions it has the registers of arguments and result only, and a
/// stack that begins elsewhere.
pub(super) fn apart(provider: &Provider, uses: &Uses) -> Option<String> {
    if !matches!(provider, Provider::Kprobe { .. }) {
        return None;
    }
    let stack = uses.kernel_stack.then(|| "the body asks for the kernel's stack".to_owned());
    stack.or_else(|| uses.registers.map(|what| format!("the body asks for {what}")))
}

fn place(plan: &ProbePlan) -> Option<(Place, bool)> {
    if !plan.fallbacks.is_empty() || plan.further {
        return None;
    }
    match &plan.best.way {
        Way::Uprobe { path, offset, more, ret, pid, semaphore: 0, .. } if more.is_empty() => {
            Some((Place::File(path.clone(), *offset, *pid), *ret))
        }
        Way::Kprobe { function, module, offset: 0, ret }
            if !function.is_empty() && module.as_deref().is_none_or(|m| m == "vmlinux") =>
        {
            Some((Place::Kernel(function.clone()), *ret))
        }
        _ => None,
    }
}

fn has(world: &dyn World, what: &str) -> bool {
    world.kernel_enumerator(&format!("BPF_TRACE_{what}_SESSION")).is_found()
}

/// Finds the pairs. The script's `attach = written` wants each for itself.
pub(super) fn pair(units: &mut Units, world: &dyn World, policy: Policy) {
    if policy == Policy::Written {
        return;
    }
    let mut ends: BTreeMap<Place, [Vec<usize>; 2]> = BTreeMap::new();
    for (index, plan) in units.probes.iter().enumerate() {
        if let Some((place, ret)) = place(plan) {
            ends.entry(place).or_default()[usize::from(ret)].push(index);
        }
    }
    let pairs = ends.into_iter().filter_map(|(place, ends)| match (&ends[0][..], &ends[1][..]) {
        (&[entry], &[ret]) => Some((place, entry, ret)),
        _ => None,
    });
    let of_kernel = LazyCell::new(|| has(world, "KPROBE"));
    let of_files = LazyCell::new(|| has(world, "UPROBE"));
    for (place, entry, ret) in pairs {
        let known = match place {
            Place::Kernel(_) => *of_kernel,
            Place::File(..) => *of_files,
        };
        if !known {
            continue;
        }
        let why = [entry, ret].iter().find_map(|index| units.apart[*index].clone());
        // By a cookie a program of many probes learns which fired, and the two share the link's.
        let by_cookie = |index: &usize| match units.probes[*index].best.unit {
            Unit::Kernel(program) => units.kernel[program as usize].many,
            Unit::Native(_) => true,
        };
        let why = why.or_else(|| {
            [entry, ret].iter().any(by_cookie).then(|| "a program of many probes asks which of them fired".to_owned())
        });
        for (index, other) in [(entry, ret), (ret, entry)] {
            let plan = &mut units.probes[index];
            match &why {
                None => plan.session = Some(other as u32),
                Some(why) => plan.passed.push(Passed { way: "session".into(), why: why.clone() }),
            }
        }
    }
}

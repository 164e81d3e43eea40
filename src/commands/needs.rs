//! Capabilities in words: what a plan needs, what is missing and how to get it, what became of them.

use std::fmt::Write;
use weftrace_probes::{
    kernel::caps::{self, CapSet, Capability, Need, PlanNeeds},
    world::HostWorld,
};
use weftrace_runtime::Privileges;

/// `CAP_BPF CAP_PERFMON`, or `nothing`.
pub(super) fn list(set: CapSet) -> String {
    if set.is_empty() { "nothing".to_owned() } else { set.names().join(" ") }
}

/// The same for a set that may be root's.
fn many(set: CapSet) -> String {
    match set.0.count_ones() {
        0..=10 => list(set),
        n => format!("all {n} capabilities that it needs no more"),
    }
}

/// The lines of the plan: what is needed, wanted, kept.
pub(super) fn plan_lines(needs: &PlanNeeds) -> String {
    let mut out = format!("needs   {}\n", list(needs.attach.set()));
    for optional in &needs.optional {
        let _ = writeln!(
            out,
            "wants   {}  for {}; without: {}",
            list(optional.needs.set()),
            optional.what,
            optional.without
        );
    }
    let kept = if needs.keeps_all {
        "everything: commands of system() run with it".to_owned()
    } else {
        list(CapSet::of(&needs.kept))
    };
    let _ = write!(out, "keeps   {kept}");
    if !needs.helper.is_empty() && !needs.keeps_all {
        let _ = write!(out, "; its helper process {}", list(CapSet::of(&needs.helper)));
    }
    out.push('\n');
    out
}

/// `  = CAP_BPF: to load BPF programs and make maps`, a line each.
pub(super) fn reasons(needs: &[Need]) -> String {
    let mut out = String::new();
    for (capability, why) in needs {
        let _ = writeln!(out, "  = {capability}: {why}");
    }
    out
}

/// The commands that give this set; one for good, one for a single run.
pub(super) fn how_to_permit(set: CapSet) -> String {
    let binary =
        std::env::current_exe().map_or_else(|_| "$(which weftrace)".to_owned(), |path| path.display().to_string());
    let names: Vec<String> = set.names().iter().map(|name| name.to_lowercase()).collect();
    let plus: Vec<String> = names.iter().map(|n| format!("+{}", n.trim_start_matches("cap_"))).collect();
    let plus = plus.join(",");
    let mut out = format!("  = run it as root, or once: sudo setcap {}+ep {binary}\n", names.join(","));
    let _ = writeln!(
        out,
        "  = or for one run: sudo setpriv --reuid $(id -u) --regid $(id -g) --init-groups --inh-caps {plus} --ambient-caps {plus} {binary} …"
    );
    if caps::in_user_namespace() {
        out += "  = this is a user namespace (a container): its capabilities don't count for tracing; run on the host, or in a container \
                that shares the host's user namespace\n";
    }
    out
}

/// The same for a script that can't even be checked.
pub(super) fn permit_to_check(world: &HostWorld) -> String {
    let set = to_check(world);
    let missing = set.lacking_in(CapSet::effective());
    let what = if missing.is_empty() { String::new() } else { format!("  = missing: {}\n", list(missing)) };
    what + &how_to_permit(set)
}

/// What is needed when a script can't even be checked: to see what could not be seen, and then to run it.
pub(super) fn to_check(world: &HostWorld) -> CapSet {
    CapSet(CapSet::of(&[Capability::Bpf, Capability::Perfmon]).0 | world.lacks().0).least()
}

/// What became of the privileges, for `-v`.
pub(super) fn told(privileges: &Privileges) -> String {
    let mut out = String::new();
    match (&privileges.shed, privileges.all_kept) {
        (_, Some(why)) => {
            let _ = writeln!(out, "privileges: all kept, since {why}");
        }
        (Some(Err(error)), None) => {
            let _ = writeln!(out, "privileges: could not be dropped: {error}");
        }
        (Some(Ok(shed)), None) => {
            let _ = writeln!(out, "privileges: dropped {}; kept {}", many(shed.dropped), list(shed.kept));
            for (capability, why) in privileges.reasons() {
                let _ = writeln!(out, "  {capability}: {why}");
            }
            if shed.other_threads > 0 {
                let _ = writeln!(out, "  {} other threads keep what they had", shed.other_threads);
            }
        }
        (None, None) => {}
    }
    if let Some((pid, has)) = privileges.helper() {
        let _ = writeln!(out, "  helper process {pid}, for names of other users' processes: {}", list(has));
    }
    out
}

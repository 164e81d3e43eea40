//! What `weftrace doctor` asks, in the order in which it says it: one row for each probe type and what they lean on.

use super::{Readiness, helper, more, try_feature};
use crate::kernel::Host;
use weftrace_lang::world::Feature;

/// One question.
pub struct Check {
    /// As scripts and people call it.
    pub name: &'static str,
    pub group: Group,
    pub test: fn(&Host) -> Readiness,
    /// What to do where this kernel hasn't got it; empty: nothing can be done.
    pub instead: &'static str,
}

/// Parts of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Probes,
    Programs,
    Names,
}

impl Group {
    pub fn title(self) -> &'static str {
        match self {
            Self::Probes => "probes",
            Self::Programs => "what programs use",
            Self::Names => "names and types",
        }
    }
}

const fn row(name: &'static str, group: Group, test: fn(&Host) -> Readiness, instead: &'static str) -> Check {
    Check { name, group, test, instead }
}

use Group::{Names, Probes, Programs};

pub static CHECKS: &[Check] = &[
    row("kprobe", Probes, |h| more::kprobe(h, false), "fentry, a tracepoint, or a rawtracepoint near the function"),
    row("kretprobe", Probes, |h| more::kprobe(h, true), "fexit, or a tracepoint behind the function"),
    row("kprobe_multi", Probes, |h| try_feature(Feature::KprobeMulti, h), "wildcards are attached one by one: slower"),
    row("kprobe.session", Probes, more::kprobe_session, "entry and return are attached each for itself"),
    row("fentry", Probes, |h| more::fentry(h, false), "kprobe, or a tracepoint"),
    row("fexit", Probes, |h| more::fentry(h, true), "kretprobe, or a tracepoint"),
    row("tracepoint", Probes, |h| try_feature(Feature::Tracepoint, h), "rawtracepoint"),
    row("rawtracepoint", Probes, |h| try_feature(Feature::RawTracepoint, h), "tracepoint"),
    row(
        "tp_btf",
        Probes,
        |h| try_feature(Feature::TracepointBtf, h),
        "tracepoints are attached by perf events: dearer",
    ),
    row("uprobe", Probes, |h| more::uprobe(h, false), ""),
    row("uretprobe", Probes, |h| more::uprobe(h, true), ""),
    row(
        "uprobe_multi",
        Probes,
        |h| try_feature(Feature::UprobeMulti, h),
        "uprobes are attached one by one, by CAP_SYS_ADMIN",
    ),
    row("uprobe_session", Probes, more::uprobe_session, "entry and return are attached each for itself"),
    row("usdt", Probes, |h| more::uprobe(h, false), ""),
    row("usdt counters", Probes, more::semaphores, "markers that a program switches on by a counter don't fire"),
    row("profile", Probes, more::timer, "interval"),
    row("interval", Probes, |_| Readiness::Ready, ""),
    row("software", Probes, |h| more::counter(h, false), ""),
    row("hardware", Probes, |h| more::counter(h, true), "software, or profile"),
    row("watchpoint", Probes, more::watchpoint, ""),
    row("iter", Probes, |h| more::iterator(h, None), ""),
    row(
        "iter of a process",
        Probes,
        |h| try_feature(Feature::IterOfProcess, h),
        "the walk is over all, and the program leaves out others",
    ),
    row("pcap live", Probes, |h| try_feature(Feature::PacketSocket, h), "weftrace --read FILE"),
    row("pcap in the kernel", Probes, |h| try_feature(Feature::PacketFilter, h), "packets are counted in user space"),
    row("maps", Programs, more::maps, ""),
    row("ring buffer", Programs, |h| try_feature(Feature::Ringbuf, h), ""),
    row("stack maps", Programs, more::stacks, ""),
    row("stack unwinding", Programs, more::task_registers, "stacks of programs without frame pointers stay short"),
    row("bpf_loop", Programs, |h| try_feature(Feature::BpfLoop, h), "loops are unrolled, or bounded by the verifier"),
    row("for_each_map_elem", Programs, |h| helper(h, 164), "`for ($kv : @map)` runs in user space only"),
    row(
        "cookies",
        Programs,
        |h| try_feature(Feature::AttachCookie, h),
        "each probe of a wildcard has a program of its own",
    ),
    row("sock_cookie()", Programs, |h| try_feature(Feature::SocketCookie, h), ""),
    row("current task", Programs, |h| try_feature(Feature::CurrentTask, h), "its name is copied by the kernel: dearer"),
    row(
        "atomic fetch",
        Programs,
        |h| try_feature(Feature::AtomicFetch, h),
        "probes of programs need none: they aren't interrupted here",
    ),
    row("signed division", Programs, |h| try_feature(Feature::SignedDiv, h), "it is computed by other instructions"),
    row("runs by hand", Programs, more::run_by_hand, "END and signal blocks of the kernel don't run"),
    row("BTF", Names, more::btf, "`args` of kernel functions and struct members aren't known by name"),
    row("BTF of modules", Names, more::module_btf, ""),
    row("tracefs", Names, more::tracefs, "rawtracepoint needs none"),
    row("traceable functions", Names, more::traceable, "wildcards try every function of /proc/kallsyms"),
    row(
        "kernel symbols",
        Names,
        more::kernel_symbols,
        "kernel stacks show addresses; as root: sysctl kernel.kptr_restrict=1",
    ),
    row("other users' processes", Names, more::processes, ""),
    row("debug information", Names, more::debug_files, "programs' own is used, where they have it"),
];

/// Tries everything.
pub fn all(host: &Host) -> impl Iterator<Item = (&'static Check, Readiness)> {
    CHECKS.iter().map(|check| (check, (check.test)(host)))
}

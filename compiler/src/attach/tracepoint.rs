//! Tracepoints: a record made for perf (`tracepoint:`), or the arguments that it is made of (`tp_btf`).
//!
//! A perf tracepoint skips what happens while another program of its kind runs on the CPU; tp_btf doesn't. So it stands in only for
//! events that no program causes, in categories that [`CATEGORIES`] lists: then both see the same, but for interrupts that come in the
//! middle of a program, which perf misses.

use super::{Ask, table::Stand};
use crate::lower;
use std::{cell::OnceCell, collections::BTreeMap};
use weftrace_arch::HOST;
use weftrace_artifact::program::ProgType;
use weftrace_lang::{
    hir::{Provider, Target},
    world::Answer,
};

/// Categories whose events programs don't cause. (Their maps allocate memory and take locks, their reads fault, their records wake us
/// by an interrupt of its own, their signals are signals: such events are not here.)
static CATEGORIES: &[&str] = &[
    "block",
    "cgroup",
    "compaction",
    "cpuhp",
    "devlink",
    "ext4",
    "fib",
    "fib6",
    "filelock",
    "iomap",
    "io_uring",
    "jbd2",
    "mptcp",
    "napi",
    "neigh",
    "net",
    "oom",
    "power",
    "qdisc",
    "raw_syscalls",
    "sched",
    "scsi",
    "skb",
    "sock",
    "sunrpc",
    "task",
    "tcp",
    "udp",
    "vmscan",
    "writeback",
    "xfs",
];

/// Where a number of a record comes from: what the kernel's own code puts there (include/trace/events).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// An argument of the tracepoint.
    Arg(u32),
    /// A member of what an argument points to: (argument, struct, member, bytes).
    Member(u32, &'static str, &'static str, u32),
    /// The same of a port, as it is on the wire: (argument, struct, member).
    Port(u32, &'static str, &'static str),
    /// The number of the system call whose registers an argument points to.
    Number(u32),
}

use Source::{Arg, Member, Number, Port};

const fn pid(arg: u32) -> Source {
    Member(arg, "task_struct", "pid", 4)
}

const fn prio(arg: u32) -> Source {
    Member(arg, "task_struct", "prio", 4)
}

const FAMILY: Source = Member(0, "sock", "__sk_common.skc_family", 2);

/// By event: (fields that every kernel since 5.15 makes so).
static EQUAL: &[(&str, &[(&str, Source)])] = &[
    ("sys_enter", &[("id", Arg(1))]),
    ("sys_exit", &[("id", Number(0)), ("ret", Arg(1))]),
    ("sched_switch", &[("prev_pid", pid(1)), ("prev_prio", prio(1)), ("next_pid", pid(2)), ("next_prio", prio(2))]),
    ("sched_waking", &[("pid", pid(0)), ("prio", prio(0))]),
    ("sched_wakeup", &[("pid", pid(0)), ("prio", prio(0))]),
    ("sched_wakeup_new", &[("pid", pid(0)), ("prio", prio(0))]),
    ("sched_migrate_task", &[("pid", pid(0)), ("prio", prio(0)), ("dest_cpu", Arg(1))]),
    ("sched_process_exit", &[("pid", pid(0)), ("prio", prio(0))]),
    ("sched_process_fork", &[("parent_pid", pid(0)), ("child_pid", pid(1))]),
    ("sched_process_exec", &[("pid", pid(0)), ("old_pid", Arg(1))]),
    ("sched_stat_runtime", &[("pid", pid(0)), ("runtime", Arg(1))]),
    ("inet_sock_set_state", &[("skaddr", Arg(0)), ("oldstate", Arg(1)), ("newstate", Arg(2))]),
    // No socket without its port sends anything again, so that its number is that of the record (inet_sport), which no such pointer leads to.
    (
        "tcp_retransmit_skb",
        &[
            ("skaddr", Arg(0)),
            ("skbaddr", Arg(1)),
            ("err", Arg(2)),
            ("state", Member(0, "sock", "__sk_common.skc_state", 1)),
            ("family", FAMILY),
            ("sport", Member(0, "sock", "__sk_common.skc_num", 2)),
            ("dport", Port(0, "sock", "__sk_common.skc_dport")),
        ],
    ),
    (
        "tcp_retransmit_synack",
        &[
            ("skaddr", Arg(0)),
            ("req", Arg(1)),
            ("family", FAMILY),
            ("sport", Member(1, "request_sock", "__req_common.skc_num", 2)),
            ("dport", Port(1, "request_sock", "__req_common.skc_dport")),
        ],
    ),
    ("kfree_skb", &[("skbaddr", Arg(0)), ("location", Arg(1))]),
    ("consume_skb", &[("skbaddr", Arg(0))]),
];

/// Where a tracepoint's field comes from, if that is known.
pub(crate) fn source(event: &str, field: &str) -> Option<Source> {
    let (_, fields) = EQUAL.iter().find(|(name, _)| *name == event)?;
    fields.iter().find(|(name, _)| *name == field).map(|(_, source)| *source)
}

fn event(target: &Target) -> Option<(&str, &str)> {
    match &target.provider {
        Provider::Tracepoint { category, event } => Some((category, event)),
        _ => None,
    }
}

/// The call whose entry or return it is: (number, at the return).
fn call(target: &Target) -> Option<(u32, bool)> {
    let (category, event) = event(target)?;
    let (name, ret) = match (event.strip_prefix("sys_enter_"), event.strip_prefix("sys_exit_")) {
        (Some(name), _) => (name, false),
        (_, Some(name)) => (name, true),
        _ => return None,
    };
    (category == "syscalls").then_some((HOST.traced_call(name)?, ret))
}

/// What is the same for all targets of a probe.
#[derive(Debug, Default)]
pub(crate) struct Among {
    /// How often each entry or return of a system call is among them.
    calls: BTreeMap<(u32, bool), usize>,
    /// Whether the kernel's types tell where its registers are: asked once.
    layout: OnceCell<bool>,
}

impl Among {
    pub(crate) fn of(targets: &[Target]) -> Self {
        let mut among = Self::default();
        for call in targets.iter().filter_map(call) {
            *among.calls.entry(call).or_default() += 1;
        }
        among
    }
}

pub(super) fn syscall_for_tracepoint(ask: &Ask<'_>) -> Option<Stand> {
    let (number, ret) = call(ask.target)?;
    Some(Stand { provider: Provider::Syscall { number, ret }, prog: ProgType::TracingRawTp, words: None, frames: 0 })
}

pub(super) fn tp_btf_for_tracepoint(ask: &Ask<'_>) -> Option<Stand> {
    let (category, event) = event(ask.target)?;
    let provider = Provider::RawTracepoint { event: event.to_owned() };
    CATEGORIES.contains(&category).then_some(Stand { provider, prog: ProgType::TracingRawTp, words: None, frames: 0 })
}

/// The raw tracepoint runs at every system call of every process, a perf tracepoint at one.
pub(super) fn is_one_of_many(ask: &Ask<'_>, stand: &Stand) -> Option<String> {
    /// Detaching a perf tracepoint takes some 40 ms (more in `docs/performance.md`), the raw one 0.1 ms for all; what it costs calls that
    /// nobody asked for is some ns each more than one perf tracepoint does.
    const MANY: usize = 4;
    let Provider::Syscall { number, ret } = stand.provider else { return None };
    let calls = &ask.among.calls;
    if calls.get(&(number, ret)).is_some_and(|n| *n > 1) {
        return Some("the probe names it more than once, and it is to run as often".into());
    }
    let count = calls.keys().filter(|(_, r)| *r == ret).count();
    (count < MANY)
        .then(|| format!("for {count} of them a perf tracepoint each, which other calls don't pass, is cheaper"))
}

/// What the body reads is in registers, and the kernel's types say where those are.
pub(super) fn has_registers(ask: &Ask<'_>, stand: &Stand) -> Option<String> {
    let Provider::Syscall { ret, .. } = stand.provider else { return None };
    let other = ask.uses.fields.iter().find(|(_, at)| !at.is_some_and(|at| lower::is_known_field(at, ret)));
    if let Some((field, _)) = other {
        return Some(format!("the body reads args.{field}, which is not in a register"));
    }
    let known = ask.among.layout.get_or_init(|| lower::has_layout(ask.world));
    (!known).then(|| "the kernel's type information (BTF) lacks registers or tasks".into())
}

pub(super) fn has_its_fields(ask: &Ask<'_>, stand: &Stand) -> Option<String> {
    let Provider::RawTracepoint { event } = &stand.provider else { return None };
    let unknown = |(field, at): &&(String, Option<u32>)| at.is_none() || source(event, field).is_none();
    let (field, _) = ask.uses.fields.iter().find(unknown)?;
    Some(format!("the body reads args.{field}, which only the record has"))
}

pub(super) fn has_tracepoint(ask: &Ask<'_>, stand: &Stand) -> Option<String> {
    let event = match &stand.provider {
        Provider::RawTracepoint { event } => event,
        Provider::Syscall { ret, .. } => weftrace_artifact::plan::Way::syscalls(*ret),
        _ => return None,
    };
    match ask.world.raw_tracepoint(event) {
        Answer::Found(_) => None,
        Answer::NotThere => Some(format!("the kernel's type information (BTF) has no tracepoint {event}")),
        Answer::NotPermitted(why) | Answer::CouldNotTell(why) => Some(why),
    }
}

//! The table of providers: how their attach points are written and what a body may ask for.

use crate::builtins::class;
use crate::hir::Space;

/// The provider behind a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProviderKind {
    Begin,
    End,
    Interval,
    Profile,
    Tracepoint,
    RawTracepoint,
    Kprobe,
    Kretprobe,
    Uprobe,
    Uretprobe,
    Usdt,
    Pcap,
    Exchange,
    Span,
    Log,
    Join,
    Signal,
    Software,
    Hardware,
    Watchpoint,
    Fentry,
    Fexit,
    Iter,
    Test,
    Bench,
    /// Known in bpftrace or planned, not here so far.
    NotYet,
}

/// One provider.
#[derive(Clone, Debug)]
pub struct ProviderRow {
    pub name: &'static str,
    pub aliases: &'static [&'static str],
    pub kind: ProviderKind,
    /// How its attach points are written.
    pub shape: &'static str,
    /// Least and most segments after the name.
    pub segments: (usize, usize),
    /// [`class`] bit: which builtins are valid.
    pub class: u32,
    /// Where pointers found in it point.
    pub space: Space,
    /// `retval` is known.
    pub retval: bool,
    /// `arg0`, `arg1` … are known, up to this many.
    pub argn: u32,
    /// What `args` is.
    pub args: &'static str,
    pub doc: &'static str,
}

const NONE: ProviderRow = ProviderRow {
    name: "",
    aliases: &[],
    kind: ProviderKind::NotYet,
    shape: "",
    segments: (0, 0),
    class: class::TIMER,
    space: Space::Unknown,
    retval: false,
    argn: 0,
    args: "",
    doc: "",
};

const fn not_yet(
    name: &'static str,
    aliases: &'static [&'static str],
    shape: &'static str,
    doc: &'static str,
) -> ProviderRow {
    ProviderRow { name, aliases, shape, doc, segments: (0, usize::MAX), ..NONE }
}

/// All providers, in the order of the manual.
pub static PROVIDERS: &[ProviderRow] = &[
    ProviderRow {
        name: "begin",
        aliases: &["BEGIN"],
        kind: ProviderKind::Begin,
        shape: "begin",
        doc: "Once, before all other probes.",
        ..NONE
    },
    ProviderRow {
        name: "end",
        aliases: &["END"],
        kind: ProviderKind::End,
        shape: "end",
        doc: "Once, when the script ends.",
        ..NONE
    },
    ProviderRow {
        name: "interval",
        aliases: &["i"],
        kind: ProviderKind::Interval,
        shape: "interval:1s, interval:{s|ms|us|hz}:N",
        segments: (1, 2),
        doc: "At fixed times, on one CPU.",
        ..NONE
    },
    ProviderRow {
        name: "profile",
        aliases: &["p"],
        kind: ProviderKind::Profile,
        shape: "profile:hz:N, profile:{s|ms|us}:N",
        segments: (1, 2),
        doc: "At fixed times, on every CPU.",
        ..NONE
    },
    ProviderRow {
        name: "tracepoint",
        aliases: &["t"],
        kind: ProviderKind::Tracepoint,
        shape: "tracepoint:CATEGORY:EVENT",
        segments: (2, 2),
        class: class::KERNEL,
        space: Space::Kernel,
        args: "the fields of the event's record",
        doc: "The kernel's static tracepoints.",
        ..NONE
    },
    ProviderRow {
        name: "rawtracepoint",
        aliases: &["rt"],
        kind: ProviderKind::RawTracepoint,
        shape: "rawtracepoint:EVENT",
        segments: (1, 2),
        class: class::KERNEL,
        space: Space::Kernel,
        argn: 12,
        args: "the tracepoint's arguments, by BTF",
        doc: "The kernel's static tracepoints, with the arguments of the code.",
        ..NONE
    },
    ProviderRow {
        name: "kprobe",
        aliases: &["k"],
        kind: ProviderKind::Kprobe,
        shape: "kprobe:[MODULE:]FUNCTION[+OFFSET]",
        segments: (1, 2),
        class: class::KERNEL,
        space: Space::Kernel,
        argn: 6,
        args: "the function's parameters, by BTF",
        doc: "Entry of a kernel function.",
        ..NONE
    },
    ProviderRow {
        name: "kretprobe",
        aliases: &["kr"],
        kind: ProviderKind::Kretprobe,
        shape: "kretprobe:[MODULE:]FUNCTION",
        segments: (1, 2),
        class: class::KERNEL,
        space: Space::Kernel,
        retval: true,
        doc: "Return of a kernel function.",
        ..NONE
    },
    ProviderRow {
        name: "uprobe",
        aliases: &["u"],
        kind: ProviderKind::Uprobe,
        shape: "uprobe:BINARY:[cpp:]FUNCTION[+OFFSET], uprobe:BINARY:ADDRESS, uprobe:BINARY:\"FILE.c:LINE\"",
        // C++ names have `::` in them.
        segments: (1, usize::MAX),
        class: class::USER,
        space: Space::User,
        argn: 6,
        doc: "Entry of a function of a program or library.",
        ..NONE
    },
    ProviderRow {
        name: "uretprobe",
        aliases: &["ur"],
        kind: ProviderKind::Uretprobe,
        shape: "uretprobe:BINARY:[cpp:]FUNCTION",
        // C++ names have `::` in them.
        segments: (1, usize::MAX),
        class: class::USER,
        space: Space::User,
        retval: true,
        doc: "Return of a function of a program or library.",
        ..NONE
    },
    ProviderRow {
        name: "usdt",
        aliases: &["U"],
        kind: ProviderKind::Usdt,
        shape: "usdt:BINARY:[NAMESPACE:]MARKER",
        segments: (1, 3),
        class: class::USER,
        space: Space::User,
        argn: 32,
        doc: "A static marker of a program or library.",
        ..NONE
    },
    ProviderRow {
        name: "pcap",
        aliases: &[],
        kind: ProviderKind::Pcap,
        shape: "pcap:INTERFACE[,INTERFACE…][@NETNS][:\"filter\"]",
        segments: (1, 2),
        class: class::PCAP,
        doc: "Every packet; `pcap:any` on all interfaces, `pcap:veth*` on those that match, `pcap:eth0@blue` in another network namespace. Fields have Wireshark's names.",
        ..NONE
    },
    ProviderRow {
        name: "http",
        aliases: &[],
        kind: ProviderKind::Exchange,
        shape: "http:server[:PORT], http:client[:PORT]",
        segments: (1, 2),
        class: class::EXCHANGE,
        doc: "Every HTTP request with its response, seen at the system calls of the process that answers it, or of the one that sends it. Fields as in packet blocks: `http.exchange.*`, `tcp.conn`, `ip.src`; `pid`, `tid` and `comm` are that process.",
        ..NONE
    },
    ProviderRow {
        name: "tcp",
        aliases: &[],
        kind: ProviderKind::Exchange,
        shape: "tcp:exchange[:PORT]",
        segments: (1, 2),
        class: class::EXCHANGE,
        doc: "Every turn of the two sides of a TCP connection, of any protocol: what one asks and what the other answers, seen at the system calls of processes here. Fields: `tcp.exchange.*`, `tcp.conn`, `ip.src`; `pid`, `tid` and `comm` are the process that asks or answers here.",
        ..NONE
    },
    ProviderRow {
        name: "join",
        aliases: &[],
        kind: ProviderKind::Join,
        shape: "join:NAME[:orphan:LEG | :late]",
        segments: (1, 3),
        class: class::JOIN,
        args: "the whole record",
        doc: "Results of a join.",
        ..NONE
    },
    ProviderRow {
        name: "span",
        aliases: &[],
        kind: ProviderKind::Span,
        shape: "span:SERVICE[:NAME]",
        segments: (1, 2),
        class: class::TELEMETRY,
        doc: "A span that an application sends (OTLP on ports 4317 and 4318, or --spans); `span:*` of every service, `span:checkout:\"GET /*\"` by name. Fields: span.*, service.",
        ..NONE
    },
    ProviderRow {
        name: "log",
        aliases: &[],
        kind: ProviderKind::Log,
        shape: "log:SERVICE",
        segments: (1, 1),
        class: class::TELEMETRY,
        doc: "A log record that an application sends. Fields: log.*, service.",
        ..NONE
    },
    ProviderRow {
        name: "self",
        aliases: &[],
        kind: ProviderKind::Signal,
        shape: "self:signal:SIGUSR1",
        segments: (2, 2),
        doc: "A signal to weftrace itself.",
        ..NONE
    },
    ProviderRow {
        name: "fentry",
        aliases: &["f", "kfunc"],
        kind: ProviderKind::Fentry,
        shape: "fentry:[MODULE:]FUNCTION, fentry:bpf:[ID:]PROGRAM",
        segments: (1, 3),
        class: class::KERNEL,
        space: Space::Kernel,
        args: "the function's parameters, by BTF",
        doc: "Entry of a kernel function, by its type information.",
        ..NONE
    },
    ProviderRow {
        name: "fexit",
        aliases: &["fr", "kretfunc"],
        kind: ProviderKind::Fexit,
        shape: "fexit:[MODULE:]FUNCTION, fexit:bpf:[ID:]PROGRAM",
        segments: (1, 3),
        class: class::KERNEL,
        space: Space::Kernel,
        retval: true,
        args: "the function's parameters, by BTF",
        doc: "Return of a kernel function, by its type information.",
        ..NONE
    },
    ProviderRow {
        name: "software",
        aliases: &["s"],
        kind: ProviderKind::Software,
        shape: "software:EVENT[:COUNT]",
        segments: (1, 2),
        doc: "Every COUNT-th of the kernel's own events: page-faults, context-switches, cpu-clock …",
        ..NONE
    },
    ProviderRow {
        name: "hardware",
        aliases: &["h"],
        kind: ProviderKind::Hardware,
        shape: "hardware:EVENT[:COUNT]",
        segments: (1, 2),
        doc: "Every COUNT-th of the processor's events: cache-misses, cpu-cycles …",
        ..NONE
    },
    ProviderRow {
        name: "watchpoint",
        aliases: &["w"],
        kind: ProviderKind::Watchpoint,
        shape: "watchpoint:ADDRESS:LENGTH:{r|w|x}",
        segments: (3, 3),
        doc: "Memory at an address is read, written or executed: of the process of -p or -c, else of every one and the kernel.",
        ..NONE
    },
    ProviderRow {
        name: "iter",
        aliases: &["it"],
        kind: ProviderKind::Iter,
        shape: "iter:KIND",
        segments: (1, 2),
        class: class::KERNEL,
        space: Space::Kernel,
        doc: "Once for each of the kernel's objects of a kind: task, task_file, task_vma, tcp …; `ctx` is the object.",
        ..NONE
    },
    ProviderRow {
        name: "test",
        aliases: &[],
        kind: ProviderKind::Test,
        shape: "test:NAME",
        segments: (1, 1),
        doc: "A test, run by `weftrace test` and --test: it fails if it calls errorf(), an assert() doesn't hold, or it exits with another code than 0.",
        ..NONE
    },
    ProviderRow {
        name: "bench",
        aliases: &[],
        kind: ProviderKind::Bench,
        shape: "bench:NAME",
        segments: (1, 1),
        doc: "A benchmark, run by --bench: the time of one run is printed.",
        ..NONE
    },
    not_yet("tcp", &[], "tcp:exchange", "use pcap blocks and tcp.* fields"),
];

/// The row of a provider's name or alias.
pub fn find(name: &str) -> Option<&'static ProviderRow> {
    PROVIDERS.iter().find(|p| p.name == name || p.aliases.contains(&name))
}

/// Every name that a provider goes by.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    PROVIDERS.iter().flat_map(|p| std::iter::once(p.name).chain(p.aliases.iter().copied()))
}

//! What needs which capability, and why: one row for each use of the kernel. docs/privileges.md has it too.

use super::Capability as C;
use crate::conntrack;
use crate::kernel::feature::{self, Readiness};
use crate::kernel::tracefs::Access;
use crate::kernel::{Host, sys};
use crate::privilege::Later;
use crate::symbols::kallsyms;
use weftrace_artifact::{plan::Way, program::ProgType as P};
use weftrace_lang::world::Feature;

/// A capability and what it is for.
pub type Need = (C, &'static str);

/// A use of the kernel.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// Maps in the kernel.
    Maps,
    Program(P),
    /// Attaching a program, or opening a source of events.
    Way(&'a Way),
    /// A probe of this full name: its event is looked up by it.
    Name(&'a str),
    /// What the script asks for afterwards.
    Later(&'a Later),
    /// Packets of another network namespace.
    Namespace,
}

/// Facts of the host on which a need depends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    Everywhere,
    /// tracefs is mounted, and others than its owner may not read it.
    TracefsClosed,
    /// tracefs isn't mounted: each run makes an instance of its own.
    TracefsNotMounted,
    /// The kernel can't tie many uprobes by one link.
    NoUprobeMulti,
    /// Perf events want more than CAP_PERFMON.
    PerfEventsClosed,
    /// The kernel tracks connections, so that it may translate some.
    ConnectionsTracked,
}

/// One row.
pub struct Row {
    /// In words.
    pub what: &'static str,
    pub applies: fn(&Subject<'_>) -> bool,
    pub host: Where,
    pub needs: &'static [Need],
    /// Whether it works here and now, asked by trying: for kernels and hosts that want less.
    pub works: fn(&Host) -> bool,
    /// What there is instead without them; empty: nothing works.
    pub without: &'static str,
}

const LOAD: Need = (C::Bpf, "to load BPF programs and make maps");
const TRACE: Need = (C::Perfmon, "to trace, and to read memory of the kernel");

pub static TABLE: &[Row] = &[
    Row {
        what: "maps and the event ring",
        applies: |s| matches!(s, Subject::Maps),
        host: Where::Everywhere,
        needs: &[LOAD],
        works: |host| ready(Feature::Ringbuf, host),
        without: "",
    },
    Row {
        what: "kprobe, tracepoint, rawtracepoint, fentry, uprobe, usdt, profile, interval, software, hardware, watchpoint, iter",
        applies: |s| !matches!(s, Subject::Program(P::SocketFilter)) && matches!(s, Subject::Program(_)),
        host: Where::Everywhere,
        needs: &[LOAD, TRACE],
        works: feature::can_load_tracing,
        without: "",
    },
    Row {
        what: "packets filtered or counted in the kernel",
        applies: |s| matches!(s, Subject::Program(P::SocketFilter)),
        host: Where::Everywhere,
        needs: &[LOAD],
        works: |host| ready(Feature::SignedDiv, host),
        without: "packets copied to user space and counted there",
    },
    Row {
        what: "tracepoint: its number and fields are in tracefs, which is closed to others",
        applies: is_tracepoint,
        host: Where::TracefsClosed,
        needs: &[(C::DacReadSearch, "to read tracefs")],
        works: can_list_tracepoints,
        without: "",
    },
    Row {
        what: "tracepoint, where tracefs isn't mounted",
        applies: is_tracepoint,
        host: Where::TracefsNotMounted,
        needs: &[
            (C::SysAdmin, "to mount a tracefs that only this process sees (none is mounted)"),
            (C::DacReadSearch, "to read tracefs"),
        ],
        works: can_list_tracepoints,
        without: "",
    },
    Row {
        what: "uprobe, uretprobe, usdt before Linux 6.6 (no uprobe_multi)",
        applies: |s| matches!(s, Subject::Way(Way::Uprobe { .. } | Way::Usdt { .. })),
        host: Where::NoUprobeMulti,
        needs: &[(C::SysAdmin, "the kernel wants it for uprobes by perf events")],
        works: |host| ready(Feature::Uprobe, host),
        without: "",
    },
    Row {
        what: "kprobe, tracepoint, profile, software, hardware, watchpoint by perf events where kernel.perf_event_paranoid is 3",
        applies: |s| match s {
            Subject::Way(way) => matches!(
                way,
                Way::Kprobe { .. }
                    | Way::Tracepoint { .. }
                    | Way::Profile { .. }
                    | Way::Interval { .. }
                    | Way::Counter { .. }
                    | Way::Watchpoint { .. }
            ),
            _ => false,
        },
        host: Where::PerfEventsClosed,
        needs: &[(C::SysAdmin, "this kernel wants it for perf events")],
        works: |host| ready(Feature::PerfEvent, host),
        without: "",
    },
    Row {
        what: "watchpoint at an address of the kernel",
        applies: |s| matches!(s, Subject::Way(Way::Watchpoint { address, .. }) if *address >= 1 << 63),
        host: Where::Everywhere,
        needs: &[(C::SysAdmin, "the kernel wants it for watchpoints in its own memory")],
        works: |_| false,
        without: "",
    },
    Row {
        what: "fentry and fexit of functions in modules and of BPF programs",
        applies: |s| match s {
            Subject::Way(Way::Fentry { module, bpf, .. }) => {
                bpf.is_some() || module.as_ref().is_some_and(|m| m != "vmlinux")
            }
            _ => false,
        },
        host: Where::Everywhere,
        needs: &[(C::SysAdmin, "to get at other BPF objects by their numbers")],
        works: |_| false,
        without: "",
    },
    Row {
        what: "pcap from an interface",
        applies: |s| matches!(s, Subject::Way(Way::Pcap { .. })),
        host: Where::Everywhere,
        needs: &[(C::NetRaw, "to see packets")],
        works: |_| sys::packet_socket().is_ok(),
        without: "",
    },
    Row {
        what: "pcap in another network namespace (--netns, -p, pcap:…@NETNS)",
        applies: |s| matches!(s, Subject::Namespace),
        host: Where::Everywhere,
        needs: &[
            (C::SysAdmin, "to enter the namespace"),
            (C::SysPtrace, "to find the namespace of another user's process"),
        ],
        works: |_| false,
        without: "",
    },
    Row {
        what: "kstack, ksym",
        applies: |s| matches!(s, Subject::Later(l) if l.kernel_symbols),
        host: Where::Everywhere,
        needs: &[(C::Syslog, "to read addresses in /proc/kallsyms")],
        works: |_| kallsyms::address_of("_stext").is_ok(),
        without: "addresses instead of names of kernel functions",
    },
    Row {
        what: "ustack, usym",
        applies: |s| matches!(s, Subject::Later(l) if l.processes),
        host: Where::Everywhere,
        needs: &[
            (C::SysPtrace, "to see what other users' processes have mapped"),
            (C::DacReadSearch, "to read programs that only their owners may"),
        ],
        works: |_| std::fs::File::open("/proc/1/maps").is_ok(),
        without: "addresses instead of names in other users' processes",
    },
    Row {
        what: "pkt.owner",
        applies: |s| matches!(s, Subject::Later(l) if l.owners),
        host: Where::Everywhere,
        needs: &[
            (C::SysPtrace, "to see which sockets other users' processes hold"),
            (C::DacReadSearch, "to look into their /proc/PID/fd"),
        ],
        works: |_| std::fs::read_dir("/proc/1/fd").is_ok(),
        without: "packets of other users' processes have no owner",
    },
    Row {
        what: "joins by connection, where the kernel tracks connections (NAT)",
        applies: |s| matches!(s, Subject::Later(l) if l.translations),
        host: Where::ConnectionsTracked,
        needs: &[(C::NetAdmin, "to read which connections the kernel translates")],
        works: |_| false,
        without: "connections that this machine translates are joined by one of their addresses only",
    },
    Row {
        what: "cat()",
        applies: |s| matches!(s, Subject::Later(l) if l.files),
        host: Where::Everywhere,
        needs: &[
            (C::DacReadSearch, "to read files that only their owners may"),
            (C::SysPtrace, "to read what /proc has on other users' processes"),
        ],
        works: |_| false,
        without: "an error for files that this user may not read",
    },
];

fn is_tracepoint(subject: &Subject<'_>) -> bool {
    match subject {
        Subject::Way(way) => matches!(way, Way::Tracepoint { .. }),
        Subject::Name(name) => name.starts_with("tracepoint:"),
        _ => false,
    }
}

impl Where {
    fn holds(self, host: &Host) -> bool {
        match self {
            Self::Everywhere => true,
            Self::TracefsClosed => host.tracefs_access() == Access::Closed,
            Self::TracefsNotMounted => host.tracefs_access() == Access::NotMounted,
            Self::NoUprobeMulti => !host.has_uprobe_multi(),
            Self::PerfEventsClosed => host.perf_events_need_admin(),
            Self::ConnectionsTracked => conntrack::tracks(),
        }
    }
}

fn ready(feature: Feature, host: &Host) -> bool {
    feature::try_feature(feature, host) == Readiness::Ready
}

fn can_list_tracepoints(host: &Host) -> bool {
    host.tracefs().is_ok_and(|fs| fs.list("sched", "*").is_ok())
}

/// Rows that a use concerns on this host.
pub(super) fn rows(subject: &Subject<'_>, host: &Host) -> impl Iterator<Item = &'static Row> {
    TABLE.iter().filter(|row| (row.applies)(subject) && row.host.holds(host))
}

/// What loading a program of this type needs.
pub fn for_program(prog_type: P) -> Vec<C> {
    let subject = Subject::Program(prog_type);
    let rows = TABLE.iter().filter(|row| (row.applies)(&subject));
    rows.flat_map(|row| row.needs.iter().map(|(c, _)| c.here())).collect()
}

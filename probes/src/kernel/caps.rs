//! Capabilities: what this process has, what each probe and program needs.

use weftrace_artifact::plan::Way;
use weftrace_artifact::program::ProgType;

/// Capabilities that some probe may need; numbers of linux/capability.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Capability {
    DacReadSearch = 2,
    NetAdmin = 12,
    NetRaw = 13,
    SysPtrace = 19,
    SysAdmin = 21,
    Syslog = 34,
    Perfmon = 38,
    Bpf = 39,
}

impl Capability {
    pub fn name(self) -> &'static str {
        match self {
            Self::DacReadSearch => "CAP_DAC_READ_SEARCH",
            Self::NetAdmin => "CAP_NET_ADMIN",
            Self::NetRaw => "CAP_NET_RAW",
            Self::SysPtrace => "CAP_SYS_PTRACE",
            Self::SysAdmin => "CAP_SYS_ADMIN",
            Self::Syslog => "CAP_SYSLOG",
            Self::Perfmon => "CAP_PERFMON",
            Self::Bpf => "CAP_BPF",
        }
    }
}

impl std::fmt::Display for Capability {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of capabilities, as the bits of /proc/PID/status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CapSet(pub u64);

impl CapSet {
    /// This process's effective set; empty if /proc can't tell.
    pub fn effective() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self::parse(&status).unwrap_or_default()
    }

    fn parse(status: &str) -> Option<Self> {
        let line = status.lines().find_map(|l| l.strip_prefix("CapEff:"))?;
        u64::from_str_radix(line.trim(), 16).ok().map(Self)
    }

    /// CAP_SYS_ADMIN includes what was split off it: CAP_BPF, CAP_PERFMON and CAP_SYSLOG.
    pub fn has(self, capability: Capability) -> bool {
        let bit = |c: Capability| self.0 & (1 << c as u32) != 0;
        let split_off = matches!(capability, Capability::Bpf | Capability::Perfmon | Capability::Syslog);
        bit(capability) || (split_off && bit(Capability::SysAdmin))
    }

    /// The first of `needed` that isn't here.
    pub fn lacks(self, needed: &[Capability]) -> Option<Capability> {
        needed.iter().copied().find(|c| !self.has(*c))
    }
}

/// What loading a program of this type needs.
pub fn for_program(prog_type: ProgType) -> &'static [Capability] {
    match prog_type {
        ProgType::SocketFilter => &[Capability::Bpf],
        ProgType::Kprobe
        | ProgType::Tracepoint
        | ProgType::RawTracepoint
        | ProgType::PerfEvent
        | ProgType::TracingRawTp
        | ProgType::Fentry
        | ProgType::Fexit
        | ProgType::Iter
        | ProgType::Xdp => &[Capability::Bpf, Capability::Perfmon],
    }
}

/// What attaching this way needs, loading included.
pub fn for_way(way: &Way) -> &'static [Capability] {
    match way {
        // The event's number is in tracefs, which only root's files show.
        Way::Tracepoint { .. } => &[Capability::Bpf, Capability::Perfmon, Capability::DacReadSearch],
        Way::RawTracepoint { .. }
        | Way::TracepointBtf { .. }
        | Way::Kprobe { .. }
        | Way::Uprobe { .. }
        | Way::Usdt { .. }
        | Way::Profile { .. }
        | Way::Counter { .. }
        | Way::Watchpoint { .. }
        | Way::Fentry { .. }
        | Way::Iter { .. }
        | Way::Test { .. }
        | Way::Bench { .. }
        | Way::Interval { .. }
        | Way::Begin
        | Way::End => &[Capability::Bpf, Capability::Perfmon],
        Way::Pcap { .. } => &[Capability::NetRaw],
        Way::Join { .. } | Way::Signal { .. } => &[],
    }
}

#[cfg(test)]
mod tests;

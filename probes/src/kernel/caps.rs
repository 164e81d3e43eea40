//! Capabilities: what this process has, and ([`table`]) what each use of the kernel needs.

mod plan;
mod table;

pub use plan::{Needs, Optional, PlanNeeds, Setting, set};
pub use table::{Need, Row, Subject, TABLE, Where, for_program};

use super::sys::{self, CapSets};

/// Capabilities that some plan may need; numbers of linux/capability.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Capability {
    DacOverride = 1,
    DacReadSearch = 2,
    Kill = 5,
    NetAdmin = 12,
    NetRaw = 13,
    SysPtrace = 19,
    SysAdmin = 21,
    Syslog = 34,
    Perfmon = 38,
    Bpf = 39,
    CheckpointRestore = 40,
}

impl Capability {
    /// As they are listed: the usual ones first, the widest last.
    const ALL: [Self; 11] = [
        Self::Bpf,
        Self::Perfmon,
        Self::NetRaw,
        Self::Syslog,
        Self::SysPtrace,
        Self::DacReadSearch,
        Self::CheckpointRestore,
        Self::NetAdmin,
        Self::Kill,
        Self::DacOverride,
        Self::SysAdmin,
    ];

    /// Its place in lists.
    fn rank(self) -> usize {
        Self::ALL.iter().position(|c| *c == self).unwrap_or(Self::ALL.len())
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::DacOverride => "CAP_DAC_OVERRIDE",
            Self::DacReadSearch => "CAP_DAC_READ_SEARCH",
            Self::Kill => "CAP_KILL",
            Self::NetAdmin => "CAP_NET_ADMIN",
            Self::NetRaw => "CAP_NET_RAW",
            Self::SysPtrace => "CAP_SYS_PTRACE",
            Self::SysAdmin => "CAP_SYS_ADMIN",
            Self::Syslog => "CAP_SYSLOG",
            Self::Perfmon => "CAP_PERFMON",
            Self::Bpf => "CAP_BPF",
            Self::CheckpointRestore => "CAP_CHECKPOINT_RESTORE",
        }
    }

    /// What stands for it on this kernel: before Linux 5.8 (5.9) CAP_SYS_ADMIN was what is several capabilities since.
    pub fn here(self) -> Self {
        match self {
            Self::Bpf | Self::Perfmon | Self::CheckpointRestore if !sys::knows_capability(self as u32) => {
                Self::SysAdmin
            }
            other => other,
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
    pub fn of(capabilities: &[Capability]) -> Self {
        Self(capabilities.iter().fold(0, |set, c| set | 1 << *c as u32))
    }

    /// This thread's effective set; empty if the kernel doesn't tell. What is permitted and not effective yet becomes so.
    pub fn effective() -> Self {
        let Ok(sets) = CapSets::get() else { return Self::default() };
        if sets.permitted != sets.effective && (CapSets { effective: sets.permitted, ..sets }).set().is_ok() {
            return Self(sets.permitted);
        }
        Self(sets.effective)
    }

    /// CAP_SYS_ADMIN includes what was split off it, CAP_DAC_OVERRIDE reading.
    pub fn has(self, capability: Capability) -> bool {
        let bit = |c: Capability| self.0 & (1 << c as u32) != 0;
        let wider = match capability {
            Capability::Bpf | Capability::Perfmon | Capability::Syslog | Capability::CheckpointRestore => {
                Some(Capability::SysAdmin)
            }
            Capability::DacReadSearch => Some(Capability::DacOverride),
            _ => None,
        };
        bit(capability) || wider.is_some_and(bit)
    }

    /// The first of `needed` that isn't here.
    pub fn lacks(self, needed: &[Capability]) -> Option<Capability> {
        needed.iter().copied().find(|c| !self.has(*c))
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Names of those that plans may need, as they are listed; of others how many.
    pub fn names(self) -> Vec<String> {
        let mut names: Vec<String> =
            Capability::ALL.iter().filter(|c| self.0 & (1 << **c as u32) != 0).map(ToString::to_string).collect();
        let others = self.0 & !Self::of(&Capability::ALL).0;
        if others != 0 {
            names.push(format!("and {} more", others.count_ones()));
        }
        names
    }
}

/// Whether capabilities are those of a user namespace: the kernel gives no tracing for them.
pub fn in_user_namespace() -> bool {
    std::fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| map.split_whitespace().ne(["0", "0", "4294967295"]))
}

#[cfg(test)]
mod tests;

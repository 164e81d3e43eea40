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

/// All that there are, by number.
const NAMES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

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
        NAMES[self as usize]
    }

    /// The one that includes it.
    pub fn wider(self) -> Option<Self> {
        match self {
            Self::Bpf | Self::Perfmon | Self::Syslog | Self::CheckpointRestore => Some(Self::SysAdmin),
            Self::DacReadSearch => Some(Self::DacOverride),
            _ => None,
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
        bit(capability) || capability.wider().is_some_and(bit)
    }

    /// Without those that others of it include.
    pub fn least(self) -> Self {
        let needless = Capability::ALL.iter().filter(|c| c.wider().is_some_and(|w| self.0 & (1 << w as u32) != 0));
        Self(needless.fold(self.0, |set, c| set & !(1 << *c as u32)))
    }

    fn has_itself(self, capability: Capability) -> bool {
        self.0 & (1 << capability as u32) != 0
    }

    /// Those of it that another set lacks.
    pub fn lacking_in(self, have: Self) -> Self {
        let has = |c: &&Capability| have.has(**c);
        Self(Capability::ALL.iter().filter(has).fold(self.0, |set, c| set & !(1 << *c as u32)))
    }

    /// Whether no plan can lack anything.
    pub fn suffices(self) -> bool {
        let all = [Capability::SysAdmin, Capability::NetRaw, Capability::SysPtrace, Capability::DacReadSearch];
        self.lacks(&all).is_none()
    }

    /// The first of `needed` that isn't here.
    pub fn lacks(self, needed: &[Capability]) -> Option<Capability> {
        needed.iter().copied().find(|c| !self.has(*c))
    }

    /// All of `needed` that aren't here.
    pub fn lacks_all(self, needed: &[Capability]) -> Vec<Capability> {
        needed.iter().copied().filter(|c| !self.has(*c)).collect()
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Their names: those that plans may need as they are listed, then the others by number.
    pub fn names(self) -> Vec<&'static str> {
        let has = |number: usize| self.0 & 1 << number != 0;
        let listed = Capability::ALL.iter().filter(|c| has(**c as usize)).map(|c| c.name());
        let others = Self(self.0 & !Self::of(&Capability::ALL).0);
        let others = NAMES.iter().enumerate().filter(|(number, _)| others.0 & 1 << number != 0).map(|(_, name)| *name);
        listed.chain(others).collect()
    }
}

/// The user that counts for permissions.
pub fn user_id() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("Uid:"));
    line.and_then(|l| l.split_whitespace().nth(1)?.parse().ok()).unwrap_or(u32::MAX)
}

/// Whether capabilities are those of a user namespace: the kernel gives no tracing for them.
pub fn in_user_namespace() -> bool {
    std::fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| map.split_whitespace().ne(["0", "0", "4294967295"]))
}

#[cfg(test)]
mod tests;

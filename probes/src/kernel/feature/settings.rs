//! Settings of the host that decide what is permitted, each with what it means here.

use crate::kernel::caps::{CapSet, Capability, in_user_namespace};
use crate::kernel::sys::{MapFd, MapParams, bpf_map_type};

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    pub name: &'static str,
    pub value: String,
    pub means: String,
}

/// A file of /proc/sys and what its value means.
type Row = (&'static str, &'static str, fn(i64) -> &'static str);

const SYSCTLS: [Row; 5] = [
    ("kernel.unprivileged_bpf_disabled", "kernel/unprivileged_bpf_disabled", |v| match v {
        0 => "anybody may load some BPF programs (none that trace)",
        _ => "BPF needs CAP_BPF",
    }),
    ("kernel.perf_event_paranoid", "kernel/perf_event_paranoid", |v| match v {
        ..=1 => {
            "events of the kernel may be opened by anybody; programs on them need CAP_BPF and CAP_PERFMON all the same"
        }
        2 => "events of the kernel need CAP_PERFMON",
        _ => "events need CAP_SYS_ADMIN (or CAP_PERFMON, by kernel): a probe is attached without them where it can be",
    }),
    ("kernel.kptr_restrict", "kernel/kptr_restrict", |v| match v {
        0 => "addresses in /proc/kallsyms need CAP_SYSLOG (none where perf_event_paranoid is at most 1)",
        1 => "addresses in /proc/kallsyms need CAP_SYSLOG",
        _ => "nobody sees addresses in /proc/kallsyms: kernel stacks have no names",
    }),
    (
        "kernel.perf_event_max_sample_rate",
        "kernel/perf_event_max_sample_rate",
        |_| "the highest rate of profile, in Hz",
    ),
    ("net.core.bpf_jit_enable", "net/core/bpf_jit_enable", |v| match v {
        0 => "programs are interpreted: slower, and some don't load",
        _ => "programs are compiled",
    }),
];

/// All that can be read.
pub fn settings() -> Vec<Setting> {
    let mut out: Vec<Setting> = SYSCTLS.iter().filter_map(sysctl).collect();
    out.extend(lockdown());
    out.extend(memlock());
    out.extend(seccomp());
    if in_user_namespace() {
        out.push(Setting {
            name: "user namespace",
            value: "yes".into(),
            means: "capabilities are those of a container: the kernel gives no tracing for them".into(),
        });
    }
    out
}

fn sysctl((name, path, means): &Row) -> Option<Setting> {
    let value = std::fs::read_to_string(format!("/proc/sys/{path}")).ok()?.trim().to_owned();
    let means = value.parse().map(means).unwrap_or_default().to_owned();
    Some(Setting { name, value, means })
}

/// `none [integrity] confidentiality`; the file isn't there where the kernel has no lockdown or securityfs isn't mounted.
fn lockdown() -> Option<Setting> {
    let text = std::fs::read_to_string("/sys/kernel/security/lockdown").ok()?;
    let mode = text.split_once('[')?.1.split_once(']')?.0.to_owned();
    let means = match mode.as_str() {
        "none" => "nothing is forbidden by it",
        "integrity" => "programs may not write into processes; reading and tracing work",
        _ => "programs may not read memory of the kernel, and kprobes are forbidden, also to root",
    };
    Some(Setting { name: "lockdown", value: mode, means: means.into() })
}

/// Whether maps count against the limit of locked memory (before Linux 5.11), by making one that doesn't fit.
fn memlock() -> Option<Setting> {
    /// Above it nobody runs into it.
    const MUCH: u64 = 64 << 20;
    let value = locked_memory()?;
    let means = match value.parse::<u64>() {
        Ok(limit) if limit < MUCH => {
            let value_size = (limit as u32).next_multiple_of(4096) + 4096;
            let kind = bpf_map_type::BPF_MAP_TYPE_ARRAY;
            let params = MapParams { kind, key_size: 4, value_size, max_entries: 1, flags: 0, name: "try" };
            match MapFd::create(&params) {
                // A map that doesn't fit raises it, where that is permitted.
                Ok(_) if locked_memory().as_ref() != Some(&value) => "maps count against it: it is raised for them",
                Ok(_) => "maps don't count against it on this kernel",
                Err(_) if !CapSet::effective().has(Capability::Bpf) => {
                    "whether maps count against it can't be told without CAP_BPF"
                }
                Err(e) if e.errno == libc::EPERM => {
                    "maps may count against it: raise it (ulimit -l unlimited) if they can't be made"
                }
                Err(_) => "whether maps count against it could not be told",
            }
        }
        _ => "enough for any map",
    };
    Some(Setting { name: "locked memory (ulimit -l)", value, means: means.into() })
}

/// The soft limit now.
fn locked_memory() -> Option<String> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|l| l.strip_prefix("Max locked memory"))?;
    line.split_whitespace().next().map(str::to_owned)
}

fn seccomp() -> Option<Setting> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let mode = status.lines().find_map(|l| l.strip_prefix("Seccomp:"))?.trim();
    (mode != "0").then(|| Setting {
        name: "seccomp",
        value: "on".into(),
        means: "a filter is on this process: what it forbids looks like a missing permission".into(),
    })
}

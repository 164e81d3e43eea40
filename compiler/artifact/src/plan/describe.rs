//! How ways to attach read in messages.

use super::{Rate, Way};

impl Way {
    /// In a few words: `perf tracepoint`.
    pub fn describe(&self) -> String {
        match self {
            Self::Begin => "before anything is attached".into(),
            Self::End => "after everything is detached".into(),
            Self::Interval { ns } => format!("timer, every {}", duration(*ns)),
            Self::Profile { rate: Rate::Hz(hz) } => format!("cpu-clock on every CPU, {hz} Hz"),
            Self::Profile { rate: Rate::PeriodNs(ns) } => format!("cpu-clock on every CPU, every {}", duration(*ns)),
            Self::Tracepoint { .. } => "perf tracepoint".into(),
            Self::RawTracepoint { .. } => "raw tracepoint".into(),
            Self::TracepointBtf { .. } => "tp_btf".into(),
            Self::Syscall { ret, .. } => format!("tp_btf on {}", Self::syscalls(*ret)),
            Self::Kprobe { ret: false, .. } => "kprobe".into(),
            Self::Kprobe { ret: true, .. } => "kretprobe".into(),
            Self::Uprobe { ret: false, more, .. } if more.is_empty() => "uprobe".into(),
            Self::Uprobe { ret: false, more, .. } => format!("uprobes at {} places", more.len() + 1),
            Self::Uprobe { ret: true, .. } => "uretprobe".into(),
            Self::Counter { period: 1, .. } => "perf counter, every event".into(),
            Self::Counter { period, .. } => format!("perf counter, every {period} events"),
            Self::Watchpoint { .. } => "debug register".into(),
            Self::Fentry { ret: false, .. } => "fentry".into(),
            Self::Fentry { ret: true, .. } => "fexit".into(),
            Self::Iter { .. } => "iterator".into(),
            Self::Test { .. } => "run by --test".into(),
            Self::Bench { .. } => "run by --bench".into(),
            Self::Usdt { sites, .. } if sites.len() == 1 => "uprobe at the marker".into(),
            Self::Usdt { sites, .. } => format!("uprobes at the marker's {} places", sites.len()),
            Self::Pcap { filter: Some((f, _)), .. } => format!("packets, \"{f}\""),
            Self::Pcap { filter: None, .. } => "packets".into(),
            Self::Exchange { .. } => "system calls on sockets".into(),
            Self::Telemetry { signal, .. } => format!("{}s that applications send", signal.name()),
            Self::Join { .. } => "join".into(),
            Self::Signal { number } => format!("signal {number}"),
        }
    }
}

/// Nanoseconds in the largest unit that divides them.
pub fn duration(ns: u64) -> String {
    for (unit, size) in [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)] {
        if ns > 0 && ns.is_multiple_of(size) {
            return format!("{} {unit}", ns / size);
        }
    }
    format!("{ns} ns")
}

//! The attach plan: which code runs at which event, and how to get there.

mod describe;

pub use describe::duration;

use crate::Place;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProbePlan {
    /// Full name, as `probe` prints it: `tracepoint:tcp:tcp_retransmit_skb`.
    pub name: String,
    /// Why it runs there, for `dump --stage plan`.
    pub reason: String,
    /// How it is attached.
    pub best: Attach,
    /// What is tried, in order, where that fails.
    #[serde(default)]
    pub fallbacks: Vec<Attach>,
    /// Ways that were not taken.
    #[serde(default)]
    pub passed: Vec<Passed>,
    /// The probe at the other end of the same function that one link can hold together with this one: a session.
    #[serde(default)]
    pub session: Option<u32>,
    pub place: Place,
    /// The attach point came from a wildcard: failing to attach is a warning.
    pub wildcard: bool,
    /// More places of the probe before it, with a program of their own: not counted as a probe.
    #[serde(default)]
    pub further: bool,
    /// [`crate::packet::needs`] bits of this block's own fields: with `HTTP` it runs again for each further HTTP message that ends
    /// in the same packet.
    #[serde(default)]
    pub packet_needs: u32,
    /// What a packet must have for the block's condition to be true: for others the block need not run.
    #[serde(default)]
    pub asks: crate::packet::Asked,
    /// Streams its block emits to: without it a join's legs on them are unknown, not none.
    #[serde(default)]
    pub emits: Vec<crate::action::StreamId>,
    /// Maps of the script that its block reads or writes, numbered in any way: probes that have one in common depend on each other.
    #[serde(default)]
    pub maps: Vec<u32>,
}

impl ProbePlan {
    /// Ways to attach, best first: the first that works is taken.
    pub fn ways(&self) -> impl Iterator<Item = &Attach> {
        std::iter::once(&self.best).chain(&self.fallbacks)
    }

    /// Whether a program is one of its: each way may have its own.
    pub fn runs(&self, unit: Unit) -> bool {
        self.ways().any(|a| a.unit == unit)
    }
}

/// One way to attach a probe. Its context, and so its code, may differ from other ways'.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attach {
    pub way: Way,
    pub unit: Unit,
    /// Why it, where it isn't what the script says; empty: it is.
    #[serde(default)]
    pub why: String,
}

impl Attach {
    /// As the script says.
    pub fn new(way: Way, unit: Unit) -> Self {
        Self { way, unit, why: String::new() }
    }
}

/// A way that was not taken, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passed {
    pub way: String,
    pub why: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unit {
    /// Index into [`crate::Artifact::programs`].
    Kernel(u32),
    /// Index into [`crate::native::NativeImage::entries`].
    Native(u32),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Way {
    Begin,
    End,
    /// Every `ns`, on one CPU (kernel: a perf event; native: a timer).
    Interval {
        ns: u64,
    },
    /// On every CPU: a perf cpu-clock event.
    Profile {
        rate: Rate,
    },
    Tracepoint {
        category: String,
        event: String,
    },
    RawTracepoint {
        event: String,
    },
    /// `tp_btf`
    TracepointBtf {
        event: String,
    },
    /// One system call of the many that a program watches where all of them pass: `tp_btf` on sys_enter or, if `ret`, sys_exit.
    Syscall {
        number: u32,
        ret: bool,
    },
    /// Without a function: `offset` is an address.
    Kprobe {
        function: String,
        module: Option<String>,
        offset: u64,
        ret: bool,
    },
    /// File offset in `path`; `symbol` for messages.
    Uprobe {
        path: String,
        offset: u64,
        symbol: String,
        ret: bool,
        pid: Option<u32>,
        semaphore: u64,
        /// Further offsets of the same probe: where a Go function returns.
        #[serde(default)]
        more: Vec<u64>,
    },
    /// One firing per `period` occurrences, on every CPU or in one process.
    Counter {
        counter: Counter,
        period: u64,
    },
    /// A debug register, on every CPU or in one process's threads.
    Watchpoint {
        address: u64,
        len: u64,
        access: Access,
    },
    /// A trampoline at a kernel function's entry or return; `bpf`: within the BPF program of this number.
    Fentry {
        function: String,
        module: Option<String>,
        ret: bool,
        bpf: Option<u32>,
    },
    /// A BPF iterator, walked once; `pid`: the kernel walks over this process only.
    Iter {
        kind: String,
        pid: Option<u32>,
    },
    /// `--test`: run once, by hand.
    Test {
        name: String,
    },
    /// `--bench`: run by hand, again and again.
    Bench {
        name: String,
    },
    /// A static marker, at every place of it: all have their arguments where the program looks for them.
    Usdt {
        path: String,
        /// `namespace:name`, for messages.
        marker: String,
        sites: Vec<Site>,
        pid: Option<u32>,
    },
    /// `filter` in libpcap syntax; place of the filter for errors.
    Pcap {
        interface: String,
        filter: Option<(String, Place)>,
    },
    /// HTTP exchanges at sockets, by what the streams of [`crate::sockets`] tell. `port`: the server's; 0: any.
    Exchange {
        side: SocketSide,
        port: u16,
    },
    /// Spans or log records that applications send; patterns of the service's and the span's name.
    Telemetry {
        signal: crate::telemetry::Signal,
        service: String,
        name: String,
    },
    /// A result of join number `join`.
    Join {
        join: u32,
        on: JoinEvent,
    },
    /// self:signal:NAME
    Signal {
        number: i32,
    },
}

impl Way {
    /// The tracepoint that all system calls pass, at their entry or return.
    pub fn syscalls(ret: bool) -> &'static str {
        if ret { "sys_exit" } else { "sys_enter" }
    }

    /// The function that it is about; empty: none.
    pub fn function(&self) -> &str {
        match self {
            Self::Kprobe { function, .. } | Self::Fentry { function, .. } => function,
            Self::Uprobe { symbol, .. } => symbol,
            _ => "",
        }
    }
}

/// Offsets in the file of a place and of the counter that the kernel raises while it is probed (0: none).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    pub offset: u64,
    pub semaphore: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rate {
    PeriodNs(u64),
    Hz(u64),
}

/// A counted event: number within its class (linux/perf_event.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Counter {
    Software(u64),
    Hardware(u64),
}

/// What a watchpoint fires at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    pub read: bool,
    pub write: bool,
    pub execute: bool,
}

/// Whose sockets: of the process that answers requests, of the one that sends them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SocketSide {
    Server,
    Client,
    Either,
    /// Either's, and exchanges of any protocol: by the turns that the two sides take.
    Turns,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JoinEvent {
    Result,
    /// A record of leg `0` that belongs to no anchor.
    Orphan(u32),
    Late,
}

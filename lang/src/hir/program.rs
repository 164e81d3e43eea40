//! A program: probes, maps, streams, settings.

use super::{AlertDef, Block, EnumDef, Expr, JoinDef, StackMode, StructDef, Ty};
use crate::span::Span;
use crate::world::{GoAbi, GoRuntime, UsdtSite};
use std::collections::BTreeSet;

/// A checked program.
#[derive(Clone, Debug, Default)]
pub struct Program {
    pub probes: Vec<ProbeDef>,
    pub maps: Vec<MapDef>,
    pub streams: Vec<StreamDef>,
    pub joins: Vec<JoinDef>,
    pub alerts: Vec<AlertDef>,
    pub structs: Vec<StructDef>,
    pub enums: Vec<EnumDef>,
    pub config: Config,
    /// The script's flags: `param` and `getopt`, in order of appearance.
    pub params: Vec<ParamDef>,
    /// Flags that probes stand at (`uprobe:$go:…`) and that are empty: those probes are switched off.
    pub empty_flags: Vec<String>,
    /// Names of headers that are read, in small letters: records keep these before others.
    pub headers: BTreeSet<String>,
    /// Where macros are called; [`Span::expansion`] numbers them from 1. A call within a macro has an expansion itself.
    pub expansions: Vec<Span>,
}

/// A flag of the script (`param slow = 500ms "help"`, `getopt("slow", 5, "help")`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamDef {
    pub name: String,
    pub ty: Ty,
    /// The default as text, the way it would be given on the command line.
    pub default: String,
    pub help: String,
    pub span: Span,
}

impl Program {
    pub fn struct_def(&self, name: &str) -> Option<&StructDef> {
        self.structs.iter().find(|s| s.name == name)
    }
    pub fn enum_def(&self, name: &str) -> Option<&EnumDef> {
        self.enums.iter().find(|e| e.name == name)
    }
}

/// Settings of the config block (and BPFTRACE_* environment, given by src/).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub max_strlen: u32,
    pub max_map_keys: u32,
    pub missing_probes: Missing,
    pub print_maps_on_exit: bool,
    pub stack_mode: StackMode,
    pub str_trunc_trailer: String,
    pub ring_bytes: u32,
    /// Bytes of a file that `cat()` shows.
    pub max_cat_bytes: u32,
    /// `-k`: reads and look-ups that fail are told with their places.
    pub helper_warnings: bool,
    /// The script asks for the length of a stack: stacks carry it.
    pub count_frames: bool,
    /// Processes whose stacks are unwound by `.eh_frame`; None: any.
    pub unwound: Option<Vec<u32>>,
    /// All entries as written, for those that only other parts read.
    pub entries: Vec<(String, String)>,
}

impl Config {
    /// A setting's value, where the script or the environment sets it.
    pub fn entry(&self, name: &str) -> Option<&str> {
        self.entries.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// A number; 0 unless it is set.
    pub fn number(&self, name: &str) -> u64 {
        self.entry(name).and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// A setting that is on unless the script or the environment turns it off.
    pub fn is_on(&self, name: &str) -> bool {
        !matches!(self.entry(name), Some("0" | "false"))
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_strlen: 1024,
            max_map_keys: 4096,
            missing_probes: Missing::Error,
            print_maps_on_exit: true,
            stack_mode: StackMode::Bpftrace,
            str_trunc_trailer: "..".into(),
            ring_bytes: 256 * 1024,
            max_cat_bytes: crate::check::MAX_CAT_BYTES,
            helper_warnings: false,
            count_frames: false,
            unwound: None,
            entries: Vec::new(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    Error,
    Warn,
    Ignore,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u32);
        impl $name {
            pub fn index(self) -> usize { self.0 as usize }
        }
    };
}
id!(/** Index into [`Program::maps`]. */ MapRef);
id!(/** Index into [`Program::streams`]. */ StreamRef);
id!(/** Index into [`Program::joins`]. */ JoinRef);
id!(/** Index into [`ProbeDef::vars`]. */ VarRef);

#[derive(Clone, Debug)]
pub struct MapDef {
    /// Without the `@`.
    pub name: String,
    /// None: scalar. Several written keys are one [`Ty::Tuple`].
    pub key: Option<Ty>,
    pub value: Ty,
    /// Declared by `let @m = kind(n)`.
    pub kind: Option<MapKind>,
    pub max_entries: u32,
    /// `ttl=`: an element that was not written for so long is gone.
    pub ttl_ns: Option<u64>,
    pub ring: Option<RingDef>,
    pub span: Span,
}

/// Buckets of time in which a count or sum remembers what it was, for `rate()` and `window()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingDef {
    /// The longest that is asked for, ns.
    pub window: u64,
    pub bucket: u64,
    pub slots: u32,
    /// Declared by `window()`: the map's value is that of the window, and an element without any is gone.
    pub only: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapKind {
    Hash,
    LruHash,
    PercpuHash,
    LruPercpuHash,
}

#[derive(Clone, Debug, PartialEq)]
pub struct StreamDef {
    pub name: String,
    pub fields: Vec<(String, Ty)>,
    pub span: Span,
}

/// One program: a body typed for one kind of attach point.
#[derive(Clone, Debug)]
pub struct ProbeDef {
    /// Not the script's own: it counts for another of its probes.
    pub hidden: bool,
    /// Of a text of weftrace's own: what it reads of the kernel's memory is there, and need not be asked for as what may not be.
    pub ours: bool,
    /// Every place it attaches; all give the same types to `args` etc.
    pub targets: Vec<Target>,
    /// Predicate, as written in `/…/`.
    pub predicate: Option<Expr>,
    pub body: Block,
    /// Types of the scratch variables.
    pub vars: Vec<VarDef>,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub struct VarDef {
    pub name: String,
    pub ty: Ty,
    pub span: Span,
}

/// A resolved attach point.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Full name as `probe` prints it.
    pub name: String,
    pub provider: Provider,
    pub wildcard: bool,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Provider {
    Begin,
    End,
    Interval {
        ns: u64,
    },
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
    /// The entry or return of a system call of the tasks that are not 32-bit, seen where all system calls pass: never written in a
    /// script, it stands in for a tracepoint of the call.
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
    /// `offset` in the file.
    Uprobe {
        path: String,
        symbol: String,
        offset: u64,
        ret: bool,
        pid: Option<u32>,
        go: Option<GoPlaces>,
    },
    /// One firing per `period` occurrences of a counted event, on every CPU.
    Counter {
        counter: Counter,
        period: u64,
    },
    /// A debug register on an address.
    Watchpoint {
        address: u64,
        len: u64,
        access: Access,
    },
    /// By the kernel's type information, at entry or return; `bpf`: within the BPF program of this number.
    Fentry {
        function: String,
        module: Option<String>,
        ret: bool,
        bpf: Option<u32>,
        /// Words of the context that the arguments take; the value returned follows them.
        slots: u32,
    },
    /// A walk over the kernel's objects of a kind; `pid`: over those of this process only.
    Iter {
        kind: String,
        pid: Option<u32>,
    },
    /// Run by `--test`.
    Test {
        name: String,
    },
    /// Run by `--bench`.
    Bench {
        name: String,
    },
    /// A static marker, with every place where it is.
    Usdt {
        path: String,
        namespace: String,
        name: String,
        sites: Vec<UsdtSite>,
        pid: Option<u32>,
    },
    Pcap {
        interface: String,
        filter: Option<(String, Span)>,
    },
    /// Exchanges at sockets whose server's port is this; 0: any.
    Exchange {
        side: SocketSide,
        port: u16,
    },
    /// What applications send: patterns of the service's and the span's name.
    Telemetry {
        signal: Signal,
        service: String,
        name: String,
    },
    Join {
        join: JoinRef,
        on: JoinEvent,
    },
    Signal {
        number: i32,
        name: String,
    },
}

/// Where the probes of a Go function are, and how its values are found there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GoPlaces {
    /// Offsets in the file, at least one: the instruction after the stack check, or those that return.
    pub places: Vec<u64>,
    /// Some of them jump to another function: results are not there yet.
    pub tails: bool,
    pub abi: GoAbi,
    pub runtime: GoRuntime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    PeriodNs(u64),
    Hz(u64),
}

/// Whose sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketSide {
    Server,
    Client,
    Either,
    /// Either's, and exchanges of any protocol: by the turns that the two sides take.
    Turns,
}

/// What an application tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Span,
    Log,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinEvent {
    Result,
    /// Leg by index.
    Orphan(u32),
    Late,
}

/// A counted event: number within its class (linux/perf_event.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    Software(u64),
    Hardware(u64),
}

/// What a watchpoint fires at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Access {
    pub read: bool,
    pub write: bool,
    pub execute: bool,
}

//! What the back end must be told, and how it fails.

use crate::ir;
use std::fmt;
use weftrace_artifact::{
    Place,
    action::{Action, ActionId},
    map::{Kind, MapId, MapSpec, Role},
};

/// The surroundings of one program.
#[derive(Clone, Copy, Debug)]
pub struct Env<'a> {
    /// The artifact's maps; the ring, losses and scratch map are found by their [`Role`].
    pub maps: &'a [MapSpec],
    /// The artifact's actions, as far as they are known: records of others have a time.
    pub actions: &'a [Action],
    /// The artifact's source texts, for line information.
    pub sources: &'a [(String, String)],
    /// Index of the program in the artifact: its counters in the losses map.
    pub program: u32,
    pub scratch: Scratch,
    /// What goes into [`weftrace_artifact::abi::RecordHeader::probe`].
    pub probe: ProbeId,
    pub features: Features,
}

/// A program's entries in the scratch map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scratch {
    /// Index of the first.
    pub first: u32,
    /// More than one: the program may be entered again on its CPU before it ended, and each run claims one.
    pub entries: u32,
}

/// How a record learns which probe fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeId {
    /// The program serves one probe.
    Constant(u32),
    /// The program serves several: each attachment's cookie is the index (bpf_get_attach_cookie, kernel 5.15; not in raw
    /// tracepoints before 6.10).
    Cookie,
}

/// What the program may use beyond kernel 6.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// Signed division, sign-extending loads and moves, unconditional byte swap, long jumps: kernel 6.6, where the JIT has them.
    pub cpu_v4: bool,
    /// Loops by bpf_loop: kernel 5.17. Without it only those over a map's elements become callbacks (5.13).
    pub bpf_loop: bool,
    /// The current task with its type: kernel 5.11. Without it its name is copied by the kernel's helper.
    pub current_task: bool,
    /// Keep to what the user-space VM rbpf does right: it has no atomic additions (a plain read, add and write instead), and
    /// zero-extends the immediates of comparisons (negative ones go to registers). For tests.
    pub rbpf: bool,
    /// Largest slot that may lie in the frame (the script's `on_stack_limit`); larger ones go to the scratch map.
    pub on_stack_limit: u32,
    /// Instructions that the verifier will look at: 1,000,000 with CAP_BPF, else 4,096.
    pub max_insns: u32,
}

impl Default for Features {
    fn default() -> Self {
        Self {
            cpu_v4: false,
            bpf_loop: true,
            current_task: true,
            rbpf: false,
            on_stack_limit: u32::MAX,
            max_insns: 1_000_000,
        }
    }
}

impl Env<'_> {
    /// The scratch map is an array with entries for each CPU.
    pub(super) fn wide_scratch(&self) -> bool {
        self.maps.iter().any(|m| m.role == Role::Scratch && m.kind == Kind::Array)
    }

    pub(super) fn asks_time(&self, action: ActionId) -> bool {
        self.actions.get(action.0 as usize).is_none_or(|action| action.kind.asks_time())
    }

    pub(super) fn is_counted(&self, action: ActionId) -> bool {
        self.actions.get(action.0 as usize).is_some_and(|action| action.kind.is_counted())
    }

    /// The first map with this role.
    pub fn map_with(&self, role: Role) -> Option<MapId> {
        self.maps.iter().position(|m| m.role == role).map(|i| MapId(i as u32))
    }
}

/// Why a function could not be compiled, and where in the script.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct Error {
    pub kind: ErrorKind,
    pub place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ErrorKind {
    #[error("a native handler cannot become a kernel program")]
    NotKernel,
    #[error("the program needs the map for {0}, and the artifact has none")]
    NoMap(RoleName),
    #[error("map {0} is not in the artifact")]
    UnknownMap(u32),
    #[error("`{0}` does not work in the kernel")]
    Unavailable(&'static str),
    #[error("malformed IR: {0}")]
    Malformed(&'static str),
    #[error("too many values at once: {needed} bytes of stack, the kernel gives 512")]
    FrameTooLarge { needed: u32 },
    #[error(
        "strings and buffers take {size} bytes, a program may use {}: shorten strings with `max_strlen`",
        super::WIDE_SCRATCH_LIMIT
    )]
    ScratchTooLarge { size: u32 },
    #[error("{count} instructions, the kernel accepts {limit}: split the probe or shorten its strings")]
    TooLong { count: u32, limit: u32 },
    #[error("a jump over more than 32767 instructions: split the probe or shorten its strings")]
    JumpTooFar,
    #[error("loops are nested too deep: the kernel takes seven, one in the other")]
    LoopsTooDeep,
    #[error("register allocation: {0}")]
    RegisterAllocation(String),
}

/// A map's role, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleName(pub Role);

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Role::Script => "the script",
            Role::Events => "events",
            Role::Losses => "losses",
            Role::Scratch => "scratch",
            Role::Zeros => "zeros",
            Role::Stacks { .. } => "stacks",
            Role::Config => "configuration",
            Role::Warnings => "warnings",
            Role::Names(_) => "names",
            Role::Twins => "events of twins",
            Role::Probes { .. } => "names of probes",
            Role::Syscalls { .. } => "system calls",
        })
    }
}

impl Error {
    pub(super) fn new(kind: ErrorKind, place: Option<Place>) -> Self {
        Self { kind, place: place.unwrap_or_default() }
    }

    pub(super) fn at(kind: ErrorKind, func: &ir::Function, span: ir::SpanId) -> Self {
        Self::new(kind, func.spans.get(span.index()).copied())
    }
}

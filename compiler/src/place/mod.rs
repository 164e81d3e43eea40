//! Where each probe's body runs, and where each map lives, with the reason kept for `dump --stage plan`.
//!
//! Kernel events run in the kernel, packets and join results in user space. What is neither (BEGIN, END, interval, self:signal) runs
//! in user space unless it shares a map with a kernel program, whose updates must not race with it, or asks what only the kernel
//! knows. BEGIN runs before anything is attached, wherever it runs.

mod homes;
mod prune;
mod uses;
pub(crate) mod walk;

pub(crate) use uses::{MapUse, Uses};

use weftrace_artifact::{map::Home, program::ProgType};
use weftrace_lang::{
    diag::Diagnostic,
    hir::{ExprKind, Func, ProbeDef, Program, Provider},
};

/// What the placement depends on besides the script.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `--read FILE`: packets come from a file and the kernel is not asked.
    pub read_file: bool,
}

/// Where a body runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Kernel(ProgType),
    Native,
    /// Named in the plan, not run: the reason says why.
    Not,
    /// Of an imported module, and nothing reads what it would emit.
    Unread,
}

/// One probe's place.
#[derive(Clone, Debug)]
pub struct Unit {
    pub side: Side,
    pub reason: String,
    pub(crate) uses: Uses,
}

/// Where a map lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapPlace {
    pub home: Home,
    /// How many kernel programs update it: one alone needs no atomic operations on its own CPU's value.
    pub kernel_writers: u32,
    /// A kernel program reads an aggregate's value: it cannot be in parts, one per CPU.
    pub kernel_reads: bool,
}

/// The plan for a whole script.
#[derive(Clone, Debug, Default)]
pub struct Placement {
    /// `--read FILE`: timers run on the packets' time.
    pub read_file: bool,
    /// By index of [`Program::probes`].
    pub units: Vec<Unit>,
    /// By index of [`Program::maps`].
    pub maps: Vec<MapPlace>,
    pub diagnostics: Vec<Diagnostic>,
}

/// Decides where everything runs.
pub fn plan(program: &Program, options: &Options) -> Placement {
    let mut uses: Vec<Uses> = program.probes.iter().map(|p| uses::of_probe(program, p)).collect();
    let unread = prune::unread(program, &uses);
    for (uses, _) in uses.iter_mut().zip(&unread).filter(|(_, unread)| **unread) {
        uses.maps.fill(MapUse::default());
    }
    let touched = kernel_maps(program, &uses, options);
    let units: Vec<Unit> = program
        .probes
        .iter()
        .zip(uses)
        .zip(unread)
        .map(|((probe, uses), unread)| {
            if unread {
                Unit { side: Side::Unread, reason: "nothing reads what it emits".into(), uses }
            } else {
                place_probe(program, probe, uses, &touched, options)
            }
        })
        .collect();
    let mut placement = Placement { units, read_file: options.read_file, ..Placement::default() };
    homes::place_maps(program, &mut placement);
    placement
}

/// What a provider allows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Kernel(ProgType),
    Native(&'static str),
    Neutral,
}

fn class(probe: &ProbeDef) -> Class {
    // All targets of a probe are of one provider: the checker splits others.
    match probe.targets.first().map(|t| &t.provider) {
        Some(Provider::Tracepoint { .. }) => Class::Kernel(ProgType::Tracepoint),
        Some(Provider::RawTracepoint { .. }) if asks_socket_cookie(probe) => Class::Kernel(ProgType::TracingRawTp),
        Some(Provider::RawTracepoint { .. }) => Class::Kernel(ProgType::RawTracepoint),
        Some(Provider::Syscall { .. }) => Class::Kernel(ProgType::TracingRawTp),
        Some(Provider::Kprobe { .. } | Provider::Uprobe { .. } | Provider::Usdt { .. }) => {
            Class::Kernel(ProgType::Kprobe)
        }
        Some(Provider::Profile { .. } | Provider::Counter { .. } | Provider::Watchpoint { .. }) => {
            Class::Kernel(ProgType::PerfEvent)
        }
        Some(Provider::Fentry { ret: false, .. }) => Class::Kernel(ProgType::Fentry),
        Some(Provider::Fentry { ret: true, .. }) => Class::Kernel(ProgType::Fexit),
        Some(Provider::Iter { .. }) => Class::Kernel(ProgType::Iter),
        // Run by hand, as BEGIN is.
        Some(Provider::Test { .. } | Provider::Bench { .. }) => Class::Kernel(ProgType::RawTracepoint),
        Some(Provider::Pcap { .. }) => Class::Native("packets are analysed in user space"),
        Some(Provider::Join { .. }) => Class::Native("join results are made in user space"),
        Some(Provider::Begin | Provider::End | Provider::Interval { .. } | Provider::Signal { .. }) | None => {
            Class::Neutral
        }
    }
}

/// The socket cookie helper exists for BTF-typed programs only.
fn asks_socket_cookie(probe: &ProbeDef) -> bool {
    let mut found = false;
    let mut look = |n: walk::Node<'_>| {
        if let walk::Node::Expr(e) = n {
            found |= matches!(e.kind, ExprKind::Call { func: Func::SockCookie, .. });
        }
    };
    if let Some(p) = &probe.predicate {
        walk::expr(p, &mut look);
    }
    walk::block(&probe.body, &mut look);
    found
}

/// Merged uses by probes that must run in the kernel, per map.
fn kernel_maps(program: &Program, uses: &[Uses], options: &Options) -> Vec<MapUse> {
    let mut all = vec![MapUse::default(); program.maps.len()];
    if options.read_file {
        return all;
    }
    for (probe, uses) in program.probes.iter().zip(uses) {
        if matches!(class(probe), Class::Kernel(_)) {
            for (map, used) in all.iter_mut().zip(&uses.maps) {
                map.merge(*used);
            }
        }
    }
    all
}

fn place_probe(program: &Program, probe: &ProbeDef, uses: Uses, kernel: &[MapUse], options: &Options) -> Unit {
    let (side, reason) = match class(probe) {
        Class::Kernel(_) if options.read_file => (Side::Not, "not running: --read has no kernel events".to_owned()),
        Class::Kernel(ty) => (Side::Kernel(ty), "kernel event".to_owned()),
        Class::Native(reason) => (Side::Native, reason.to_owned()),
        Class::Neutral => place_neutral(program, probe, &uses, kernel, options),
    };
    Unit { side, reason, uses }
}

/// Whether every probe that has its place by its provider has it in the kernel.
fn kernel_alone(program: &Program) -> bool {
    let classes = || program.probes.iter().map(class);
    classes().any(|c| matches!(c, Class::Kernel(_))) && !classes().any(|c| matches!(c, Class::Native(_)))
}

fn place_neutral(
    program: &Program,
    probe: &ProbeDef,
    uses: &Uses,
    kernel: &[MapUse],
    options: &Options,
) -> (Side, String) {
    let ty = match probe.targets.first().map(|t| &t.provider) {
        Some(Provider::Interval { .. }) => ProgType::PerfEvent,
        // Run by BPF_PROG_TEST_RUN.
        _ => ProgType::RawTracepoint,
    };
    if options.read_file {
        return match uses.kernel_only {
            Some(what) => (Side::Not, format!("not running: --read, and it asks the kernel ({what})")),
            None => (Side::Native, "timers run on recorded time".to_owned()),
        };
    }
    let shared = |i: usize| uses.maps[i].any() && kernel[i].any();
    // Reading a per-CPU aggregate means adding up all CPUs' parts, which user space does.
    if let Some(i) = (0..kernel.len()).find(|&i| shared(i) && uses.maps[i].whole)
        && uses.kernel_only.is_none()
    {
        return (Side::Native, format!("reads all CPUs' parts of @{}", program.maps[i].name));
    }
    if let Some(what) = uses.kernel_only {
        return (Side::Kernel(ty), format!("asks the kernel: {what}"));
    }
    match (0..kernel.len()).find(|&i| shared(i)) {
        Some(i) => (Side::Kernel(ty), format!("shares @{} with kernel programs", program.maps[i].name)),
        // Generating native code costs more to start (1 ms, 2 MB) than one more program.
        None if kernel_alone(program) && !uses.maps.iter().any(|m| m.any()) => {
            (Side::Kernel(ty), "the rest runs in the kernel".to_owned())
        }
        None => (Side::Native, "needs nothing of the kernel".to_owned()),
    }
}

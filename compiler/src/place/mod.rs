//! Where each probe's body runs, and where each map lives, with the reason kept for `dump --stage plan`.
//!
//! Kernel events run in the kernel, packets and join results in user space. What is neither (BEGIN, END, interval, self:signal) runs
//! in user space unless it shares a map with a kernel program, whose updates must not race with it, or asks what only the kernel
//! knows. BEGIN runs before anything is attached, wherever it runs.

mod bindings;
mod homes;
pub(crate) mod packets;
pub(crate) mod printed;
pub(crate) mod prune;
mod uses;
pub(crate) mod walk;

pub(crate) use homes::runs_within_itself;
pub use packets::wants_packets;
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
    pub packets: Packets,
}

/// Where packet blocks may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packets {
    /// Where they can.
    Kernel,
    /// In user space, and why.
    User(String),
}

impl Default for Packets {
    fn default() -> Self {
        Self::User("nobody asked the kernel".into())
    }
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
    let classes: Vec<Class> = (0..program.probes.len()).map(|at| class(program, at, &uses, options)).collect();
    let touched = kernel_maps(program, &uses, &classes, options);
    let counted = parted_maps(program, &uses, &classes, &touched);
    let units: Vec<Unit> = program
        .probes
        .iter()
        .zip(uses)
        .zip(unread)
        .zip(&classes)
        .map(|(((probe, uses), unread), class)| {
            if unread {
                Unit { side: Side::Unread, reason: "nothing reads what it emits".into(), uses }
            } else {
                place_probe(program, probe, uses, (class, &classes), (&touched, &counted), options)
            }
        })
        .collect();
    let mut placement = Placement { units, read_file: options.read_file, ..Placement::default() };
    homes::place_maps(program, &mut placement);
    placement.diagnostics.extend(asks_in_vain(program, &placement));
    placement.diagnostics.extend(printed::in_vain(program, &placement));
    placement
}

/// Alerts that look through maps do so in user space.
fn asks_in_vain(program: &Program, placement: &Placement) -> Vec<Diagnostic> {
    let looks = program.probes.iter().zip(&placement.units).filter(|(_, unit)| unit.uses.alert);
    let vain = looks.filter_map(|(probe, unit)| Some((probe, unit.uses.kernel_only?)));
    vain.map(|(probe, what)| {
        let text = format!("an alert that looks at maps has no {what}: it asks in user space");
        Diagnostic::error("alert-asks-kernel", probe.span, text).write("alert … on PROBE when …, where it is known")
    })
    .collect()
}

/// What a provider allows.
#[derive(Clone, PartialEq, Eq)]
enum Class {
    Kernel(ProgType),
    Native(String),
    /// Packets, in the kernel as far as they are plain.
    Packets,
    Neutral,
    Not(String),
}

/// What is neither bound to the kernel nor to user space by its provider.
fn is_neutral(probe: &ProbeDef) -> bool {
    matches!(
        probe.targets.first().map(|t| &t.provider),
        Some(Provider::Begin | Provider::End | Provider::Interval { .. } | Provider::Signal { .. }) | None
    )
}

fn class(program: &Program, at: usize, uses: &[Uses], options: &Options) -> Class {
    let probe = &program.probes[at];
    // All targets of a probe are of one provider: the checker splits others.
    match probe.targets.first().map(|t| &t.provider) {
        Some(Provider::Tracepoint { .. }) => Class::Kernel(ProgType::Tracepoint),
        Some(Provider::RawTracepoint { .. }) if asks_types(probe) => Class::Kernel(ProgType::TracingRawTp),
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
        Some(Provider::Pcap { .. }) => packets::stays(program, at, uses, options).map_or(Class::Packets, Class::Native),
        Some(Provider::Exchange { .. }) if options.read_file => Class::Not("not running: --read has no sockets".into()),
        Some(Provider::Exchange { .. }) => Class::Native("exchanges are put together in user space".into()),
        Some(Provider::Telemetry { .. }) => Class::Native("applications send it".into()),
        Some(Provider::Join { .. }) => Class::Native("join results are made in user space".into()),
        Some(Provider::Begin | Provider::End | Provider::Interval { .. } | Provider::Signal { .. }) | None => {
            Class::Neutral
        }
    }
}

/// The socket cookie helper, and loads from the registers of a system call, exist for BTF-typed programs only; and what our own texts read costs less there.
fn asks_types(probe: &ProbeDef) -> bool {
    let mut found = probe.ours;
    let mut look = |n: walk::Node<'_>| {
        if let walk::Node::Expr(e) = n {
            found |= matches!(e.kind, ExprKind::Call { func: Func::SockCookie | Func::CallRegister, .. });
        }
    };
    if let Some(p) = &probe.predicate {
        walk::expr(p, &mut look);
    }
    walk::block(&probe.body, &mut look);
    found
}

/// Merged uses by probes that must run in the kernel, per map.
fn kernel_maps(program: &Program, uses: &[Uses], classes: &[Class], options: &Options) -> Vec<MapUse> {
    let mut all = vec![MapUse::default(); program.maps.len()];
    if options.read_file {
        return all;
    }
    for (class, uses) in classes.iter().zip(uses) {
        if matches!(class, Class::Kernel(_)) {
            for (map, used) in all.iter_mut().zip(&uses.maps) {
                map.merge(*used);
            }
        }
    }
    all
}

/// Per map, what puts parts of it on both sides: merged uses by packet blocks in the kernel, and by user space of what kernel programs count
/// too.
fn parted_maps(program: &Program, uses: &[Uses], classes: &[Class], kernel: &[MapUse]) -> Vec<MapUse> {
    let mut all = vec![MapUse::default(); program.maps.len()];
    for (class, uses) in classes.iter().zip(uses) {
        for ((map, used), kernel) in all.iter_mut().zip(&uses.maps).zip(kernel) {
            if *class == Class::Packets || matches!(class, Class::Native(_)) && used.add && kernel.add {
                map.merge(*used);
            }
        }
    }
    all
}

fn place_probe(
    program: &Program,
    probe: &ProbeDef,
    uses: Uses,
    (class, all): (&Class, &[Class]),
    maps: (&[MapUse], &[MapUse]),
    options: &Options,
) -> Unit {
    let (side, reason) = match class {
        Class::Kernel(_) if options.read_file => (Side::Not, "not running: --read has no kernel events".to_owned()),
        Class::Kernel(ty) => (Side::Kernel(*ty), "kernel event".to_owned()),
        Class::Packets => (Side::Kernel(ProgType::SocketFilter), packets::REASON.to_owned()),
        Class::Not(reason) => (Side::Not, reason.clone()),
        Class::Native(reason) => (Side::Native, reason.clone()),
        Class::Neutral => place_neutral(program, probe, &uses, (maps, all), options),
    };
    Unit { side, reason, uses }
}

/// Whether every probe that has its place by its provider has it in the kernel.
fn kernel_alone(classes: &[Class]) -> bool {
    classes.iter().any(|c| matches!(c, Class::Kernel(_)))
        && !classes.iter().any(|c| matches!(c, Class::Native(_) | Class::Packets))
}

fn place_neutral(
    program: &Program,
    probe: &ProbeDef,
    uses: &Uses,
    ((kernel, parted), classes): ((&[MapUse], &[MapUse]), &[Class]),
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
    if uses.alert && uses.kernel_only.is_none() {
        return (Side::Native, "looks through maps for an alert".to_owned());
    }
    let shared = |i: usize| uses.maps[i].any() && kernel[i].any();
    // What packet blocks count is in part in user space, and what both sides count.
    if let Some(i) = (0..parted.len()).find(|&i| parted[i].aggregate && uses.maps[i].reads_aggregate())
        && uses.kernel_only.is_none()
    {
        return (Side::Native, format!("reads both sides' parts of @{}", program.maps[i].name));
    }
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
        None if kernel_alone(classes) && !uses.maps.iter().any(|m| m.any()) => {
            (Side::Kernel(ty), "the rest runs in the kernel".to_owned())
        }
        None => (Side::Native, "needs nothing of the kernel".to_owned()),
    }
}

//! The artifact: code for every function, and the tables around it.

use super::Units;
use crate::{
    ebpf,
    ir::{Function, Helper, Op, Term, cfg::Cfg},
    lower::{Module, place, stack_mode},
};
use weftrace_artifact::{
    Artifact, Capture, Options, Place,
    abi::LossSlot,
    action::{Action, StreamSpec},
    alert::AlertSpec,
    join::JoinSpec,
    map::{Kind, MapSpec, Role},
    nat,
    program::ProgramImage,
};
use weftrace_lang::{
    diag::Diagnostic,
    hir::Config,
    span::{FileId, SourceMap, Span},
    world::{Answer, Feature},
};

/// Smallest and largest event ring (a power of two of at least a page).
const RING_MIN: u32 = 4096;
const RING_MAX: u32 = 1 << 30;

/// The module's tables, complete.
pub(super) struct Tables {
    pub(super) maps: Vec<MapSpec>,
    actions: Vec<Action>,
    streams: Vec<StreamSpec>,
    joins: Vec<JoinSpec>,
    alerts: Vec<AlertSpec>,
    packet_needs: u32,
    expansions: Vec<Place>,
    options: Options,
    features: ebpf::Features,
}

/// Adds the maps that kernel programs share; the scratch map comes last, since it may turn out not to be needed.
pub(super) fn tables(mut module: Module<'_>, joins: Vec<JoinSpec>, units: &Units) -> Tables {
    let config = &module.program.config;
    let options = Options {
        print_maps_on_exit: config.print_maps_on_exit,
        ring_bytes: config.ring_bytes.clamp(RING_MIN, RING_MAX).next_power_of_two(),
        stack_mode: stack_mode(config.stack_mode),
        str_trunc_trailer: config.str_trunc_trailer.clone(),
        max_strlen: config.max_strlen,
        show_debug_info: config.is_on("show_debug_info"),
        cpp_demangle: config.is_on("cpp_demangle"),
        max_cat_bytes: config.max_cat_bytes,
        unwound: config.unwound.clone(),
        user_names: module.user_names,
        license: config.entry("license").unwrap_or("GPL").to_owned(),
        capture: capture(config),
        plain_json: matches!(config.entry("plain_json"), Some("1" | "true")),
        community_id_seed: config.number("community_id_seed") as u16,
    };
    let programs = units.kernel.len() as u32;
    if programs > 0 {
        if units.kernel.iter().any(|k| reserves(&k.function)) {
            let events = module.internal(Role::Events, true);
            module.maps[events.0 as usize].max_entries = options.ring_bytes;
        }
        let losses = module.internal(Role::Losses, true);
        module.maps[losses.0 as usize].max_entries = programs * LossSlot::COUNT;
        let scratch = module.internal(Role::Scratch, true);
        let scratch = &mut module.maps[scratch.0 as usize];
        scratch.max_entries = units.kernel.iter().map(scratch_entries).sum();
        scratch.value_size = ebpf::SCRATCH_LIMIT;
    }
    // A connection may be translated on its way: the runtime tells of that.
    if joins.iter().any(|join| join.goes_by_connection(&module.streams)) {
        module.streams.push(nat::stream());
    }
    let features = ebpf::Features {
        cpu_v4: module.world.feature(Feature::SignedDiv).is_found(),
        // Asked only where it matters: asking loads a program.
        bpf_loop: !units.kernel.iter().any(|k| has_loop(&k.function))
            || module.world.feature(Feature::BpfLoop) != Answer::NotThere,
        current_task: !units.kernel.iter().any(|k| asks_name(&k.function))
            || module.world.feature(Feature::CurrentTask) != Answer::NotThere,
        // Without the setting whatever fits lies in the frame.
        on_stack_limit: config.entry("on_stack_limit").and_then(|n| n.parse().ok()).unwrap_or(u32::MAX),
        ..ebpf::Features::default()
    };
    Tables {
        expansions: module.program.expansions.iter().map(|call| place(*call)).collect(),
        maps: module.maps,
        actions: module.actions,
        streams: module.streams,
        joins,
        alerts: super::alerts::specs(module.program),
        packet_needs: module.packet_needs,
        options,
        features,
    }
}

fn capture(config: &Config) -> Capture {
    let usual = Capture::default();
    let number = |name, usual| config.entry(name).and_then(|n| n.parse().ok()).unwrap_or(usual);
    Capture {
        promiscuous: config.entry("pcap_promiscuous") == Some("true"),
        snaplen: number("pcap_snaplen", usual.snaplen),
        buffer_bytes: number("pcap_buffer_bytes", usual.buffer_bytes),
    }
}

fn has_loop(f: &Function) -> bool {
    let cfg = Cfg::new(f);
    let mut edges =
        f.blocks().flat_map(|b| f.blocks[b.index()].term.targets().into_iter().map(move |(d, _)| (b, d.block)));
    edges.any(|(from, to)| cfg.dominates(to, from))
}

fn asks_name(f: &Function) -> bool {
    f.insts.iter().any(|i| matches!(i.op, Op::Call { helper: Helper::TaskComm, .. }))
}

fn reserves(f: &Function) -> bool {
    f.blocks.iter().any(|b| matches!(b.term, Term::Reserve { .. }))
}

/// Generates code and puts everything together.
pub(super) fn artifact(mut tables: Tables, mut units: Units, sources: &SourceMap) -> (Artifact, Vec<Diagnostic>) {
    let mut diagnostics = std::mem::take(&mut units.diagnostics);
    let sources: Vec<(String, String)> =
        (0..sources.len()).map(|i| sources.file(FileId(i as u32))).map(|f| (f.name.clone(), f.text.clone())).collect();
    let mut made = programs(&tables, &units, &sources);
    if made.iter().any(|r| matches!(r, Err(e) if matches!(e.kind, ebpf::ErrorKind::ScratchTooLarge { .. }))) {
        // Strings too large for a per-CPU map.
        if let Some(m) = tables.maps.last_mut().filter(|m| m.role == Role::Scratch) {
            m.kind = Kind::Array;
        }
        made = programs(&tables, &units, &sources);
    }
    let mut programs = Vec::with_capacity(made.len());
    for result in made {
        match result {
            Ok(image) => {
                diagnostics.extend(too_many_maps(&image));
                programs.push(image);
            }
            Err(e) => {
                diagnostics.push(Diagnostic::error("kernel-code", span(e.place), format!("no kernel program: {e}")));
            }
        }
    }
    size_scratch(&mut tables.maps, &programs);
    let handlers = crate::native::compile(&units.native).unwrap_or_else(|e| {
        diagnostics.push(Diagnostic::error("native-code", Span::default(), format!("no native code: {e}")));
        weftrace_artifact::native::NativeImage::default()
    });
    for probe in &units.left_out {
        diagnostics.push(Diagnostic::warning("not-running", probe.span, format!("{} is {}", probe.name, probe.reason)));
    }
    let artifact = Artifact {
        maps: tables.maps,
        programs,
        handlers,
        actions: tables.actions,
        streams: tables.streams,
        joins: tables.joins,
        alerts: tables.alerts,
        probes: units.probes,
        passing: units.passing,
        packet_needs: tables.packet_needs,
        expansions: tables.expansions,
        sources,
        options: tables.options,
    };
    (artifact, diagnostics)
}

/// Threads that may be in a program at once on one CPU, where the kernel lets them: each needs scratch memory of its own.
const NESTED: u32 = 4;

fn scratch_entries(unit: &super::KernelUnit) -> u32 {
    if unit.nests { NESTED } else { 1 }
}

fn programs(tables: &Tables, units: &Units, sources: &[(String, String)]) -> Vec<Result<ProgramImage, ebpf::Error>> {
    let mut next = 0;
    let one = |(index, unit): (usize, &super::KernelUnit)| {
        let scratch = ebpf::Scratch { first: next, entries: scratch_entries(unit) };
        next += scratch.entries;
        let env = ebpf::Env {
            scratch,
            maps: &tables.maps,
            actions: &tables.actions,
            sources,
            program: index as u32,
            probe: if unit.many { ebpf::ProbeId::Cookie } else { ebpf::ProbeId::Constant(unit.probe) },
            features: tables.features,
        };
        ebpf::compile(&unit.function, &env).map(|image| ProgramImage { twin: unit.twin, ..image })
    };
    units.kernel.iter().enumerate().map(one).collect()
}

/// A program may use 64 maps (MAX_USED_MAPS): told at the first use of one more.
fn too_many_maps(image: &ProgramImage) -> Option<Diagnostic> {
    const MOST: usize = 64;
    let mut used = std::collections::BTreeSet::new();
    let beyond = image.map_relocs.iter().find(|r| used.insert(r.map) && used.len() > MOST)?;
    let all: std::collections::BTreeSet<_> = image.map_relocs.iter().map(|r| r.map).collect();
    let place = image.spans.iter().rev().find(|(at, _)| *at <= beyond.insn).map(|(_, place)| *place);
    let text = format!("this probe uses {} maps with those of weftrace, the kernel takes {MOST}", all.len());
    let d = Diagnostic::error("too-many-maps", span(place.unwrap_or_default()), text);
    Some(d.note("split the probe in two at the same event, or make several maps one with a further key"))
}

/// The scratch map as large as the largest program needs, or none.
fn size_scratch(maps: &mut Vec<MapSpec>, programs: &[ProgramImage]) {
    let largest = programs.iter().map(|p| p.scratch_size).max().unwrap_or(0);
    if maps.last().is_some_and(|m| m.role == Role::Scratch) {
        if largest == 0 {
            maps.pop();
        } else if let Some(m) = maps.last_mut() {
            m.value_size = largest.next_multiple_of(8);
        }
    }
}

pub(super) fn span(place: Place) -> Span {
    Span { file: FileId(place.file), start: place.start, end: place.end, expansion: place.expansion }
}

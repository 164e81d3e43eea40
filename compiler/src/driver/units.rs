//! All functions of a script, lowered and optimised, before code generation.

use super::{passing, sessions, ways};
use crate::{
    attach::{self, Among, Ask, Chain, Form, Layout, Policy},
    ir::Function,
    lower::{Module, Spot, Twin, asked, has_twin, lower_probe_at, place},
    place::{
        MapUse, Side, Unit as Placed, Uses, packets, runs_within_itself,
        walk::{self, Node},
    },
};
use std::collections::BTreeSet;
use weftrace_artifact::{
    action::StreamId,
    join::Passing,
    packet::Asked,
    plan::{Attach, ProbePlan, Unit, Way},
    program::ProgType,
};
use weftrace_lang::{
    diag::Diagnostic,
    hir::{ProbeDef, Provider, Stmt, StmtKind, Target},
    span::Span,
    world::{Answer, Feature, UsdtArg, UsdtSite},
};

/// A kernel program to be compiled.
#[derive(Clone, Debug)]
pub struct KernelUnit {
    pub function: Function,
    /// The first probe that it serves.
    pub probe: u32,
    /// It asks which of its probes fired: each attachment says it by its cookie.
    pub many: bool,
    /// A thread may leave the CPU within the program, and another enter it there.
    pub nests: bool,
    /// Index of its second copy ([`weftrace_artifact::program::ProgramImage::twin`]).
    pub twin: Option<u32>,
}

/// A probe that does not run, and why.
#[derive(Clone, Debug)]
pub struct LeftOut {
    pub name: String,
    pub reason: String,
    /// Its attach point.
    pub span: Span,
}

/// What lowering made.
#[derive(Clone, Debug, Default)]
pub struct Units {
    pub kernel: Vec<KernelUnit>,
    pub native: Vec<Function>,
    pub probes: Vec<ProbePlan>,
    /// Of each probe: why it is no part of a session, if it could be.
    pub(super) apart: Vec<Option<String>>,
    /// Blocks that tell joins of exchanges.
    pub(super) passing: Vec<Passing>,
    /// Probes that the placement left out.
    pub left_out: Vec<LeftOut>,
    /// Probes of imported modules that nothing needs: nothing to warn about.
    pub unread: Vec<LeftOut>,
    pub diagnostics: Vec<Diagnostic>,
}

/// Lowers every probe: one function, or one per target where the body asks for the probe's name.
pub(super) fn lower_probes(module: &mut Module<'_>, units: &mut Units) {
    let (program, placement) = (module.program, module.placement);
    if let Some(d) = too_many(module) {
        units.diagnostics.push(d);
        return;
    }
    let reads_packets = program.probes.iter().any(|probe| packets::is_one(probe) && !is_idle(probe));
    for (probe, placed) in program.probes.iter().zip(&placement.units) {
        let left_out = || {
            let one = |t: &Target| LeftOut { name: t.name.clone(), reason: placed.reason.clone(), span: t.span };
            probe.targets.iter().map(one)
        };
        match placed.side {
            Side::Unread => units.unread.extend(left_out()),
            Side::Not => units.left_out.extend(left_out()),
            // What only it reads is not computed; another block reads the packets.
            _ if is_idle(probe) && reads_packets => {}
            Side::Kernel(_) | Side::Native => {
                let before = std::mem::take(&mut module.packet_needs);
                if let Err(d) = lower_targets(module, units, probe, placed) {
                    units.diagnostics.push(*d);
                }
                module.packet_needs |= before;
            }
        }
    }
}

/// A block on packets whose condition is known to be false.
fn is_idle(probe: &ProbeDef) -> bool {
    packets::is_one(probe) && probe.predicate.as_ref().is_some_and(|p| walk::known(p) == Some(false))
}

/// All targets of a probe, each with its ways to attach.
fn lower_targets<'a>(
    module: &mut Module<'a>,
    units: &mut Units,
    probe: &'a ProbeDef,
    placed: &'a Placed,
) -> Result<(), Box<Diagnostic>> {
    let sharing = sharing(module, probe, placed);
    let mut shared = Shared::default();
    let among = Among::of(&probe.targets);
    let mut needs = 0;
    for target in &probe.targets {
        let chain = chain(module, placed, target, &among);
        for (at, variant) in variants(target, placed).into_iter().enumerate() {
            let mut ways = Vec::with_capacity(chain.forms.len());
            for form in &chain.forms {
                let sharing = form_sharing(sharing, placed, form);
                let spot = Spot {
                    target: &form.target,
                    site: variant.site,
                    many: sharing == Sharing::ByIndex,
                    words: form.words.as_deref(),
                    frames: form.frames,
                    twin: None,
                };
                let side = form.side(placed.side);
                let layout = form.layout();
                let known = shared.find(&layout, &variant).filter(|_| sharing != Sharing::Not);
                let unit = known.map_or_else(|| lower_target(module, units, probe, spot, side), Ok)?;
                if known.is_none() {
                    shared.0.push((variant.args.clone(), layout, unit));
                }
                needs |= module.packet_needs;
                let way = ways::way(&form.target.provider, side);
                ways.push(Attach { way, unit, why: form.why.clone() });
            }
            if placed.side == Side::Kernel(ProgType::SocketFilter) {
                // For packets that aren't plain, and where the program can't be attached.
                let spot = Spot { target, site: None, many: false, words: None, frames: 0, twin: None };
                let unit = lower_target(module, units, probe, spot, Side::Native)?;
                needs |= module.packet_needs;
                ways.push(Attach::new(ways::way(&target.provider, Side::Native), unit));
            }
            let asks = asked::condition(probe);
            let about = About { packet_needs: needs, asks, emits: streams(probe), maps: used_maps(&placed.uses) };
            let Some(mut plan) = plan(target, ways, &chain, placed, about) else { continue };
            plan.further = at > 0 || probe.hidden;
            if probe.hidden {
                plan.reason = match target.provider {
                    Provider::RawTracepoint { .. } | Provider::Tracepoint { .. } => "tells what sockets carry".into(),
                    Provider::Uprobe { go: None, .. } => "tells what sockets carry, in clear".into(),
                    _ => "counts calls that never return".into(),
                };
            }
            if let Way::Usdt { sites, .. } = &mut plan.best.way {
                sites.retain(|s| variant.offsets.contains(&s.offset));
            }
            if let Some((joins, bound)) = passing::of(module.program, probe) {
                units.passing.push(Passing { probe: units.probes.len() as u32, joins, bound });
            }
            units.probes.push(plan);
            units.apart.push(sessions::apart(&target.provider, &placed.uses));
        }
    }
    Ok(())
}

/// The ways to attach a target; what doesn't run in the kernel has one.
fn chain<'a>(module: &Module<'a>, placed: &'a Placed, target: &'a Target, among: &'a Among) -> Chain<'a> {
    match placed.side {
        Side::Kernel(ProgType::SocketFilter) => Chain::only(target),
        Side::Kernel(_) => {
            let policy = Policy::of(module.program);
            attach::chain(&Ask { world: module.world, uses: &placed.uses, target, among, policy })
        }
        Side::Native | Side::Not | Side::Unread => Chain::only(target),
    }
}

/// Programs of a probe that further targets can use: those whose arguments are in the same places.
#[derive(Default)]
struct Shared<'a>(Vec<(Vec<Option<&'a UsdtArg>>, Layout, Unit)>);

impl Shared<'_> {
    fn find(&self, layout: &Layout, variant: &Variant<'_>) -> Option<Unit> {
        self.0.iter().find(|(args, its, _)| *args == variant.args && its == layout).map(|(.., unit)| *unit)
    }
}

/// Whether a probe's targets can have one program.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    /// Its body differs by target.
    Not,
    /// It doesn't.
    Same,
    /// It asks for the name of what fired, which it looks up.
    ByIndex,
}

fn sharing(module: &Module<'_>, probe: &ProbeDef, placed: &Placed) -> Sharing {
    /// Below, a program for each is quick enough to load and to detach, and its names are constants.
    const MANY: usize = 9;
    if placed.uses.addresses {
        return Sharing::Not;
    }
    if !placed.uses.names {
        return Sharing::Same;
    }
    let tells =
        |p: &Provider| matches!(p, Provider::Uprobe { .. } | Provider::Usdt { .. } | Provider::Tracepoint { .. });
    // Of kprobes each is attached by itself all the same.
    let many = probe.targets.len() >= MANY && probe.targets.iter().all(|t| tells(&t.provider));
    if many && module.world.feature(Feature::AttachCookie).is_found() { Sharing::ByIndex } else { Sharing::Not }
}

/// The same, of one way to attach them.
fn form_sharing(own: Sharing, placed: &Placed, form: &Form<'_>) -> Sharing {
    if form.watches_many() {
        Sharing::Same
    } else if form.has_no_cookie() && placed.uses.names {
        Sharing::Not
    } else {
        own
    }
}

/// Places of a target that one program can serve.
struct Variant<'a> {
    /// One of them; None: the target is no static marker.
    site: Option<&'a UsdtSite>,
    offsets: Vec<u64>,
    /// The arguments that the body asks for.
    args: Vec<Option<&'a UsdtArg>>,
}

fn variants<'a>(target: &'a Target, placed: &Placed) -> Vec<Variant<'a>> {
    let Provider::Usdt { sites, .. } = &target.provider else {
        return vec![Variant { site: None, offsets: Vec::new(), args: Vec::new() }];
    };
    let mut all: Vec<Variant<'a>> = Vec::new();
    for site in sites {
        let args: Vec<_> = placed.uses.args.iter().map(|n| site.args.get(*n as usize)).collect();
        match all.iter_mut().find(|v| v.args == args) {
            Some(variant) => variant.offsets.push(site.file_offset),
            None => all.push(Variant { site: Some(site), offsets: vec![site.file_offset], args }),
        }
    }
    all
}

/// A block that asks for its probe's name becomes a program for each attach point: `max_bpf_progs` bounds them.
fn too_many(module: &Module<'_>) -> Option<Diagnostic> {
    const DEFAULT: usize = 1024;
    let (program, placement) = (module.program, module.placement);
    let set = program.config.entries.iter().find(|(key, _)| key == "max_bpf_progs");
    let most = set.and_then(|(_, value)| value.parse().ok()).unwrap_or(DEFAULT);
    let mut count = 0;
    for (probe, placed) in program.probes.iter().zip(&placement.units) {
        let kernel = matches!(placed.side, Side::Kernel(_));
        let each = kernel && sharing(module, probe, placed) == Sharing::Not;
        count += if each { probe.targets.len() } else { usize::from(kernel) };
        if count > most {
            let span = probe.targets.first().map_or(probe.span, |t| t.span);
            let d = Diagnostic::error(
                "too-many-programs",
                span,
                format!("this script becomes {count} kernel programs, more than max_bpf_progs ({most})"),
            )
            .note("a block that asks for `probe` or `func` is a program of its own for each attach point")
            .bpftrace(format!(
                "Your program is trying to generate more than {count} BPF programs, which exceeds the current limit of {most}"
            ));
            return Some(d.note("You can increase the limit through the BPFTRACE_MAX_BPF_PROGS environment variable."));
        }
    }
    None
}

fn lower_target<'a>(
    module: &mut Module<'a>,
    units: &mut Units,
    probe: &'a ProbeDef,
    spot: Spot<'_>,
    side: Side,
) -> Result<Unit, Box<Diagnostic>> {
    let index = units.probes.len();
    let name = function_name(index, &spot.target.name);
    let raw = matches!(side, Side::Kernel(ProgType::TracingRawTp | ProgType::RawTracepoint));
    if raw && has_twin(&spot.target.provider) {
        return lower_twins(module, units, probe, spot, side);
    }
    let function = lower_probe_at(module, probe, spot, side, &name)?;
    Ok(if let Side::Kernel(kind) = side {
        let nests = nests(module, probe, spot.target, kind);
        units.kernel.push(KernelUnit { function, probe: index as u32, many: spot.many, nests, twin: None });
        Unit::Kernel(units.kernel.len() as u32 - 1)
    } else {
        units.native.push(function);
        Unit::Native(units.native.len() as u32 - 1)
    })
}

/// Whether one run of a target's program may begin on a processor where another has not ended: by itself, or as a typed one that is for several functions, of
/// which the kernel loads a program each, and keeps count of each alone.
/// (Up to Linux 5.19 uprobes have preemption off: what they claim their room with is younger, of 5.12.)
fn nests(module: &Module<'_>, probe: &ProbeDef, target: &Target, kind: ProgType) -> bool {
    let by_others = matches!(kind, ProgType::Fentry | ProgType::Fexit) && probe.targets.len() > 1;
    (runs_within_itself(&target.provider) || by_others)
        && module.world.feature(Feature::AtomicFetch) != Answer::NotThere
}

/// A target's program and its second copy; returns the first.
fn lower_twins<'a>(
    module: &mut Module<'a>,
    units: &mut Units,
    probe: &'a ProbeDef,
    spot: Spot<'_>,
    side: Side,
) -> Result<Unit, Box<Diagnostic>> {
    let index = units.probes.len();
    let first = units.kernel.len() as u32;
    let pair = units.kernel.iter().filter(|k| k.twin.is_some()).count() as u32;
    for (second, suffix) in [(false, ""), (true, "_2")] {
        let name = function_name(index, &format!("{}{suffix}", spot.target.name));
        let spot = Spot { twin: Some(Twin { second, pair }), ..spot };
        let function = lower_probe_at(module, probe, spot, side, &name)?;
        let twin = (!second).then_some(first + 1);
        units.kernel.push(KernelUnit { function, probe: index as u32, many: spot.many, nests: false, twin });
    }
    Ok(Unit::Kernel(first))
}

/// What the plan tells of a probe's body.
struct About {
    packet_needs: u32,
    asks: Asked,
    emits: Vec<StreamId>,
    maps: Vec<u32>,
}

/// Numbers of the maps that a probe reads or writes.
fn used_maps(uses: &Uses) -> Vec<u32> {
    (0..).zip(&uses.maps).filter(|(_, used)| **used != MapUse::default()).map(|(map, _)| map).collect()
}

/// The streams that a probe emits to, in order.
fn streams(probe: &ProbeDef) -> Vec<StreamId> {
    let mut all = BTreeSet::new();
    walk::block(&probe.body, &mut |n| {
        if let Node::Stmt(Stmt { kind: StmtKind::Emit { stream, .. }, .. }) = n {
            all.insert(StreamId(stream.0));
        }
    });
    all.into_iter().collect()
}

/// Unique by its number; the kernel shows the first 15 bytes.
fn function_name(index: usize, target: &str) -> String {
    let last = target.rsplit(':').next().unwrap_or(target);
    let clean: String = last.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("p{index}_{clean}")
}

/// None: it has no way to attach, which no chain is.
fn plan(target: &Target, ways: Vec<Attach>, chain: &Chain<'_>, placed: &Placed, about: About) -> Option<ProbePlan> {
    let mut ways = ways.into_iter();
    Some(ProbePlan {
        name: target.name.clone(),
        reason: placed.reason.clone(),
        best: ways.next()?,
        fallbacks: ways.collect(),
        passed: chain.passed.clone(),
        session: None,
        place: place(target.span),
        wildcard: target.wildcard,
        further: false,
        packet_needs: about.packet_needs,
        asks: about.asks,
        emits: about.emits,
        maps: about.maps,
    })
}

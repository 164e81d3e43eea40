//! The whole way from a checked program to an [`Artifact`], and the text of every stage on it.

mod alerts;
mod assemble;
mod joins;
mod passing;
mod plan;
mod sessions;
mod units;
mod ways;

pub use units::{KernelUnit, LeftOut, Units};

use crate::{
    attach::Policy,
    lower::Module,
    place::{self, Packets, Placement},
};
use weftrace_artifact::Artifact;
use weftrace_lang::{
    diag::Diagnostic,
    hir::Program,
    span::SourceMap,
    world::{Answer, Feature, World},
};

/// What the compilation depends on besides the script and the host.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// `--read FILE`: packets come from a file, kernel probes do not run.
    pub read_file: bool,
    /// Off only to look at what lowering makes.
    pub optimise: bool,
    /// Metrics are offered, with examples of what is counted.
    pub exemplars: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { read_file: false, optimise: true, exemplars: false }
    }
}

/// A stage that prints as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// IR after the optimiser.
    Ir,
    /// eBPF instructions.
    Bpf,
    /// Cranelift's text of the native handlers.
    Clif,
    /// What runs where, and why.
    Plan,
}

/// Compiles a checked program. Findings of severity error mean that parts of the artifact are missing: do not run it then.
pub fn compile(
    program: &Program,
    sources: &SourceMap,
    world: &dyn World,
    options: &Options,
) -> (Artifact, Vec<Diagnostic>) {
    let placement = place(program, world, *options);
    let (units, module) = lower(program, world, &placement, *options);
    let (artifact, diagnostics) = assemble::artifact(module, units, sources);
    (artifact, all_findings(&placement, diagnostics))
}

/// The same with the plan's text ([`Stage::Plan`]).
pub fn compile_with_plan(
    program: &Program,
    sources: &SourceMap,
    world: &dyn World,
    options: &Options,
) -> (Artifact, String, Vec<Diagnostic>) {
    let placement = place(program, world, *options);
    let (units, module) = lower(program, world, &placement, *options);
    let left_out = [units.left_out.clone(), units.unread.clone()].concat();
    let (artifact, diagnostics) = assemble::artifact(module, units, sources);
    let text = plan::text(&artifact, &left_out);
    (artifact, text, all_findings(&placement, diagnostics))
}

/// The text of a stage; what could not be compiled is in the findings.
pub fn dump(
    program: &Program,
    sources: &SourceMap,
    world: &dyn World,
    options: &Options,
    stage: Stage,
) -> (String, Vec<Diagnostic>) {
    if stage == Stage::Plan {
        let (_, text, found) = compile_with_plan(program, sources, world, options);
        return (text, found);
    }
    let placement = place(program, world, *options);
    let (units, module) = lower(program, world, &placement, *options);
    if stage == Stage::Ir {
        let functions = units.kernel.iter().map(|k| &k.function).chain(&units.native);
        let texts: Vec<String> = functions.map(ToString::to_string).collect();
        return (texts.join("\n"), all_findings(&placement, units.diagnostics));
    }
    if stage == Stage::Clif {
        let texts: Vec<String> =
            units.native.iter().map(|f| crate::native::clif(f).unwrap_or_else(|e| format!("; {e}\n"))).collect();
        return (texts.join("\n"), all_findings(&placement, units.diagnostics));
    }
    let (artifact, diagnostics) = assemble::artifact(module, units, sources);
    let listing = |p| crate::ebpf::dump::disassemble(p, &artifact.maps, &artifact.sources);
    let text = artifact.programs.iter().map(listing).collect::<Vec<_>>().join("\n");
    (text, all_findings(&placement, diagnostics))
}

/// Where everything runs. The kernel is asked only where it matters.
fn place(program: &Program, world: &dyn World, options: Options) -> Placement {
    let mut place = place::Options { read_file: options.read_file, ..place::Options::default() };
    if program.config.entry("pcap_place") == Some("user") {
        place.packets = Packets::User("the setting pcap_place says so".into());
    } else if place::wants_packets(program, &place) {
        place.packets = match world.feature(Feature::PacketFilter) {
            Answer::Found(()) => Packets::Kernel,
            Answer::NotThere => Packets::User("this kernel runs no programs on packet sockets".into()),
            Answer::NotPermitted(why) => Packets::User(format!("not permitted to load programs ({why})")),
            Answer::CouldNotTell(why) => Packets::User(format!("whether this kernel can is not known ({why})")),
        };
    }
    place::plan(program, &place)
}

fn all_findings(placement: &Placement, rest: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let mut all = placement.diagnostics.clone();
    all.extend(rest);
    all
}

/// Lowered functions, and the tables they refer to.
fn lower<'a>(
    program: &'a Program,
    world: &'a dyn World,
    placement: &'a Placement,
    options: Options,
) -> (Units, assemble::Tables) {
    let mut units = Units::default();
    let mut module = Module::new(program, world, placement, &mut units.diagnostics);
    module.exemplars = options.exemplars;
    units::lower_probes(&mut module, &mut units);
    sessions::pair(&mut units, world, Policy::of(program));
    let joins = joins::lower_joins(&mut module, &mut units);
    let tables = assemble::tables(module, joins, &units);
    let mut malformed = vec![];
    units.kernel.iter_mut().map(|k| &mut k.function).chain(&mut units.native).for_each(|f| {
        if let Err(e) = crate::ir::verify::verify_with_maps(f, Some(&tables.maps)) {
            let place = f.spans.first().copied().unwrap_or_default();
            malformed.push(Diagnostic::error(
                "internal",
                assemble::span(place),
                format!("a bug in weftrace: malformed code: {e}"),
            ));
        } else if options.optimise {
            crate::opt::run(f);
        }
    });
    if !malformed.is_empty() {
        // Nothing that follows may see such code.
        units.diagnostics.extend(malformed);
        units.kernel.clear();
        units.native.clear();
        units.probes.clear();
    }
    (units, tables)
}

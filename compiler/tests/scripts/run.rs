//! Runs a script in every way, and compares.

use super::coverage::Coverage;
use super::support::case::{self, Case};
use super::support::kernel_exec::{self, Kernel, KernelV4};
use super::support::native_exec::Native;
use super::support::rbpf_exec::Rbpf;
use super::support::world::TestWorld;
use super::support::{Executor, FUEL, Interpreter};
use std::fmt::Write as _;
use weftrace_artifact::abi::LossSlot;
use weftrace_artifact::action::{Action, ActionKind};
use weftrace_artifact::map::{Home, MapSpec};
use weftrace_artifact::program::ProgType;
use weftrace_compiler::ir::interp::host::{Host, Map, MapShape};
use weftrace_compiler::ir::interp::{self, InterpError};
use weftrace_compiler::ir::{Function, verify::verify_with_maps};
use weftrace_compiler::lower::{Module, lower_probe};
use weftrace_compiler::{opt, place};
use weftrace_lang::diag::{Diagnostic, Severity};
use weftrace_lang::hir::Program;
use weftrace_lang::span::SourceMap;
use weftrace_lang::{check, syntax};

/// The kernel executor's ring holds not many more.
const MOST_RECORDS: usize = 500;

/// A script for one side.
struct Side {
    function: Function,
    optimised: Function,
    maps: Vec<MapSpec>,
    actions: Vec<Action>,
}

/// What a run leaves behind, whichever numbers the side gave its actions.
struct Seen {
    maps: Vec<Vec<(Vec<u8>, Vec<u8>)>>,
    records: Vec<(String, Vec<u8>)>,
    /// By [`weftrace_artifact::abi::LossSlot`].
    losses: [u64; LossSlot::COUNT as usize],
}

pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_else(|| "no text".into())
}

fn errors(findings: &[Diagnostic]) -> Vec<&Diagnostic> {
    findings.iter().filter(|d| d.severity == Severity::Error).collect()
}

/// Checks, lowers and runs; what did not agree.
pub fn run(text: &str, coverage: &mut Coverage) -> Result<(), String> {
    let mut sources = SourceMap::default();
    let file = sources.add("script", text);
    let (script, findings) = syntax::parse(text, file);
    if let Some(e) = errors(&findings).first() {
        return Err(format!("does not parse: {e:?}"));
    }
    let world = TestWorld::default();
    let (program, findings) = check::analyze(&script, &mut sources, &world, &check::Options::default());
    if let Some(e) = errors(&findings).first() {
        coverage.refused += 1;
        *coverage.findings.entry(format!("{} ({})", e.code, e.message)).or_default() += 1;
        return Ok(());
    }
    coverage.accepted += 1;
    let kernel = side(&program, &world, true)?;
    let native = side(&program, &world, false)?;
    coverage.function(&kernel.optimised);
    coverage.function(&native.optimised);
    let case = world_of(&kernel.maps);
    let right = match steps(&kernel.function, &case) {
        Ok(()) => see(&kernel, &Interpreter, &kernel.function, &case, coverage)?,
        Err(InterpError::OutOfFuel) => {
            coverage.long += 1;
            return Ok(());
        }
        Err(e) => return Err(format!("interp: {e}\n{}", kernel.function)),
    };
    let Some(right) = right else { return Err("the interpreter runs everything".into()) };
    if right.records.len() > MOST_RECORDS {
        coverage.long += 1;
        return Ok(());
    }
    compare(&program, &kernel, &native, (&case, &right), coverage)
}

/// Runs a script in every way; `case`: its kernel side's world; `right`: what it must leave there.
fn compare(
    program: &Program,
    kernel: &Side,
    native: &Side,
    (case, right): (&Case, &Seen),
    coverage: &mut Coverage,
) -> Result<(), String> {
    let ways: [(&Side, &dyn Executor, &Function); 6] = [
        (kernel, &Interpreter, &kernel.optimised),
        (kernel, &Rbpf, &kernel.optimised),
        (kernel, &Kernel, &kernel.optimised),
        (kernel, &KernelV4, &kernel.optimised),
        (native, &Interpreter, &native.function),
        (native, &Native, &native.optimised),
    ];
    for (side, executor, function) in ways {
        let own = if std::ptr::eq(side, kernel) { case.clone() } else { world_of(&native.maps) };
        let seen = see(side, executor, function, &own, coverage).map_err(|e| format!("{}: {e}", executor.name()))?;
        let Some(seen) = seen else {
            if executor.name() == "kernel" && kernel_exec::available() {
                return Err(format!("not runnable in the kernel\n{function}"));
            }
            continue;
        };
        // Internal maps may differ by side.
        let script_maps = program.maps.len();
        // A ring that ran full has lost records, and says so: the rest must be right all the same.
        let dropped = seen.losses[LossSlot::Ring as usize];
        let same = if dropped > right.losses[LossSlot::Ring as usize] {
            coverage.dropped += dropped;
            is_part(&seen.records, &right.records) && seen.records.len() as u64 + dropped == right.records.len() as u64
        } else {
            seen.records == right.records
        };
        if seen.maps[..script_maps] != right.maps[..script_maps] || !same {
            let differences = differences(program, &seen, right);
            let name = executor.name();
            return Err(format!("{name} differs from what is right ({dropped} dropped):\n{differences}\n{function}"));
        }
    }
    Ok(())
}

/// Whether `some` are `all` without a few, in the same order.
fn is_part<T: PartialEq>(some: &[T], all: &[T]) -> bool {
    let mut rest = all.iter();
    some.iter().all(|s| rest.any(|a| a == s))
}

/// Elements and records that only one of two has.
fn differences(program: &Program, seen: &Seen, right: &Seen) -> String {
    let mut out = String::new();
    for (map, def) in program.maps.iter().enumerate() {
        let mut list = |what: &str, these: &[(Vec<u8>, Vec<u8>)], others: &[(Vec<u8>, Vec<u8>)]| {
            for (key, value) in these.iter().filter(|e| !others.contains(e)) {
                let _ = writeln!(out, "{what} @{}[{}] = {}", def.name, case::hex(key), case::hex(value));
            }
        };
        list("has  ", &seen.maps[map], &right.maps[map]);
        list("lacks", &right.maps[map], &seen.maps[map]);
    }
    let same = seen.records.iter().zip(&right.records).take_while(|(a, b)| a == b).count();
    if (seen.records.len(), right.records.len()) != (same, same) {
        let _ = writeln!(out, "record {same}: {:?}\nright is  {:?}", seen.records.get(same), right.records.get(same));
    }
    out
}

fn side(program: &Program, world: &TestWorld, kernel: bool) -> Result<Side, String> {
    let mut placement = place::plan(program, &place::Options::default());
    if kernel {
        placement.units[0].side = place::Side::Kernel(ProgType::RawTracepoint);
    }
    for map in &mut placement.maps {
        // The same kinds of maps on both sides.
        map.kernel_reads = true;
        map.kernel_writers = 1;
        map.home = if kernel { Home::Kernel } else { Home::User };
    }
    let mut findings = vec![];
    let mut module = Module::new(program, world, &placement, &mut findings);
    if !findings.is_empty() {
        return Err(format!("accepted, but {findings:?}"));
    }
    let probe = &program.probes[0];
    let function = lower_probe(&mut module, probe, &probe.targets[0], placement.units[0].side, "script")
        .map_err(|d| format!("accepted, but not lowered: {}", d.message))?;
    verify_with_maps(&function, Some(&module.maps)).map_err(|e| format!("malformed: {e}\n{function}"))?;
    let mut optimised = function.clone();
    opt::run(&mut optimised);
    let mut maps = module.maps;
    // Creating large maps would take most of the time.
    maps.iter_mut().filter(|m| m.key.is_some()).for_each(|m| m.max_entries = m.max_entries.min(64));
    Ok(Side { function, optimised, maps, actions: module.actions })
}

fn world_of(maps: &[MapSpec]) -> Case {
    let shape = |m: &MapSpec| MapShape {
        kind: m.kind,
        key_size: m.key_size,
        value_size: m.value_size,
        max_entries: m.max_entries,
    };
    Case::from_host(Host {
        maps: maps.iter().map(|m| Map::new(shape(m))).collect(),
        ctx: vec![0; 96],
        now: 5_000,
        ring_capacity: 100_000,
        ..Host::default()
    })
}

fn steps(function: &Function, case: &Case) -> Result<(), InterpError> {
    interp::run(function, &mut case.host(), FUEL / 4).map(drop)
}

fn see(
    side: &Side,
    executor: &dyn Executor,
    function: &Function,
    case: &Case,
    coverage: &mut Coverage,
) -> Result<Option<Seen>, String> {
    if !executor.supports(function, case) {
        return Ok(None);
    }
    let outcome = executor.run(function, case)?;
    *coverage.runs.entry(executor.name()).or_default() += 1;
    let records = outcome.records.into_iter().map(|(action, payload)| {
        let action = &side.actions[action as usize];
        // Sites are numbered by side.
        let kind = match &action.kind {
            ActionKind::Warn { about, .. } => format!("Warn {about:?}"),
            kind => format!("{kind:?}"),
        };
        (format!("{kind} {:?}", action.place), payload)
    });
    Ok(Some(Seen { maps: outcome.maps, records: records.collect(), losses: outcome.losses }))
}

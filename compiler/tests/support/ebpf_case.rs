//! Building blocks of the eBPF tests: a function, a case, and all executors that must agree on it.

use super::case::Case;
use super::kernel_exec::{self, Kernel, KernelV4};
use super::rbpf_exec::Rbpf;
use super::{Executor, Interpreter, Outcome};
use weftrace_artifact::Place;
use weftrace_artifact::map::{Kind, MapId};
use weftrace_artifact::program::ProgType;
use weftrace_compiler::ir::builder::FunctionBuilder;
use weftrace_compiler::ir::interp::host::{Host, Map, MapShape};
use weftrace_compiler::ir::verify::verify;
use weftrace_compiler::ir::{Function, Size, Space, Target, Ty, Value};

pub const RESULTS: MapId = MapId(0);

pub fn builder(name: &str) -> FunctionBuilder {
    FunctionBuilder::new(name, Target::Kernel(ProgType::RawTracepoint), Place::default())
}

pub fn array(value_size: u32, max_entries: u32) -> MapShape {
    MapShape { kind: Kind::Array, key_size: 4, value_size, max_entries }
}

pub fn hash(key_size: u32, value_size: u32, max_entries: u32) -> MapShape {
    MapShape { kind: Kind::Hash, key_size, value_size, max_entries }
}

pub fn case(shapes: &[MapShape], words: &[u64]) -> Case {
    let ctx = words.iter().chain(&[0; 12]).take(12).flat_map(|w| w.to_le_bytes()).collect();
    let maps = shapes.iter().map(|&s| Map::new(s)).collect();
    Case::from_host(Host { ctx, maps, ring_capacity: 1000, now: 77, ..Host::default() })
}

/// Runs the function everywhere; the interpreter's outcome.
pub fn agree(func: &Function, case: &Case) -> Outcome {
    verify(func).unwrap_or_else(|e| panic!("{e}\n{func}"));
    let expected = Interpreter.run(func, case).unwrap_or_else(|e| panic!("interp: {e}\n{func}"));
    let others: [&dyn Executor; 3] = [&Rbpf, &Kernel, &KernelV4];
    for executor in others {
        if !executor.supports(func, case) {
            let may = match executor.name() {
                "rbpf" => false,
                "kernel" => !kernel_exec::available(),
                _ => !kernel_exec::available() || kernel_exec::kernel_before(6, 6),
            };
            assert!(may, "{} must run this", executor.name());
            continue;
        }
        match executor.run(func, case) {
            Ok(outcome) => assert!(outcome == expected, "{}: {outcome}, interp: {expected}\n{func}", executor.name()),
            Err(e) => panic!("{}: {e}\n{func}", executor.name()),
        }
    }
    expected
}

/// The value of the only element of the results map; other blocks follow from the returned one.
pub fn results(b: &mut FunctionBuilder) -> Value {
    let slot = b.slot(4, 4);
    let key = b.slot_addr(slot);
    let zero = b.iconst(0);
    b.store(Size::B4, zero, key, 0);
    let missing = b.create_block(&[]);
    let found = b.create_block(&[Ty::Ptr(Space::Map)]);
    b.lookup(RESULTS, key, found, missing);
    b.switch_to(missing);
    b.ret_zero();
    b.switch_to(found);
    b.param(found, 0)
}

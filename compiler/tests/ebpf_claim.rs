//! Scratch memory of programs that may be entered again on their CPU before they ended: each run takes an entry that no one has.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "test code")]

mod support;

use support::bpf_door::{self, Map};
use support::ebpf_env::{PROBE, spec};
use weftrace_artifact::Place;
use weftrace_artifact::abi::LossSlot;
use weftrace_artifact::map::{Kind, MapSpec, Role};
use weftrace_artifact::program::{ProgType, ProgramImage};
use weftrace_compiler::ebpf::{self, Env, Features, ProbeId, Scratch};
use weftrace_compiler::ir::builder::FunctionBuilder;
use weftrace_compiler::ir::{Function, Mem, Size, Target};

const ENTRIES: u32 = 4;
const FIRST: u32 = 2;
/// More than the frame holds.
const SLOT: u32 = 1024;
/// More than an instruction's offset reaches, and an element per CPU.
const WIDE: u32 = 40_000;
const RESULT: u32 = 77;

/// Writes to a slot that does not fit into the frame, and gives what it reads there.
fn function(room: u32) -> Function {
    let mut b = FunctionBuilder::new("claims", Target::Kernel(ProgType::RawTracepoint), Place::default());
    let slot = b.slot(room, 8);
    let address = b.slot_addr(slot);
    let value = b.iconst(i64::from(RESULT));
    b.fill(address, 0, 1024);
    b.store(Size::B8, value, address, 512);
    let read = b.load(Mem::U64, address, 512);
    b.ret(read);
    b.finish()
}

fn maps(kind: Kind, room: u32) -> Vec<MapSpec> {
    vec![
        spec(Role::Losses, Kind::PercpuArray, 4, 8, LossSlot::COUNT),
        spec(Role::Scratch, kind, 4, room + 8, FIRST + ENTRIES),
    ]
}

fn compiled(specs: &[MapSpec], room: u32) -> ProgramImage {
    let env = Env {
        actions: &[],
        maps: specs,
        sources: &[],
        program: 0,
        scratch: Scratch { first: FIRST, entries: ENTRIES },
        probe: ProbeId::Constant(PROBE),
        features: Features::default(),
    };
    let image = ebpf::compile(&function(room), &env).unwrap();
    assert_eq!(image.scratch_size, room + 8, "the slot and the claim word");
    image
}

#[test]
fn the_word_of_a_wide_entry_is_reached() {
    if !support::kernel_exec::available() {
        return;
    }
    let specs = maps(Kind::Array, WIDE);
    let maps: Vec<Map> = specs.iter().map(|s| Map::create(s).unwrap()).collect();
    bpf_door::load_quietly(&compiled(&specs, WIDE), &maps).unwrap();
}

#[test]
fn each_run_takes_a_free_entry() {
    if !support::kernel_exec::available() {
        return;
    }
    let specs = maps(Kind::PercpuArray, SLOT);
    let image = compiled(&specs, SLOT);
    let maps: Vec<Map> = specs.iter().map(|s| Map::create(s).unwrap()).collect();
    let program = bpf_door::load_quietly(&image, &maps).unwrap();
    let entry = |n: u32| maps[1].get(&(FIRST + n).to_le_bytes()).unwrap();
    let word = |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let lost = || word(&maps[0].get(&(LossSlot::Nested as u32).to_le_bytes()).unwrap(), 0);
    for busy in 0..ENTRIES {
        // The entries before are taken, as by runs that are not on the CPU now.
        assert_eq!(program.test_run(&[0; 96]).unwrap(), RESULT);
        assert_eq!(word(&entry(busy), 512), u64::from(RESULT), "entry {busy} was used");
        assert_eq!(word(&entry(busy), SLOT as usize), 0, "and given back");
        let mut taken = vec![0; SLOT as usize + 8];
        taken[SLOT as usize] = 1;
        maps[1].update(&(FIRST + busy).to_le_bytes(), &taken).unwrap();
        assert_eq!(lost(), 0);
    }
    assert_eq!(program.test_run(&[0; 96]).unwrap(), 0, "no entry is free: the run ends at once");
    assert_eq!(lost(), 1);
    assert!((0..ENTRIES).all(|n| word(&entry(n), 512) == 0), "nobody's memory was touched");
}

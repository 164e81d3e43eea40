//! A program and its second copy: whatever comes in between and within the two, each event is handled once.

use crate::hir::*;
use crate::run::*;
use crate::support::{
    bpf_door::{self, Map, Program},
    kernel_exec,
};
use weftrace_artifact::{Artifact, abi::LossSlot, map::Role, program::ProgType};
use weftrace_compiler::driver;
use weftrace_lang::{
    diag::Severity,
    hir::{Agg, Provider},
    span::SourceMap,
};

fn state_changes() -> Provider {
    Provider::RawTracepoint { event: "inet_sock_set_state".into() }
}

fn compile(provider: Provider) -> Artifact {
    let program =
        program(vec![agg("n", None, Agg::Count)], vec![probe(provider, vec![], vec![aggregate(0, None, None)])]);
    let options = driver::Options::default();
    let (artifact, findings) = driver::compile(&program, &SourceMap::default(), &TestWorld::default(), &options);
    assert!(findings.iter().all(|d| d.severity != Severity::Error), "{findings:?}");
    artifact
}

/// In this host's kernel, which lets us choose when each copy runs.
struct Pair {
    maps: Vec<Map>,
    first: Program,
    second: Program,
    losses: usize,
}

impl Pair {
    fn load() -> Self {
        let artifact = compile(state_changes());
        assert_eq!(artifact.programs[0].twin, Some(1));
        assert_eq!(artifact.programs[1].twin, None);
        assert!(artifact.programs.iter().all(|p| p.prog_type == ProgType::RawTracepoint));
        let maps: Vec<Map> = artifact.maps.iter().map(|m| Map::create(m).expect("a map")).collect();
        let load = |n: usize| bpf_door::load_quietly(&artifact.programs[n], &maps).expect("the kernel takes it");
        let (first, second) = (load(0), load(1));
        let losses = artifact.maps.iter().position(|m| m.role == Role::Losses).expect("counters");
        Self { maps, first, second, losses }
    }

    fn run(&self, second: bool, socket: u64, states: [u64; 2]) {
        let args: Vec<u8> = [socket, states[0], states[1]].iter().flat_map(|n| n.to_le_bytes()).collect();
        let program = if second { &self.second } else { &self.first };
        program.test_run(&args).expect("it runs");
    }

    /// (events handled, of them by the second copy because the first missed them)
    fn seen(&self) -> (u64, u64) {
        let caught = (LossSlot::COUNT + LossSlot::Caught as u32).to_le_bytes();
        let get = |map: usize, key: [u8; 4]| word(&self.maps[map].get(&key).expect("an element"));
        (get(0, [0; 4]), get(self.losses, caught))
    }
}

const OPENED: [u64; 2] = [2, 1];

#[test]
fn each_event_is_handled_once() {
    if !kernel_exec::available() {
        return;
    }
    let pair = Pair::load();
    let (a, b, c) = (0x1000, 0x2000, 0x3000);
    // Nothing comes in between.
    pair.run(false, a, OPENED);
    pair.run(true, a, OPENED);
    assert_eq!(pair.seen(), (1, 0));
    // While the first copy runs: it misses b, the second doesn't.
    pair.run(false, a, [1, 4]);
    pair.run(true, b, OPENED);
    pair.run(true, a, [1, 4]);
    assert_eq!(pair.seen(), (3, 1));
    // Between the two: both see c.
    pair.run(false, a, [4, 5]);
    pair.run(false, c, OPENED);
    pair.run(true, c, OPENED);
    pair.run(true, a, [4, 5]);
    assert_eq!(pair.seen(), (5, 1));
    // While the second copy runs, before it looked: it misses c, the first saw it.
    pair.run(false, a, [5, 7]);
    pair.run(false, c, [1, 8]);
    pair.run(true, a, [5, 7]);
    assert_eq!(pair.seen(), (7, 1));
    // The same socket's next event is another one.
    pair.run(true, c, [8, 7]);
    assert_eq!(pair.seen(), (8, 2));
}

#[test]
fn other_events_have_one_program() {
    let artifact = compile(raw_tp());
    assert_eq!(artifact.programs.len(), 1);
    assert!(artifact.maps.iter().all(|m| m.role != Role::Twins));
}

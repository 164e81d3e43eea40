//! Lowers a program and runs its probes in the interpreter, before and after the optimiser.

use crate::support::{bpf_door, kernel_exec};
use std::{cell::RefCell, collections::BTreeMap, rc::Rc};
use weftrace_artifact::{action::Action, map::MapSpec};
use weftrace_compiler::{
    driver,
    ebpf::dump,
    ir::{
        Function,
        interp::{
            self,
            host::{Host, Map, MapShape},
        },
        verify,
    },
    lower::{Module, lower_probe},
    opt, place,
};
use weftrace_lang::{diag::Severity, hir::Program, span::SourceMap};

pub use crate::support::world::TestWorld;

/// A lowered program.
pub struct Lowered {
    pub functions: Vec<Function>,
    /// The same, optimised and verified, once they are run.
    pub better: RefCell<BTreeMap<usize, Rc<Function>>>,
    pub maps: Vec<MapSpec>,
    pub actions: Vec<Action>,
    pub packet_needs: u32,
}

/// Lowers every probe (of its first target); the functions pass the verifier.
pub fn lower_in(program: &Program, world: &TestWorld) -> Result<Lowered, String> {
    let lowered = lower_only(program, world)?;
    load_all(program, world);
    Ok(lowered)
}

/// Not offered to this host's kernel, which may lack a helper.
pub fn lower_unloaded(program: &Program) -> Lowered {
    lower_only(program, &TestWorld::default()).unwrap_or_else(|e| panic!("{e}"))
}

pub fn lower_only(program: &Program, world: &TestWorld) -> Result<Lowered, String> {
    let placement = place::plan(program, &place::Options::default());
    let mut findings = vec![];
    let mut module = Module::new(program, world, &placement, &mut findings);
    assert!(findings.is_empty(), "{findings:?}");
    let mut functions = vec![];
    for (probe, unit) in program.probes.iter().zip(&placement.units) {
        let f = lower_probe(&mut module, probe, &probe.targets[0], unit.side, "test").map_err(|d| d.message)?;
        functions.push(f);
    }
    for f in &functions {
        if let Err(e) = verify::verify_with_maps(f, Some(&module.maps)) {
            panic!("{e}\n{f}");
        }
    }
    Ok(Lowered {
        functions,
        better: RefCell::default(),
        maps: module.maps,
        actions: module.actions,
        packet_needs: module.packet_needs,
    })
}

/// Compiles the whole program; this host's kernel must accept every kernel program.
fn load_all(program: &Program, world: &TestWorld) {
    let (artifact, findings) = driver::compile(program, &SourceMap::default(), world, &driver::Options::default());
    assert!(findings.iter().all(|d| d.severity != Severity::Error), "{findings:?}");
    if artifact.programs.is_empty() || !kernel_exec::available() {
        return;
    }
    let maps: Vec<bpf_door::Map> =
        artifact.maps.iter().map(|m| bpf_door::Map::create(m).unwrap_or_else(|e| panic!("{m:?}: {e}"))).collect();
    for image in &artifact.programs {
        if let Err(e) = bpf_door::load_quietly(image, &maps) {
            panic!("{e}\n{}", dump::disassemble(image, &artifact.maps, &artifact.sources));
        }
    }
}

pub fn lower(program: &Program) -> Lowered {
    lower_in(program, &TestWorld::default()).unwrap_or_else(|e| panic!("{e}"))
}

impl Lowered {
    /// A host with this program's maps.
    pub fn host(&self) -> Host {
        let shape = |m: &MapSpec| MapShape {
            kind: m.kind,
            key_size: m.key_size,
            value_size: m.value_size,
            max_entries: m.max_entries,
        };
        Host {
            maps: self.maps.iter().map(|m| Map::new(shape(m))).collect(),
            ctx: vec![0; 256],
            now: 5_000,
            pid_tgid: (7 << 32) | 8,
            uid_gid: (3 << 32) | 4,
            comm: b"sshd".to_vec(),
            ring_capacity: 1000,
            ..Host::default()
        }
    }

    fn better(&self, index: usize) -> Rc<Function> {
        let optimised = || {
            let mut better = self.functions[index].clone();
            opt::run(&mut better);
            verify::verify_with_maps(&better, Some(&self.maps)).unwrap_or_else(|e| panic!("{e}\n{better}"));
            Rc::new(better)
        };
        Rc::clone(self.better.borrow_mut().entry(index).or_insert_with(optimised))
    }

    /// Runs function `index`; also optimised, which must leave the same behind.
    pub fn run(&self, index: usize, host: &mut Host) {
        let f = &self.functions[index];
        let better = self.better(index);
        let mut other = host.clone();
        interp::run(f, host, 1_000_000).unwrap_or_else(|e| panic!("{e:?}\n{f}"));
        interp::run(&better, &mut other, 1_000_000).unwrap_or_else(|e| panic!("optimised: {e:?}\n{better}"));
        assert_eq!(host.records, other.records, "{f}\n{better}");
        assert_eq!(host.losses, other.losses, "{f}\n{better}");
        for (a, b) in host.maps.iter().zip(&other.maps) {
            assert_eq!(a.entries().collect::<Vec<_>>(), b.entries().collect::<Vec<_>>(), "{f}\n{better}");
        }
        assert_eq!(host.open_records(), 0);
    }
}

/// The first eight bytes as a number.
pub fn word(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"))
}

/// The value of a key (bytes) of a map.
pub fn value<'h>(host: &'h Host, map: usize, key: &[u8]) -> Option<&'h [u8]> {
    host.maps[map].entries().find(|(k, _)| *k == key).map(|(_, v)| v)
}

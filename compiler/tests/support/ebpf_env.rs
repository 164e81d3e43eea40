//! What the two eBPF executors share: the artifact's maps around a test function.

use super::case::Case;
use weftrace_artifact::Place;
use weftrace_artifact::abi::LossSlot;
use weftrace_artifact::map::{Home, Kind, MapSpec, Role, Value};
use weftrace_artifact::ty::Type;
use weftrace_compiler::ebpf::{Env, Features, ProbeId, Scratch};

/// Index of the probe that runs.
pub const PROBE: u32 = 7;

/// Index of the program: neither 0 nor a multiple of anything.
pub const PROGRAM: u32 = 3;

/// The case's maps, then those that the back end itself uses, in this order.
pub const OWN: [Role; 3] = [Role::Events, Role::Losses, Role::Scratch];

/// Bytes of the event ring: more than any case's records.
pub const RING: u32 = 1 << 18;

/// Bytes of the scratch entry that tests get.
pub const SCRATCH: u32 = 32 * 1024;

pub fn spec(role: Role, kind: Kind, key_size: u32, value_size: u32, max_entries: u32) -> MapSpec {
    MapSpec {
        name: format!("{role:?}").to_lowercase(),
        role,
        kind,
        home: Home::Kernel,
        key: None,
        value: Value::Plain(Type::Str { cap: value_size }),
        key_size,
        value_size,
        max_entries,
        presence: None,
        ring: None,
        ttl: None,
        place: Place::default(),
    }
}

/// Specifications of the case's maps and of [`OWN`].
pub fn specs(case: &Case) -> Vec<MapSpec> {
    let host = case.host();
    let script = host.maps.iter().map(|m| {
        let s = m.shape;
        spec(Role::Script, s.kind, s.key_size, s.value_size, s.max_entries)
    });
    let own = OWN.map(|role| match role {
        Role::Events => spec(role, Kind::Ringbuf, 0, 0, RING),
        Role::Losses => spec(role, Kind::PercpuArray, 4, 8, LossSlot::COUNT * (PROGRAM + 1)),
        _ => spec(role, Kind::PercpuArray, 4, SCRATCH, PROGRAM + 1),
    });
    script.chain(own).collect()
}

pub fn env<'a>(maps: &'a [MapSpec], sources: &'a [(String, String)], features: Features) -> Env<'a> {
    let scratch = Scratch { first: PROGRAM, entries: 1 };
    Env { actions: &[], maps, sources, program: PROGRAM, scratch, probe: ProbeId::Constant(PROBE), features }
}

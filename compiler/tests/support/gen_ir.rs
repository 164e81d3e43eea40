//! Random functions for property tests: proptest strategies over [`weftrace_compiler::ir::generate`].

use super::case::Case;
use proptest::prelude::*;
use weftrace_compiler::ir::generate::{Generated, Options, generate};
use weftrace_compiler::ir::interp::host::{Host, Map};
use weftrace_compiler::ir::{Function, Target};

/// The bytes that functions are made of; they shrink to smaller functions.
pub fn source() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 64..700)
}

/// A function and its case.
pub fn made(bytes: &[u8], target: Target, options: Options) -> (Function, Case) {
    let Generated { function, maps, ctx } = generate(bytes, target, options);
    let host = Host {
        ctx,
        maps: maps.into_iter().map(Map::new).collect(),
        ring_capacity: 3,
        now: 1 << 45,
        pid_tgid: 0x0000_1234_0000_5678,
        uid_gid: 0x3e8_0000_0064,
        cpu: 5,
        seed: 42,
        ..Host::default()
    };
    (function, Case::from_host(host))
}

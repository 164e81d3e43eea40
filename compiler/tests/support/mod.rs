//! Shared by the compiler's tests: cases, outcomes, and the executors that must agree on them.
//!
//! An executor is one way to run a function. [`executors`] lists them; the interpreter is the first, and what it says is right.
//! A new way (rbpf, the kernel) is one more file and one more row there.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "test code")]

pub mod bpf_door;
pub mod case;
pub mod ebpf_case;
pub mod ebpf_env;
pub mod gen_ir;
pub mod kernel_exec;
pub mod native_exec;
pub mod rbpf_exec;
pub mod world;

use case::Case;
use std::fmt;
use weftrace_artifact::abi::LossSlot;
use weftrace_artifact::map::Kind;
use weftrace_compiler::ir::interp::{self, host::Host};
use weftrace_compiler::ir::{Function, Target, verify::verify};

/// Instructions that a test function may run.
pub const FUEL: u64 = 1 << 20;

/// What a run leaves behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub result: u64,
    /// For each map: keys and values by key; arrays without the elements that are all zero.
    pub maps: Vec<Vec<(Vec<u8>, Vec<u8>)>>,
    /// Action and payload of each submitted record.
    pub records: Vec<(u32, Vec<u8>)>,
    /// By [`weftrace_artifact::abi::LossSlot`].
    pub losses: [u64; LossSlot::COUNT as usize],
}

impl Outcome {
    pub fn of(result: u64, host: &Host) -> Self {
        let maps = host.maps.iter().map(|map| {
            let is_array = matches!(map.shape.kind, Kind::Array | Kind::PercpuArray);
            let shown = map.entries().filter(|(_, value)| !is_array || value.iter().any(|&b| b != 0));
            shown.map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
        });
        let records = host.records.iter().map(|r| (r.action.0, r.payload.clone())).collect();
        Self { result, maps: maps.collect(), records, losses: host.losses }
    }
}

impl fmt::Display for Outcome {
    /// As in the `; run:` lines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.result < 1 << 32 {
            write!(f, "{}", self.result)?;
        } else {
            write!(f, "{:#x}", self.result)?;
        }
        for (number, map) in self.maps.iter().enumerate() {
            for (key, value) in map {
                write!(f, " map{number}[{}]={}", case::hex(key), case::hex(value))?;
            }
        }
        for (action, payload) in &self.records {
            write!(f, " record{action}={}", case::hex(payload))?;
        }
        for (slot, &count) in self.losses.iter().enumerate().filter(|(_, count)| **count > 0) {
            write!(f, " loss{slot}={count}")?;
        }
        Ok(())
    }
}

/// A way to run a function.
pub trait Executor {
    fn name(&self) -> &'static str;

    /// Whether it can run `func` with `case`. The function's target may be switched ([`retarget`]).
    fn supports(&self, func: &Function, case: &Case) -> bool;

    /// Runs it. Err: the executor itself failed, which is a failed test.
    fn run(&self, func: &Function, case: &Case) -> Result<Outcome, String>;
}

/// `func` for `target`, if it verifies there.
pub fn retarget(func: &Function, target: Target) -> Option<Function> {
    let func = Function { target, ..func.clone() };
    verify(&func).is_ok().then_some(func)
}

/// The interpreter first.
pub fn executors() -> Vec<Box<dyn Executor>> {
    vec![Box::new(Interpreter), Box::new(native_exec::Native), Box::new(rbpf_exec::Rbpf), Box::new(kernel_exec::Kernel)]
}

pub struct Interpreter;

impl Executor for Interpreter {
    fn name(&self) -> &'static str {
        "interp"
    }

    fn supports(&self, _: &Function, _: &Case) -> bool {
        true
    }

    fn run(&self, func: &Function, case: &Case) -> Result<Outcome, String> {
        let mut host = case.host();
        let result = interp::run(func, &mut host, FUEL).map_err(|e| e.to_string())?;
        if host.open_records() > 0 {
            return Err("records are still open".into());
        }
        Ok(Outcome::of(result, &host))
    }
}

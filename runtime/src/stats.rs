//! What the probes cost: BPF run counts and times, native handlers' runs.

use crate::{
    json::write_string,
    text::{push, separated},
};
use std::io::Write;

/// One probe's cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    pub probe: String,
    pub runs: u64,
    /// Time in the kernel program or native handler.
    pub ns: u64,
}

impl Cost {
    /// ns per run, 0 without runs.
    pub fn per_run(&self) -> u64 {
        self.ns.checked_div(self.runs).unwrap_or(0)
    }
}

/// One line per probe.
pub(crate) fn write_text(out: &mut Vec<u8>, rows: &[Cost]) {
    for row in rows {
        let _ = writeln!(
            out,
            "cost: {} runs, {} ns each, {} ms in all: {}",
            row.runs,
            row.per_run(),
            row.ns / 1_000_000,
            row.probe
        );
    }
}

/// `[{"probe": …, "runs": …, "ns": …},…]`
pub(crate) fn write_json(out: &mut Vec<u8>, rows: &[Cost]) {
    separated(out, "[", ",", "]", rows, |out, row| {
        push(out, "{\"probe\": ");
        write_string(out, row.probe.as_bytes());
        let _ = write!(out, ", \"runs\": {}, \"ns\": {}}}", row.runs, row.ns);
    });
}

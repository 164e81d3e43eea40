//! What was generated and run.

use super::support::kernel_exec;
use std::collections::BTreeMap;
use std::fmt;
use weftrace_compiler::ir::{Function, Op};

#[derive(Default)]
pub struct Coverage {
    /// Scripts that the checker accepted.
    pub accepted: u64,
    pub refused: u64,
    /// Left out: too many steps for a comparison.
    pub long: u64,
    /// Records that a full ring refused, in all runs.
    pub dropped: u64,
    /// Runs by each way.
    pub runs: BTreeMap<&'static str, u64>,
    /// IR operations in what ran.
    pub operations: BTreeMap<String, u64>,
    /// Why the checker refused: the findings' codes.
    pub findings: BTreeMap<String, u64>,
}

impl Coverage {
    pub fn function(&mut self, func: &Function) {
        for inst in &func.insts {
            *self.operations.entry(name(&inst.op)).or_default() += 1;
        }
        for block in &func.blocks {
            let term = format!("{:?}", block.term);
            let name = term.split([' ', '(']).next().unwrap_or_default().to_lowercase();
            *self.operations.entry(name).or_default() += 1;
        }
    }
}

fn name(op: &Op) -> String {
    let debug = match op {
        Op::Binary { op, .. } => format!("{op:?}"),
        Op::Unary { op, .. } => format!("{op:?}"),
        Op::Icmp { cond, .. } => format!("Icmp.{cond:?}"),
        Op::Load { mem, .. } => format!("Load.{mem:?}"),
        Op::Store { size, .. } => format!("Store.{size:?}"),
        Op::Call { helper, .. } => format!("Call.{helper:?}"),
        other => format!("{other:?}"),
    };
    debug.split([' ', '(']).next().unwrap_or_default().to_lowercase()
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} scripts, {} refused by the checker, {} too long", self.accepted, self.refused, self.long)?;
        write!(f, ", {} records dropped by full rings", self.dropped)?;
        let (walked, ratio) = kernel_exec::most_walked();
        write!(f, ", the verifier walked at most {walked} instructions, {ratio} for each of a program")?;
        for (way, n) in &self.runs {
            write!(f, ", {way} {n}")?;
        }
        write!(f, "; {} kinds of operations:", self.operations.len())?;
        for (name, n) in &self.operations {
            write!(f, " {name} {n}")?;
        }
        if !self.findings.is_empty() {
            write!(f, "; refusals:")?;
        }
        for (code, n) in &self.findings {
            write!(f, " {code} {n}")?;
        }
        Ok(())
    }
}

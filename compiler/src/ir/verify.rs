//! The verifier: what every function must keep to between passes.
//!
//! - Structure: every block ends in a terminator and is reached from the entry, which nothing jumps to and whose one parameter is
//!   the context; handles are in range; each instruction stands in one block.
//! - SSA: each value is defined once, and its definition dominates its uses.
//! - Types: operands and arguments have the types their operation wants; helpers, spaces and field paths fit the target.
//! - Memory: accesses at known offsets stay within their slot or record (and within map values and keys where the maps are
//!   known); nothing writes through the context or data.
//! - Records: the way from `reserve`'s `ok` to each return submits or discards the record exactly once, nothing
//!   uses it afterwards, and its address is not passed on by jumps or chosen by `select`, so that this can be seen.

mod memory;
mod records;
mod ssa;
mod structure;
mod types;

use super::display::InstText;
use super::{Block, Function, Inst};
use std::fmt;
use weftrace_artifact::map::MapSpec;

/// Where an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    Function,
    Block(Block),
    Inst(Inst),
    Term(Block),
}

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyError {
    pub at: At,
    pub message: String,
    /// The instruction or terminator in text form.
    pub text: String,
}

/// Errors listed at most: one mistake can break every use of a value.
pub const MAX_LISTED: usize = 20;

/// What the verifier found, never empty; the first [`MAX_LISTED`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("function {function:?}: {}", .errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct VerifyErrors {
    pub function: String,
    pub errors: Vec<VerifyError>,
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            At::Function => write!(f, "{}", self.message),
            At::Block(block) => write!(f, "{block}: {}", self.message),
            At::Inst(_) | At::Term(_) => write!(f, "`{}`: {}", self.text, self.message),
        }
    }
}

/// Checks `func` on its own.
pub fn verify(func: &Function) -> Result<(), VerifyErrors> {
    verify_with_maps(func, None)
}

/// As [`verify`]; map numbers, keys and values are checked against `maps` too.
pub fn verify_with_maps(func: &Function, maps: Option<&[MapSpec]>) -> Result<(), VerifyErrors> {
    let mut checker = Checker { func, maps, errors: vec![] };
    // Later stages rely on what earlier ones have found in order.
    let stages: [fn(&mut Checker<'_>); 5] = [structure::check, ssa::check, types::check, memory::check, records::check];
    for stage in stages {
        stage(&mut checker);
        if !checker.errors.is_empty() {
            return Err(VerifyErrors { function: func.name.clone(), errors: checker.errors });
        }
    }
    Ok(())
}

struct Checker<'a> {
    func: &'a Function,
    maps: Option<&'a [MapSpec]>,
    errors: Vec<VerifyError>,
}

impl Checker<'_> {
    fn error(&mut self, at: At, message: impl Into<String>) {
        let text = match at {
            At::Function | At::Block(_) => String::new(),
            At::Inst(inst) => InstText(&self.func.insts[inst.index()]).to_string(),
            At::Term(block) => self.func.blocks[block.index()].term.to_string(),
        };
        if self.errors.len() < MAX_LISTED {
            self.errors.push(VerifyError { at, message: message.into(), text });
        }
    }

    /// An error at `at` unless `ok`.
    fn require(&mut self, ok: bool, at: At, message: impl FnOnce() -> String) {
        if !ok {
            self.error(at, message());
        }
    }
}

#[cfg(test)]
mod tests;

//! Passes over the IR: a table, run until nothing changes.
//!
//! What they rely on, and keep: a look-up and its null check, a reservation and its failure are single terminators, so nothing can
//! come between them; a comparison that proves a bound stays where it is as long as its branch does, and no access moves up
//! across a branch (values are only ever computed where they were, or taken from a dominating place).

mod alias;
mod branches;
mod cse;
mod dce;
mod fold;
mod liveness;
mod params;
mod rewrite;
mod thread;

use crate::ir::{Function, compact::compact, verify::verify};

/// One pass.
pub struct Pass {
    pub name: &'static str,
    /// What it does, for `dump`.
    pub doc: &'static str,
    /// Returns whether it changed anything.
    pub run: fn(&mut Function) -> bool,
}

/// In the order in which they run.
pub static PASSES: &[Pass] = &[
    Pass { name: "fold", doc: "constant folding, algebra, addresses with constant offsets", run: fold::run },
    Pass {
        name: "branches",
        doc: "constant branches, empty blocks, blocks with one way in, unreachable blocks",
        run: branches::run,
    },
    Pass { name: "thread", doc: "jumps to a branch on a block parameter whose value is known", run: thread::run },
    Pass { name: "params", doc: "block parameters that are always the same, or unused", run: params::run },
    Pass { name: "cse", doc: "common subexpressions, loads and pure helper calls too", run: cse::run },
    Pass { name: "dce", doc: "unused values, stores that nothing reads", run: dce::run },
];

/// Rounds of all passes at most: each makes the function smaller or simpler, so this is only a stop for a pass that is wrong.
const MAX_ROUNDS: usize = 32;

/// Improves `func`, which must verify; it does so afterwards, and is compact.
pub fn run(func: &mut Function) {
    check(func, "the input");
    for _ in 0..MAX_ROUNDS {
        let mut changed = false;
        for pass in PASSES {
            changed |= (pass.run)(func);
            check(func, pass.name);
        }
        if !changed {
            break;
        }
    }
    compact(func);
    check(func, "compact");
}

/// In debug builds: a pass that breaks the function is a bug to find at once.
fn check(func: &Function, after: &str) {
    if cfg!(debug_assertions)
        && let Err(errors) = verify(func)
    {
        panic!("after {after}: {errors}\n{func}");
    }
}

#[cfg(test)]
mod tests;

//! Random well-typed scripts, run in four ways that must agree on maps and printed records: the reference interpreter, eBPF in user
//! space, eBPF in this host's kernel (BPF_PROG_TEST_RUN), native code. A script that the checker accepts and the kernel's verifier
//! refuses fails too (invariant 10).
//!
//! | variable | |
//! |---|---|
//! | `WEFTRACE_FUZZ_SECONDS` | how long (2 unless said) |
//! | `WEFTRACE_FUZZ_SEED` | the first script's seed (1 unless said); script n has the first seed + n |
//! | `WEFTRACE_FUZZ_KEEP` | a folder: failures are written there and the run goes on, and fails at its end |

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "test code")]

mod support;

#[path = "scripts/coverage.rs"]
mod coverage;
#[path = "scripts/expr.rs"]
mod expr;
#[path = "scripts/generate.rs"]
mod generate;
#[path = "scripts/run.rs"]
mod run;

use coverage::Coverage;
use std::time::{Duration, Instant};

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn scripts_mean_the_same_everywhere() {
    let seconds = number("WEFTRACE_FUZZ_SECONDS", 2);
    let first = number("WEFTRACE_FUZZ_SEED", 1);
    let keep = std::env::var("WEFTRACE_FUZZ_KEEP").ok();
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut coverage = Coverage::default();
    let (mut seed, mut failures) = (first, 0u32);
    let mut told = Instant::now();
    while Instant::now() < until {
        let script = generate::script(seed);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run::run(&script, &mut coverage)));
        let wrong = match result {
            Ok(Ok(())) => None,
            Ok(Err(e)) => Some(e),
            Err(panic) => Some(format!("panic: {}", run::panic_text(&*panic))),
        };
        if let Some(wrong) = wrong {
            failures += 1;
            match &keep {
                Some(folder) => {
                    std::fs::write(format!("{folder}/{seed}.txt"), format!("{script}\n\n{wrong}\n")).unwrap();
                }
                None => panic!("seed {seed}\n{script}\n{wrong}"),
            }
        }
        seed += 1;
        if keep.is_some() && told.elapsed() > Duration::from_mins(1) {
            println!("seed {seed}: {failures} failures, {coverage}");
            told = Instant::now();
        }
    }
    println!("fuzz scripts from seed {first} to {seed}: {failures} failures, {coverage}");
    assert_eq!(failures, 0, "see the files in {}", keep.unwrap_or_default());
}

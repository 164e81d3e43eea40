//! Random functions: the interpreter, the optimiser and native code agree. tests/ebpf_exec.rs does the same for eBPF, with functions
//! that fit its limits.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "test code")]

mod support;

use proptest::prelude::*;
use proptest::test_runner::Config;
use support::gen_ir::{made, source};
use support::native_exec::Native;
use support::{Executor, Interpreter};
use weftrace_compiler::ir::generate::EVERYTHING;
use weftrace_compiler::ir::parser::parse;
use weftrace_compiler::ir::verify::verify;
use weftrace_compiler::ir::{Target, generate::generate};
use weftrace_compiler::{fuzz, opt};

fn config() -> Config {
    let cases = std::env::var("WEFTRACE_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(400);
    Config { cases, failure_persistence: None, ..Config::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn executors_agree(bytes in source()) {
        let (func, case) = made(&bytes, Target::Native, EVERYTHING);
        let verified = verify(&func);
        prop_assert!(verified.is_ok(), "{}\n{func}", verified.unwrap_err());
        let right = Interpreter.run(&func, &case);
        prop_assert!(right.is_ok(), "{right:?}\n{func}");
        let mut optimised = func.clone();
        opt::run(&mut optimised);
        let executors: [&dyn Executor; 2] = [&Interpreter, &Native];
        for executor in executors {
            for (name, func) in [("as it is", &func), ("optimised", &optimised)] {
                if executor.supports(func, &case) {
                    let outcome = executor.run(func, &case);
                    prop_assert_eq!(&outcome, &right, "{} ({}) says {:?}\n{}", executor.name(), name, outcome, func);
                }
            }
        }
    }

    #[test]
    fn text_reads_back(bytes in source()) {
        let func = generate(&bytes, Target::Native, EVERYTHING).function;
        let text = func.to_string();
        let again = parse(&text).unwrap();
        prop_assert_eq!(format!("{again:?}"), format!("{func:?}"));
    }

    #[test]
    fn fuzz_bodies_run(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzz::fuzz_one(&bytes);
    }

    /// Text that is broken in one place: an error or another function, never a panic.
    #[test]
    fn broken_text_is_refused_or_runs(bytes in source(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut text = format!("\0{}", generate(&bytes, Target::Native, EVERYTHING).function).into_bytes();
        let at = 1 + at.index(text.len() - 1);
        text[at] = byte;
        fuzz::fuzz_one(&text);
    }
}

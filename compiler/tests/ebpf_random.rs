//! Random functions: the interpreter and eBPF code agree, before and after optimisation. `WEFTRACE_CASES` sets how many.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "test code")]

mod support;

use proptest::prelude::*;
use proptest::test_runner::Config;
use support::gen_ir::{made, source};
use support::kernel_exec::{Kernel, KernelV4};
use support::rbpf_exec::Rbpf;
use support::{Executor, Interpreter};
use weftrace_artifact::program::ProgType;
use weftrace_compiler::ir::Target;
use weftrace_compiler::ir::generate::{EVERYTHING, Options};
use weftrace_compiler::ir::verify::verify;
use weftrace_compiler::opt;

fn config() -> Config {
    let cases = std::env::var("WEFTRACE_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(200);
    Config { cases, failure_persistence: None, ..Config::default() }
}

fn check(bytes: &[u8], options: Options, executor: &dyn Executor) -> Result<(), TestCaseError> {
    let (func, case) = made(bytes, Target::Kernel(ProgType::RawTracepoint), options);
    verify(&func).unwrap_or_else(|e| panic!("{e}\n{func}"));
    let right = Interpreter.run(&func, &case).unwrap_or_else(|e| panic!("interp: {e}\n{func}"));
    let mut optimised = func.clone();
    opt::run(&mut optimised);
    for (name, func) in [("as it is", &func), ("optimised", &optimised)] {
        if executor.supports(func, &case) {
            let outcome = executor.run(func, &case);
            let same = outcome.as_ref() == Ok(&right);
            let outcome = outcome.map_or_else(|e| e, |o| o.to_string());
            prop_assert!(same, "{} ({name}) says {outcome}, right is {right}\n{func}", executor.name());
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn functions_agree_in_user_space(bytes in source()) {
        check(&bytes, EVERYTHING, &Rbpf)?;
    }

    /// Without helpers whose answers are the kernel's own.
    #[test]
    fn functions_agree_in_the_kernel(bytes in source()) {
        check(&bytes, Options { host_helpers: false, ..EVERYTHING }, &Kernel)?;
        check(&bytes, Options { host_helpers: false, ..EVERYTHING }, &KernelV4)?;
    }
}

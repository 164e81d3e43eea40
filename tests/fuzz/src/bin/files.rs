//! Capture files of both formats, plain and packed.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| weftrace_probes::packet::fuzz::fuzz_file(bytes));

//! Heads of HTTP/1 messages: the quick look at what frames them and the parser agree.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| weftrace_probes::packet::fuzz::fuzz_head(bytes));

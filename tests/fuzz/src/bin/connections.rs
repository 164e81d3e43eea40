//! Both sides of a connection: reassembly, HTTP/1, HTTP/2, TLS, DNS over TCP.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| weftrace_probes::packet::fuzz::fuzz_stream(bytes));

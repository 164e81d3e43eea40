//! Debug information: an ELF file, and sections of one, of which everything is asked that they name.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| weftrace_probes::dwarf::fuzz::fuzz_one(bytes));

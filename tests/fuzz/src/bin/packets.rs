//! A packet of any link type (by the first byte), pieces of it, and the same as a capture.
#![no_main]

const LINKS: [u32; 24] = [
    1, 0, 6, 9, 12, 50, 51, 100, 101, 104, 105, 107, 108, 113, 117, 127, 192, 219, 228, 229, 239, 258, 276, 999,
];

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let [first, packet @ ..] = bytes {
        weftrace_probes::packet::fuzz::fuzz_one(LINKS[usize::from(*first) % LINKS.len()], packet);
    }
});

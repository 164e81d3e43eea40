//! Every parser against mutated input, for WEFTRACE_FUZZ_SECONDS each (2 by default, 60 in `make test`). The targets are library functions,
//! so that a fuzzer with coverage can drive them too.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "tests say what they skip")]

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

/// xorshift64*: the same inputs on every run of the same length.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

/// A few mutations: flips, cuts, repeats, splices of another seed.
fn mutate(seed: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        match random.below(6) {
            0 if at < bytes.len() => bytes[at] = random.next() as u8,
            1 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            2 => bytes.truncate(at),
            3 => bytes.insert(at, random.next() as u8),
            4 => {
                let from = random.below(other.len() + 1);
                let len = random.below(32).min(other.len() - from);
                bytes.splice(at..at, other[from..from + len].iter().copied());
            }
            _ => {
                let len = random.below(16).min(bytes.len() - at);
                bytes.drain(at..at + len);
            }
        }
    }
    bytes
}

fn fuzz(name: &str, seeds: &[Vec<u8>], target: impl Fn(&[u8])) {
    let seconds = std::env::var("WEFTRACE_FUZZ_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(2);
    let until = Instant::now() + Duration::from_secs(seconds);
    let (mut random, mut runs) = (Random(0x9e37_79b9_7f4a_7c15), 0u64);
    assert!(!seeds.is_empty(), "{name} has seeds");
    while Instant::now() < until {
        let input = mutate(&seeds[random.below(seeds.len())], &seeds[random.below(seeds.len())], &mut random);
        target(&input);
        runs += 1;
    }
    println!("fuzz {name}: {runs} executions from {} seeds in {seconds} s", seeds.len());
}

/// Files below a folder of the project with one of these endings.
fn seeds(folder: &str, endings: &[&str]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        let mut paths: Vec<_> = entries.flatten().map(|e| e.path()).collect();
        paths.sort();
        for path in paths {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| endings.iter().any(|want| e == *want)) {
                found.extend(fs::read(&path));
            }
        }
    }
    found
}

#[test]
fn scripts() {
    let mut all = seeds("scripts", &["probe"]);
    all.extend(seeds("lang/tests", &["probe", "bt"]));
    all.extend(seeds("tests/wrong", &["probe"]));
    fuzz("scripts", &all, weftrace_lang::syntax::fuzz_one);
}

#[test]
fn ir_text() {
    fuzz("ir", &seeds("compiler/tests/ir", &["ir"]), weftrace_compiler::fuzz::fuzz_one);
}

#[test]
fn packets() {
    // An HTTP exchange and the beginnings of other link types: made here, mutated from there.
    let http = b"GET / HTTP/1.1\r\nHost: a\r\nX-Request-ID: 7\r\n\r\n";
    let mut frame = vec![0; 12];
    frame.extend([8, 0, 0x45, 0, 0, (40 + http.len()) as u8, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    frame.extend([0x9c, 0x40, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x18, 1, 0, 0, 0, 0, 0]);
    frame.extend(http);
    let all = vec![frame.clone(), frame[14..].to_vec(), [&[0u8; 16][..], &frame[14..]].concat()];
    // Null, Ethernet, raw IP, 802.11, SLL, radiotap, raw IPv4 and IPv6, NFLOG, SLL2.
    let links = [0, 1, 12, 101, 105, 113, 127, 228, 229, 239, 276];
    fuzz("packets", &all, |bytes| {
        let link = links[bytes.iter().map(|b| usize::from(*b)).sum::<usize>() % links.len()];
        weftrace_probes::packet::fuzz_one(link, bytes);
    });
}

#[test]
fn tables_and_code_of_go_programs() {
    // Headers of every format, with nothing and with something behind them; a function with a stack check.
    let mut all: Vec<Vec<u8>> = vec![vec![
        0x49, 0x3b, 0x66, 0x10, 0x76, 0x09, 0x48, 0x83, 0xec, 0x18, 0x48, 0x83, 0xc4, 0x18, 0xc3, 0x48, 0x89, 0x44,
        0x24, 0x08, 0xe8, 0x00, 0x10, 0x00, 0x00, 0x48, 0x8b, 0x44, 0x24, 0x08, 0xeb, 0xe0,
    ]];
    for magic in [0xfb, 0xfa, 0xf0, 0xf1] {
        let mut table = vec![magic, 0xff, 0xff, 0xff, 0, 0, 1, 8];
        for word in [2u64, 2, 0x40_1000, 72, 80, 88, 96, 104] {
            table.extend(word.to_le_bytes());
        }
        all.push(table.clone());
        table.extend((0..160u8).map(|n| n.wrapping_mul(7) % 24));
        all.push(table);
    }
    fuzz("golang", &all, weftrace_probes::symbols::golang::fuzz_one);
}

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
    // A DNS answer whose names point to each other, and an ICMP error that quotes it.
    let dns = b"\x12\x34\x81\x80\0\x01\0\x02\0\0\0\0\x01a\x02bc\0\0\x01\0\x01\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x04\x01x\xc0\x0e\
        \xc0\x24\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x01";
    let ip =
        |proto: u8, size: usize| [0x45, 0, 0, (20 + size) as u8, 0, 0, 0, 0, 64, proto, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
    let datagram = [&ip(17, 8 + dns.len())[..], &[0, 53, 0x9c, 0x40, 0, (8 + dns.len()) as u8, 0, 0], dns].concat();
    let icmp = [&ip(1, 8 + datagram.len())[..], &[3, 4, 0, 0, 0, 0, 5, 0xdc], &datagram].concat();
    let mut all = vec![frame.clone(), frame[14..].to_vec(), [&[0u8; 16][..], &frame[14..]].concat()];
    all.extend([&datagram, &icmp].map(|packet| [&frame[..14], packet].concat()));
    // Null, Ethernet, raw IP, 802.11, SLL, radiotap, raw IPv4 and IPv6, NFLOG, SLL2.
    let links = [0, 1, 12, 101, 105, 113, 127, 228, 229, 239, 276];
    fuzz("packets", &all, |bytes| {
        let link = links[bytes.iter().map(|b| usize::from(*b)).sum::<usize>() % links.len()];
        weftrace_probes::packet::fuzz::fuzz_one(link, bytes);
    });
}

/// Both sides of connections: HTTP/1 with bodies of each kind, and HTTP/2 whose headers are inserted and referred to, padded, continued,
/// pushed, reset.
#[test]
fn connections() {
    let segment = |how: u8, payload: &[u8]| [&[how, payload.len() as u8], payload].concat();
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        [&[0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream], payload].concat()
    };
    let http1 = [
        segment(0, b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"),
        segment(1, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
        segment(1, b"0\r\nx: y\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"),
        segment(0, b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcCONNECT h:1 HTTP/1.1\r\n\r\n"),
        segment(1, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n"),
    ]
    .concat();
    let request = b"\x82\x86\x84\x41\x01h\x40\x0cx-request-id\x01\x37\xbe";
    let http2 = [
        segment(0, &[&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(4, 0, 0, &[0, 1, 0, 0, 16, 0])].concat()),
        segment(1, &[frame(4, 0, 0, &[0, 3, 0, 0, 0, 9]), frame(4, 1, 0, &[])].concat()),
        segment(0, &frame(1, 5, 1, request)),
        segment(0, &frame(1, 0x25, 3, b"\0\0\0\x01\x09\xbe\xbf\x3f\x01")),
        segment(1, &frame(1, 8, 1, b"\x01\x88\0")),
        segment(1, &frame(9, 4, 1, b"\x5f\x10application/grpc\x40\x01a\x83\xff\xff\xea")),
        segment(1, &[frame(0, 0, 1, b"\0\0\0\0\x01x"), frame(1, 5, 1, b"\x40\x0bgrpc-status\x01\x35")].concat()),
        segment(1, &[frame(5, 4, 3, b"\0\0\0\x02\x82\x84"), frame(3, 0, 3, &[0, 0, 0, 8])].concat()),
        segment(0, &[frame(8, 0, 0, &[0, 0, 1, 0]), frame(6, 0, 0, &[0; 8]), frame(7, 0, 0, &[0; 8])].concat()),
    ]
    .concat();
    let both = [http1.clone(), http2.clone()].concat();
    let tls = tls_connection(&segment);
    // DNS over TCP: a query in two pieces, two answers in one segment.
    let names = [
        segment(32, b"\0\x16\x12\x34\x01\0\0\x01"),
        segment(0, b"\0\0\0\0\0\0\x01a\x02bc\0\0\x01\0\x01"),
        segment(1, &b"\0\x0c\x12\x34\x81\x83\0\0\0\0\0\0\0\0".repeat(2)),
    ]
    .concat();
    fuzz("connections", &[http1, http2, both, tls, names], weftrace_probes::packet::fuzz::fuzz_stream);
}

/// Heads of messages: what frames them is found in two ways, which must agree.
#[test]
fn heads() {
    let all = [
        &b"GET /a HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nServer: x\r\n\r\n",
        b"HTTP/1.0 404\r\nTransfer-Encoding: gzip, chunked\r\nContent-Length : 1\r\n folded\r\n\r\n",
    ];
    fuzz("heads", &all.map(<[u8]>::to_vec), weftrace_probes::packet::fuzz::fuzz_head);
}

/// TLS 1.2 as far as records that don't open with the secrets that the fuzzer knows, a handshake message over two records, an alert.
fn tls_connection(segment: &impl Fn(u8, &[u8]) -> Vec<u8>) -> Vec<u8> {
    let record = |kind: u8, body: &[u8]| [&[kind, 3, 3, 0, body.len() as u8], body].concat();
    let hello = |kind: u8, rest: &[u8]| [&[kind, 0, 0, 34 + rest.len() as u8, 3, 3][..], &[0; 32], rest].concat();
    let client = b"\0\0\x04\xc0\x2f\x13\x01\x01\0\0\x25\0\0\0\x06\0\x04\0\0\x01a\0\x10\0\x05\0\x03\x02h2\0\x2b\0\x03\x02\x03\x04\
        \0\x33\0\x07\0\x05\0\x1d\0\x01\0";
    let certificate = [&[11, 0, 0, 40][..], &[0; 40]].concat();
    [
        segment(0, &record(22, &hello(1, client))),
        segment(1, &record(22, &hello(2, b"\0\xc0\x2f\0\0\x09\0\x10\0\x05\0\x03\x02h2"))),
        segment(1, &[record(22, &certificate[..20]), record(22, &certificate[20..])].concat()),
        segment(0, &[record(20, &[1]), record(22, &[7; 40])].concat()),
        segment(1, &[record(20, &[1]), record(22, &[7; 40]), record(23, &[9; 60])].concat()),
        segment(0, &[record(23, &[9; 60]), record(21, &[2, 40])].concat()),
    ]
    .concat()
}

/// The readers of capture files: both formats, plain and compressed. What they unpack to is mutated too, by packing it anew.
#[test]
fn capture_files() {
    use std::io::Write;
    let mut pcap = [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0, 0].to_vec();
    let mut pcapng = [0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0].to_vec();
    pcapng.extend([0xff; 8]);
    pcapng.extend([
        28, 0, 0, 0, 1, 0, 0, 0, 32, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 0, 0x89, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0,
        0,
    ]);
    pcapng.extend([10, 0, 0, 0, 24, 0, 0, 0, 0x4b, 0x53, 0x4c, 0x54, 3, 0, 0, 0, b'k', b'e', b'y', 0, 24, 0, 0, 0]);
    for i in 0..40u8 {
        let data: Vec<u8> = (0..60).map(|n: u8| n.wrapping_mul(i)).collect();
        pcap.extend([i, 0, 0, 0, 0, 0, 0, 0, 60, 0, 0, 0, 60, 0, 0, 0]);
        pcap.extend(&data);
        pcapng.extend([6, 0, 0, 0, 92, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, i, 0, 0, 0, 60, 0, 0, 0, 60, 0, 0, 0]);
        pcapng.extend(&data);
        pcapng.extend([92, 0, 0, 0]);
    }
    let gzip = |bytes: &[u8]| {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(bytes).unwrap();
        packed.finish().unwrap()
    };
    let zstd = |bytes: &[u8]| ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest);
    let all = vec![pcap.clone(), pcapng.clone(), gzip(&pcap), gzip(&pcapng), zstd(&pcap), zstd(&pcapng)];
    fuzz("capture files", &all, weftrace_probes::packet::fuzz::fuzz_file);
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

/// Debug information: what compilers write, and types and calls that have no end.
#[test]
fn debug_files() {
    let seeds: Vec<Vec<u8>> = weftrace_probes::dwarf::fuzz::seeds().into_iter().map(|(_, seed)| seed).collect();
    fuzz("debug files", &seeds, weftrace_probes::dwarf::fuzz::fuzz_one);
}

#[test]
fn spans_and_log_records() {
    use weftrace_probes::telemetry::{fuzz_telemetry, proto::Writer};
    let mut request = Writer::default();
    request.message(1, |group| {
        group.message(1, |resource| {
            resource.message(1, |pair| {
                pair.text(1, "service.name");
                pair.message(2, |any| any.text(1, "checkout"));
            });
        });
        group.message(2, |scoped| {
            scoped.message(2, |span| {
                span.bytes(1, &[7; 16]);
                span.bytes(2, &[7; 8]);
                span.text(5, "GET");
                span.fixed64(7, 5);
                span.fixed64(8, 6);
                span.message(9, |pair| {
                    pair.text(1, "list");
                    pair.message(2, |any| any.message(5, |list| list.message(1, |one| one.varint(3, 1))));
                });
            });
        });
    });
    let lines = [
        r#"{"type": "span", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7", "start": "2026-11-22T15:16:51.5Z", "duration_ns": 2}"#,
        r#"{"resourceLogs": [{"scopeLogs": [{"logRecords": [{"timeUnixNano": "5", "body": {"stringValue": "x"}}]}]}]}"#,
    ];
    let mut seeds: Vec<Vec<u8>> = lines.iter().map(|l| l.as_bytes().to_vec()).collect();
    seeds.push(request.0);
    fuzz("telemetry", &seeds, fuzz_telemetry);
}

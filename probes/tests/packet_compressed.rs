//! Compressed capture files: gzip and zstd, damaged ones, zip bombs.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod packet_support;

use packet_support::build::{enhanced, interface, pcap, section, two};
use packet_support::read;
use weftrace_probes::packet::source::{CaptureReader, SourceError};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, bytes).unwrap();
    packed.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

/// Three thousand packets that do not compress to nothing.
fn long() -> Vec<u8> {
    let mut state = 1_u64;
    let mut byte = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 40) as u8
    };
    let packets: Vec<_> = (0..3_000).map(|i| (i, (0..100).map(|_| byte() & 0x3f).collect())).collect();
    pcap(false, true, 1, &packets)
}

#[test]
fn compressed_captures() {
    let plain = long();
    let want = read(&plain).0;
    let skipped = [&[0x52, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
    let (first, rest) = plain.split_at(100_001);
    let cases = [
        ("gzip", gzip(&plain)),
        ("gzip in members, the second empty", [gzip(first), gzip(b""), gzip(rest)].concat()),
        ("gzip, filled up with zeros", [gzip(&plain), vec![0; 1000]].concat()),
        ("zstd", zstd(&plain)),
        (
            "zstd in frames, some to be skipped",
            [skipped.clone(), zstd(first), skipped.clone(), zstd(rest), skipped].concat(),
        ),
    ];
    for (name, bytes) in &cases {
        let (seen, error) = read(bytes);
        assert!(error.is_none(), "{name}: {error:?}");
        assert_eq!(seen, want, "{name}");
    }
    let pcapng = [section(true), interface(true, 1, &[]), enhanced(true, 0, 1, b"one")].concat();
    assert_eq!(read(&gzip(&pcapng)).0, read(&pcapng).0);
}

#[test]
fn damaged_compressed_captures_give_what_is_there() {
    let plain = long();
    for (name, pack) in [("gzip", gzip as fn(&[u8]) -> Vec<u8>), ("zstd", zstd)] {
        let packed = pack(&plain);
        let told = |bytes: &[u8]| {
            let (seen, error) = read(bytes);
            (seen.len(), error.map(|error| error.to_string()).unwrap_or_default())
        };
        let (seen, error) = told(&packed[..packed.len() / 2]);
        assert!((500..3_000).contains(&seen), "{name}: {seen}");
        assert!(
            error.contains("at unpacked byte ")
                && error.ends_with(&format!("is not there: the {name} data is cut short")),
            "{error}"
        );
        // Cut anywhere: never silently, unless only the end's checks are missing.
        for cut in [5, 11, 30, packed.len() - 1, packed.len() - 9] {
            assert!(!told(&packed[..cut]).1.is_empty(), "{name} cut at {cut}");
        }
        let mut bent = packed.clone();
        for at in (packed.len() / 2..packed.len() / 2 + 64).step_by(7) {
            bent[at] ^= 0x55;
        }
        let (seen, error) = told(&bent);
        assert!(seen <= 3_000 && !error.is_empty(), "{name}: {seen} {error}");
        let (seen, error) = told(&[packed, b"more".to_vec()].concat());
        assert_eq!(seen, 3_000, "{name}");
        assert!(error.ends_with("data is followed by other bytes"), "{error}");
        // Not a capture inside, and packed twice.
        let (_, error) = told(&pack(b"hello, this is only text"));
        assert!(error.ends_with(&format!("(neither pcap nor pcapng) in its {name} data")), "{error}");
        assert!(!told(&pack(&pack(&plain))).1.is_empty());
    }
}

/// A quarter of a gigabyte in a megabyte. As a capture it is read in constant memory; as anything else not even that far.
#[test]
fn zip_bombs() {
    const MEGABYTES: u64 = 256;
    let bomb = |head: &[u8]| {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut packed, head).unwrap();
        let zeros = vec![0; 1 << 20];
        for _ in 0..MEGABYTES {
            std::io::Write::write_all(&mut packed, &zeros).unwrap();
        }
        packed.finish().unwrap()
    };
    assert!(matches!(read(&bomb(b"")).1, Some(SourceError::NotACapture { .. })));
    let bytes = bomb(&pcap(false, false, 1, &two()));
    let mut reader = CaptureReader::new(&bytes[..], "bomb");
    let mut empty = 0_u64;
    while let Some(packet) = reader.next_packet().unwrap() {
        empty += u64::from(packet.data.is_empty());
    }
    // Zeros are records of nothing: 16 bytes each.
    assert_eq!(empty, (MEGABYTES << 20) / 16);
    assert!(peak_rss_kb() < 100_000, "{} kB", peak_rss_kb());
}

fn peak_rss_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

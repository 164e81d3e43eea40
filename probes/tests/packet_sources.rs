//! Capture files: every variant of the formats, several files, damage.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod packet_support;

use packet_support::build::{block, enhanced, interface, pcap, section, two};
use packet_support::{Seen, read};
use std::path::PathBuf;
use weftrace_probes::packet::LinkType;
use weftrace_probes::packet::source::{CaptureReader, Captures, Drops, SourceError};

#[test]
fn classic_captures_in_both_orders_and_precisions() {
    for (big, nano) in [(false, false), (false, true), (true, false), (true, true)] {
        let (seen, error) = read(&pcap(big, nano, 1, &two()));
        assert!(error.is_none(), "{error:?}");
        let want: Seen = two().into_iter().zip(1..).map(|((time, data), n)| (n, time, 0, 1, data)).collect();
        assert_eq!(seen, want, "big {big}, nano {nano}");
    }
    let (seen, _) = read(&pcap(false, true, 1, &[(1_000_000_789, vec![1; 60])]));
    assert_eq!(seen[0].1, 1_000_000_789);
    // The upper bits of the link type tell about check sequences.
    assert_eq!(read(&pcap(false, false, 0x1400_0001, &two())).0[0].3, LinkType::ETHERNET.0);
}

#[test]
fn pcapng_with_several_interfaces_clocks_and_sections() {
    for big in [false, true] {
        let offset = 1_000_i64;
        let offset = if big { offset.to_be_bytes() } else { offset.to_le_bytes() }.to_vec();
        let file = [
            section(big),
            interface(big, 1, &[(2, b"eth0".to_vec()), (9, vec![9])]),
            interface(big, 101, &[]),
            interface(big, 113, &[(9, vec![0x8a]), (14, offset)]),
            enhanced(big, 0, 5_000_000_123, b"one"),
            block(big, 0x0bad, b"another kind"),
            enhanced(big, 1, 7_000_001, b"two"),
            enhanced(big, 2, 512, b"three"),
            block(big, 3, &[if big { [0, 0, 0, 4] } else { [4, 0, 0, 0] }, *b"four"].concat()),
            // A new section: its interfaces are numbered on.
            section(!big),
            interface(!big, 276, &[]),
            enhanced(!big, 0, 9, b"five"),
        ]
        .concat();
        let (seen, error) = read(&file);
        assert!(error.is_none(), "{error:?}");
        let seen: Vec<_> =
            seen.iter().map(|(n, time, id, link, data)| (*n, *time, *id, *link, data.as_slice())).collect();
        assert_eq!(
            seen,
            [
                (1, 5_000_000_123, 0, 1, &b"one"[..]),
                (2, 7_000_001_000, 1, 101, b"two"),
                (3, 1_000_500_000_000, 2, 113, b"three"),
                (4, 1_000_500_000_000, 0, 1, b"four"),
                (5, 9_000, 3, 276, b"five"),
            ]
        );
    }
}

#[test]
fn damage_says_where_and_what() {
    let whole = pcap(false, false, 1, &two());
    let second = 24 + 16 + two()[0].1.len();
    // A record that claims far too much.
    let mut broken = whole.clone();
    broken[second + 8..second + 12].copy_from_slice(&3_100_000_000_u32.to_le_bytes());
    let (seen, error) = read(&broken);
    assert_eq!(seen.len(), 1);
    let Some(SourceError::Damaged(damage)) = error else { panic!("{error:?}") };
    assert_eq!((damage.record, damage.offset), (2, second as u64));
    assert_eq!(damage.unread_bytes, Some((whole.len() - second) as u64));
    assert_eq!(
        damage.to_string(),
        format!(
            "test: record 2 at byte {second} claims 3.1 GB; the rest of the file was not read ({} bytes)",
            whole.len() - second
        )
    );
    // Cut at every byte: whole records come, then damage, or the end at a record's border.
    for cut in 0..whole.len() {
        let (seen, error) = read(&whole[..cut]);
        assert_eq!(seen.len(), usize::from(cut >= second), "cut at {cut}");
        match error {
            None => assert!(cut == 24 || cut == second, "cut at {cut}"),
            Some(SourceError::NotACapture { .. }) => assert!(cut < 4),
            Some(SourceError::Damaged(damage)) => assert_eq!(damage.file, "test"),
            Some(other) => panic!("{other}"),
        }
    }
    assert!(matches!(read(b"#!/bin/sh\necho no capture at all\n").1, Some(SourceError::NotACapture { .. })));
}

#[test]
fn pcapng_damage() {
    let start = [section(false), interface(false, 1, &[])].concat();
    let unknown = [start.clone(), enhanced(false, 4, 0, b"x")].concat();
    let (_, error) = read(&unknown);
    assert!(error.unwrap().to_string().contains("belongs to interface 4"));
    let mut sizes = [start.clone(), enhanced(false, 0, 0, b"x")].concat();
    let last = sizes.len() - 4;
    sizes[last] ^= 4;
    assert!(read(&sizes).1.unwrap().to_string().contains("two different sizes"));
    let mut claims = [start, enhanced(false, 0, 0, b"x")].concat();
    let at = claims.len() - enhanced(false, 0, 0, b"x").len() + 20;
    claims[at] = 200;
    assert!(read(&claims).1.unwrap().to_string().contains("claims 200 captured bytes"));
}

struct Files(PathBuf);

impl Files {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("weftrace-packet-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn several_files_are_one_stream_and_damage_ends_only_its_file() {
    let files = Files::new("several");
    let whole = pcap(true, true, 1, &two());
    let paths = [
        files.put("a.pcap", &whole),
        files.put("cut.pcap", &whole[..whole.len() - 3]),
        files.0.join("missing.pcap"),
        files.put("b.pcap", &whole),
    ];
    let mut captures = Captures::new(paths);
    let mut numbers = Vec::new();
    let mut errors = Vec::new();
    loop {
        match captures.next_packet() {
            Ok(Some(packet)) => numbers.push(packet.number),
            Ok(None) => break,
            Err(error) => errors.push(error.to_string()),
        }
    }
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors[0].contains("missing.pcap"), "{}", errors[0]);
    assert!(errors[1].contains("cut.pcap: record 2") && errors[1].contains("is cut short"), "{}", errors[1]);
    assert!(captures.offset() > 2 * whole.len() as u64);
}

/// Times of all packets, and what went wrong.
fn times(paths: Vec<PathBuf>) -> (Vec<u64>, Vec<String>) {
    let mut captures = Captures::new(paths);
    let (mut times, mut errors) = (Vec::new(), Vec::new());
    loop {
        match captures.next_packet() {
            Ok(Some(packet)) => {
                times.push(packet.time_ns);
                assert_eq!(packet.number, times.len() as u64);
            }
            Ok(None) => return (times, errors),
            Err(error) => errors.push(error.to_string()),
        }
    }
}

#[test]
fn files_are_merged_by_time() {
    let files = Files::new("merged");
    let at = |times: &[u64]| {
        let packets: Vec<_> = times.iter().map(|&time| (time, vec![7; 60])).collect();
        pcap(false, true, 1, &packets)
    };
    // Out of order within a file stays so: the earliest of what comes next is taken.
    let paths = vec![
        files.put("late.pcap", &at(&[500, 600])),
        files.put("empty.pcap", &at(&[])),
        files.put("one.pcap", &at(&[10, 30, 20, 90])),
        files.put("two.pcap", &at(&[15, 25, 95])),
    ];
    assert_eq!(times(paths.clone()), (vec![10, 15, 25, 30, 20, 90, 95, 500, 600], vec![]));
    assert_eq!(weftrace_probes::packet::source::first_packet_time(&paths), Some(10));
    // Many more than may be open at once, one after the other.
    let many = (0..3_000).rev().map(|i| files.put(&format!("{i}.pcap"), &at(&[i * 10, i * 10 + 5]))).collect();
    let (seen, errors) = times(many);
    assert_eq!((seen.len(), errors.len()), (6_000, 0));
    assert!(seen.is_sorted());
}

#[test]
fn decryption_secrets_are_handed_on_and_other_blocks_skipped() {
    for big in [false, true] {
        let word = |value: u32| if big { value.to_be_bytes() } else { value.to_le_bytes() };
        let secrets = |kind: u32, text: &[u8]| {
            let mut body = [word(kind), word(text.len() as u32)].concat();
            body.extend(text);
            body.resize(body.len().next_multiple_of(4), 0);
            block(big, 10, &body)
        };
        let file = [
            section(big),
            secrets(0x544c_534b, b"CLIENT_RANDOM 1"),
            interface(big, 1, &[]),
            block(big, 4, &[0; 12]),
            block(big, 0x4000_0bad, &[0, 0, 0, 9, 1, 2, 3, 4]),
            block(big, 9, b"journal."),
            enhanced(big, 0, 1, b"one"),
            secrets(0x5747_4b4c, b"WG"),
            enhanced(big, 0, 2, b"two"),
        ]
        .concat();
        let files = Files::new(&format!("secrets-{big}"));
        let mut captures = Captures::new([files.put("a.pcapng", &file)]);
        assert_eq!(captures.take_secrets(), []);
        let mut seen = Vec::new();
        while let Some(packet) = captures.next_packet().unwrap() {
            let data = packet.data.to_vec();
            seen.push((data, captures.take_secrets().into_iter().map(|s| (s.kind, s.data)).collect::<Vec<_>>()));
        }
        assert_eq!(
            seen,
            [
                (b"one".to_vec(), vec![(0x544c_534b, b"CLIENT_RANDOM 1".to_vec())]),
                (b"two".to_vec(), vec![(0x5747_4b4c, b"WG".to_vec())])
            ]
        );
    }
}

/// Statistics blocks count from the begin of their section: the last of each interface has all.
#[test]
fn drops_that_a_file_records_are_known() {
    for big in [false, true] {
        let word = |value: u32| if big { value.to_be_bytes() } else { value.to_le_bytes() };
        let half = |value: u16| if big { value.to_be_bytes() } else { value.to_le_bytes() };
        let long = |value: u64| if big { value.to_be_bytes() } else { value.to_le_bytes() };
        let statistics = |id: u32, device: u64, system: u64| {
            let mut body = [word(id), word(0), word(0)].concat();
            for (code, value) in [(4, 9), (5, device), (7, system)] {
                body.extend([half(code), half(8)].concat());
                body.extend(long(value));
            }
            body.extend([0; 4]);
            block(big, 5, &body)
        };
        let file = [
            section(big),
            interface(big, 1, &[]),
            interface(big, 1, &[]),
            statistics(0, 1, 2),
            enhanced(big, 0, 1, b"one"),
            statistics(0, 10, 20),
            statistics(1, 100, 0),
            statistics(7, 5, 5),
            block(big, 5, &[0; 4]),
            section(big),
            interface(big, 1, &[]),
            enhanced(big, 0, 2, b"two"),
            statistics(0, 1000, 1 << 40),
        ]
        .concat();
        let files = Files::new(&format!("drops-{big}"));
        let path = files.put("a.pcapng", &file);
        let mut captures = Captures::new([path.clone(), path]);
        while captures.next_packet().unwrap().is_some() {}
        assert_eq!(captures.drops(), Drops { device: 2 * 1110, system: 2 * (20 + (1 << 40)) });
    }
}

#[test]
fn older_and_other_classic_captures() {
    let frame = vec![1_u8; 60];
    let base = pcap(false, false, 1, &[(2_000_003_000, frame.clone())]);
    // Version 2.1 has the lengths the other way round; 2.3 either way.
    for (minor, swap) in [(1_u8, true), (3, true), (3, false), (4, false)] {
        let mut bytes = base.clone();
        bytes[6] = minor;
        bytes[36..40].copy_from_slice(&100_u32.to_le_bytes());
        if swap {
            bytes[32..36].copy_from_slice(&100_u32.to_le_bytes());
            bytes[36..40].copy_from_slice(&60_u32.to_le_bytes());
        }
        let mut reader = CaptureReader::new(&bytes[..], "old");
        let packet = reader.next_packet().unwrap().unwrap();
        assert_eq!((packet.data.len(), packet.len, packet.time_ns), (60, 100, 2_000_003_000), "2.{minor} {swap}");
    }
    let mut modified = base.clone();
    modified[..4].copy_from_slice(&0xa1b2_cd34_u32.to_le_bytes());
    modified.splice(40..40, [0; 8]);
    assert_eq!(read(&modified).0[0].4, frame);
    let mut ixia = base;
    ixia[..4].copy_from_slice(&0x1c00_01ac_u32.to_le_bytes());
    ixia.splice(24..24, [0; 4]);
    assert_eq!((read(&ixia).0[0].1, &read(&ixia).0[0].4), (2_000_000_003, &frame));
}

/// A pipe gives what it has, then says that it waits; what was written in two halves is one packet.
#[test]
fn a_pipe_without_packets_does_not_block() {
    let files = Files::new("pipe");
    let path = files.0.join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let bytes = pcap(false, false, 1, &two());
    // Held open for both, so that neither opening waits for the other.
    let mut writer = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let mut captures = Captures::new([path]);
    let mut sent = 0;
    let mut seen = 0;
    for upto in [3, 20, 24, 50, bytes.len() - 1, bytes.len()] {
        std::io::Write::write_all(&mut writer, &bytes[sent..upto]).unwrap();
        sent = upto;
        while captures.next_packet().unwrap().is_some() {
            seen += 1;
        }
        assert!(captures.waits_for().is_some(), "at {upto}");
        assert_eq!(seen, usize::from(upto > 24 + 16 + 58) + usize::from(upto == bytes.len()), "at {upto}");
    }
}

//! Capture files: every variant of the formats, several files, damage.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod packet_support;

use packet_support::build::{Tcp, block, pcap};
use std::path::PathBuf;
use weftrace_probes::packet::LinkType;
use weftrace_probes::packet::source::{CaptureReader, Captures, SourceError};

/// (number, time, interface, link, bytes) of each packet, and how it ended.
type Seen = Vec<(u64, u64, u32, u32, Vec<u8>)>;

fn read(bytes: &[u8]) -> (Seen, Option<SourceError>) {
    let mut reader = CaptureReader::new(bytes, "test").with_size(bytes.len() as u64);
    let mut seen = Vec::new();
    loop {
        match reader.next_packet() {
            Ok(Some(p)) => seen.push((p.number, p.time_ns, p.interface, p.link.0, p.data.to_vec())),
            Ok(None) => return (seen, None),
            Err(error) => {
                assert!(reader.next_packet().unwrap().is_none(), "nothing after an error");
                return (seen, Some(error));
            }
        }
    }
}

fn two() -> Vec<(u64, Vec<u8>)> {
    let frame = Tcp::new(1, 1, 2, 2).frame();
    vec![(1_700_000_000_123_456_000, frame.clone()), (1_700_000_001_000_000_000, [frame, vec![0; 5]].concat())]
}

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

fn section(big: bool) -> Vec<u8> {
    let word = |value: u32| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let mut body = word(0x1a2b_3c4d).to_vec();
    body.extend(if big { [0, 1, 0, 0] } else { [1, 0, 0, 0] });
    body.extend([0xff; 8]);
    block(big, 0x0a0d_0d0a, &body)
}

fn interface(big: bool, link: u16, options: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let half = |value: u16| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let mut body = half(link).to_vec();
    body.extend([0; 2]);
    body.extend([0; 4]);
    for (code, value) in options {
        body.extend(half(*code));
        body.extend(half(value.len() as u16));
        body.extend(value);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    body.extend([0; 4]);
    block(big, 1, &body)
}

fn enhanced(big: bool, interface: u32, time: u64, data: &[u8]) -> Vec<u8> {
    let word = |value: u32| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let mut body = Vec::new();
    for value in [interface, (time >> 32) as u32, time as u32, data.len() as u32, data.len() as u32 + 7] {
        body.extend(word(value));
    }
    body.extend(data);
    // A comment after the data, as an option.
    body.resize(body.len().next_multiple_of(4), 0);
    body.extend(if big { [0, 1, 0, 2] } else { [1, 0, 2, 0] });
    body.extend(b"hi\0\0\0\0\0\0");
    block(big, 6, &body)
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
    assert!(errors[0].contains("cut.pcap: record 2") && errors[0].contains("is cut short"), "{}", errors[0]);
    assert!(errors[1].contains("missing.pcap"), "{}", errors[1]);
    assert!(captures.offset() > 2 * whole.len() as u64);
}

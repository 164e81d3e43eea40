//! Whatever the bytes are, nothing panics and every loop ends.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod packet_support;

use packet_support::build::{Tcp, pcap};
use packet_support::captures;
use proptest::prelude::*;
use weftrace_artifact::packet::PacketView;
use weftrace_probes::packet::fuzz::{drain, finish, fuzz_one, fuzz_stream};
use weftrace_probes::packet::source::{CaptureReader, Captures};
use weftrace_probes::packet::{ALL_NEEDS, LinkType, Options, Pipeline, RawPacket};

const LINKS: &[u32] = &[0, 1, 9, 12, 50, 51, 101, 104, 105, 108, 113, 127, 228, 229, 239, 276, 999];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn random_bytes(link in proptest::sample::select(LINKS), bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        fuzz_one(link, &bytes);
    }

    /// A good frame with some bytes changed.
    #[test]
    fn changed_frames(changes in proptest::collection::vec((0..200_usize, any::<u8>()), 0..8), options in proptest::collection::vec(any::<u8>(), 0..40)) {
        let payload = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_vec();
        let mut frame = Tcp { options, payload, ..Tcp::new(1, 1, 2, 80) }.frame();
        for (at, byte) in changes {
            let at = at % frame.len();
            frame[at] = byte;
        }
        fuzz_one(1, &frame);
        fuzz_one(1, &pcap(false, true, 1, &[(0, frame.clone()), (1, frame)]));
    }
}

/// Files claim any time: sums of times near the last there is end there.
#[test]
fn the_last_times_there_are() {
    // A recording's packets are live ones.
    for (closing, live) in [(4, false), (0x11, false), (4, true), (0x11, true)] {
        let mut pipeline = Pipeline::new(ALL_NEEDS, Options::default());
        let mut view = PacketView::default();
        let both = [((1, 40_000), (2, 80)), ((2, 80), (1, 40_000))];
        let sent = [(0, 2), (1, 0x12), (0, 0x10), (1, 0x10), (0, closing), (1, 0x11), (0, 0x10), (0, 2)];
        for (number, (dir, flags)) in (0..).zip(sent) {
            let ((a, b), (c, d)) = both[dir];
            let tcp =
                Tcp { flags, seq: u32::from(number > 1), ack: 1, window: (number % 2) as u16, ..Tcp::new(a, b, c, d) };
            let data = tcp.frame();
            let time = u64::MAX - 8 + number;
            let raw = RawPacket::new(LinkType::ETHERNET, &data, number + 1);
            pipeline.process(&RawPacket { time_ns: time, boot_ns: Some(time), live, ..raw }, &mut view);
            drain(&mut pipeline, &mut view);
        }
        finish(&mut pipeline, &mut view);
    }
}

/// An HTTP/2 frame.
fn frame((kind, flags, stream, payload): &(u8, u8, u32, Vec<u8>)) -> Vec<u8> {
    let len = payload.len() as u32;
    [&len.to_be_bytes()[1..], &[*kind, *flags], &stream.to_be_bytes(), payload].concat()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Connections that speak HTTP/2, or nearly: frames of any kind in segments of any size, some lost, with very small limits.
    #[test]
    fn frames(
        preface in any::<bool>(),
        frames in proptest::collection::vec((0..11_u8, prop_oneof![Just(0), Just(1), Just(4), Just(5), any::<u8>()], 0..8_u32, header_block()), 1..40),
        cut in 1..300_usize,
        lost in 0..9_usize,
    ) {
        let mut streams = [if preface { b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec() } else { Vec::new() }, Vec::new()];
        for (i, one) in frames.iter().enumerate() {
            streams[i % 3 / 2].extend(frame(one));
        }
        let mut options = Options::default();
        options.http2.held_bytes_total = 600;
        (options.http2.block_bytes, options.http2.head_bytes, options.http2.streams) = (300, 200, 3);
        let mut pipeline = Pipeline::new(ALL_NEEDS, options);
        let mut view = PacketView::default();
        let mut number = 0;
        for (dir, bytes) in streams.iter().enumerate() {
            for (i, segment) in bytes.chunks(cut).enumerate() {
                number += 1;
                if lost > 0 && number % (lost + 1) == 0 {
                    continue;
                }
                let seq = (i * cut) as u32 + 1;
                let ends = [(1, 40_000), (2, 80)];
                let ((a, b), (c, d)) = (ends[dir], ends[1 - dir]);
                let data = Tcp { seq, ack: streams[1 - dir].len() as u32, payload: segment.to_vec(), ..Tcp::new(a, b, c, d) }.frame();
                pipeline.process(&RawPacket::new(LinkType::ETHERNET, &data, number as u64), &mut view);
                drain(&mut pipeline, &mut view);
            }
        }
        finish(&mut pipeline, &mut view);
    }
}

/// Header fields by index, literal, with sizes that are wrong, and bytes that are nothing.
fn header_block() -> impl Strategy<Value = Vec<u8>> {
    let field = prop_oneof![
        (0x80..=0xff_u8).prop_map(|index| vec![index]),
        (0x40..0x7f_u8, "[a-z]{0,9}")
            .prop_map(|(index, value)| [&[index, value.len() as u8], value.as_bytes()].concat()),
        ("[a-z:]{1,9}", "[a-z]{0,40}").prop_map(|(name, value)| {
            [&[0x40, name.len() as u8], name.as_bytes(), &[value.len() as u8], value.as_bytes()].concat()
        }),
        (0x20..0x40_u8).prop_map(|size| vec![size]),
        proptest::collection::vec(any::<u8>(), 0..6),
    ];
    proptest::collection::vec(field, 0..12).prop_map(|fields| fields.concat())
}

/// A small generator, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n.max(1)
    }
}

fn packets_of(bytes: &[u8], options: Options) -> u64 {
    let mut pipeline = Pipeline::new(ALL_NEEDS, options);
    let mut view = PacketView::default();
    let mut reader = CaptureReader::new(bytes, "mutated");
    while let Ok(Some(packet)) = reader.next_packet() {
        pipeline.process(&packet, &mut view);
        drain(&mut pipeline, &mut view);
    }
    finish(&mut pipeline, &mut view);
    pipeline.counters().packets
}

#[test]
fn mutated_captures() {
    let Some(dir) = captures() else { return };
    let mut random = Random(42);
    let mut packets = 0;
    for entry in std::fs::read_dir(&dir).unwrap().flatten() {
        let is_capture =
            entry.path().extension().is_some_and(|e| ["pcap", "pcapng", "dmp"].iter().any(|have| e == *have));
        if !is_capture || entry.metadata().unwrap().len() > 1_000_000 {
            continue;
        }
        let bytes = std::fs::read(entry.path()).unwrap();
        for round in 0..4 {
            let mut mutated = bytes.clone();
            for _ in 0..1 << (round * 3) {
                // Leave the file header, so that packets are reached.
                let at = 24 + random.below(mutated.len() - 24);
                mutated[at] = random.below(256) as u8;
            }
            packets += packets_of(&mutated, Options::default());
        }
    }
    assert!(packets > 1_000, "only {packets} packets were reached");
}

/// Packets of all captures in a shuffled order, with tables far too small: bounds hold, and what is dropped is counted.
#[test]
fn shuffled_packets_and_tiny_tables() {
    let Some(dir) = captures() else { return };
    let names = [
        "zeek-erspan.pcap",
        "tcptrace-http.dmp",
        "arkime-socks5-http-302-frag.pcap",
        "suricata-verify-http-range-multiflows-input.pcap",
    ];
    let mut packets = Vec::new();
    let mut files = Captures::new(names.map(|name| dir.join(name)));
    while let Some(packet) = files.next_packet().unwrap() {
        packets.push((packet.data.to_vec(), packet.len, packet.link, packet.time_ns));
    }
    let mut random = Random(7);
    for i in (1..packets.len()).rev() {
        packets.swap(i, random.below(i + 1));
    }
    let mut options = Options { max_flows: 5, max_segments: 3, max_datagrams: 2, ..Options::default() };
    (options.stream.held_bytes, options.stream.held_bytes_total, options.http.outstanding) = (2_000, 4_000, 2);
    let mut pipeline = Pipeline::new(ALL_NEEDS, options);
    let mut view = PacketView::default();
    for ((data, len, link, time_ns), number) in packets.iter().zip(1..) {
        let packet = RawPacket { len: *len, time_ns: *time_ns, ..RawPacket::new(*link, data, number) };
        pipeline.process(&packet, &mut view);
        drain(&mut pipeline, &mut view);
        assert!(pipeline.flows() <= 5);
    }
    let counters = pipeline.counters();
    assert_eq!(counters.packets, packets.len() as u64);
    assert!(
        counters.flows_evicted > 10 && counters.fragments_dropped > 0 && counters.segments_dropped > 0,
        "{counters:?}"
    );
}

/// The same input gives the same output, whatever the seed of the flow table.
#[test]
fn deterministic() {
    let Some(dir) = captures() else { return };
    let run = || packet_support::tally(&[dir.join("zeek-erspan.pcap"), dir.join("tcptrace-http.dmp")]).0;
    let (one, two) = (run(), run());
    assert_eq!((one.counts, one.frames, one.exchanges), (two.counts, two.frames, two.exchanges));
}

/// Connections made of random segments ([`fuzz_stream`] says of what form).
#[test]
fn random_connections() {
    let mut random = Random(3);
    let words: &[&[u8]] = &[
        b"GET / HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\0\0\x04\x01\x05\0\0\0\x01\x82\x84\xbe\xbf",
        b"\0\0\x01\x01\x04\0\0\0\x01\x88",
        b"\0\0\0\x04\x01\0\0\0\0",
        b"\x16\x03\x01\0\x04\x01\0\0\0",
    ];
    for _ in 0..4_000 {
        let mut bytes = Vec::new();
        for _ in 0..random.below(20) {
            let mut payload = words[random.below(words.len())].to_vec();
            if random.below(3) == 0 {
                let at = random.below(payload.len());
                payload[at] = random.below(256) as u8;
            }
            bytes.extend([random.below(32) as u8, payload.len() as u8]);
            bytes.extend(payload);
        }
        fuzz_stream(&bytes);
    }
}

//! Whatever the bytes are, nothing panics and every loop ends.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod packet_support;

use packet_support::build::{Tcp, pcap};
use packet_support::captures;
use proptest::prelude::*;
use weftrace_artifact::packet::PacketView;
use weftrace_probes::packet::source::{CaptureReader, Captures};
use weftrace_probes::packet::{ALL_NEEDS, Options, Pipeline, RawPacket, fuzz_one};

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

/// A small generator, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n.max(1)
    }
}

fn drain(bytes: &[u8], options: Options) -> u64 {
    let mut pipeline = Pipeline::new(ALL_NEEDS, options);
    let mut view = PacketView::default();
    let mut reader = CaptureReader::new(bytes, "mutated");
    while let Ok(Some(packet)) = reader.next_packet() {
        pipeline.process(&packet, &mut view);
        while pipeline.next_part(&mut view) {}
    }
    while pipeline.finish(&mut view) {}
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
            packets += drain(&mutated, Options::default());
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
    (options.http.held_bytes, options.http.held_bytes_total, options.http.outstanding) = (2_000, 4_000, 2);
    let mut pipeline = Pipeline::new(ALL_NEEDS, options);
    let mut view = PacketView::default();
    for ((data, len, link, time_ns), number) in packets.iter().zip(1..) {
        let packet = RawPacket {
            data,
            len: *len,
            link: *link,
            interface: 0,
            netns: 0,
            number,
            time_ns: *time_ns,
            boot_ns: None,
            live: false,
        };
        pipeline.process(&packet, &mut view);
        while pipeline.next_part(&mut view) {}
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

//! Steps for fuzzers: bytes as packets and as a file; and a connection, of which bytes say what both sides send, and what of it is lost,
//! repeated or late.

use super::source::CaptureReader;
use super::{ALL_NEEDS, Http2Limits, HttpLimits, LinkType, Options, Pipeline, RawPacket, StreamLimits};
use flate2::{Compression, write::GzEncoder};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use std::io::Write;
use weftrace_artifact::packet::PacketView;

/// What the first byte of a segment's description says.
mod how {
    /// From the server.
    pub(super) const SERVER: u8 = 1;
    pub(super) const LOST: u8 = 2;
    pub(super) const TWICE: u8 = 4;
    pub(super) const FIN: u8 = 8;
    pub(super) const LATE: u8 = 16;
    /// In the first description: it is a server of names, whose protocol is known by its port alone.
    pub(super) const NAMES: u8 = 32;
}

/// Limits that short input reaches.
fn small() -> Options {
    Options {
        max_flows: 4,
        max_segments: 64,
        max_datagrams: 4,
        stream: StreamLimits { held_bytes: 4096, held_bytes_total: 8192 },
        http: HttpLimits { head_bytes: 4096, outstanding: 4 },
        http2: Http2Limits {
            block_bytes: 512,
            head_bytes: 1024,
            streams: 4,
            held_bytes_total: 2048,
            heads_bytes_total: 8192,
        },
        ..Options::default()
    }
}

/// Takes what a packet has brought: messages, and connections that ended.
pub fn drain(pipeline: &mut Pipeline, view: &mut PacketView) {
    while pipeline.next_part(view).is_some() {}
    while pipeline.next_end(view).is_some() {}
}

/// The end of all packets.
pub fn finish(pipeline: &mut Pipeline, view: &mut PacketView) {
    while pipeline.end_more() {
        drain(pipeline, view);
    }
    while pipeline.finish(view).is_some() {}
}

/// One step for fuzzers: bytes as a packet of any link type, then as a capture file whose packets share one pipeline. Must
/// return, whatever the bytes are.
pub fn fuzz_one(link_type: u32, bytes: &[u8]) {
    let mut pipeline = Pipeline::new(ALL_NEEDS, small());
    let mut view = PacketView::default();
    let raw = |data, number| RawPacket { len: bytes.len() as u32, ..RawPacket::new(LinkType(link_type), data, number) };
    // The whole, then pieces of it as packets of their own.
    pipeline.process(&raw(bytes, 1), &mut view);
    drain(&mut pipeline, &mut view);
    for (i, piece) in bytes.chunks(97).enumerate() {
        pipeline.process(&raw(piece, i as u64 + 2), &mut view);
        drain(&mut pipeline, &mut view);
    }
    let mut reader = CaptureReader::new(bytes, "fuzz");
    while let Ok(Some(packet)) = reader.next_packet() {
        pipeline.process(&packet, &mut view);
        drain(&mut pipeline, &mut view);
    }
    finish(&mut pipeline, &mut view);
}

/// One step for fuzzers: bytes as a capture file, and by the last of them as what a compressed one unpacks to.
pub fn fuzz_file(bytes: &[u8]) {
    read(bytes);
    match bytes.last().map(|last| last % 16) {
        Some(0) => {
            let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
            if packed.write_all(bytes).is_ok() {
                read(&packed.finish().unwrap_or_default());
            }
        }
        Some(1) => read(&compress_to_vec(bytes, CompressionLevel::Fastest)),
        _ => {}
    }
}

fn read(bytes: &[u8]) {
    let mut reader = CaptureReader::new(bytes, "fuzz").with_size(bytes.len() as u64);
    let mut last = 0;
    while let Ok(Some(packet)) = reader.next_packet() {
        assert_eq!(packet.number, last + 1);
        assert!(packet.data.len() <= packet.len as usize);
        last = packet.number;
        drop(reader.take_secrets());
    }
}

/// One step for fuzzers: whether a quick look at a head says the same as the parser.
pub fn fuzz_head(bytes: &[u8]) {
    assert!(super::http::scan_agrees(bytes), "the quick look at a head differs from the parser");
}

/// One step for fuzzers: `bytes` are segments, each {how, length, payload}. Must return, whatever they are.
pub fn fuzz_stream(bytes: &[u8]) {
    let mut pipeline = Pipeline::new(ALL_NEEDS, small());
    // Of a session whose client random is all zeros.
    for label in ["CLIENT_RANDOM", "CLIENT_TRAFFIC_SECRET_0", "SERVER_HANDSHAKE_TRAFFIC_SECRET"] {
        pipeline.add_secrets(format!("{label} {:064} {:096}", 0, 1).as_bytes());
    }
    let mut view = PacketView::default();
    let (mut sent, mut late) = ([1_u32; 2], Vec::new());
    let (mut rest, mut number) = (bytes, 0);
    let server = if bytes.first().is_some_and(|how| how & how::NAMES != 0) { 53 } else { 80 };
    while let [how, len, after @ ..] = rest {
        let payload = &after[..after.len().min(usize::from(*len))];
        rest = &after[payload.len()..];
        let dir = usize::from(how & how::SERVER);
        let frame = segment(dir, server, sent, how & how::FIN != 0, payload);
        sent[dir] = sent[dir].wrapping_add(payload.len() as u32);
        let mut frames = Vec::new();
        if how & how::LATE != 0 {
            late.push(frame);
        } else if how & how::LOST == 0 {
            frames.extend(std::iter::repeat_n(frame, if how & how::TWICE == 0 { 1 } else { 2 }));
            frames.append(&mut late);
        }
        for frame in frames {
            number += 1;
            pipeline.process(&RawPacket::new(LinkType::ETHERNET, &frame, number), &mut view);
            drain(&mut pipeline, &mut view);
        }
    }
    finish(&mut pipeline, &mut view);
}

fn segment(dir: usize, server: u16, sent: [u32; 2], fin: bool, payload: &[u8]) -> Vec<u8> {
    let ports = if dir == 0 { [40_000, server] } else { [server, 40_000] };
    let mut frame = vec![0; 12];
    frame.extend([8, 0, 0x45, 0]);
    frame.extend((40 + payload.len() as u16).to_be_bytes());
    frame.extend([0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1 + dir as u8, 10, 0, 0, 2 - dir as u8]);
    frame.extend(ports.map(u16::to_be_bytes).concat());
    frame.extend(sent[dir].to_be_bytes());
    frame.extend(sent[1 - dir].to_be_bytes());
    frame.extend([0x50, 0x10 | u8::from(fin), 16, 0, 0, 0, 0, 0]);
    frame.extend_from_slice(payload);
    frame
}

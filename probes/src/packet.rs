//! Packets: sources (files, live interfaces), dissection, TCP flows and their analysis, HTTP/1.
//!
//! [`Pipeline`] turns the bytes of a packet into the [`weftrace_artifact::packet::PacketView`] that handlers read; it is pure,
//! deterministic and bounded, and computes only what the script's fields need. [`source`] reads captures and interfaces.
//! No `unsafe` but in `source/netns.rs` (entering a network namespace).

mod analysis;
mod bytes;
mod dissect;
mod flow;
mod http;
mod pipeline;
mod raw;
pub mod source;

pub use flow::conn_key;
pub use http::HttpLimits;
pub use pipeline::{Counters, Options, Pipeline};
pub use raw::{LinkType, RawPacket};

use weftrace_artifact::packet::PacketView;

/// All of [`weftrace_artifact::packet::needs`].
pub const ALL_NEEDS: u32 = (1 << 7) - 1;

/// One step for fuzzers: bytes as a packet of any link type, then as a capture file whose packets share one pipeline. Must
/// return, whatever the bytes are.
pub fn fuzz_one(link_type: u32, bytes: &[u8]) {
    let small = Options {
        max_flows: 8,
        max_segments: 64,
        max_datagrams: 4,
        http: HttpLimits { head_bytes: 4096, held_bytes: 4096, held_bytes_total: 8192, outstanding: 4 },
    };
    let mut pipeline = Pipeline::new(ALL_NEEDS, small);
    let mut view = PacketView::default();
    let raw = |data, number| RawPacket {
        data,
        len: bytes.len() as u32,
        link: LinkType(link_type),
        interface: 0,
        netns: 0,
        number,
        time_ns: number * 1_000_000,
        boot_ns: None,
        live: false,
    };
    // The whole, then pieces of it as packets of their own.
    pipeline.process(&raw(bytes, 1), &mut view);
    for (i, piece) in bytes.chunks(97).enumerate() {
        pipeline.process(&raw(piece, i as u64 + 2), &mut view);
        while pipeline.next_part(&mut view) {}
    }
    let mut reader = source::CaptureReader::new(bytes, "fuzz");
    while let Ok(Some(packet)) = reader.next_packet() {
        pipeline.process(&packet, &mut view);
        while pipeline.next_part(&mut view) {}
    }
    while pipeline.finish(&mut view) {}
}

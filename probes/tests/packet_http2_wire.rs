//! HTTP/2 on made-up connections: upgrades, and bodies that the capture cut short.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod packet_support;

use packet_support::build::{ACK, PSH, SYN, Tcp};
use packet_support::http2::exchange;
use std::collections::BTreeMap;
use weftrace_artifact::packet::{PacketView, layer};
use weftrace_probes::packet::{ALL_NEEDS, Http2Counters, LinkType, Options, Pipeline, RawPacket};

/// Connections of one client, whose packets go through a pipeline one ms apart.
struct Wire {
    pipeline: Pipeline,
    number: u64,
    /// Next sequence number of client and server, by the client's port.
    seq: BTreeMap<u16, [u32; 2]>,
    /// Exchanges with the packet that each was told with.
    ended: Vec<(u64, String)>,
}

impl Wire {
    fn new() -> Self {
        let pipeline = Pipeline::new(ALL_NEEDS, Options::default());
        Self { pipeline, number: 0, seq: BTreeMap::new(), ended: Vec::new() }
    }

    fn packet(&mut self, port: u16, from: usize, flags: u8, payload: &[u8], missing: usize) {
        let seq = *self.seq.entry(port).or_insert([100, 900]);
        let ends = if from == 0 { Tcp::new(1, port, 2, 80) } else { Tcp::new(2, 80, 1, port) };
        let frame = Tcp { seq: seq[from], ack: seq[1 - from], flags, payload: payload.to_vec(), ..ends }.frame();
        self.seq.get_mut(&port).unwrap()[from] += payload.len() as u32 + u32::from(flags & SYN != 0);
        self.number += 1;
        let captured = &frame[..frame.len() - missing];
        let whole = RawPacket::new(LinkType::ETHERNET, captured, self.number);
        let packet = RawPacket { len: frame.len() as u32, ..whole };
        let mut view = PacketView::default();
        assert!(self.pipeline.process(&packet, &mut view));
        loop {
            if view.layers & layer::HTTP_EXCHANGE != 0 {
                self.ended.push((self.number, exchange(&view)));
            }
            if self.pipeline.next_part(&mut view).is_none() {
                break;
            }
        }
    }

    fn open(&mut self, port: u16) {
        self.packet(port, 0, SYN, b"", 0);
        self.packet(port, 1, SYN | ACK, b"", 0);
        self.packet(port, 0, ACK, b"", 0);
    }

    fn send(&mut self, port: u16, from: usize, payload: &[u8]) {
        self.packet(port, from, ACK | PSH, payload, 0);
    }

    fn ack(&mut self, port: u16, from: usize) {
        self.packet(port, from, ACK, b"", 0);
    }
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
/// GET / and a response without a body, on stream 1.
const GET: &[u8] = b"\0\0\x03\x01\x05\0\0\0\x01\x82\x86\x84";
const EMPTY: &[u8] = b"\0\0\x01\x01\x05\0\0\0\x01\x88";
/// The head of one with a body, and the body's frame.
const HEAD: &[u8] = b"\0\0\x01\x01\x04\0\0\0\x01\x88";
const BODY: &[u8] = b"\0\0\x64\0\x01\0\0\0\x01";

/// Whose connection was upgraded is known also if the answer that says so has a segment of its own.
#[test]
fn an_upgrade_stays_on_its_connection() {
    let mut wire = Wire::new();
    wire.open(5000);
    wire.open(6000);
    wire.send(5000, 0, b"GET /up HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n");
    wire.send(5000, 1, b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n");
    wire.send(6000, 0, &[PREFACE, GET].concat());
    wire.send(6000, 1, &[SETTINGS, EMPTY].concat());
    wire.ack(6000, 0);
    assert_eq!(wire.ended, [(11, "HTTP/2 GET / 200 whole".to_owned())]);
    wire.send(5000, 0, PREFACE);
    wire.send(5000, 1, &[SETTINGS, EMPTY].concat());
    wire.ack(5000, 0);
    assert_eq!(wire.ended[1..], [(14, "HTTP/1.1 GET /up 200 whole".to_owned())]);
    assert_eq!(wire.pipeline.counters().http2, Http2Counters::default());
}

/// A snap length takes the end of a body off: its frame is known to end there, and with it the exchange.
#[test]
fn a_body_cut_by_the_capture_ends_its_exchange() {
    for missing in [1, 50, 100] {
        let mut wire = Wire::new();
        wire.open(5000);
        wire.send(5000, 0, &[PREFACE, GET].concat());
        wire.packet(5000, 1, ACK | PSH, &[SETTINGS, HEAD, BODY, &[b'x'; 100]].concat(), missing);
        wire.ack(5000, 0);
        assert_eq!(wire.ended, [(6, "HTTP/2 GET / 200 whole".to_owned())], "{missing} bytes are missing");
        assert_eq!(wire.pipeline.counters().http2, Http2Counters::default());
    }
}

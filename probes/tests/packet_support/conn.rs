//! A made-up connection that speaks HTTP.

use super::build::{ACK, PSH, SYN, Tcp};
use super::{Exchange, Tally, strings};
use weftrace_artifact::packet::{PacketView, layer};
use weftrace_probes::packet::{ALL_NEEDS, Counters, LinkType, Options, Pipeline, RawPacket};

pub const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: h\r\nX-Request-Id: 7\r\n\r\n";
pub const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

pub const CLIENT: (u8, u16) = (1, 40_000);
pub const SERVER: (u8, u16) = (2, 8_080);
pub const MS: u64 = 1_000_000;

/// A connection between two endpoints, whose packets go through a pipeline one ms apart.
pub struct Conn {
    pub pipeline: Pipeline,
    pub tally: Tally,
    pub number: u64,
    /// TCP's of the packets to come.
    pub options: Vec<u8>,
    /// So many bytes are captured of each packet to come.
    pub snap: Option<usize>,
    /// Next sequence number of client and server.
    pub seq: [u32; 2],
    /// Views of exchanges, in order.
    pub ended: Vec<(u64, PacketView)>,
    pub headers: Vec<Vec<(String, String)>>,
    /// The first view of each packet.
    pub views: Vec<PacketView>,
}

impl Conn {
    pub fn new() -> Self {
        Self::with(Pipeline::new(ALL_NEEDS, Options::default()))
    }

    fn with(pipeline: Pipeline) -> Self {
        Self {
            pipeline,
            tally: Tally::default(),
            number: 0,
            options: Vec::new(),
            snap: None,
            seq: [u32::MAX - 50, 7_000],
            ended: Vec::new(),
            headers: Vec::new(),
            views: Vec::new(),
        }
    }

    pub fn open() -> Self {
        Self::open_in(Pipeline::new(ALL_NEEDS, Options::default()))
    }

    pub fn open_in(pipeline: Pipeline) -> Self {
        let mut conn = Self::with(pipeline);
        conn.raw(0, conn.seq[0], SYN, b"");
        conn.seq[0] = conn.seq[0].wrapping_add(1);
        conn.raw(1, conn.seq[1], SYN | ACK, b"");
        conn.seq[1] = conn.seq[1].wrapping_add(1);
        conn.raw(0, conn.seq[0], ACK, b"");
        conn
    }

    /// One packet; acknowledges what the other side has sent so far.
    pub fn raw(&mut self, from: usize, seq: u32, flags: u8, payload: &[u8]) {
        self.with_ack(from, seq, self.seq[1 - from], flags, payload);
    }

    pub fn with_ack(&mut self, from: usize, seq: u32, ack: u32, flags: u8, payload: &[u8]) {
        let (a, b) = if from == 0 { (CLIENT, SERVER) } else { (SERVER, CLIENT) };
        let ack = if flags & ACK != 0 { ack } else { 0 };
        let options = self.options.clone();
        let frame = Tcp { seq, ack, flags, options, payload: payload.to_vec(), ..Tcp::new(a.0, a.1, b.0, b.1) }.frame();
        self.number += 1;
        let mut view = PacketView::default();
        let captured = &frame[..self.snap.unwrap_or(frame.len()).min(frame.len())];
        let raw = RawPacket::new(LinkType::ETHERNET, captured, self.number);
        assert!(self.pipeline.process(&RawPacket { len: frame.len() as u32, ..raw }, &mut view));
        self.views.push(view);
        loop {
            self.tally.part(&view);
            if view.layers & layer::HTTP_EXCHANGE != 0 {
                self.ended.push((self.number, view));
                self.headers.push(strings::headers(view.http.request_headers));
            }
            if self.pipeline.next_part(&mut view).is_none() && self.pipeline.next_given_up(&mut view).is_none() {
                break;
            }
        }
    }

    /// New bytes in one segment.
    pub fn send(&mut self, from: usize, payload: &[u8]) {
        let seq = self.seq[from];
        self.seq[from] = seq.wrapping_add(payload.len() as u32);
        self.raw(from, seq, ACK | PSH, payload);
    }

    /// An acknowledgement of everything.
    pub fn ack(&mut self, from: usize) {
        self.raw(from, self.seq[from], ACK, b"");
    }

    pub fn close(&mut self, from: usize, flag: u8) {
        let seq = self.seq[from];
        self.seq[from] = seq.wrapping_add(1);
        self.raw(from, seq, ACK | flag, b"");
    }

    pub fn seen(&self) -> Vec<(&str, &str, u32, bool)> {
        self.tally
            .exchanges
            .iter()
            .map(|e: &Exchange| (e.method.as_str(), e.uri.as_str(), e.status, e.complete))
            .collect()
    }

    pub fn counters(&self) -> Counters {
        self.pipeline.counters()
    }

    pub fn messages(&self) -> (u64, u64) {
        (self.tally.count("http_requests"), self.tally.count("http_responses"))
    }
}

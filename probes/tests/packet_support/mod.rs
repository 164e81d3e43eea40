//! What the packet tests share: running a capture through a pipeline, reading views, building frames and files.
#![allow(dead_code, reason = "each test file uses a part")]

pub mod build;
pub mod conn;
pub mod http2;
pub mod strings;

use std::collections::BTreeMap;
use std::path::PathBuf;
use weftrace_artifact::packet::{PacketView, analysis, layer};
use weftrace_probes::packet::source::{CaptureReader, Captures, SourceError};
use weftrace_probes::packet::{ALL_NEEDS, Options, Pipeline};

/// The folder of real captures: `WEFTRACE_CAPTURES`, or `../shared/captures` beside the workspace.
pub fn captures() -> Option<PathBuf> {
    let beside = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/captures"));
    let dir = std::env::var_os("WEFTRACE_CAPTURES").map_or(beside, PathBuf::from);
    if dir.join("truth.jsonl").is_file() {
        return Some(dir);
    }
    println!("SKIP captures: no {}", dir.display());
    None
}

/// (number, time, interface, link, bytes) of each packet, and how it ended.
pub type Seen = Vec<(u64, u64, u32, u32, Vec<u8>)>;

/// What a capture file holds.
pub fn read(bytes: &[u8]) -> (Seen, Option<SourceError>) {
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

/// Counts and frame numbers in truth.jsonl's words.
#[derive(Default, Debug)]
pub struct Tally {
    pub counts: BTreeMap<String, u64>,
    pub frames: BTreeMap<String, Vec<u64>>,
    pub streams: BTreeMap<u32, Stream>,
    pub codes: BTreeMap<String, u64>,
    pub methods: BTreeMap<String, u64>,
    pub exchanges: Vec<Exchange>,
}

#[derive(Default, Debug, Clone, PartialEq)]
pub struct Stream {
    pub first_frame: u64,
    pub packets: u64,
    pub bytes: u64,
    pub syns: u64,
    pub initial_rtt: Option<u64>,
    pub synack_ack_rtt: Option<u64>,
    pub flags: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    pub frame: u64,
    pub stream: u32,
    pub method: String,
    pub uri: String,
    pub status: u32,
    pub complete: bool,
}

impl Tally {
    fn add(&mut self, key: &str, n: u64) {
        *self.counts.entry(key.to_owned()).or_default() += n;
    }

    pub fn count(&self, key: &str) -> u64 {
        self.counts.get(key).copied().unwrap_or(0)
    }

    fn mark(&mut self, key: &str, frame: u64) {
        self.add(key, 1);
        self.frames.entry(key.to_owned()).or_default().push(frame);
    }

    /// A packet's first presentation.
    pub fn packet(&mut self, view: &PacketView) {
        self.add("packets", 1);
        let has = |bit: u64| view.layers & bit != 0;
        self.add("truncated_packets", u64::from(view.cap_len < view.len));
        self.add("vlan_packets", u64::from(has(layer::VLAN)));
        if has(layer::TCP) {
            self.tcp(view);
        }
        self.part(view);
    }

    /// Any presentation.
    pub fn part(&mut self, view: &PacketView) {
        self.http(view);
        if view.layers & layer::TLS_HANDSHAKE != 0 {
            self.add("tls_client_hello", u64::from(view.tls.handshake_type == 1));
            self.add("tls_server_hello", u64::from(view.tls.handshake_type == 2));
        }
    }

    fn tcp(&mut self, view: &PacketView) {
        self.add("tcp_packets", 1);
        self.add("tcp_ipv6_packets", u64::from(view.net_family == 10));
        let flags = view.tcp_flags;
        let is = |mask: u32, value: u32| u64::from(flags & mask == value);
        self.add("syn", is(0x12, 0x02));
        self.add("synack", is(0x12, 0x12));
        self.add("fin", is(1, 1));
        self.add("rst", is(4, 4));
        if view.layers & layer::TCP_SACK != 0 {
            self.mark("sack_packets", view.number);
            self.add("sack_blocks", u64::from(view.sack_count));
        }
        let stream = self.streams.entry(view.tcp_stream).or_default();
        if stream.packets == 0 {
            stream.first_frame = view.number;
        }
        stream.packets += 1;
        stream.bytes += u64::from(view.tcp_len);
        stream.syns += is(0x12, 0x02);
        if view.layers & layer::INITIAL_RTT != 0 {
            stream.initial_rtt.get_or_insert(view.initial_rtt_ns);
        }
        if flags & 0x12 == 0x12 && view.layers & layer::ACK_RTT != 0 {
            stream.synack_ack_rtt.get_or_insert(view.ack_rtt_ns);
        }
        for (bit, name) in analysis::NAMES {
            if view.analysis & bit != 0 {
                *stream.flags.entry(name.to_owned()).or_default() += 1;
            }
        }
        for (bit, name) in analysis::NAMES {
            if view.analysis & bit != 0 {
                self.mark(name, view.number);
            }
        }
    }

    fn http(&mut self, view: &PacketView) {
        if view.layers & layer::HTTP_REQUEST != 0 {
            self.mark("http_requests", view.number);
            *self.methods.entry(strings::text(view.http.method)).or_default() += 1;
        }
        if view.layers & layer::HTTP_RESPONSE != 0 {
            self.mark("http_responses", view.number);
            *self.codes.entry(view.http.status.to_string()).or_default() += 1;
        }
        if view.layers & layer::HTTP_EXCHANGE != 0 {
            self.exchanges.push(Exchange {
                frame: view.number,
                stream: view.tcp_stream,
                method: strings::text(view.http.method),
                uri: strings::text(view.http.uri),
                status: view.http.status,
                complete: view.http.complete == 1,
            });
        }
    }
}

/// Runs captures through one pipeline.
pub fn tally(paths: &[PathBuf]) -> (Tally, Pipeline) {
    let mut tally = Tally::default();
    let mut pipeline = Pipeline::new(ALL_NEEDS, Options::default());
    let mut view = PacketView::default();
    let mut captures = Captures::new(paths.iter().cloned());
    while let Some((packet, secrets)) = captures.next_with_secrets().expect("captures are whole") {
        for secrets in &secrets {
            pipeline.add_secrets(&secrets.data);
        }
        pipeline.process(&packet, &mut view);
        tally.packet(&view);
        while pipeline.next_part(&mut view).is_some() || pipeline.next_given_up(&mut view).is_some() {
            tally.part(&view);
        }
    }
    while pipeline.finish(&mut view).is_some() {
        tally.part(&view);
    }
    let streams = tally.streams.len() as u64;
    tally.counts.insert("tcp_streams".to_owned(), streams);
    let again = tally.streams.values().map(|stream| stream.syns.saturating_sub(1)).sum();
    tally.counts.insert("syn_retransmission".to_owned(), again);
    (tally, pipeline)
}

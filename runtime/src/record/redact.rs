//! What a recording doesn't hold unless it is told to: secrets in headers, query strings, bodies.
//!
//! Bytes are overwritten in place, so that every length and sequence number stays what it was: what is masked can still be analysed as TCP,
//! and as HTTP/1 as far as heads and framing go.

use crate::decode;
use std::collections::{BTreeSet, HashMap};
use weftrace_artifact::{
    action::StreamSpec,
    headers,
    packet::{PacketView, layer},
    ty::Type,
};

/// Written instead.
const MASK: u8 = b'x';

/// Headers that say nothing about a user, or how the message is framed. Further ones are those that the script names.
const HARMLESS: &[&str] = &[
    "accept-encoding",
    "age",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "expect",
    "grpc-message",
    "grpc-status",
    "host",
    "keep-alive",
    "retry-after",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "traceparent",
    "upgrade",
    "via",
    "x-amzn-trace-id",
    "x-b3-spanid",
    "x-b3-traceid",
    "x-cloud-trace-context",
    "x-correlation-id",
    "x-request-id",
    ":authority",
    ":method",
    ":scheme",
    ":status",
];

/// Never written, whoever names them.
const SECRET: &[&str] =
    &["authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "x-auth-token", "x-csrf-token"];

/// Fields of streams in which a query string may stand.
const TARGETS: &[&str] = &["path", "uri", "url", "target", "query"];

/// Directions of connections that are followed; one more, and all begin anew.
const MAX_DIRECTIONS: usize = 65_536;
/// Of what is neither TCP nor UDP only this much stays.
const HEADERS_AT_MOST: usize = 96;

/// What stays, and how far each connection has come.
#[derive(Debug)]
pub(crate) struct Redactor {
    allowed: BTreeSet<String>,
    directions: HashMap<Direction, Follow>,
}

type Direction = (u32, [u8; 16], [u8; 16], u16, u16);

#[derive(Debug, Default)]
struct Follow {
    next: u32,
    state: State,
}

/// Where in its direction's bytes the next segment begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// At a message's first line, or of a protocol not seen yet.
    #[default]
    Start,
    /// In a message's header lines.
    Head(Framing),
    Body(u64),
    ChunkSize,
    /// Of a chunk, with its line end.
    Chunk(u64),
    Trailers,
    /// So many bytes of a TLS record, which is sealed already.
    Sealed(u32),
    /// Behind one: the header of the next, as far as it was there.
    Between(RecordHead),
    Opaque,
}

/// The header of a TLS record (RFC 8446, section 5.1), as far as it was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct RecordHead {
    bytes: [u8; 5],
    len: usize,
}

impl RecordHead {
    /// Takes what is missing; how many bytes that were.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let n = bytes.len().min(self.bytes.len() - self.len);
        self.bytes[self.len..self.len + n].copy_from_slice(&bytes[..n]);
        self.len += n;
        n
    }

    fn is_whole(&self) -> bool {
        self.len == self.bytes.len()
    }

    /// The record's length; None: it is none of TLS 1.0 or later.
    fn record(&self) -> Option<u32> {
        /// 2^14 bytes, and what sealing may add.
        const MOST: u16 = (1 << 14) + 2048;
        let [0x14..=0x17, 3, 1..=3, high, low] = self.bytes else { return None };
        Some(u16::from_be_bytes([high, low])).filter(|len| (1..=MOST).contains(len)).map(u32::from)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Framing {
    length: u64,
    chunked: bool,
}

impl Redactor {
    /// `texts`: the script's; headers that stand in them as strings are read by it.
    pub(crate) fn new<'a>(texts: impl Iterator<Item = &'a str>) -> Self {
        let mut allowed: BTreeSet<String> = HARMLESS.iter().map(|name| (*name).to_owned()).collect();
        for text in texts {
            allowed.extend(text.split('"').skip(1).step_by(2).map(str::to_ascii_lowercase));
        }
        allowed.retain(|name| !SECRET.contains(&&**name));
        Self { allowed, directions: HashMap::new() }
    }

    fn allows(&self, name: &[u8]) -> bool {
        std::str::from_utf8(name).is_ok_and(|name| self.allowed.contains(&name.to_ascii_lowercase()))
    }

    /// A stream's record: headers, and query strings in the fields that may have some.
    pub(crate) fn record(&self, spec: &StreamSpec, payload: &mut [u8]) {
        for field in &spec.fields {
            let (from, size) = (field.offset as usize, field.ty.size() as usize);
            let Some(bytes) = payload.get_mut(from..from.saturating_add(size)) else { continue };
            match field.ty {
                Type::Headers => self.headers(bytes),
                Type::Str { cap } if field.name.as_deref().is_some_and(|n| TARGETS.contains(&n)) => {
                    let len = decode::string(bytes, cap).0.len();
                    mask_query(&mut bytes[..len]);
                }
                _ => {}
            }
        }
    }

    /// Packed headers. Of the last one the value may be cut.
    fn headers(&self, packed: &mut [u8]) {
        let mut at = 0;
        while let Some((name, value)) = headers::place(packed, at) {
            at = value.end;
            match (self.allows(&packed[name.clone()]), &packed[name] == b":path") {
                (_, true) => mask_query(&mut packed[value]),
                (false, _) => packed[value].fill(MASK),
                _ => {}
            }
        }
        let name_len = packed.get(at).copied().map_or(0, usize::from);
        if name_len > 0
            && let Some(value) = packed.get_mut(at + headers::ENTRY_HEAD + name_len..)
        {
            value.fill(MASK);
        }
    }

    /// A packet, dissected into `view` whose payload lies in `data`.
    pub(crate) fn packet(&mut self, view: &PacketView, data: &mut [u8]) {
        let (start, len) = (view.payload.ptr as usize, view.payload.len as usize);
        let base = view.data.ptr as usize;
        let transport = view.layers & (layer::TCP | layer::UDP) != 0;
        let place = start.checked_sub(base).filter(|from| len > 0 && from.saturating_add(len) <= data.len());
        let Some(payload) = place.and_then(|from| data.get_mut(from..from + len)) else {
            if !transport || len > 0 {
                data.iter_mut().skip(HEADERS_AT_MOST).for_each(|byte| *byte = MASK);
            }
            return;
        };
        if view.layers & layer::TCP != 0 {
            self.segment(view, payload);
        } else if ![view.udp_src_port, view.udp_dst_port].iter().any(|port| matches!(port, 53 | 5353)) {
            payload.fill(MASK);
        }
    }

    /// A text by itself, if it is a message of HTTP/1.
    pub(crate) fn message(&self, text: &mut [u8]) {
        if let Begin::Http(_) = start(text) {
            self.walk(State::Start, text);
        }
    }

    fn segment(&mut self, view: &PacketView, payload: &mut [u8]) {
        let v6 = view.layers & layer::IPV6 != 0;
        let (src, dst) = if v6 { (view.ipv6_src, view.ipv6_dst) } else { (view.ip_src, view.ip_dst) };
        let key = (view.netns, src, dst, view.tcp_src_port, view.tcp_dst_port);
        if self.directions.len() >= MAX_DIRECTIONS && !self.directions.contains_key(&key) {
            self.directions.clear();
        }
        let seq = view.tcp_seq_raw;
        let mut follow = self.directions.remove(&key).unwrap_or_else(|| Follow { next: seq, ..Follow::default() });
        // A connection anew, or bytes that were not seen: where messages begin must be found out again.
        if seq != follow.next {
            let ahead = seq.wrapping_sub(follow.next);
            if (ahead as i32) < 0 {
                // Sent again: what it was is not known any more.
                payload.fill(MASK);
                self.directions.insert(key, follow);
                return;
            }
            follow.state = match follow.state {
                State::Sealed(left) if ahead < left => State::Sealed(left - ahead),
                _ => State::Start,
            };
        }
        follow.state = self.walk(follow.state, payload);
        follow.next = seq.wrapping_add(payload.len() as u32);
        self.directions.insert(key, follow);
    }

    /// Masks a segment's bytes, from where the last one ended.
    fn walk(&self, mut state: State, mut bytes: &mut [u8]) -> State {
        while !bytes.is_empty() {
            let (used, next) = match state {
                State::Start => match start(bytes) {
                    Begin::Http(end) => {
                        mask_target(&mut bytes[..end]);
                        (end, State::Head(Framing::default()))
                    }
                    Begin::Tls => (0, State::Between(RecordHead::default())),
                    Begin::Other => (0, State::Opaque),
                },
                State::Head(framing) => self.header_line(bytes, framing),
                State::Trailers => match self.header_line(bytes, Framing::default()) {
                    (used, State::Head(_)) => (used, State::Trailers),
                    (used, _) => (used, State::Start),
                },
                State::Body(left) => {
                    let n = left.min(bytes.len() as u64) as usize;
                    bytes[..n].fill(MASK);
                    (n, if left > n as u64 { State::Body(left - n as u64) } else { State::Start })
                }
                State::ChunkSize => chunk_size(bytes),
                State::Chunk(left) => {
                    let n = left.min(bytes.len() as u64) as usize;
                    // The line end behind it stays.
                    let data = left.saturating_sub(2).min(n as u64) as usize;
                    bytes[..data].fill(MASK);
                    (n, if left > n as u64 { State::Chunk(left - n as u64) } else { State::ChunkSize })
                }
                State::Sealed(left) => {
                    let n = bytes.len().min(left as usize);
                    let rest = left - n as u32;
                    (n, if rest > 0 { State::Sealed(rest) } else { State::Between(RecordHead::default()) })
                }
                // Many protocols have messages that begin as a record does: each record must, or what follows is masked.
                State::Between(mut head) => {
                    let n = head.take(bytes);
                    match head.record() {
                        Some(len) => (n, State::Sealed(len)),
                        None if !head.is_whole() => (n, State::Between(head)),
                        None => (0, State::Opaque),
                    }
                }
                State::Opaque => {
                    bytes.fill(MASK);
                    // A segment may begin a message again: bodies whose end isn't said, HTTP after something else.
                    return State::Start;
                }
            };
            state = next;
            bytes = &mut bytes[used..];
        }
        state
    }

    /// One header line: its value stays if it may, and how the body is framed is read from it.
    fn header_line(&self, bytes: &mut [u8], mut framing: Framing) -> (usize, State) {
        let Some(end) = bytes.iter().position(|b| *b == b'\n').map(|at| at + 1) else {
            // It goes on in the next segment, where it can't be told what it is.
            bytes.fill(MASK);
            return (bytes.len(), State::Opaque);
        };
        let line = &mut bytes[..end];
        if matches!(line, [b' ' | b'\t', ..]) {
            // The line before goes on (RFC 9112, section 5.2).
            mask_line(line);
            return (end, State::Head(framing));
        }
        if line == b"\r\n" || line == b"\n" {
            let next = match framing {
                Framing { chunked: true, .. } => State::ChunkSize,
                Framing { length: 0, .. } => State::Start,
                Framing { length, .. } => State::Body(length),
            };
            return (end, next);
        }
        let Some(colon) = line.iter().position(|b| *b == b':') else {
            mask_line(line);
            return (end, State::Head(framing));
        };
        let (name, value) = line.split_at_mut(colon);
        if name.eq_ignore_ascii_case(b"content-length") {
            framing.length = std::str::from_utf8(&value[1..]).ok().and_then(|v| v.trim().parse().ok()).unwrap_or(0);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            framing.chunked = value.to_ascii_lowercase().windows(7).any(|w| w == b"chunked");
        }
        if !self.allows(name) {
            let last = value.len() - if value.ends_with(b"\r\n") { 2 } else { 1 };
            value[1..last.max(1)].iter_mut().filter(|b| **b != b' ').for_each(|b| *b = MASK);
        }
        (end, State::Head(framing))
    }
}

enum Begin {
    /// Its first line, with its end.
    Http(usize),
    Tls,
    Other,
}

fn start(bytes: &[u8]) -> Begin {
    let mut head = RecordHead::default();
    head.take(bytes);
    if head.record().is_some() {
        return Begin::Tls;
    }
    let Some(end) = bytes.iter().take(8192).position(|b| *b == b'\n').map(|at| at + 1) else { return Begin::Other };
    let line = &bytes[..end];
    let is = line.starts_with(b"HTTP/1.")
        || line.windows(8).any(|w| w.starts_with(b" HTTP/1.")) && line[0].is_ascii_uppercase();
    if is { Begin::Http(end) } else { Begin::Other }
}

/// All but a line's end.
fn mask_line(line: &mut [u8]) {
    let end = if line.ends_with(b"\r\n") { 2 } else { 1 };
    let last = line.len().saturating_sub(end);
    line[..last].fill(MASK);
}

/// The query string of a request's first line.
fn mask_target(line: &mut [u8]) {
    let Some(from) = line.iter().position(|b| *b == b' ').map(|at| at + 1) else { return };
    let to = line[from..].iter().position(|b| *b == b' ').map_or(line.len(), |at| from + at);
    mask_query(&mut line[from..to]);
}

fn mask_query(target: &mut [u8]) {
    if let Some(at) = target.iter().position(|b| matches!(b, b'?' | b'#')) {
        target[at + 1..].fill(MASK);
    }
}

fn chunk_size(bytes: &mut [u8]) -> (usize, State) {
    let Some(end) = bytes.iter().take(32).position(|b| *b == b'\n').map(|at| at + 1) else {
        bytes.fill(MASK);
        return (bytes.len(), State::Opaque);
    };
    let digits = bytes[..end].iter().take_while(|b| b.is_ascii_hexdigit()).count();
    let size = std::str::from_utf8(&bytes[..digits]).ok().and_then(|d| u64::from_str_radix(d, 16).ok());
    match size {
        Some(0) => (end, State::Trailers),
        Some(size) => (end, State::Chunk(size.saturating_add(2))),
        None => (0, State::Opaque),
    }
}

#[cfg(test)]
#[path = "redact_tests.rs"]
mod tests;

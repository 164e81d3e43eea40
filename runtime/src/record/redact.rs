//! What a recording doesn't hold unless it is told to: secrets in headers, query strings, bodies.
//!
//! Bytes are overwritten in place, so that every length and sequence number stays what it was: what is masked can still be analysed as TCP,
//! and as HTTP/1 as far as heads and framing go.

use super::{
    frame,
    http::{self, State, Tail},
};
use crate::{
    decode,
    join::show::target::{is_target, secrets},
};
use std::collections::{BTreeSet, HashMap};
use weftrace_artifact::{
    action::StreamSpec,
    headers,
    packet::{PacketView, layer},
    ty::Type,
};
use weftrace_probes::packet::is_dns_message;

/// Written instead.
pub(super) const MASK: u8 = b'x';

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

/// Never written, whoever names them: blocks of a run that is recorded read them masked, so that nothing they make of them is written either.
const SECRET: &[&str] =
    &["authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "x-auth-token", "x-csrf-token"];

/// Fields that hold what a message, or a line of a log, says.
const BODY: &str = "body";

/// Directions of connections that are followed; one more, and all begin anew.
const MAX_DIRECTIONS: usize = 65_536;

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

/// Masks a header's value as it is in the packets of a recording, if nobody is to read it there.
pub(crate) fn hide(name: &[u8], value: &mut [u8]) {
    if SECRET.iter().any(|secret| secret.as_bytes().eq_ignore_ascii_case(name)) {
        mask_value(value);
    }
}

/// A header's value; spaces stay.
pub(super) fn mask_value(value: &mut [u8]) {
    value.iter_mut().filter(|byte| **byte != b' ').for_each(|byte| *byte = MASK);
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

    pub(super) fn allows(&self, name: &[u8]) -> bool {
        std::str::from_utf8(name).is_ok_and(|name| self.allowed.contains(&name.to_ascii_lowercase()))
    }

    /// A stream's record: headers, bodies, and query strings in the fields that may have some.
    pub(crate) fn record(&self, spec: &StreamSpec, payload: &mut [u8]) {
        for field in &spec.fields {
            let (from, size) = (field.offset as usize, field.ty.size() as usize);
            let Some(bytes) = payload.get_mut(from..from.saturating_add(size)) else { continue };
            match field.ty {
                Type::Headers => self.headers(bytes),
                Type::Str { cap } => {
                    let len = decode::string(bytes, cap).0.len();
                    let text = &mut bytes[..len];
                    match field.name.as_deref() {
                        Some(BODY) => text.fill(MASK),
                        Some(name) if is_target(name) => mask_target(name, text),
                        _ => {}
                    }
                }
                Type::Buf { cap } if field.name.as_deref() == Some(BODY) => {
                    let len = decode::buffer(bytes, cap).len();
                    bytes.iter_mut().skip(4).take(len).for_each(|byte| *byte = MASK);
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
                (_, true) => mask_target("path", &mut packed[value]),
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
        let place = start.checked_sub(view.data.ptr as usize);
        let place = place.filter(|from| len > 0 && from.saturating_add(len) <= data.len());
        let Some(payload) = place.and_then(|from| data.get_mut(from..from + len)) else {
            // Nothing that is understood, a piece of it, or something that lies about its length.
            let headers = frame::headers(view, data);
            return data.iter_mut().skip(headers).for_each(|byte| *byte = MASK);
        };
        if view.layers & layer::TCP != 0 {
            self.segment(view, payload);
        } else {
            let on_its_port = [view.udp_src_port, view.udp_dst_port].iter().any(|port| matches!(port, 53 | 5353));
            if !(on_its_port && is_dns_message(payload)) {
                payload.fill(MASK);
            }
        }
        // Behind what IP says is the packet.
        if let Some(trailer) = place.and_then(|from| data.get_mut(from + len..)) {
            trailer.fill(MASK);
        }
    }

    /// A text by itself, if it is a message of HTTP/1, or the start of a request's first line.
    pub(crate) fn message(&self, text: &mut [u8]) {
        if http::begins(text) {
            self.walk(State::Start, text);
        } else if let Some(target) = http::cut_target(text) {
            mask_target("target", &mut text[target]);
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
                // What is missing may have been of it, or all of its rest: it is masked up to a line's end in any case.
                State::Line(_) => State::Line(Tail::default()),
                _ => State::Start,
            };
        }
        follow.state = self.walk(follow.state, payload);
        follow.next = seq.wrapping_add(payload.len() as u32);
        self.directions.insert(key, follow);
    }
}

/// The secrets of a request's target.
pub(super) fn mask_target(field: &str, target: &mut [u8]) {
    for secret in secrets(field, target) {
        target[secret].fill(MASK);
    }
}

#[cfg(test)]
#[path = "redact_tests.rs"]
mod tests;

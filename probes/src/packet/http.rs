//! HTTP/1 on TCP connections of any port: messages, and exchanges (a request with its response).
//!
//! Each direction is a stream of messages ([`messages::Messages`]). A hole in a body of known length only marks the message;
//! elsewhere the parser waits for a segment that starts with a head.
//!
//! A message is presented with the packet that completes it, head and body, as Wireshark does. An exchange is presented with
//! the packet that acknowledges its response's last byte, or with the end of the connection.

mod body;
mod exchange;
mod head;
mod messages;
mod present;
mod route;

pub(crate) use exchange::{Exchange, HttpFlow, Response};
pub(crate) use head::{Framing, Head, Kind, Outline, Sniff as HeadSniff};
pub use present::PassedOver;
pub(crate) use present::{Awaiting, Ended, Passing, present};

use super::stream::Shared;
use super::stream::protocols::{Setting, Sniff};
use std::sync::Arc;

/// Limits of what HTTP keeps.
#[derive(Clone, Copy, Debug)]
pub struct HttpLimits {
    /// A head that is longer is not HTTP.
    pub head_bytes: usize,
    /// Requests of one connection without a response.
    pub outstanding: usize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self { head_bytes: 64 << 10, outstanding: 256 }
    }
}

/// What HTTP could not do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HttpCounters {
    /// Missing bytes in a stream that spoke HTTP: times, not bytes.
    pub gaps: u64,
    /// Messages' bytes that were not copied (of sockets' calls, beyond a bound), where more than a body was among them.
    pub cut: u64,
    /// Heads that were not well-formed, or longer than the limit.
    pub malformed: u64,
    /// Requests given up because too many were outstanding, or their connection was evicted.
    pub dropped: u64,
}

/// Whether a direction's first bytes are HTTP/1's.
pub(crate) fn sniff(bytes: &[u8], _: &Setting<'_>) -> Sniff {
    // Empty lines may come before a request (RFC 9112, section 2.2).
    let text = match bytes.first() {
        Some(b'\r' | b'\n') => bytes.trim_ascii_start(),
        _ => bytes,
    };
    match head::Sniff::of_segment(text) {
        head::Sniff::Head => Sniff::Yes,
        head::Sniff::Maybe => Sniff::Maybe,
        head::Sniff::No => Sniff::No,
    }
}

/// For fuzzers: see [`head::Head::scan_agrees`].
pub(super) fn scan_agrees(bytes: &[u8]) -> bool {
    head::Head::scan_agrees(bytes)
}

/// A message in a datagram of its own (SSDP).
pub(crate) fn datagram(payload: &[u8], shared: &mut Shared) {
    if head::Sniff::of(payload) != head::Sniff::Head {
        return;
    }
    if let Some(end) = head::end_of_head(payload, 0)
        && let Some(message) = head::Head::parse(&payload[..end])
    {
        present::message(&Arc::new(message), shared);
    }
}

/// A fast retransmission that holds a whole message: tshark dissects it again, so it is presented again, as a message and
/// not as an exchange. (Other retransmissions it leaves alone.)
fn repeated(payload: &[u8], shared: &mut Shared) {
    if head::Sniff::of(payload) != head::Sniff::Head {
        return;
    }
    let Some(end) = head::end_of_head(payload, 0) else { return };
    let Some(message) = head::Head::parse(&payload[..end]) else { return };
    let whole = match message.outline.framing {
        head::Framing::Length(length) => (payload.len() - end) as u64 >= length,
        head::Framing::Unsaid => true,
        head::Framing::Chunked => {
            matches!(body::Chunked::default().feed(&payload[end..]), body::Progress::End(_))
        }
    };
    if whole {
        present::message(&Arc::new(message), shared);
    }
}

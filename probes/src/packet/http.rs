//! HTTP/1 on TCP connections of any port: messages, and exchanges (a request with its response).
//!
//! Each direction is followed as a byte stream ([`stream::Stream`]): retransmissions are skipped, segments ahead of a hole
//! wait in a bounded buffer, and a hole that the other side has acknowledged is a gap: inside a body of known length it
//! only marks the message, elsewhere the parser waits for a segment that starts with a head.
//!
//! A message is presented with the packet that completes it, head and body, as Wireshark does. An exchange is presented with
//! the packet that acknowledges its response's last byte, or with the end of the connection.

mod body;
mod exchange;
mod head;
mod present;
mod stream;

pub(crate) use exchange::{HttpFlow, TcpPacket};
pub(crate) use head::Sniff;
pub(crate) use present::HttpEngine;

/// Limits of what HTTP keeps.
#[derive(Clone, Copy, Debug)]
pub struct HttpLimits {
    /// A head that is longer is not HTTP.
    pub head_bytes: usize,
    /// Bytes of one direction that may wait behind a hole.
    pub held_bytes: usize,
    /// The same for all connections together.
    pub held_bytes_total: usize,
    /// Requests of one connection without a response.
    pub outstanding: usize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self { head_bytes: 64 << 10, held_bytes: 256 << 10, held_bytes_total: 32 << 20, outstanding: 256 }
    }
}

/// What HTTP could not do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HttpCounters {
    /// Missing bytes in a stream that spoke HTTP: times, not bytes.
    pub gaps: u64,
    /// Heads that were not well-formed, or longer than the limit.
    pub malformed: u64,
    /// Requests given up because too many were outstanding, or their connection was evicted.
    pub dropped: u64,
}

/// A message in a datagram of its own (SSDP).
pub(crate) fn datagram(payload: &[u8], engine: &mut HttpEngine) {
    if Sniff::of(payload) != Sniff::Head {
        return;
    }
    if let Some(end) = head::end_of_head(payload, 0)
        && let Some(message) = head::Head::parse(&payload[..end])
    {
        engine.present_message(message);
    }
}

/// A fast retransmission that holds a whole message: tshark dissects it again, so it is presented again, as a message and
/// not as an exchange. (Other retransmissions it leaves alone.)
pub(crate) fn repeated(payload: &[u8], engine: &mut HttpEngine) {
    if Sniff::of(payload) != Sniff::Head {
        return;
    }
    let Some(end) = head::end_of_head(payload, 0) else { return };
    let Some(message) = head::Head::parse(&payload[..end]) else { return };
    let whole = match message.framing {
        head::Framing::Length(length) => (payload.len() - end) as u64 >= length,
        head::Framing::Unsaid => true,
        head::Framing::Chunked => {
            matches!(body::Chunked::default().feed(&payload[end..]), body::Progress::End(_))
        }
    };
    if whole {
        engine.present_message(message);
    }
}

//! HTTP/2 in clear or inside TLS: frames, their header blocks, and exchanges.
//!
//! A connection is recognised by the client's preface, by an upgrade from HTTP/1, by ALPN, or, where it was open before, by a segment
//! that consists of frames. What depends on bytes that were not seen is *not known*, and counted: a header field by an index
//! into a table whose entry is missing ([`hpack`]), frames up to the next place where one must begin ([`side`]).
//!
//! A frame is presented with the packet that completes it; its header fields with the frame that ends their block. Exchanges are HTTP/1's:
//! the same fields, presented when the response has arrived.

mod flow;
mod frame;
mod hpack;
mod present;
mod side;
mod streams;

pub(crate) use flow::Http2Flow;
pub(crate) use frame::is_frames;
pub(crate) use hpack::Fields;
pub(crate) use streams::{Frames, Heads};

use super::stream::protocols::{Setting, Sniff};

/// Limits of what HTTP/2 keeps.
#[derive(Clone, Copy, Debug)]
pub struct Http2Limits {
    /// Bytes of a header block. Of a longer one nothing is known.
    pub block_bytes: usize,
    /// Bytes that its fields may unpack to; further fields are not kept.
    pub head_bytes: usize,
    /// Streams of one connection whose exchange is open.
    pub streams: usize,
    /// Bytes of tables and header blocks under way, of all connections together.
    pub held_bytes_total: usize,
    /// Bytes of the heads of open exchanges and of where their frames lie, of all connections together. What finds no room is counted as
    /// dropped.
    pub heads_bytes_total: usize,
}

impl Default for Http2Limits {
    fn default() -> Self {
        Self {
            block_bytes: 256 << 10,
            head_bytes: 64 << 10,
            streams: 2048,
            held_bytes_total: 32 << 20,
            heads_bytes_total: 64 << 20,
        }
    }
}

/// What HTTP/2 could not do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Http2Counters {
    /// Header fields that refer to what was sent before the capture, or in bytes that are missing.
    pub unknown: u64,
    /// Missing bytes: those after which frames had to be looked for, and those inside of frames that are no data.
    pub gaps: u64,
    /// Frames and header blocks that RFC 9113 or RFC 7541 doesn't allow.
    pub malformed: u64,
    /// Header blocks that were too long, in bytes or in what they unpack to, or not captured whole.
    pub cut: u64,
    /// Tables given up because all of them together took too much memory.
    pub forgotten: u64,
}

/// Whether a direction's first bytes are HTTP/2's.
pub(crate) fn sniff(bytes: &[u8], setting: &Setting<'_>) -> Sniff {
    if setting.alpn == b"h2" {
        return Sniff::Yes;
    }
    if !setting.alpn.is_empty() {
        return Sniff::No;
    }
    let n = bytes.len().min(frame::PREFACE.len());
    if bytes[..n] == frame::PREFACE[..n] {
        // As long as the preface has no second word, it may be a method.
        return if n >= 6 { Sniff::Yes } else { Sniff::Maybe };
    }
    if frame::is_frames(bytes) { Sniff::Yes } else { Sniff::No }
}

//! TLS on TCP connections of any port: records, handshake messages, alerts, how long handshakes took; and, with the secrets of its
//! sessions, what is inside.
//!
//! Each direction is cut into [`records`]; a record that spans segments is presented with the packet that completes it, a handshake
//! message that spans records with the record that completes it, as Wireshark does. Bodies are kept only where something is
//! read from them. What a decrypted connection says goes to a dialogue of its own, so that HTTP is found in it as on any connection.

mod crypt;
mod cursor;
mod flow;
mod handshake;
mod kdf;
mod messages;
mod open;
mod present;
mod records;
mod secrets;
mod suites;

pub(crate) use flow::TlsFlow;
pub(crate) use present::Conn;
pub use secrets::SecretSource;
pub(crate) use secrets::Secrets;

use super::stream::{Setting, Sniff};
use std::sync::Arc;

/// What all connections share.
#[derive(Default)]
pub(crate) struct TlsShared {
    pub(crate) counters: TlsCounters,
    /// The connection of the packet in hand, if it speaks TLS.
    pub(crate) conn: Option<Arc<Conn>>,
    pub(crate) secrets: Secrets,
}

/// What TLS could not do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TlsCounters {
    /// Missing bytes in a stream that spoke TLS: times, not bytes.
    pub(crate) gaps: u64,
    /// Records or hellos that were not well-formed.
    pub(crate) malformed: u64,
    /// Records that were not read: all connections together held too much.
    pub(crate) refused: u64,
    /// Connections that were not read in spite of secrets: they are compressed.
    pub(crate) compressed: u64,
}

/// Content types of records (RFC 8446, section 5.1).
pub(super) mod content {
    pub(crate) const CHANGE_CIPHER_SPEC: u8 = 20;
    pub(crate) const ALERT: u8 = 21;
    pub(crate) const HANDSHAKE: u8 = 22;
    pub(crate) const DATA: u8 = 23;
    pub(crate) const HEARTBEAT: u8 = 24;
}

/// Whether a direction's first bytes are TLS records.
pub(crate) fn sniff(bytes: &[u8], _: &Setting<'_>) -> Sniff {
    records::sniff(bytes)
}

//! The packet ABI: what a `pcap` handler sees, and the table of fields.
//!
//! One row of [`FIELDS`] holds a field's name (Wireshark's), type, what must have been computed for it, how it is read, and
//! its documentation. The checker, the code generators, `weftrace list 'pcap:*'` and docs/fields.md all read this
//! table. A field that its packet lacks is *absent*: comparisons with it are false, `??` gives the alternative, its value is 0 or "".
//!
//! Durations are integers in ns where Wireshark shows seconds.

mod fields;
mod view;

pub use fields::FIELDS;
pub use view::{HttpView, PacketView, StrRef};

use serde::{Deserialize, Serialize};

/// Layers found in a packet: bits of [`PacketView::layers`]. A field is present if all of its row's `layers` bits are set.
pub mod layer {
    pub const FRAME: u32 = 1 << 0;
    pub const ETH: u32 = 1 << 1;
    pub const VLAN: u32 = 1 << 2;
    pub const IP: u32 = 1 << 3;
    pub const IPV6: u32 = 1 << 4;
    pub const TCP: u32 = 1 << 5;
    pub const UDP: u32 = 1 << 6;
    /// A request ends in this packet (head and body, as Wireshark reassembles them).
    pub const HTTP_REQUEST: u32 = 1 << 7;
    /// A response ends in this packet (head and body, as Wireshark reassembles them).
    pub const HTTP_RESPONSE: u32 = 1 << 8;
    /// An exchange has ended: this packet acknowledges its response, or ends the connection. `http.exchange.*` is known.
    pub const HTTP_EXCHANGE: u32 = 1 << 9;
    pub const TCP_MSS: u32 = 1 << 10;
    pub const TCP_WSCALE: u32 = 1 << 11;
    pub const TCP_TIMESTAMP: u32 = 1 << 12;
    /// At least one SACK block.
    pub const TCP_SACK: u32 = 1 << 13;
    /// Wall time could be converted to boot time.
    pub const BOOT_TIME: u32 = 1 << 14;
    /// A zero-window stall ended with this packet: `tcp.zero_window.*` is known.
    pub const ZERO_WINDOW_END: u32 = 1 << 15;
    /// A handshake ended with this packet, well or badly: `tcp.handshake.*` is known.
    pub const HANDSHAKE_END: u32 = 1 << 16;
    /// iRTT of the stream is known.
    pub const INITIAL_RTT: u32 = 1 << 17;
    pub const SACK_PERM: u32 = 1 << 18;
    pub const DUP_ACK: u32 = 1 << 19;
    /// The HTTP message that ends here has a Host header.
    pub const HTTP_HOST: u32 = 1 << 20;
    /// The HTTP message that ends here has a Content-Length.
    pub const HTTP_CONTENT_LENGTH: u32 = 1 << 21;
    /// This packet acknowledges a segment that was seen.
    pub const ACK_RTT: u32 = 1 << 22;
    pub const RTO: u32 = 1 << 23;
    pub const BYTES_IN_FLIGHT: u32 = 1 << 24;
    /// A segment without SYN, whose window is scaled.
    pub const WINDOW_SCALE: u32 = 1 << 25;
    /// Any HTTP message ends here: a request or a response.
    pub const HTTP: u32 = 1 << 26;
    /// The packet belongs to a flow of the flow table.
    pub const FLOW: u32 = 1 << 27;
    /// TCP with the ACK flag.
    pub const ACK: u32 = 1 << 28;
}

/// What must be computed before a handler runs: bits of [`crate::Artifact::packet_needs`].
pub mod needs {
    /// Link, network and transport headers.
    pub const HEADERS: u32 = 1 << 0;
    /// `tcp.stream` and per-flow numbers (relative sequence numbers, window scale, handshakes, stalls).
    pub const FLOW: u32 = 1 << 1;
    /// `tcp.analysis.*`
    pub const ANALYSIS: u32 = 1 << 2;
    /// HTTP/1 messages and exchanges.
    pub const HTTP: u32 = 1 << 3;
    /// Lists of segments in flight: `ack_rtt`, `rto`, `bytes_in_flight`.
    pub const SEGMENTS: u32 = 1 << 4;
    /// TCP options of every segment (those of SYNs are read for flows anyway).
    pub const OPTIONS: u32 = 1 << 5;
    /// Payload bytes: nothing to compute, but whole packets must be captured.
    pub const PAYLOAD: u32 = 1 << 6;
}

/// Bits of [`PacketView::analysis`], tcp-analysis-spec's names.
pub mod analysis {
    /// Any retransmission; fast and spurious ones carry this bit too.
    pub const RETRANSMISSION: u32 = 1 << 0;
    pub const FAST_RETRANSMISSION: u32 = 1 << 1;
    pub const SPURIOUS_RETRANSMISSION: u32 = 1 << 2;
    pub const OUT_OF_ORDER: u32 = 1 << 3;
    pub const LOST_SEGMENT: u32 = 1 << 4;
    pub const ACK_LOST_SEGMENT: u32 = 1 << 5;
    pub const DUPLICATE_ACK: u32 = 1 << 6;
    pub const ZERO_WINDOW: u32 = 1 << 7;
    pub const ZERO_WINDOW_PROBE: u32 = 1 << 8;
    pub const ZERO_WINDOW_PROBE_ACK: u32 = 1 << 9;
    pub const WINDOW_FULL: u32 = 1 << 10;
    pub const WINDOW_UPDATE: u32 = 1 << 11;
    pub const KEEP_ALIVE: u32 = 1 << 12;
    pub const KEEP_ALIVE_ACK: u32 = 1 << 13;
    pub const REUSED_PORTS: u32 = 1 << 14;

    /// (bit, Wireshark's name after `tcp.analysis.`), in bit order.
    pub const NAMES: [(u32, &str); 15] = [
        (RETRANSMISSION, "retransmission"),
        (FAST_RETRANSMISSION, "fast_retransmission"),
        (SPURIOUS_RETRANSMISSION, "spurious_retransmission"),
        (OUT_OF_ORDER, "out_of_order"),
        (LOST_SEGMENT, "lost_segment"),
        (ACK_LOST_SEGMENT, "ack_lost_segment"),
        (DUPLICATE_ACK, "duplicate_ack"),
        (ZERO_WINDOW, "zero_window"),
        (ZERO_WINDOW_PROBE, "zero_window_probe"),
        (ZERO_WINDOW_PROBE_ACK, "zero_window_probe_ack"),
        (WINDOW_FULL, "window_full"),
        (WINDOW_UPDATE, "window_update"),
        (KEEP_ALIVE, "keep_alive"),
        (KEEP_ALIVE_ACK, "keep_alive_ack"),
        (REUSED_PORTS, "reused_ports"),
    ];
}

/// The type a field has in scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FieldType {
    Bool,
    U8,
    U16,
    U32,
    U64,
    I32,
    /// 16 bytes in the view, AF_INET
    Ipv4,
    Ipv6,
    Mac,
    Str,
    /// Packed headers, indexed by name.
    Headers,
    /// Connection key, by helper.
    Conn,
    /// ns since the epoch (CLOCK_REALTIME), an integer
    Time,
}

/// How generated code reads a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// A load of the type's width at this offset of the view.
    Load(usize),
    /// `(u32 at offset & mask) != 0`
    Bit(usize, u32),
    /// Address bytes at this offset.
    Bytes(usize),
    /// A [`StrRef`] at this offset.
    Str(usize),
    /// [`crate::native::NativeHelper::PacketConn`]
    Conn,
}

#[derive(Clone, Copy, Debug)]
pub struct FieldRow {
    pub name: &'static str,
    pub ty: FieldType,
    /// [`needs`] bits.
    pub needs: u32,
    /// [`layer`] bits that make it present.
    pub layers: u32,
    pub read: Read,
    pub doc: &'static str,
}

/// The row of a field by its full dotted name.
pub fn field(name: &str) -> Option<&'static FieldRow> {
    FIELDS.iter().find(|row| row.name == name)
}

#[cfg(test)]
mod tests;

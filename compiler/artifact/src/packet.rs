//! The packet ABI: what a `pcap` handler sees, and the table of fields.
//!
//! One row of [`FIELDS`] holds a field's name (Wireshark's), type, what must have been computed for it, how it is read, and
//! its documentation. The checker, the code generators, `weftrace list 'pcap:*'` and docs/fields.md all read this
//! table. A field that its packet lacks is *absent*: comparisons with it are false, `??` gives the alternative, its value is 0 or "".
//!
//! Durations are integers in ns where Wireshark shows seconds.

mod fields;
pub mod kernel;
pub mod known;
mod view;

pub use fields::FIELDS;
pub use kernel::KernelRead;
pub use view::{
    ConnectionView, DnsView, GrpcView, Http2View, HttpView, IcmpView, MoreRef, MoreView, PacketView, RangesView,
    SideView, StrRef, Text, TlsView, http2_mark,
};

use serde::{Deserialize, Serialize};

/// Layers found in a packet: bits of [`PacketView::layers`]. A field is present if all of its row's `layers` bits are set.
pub mod layer {
    pub const FRAME: u64 = 1 << 0;
    pub const ETH: u64 = 1 << 1;
    pub const VLAN: u64 = 1 << 2;
    pub const IP: u64 = 1 << 3;
    pub const IPV6: u64 = 1 << 4;
    pub const TCP: u64 = 1 << 5;
    pub const UDP: u64 = 1 << 6;
    /// A request ends in this packet (head and body, as Wireshark reassembles them).
    pub const HTTP_REQUEST: u64 = 1 << 7;
    /// A response ends in this packet (head and body, as Wireshark reassembles them).
    pub const HTTP_RESPONSE: u64 = 1 << 8;
    /// An exchange has ended: this packet acknowledges its response, or ends the connection. `http.exchange.*` is known.
    pub const HTTP_EXCHANGE: u64 = 1 << 9;
    pub const TCP_MSS: u64 = 1 << 10;
    pub const TCP_WSCALE: u64 = 1 << 11;
    pub const TCP_TIMESTAMP: u64 = 1 << 12;
    /// At least one SACK block.
    pub const TCP_SACK: u64 = 1 << 13;
    /// Wall time could be converted to boot time.
    pub const BOOT_TIME: u64 = 1 << 14;
    /// A zero-window stall ended with this packet, or lasts where there is none any more: `tcp.zero_window.*` is known.
    pub const ZERO_WINDOW_END: u64 = 1 << 15;
    /// A handshake ended with this packet, well or badly: `tcp.handshake.*` is known.
    pub const HANDSHAKE_END: u64 = 1 << 16;
    /// iRTT of the stream is known.
    pub const INITIAL_RTT: u64 = 1 << 17;
    pub const SACK_PERM: u64 = 1 << 18;
    pub const DUP_ACK: u64 = 1 << 19;
    /// The HTTP message that ends here has a Host header; of an exchange it is known whether it has one.
    pub const HTTP_HOST: u64 = 1 << 20;
    /// The HTTP message that ends here has a Content-Length.
    pub const HTTP_CONTENT_LENGTH: u64 = 1 << 21;
    /// This packet acknowledges a segment that was seen.
    pub const ACK_RTT: u64 = 1 << 22;
    pub const RTO: u64 = 1 << 23;
    pub const BYTES_IN_FLIGHT: u64 = 1 << 24;
    /// A segment without SYN, whose window is scaled.
    pub const WINDOW_SCALE: u64 = 1 << 25;
    /// Any HTTP message ends here: a request or a response.
    pub const HTTP: u64 = 1 << 26;
    /// The packet belongs to a flow of the flow table.
    pub const FLOW: u64 = 1 << 27;
    /// A TLS record (or a message in it) ends here.
    pub const TLS: u64 = 1 << 29;
    /// It is a handshake message whose type is known.
    pub const TLS_HANDSHAKE: u64 = 1 << 30;
    /// It is a client hello or a server hello.
    pub const TLS_HELLO: u64 = 1 << 31;
    pub const TLS_SERVER_NAME: u64 = 1 << 32;
    pub const TLS_ALPN: u64 = 1 << 33;
    pub const TLS_SUPPORTED_VERSION: u64 = 1 << 34;
    pub const TLS_ALERT: u64 = 1 << 36;
    /// The record was decrypted, and says in clear that it is something else.
    pub const TLS_OPAQUE: u64 = 1 << 37;
    /// A TLS handshake ends here, well or badly.
    pub const TLS_HANDSHAKE_END: u64 = 1 << 38;
    /// The handshake that ends had a server hello.
    pub const TLS_SERVER_HELLO: u64 = 1 << 39;
    /// The packet belongs to a connection whose TLS hello was seen.
    pub const TLS_CONN: u64 = 1 << 40;
    /// What the record holds is known: always, but in TLS 1.3 that is not decrypted.
    pub const TLS_CONTENT: u64 = 1 << 41;
    /// A DNS message ends here.
    pub const DNS: u64 = 1 << 42;
    pub const ICMP: u64 = 1 << 43;
    pub const ICMPV6: u64 = 1 << 44;
    /// What is known of a DNS message, and of an ICMP message: no packet has both, so they share bits.
    pub const DNS_QUESTION: u64 = 1 << 45;
    pub const ICMP_ECHO: u64 = DNS_QUESTION;
    pub const DNS_TIME: u64 = 1 << 46;
    /// Of an echo reply, its time; of an error, the size of packets that fit.
    pub const ICMP_DETAIL: u64 = DNS_TIME;
    pub const DNS_A: u64 = 1 << 63;
    pub const ICMP_QUOTE: u64 = DNS_A;
    pub const DNS_AAAA: u64 = 1 << 35;

    /// What an exchange's request and response say, where it is known: an HTTP/2 connection may have been open before the capture.
    pub const EXCHANGE_METHOD: u64 = 1 << 47;
    pub const EXCHANGE_URI: u64 = 1 << 48;
    pub const EXCHANGE_STATUS: u64 = 1 << 49;
    /// The exchange's stream was reset.
    pub const EXCHANGE_ERROR: u64 = 1 << 50;
    /// The exchange is a gRPC call; its trailers have a status.
    pub const GRPC: u64 = 1 << 51;
    pub const GRPC_STATUS: u64 = 1 << 52;
    /// An HTTP/2 frame ends here.
    pub const HTTP2: u64 = 1 << 53;
    /// It ends a header block, whose fields are known.
    pub const HTTP2_HEADERS: u64 = 1 << 54;
    pub const HTTP2_METHOD: u64 = 1 << 55;
    pub const HTTP2_PATH: u64 = 1 << 56;
    pub const HTTP2_AUTHORITY: u64 = 1 << 57;
    pub const HTTP2_STATUS: u64 = 1 << 58;
    /// It is of this kind.
    pub const HTTP2_RESET: u64 = 1 << 59;
    pub const HTTP2_GOAWAY: u64 = 1 << 60;
    pub const HTTP2_WINDOW: u64 = 1 << 61;
    pub const HTTP2_PROMISED: u64 = 1 << 62;

    /// Layers that belong to one of a packet's messages, not to the packet.
    pub const PARTS: u64 = HTTP_PARTS | HTTP2_PARTS | TLS_PARTS | DNS_PARTS;
    const DNS_PARTS: u64 = DNS | DNS_QUESTION | DNS_TIME | DNS_A | DNS_AAAA;
    const HTTP_PARTS: u64 = HTTP
        | HTTP_REQUEST
        | HTTP_RESPONSE
        | HTTP_EXCHANGE
        | HTTP_HOST
        | HTTP_CONTENT_LENGTH
        | EXCHANGE_METHOD
        | EXCHANGE_URI
        | EXCHANGE_STATUS
        | EXCHANGE_ERROR
        | GRPC
        | GRPC_STATUS;
    const HTTP2_PARTS: u64 = HTTP2
        | HTTP2_HEADERS
        | HTTP2_METHOD
        | HTTP2_PATH
        | HTTP2_AUTHORITY
        | HTTP2_STATUS
        | HTTP2_RESET
        | HTTP2_GOAWAY
        | HTTP2_WINDOW
        | HTTP2_PROMISED;
    const TLS_PARTS: u64 = TLS
        | TLS_HANDSHAKE
        | TLS_HELLO
        | TLS_SERVER_NAME
        | TLS_ALPN
        | TLS_SUPPORTED_VERSION
        | TLS_ALERT
        | TLS_OPAQUE
        | TLS_CONTENT
        | TLS_HANDSHAKE_END
        | TLS_SERVER_HELLO;
}

/// What a packet must have, all of it: bits of [`PacketView::layers`] and [`PacketView::known`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    pub layers: u64,
    pub known: u64,
}

impl Asked {
    /// For a field to be there.
    pub const fn by(row: &FieldRow) -> Self {
        Self { layers: row.layers, known: row.known }
    }

    /// What both ask for together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self { layers: self.layers | other.layers, known: self.known | other.known }
    }

    /// What each of them asks for.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self { layers: self.layers & other.layers, known: self.known & other.known }
    }

    #[inline]
    pub const fn is_in(self, view: &PacketView) -> bool {
        view.layers & self.layers == self.layers && view.known & self.known == self.known
    }
}

/// What must be computed before a handler runs: bits of [`crate::Artifact::packet_needs`].
pub mod needs {
    /// Link, network and transport headers.
    pub const HEADERS: u32 = 1 << 0;
    /// `tcp.stream` and per-flow numbers (relative sequence numbers, window scale, handshakes, stalls).
    pub const FLOW: u32 = 1 << 1;
    /// `tcp.analysis.*`
    pub const ANALYSIS: u32 = 1 << 2;
    /// HTTP/1 messages, and exchanges of HTTP/1 and HTTP/2.
    pub const HTTP: u32 = 1 << 3;
    /// Lists of segments in flight: `ack_rtt`, `rto`, `bytes_in_flight`.
    pub const SEGMENTS: u32 = 1 << 4;
    /// TCP options of every segment (those of SYNs are read for flows anyway).
    pub const OPTIONS: u32 = 1 << 5;
    /// Payload bytes: nothing to compute, but whole packets must be captured.
    pub const PAYLOAD: u32 = 1 << 6;
    /// TLS records, handshakes and alerts.
    pub const TLS: u32 = 1 << 7;
    /// DNS messages.
    pub const DNS: u32 = 1 << 9;
    /// Echo requests, to know how long replies took.
    pub const ICMP: u32 = 1 << 10;
    /// What HTTP messages say, and exchanges: all of `http.*` but that there is a message.
    pub const HTTP_MORE: u32 = 1 << 13;
    /// HTTP messages by themselves, not only exchanges.
    pub const HTTP_MESSAGES: u32 = 1 << 14;
    /// HTTP/2 frames.
    pub const HTTP2: u32 = 1 << 12;
    /// Exchanges, and TLS handshakes, which also end where there is no packet any more: at the end of all packets, and live where nothing more comes.
    pub const EXCHANGES: u32 = 1 << 15;
    pub const HANDSHAKES: u32 = 1 << 16;
    /// Losses and closed windows, which may last to the end of all packets, or to where their connection is given up.
    pub const STALLS: u32 = 1 << 17;
    /// `http.exchange.route`
    pub const ROUTES: u32 = 1 << 11;

    /// Families of which several can end in one packet: a block that reads them runs once for each.
    pub const PARTS: u32 = HTTP | HTTP2 | TLS | DNS;
    /// Families that are read from TCP connections put in order.
    pub const STREAMS: u32 = HTTP | HTTP2 | TLS | DNS;

    // From the top, what scripts know packets and connections by.
    /// `flow`, `conversation`
    pub const FLOW_VALUE: u32 = 1 << 31;
    pub const COMMUNITY_ID: u32 = 1 << 30;
    /// `pkt.owner.*`
    pub const OWNER: u32 = 1 << 29;
    /// `tcp.flow.*`: counts for each connection.
    pub const FLOW_STATS: u32 = 1 << 28;
    /// `tcp.flow.end`: the block runs once more when a connection has ended.
    pub const FLOW_END: u32 = 1 << 27;
}

/// Bits of [`PacketView::marks`]: what a packet's headers are like.
pub mod marks {
    /// IP within IP, MPLS or PPPoE: the innermost headers are a tunnel's.
    pub const TUNNELLED: u32 = 1 << 0;
    /// An IPv4 header of the packet is a fragment's.
    pub const FRAGMENT: u32 = 1 << 1;
    /// The first packet of its conversation.
    pub const FIRST: u32 = 1 << 3;
    /// An ICMP error that quotes a TCP segment.
    pub const QUOTES_TCP: u32 = 1 << 2;
    /// The zero-window stall that ends here was the other side's: this is a reset.
    pub const PEER_STALLED: u32 = 1 << 4;
    /// The lowest of sixteen bits, one for each subtype of MPTCP's options (RFC 8684) that the segment has.
    pub const MPTCP: u32 = 1 << 16;
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
    /// Join key of bytes, by helper.
    ByteRanges,
    /// [`crate::abi::FlowValue`]
    Flow,
    /// ns since the epoch (CLOCK_REALTIME), an integer
    Time,
}

/// Which bytes of its connection a packet field means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum PacketBytes {
    /// The packet's own payload.
    Segment = 0,
    /// Of the exchange that ends here.
    Request = 1,
    Response = 2,
    /// Both.
    Exchange = 3,
    /// Lost bytes that the packet acknowledges.
    Repair = 4,
}

impl PacketBytes {
    pub const ALL: [Self; 5] = [Self::Segment, Self::Request, Self::Response, Self::Exchange, Self::Repair];
}

/// Whose doing it is what a packet field tells of: an end of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum PacketEnd {
    /// Neither's: a packet is seen by both.
    Neither = 0,
    /// Who opened the connection.
    Client = 1,
    /// Who sent the lost bytes that the packet acknowledges.
    Repair = 2,
    /// Whose window was closed, in the stall that the packet ends.
    ZeroWindow = 3,
}

impl PacketEnd {
    pub const ALL: [Self; 4] = [Self::Neither, Self::Client, Self::Repair, Self::ZeroWindow];
}

/// How generated code reads a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// A load of the type's width at this offset of the view.
    Load(usize),
    /// `(u32 at offset & mask) != 0`
    Bit(usize, u32),
    /// `(view.layers & mask) != 0`
    Layer(u64),
    /// `(view.known & mask) != 0`
    Known(u64),
    /// Address bytes at this offset.
    Bytes(usize),
    /// A [`StrRef`] at this offset.
    Str(usize),
    /// [`crate::native::NativeHelper::PacketConn`] of this end
    Conn(PacketEnd),
    /// [`crate::native::NativeHelper::PacketBytes`] of these
    ByteRanges(PacketBytes),
    /// At this offset of [`MoreView`]: a number of the type's width, a [`Text`], a flow.
    More(usize),
}

#[derive(Clone, Copy, Debug)]
pub struct FieldRow {
    pub name: &'static str,
    pub ty: FieldType,
    /// [`needs`] bits.
    pub needs: u32,
    /// [`layer`] bits that make it present.
    pub layers: u64,
    /// [`known`] bits that it takes too.
    pub known: u64,
    pub read: Read,
    /// How a program on a packet socket reads it; None: only user space knows it.
    pub kernel: Option<KernelRead>,
    pub doc: &'static str,
}

impl FieldRow {
    /// A row of another view, whose presence is in its `layers`.
    pub(crate) const fn of_view(name: &'static str, ty: FieldType, layers: u64, read: Read, doc: &'static str) -> Self {
        Self { name, ty, needs: 0, layers, known: 0, read, kernel: None, doc }
    }

    /// The same row, which takes this too.
    const fn known(self, known: u64) -> Self {
        Self { known: self.known | known, ..self }
    }

    /// The same row, readable in the kernel.
    const fn kernel(self, how: KernelRead) -> Self {
        Self { kernel: Some(how), ..self }
    }
}

/// The row of a field by its full dotted name.
pub fn field(name: &str) -> Option<&'static FieldRow> {
    FIELDS.iter().find(|row| row.name == name)
}

#[cfg(test)]
mod tests;

//! The view of one packet that handlers read.

mod dns;
mod more;
mod ranges;
mod tls;

pub use dns::{DnsView, IcmpView};
pub use more::{ConnectionView, MoreRef, MoreView, SideView, Text};
pub use ranges::RangesView;
pub use tls::TlsView;

/// Bytes that live outside the view: in the capture buffer or a flow's storage, valid during the handler.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct StrRef {
    pub ptr: *const u8,
    pub len: u64,
}

impl Default for StrRef {
    fn default() -> Self {
        Self { ptr: std::ptr::null(), len: 0 }
    }
}

impl From<&[u8]> for StrRef {
    fn from(bytes: &[u8]) -> Self {
        Self { ptr: bytes.as_ptr(), len: bytes.len() as u64 }
    }
}

/// One packet as a handler sees it. Addresses are in network order (IPv4 in the first four bytes), all numbers in host order.
/// Where a tunnel repeats a layer, the innermost one's values.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct PacketView {
    /// [`super::layer`] bits.
    pub layers: u64,
    /// [`super::known`] bits.
    pub known: u64,
    /// [`super::analysis`] bits.
    pub analysis: u32,
    /// CLOCK_REALTIME ns.
    pub time_ns: u64,
    /// CLOCK_BOOTTIME ns (files: equal to `time_ns`, so that differences are right).
    pub boot_ns: u64,
    /// Counted from 1 over all files read.
    pub number: u64,
    pub len: u32,
    pub cap_len: u32,
    /// Interface index (live) or interface number (pcapng).
    pub interface: u32,
    /// Inode of the network namespace the source was opened in; 0 for files.
    pub netns: u32,
    pub eth_dst: [u8; 6],
    pub eth_src: [u8; 6],
    pub eth_type: u16,
    /// Innermost VLAN id.
    pub vlan_id: u16,
    pub ip_src: [u8; 16],
    pub ip_dst: [u8; 16],
    pub ipv6_src: [u8; 16],
    pub ipv6_dst: [u8; 16],
    pub ip_len: u32,
    /// The three flag bits as in Wireshark's `ip.flags`: 4 reserved, 2 DF, 1 MF.
    pub ip_flags: u32,
    pub ip_id: u16,
    /// In bytes.
    pub ip_frag_offset: u16,
    /// Address family of the innermost IP header, the one TCP or UDP is in: AF_INET 2, AF_INET6 10, 0 none. Aligned as a word, as a
    /// field is one bit of it.
    pub net_family: u8,
    pub ip_proto: u8,
    pub ip_ttl: u8,
    pub ip_dsfield: u8,
    pub ipv6_hlim: u8,
    pub ipv6_nxt: u8,
    pub ipv6_tclass: u8,
    /// [`super::marks`] bits.
    pub marks: u32,
    /// IP protocol number after all extension headers; 0: no IP.
    pub transport: u8,
    /// The first bytes after the IP header and its extensions, as many as `head_len` says: asked for by `flow` and `community_id` alone.
    pub head: [u8; 4],
    pub head_len: u8,
    pub ipv6_plen: u32,
    pub udp_src_port: u16,
    pub udp_dst_port: u16,
    pub udp_length: u16,
    pub tcp_src_port: u16,
    pub tcp_dst_port: u16,
    pub tcp_urgent: u16,
    /// All twelve flag bits.
    pub tcp_flags: u32,
    pub tcp_seq_raw: u32,
    pub tcp_ack_raw: u32,
    /// Relative to the initial sequence number.
    pub tcp_seq: u32,
    pub tcp_ack: u32,
    /// `tcp_seq` unwrapped to 64 bits.
    pub tcp_place: u64,
    /// What the sender's and the receiver's numbers are relative to: the initial sequence number, where it is known.
    pub tcp_base: u32,
    pub tcp_peer_base: u32,
    /// Payload bytes by the IP length.
    pub tcp_len: u32,
    pub tcp_hdr_len: u32,
    pub tcp_window_raw: u32,
    /// Scaled where the scale is known.
    pub tcp_window: u32,
    /// Factor; -1 unknown, -2 no scaling.
    pub tcp_window_factor: i32,
    pub tcp_mss: u32,
    pub tcp_wscale_opt: u32,
    pub tcp_tsval: u32,
    pub tcp_tsecr: u32,
    pub sack_count: u32,
    /// Left and right edges of up to four blocks, relative.
    pub sack_le: [u32; 4],
    pub sack_re: [u32; 4],
    /// 1: the first SACK block repeats data already acknowledged or lies inside the second (RFC 2883).
    pub dsack: u32,
    pub tcp_stream: u32,
    /// The packet's direction in its flow: 0 or 1.
    pub tcp_dir: u32,
    /// Initial sequence numbers of the sender's and the receiver's side; 0: not seen.
    pub tcp_isn: u32,
    pub tcp_peer_isn: u32,
    /// Duplicate ACK number.
    pub dup_ack_num: u32,
    /// 1 if SACK was permitted by both sides of the handshake.
    pub sack_negotiated: u32,
    /// 1 if the frame's sender is the client (sent the SYN, or the first packet seen).
    pub from_client: u32,
    pub bytes_in_flight: u32,
    pub initial_rtt_ns: u64,
    /// Since the segment that this packet acknowledges.
    pub ack_rtt_ns: u64,
    /// Oldest unacknowledged segment's age at a retransmission.
    pub rto_ns: u64,
    /// Lost bytes that this packet acknowledges: boot time since when they were missing, and for how long; 0: none were.
    pub repair_start: u64,
    pub repair_ns: u64,
    /// Which they are, by place ([`PacketView::tcp_place`]); the first direction is that which the packet's receiver sends.
    pub repair: RangesView,
    /// Zero-window stall that ends here: boot time of its start, its length.
    pub zero_window_start: u64,
    pub zero_window_ns: u64,
    /// First SYN of the handshake that ends here, its length, and how many SYNs were sent.
    pub handshake_start: u64,
    pub handshake_ns: u64,
    pub handshake_syns: u32,
    /// 1: three-way; 0: reset.
    pub handshake_completed: u32,
    /// Boot time of the connection's first SYN (its first packet, if the handshake was not seen).
    pub conn_opened: u64,
    /// The captured frame.
    pub data: StrRef,
    /// The captured payload of TCP or UDP.
    pub payload: StrRef,
    pub http: HttpView,
    pub http2: Http2View,
    pub tls: TlsView,
    pub dns: DnsView,
    pub icmp: IcmpView,
    /// What few scripts ask for.
    pub more: MoreRef,
}

impl PacketView {
    /// Ready for another packet. Clearing all of it would cost more than dissecting the headers, so what is large stays as an earlier
    /// packet left it: addresses, SACK blocks and the views of protocols, which nobody reads without the bit of their layer. Every
    /// member is named here, so that none can be added without a decision; tests/packet_tshark.rs compares with views that are new.
    #[allow(clippy::too_many_lines, reason = "one line for each member")]
    pub fn begin(&mut self) {
        let Self {
            layers,
            known,
            analysis,
            time_ns,
            boot_ns,
            number,
            len,
            cap_len,
            interface,
            netns,
            eth_dst: _,
            eth_src: _,
            eth_type,
            vlan_id,
            ip_src: _,
            ip_dst: _,
            ipv6_src: _,
            ipv6_dst: _,
            ip_len,
            ip_flags,
            ip_id,
            ip_frag_offset,
            ip_proto,
            ip_ttl,
            ip_dsfield,
            ipv6_hlim,
            ipv6_nxt,
            ipv6_tclass,
            net_family,
            marks,
            transport,
            head: _,
            head_len,
            ipv6_plen,
            udp_src_port,
            udp_dst_port,
            udp_length,
            tcp_src_port,
            tcp_dst_port,
            tcp_urgent,
            tcp_flags,
            tcp_seq_raw,
            tcp_ack_raw,
            tcp_seq,
            tcp_ack,
            tcp_place,
            tcp_base,
            tcp_peer_base,
            tcp_len,
            tcp_hdr_len,
            tcp_window_raw,
            tcp_window,
            tcp_window_factor,
            tcp_mss,
            tcp_wscale_opt,
            tcp_tsval,
            tcp_tsecr,
            sack_count,
            sack_le: _,
            sack_re: _,
            dsack,
            tcp_stream,
            tcp_dir,
            tcp_isn,
            tcp_peer_isn,
            dup_ack_num,
            sack_negotiated,
            from_client,
            bytes_in_flight,
            initial_rtt_ns,
            ack_rtt_ns,
            rto_ns,
            repair_start,
            repair_ns,
            repair: _,
            zero_window_start,
            zero_window_ns,
            handshake_start,
            handshake_ns,
            handshake_syns,
            handshake_completed,
            conn_opened,
            data: _,
            payload,
            http: HttpView { part: http_part, .. },
            http2: Http2View { part: http2_part, .. },
            tls: TlsView { part: tls_part, .. },
            dns: DnsView { part: dns_part, .. },
            icmp: _,
            more,
        } = self;
        *layers = 0;
        *known = 0;
        *analysis = 0;
        *time_ns = 0;
        *boot_ns = 0;
        *number = 0;
        *len = 0;
        *cap_len = 0;
        *interface = 0;
        *netns = 0;
        *eth_type = 0;
        *vlan_id = 0;
        *ip_len = 0;
        *ip_flags = 0;
        *ip_id = 0;
        *ip_frag_offset = 0;
        *ip_proto = 0;
        *ip_ttl = 0;
        *ip_dsfield = 0;
        *ipv6_hlim = 0;
        *ipv6_nxt = 0;
        *ipv6_tclass = 0;
        *net_family = 0;
        *marks = 0;
        *transport = 0;
        *head_len = 0;
        *ipv6_plen = 0;
        *udp_src_port = 0;
        *udp_dst_port = 0;
        *udp_length = 0;
        *tcp_src_port = 0;
        *tcp_dst_port = 0;
        *tcp_urgent = 0;
        *tcp_flags = 0;
        *tcp_seq_raw = 0;
        *tcp_ack_raw = 0;
        *tcp_seq = 0;
        *tcp_ack = 0;
        *tcp_place = 0;
        *tcp_base = 0;
        *tcp_peer_base = 0;
        *tcp_len = 0;
        *tcp_hdr_len = 0;
        *tcp_window_raw = 0;
        *tcp_window = 0;
        *tcp_window_factor = 0;
        *tcp_mss = 0;
        *tcp_wscale_opt = 0;
        *tcp_tsval = 0;
        *tcp_tsecr = 0;
        *sack_count = 0;
        *dsack = 0;
        *tcp_stream = 0;
        *tcp_dir = 0;
        *tcp_isn = 0;
        *tcp_peer_isn = 0;
        *dup_ack_num = 0;
        *sack_negotiated = 0;
        *from_client = 0;
        *bytes_in_flight = 0;
        *initial_rtt_ns = 0;
        *ack_rtt_ns = 0;
        *rto_ns = 0;
        *repair_start = 0;
        *repair_ns = 0;
        *zero_window_start = 0;
        *zero_window_ns = 0;
        *handshake_start = 0;
        *handshake_ns = 0;
        *handshake_syns = 0;
        *handshake_completed = 0;
        *conn_opened = 0;
        *http_part = 0;
        *http2_part = 0;
        *tls_part = 0;
        *dns_part = 0;
        *payload = StrRef::default();
        *more = MoreRef::default();
    }
}

/// The HTTP message or exchange that ends in a packet. A packet with several is presented once for each: `part` tells them apart.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpView {
    pub method: StrRef,
    pub uri: StrRef,
    pub host: StrRef,
    /// `HTTP/1.1`: of the message that ends here; in an exchange alone, the request's.
    pub version: StrRef,
    pub phrase: StrRef,
    /// Packed headers (see [`crate::abi::HEADERS_CAP`]) of the message that ends here; in an exchange alone, the request's.
    pub headers: StrRef,
    /// Exchange: packed headers of either side.
    pub request_headers: StrRef,
    pub response_headers: StrRef,
    /// Exchange: of the request's traceparent, in hexadecimal digits; empty without one.
    pub trace_id: StrRef,
    pub parent_span_id: StrRef,
    /// Exchange: what it has in common with others, if that is wanted.
    pub route: StrRef,
    pub content_length: u64,
    /// 0: no response (the connection ended).
    pub status: u32,
    /// 0 for a packet's first presentation, then 1, 2 … for further messages that end in it.
    pub part: u32,
    /// Exchange: boot ns of the connection's opening (0: not seen), the request's first byte, its last, the response's first (0: none), the exchange's end.
    pub conn_opened: u64,
    pub start: u64,
    pub request_end: u64,
    pub first_byte: u64,
    pub end: u64,
    pub duration: u64,
    /// Exchange: bytes of either direction since the initial sequence number, `[from, to)`, unwrapped to 64 bits.
    pub request_from: u64,
    pub request_to: u64,
    pub response_from: u64,
    pub response_to: u64,
    /// Exchange: the flow's direction that the request went ([`PacketView::tcp_dir`]).
    pub request_dir: u32,
    /// 1 in the first exchange of a connection whose handshake was seen, if no byte of the client's before it is missing or can't be read.
    pub first_on_conn: u32,
    /// 1 if the response was seen to its end without a missing byte.
    pub complete: u32,
    /// Exchange: its HTTP/2 stream (0: HTTP/1), and the code of the RST_STREAM that ended it.
    pub stream: u32,
    pub error: u32,
    pub grpc: GrpcView,
    /// Exchange of HTTP/2: where its frames lie between those of others (within TLS, the records with them), counted as `request_from`; the
    /// response's direction is the second. None: the exchange has no frames, and lies in one piece in either direction.
    pub frames: RangesView,
}

/// The gRPC call that an exchange is.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct GrpcView {
    pub service: StrRef,
    pub method: StrRef,
    /// Percent-decoded.
    pub message: StrRef,
    pub status: u32,
    pub reserved: u32,
}

/// The HTTP/2 frame that ends in a packet; as [`HttpView`] one presentation for each.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Http2View {
    pub method: StrRef,
    pub path: StrRef,
    pub authority: StrRef,
    pub scheme: StrRef,
    /// Packed headers of the block that ends with this frame, `:method` and its like among them.
    pub headers: StrRef,
    pub stream: u32,
    /// Bytes of the payload.
    pub len: u32,
    pub kind: u32,
    pub flags: u32,
    /// [`http2_mark`] bits.
    pub marks: u32,
    pub status: u32,
    /// Of RST_STREAM and GOAWAY.
    pub error: u32,
    /// GOAWAY: the last stream; WINDOW_UPDATE: the increment; PUSH_PROMISE: the promised stream.
    pub value: u32,
    /// Header fields of the block that are not known.
    pub unknown: u32,
    /// 0 for a packet's first presentation, then 1, 2 …
    pub part: u32,
}

/// Bits of [`Http2View::marks`]: flags by their meaning.
pub mod http2_mark {
    pub const END_STREAM: u32 = 1 << 0;
    pub const END_HEADERS: u32 = 1 << 1;
    pub const PADDED: u32 = 1 << 2;
    pub const PRIORITY: u32 = 1 << 3;
    pub const SETTINGS_ACK: u32 = 1 << 4;
    pub const PING_ACK: u32 = 1 << 5;
}

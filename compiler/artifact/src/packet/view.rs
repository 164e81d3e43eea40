//! The view of one packet that handlers read.

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
    pub layers: u32,
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
    pub ip_proto: u8,
    pub ip_ttl: u8,
    pub ip_dsfield: u8,
    pub ipv6_hlim: u8,
    pub ipv6_nxt: u8,
    pub ipv6_tclass: u8,
    /// Address family of the innermost IP header, the one TCP or UDP is in: AF_INET 2, AF_INET6 10, 0 none.
    pub net_family: u8,
    pub reserved: u8,
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
    pub content_length: u64,
    /// 0: no response (the connection ended).
    pub status: u32,
    /// 0 for a packet's first presentation, then 1, 2 … for further messages that end in it.
    pub part: u32,
    /// Exchange: boot ns of the first byte of the request, its last byte, the first byte of the response, the exchange's end.
    pub start: u64,
    pub request_end: u64,
    /// 0: no response.
    pub first_byte: u64,
    pub end: u64,
    pub duration: u64,
    /// Exchange: bytes of either direction since the initial sequence number, `[from, to)`, unwrapped to 64 bits.
    pub request_from: u64,
    pub request_to: u64,
    pub response_from: u64,
    pub response_to: u64,
    /// 1 in the first exchange of a connection whose handshake was seen.
    pub first_on_conn: u32,
    /// 1 if the response was seen to its end without a missing byte.
    pub complete: u32,
}

//! What is known of a packet besides its layers: bits of [`super::PacketView::known`], of which all of a row's `known` must be set too.

/// An IP header: `flow`.
pub const NET: u64 = 1 << 0;
/// A protocol that has a Community ID.
pub const COMMUNITY_ID: u64 = 1 << 1;
/// The process whose socket sends or gets the packet.
pub const OWNER: u64 = 1 << 2;
/// A connection has ended; there is no packet. `tcp.flow.end_reason`.
pub const FLOW_END: u64 = 1 << 3;
/// `tcp.flow.*`: what the connection did so far.
pub const FLOW_STATS: u64 = 1 << 4;
/// `tcp.flow.synack_dur`, `tcp.flow.ack_dur`
pub const SYNACK: u64 = 1 << 5;
pub const HANDSHAKE_ACK: u64 = 1 << 6;
/// The client's, the server's window was seen.
pub const CLIENT_WINDOW: u64 = 1 << 7;
pub const SERVER_WINDOW: u64 = 1 << 8;
/// The thread whose system call it was.
pub const OWNER_THREAD: u64 = 1 << 9;
/// A turn of two sides on a socket: a request and its answer in any protocol (`tcp:exchange` blocks).
pub const TCP_EXCHANGE: u64 = 1 << 10;

// Members of headers, which may not have been captured to their end: those that were.

pub const IP_DSFIELD: u64 = 1 << 11;
pub const IP_LEN: u64 = 1 << 12;
pub const IP_ID: u64 = 1 << 13;
/// Flags and offset.
pub const IP_FRAGMENT: u64 = 1 << 14;
pub const IP_TTL: u64 = 1 << 15;
pub const IP_PROTO: u64 = 1 << 16;
pub const IP_SRC: u64 = 1 << 17;
pub const IP_DST: u64 = 1 << 18;
pub const IPV6_TCLASS: u64 = 1 << 19;
pub const IPV6_PLEN: u64 = 1 << 20;
pub const IPV6_NXT: u64 = 1 << 21;
pub const IPV6_HLIM: u64 = 1 << 22;
pub const IPV6_SRC: u64 = 1 << 23;
pub const IPV6_DST: u64 = 1 << 24;
pub const UDP_LENGTH: u64 = 1 << 25;
pub const TCP_SEQ: u64 = 1 << 26;
pub const TCP_ACK: u64 = 1 << 27;
pub const TCP_HDR_LEN: u64 = 1 << 28;
pub const TCP_FLAGS: u64 = 1 << 29;
pub const TCP_WINDOW: u64 = 1 << 30;
pub const TCP_URGENT: u64 = 1 << 31;
/// The header's length makes sense, and the segment is no piece of a datagram whose others can't be had.
pub const TCP_LEN: u64 = 1 << 32;
/// The options to their end.
pub const TCP_OPTIONS: u64 = 1 << 33;
/// Whether it has the option SACK permitted, and what its SACK option says: the options to their end, or to this one.
pub const SACK_PERM: u64 = 1 << 34;
pub const DSACK: u64 = 1 << 35;
/// Both numbers of the timestamps' option.
pub const TCP_TSECR: u64 = 1 << 37;
/// The segment was analysed: `tcp.analysis.*`.
pub const ANALYSIS: u64 = 1 << 36;

/// All of a header.
pub const IP: u64 = IP_DSFIELD | IP_LEN | IP_ID | IP_FRAGMENT | IP_TTL | IP_PROTO | IP_SRC | IP_DST;
pub const IPV6: u64 = IPV6_TCLASS | IPV6_PLEN | IPV6_NXT | IPV6_HLIM | IPV6_SRC | IPV6_DST;
pub const TCP: u64 =
    TCP_SEQ | TCP_ACK | TCP_HDR_LEN | TCP_FLAGS | TCP_WINDOW | TCP_URGENT | TCP_LEN | TCP_OPTIONS | SACK_PERM | DSACK;

/// What plain packets have with their layer: in the kernel nobody asks for it.
pub const HEADERS: u64 = IP | IPV6 | TCP | UDP_LENGTH;

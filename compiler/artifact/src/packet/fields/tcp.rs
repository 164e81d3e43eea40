//! TCP: header, options, flow, sequence analysis.

use super::{A, F, H, O, P as PAYLOAD, S, row};
use crate::packet::{
    FieldRow, FieldType as T, KernelRead as K, PacketBytes, PacketEnd, PacketView as P,
    Read::{self, Bit, Layer, Load, Str},
    analysis as a,
    kernel::{Found, Header::Tcp},
    known as k, layer as l, marks, needs,
};
use std::mem::offset_of;

const fn flag(name: &'static str, mask: u32, doc: &'static str) -> FieldRow {
    row(name, T::Bool, H, l::TCP, Bit(offset_of!(P, tcp_flags), mask), doc)
        .kernel(K::bits(Tcp, 12, 2, 0, mask))
        .known(k::TCP_FLAGS)
}

const fn found(name: &'static str, mask: u32, doc: &'static str) -> FieldRow {
    row(name, T::Bool, A, l::TCP, Bit(offset_of!(P, analysis), mask), doc).known(k::ANALYSIS)
}

/// Every bit of [`a`].
const ALL_FLAGS: u32 = (1 << a::NAMES.len()) - 1;

const FLOW: u64 = l::TCP | l::FLOW;

/// Losses and closed windows, which may have no end.
const LOSS: u32 = S | needs::STALLS;
const STALL: u32 = F | needs::STALLS;

#[rustfmt::skip]
pub(super) const ROWS: &[FieldRow] = &[
    row("tcp.srcport", T::U16, H, l::TCP, Load(offset_of!(P, tcp_src_port)), "Source port.").kernel(K::number(Tcp, 0, 2)),
    row("tcp.dstport", T::U16, H, l::TCP, Load(offset_of!(P, tcp_dst_port)), "Destination port.").kernel(K::number(Tcp, 2, 2)),
    row("tcp.over_ipv6", T::Bool, H, l::TCP, Bit(offset_of!(P, net_family), 8), "The segment is in an IPv6 packet (the innermost header)."),
    row("tcp.seq", T::U32, F, FLOW, Load(offset_of!(P, tcp_seq)), "Sequence number, relative to the initial one."),
    row("tcp.seq_raw", T::U32, H, l::TCP, Load(offset_of!(P, tcp_seq_raw)), "Sequence number as sent.").kernel(K::number(Tcp, 4, 4)).known(k::TCP_SEQ),
    row("tcp.ack", T::U32, F, FLOW, Load(offset_of!(P, tcp_ack)), "Acknowledgement number, relative to the other side's initial sequence number."),
    row("tcp.ack_raw", T::U32, H, l::TCP, Load(offset_of!(P, tcp_ack_raw)), "Acknowledgement number as sent.").kernel(K::number(Tcp, 8, 4)).known(k::TCP_ACK),
    row("tcp.len", T::U32, H, l::TCP, Load(offset_of!(P, tcp_len)), "Payload bytes, by the IP length (also of packets captured in part).").kernel(K::Found(Found::TcpLen)).known(k::TCP_LEN),
    row("tcp.hdr_len", T::U32, H, l::TCP, Load(offset_of!(P, tcp_hdr_len)), "Header length in bytes.").kernel(K::bits(Tcp, 12, 1, 2, 0x3c)).known(k::TCP_HDR_LEN),
    row("tcp.flags", T::U32, H, l::TCP, Load(offset_of!(P, tcp_flags)), "All flags: 1 FIN, 2 SYN, 4 RST, 8 PSH, 16 ACK, 32 URG, 64 ECE, 128 CWR, 256 AE.").kernel(K::bits(Tcp, 12, 2, 0, 0xfff)).known(k::TCP_FLAGS),
    flag("tcp.flags.fin", 0x01, "FIN: the sender has no more to send."),
    flag("tcp.flags.syn", 0x02, "SYN: opens the connection."),
    flag("tcp.flags.reset", 0x04, "RST: aborts the connection."),
    flag("tcp.flags.push", 0x08, "PSH."),
    flag("tcp.flags.ack", 0x10, "ACK."),
    flag("tcp.flags.urg", 0x20, "URG."),
    flag("tcp.flags.ece", 0x40, "ECN echo."),
    flag("tcp.flags.cwr", 0x80, "Congestion window reduced."),
    row("tcp.window_size_value", T::U32, H, l::TCP, Load(offset_of!(P, tcp_window_raw)), "Window as sent, 16 bits.").kernel(K::number(Tcp, 14, 2)).known(k::TCP_WINDOW),
    row("tcp.window_size", T::U32, F, FLOW, Load(offset_of!(P, tcp_window)), "Window in bytes, scaled where the scale is known."),
    row("tcp.window_size_scalefactor", T::I32, F, FLOW | l::WINDOW_SCALE, Load(offset_of!(P, tcp_window_factor)), "Factor of the window; -1 unknown, -2 no scaling. Absent in SYNs."),
    row("tcp.urgent_pointer", T::U16, H, l::TCP, Load(offset_of!(P, tcp_urgent)), "Urgent pointer.").kernel(K::number(Tcp, 18, 2)).known(k::TCP_URGENT),
    row("tcp.payload", T::Str, PAYLOAD, l::TCP, Str(offset_of!(P, payload)), "Captured payload."),
    row("tcp.stream", T::U32, F, FLOW, Load(offset_of!(P, tcp_stream)), "Number of the conversation, counted from 0."),
    row("tcp.conn", T::Conn, F, l::TCP, Read::Conn(PacketEnd::Neither), "The connection, as a join key."),
    row("tcp.bytes", T::ByteRanges, F, FLOW, Read::ByteRanges(PacketBytes::Segment), "The payload's place in its direction of the connection, as a join key; absent without payload."),
    row("tcp.from_client", T::Bool, F, FLOW, Bit(offset_of!(P, from_client), 1), "The sender opened the connection; where that wasn't seen, it is who asks in HTTP or TLS, once one has; before that it isn't the one with the lower port, if that is below 32768, else it sent the first packet seen."),
    row("tcp.conn_opened", T::U64, F, FLOW, Load(offset_of!(P, conn_opened)), "Boot time of the connection's first SYN, or of its first packet where the handshake was not seen."),

    row("tcp.first", T::Bool, F, FLOW, Bit(offset_of!(P, marks), marks::FIRST), "The first packet of its conversation."),
    row("tcp.syns", T::U32, F, FLOW, Load(offset_of!(P, handshake_syns)), "SYNs without ACK of the connection so far: a SYN that makes it 2 or more was sent again."),

    row("tcp.options.mss_val", T::U32, O, l::TCP_MSS, Load(offset_of!(P, tcp_mss)), "Maximum segment size."),
    row("tcp.options.wscale.shift", T::U32, O, l::TCP_WSCALE, Load(offset_of!(P, tcp_wscale_opt)), "Window scale shift."),
    row("tcp.options.timestamp.tsval", T::U32, O, l::TCP_TIMESTAMP, Load(offset_of!(P, tcp_tsval)), "Timestamp value."),
    row("tcp.options.timestamp.tsecr", T::U32, O, l::TCP_TIMESTAMP, Load(offset_of!(P, tcp_tsecr)), "Timestamp echo reply.").known(k::TCP_TSECR),
    row("tcp.options.sack_perm", T::Bool, O, l::TCP, Layer(l::SACK_PERM), "SACK permitted.").known(k::SACK_PERM),
    row("tcp.options.sack.count", T::U32, O, l::TCP_SACK, Load(offset_of!(P, sack_count)), "SACK blocks."),
    row("tcp.options.sack_le", T::U32, O | F, l::TCP_SACK, Load(offset_of!(P, sack_le)), "Left edge of the first SACK block, relative."),
    row("tcp.options.sack_re", T::U32, O | F, l::TCP_SACK, Load(offset_of!(P, sack_re)), "Right edge of the first SACK block, relative."),
    row("tcp.dsack", T::Bool, O, l::TCP, Bit(offset_of!(P, dsack), 1), "The first SACK block is a duplicate report (RFC 2883): the receiver got these bytes twice.").known(k::DSACK),
    row("tcp.sack_negotiated", T::Bool, F, FLOW, Bit(offset_of!(P, sack_negotiated), 1), "SACK was permitted by both SYNs."),

    found("tcp.analysis.flags", ALL_FLAGS, "Any of the findings below: what is worth a look."),
    found("tcp.analysis.retransmission", a::RETRANSMISSION, "The segment was seen before (fast and spurious retransmissions too)."),
    found("tcp.analysis.fast_retransmission", a::FAST_RETRANSMISSION, "Sent again within 20 ms of the second duplicate ACK or later."),
    found("tcp.analysis.spurious_retransmission", a::SPURIOUS_RETRANSMISSION, "Sent again though already acknowledged."),
    found("tcp.analysis.out_of_order", a::OUT_OF_ORDER, "Older than the newest segment, but too soon for a retransmission."),
    found("tcp.analysis.lost_segment", a::LOST_SEGMENT, "A segment before this one was not captured."),
    found("tcp.analysis.ack_lost_segment", a::ACK_LOST_SEGMENT, "Acknowledges a segment that was not captured."),
    found("tcp.analysis.duplicate_ack", a::DUPLICATE_ACK, "Repeats the last acknowledgement."),
    found("tcp.analysis.zero_window", a::ZERO_WINDOW, "The receiver's buffer is full."),
    found("tcp.analysis.zero_window_probe", a::ZERO_WINDOW_PROBE, "One byte sent to ask whether the window is open again."),
    found("tcp.analysis.zero_window_probe_ack", a::ZERO_WINDOW_PROBE_ACK, "Answer to a probe: the window is still closed."),
    found("tcp.analysis.window_full", a::WINDOW_FULL, "The segment fills the receiver's window to its end."),
    found("tcp.analysis.window_update", a::WINDOW_UPDATE, "Only the window changed."),
    found("tcp.analysis.keep_alive", a::KEEP_ALIVE, "Asks whether the other side is still there."),
    found("tcp.analysis.keep_alive_ack", a::KEEP_ALIVE_ACK, "Answer to a keep-alive."),
    found("tcp.analysis.reused_ports", a::REUSED_PORTS, "A new connection between the same addresses and ports."),
    row("tcp.analysis.duplicate_ack_num", T::U32, A, l::DUP_ACK, Load(offset_of!(P, dup_ack_num)), "How many duplicates of this ACK so far."),
    row("tcp.analysis.initial_rtt", T::U64, F, FLOW | l::INITIAL_RTT, Load(offset_of!(P, initial_rtt_ns)), "From the last SYN to the first ACK without SYN, ns."),
    row("tcp.analysis.ack_rtt", T::U64, S, l::ACK_RTT, Load(offset_of!(P, ack_rtt_ns)), "From the segment to this acknowledgement of it, ns."),
    row("tcp.analysis.rto", T::U64, S, l::RTO, Load(offset_of!(P, rto_ns)), "At a retransmission: age of the oldest segment not acknowledged, ns."),
    row("tcp.analysis.bytes_in_flight", T::U32, S, l::BYTES_IN_FLIGHT, Load(offset_of!(P, bytes_in_flight)), "Bytes sent and not acknowledged, after this segment."),

    row("tcp.handshake.start", T::U64, F, l::HANDSHAKE_END, Load(offset_of!(P, handshake_start)), "Boot time of the first SYN of the handshake that ends with this packet. One that was reset and is tried again ends twice."),
    row("tcp.handshake.dur", T::U64, F, l::HANDSHAKE_END, Load(offset_of!(P, handshake_ns)), "From the first SYN to the ACK that completes the handshake (or the RST that refuses it), ns."),
    row("tcp.handshake.syns", T::U32, F, l::HANDSHAKE_END, Load(offset_of!(P, handshake_syns)), "How many SYNs the client sent: 1 without retransmission."),
    row("tcp.handshake.completed", T::Bool, F, l::HANDSHAKE_END, Bit(offset_of!(P, handshake_completed), 1), "True: the connection was established; false: it was refused."),
    row("tcp.handshake.conn", T::Conn, F, l::HANDSHAKE_END, Read::Conn(PacketEnd::Client), "The connection as a join key, of the client's end: what `side=` of a leg goes by."),
    row("tcp.repair.start", T::U64, LOSS, FLOW, Load(offset_of!(P, repair_start)), "Boot time since when bytes that this packet acknowledges were under way, if they were lost and sent again; 0: they were not. Bytes that nobody has acknowledged are told with a reset, and without a packet where the connection is given up, its ports are taken, or the run ends."),
    row("tcp.repair.bytes", T::ByteRanges, LOSS, FLOW, Read::ByteRanges(PacketBytes::Repair), "The bytes that were lost, as a join key; absent where none were."),
    row("tcp.repair.dur", T::U64, LOSS, FLOW, Load(offset_of!(P, repair_ns)), "Until the copy that got through was sent, ns; 0: nothing was lost. Where none got through: to the last copy before a reset, else up to then. Copies that the receiver says it did not need (RFC 2883) are none."),
    row("tcp.repair.conn", T::Conn, LOSS, FLOW, Read::Conn(PacketEnd::Repair), "The connection as a join key, of the end that sent the lost bytes; of neither where none were."),
    row("tcp.zero_window.start", T::U64, STALL, l::ZERO_WINDOW_END, Load(offset_of!(P, zero_window_start)), "Boot time since when the receiver left no room for a segment, in the zero-window stall that ends with this packet, or lasts where the connection is given up, its ports are taken, or the run ends: there is no packet then, and addresses are from the client to the server."),
    row("tcp.zero_window.dur", T::U64, STALL, l::ZERO_WINDOW_END, Load(offset_of!(P, zero_window_ns)), "How long the receiver's window was closed, ns."),
    row("tcp.zero_window.conn", T::Conn, STALL, l::ZERO_WINDOW_END, Read::Conn(PacketEnd::ZeroWindow), "The connection as a join key, of the end whose window was closed."),
];

//! What a TCP connection did so far, and its end.

use super::{A, more};
use crate::packet::{
    FieldRow, FieldType as T, MoreView as M,
    Read::{Known, More},
    known as k, needs,
};
use std::mem::offset_of;

const S: u32 = A | needs::FLOW_STATS;
const E: u32 = S | needs::FLOW_END;

#[rustfmt::skip]
pub(super) const ROWS: &[FieldRow] = &[
    more("tcp.flow.end", T::Bool, E, 0, Known(k::FLOW_END), "A connection has ended: a block that names this runs once more for each, without a packet, with the client as the sender."),
    more("tcp.flow.end_reason", T::Str, E, k::FLOW_END, More(offset_of!(M, connection.end_reason)), "fin: closed by both sides; reset; refused; reused: a new connection took its ports; idle: no packet for five minutes (live); evicted: its place was needed; capture: the capture ended before it."),
    more("tcp.flow.state", T::Str, S, k::FLOW_STATS, More(offset_of!(M, connection.state)), "syn: no answer so far; synack: not acknowledged so far; open; closing: one side has sent FIN; closed; reset; refused; midstream: the handshake was not seen."),
    more("tcp.flow.start", T::U64, S, k::FLOW_STATS, More(offset_of!(M, connection.start)), "Boot time of the connection's first packet."),
    more("tcp.flow.start_time", T::Time, S, k::FLOW_STATS, More(offset_of!(M, connection.start_time)), "The same, ns since the epoch."),
    more("tcp.flow.last", T::U64, S, k::FLOW_STATS, More(offset_of!(M, connection.last)), "Boot time of its last packet so far."),
    more("tcp.flow.dur", T::U64, S, k::FLOW_STATS, More(offset_of!(M, connection.duration)), "From the first packet to the last, ns."),
    more("tcp.flow.syns", T::U32, S, k::FLOW_STATS, More(offset_of!(M, connection.syns)), "How many SYNs the client sent."),
    more("tcp.flow.synacks", T::U32, S, k::FLOW_STATS, More(offset_of!(M, connection.synacks)), "How many SYN+ACKs the server sent."),
    more("tcp.flow.syn_dur", T::U64, S, k::FLOW_STATS, More(offset_of!(M, connection.syn_ns)), "From the first SYN to the last, ns: what SYN retransmission cost."),
    more("tcp.flow.synack_dur", T::U64, S, k::FLOW_STATS | k::SYNACK, More(offset_of!(M, connection.synack_ns)), "From the last SYN to the SYN+ACK, ns: round trip to the server."),
    more("tcp.flow.ack_dur", T::U64, S, k::FLOW_STATS | k::HANDSHAKE_ACK, More(offset_of!(M, connection.ack_ns)), "From the last SYN+ACK to the client's ACK, ns: round trip to the client."),
    more("tcp.flow.packets", T::U64, S, k::FLOW_STATS, More(offset_of!(M, connection.both.packets)), "Packets sent by both sides."),
    more("tcp.flow.bytes", T::U64, S, k::FLOW_STATS, More(offset_of!(M, connection.both.bytes)), "Bytes of these, whole frames as they were on the wire."),
    more("tcp.flow.payload_bytes", T::U64, S, k::FLOW_STATS, More(offset_of!(M, connection.both.payload_bytes)), "Payload bytes sent by both sides, repeated ones too."),
    more("tcp.flow.retransmissions", T::U32, S, k::FLOW_STATS, More(offset_of!(M, connection.both.retransmissions)), "Segments that both sides sent again."),
    more("tcp.flow.retransmitted_bytes", T::U64, S, k::FLOW_STATS, More(offset_of!(M, connection.both.retransmitted_bytes)), "Payload bytes of these."),
    more("tcp.flow.out_of_order", T::U32, S, k::FLOW_STATS, More(offset_of!(M, connection.both.out_of_order)), "Segments of both sides that arrived out of order."),
    more("tcp.flow.lost_segments", T::U32, S, k::FLOW_STATS, More(offset_of!(M, connection.both.lost_segments)), "How often segments are missing in the capture."),
    more("tcp.flow.duplicate_acks", T::U32, S, k::FLOW_STATS, More(offset_of!(M, connection.both.duplicate_acks)), "Duplicate ACKs by both sides."),
    more("tcp.flow.zero_windows", T::U32, S, k::FLOW_STATS, More(offset_of!(M, connection.both.zero_windows)), "How often the receive window of either side closed."),
    more("tcp.flow.stall_dur", T::U64, S, k::FLOW_STATS, More(offset_of!(M, connection.both.stall_ns)), "How long it was closed, ns."),
    more("tcp.flow.client.packets", T::U64, S, k::FLOW_STATS, More(offset_of!(M, connection.client.packets)), "Packets sent by the client."),
    more("tcp.flow.client.bytes", T::U64, S, k::FLOW_STATS, More(offset_of!(M, connection.client.bytes)), "Bytes of these, whole frames as they were on the wire."),
    more("tcp.flow.client.payload_bytes", T::U64, S, k::FLOW_STATS, More(offset_of!(M, connection.client.payload_bytes)), "Payload bytes sent by the client, repeated ones too."),
    more("tcp.flow.client.retransmissions", T::U32, S, k::FLOW_STATS, More(offset_of!(M, connection.client.retransmissions)), "Segments that the client sent again."),
    more("tcp.flow.client.retransmitted_bytes", T::U64, S, k::FLOW_STATS, More(offset_of!(M, connection.client.retransmitted_bytes)), "Payload bytes of these."),
    more("tcp.flow.client.out_of_order", T::U32, S, k::FLOW_STATS, More(offset_of!(M, connection.client.out_of_order)), "Segments of the client that arrived out of order."),
    more("tcp.flow.client.lost_segments", T::U32, S, k::FLOW_STATS, More(offset_of!(M, connection.client.lost_segments)), "How often segments of the client are missing in the capture."),
    more("tcp.flow.client.duplicate_acks", T::U32, S, k::FLOW_STATS, More(offset_of!(M, connection.client.duplicate_acks)), "Duplicate ACKs by the client."),
    more("tcp.flow.client.zero_windows", T::U32, S, k::FLOW_STATS, More(offset_of!(M, connection.client.zero_windows)), "How often the receive window of the client closed."),
    more("tcp.flow.client.stall_dur", T::U64, S, k::FLOW_STATS, More(offset_of!(M, connection.client.stall_ns)), "How long it was closed, ns."),
    more("tcp.flow.client.window", T::U32, S, k::FLOW_STATS | k::CLIENT_WINDOW, More(offset_of!(M, connection.client.window)), "Receive window of the client in its last packet, scaled."),
    more("tcp.flow.client.min_window", T::U32, S, k::FLOW_STATS | k::CLIENT_WINDOW, More(offset_of!(M, connection.client.min_window)), "Smallest receive window of the client after the SYNs, scaled."),
    more("tcp.flow.client.max_window", T::U32, S, k::FLOW_STATS | k::CLIENT_WINDOW, More(offset_of!(M, connection.client.max_window)), "Largest."),
    more("tcp.flow.server.packets", T::U64, S, k::FLOW_STATS, More(offset_of!(M, connection.server.packets)), "Packets sent by the server."),
    more("tcp.flow.server.bytes", T::U64, S, k::FLOW_STATS, More(offset_of!(M, connection.server.bytes)), "Bytes of these, whole frames as they were on the wire."),
    more("tcp.flow.server.payload_bytes", T::U64, S, k::FLOW_STATS, More(offset_of!(M, connection.server.payload_bytes)), "Payload bytes sent by the server, repeated ones too."),
    more("tcp.flow.server.retransmissions", T::U32, S, k::FLOW_STATS, More(offset_of!(M, connection.server.retransmissions)), "Segments that the server sent again."),
    more("tcp.flow.server.retransmitted_bytes", T::U64, S, k::FLOW_STATS, More(offset_of!(M, connection.server.retransmitted_bytes)), "Payload bytes of these."),
    more("tcp.flow.server.out_of_order", T::U32, S, k::FLOW_STATS, More(offset_of!(M, connection.server.out_of_order)), "Segments of the server that arrived out of order."),
    more("tcp.flow.server.lost_segments", T::U32, S, k::FLOW_STATS, More(offset_of!(M, connection.server.lost_segments)), "How often segments of the server are missing in the capture."),
    more("tcp.flow.server.duplicate_acks", T::U32, S, k::FLOW_STATS, More(offset_of!(M, connection.server.duplicate_acks)), "Duplicate ACKs by the server."),
    more("tcp.flow.server.zero_windows", T::U32, S, k::FLOW_STATS, More(offset_of!(M, connection.server.zero_windows)), "How often the receive window of the server closed."),
    more("tcp.flow.server.stall_dur", T::U64, S, k::FLOW_STATS, More(offset_of!(M, connection.server.stall_ns)), "How long it was closed, ns."),
    more("tcp.flow.server.window", T::U32, S, k::FLOW_STATS | k::SERVER_WINDOW, More(offset_of!(M, connection.server.window)), "Receive window of the server in its last packet, scaled."),
    more("tcp.flow.server.min_window", T::U32, S, k::FLOW_STATS | k::SERVER_WINDOW, More(offset_of!(M, connection.server.min_window)), "Smallest receive window of the server after the SYNs, scaled."),
    more("tcp.flow.server.max_window", T::U32, S, k::FLOW_STATS | k::SERVER_WINDOW, More(offset_of!(M, connection.server.max_window)), "Largest."),
];

//! Exchanges of any protocol at sockets: the turns that two sides take.

use super::more;
use crate::packet::{
    FieldRow, FieldType as T, PacketBytes, PacketView as P,
    Read::{Bit, ByteRanges, Load},
    known as k, needs,
};
use std::mem::offset_of;

const H: u32 = needs::HEADERS;

#[rustfmt::skip]
pub(super) const ROWS: &[FieldRow] = &[
    more("tcp.exchange.start", T::U64, H, k::TCP_EXCHANGE, Load(offset_of!(P, http.start)), "tcp:exchange blocks: boot time of the first bytes of the request."),
    more("tcp.exchange.request_end", T::U64, H, k::TCP_EXCHANGE, Load(offset_of!(P, http.request_end)), "Boot time of its last bytes."),
    more("tcp.exchange.first_byte", T::U64, H, k::TCP_EXCHANGE, Load(offset_of!(P, http.first_byte)), "Boot time of the first bytes of the answer; 0 without one."),
    more("tcp.exchange.end", T::U64, H, k::TCP_EXCHANGE, Load(offset_of!(P, http.end)), "Boot time of the last bytes of the answer; without one, of the end of the connection."),
    more("tcp.exchange.dur", T::U64, H, k::TCP_EXCHANGE, Load(offset_of!(P, http.duration)), "From start to end, ns."),
    more("tcp.exchange.complete", T::Bool, H, k::TCP_EXCHANGE, Bit(offset_of!(P, http.complete), 1), "There was an answer, and no byte of either is missing."),
    more("tcp.exchange.served", T::Bool, H, k::TCP_EXCHANGE, Bit(offset_of!(P, http.stream), 1), "Seen at the process that answers; else at the one that asks."),
    more("tcp.exchange.first_on_conn", T::Bool, H, k::TCP_EXCHANGE, Bit(offset_of!(P, http.first_on_conn), 1), "The first exchange of a connection whose opening was seen."),
    more("tcp.exchange.conn_opened", T::U64, H, k::TCP_EXCHANGE, Load(offset_of!(P, conn_opened)), "Boot time of the connection's SYN (client) or of its handshake's end (server); 0: it is older than the run."),
    more("tcp.exchange.request_from", T::U64, H, k::TCP_EXCHANGE, Load(offset_of!(P, http.request_from)), "First byte of the request, counted in its direction since the initial sequence number."),
    more("tcp.exchange.request_to", T::U64, H, k::TCP_EXCHANGE, Load(offset_of!(P, http.request_to)), "One past its last byte."),
    more("tcp.exchange.response_from", T::U64, H, k::TCP_EXCHANGE, Load(offset_of!(P, http.response_from)), "First byte of the answer."),
    more("tcp.exchange.response_to", T::U64, H, k::TCP_EXCHANGE, Load(offset_of!(P, http.response_to)), "One past its last byte."),
    more("tcp.exchange.bytes", T::ByteRanges, H, k::TCP_EXCHANGE, ByteRanges(PacketBytes::Exchange), "The bytes of the request and of its answer, as a join key."),
];

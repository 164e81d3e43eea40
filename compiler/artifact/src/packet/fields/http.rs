//! HTTP/1 messages, and exchanges: a request with its response.

use super::{W, row};
use crate::packet::{
    FieldRow, FieldType as T, PacketView as P,
    Read::{Bit, Load, Str},
    layer as l,
};
use std::mem::offset_of;

#[rustfmt::skip]
pub(super) const ROWS: &[FieldRow] = &[
    row("http.request", T::Bool, W, l::FRAME, Bit(offset_of!(P, layers), l::HTTP_REQUEST), "A request ends in this packet."),
    row("http.response", T::Bool, W, l::FRAME, Bit(offset_of!(P, layers), l::HTTP_RESPONSE), "A response ends in this packet."),
    row("http.request.method", T::Str, W, l::HTTP_REQUEST, Str(offset_of!(P, http.method)), "Method."),
    row("http.request.uri", T::Str, W, l::HTTP_REQUEST, Str(offset_of!(P, http.uri)), "Request target as sent."),
    row("http.request.version", T::Str, W, l::HTTP_REQUEST, Str(offset_of!(P, http.version)), "HTTP/1.0 or HTTP/1.1."),
    row("http.host", T::Str, W, l::HTTP_REQUEST | l::HTTP_HOST, Str(offset_of!(P, http.host)), "Host header."),
    row("http.response.version", T::Str, W, l::HTTP_RESPONSE, Str(offset_of!(P, http.version)), "HTTP/1.0 or HTTP/1.1."),
    row("http.response.code", T::U32, W, l::HTTP_RESPONSE, Load(offset_of!(P, http.status)), "Status code."),
    row("http.response.phrase", T::Str, W, l::HTTP_RESPONSE, Str(offset_of!(P, http.phrase)), "Reason phrase."),
    row("http.header", T::Headers, W, l::HTTP, Str(offset_of!(P, http.headers)), "Headers of the message that ends here, by name: http.header[\"x-request-id\"]."),
    row("http.content_length", T::U64, W, l::HTTP | l::HTTP_CONTENT_LENGTH, Load(offset_of!(P, http.content_length)), "Content-Length of the message that ends here."),
    row("http.part", T::U32, W, l::FRAME, Load(offset_of!(P, http.part)), "0; a block that reads http.* runs again with 1, 2 … for each further message that ends in the same packet."),

    row("http.exchange", T::Bool, W, l::FRAME, Bit(offset_of!(P, layers), l::HTTP_EXCHANGE), "An exchange (a request and its response) has ended: this packet acknowledges the response, or ends the connection."),
    row("http.exchange.method", T::Str, W, l::HTTP_EXCHANGE, Str(offset_of!(P, http.method)), "Method of the request."),
    row("http.exchange.uri", T::Str, W, l::HTTP_EXCHANGE, Str(offset_of!(P, http.uri)), "Target of the request."),
    row("http.exchange.host", T::Str, W, l::HTTP_EXCHANGE, Str(offset_of!(P, http.host)), "Host header of the request, \"\" without one."),
    row("http.exchange.status", T::U32, W, l::HTTP_EXCHANGE, Load(offset_of!(P, http.status)), "Status code; 0: the connection ended without a response."),
    row("http.exchange.complete", T::Bool, W, l::HTTP_EXCHANGE, Bit(offset_of!(P, http.complete), 1), "The response was seen to its end, without a missing byte."),
    row("http.exchange.header", T::Headers, W, l::HTTP_EXCHANGE, Str(offset_of!(P, http.request_headers)), "Headers of the request, by name."),
    row("http.exchange.response_header", T::Headers, W, l::HTTP_EXCHANGE, Str(offset_of!(P, http.response_headers)), "Headers of the response, by name."),
    row("http.exchange.start", T::U64, W, l::HTTP_EXCHANGE, Load(offset_of!(P, http.start)), "Boot time of the first byte of the request."),
    row("http.exchange.request_end", T::U64, W, l::HTTP_EXCHANGE, Load(offset_of!(P, http.request_end)), "Boot time of the last byte of the request."),
    row("http.exchange.first_byte", T::U64, W, l::HTTP_EXCHANGE, Load(offset_of!(P, http.first_byte)), "Boot time of the first byte of the response; 0 without one."),
    row("http.exchange.end", T::U64, W, l::HTTP_EXCHANGE, Load(offset_of!(P, http.end)), "Boot time of the packet that brought the last of the response (of its retransmission, if it was lost), or of the end of the connection."),
    row("http.exchange.dur", T::U64, W, l::HTTP_EXCHANGE, Load(offset_of!(P, http.duration)), "From start to end, ns."),
    row("http.exchange.first_on_conn", T::Bool, W, l::HTTP_EXCHANGE, Bit(offset_of!(P, http.first_on_conn), 1), "The first exchange of a connection whose handshake was seen."),
    row("http.exchange.conn_opened", T::U64, W, l::HTTP_EXCHANGE, Load(offset_of!(P, conn_opened)), "Boot time of the connection's first SYN."),
    row("http.exchange.request_from", T::U64, W, l::HTTP_EXCHANGE, Load(offset_of!(P, http.request_from)), "First byte of the request, counted in its direction since the initial sequence number."),
    row("http.exchange.request_to", T::U64, W, l::HTTP_EXCHANGE, Load(offset_of!(P, http.request_to)), "One past the last byte of the request."),
    row("http.exchange.response_from", T::U64, W, l::HTTP_EXCHANGE, Load(offset_of!(P, http.response_from)), "First byte of the response."),
    row("http.exchange.response_to", T::U64, W, l::HTTP_EXCHANGE, Load(offset_of!(P, http.response_to)), "One past the last byte of the response seen."),
];

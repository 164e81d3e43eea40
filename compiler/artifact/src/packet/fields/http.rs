//! HTTP/1 messages, and exchanges of HTTP/1 and HTTP/2: a request with its response.

use super::{M, W, X, row};
use crate::packet::{
    FieldRow, FieldType as T, PacketBytes, PacketView as P,
    Read::{Bit, ByteRanges, Layer, Load, Str},
    layer as l, needs,
};
use std::mem::offset_of;

#[rustfmt::skip]
pub(super) const ROWS: &[FieldRow] = &[
    row("http.request", T::Bool, M, l::FRAME, Layer(l::HTTP_REQUEST), "A request ends in this packet."),
    row("http.response", T::Bool, M, l::FRAME, Layer(l::HTTP_RESPONSE), "A response ends in this packet."),
    row("http.request.method", T::Str, W, l::HTTP_REQUEST, Str(offset_of!(P, http.method)), "Method."),
    row("http.request.uri", T::Str, W, l::HTTP_REQUEST, Str(offset_of!(P, http.uri)), "Request target as sent."),
    row("http.request.version", T::Str, W, l::HTTP_REQUEST, Str(offset_of!(P, http.version)), "HTTP/1.0 or HTTP/1.1."),
    row("http.host", T::Str, W, l::HTTP_REQUEST | l::HTTP_HOST, Str(offset_of!(P, http.host)), "Host header."),
    row("http.response.version", T::Str, W, l::HTTP_RESPONSE, Str(offset_of!(P, http.version)), "HTTP/1.0 or HTTP/1.1."),
    row("http.response.code", T::U32, W, l::HTTP_RESPONSE, Load(offset_of!(P, http.status)), "Status code."),
    row("http.response.phrase", T::Str, W, l::HTTP_RESPONSE, Str(offset_of!(P, http.phrase)), "Reason phrase."),
    row("http.header", T::Headers, W, l::HTTP, Str(offset_of!(P, http.headers)), "Headers of the message that ends here, by name: http.header[\"x-request-id\"]. Values are strings: beyond `max_strlen` they are cut, and print with `..`."),
    row("http.content_length", T::U64, W, l::HTTP | l::HTTP_CONTENT_LENGTH, Load(offset_of!(P, http.content_length)), "Content-Length of the message that ends here."),
    row("http.part", T::U32, M, l::FRAME, Load(offset_of!(P, http.part)), "0; a block that reads http.* runs again with 1, 2 … for each further message that ends in the same packet."),

    row("http.exchange", T::Bool, X, l::FRAME, Layer(l::HTTP_EXCHANGE), "An exchange (a request and its response) has ended: this packet acknowledges the response, or ends the connection."),
    row("http.exchange.method", T::Str, X, l::HTTP_EXCHANGE | l::EXCHANGE_METHOD, Str(offset_of!(P, http.method)), "Method of the request."),
    row("http.exchange.uri", T::Str, X, l::HTTP_EXCHANGE | l::EXCHANGE_URI, Str(offset_of!(P, http.uri)), "Target of the request; HTTP/2: its `:path`."),
    row("http.exchange.route", T::Str, X | needs::ROUTES, l::HTTP_EXCHANGE | l::EXCHANGE_URI, Str(offset_of!(P, http.route)), "The target's path, with {id} for numbers and other parts that differ from request to request, by their shape: /orders/{id}/items."),
    row("http.exchange.host", T::Str, X, l::HTTP_EXCHANGE | l::HTTP_HOST, Str(offset_of!(P, http.host)), "Host header of the request (HTTP/2: `:authority`), \"\" without one."),
    row("http.exchange.status", T::U32, X, l::HTTP_EXCHANGE | l::EXCHANGE_STATUS, Load(offset_of!(P, http.status)), "Status code; 0: the connection (or HTTP/2 stream) ended without a response. Absent where one came that can't be read, or may be among missing bytes."),
    row("http.exchange.version", T::Str, X, l::HTTP_EXCHANGE, Str(offset_of!(P, http.version)), "HTTP/1.0, HTTP/1.1 or HTTP/2: the version the request was sent with."),
    row("http.exchange.streamid", T::U32, X, l::HTTP_EXCHANGE, Load(offset_of!(P, http.stream)), "HTTP/2: the stream; 0 in HTTP/1."),
    row("http.exchange.error", T::U32, X, l::HTTP_EXCHANGE | l::EXCHANGE_ERROR, Load(offset_of!(P, http.error)), "HTTP/2: error code of the RST_STREAM or GOAWAY that ended the exchange."),
    row("http.exchange.complete", T::Bool, X, l::HTTP_EXCHANGE, Bit(offset_of!(P, http.complete), 1), "The response was seen to its end, without a missing byte. (HTTP/2: by END_STREAM, or by its content-length where the stream ends without.)"),
    row("http.exchange.header", T::Headers, X, l::HTTP_EXCHANGE, Str(offset_of!(P, http.request_headers)), "Headers of the request, by name."),
    row("http.exchange.trace_id", T::Str, X, l::HTTP_EXCHANGE, Str(offset_of!(P, http.trace_id)), "Id of the trace in the request's traceparent header: 32 hexadecimal digits, as span.trace_id; \"\" without one."),
    row("http.exchange.parent_span_id", T::Str, X, l::HTTP_EXCHANGE, Str(offset_of!(P, http.parent_span_id)), "Id of the caller's span in it: 16 hexadecimal digits, as the client span's span.span_id."),
    row("http.exchange.response_header", T::Headers, X, l::HTTP_EXCHANGE, Str(offset_of!(P, http.response_headers)), "Headers of the response, by name."),
    row("http.exchange.start", T::U64, X, l::HTTP_EXCHANGE, Load(offset_of!(P, http.start)), "Boot time of the first byte of the request."),
    row("http.exchange.request_end", T::U64, X, l::HTTP_EXCHANGE, Load(offset_of!(P, http.request_end)), "Boot time of the last byte of the request."),
    row("http.exchange.first_byte", T::U64, X, l::HTTP_EXCHANGE, Load(offset_of!(P, http.first_byte)), "Boot time of the first byte of the response; 0 without one."),
    row("http.exchange.end", T::U64, X, l::HTTP_EXCHANGE, Load(offset_of!(P, http.end)), "Boot time of the packet that brought the last of the response (of its retransmission, if it was lost), or of the end of the connection."),
    row("http.exchange.dur", T::U64, X, l::HTTP_EXCHANGE, Load(offset_of!(P, http.duration)), "From start to end, ns."),
    row("http.exchange.first_on_conn", T::Bool, X, l::HTTP_EXCHANGE, Bit(offset_of!(P, http.first_on_conn), 1), "The first exchange of a connection whose handshake was seen. Not set where bytes that the client sent before it are missing or can't be read: another request may be among them."),
    row("http.exchange.conn_opened", T::U64, X, l::HTTP_EXCHANGE, Load(offset_of!(P, http.conn_opened)), "Boot time of the connection's first SYN; 0: it was not seen."),
    row("http.exchange.request_from", T::U64, X, l::HTTP_EXCHANGE, Load(offset_of!(P, http.request_from)), "First byte of the request, counted in its direction since the initial sequence number."),
    row("http.exchange.request_to", T::U64, X, l::HTTP_EXCHANGE, Load(offset_of!(P, http.request_to)), "One past the last byte of the request."),
    row("http.exchange.response_from", T::U64, X, l::HTTP_EXCHANGE, Load(offset_of!(P, http.response_from)), "First byte of the response."),
    row("http.exchange.response_to", T::U64, X, l::HTTP_EXCHANGE, Load(offset_of!(P, http.response_to)), "One past the last byte of the response seen."),
    row("http.exchange.bytes", T::ByteRanges, X, l::HTTP_EXCHANGE, ByteRanges(PacketBytes::Exchange), "The bytes of the request and of its response, as a join key; of HTTP/2 those of its own frames."),
    row("http.exchange.request_bytes", T::ByteRanges, X, l::HTTP_EXCHANGE, ByteRanges(PacketBytes::Request), "The bytes of the request, as a join key; of HTTP/2 those of its own frames."),
    row("http.exchange.response_bytes", T::ByteRanges, X, l::HTTP_EXCHANGE, ByteRanges(PacketBytes::Response), "The bytes of the response, as a join key; of HTTP/2 those of its own frames."),

    row("grpc.service", T::Str, X, l::HTTP_EXCHANGE | l::GRPC, Str(offset_of!(P, http.grpc.service)), "Exchange that is a gRPC call: the service, with its package."),
    row("grpc.method", T::Str, X, l::HTTP_EXCHANGE | l::GRPC, Str(offset_of!(P, http.grpc.method)), "gRPC call: the method."),
    row("grpc.status", T::U32, X, l::HTTP_EXCHANGE | l::GRPC_STATUS, Load(offset_of!(P, http.grpc.status)), "gRPC call: status that the server sent: 0 ok, 4 deadline exceeded, 5 not found, 12 unimplemented, 13 internal, 14 unavailable, … Absent where the stream ended without one."),
    row("grpc.message", T::Str, X, l::HTTP_EXCHANGE | l::GRPC_STATUS, Str(offset_of!(P, http.grpc.message)), "gRPC call: the server's text about the status."),
];

//! HTTP/2 frames with their header blocks.

use super::{W2, row};
use crate::packet::{
    FieldRow, FieldType as T, PacketView as P,
    Read::{Bit, Load, Str},
    http2_mark as m, layer as l,
};
use std::mem::offset_of;

const fn mark(name: &'static str, mask: u32, doc: &'static str) -> FieldRow {
    row(name, T::Bool, W2, l::HTTP2, Bit(offset_of!(P, http2.marks), mask), doc)
}

/// A field of the header block.
const H: u64 = l::HTTP2 | l::HTTP2_HEADERS;

#[rustfmt::skip]
pub(super) const ROWS: &[FieldRow] = &[
    row("http2.streamid", T::U32, W2, l::HTTP2, Load(offset_of!(P, http2.stream)), "Stream of the frame that ends in this packet; 0 is the connection."),
    row("http2.type", T::U32, W2, l::HTTP2, Load(offset_of!(P, http2.kind)), "Type of the frame: 0 DATA, 1 HEADERS, 2 PRIORITY, 3 RST_STREAM, 4 SETTINGS, 5 PUSH_PROMISE, 6 PING, 7 GOAWAY, 8 WINDOW_UPDATE, 9 CONTINUATION."),
    row("http2.length", T::U32, W2, l::HTTP2, Load(offset_of!(P, http2.len)), "Bytes of the frame after its header."),
    row("http2.flags", T::U32, W2, l::HTTP2, Load(offset_of!(P, http2.flags)), "Flags as sent; what they mean depends on the type."),
    mark("http2.flags.end_stream", m::END_STREAM, "The sender has no more for this stream."),
    mark("http2.flags.eh", m::END_HEADERS, "The header block ends with this frame."),
    mark("http2.flags.padded", m::PADDED, "The frame is padded."),
    mark("http2.flags.priority", m::PRIORITY, "HEADERS with a priority."),
    mark("http2.flags.ack.settings", m::SETTINGS_ACK, "SETTINGS that acknowledge the other side's."),
    mark("http2.flags.ack.ping", m::PING_ACK, "Answer to a PING."),
    row("http2.headers.method", T::Str, W2, H | l::HTTP2_METHOD, Str(offset_of!(P, http2.method)), "`:method` of a request."),
    row("http2.headers.path", T::Str, W2, H | l::HTTP2_PATH, Str(offset_of!(P, http2.path)), "`:path` of a request."),
    row("http2.headers.authority", T::Str, W2, H | l::HTTP2_AUTHORITY, Str(offset_of!(P, http2.authority)), "`:authority` of a request."),
    row("http2.headers.scheme", T::Str, W2, H | l::HTTP2_METHOD, Str(offset_of!(P, http2.scheme)), "`:scheme` of a request."),
    row("http2.headers.status", T::U32, W2, H | l::HTTP2_STATUS, Load(offset_of!(P, http2.status)), "`:status` of a response."),
    row("http2.header", T::Headers, W2, H, Str(offset_of!(P, http2.headers)), "Headers of the block that ends with this frame, by name: http2.header[\"x-request-id\"], http2.header[\":path\"]."),
    row("http2.header_unknown", T::U32, W2, H, Load(offset_of!(P, http2.unknown)), "Headers of the block that are not known: the connection was open before the capture, or bytes of it are missing."),
    row("http2.rst_stream.error", T::U32, W2, l::HTTP2_RESET, Load(offset_of!(P, http2.error)), "RST_STREAM: error code (0 none, 1 protocol, 2 internal, 3 flow control, 5 stream closed, 7 refused, 8 cancelled, 11 enhance your calm)."),
    row("http2.goaway.error", T::U32, W2, l::HTTP2_GOAWAY, Load(offset_of!(P, http2.error)), "GOAWAY: error code."),
    row("http2.goaway.last_stream_id", T::U32, W2, l::HTTP2_GOAWAY, Load(offset_of!(P, http2.value)), "GOAWAY: the last stream that the sender will answer."),
    row("http2.window_update.window_size_increment", T::U32, W2, l::HTTP2_WINDOW, Load(offset_of!(P, http2.value)), "WINDOW_UPDATE: bytes that the other side may send more."),
    row("http2.push_promise.promised_stream_id", T::U32, W2, l::HTTP2_PROMISED, Load(offset_of!(P, http2.value)), "PUSH_PROMISE: stream that the response will come on."),
    row("http2.part", T::U32, W2, l::FRAME, Load(offset_of!(P, http2.part)), "0; a block that reads http2.* runs again with 1, 2 … for each further frame that ends in the same packet."),
];

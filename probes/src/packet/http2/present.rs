//! What is presented of a frame.

use super::frame::{Header, flag, kind};
use super::side::Frame;
use crate::packet::http::Head;
use crate::packet::stream::Part;
use std::sync::Arc;
use weftrace_artifact::packet::{Http2View, PacketView, http2_mark as mark, layer, needs};

/// What some kinds of frames say beside their header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    None,
    Reset(u32),
    GoAway { last: u32, error: u32 },
    Window(u32),
    Promised(u32),
}

impl Detail {
    pub(super) fn of(frame: &Frame, payload: &[u8]) -> Self {
        if frame.damaged {
            return Self::None;
        }
        let word = |at: usize| payload.get(at..)?.first_chunk().map(|word| u32::from_be_bytes(*word));
        let found = match frame.header.kind {
            kind::RST_STREAM => word(0).map(Self::Reset),
            kind::GOAWAY => word(0).zip(word(4)).map(|(last, error)| Self::GoAway { last: last & 0x7fff_ffff, error }),
            kind::WINDOW_UPDATE => word(0).map(|by| Self::Window(by & 0x7fff_ffff)),
            kind::PUSH_PROMISE => {
                let padded = frame.header.has(flag::PADDED);
                word(usize::from(padded)).map(|stream| Self::Promised(stream & 0x7fff_ffff))
            }
            _ => None,
        };
        found.unwrap_or(Self::None)
    }
}

pub(super) struct FramePart {
    pub(super) header: Header,
    pub(super) head: Option<Arc<Head>>,
    pub(super) detail: Detail,
}

impl Part for FramePart {
    fn family(&self) -> u32 {
        needs::HTTP2
    }

    fn present(&self, number: u32, view: &mut PacketView) {
        let Header { len, kind, flags, stream, .. } = self.header;
        let mut frame = Http2View {
            part: number,
            stream,
            len,
            kind: u32::from(kind),
            flags: u32::from(flags),
            ..Default::default()
        };
        frame.marks = marks(self.header);
        view.layers |= layer::HTTP2;
        match self.detail {
            Detail::None => {}
            Detail::Reset(error) => {
                frame.error = error;
                view.layers |= layer::HTTP2_RESET;
            }
            Detail::GoAway { last, error } => {
                (frame.error, frame.value) = (error, last);
                view.layers |= layer::HTTP2_GOAWAY;
            }
            Detail::Window(by) => {
                frame.value = by;
                view.layers |= layer::HTTP2_WINDOW;
            }
            Detail::Promised(stream) => {
                frame.value = stream;
                view.layers |= layer::HTTP2_PROMISED;
            }
        }
        if let Some(head) = &self.head {
            view.layers |= fill_head(head, &mut frame);
        }
        view.http2 = frame;
    }
}

fn fill_head(head: &Head, frame: &mut Http2View) -> u64 {
    let mut layers = layer::HTTP2_HEADERS;
    frame.headers = head.all_fields();
    frame.scheme = head.scheme();
    frame.unknown = head.extra().map_or(0, |extra| extra.unknown);
    let mut have = |is: bool, bit: u64| layers |= if is { bit } else { 0 };
    have(head.has_method(), layer::HTTP2_METHOD);
    have(head.has_uri(), layer::HTTP2_PATH);
    have(head.has_host(), layer::HTTP2_AUTHORITY);
    have(head.outline.status != 0, layer::HTTP2_STATUS);
    frame.method = head.method();
    frame.path = head.uri();
    frame.authority = head.host().unwrap_or_default();
    frame.status = head.outline.status;
    layers
}

/// Flags by their meaning, which depends on the frame's kind.
fn marks(header: Header) -> u32 {
    let has = |bit: u8, kinds: &[u8], mark: u32| if header.has(bit) && kinds.contains(&header.kind) { mark } else { 0 };
    has(flag::END_STREAM, &[kind::DATA, kind::HEADERS], mark::END_STREAM)
        | has(flag::END_HEADERS, &[kind::HEADERS, kind::PUSH_PROMISE, kind::CONTINUATION], mark::END_HEADERS)
        | has(flag::PADDED, &[kind::DATA, kind::HEADERS, kind::PUSH_PROMISE], mark::PADDED)
        | has(flag::PRIORITY, &[kind::HEADERS], mark::PRIORITY)
        | has(flag::ACK, &[kind::SETTINGS], mark::SETTINGS_ACK)
        | has(flag::ACK, &[kind::PING], mark::PING_ACK)
}

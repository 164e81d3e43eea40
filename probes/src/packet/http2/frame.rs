//! Frames (RFC 9113, section 4): their headers, and what tells one from other bytes.

/// What a client's side of a connection begins with.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const HEADER: usize = 9;

/// The largest payload without leave of the other side (SETTINGS_MAX_FRAME_SIZE).
const USUAL_LENGTH: u32 = 16_384;

pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const PRIORITY: u8 = 2;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PUSH_PROMISE: u8 = 5;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
    pub(crate) const CONTINUATION: u8 = 9;
}

pub(crate) mod flag {
    /// Of DATA and HEADERS.
    pub(crate) const END_STREAM: u8 = 1;
    /// Of SETTINGS and PING.
    pub(crate) const ACK: u8 = 1;
    pub(crate) const END_HEADERS: u8 = 4;
    pub(crate) const PADDED: u8 = 8;
    pub(crate) const PRIORITY: u8 = 0x20;
}

/// A frame's header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) len: u32,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    /// The bit before the stream's number, which nobody may set.
    reserved: bool,
}

impl Header {
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let &[a, b, c, kind, flags, d, e, f, g] = bytes.first_chunk::<HEADER>()?;
        let stream = u32::from_be_bytes([d, e, f, g]);
        Some(Self {
            len: u32::from_be_bytes([0, a, b, c]),
            kind,
            flags,
            stream: stream & 0x7fff_ffff,
            reserved: stream >> 31 != 0,
        })
    }

    pub(crate) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    pub(crate) fn ends_stream(self) -> bool {
        matches!(self.kind, kind::DATA | kind::HEADERS) && self.has(flag::END_STREAM)
    }

    /// It has a header block, or a part of one.
    pub(crate) fn is_of_block(self) -> bool {
        matches!(self.kind, kind::HEADERS | kind::PUSH_PROMISE | kind::CONTINUATION)
    }

    /// Everything that RFC 9113, section 6 says about a header of its kind is so. Few other bytes are.
    fn is_plausible(self) -> bool {
        let (on_stream, fits, flags) = match self.kind {
            kind::DATA => (true, true, flag::END_STREAM | flag::PADDED),
            kind::HEADERS => (true, self.len > 0, flag::END_STREAM | flag::END_HEADERS | flag::PADDED | flag::PRIORITY),
            kind::PRIORITY => (true, self.len == 5, 0),
            kind::RST_STREAM => (true, self.len == 4, 0),
            kind::SETTINGS => (false, self.len.is_multiple_of(6) && (self.len == 0 || !self.has(flag::ACK)), flag::ACK),
            kind::PUSH_PROMISE => (true, self.len > 4, flag::END_HEADERS | flag::PADDED),
            kind::PING => (false, self.len == 8, flag::ACK),
            kind::GOAWAY => (false, self.len >= 8, 0),
            kind::WINDOW_UPDATE => return self.len == 4 && self.flags == 0 && !self.reserved,
            kind::CONTINUATION => (true, true, flag::END_HEADERS),
            _ => return false,
        };
        fits && on_stream == (self.stream != 0)
            && self.flags & !flags == 0
            && !self.reserved
            && self.len <= USUAL_LENGTH
    }
}

/// Frames one after the other from the first byte on: how many whole ones, and whether the last ends where the bytes do. Stops
/// where there can be no doubt any more.
fn chain(bytes: &[u8]) -> Option<(usize, bool)> {
    const ENOUGH: usize = 12;
    let (mut at, mut whole) = (0, 0);
    while at < bytes.len() && whole < ENOUGH {
        let Some(header) = Header::parse(&bytes[at..]) else { return Some((whole, false)) };
        if !header.is_plausible() {
            return None;
        }
        at += HEADER + header.len as usize;
        if at > bytes.len() {
            return Some((whole, false));
        }
        whole += 1;
    }
    Some((whole, at == bytes.len()))
}

/// Whether a segment of a connection of which nothing is known consists of frames. One that does not end with a frame must begin
/// with three.
pub(crate) fn is_frames(bytes: &[u8]) -> bool {
    // Most payloads are settled by their first byte.
    if bytes.first() != Some(&0) {
        return false;
    }
    chain(bytes).is_some_and(|(whole, exact)| if exact { whole > 0 } else { whole >= 3 })
}

/// Where in a segment of a connection that speaks HTTP/2 frames begin again.
pub(crate) fn resumes_at(bytes: &[u8]) -> Option<usize> {
    if bytes.len() >= HEADER && chain(bytes).is_some() {
        return Some(0);
    }
    // The rest of a frame may lie before: then the segment's end must prove what was found.
    (1..bytes.len().saturating_sub(HEADER - 1))
        .find(|&at| chain(&bytes[at..]).is_some_and(|(whole, exact)| if exact { whole > 0 } else { whole >= 3 }))
}

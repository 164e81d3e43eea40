//! One direction of a connection: bytes in, frames out. Follows the framing over bytes that are missing where their number tells it,
//! and otherwise looks for the next frame.

use super::frame::{self, HEADER, Header, PREFACE, flag, kind};
use super::hpack::{Decoder, Fields};
use super::{Http2Counters, Http2Limits};
use crate::packet::stream::{Hole, Piece};

/// How a direction begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// With the client's preface.
    Preface,
    /// With a frame.
    Frames,
    /// Somewhere: the connection was open before.
    Unknown,
}

#[derive(Clone, Copy, Debug)]
enum At {
    /// So many bytes of the preface were there.
    Preface(usize),
    /// So many bytes of a frame's header were there.
    Header(usize),
    /// So many bytes of the payload are to come.
    Payload(u32),
    /// Where frames begin is unknown.
    Lost,
}

/// A header block under way: HEADERS or PUSH_PROMISE, with CONTINUATIONs.
#[derive(Debug)]
struct Open {
    bytes: Vec<u8>,
    first: Header,
    promised: u32,
    from: u64,
    start: u64,
}

/// A header block that is complete; its fields lie in the engine's scratch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    /// Header of the HEADERS or PUSH_PROMISE frame.
    pub(crate) first: Header,
    pub(crate) promised: u32,
    /// Offset and boot time of the first byte.
    pub(crate) from: u64,
    pub(crate) start: u64,
}

/// A frame that has ended.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) header: Header,
    /// Offsets of its first byte, and of the byte after it.
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// Bytes of it are missing.
    pub(crate) damaged: bool,
    /// A header block ends here, and could be decoded.
    pub(crate) block: Option<Block>,
}

/// What bytes that are missing were.
#[derive(Debug)]
pub(crate) enum Missed {
    /// Nothing of which more than the number matters.
    Nothing,
    /// Of this frame, which goes on.
    Of(Header),
    /// The end of a frame, which is known by its header.
    End(Frame),
    /// Where frames begin is not known any more.
    Framing,
}

#[derive(Debug)]
pub(crate) struct Side {
    at: At,
    raw: [u8; HEADER],
    header: Header,
    from: u64,
    start: u64,
    /// Offset behind the last byte that was taken.
    next: u64,
    damaged: bool,
    /// The payload as far as it is looked at.
    pub(crate) payload: Vec<u8>,
    open: Option<Open>,
    decoder: Decoder,
    preface: bool,
}

impl Side {
    pub(crate) fn new(beginning: Beginning) -> Self {
        let mut decoder = Decoder::default();
        let at = match beginning {
            Beginning::Preface => At::Preface(0),
            Beginning::Frames => At::Header(0),
            Beginning::Unknown => {
                decoder.lose();
                At::Lost
            }
        };
        Self {
            at,
            raw: [0; HEADER],
            header: Header::default(),
            from: 0,
            start: 0,
            next: 0,
            damaged: false,
            payload: Vec::new(),
            open: None,
            decoder,
            preface: beginning == Beginning::Preface,
        }
    }

    pub(crate) fn began_with_preface(&self) -> bool {
        self.preface
    }

    /// Bytes of memory that depend on what the peer sent.
    pub(crate) fn held(&self) -> usize {
        self.decoder.held() + self.open.as_ref().map_or(0, |open| open.bytes.capacity()) + self.payload.capacity()
    }

    /// Gives up what was decoded so far.
    fn forget(&mut self) {
        self.decoder.lose();
        self.open = None;
    }

    /// Gives up what it holds, where memory is short: of the frame under way its header alone is known then.
    pub(crate) fn give_back(&mut self) {
        self.forget();
        self.damaged |= !self.payload.is_empty();
        self.payload = Vec::new();
    }

    /// The frame that ended is done with.
    pub(crate) fn release(&mut self) {
        /// What most frames beside headers and data have. More is not kept on a connection that does not need it.
        const SMALL: usize = 64;
        self.payload.clear();
        self.payload.shrink_to(SMALL);
    }

    /// Takes bytes up to the end of the next frame. Returns how many, and the frame.
    pub(crate) fn take(
        &mut self,
        piece: &Piece<'_>,
        fields: &mut Fields,
        limits: &Http2Limits,
        counters: &mut Http2Counters,
    ) -> (usize, Option<Frame>) {
        let bytes = piece.bytes;
        match self.at {
            At::Preface(have) => (self.preface(bytes, have), None),
            At::Header(have) => {
                if have == 0 {
                    (self.from, self.start, self.damaged) = (piece.from(), piece.time, false);
                }
                let used = (HEADER - have).min(bytes.len());
                self.raw[have..have + used].copy_from_slice(&bytes[..used]);
                self.at = At::Header(have + used);
                if have + used < HEADER {
                    return (used, None);
                }
                self.header = Header::parse(&self.raw).unwrap_or_default();
                self.next = piece.after(used);
                self.payload.clear();
                self.at = At::Payload(self.header.len);
                let ended = self.header.len == 0;
                (used, ended.then(|| self.end(piece.after(used), fields, limits, counters)))
            }
            At::Payload(left) => {
                let used = bytes.len().min(left as usize);
                self.next = piece.after(used);
                let room = kept(self.header, limits).saturating_sub(self.payload.len());
                self.payload.extend_from_slice(&bytes[..used.min(room)]);
                self.at = At::Payload(left - used as u32);
                let ended = left as usize == used;
                (used, ended.then(|| self.end(piece.after(used), fields, limits, counters)))
            }
            At::Lost => {
                let found = if piece.fresh { frame::resumes_at(bytes) } else { None };
                if found.is_some() {
                    self.at = At::Header(0);
                }
                (found.unwrap_or(bytes.len()), None)
            }
        }
    }

    fn preface(&mut self, bytes: &[u8], have: usize) -> usize {
        let want = &PREFACE[have.min(PREFACE.len())..];
        let used = want.len().min(bytes.len());
        if bytes[..used] != want[..used] {
            self.lose();
            return bytes.len();
        }
        self.at = if used == want.len() { At::Header(0) } else { At::Preface(have + used) };
        used
    }

    /// Passes over bytes that are missing.
    pub(crate) fn miss(&mut self, hole: Hole) -> Missed {
        let kind = self.header.kind;
        // Of a body that was there, if not captured, nothing is missing.
        let damage = hole.lost || kind != kind::DATA;
        match self.at {
            At::Payload(left) if hole.exact && hole.len < u64::from(left) => {
                self.damaged |= damage;
                self.at = At::Payload(left - hole.len as u32);
                self.next = hole.to;
                if damage { Missed::Of(self.header) } else { Missed::Nothing }
            }
            At::Payload(left) if hole.exact && hole.len == u64::from(left) && kind == kind::DATA => {
                self.damaged |= damage;
                self.at = At::Header(0);
                let Self { header, from, damaged, .. } = *self;
                Missed::End(Frame { header, from, to: hole.to, damaged, block: None })
            }
            _ => {
                self.lose();
                Missed::Framing
            }
        }
    }

    fn lose(&mut self) {
        self.at = At::Lost;
        self.payload = Vec::new();
        self.forget();
    }

    /// The frame under way has ended at `to`.
    fn end(&mut self, to: u64, fields: &mut Fields, limits: &Http2Limits, counters: &mut Http2Counters) -> Frame {
        self.at = At::Header(0);
        let header = self.header;
        let opens = matches!(header.kind, kind::HEADERS | kind::PUSH_PROMISE);
        let continues = header.kind == kind::CONTINUATION;
        let fits = self.open.as_ref().is_none_or(|open| continues && open.first.stream == header.stream);
        if !fits {
            // A block must not be interrupted: what it was is lost.
            counters.malformed += 1;
            self.forget();
        }
        let mut block = None;
        if (opens || continues) && !self.gather(limits, counters) {
            self.forget();
        } else if (opens || continues) && header.has(flag::END_HEADERS) {
            block = self.open.take().and_then(|open| self.decode(&open, fields, limits, counters));
        }
        Frame { header, from: self.from, to, damaged: self.damaged, block }
    }

    /// Where frames begin is not known.
    pub(crate) fn is_lost(&self) -> bool {
        matches!(self.at, At::Lost)
    }

    /// Offset of the header block or frame that has begun.
    pub(crate) fn begun(&self) -> Option<u64> {
        let frame = matches!(self.at, At::Payload(_) | At::Header(1..)).then_some(self.from);
        self.open.as_ref().map(|open| open.from).or(frame)
    }

    /// The frame of which more is to come, with the end that its header promises (within TLS it is behind that); and how far it has come.
    pub(crate) fn unfinished(&self) -> Option<(Frame, u64)> {
        let (header, from) = (self.header, self.from);
        let to = from + HEADER as u64 + u64::from(header.len);
        let frame = Frame { header, from, to, damaged: true, block: None };
        matches!(self.at, At::Payload(_)).then_some((frame, self.next))
    }

    /// So many of the next bytes are all of a body.
    pub(crate) fn ignored(&self) -> u64 {
        match self.at {
            At::Payload(left) if self.header.kind == kind::DATA => left.into(),
            _ => 0,
        }
    }

    /// Adds a frame's part of the header block to it. False if the block can't be had.
    fn gather(&mut self, limits: &Http2Limits, counters: &mut Http2Counters) -> bool {
        let whole = self.payload.len() == self.header.len as usize && !self.damaged;
        if !whole {
            counters.cut += u64::from(!self.damaged);
            return false;
        }
        if self.header.kind == kind::CONTINUATION {
            // One that continues nothing: its block began in bytes that are missing.
            let Some(open) = &mut self.open else { return false };
            if open.bytes.len() + self.payload.len() > limits.block_bytes {
                counters.cut += 1;
                return false;
            }
            open.bytes.extend_from_slice(&self.payload);
            return true;
        }
        let Some((promised, part)) = strip(self.header, &self.payload) else {
            counters.malformed += 1;
            return false;
        };
        self.open =
            Some(Open { bytes: part.to_vec(), first: self.header, promised, from: self.from, start: self.start });
        true
    }

    fn decode(
        &mut self,
        open: &Open,
        fields: &mut Fields,
        limits: &Http2Limits,
        counters: &mut Http2Counters,
    ) -> Option<Block> {
        fields.reset(limits.head_bytes);
        let decoded = self.decoder.decode(&open.bytes, fields);
        counters.malformed += u64::from(decoded.is_err());
        counters.unknown += u64::from(fields.unknown);
        counters.cut += u64::from(fields.cut > 0);
        decoded.ok()?;
        Some(Block { first: open.first, promised: open.promised, from: open.from, start: open.start })
    }
}

/// How much of a frame's payload is looked at.
fn kept(header: Header, limits: &Http2Limits) -> usize {
    /// More settings than there are kinds of.
    const SETTINGS: usize = 192;
    match header.kind {
        kind::HEADERS | kind::PUSH_PROMISE | kind::CONTINUATION => limits.block_bytes,
        // How much of it is padding.
        kind::DATA => usize::from(header.has(flag::PADDED)),
        _ => SETTINGS,
    }
}

/// The header block's part of HEADERS or PUSH_PROMISE, without padding and priority, and the promised stream.
fn strip(header: Header, payload: &[u8]) -> Option<(u32, &[u8])> {
    let mut rest = payload;
    if header.has(flag::PADDED) {
        let (&padding, after) = rest.split_first()?;
        rest = after.get(..after.len().checked_sub(padding as usize)?)?;
    }
    if header.kind == kind::PUSH_PROMISE {
        let (promised, after) = rest.split_first_chunk::<4>()?;
        return Some((u32::from_be_bytes(*promised) & 0x7fff_ffff, after));
    }
    if header.has(flag::PRIORITY) {
        rest = rest.get(5..)?;
    }
    Some((0, rest))
}

#[cfg(test)]
mod tests;

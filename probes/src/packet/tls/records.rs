//! One direction cut into records (RFC 8446, section 5.1; the same since SSL 3.0).

use super::content;
use crate::packet::stream::{Hole, Piece, Sniff};

const HEADER: usize = 5;
/// A fragment of 2^14 bytes, and what encryption may add (RFC 5246, section 6.2.3).
const MAX_BODY: usize = (1 << 14) + 2048;

/// A record's header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) kind: u8,
    pub(super) version: u16,
    pub(super) length: u16,
    bytes: [u8; HEADER],
}

impl Header {
    pub(super) fn parse(bytes: [u8; HEADER]) -> Option<Self> {
        let [kind, major, minor, high, low] = bytes;
        let length = u16::from_be_bytes([high, low]);
        let known = (content::CHANGE_CIPHER_SPEC..=content::HEARTBEAT).contains(&kind);
        // Only application data may be empty.
        let ok =
            known && major == 3 && minor <= 4 && length as usize <= MAX_BODY && (length > 0 || kind == content::DATA);
        ok.then_some(Self { kind, version: u16::from_be_bytes([major, minor]), length, bytes })
    }

    /// As sent: what authenticated encryption covers in TLS 1.3.
    pub(super) fn as_sent(&self) -> &[u8; HEADER] {
        &self.bytes
    }
}

/// A record that ended.
#[derive(Clone, Copy)]
pub(super) struct Record<'a> {
    pub(super) header: Header,
    /// Its content, as far as it was kept.
    pub(super) body: &'a [u8],
    /// The capture cut bytes of it off.
    pub(super) cut: bool,
    /// Bytes of the TCP stream that it covers.
    pub(super) covers: (u64, u64),
    /// Boot time of its first byte.
    pub(super) start: u64,
}

/// What a direction's bytes came to.
pub(super) enum Found<'a> {
    Record(Record<'a>),
    /// Bytes of a record went missing, so it is lost. Its place in the order of records is known, and what it covers.
    Lost {
        header: Header,
        covers: (u64, u64),
    },
}

enum State {
    /// Collects a header.
    Header,
    Body {
        header: Header,
        left: usize,
        keep: bool,
        damage: Damage,
    },
    /// Where records begin is not known: waits for a segment that starts with one.
    Lost,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Damage {
    None,
    Cut,
    Lost,
}

/// One direction.
pub(super) struct Records {
    state: State,
    /// The header or body so far.
    partial: Vec<u8>,
    from: u64,
    start: u64,
}

impl Default for Records {
    fn default() -> Self {
        Self { state: State::Header, partial: Vec::new(), from: 0, start: 0 }
    }
}

impl Records {
    /// Only the extent of so many of the next bytes matters.
    pub(super) fn ignored(&self) -> u64 {
        match self.state {
            State::Body { left, keep: false, .. } => left as u64,
            State::Body { .. } | State::Header | State::Lost => 0,
        }
    }

    /// Takes bytes of `piece` up to the end of a record, says how many. `keep`: whether a record's content is wanted.
    pub(super) fn next<'a>(
        &'a mut self,
        piece: Piece<'a>,
        keep: impl FnOnce(&Header) -> bool,
    ) -> (usize, Option<Found<'a>>) {
        match self.state {
            State::Lost if piece.fresh && sniff(piece.bytes) != Sniff::No => {
                self.state = State::Header;
                self.partial.clear();
                (0, None)
            }
            State::Lost => (piece.bytes.len(), None),
            State::Header => self.header(piece, keep),
            State::Body { header, left, keep, damage } => self.body(piece, header, left, keep, damage),
        }
    }

    fn header(&mut self, piece: Piece<'_>, keep: impl FnOnce(&Header) -> bool) -> (usize, Option<Found<'static>>) {
        if self.partial.is_empty() {
            (self.from, self.start) = (piece.from(), piece.time);
        }
        let used = piece.bytes.len().min(HEADER - self.partial.len());
        self.partial.extend(piece.bytes.iter().take(used));
        let Some(&bytes) = self.partial.first_chunk::<HEADER>() else { return (used, None) };
        self.partial.clear();
        self.state = match Header::parse(bytes) {
            Some(header) => {
                State::Body { header, left: header.length.into(), keep: keep(&header), damage: Damage::None }
            }
            None => State::Lost,
        };
        (used, None)
    }

    fn body<'a>(
        &'a mut self,
        piece: Piece<'a>,
        header: Header,
        left: usize,
        keep: bool,
        damage: Damage,
    ) -> (usize, Option<Found<'a>>) {
        let used = left.min(piece.bytes.len());
        let bytes = piece.bytes.get(..used).unwrap_or_default();
        let whole = used == left;
        // What comes after missing bytes is not the content's next byte.
        let keep = keep && damage == Damage::None;
        let direct = keep && whole && self.partial.is_empty();
        if keep && !direct {
            self.partial.extend_from_slice(bytes);
        }
        if !whole {
            self.state = State::Body { header, left: left - used, keep, damage };
            return (used, None);
        }
        self.state = State::Header;
        let to = piece.after(used);
        (used, Some(self.ended(header, if direct { Some(bytes) } else { None }, damage, to)))
    }

    fn ended<'a>(&'a mut self, header: Header, direct: Option<&'a [u8]>, damage: Damage, to: u64) -> Found<'a> {
        let covers = (self.from, to);
        if damage == Damage::Lost {
            self.release();
            return Found::Lost { header, covers };
        }
        let body = direct.unwrap_or(&self.partial);
        Found::Record(Record { header, body, cut: damage == Damage::Cut, covers, start: self.start })
    }

    /// The record that was handed out is done with.
    pub(super) fn release(&mut self) {
        /// Room for the next header. More is not kept on a connection that does not need it.
        const SMALL: usize = 2 * HEADER;
        self.partial.clear();
        self.partial.shrink_to(SMALL);
    }

    /// Bytes are missing. The record that ended with them, if one did.
    pub(super) fn hole(&mut self, hole: Hole) -> Option<Found<'_>> {
        match &mut self.state {
            State::Body { header, left, damage, keep } if hole.len <= *left as u64 => {
                *left -= hole.len as usize;
                let worse = match (hole.lost, *damage) {
                    (true, _) | (_, Damage::Lost) => Damage::Lost,
                    // Of what isn't kept only the extent matters.
                    (_, Damage::None) if !*keep => Damage::None,
                    _ => Damage::Cut,
                };
                *damage = worse;
                if *left > 0 {
                    return None;
                }
                let header = *header;
                self.state = State::Header;
                Some(self.ended(header, None, worse, hole.to))
            }
            _ => {
                self.release();
                self.state = State::Lost;
                None
            }
        }
    }

    /// A record ends without another byte: it is empty.
    pub(super) fn is_due(&self) -> bool {
        matches!(self.state, State::Body { left: 0, .. })
    }

    /// Bytes kept.
    pub(super) fn kept(&self) -> usize {
        self.partial.capacity()
    }

    pub(super) fn is_lost(&self) -> bool {
        matches!(self.state, State::Lost)
    }
}

/// Whether bytes are the start of a record.
pub(super) fn sniff(bytes: &[u8]) -> Sniff {
    let Some(&header) = bytes.first_chunk::<HEADER>() else {
        let ok = match *bytes {
            [] => true,
            [kind] => (content::CHANGE_CIPHER_SPEC..=content::DATA).contains(&kind),
            [kind, major, ..] => (content::CHANGE_CIPHER_SPEC..=content::DATA).contains(&kind) && major == 3,
        };
        return if ok { Sniff::Maybe } else { Sniff::No };
    };
    let Some(header) = Header::parse(header) else { return Sniff::No };
    let ok = match header.kind {
        content::CHANGE_CIPHER_SPEC => header.length == 1,
        // In clear it has two bytes; encrypted it has a tag.
        content::ALERT => header.length == 2 || header.length >= 18,
        content::HANDSHAKE => header.length >= 4,
        content::DATA => true,
        _ => false,
    };
    if ok { Sniff::Yes } else { Sniff::No }
}

#[cfg(test)]
mod tests;

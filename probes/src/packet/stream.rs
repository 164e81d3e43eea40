//! TCP connections as two streams of bytes, and the application protocols that are read from them.
//!
//! Each direction is put together by an [`assembler::Assembler`]: retransmissions are skipped, segments ahead of a hole wait in a
//! bounded buffer, and a hole that the other side has acknowledged (or that too much waits behind) is told as a [`Hole`]. What comes
//! out goes to a [`Protocol`], chosen by its first bytes from the table of [`protocols`]; a [`Dialogue`] does the choosing, and
//! a protocol that carries another one inside (TLS) has a dialogue of its own.
//!
//! What a protocol found in a packet it presents as [`Part`]s of the view: [`parts`].

mod assembler;
mod connection;
mod dialogue;
pub(super) mod parts;
pub(super) mod protocols;

pub(crate) use connection::{Connection, TcpPacket};
pub(crate) use dialogue::Dialogue;
pub(crate) use parts::{Part, Parts};
pub(crate) use protocols::{Setting, Sniff, sniff};

use super::dns::DnsShared;
use super::http::{Exchange, HttpCounters, HttpLimits, Passing};
use super::http2::{Fields, Heads, Http2Counters, Http2Limits};
use super::tls::TlsShared;
use weftrace_artifact::packet::{PacketView, needs};

/// Limits of what reassembly keeps.
#[derive(Clone, Copy, Debug)]
pub struct StreamLimits {
    /// Bytes of one direction that may wait behind a hole.
    pub held_bytes: usize,
    /// The same for all connections together.
    pub held_bytes_total: usize,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self { held_bytes: 256 << 10, held_bytes_total: 32 << 20 }
    }
}

/// What all connections of a pipeline share.
pub(crate) struct Shared {
    /// [`weftrace_artifact::packet::needs`] bits of what scripts read, and of what that takes.
    pub(crate) asked: u32,
    pub(crate) needs: u32,
    pub(crate) parts: Parts,
    /// Who wants the packet at hand, one bit each.
    pub(crate) wanted: u64,
    /// It says that bytes came twice (RFC 2883).
    pub(crate) duplicate: bool,
    pub(crate) limits: StreamLimits,
    /// Bytes held by all connections.
    pub(crate) held_total: usize,
    pub(crate) http_limits: HttpLimits,
    pub(crate) http: HttpCounters,
    pub(crate) passing: Passing,
    pub(crate) tls: TlsShared,
    pub(crate) dns: DnsShared,
    /// The request with which HTTP/1 hands the connection at hand over to HTTP/2, which takes it as it is opened.
    pub(crate) upgraded: Option<Box<Exchange>>,
    pub(crate) http2_limits: Http2Limits,
    pub(crate) http2: Http2Counters,
    /// Bytes that HTTP/2 holds for all connections.
    pub(crate) http2_held: usize,
    pub(crate) http2_heads: Heads,
    /// The fields of the header block at hand.
    pub(crate) http2_fields: Fields,
}

impl Shared {
    pub(crate) fn new(needs: u32, limits: StreamLimits, http_limits: HttpLimits, http2_limits: Http2Limits) -> Self {
        Self {
            asked: needs,
            needs,
            parts: Parts::default(),
            wanted: u64::MAX,
            duplicate: false,
            limits,
            held_total: 0,
            http_limits,
            http: HttpCounters::default(),
            passing: Passing::default(),
            tls: TlsShared::default(),
            dns: DnsShared::default(),
            upgraded: None,
            http2_limits,
            http2: Http2Counters::default(),
            http2_held: 0,
            http2_heads: Heads::default(),
            http2_fields: Fields::default(),
        }
    }

    /// There are secrets: what is read in clear may be found in TLS.
    pub(crate) fn decrypt(&mut self) {
        if self.asked & needs::STREAMS != 0 && self.tls.secrets.any() {
            self.needs |= needs::TLS;
        }
    }

    /// Forgets what the last packet presented.
    #[inline]
    pub(crate) fn next_packet(&mut self) {
        self.parts.next_packet();
        if self.tls.conn.is_some() {
            self.tls.conn = None;
        }
    }

    /// What the view says about the connection, beside the packet's own messages.
    pub(crate) fn describe(&self, view: &mut PacketView) {
        if let Some(conn) = &self.tls.conn {
            conn.describe(view);
        }
    }
}

/// Bytes in their place: of a segment, or of a record that a protocol below has opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece<'a> {
    /// Index of the direction.
    pub(crate) dir: usize,
    pub(crate) bytes: &'a [u8],
    /// Boot time of the packet that brought them.
    pub(crate) time: u64,
    /// A segment (or record) starts here: where a message may begin after a hole.
    pub(crate) fresh: bool,
    place: Placed,
}

/// Where a piece lies in the direction's TCP stream, which starts at 0 behind the SYN.
#[derive(Clone, Copy, Debug)]
enum Placed {
    At(u64),
    /// Inside a record that covers these bytes of the stream: encrypted or packed, so that none of them is one of the piece.
    Within(u64, u64),
}

impl Placed {
    fn from(self) -> u64 {
        let (Self::At(from) | Self::Within(from, _)) = self;
        from
    }
}

impl<'a> Piece<'a> {
    pub(crate) const fn at(dir: usize, bytes: &'a [u8], at: u64, time: u64, fresh: bool) -> Self {
        Self { dir, bytes, time, fresh, place: Placed::At(at) }
    }

    /// What a record holds that covers the stream's bytes `[from, to)`.
    pub(crate) const fn within(dir: usize, bytes: &'a [u8], (from, to): (u64, u64), time: u64) -> Self {
        Self { dir, bytes, time, fresh: true, place: Placed::Within(from, to) }
    }

    /// It was inside another protocol's record.
    pub(crate) fn is_inside(&self) -> bool {
        matches!(self.place, Placed::Within(..))
    }

    /// Offset in the TCP stream of the first byte.
    pub(crate) fn from(&self) -> u64 {
        self.place.from()
    }

    /// Offset in the TCP stream of what follows the first `n` bytes.
    pub(crate) fn after(&self, n: usize) -> u64 {
        match self.place {
            Placed::At(at) => at + n as u64,
            Placed::Within(_, to) => to,
        }
    }

    /// Without the first `n` bytes.
    pub(crate) fn skip(self, n: usize) -> Self {
        let place = match self.place {
            Placed::At(at) => Placed::At(at + n as u64),
            within @ Placed::Within(..) => within,
        };
        Self { bytes: self.bytes.get(n..).unwrap_or_default(), fresh: self.fresh && n == 0, place, ..self }
    }
}

/// Bytes that no protocol will see.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hole {
    pub(crate) dir: usize,
    /// Bytes of the protocol's own stream.
    pub(crate) len: u64,
    /// It is so many; else about so many, as the records that they were in had other bytes beside them.
    pub(crate) exact: bool,
    /// The bytes of the TCP stream.
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// No packet with them was seen; else their packet was, but the capture cut it short.
    pub(crate) lost: bool,
}

/// What a protocol is told with every call.
pub(crate) struct Context<'a> {
    pub(crate) shared: &'a mut Shared,
    /// Boot time of the packet in hand.
    pub(crate) now: u64,
    /// What the receiver of each direction has acknowledged.
    pub(crate) acked: [u64; 2],
    pub(crate) facts: Facts,
}

/// What the flow table knows about a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facts {
    /// Source port of each direction.
    pub(crate) ports: [u16; 2],
    /// The other side was seen at all; if not, nothing will ever be acknowledged.
    pub(crate) answered: bool,
    pub(crate) handshake_seen: bool,
    /// The bytes at hand have others before them that aren't known: another protocol's, as of a proxy that was asked for this one, or such
    /// as weren't seen.
    pub(crate) behind: bool,
    /// A message that isn't there is counted where it was missed: one within TLS, at a socket that wasn't known yet.
    pub(crate) missed_elsewhere: bool,
}

/// How a protocol took bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    All,
    /// After so many bytes of the piece (and in the other direction, from where it is) the connection speaks another protocol.
    Handover(usize, Next),
}

/// What comes after a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The row of this name.
    Named(&'static str),
    /// The same, which has been spoken from the start: what this protocol was taken for was something else.
    Instead(&'static str),
    /// What the next bytes look like.
    Sniffed,
    /// Nothing that can be read.
    Unknown,
}

/// An application protocol on one connection. Directions are told apart by [`Piece::dir`].
pub(crate) trait Protocol: Send {
    /// Bytes of a direction, each once, in order.
    fn data(&mut self, piece: Piece<'_>, cx: &mut Context<'_>) -> Taken;

    /// Bytes of a direction are missing here.
    fn hole(&mut self, hole: Hole, cx: &mut Context<'_>);

    /// No more bytes in this direction. `clean`: its sender closed it, and no byte is missing.
    fn end(&mut self, dir: usize, clean: bool, cx: &mut Context<'_>);

    /// The receiver of direction `dir` has all bytes of the TCP stream below `to`.
    fn acknowledged(&mut self, _dir: usize, _to: u64, _cx: &mut Context<'_>) {}

    /// A segment with these bytes of the TCP stream was sent, for the first time or again.
    fn sent(&mut self, _dir: usize, _from: u64, _to: u64, _now: u64) {}

    /// A fast retransmission repeated bytes already seen.
    fn repeated(&mut self, _dir: usize, _payload: &[u8], _cx: &mut Context<'_>) {}

    /// Of so many of the next bytes of a direction only the number matters: they need not be kept while they wait behind a hole, and may be
    /// told of later, as a hole that is not lost.
    fn ignored(&self, _dir: usize) -> u64 {
        0
    }

    /// Nothing is under way in either direction, and what comes next begins a message that nothing before it matters to.
    fn rests(&self) -> bool {
        false
    }

    /// Where in the TCP stream of a direction the first of the requests begins that are still to be presented.
    fn open_from(&self, _dir: usize) -> u64 {
        0
    }

    /// The direction that asks, once something has told.
    fn client(&self) -> Option<usize> {
        None
    }

    /// Says what the packet's view tells about the connection.
    fn describe(&self, _shared: &mut Shared) {}

    /// A packet has been dealt with, of a connection with an end or without an answer. `ended`: directions without more bytes; both: the
    /// protocol is over.
    fn settle(&mut self, _ended: [bool; 2], _cx: &mut Context<'_>) {}

    /// The connection leaves the table: what is open and can't be presented is counted as dropped.
    fn abandon(&mut self, _shared: &mut Shared) {}
}

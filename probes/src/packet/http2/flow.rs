//! HTTP/2 on one connection.

use super::frame::{self, Header, kind};
use super::present::{Detail, FramePart};
use super::side::{Beginning, Block, Frame, Missed, Side};
use super::streams::{Here, Streams};
use crate::packet::http::{Awaiting, Ended, Exchange, Head, HeadSniff, present};
use crate::packet::stream::{Context, Hole, Next, Piece, Protocol, Shared, Taken};
use std::sync::Arc;
use weftrace_artifact::packet::needs;

#[derive(Default)]
pub(crate) struct Http2Flow {
    sides: [Option<Side>; 2],
    streams: Streams,
    /// Bytes of each direction of which it isn't known yet whose they are.
    unplaced: [Option<(u64, u64)>; 2],
    /// By direction: there was what can't be read, which may have begun a request.
    unread: [bool; 2],
    /// The connection spoke HTTP/1 before.
    upgraded: bool,
    /// Exchanges whose response the client has not acknowledged.
    awaiting: Awaiting,
    /// Bytes that are accounted for in what all connections hold.
    held: usize,
}

impl Protocol for Http2Flow {
    fn data(&mut self, piece: Piece<'_>, cx: &mut Context<'_>) -> Taken {
        let dir = piece.dir & 1;
        if self.sides[dir].is_none() && !self.upgraded && is_http1(&piece) {
            return Taken::Handover(0, Next::Instead("http"));
        }
        let known = self.sides[dir].take();
        let mut side = known.unwrap_or_else(|| Side::new(self.beginning(&piece, cx)));
        if side.began_with_preface() {
            self.streams.client = Some(dir);
        }
        let before = side.held();
        let mut rest = piece;
        while !rest.bytes.is_empty() {
            let Shared { http2_limits, http2, http2_fields, .. } = &mut *cx.shared;
            let was_lost = side.is_lost();
            let (used, ended) = side.take(&rest, http2_fields, http2_limits, http2);
            self.unread[dir] |= side.is_lost() || (was_lost && used > 0);
            if was_lost {
                let to = if used > 0 { rest.after(used) } else { rest.from() };
                self.unplaced(dir, rest.from(), to, !side.is_lost());
                if used > 0 {
                    // What was passed over may have been any open stream's.
                    self.streams.damage(dir, None);
                }
            }
            if let Some(frame) = ended {
                self.frame(&frame, &side.payload, dir, cx);
                side.release();
            }
            rest = rest.skip(used);
        }
        self.account(&mut side, before, cx.shared);
        self.sides[dir] = Some(side);
        Taken::All
    }

    fn hole(&mut self, hole: Hole, cx: &mut Context<'_>) {
        let dir = hole.dir & 1;
        let Some(mut side) = self.sides[dir].take() else {
            self.sides[dir] = Some(Side::new(Beginning::Unknown));
            self.lost(dir, hole.from, hole.to, cx.shared);
            return;
        };
        let before = side.held();
        let begun = side.begun();
        match side.miss(hole) {
            Missed::Nothing => {}
            Missed::Of(header) => {
                // Of a header block nothing is told then: not even, of a request, that there was one.
                let counters = &mut cx.shared.http2;
                counters.gaps += u64::from(hole.lost && header.kind != kind::DATA);
                counters.cut += u64::from(!hole.lost && header.is_of_block());
                self.streams.damage(dir, Some(header.stream));
            }
            Missed::End(frame) => self.frame(&frame, &[], dir, cx),
            Missed::Framing => self.lost(dir, begun.unwrap_or(hole.from), hole.to, cx.shared),
        }
        self.account(&mut side, before, cx.shared);
        self.sides[dir] = Some(side);
    }

    fn end(&mut self, _dir: usize, _clean: bool, _cx: &mut Context<'_>) {}

    fn acknowledged(&mut self, dir: usize, to: u64, cx: &mut Context<'_>) {
        self.awaiting.acknowledged(1 - (dir & 1), to, cx.shared);
    }

    fn sent(&mut self, dir: usize, from: u64, to: u64, now: u64) {
        self.awaiting.sent(dir, from, to, now);
    }

    fn ignored(&self, dir: usize) -> u64 {
        self.sides[dir & 1].as_ref().map_or(0, Side::ignored)
    }

    fn open_from(&self, dir: usize) -> u64 {
        let begun = self.sides[dir & 1].as_ref().and_then(Side::begun);
        [begun, self.streams.open_from(dir), self.awaiting.open_from(dir)]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(u64::MAX)
    }

    fn client(&self) -> Option<usize> {
        self.streams.client
    }

    fn settle(&mut self, ended: [bool; 2], cx: &mut Context<'_>) {
        let answers = self.streams.client.map(|client| 1 - client);
        let over = ended == [true; 2];
        if over || !cx.facts.answered {
            self.awaiting.present_all(cx.shared);
        }
        if over || answers.is_some_and(|dir| ended[dir & 1]) {
            self.cover_unfinished(None);
            for ended in self.streams.give_up(cx.now) {
                present(ended, cx.shared);
            }
        }
    }

    fn abandon(&mut self, shared: &mut Shared) {
        shared.http.dropped += (self.streams.len() + self.awaiting.len()) as u64;
        shared.http2_held = shared.http2_held.saturating_sub(self.held);
        self.awaiting.forget(&mut shared.parts);
        *self = Self::default();
    }
}

impl Http2Flow {
    /// `upgraded`: the request with which HTTP/1 has handed the connection over.
    pub(crate) fn new(upgraded: Option<Box<Exchange>>) -> Self {
        let mut flow = Self { upgraded: upgraded.is_some(), ..Self::default() };
        if let Some(exchange) = upgraded {
            flow.streams.upgraded(*exchange);
        }
        flow
    }

    /// How a direction begins, of which this is the first that was seen.
    fn beginning(&self, piece: &Piece<'_>, cx: &Context<'_>) -> Beginning {
        let n = piece.bytes.len().min(frame::PREFACE.len());
        let other = self.sides[1 - (piece.dir & 1)].as_ref().is_some_and(Side::began_with_preface);
        let from_the_start = piece.from() == 0 && (cx.facts.handshake_seen || other);
        if piece.bytes[..n] == frame::PREFACE[..n] {
            Beginning::Preface
        } else if from_the_start || piece.is_inside() || self.upgraded {
            Beginning::Frames
        } else {
            Beginning::Unknown
        }
    }

    /// Keeps account of what all connections hold; where that is too much, this one's tables go.
    fn account(&mut self, side: &mut Side, before: usize, shared: &mut Shared) {
        let others = shared.http2_held.saturating_sub(before);
        if others + side.held() > shared.http2_limits.held_bytes_total {
            side.give_back();
            shared.http2.forgotten += 1;
        }
        shared.http2_held = others + side.held();
        self.held = (self.held + side.held()).saturating_sub(before);
    }

    fn frame(&mut self, frame: &Frame, payload: &[u8], dir: usize, cx: &mut Context<'_>) {
        let heads = matches!(frame.header.kind, kind::HEADERS | kind::CONTINUATION);
        if heads && frame.header.has(frame::flag::END_HEADERS) && frame.block.is_none() {
            self.unread[dir] = true;
            self.streams.damage(dir, Some(frame.header.stream));
        }
        let here = Here {
            dir,
            now: cx.now,
            handshake_seen: cx.facts.handshake_seen,
            behind: cx.facts.behind || self.unread[dir],
            room: cx.shared.http2_limits.heads_bytes_total,
            most: cx.shared.http2_limits.streams,
            routes: cx.shared.asked & needs::ROUTES != 0,
        };
        self.streams.covers(frame, dir);
        let head = frame.block.is_some().then(|| Arc::new(Head::of_fields(&cx.shared.http2_fields)));
        if let (Some(block), Some(head)) = (&frame.block, &head) {
            let heads = &cx.shared.http2_heads;
            cx.shared.http.dropped += self.streams.headers(frame, block, head, here, heads);
        }
        self.streams.answers(frame, payload, dir);
        let detail = Detail::of(frame, payload);
        if cx.shared.asked & needs::HTTP2 != 0 {
            cx.shared.parts.push(FramePart { header: frame.header, head, detail });
        }
        match detail {
            Detail::Reset(error) => {
                self.cover_unfinished(Some(frame.header.stream));
                let ended = self.streams.reset(frame.header.stream, error, here.now);
                if let Some(ended) = ended {
                    present(ended, cx.shared);
                }
            }
            Detail::GoAway { last, error } => {
                self.cover_unfinished(None);
                for ended in self.streams.refused(last, error, here) {
                    present(ended, cx.shared);
                }
            }
            Detail::None | Detail::Window(_) | Detail::Promised(_) => {}
        }
        if frame.damaged && frame.header.kind == kind::DATA {
            self.streams.damage(dir, Some(frame.header.stream));
        }
        let ends = ends(frame.header, frame.block.as_ref());
        if ends && self.unplaced.iter().any(Option::is_some) {
            self.cover_unfinished(Some(frame.header.stream));
        }
        if ends && let Some(ended) = self.streams.end(frame.header.stream, frame.to, here) {
            self.await_arrival(ended, cx);
        }
    }

    /// Bytes are missing, and where frames begin behind them isn't known.
    fn lost(&mut self, dir: usize, from: u64, to: u64, shared: &mut Shared) {
        shared.http2.gaps += 1;
        self.unread[dir] = true;
        self.streams.damage(dir, None);
        self.unplaced(dir, from, to, false);
    }

    /// Bytes may be any open stream's, up to where a frame is `found`.
    fn unplaced(&mut self, dir: usize, from: u64, to: u64, found: bool) {
        let (begun, _) = self.unplaced[dir].unwrap_or((from, to));
        self.unplaced[dir] = Some((begun, to));
        if found && let Some((from, to)) = self.unplaced[dir].take() {
            self.streams.may_cover(dir, (from, to), None);
        }
    }

    /// A stream ends, or all may (None), and there are frames that have only begun, or bytes of which it isn't known whose they are.
    fn cover_unfinished(&mut self, ends: Option<u32>) {
        for (dir, side) in self.sides.iter().enumerate() {
            if let Some((frame, seen)) = side.as_ref().and_then(Side::unfinished) {
                self.streams.covers(&frame, dir);
                self.streams.reached(frame.header, dir, seen);
            }
            if let Some(bytes) = self.unplaced[dir] {
                self.streams.may_cover(dir, bytes, ends);
            }
        }
    }

    /// The response ends here; whether it has arrived its acknowledgement says.
    fn await_arrival(&mut self, ended: Ended, cx: &mut Context<'_>) {
        let most = cx.shared.http2_limits.streams;
        self.awaiting.push(ended, most, cx.shared);
    }
}

/// Whether a side begins with a request of HTTP/1: so it speaks that, whatever the other one has sent. A server of HTTP/2 alone need not wait
/// for its client.
fn is_http1(first: &Piece<'_>) -> bool {
    !first.is_inside() && HeadSniff::of(first.bytes) == HeadSniff::Head && !first.bytes.starts_with(b"HTTP/")
}

/// Whether a frame ends its stream's direction. HEADERS say so at the block's beginning, and mean its end.
fn ends(header: Header, block: Option<&Block>) -> bool {
    match header.kind {
        kind::CONTINUATION => block.is_some_and(|block| block.first.ends_stream()),
        kind::HEADERS => header.ends_stream() && header.has(frame::flag::END_HEADERS),
        _ => header.ends_stream(),
    }
}

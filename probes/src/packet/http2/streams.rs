//! The streams of a connection: requests and their responses.

use super::frame::{Header, flag, kind};
use super::side::{Block, Frame};
use crate::packet::http::{Ended, Exchange, Head, Response};
use crate::packet::ranges::{self, Ranges};
use std::cell::OnceCell;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use weftrace_artifact::packet::RangesView;

/// Answers to requests that aren't known, of one connection.
const MOST_EARLY: usize = 64;

/// A request without the end of its response.
pub(super) struct Open {
    exchange: Exchange,
    /// Bytes that may have been of the response are missing.
    damaged: bool,
    /// Its response came before it was told.
    late: bool,
    /// One past the last byte of the response that was seen, and how much of its body there was, if that is known.
    to: u64,
    body: Option<u64>,
}

/// All open streams, and what all have in common.
#[derive(Default)]
pub(super) struct Streams {
    open: BTreeMap<u32, Open>,
    /// Streams that were answered before they were known, the last [`MOST_EARLY`].
    early: VecDeque<u32>,
    /// Requests seen.
    begun: u64,
    /// The direction that asks.
    pub(super) client: Option<usize>,
}

/// Where a frame stands: in which direction, and when it ended.
#[derive(Clone, Copy)]
pub(super) struct Here {
    pub(super) dir: usize,
    pub(super) now: u64,
    pub(super) handshake_seen: bool,
    pub(super) behind: bool,
    /// Streams that may be open, and bytes that the heads of all connections may take.
    pub(super) most: usize,
    pub(super) room: usize,
    /// What requests have in common is wanted.
    pub(super) routes: bool,
}

/// What an exchange has as it is one stream of several.
pub(crate) struct Frames {
    /// The bytes of its frames, by direction.
    covered: [Ranges; 2],
    /// Its share of the memory for heads. One that began in HTTP/1 has none.
    weight: Option<Weight>,
}

/// What all connections' heads of open exchanges take.
#[derive(Clone, Default)]
pub(crate) struct Heads(Arc<AtomicUsize>);

/// An exchange's share of it, until it goes.
struct Weight {
    heads: Heads,
    bytes: usize,
}

impl Weight {
    /// None: there is no room.
    fn new(heads: &Heads, bytes: usize, room: usize) -> Option<Self> {
        let mut weight = Self { heads: heads.clone(), bytes: 0 };
        weight.add(bytes, room).then_some(weight)
    }

    fn add(&mut self, bytes: usize, room: usize) -> bool {
        let fits = self.heads.0.load(Ordering::Relaxed) + bytes <= room;
        if fits {
            self.heads.0.fetch_add(bytes, Ordering::Relaxed);
            self.bytes += bytes;
        }
        fits
    }
}

impl Drop for Weight {
    fn drop(&mut self) {
        self.heads.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Frames {
    /// `asked`: the request's direction.
    pub(crate) fn view(&self, asked: usize) -> RangesView {
        ranges::view(&self.covered[asked & 1], &self.covered[1 - (asked & 1)])
    }
}

impl Streams {
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Offset of the first open request in direction `dir`.
    pub(super) fn open_from(&self, dir: usize) -> Option<u64> {
        let mine = self.open.values().map(|open| &open.exchange).filter(|exchange| exchange.dir == dir);
        mine.map(|exchange| exchange.from).min()
    }

    /// The request that an upgrade from HTTP/1 has left to stream 1.
    pub(super) fn upgraded(&mut self, mut exchange: Exchange) {
        self.client = Some(exchange.dir);
        self.begun = 1;
        let mut covered = [Ranges::default(); 2];
        covered[exchange.dir & 1].add(exchange.from, exchange.to, false);
        exchange.frames = Some(Box::new(Frames { covered, weight: None }));
        self.open.insert(1, Open::new(exchange));
    }

    /// A frame of a stream that is open is one of its exchange's.
    pub(super) fn covers(&mut self, frame: &Frame, dir: usize) {
        if matches!(frame.header.kind, kind::DATA | kind::HEADERS | kind::CONTINUATION | kind::RST_STREAM) {
            self.cover(frame.header.stream, dir, frame.from, frame.to);
        }
    }

    fn cover(&mut self, stream: u32, dir: usize, from: u64, to: u64) {
        if let Some(open) = self.open.get_mut(&stream) {
            open.cover(dir, from, to, false);
        }
    }

    /// A frame has ended: one of a response, where its stream was asked for in the other direction.
    pub(super) fn answers(&mut self, frame: &Frame, payload: &[u8], dir: usize) {
        let header = frame.header;
        if let Some(open) = self.reached(header, dir, frame.to).filter(|_| header.kind == kind::DATA) {
            let padding = if header.has(flag::PADDED) { payload.first().map(|&n| 1 + u64::from(n)) } else { Some(0) };
            let more = padding.map(|padding| u64::from(header.len).saturating_sub(padding));
            open.body = open.body.zip(more).map(|(body, more)| body + more);
        }
    }

    /// A frame has come so far, be it to its end. Returns the exchange whose response it is of.
    pub(super) fn reached(&mut self, header: Header, dir: usize, to: u64) -> Option<&mut Open> {
        let answers = matches!(header.kind, kind::DATA | kind::HEADERS | kind::CONTINUATION);
        let open = self.open.get_mut(&header.stream).filter(|open| answers && open.exchange.dir != dir)?;
        open.to = to;
        Some(open)
    }

    /// Of which streams these bytes are isn't known: they may be of any that is open; only one of them is looked at, or all are.
    pub(super) fn may_cover(&mut self, dir: usize, (from, to): (u64, u64), only: Option<u32>) {
        let asks = self.client == Some(dir);
        let (first, last) = only.map_or((0, u32::MAX), |stream| (stream, stream));
        let awaited =
            self.open.range_mut(first..=last).map(|(_, open)| open).filter(|open| !asks || open.exchange.open);
        for open in awaited {
            open.cover(dir, from, to, true);
        }
    }

    /// A header block has ended with `frame`. Returns requests that had to be given up.
    pub(super) fn headers(&mut self, frame: &Frame, block: &Block, head: &Arc<Head>, here: Here, heads: &Heads) -> u64 {
        if block.promised != 0 {
            // The server asks itself, for the client.
            let client = *self.client.get_or_insert(1 - here.dir);
            let asked = self.request(block.promised, frame, block, head, Here { dir: client, ..here }, heads);
            if let Some(pushed) = self.open.get_mut(&block.promised) {
                pushed.exchange.open = false;
                pushed.cover(here.dir, block.from, frame.to, false);
            }
            return asked;
        }
        if head.has_method() {
            self.client.get_or_insert(here.dir);
        } else if head.outline.status != 0 {
            self.client.get_or_insert(1 - here.dir);
        }
        let Some(client) = self.client else { return 0 };
        if client == here.dir {
            // A second block of a request is its trailers.
            let stream = block.first.stream;
            if self.open.contains_key(&stream) {
                return 0;
            }
            let given_up = self.request(stream, frame, block, head, here, heads);
            self.cover(stream, here.dir, block.from, frame.to);
            return given_up;
        }
        let Some(open) = self.open.get_mut(&block.first.stream) else {
            self.answered_early(block.first.stream);
            return 0;
        };
        match &mut open.exchange.response {
            _ if head.is_interim() => {}
            _ if !has_room(&mut open.exchange.frames, head.size(), here.room) => {
                self.open.remove(&block.first.stream);
                return 1;
            }
            Some(response) => response.trailers = Some(Arc::clone(head)),
            none => {
                *none = Some(Response { head: Arc::clone(head), start: block.start, from: block.from, trailers: None });
            }
        }
        0
    }

    /// A response whose request isn't known: that was before the run, or is told late, by another thread.
    fn answered_early(&mut self, stream: u32) {
        if !self.early.contains(&stream) {
            self.early.truncate(MOST_EARLY - 1);
            self.early.push_front(stream);
        }
    }

    fn request(
        &mut self,
        stream: u32,
        frame: &Frame,
        block: &Block,
        head: &Arc<Head>,
        here: Here,
        heads: &Heads,
    ) -> u64 {
        self.begun += 1;
        let size = head.size() + size_of::<Frames>();
        let Some(weight) = Weight::new(heads, size, here.room) else { return 1 };
        let mut given_up = 0;
        while self.open.len() >= here.most.max(1) {
            self.open.pop_first();
            given_up += 1;
        }
        let exchange = Exchange {
            dir: here.dir,
            request: Arc::clone(head),
            open: true,
            start: block.start,
            request_end: here.now,
            from: block.from,
            to: frame.to,
            not_before: 0,
            response: None,
            opening_seen: here.handshake_seen,
            first_on_conn: self.begun == 1 && here.handshake_seen && !here.behind,
            stream,
            frames: Some(Box::new(Frames { covered: [Ranges::default(); 2], weight: Some(weight) })),
            route: here.routes.then(OnceCell::new),
        };
        let late = self.early.contains(&stream);
        self.open.insert(stream, Open { damaged: late, late, ..Open::new(exchange) });
        given_up
    }

    /// One direction of a stream has ended at offset `to`. Returns the exchange if that was the response.
    pub(super) fn end(&mut self, stream: u32, to: u64, here: Here) -> Option<Ended> {
        if self.client == Some(here.dir) {
            let open = self.open.get_mut(&stream)?;
            (open.exchange.open, open.exchange.request_end, open.exchange.to) = (false, here.now, to);
            // Nothing more comes of one that was answered.
            return if open.late { self.open.remove(&stream).map(|open| open.give_up(here.now, None)) } else { None };
        }
        let Open { exchange, damaged, .. } = self.open.remove(&stream)?;
        let complete = !damaged && exchange.response.is_some();
        Some(Ended { exchange, complete, to, at: here.now, answered: here.now, again: None, error: None, damaged })
    }

    /// A stream was reset.
    pub(super) fn reset(&mut self, stream: u32, error: u32, now: u64) -> Option<Ended> {
        let open = self.open.remove(&stream)?;
        Some(open.give_up(now, Some(error)))
    }

    /// The server has said that it won't answer requests after stream `last`.
    pub(super) fn refused(&mut self, last: u32, error: u32, here: Here) -> Vec<Ended> {
        if self.client.is_none_or(|client| client == here.dir) {
            return Vec::new();
        }
        let refused = self.open.split_off(&last.saturating_add(1));
        let (refused, pushed): (BTreeMap<_, _>, BTreeMap<_, _>) =
            refused.into_iter().partition(|(stream, _)| stream % 2 == 1);
        self.open.extend(pushed);
        refused.into_values().map(|open| open.give_up(here.now, Some(error))).collect()
    }

    /// Bytes in direction `dir` are missing: of one stream, or of any.
    pub(super) fn damage(&mut self, dir: usize, stream: Option<u32>) {
        if self.client == Some(dir) {
            return;
        }
        match stream {
            Some(stream) => self.open.get_mut(&stream).into_iter().for_each(|open| open.damaged = true),
            None => self.open.values_mut().for_each(|open| open.damaged = true),
        }
    }

    /// No more answers will come.
    pub(super) fn give_up(&mut self, now: u64) -> Vec<Ended> {
        std::mem::take(&mut self.open).into_values().map(|open| open.give_up(now, None)).collect()
    }
}

impl Open {
    fn new(exchange: Exchange) -> Self {
        Self { exchange, damaged: false, late: false, to: 0, body: Some(0) }
    }

    fn cover(&mut self, dir: usize, from: u64, to: u64, unsure: bool) {
        if let Some(frames) = &mut self.exchange.frames {
            frames.covered[dir & 1].add(from, to, unsure);
        }
    }

    fn give_up(self, now: u64, error: Option<u32>) -> Ended {
        let Self { exchange, damaged, to, body, .. } = self;
        // That it is whole its length says, too, where its last frame never came.
        let length = exchange.response.as_ref().and_then(|response| response.head.outline.content_length);
        let complete = !damaged && length.is_some() && length == body;
        Ended { exchange, complete, to, at: now, answered: now, again: None, error, damaged }
    }
}

/// Whether another head of an exchange finds room.
fn has_room(frames: &mut Option<Box<Frames>>, bytes: usize, room: usize) -> bool {
    let weight = frames.as_mut().and_then(|frames| frames.weight.as_mut());
    weight.is_none_or(|weight| weight.add(bytes, room))
}

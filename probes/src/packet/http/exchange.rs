//! Requests matched with their responses, and what is presented to handlers.
//!
//! An exchange ends when its response has arrived, and where packets are captured at the sender only the acknowledgement says that:
//! until it is there, a response may be sent again, and ends later.
//!
//! HTTP/1 answers in order, so a response belongs to the oldest unanswered request; two checks keep missing packets from
//! shifting the pairs: a response cannot start before what the client had acknowledged when it sent the request, and a
//! request sent after its sender had acknowledged bytes inside a gap proves that the requests before it were answered there.

use super::head::{Framing, Head, Kind};
use super::present::{Ended, HttpEngine, Part};
use super::stream::{Body, Piece, Stream};
use std::collections::VecDeque;
use std::sync::Arc;

/// A request and what is known of its response.
pub(super) struct Exchange {
    /// Direction of the request.
    pub(super) dir: usize,
    pub(super) request: Arc<Head>,
    pub(super) open: bool,
    pub(super) start: u64,
    pub(super) request_end: u64,
    pub(super) from: u64,
    pub(super) to: u64,
    /// What the request's sender had acknowledged: its response cannot start before.
    pub(super) not_before: u64,
    pub(super) response: Option<Response>,
    pub(super) first_on_conn: bool,
}

pub(super) struct Response {
    pub(super) head: Arc<Head>,
    pub(super) start: u64,
    pub(super) from: u64,
    /// Matched after a gap: the pair is likely, not certain.
    pub(super) unsure: bool,
}

#[derive(Default)]
pub(super) struct Matcher {
    queue: VecDeque<Exchange>,
    /// Exchanges begun.
    begun: u64,
    handshake_seen: bool,
    after_gap: bool,
    pub(super) tunnel: bool,
    /// Answered exchanges whose response the other side has not acknowledged to its end: it may have to be sent again.
    awaiting: VecDeque<Ended>,
    /// What each direction's receiver has acknowledged, for the request under way.
    acked: [u64; 2],
}

/// HTTP's view of one connection.
#[derive(Default)]
pub(crate) struct HttpFlow {
    streams: [Stream; 2],
    matcher: Matcher,
}

/// Where a stream reports to.
pub(super) struct Sink<'a> {
    pub(super) matcher: &'a mut Matcher,
    pub(super) engine: &'a mut HttpEngine,
    dir: usize,
    /// Boot time of the packet in hand.
    now: u64,
}

/// A TCP packet as HTTP needs it.
pub(crate) struct TcpPacket<'a> {
    pub(crate) dir: usize,
    pub(crate) seq: u32,
    pub(crate) ack: Option<u32>,
    pub(crate) payload: &'a [u8],
    pub(crate) len: u32,
    pub(crate) time: u64,
    pub(crate) fin: bool,
    pub(crate) reset: bool,
    /// Sequence number of the first byte of either direction.
    pub(crate) origin: [u32; 2],
    /// The sender's first byte must be at `origin`: its SYN was seen, and no data since.
    pub(crate) from_origin: bool,
    /// The other side was seen at all; if not, nothing will ever be acknowledged.
    pub(crate) answered: bool,
    pub(crate) handshake_seen: bool,
}

impl HttpFlow {
    /// Follows the connection by one packet. Returns (it is over for HTTP, all its payload was seen before).
    pub(crate) fn packet(&mut self, packet: &TcpPacket<'_>, engine: &mut HttpEngine) -> (bool, bool) {
        let dir = packet.dir & 1;
        let other = 1 - dir;
        self.matcher.handshake_seen = packet.handshake_seen;
        if let Some(ack) = packet.ack
            && self.streams[other].is_started()
        {
            let acked = self.streams[other].offset(ack, packet.origin[other]).max(0) as u64;
            let mut sink = Sink { matcher: &mut self.matcher, engine, dir: other, now: packet.time };
            self.streams[other].acknowledged(acked, &mut sink);
            self.matcher.acked[other] = self.streams[other].acked;
            self.matcher.arrived(dir, self.streams[other].acked, engine);
        }
        let stream = &mut self.streams[dir];
        let at = stream.offset(packet.seq, packet.origin[dir]);
        if packet.len > 0 {
            stream.start_at(if packet.from_origin { 0 } else { at.max(0) as u64 });
        }
        // Bytes before the stream's start (a keep-alive's) are old.
        let before = at.min(0).unsigned_abs().min(packet.len as u64);
        let len = packet.len as u64 - before;
        let bytes = packet.payload.get(before as usize..).unwrap_or_default();
        self.matcher.sent_again(dir, at.max(0) as u64, len, packet.time);
        let piece = Piece { bytes, len, at: at.max(0) as u64, time: packet.time, fresh: before == 0 };
        let mut sink = Sink { matcher: &mut self.matcher, engine, dir, now: packet.time };
        let old = stream.receive(piece, !packet.answered, &mut sink);
        if packet.fin {
            stream.finish_at(at.max(0) as u64 + len);
        }
        let acked = stream.acked;
        stream.acknowledged(acked, &mut sink);
        if packet.reset {
            for (dir, stream) in self.streams.iter_mut().enumerate() {
                let mut sink = Sink { matcher: &mut self.matcher, engine, dir, now: packet.time };
                stream.end(false, &mut sink);
            }
        }
        let over = self.matcher.tunnel || self.streams.iter().all(|stream| stream.ended);
        if over || !packet.answered {
            self.matcher.present_awaiting(engine);
        }
        self.settle(engine, packet.time);
        (over, old)
    }

    /// Ends exchanges whose answering side has ended.
    fn settle(&mut self, engine: &mut HttpEngine, now: u64) {
        for dir in 0..2 {
            if self.streams[dir].ended || self.matcher.tunnel {
                let mut sink = Sink { matcher: &mut self.matcher, engine, dir, now };
                sink.give_up();
            }
        }
    }

    /// The flow goes: what is open is presented (as ended now) or, without a listener, counted.
    pub(crate) fn close(&mut self, engine: &mut HttpEngine, present_at: Option<u64>) {
        if let Some(now) = present_at {
            self.matcher.present_awaiting(engine);
            for (dir, stream) in self.streams.iter_mut().enumerate() {
                let mut sink = Sink { matcher: &mut self.matcher, engine, dir, now };
                stream.end(false, &mut sink);
                sink.give_up();
            }
        }
        engine.counters.dropped += (self.matcher.queue.len() + self.matcher.awaiting.len()) as u64;
        self.matcher.queue.clear();
        self.matcher.awaiting.clear();
        for stream in &mut self.streams {
            stream.release(&mut engine.held_total);
        }
    }
}

impl Matcher {
    /// The sender of requests in direction `dir` has acknowledged the other direction up to `acked`: exchanges whose response lies
    /// before have ended, with the last packet that carried bytes of it.
    fn arrived(&mut self, dir: usize, acked: u64, engine: &mut HttpEngine) {
        while self.awaiting.front().is_some_and(|ended| ended.exchange.dir == dir && ended.to <= acked) {
            let exchange = self.awaiting.pop_front();
            engine.parts.push_back(Part { message: None, exchange });
        }
    }

    /// Bytes in direction `dir`: where they belong to a response that was not acknowledged yet, it ends now.
    fn sent_again(&mut self, dir: usize, at: u64, len: u64, now: u64) {
        for ended in self.awaiting.iter_mut().filter(|ended| ended.exchange.dir != dir) {
            let from = ended.exchange.response.as_ref().map_or(ended.to, |response| response.from);
            if at < ended.to && at + len > from {
                ended.at = now;
            }
        }
    }

    /// Nothing will be acknowledged any more.
    fn present_awaiting(&mut self, engine: &mut HttpEngine) {
        for exchange in self.awaiting.drain(..) {
            engine.parts.push_back(Part { message: None, exchange: Some(exchange) });
        }
    }
}

impl Sink<'_> {
    /// A head was parsed. Says what follows it.
    pub(super) fn head(&mut self, head: &Arc<Head>, from: u64, start: u64) -> Body {
        match head.kind {
            Kind::Request => {
                self.request(head, from, start);
                match head.framing {
                    Framing::Chunked => Body::Chunked,
                    Framing::Length(length) => Body::Length(length),
                    Framing::Unsaid => Body::None,
                }
            }
            Kind::Response => self.response(head, from, start),
        }
    }

    fn request(&mut self, head: &Arc<Head>, from: u64, start: u64) {
        if self.matcher.queue.len() >= self.engine.limits.outstanding {
            self.matcher.queue.pop_front();
            self.engine.counters.dropped += 1;
        }
        self.matcher.begun += 1;
        self.matcher.queue.push_back(Exchange {
            dir: self.dir,
            request: Arc::clone(head),
            open: true,
            start,
            request_end: self.now,
            from,
            to: from,
            not_before: self.matcher.acked[1 - self.dir],
            response: None,
            first_on_conn: self.matcher.begun == 1 && self.matcher.handshake_seen,
        });
    }

    /// RFC 9112, section 6.3: how the request and the status frame a response.
    fn response(&mut self, head: &Arc<Head>, from: u64, start: u64) -> Body {
        let (dir, unsure) = (self.dir, self.matcher.after_gap);
        let front = self.matcher.queue.front_mut();
        let exchange = front.filter(|front| front.dir != dir && front.response.is_none() && from >= front.not_before);
        let (mut to_head, mut to_connect) = (false, false);
        if let Some(exchange) = exchange {
            (to_head, to_connect) = (exchange.request.bodiless, exchange.request.connects);
            if !head.is_interim() {
                let unsure = unsure && from != exchange.not_before;
                exchange.response = Some(Response { head: Arc::clone(head), start, from, unsure });
                self.matcher.after_gap = false;
            }
        }
        if head.status == 101 || (to_connect && (200..300).contains(&head.status)) {
            return Body::Tunnel;
        }
        if to_head || (100..200).contains(&head.status) || head.status == 204 || head.status == 304 {
            return Body::None;
        }
        match head.framing {
            Framing::Chunked => Body::Chunked,
            Framing::Length(length) => Body::Length(length),
            Framing::Unsaid => Body::UntilClose,
        }
    }

    /// A message ended, `damaged` if bytes of it are missing.
    pub(super) fn finish(&mut self, head: &Arc<Head>, damaged: bool, to: u64) {
        let part = Part { message: (!damaged).then(|| Arc::clone(head)), exchange: None };
        let dir = self.dir;
        match head.kind {
            Kind::Request => {
                if let Some(exchange) = self.matcher.queue.iter_mut().rev().find(|e| e.dir == dir && e.open) {
                    (exchange.open, exchange.request_end, exchange.to) = (false, self.now, to);
                }
            }
            Kind::Response if !head.is_interim() => {
                if self.matcher.queue.front().is_some_and(|e| e.dir != dir && e.response.is_some()) {
                    let ended = self.end_front(!damaged, to);
                    self.matcher.awaiting.extend(ended);
                    // Acknowledgements that were not captured must not keep them for ever.
                    if self.matcher.awaiting.len() > self.engine.limits.outstanding {
                        let exchange = self.matcher.awaiting.pop_front();
                        self.engine.parts.push_back(Part { message: None, exchange });
                    }
                }
            }
            Kind::Response => {}
        }
        if part.message.is_some() {
            self.engine.parts.push_back(part);
        }
    }

    /// Ends the oldest exchange now.
    fn end_front(&mut self, complete: bool, to: u64) -> Option<Ended> {
        let exchange = self.matcher.queue.pop_front()?;
        Some(Ended { exchange, complete, to, at: self.now })
    }

    fn give_up_front(&mut self) {
        let exchange = self.end_front(false, 0);
        self.engine.parts.push_back(Part { message: None, exchange });
    }

    /// This direction has ended: requests it should have answered stay unanswered.
    fn give_up(&mut self) {
        let dir = self.dir;
        while self.matcher.queue.front().is_some_and(|exchange| exchange.dir != dir) {
            self.give_up_front();
        }
    }

    /// Bytes of this direction are missing, outside any body: responses may lie among them.
    pub(super) fn lost_between(&mut self, from: u64, to: u64) {
        let dir = self.dir;
        let mut boundary = from;
        while let [front, second, ..] = self.matcher.queue.make_contiguous() {
            let proves =
                second.dir != dir && front.dir != dir && second.not_before > boundary && second.not_before <= to;
            if !proves {
                break;
            }
            boundary = second.not_before;
            self.give_up_front();
        }
        self.matcher.after_gap = self.matcher.queue.front().is_some_and(|front| front.dir != dir);
    }
}

//! Requests matched with their responses, and what is presented to handlers.
//!
//! HTTP/1 answers in order, so a response belongs to the oldest unanswered request; two checks keep missing packets from
//! shifting the pairs: a response cannot start before what the client had acknowledged when it sent the request, and a
//! request sent after its sender had acknowledged bytes inside a gap proves that the requests before it were answered there.

use super::head::{Framing, Head, Kind};
use super::stream::{Body, Piece, Stream};
use super::{HttpCounters, HttpLimits, MESSAGE};
use std::collections::VecDeque;
use std::sync::Arc;
use weftrace_artifact::packet::{HttpView, layer};

/// One presentation: layers to add to the packet's, and the HTTP part of the view.
#[derive(Clone, Copy)]
pub(crate) struct Part {
    pub(crate) layers: u32,
    pub(crate) http: HttpView,
}

/// What all connections share: what is to be presented, and limits.
pub(crate) struct HttpEngine {
    pub(crate) parts: VecDeque<Part>,
    /// Keeps strings of the parts alive until the next packet.
    retired: Vec<Arc<Head>>,
    pub(crate) limits: HttpLimits,
    pub(crate) counters: HttpCounters,
    pub(super) held_total: usize,
}

impl HttpEngine {
    pub(crate) fn new(limits: HttpLimits) -> Self {
        Self { parts: VecDeque::new(), retired: Vec::new(), limits, counters: HttpCounters::default(), held_total: 0 }
    }

    /// Forgets what the last packet presented.
    pub(crate) fn next_packet(&mut self) {
        self.parts.clear();
        self.retired.clear();
    }

    /// Presents a message that is no part of an exchange.
    pub(crate) fn present_message(&mut self, head: &Arc<Head>) {
        let mut part = Part { layers: 0, http: HttpView::default() };
        part.message(head);
        self.retired.push(Arc::clone(head));
        self.parts.push_back(part);
    }
}

impl Part {
    fn message(&mut self, head: &Head) {
        let http = &mut self.http;
        match head.kind {
            Kind::Request => {
                self.layers |= layer::HTTP_REQUEST;
                http.method = head.method();
                http.uri = head.uri();
            }
            Kind::Response => {
                self.layers |= layer::HTTP_RESPONSE;
                http.status = head.status;
                http.phrase = head.phrase();
            }
        }
        http.version = head.version();
        http.headers = head.headers();
        if let Some(host) = head.host() {
            http.host = host;
            self.layers |= layer::HTTP_HOST;
        }
        if let Some(length) = head.content_length {
            http.content_length = length;
            self.layers |= layer::HTTP_CONTENT_LENGTH;
        }
        self.layers |= layer::HTTP;
    }
}

/// A request and what is known of its response.
struct Exchange {
    /// Direction of the request.
    dir: usize,
    request: Arc<Head>,
    open: bool,
    start: u64,
    request_end: u64,
    from: u64,
    to: u64,
    /// What the request's sender had acknowledged: its response cannot start before.
    not_before: u64,
    response: Option<Response>,
    first_on_conn: bool,
}

struct Response {
    head: Arc<Head>,
    start: u64,
    from: u64,
    /// Matched after a gap: the pair is likely, not certain.
    unsure: bool,
}

#[derive(Default)]
pub(super) struct Matcher {
    queue: VecDeque<Exchange>,
    /// Exchanges begun.
    begun: u64,
    handshake_seen: bool,
    after_gap: bool,
    pub(super) tunnel: bool,
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
        self.settle(engine, packet.time);
        (self.matcher.tunnel || self.streams.iter().all(|stream| stream.ended), old)
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
            for (dir, stream) in self.streams.iter_mut().enumerate() {
                let mut sink = Sink { matcher: &mut self.matcher, engine, dir, now };
                stream.end(false, &mut sink);
                sink.give_up();
            }
        }
        engine.counters.dropped += self.matcher.queue.len() as u64;
        self.matcher.queue.clear();
        for stream in &mut self.streams {
            stream.release(&mut engine.held_total);
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
            (to_head, to_connect) = (exchange.request.is_head, exchange.request.is_connect);
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
        let mut part = Part { layers: 0, http: HttpView::default() };
        if !damaged {
            part.message(head);
        }
        match head.kind {
            Kind::Request => {
                let dir = self.dir;
                if let Some(exchange) = self.matcher.queue.iter_mut().rev().find(|e| e.dir == dir && e.open) {
                    (exchange.open, exchange.request_end, exchange.to) = (false, self.now, to);
                }
            }
            Kind::Response if !head.is_interim() => {
                let dir = self.dir;
                if self.matcher.queue.front().is_some_and(|e| e.dir != dir && e.response.is_some())
                    && let Some(exchange) = self.matcher.queue.pop_front()
                {
                    self.exchange(&exchange, !damaged, to, &mut part);
                }
            }
            Kind::Response => {}
        }
        if part.layers != 0 {
            self.engine.retired.push(Arc::clone(head));
            self.engine.parts.push_back(part);
        }
    }

    /// Fills a part with an exchange that ends now.
    fn exchange(&mut self, exchange: &Exchange, complete: bool, to: u64, part: &mut Part) {
        let request = &exchange.request;
        let is_message = part.layers & MESSAGE != 0;
        part.layers |= layer::HTTP_EXCHANGE;
        let http = &mut part.http;
        http.method = request.method();
        http.uri = request.uri();
        http.host = request.host().unwrap_or_default();
        http.request_headers = request.headers();
        if !is_message {
            http.version = request.version();
            http.headers = request.headers();
        }
        http.start = exchange.start;
        http.request_end = if exchange.open { self.now } else { exchange.request_end };
        (http.request_from, http.request_to) = (exchange.from, exchange.to);
        http.end = self.now;
        http.duration = self.now.saturating_sub(exchange.start);
        http.first_on_conn = u32::from(exchange.first_on_conn);
        if let Some(response) = &exchange.response {
            http.status = response.head.status;
            http.phrase = response.head.phrase();
            http.response_headers = response.head.headers();
            http.first_byte = response.start;
            (http.response_from, http.response_to) = (response.from, to);
            http.complete = u32::from(complete && !response.unsure);
            self.engine.retired.push(Arc::clone(&response.head));
        }
        self.engine.retired.push(Arc::clone(request));
    }

    fn end_front(&mut self, to: u64) {
        if let Some(exchange) = self.matcher.queue.pop_front() {
            let mut part = Part { layers: 0, http: HttpView::default() };
            self.exchange(&exchange, false, to, &mut part);
            self.engine.parts.push_back(part);
        }
    }

    /// This direction has ended: requests it should have answered stay unanswered.
    fn give_up(&mut self) {
        let dir = self.dir;
        while self.matcher.queue.front().is_some_and(|exchange| exchange.dir != dir) {
            self.end_front(0);
        }
    }

    /// Bytes of this direction are missing, outside any body: responses may lie among them.
    pub(super) fn lost_between(&mut self, from: u64, to: u64) {
        let dir = self.dir;
        let mut boundary = from;
        while let [front, second, ..] = self.matcher.queue.make_contiguous() {
            let proves = second.dir != dir && front.dir != dir && second.not_before > boundary && second.not_before <= to;
            if !proves {
                break;
            }
            boundary = second.not_before;
            self.end_front(0);
        }
        self.matcher.after_gap = self.matcher.queue.front().is_some_and(|front| front.dir != dir);
    }
}

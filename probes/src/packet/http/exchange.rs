//! Requests matched with their responses, and what is presented to handlers.
//!
//! An exchange ends when its response has arrived, and where packets are captured at the sender only the acknowledgement says that:
//! until it is there, a response may be sent again, and ends later.
//!
//! HTTP/1 answers in order, so a response belongs to the oldest unanswered request; two checks keep missing packets from
//! shifting the pairs: a response cannot start before what the client had acknowledged when it sent the request, and a
//! request sent after its sender had acknowledged bytes inside a gap proves that the requests before it were answered there.

use super::head::{Framing, Head, Kind};
use super::messages::{Body, Messages};
use super::present::{Awaiting, Ended, message, present};
use crate::packet::http2::Frames;
use crate::packet::stream::{Context, Hole, Next, Piece, Protocol, Shared, Taken};
use std::cell::OnceCell;
use std::collections::VecDeque;
use std::sync::Arc;
use weftrace_artifact::packet::needs;

/// A request and what is known of its response.
pub(crate) struct Exchange {
    /// Direction of the request.
    pub(crate) dir: usize,
    pub(crate) request: Arc<Head>,
    pub(crate) open: bool,
    pub(crate) start: u64,
    pub(crate) request_end: u64,
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// What the request's sender had acknowledged: its response cannot start before.
    pub(crate) not_before: u64,
    pub(crate) response: Option<Response>,
    /// How the connection was opened was seen.
    pub(crate) opening_seen: bool,
    /// And no other exchange came before.
    pub(crate) first_on_conn: bool,
    /// HTTP/2: its stream; else 0.
    pub(crate) stream: u32,
    /// HTTP/2: where its frames lie.
    pub(crate) frames: Option<Box<Frames>>,
    /// If it is wanted: made when it is presented, which most are not where joins keep few.
    pub(crate) route: Option<OnceCell<Box<str>>>,
}

pub(crate) struct Response {
    pub(crate) head: Arc<Head>,
    pub(crate) start: u64,
    pub(crate) from: u64,
    /// HTTP/2: the header block after the body.
    pub(crate) trailers: Option<Arc<Head>>,
}

#[derive(Default)]
pub(super) struct Matcher {
    queue: VecDeque<Exchange>,
    /// Exchanges begun.
    begun: u64,
    after_gap: Option<Gap>,
    /// The response under way was read behind such bytes: it is taken for the oldest request's, and may be that of another one.
    unsure: bool,
    /// The direction that asks, by the first message.
    client: Option<usize>,
    /// By direction: bytes outside bodies are missing, or can't be read.
    unread: [bool; 2],
    /// How far the last request's sender had got; a request may be missing before the one that begins here, and its response among theirs.
    asked_at: u64,
    shifted: Option<u64>,
    /// How far requests had come when a response came that none was known for: one that begins before is told late, and was answered by it.
    answered_to: u64,
    /// Answered exchanges whose response the other side has not acknowledged to its end: it may have to be sent again.
    awaiting: Awaiting,
}

/// Bytes are missing, or can't be read, in which the oldest request may have been answered.
#[derive(Clone, Copy, Debug)]
struct Gap {
    from: u64,
    to: u64,
    /// They begin with its response, or within that response's head: what is left of an earlier one lies before `from`, or it isn't known.
    of_front: bool,
}

/// HTTP's view of one connection.
#[derive(Default)]
pub(crate) struct HttpFlow {
    messages: [Messages; 2],
    matcher: Matcher,
}

/// Where the messages of a direction report to.
pub(super) struct Sink<'a, 's> {
    matcher: &'a mut Matcher,
    pub(super) shared: &'s mut Shared,
    dir: usize,
    /// Boot time of the packet in hand.
    pub(super) now: u64,
    /// The receivers' acknowledgements.
    acked: [u64; 2],
    handshake_seen: bool,
    behind: bool,
    /// The message that is being read is the connection's last: another protocol comes.
    pub(super) handover: Option<Next>,
    /// A connection that was seen from its start begins with a response.
    unasked: bool,
}

impl HttpFlow {
    fn sink<'a, 's>(&'a mut self, dir: usize, cx: &'s mut Context<'_>) -> (&'a mut Messages, Sink<'a, 's>) {
        let dir = dir & 1;
        let sink = Sink {
            matcher: &mut self.matcher,
            shared: cx.shared,
            dir,
            now: cx.now,
            acked: cx.acked,
            handshake_seen: cx.facts.handshake_seen,
            behind: cx.facts.behind,
            handover: None,
            unasked: false,
        };
        (&mut self.messages[dir], sink)
    }
}

impl Protocol for HttpFlow {
    fn data(&mut self, piece: Piece<'_>, cx: &mut Context<'_>) -> Taken {
        let (messages, mut sink) = self.sink(piece.dir, cx);
        let taken = messages.data(piece, &mut sink);
        // What it answers was not known as a request, and is told of nowhere else.
        if sink.unasked && !cx.facts.missed_elsewhere && self.messages[1 - (piece.dir & 1)].at_start() {
            cx.shared.http.malformed += 1;
        }
        taken
    }

    fn hole(&mut self, hole: Hole, cx: &mut Context<'_>) {
        let (messages, mut sink) = self.sink(hole.dir, cx);
        messages.hole(hole, &mut sink);
    }

    fn end(&mut self, dir: usize, clean: bool, cx: &mut Context<'_>) {
        let (messages, mut sink) = self.sink(dir, cx);
        messages.end(clean, &mut sink);
    }

    fn acknowledged(&mut self, dir: usize, to: u64, cx: &mut Context<'_>) {
        self.matcher.awaiting.acknowledged(1 - (dir & 1), to, cx.shared);
    }

    fn sent(&mut self, dir: usize, from: u64, to: u64, now: u64) {
        self.matcher.awaiting.sent(dir, from, to, now);
    }

    fn repeated(&mut self, _dir: usize, payload: &[u8], cx: &mut Context<'_>) {
        super::repeated(payload, cx.shared);
    }

    fn ignored(&self, dir: usize) -> u64 {
        self.messages[dir & 1].ignored()
    }

    fn open_from(&self, dir: usize) -> u64 {
        let queued = self.matcher.queue.iter().find(|exchange| exchange.dir == dir).map(|exchange| exchange.from);
        let begun = self.messages[dir & 1].begun();
        [queued, begun, self.matcher.awaiting.open_from(dir)].into_iter().flatten().min().unwrap_or(u64::MAX)
    }

    fn rests(&self) -> bool {
        let Matcher { queue, begun, after_gap, awaiting, .. } = &self.matcher;
        let idle = queue.is_empty() && awaiting.len() == 0 && after_gap.is_none() && *begun > 0;
        idle && self.messages.iter().all(Messages::at_start)
    }

    fn client(&self) -> Option<usize> {
        self.matcher.client
    }

    /// Ends exchanges whose answering side has ended.
    fn settle(&mut self, ended: [bool; 2], cx: &mut Context<'_>) {
        if ended == [true; 2] || !cx.facts.answered {
            self.matcher.awaiting.present_all(cx.shared);
        }
        for dir in (0..2).filter(|&dir| ended[dir]) {
            self.sink(dir, cx).1.give_up();
        }
    }

    fn abandon(&mut self, shared: &mut Shared) {
        shared.http.dropped += (self.matcher.queue.len() + self.matcher.awaiting.len()) as u64;
        self.matcher.queue.clear();
        self.matcher.awaiting.forget(&mut shared.parts);
    }
}

impl Sink<'_, '_> {
    /// More is asked for than that there are messages: what they say, or exchanges.
    pub(super) fn wants_more(&self) -> bool {
        self.shared.asked & needs::HTTP_MORE != 0
    }

    /// A head was parsed. Says what follows it.
    pub(super) fn head(&mut self, head: &Arc<Head>, from: u64, start: u64) -> Body {
        let asks = if head.outline.kind == Kind::Request { self.dir } else { 1 - self.dir };
        self.matcher.client.get_or_insert(asks);
        match head.outline.kind {
            Kind::Request => {
                self.request(head, from, start);
                match head.outline.framing {
                    Framing::Chunked => Body::Chunked,
                    Framing::Length(length) => Body::Length(length),
                    Framing::Unsaid => Body::None,
                }
            }
            Kind::Response => self.response(head, from, start),
        }
    }

    fn request(&mut self, head: &Arc<Head>, from: u64, start: u64) {
        if self.matcher.queue.len() >= self.shared.http_limits.outstanding {
            self.matcher.queue.pop_front();
            self.shared.http.dropped += 1;
            // Its response still comes: whose the next ones are nobody can say, until all were answered.
            self.matcher.shifted = Some(self.matcher.queue.front().map_or(from, |front| front.from));
        }
        self.matcher.begun += 1;
        let (not_before, seen_before) = (self.acked[1 - self.dir], self.is_from_start());
        if self.matcher.queue.capacity() == 0 {
            // Few connections ask again before they are answered.
            self.matcher.queue.reserve_exact(1);
        }
        self.matcher.queue.push_back(Exchange {
            dir: self.dir,
            request: Arc::clone(head),
            open: true,
            start,
            request_end: self.now,
            from,
            to: from,
            not_before,
            response: None,
            opening_seen: self.handshake_seen,
            first_on_conn: self.matcher.begun == 1 && self.handshake_seen && seen_before,
            stream: 0,
            frames: None,
            route: (self.shared.asked & needs::ROUTES != 0).then(OnceCell::new),
        });
        // What was asked in the bytes that are missing was answered where something of an answer has come since.
        self.matcher.unread[self.dir] &= not_before == std::mem::replace(&mut self.matcher.asked_at, not_before);
        if self.matcher.unread[self.dir] {
            self.matcher.shifted.get_or_insert(from);
        }
        if let Some(gap) = self.matcher.after_gap.filter(|gap| gap.of_front) {
            self.answered_within(1 - self.dir, gap);
        }
        if from < self.matcher.answered_to && self.matcher.queue.len() == 1 {
            self.give_up_front(true);
        }
    }

    /// All of this direction was read so far, from its first byte on.
    pub(super) fn is_from_start(&self) -> bool {
        !self.behind && !self.matcher.unread[self.dir]
    }

    /// RFC 9112, section 6.3: how the request and the status frame a response.
    fn response(&mut self, head: &Arc<Head>, from: u64, start: u64) -> Body {
        let dir = self.dir;
        if self.matcher.queue.is_empty() {
            self.matcher.answered_to = self.acked[1 - dir];
        }
        let exchange = if self.awaits(from) { self.matcher.queue.front_mut() } else { None };
        let (mut to_head, mut to_connect) = (false, false);
        if let Some(exchange) = exchange {
            (to_head, to_connect) = (exchange.request.outline.bodiless, exchange.request.outline.connects);
            if !head.is_interim() {
                exchange.response = Some(Response { head: Arc::clone(head), start, from, trailers: None });
                // A request that was sent when all before this was there is answered by it.
                self.matcher.after_gap = self.matcher.after_gap.filter(|_| from != exchange.not_before);
                let shifted = self.matcher.shifted.is_some_and(|first| exchange.from >= first);
                self.matcher.unsure = shifted || self.matcher.after_gap.is_some();
            }
        }
        // A server says by itself that it waited too long for a request.
        self.unasked |= self.matcher.begun == 0 && self.handshake_seen && !self.behind && head.outline.status != 408;
        if head.outline.status == 101 && head.outline.to_http2 {
            // The request is stream 1's: its response comes there (RFC 7540, section 3.2).
            let asked = self.matcher.queue.pop_front_if(|front| front.dir != dir);
            self.shared.upgraded = asked.map(|asked| Box::new(Exchange { response: None, stream: 1, ..asked }));
            return Body::Handover(Next::Named("http2"));
        }
        if head.outline.status == 101 {
            return Body::Handover(Next::Unknown);
        }
        if to_connect && (200..300).contains(&head.outline.status) {
            return Body::Handover(Next::Sniffed);
        }
        if to_head
            || (100..200).contains(&head.outline.status)
            || head.outline.status == 204
            || head.outline.status == 304
        {
            return Body::None;
        }
        match head.outline.framing {
            Framing::Chunked => Body::Chunked,
            Framing::Length(length) => Body::Length(length),
            Framing::Unsaid => Body::UntilClose,
        }
    }

    /// A message ended, `damaged` if bytes of it are missing.
    pub(super) fn finish(&mut self, head: &Arc<Head>, damaged: bool, to: u64) {
        let dir = self.dir;
        match head.outline.kind {
            Kind::Request => {
                if let Some(exchange) = self.matcher.queue.iter_mut().rev().find(|e| e.dir == dir && e.open) {
                    (exchange.open, exchange.request_end, exchange.to) = (false, self.now, to);
                }
            }
            Kind::Response if !head.is_interim() => {
                if self.matcher.queue.front().is_some_and(|e| e.dir != dir && e.response.is_some()) {
                    let most = self.shared.http_limits.outstanding;
                    let ended = self.end_front(!damaged, to);
                    if let Some(ended) = ended.filter(|_| self.wants_more()) {
                        self.matcher.awaiting.push(ended, most, self.shared);
                    }
                }
            }
            Kind::Response => {}
        }
        if !damaged {
            message(head, self.shared);
        }
    }

    /// A message whose body is not framed as it should be.
    pub(super) fn malformed(&mut self, head: &Arc<Head>) {
        self.shared.http.malformed += 1;
        message(head, self.shared);
    }

    /// Ends the oldest exchange now.
    fn end_front(&mut self, complete: bool, to: u64) -> Option<Ended> {
        let mut exchange = self.matcher.queue.pop_front()?;
        if self.matcher.queue.is_empty() {
            (self.matcher.after_gap, self.matcher.shifted) = (None, None);
        }
        let unsure = std::mem::take(&mut self.matcher.unsure);
        exchange.response = exchange.response.filter(|_| !unsure);
        if exchange.open {
            // Answered before it had come to its end: what came of it so far.
            exchange.to = exchange.to.max(self.acked[exchange.dir & 1]);
        }
        Some(Ended {
            exchange,
            complete: complete && !unsure,
            to,
            at: self.now,
            answered: self.now,
            again: None,
            error: None,
            damaged: unsure,
        })
    }

    /// `damaged`: what is missing, or can't be read, may have been its response.
    fn give_up_front(&mut self, damaged: bool) {
        let ended = self.end_front(false, 0).map(|ended| Ended { damaged: damaged || ended.damaged, ..ended });
        if let Some(ended) = ended.filter(|_| self.wants_more()) {
            present(ended, self.shared);
        }
    }

    /// This direction has ended: requests it should have answered stay unanswered.
    fn give_up(&mut self) {
        let dir = self.dir;
        let lost = self.matcher.after_gap.map_or(0, |gap| gap.to);
        while let Some(front) = self.matcher.queue.front().filter(|exchange| exchange.dir != dir) {
            let damaged = lost > front.not_before;
            self.give_up_front(damaged);
        }
    }

    /// A response that begins at `from` would be the oldest request's.
    pub(super) fn awaits(&self, from: u64) -> bool {
        let front = self.matcher.queue.front();
        front.is_some_and(|front| front.dir != self.dir && front.response.is_none() && from >= front.not_before)
    }

    /// Bytes of this direction are missing or can't be read, outside any body: messages may lie among them. `of_front`: from `from` on it is the oldest request's
    /// response.
    pub(super) fn lost_between(&mut self, from: u64, to: u64, of_front: bool) {
        self.matcher.unread[self.dir] = true;
        let Some(front) = self.matcher.queue.front().filter(|front| front.dir != self.dir && to > front.not_before)
        else {
            return;
        };
        // What lies behind other such bytes goes on where they began: no response is known since.
        let gap = self.matcher.after_gap.unwrap_or(Gap { from: from.max(front.not_before), to, of_front });
        self.answered_within(self.dir, Gap { to: gap.to.max(to), ..gap });
    }

    /// Gives up requests whose responses lie among the missing bytes of direction `dir`: the next one was made when some of these had been got. Until it is made
    /// nobody can say.
    fn answered_within(&mut self, dir: usize, mut gap: Gap) {
        while let [front, second, ..] = self.matcher.queue.make_contiguous() {
            let proves =
                second.dir != dir && front.dir != dir && second.not_before > gap.from && second.not_before <= gap.to;
            if !proves {
                break;
            }
            gap.from = second.not_before;
            self.give_up_front(true);
        }
        let waits = self.matcher.queue.front().is_some_and(|front| front.dir != dir);
        self.matcher.after_gap = waits.then_some(gap);
    }
}

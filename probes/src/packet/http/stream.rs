//! One direction of a connection as a stream of messages.

use super::body::{Chunked, Progress};
use super::exchange::Sink;
use super::head::{self, Head, Sniff};
use std::collections::VecDeque;
use std::sync::Arc;

/// Bytes of a segment, or the rest of one.
#[derive(Clone, Copy)]
pub(super) struct Piece<'a> {
    pub(super) bytes: &'a [u8],
    /// Length on the wire; what is more than `bytes` was not captured.
    pub(super) len: u64,
    /// Offset of the first byte in the stream.
    pub(super) at: u64,
    /// Boot time of the packet.
    pub(super) time: u64,
    /// A segment starts here.
    pub(super) fresh: bool,
}

impl Piece<'_> {
    fn end(&self) -> u64 {
        self.at + self.len
    }

    /// Without the first `n` bytes.
    fn skip(self, n: u64) -> Self {
        let captured = usize::try_from(n).unwrap_or(usize::MAX).min(self.bytes.len());
        Self {
            bytes: &self.bytes[captured..],
            len: self.len.saturating_sub(n),
            at: self.at + n,
            fresh: self.fresh && n == 0,
            ..self
        }
    }
}

/// A segment that waits behind a hole.
struct Held {
    at: u64,
    len: u64,
    time: u64,
    bytes: Vec<u8>,
}

#[derive(Default)]
enum State {
    /// A message may start here.
    #[default]
    Start,
    Head,
    Length(u64),
    Chunked(Chunked),
    UntilClose,
    /// Where messages begin is unknown: waits for a segment that starts with one.
    Lost,
}

/// How a message's body is framed.
pub(super) enum Body {
    None,
    Length(u64),
    Chunked,
    UntilClose,
    /// The connection speaks another protocol from here on.
    Tunnel,
}

#[derive(Default)]
pub(crate) struct Stream {
    /// Offset of the next byte.
    pub(super) next: u64,
    started: bool,
    state: State,
    /// The head so far, where it spans segments, and how much of it was searched for its end.
    partial: Vec<u8>,
    searched: usize,
    /// Offset and time of the first byte of the message.
    from: u64,
    start: u64,
    damaged: bool,
    message: Option<Arc<Head>>,
    held: VecDeque<Held>,
    held_bytes: usize,
    /// Offset of the FIN.
    fin: Option<u64>,
    pub(super) ended: bool,
    /// What the other side has acknowledged.
    pub(super) acked: u64,
}

impl Stream {
    /// The 64-bit offset of a raw sequence number: the one nearest to where the stream is.
    pub(super) fn offset(&self, seq: u32, origin: u32) -> i64 {
        let here = origin.wrapping_add(self.next as u32);
        self.next as i64 + i64::from(seq.wrapping_sub(here) as i32)
    }

    pub(super) fn start_at(&mut self, at: u64) {
        if !self.started {
            self.started = true;
            self.next = at;
        }
    }

    pub(super) fn is_started(&self) -> bool {
        self.started
    }

    /// Takes a segment's bytes. `sure_lost`: nobody will fill a hole before this segment. True if all was seen before.
    pub(super) fn receive(&mut self, piece: Piece<'_>, sure_lost: bool, sink: &mut Sink<'_>) -> bool {
        if piece.len == 0 || self.ended {
            return false;
        }
        if piece.end() <= self.next {
            return true;
        }
        if piece.at > self.next {
            if !sure_lost && self.acked < piece.at {
                self.hold(piece, sink);
                return false;
            }
            self.gap(piece.at, sink);
        }
        self.take(piece.skip(self.next.saturating_sub(piece.at)), sink);
        self.take_held(sink);
        false
    }

    pub(super) fn finish_at(&mut self, fin: u64) {
        if self.fin.is_none() {
            self.fin = Some(fin);
        }
    }

    /// The other side has these bytes: holes below will not be filled any more. Ends the stream at its FIN.
    pub(super) fn acknowledged(&mut self, acked: u64, sink: &mut Sink<'_>) {
        self.acked = self.acked.max(acked);
        while let Some(first) = self.held.front().map(|held| held.at).filter(|&at| at <= self.acked) {
            self.gap(first, sink);
            self.take_held(sink);
        }
        let Some(fin) = self.fin else { return };
        if self.next < fin && self.held.is_empty() && self.acked > fin {
            self.gap(fin, sink);
        }
        if self.next >= fin {
            self.end(true, sink);
        }
    }

    /// No more bytes will come: what waits is taken, gaps and all. `clean`: by FIN, so that a body without length is complete.
    pub(super) fn end(&mut self, clean: bool, sink: &mut Sink<'_>) {
        if self.ended {
            return;
        }
        while let Some(first) = self.held.front().map(|held| held.at) {
            self.gap(first, sink);
            self.take_held(sink);
        }
        self.ended = true;
        let complete = clean && matches!(self.state, State::UntilClose);
        self.damaged |= !complete;
        self.finish(sink);
        self.state = State::Lost;
        self.partial = Vec::new();
    }

    fn hold(&mut self, piece: Piece<'_>, sink: &mut Sink<'_>) {
        const MAX_SEGMENTS: usize = 4096;
        // Inside a body of known length only the extent matters.
        let inside = matches!(self.state, State::Length(left) if piece.end() <= self.next.saturating_add(left));
        let bytes = if inside { &[] } else { piece.bytes };
        let room = self.held_bytes + bytes.len() <= sink.engine.limits.held_bytes
            && sink.engine.held_total + bytes.len() <= sink.engine.limits.held_bytes_total
            && self.held.len() < MAX_SEGMENTS;
        if !room {
            // Give up the hole: what is here is worth more than what may still come.
            while let Some(first) = self.held.front().map(|held| held.at) {
                self.gap(first, sink);
                self.take_held(sink);
            }
            if piece.at > self.next {
                self.gap(piece.at, sink);
            }
            self.take(piece.skip(self.next.saturating_sub(piece.at).min(piece.len)), sink);
            return;
        }
        let at = self.held.partition_point(|held| held.at < piece.at);
        if self.held.get(at).is_some_and(|held| held.at == piece.at && held.len >= piece.len) {
            return;
        }
        self.held_bytes += bytes.len();
        sink.engine.held_total += bytes.len();
        self.held.insert(at, Held { at: piece.at, len: piece.len, time: piece.time, bytes: bytes.to_vec() });
    }

    fn take_held(&mut self, sink: &mut Sink<'_>) {
        while self.held.front().is_some_and(|held| held.at <= self.next) {
            let Some(held) = self.held.pop_front() else { break };
            self.held_bytes -= held.bytes.len();
            sink.engine.held_total -= held.bytes.len();
            let piece = Piece { bytes: &held.bytes, len: held.len, at: held.at, time: held.time, fresh: true };
            if piece.end() > self.next {
                self.take(piece.skip(self.next - held.at), sink);
            }
        }
    }

    /// Bytes up to `to` were never seen.
    fn gap(&mut self, to: u64, sink: &mut Sink<'_>) {
        if to <= self.next {
            return;
        }
        if !matches!(self.state, State::Lost) {
            sink.engine.counters.gaps += 1;
        }
        let outside = !matches!(self.state, State::Length(left) if to - self.next <= left);
        let from = self.next;
        self.miss(to - self.next, true, sink);
        if outside {
            sink.lost_between(from, to);
        }
    }

    /// Passes over bytes that were not captured.
    fn miss(&mut self, n: u64, damage: bool, sink: &mut Sink<'_>) {
        if n == 0 {
            return;
        }
        self.next += n;
        let survives = match &mut self.state {
            State::Length(left) if n <= *left => {
                *left -= n;
                true
            }
            State::Chunked(chunked) if n <= chunked.skippable() => {
                chunked.skip(n);
                true
            }
            State::UntilClose => true,
            State::Start | State::Head | State::Length(_) | State::Chunked(_) | State::Lost => false,
        };
        self.damaged |= damage || !survives;
        if !survives {
            self.lose(sink);
        } else if matches!(self.state, State::Length(0)) {
            self.finish(sink);
        }
    }

    /// The framing is lost: ends the message as it is.
    fn lose(&mut self, sink: &mut Sink<'_>) {
        self.damaged = true;
        self.finish(sink);
        self.partial.clear();
        self.state = State::Lost;
    }

    /// Parses a piece that starts at `next`.
    fn take(&mut self, piece: Piece<'_>, sink: &mut Sink<'_>) {
        let mut rest = piece;
        while !rest.bytes.is_empty() {
            let used = match &mut self.state {
                State::Start => self.begin(rest),
                State::Head => self.head(rest, sink),
                State::Length(left) => {
                    let used = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.bytes.len());
                    *left -= used as u64;
                    used
                }
                State::Chunked(chunked) => match chunked.feed(rest.bytes) {
                    Progress::More => rest.bytes.len(),
                    Progress::End(used) => {
                        self.state = State::Length(0);
                        used
                    }
                    Progress::Broken => {
                        self.lose(sink);
                        rest.bytes.len()
                    }
                },
                State::UntilClose => rest.bytes.len(),
                State::Lost if rest.fresh && Sniff::resumes_at(rest.bytes) => {
                    self.state = State::Start;
                    0
                }
                State::Lost => rest.bytes.len(),
            };
            self.next += used as u64;
            rest = rest.skip(used as u64);
            if matches!(self.state, State::Length(0)) {
                self.finish(sink);
            }
        }
        self.miss(rest.len, false, sink);
    }

    /// At the start of a message: passes over line ends, then decides whether it is one.
    fn begin(&mut self, rest: Piece<'_>) -> usize {
        let blank = rest.bytes.iter().take_while(|&&byte| byte == b'\r' || byte == b'\n').count();
        if blank > 0 {
            return blank;
        }
        (self.from, self.start) = (rest.at, rest.time);
        self.damaged = false;
        self.searched = 0;
        self.state = if Sniff::of(rest.bytes) == Sniff::No { State::Lost } else { State::Head };
        if matches!(self.state, State::Lost) { rest.bytes.len() } else { 0 }
    }

    /// Inside a head. Returns how much of the piece belongs to it.
    fn head(&mut self, rest: Piece<'_>, sink: &mut Sink<'_>) -> usize {
        let before = self.partial.len();
        if before == 0
            && let Some(end) = head::end_of_head(rest.bytes, 0)
        {
            self.parsed(Head::parse(&rest.bytes[..end]), sink);
            return end;
        }
        let room = sink.engine.limits.head_bytes.saturating_sub(before);
        let more = &rest.bytes[..rest.bytes.len().min(room)];
        self.partial.extend_from_slice(more);
        if let Some(end) = head::end_of_head(&self.partial, self.searched) {
            let head = Head::parse(&self.partial[..end]);
            self.partial.clear();
            self.parsed(head, sink);
            return end - before;
        }
        // The line end that was found last may be the first half of the head's end.
        self.searched = self.partial.len().saturating_sub(2);
        if more.len() < rest.bytes.len() || Sniff::of(&self.partial) == Sniff::No {
            sink.engine.counters.malformed += u64::from(more.len() < rest.bytes.len());
            self.partial.clear();
            self.state = State::Lost;
            return rest.bytes.len();
        }
        more.len()
    }

    fn parsed(&mut self, head: Option<Head>, sink: &mut Sink<'_>) {
        let Some(head) = head else {
            sink.engine.counters.malformed += 1;
            self.state = State::Lost;
            return;
        };
        let head = Arc::new(head);
        let body = sink.head(&head, self.from, self.start);
        self.message = Some(head);
        self.state = match body {
            Body::None => State::Length(0),
            Body::Length(length) => State::Length(length),
            Body::Chunked => State::Chunked(Chunked::default()),
            Body::UntilClose => State::UntilClose,
            Body::Tunnel => {
                sink.matcher.tunnel = true;
                State::Length(0)
            }
        };
    }

    /// The message ends at `next`.
    fn finish(&mut self, sink: &mut Sink<'_>) {
        if let Some(message) = self.message.take() {
            sink.finish(&message, self.damaged, self.next);
        }
        self.state = State::Start;
        self.damaged = false;
    }
}

impl Stream {
    /// Gives back what is held, when the flow goes.
    pub(super) fn release(&mut self, held_total: &mut usize) {
        *held_total -= self.held_bytes;
        self.held_bytes = 0;
        self.held = VecDeque::new();
    }
}

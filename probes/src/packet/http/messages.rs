//! One direction of a connection as a stream of messages.

use super::body::{self, Chunked, Progress};
use super::exchange::Sink;
use super::head::{self, Head, Outline, Sniff};
use crate::packet::http2::is_frames;
use crate::packet::stream::{Hole, Next, Piece, Taken};
use std::sync::Arc;

#[derive(Default)]
enum State {
    /// A message may start here.
    #[default]
    Start,
    Head,
    Length(u64),
    Chunked(Chunked),
    UntilClose,
    /// In a chunked body of which bytes were cut, so that where its chunks begin is unknown: its end is looked for. When the last of it came.
    Blurred(u64),
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
    Handover(Next),
}

/// One direction.
#[derive(Default)]
pub(super) struct Messages {
    state: State,
    /// Offset in the TCP stream behind what was taken.
    next: u64,
    /// The head so far, where it spans segments, and how much of it was searched for its end.
    partial: Vec<u8>,
    searched: usize,
    /// Offset and time of the first byte of the message.
    from: u64,
    start: u64,
    damaged: bool,
    /// There was a message.
    spoke: bool,
    message: Option<Arc<Head>>,
}

impl Messages {
    /// Only the extent of so many of the next bytes matters: they lie inside a body or a chunk of it.
    pub(super) fn ignored(&self) -> u64 {
        match &self.state {
            State::Length(left) => *left,
            State::Chunked(chunked) => chunked.skippable(),
            State::UntilClose => u64::MAX,
            State::Start | State::Head | State::Blurred(_) | State::Lost => 0,
        }
    }

    /// A message may start here.
    pub(super) fn at_start(&self) -> bool {
        matches!(self.state, State::Start)
    }

    /// Offset of a head that has begun.
    pub(super) fn begun(&self) -> Option<u64> {
        matches!(self.state, State::Head).then_some(self.from)
    }

    /// No more bytes will come. `clean`: by FIN, so that a body without length is complete.
    pub(super) fn end(&mut self, clean: bool, sink: &mut Sink<'_, '_>) {
        let complete = clean && matches!(self.state, State::UntilClose);
        self.damaged |= !complete;
        self.finish_blurred(sink);
        self.state = State::Lost;
        self.partial = Vec::new();
    }

    /// Bytes are missing.
    pub(super) fn hole(&mut self, hole: Hole, sink: &mut Sink<'_, '_>) {
        if hole.lost && !matches!(self.state, State::Lost) {
            sink.shared.http.gaps += 1;
        }
        let followed = !matches!(self.state, State::Lost);
        // Where the next response begins, if the framing says so.
        let next = match self.state {
            State::Start | State::Head => self.is_boundary(sink).then_some(hole.from),
            State::Length(left) => Some(hole.from.saturating_add(left)),
            _ => None,
        };
        self.next = hole.to;
        self.miss(hole.len, hole.lost || !hole.exact, sink);
        let cut = !hole.lost && followed && matches!(self.state, State::Lost);
        sink.shared.http.cut += u64::from(cut);
        if matches!(self.state, State::Lost) {
            sink.lost_between(next.unwrap_or(hole.from), hole.to, next.is_some());
        }
    }

    /// Passes over bytes that are not there.
    fn miss(&mut self, n: u64, damage: bool, sink: &mut Sink<'_, '_>) {
        let survives = match &mut self.state {
            State::Length(left) if n <= *left => {
                *left -= n;
                true
            }
            State::Chunked(chunked) if n <= chunked.skippable() => {
                chunked.skip(n);
                true
            }
            State::Blurred(last) if !damage => {
                *last = sink.now;
                true
            }
            State::UntilClose => true,
            // Nothing was lost: more of the body comes.
            State::Chunked(_) if !damage => {
                self.state = State::Blurred(sink.now);
                true
            }
            State::Start | State::Head | State::Length(_) | State::Chunked(_) | State::Blurred(_) | State::Lost => {
                false
            }
        };
        self.damaged |= damage || !survives;
        if !survives {
            self.lose(sink);
        } else if matches!(self.state, State::Length(0)) {
            self.finish(sink);
        }
    }

    /// The framing is lost: ends the message as it is.
    fn lose(&mut self, sink: &mut Sink<'_, '_>) {
        self.damaged = true;
        self.finish(sink);
        self.partial = Vec::new();
        self.state = State::Lost;
    }

    /// Parses a piece.
    pub(super) fn data(&mut self, piece: Piece<'_>, sink: &mut Sink<'_, '_>) -> Taken {
        let mut rest = piece;
        while !rest.bytes.is_empty() {
            let used = match &mut self.state {
                State::Start => self.begin(rest, sink),
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
                        // What came is there to be seen, though not whole.
                        if let Some(message) = self.message.as_ref().filter(|_| !self.damaged) {
                            sink.malformed(message);
                        }
                        self.lose(sink);
                        sink.lost_between(rest.from(), rest.after(rest.bytes.len()), false);
                        rest.bytes.len()
                    }
                },
                State::UntilClose => rest.bytes.len(),
                State::Blurred(_) if rest.fresh && Sniff::resumes_at(rest.bytes) => {
                    self.finish_blurred(sink);
                    0
                }
                State::Blurred(last) => {
                    *last = rest.time;
                    if body::ends_chunked(rest.bytes) {
                        self.state = State::Length(0);
                    }
                    rest.bytes.len()
                }
                State::Lost if rest.fresh && Sniff::resumes_at(rest.bytes) => {
                    self.state = State::Start;
                    0
                }
                State::Lost => {
                    sink.lost_between(rest.from(), rest.after(rest.bytes.len()), false);
                    rest.bytes.len()
                }
            };
            self.next = rest.after(used);
            rest = rest.skip(used);
            if matches!(self.state, State::Length(0)) {
                self.finish(sink);
                if let Some(to) = sink.handover.take() {
                    return Taken::Handover(piece.bytes.len() - rest.bytes.len(), to);
                }
            }
        }
        Taken::All
    }

    /// At the start of a message: passes over line ends, then decides whether it is one.
    fn begin(&mut self, rest: Piece<'_>, sink: &mut Sink<'_, '_>) -> usize {
        let blank = rest.bytes.iter().take_while(|&&byte| byte == b'\r' || byte == b'\n').count();
        if blank > 0 {
            return blank;
        }
        (self.from, self.start) = (rest.from(), rest.time);
        self.damaged = false;
        self.searched = 0;
        if Sniff::follows(rest.bytes) {
            self.state = State::Head;
            return 0;
        }
        if is_frames(rest.bytes) {
            // A server of HTTP/2 alone: it has no response for a request of HTTP/1.
            self.state = State::UntilClose;
            return rest.bytes.len();
        }
        self.no_message(rest, sink)
    }

    /// Inside a head. Returns how much of the piece belongs to it.
    fn head(&mut self, rest: Piece<'_>, sink: &mut Sink<'_, '_>) -> usize {
        let before = self.partial.len();
        if before == 0 {
            // Nearly all are whole and well-formed.
            if let Some((outline, end)) = Outline::of(rest.bytes) {
                self.parsed(outline, &rest.bytes[..end], sink);
                return end;
            }
            if let Some(end) = head::end_of_head(rest.bytes, 0) {
                self.malformed(rest.after(end), sink);
                return end;
            }
        }
        let room = sink.shared.http_limits.head_bytes.saturating_sub(before);
        let more = &rest.bytes[..rest.bytes.len().min(room)];
        self.partial.extend_from_slice(more);
        if let Some(end) = head::end_of_head(&self.partial, self.searched) {
            let partial = std::mem::take(&mut self.partial);
            match Outline::of(&partial[..end]) {
                Some((outline, _)) => self.parsed(outline, &partial[..end], sink),
                None => self.malformed(rest.after(end - before), sink),
            }
            return end - before;
        }
        // The line end that was found last may be the first half of the head's end.
        self.searched = self.partial.len().saturating_sub(2);
        if more.len() < rest.bytes.len() {
            self.partial = Vec::new();
            self.malformed(rest.after(rest.bytes.len()), sink);
            return rest.bytes.len();
        }
        if !Sniff::follows(&self.partial) {
            self.partial = Vec::new();
            return self.no_message(rest, sink);
        }
        more.len()
    }

    /// What begins here is none. Returns how much of the piece that is: all of it.
    fn no_message(&mut self, rest: Piece<'_>, sink: &mut Sink<'_, '_>) -> usize {
        let to = rest.after(rest.bytes.len());
        sink.shared.http.malformed += u64::from(self.spoke || sink.awaits(self.from));
        self.unread(to, sink);
        rest.bytes.len()
    }

    /// The head that has begun can't be read, nor what comes up to `to`.
    fn malformed(&mut self, to: u64, sink: &mut Sink<'_, '_>) {
        sink.shared.http.malformed += 1;
        self.unread(to, sink);
    }

    /// What begins here is nothing that is read, up to `to` and beyond.
    fn unread(&mut self, to: u64, sink: &mut Sink<'_, '_>) {
        let begins = self.is_boundary(sink);
        sink.lost_between(self.from, to, begins);
        self.state = State::Lost;
    }

    /// Whether a message begins where one may. (Of a connection that is older it isn't known where they do before one was read.)
    fn is_boundary(&self, sink: &Sink<'_, '_>) -> bool {
        self.spoke || sink.is_from_start()
    }

    /// A head, of these bytes; what they say is kept if anybody may ask.
    fn parsed(&mut self, outline: Outline, bytes: &[u8], sink: &mut Sink<'_, '_>) {
        self.spoke = true;
        let head = Arc::new(Head::new(outline, if sink.wants_more() { bytes } else { &[] }));
        let body = sink.head(&head, self.from, self.start);
        self.message = Some(head);
        self.state = match body {
            Body::None => State::Length(0),
            Body::Length(length) => State::Length(length),
            Body::Chunked => State::Chunked(Chunked::default()),
            Body::UntilClose => State::UntilClose,
            Body::Handover(next) => {
                sink.handover = Some(next);
                State::Length(0)
            }
        };
    }

    /// The message ends at `next`; one whose own end was not copied with the last that came of it, and whether that was all isn't known.
    fn finish_blurred(&mut self, sink: &mut Sink<'_, '_>) {
        let State::Blurred(last) = self.state else { return self.finish(sink) };
        self.damaged = true;
        let now = std::mem::replace(&mut sink.now, last);
        self.finish(sink);
        sink.now = now;
    }

    /// The message ends at `next`.
    fn finish(&mut self, sink: &mut Sink<'_, '_>) {
        if let Some(message) = self.message.take() {
            sink.finish(&message, self.damaged, self.next);
        }
        self.state = State::Start;
        self.damaged = false;
    }
}

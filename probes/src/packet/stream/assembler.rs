//! One direction of a connection, put in order.

use super::{Context, Dialogue, Hole, Piece, Shared};
use std::collections::VecDeque;

/// Segments of one direction that may wait behind a hole.
const MAX_SEGMENTS: usize = 4096;

/// Bytes of a segment, or the rest of one.
#[derive(Clone, Copy)]
pub(super) struct Span<'a> {
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

impl Span<'_> {
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
pub(super) struct Assembler {
    dir: usize,
    /// Offset of the next byte, and of the first that what is spoken here was not told of.
    next: u64,
    told: u64,
    /// Bytes before this one matter by their number only, as long as the protocol that has said so is spoken: its number.
    ignored_to: u64,
    ignored_by: u32,
    started: bool,
    held: VecDeque<Held>,
    held_bytes: usize,
    /// Offset of the FIN.
    fin: Option<u64>,
    pub(super) ended: bool,
    /// What the other side has acknowledged.
    pub(super) acked: u64,
}

impl Assembler {
    pub(super) fn new(dir: usize) -> Self {
        Self { dir, ..Self::default() }
    }

    /// The 64-bit offset of a raw sequence number: the one nearest to where the stream is.
    pub(super) fn offset(&self, seq: u32, origin: u32) -> i64 {
        let here = origin.wrapping_add(self.next as u32);
        self.next as i64 + i64::from(seq.wrapping_sub(here) as i32)
    }

    pub(super) fn start_at(&mut self, at: u64) {
        if !self.started {
            self.started = true;
            (self.next, self.told) = (at, at);
        }
    }

    pub(super) fn is_started(&self) -> bool {
        self.started
    }

    /// Takes a segment's bytes. `sure_lost`: nobody will fill a hole before this segment. True if all was seen before.
    pub(super) fn receive(&mut self, span: Span<'_>, sure_lost: bool, to: &mut Dialogue, cx: &mut Context<'_>) -> bool {
        if span.len == 0 || self.ended {
            return false;
        }
        if span.end() <= self.next {
            return true;
        }
        if span.at > self.next {
            if !sure_lost && self.acked < span.at {
                self.hold(span, to, cx);
                return false;
            }
            self.gap(span.at, to, cx);
        }
        self.take(span.skip(self.next.saturating_sub(span.at)), to, cx);
        self.take_held(to, cx);
        false
    }

    pub(super) fn finish_at(&mut self, fin: u64) {
        if self.fin.is_none() {
            self.fin = Some(fin);
        }
    }

    /// The other side has these bytes: holes below will not be filled any more. Ends the stream at its FIN.
    pub(super) fn acknowledged(&mut self, acked: u64, to: &mut Dialogue, cx: &mut Context<'_>) {
        self.acked = self.acked.max(acked);
        while let Some(first) = self.held.front().map(|held| held.at).filter(|&at| at <= self.acked) {
            self.gap(first, to, cx);
            self.take_held(to, cx);
        }
        let Some(fin) = self.fin else { return };
        if self.next < fin && self.held.is_empty() && self.acked > fin {
            self.gap(fin, to, cx);
        }
        if self.next >= fin {
            self.end(true, to, cx);
        }
    }

    /// No more bytes will come: what waits is taken, gaps and all. `clean`: by FIN.
    pub(super) fn end(&mut self, clean: bool, to: &mut Dialogue, cx: &mut Context<'_>) {
        if self.ended {
            return;
        }
        self.flush(to, cx);
        self.tell(to, cx);
        self.ended = true;
        to.end(self.dir, clean, cx);
    }

    /// Gives holes up: what is here is taken.
    fn flush(&mut self, to: &mut Dialogue, cx: &mut Context<'_>) {
        while let Some(first) = self.held.front().map(|held| held.at) {
            self.gap(first, to, cx);
            self.take_held(to, cx);
        }
    }

    fn hold(&mut self, span: Span<'_>, to: &mut Dialogue, cx: &mut Context<'_>) {
        self.tell(to, cx);
        let ignored = span.end() - self.next <= to.ignored(self.dir);
        let bytes = if ignored { &[] } else { span.bytes };
        let room = self.held_bytes + bytes.len() <= cx.shared.limits.held_bytes
            && cx.shared.held_total + bytes.len() <= cx.shared.limits.held_bytes_total
            && self.held.len() < MAX_SEGMENTS;
        if !room {
            // Give up the hole: what is here is worth more than what may still come.
            self.flush(to, cx);
            if span.at > self.next {
                self.gap(span.at, to, cx);
            }
            self.take(span.skip(self.next.saturating_sub(span.at).min(span.len)), to, cx);
            return;
        }
        let at = self.held.partition_point(|held| held.at < span.at);
        if self.held.get(at).is_some_and(|held| held.at == span.at && held.len >= span.len) {
            return;
        }
        self.held_bytes += bytes.len();
        cx.shared.held_total += bytes.len();
        self.held.insert(at, Held { at: span.at, len: span.len, time: span.time, bytes: bytes.to_vec() });
    }

    fn take_held(&mut self, to: &mut Dialogue, cx: &mut Context<'_>) {
        while self.held.front().is_some_and(|held| held.at <= self.next) {
            let Some(held) = self.held.pop_front() else { break };
            self.held_bytes -= held.bytes.len();
            cx.shared.held_total -= held.bytes.len();
            let span = Span { bytes: &held.bytes, len: held.len, at: held.at, time: held.time, fresh: true };
            if span.end() > self.next {
                self.take(span.skip(self.next - held.at), to, cx);
            }
        }
    }

    /// Hands on a span that starts at `next`. What matters by its number only is told of when something else comes, and at the latest with
    /// the last of it.
    fn take(&mut self, span: Span<'_>, to: &mut Dialogue, cx: &mut Context<'_>) {
        if span.end() < self.ignored_to && self.ignored_by == to.handovers {
            self.next = span.end();
            return;
        }
        self.tell(to, cx);
        if !span.bytes.is_empty() {
            self.next = span.at + span.bytes.len() as u64;
            self.told = self.next;
            to.data(Piece::at(self.dir, span.bytes, span.at, span.time, span.fresh), cx);
        }
        self.pass(span.end(), false, to, cx);
        (self.ignored_to, self.ignored_by) = (self.next.saturating_add(to.ignored(self.dir)), to.handovers);
    }

    /// Tells of what mattered by its number only.
    fn tell(&mut self, to: &mut Dialogue, cx: &mut Context<'_>) {
        let from = std::mem::replace(&mut self.told, self.next);
        if from < self.next {
            let (len, end) = (self.next - from, self.next);
            to.hole(Hole { dir: self.dir, len, exact: true, from, to: end, lost: false }, cx);
        }
    }

    /// Bytes up to `end` were never seen.
    fn gap(&mut self, end: u64, to: &mut Dialogue, cx: &mut Context<'_>) {
        self.tell(to, cx);
        self.pass(end, true, to, cx);
        self.ignored_to = 0;
    }

    /// Passes over bytes that are not there.
    fn pass(&mut self, end: u64, lost: bool, to: &mut Dialogue, cx: &mut Context<'_>) {
        if end <= self.next {
            return;
        }
        let from = std::mem::replace(&mut self.next, end);
        self.told = end;
        to.hole(Hole { dir: self.dir, len: end - from, exact: true, from, to: end, lost }, cx);
    }

    /// Gives back what is held, when the flow goes.
    pub(super) fn release(&mut self, shared: &mut Shared) {
        shared.held_total -= self.held_bytes;
        self.held_bytes = 0;
        self.held = VecDeque::new();
    }
}

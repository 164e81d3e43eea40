//! Exchanges of no interest are not read: a request that came whole in one call, and its response, which one call sent whole, are known by
//! their heads, and two calls that are plain are passed over together. The request waits for its response; whatever else comes, it is read
//! first, as if it came then.

use super::socket::{Call, GOT, SENT, Socket};
use crate::packet::http::{Framing, HeadSniff as Sniff, Kind, Outline};
use crate::packet::stream::Shared;
use weftrace_artifact::join::Bound;

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passed {
    /// It is to be read.
    Not,
    /// Of what may be, or was, passed over.
    Part,
    /// With it an exchange has ended that is passed over.
    Exchange,
}

/// What of a socket's calls was not read.
#[derive(Default)]
pub(super) struct Held {
    /// A request; its bytes.
    call: Option<Call<'static>>,
    bytes: Vec<u8>,
    /// More of the response that was passed over comes: of the call that ends here.
    rest: Option<u32>,
}

/// Larger requests are read at once.
const MOST: usize = 1024;

impl Socket {
    /// Whether a call need not be read; None: all are. Where not, [`Self::read_held`] comes first.
    pub(super) fn passes(&mut self, call: &Call<'_>, bound: Option<Bound>) -> Passed {
        if let Some(to) = self.held.rest.take()
            && (call.sent, call.to, call.clear) == (true, to, 0)
            && call.at > 0
        {
            self.held.rest = (!call.last).then_some(to);
            return Passed::Part;
        }
        let Some(bound) = bound else { return Passed::Not };
        if self.held.call.is_none() {
            return if self.holds(call) { Passed::Part } else { Passed::Not };
        }
        if self.answers(call, bound) { Passed::Exchange } else { Passed::Not }
    }

    /// Reads the request that waits. How often bytes before it were not seen.
    pub(super) fn read_held(&mut self, shared: &mut Shared) -> u64 {
        let Some(call) = self.held.call.take() else { return 0 };
        let bytes = std::mem::take(&mut self.held.bytes);
        let gaps = self.call(&Call { bytes: &bytes, ..call }, shared);
        self.held.bytes = bytes;
        gaps
    }

    /// Both directions have come to these sequence numbers with whole exchanges that nobody asks for, if they were between two messages; if not, what is
    /// not there is missed when more comes.
    /// `bytes`: about how far they are; more than a sequence number tells may have been passed over.
    pub(super) fn past(&mut self, to: [u32; 2], bytes: Option<[u64; 2]>) {
        let to = [GOT, SENT].map(|dir| match bytes {
            Some(bytes) => self.offset_near(dir, to[dir], bytes[dir]),
            None => self.offset(dir, to[dir]),
        });
        if self.rests() && [GOT, SENT].iter().all(|&dir| to[dir] >= self.next(dir)) {
            let tasks = [GOT, SENT].map(|dir| self.owner(dir, u64::MAX).unwrap_or_default());
            self.moved_on(to, to, tasks);
        }
    }

    /// Keeps a plain request, on a connection on which nothing else is under way.
    fn holds(&mut self, call: &Call<'_>) -> bool {
        let plain = !call.sent && !call.eof && self.is_whole(call) && call.bytes.len() as u64 == call.total;
        let holds = plain
            && call.bytes.len() <= MOST
            && self.offset(SENT, call.other) == self.next(SENT)
            && self.rests()
            && is_plain_request(call.bytes);
        if holds {
            self.held.bytes.clear();
            self.held.bytes.extend_from_slice(call.bytes);
            self.held.call = Some(Call { bytes: &[], ..*call });
        }
        holds
    }

    /// Whether the call sends the whole response to the request that waits, and both are of no interest: then neither is read.
    fn answers(&mut self, call: &Call<'_>, bound: Bound) -> bool {
        let Some(request) = self.held.call else { return false };
        let asked_to = self.offset(GOT, request.to);
        if !call.sent || !self.is_whole(call) || self.offset(GOT, call.other) != asked_to {
            return false;
        }
        let took = call.end.saturating_sub(request.start);
        if plain_response(call.bytes, call.total).is_none_or(|status| bound.allows(took, status)) {
            return false;
        }
        let answered_to = self.offset(SENT, call.to);
        let from = [asked_to.saturating_sub(request.total), answered_to.saturating_sub(call.total)];
        self.moved_on([asked_to, answered_to], from, [request.task, call.task]);
        self.held.call = None;
        self.held.rest = (!call.last).then_some(call.to);
        true
    }

    /// The call's bytes begin where its direction's last ones ended, in clear.
    fn is_whole(&self, call: &Call<'_>) -> bool {
        let dir = usize::from(call.sent);
        call.clear == 0
            && call.at == 0
            && (call.last || call.sent)
            && self.offset(dir, call.to).checked_sub(call.total) == Some(self.next(dir))
    }
}

/// One head, and nothing behind it.
fn is_plain_request(bytes: &[u8]) -> bool {
    Sniff::of(bytes) == Sniff::Head
        && Outline::of(bytes).is_some_and(|(outline, end)| {
            outline.kind == Kind::Request
                && end == bytes.len()
                && matches!(outline.framing, Framing::Unsaid | Framing::Length(0))
                && !outline.bodiless
                && !outline.connects
                && !outline.to_http2
        })
}

/// The status of a response of so many bytes, which begin with these.
fn plain_response(bytes: &[u8], total: u64) -> Option<u32> {
    let (outline, end) = Outline::of(bytes).filter(|(outline, _)| outline.kind == Kind::Response)?;
    let Framing::Length(length) = outline.framing else { return None };
    let plain = outline.status >= 200 && outline.status != 204 && outline.status != 304;
    (plain && (end as u64).checked_add(length) == Some(total)).then_some(outline.status)
}

#[cfg(test)]
mod tests;

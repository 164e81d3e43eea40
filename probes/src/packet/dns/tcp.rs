//! DNS on TCP: messages after their length (RFC 7766).

use super::message::{HEADER, Message};
use super::present::DnsPart;
use crate::packet::pending::Pending;
use crate::packet::stream::{Context, Hole, Piece, Protocol, Shared, Sniff, Taken};

/// Questions of one connection that wait for an answer.
const MAX_PENDING: usize = 256;

#[derive(Default)]
struct Direction {
    /// A message that is not complete, after its length.
    partial: Vec<u8>,
    /// Where messages begin is not known, until a segment begins with one.
    lost: bool,
}

/// DNS's view of one connection.
pub(crate) struct DnsFlow {
    dirs: [Direction; 2],
    /// By direction of the question, and its id.
    pending: Pending<(usize, u16)>,
    /// Bytes kept, as counted in [`Shared::held_total`].
    counted: usize,
}

impl Default for DnsFlow {
    fn default() -> Self {
        Self { dirs: Default::default(), pending: Pending::new(MAX_PENDING), counted: 0 }
    }
}

/// Whether bytes begin with a length and the header of a message with a question or an answer.
pub(super) fn sniff(bytes: &[u8]) -> Sniff {
    let Some(length) = bytes.first_chunk().map(|bytes| u16::from_be_bytes(*bytes)) else { return Sniff::Maybe };
    if usize::from(length) < HEADER {
        return Sniff::No;
    }
    let Some(&[_, _, flags, _, _, count]) = bytes.get(2..).and_then(|rest| rest.first_chunk::<6>()) else {
        return Sniff::Maybe;
    };
    // Operations from query to stateful operations; nobody asks many questions at once.
    if flags >> 3 & 0xf <= 6 && count <= 16 { Sniff::Yes } else { Sniff::No }
}

/// A whole message after its length, and how many bytes that are.
fn whole(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let length = usize::from(u16::from_be_bytes(*bytes.first_chunk()?));
    Some((bytes.get(2..2 + length)?, 2 + length))
}

impl DnsFlow {
    fn message(&mut self, dir: usize, bytes: &[u8], cx: &mut Context<'_>) {
        let Some(message) = Message::parse(bytes) else {
            cx.shared.dns.malformed += 1;
            return;
        };
        cx.shared.dns.malformed += u64::from(message.damaged);
        let (mut time, mut again) = (None, false);
        if message.is_response() {
            let asked = self.pending.answer(&(1 - dir, message.id));
            time = asked.map(|asked| cx.now.saturating_sub(asked));
        } else {
            again = self.pending.ask((dir, message.id), cx.now, super::PATIENCE).is_some();
            cx.shared.dns.forgotten += std::mem::take(&mut self.pending.dropped);
        }
        cx.shared.parts.push(DnsPart::new(message, time, again));
    }

    /// Takes whole messages; says how many bytes they had.
    fn several(&mut self, dir: usize, bytes: &[u8], cx: &mut Context<'_>) -> usize {
        let mut used = 0;
        while let Some((message, size)) = bytes.get(used..).and_then(whole) {
            self.message(dir, message, cx);
            used += size;
        }
        used
    }

    fn count(&mut self, shared: &mut Shared) {
        let kept = self.dirs.iter().map(|dir| dir.partial.capacity()).sum();
        shared.held_total = shared.held_total - self.counted + kept;
        self.counted = kept;
    }
}

impl Protocol for DnsFlow {
    fn data(&mut self, piece: Piece<'_>, cx: &mut Context<'_>) -> Taken {
        let dir = piece.dir & 1;
        let direction = &mut self.dirs[dir];
        if direction.lost {
            if !piece.fresh || sniff(piece.bytes) != Sniff::Yes {
                return Taken::All;
            }
            direction.lost = false;
        }
        let mut kept = std::mem::take(&mut direction.partial);
        let rest = if kept.is_empty() {
            let used = self.several(dir, piece.bytes, cx);
            piece.bytes.get(used..).unwrap_or_default().to_vec()
        } else {
            kept.extend_from_slice(piece.bytes);
            let used = self.several(dir, &kept, cx);
            kept.split_off(used.min(kept.len()))
        };
        let room = cx.shared.held_total + rest.len() <= cx.shared.limits.held_bytes_total;
        self.dirs[dir] =
            if room { Direction { partial: rest, lost: false } } else { Direction { partial: Vec::new(), lost: true } };
        self.count(cx.shared);
        Taken::All
    }

    fn hole(&mut self, hole: Hole, cx: &mut Context<'_>) {
        self.dirs[hole.dir & 1] = Direction { partial: Vec::new(), lost: true };
        self.count(cx.shared);
    }

    fn end(&mut self, _dir: usize, _clean: bool, _cx: &mut Context<'_>) {}

    fn abandon(&mut self, shared: &mut Shared) {
        shared.held_total -= self.counted;
        self.counted = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::http::HttpLimits;
    use crate::packet::http2::Http2Limits;
    use crate::packet::stream::{Facts, StreamLimits};
    use weftrace_artifact::packet::needs;

    /// They are told when the connection is long gone.
    #[test]
    fn forgotten_questions_outlive_their_connection() {
        let mut shared =
            Shared::new(needs::DNS, StreamLimits::default(), HttpLimits::default(), Http2Limits::default());
        let mut flow = DnsFlow::default();
        for id in 0..MAX_PENDING as u16 + 3 {
            let mut message = vec![0, HEADER as u8];
            message.extend(id.to_be_bytes());
            message.resize(2 + HEADER, 0);
            let mut cx = Context { shared: &mut shared, now: 1, acked: [0; 2], facts: Facts::default() };
            flow.data(Piece::at(0, &message, 0, 1, true), &mut cx);
        }
        drop(flow);
        assert_eq!(shared.dns.forgotten, 3);
    }
}

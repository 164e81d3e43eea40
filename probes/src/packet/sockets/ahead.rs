//! What is about to be sent, told before it is: its call waits until it has ended, or until something that was read after it shows that it was
//! sent. So no answer comes before what it answers, and where its bytes lie is known.

use super::socket::{Call, GOT, SENT, Socket};
use crate::packet::stream::Shared;

/// A call, and the bytes that were told of it.
#[derive(Default)]
pub(super) struct Ahead {
    calls: Vec<(Call<'static>, Vec<u8>)>,
    bytes: usize,
}

impl Ahead {
    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.bytes
    }
}

impl Socket {
    /// A piece of a call that has only begun. How often bytes before it were not seen.
    pub(super) fn begins(&mut self, call: &Call<'_>, shared: &mut Shared) -> u64 {
        // The one before never ended, as far as was told; or it waits to be sent with this one.
        let other = self.ahead.calls.first().is_some_and(|(first, _)| first.clear != call.clear && first.to != call.to);
        let gaps = if other { self.sent(Some(call.to), call.end, shared) } else { 0 };
        self.ahead.bytes += call.bytes.len();
        self.ahead.calls.push((Call { bytes: &[], ..*call }, call.bytes.to_vec()));
        gaps
    }

    /// Something was read when this direction had come so far: what waits was sent before, or is still to be (requests may come without an answer).
    pub(super) fn read_at(&mut self, other: u32, now: u64, shared: &mut Shared) -> u64 {
        let sent = self.ahead.calls.first().is_some_and(|(call, _)| other.wrapping_sub(call.to) as i32 > 0);
        if !sent {
            return 0;
        }
        self.ended_from = self.open_from(GOT);
        self.sent(Some(other), now, shared)
    }

    /// What waits was sent: up to this sequence number, by this time. (None: it isn't known how far.)
    pub(super) fn sent(&mut self, to: Option<u32>, now: u64, shared: &mut Shared) -> u64 {
        let mut gaps = 0;
        for (call, bytes) in std::mem::take(&mut self.ahead).calls {
            let begin = self.offset(SENT, call.to);
            let to = to.unwrap_or(call.to.wrapping_add(call.total as u32));
            let call = Call { to, end: now, ahead: false, bytes: &bytes, ..call };
            gaps += self.call_within(SENT, &call, Some(begin), shared);
        }
        gaps
    }

    /// So much of it was written, and this direction has come so far. What is in clear takes no less room encrypted: where less was sent than waits, the rest is
    /// still to come.
    pub(super) fn wrote(&mut self, to: u32, moved: u64, now: u64, shared: &mut Shared) -> u64 {
        let Some((first, _)) = self.ahead.calls.first() else { return 0 };
        let (begin, mut waits, mut last) = (first.to, 0, None);
        for (call, _) in &self.ahead.calls {
            // A call may have been told in pieces.
            if last.replace(call.clear) != Some(call.clear) {
                waits += call.total;
            }
        }
        if u64::from(to.wrapping_sub(begin)) < waits.min(moved) { 0 } else { self.sent(Some(to), now, shared) }
    }

    /// Nothing of it was sent.
    pub(super) fn not_sent(&mut self) {
        self.ahead = Ahead::default();
    }
}

//! TCP sequence analysis, equal to tshark 4.0's `tcp.analysis.*` frame by frame (docs: tcp-analysis-spec; the numbers of the
//! steps below are its section 4).

mod segments;

pub(crate) use segments::Segments;

use super::dissect::{ACK, FIN, RST, SYN};
use super::flow::{Direction, is_plain};
use weftrace_artifact::packet::analysis as flag;

/// A duplicate-ACK counter that an unseen segment was reported on.
const DUP_ACKS_REPORTED: u32 = u32::MAX;
const FAST_RETRANSMISSION_NS: u64 = 20_000_000;
/// Reordering window as long as the round trip time is not known.
const REORDER_NS: u64 = 3_000_000;
/// Segments listed per direction, as tshark.
const MAX_LISTED: u16 = 10_000;

/// One TCP packet: raw header fields, payload length, frame time.
#[derive(Default)]
pub(crate) struct Segment {
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) len: u32,
    pub(crate) window: u32,
    pub(crate) flags: u32,
    pub(crate) time: u64,
    /// TSval and TSecr, where it has them (RFC 7323).
    pub(crate) stamps: Option<(u32, u32)>,
}

impl Segment {
    fn has(&self, flags: u32) -> bool {
        self.flags & flags != 0
    }

    /// SYN and FIN count as one byte.
    fn end(&self) -> u32 {
        self.seq.wrapping_add(self.len).wrapping_add(u32::from(self.has(SYN | FIN)))
    }
}

/// What the analysis says about a packet.
#[derive(Default)]
pub(crate) struct Verdict {
    pub(crate) flags: u32,
    pub(crate) dup_ack_num: u32,
    pub(crate) ack_rtt: Option<u64>,
    pub(crate) rto: Option<u64>,
    /// Lost bytes that are acknowledged here: since when they were under way, and when the last copy was sent.
    pub(crate) repaired: Option<(u64, u64)>,
    /// Which they are, by raw sequence numbers: where each segment of them began and ended.
    pub(crate) mended: Vec<(u32, u32)>,
    /// They are the packet's sender's own (a reset).
    pub(crate) mended_own: bool,
    pub(crate) bytes_in_flight: Option<u32>,
}

/// a < b modulo 2^32.
pub(crate) fn before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

/// Analyses one packet from `fwd`'s side. `found` holds bits already known; `irtt` is 0 if unknown.
pub(crate) fn analyse(
    fwd: &mut Direction,
    rev: &mut Direction,
    irtt: u64,
    s: &Segment,
    found: u32,
    mut segments: Option<&mut Segments>,
) -> Verdict {
    let mut verdict = Verdict { flags: found, ..Verdict::default() };
    if s.has(ACK) {
        rev.in_flight_known = true;
    }
    patterns(fwd, rev, s, &mut verdict);
    if s.ack != fwd.last_ack {
        fwd.dup_acks = 0; // 10
    }
    unseen_ack(rev, s, &mut verdict);
    let class = retransmission(fwd, rev, irtt, s, verdict.flags);
    verdict.flags |= class;
    if class == flag::RETRANSMISSION {
        let oldest = segments.as_deref().and_then(|list| list.oldest_time(fwd));
        verdict.rto = Some(s.time.saturating_sub(oldest.unwrap_or(fwd.next_time)));
    }
    if let Some(list) = segments.as_deref_mut()
        && (s.len > 0 || s.has(SYN | FIN))
    {
        let since = missing_since(fwd, s, verdict.flags, list);
        if fwd.in_list < MAX_LISTED {
            list.push(fwd, s, since);
        } else if since != 0 || verdict.flags & flag::OUT_OF_ORDER != 0 {
            // It may mend a loss, which won't be seen: the bytes themselves may have found no room.
            list.dropped += 1;
        }
    }
    advance(fwd, s, verdict.flags);
    if let Some(list) = segments {
        let acknowledged = list.acknowledge(rev, s.ack).without_needless(s);
        verdict.ack_rtt = acknowledged.sent.map(|sent| s.time.saturating_sub(sent));
        (verdict.repaired, verdict.mended) = (acknowledged.repaired, acknowledged.mended);
        if s.has(RST) {
            // Nobody will acknowledge what is still under way.
            let (of_receiver, own) = (list.under_repair(rev), list.under_repair(fwd));
            verdict.mended_own = of_receiver.repaired.is_none();
            let found = if verdict.mended_own { own } else { of_receiver };
            (verdict.repaired, verdict.mended) = (found.repaired, found.mended);
        }
        if s.len != 0 && fwd.in_flight_known {
            // What the receiver has selectively acknowledged is no longer in flight; a FIN's own number never was.
            let virtual_byte = u32::from(s.has(SYN | FIN));
            verdict.bytes_in_flight = list.in_flight(fwd, rev.sacked).map(|bytes| bytes - virtual_byte);
        }
    }
    verdict
}

/// Steps 1 to 9: what a packet looks like next to the last one of its direction.
fn patterns(fwd: &mut Direction, rev: &Direction, s: &Segment, verdict: &mut Verdict) {
    let plain = is_plain(s.flags);
    let in_place = s.seq == fwd.next_seq;
    if s.len == 1 && in_place && rev.window == 0 {
        verdict.flags |= flag::ZERO_WINDOW_PROBE; // 1
        return;
    }
    if s.window == 0 && plain {
        verdict.flags |= flag::ZERO_WINDOW; // 2
    }
    if fwd.next_seq != 0 && before(fwd.next_seq, s.seq) && !s.has(RST) {
        verdict.flags |= flag::LOST_SEGMENT; // 3
        fwd.in_flight_known = false;
    }
    if !plain {
        return;
    }
    if s.len <= 1 && s.seq == fwd.next_seq.wrapping_sub(1) {
        verdict.flags |= flag::KEEP_ALIVE; // 4
    }
    let repeats = s.len == 0 && in_place && s.ack == fwd.last_ack;
    let same_window = s.window == fwd.window;
    if repeats && s.window != 0 && !same_window {
        verdict.flags |= flag::WINDOW_UPDATE; // 5
    }
    if s.len > 0 && rev.scale != -1 && s.seq.wrapping_add(s.len) == window_edge(rev) {
        verdict.flags |= flag::WINDOW_FULL; // 6
    }
    if !repeats || !same_window {
        return;
    }
    if s.window == 0 {
        if rev.last_flags & flag::ZERO_WINDOW_PROBE != 0 {
            verdict.flags |= flag::ZERO_WINDOW_PROBE_ACK; // 8
        }
    } else if rev.last_flags & flag::KEEP_ALIVE != 0 {
        verdict.flags |= flag::KEEP_ALIVE_ACK; // 7
    } else if !fwd.signals_more {
        verdict.flags |= flag::DUPLICATE_ACK; // 9
        fwd.dup_acks = if fwd.dup_acks == DUP_ACKS_REPORTED { 1 } else { fwd.dup_acks.saturating_add(1) };
        verdict.dup_ack_num = fwd.dup_acks;
    }
}

/// First byte past the window that `rev` advertised last. The window of a SYN is never scaled.
fn window_edge(rev: &Direction) -> u32 {
    let shift = if rev.fresh || rev.scale < 0 { 0 } else { rev.scale as u32 };
    rev.last_ack.wrapping_add(rev.window.wrapping_shl(shift))
}

/// Step 11.
fn unseen_ack(rev: &mut Direction, s: &Segment, verdict: &mut Verdict) {
    if rev.max_ack == 0 || !s.has(ACK) || !before(rev.max_ack, s.ack) {
        return;
    }
    if before(rev.max_ack, rev.next_seq) {
        rev.max_ack = rev.next_seq;
        verdict.flags |= flag::ACK_LOST_SEGMENT;
    } else {
        if rev.dup_acks == 0 {
            verdict.flags |= flag::ACK_LOST_SEGMENT;
        }
        rev.dup_acks = DUP_ACKS_REPORTED;
    }
}

/// Step 12: the first class that matches.
fn retransmission(fwd: &Direction, rev: &Direction, irtt: u64, s: &Segment, flags: u32) -> u32 {
    if (s.len == 0 && !s.has(SYN | FIN)) || flags & flag::KEEP_ALIVE != 0 {
        return 0;
    }
    let after_probe = s.len > 1 && s.seq == fwd.next_seq.wrapping_sub(1);
    let back = fwd.next_seq != 0 && before(s.seq, fwd.next_seq) && !after_probe;
    if s.len > 0 && rev.last_ack != 0 && !before(rev.last_ack, s.seq.wrapping_add(s.len)) {
        return flag::RETRANSMISSION | flag::SPURIOUS_RETRANSMISSION;
    }
    if !back {
        return 0;
    }
    // A clock that runs backwards gives a huge difference.
    let since_ack = s.time.wrapping_sub(rev.last_time);
    if rev.dup_acks >= 2 && s.seq == rev.last_ack && since_ack < FAST_RETRANSMISSION_NS {
        return flag::RETRANSMISSION | flag::FAST_RETRANSMISSION;
    }
    let limit = if irtt == 0 { REORDER_NS } else { irtt };
    if s.time.wrapping_sub(fwd.next_time) < limit && fwd.next_seq != s.end() {
        return flag::OUT_OF_ORDER;
    }
    flag::RETRANSMISSION
}

/// Since when the bytes are under way that this segment repeats, or that wait for those it brings; 0: it does neither. A sender with SACK
/// mends a hole within a round trip, which tshark takes for segments out of order; but who has seen the bytes before knows. `next_seq` is tshark's: what
/// a port's last connection sent, or a reset that nobody heeds, may have set it ahead of all that comes.
fn missing_since(fwd: &Direction, s: &Segment, flags: u32, list: &Segments) -> u64 {
    const OTHERS: u32 = flag::KEEP_ALIVE | flag::ZERO_WINDOW_PROBE | flag::SPURIOUS_RETRANSMISSION;
    let after_probe = s.seq == fwd.next_seq.wrapping_sub(1);
    if s.len == 0 || flags & OTHERS != 0 || fwd.next_seq == 0 || !before(s.seq, fwd.next_seq) || after_probe {
        return 0;
    }
    let is_new = fwd.ahead(s.seq) >= 0;
    if is_new || flags & flag::RETRANSMISSION == 0 && !list.covers(fwd, s.seq) {
        return 0;
    }
    list.oldest_time(fwd).unwrap_or(fwd.next_time)
}

/// Steps 13 and 14.
fn advance(fwd: &mut Direction, s: &Segment, flags: u32) {
    let end = s.end();
    if flags & flag::ZERO_WINDOW_PROBE == 0 {
        if fwd.next_seq == 0 || before(fwd.next_seq, end) {
            fwd.next_seq = end;
            fwd.next_time = s.time;
        }
        if fwd.max_ack == 0 || s.seq == fwd.max_ack {
            fwd.max_ack = fwd.next_seq;
        }
    }
    fwd.window = s.window;
    fwd.last_ack = s.ack;
    fwd.last_time = s.time;
    fwd.last_flags = flags;
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

//! What of a conversation takes time: the handshake, and stalls.

use super::{Direction, Flow, SCALE_UNKNOWN};
use crate::packet::dissect::{ACK, FIN, RST, SYN};
use weftrace_artifact::packet::{PacketView, layer, marks};

/// How far the handshake is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Opening {
    #[default]
    Unseen,
    UnderWay,
    /// A reset ended it: that the server refused it, or that the client had nothing to do with what the port's last connection has left. It goes on if
    /// the client asks again.
    Reset,
    Completed,
}

/// A usual maximum segment size: with less room than that a sender waits.
const SEGMENT: u32 = 1448;

impl Direction {
    /// Bytes that the other side may send after this packet: the window, less what is in flight.
    fn room(&self, other: &Self, view: &PacketView) -> u32 {
        if self.scale == SCALE_UNKNOWN && view.tcp_flags & SYN == 0 && view.tcp_window_raw > 0 {
            // What it counts in was said in a SYN that was not seen: any window but 0 may have room.
            return SEGMENT;
        }
        let scale = if view.tcp_flags & SYN != 0 { 0 } else { self.scale.max(0) };
        let window = view.tcp_window_raw << scale;
        // Not `next_seq`, which a packet of another connection may have set far ahead.
        let in_flight = u32::try_from(-other.ahead(view.tcp_ack_raw)).unwrap_or(0);
        window.saturating_sub(in_flight)
    }
}

impl Flow {
    /// iRTT by frame time, the handshake by boot time.
    pub(in crate::packet::flow) fn time_handshake(&mut self, dir: usize, view: &mut PacketView) {
        let flags = view.tcp_flags;
        let from_client = dir == self.client as usize;
        if flags & (SYN | ACK) == SYN {
            self.syn_time = view.time_ns;
            if self.syns == 0 {
                self.first_syn = view.boot_ns;
                self.opening = Opening::UnderWay;
            } else if self.opening == Opening::Reset {
                (self.opening, self.synack_seen) = (Opening::UnderWay, false);
            }
            self.count_syn();
        } else if flags & SYN != 0 {
            self.synack_seen = true;
        }
        if flags & (SYN | ACK) == ACK && self.initial_rtt == 0 && self.syn_time != 0 {
            // A clock that ran backwards gives a huge one, as in tshark, which is told to nobody.
            self.initial_rtt = view.time_ns.wrapping_sub(self.syn_time);
        }
        if self.opening != Opening::UnderWay {
            return;
        }
        let completed = from_client && self.synack_seen && flags & (SYN | ACK | RST) == ACK;
        if completed || flags & RST != 0 {
            self.opening = if completed { Opening::Completed } else { Opening::Reset };
            view.handshake_start = self.first_syn;
            view.handshake_ns = view.boot_ns.saturating_sub(self.first_syn);
            view.handshake_syns = self.syns;
            view.handshake_completed = u32::from(completed);
            view.layers |= layer::HANDSHAKE_END;
        }
    }

    /// A stall is a window that closed to 0, until the receiver opens it, or a reset. It begins when the receiver last left room for
    /// a segment: senders don't fill the rest of a window at once (RFC 9293, section 3.8.6.2.1), so that the advertisement of 0
    /// itself comes a persist timer later.
    pub(in crate::packet::flow) fn time_stall(&mut self, dir: usize, view: &mut PacketView) {
        let flags = view.tcp_flags;
        let reset = flags & RST != 0;
        let (fwd, rev) = self.pair(dir);
        let since = if reset { fwd.stalled_since.max(rev.stalled_since) } else { fwd.stalled_since };
        if reset {
            view.marks |= if since > fwd.stalled_since { marks::PEER_STALLED } else { 0 };
            (fwd.stalled_since, rev.stalled_since) = (0, 0);
        } else if view.tcp_window_raw == 0 {
            if since == 0 && flags & (SYN | FIN) == 0 {
                fwd.stalled_since = if fwd.closing_since == 0 { view.boot_ns } else { fwd.closing_since };
            }
            return;
        } else {
            fwd.stalled_since = 0;
            if fwd.room(rev, view) >= SEGMENT {
                fwd.closing_since = 0;
            } else if fwd.closing_since == 0 && flags & (SYN | FIN) == 0 {
                fwd.closing_since = view.boot_ns;
            }
        }
        if since != 0 {
            view.zero_window_start = since;
            view.zero_window_ns = view.boot_ns.saturating_sub(since);
            view.layers |= layer::ZERO_WINDOW_END;
        }
    }
}

/// Not the one of a clock that ran backwards.
pub(in crate::packet::flow) fn tell_initial_rtt(ns: u64, view: &mut PacketView) {
    if ns.cast_signed() > 0 {
        view.initial_rtt_ns = ns;
        view.layers |= layer::INITIAL_RTT;
    }
}

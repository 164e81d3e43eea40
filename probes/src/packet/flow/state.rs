//! State of one conversation.

mod times;

use super::super::dissect::{ACK, FIN, RST, SYN};
use super::super::stream::Connection;
use super::{Account, FlowKey};
use times::Opening;
pub(super) use times::tell_initial_rtt;
use weftrace_artifact::packet::{PacketView, analysis as flag, known, layer, marks};

/// Window scale: no SYN seen, or the SYNs did not agree on scaling.
pub(crate) const SCALE_UNKNOWN: i8 = -1;
pub(crate) const SCALE_UNUSED: i8 = -2;
/// RFC 7323, section 2.3.
const MAX_SCALE: i8 = 14;

/// What one side has sent so far. Sequence numbers are raw; 0 doubles as "not seen" where tshark has it so.
#[derive(Clone, Debug)]
pub(crate) struct Direction {
    /// Frame time at which `next_seq` was set, and of the last packet of any kind.
    pub(crate) next_time: u64,
    pub(crate) last_time: u64,
    /// Highest end of a segment, counted from `base_seq` and unwrapped to 64 bits.
    pub(crate) end: u64,
    /// Boot time since when this side advertises a window of 0; 0: it does not.
    pub(crate) stalled_since: u64,
    /// Boot time since when every packet of this side has left the other no room for a whole segment; 0: there was room.
    pub(crate) closing_since: u64,
    pub(crate) base_seq: u32,
    /// Highest end of a segment.
    pub(crate) next_seq: u32,
    /// Highest contiguous end.
    pub(crate) max_ack: u32,
    pub(crate) last_ack: u32,
    /// As sent, unscaled.
    pub(crate) window: u32,
    /// The same two of the last packet that is no reset, whether or not packets are analysed.
    pub(crate) acked: u32,
    pub(crate) offered: u32,
    pub(crate) dup_acks: u32,
    /// Analysis bits of the last packet.
    pub(crate) last_flags: u32,
    /// List of segments not yet acknowledged ([`crate::packet::analysis::Segments`]).
    pub(crate) newest: u32,
    pub(crate) oldest: u32,
    pub(crate) in_list: u16,
    /// Bytes in the SACK blocks of the last packet (the first three blocks, as tshark).
    pub(crate) sacked: u32,
    /// The list has no overlaps and ascends.
    pub(crate) sorted: bool,
    pub(crate) scale: i8,
    pub(crate) base_known: bool,
    /// `base_seq` is the initial sequence number, by a SYN or the SYN+ACK that answers it.
    pub(crate) isn_known: bool,
    /// Bytes in flight can be told: no unseen segment since the other side's last ACK.
    pub(crate) in_flight_known: bool,
    /// The last packet with SYN or plain ACK had SYN.
    pub(crate) fresh: bool,
    pub(crate) seen: bool,
    pub(crate) syn_seen: bool,
    pub(crate) sack_permitted: bool,
    /// A payload was seen.
    pub(crate) data_seen: bool,
    /// Subtypes of MPTCP's options that the connection had used before this side's last packet, and whether there are more before this one.
    pub(crate) signals: u16,
    pub(crate) signals_more: bool,
}

impl Default for Direction {
    fn default() -> Self {
        Self {
            next_time: 0,
            last_time: 0,
            end: 0,
            stalled_since: 0,
            closing_since: 0,
            base_seq: 0,
            next_seq: 0,
            max_ack: 0,
            last_ack: 0,
            window: u32::MAX,
            acked: 0,
            offered: 0,
            dup_acks: 0,
            last_flags: 0,
            newest: u32::MAX,
            oldest: u32::MAX,
            in_list: 0,
            sacked: 0,
            sorted: true,
            scale: SCALE_UNKNOWN,
            base_known: false,
            isn_known: false,
            in_flight_known: true,
            fresh: false,
            seen: false,
            syn_seen: false,
            sack_permitted: false,
            data_seen: false,
            signals: 0,
            signals_more: false,
        }
    }
}

impl Direction {
    /// 0: not known.
    pub(super) fn isn(&self) -> u32 {
        if self.isn_known { self.base_seq } else { 0 }
    }

    /// The 64-bit place of a raw sequence number, counted from `base_seq`: the one nearest to what was sent last.
    pub(super) fn nearest(&self, seq: u32) -> u64 {
        let relative = seq.wrapping_sub(self.base_seq);
        // What lies before the first segment seen has no place: its number as it is.
        self.end.checked_add_signed(self.ahead(seq)).unwrap_or(u64::from(relative))
    }

    /// How far a raw sequence number is from the end of what was sent. Resets don't move that, and an initial sequence number begins it anew.
    pub(crate) fn ahead(&self, seq: u32) -> i64 {
        seq.wrapping_sub(self.base_seq).wrapping_sub(self.end as u32).cast_signed().into()
    }

    /// The place of a segment that is sent.
    pub(crate) fn place(&mut self, seq: u32, len: u32) -> u64 {
        let (at, ahead) = (self.nearest(seq), self.ahead(seq));
        if ahead + i64::from(len) > 0 {
            self.end = at + u64::from(len);
        }
        at
    }

    pub(super) fn is_another_syn(&self, seq: u32) -> bool {
        self.base_known && self.base_seq != seq
    }

    /// What a packet leaves behind after its analysis: window scale, freshness, SACK.
    pub(super) fn after(&mut self, rev: &mut Self, view: &PacketView) {
        self.seen = true;
        if view.tcp_flags & RST == 0 {
            (self.acked, self.offered) = (view.tcp_ack_raw, view.tcp_window_raw);
        }
        self.sacked = 0;
        if view.sack_count > 0 {
            let blocks = view.sack_le.iter().zip(&view.sack_re).take(view.sack_count.min(3) as usize);
            self.sacked = blocks.map(|(le, re)| re.wrapping_sub(*le)).fold(0, u32::wrapping_add);
        }
        if view.tcp_flags & SYN != 0 {
            self.syn_seen = true;
            self.fresh = true;
            if view.known & known::SACK_PERM != 0 {
                self.sack_permitted = view.layers & layer::SACK_PERM != 0;
            }
            if view.layers & layer::TCP_WSCALE != 0 {
                self.scale = view.tcp_wscale_opt.min(MAX_SCALE as u32) as i8;
            } else if self.scale == SCALE_UNKNOWN && view.known & known::TCP_OPTIONS != 0 {
                (self.scale, rev.scale) = (SCALE_UNUSED, SCALE_UNUSED);
            }
            if view.tcp_flags & ACK != 0 && rev.scale == SCALE_UNUSED {
                self.scale = SCALE_UNUSED;
            }
        } else if view.tcp_flags & ACK != 0 {
            self.fresh = false;
        }
    }
}

/// One conversation.
#[derive(Default)]
pub(crate) struct Flow {
    pub(crate) key: FlowKey,
    pub(crate) dirs: [Direction; 2],
    /// Frame time of the last SYN without ACK; 0: none.
    syn_time: u64,
    pub(crate) initial_rtt: u64,
    /// Boot times; the last: of its last packet.
    pub(super) opened: u64,
    first_syn: u64,
    pub(super) touched: u64,
    pub(crate) stream: u32,
    syns: u32,
    /// Index of the client's direction; and whether what is spoken has told it.
    pub(super) client: u8,
    client_told: bool,
    synack_seen: bool,
    opening: Opening,
    /// No packet of it was seen yet, only an ICMP error about one.
    pub(super) only_quoted: bool,
    /// For the table's clock hand.
    pub(super) recent: bool,
    /// No more is to be read from the conversation: both sides are done.
    pub(crate) app_over: bool,
    /// What is spoken on it, once it looks like something that is asked for.
    pub(crate) app: Option<Box<Connection>>,
    /// What it did so far, if a script asks.
    pub(super) account: Option<Box<Account>>,
    /// Who wanted a packet of it.
    pub(crate) wanted: u64,
    /// Its end was told.
    pub(super) told: bool,
    /// Directions that have said that they are done; 3: both, or one of them for both.
    done: u8,
    /// Subtypes of MPTCP's options that were used, a bit each.
    pub(crate) signals: u16,
}

/// Whether the first of two ports is the server's, where the opening wasn't seen: the lower one, if it is none that Linux gives clients (net.ipv4.ip_local_port_range).
/// Else the first sender counts as client.
fn is_service(port: u16, other: u16) -> bool {
    const LEAST_OF_CLIENTS: u16 = 32_768;
    port < other && port < LEAST_OF_CLIENTS
}

impl Flow {
    /// Not yet recent: a flow must be used a second time to be worth keeping (a scan's are not).
    pub(super) fn new(key: FlowKey) -> Self {
        Self { key, ..Self::default() }
    }

    pub(super) fn open(&mut self, stream: u32, dir: usize, view: &PacketView) {
        self.stream = stream;
        (self.opened, self.touched) = (view.boot_ns, view.boot_ns);
        let answers = match view.tcp_flags & (SYN | ACK) {
            0 | ACK => is_service(view.tcp_src_port, view.tcp_dst_port),
            flags => flags == SYN | ACK,
        };
        self.client = if answers { 1 - dir } else { dir } as u8;
    }

    /// Who the client is was guessed.
    pub(crate) fn guesses_client(&self) -> bool {
        !self.client_told && self.dirs.iter().all(|dir| !dir.syn_seen)
    }

    /// What is spoken has told who asks: says that of a packet in direction `dir`, too.
    pub(crate) fn tell_client(&mut self, client: usize, dir: usize, view: &mut PacketView) {
        (self.client, self.client_told) = (client as u8 & 1, true);
        view.from_client = u32::from(dir == client);
    }

    /// Notes a packet; whether it closes the conversation.
    pub(super) fn touch(&mut self, dir: usize, view: &PacketView) -> bool {
        self.touched = self.touched.max(view.boot_ns);
        let before = self.done;
        if view.tcp_flags & RST != 0 && self.heeds_reset(dir, view) {
            self.done = 3;
        } else if view.tcp_flags & (SYN | ACK) == SYN {
            // What was reset is asked for once more.
            self.done = 0;
        } else if view.tcp_flags & FIN != 0 {
            self.done |= 1 << (dir & 1);
        }
        before != 3 && self.done == 3
    }

    /// Whether this conversation, and not a later one, was closed.
    pub(super) fn is_closed(&self, stream: u32) -> bool {
        self.is_over() && self.stream == stream
    }

    /// The direction's sender is done.
    pub(super) fn is_done(&self, dir: usize) -> bool {
        self.done >> (dir & 1) & 1 != 0
    }

    /// Both sides are done, or one of them for both.
    pub(super) fn is_over(&self) -> bool {
        self.done == 3
    }

    /// Forgets the conversation, keeps the endpoints.
    pub(super) fn reset(&mut self) {
        *self = Self::new(self.key);
    }

    pub(crate) fn pair(&mut self, dir: usize) -> (&mut Direction, &mut Direction) {
        let [a, b] = &mut self.dirs;
        if dir == 0 { (a, b) } else { (b, a) }
    }

    pub(crate) fn handshake_seen(&self) -> bool {
        self.dirs[self.client as usize & 1].syn_seen
    }

    /// Whether the receiver of a reset heeds it: it lies in the window (RFC 9293, section 3.10.7.4). Others are forged, or old.
    pub(crate) fn heeds_reset(&self, dir: usize, view: &PacketView) -> bool {
        let (sender, receiver) = (&self.dirs[dir & 1], &self.dirs[1 - (dir & 1)]);
        let shift = match receiver.scale {
            _ if receiver.fresh => 0,
            SCALE_UNKNOWN => MAX_SCALE,
            scale => scale.max(0),
        };
        // It comes where its sender was, maybe behind a FIN: what the receiver has acknowledged may not have been captured.
        let goes_on = matches!(sender.ahead(view.tcp_seq_raw), 0 | 1) && sender.seen;
        // Of a receiver that has acknowledged nothing yet it isn't known, or it waits for an answer to its SYN.
        let waits = receiver.acked == 0;
        waits || goes_on || view.tcp_seq_raw.wrapping_sub(receiver.acked) <= receiver.offered << shift
    }

    /// Notes which of MPTCP's options the packet has. What tshark takes for signals, and not for duplicate ACKs, are packets before which the
    /// connection used one that it had not used before the same side's last packet.
    pub(super) fn note_signals(&mut self, dir: usize, view: &PacketView) {
        let before = self.signals;
        let fwd = &mut self.dirs[dir & 1];
        fwd.signals_more = fwd.signals != before;
        fwd.signals = before;
        self.signals |= (view.marks / marks::MPTCP) as u16;
    }

    /// Sets the numbers that others are relative to. Returns analysis bits.
    pub(super) fn relate(&mut self, dir: usize, view: &PacketView) -> u32 {
        let (fwd, rev) = self.pair(dir);
        let (seq, flags) = (view.tcp_seq_raw, view.tcp_flags);
        let mut found = 0;
        if flags & SYN != 0 && fwd.base_known {
            if flags & ACK == 0 {
                // The same SYN again (another one has reopened the flow): repairs what a RST left.
                fwd.next_seq = fwd.max_ack;
            } else if seq != fwd.base_seq {
                fwd.base_seq = seq;
                fwd.end = 0;
                found = flag::REUSED_PORTS;
            }
        }
        if !fwd.base_known {
            fwd.base_seq = if flags & SYN != 0 { seq } else { seq.wrapping_sub(1) };
            fwd.base_known = true;
        }
        if flags & ACK != 0 && !rev.base_known {
            rev.base_seq = view.tcp_ack_raw.wrapping_sub(1);
            rev.base_known = true;
        }
        if flags & SYN != 0 {
            fwd.isn_known = true;
            rev.isn_known |= flags & ACK != 0 && view.tcp_ack_raw.wrapping_sub(1) == rev.base_seq;
        }
        found
    }

    pub(super) fn count_syn(&mut self) {
        self.syns = self.syns.saturating_add(1);
    }

    /// What the view says about the flow.
    pub(super) fn describe(&mut self, dir: usize, view: &mut PacketView) {
        let sender = &mut self.dirs[dir & 1];
        // A reset may be forged.
        let resets = view.tcp_flags & RST != 0;
        view.tcp_place =
            if resets { sender.nearest(view.tcp_seq_raw) } else { sender.place(view.tcp_seq_raw, view.tcp_len) };
        let (fwd, rev) = (&self.dirs[dir & 1], &self.dirs[1 - (dir & 1)]);
        (view.tcp_base, view.tcp_peer_base) = (fwd.base_seq, rev.base_seq);
        view.tcp_dir = dir as u32 & 1;
        view.layers |= layer::FLOW;
        view.tcp_stream = self.stream;
        view.tcp_seq = view.tcp_seq_raw.wrapping_sub(fwd.base_seq);
        view.tcp_ack =
            if view.tcp_flags & ACK != 0 { view.tcp_ack_raw.wrapping_sub(rev.base_seq) } else { view.tcp_ack_raw };
        view.tcp_window = view.tcp_window_raw;
        if view.tcp_flags & SYN == 0 {
            view.layers |= layer::WINDOW_SCALE;
            view.tcp_window_factor = i32::from(fwd.scale);
            if fwd.scale >= 0 {
                view.tcp_window = view.tcp_window_raw << fwd.scale;
                view.tcp_window_factor = 1 << fwd.scale;
            }
        }
        if view.sack_count > 0 {
            for edge in view.sack_le.iter_mut().chain(&mut view.sack_re) {
                *edge = edge.wrapping_sub(rev.base_seq);
            }
        }
        (view.tcp_isn, view.tcp_peer_isn) = (fwd.isn(), rev.isn());
        view.sack_negotiated = u32::from(fwd.sack_permitted && rev.sack_permitted);
        view.from_client = u32::from(dir == self.client as usize);
        view.conn_opened = self.opened;
        view.handshake_syns = self.syns;
        tell_initial_rtt(self.initial_rtt, view);
    }
}

#[cfg(test)]
mod tests;

//! What connections did so far, and their ends: `tcp.flow.*`. Kept only if a script asks.

use super::super::dissect::{ACK, FIN, RST, SYN};
use super::Flow;
use super::endpoints::Endpoints;
use super::state::tell_initial_rtt;
use std::collections::VecDeque;
use weftrace_artifact::packet::{ConnectionView, PacketView, SideView, analysis as flag, known, layer};

/// A connection that has ended is told so long after: stray packets (a lost ACK's FIN again, a RST after all) still belong to it.
const LINGER_NS: u64 = 2_000_000_000;
/// After a reset longer: a SYN that was refused may be tried again, and a reset that nobody heeds is none.
const LINGER_RESET_NS: u64 = 5_000_000_000;
/// Live, a connection without a packet for so long is told, and forgotten.
const IDLE_NS: u64 = 300_000_000_000;
/// How often some of the table is looked through for those, and how many such looks see all of it.
const SWEEP_NS: u64 = 1_000_000_000;
const SWEEPS: usize = 16;
/// Connections between their end and their being told; beyond that the first is told at once.
const MAX_CLOSING: usize = 1 << 16;
/// Ends not yet taken by who presents them; beyond that they are lost.
const MAX_ENDED: usize = 4096;
/// Ends that one packet may bring, besides its own.
const AT_ONCE: usize = 256;

/// How a connection was ended by its sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Close {
    Fin,
    Reset,
    Refused,
}

/// What one side sent.
#[derive(Clone, Debug, Default)]
struct Side {
    sent: SideView,
    /// Sequence number after its FIN.
    fin_end: u32,
    fin: bool,
    fin_acked: bool,
    reset: bool,
    window_seen: bool,
    closed: bool,
}

/// One connection's account. Times are boot time unless they say otherwise.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    sides: [Side; 2],
    start: u64,
    /// ns since the epoch.
    start_time: u64,
    last: u64,
    last_time: u64,
    first_syn: u64,
    last_syn: u64,
    last_synack: u64,
    synack_ns: Option<u64>,
    ack_ns: Option<u64>,
    syns: u32,
    synacks: u32,
    close: Option<Close>,
    /// When it is told; 0: not closed.
    due: u64,
    /// Blocks that wanted one of its packets.
    blocks: u64,
}

impl Account {
    fn new(view: &PacketView) -> Self {
        Self { start: view.boot_ns, start_time: view.time_ns, ..Self::default() }
    }

    /// Takes a packet into account. `stalled`: whether either side's window is closed after it.
    fn packet(&mut self, dir: usize, view: &PacketView, stalled: [bool; 2]) {
        (self.last, self.last_time) = (self.last.max(view.boot_ns), self.last_time.max(view.time_ns));
        let found = |bit: u32| u32::from(view.analysis & bit != 0);
        let sent = &mut self.sides[dir & 1].sent;
        sent.packets += 1;
        sent.bytes += u64::from(view.len);
        sent.payload_bytes += u64::from(view.tcp_len);
        sent.retransmissions += found(flag::RETRANSMISSION);
        sent.retransmitted_bytes += u64::from(found(flag::RETRANSMISSION)) * u64::from(view.tcp_len);
        sent.out_of_order += found(flag::OUT_OF_ORDER);
        sent.lost_segments += found(flag::LOST_SEGMENT);
        sent.duplicate_acks += found(flag::DUPLICATE_ACK);
        self.window(dir, view);
        if view.layers & layer::ZERO_WINDOW_END != 0 {
            // A reset ends the stall of whichever side had one.
            let whose = if self.sides[dir & 1].closed { dir } else { 1 - dir };
            let stall = &mut self.sides[whose & 1].sent.stall_ns;
            *stall = stall.saturating_add(view.zero_window_ns);
        }
        for (side, stalled) in self.sides.iter_mut().zip(stalled) {
            side.sent.zero_windows += u32::from(stalled && !side.closed);
            side.closed = stalled;
        }
        self.handshake(view);
        self.closing(dir, view);
    }

    /// SYNs and resets carry no window of the connection's.
    fn window(&mut self, dir: usize, view: &PacketView) {
        if view.tcp_flags & (SYN | RST) != 0 {
            return;
        }
        let side = &mut self.sides[dir & 1];
        let window = view.tcp_window;
        side.sent.window = window;
        side.sent.min_window = if side.window_seen { side.sent.min_window.min(window) } else { window };
        side.sent.max_window = side.sent.max_window.max(window);
        side.window_seen = true;
    }

    fn handshake(&mut self, view: &PacketView) {
        let now = view.boot_ns;
        match view.tcp_flags & (SYN | ACK | RST) {
            SYN => {
                if self.syns == 0 {
                    self.first_syn = now;
                }
                self.last_syn = now;
                self.syns = self.syns.saturating_add(1);
            }
            flags if flags & SYN != 0 => {
                if self.synacks == 0 && self.syns > 0 {
                    self.synack_ns = Some(now.saturating_sub(self.last_syn));
                }
                self.last_synack = now;
                self.synacks = self.synacks.saturating_add(1);
            }
            ACK if view.from_client != 0 && self.synacks > 0 && self.ack_ns.is_none() => {
                self.ack_ns = Some(now.saturating_sub(self.last_synack));
            }
            _ => {}
        }
    }

    fn closing(&mut self, dir: usize, view: &PacketView) {
        let flags = view.tcp_flags;
        let [a, b] = &mut self.sides;
        let (own, other) = if dir == 0 { (a, b) } else { (b, a) };
        if flags & FIN != 0 {
            own.fin = true;
            own.fin_end = view.tcp_seq_raw.wrapping_add(view.tcp_len).wrapping_add(1);
        }
        if flags & ACK != 0 && other.fin {
            other.fin_acked |= view.tcp_ack_raw.wrapping_sub(other.fin_end) as i32 >= 0;
        }
        let both = own.fin_acked && other.fin_acked;
        // Who has reset a connection sends nothing more: it was somebody else, or it begins anew.
        let goes_on = flags & RST == 0 && (own.reset || flags & SYN != 0);
        own.reset = flags & RST != 0 || own.reset && !goes_on;
        if goes_on && matches!(self.close, Some(Close::Reset | Close::Refused)) {
            (self.close, self.due) = (None, 0);
        }
        if self.close.is_some() {
            return;
        }
        if flags & RST != 0 {
            let unanswered = self.syns > 0 && self.synacks == 0 && view.from_client == 0;
            self.close = Some(if unanswered { Close::Refused } else { Close::Reset });
        } else if both {
            self.close = Some(Close::Fin);
        }
        self.due = match self.close {
            None => 0,
            Some(Close::Fin) => view.boot_ns.saturating_add(LINGER_NS),
            Some(Close::Reset | Close::Refused) => view.boot_ns.saturating_add(LINGER_RESET_NS),
        };
    }

    fn state(&self) -> &'static str {
        match self.close {
            Some(Close::Fin) => "closed",
            Some(Close::Reset) => "reset",
            Some(Close::Refused) => "refused",
            None if self.sides.iter().any(|s| s.fin) => "closing",
            None if self.syns == 0 && self.synacks == 0 => "midstream",
            None if self.synacks == 0 => "syn",
            None if self.ack_ns.is_none() => "synack",
            None => "open",
        }
    }

    /// What the view says about it; `client` is the index of the client's direction, `lasting` the stalls that have not ended.
    fn describe(&self, client: usize, lasting: [u64; 2], view: &mut ConnectionView) {
        let [c, s] = [client & 1, (1 - client) & 1].map(|i| {
            let sent = self.sides[i].sent;
            SideView { stall_ns: sent.stall_ns.saturating_add(lasting[i]), ..sent }
        });
        view.both = SideView {
            packets: c.packets + s.packets,
            bytes: c.bytes + s.bytes,
            payload_bytes: c.payload_bytes + s.payload_bytes,
            retransmitted_bytes: c.retransmitted_bytes + s.retransmitted_bytes,
            stall_ns: c.stall_ns.saturating_add(s.stall_ns),
            retransmissions: c.retransmissions + s.retransmissions,
            out_of_order: c.out_of_order + s.out_of_order,
            lost_segments: c.lost_segments + s.lost_segments,
            duplicate_acks: c.duplicate_acks + s.duplicate_acks,
            zero_windows: c.zero_windows + s.zero_windows,
            ..SideView::default()
        };
        (view.client, view.server) = (c, s);
        (view.start, view.start_time, view.last) = (self.start, self.start_time, self.last);
        view.duration = self.last.saturating_sub(self.start);
        view.syn_ns = self.last_syn.saturating_sub(self.first_syn);
        view.synack_ns = self.synack_ns.unwrap_or(0);
        view.ack_ns = self.ack_ns.unwrap_or(0);
        (view.syns, view.synacks) = (self.syns, self.synacks);
        view.state = self.state().into();
    }

    /// What is known about it.
    fn known(&self, client: usize) -> u64 {
        let bit = |known: bool, bit: u64| if known { bit } else { 0 };
        known::FLOW_STATS
            | bit(self.synack_ns.is_some(), known::SYNACK)
            | bit(self.ack_ns.is_some(), known::HANDSHAKE_ACK)
            | bit(self.sides[client & 1].window_seen, known::CLIENT_WINDOW)
            | bit(self.sides[(1 - client) & 1].window_seen, known::SERVER_WINDOW)
    }
}

/// A connection that has ended and is to be presented.
pub(crate) struct Ended {
    endpoints: Endpoints,
    initial_rtt: u64,
    account: Box<Account>,
    lasting: [u64; 2],
    reason: &'static str,
}

impl Ended {
    /// Takes the account of a flow that is given up; None: it has none, or it was told.
    fn take(flow: &mut Flow, reason: &'static str) -> Option<Self> {
        let account = flow.account.take()?;
        let reason = match account.close {
            Some(Close::Fin) => "fin",
            Some(Close::Reset) => "reset",
            Some(Close::Refused) => "refused",
            None => reason,
        };
        Some(Self {
            endpoints: flow.endpoints(),
            initial_rtt: flow.initial_rtt,
            // As far as packets tell.
            lasting: lasting(flow, account.last),
            account,
            reason,
        })
    }

    /// A view without a packet: the endpoints, from the client to the server, and what the connection did. Returns the blocks that
    /// wanted a packet of it.
    pub(crate) fn present(&self, now: u64, view: &mut PacketView, more: &mut ConnectionView) -> u64 {
        *view = PacketView { time_ns: self.account.last_time, boot_ns: now, ..PacketView::default() };
        let client = self.endpoints.client;
        self.endpoints.write(view);
        tell_initial_rtt(self.initial_rtt, view);
        view.transport = 6;
        view.known |= known::FLOW_END | self.account.known(client);
        self.account.describe(client, self.lasting, more);
        more.end_reason = self.reason.into();
        self.account.blocks
    }
}

/// How long each side's window has been closed, where it still is.
fn lasting(flow: &Flow, now: u64) -> [u64; 2] {
    [0, 1].map(|i: usize| match flow.dirs[i].stalled_since {
        0 => 0,
        since => now.saturating_sub(since),
    })
}

/// Ends of connections on their way to who presents them.
#[derive(Default)]
pub(crate) struct Ends {
    /// Whether anybody asks.
    wanted: bool,
    /// (when it is told, flow, stream) of connections that were closed; and of those that were reset.
    closing: [VecDeque<(u64, u32, u32)>; 2],
    ended: VecDeque<Ended>,
    next_sweep: u64,
    /// Where the last look was, and how many places of the table are still to be seen in this one.
    swept: usize,
    to_sweep: usize,
    pub(crate) dropped: u64,
}

impl Ends {
    pub(crate) fn new(wanted: bool) -> Self {
        Self { wanted, ..Self::default() }
    }

    /// A flow's connection is over.
    pub(super) fn end(&mut self, flow: &mut Flow, reason: &'static str) {
        let Some(ended) = Ended::take(flow, reason).filter(|_| self.wanted) else { return };
        if self.ended.len() < MAX_ENDED {
            self.ended.push_back(ended);
        } else {
            self.dropped += 1;
        }
    }

    fn closing(&mut self, due: u64, by_fin: bool, (flow, stream): (u32, u32)) {
        self.closing[usize::from(!by_fin)].push_back((due, flow, stream));
    }

    /// A connection that is to be told by `now`: (flow, stream).
    fn due(&mut self, now: u64) -> Option<(u32, u32)> {
        let ripe = |queue: &VecDeque<(u64, u32, u32)>| {
            queue.front().is_some_and(|&(due, ..)| due <= now || queue.len() > MAX_CLOSING)
        };
        let queue = self.closing.iter_mut().find(|queue| ripe(queue))?;
        queue.pop_front().map(|(_, flow, stream)| (flow, stream))
    }

    pub(crate) fn next(&mut self) -> Option<Ended> {
        self.ended.pop_front()
    }
}

impl super::Flows {
    /// Takes a packet that was analysed into its connection's account, and says what that is now. `blocks` want the packet.
    pub(crate) fn account(
        &mut self,
        place: super::Place,
        blocks: u64,
        view: &mut PacketView,
        more: &mut ConnectionView,
    ) {
        let flow = self.table.get_mut(place.flow);
        if flow.told && view.tcp_flags & (SYN | RST) != SYN {
            return;
        }
        flow.told = false;
        let stalled = [0, 1].map(|i: usize| flow.dirs[i].stalled_since != 0);
        let mut account = flow.account.take().unwrap_or_else(|| Box::new(Account::new(view)));
        let was = account.due;
        account.packet(place.dir, view, stalled);
        account.blocks |= blocks;
        let client = flow.client as usize;
        account.describe(client, lasting(flow, view.boot_ns), more);
        view.known |= account.known(client);
        if was == 0 && account.due != 0 && self.ends.wanted {
            self.ends.closing(account.due, account.close == Some(Close::Fin), (place.flow, flow.stream));
        }
        flow.account = Some(account);
    }

    /// Ends what has ended by `now`.
    pub(crate) fn end_due(&mut self, now: u64, live: bool) {
        if !self.ends.wanted {
            return;
        }
        for _ in 0..AT_ONCE {
            let Some((index, stream)) = self.ends.due(now) else { break };
            let early = self.ends.closing.iter().any(|queue| queue.len() >= MAX_CLOSING);
            let flow = self.table.get_mut(index);
            // Its place may have another one meanwhile, which has told it; or it went on after all.
            let over = flow.account.as_ref().is_some_and(|c| c.due != 0 && (c.due <= now || early));
            if flow.stream == stream && over {
                flow.told = true;
                self.ends.end(flow, "");
            }
        }
        if live && now >= self.ends.next_sweep {
            self.ends.next_sweep = now.saturating_add(SWEEP_NS);
            self.ends.to_sweep = self.table.len().div_ceil(SWEEPS);
        }
        if live {
            self.sweep(now);
        }
    }

    /// Looks through some of the table for connections that are idle. Where more end than can be told at once, the next call goes on.
    fn sweep(&mut self, now: u64) {
        let len = self.table.len();
        while self.ends.to_sweep > 0 && self.ends.ended.len() < MAX_ENDED {
            self.ends.to_sweep -= 1;
            self.ends.swept = (self.ends.swept + 1) % len;
            let flow = self.table.get_mut(self.ends.swept as u32);
            if flow.account.as_ref().is_some_and(|c| now.saturating_sub(c.last) >= IDLE_NS) {
                self.ends.end(flow, "idle");
            }
        }
    }

    /// At the end of all packets: the flow at this place in the table.
    pub(crate) fn end_last(&mut self, index: usize) {
        let flow = self.table.get_mut(index as u32);
        self.ends.end(flow, "capture");
    }
}

#[cfg(test)]
mod tests;

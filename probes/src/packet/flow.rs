//! TCP conversations: who talks to whom, relative numbers, handshakes, stalls.
//!
//! One [`Flow`] per conversation in a bounded table. Nothing is allocated per packet, but for one that mends a loss.

mod account;
mod endpoints;
mod lasting;
mod state;
mod table;

use account::Account;
pub(crate) use account::Ends;
pub(crate) use lasting::Left;
pub(crate) use state::{Direction, Flow};
pub(crate) use table::{FlowKey, FlowTable, innermost};
pub use table::{bytes_key, conn_key};

use super::analysis::{self, Segment, Segments, Verdict};
use super::dissect::{ACK, FIN, RST, SYN};
use super::ranges::{self, Ranges};
use weftrace_artifact::packet::{PacketView, RangesView, analysis as flag, known, layer, marks, needs};

/// Where a packet belongs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) flow: u32,
    /// Index of the sender's direction.
    pub(crate) dir: usize,
    /// The slot's former conversation ended with this packet: a SYN opened a new one between the same endpoints.
    pub(crate) reopened: bool,
    /// No packet of the conversation was seen before.
    pub(crate) first: bool,
}

/// All conversations and what they share.
pub(crate) struct Flows {
    pub(crate) table: FlowTable,
    segments: Segments,
    streams: u32,
    pub(crate) ends: Ends,
}

impl Flows {
    pub(crate) fn new(max_flows: usize, max_segments: usize) -> Self {
        Self {
            table: FlowTable::new(max_flows),
            segments: Segments::new(max_segments),
            streams: 0,
            ends: Ends::default(),
        }
    }

    /// Segments that were not followed because the list was full.
    pub(crate) fn segments_dropped(&self) -> u64 {
        self.segments.dropped
    }

    /// The flow between the endpoints in `view`, the direction, and whether it is new.
    fn find(&mut self, view: &PacketView, live: bool, evict: &mut dyn FnMut(&mut Flow)) -> (u32, usize, bool) {
        let (key, dir) = FlowKey::of(view, live);
        let (segments, ends) = (&mut self.segments, &mut self.ends);
        let (index, is_new) = self.table.find_or_insert(&key, live.then_some(view.boot_ns), &mut |flow| {
            segments.clear(&mut flow.dirs);
            ends.end(flow, "evicted");
            evict(flow);
        });
        (index, dir, is_new)
    }

    /// Numbers the conversation of a segment that is not on the wire here: an ICMP error quotes it.
    pub(crate) fn quote(&mut self, view: &PacketView, live: bool, evict: &mut dyn FnMut(&mut Flow)) {
        let (index, dir, is_new) = self.find(view, live, evict);
        if is_new {
            let flow = self.table.get_mut(index);
            flow.open(self.streams, dir, view);
            flow.only_quoted = true;
            self.streams = self.streams.wrapping_add(1);
        }
    }

    /// Finds or opens the conversation of the TCP packet in `view`. `evict` is called for a flow that had to make room.
    pub(crate) fn place(&mut self, view: &PacketView, live: bool, evict: &mut dyn FnMut(&mut Flow)) -> Place {
        let (index, dir, is_new) = self.find(view, live, evict);
        let flow = self.table.get_mut(index);
        let (mut reopened, mut first) = (false, true);
        if is_new {
            flow.open(self.streams, dir, view);
            self.streams = self.streams.wrapping_add(1);
        } else if std::mem::take(&mut flow.only_quoted) {
            flow.open(flow.stream, dir, view);
        } else if view.tcp_flags & (SYN | ACK) == SYN && flow.dirs[dir].is_another_syn(view.tcp_seq_raw) {
            reopened = true;
        } else {
            first = false;
        }
        if !reopened && flow.touch(dir, view) && live {
            self.table.closes(index, view.boot_ns);
        }
        Place { flow: index, dir, reopened, first }
    }

    /// A SYN opened a new conversation between known endpoints: starts it in the same slot. What is left of the former one.
    pub(crate) fn reopen(&mut self, place: Place, view: &PacketView) -> Option<Box<Left>> {
        let flow = self.table.get_mut(place.flow);
        self.ends.end(flow, "reused");
        let left = Left::take(flow, &mut self.segments, view.boot_ns);
        self.segments.clear(&mut flow.dirs);
        flow.reset();
        flow.open(self.streams, place.dir, view);
        self.streams = self.streams.wrapping_add(1);
        left
    }

    /// No more is read from the flow: what is left of its conversation.
    pub(crate) fn leave(&mut self, index: u32, now: u64) -> Option<Box<Left>> {
        Left::take(self.table.get_mut(index), &mut self.segments, now)
    }

    /// Names the flow of a packet that cannot be analysed.
    pub(crate) fn mention(&mut self, place: Place, view: &mut PacketView) {
        let flow = self.table.get_mut(place.flow);
        if view.tcp_flags & (SYN | ACK) == SYN {
            flow.count_syn();
        }
        flow.describe(place.dir, view);
        mark_first(place, view);
    }

    /// Analyses the packet and fills what the view says about its flow.
    pub(crate) fn follow(&mut self, place: Place, needs: u32, view: &mut PacketView) {
        let flow = self.table.get_mut(place.flow);
        let mut found = if place.reopened { flag::REUSED_PORTS } else { 0 };
        found |= flow.relate(place.dir, view);
        if needs & needs::ANALYSIS != 0 {
            let segments = (needs & needs::SEGMENTS != 0).then_some(&mut self.segments);
            analyse(flow, place.dir, found, segments, view);
        }
        let (fwd, rev) = flow.pair(place.dir);
        fwd.after(rev, view);
        flow.time_handshake(place.dir, view);
        flow.time_stall(place.dir, view);
        flow.describe(place.dir, view);
        mark_first(place, view);
    }
}

fn mark_first(place: Place, view: &mut PacketView) {
    if place.first {
        view.marks |= marks::FIRST;
    }
}

fn analyse(flow: &mut Flow, dir: usize, found: u32, segments: Option<&mut Segments>, view: &mut PacketView) {
    let segment = Segment {
        seq: view.tcp_seq_raw,
        ack: view.tcp_ack_raw,
        len: view.tcp_len,
        window: view.tcp_window_raw,
        flags: view.tcp_flags,
        time: view.time_ns,
        stamps: (view.known & known::TCP_TSECR != 0).then_some((view.tcp_tsval, view.tcp_tsecr)),
    };
    let irtt = flow.initial_rtt;
    flow.note_signals(dir, view);
    let (fwd, rev) = flow.pair(dir);
    let verdict = analysis::analyse(fwd, rev, irtt, &segment, found, segments);
    view.analysis = verdict.flags;
    view.known |= known::ANALYSIS;
    if verdict.flags & flag::DUPLICATE_ACK != 0 {
        view.dup_ack_num = verdict.dup_ack_num;
        view.layers |= layer::DUP_ACK;
    }
    // tshark shows neither where it is 0.
    if let Some(rtt) = verdict.ack_rtt.filter(|&rtt| rtt != 0) {
        view.ack_rtt_ns = rtt;
        view.layers |= layer::ACK_RTT;
    }
    if let Some(rto) = verdict.rto.filter(|&rto| rto != 0) {
        view.rto_ns = rto;
        view.layers |= layer::RTO;
    }
    // A receiver that reports a duplicate had the bytes, and nothing waited for the copy.
    if let Some((since, until)) = verdict.repaired.filter(|_| view.dsack == 0) {
        view.repair_start = view.boot_ns.saturating_sub(view.time_ns.saturating_sub(since));
        view.repair_ns = until.saturating_sub(since);
        view.repair = mended(&verdict, if verdict.mended_own { fwd } else { rev });
    }
    if let Some(bytes) = verdict.bytes_in_flight {
        view.bytes_in_flight = bytes;
        view.layers |= layer::BYTES_IN_FLIGHT;
    }
}

/// Lost bytes by their places, of the direction that has sent them.
fn mended(verdict: &Verdict, sender: &Direction) -> RangesView {
    let (mended, none) = (places(&verdict.mended, sender), Ranges::default());
    if verdict.mended_own { ranges::view(&none, &mended) } else { ranges::view(&mended, &none) }
}

/// Segments of a direction by their places.
fn places(segments: &[(u32, u32)], sender: &Direction) -> Ranges {
    let place = |&(seq, end): &(u32, u32)| (sender.nearest(seq), end.wrapping_sub(seq));
    let mut places: Vec<_> = segments.iter().map(place).collect();
    // Which are merged where there are too many is not to depend on how they were listed.
    places.sort_unstable();
    let mut all = Ranges::default();
    for (from, len) in places {
        all.add(from, from + u64::from(len), false);
    }
    all
}

/// Neither SYN nor FIN nor RST.
pub(crate) const fn is_plain(flags: u32) -> bool {
    flags & (SYN | FIN | RST) == 0
}

#[cfg(test)]
#[path = "flow/tests.rs"]
mod tests;

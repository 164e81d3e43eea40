//! What is left of a conversation where none of its packets comes any more: bytes that were sent again and nobody acknowledges and closed windows, which
//! last; and what is spoken.

use super::endpoints::Endpoints;
use super::{Direction, Flow, places};
use crate::packet::analysis::Segments;
use crate::packet::ranges;
use crate::packet::stream::Connection;
use weftrace_artifact::packet::{PacketView, RangesView, layer, marks};

/// It, as one side sees it.
pub(crate) struct Lasting {
    /// Boot times: since when, 0: nothing does; until when.
    missing: u64,
    closed: u64,
    until: u64,
    bytes: RangesView,
    /// The window is the other side's.
    of_peer: bool,
}

impl Lasting {
    /// What lasts at `now`, as the sender of direction `dir` sees it. It is told once.
    fn take(flow: &mut Flow, dir: usize, segments: &mut Segments, now: u64) -> Option<Self> {
        // Of one that is closed nothing lasts longer than its packets.
        let until = if flow.is_over() { flow.touched } else { now };
        // Frames have another clock than boot time.
        let (boot, frame) = (flow.touched, flow.dirs.iter().map(|dir| dir.last_time).max().unwrap_or(0));
        let (own, peer) = flow.pair(dir);
        let sides = [(&*own, &*peer), (&*peer, &*own)];
        let [(mine, from), (theirs, since)] = sides.map(|(sender, receiver)| missing(sender, receiver, segments));
        let missing = match (from, since) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (one, other) => one.or(other),
        };
        let closed = [std::mem::take(&mut own.stalled_since), std::mem::take(&mut peer.stalled_since)];
        let lasting = Self {
            missing: missing.map_or(0, |since| boot.saturating_sub(frame.saturating_sub(since))),
            closed: closed.into_iter().filter(|since| *since != 0).min().unwrap_or(0),
            until,
            bytes: ranges::view(&theirs, &mine),
            of_peer: closed[0] == 0 || closed[1] != 0 && closed[1] < closed[0],
        };
        (lasting.missing != 0 || lasting.closed != 0).then_some(lasting)
    }

    pub(crate) fn write(&self, view: &mut PacketView) {
        if self.missing != 0 {
            (view.repair_start, view.repair_ns) = (self.missing, self.until.saturating_sub(self.missing));
            view.repair = self.bytes;
        }
        if self.closed != 0 {
            (view.zero_window_start, view.zero_window_ns) = (self.closed, self.until.saturating_sub(self.closed));
            view.marks |= if self.of_peer { marks::PEER_STALLED } else { 0 };
            view.layers |= layer::ZERO_WINDOW_END;
        }
    }
}

/// Bytes of a side that were sent again and aren't acknowledged, and the frame time since when. Of a receiver that was never seen nobody knows.
fn missing(sender: &Direction, receiver: &Direction, segments: &mut Segments) -> (ranges::Ranges, Option<u64>) {
    let lost = segments.under_repair(sender);
    let repaired = lost.repaired.filter(|_| receiver.seen);
    let bytes = if repaired.is_some() { places(&lost.mended, sender) } else { ranges::Ranges::default() };
    (bytes, repaired.map(|(since, _)| since))
}

/// Live, nothing more comes of a connection that is being closed after so long without a packet: as long as Linux waits for the other side of one that no
/// program has any more. And of others, if what was sent is not acknowledged: its sender has long given up.
const CLOSING_NS: u64 = 60_000_000_000;
const SILENT_NS: u64 = 300_000_000_000;

impl Flow {
    /// Whether something is read from it, of which nothing more comes. One whose sides have all that was sent may be silent for as long as it likes.
    pub(crate) fn is_given_up(&self, now: u64) -> bool {
        let silent = now.saturating_sub(self.touched);
        if self.app.is_none() || silent < CLOSING_NS {
            return false;
        }
        let closing = [0, 1].map(|dir| self.is_done(dir));
        let unheard = [0, 1].map(|dir: usize| {
            let (sender, receiver) = (&self.dirs[dir], &self.dirs[1 - dir]);
            // A FIN counts as a byte.
            receiver.seen && sender.ahead(receiver.acked) < i64::from(closing[dir])
        });
        let anything = |list: [bool; 2]| list.contains(&true);
        let lost_fin = closing[0] && unheard[0] || closing[1] && unheard[1];
        lost_fin || silent >= SILENT_NS && (anything(closing) || anything(unheard))
    }
}

/// What is left to be told of a conversation of which no packet is waited for any more.
pub(crate) struct Left {
    endpoints: Endpoints,
    /// What lasts comes first: it explains what ends.
    pub(crate) lasting: Option<Lasting>,
    /// What is spoken.
    pub(crate) app: Option<Box<Connection>>,
    /// Who wanted a packet of it.
    pub(crate) wanted: u64,
}

impl Left {
    /// None: nothing is, or it was told.
    pub(super) fn take(flow: &mut Flow, segments: &mut Segments, now: u64) -> Option<Box<Self>> {
        let client = flow.client as usize;
        let (lasting, app) = (Lasting::take(flow, client, segments, now), flow.app.take());
        if lasting.is_none() && app.is_none() {
            return None;
        }
        Some(Box::new(Self { endpoints: flow.endpoints(), lasting, app, wanted: flow.wanted }))
    }

    /// A view that has the conversation's endpoints and no packet.
    pub(crate) fn begin(&self, now: u64, view: &mut PacketView) {
        *view = PacketView { time_ns: now, boot_ns: now, ..PacketView::default() };
        self.endpoints.write(view);
    }
}

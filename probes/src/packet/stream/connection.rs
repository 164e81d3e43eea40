//! A connection: both directions in order, and what is spoken on it.

use super::assembler::{Assembler, Span};
use super::{Context, Dialogue, Facts, Shared};

/// A TCP packet as reassembly needs it.
pub(crate) struct TcpPacket<'a> {
    pub(crate) dir: usize,
    pub(crate) seq: u32,
    pub(crate) ack: Option<u32>,
    pub(crate) payload: &'a [u8],
    pub(crate) len: u32,
    pub(crate) time: u64,
    pub(crate) fin: bool,
    pub(crate) reset: bool,
    /// Sequence number of the first byte of either direction.
    pub(crate) origin: [u32; 2],
    /// The sender's first byte must be at `origin`: its SYN was seen, and no data since.
    pub(crate) from_origin: bool,
    /// It is a fast retransmission.
    pub(crate) fast: bool,
    pub(crate) facts: Facts,
}

/// One connection of the flow table.
pub(crate) struct Connection {
    dirs: [Assembler; 2],
    dialogue: Dialogue,
    facts: Facts,
}

impl Default for Connection {
    fn default() -> Self {
        let dirs = [Assembler::new(0), Assembler::new(1)];
        Self { dirs, dialogue: Dialogue::default(), facts: Facts::default() }
    }
}

impl Connection {
    /// Follows the connection by one packet. True: it is over.
    pub(crate) fn packet(&mut self, packet: &TcpPacket<'_>, shared: &mut Shared) -> bool {
        let dir = packet.dir & 1;
        let other = 1 - dir;
        self.facts = packet.facts;
        let acked = [self.dirs[0].acked, self.dirs[1].acked];
        let mut cx = Context { shared, now: packet.time, acked, facts: packet.facts };
        let Self { dirs, dialogue, .. } = self;
        if let Some(ack) = packet.ack
            && dirs[other].is_started()
        {
            let acked = dirs[other].offset(ack, packet.origin[other]).max(0) as u64;
            dirs[other].acknowledged(acked, dialogue, &mut cx);
            cx.acked[other] = dirs[other].acked;
            if cx.shared.parts.owes() {
                dialogue.acknowledged(other, dirs[other].acked, &mut cx);
            }
        }
        let stream = &mut dirs[dir];
        let at = stream.offset(packet.seq, packet.origin[dir]);
        if packet.len > 0 || packet.fin {
            let from = if packet.from_origin { 0 } else { at.max(0) as u64 };
            if from > 0 && !stream.is_started() {
                dialogue.begins_late(dir);
            }
            stream.start_at(from);
        }
        // Bytes before the stream's start (a keep-alive's) are old.
        let before = at.min(0).unsigned_abs().min(packet.len as u64);
        let len = packet.len as u64 - before;
        let bytes = packet.payload.get(before as usize..).unwrap_or_default();
        let at = at.max(0) as u64;
        if len > 0 && cx.shared.parts.owes() {
            dialogue.sent(dir, at, at + len, packet.time);
        }
        let span = Span { bytes, len, at, time: packet.time, fresh: before == 0 };
        let old = stream.receive(span, !packet.facts.answered, dialogue, &mut cx);
        if packet.fin {
            stream.finish_at(at + len);
        }
        let acked = stream.acked;
        stream.acknowledged(acked, dialogue, &mut cx);
        if packet.reset {
            for stream in dirs.iter_mut() {
                stream.end(false, dialogue, &mut cx);
            }
        }
        let ended = [dirs[0].ended, dirs[1].ended];
        if ended != [false; 2] || !packet.facts.answered {
            dialogue.settle(ended, &mut cx);
        }
        dialogue.describe(cx.shared);
        let over = ended == [true; 2];
        if old && packet.fast && !over {
            dialogue.repeated(dir, packet.payload, &mut cx);
        }
        over
    }

    /// The direction that asks, once what is spoken has told.
    pub(crate) fn client(&self) -> Option<usize> {
        self.dialogue.client()
    }

    /// The flow goes: what is open is presented (as ended now) or, without a listener, counted.
    pub(crate) fn close(&mut self, shared: &mut Shared, present_at: Option<u64>) {
        if let Some(now) = present_at {
            let acked = [self.dirs[0].acked, self.dirs[1].acked];
            let mut cx = Context { shared, now, acked, facts: self.facts };
            for stream in &mut self.dirs {
                stream.end(false, &mut self.dialogue, &mut cx);
            }
            self.dialogue.settle([true; 2], &mut cx);
            self.dialogue.describe(cx.shared);
        }
        self.dialogue.abandon(shared);
        for stream in &mut self.dirs {
            stream.release(shared);
        }
    }
}

//! How a socket's streams end: what was not seen of them until then, and what that means for what is open.

use super::{GOT, SENT, Socket};
use crate::packet::stream::Shared;

impl Socket {
    /// Both directions have come to these sequence numbers: what no call was seen for is missing where something still waits. (An end of data is one
    /// byte more; and what is between two messages may have been passed over.) How often it is.
    pub(in crate::packet::sockets) fn reached(
        &mut self,
        to: Option<[u32; 2]>,
        clear: Option<[u64; 2]>,
        now: u64,
        shared: &mut Shared,
    ) -> u64 {
        let mut gaps = self.sent(None, now, shared);
        if self.dialogue.rests() {
            return gaps;
        }
        if self.within {
            return gaps + clear.map_or(0, |clear| self.reached_within(to, clear, now, shared));
        }
        for dir in [GOT, SENT] {
            let to = to.map_or(0, |to| self.offset(dir, to[dir])).max(self.dirs[dir].told);
            let stream = &mut self.dirs[dir];
            if !std::mem::replace(&mut stream.started, true) {
                stream.next = stream.before;
            }
            if !stream.ended && to > stream.next + 1 {
                self.miss(dir, to, true, now, shared);
                gaps += 1;
            }
        }
        gaps
    }

    /// The same of what is in clear within TLS: it lies somewhere behind what was seen.
    fn reached_within(&mut self, to: Option<[u32; 2]>, clear: [u64; 2], now: u64, shared: &mut Shared) -> u64 {
        let mut gaps = 0;
        for dir in [GOT, SENT] {
            let to = to.map_or(0, |to| self.offset(dir, to[dir]));
            let stream = &mut self.dirs[dir];
            stream.clear = stream.clear.max(1);
            if !stream.ended && clear[dir] > stream.clear {
                stream.started = true;
                let place = (stream.next, to.max(stream.next.max(stream.told) + 1));
                self.miss_within(dir, clear[dir], place, true, now, shared);
                gaps += 1;
            }
        }
        gaps
    }

    /// Its end was not told: what both directions still carried isn't known. How often that is.
    pub(in crate::packet::sockets) fn breaks_off(&mut self, now: u64, shared: &mut Shared) -> u64 {
        let gaps = self.sent(None, now, shared);
        if self.dialogue.rests() {
            return gaps;
        }
        for dir in [GOT, SENT] {
            let stream = &mut self.dirs[dir];
            if stream.ended {
                continue;
            }
            if !std::mem::replace(&mut stream.started, true) {
                stream.next = stream.before;
            }
            let place = (stream.next, stream.next.max(stream.told) + 1);
            if self.within {
                stream.clear = stream.clear.max(1);
                let clear = stream.clear + 1;
                self.miss_within(dir, clear, place, true, now, shared);
            } else {
                self.miss(dir, place.1, true, now, shared);
            }
        }
        gaps + 1
    }

    /// This side has closed its stream.
    pub(in crate::packet::sockets) fn sends_no_more(&mut self, now: u64, shared: &mut Shared) -> u64 {
        let gaps = self.sent(None, now, shared);
        if !std::mem::replace(&mut self.dirs[SENT].ended, true) {
            let (dialogue, mut cx) = self.context(shared, now);
            dialogue.end(SENT, true, &mut cx);
            self.settle(now, shared);
        }
        gaps
    }

    /// The socket goes: what is open is presented as ended now.
    pub(in crate::packet::sockets) fn close(&mut self, now: u64, shared: &mut Shared) {
        self.sent(None, now, shared);
        for dir in [GOT, SENT] {
            if !std::mem::replace(&mut self.dirs[dir].ended, true) {
                let (dialogue, mut cx) = self.context(shared, now);
                dialogue.end(dir, false, &mut cx);
            }
        }
        self.settle(now, shared);
        self.abandon(shared);
    }
}

//! What sockets carry, as system calls moved it: exchanges of HTTP with the fields that packets have.
//!
//! The kernel's programs tell of each call on a socket that speaks something like HTTP: who made it, when, which bytes of the stream it
//! moved, and the first of them. Both directions are in order already, so there is nothing to put together; what was not copied is a
//! hole whose length is known, and the protocols of [`super::stream`] pass over it as they do over packets that were cut short.

mod ahead;
mod passing;
mod socket;
mod turns;
mod view;

pub use socket::{Call, Open, Task};
pub use turns::{IDLE_NS as TURN_IDLE_NS, TurnCall, Turns};

use super::http2::Http2Counters;
use super::identity;
use super::pipeline::Options;
use super::stream::Shared;
use passing::Passed;
use socket::Socket;
use std::collections::{HashMap, HashSet, VecDeque};
use weftrace_artifact::{
    join::Bound,
    packet::{MoreRef, MoreView, PacketView, layer, needs},
};

/// What was seen, and what was lost on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketCounters {
    pub calls: u64,
    /// Bytes of a stream that no system call was seen for (io_uring, other ways in and out, records that were lost): times, not bytes.
    pub gaps: u64,
    /// Calls on sockets that were not told of, or had to make room.
    pub unknown: u64,
    pub evicted: u64,
    /// Changes of the thread that moves a socket's bytes, of which there were too many to keep.
    pub owners_dropped: u64,
    /// Operations of io_uring on TCP sockets, and how many sockets (of the last few thousand).
    pub unseen: u64,
    pub unseen_sockets: u64,
    /// Messages within TLS that no socket was known for.
    pub unbound: u64,
    pub http_malformed: u64,
    pub http_dropped: u64,
    pub http_cut: u64,
    pub http2: Http2Counters,
    pub parts_dropped: u64,
}

/// All sockets that speak.
pub struct Sockets {
    table: HashMap<i64, Box<Socket>>,
    /// Their keys, oldest first; those of sockets that are gone too, until their turn comes.
    order: VecDeque<(i64, u64)>,
    most: usize,
    /// Entries of all sockets that say which thread moved which bytes.
    owners: usize,
    most_owners: usize,
    /// Bytes of all sockets that are about to be sent.
    ahead: usize,
    serial: u64,
    shared: Shared,
    counters: SocketCounters,
    more: Box<MoreView>,
    needs: u32,
    seed: u16,
    /// Whose exchanges are being presented.
    current: i64,
    /// A socket that has ended, while the last of it is presented.
    ended: Option<Box<Socket>>,
    last_boot: u64,
    closing: Vec<i64>,
    /// Sockets that io_uring uses.
    unseen: HashSet<(i64, u64)>,
    /// Of exchanges that need not be presented.
    bound: Option<Bound>,
}

/// Sockets that are followed at one time.
const MOST: usize = 1 << 16;
/// Changes of the thread that moves their bytes, of all together.
const MOST_OWNERS: usize = 1 << 18;
/// Bytes of calls that have begun, of all together.
const MOST_AHEAD: usize = 32 << 20;

/// An exchange at a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// This process answers it; else it sent the request.
    pub served: bool,
    /// The server's port.
    pub port: u16,
}

impl Sockets {
    /// `needs`: the union of [`needs`] bits of all fields used.
    pub fn new(needs: u32, options: &Options) -> Self {
        // Exchanges are what blocks run for, whatever they read.
        let read = needs | needs::HTTP | needs::HTTP_MORE;
        Self {
            table: HashMap::new(),
            order: VecDeque::new(),
            most: MOST.min(options.max_flows),
            owners: 0,
            most_owners: MOST_OWNERS,
            ahead: 0,
            serial: 0,
            shared: Shared::new(
                read & !(needs::TLS | needs::HTTP_MESSAGES),
                options.stream,
                options.http,
                options.http2,
            ),
            counters: SocketCounters::default(),
            more: Box::default(),
            needs,
            seed: options.community_id_seed,
            current: 0,
            ended: None,
            last_boot: 0,
            closing: Vec::new(),
            unseen: HashSet::new(),
            bound: None,
        }
    }

    pub fn counters(&self) -> SocketCounters {
        SocketCounters {
            http_malformed: self.shared.http.malformed,
            http_dropped: self.shared.http.dropped,
            http_cut: self.shared.http.cut,
            http2: self.shared.http2,
            parts_dropped: self.shared.parts.dropped,
            ..self.counters
        }
    }

    /// Sockets in the table.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// A socket speaks, or is told again. What [`Self::next`] gives is of a socket whose place it takes.
    pub fn open(&mut self, open: &Open) {
        self.begin(open.time);
        if let Some(known) = self.table.get(&open.key) {
            if known.is_same(open) {
                return;
            }
            self.end_was_lost(open.key, open.time);
        }
        while self.table.len() >= self.most {
            let Some((key, serial)) = self.order.pop_front() else { break };
            if self.table.get(&key).is_some_and(|socket| socket.serial == serial)
                && let Some(mut old) = self.table.remove(&key)
            {
                self.counters.evicted += 1;
                self.owners -= old.owners();
                self.ahead -= old.ahead.len();
                self.counters.gaps += old.read_held(&mut self.shared);
                old.abandon(&mut self.shared);
            }
        }
        self.serial += 1;
        self.order.push_back((open.key, self.serial));
        self.table.insert(open.key, Box::new(Socket::new(open, self.serial)));
    }

    /// Which exchanges served here are of interest at all; None: all of them. Others that are plain enough are passed over.
    pub fn pass_over(&mut self, bound: Option<Bound>) {
        self.bound = bound;
    }

    /// A system call moved bytes. Then [`Self::next`] gives the exchanges that it ended; or it ended this one, which is of no interest.
    pub fn call(&mut self, call: &Call<'_>) -> Option<Exchange> {
        self.begin(call.end);
        self.counters.calls += u64::from(call.last);
        let bound = self.bound;
        let mut passed = None;
        let known = self.follow(call.key, |socket, shared| match socket.passes(call, bound) {
            Passed::Not => socket.read_held(shared) + socket.call(call, shared),
            Passed::Part => 0,
            Passed::Exchange => {
                passed = Some(Exchange { served: true, port: socket.open.local_port });
                0
            }
        });
        self.counters.unknown += u64::from(known.is_none());
        if self.ahead > MOST_AHEAD {
            self.follow(call.key, |socket, shared| socket.sent(None, call.end, shared));
        }
        passed
    }

    /// All ends at this time: what is open has lasted so long.
    pub fn lasts_to(&mut self, time: u64) {
        self.begin(time);
    }

    /// Exchanges were passed over in the kernel: these sequence numbers, got and sent, are where the next bytes lie. `bytes`: how much was got and sent, or a little more, if that is
    /// told.
    pub fn past(&mut self, key: i64, to: [u32; 2], bytes: Option<[u64; 2]>) {
        self.begin(self.last_boot);
        self.follow(key, |socket, shared| {
            let gaps = socket.read_held(shared);
            socket.past(to, bytes);
            gaps
        });
    }

    /// Does something with a socket that gives how often bytes were not seen, and counts what it keeps. None: there is no such socket.
    fn follow(&mut self, key: i64, change: impl FnOnce(&mut Socket, &mut Shared) -> u64) -> Option<()> {
        self.current = key;
        let socket = self.table.get_mut(&key)?;
        let (owners, ahead) = (socket.owners(), socket.ahead.len());
        self.counters.gaps += change(socket, &mut self.shared);
        self.ahead = (self.ahead + socket.ahead.len()).saturating_sub(ahead);
        self.owners = (self.owners + socket.owners()).saturating_sub(owners);
        if self.owners > self.most_owners {
            let dropped = socket.forget_owners();
            self.owners -= dropped;
            self.counters.owners_dropped += dropped as u64;
        }
        Some(())
    }

    /// A call that was told before it was made has ended: it moved so many bytes (more than there can be: it isn't known how many), up to this sequence number of what
    /// carries them.
    pub fn wrote(&mut self, key: i64, to: u32, moved: i64, time: u64) {
        self.begin(time);
        self.follow(key, |socket, shared| {
            if moved > 0 {
                return socket.wrote(to, moved as u64, time, shared);
            }
            socket.not_sent();
            0
        });
    }

    /// This side sends no more; `gone`: the socket is no more. Both directions, got and sent, have come to these sequence numbers, and so far in clear within TLS (None: it
    /// isn't known).
    pub fn end(&mut self, key: i64, gone: bool, to: Option<[u32; 2]>, clear: Option<[u64; 2]>, time: u64) {
        self.begin(time);
        self.follow(key, |socket, shared| {
            let gaps = socket.read_held(shared) + socket.reached(to, clear, time, shared);
            if gone { gaps } else { gaps + socket.sends_no_more(time, shared) }
        });
        if gone {
            self.close(key, time);
        }
    }

    /// Whether what is told of this socket is of the connection that it is known to have: `origin` is where the other side's stream begins. If not, that one's end and the new one's begin
    /// were lost: it has ended, and what follows isn't followed.
    pub fn is_of(&mut self, key: i64, origin: u32, time: u64) -> bool {
        let is_of = self.table.get(&key).is_none_or(|socket| socket.begins_at(origin));
        if !is_of {
            self.begin(time);
            self.counters.unknown += 1;
            self.end_was_lost(key, time);
        }
        is_of
    }

    /// What else it carried isn't known.
    fn end_was_lost(&mut self, key: i64, time: u64) {
        self.follow(key, |socket, shared| socket.read_held(shared) + socket.breaks_off(time, shared));
        self.close(key, time);
    }

    /// Bytes of a socket were moved by something that no system call shows. `opened` as in [`Open`]: a key is another's after a while.
    pub fn unseen(&mut self, key: i64, opened: u64) {
        self.begin(self.last_boot);
        self.counters.unseen += 1;
        if self.unseen.len() >= MOST {
            self.unseen.clear();
        }
        self.counters.unseen_sockets += u64::from(self.unseen.insert((key, opened)));
    }

    /// A TLS library took or gave a message in clear, and its socket isn't known.
    pub fn unbound(&mut self) {
        self.begin(self.last_boot);
        self.counters.unbound += 1;
    }

    fn begin(&mut self, time: u64) {
        self.shared.next_packet();
        self.ended = None;
        self.last_boot = self.last_boot.max(time);
    }

    fn close(&mut self, key: i64, time: u64) {
        let Some(mut socket) = self.table.remove(&key) else { return };
        self.owners -= socket.owners();
        self.ahead -= socket.ahead.len();
        self.counters.gaps += socket.read_held(&mut self.shared);
        socket.close(time, &mut self.shared);
        self.current = key;
        self.ended = Some(socket);
        if self.order.len() > 2 * self.table.len() + 64 {
            let table = &self.table;
            self.order.retain(|(key, serial)| table.get(key).is_some_and(|socket| socket.serial == *serial));
        }
    }

    /// Puts the next exchange into the view. Strings in it stay valid until the next call of another method.
    pub fn next(&mut self, view: &mut PacketView) -> Option<Exchange> {
        loop {
            *view = PacketView::default();
            self.shared.parts.next(view)?;
            if view.layers & layer::HTTP_EXCHANGE == 0 {
                continue;
            }
            let socket = self.ended.as_deref().or_else(|| self.table.get(&self.current).map(|socket| &**socket))?;
            let exchange = socket.describe(view, &mut self.more);
            identity::identify(self.needs, self.seed, view, &mut self.more);
            view.more = MoreRef(&raw const *self.more);
            return Some(exchange);
        }
    }

    /// At the end of everything: ends the next of the sockets that are left; [`Self::next`] gives what was open on it. False: there are no
    /// more.
    pub fn finish_one(&mut self) -> bool {
        if self.closing.is_empty() {
            self.closing = self.table.keys().copied().collect();
            // In the order in which they began, whatever the table's.
            self.closing.sort_unstable_by_key(|key| std::cmp::Reverse(self.table.get(key).map(|s| s.serial)));
        }
        let Some(key) = self.closing.pop() else { return false };
        self.begin(self.last_boot);
        self.close(key, self.last_boot);
        true
    }
}

#[cfg(test)]
mod tests;

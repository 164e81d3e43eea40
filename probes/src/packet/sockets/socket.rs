//! One socket: where its two streams are, what is spoken on them, who moved their bytes.

mod ending;

use super::ahead::Ahead;
use super::{Exchange, passing::Held};
use crate::packet::stream::{Context, Dialogue, Facts, Hole, Piece, Shared};
use std::collections::VecDeque;
use weftrace_artifact::{abi::ConnKey, packet::PacketView};

/// Two beginnings that are no further apart are one's: 1 MB, more than can come in at once, of 4 GB.
const ORIGIN_WITHIN: u32 = 1 << 20;
/// Directions of a socket's two streams.
pub(super) const GOT: usize = 0;
pub(super) const SENT: usize = 1;

/// A socket's ends, and where its streams begin.
#[derive(Clone, Copy, Debug, Default)]
pub struct Open {
    /// Names the socket as long as it is there.
    pub key: i64,
    pub conn: ConnKey,
    pub local_port: u16,
    /// Last four bytes of the local address.
    pub local: [u8; 4],
    /// Sequence numbers of the first bytes sent and got.
    pub from: [u32; 2],
    /// About how many bytes were got and sent when this was told; None: it isn't known.
    pub bytes: Option<[u64; 2]>,
    /// Boot time of the connection's opening; 0: it is older.
    pub opened: u64,
    pub time: u64,
}

impl Open {
    pub(super) fn remote_port(&self) -> u16 {
        if self.local_is_a() { self.conn.b_port } else { self.conn.a_port }
    }

    /// Whether the local end is the key's first.
    pub(super) fn local_is_a(&self) -> bool {
        let conn = &self.conn;
        if conn.a_port != conn.b_port {
            return conn.a_port == self.local_port;
        }
        let last = if conn.family == 2 { 0..4 } else { 12..16 };
        conn.a_addr[last] == self.local
    }
}

/// Who made a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Task {
    pub pid: u32,
    pub tid: u32,
    pub comm: [u8; 16],
}

/// A piece of what a system call moved.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    pub key: i64,
    pub sent: bool,
    /// Boot time of the call's entry (of one that receives: of its exit), and of its exit.
    pub start: u64,
    pub end: u64,
    /// Sequence number behind the call's last byte.
    pub to: u32,
    /// How far the other direction had come then.
    pub other: u32,
    /// Bytes that the call moved, and which of them these are.
    pub total: u64,
    pub at: u64,
    pub bytes: &'a [u8],
    /// No more of the call's bytes were copied.
    pub last: bool,
    /// The other side's end of data was read.
    pub eof: bool,
    /// Of what a TLS library took or gave in clear: where the call's bytes begin in that stream, counted from 1; `to` then says how far
    /// what was made of them goes. 0: they are the connection's own.
    pub clear: u64,
    /// Told before it was made: what is in clear will lie behind `to`.
    pub ahead: bool,
    pub task: Task,
}

/// Bytes from here on were moved by this task.
#[derive(Clone, Copy)]
struct Owned {
    from: u64,
    task: Task,
}

#[derive(Default)]
struct Direction {
    /// Offset of the next byte.
    next: u64,
    /// How far it is known to have come.
    told: u64,
    /// A byte was seen.
    started: bool,
    /// How far it had come when the other one's first message was seen: that is no answer to it.
    before: u64,
    ended: bool,
    /// The last bytes of the stream that carried something else.
    carrier: (u64, u64),
    /// Where the next byte of what they carry is; 0: none was seen.
    clear: u64,
    owners: VecDeque<Owned>,
}

pub(super) struct Socket {
    pub(super) serial: u64,
    pub(super) open: Open,
    dirs: [Direction; 2],
    dialogue: Dialogue,
    /// What is spoken is within TLS.
    within: bool,
    /// What was not read.
    pub(super) held: Held,
    /// What is about to be sent.
    pub(super) ahead: Ahead,
    /// Requests that begin here have ended in the call at hand, and are still to be presented.
    pub(super) ended_from: u64,
}

impl Socket {
    pub(super) fn new(open: &Open, serial: u64) -> Self {
        Self {
            serial,
            open: *open,
            dirs: Default::default(),
            dialogue: Dialogue::default(),
            within: false,
            held: Held::default(),
            ahead: Ahead::default(),
            ended_from: u64::MAX,
        }
    }

    /// Whether the socket that is told of is this one. (What its initial numbers are is told less surely than its ends.)
    pub(super) fn is_same(&self, open: &Open) -> bool {
        let ends = |conn: &ConnKey| (conn.netns, conn.family, conn.a_addr, conn.a_port, conn.b_addr, conn.b_port);
        ends(&self.open.conn) == ends(&open.conn) && self.open.opened == open.opened
    }

    /// Whether the other side's stream begins there, as far as that is told: what comes in meanwhile is counted a moment before, or after, it is said how far it goes.
    pub(super) fn begins_at(&self, origin: u32) -> bool {
        (origin.wrapping_sub(self.open.from[GOT]) as i32).unsigned_abs() <= ORIGIN_WITHIN
    }

    fn facts(&self) -> Facts {
        let ports = [self.open.remote_port(), self.open.local_port];
        let handshake_seen = self.open.opened != 0;
        Facts { ports, answered: true, handshake_seen, behind: false, missed_elsewhere: self.within }
    }

    /// The 64-bit offset that a sequence number stands for: the one nearest to where the stream is.
    pub(super) fn offset(&self, dir: usize, seq: u32) -> u64 {
        let (next, origin) = (self.dirs[dir].next, self.open.from[dir]);
        let ahead = seq.wrapping_sub(origin.wrapping_add(next as u32)) as i32;
        match self.open.bytes {
            _ if self.dirs[dir].started => next.saturating_add_signed(ahead.into()),
            Some(bytes) => self.offset_near(dir, seq, bytes[dir]),
            None => seq.wrapping_sub(origin).into(),
        }
    }

    /// The same, nearest to a place that isn't far from it.
    pub(super) fn offset_near(&self, dir: usize, seq: u32, place: u64) -> u64 {
        let ahead = seq.wrapping_sub(self.open.from[dir].wrapping_add(place as u32)) as i32;
        place.saturating_add_signed(ahead.into())
    }

    /// Follows a call. How often bytes before it were not seen.
    pub(super) fn call(&mut self, call: &Call<'_>, shared: &mut Shared) -> u64 {
        let dir = usize::from(call.sent);
        if self.dirs[dir].ended {
            return 0;
        }
        if call.ahead {
            return self.begins(call, shared);
        }
        self.ended_from = u64::MAX;
        let sent = match dir {
            GOT => self.read_at(call.other, call.end, shared),
            _ => self.sent(None, call.end, shared),
        };
        self.dirs[1 - dir].told = self.offset(1 - dir, call.other);
        if call.clear != 0 {
            return sent + self.call_within(dir, call, None, shared);
        }
        if self.within {
            // What is encrypted, moved in a call of the library that is not for the program's data.
            return 0;
        }
        let end = self.offset(dir, call.to);
        let from = end.saturating_sub(call.total).saturating_add(call.at);
        self.own(dir, from, call.task);
        let mut gaps = 0;
        if !self.dirs[dir].started {
            self.dirs[dir].started = true;
            if from > 0 {
                self.dialogue.begins_late(dir);
            }
            self.dirs[1 - dir].before = self.dirs[1 - dir].told;
            // Of a connection that was seen from its start the first answer may have been sent by something that no call shows.
            let answers = self.open.opened != 0 && self.dirs[1 - dir].started;
            self.dirs[dir].next = if answers { self.dirs[dir].before.min(from) } else { from };
        }
        if from > self.dirs[dir].next {
            // In the middle of a call: not copied.
            let lost = call.at == 0;
            gaps = u64::from(lost);
            self.miss(dir, from, lost, call.end, shared);
        }
        // What was seen before is passed over: another thread's call was told later than its end says.
        let seen = self.dirs[dir].next.saturating_sub(from);
        let bytes = call.bytes.get(usize::try_from(seen).unwrap_or(usize::MAX)..).unwrap_or_default();
        if !bytes.is_empty() {
            let at = self.dirs[dir].next;
            self.dirs[dir].next = at + bytes.len() as u64;
            let piece = Piece::at(dir, bytes, at, call.start, call.at == 0 && seen == 0);
            let (dialogue, mut cx) = self.context(shared, call.end);
            dialogue.data(piece, &mut cx);
        }
        if call.last && end > self.dirs[dir].next {
            self.miss(dir, end, call.total == 0, call.end, shared);
        }
        let to = self.dirs[dir].next;
        let (dialogue, mut cx) = self.context(shared, call.end);
        // What a call has moved need not be sent again by it.
        dialogue.acknowledged(dir, to, &mut cx);
        if call.eof {
            self.dirs[GOT].ended = true;
            let (dialogue, mut cx) = self.context(shared, call.end);
            dialogue.end(GOT, true, &mut cx);
        }
        self.settle(call.end, shared);
        gaps
    }

    /// The same for bytes in clear within TLS: they lie somewhere in what the connection has carried since the last ones. How far that has
    /// come says nothing of them (a handshake's messages, session tickets, what is sent in part), so they are counted where they are seen.
    /// `begin`: where that begins, if it is known.
    pub(super) fn call_within(&mut self, dir: usize, call: &Call<'_>, begin: Option<u64>, shared: &mut Shared) -> u64 {
        self.within = true;
        let end = self.offset(dir, call.to);
        let from = call.clear.saturating_add(call.at);
        // What answers is counted from its begin: its first bytes may be among what was lost.
        let answers = self.dirs[1 - dir].started;
        let stream = &mut self.dirs[dir];
        let first = !std::mem::replace(&mut stream.started, true);
        if first && from > 1 {
            self.dialogue.begins_late(dir);
        }
        if stream.clear == 0 {
            stream.clear = if answers { 1 } else { from };
        }
        // One call begins where the one before ended; in the middle of it bytes are not copied.
        let (gap, known) = (call.at == 0 && from != stream.clear, stream.next);
        if first || end > stream.next {
            // The first of them have the handshake before them; behind a gap, what the other direction's calls told of lies before.
            let begin = match (begin, first, gap) {
                (Some(begin), ..) => begin.clamp(stream.next.min(end), end),
                (_, _, true) => stream.next.max(stream.told.min(end)),
                (_, true, _) => end.saturating_sub(call.total),
                _ => stream.next,
            };
            (stream.next, stream.carrier) = (end, (begin, end));
        }
        let carrier = stream.carrier;
        let place = if gap { (known.min(carrier.0), carrier.0) } else { carrier };
        self.own(dir, carrier.0, call.task);
        self.miss_within(dir, from, place, gap, call.end, shared);
        if !call.bytes.is_empty() {
            self.dirs[dir].clear += call.bytes.len() as u64;
            let (dialogue, mut cx) = self.context(shared, call.end);
            dialogue.data(Piece::within(dir, call.bytes, carrier, call.start), &mut cx);
        }
        if call.last {
            self.miss_within(dir, call.clear.saturating_add(call.total), carrier, false, call.end, shared);
        }
        let (dialogue, mut cx) = self.context(shared, call.end);
        dialogue.acknowledged(dir, carrier.1, &mut cx);
        self.settle(call.end, shared);
        u64::from(gap)
    }

    /// Bytes in clear up to `to` are not there; where that lies before, the count began anew, and what there was meanwhile is not known.
    fn miss_within(&mut self, dir: usize, to: u64, place: (u64, u64), lost: bool, now: u64, shared: &mut Shared) {
        let clear = std::mem::replace(&mut self.dirs[dir].clear, to);
        if to == clear {
            return;
        }
        let hole = Hole { dir, len: to.saturating_sub(clear), exact: to > clear, from: place.0, to: place.1, lost };
        let (dialogue, mut cx) = self.context(shared, now);
        dialogue.hole(hole, &mut cx);
    }

    /// Bytes up to `to` are not there.
    fn miss(&mut self, dir: usize, to: u64, lost: bool, now: u64, shared: &mut Shared) {
        let from = std::mem::replace(&mut self.dirs[dir].next, to);
        let (dialogue, mut cx) = self.context(shared, now);
        dialogue.hole(Hole { dir, len: to - from, exact: true, from, to, lost }, &mut cx);
    }

    /// Offset of a direction's next byte.
    pub(super) fn next(&self, dir: usize) -> u64 {
        self.dirs[dir].next
    }

    /// Both directions are open and between messages, all of which were answered.
    pub(super) fn rests(&self) -> bool {
        !self.within && self.dirs.iter().all(|dir| dir.started && !dir.ended) && self.dialogue.rests()
    }

    /// Both directions have gone on to `to`, with bytes that nobody asks for; `from` on they were moved by these tasks.
    pub(super) fn moved_on(&mut self, to: [u64; 2], from: [u64; 2], tasks: [Task; 2]) {
        for dir in [GOT, SENT] {
            self.own(dir, from[dir], tasks[dir]);
            (self.dirs[dir].next, self.dirs[dir].told) = (to[dir], to[dir]);
        }
    }

    fn context<'a>(&'a mut self, shared: &'a mut Shared, now: u64) -> (&'a mut Dialogue, Context<'a>) {
        // What was answered lies before: a response to what is asked now comes behind it.
        let acked = [GOT, SENT].map(|dir| self.dirs[dir].next.max(self.dirs[dir].told));
        let facts = self.facts();
        (&mut self.dialogue, Context { shared, now, acked, facts })
    }

    fn settle(&mut self, now: u64, shared: &mut Shared) {
        let ended = [self.dirs[GOT].ended, self.dirs[SENT].ended];
        let (dialogue, mut cx) = self.context(shared, now);
        dialogue.settle(ended, &mut cx);
    }

    pub(super) fn abandon(&mut self, shared: &mut Shared) {
        self.dialogue.abandon(shared);
    }

    /// Where the first of a direction's requests begins that is still to be presented.
    pub(super) fn open_from(&self, dir: usize) -> u64 {
        self.dialogue.open_from(dir)
    }

    /// The bytes from here on were moved by this task, up to those that another is known to have moved.
    fn own(&mut self, dir: usize, from: u64, task: Task) {
        let owners = &self.dirs[dir].owners;
        if owners.back().is_some_and(|last| last.task == task && last.from <= from) {
            return;
        }
        // Whose bytes the requests still to be told began with; of what answers them nobody asks.
        if owners.len() > 1 {
            let asked = self.dialogue.open_from(dir).min(from).min(self.ended_from);
            let owners = &mut self.dirs[dir].owners;
            while owners.get(1).is_some_and(|second| second.from <= asked) {
                owners.pop_front();
            }
        }
        let owners = &mut self.dirs[dir].owners;
        // Another thread's call may be told later than its bytes lie.
        let at = owners.partition_point(|owned| owned.from <= from);
        if at == 0 || owners[at - 1].task != task {
            owners.insert(at, Owned { from, task });
        }
    }

    /// How many are kept for both directions.
    pub(super) fn owners(&self) -> usize {
        self.dirs.iter().map(|dir| dir.owners.len()).sum()
    }

    /// Keeps the last of each direction alone. How many there were more.
    pub(super) fn forget_owners(&mut self) -> usize {
        let before = self.owners();
        for dir in &mut self.dirs {
            dir.owners.drain(..dir.owners.len().saturating_sub(1));
        }
        before - self.owners()
    }

    /// Who moved a byte.
    pub(super) fn owner(&self, dir: usize, at: u64) -> Option<Task> {
        let owners = &self.dirs[dir].owners;
        owners.iter().rev().find(|owned| owned.from <= at).map(|owned| owned.task)
    }

    /// Fills in whose exchange the view has, and between which ends: from the client to the server.
    pub(super) fn describe(&self, view: &mut PacketView, more: &mut weftrace_artifact::packet::MoreView) -> Exchange {
        let dir = view.http.request_dir as usize & 1;
        let served = dir == GOT;
        super::view::ends(&self.open, served, view);
        if let Some(task) = self.owner(dir, view.http.request_from) {
            super::view::owner(&task, view, more);
        }
        Exchange { served, port: view.tcp_dst_port }
    }
}

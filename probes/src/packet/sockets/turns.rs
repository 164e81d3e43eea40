//! Exchanges of any protocol: bytes one way, then bytes the other way, until the direction changes again. Who has opened the connection asks.

use super::{Exchange, Open, Options, Task, identity, view};
use std::collections::{HashMap, VecDeque};
use weftrace_artifact::packet::{MoreRef, MoreView, PacketView, known};

/// An answer is over when nothing came for so long, ns: what comes later is said unasked.
pub const IDLE_NS: u64 = 100_000_000;
/// Sockets that are followed at one time; the one that was told of first makes room.
const MOST: usize = 1 << 16;

/// What a system call moved.
#[derive(Clone, Copy, Debug)]
pub struct TurnCall {
    pub socket: Open,
    /// This side has opened the connection; None: it is older than the run.
    pub opened_here: Option<bool>,
    pub sent: bool,
    /// Boot time of the call's entry (of one that receives: of its exit), and of its exit.
    pub start: u64,
    pub end: u64,
    /// Sequence number behind its last byte; how many there were, if that is known.
    pub to: u32,
    pub total: Option<u64>,
    pub task: Task,
}

/// Bytes of one direction.
#[derive(Clone, Copy, Debug, Default)]
struct Piece {
    from: u64,
    to: u64,
    start: u64,
    end: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Direction {
    /// Offset behind the last byte that was seen; None: none was.
    next: Option<u64>,
}

struct Followed {
    socket: Open,
    serial: u64,
    served: bool,
    opened_seen: bool,
    /// Of what was asked, and of what was answered.
    dirs: [Direction; 2],
    request: Option<Piece>,
    response: Option<Piece>,
    whole: bool,
    first: bool,
    task: Task,
}

/// An exchange that has ended.
struct Done {
    socket: Open,
    served: bool,
    request: Piece,
    response: Option<Piece>,
    end: u64,
    whole: bool,
    first: bool,
    task: Task,
}

/// All sockets that are followed, and what has ended on them.
#[derive(Default)]
pub struct Turns {
    table: HashMap<i64, Followed>,
    order: VecDeque<(i64, u64)>,
    serial: u64,
    done: VecDeque<Done>,
    more: Box<MoreView>,
    needs: u32,
    seed: u16,
    /// Sockets that had to make room; bytes that no call was seen for, times.
    pub evicted: u64,
    pub gaps: u64,
}

impl Turns {
    /// `needs`: the union of [`weftrace_artifact::packet::needs`] bits of all fields used.
    pub fn new(needs: u32, options: &Options) -> Self {
        Self { needs, seed: options.community_id_seed, ..Self::default() }
    }

    /// A call moved bytes; then [`Self::next`] gives what that ended.
    pub fn call(&mut self, call: &TurnCall) {
        let key = call.socket.key;
        let same = |f: &Followed| f.socket.conn == call.socket.conn && f.socket.opened == call.socket.opened;
        if !self.table.get(&key).is_some_and(same) {
            self.end(key, call.start);
            self.follow(call);
        }
        let Some(followed) = self.table.get_mut(&key) else { return };
        let asks = call.sent != followed.served;
        let (from, to, gap) = followed.advance(call, asks);
        self.gaps += u64::from(gap);
        let at = if call.sent { call.start } else { call.end };
        let piece = Piece { from, to, start: at, end: call.end };
        if asks {
            if let Some(done) = followed.response.is_some().then(|| followed.finish(None)).flatten() {
                self.done.push_back(done);
            }
            followed.whole &= !gap;
            if followed.request.is_none() {
                followed.task = call.task;
            }
            extend(&mut followed.request, piece);
        } else if followed.request.is_some() {
            followed.whole &= !gap;
            extend(&mut followed.response, piece);
        }
    }

    fn follow(&mut self, call: &TurnCall) {
        while self.table.len() >= MOST {
            let Some((key, serial)) = self.order.pop_front() else { break };
            if self.table.get(&key).is_some_and(|f| f.serial == serial) {
                self.table.remove(&key);
                self.evicted += 1;
            }
        }
        if self.order.len() > 2 * self.table.len() + 64 {
            let table = &self.table;
            self.order.retain(|(key, serial)| table.get(key).is_some_and(|f| f.serial == *serial));
        }
        self.serial += 1;
        self.order.push_back((call.socket.key, self.serial));
        // Of a connection that is older, the lower port is the server's, mostly.
        let served = call.opened_here.map_or(call.socket.local_port < call.socket.remote_port(), |here| !here);
        let followed = Followed {
            socket: call.socket,
            serial: self.serial,
            served,
            opened_seen: call.opened_here.is_some(),
            dirs: Default::default(),
            request: None,
            response: None,
            whole: true,
            first: call.opened_here.is_some(),
            task: call.task,
        };
        self.table.insert(call.socket.key, followed);
    }

    /// The socket is gone, or another's.
    pub fn end(&mut self, key: i64, time: u64) {
        if let Some(done) = self.table.remove(&key).and_then(|mut followed| followed.finish(Some(time))) {
            self.done.push_back(done);
        }
    }

    /// Time has come to this: answers that nothing was added to for a while are over.
    pub fn pass(&mut self, now: u64) {
        let over = |f: &Followed| f.response.is_some_and(|response| now.saturating_sub(response.end) >= IDLE_NS);
        let mut done: Vec<Done> = self.table.values_mut().filter(|f| over(f)).filter_map(|f| f.finish(None)).collect();
        // In their order, whatever the table's.
        done.sort_unstable_by_key(|done| (done.end, done.socket.key));
        self.done.extend(done);
    }

    /// All that is open is over.
    pub fn finish(&mut self, time: u64) {
        let mut keys: Vec<(u64, i64)> = self.table.iter().map(|(key, followed)| (followed.serial, *key)).collect();
        keys.sort_unstable();
        for (_, key) in keys {
            self.end(key, time);
        }
    }

    /// Puts the next exchange into the view. What it refers to is valid until the next call.
    pub fn next(&mut self, view: &mut PacketView) -> Option<Exchange> {
        let done = self.done.pop_front()?;
        *view = PacketView::default();
        let Done { request, response, .. } = done;
        let http = &mut view.http;
        (http.start, http.request_end, http.end) = (request.start, request.end, done.end);
        http.first_byte = response.map_or(0, |response| response.start);
        http.duration = done.end.saturating_sub(request.start);
        (http.request_from, http.request_to) = (request.from, request.to);
        (http.response_from, http.response_to) = response.map_or((0, 0), |response| (response.from, response.to));
        http.complete = u32::from(done.whole && response.is_some());
        http.first_on_conn = u32::from(done.first);
        http.stream = u32::from(done.served);
        view::ends(&done.socket, done.served, view);
        view::owner(&done.task, view, &mut self.more);
        view.known |= known::TCP_EXCHANGE;
        identity::identify(self.needs, self.seed, view, &mut self.more);
        view.more = MoreRef(&raw const *self.more);
        Some(Exchange { served: done.served, port: view.tcp_dst_port })
    }
}

impl Followed {
    /// Where a call's bytes lie, and whether some before them were not seen.
    fn advance(&mut self, call: &TurnCall, asks: bool) -> (u64, u64, bool) {
        let first = self.socket.from[usize::from(call.sent)];
        let dir = &mut self.dirs[usize::from(!asks)];
        let to = match dir.next {
            Some(next) => {
                let ahead = call.to.wrapping_sub(first.wrapping_add(next as u32)) as i32;
                next.saturating_add_signed(ahead.into())
            }
            None => call.to.wrapping_sub(first).into(),
        };
        let began = dir.next.unwrap_or_else(|| to.saturating_sub(call.total.unwrap_or(0)));
        let from = call.total.map_or(began, |total| to.saturating_sub(total));
        // What came before the first call that was seen is missing only where the connection's opening was seen.
        let gap = match dir.next {
            Some(next) => from > next,
            None => self.opened_seen && from > 0,
        };
        dir.next = Some(to);
        (from, to, gap)
    }

    /// What was asked and answered so far is an exchange; without an answer it ends at `time`.
    fn finish(&mut self, time: Option<u64>) -> Option<Done> {
        let request = self.request.take()?;
        let response = self.response.take();
        let end = response.map(|response| response.end).or(time).unwrap_or(request.end);
        let done = Done {
            socket: self.socket,
            served: self.served,
            request,
            response,
            end,
            whole: self.whole,
            first: self.first,
            task: self.task,
        };
        (self.whole, self.first) = (true, false);
        Some(done)
    }
}

fn extend(piece: &mut Option<Piece>, more: Piece) {
    match piece {
        Some(piece) => (piece.to, piece.end) = (more.to, more.end),
        None => *piece = Some(more),
    }
}

#[cfg(test)]
#[path = "turns_tests.rs"]
mod tests;

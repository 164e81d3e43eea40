//! What sockets carry, into `http:` blocks: records of the kernel's part become exchanges.

mod passed;

use super::core::{Core, now};
use crate::{join::keys::read_conn, losses::LossKind};
use weftrace_artifact::{
    Artifact,
    abi::RecordHeader,
    action::{StreamId, StreamSpec},
    join::Bound,
    packet::PacketView,
    plan::SocketSide,
    sockets,
    ty::Field,
};
use weftrace_probes::packet::{Options, SocketCall, SocketExchange, SocketOpen, SocketTask, Sockets, TurnCall, Turns};

/// An `http:` block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExchangeBlock {
    pub(crate) entry: u32,
    pub(crate) probe: u32,
    pub(crate) side: SocketSide,
    /// The server's; 0: any.
    pub(crate) port: u16,
}

impl ExchangeBlock {
    fn wants(&self, exchange: SocketExchange) -> bool {
        let side = match self.side {
            SocketSide::Server => exchange.served,
            SocketSide::Client => !exchange.served,
            SocketSide::Either => true,
            SocketSide::Turns => return false,
        };
        side && (self.port == 0 || self.port == exchange.port)
    }
}

impl ExchangeBlock {
    /// The same of exchanges by turns: the port is the server's.
    fn wants_turn(&self, exchange: SocketExchange) -> bool {
        self.side == SocketSide::Turns && (self.port == 0 || self.port == exchange.port)
    }
}

/// What a stream's records are, and where their fields lie.
#[derive(Debug)]
enum Kind {
    /// With how much had come and gone, which recordings of an earlier version don't say.
    Open(Box<[Field; 8]>, Option<[Field; 2]>),
    /// With where the other side's stream begins, which recordings of an earlier version don't say; so [`Self::End`] and [`Self::Held`].
    Call(Box<[Field; 14]>, Option<Field>),
    Wrote([Field; 3]),
    /// How far both directions had come, which recordings of an earlier version don't say; and within TLS, where there is any.
    End([Field; 2], Option<[Field; 2]>, Option<[Field; 2]>, Option<Field>),
    Unseen([Field; 2]),
    Unbound,
    Turn(Box<[Field; 15]>),
    TurnEnd([Field; 2]),
    Passed([Field; 3], Option<[Field; 2]>),
    Held(Box<[Field; 10]>, Option<Field>),
}

impl Kind {
    fn of(spec: &StreamSpec) -> Option<Self> {
        let origin = || spec.field("origin").cloned();
        match spec.name.as_str() {
            sockets::OPEN => {
                let names = ["key", "conn", "local_port", "local", "local6", "sent_from", "got_from", "opened"];
                let bytes = self::fields(spec, ["got_bytes", "sent_bytes"]);
                fields(spec, names).map(|fields| Self::Open(Box::new(fields), bytes))
            }
            sockets::SHORT | sockets::LONG => {
                let names = [
                    "key", "sent", "start", "to", "total", "other", "clear", "at", "last", "eof", "pid", "tid", "comm",
                    "data",
                ];
                fields(spec, names).map(|fields| Self::Call(Box::new(fields), origin()))
            }
            sockets::WROTE => fields(spec, ["key", "to", "moved"]).map(Self::Wrote),
            sockets::END => {
                let more = |names| self::fields(spec, names);
                let (to, clear) = (more(["got", "sent"]), more(["clear_got", "clear_sent"]));
                fields(spec, ["key", "gone"]).map(|fields| Self::End(fields, to, clear, origin()))
            }
            sockets::UNSEEN => fields(spec, ["key", "opened"]).map(Self::Unseen),
            sockets::UNBOUND => Some(Self::Unbound),
            sockets::TURN => {
                let names = [
                    "key",
                    "conn",
                    "local_port",
                    "local",
                    "local6",
                    "sent_from",
                    "got_from",
                    "opened",
                    "sent",
                    "start",
                    "to",
                    "total",
                    "pid",
                    "tid",
                    "comm",
                ];
                fields(spec, names).map(|fields| Self::Turn(Box::new(fields)))
            }
            sockets::PASSED => {
                let bytes = fields(spec, ["got_bytes", "sent_bytes"]);
                fields(spec, ["key", "got", "sent"]).map(|fields| Self::Passed(fields, bytes))
            }
            sockets::HELD => {
                let names = ["key", "sent", "start", "from", "to", "other", "pid", "tid", "comm", "data"];
                fields(spec, names).map(|fields| Self::Held(Box::new(fields), origin()))
            }
            sockets::TURN_END => fields(spec, ["key", "at"]).map(Self::TurnEnd),
            _ => None,
        }
    }
}

fn fields<const N: usize>(spec: &StreamSpec, names: [&str; N]) -> Option<[Field; N]> {
    let found: Vec<Field> = names.iter().filter_map(|name| spec.field(name).cloned()).collect();
    found.try_into().ok()
}

impl Kind {
    /// Where a record has its socket, and where the other side's stream begins.
    fn origin(&self) -> Option<(&Field, &Field)> {
        match self {
            Self::Call(fields, origin) => Some((&fields[0], origin.as_ref()?)),
            Self::Held(fields, origin) => Some((&fields[0], origin.as_ref()?)),
            Self::End(fields, _, _, origin) => Some((&fields[0], origin.as_ref()?)),
            _ => None,
        }
    }
}

/// What became of a record.
#[derive(Clone, Copy, Debug)]
enum Taken {
    /// It may have ended exchanges.
    Read,
    /// It ended one that no join would keep, then.
    PassedOver(SocketExchange, u64),
}

/// The source: all sockets, and the blocks.
pub(crate) struct SocketFeed {
    sockets: Sockets,
    turns: Turns,
    blocks: Vec<ExchangeBlock>,
    /// By stream.
    kinds: Vec<Option<Kind>>,
    view: Box<PacketView>,
    /// Where the kernel passes over exchanges.
    passed: Option<passed::Passed>,
}

impl SocketFeed {
    pub(crate) fn new(artifact: &Artifact) -> Self {
        let options = Options { community_id_seed: artifact.options.community_id_seed, ..Options::default() };
        Self {
            sockets: Sockets::new(artifact.packet_needs, &options),
            turns: Turns::new(artifact.packet_needs, &options),
            blocks: Vec::new(),
            kinds: artifact.streams.iter().map(Kind::of).collect(),
            view: Box::default(),
            passed: passed::Passed::new(artifact),
        }
    }

    pub(crate) fn add(&mut self, block: ExchangeBlock) {
        self.blocks.push(block);
    }

    /// Takes a record; None: its stream is not of sockets.
    fn record(&mut self, stream: StreamId, header: RecordHeader, payload: &[u8]) -> Option<Taken> {
        let kind = self.kinds.get(stream.0 as usize)?.as_ref()?;
        let number = |field: &Field| number(payload, field);
        if !is_of(&mut self.sockets, kind, header.time, payload) {
            return Some(Taken::Read);
        }
        match kind {
            Kind::Open(fields, bytes) => {
                let Some(open) = opened(fields, header.time, payload) else { return Some(Taken::Read) };
                let bytes = bytes.as_ref().map(|bytes| bytes.each_ref().map(&number));
                self.sockets.open(&SocketOpen { bytes, ..open });
            }
            Kind::Call(fields, _) => {
                let [key, sent, start, to, total, other, clear, from, last, eof, pid, tid, comm, data] = &**fields;
                let task = task([pid, tid, comm], payload);
                let len = u32_at(payload, data.offset) as usize;
                let bytes = payload.get(data.offset as usize + 4..).unwrap_or_default();
                let passed = self.sockets.call(&SocketCall {
                    key: number(key) as i64,
                    sent: number(sent) != 0,
                    start: number(start),
                    end: header.time,
                    to: number(to) as u32,
                    other: number(other) as u32,
                    total: number(total),
                    at: number(from),
                    bytes: &bytes[..len.min(bytes.len())],
                    last: number(last) != 0,
                    eof: number(eof) != 0,
                    clear: (number(clear) as i64).unsigned_abs(),
                    ahead: (number(clear) as i64) < 0,
                    task,
                });
                if let Some(exchange) = passed {
                    return Some(Taken::PassedOver(exchange, header.time));
                }
            }
            Kind::Wrote([key, to, moved]) => {
                self.sockets.wrote(number(key) as i64, number(to) as u32, number(moved) as i64, header.time);
            }
            Kind::End([key, gone], to, clear, _) => {
                let to = to.as_ref().map(|to| to.each_ref().map(|field| number(field) as u32));
                let clear = clear.as_ref().map(|clear| clear.each_ref().map(&number));
                self.sockets.end(number(key) as i64, number(gone) != 0, to, clear, header.time);
            }
            Kind::Unseen([key, opened]) => self.sockets.unseen(number(key) as i64, number(opened)),
            Kind::Unbound => self.sockets.unbound(),
            Kind::Turn(fields) => turn(&mut self.turns, fields, header.time, payload),
            Kind::Passed([key, got, sent], bytes) => {
                let bytes = bytes.as_ref().map(|bytes| bytes.each_ref().map(&number));
                self.sockets.past(number(key) as i64, [got, sent].map(|field| number(field) as u32), bytes);
            }
            Kind::Held(fields, _) => {
                // What is plain to us, too, is counted here.
                if let Some(exchange) = self.sockets.call(&passed::held(fields, payload)) {
                    return Some(Taken::PassedOver(exchange, header.time));
                }
            }
            Kind::TurnEnd([key, at]) => self.turns.end(number(key) as i64, number(at)),
        }
        Some(Taken::Read)
    }

    /// What joins may keep of the exchanges that the blocks tell them of; None: the blocks do more than that.
    fn bound(&self, core: &Core) -> Option<Bound> {
        let bounds = self.blocks.iter().map(|block| core.joins.bound(block.probe));
        bounds.reduce(|a, b| Some(a?.or(b?))).flatten().filter(|_| core.only_joins_read())
    }

    /// So many exchanges that ended by then were passed over: the blocks' joins count them.
    fn pass_over(&self, exchange: SocketExchange, passed: (u64, u64), core: &mut Core) {
        for block in self.blocks.iter().filter(|block| block.wants(exchange)) {
            core.joins.pass_over(block.probe, passed);
        }
    }

    /// Runs the blocks for what has ended.
    fn present(&mut self, core: &mut Core) {
        while let Some(exchange) = self.sockets.next(&mut self.view) {
            for block in self.blocks.iter().filter(|block| block.wants(exchange)) {
                core.run_packet(block.entry, block.probe, &self.view, None);
            }
        }
        while let Some(exchange) = self.turns.next(&mut self.view) {
            for block in self.blocks.iter().filter(|block| block.wants_turn(exchange)) {
                core.run_packet(block.entry, block.probe, &self.view, None);
            }
        }
    }

    fn count_losses(&self, core: &mut Core) {
        let counters = self.sockets.counters();
        for (what, count) in [
            ("socket_gaps", counters.gaps + self.turns.gaps),
            ("io_uring", counters.unseen),
            ("io_uring_sockets", counters.unseen_sockets),
            ("sockets_unknown", counters.unknown),
            ("tls_unbound", counters.unbound),
            ("sockets", counters.evicted + self.turns.evicted),
            ("socket_owners", counters.owners_dropped),
            ("http_malformed", counters.http_malformed),
            ("http_dropped", counters.http_dropped),
            ("http_cut", counters.http_cut),
            ("http2_unknown", counters.http2.unknown),
            ("http2_gaps", counters.http2.gaps),
            ("http2_malformed", counters.http2.malformed),
            ("http2_cut", counters.http2.cut + counters.http2.forgotten),
            ("parts", counters.parts_dropped),
        ] {
            core.losses.set(sockets::SOURCE, LossKind::Analysis(what), count);
        }
    }
}

impl Core {
    /// Whether a record is of a request that waited in the kernel by that time: it is open then.
    pub(super) fn waited_since(&self, time: u64, stream: StreamId, payload: &[u8]) -> bool {
        let kind = self.sockets.as_ref().and_then(|feed| feed.kinds.get(stream.0 as usize)?.as_ref());
        matches!(kind, Some(Kind::Held(fields, _)) if passed::held(fields, payload).start <= time)
    }

    /// Whether a record was of sockets.
    pub(super) fn of_socket(&mut self, stream: StreamId, header: RecordHeader, payload: &[u8]) -> bool {
        let Some(mut feed) = self.sockets.take() else { return false };
        feed.sockets.pass_over(feed.bound(self));
        let taken = feed.record(stream, header, payload);
        match taken {
            Some(Taken::Read) => feed.present(self),
            Some(Taken::PassedOver(exchange, end)) => feed.pass_over(exchange, (1, end), self),
            None => {}
        }
        self.sockets = Some(feed);
        taken.is_some()
    }

    /// Exchanges that are open when all has ended.
    pub(crate) fn finish_sockets(&mut self) {
        self.count_passed();
        let Some(mut feed) = self.sockets.take() else { return };
        self.take_waiting(&mut feed);
        let end = now().min(self.until);
        feed.sockets.lasts_to(end);
        while self.exit.is_none() && feed.sockets.finish_one() {
            feed.present(self);
        }
        feed.turns.finish(end);
        feed.present(self);
        self.sockets = Some(feed);
    }

    /// Whether answers are over by time alone.
    pub(crate) fn takes_turns(&self) -> bool {
        self.sockets.as_ref().is_some_and(|feed| feed.blocks.iter().any(|block| block.side == SocketSide::Turns))
    }

    /// Time has come to this.
    pub(crate) fn pass_turns(&mut self, time: u64) {
        let Some(mut feed) = self.sockets.take() else { return };
        feed.turns.pass(time);
        feed.present(self);
        self.sockets = Some(feed);
    }

    pub(crate) fn count_socket_losses(&mut self) {
        if let Some(feed) = self.sockets.take() {
            feed.count_losses(self);
            self.sockets = Some(feed);
        }
    }
}

/// Whether a record is of the connection that its socket is known to have.
fn is_of(sockets: &mut Sockets, kind: &Kind, time: u64, payload: &[u8]) -> bool {
    let number = |field: &Field| number(payload, field);
    kind.origin().is_none_or(|(key, origin)| sockets.is_of(number(key) as i64, number(origin) as u32, time))
}

/// What a call moved, of any protocol.
fn turn(turns: &mut Turns, fields: &[Field; 15], time: u64, payload: &[u8]) {
    let number = |field: &Field| number(payload, field);
    let (ends, [sent, start, to, total, pid, tid, comm]) = fields.split_at(8) else { return };
    let Some(mut socket) = <&[Field; 8]>::try_from(ends).ok().and_then(|ends| opened(ends, time, payload)) else {
        return;
    };
    // An odd time: by this side.
    let opened_here = (socket.opened != 0).then_some(socket.opened & 1 == 1);
    socket.opened &= !1;
    turns.call(&TurnCall {
        socket,
        opened_here,
        sent: number(sent) != 0,
        start: if number(sent) != 0 { number(start) } else { time },
        end: time,
        to: number(to) as u32,
        total: u64::try_from(number(total) as i64).ok(),
        task: task([pid, tid, comm], payload),
    });
}

/// Who a socket's ends are.
fn opened(fields: &[Field; 8], time: u64, payload: &[u8]) -> Option<SocketOpen> {
    let number = |field: &Field| number(payload, field);
    let [key, conn, local_port, local, local6, sent_from, got_from, opened] = fields;
    let conn = read_conn(payload, conn.offset)?;
    let local = if conn.family == 2 { number(local) } else { number(local6) } as u32;
    Some(SocketOpen {
        key: number(key) as i64,
        conn,
        local_port: number(local_port) as u16,
        local: local.to_ne_bytes(),
        from: [number(got_from) as u32, number(sent_from) as u32],
        bytes: None,
        opened: number(opened),
        time,
    })
}

/// Who made a call.
fn task([pid, tid, comm]: [&Field; 3], payload: &[u8]) -> SocketTask {
    let mut task =
        SocketTask { pid: number(payload, pid) as u32, tid: number(payload, tid) as u32, ..SocketTask::default() };
    task.comm.iter_mut().zip(at(payload, comm)).for_each(|(to, from)| *to = *from);
    task
}

/// A field's bytes.
fn at<'a>(payload: &'a [u8], field: &Field) -> &'a [u8] {
    let from = field.offset as usize;
    payload.get(from..from + field.ty.size() as usize).unwrap_or_default()
}

/// An unsigned integer of any width.
fn number(payload: &[u8], field: &Field) -> u64 {
    match *at(payload, field) {
        [a] => a.into(),
        [a, b] => u16::from_ne_bytes([a, b]).into(),
        [a, b, c, d] => u32::from_ne_bytes([a, b, c, d]).into(),
        [a, b, c, d, e, f, g, h] => u64::from_ne_bytes([a, b, c, d, e, f, g, h]),
        _ => 0,
    }
}

fn u32_at(payload: &[u8], offset: u32) -> u32 {
    payload.get(offset as usize..).and_then(|bytes| bytes.first_chunk()).map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

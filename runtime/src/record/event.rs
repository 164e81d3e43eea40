//! What a recording holds besides packets: events, in the order in which the run acted on them (docs/recording.md).

use super::{
    code::{Reader, Writer},
    run::{self, Compiled, Run},
};
use crate::{
    maps::{Read, What},
    names::Named,
};
use weftrace_artifact::abi::RecordHeader;

/// One event. Sources and streams are numbers of [`Event::Source`] and [`Run::streams`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Run(Box<Run>),
    /// A source of events, before any of its events. Packets: the interfaces of its blocks, and their filter.
    Source {
        id: u32,
        kind: String,
        name: String,
        streams: Vec<u32>,
        interfaces: Vec<String>,
        filter: String,
    },
    /// A reading of both clocks, and the local time zone then.
    Clock {
        boot: u64,
        wall: u64,
        width: u64,
        offset: i32,
        zone: String,
    },
    /// A stream's record. `derived`: a block of the script made it that runs in a replay too (timers, joins).
    Record {
        stream: u32,
        derived: bool,
        time: u64,
        payload: Vec<u8>,
    },
    /// A source's watermark.
    Mark {
        source: u32,
        time: u64,
    },
    /// How far a source's times may be from the true ones, from now on.
    Uncertain {
        source: u32,
        ns: u64,
    },
    /// The joins went on to their sources' watermarks.
    Advance,
    Lost {
        source: String,
        kind: String,
        from: u64,
        to: u64,
        count: u64,
        streams: Vec<u32>,
    },
    /// A source stood still from, to; `change`: 0 begins, 1 goes on, 2 ends.
    Stalled {
        source: u32,
        change: u8,
        from: u64,
        to: u64,
    },
    /// No probe fed a stream.
    Unfed {
        stream: u32,
        reason: String,
    },
    /// What of a stream isn't there from a time on may be missing.
    Doubted {
        stream: u32,
        from: u64,
        reason: String,
    },
    TimersStart(u64),
    /// Intervals that were due by then ran.
    Tick(u64),
    /// Connections that had ended by then were told.
    PassTime {
        source: u32,
        time: u64,
    },
    /// A signal's blocks ran.
    Signal {
        number: i32,
        time: u64,
    },
    /// What the run said besides the script's output: `level` 0 a warning, 1 lost events (the text is a number), 2 attached probes.
    Said {
        level: u8,
        text: String,
    },
    /// The loop went round.
    Wake,
    /// The loop ended.
    Stop,
    /// A source of packets ended: what was still open in it was told.
    SourceEnd(u32),
    /// Everything ended; END ran at this time.
    End(u64),
    /// The name of a control group whose number stands in a record that follows.
    Cgroup {
        id: u64,
        path: String,
    },
    /// For readers of the packets: a result of a join, its ids, and the connection it was about.
    Result {
        join: String,
        ids: String,
        begin: u64,
        end: u64,
        conn: Vec<u8>,
    },
    /// What the script was compiled to, right behind [`Event::Run`].
    Compiled(Box<Compiled>),
    /// A block that a replay doesn't run told user space to do something.
    Action {
        action: u32,
        probe: u32,
        time: u64,
        payload: Vec<u8>,
    },
    /// What a map had, that such a block fills; before what asked for it.
    Read(Read),
    /// What something is called that only this host knows; before what asked for it.
    Name(Named),
}

impl Event {
    /// Appends it: its number, then what it holds.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        let mut w = Writer(out);
        w.u8(self.number());
        match self {
            Self::Run(run) => run::put(&mut w, run),
            Self::Compiled(compiled) => run::put_compiled(&mut w, compiled),
            Self::Source { id, kind, name, streams, interfaces, filter } => {
                w.u32(*id);
                w.texts([kind, name]);
                w.list(streams, |w, stream| w.u32(*stream));
                w.list(interfaces, |w, name| w.bytes(name.as_bytes()));
                w.texts([filter]);
            }
            Self::Clock { boot, wall, width, offset, zone } => {
                w.u64s(&[*boot, *wall, *width]);
                w.u32(*offset as u32);
                w.bytes(zone.as_bytes());
            }
            Self::Record { stream, derived, time, payload } => put_record(w.0, *stream, *derived, *time, payload),
            Self::Mark { source, time: n } | Self::PassTime { source, time: n } | Self::Uncertain { source, ns: n } => {
                w.u32(*source);
                w.u64(*n);
            }
            Self::Lost { source, kind, from, to, count, streams } => {
                w.texts([source, kind]);
                w.u64s(&[*from, *to, *count]);
                w.list(streams, |w, stream| w.u32(*stream));
            }
            Self::Stalled { source, change, from, to } => put_stalled(&mut w, *source, *change, [*from, *to]),
            Self::Unfed { stream, reason } => put_lack(&mut w, *stream, None, reason),
            Self::Doubted { stream, from, reason } => put_lack(&mut w, *stream, Some(*from), reason),
            Self::TimersStart(time) | Self::Tick(time) | Self::End(time) => w.u64(*time),
            Self::Signal { number, time } => {
                w.u32(*number as u32);
                w.u64(*time);
            }
            Self::Said { level, text } => {
                w.u8(*level);
                w.bytes(text.as_bytes());
            }
            Self::SourceEnd(source) => w.u32(*source),
            Self::Result { join, ids, begin, end, conn } => {
                w.texts([join, ids]);
                w.u64s(&[*begin, *end]);
                w.bytes(conn);
            }
            Self::Cgroup { id, path } => {
                w.u64(*id);
                w.bytes(path.as_bytes());
            }
            Self::Action { action, probe, time, payload } => {
                put_action(w.0, RecordHeader { action: *action, probe: *probe, time: *time }, payload);
            }
            Self::Read(read) => put_read(&mut w, read),
            Self::Name(named) => [&named.asked, &named.answer].into_iter().for_each(|bytes| w.bytes(bytes)),
            Self::Advance | Self::Wake | Self::Stop => {}
        }
    }

    /// The next event of a block's; None: it isn't one.
    pub(crate) fn take(r: &mut Reader<'_>) -> Option<Self> {
        Some(match r.u8()? {
            1 => Self::Run(Box::new(run::take(r)?)),
            2 => Self::Source {
                id: r.u32()?,
                kind: r.text()?,
                name: r.text()?,
                streams: r.list(Reader::u32)?,
                interfaces: r.list(Reader::text)?,
                filter: r.text()?,
            },
            3 => Self::Clock {
                boot: r.u64()?,
                wall: r.u64()?,
                width: r.u64()?,
                offset: r.u32()? as i32,
                zone: r.text()?,
            },
            RECORD => {
                Self::Record { stream: r.u32()?, derived: r.u8()? != 0, time: r.u64()?, payload: r.bytes()?.to_vec() }
            }
            5 => Self::Mark { source: r.u32()?, time: r.u64()? },
            6 => Self::Advance,
            7 => Self::Lost {
                source: r.text()?,
                kind: r.text()?,
                from: r.u64()?,
                to: r.u64()?,
                count: r.u64()?,
                streams: r.list(Reader::u32)?,
            },
            8 => Self::Stalled { source: r.u32()?, change: r.u8()?, from: r.u64()?, to: r.u64()? },
            9 => Self::Unfed { stream: r.u32()?, reason: r.text()? },
            10 => Self::TimersStart(r.u64()?),
            11 => Self::Tick(r.u64()?),
            12 => Self::PassTime { source: r.u32()?, time: r.u64()? },
            13 => Self::Signal { number: r.u32()? as i32, time: r.u64()? },
            14 => Self::Said { level: r.u8()?, text: r.text()? },
            15 => Self::Wake,
            16 => Self::Stop,
            17 => Self::SourceEnd(r.u32()?),
            18 => Self::End(r.u64()?),
            19 => Self::Result {
                join: r.text()?,
                ids: r.text()?,
                begin: r.u64()?,
                end: r.u64()?,
                conn: r.bytes()?.to_vec(),
            },
            20 => Self::Cgroup { id: r.u64()?, path: r.text()? },
            21 => Self::Compiled(Box::new(run::take_compiled(r)?)),
            ACTION => Self::Action { action: r.u32()?, probe: r.u32()?, time: r.u64()?, payload: r.bytes()?.to_vec() },
            READ => Self::Read(take_read(r)?),
            NAME => Self::Name(Named { asked: r.bytes()?.to_vec(), answer: r.bytes()?.to_vec() }),
            25 => Self::Uncertain { source: r.u32()?, ns: r.u64()? },
            26 => Self::Doubted { stream: r.u32()?, from: r.u64()?, reason: r.text()? },
            _ => return None,
        })
    }

    fn number(&self) -> u8 {
        match self {
            Self::Run(_) => 1,
            Self::Source { .. } => 2,
            Self::Clock { .. } => 3,
            Self::Record { .. } => RECORD,
            Self::Mark { .. } => 5,
            Self::Advance => 6,
            Self::Lost { .. } => 7,
            Self::Stalled { .. } => 8,
            Self::Unfed { .. } => 9,
            Self::TimersStart(_) => 10,
            Self::Tick(_) => 11,
            Self::PassTime { .. } => 12,
            Self::Signal { .. } => 13,
            Self::Said { .. } => 14,
            Self::Wake => 15,
            Self::Stop => 16,
            Self::SourceEnd(_) => 17,
            Self::End(_) => 18,
            Self::Result { .. } => 19,
            Self::Cgroup { .. } => 20,
            Self::Compiled(_) => 21,
            Self::Action { .. } => ACTION,
            Self::Read(_) => READ,
            Self::Name(_) => NAME,
            Self::Uncertain { .. } => 25,
            Self::Doubted { .. } => 26,
        }
    }

    /// Whether the event that begins with this byte only tells what later ones ask for.
    pub(crate) fn is_told_ahead(number: u8) -> bool {
        matches!(number, READ | NAME)
    }
}

fn put_lack(w: &mut Writer<'_>, stream: u32, from: Option<u64>, reason: &String) {
    w.u32(stream);
    if let Some(from) = from {
        w.u64(from);
    }
    w.texts([reason]);
}

fn put_stalled(w: &mut Writer<'_>, source: u32, change: u8, interval: [u64; 2]) {
    w.u32(source);
    w.u8(change);
    w.u64s(&interval);
}

const RECORD: u8 = 4;
const ACTION: u8 = 22;
const READ: u8 = 23;
const NAME: u8 = 24;

fn put_record(out: &mut Vec<u8>, stream: u32, derived: bool, time: u64, payload: &[u8]) {
    let mut w = Writer(out);
    w.u32(stream);
    w.u8(u8::from(derived));
    w.u64(time);
    w.bytes(payload);
}

/// Appends a record's event without taking its payload.
pub(crate) fn record(out: &mut Vec<u8>, stream: u32, derived: bool, time: u64, payload: &[u8]) {
    out.push(RECORD);
    put_record(out, stream, derived, time, payload);
}

fn put_action(out: &mut Vec<u8>, header: RecordHeader, payload: &[u8]) {
    let mut w = Writer(out);
    w.u32(header.action);
    w.u32(header.probe);
    w.u64(header.time);
    w.bytes(payload);
}

/// Appends an action's event without taking its payload.
pub(crate) fn action(out: &mut Vec<u8>, header: RecordHeader, payload: &[u8]) {
    out.push(ACTION);
    put_action(out, header, payload);
}

fn put_read(w: &mut Writer<'_>, read: &Read) {
    w.u32(read.map);
    match &read.what {
        What::Value(value) => {
            w.u8(u8::from(value.is_some()));
            w.bytes(value.as_deref().unwrap_or_default());
        }
        What::Elements { all, more } => {
            w.u8(2 + u8::from(*more));
            w.list(all, |w, (key, value)| {
                w.bytes(key);
                w.bytes(value);
            });
        }
        What::Result(n) => {
            w.u8(4);
            w.u64(*n as u64);
        }
    }
}

fn take_read(r: &mut Reader<'_>) -> Option<Read> {
    let map = r.u32()?;
    let what = match r.u8()? {
        0 => r.bytes().map(|_| What::Value(None))?,
        1 => What::Value(Some(r.bytes()?.to_vec())),
        form @ (2 | 3) => {
            let all = r.list(|r| Some((r.bytes()?.to_vec(), r.bytes()?.to_vec())))?;
            What::Elements { all, more: form == 3 }
        }
        4 => What::Result(r.u64()? as i64),
        _ => return None,
    };
    Some(Read { map, what })
}

/// What is kept with a packet, in an option of its block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) source: u32,
    /// Index of the device it was seen on, inode of its network namespace, its number in its source.
    pub(crate) interface: u32,
    pub(crate) netns: u32,
    pub(crate) number: u64,
    pub(crate) boot: u64,
    /// The process it is of.
    pub(crate) owner: Option<(u32, Vec<u8>)>,
}

impl Kept {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        let mut w = Writer(out);
        for n in [self.source, self.interface, self.netns] {
            w.u32(n);
        }
        w.u64(self.number);
        w.u64(self.boot);
        if let Some((pid, comm)) = &self.owner {
            w.u32(*pid);
            w.bytes(comm);
        }
    }

    pub(crate) fn take(bytes: &[u8]) -> Option<Self> {
        let mut r = Reader(bytes);
        let (source, interface, netns) = (r.u32()?, r.u32()?, r.u32()?);
        let (number, boot) = (r.u64()?, r.u64()?);
        let owner = r.u32().and_then(|pid| Some((pid, r.bytes()?.to_vec())));
        Some(Self { source, interface, netns, number, boot, owner })
    }
}

//! The way from listeners to the engine: what nobody wants is dropped at once, what there is no room for is refused.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use tokio::sync::mpsc;
use weftrace_artifact::telemetry::Signal;
use weftrace_probes::{
    symbols::glob::Glob,
    telemetry::{Record, Taken, bytes_of, left_out, without_their_trace},
};

/// Messages that wait for the engine.
const MESSAGES: usize = 4096;
/// Bytes that wait for it.
const WAITING: usize = 64 << 20;
/// Bytes of messages that are being received.
const RECEIVING: usize = 64 << 20;

/// What a block wants.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    signal: Signal,
    service: Glob,
    name: Glob,
}

impl Wanted {
    pub(crate) fn new(signal: Signal, service: &str, name: &str) -> Self {
        Self { signal, service: Glob::new(service), name: Glob::new(name) }
    }

    pub(crate) fn is_of(&self, signal: Signal) -> bool {
        self.signal == signal
    }

    pub(crate) fn takes(&self, record: &Record) -> bool {
        self.signal == record.signal && self.service.matches(&record.sender.service) && self.name.matches(&record.name)
    }
}

/// What was refused, in all.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Can't be used: no trace id, no end …
    pub(crate) unusable: AtomicU64,
    /// Log records that were taken without the trace id that they came with.
    pub(crate) untraced: AtomicU64,
    /// The queue was full; or a connection, with what it had to say, was one too many.
    pub(crate) full: AtomicU64,
    /// Messages that are none, or too long.
    pub(crate) malformed: AtomicU64,
    /// Attributes of what was taken that there was no room for.
    pub(crate) attributes: AtomicU64,
}

/// Shared by listeners and engine.
pub(crate) struct Intake {
    wanted: Vec<Wanted>,
    queue: mpsc::Sender<Vec<Record>>,
    waiting: AtomicUsize,
    receiving: AtomicUsize,
    ended: AtomicBool,
    pub(crate) counts: Counts,
}

impl Intake {
    pub(super) fn new(wanted: Vec<Wanted>) -> (Self, mpsc::Receiver<Vec<Record>>) {
        let (queue, receiver) = mpsc::channel(MESSAGES);
        let intake = Self {
            wanted,
            queue,
            waiting: AtomicUsize::new(0),
            receiving: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            counts: Counts::default(),
        };
        (intake, receiver)
    }

    /// Whether any block is at this signal.
    pub(super) fn wants(&self, signal: Signal) -> bool {
        self.wanted.iter().any(|w| w.is_of(signal))
    }

    /// Hands on what is wanted; returns how many were refused, and why.
    pub(super) fn offer(&self, taken: Taken) -> (u64, Option<&'static str>) {
        let Taken { mut records, rejected, why } = taken;
        self.counts.unusable.fetch_add(rejected, Relaxed);
        records.retain(|record| self.wanted.iter().any(|w| w.takes(record)));
        let (bytes, attributes, lost) = (bytes_of(&records), left_out(&records), without_their_trace(&records));
        let count = records.len() as u64;
        if count == 0 {
            return (rejected, why);
        }
        let waiting = self.waiting.fetch_add(bytes, Relaxed);
        if waiting + bytes > WAITING || self.queue.try_send(records).is_err() {
            self.waiting.fetch_sub(bytes, Relaxed);
            self.counts.full.fetch_add(count, Relaxed);
            return (rejected + count, Some("weftrace's queue is full"));
        }
        self.counts.attributes.fetch_add(attributes, Relaxed);
        self.counts.untraced.fetch_add(lost, Relaxed);
        (rejected, why)
    }

    /// The engine has taken a message.
    pub(crate) fn taken(&self, records: &[Record]) {
        self.waiting.fetch_sub(bytes_of(records), Relaxed);
    }

    /// Room for bytes that are about to be received.
    pub(super) fn room(&self) -> Option<Room<'_>> {
        (self.receiving.load(Relaxed) <= RECEIVING).then_some(Room { intake: self, bytes: 0 })
    }

    /// Whether anything is being received.
    pub(crate) fn is_busy(&self) -> bool {
        self.receiving.load(Relaxed) > 0
    }

    /// A connection, with whatever came by it.
    pub(super) fn refused(&self) {
        self.counts.full.fetch_add(1, Relaxed);
    }

    pub(super) fn malformed(&self) {
        self.counts.malformed.fetch_add(1, Relaxed);
    }

    pub(super) fn end(&self) {
        self.ended.store(true, Relaxed);
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Relaxed)
    }
}

/// Bytes that are being received.
pub(super) struct Room<'a> {
    intake: &'a Intake,
    bytes: usize,
}

impl Room<'_> {
    /// More of them; false: there is no room.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        self.intake.receiving.fetch_add(bytes, Relaxed) + bytes <= RECEIVING
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.intake.receiving.fetch_sub(self.bytes, Relaxed);
    }
}

//! Where output goes. The library prints nothing itself: a sink wraps what the command line gives it.

mod by_hand;
mod json;
mod otlp;
mod perfetto;
mod plain;
mod text;

pub use json::JsonSink;
pub use otlp::OtlpSink;
pub(crate) use otlp::attributes;
pub use perfetto::PerfettoSink;
pub use plain::PlainJsonSink;
pub use text::TextSink;

use crate::{
    join::{Summary, show::Shown},
    losses::Lost,
    maps::{Merged, Snapshot},
    stats::Cost,
    style::Style,
};
use std::io;
use weftrace_artifact::{action::LogLevel, ty::Type};

/// A place in the script, as messages show it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Location {
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1; `end_column` is one past the last.
    pub column: u32,
    pub end_line: u32,
    pub end_column: u32,
    /// The script's lines, whole.
    pub source: Vec<String>,
    /// The macro calls through which the place is seen, innermost first.
    pub frames: Vec<Location>,
}

/// Everything a session has to say.
#[derive(Debug)]
pub enum Message<'a> {
    /// Formatted already.
    Printf(&'a [u8]),
    /// errorf, warnf, debugf.
    Log {
        level: LogLevel,
        text: &'a [u8],
        at: &'a Location,
    },
    /// Something went wrong while a probe ran; of a kernel helper: its name and result. `times` is more than 1 only at the
    /// end, for all of the run.
    Warning {
        text: &'a str,
        helper: Option<(&'a str, i64)>,
        at: &'a Location,
        times: u64,
    },
    /// `print(e)`
    Value {
        ty: &'a Type,
        bytes: &'a [u8],
    },
    /// `print(@m[k])` of an aggregate: the element's value alone.
    Element {
        map: &'a Snapshot<'a>,
        value: &'a Merged,
    },
    /// `print(@m)`; and all maps at the end (then not `explicit`: an unset scalar prints nothing).
    Map {
        map: &'a Snapshot<'a>,
        top: u32,
        div: u32,
        explicit: bool,
    },
    Time(&'a [u8]),
    Join(&'a [u8]),
    Cat(&'a [u8]),
    System(&'a [u8]),
    /// Probes that attached.
    Attached(usize),
    /// A probe that did not attach, with the reason.
    NotAttached {
        probe: &'a str,
        why: &'a str,
        remedy: Option<&'a str>,
        at: &'a Location,
    },
    /// Events lost since this was last told.
    LostEvents(u64),
    /// The whole table, at the end.
    Losses(&'a [Lost]),
    /// What the probes cost, at the end.
    Cost(&'a [Cost]),
    /// A test was run: `names` of all, the time it took, which passed so far (it is the last), and what it said.
    Test {
        names: &'a [String],
        index: usize,
        ns: u64,
        passed: &'a [bool],
        output: &'a [u8],
    },
    /// A benchmark was run: the mean time of a run.
    Bench {
        names: &'a [String],
        index: usize,
        ns: u64,
        runs: u64,
    },
    /// The run is over: maps follow.
    End,
    /// A join's result.
    Joined(&'a Shown<'a>),
    /// What is known of one so far; it still comes.
    Early(&'a Shown<'a>),
    /// What a join did: at the end, or in between while nothing is to be told (`heartbeat`).
    Summary {
        join: &'a str,
        summary: &'a Summary,
        heartbeat: bool,
        /// The time, in CLOCK_REALTIME ns: heartbeats have one.
        wall: u64,
    },
    /// An alert fires, or no longer does: both forms ready, without a newline at the end.
    Alert {
        text: &'a [u8],
        json: &'a [u8],
    },
}

/// Takes messages; buffers until [`Sink::flush`].
pub trait Sink {
    fn message(&mut self, message: &Message<'_>, style: &mut Style<'_>) -> io::Result<()>;
    fn flush(&mut self) -> io::Result<()>;
}

/// A buffer is written when it holds this much, flush or not.
const FULL: usize = 64 * 1024;

/// Bytes on their way to a writer.
pub(crate) struct Buffered {
    bytes: Vec<u8>,
    to: Box<dyn io::Write>,
}

impl Buffered {
    pub(crate) fn new(to: Box<dyn io::Write>) -> Self {
        Self { bytes: Vec::new(), to }
    }

    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    pub(crate) fn write_if_full(&mut self) -> io::Result<()> {
        if self.bytes.len() >= FULL { self.write() } else { Ok(()) }
    }

    pub(crate) fn write(&mut self) -> io::Result<()> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        let result = self.to.write_all(&self.bytes);
        self.bytes.clear();
        result
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.write()?;
        self.to.flush()
    }
}

#[cfg(test)]
mod tests;

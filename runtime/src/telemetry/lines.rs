//! Lines of JSON from files and sockets.

use super::{
    connections::{Place, each_connection},
    intake::Intake,
    place::SocketFile,
};
use crate::sys;
use std::{
    collections::VecDeque,
    fs,
    future::ready,
    io::{BufRead, Read},
    sync::Arc,
    task::Context,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    net::{TcpListener, UnixListener},
};
use weftrace_probes::telemetry::{
    Record, Taken, bytes_of, left_out,
    lines::{self, MAX_LINE},
    without_their_trace,
};

/// Bytes that are read at once.
pub(super) const CHUNK: usize = 64 << 10;

/// Puts lines together from pieces.
#[derive(Default)]
pub(super) struct Lines {
    rest: Vec<u8>,
    /// The rest of a line that is too long is thrown away.
    skipping: bool,
}

impl Lines {
    /// Takes a piece and hands on the lines that end in it.
    pub(super) fn feed(&mut self, mut piece: &[u8], intake: &Intake) {
        let mut taken = Taken::default();
        let now = sys::now(libc::CLOCK_REALTIME);
        while let Some(end) = piece.iter().position(|b| *b == b'\n') {
            let (head, tail) = (&piece[..end], &piece[end + 1..]);
            if std::mem::take(&mut self.skipping) {
                self.rest.clear();
            } else if self.rest.is_empty() {
                lines::line(head, now, &mut taken);
            } else {
                self.rest.extend_from_slice(head);
                lines::line(&self.rest, now, &mut taken);
                self.rest.clear();
            }
            piece = tail;
        }
        if self.rest.len() + piece.len() > MAX_LINE {
            if !std::mem::replace(&mut self.skipping, true) {
                intake.malformed();
            }
            self.rest.clear();
        } else if !self.skipping {
            self.rest.extend_from_slice(piece);
        }
        intake.offer(taken);
    }

    /// The rest of what was read is gone, and what it began with is no line.
    pub(super) fn drop_rest(&mut self, intake: &Intake) {
        if !std::mem::take(&mut self.skipping) && !self.rest.is_empty() {
            intake.malformed();
        }
        self.rest.clear();
    }

    /// There is no more: the last line needs no end.
    pub(super) fn finish(&mut self, intake: &Intake) {
        if !self.rest.is_empty() {
            self.feed(b"\n", intake);
        }
    }
}

/// Lines from whatever connects; `file`, the socket's name, goes with it.
pub(super) async fn listen_unix(listener: UnixListener, file: SocketFile, intake: Arc<Intake>) {
    let accept = |cx: &mut Context<'_>| listener.poll_accept(cx).map_ok(|(stream, _)| stream);
    each_connection(accept, read, |_| ready(()), intake).await;
    drop(file);
}

pub(super) async fn listen_tcp(listener: TcpListener, intake: Arc<Intake>) {
    let accept = |cx: &mut Context<'_>| listener.poll_accept(cx).map_ok(|(stream, _)| stream);
    each_connection(accept, read, |_| ready(()), intake).await;
}

/// Reads a connection to its end. Between two lines it isn't idle: who writes them has no answer to know by that one was not read.
async fn read(mut from: impl AsyncRead + Unpin, place: Arc<Place>, intake: Arc<Intake>) {
    let _busy = place.busy();
    let mut lines = Lines::default();
    let mut chunk = vec![0; CHUNK];
    while let Ok(n @ 1..) = from.read(&mut chunk).await {
        lines.feed(&chunk[..n], &intake);
    }
    lines.finish(&intake);
}

/// Of recordings so many bytes are read, and kept, at most.
const RECORDED: usize = 256 << 20;

/// What files held of spans and log records.
#[derive(Default)]
pub(crate) struct Recorded {
    /// By the time they ended.
    pub(crate) records: VecDeque<Record>,
    /// Could not be used, or were too many.
    pub(crate) unusable: u64,
    /// Log records without the trace id that they came with.
    pub(crate) untraced: u64,
    /// Attributes that were left out.
    pub(crate) attributes: u64,
}

/// Reads whole files, for runs over recordings.
pub(super) fn read_all(files: Vec<fs::File>, wanted: impl Fn(&Record) -> bool) -> Recorded {
    let (mut records, mut unusable, mut untraced, mut attributes, mut bytes) = (Vec::new(), 0, 0, 0, 0);
    for file in files {
        let mut reader = std::io::BufReader::new(file);
        let mut line = Vec::new();
        // What can't be read any more ends the file.
        while line_of(&mut reader, &mut line).is_ok_and(|n| n > 0) {
            let mut taken = Taken::default();
            lines::line(&line, 0, &mut taken);
            unusable += taken.rejected;
            taken.records.retain(&wanted);
            bytes += bytes_of(&taken.records);
            if bytes > RECORDED {
                unusable += taken.records.len() as u64;
            } else {
                attributes += left_out(&taken.records);
                untraced += without_their_trace(&taken.records);
                records.append(&mut taken.records);
            }
        }
    }
    records.sort_by_key(|record| record.end);
    Recorded { records: records.into(), unusable, untraced, attributes }
}

/// The next line, or as much of it as a line may have.
fn line_of(reader: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<usize> {
    line.clear();
    reader.take(MAX_LINE as u64).read_until(b'\n', line)
}

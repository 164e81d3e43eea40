//! Reads one capture, of either format, in large pieces.

use super::error::{Damage, SourceError};
use super::pcap::Pcap;
use super::pcapng::PcapNg;
use crate::packet::{LinkType, RawPacket};
use std::io::{ErrorKind, Read};
use std::ops::Range;

const BUFFER: usize = 1 << 18;
/// A record or block that claims more is damage.
pub(super) const MAX_RECORD: usize = 16 << 20;

/// Input with a window of bytes in memory.
pub(super) struct Window<R> {
    input: R,
    buf: Vec<u8>,
    from: usize,
    to: usize,
    /// Offset in the file of `from`.
    pub(super) offset: u64,
    eof: bool,
}

impl<R: Read> Window<R> {
    fn new(input: R) -> Self {
        Self { input, buf: Vec::new(), from: 0, to: 0, offset: 0, eof: false }
    }

    /// Tries to have `n` bytes in the window; says how many there are.
    pub(super) fn fill(&mut self, n: usize) -> std::io::Result<usize> {
        if self.to - self.from >= n {
            return Ok(self.to - self.from);
        }
        if self.from + n > self.buf.len() {
            self.buf.copy_within(self.from..self.to, 0);
            (self.from, self.to) = (0, self.to - self.from);
            self.buf.resize(self.buf.len().max(n).max(BUFFER), 0);
        }
        while self.to - self.from < n && !self.eof {
            match self.input.read(&mut self.buf[self.to..]) {
                Ok(0) => self.eof = true,
                Ok(read) => self.to += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.to - self.from)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.buf[self.from..self.to]
    }

    pub(super) fn consume(&mut self, n: usize) {
        let n = n.min(self.to - self.from);
        self.from += n;
        self.offset += n as u64;
    }
}

/// A record of either format: where its packet lies in the window (from its start), and what is known of it.
pub(super) struct Record {
    pub(super) size: usize,
    pub(super) data: Range<usize>,
    pub(super) len: u32,
    pub(super) link: LinkType,
    pub(super) interface: u32,
    pub(super) time_ns: u64,
}

/// What a format found next.
pub(super) enum Item {
    Packet(Record),
    /// A block without a packet, of this size: to be passed over.
    Skip(usize),
    End,
    Broken(String),
}

enum Format {
    Unknown,
    Pcap(Pcap),
    PcapNg(PcapNg),
}

/// One capture. After an error there is nothing more to read.
pub struct CaptureReader<R> {
    window: Window<R>,
    format: Format,
    file: String,
    size: Option<u64>,
    records: u64,
    packets: u64,
    /// The last packet, still in the window.
    record: Option<Record>,
    over: bool,
}

impl<R: Read> CaptureReader<R> {
    /// `file` is its name in errors.
    pub fn new(input: R, file: impl Into<String>) -> Self {
        let window = Window::new(input);
        Self {
            window,
            format: Format::Unknown,
            file: file.into(),
            size: None,
            records: 0,
            packets: 0,
            record: None,
            over: false,
        }
    }

    /// The size of the file, so that damage can tell what was not read.
    pub fn with_size(mut self, size: u64) -> Self {
        self.size = Some(size);
        self
    }

    /// Bytes consumed so far, for a progress bar.
    pub fn offset(&self) -> u64 {
        self.window.offset
    }

    /// The next packet, numbered from 1; None at the end.
    pub fn next_packet(&mut self) -> Result<Option<RawPacket<'_>>, SourceError> {
        Ok(if self.advance()? { self.current() } else { None })
    }

    /// Goes on to the next packet; false at the end.
    pub(super) fn advance(&mut self) -> Result<bool, SourceError> {
        if let Some(record) = self.record.take() {
            self.window.consume(record.size);
        }
        while !self.over {
            let item = match &mut self.format {
                Format::Unknown => {
                    self.detect()?;
                    continue;
                }
                Format::Pcap(format) => format.next(&mut self.window),
                Format::PcapNg(format) => format.next(&mut self.window),
            };
            let item = item.map_err(|error| self.io(error))?;
            self.records += 1;
            match item {
                Item::Packet(record) => {
                    self.packets += 1;
                    self.record = Some(record);
                    return Ok(true);
                }
                Item::Skip(size) => self.window.consume(size),
                Item::End => self.over = true,
                Item::Broken(what) => {
                    self.over = true;
                    return Err(self.damage(what));
                }
            }
        }
        Ok(false)
    }

    /// The packet that `advance` found.
    pub(super) fn current(&mut self) -> Option<RawPacket<'_>> {
        let record = self.record.as_ref()?;
        Some(RawPacket {
            data: self.window.bytes().get(record.data.clone())?,
            len: record.len,
            link: record.link,
            interface: record.interface,
            netns: 0,
            number: self.packets,
            time_ns: record.time_ns,
            boot_ns: None,
            live: false,
        })
    }

    fn detect(&mut self) -> Result<(), SourceError> {
        let there = self.window.fill(24).map_err(|error| self.io(error))?;
        let head = self.window.bytes();
        if let Some((format, size)) = Pcap::detect(head) {
            self.window.consume(size);
            self.format = Format::Pcap(format);
        } else if PcapNg::detect(head) {
            self.format = Format::PcapNg(PcapNg::default());
        } else {
            self.over = true;
            // The first bytes of either, then nothing: cut short.
            if (4..24).contains(&there) && Pcap::is_magic(head) {
                self.records = 1;
                return Err(self.damage("is the file header, cut short".into()));
            }
            return Err(SourceError::NotACapture { file: self.file.clone(), seems: seems(head) });
        }
        Ok(())
    }

    fn damage(&self, what: String) -> SourceError {
        let offset = self.window.offset;
        let unread_bytes = self.size.map(|size| size.saturating_sub(offset));
        Damage { file: self.file.clone(), record: self.records, offset, what, unread_bytes }.into()
    }

    fn io(&mut self, error: std::io::Error) -> SourceError {
        self.over = true;
        SourceError::Io { file: self.file.clone(), error }
    }
}

/// "3.1 GB", for claims in errors.
pub(super) fn human(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    for (unit, name) in UNITS {
        if bytes >= unit {
            return format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit);
        }
    }
    format!("{bytes} bytes")
}

/// What a file that begins so is, if it is no capture.
fn seems(head: &[u8]) -> &'static str {
    match head {
        [] => ": it is empty",
        [0x1f, 0x8b, ..] => ": it is compressed; write zcat FILE | weftrace --read - …",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => ": it is compressed; write zstdcat FILE | weftrace --read - …",
        [0xfd, b'7', b'z', b'X', b'Z', ..] => ": it is compressed; write xzcat FILE | weftrace --read - …",
        _ => "",
    }
}

//! Reads one capture, of either format, in large pieces.

use super::compressed::{Packing, Unpacker};
use super::error::{Damage, SourceError};
use super::pcap::Pcap;
use super::pcapng::{Drops, PcapNg, Secrets};
use crate::packet::{LinkType, RawPacket};
use std::io::{ErrorKind, Read};
use std::ops::Range;

const BUFFER: usize = 1 << 18;
/// A record or block that claims more is damage.
pub(super) const MAX_RECORD: usize = 16 << 20;

/// Where bytes come from: the file as it is, or unpacked.
enum Input<R: Read> {
    Plain(R),
    Packed(Box<Unpacker<R>>),
    /// While it changes from one to the other.
    Nothing,
}

impl<R: Read> Input<R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(input) => input.read(buf),
            Self::Packed(input) => input.read(buf),
            Self::Nothing => Ok(0),
        }
    }
}

/// Input with a window of bytes in memory.
pub(super) struct Window<R: Read> {
    input: Input<R>,
    buf: Vec<u8>,
    from: usize,
    to: usize,
    /// Offset in the file of `from`.
    pub(super) offset: u64,
    eof: bool,
}

impl<R: Read> Window<R> {
    fn new(input: R) -> Self {
        Self { input: Input::Plain(input), buf: Vec::new(), from: 0, to: 0, offset: 0, eof: false }
    }

    /// What is in the window is packed: from here on it holds what that unpacks to.
    fn unpack(&mut self, packing: Packing) {
        if let Input::Plain(input) = std::mem::replace(&mut self.input, Input::Nothing) {
            let already = self.bytes().to_vec();
            self.input = Input::Packed(Box::new(Unpacker::new(packing, already, input)));
            (self.from, self.to, self.eof) = (0, 0, false);
        }
    }

    fn packing(&self) -> Option<Packing> {
        match &self.input {
            Input::Packed(input) => Some(input.packing),
            Input::Plain(_) | Input::Nothing => None,
        }
    }

    /// Tries to have `n` bytes in the window; says how many there are.
    #[inline]
    pub(super) fn fill(&mut self, n: usize) -> std::io::Result<usize> {
        let there = self.to - self.from;
        if there >= n { Ok(there) } else { self.read_on(n) }
    }

    #[cold]
    fn read_on(&mut self, n: usize) -> std::io::Result<usize> {
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

    #[inline]
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
    /// Its options (pcapng).
    pub(super) options: Range<usize>,
}

/// What a format found next.
pub(super) enum Item {
    Packet(Record),
    /// A block of somebody's own: the enterprise's number, and where its data lies.
    Custom(u32, Range<usize>, usize),
    /// A block without a packet, of this size: to be passed over.
    Skip(usize),
    End,
    Broken(String),
}

/// What a capture has next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A packet of this time.
    Packet(u64),
    /// A block of somebody's own, for who asked for those.
    Custom,
    /// The input has nothing yet.
    NotYet,
    End,
}

enum Format {
    Unknown,
    Pcap(Pcap),
    PcapNg(PcapNg),
}

/// One capture. After an error there is nothing more to read.
pub struct CaptureReader<R: Read> {
    window: Window<R>,
    format: Format,
    file: String,
    size: Option<u64>,
    records: u64,
    packets: u64,
    /// The last packet, still in the window.
    record: Option<Record>,
    /// The last block of somebody's own, and its size.
    custom: Option<(u32, Range<usize>, usize)>,
    wants_custom: bool,
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
            custom: None,
            wants_custom: false,
            over: false,
        }
    }

    /// Blocks of somebody's own are found too.
    pub fn with_custom_blocks(mut self) -> Self {
        self.wants_custom = true;
        self
    }

    /// The enterprise's number and the data of the block that [`Found::Custom`] told of.
    pub fn custom(&self) -> Option<(u32, &[u8])> {
        let (enterprise, data, _) = self.custom.as_ref()?;
        Some((*enterprise, self.window.bytes().get(data.clone())?))
    }

    /// The data of the packet's first option that an enterprise made.
    pub fn custom_option(&self, enterprise: u32) -> Option<&[u8]> {
        let Format::PcapNg(format) = &self.format else { return None };
        format.custom_option(self.window.bytes().get(self.record.as_ref()?.options.clone())?, enterprise)
    }

    /// The size of the file, so that damage can tell what was not read.
    pub fn with_size(mut self, size: u64) -> Self {
        self.size = Some(size);
        self
    }

    /// Bytes consumed so far (unpacked, if it is compressed), for a progress bar.
    pub fn offset(&self) -> u64 {
        self.window.offset
    }

    /// The next packet, numbered from 1; None at the end.
    pub fn next_packet(&mut self) -> Result<Option<RawPacket<'_>>, SourceError> {
        Ok(if let Found::Packet(_) = self.advance()? { self.current() } else { None })
    }

    /// Keys for decryption came that nobody took.
    pub(super) fn has_secrets(&self) -> bool {
        matches!(&self.format, Format::PcapNg(format) if format.has_secrets())
    }

    /// Keys for decryption that came so far, each once.
    pub fn take_secrets(&mut self) -> Vec<Secrets> {
        match &mut self.format {
            Format::PcapNg(format) => format.take_secrets(),
            Format::Unknown | Format::Pcap(_) => Vec::new(),
        }
    }

    /// What the file says was dropped while it was captured, as far as it was read.
    pub fn drops(&self) -> Drops {
        match &self.format {
            Format::PcapNg(format) => format.drops(),
            Format::Unknown | Format::Pcap(_) => Drops::default(),
        }
    }

    /// Goes on to the next packet.
    pub fn advance(&mut self) -> Result<Found, SourceError> {
        if let Some(record) = &self.record {
            self.window.consume(record.size);
            self.record = None;
        }
        if let Some((.., size)) = self.custom.take() {
            self.window.consume(size);
        }
        while !self.over {
            let item = match &mut self.format {
                Format::Unknown => match self.detect() {
                    Ok(true) => continue,
                    Ok(false) => return Ok(Found::NotYet),
                    Err(error) => return Err(error),
                },
                Format::Pcap(format) => format.next(&mut self.window),
                Format::PcapNg(format) => format.next(&mut self.window),
            };
            let item = match item {
                Ok(item) => item,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Found::NotYet),
                Err(error) => {
                    self.records += 1;
                    return Err(self.io(error));
                }
            };
            self.records += 1;
            match item {
                Item::Packet(record) => {
                    self.packets += 1;
                    let time = record.time_ns;
                    self.record = Some(record);
                    return Ok(Found::Packet(time));
                }
                Item::Custom(enterprise, data, size) if self.wants_custom => {
                    self.custom = Some((enterprise, data, size));
                    return Ok(Found::Custom);
                }
                Item::Custom(.., size) | Item::Skip(size) => self.window.consume(size),
                Item::End => self.over = true,
                Item::Broken(what) => {
                    self.over = true;
                    return Err(self.damage(what));
                }
            }
        }
        Ok(Found::End)
    }

    /// The packet that `advance` found.
    #[inline]
    pub fn current(&mut self) -> Option<RawPacket<'_>> {
        let record = self.record.as_ref()?;
        let device = match &self.format {
            Format::PcapNg(format) if self.wants_custom => format.device(record.interface),
            _ => "",
        };
        Some(RawPacket {
            data: self.window.bytes().get(record.data.clone())?,
            len: record.len,
            link: record.link,
            interface: record.interface,
            netns: 0,
            number: self.packets,
            time_ns: record.time_ns,
            boot_ns: None,
            device,
            live: false,
        })
    }

    /// Finds out the format; false: the input has not enough yet.
    fn detect(&mut self) -> Result<bool, SourceError> {
        let there = match self.window.fill(24) {
            Ok(there) => there,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => {
                self.records = 1;
                return Err(self.io(error));
            }
        };
        let head = self.window.bytes();
        if let Some((format, size)) = Pcap::detect(head) {
            self.window.consume(size);
            self.format = Format::Pcap(format);
        } else if PcapNg::detect(head) {
            self.format = Format::PcapNg(PcapNg::default());
        } else if let Some(packing) = Packing::detect(head).filter(|_| self.window.packing().is_none()) {
            self.window.unpack(packing);
        } else {
            self.over = true;
            // The first bytes of either, then nothing: cut short.
            if (4..24).contains(&there) && Pcap::is_magic(head) {
                self.records = 1;
                return Err(self.damage("is the file header, cut short".into()));
            }
            let seems = match self.window.packing() {
                Some(Packing::Gzip) => " in its gzip data",
                Some(Packing::Zstd) => " in its zstd data",
                None => seems(head),
            };
            return Err(SourceError::NotACapture { file: self.file.clone(), seems });
        }
        Ok(true)
    }

    fn damage(&self, what: String) -> SourceError {
        let offset = self.window.offset;
        let unpacked = self.window.packing().is_some();
        let unread_bytes = self.size.filter(|_| !unpacked).map(|size| size.saturating_sub(offset));
        Damage { file: self.file.clone(), record: self.records, offset, unpacked, what, unread_bytes }.into()
    }

    fn io(&mut self, error: std::io::Error) -> SourceError {
        self.over = true;
        match self.window.packing() {
            Some(packing) => {
                self.damage(format!("is not there: the {} data {}", packing.name(), Unpacker::<R>::words(&error)))
            }
            None => SourceError::Io { file: self.file.clone(), error },
        }
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
        [0x1f, 0x8b | 0x9d | 0xa0, ..] => ": it is compressed; write zcat FILE | weftrace --read - …",
        [4, 0x22, 0x4d, 0x18, ..] => ": it is compressed; write lz4cat FILE | weftrace --read - …",
        [b'B', b'Z', b'h', ..] => ": it is compressed; write bzcat FILE | weftrace --read - …",
        [b'P', b'K', 3, 4, ..] => ": it is an archive; write unzip -p FILE | weftrace --read - …",
        [0xfd, b'7', b'z', b'X', b'Z', ..] => ": it is compressed; write xzcat FILE | weftrace --read - …",
        _ => "",
    }
}

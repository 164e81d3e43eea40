//! A recording's events and packets, in order. The file may be cut short, or made to harm: what can't be read is told, and
//! what came before it stands.

use super::{
    ENTERPRISE, MAGIC, OLDEST, VERSION,
    code::Reader,
    event::{Event, Kept},
    run::{Compiled, Run},
    sealed::{MAGIC as MAGIC_OF_AGE, Passphrase, SealError, Unseal},
};
use std::{
    fmt,
    fs::{File, Metadata},
    io::{self, Cursor, Read},
    path::{Path, PathBuf},
};
use weftrace_probes::packet::{
    RawPacket,
    source::{CaptureReader, Found, SourceError},
};

/// Blocks before the one that says what was run: the section's, some interfaces.
const PREAMBLE: usize = 64;

#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    #[error("{0}")]
    Source(#[from] SourceError),
    #[error("{}: this is a capture file without a recording", .0.display())]
    NotARecording(PathBuf),
    #[error("{}: {error}", path.display())]
    Sealed { path: PathBuf, error: SealError },
    #[error("{}: {what}", path.display())]
    Other { path: PathBuf, what: String },
}

/// A recording that was opened, to be replayed: what it says of itself has been read.
pub struct Recorded(pub(crate) Recording);

impl fmt::Debug for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Recorded").field(&self.0.path).finish()
    }
}

impl Recorded {
    /// The script's name and text, then those of its imports.
    pub fn sources(&self) -> &[(String, String)] {
        &self.0.run.sources
    }

    /// What the command line gave the script: (kind, name, value).
    pub fn arguments(&self) -> &[(String, String, String)] {
        &self.0.run.arguments
    }

    /// `--count`
    pub fn count(&self) -> Option<u64> {
        Some(self.0.run.count).filter(|n| *n > 0)
    }

    pub fn streams(&self) -> impl Iterator<Item = &str> {
        self.0.run.streams.iter().map(|stream| stream.name.as_str())
    }

    pub fn is_redacted(&self) -> bool {
        self.0.run.redacted
    }

    /// What the host answered when the script was compiled ([`super::RecordOptions::world`]), if it is there: then the whole script is replayed.
    pub fn world(&self) -> Option<&[u8]> {
        self.0.compiled.as_ref().map(|compiled| &compiled.world[..]).filter(|world| !world.is_empty())
    }

    /// The version of weftrace that made it.
    pub fn version(&self) -> &str {
        &self.0.run.version
    }
}

/// Opens a recording (`-`: stdin) and reads what it says of itself. Pipes are read once, so it is opened once.
pub fn open(path: &Path, passphrase: Option<&Passphrase>) -> Result<Recorded, RecordingError> {
    Recording::open(path, passphrase).map(Recorded)
}

/// What comes next.
pub(crate) enum Next<'a> {
    Event(Event),
    Packet(RawPacket<'a>, Kept),
    /// A packet that others put into the file.
    Foreign,
    End,
}

pub(crate) struct Recording {
    reader: CaptureReader<Box<dyn Read + Send>>,
    path: PathBuf,
    pub(crate) run: Run,
    pub(crate) compiled: Option<Compiled>,
    /// Events of the block at hand that were not handed out.
    events: Vec<u8>,
    at: usize,
    /// The reader's packet was not handed out.
    packet: bool,
}

impl Recording {
    pub(crate) fn open(path: &Path, passphrase: Option<&Passphrase>) -> Result<Self, RecordingError> {
        let other = |what: String| RecordingError::Other { path: path.to_owned(), what };
        let sealed = |error| RecordingError::Sealed { path: path.to_owned(), error };
        let (mut input, mut size): (Box<dyn Read + Send>, _) = if path == Path::new("-") {
            (Box::new(io::stdin()), None)
        } else {
            let file = File::open(path).map_err(|e| other(e.to_string()))?;
            let size = file.metadata().ok().filter(Metadata::is_file).map(|m| m.len());
            (Box::new(file), size)
        };
        let mut head = Vec::new();
        input.by_ref().take(MAGIC_OF_AGE.len() as u64).read_to_end(&mut head).map_err(|e| other(e.to_string()))?;
        let is_sealed = head == MAGIC_OF_AGE;
        let mut input: Box<dyn Read + Send> = Box::new(Cursor::new(head).chain(input));
        if is_sealed {
            (input, size) = (Box::new(Unseal::new(input, passphrase).map_err(sealed)?), None);
        }
        let reader = CaptureReader::new(input, path.display().to_string()).with_custom_blocks();
        let reader = if let Some(size) = size { reader.with_size(size) } else { reader };
        let mut recording = Self {
            reader,
            path: path.to_owned(),
            run: Run::default(),
            compiled: None,
            events: Vec::new(),
            at: 0,
            packet: false,
        };
        for _ in 0..PREAMBLE {
            match recording.next()? {
                Next::Event(Event::Run(run)) => {
                    recording.run = *run;
                    recording.check()?;
                    recording.take_compiled();
                    return Ok(recording);
                }
                Next::Event(_) | Next::Foreign | Next::Packet(..) => {}
                Next::End => break,
            }
        }
        Err(RecordingError::NotARecording(path.to_owned()))
    }

    fn check(&self) -> Result<(), RecordingError> {
        if self.run.little_endian == cfg!(target_endian = "little") {
            return Ok(());
        }
        Err(self.other("it was made on a machine of the other byte order"))
    }

    fn other(&self, what: &str) -> RecordingError {
        RecordingError::Other { path: self.path.clone(), what: what.to_owned() }
    }

    /// What the script was compiled to, if that comes next.
    fn take_compiled(&mut self) {
        let mut reader = Reader(&self.events[self.at..]);
        if let Some(Event::Compiled(compiled)) = Event::take(&mut reader) {
            self.at = self.events.len() - reader.0.len();
            self.compiled = Some(*compiled);
        }
    }

    /// The next event that only tells what later ones ask for, if one comes next.
    pub(crate) fn next_told_ahead(&mut self) -> Result<Option<Event>, RecordingError> {
        let told_ahead = self.has_events()? && Event::is_told_ahead(self.events[self.at]);
        if !told_ahead {
            return Ok(None);
        }
        match self.next()? {
            Next::Event(event) => Ok(Some(event)),
            _ => Ok(None),
        }
    }

    /// The next event or packet; after an error there is nothing more.
    pub(crate) fn next(&mut self) -> Result<Next<'_>, RecordingError> {
        if self.has_events()? {
            let mut reader = Reader(&self.events[self.at..]);
            let Some(event) = Event::take(&mut reader) else {
                self.at = self.events.len();
                return Err(self.other("an event is damaged, or of a newer weftrace"));
            };
            self.at = self.events.len() - reader.0.len();
            return Ok(Next::Event(event));
        }
        if !std::mem::take(&mut self.packet) {
            return Ok(Next::End);
        }
        let kept = self.reader.custom_option(ENTERPRISE).and_then(|own| Kept::take(own.strip_prefix(&MAGIC[..])?));
        let Some(kept) = kept else { return Ok(Next::Foreign) };
        match self.reader.current() {
            Some(raw) => Ok(Next::Packet(raw, kept)),
            None => Ok(Next::Foreign),
        }
    }
}

impl Recording {
    /// Goes on to the next block of events or packet; whether it is events.
    fn has_events(&mut self) -> Result<bool, RecordingError> {
        loop {
            if self.at < self.events.len() {
                return Ok(true);
            }
            if self.packet {
                return Ok(false);
            }
            match self.reader.advance()? {
                Found::Custom => self.take_block()?,
                Found::Packet(_) => self.packet = true,
                Found::NotYet | Found::End => return Ok(false),
            }
        }
    }

    /// A custom block's events, if it is one of ours.
    fn take_block(&mut self) -> Result<(), RecordingError> {
        let block = self.reader.custom().filter(|(enterprise, _)| *enterprise == ENTERPRISE);
        let Some(own) = block.and_then(|(_, data)| data.strip_prefix(&MAGIC[..])) else { return Ok(()) };
        let version = own.first_chunk().map_or(0, |bytes| u16::from_le_bytes(*bytes));
        if !(OLDEST..=VERSION).contains(&version) {
            let what = format!("its format is version {version}, this weftrace reads {OLDEST} to {VERSION}");
            return Err(self.other(&what));
        }
        // Blocks are filled up to four bytes: how many are events is said.
        let Some(events) = own.get(4..).and_then(|rest| Reader(rest).bytes()) else {
            return Err(self.other("a block of events is cut short"));
        };
        (self.events, self.at) = (events.to_vec(), 0);
        Ok(())
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;

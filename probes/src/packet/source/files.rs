//! Several captures in order, as one stream of packets.

use super::error::SourceError;
use super::reader::CaptureReader;
use crate::packet::RawPacket;
use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Captures read one after the other. Packets are numbered over all of them. An error ends one capture; calling on
/// continues with the next.
pub struct Captures {
    waiting: VecDeque<PathBuf>,
    current: Option<CaptureReader<Box<dyn Read + Send>>>,
    /// Packets of the captures already read.
    before: u64,
    number: u64,
    bytes_before: u64,
}

impl Captures {
    /// `-` is standard input.
    pub fn new(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { waiting: paths.into_iter().collect(), current: None, before: 0, number: 0, bytes_before: 0 }
    }

    /// Bytes read so far, for a progress bar.
    pub fn offset(&self) -> u64 {
        self.bytes_before + self.current.as_ref().map_or(0, CaptureReader::offset)
    }

    /// The next packet of any capture; None after the last.
    pub fn next_packet(&mut self) -> Result<Option<RawPacket<'_>>, SourceError> {
        loop {
            if self.current.is_none() {
                let Some(path) = self.waiting.pop_front() else { return Ok(None) };
                self.current = Some(open(&path)?);
                self.before = self.number;
            }
            // Two steps, since the borrow of a packet that is returned would last through the loop.
            if self.advance()? {
                break;
            }
        }
        let before = self.before;
        let packet = self.current.as_mut().and_then(CaptureReader::current);
        Ok(packet.map(|packet| RawPacket { number: before + packet.number, ..packet }))
    }

    fn advance(&mut self) -> Result<bool, SourceError> {
        let Some(reader) = &mut self.current else { return Ok(false) };
        let found = reader.advance();
        match found {
            Ok(true) => {
                self.number += 1;
                Ok(true)
            }
            Ok(false) => {
                self.close();
                Ok(false)
            }
            Err(error) => {
                self.close();
                Err(error)
            }
        }
    }

    fn close(&mut self) {
        if let Some(reader) = self.current.take() {
            self.bytes_before += reader.offset();
        }
    }
}

fn open(path: &Path) -> Result<CaptureReader<Box<dyn Read + Send>>, SourceError> {
    if path.as_os_str() == "-" {
        return Ok(CaptureReader::new(Box::new(std::io::stdin()), "standard input"));
    }
    let name = path.display().to_string();
    let opened = File::open(path).and_then(|file| Ok((file.metadata()?, file)));
    let (metadata, file) = opened.map_err(|error| SourceError::Io { file: name.clone(), error })?;
    let reader = CaptureReader::<Box<dyn Read + Send>>::new(Box::new(file), name);
    Ok(if metadata.is_file() { reader.with_size(metadata.len()) } else { reader })
}

//! Several captures as one stream of packets, in the order of their times.

use super::error::SourceError;
use super::pcapng::{Drops, Secrets};
use super::reader::{CaptureReader, Found};
use crate::kernel::sys::readable;
use crate::packet::RawPacket;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

type Reader = CaptureReader<Box<dyn Read + Send>>;

/// Captures merged by time, as mergecap does it: the next packet is the earliest of those that come next in each file. So the
/// pieces of a rotated capture follow each other, and captures of one time from several places are one. Files whose time has
/// not come are closed. Packets are numbered over all of them. An error ends one capture; calling on continues with the others.
pub struct Captures {
    given: Vec<PathBuf>,
    errors: VecDeque<SourceError>,
    /// Not opened yet, the next to open last.
    waiting: Vec<Waiting>,
    open: Vec<Open>,
    /// Whose packet was last handed out.
    current: Option<usize>,
    number: u64,
    bytes_before: u64,
    drops_before: Drops,
}

struct Waiting {
    path: PathBuf,
    place: usize,
    /// Of its first packet.
    time: u64,
}

struct Open {
    reader: Reader,
    /// Among those given: decides where times are equal.
    place: usize,
    /// Of the packet that `reader` stands at; None: it is to be asked.
    time: Option<u64>,
    /// A pipe, which may have nothing yet.
    pipe: Option<OwnedFd>,
}

impl Captures {
    /// `-` is standard input.
    pub fn new(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        Self {
            given: paths.into_iter().collect(),
            errors: VecDeque::new(),
            waiting: Vec::new(),
            open: Vec::new(),
            current: None,
            number: 0,
            bytes_before: 0,
            drops_before: Drops::default(),
        }
    }

    /// Bytes read so far (unpacked where they are compressed), for a progress bar.
    pub fn offset(&self) -> u64 {
        self.bytes_before + self.open.iter().map(|open| open.reader.offset()).sum::<u64>()
    }

    /// Packets that the files say were dropped while they were captured, as far as they were read.
    pub fn drops(&self) -> Drops {
        let mut all = self.drops_before;
        self.open.iter().for_each(|open| all += open.reader.drops());
        all
    }

    /// The pipe that has no packet yet, after [`Captures::next_packet`] gave none.
    pub fn waits_for(&self) -> Option<BorrowedFd<'_>> {
        self.open.iter().filter(|open| open.time.is_none()).find_map(|open| Some(open.pipe.as_ref()?.as_fd()))
    }

    fn has_secrets(&self) -> bool {
        self.open.iter().any(|open| open.reader.has_secrets())
    }

    /// Keys for decryption that the files held so far, in their order; each is given once.
    pub fn take_secrets(&mut self) -> Vec<Secrets> {
        self.open.iter_mut().flat_map(|open| open.reader.take_secrets()).collect()
    }

    /// The next packet of any capture; None after the last, or if a pipe has none yet.
    pub fn next_packet(&mut self) -> Result<Option<RawPacket<'_>>, SourceError> {
        self.find_next()?;
        Ok(self.current())
    }

    /// The same, with the keys that the files hold before it.
    #[inline]
    pub fn next_with_secrets(&mut self) -> Result<Option<(RawPacket<'_>, Vec<Secrets>)>, SourceError> {
        self.find_next()?;
        let secrets = if self.has_secrets() { self.take_secrets() } else { Vec::new() };
        Ok(self.current().map(|packet| (packet, secrets)))
    }

    fn find_next(&mut self) -> Result<(), SourceError> {
        if let Some(at) = self.current.take()
            && let Some(open) = self.open.get_mut(at)
        {
            open.time = None;
        }
        self.current = self.earliest()?;
        self.number += u64::from(self.current.is_some());
        Ok(())
    }

    /// The packet that was handed out last.
    #[inline]
    pub fn current(&mut self) -> Option<RawPacket<'_>> {
        let packet = self.open.get_mut(self.current?)?.reader.current()?;
        Some(RawPacket { number: self.number, ..packet })
    }

    /// Which of the open files has the next packet.
    fn earliest(&mut self) -> Result<Option<usize>, SourceError> {
        if !self.given.is_empty() {
            self.prepare();
        }
        if !self.errors.is_empty()
            && let Some(error) = self.errors.pop_front()
        {
            return Err(error);
        }
        // Nearly always there is one file.
        if let [open] = &mut self.open[..]
            && self.waiting.is_empty()
            && open.time.is_none()
        {
            match open.reader.advance() {
                Ok(Found::Packet(time)) => {
                    open.time = Some(time);
                    return Ok(Some(0));
                }
                Ok(Found::NotYet | Found::Custom) => return Ok(None),
                Ok(Found::End) => self.close(0),
                Err(error) => {
                    self.close(0);
                    return Err(error);
                }
            }
        }
        loop {
            let mut at = 0;
            while let Some(open) = self.open.get_mut(at) {
                if open.time.is_none() {
                    match open.reader.advance() {
                        Ok(Found::Packet(time)) => open.time = Some(time),
                        Ok(Found::NotYet | Found::Custom) => return Ok(None),
                        Ok(Found::End) => {
                            self.close(at);
                            continue;
                        }
                        Err(error) => {
                            self.close(at);
                            return Err(error);
                        }
                    }
                }
                at += 1;
            }
            let first = self.open.iter().enumerate().min_by_key(|(_, open)| (open.time, open.place));
            let time = first.and_then(|(_, open)| open.time);
            let first = first.map(|(at, _)| at);
            match self.waiting.last() {
                Some(next) if time.is_none_or(|time| next.time <= time) => self.open_next()?,
                _ => return Ok(first),
            }
        }
    }

    fn open_next(&mut self) -> Result<(), SourceError> {
        let Some(Waiting { path, place, time: _ }) = self.waiting.pop() else { return Ok(()) };
        let (reader, pipe) = open(&path)?;
        self.open.push(Open { reader, place, time: None, pipe });
        Ok(())
    }

    fn close(&mut self, at: usize) {
        let mut open = self.open.swap_remove(at);
        self.bytes_before += open.reader.offset();
        self.drops_before += open.reader.drops();
        // Keys that came after the last packet are of no use to any other file.
        drop(open.reader.take_secrets());
    }

    /// When each file begins. A single one is opened at once, and so is what can be read only once.
    fn prepare(&mut self) {
        let given = std::mem::take(&mut self.given);
        let alone = given.len() == 1;
        for (place, path) in given.into_iter().enumerate() {
            let once = alone || path.as_os_str() == "-" || !path.is_file();
            let found = if once { open(&path).map(Some) } else { Ok(None) };
            match found {
                Ok(Some((reader, pipe))) => self.open.push(Open { reader, place, time: None, pipe }),
                Ok(None) => match first_time(&path) {
                    Ok(Some(time)) => self.waiting.push(Waiting { path, place, time }),
                    Ok(None) => {}
                    Err(error) => self.errors.push_back(error),
                },
                Err(error) => self.errors.push_back(error),
            }
        }
        self.waiting.sort_by_key(|file| std::cmp::Reverse((file.time, file.place)));
    }
}

/// Time of the first packet of these files, without what can be read only once.
pub fn first_packet_time(paths: &[PathBuf]) -> Option<u64> {
    paths.iter().filter(|path| path.is_file()).filter_map(|path| first_time(path).ok().flatten()).min()
}

fn first_time(path: &Path) -> Result<Option<u64>, SourceError> {
    let (mut reader, _) = open(path)?;
    match reader.advance()? {
        Found::Packet(time) => Ok(Some(time)),
        Found::NotYet | Found::Custom | Found::End => Ok(None),
    }
}

fn open(path: &Path) -> Result<(Reader, Option<OwnedFd>), SourceError> {
    let from_stdin = path.as_os_str() == "-";
    let name = if from_stdin { "standard input".to_owned() } else { path.display().to_string() };
    let opened = || -> io::Result<_> {
        let file = if from_stdin { File::from(io::stdin().as_fd().try_clone_to_owned()?) } else { File::open(path)? };
        let metadata = file.metadata()?;
        // Directories and files never keep a read waiting.
        let pipe =
            if metadata.is_file() || metadata.is_dir() { None } else { Some(file.as_fd().try_clone_to_owned()?) };
        Ok((file, metadata, pipe))
    };
    let (file, metadata, pipe) = opened().map_err(|error| SourceError::Io { file: name.clone(), error })?;
    let input: Box<dyn Read + Send> = if pipe.is_some() { Box::new(Pipe(file)) } else { Box::new(file) };
    let reader = CaptureReader::new(input, name);
    Ok((if metadata.is_file() { reader.with_size(metadata.len()) } else { reader }, pipe))
}

/// A pipe, terminal or socket. It may be shared with other programs, so it stays as it is: asked first, and read only if a read
/// gives something.
struct Pipe(File);

impl Read for Pipe {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if !readable(self.0.as_fd()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.0.read(buf)
    }
}

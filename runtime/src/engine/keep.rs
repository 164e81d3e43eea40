//! `capture()`: packets kept in the pcapng files of `--write`.

use super::core::Core;
use crate::{
    losses::LossKind,
    names::HostNames,
    pcapng::{self, Interface},
    record::create_private,
    sink::{Location, Message},
};
use std::{
    collections::VecDeque,
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};
use weftrace_artifact::action::{Action, LogLevel, Piece};
use weftrace_probes::packet::RawPacket;

/// Bytes that are gathered before they are written; what is there is also written whenever there is nothing else to do.
const GATHER: usize = 256 << 10;
/// Interfaces that one file describes.
const MAX_INTERFACES: usize = 4096;

/// `--write` and what goes with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeepOptions {
    pub path: PathBuf,
    /// A new file once one has so many bytes.
    pub size: Option<u64>,
    /// A new file once one spans so much time, ns.
    pub every: Option<u64>,
    /// The last so many files stay.
    pub files: Option<u32>,
}

impl KeepOptions {
    /// Files get numbers and times in their names.
    fn rolls(&self) -> bool {
        self.size.is_some() || self.every.is_some()
    }
}

/// A file being written.
struct Open {
    file: File,
    path: PathBuf,
    /// Bytes that lie in the file, all of whole blocks.
    written: u64,
    pending: Vec<u8>,
    /// Time of its first packet.
    since: u64,
    interfaces: Vec<Interface>,
}

/// Packets on their way to files.
pub(crate) struct Keeper {
    options: KeepOptions,
    /// Files that are read: (device, inode).
    read: Vec<(u64, u64)>,
    open: Option<Open>,
    number: u32,
    /// Files of this run, the oldest first, where only the last stay.
    files: VecDeque<PathBuf>,
    failed: bool,
    dropped: u64,
}

impl Keeper {
    /// The first file is made at once where its name is known, so that what is wrong with it is said before anything runs.
    pub(crate) fn new(options: KeepOptions, read: &[PathBuf]) -> io::Result<Self> {
        let read = read.iter().filter_map(|path| fs::metadata(path).ok()).map(|m| (m.dev(), m.ino())).collect();
        let mut keeper =
            Self { options, read, open: None, number: 0, files: VecDeque::new(), failed: false, dropped: 0 };
        if keeper.options.rolls() {
            let folder = keeper.options.path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            fs::read_dir(folder)?;
        } else {
            keeper.open(0, "")?;
        }
        Ok(keeper)
    }

    /// `out.pcapng` → `out_00001_20260131235959.pcapng`, as dumpcap names them.
    fn name(&self, stamp: &str) -> PathBuf {
        if !self.options.rolls() {
            return self.options.path.clone();
        }
        let stem = self.options.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut name = format!("{stem}_{:05}_{stamp}", self.number);
        if let Some(extension) = self.options.path.extension() {
            name.push('.');
            name.push_str(&extension.to_string_lossy());
        }
        self.options.path.with_file_name(name)
    }

    fn open(&mut self, since: u64, stamp: &str) -> io::Result<()> {
        self.number += 1;
        let path = self.name(stamp);
        if let Ok(there) = fs::metadata(&path)
            && self.read.contains(&(there.dev(), there.ino()))
        {
            return Err(io::Error::other("this file is being read: it is not overwritten"));
        }
        let file = create_private(&path)?;
        let pending = pcapng::section();
        if self.options.files.is_some() {
            self.files.push_back(path.clone());
        }
        self.open = Some(Open { file, path, written: 0, pending, since, interfaces: Vec::new() });
        while self.options.files.is_some_and(|most| self.files.len() > most.max(1) as usize) {
            if let Some(oldest) = self.files.pop_front() {
                // It may have been taken away already.
                let _ = fs::remove_file(oldest);
            }
        }
        Ok(())
    }

    /// Whether a packet of this time goes to a new file.
    fn full(&self, time: u64) -> bool {
        let Some(open) = &self.open else { return true };
        let bytes = open.written + open.pending.len() as u64;
        self.options.size.is_some_and(|most| bytes >= most)
            || self.options.every.is_some_and(|ns| time.saturating_sub(open.since) >= ns)
    }

    /// After an error the packet is not among those that wait to be written.
    fn packet(&mut self, raw: &RawPacket<'_>, comment: &[u8]) -> io::Result<()> {
        let Some(open) = &mut self.open else { return Err(io::Error::other("no file")) };
        if open.pending.len() >= GATHER {
            open.flush()?;
        }
        let index = match open.interfaces.iter().position(|known| known.is_of(raw)) {
            Some(index) => index,
            None if open.interfaces.len() >= MAX_INTERFACES => return Err(io::Error::other("too many interfaces")),
            None => {
                let interface = Interface::of(raw);
                interface.describe(&mut open.pending);
                open.interfaces.push(interface);
                open.interfaces.len() - 1
            }
        };
        pcapng::packet(&mut open.pending, index as u32, raw, comment);
        Ok(())
    }
}

impl Open {
    /// Writes what is gathered; what was written in part is taken back, so that the file ends with a whole block.
    fn flush(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        match self.file.write_all(&self.pending) {
            Ok(()) => self.written += self.pending.len() as u64,
            Err(error) => {
                let _ = self.file.set_len(self.written);
                return Err(error);
            }
        }
        self.pending.clear();
        Ok(())
    }
}

impl Core {
    /// Keeps a packet.
    pub(super) fn keep(&mut self, raw: &RawPacket<'_>, comment: Option<&[Piece]>, action: &Action, payload: &[u8]) {
        let Some(mut keeper) = self.keeper.take() else { return };
        if keeper.failed {
            keeper.dropped += 1;
            self.losses.set("capture()", LossKind::Analysis("kept"), keeper.dropped);
        } else {
            let text = comment.map(|pieces| self.format(pieces, action, payload)).unwrap_or_default();
            let done = roll(&mut keeper, raw.time_ns).and_then(|()| keeper.packet(raw, &text));
            self.scratch = text;
            if let Err(error) = done {
                self.keeping_failed(&mut keeper, &error, 1);
            }
        }
        self.keeper = Some(keeper);
    }

    /// No packet is kept any more; the script goes on. Lost are those that were gathered, and so many more.
    fn keeping_failed(&mut self, keeper: &mut Keeper, error: &io::Error, more: u64) {
        keeper.failed = true;
        keeper.dropped += more + keeper.open.as_ref().map_or(0, |open| pcapng::packets(&open.pending));
        self.losses.set("capture()", LossKind::Analysis("kept"), keeper.dropped);
        let path = keeper.open.as_ref().map_or(&keeper.options.path, |open| &open.path);
        let text = format!("--write {}: {error}; no more packets are kept", path.display());
        self.say(&Message::Log { level: LogLevel::Error, text: text.as_bytes(), at: &Location::default() });
    }

    /// What is gathered goes to the file.
    pub(super) fn flush_kept(&mut self) {
        let Some(mut keeper) = self.keeper.take() else { return };
        if !keeper.failed
            && let Some(open) = &mut keeper.open
            && let Err(error) = open.flush()
        {
            self.keeping_failed(&mut keeper, &error, 0);
        }
        self.keeper = Some(keeper);
    }
}

/// Begins a new file if it is time.
fn roll(keeper: &mut Keeper, time: u64) -> io::Result<()> {
    if !keeper.options.rolls() || !keeper.full(time) {
        return Ok(());
    }
    // An error is one of the file that couldn't be finished, which stays at hand with what waits for it.
    if let Some(open) = &mut keeper.open {
        open.flush()?;
    }
    keeper.open = None;
    let mut stamp = Vec::new();
    HostNames::wall_time(time, "%Y%m%d%H%M%S", &mut stamp);
    keeper.open(time, &String::from_utf8_lossy(&stamp))
}

#[cfg(test)]
mod tests;

//! Files of lines: read, and followed as they grow, are cut and are replaced (as logrotate does both).

use super::{
    intake::Intake,
    lines::{CHUNK, Lines},
};
use std::{
    fs, io,
    io::{Read, Seek},
    os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// How often a file is looked at that has been read to its end.
const LOOK: Duration = Duration::from_millis(100);
/// A file that was replaced is read on for so long: who writes it may not have heard.
const REPLACED: Duration = Duration::from_secs(10);
/// What can't be read is lost for as long as it can't: it counts again after so long.
const AGAIN: Duration = Duration::from_secs(1);

/// Opens a file that is to be followed. A pipe is not waited for, neither for who writes to it nor for what.
pub(super) fn open(path: &Path) -> io::Result<fs::File> {
    let file = fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::Error::other("is a directory"));
    }
    Ok(file)
}

/// Reads a file and follows it, on a thread of its own: reading may block.
pub(super) fn follow(path: PathBuf, file: fs::File, intake: Arc<Intake>) {
    let work = move || {
        let mut followed = Followed::new(path, file);
        while !intake.has_ended() && !followed.now.is_over {
            if !followed.step(&intake) {
                thread::sleep(LOOK);
            }
        }
        followed.finish(&intake);
    };
    // Without a thread nothing is read, and nothing said: there is no memory to say it.
    let _ = thread::Builder::new().name("weftrace-lines".into()).spawn(work);
}

/// A name, and the files that it named.
pub(super) struct Followed {
    path: PathBuf,
    now: Source,
    /// The one before, and when it last gave something.
    before: Option<(Source, Instant)>,
    /// The file that has the name now can't be opened, or even looked at.
    shut: Failing,
    chunk: Vec<u8>,
}

impl Followed {
    pub(super) fn new(path: PathBuf, file: fs::File) -> Self {
        Self { path, now: Source::new(file), before: None, shut: Failing::default(), chunk: vec![0; CHUNK] }
    }

    /// Reads what there is, a piece at most of each file. False: there is nothing at the moment.
    pub(super) fn step(&mut self, intake: &Intake) -> bool {
        let mut some = self.now.read(&mut self.chunk, intake);
        if let Some((source, last)) = &mut self.before {
            if source.read(&mut self.chunk, intake) {
                (some, *last) = (true, Instant::now());
            } else if last.elapsed() > REPLACED {
                source.lines.finish(intake);
                self.before = None;
            }
        }
        some || self.replaced(intake)
    }

    /// Whether the name has become another file's, which is read from now on.
    fn replaced(&mut self, intake: &Intake) -> bool {
        if !self.now.grows {
            return false;
        }
        let another = match fs::metadata(&self.path) {
            Ok(is) if self.now.identity() == Some((is.dev(), is.ino())) => {
                self.shut.passed();
                return false;
            }
            Ok(_) => open(&self.path),
            Err(error) => Err(error),
        };
        let file = match another {
            Ok(file) => file,
            // While there is none of this name, its writer goes on with the old one; but with one that was not read, if there was such a one.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.shut.is_so() => return false,
            Err(_) => {
                self.shut.fails(intake);
                return false;
            }
        };
        self.shut.passed();
        let old = std::mem::replace(&mut self.now, Source::new(file));
        if let Some((mut older, _)) = self.before.replace((old, Instant::now())) {
            older.lines.finish(intake);
        }
        true
    }

    pub(super) fn finish(&mut self, intake: &Intake) {
        if let Some((source, _)) = &mut self.before {
            source.lines.finish(intake);
        }
        self.now.lines.finish(intake);
    }
}

/// Something that can't be read, when it was last counted.
#[derive(Debug, Default)]
struct Failing(Option<Instant>);

impl Failing {
    /// It can't, still: who knows how much is lost meanwhile.
    fn fails(&mut self, intake: &Intake) {
        if self.0.is_none_or(|counted| counted.elapsed() >= AGAIN) {
            intake.malformed();
            self.0 = Some(Instant::now());
        }
    }

    fn passed(&mut self) {
        self.0 = None;
    }

    fn is_so(&self) -> bool {
        self.0.is_some()
    }
}

struct Source {
    file: fs::File,
    lines: Lines,
    /// So far it has been read.
    at: u64,
    /// A file, and no pipe or device.
    grows: bool,
    is_pipe: bool,
    failing: Failing,
    /// Nothing more will come.
    is_over: bool,
}

impl Source {
    fn new(file: fs::File) -> Self {
        let kind = file.metadata().map(|meta| meta.file_type());
        let grows = kind.as_ref().is_ok_and(fs::FileType::is_file);
        let is_pipe = kind.is_ok_and(|kind| kind.is_fifo());
        Self { file, lines: Lines::default(), at: 0, grows, is_pipe, failing: Failing::default(), is_over: false }
    }

    fn identity(&self) -> Option<(u64, u64)> {
        self.file.metadata().ok().map(|meta| (meta.dev(), meta.ino()))
    }

    /// Reads a piece; false: there is none at the moment.
    fn read(&mut self, chunk: &mut [u8], intake: &Intake) -> bool {
        let read = self.file.read(chunk);
        match read {
            Ok(0) => {
                self.failing.passed();
                return self.is_at_the_end(intake);
            }
            Ok(n) => {
                self.at += n as u64;
                self.lines.feed(&chunk[..n], intake);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                // What it would have said is lost; it may pass.
                if error.kind() != io::ErrorKind::WouldBlock {
                    self.failing.fails(intake);
                }
                return false;
            }
        }
        self.failing.passed();
        true
    }

    /// There is no more: of a pipe until somebody writes to it again, of a file until it grows, or is read anew because it was cut.
    fn is_at_the_end(&mut self, intake: &Intake) -> bool {
        self.is_over = !self.grows && !self.is_pipe;
        if self.is_pipe {
            self.lines.finish(intake);
        }
        let cut = self.grows && self.file.metadata().is_ok_and(|meta| meta.len() < self.at);
        if cut && self.file.rewind().is_ok() {
            self.at = 0;
            self.lines.drop_rest(intake);
            return true;
        }
        false
    }
}

#[cfg(test)]
#[path = "follow_tests.rs"]
mod tests;

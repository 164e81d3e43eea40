//! How far the reading of captures is, for who waits at a terminal.
//!
//! The kernel knows how far each file was read (/proc/self/fdinfo): nothing is asked of those who read. The line is drawn on stderr, and only where
//! stdout goes elsewhere: it would stand amid the output.

use crate::printer;
use std::{
    collections::BTreeMap,
    fs,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// How often the line is drawn; what takes less time has none.
const EVERY: Duration = Duration::from_millis(500);

/// Draws until it is dropped, and leaves an empty line.
pub(super) struct Progress {
    ended: Option<Sender<()>>,
    drawing: Option<JoinHandle<()>>,
}

impl Progress {
    /// None: nobody looks, or it can't be known how much there is (a pipe).
    pub(super) fn start(paths: &[PathBuf], quiet: bool, to_file: bool) -> Option<Self> {
        let seen = io::stderr().is_terminal() && (to_file || !io::stdout().is_terminal());
        let mut files = Files::of(paths).filter(|_| seen && !quiet)?;
        let (ended, end) = mpsc::channel::<()>();
        let drawing = thread::spawn(move || {
            let start = Instant::now();
            let mut drawn = false;
            while end.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                files.look(Path::new("/proc/self"));
                printer::err(&format!("\r{}\x1b[K", line(files.read(), files.all, start.elapsed())));
                drawn = true;
            }
            if drawn {
                printer::err("\r\x1b[K");
            }
        });
        Some(Self { ended: Some(ended), drawing: Some(drawing) })
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.ended.take();
        if let Some(drawing) = self.drawing.take() {
            let _ = drawing.join();
        }
    }
}

/// Regular files that are read.
struct Files {
    /// Path → (bytes read, its size).
    by_path: BTreeMap<PathBuf, (u64, u64)>,
    all: u64,
}

impl Files {
    fn of(paths: &[PathBuf]) -> Option<Self> {
        let mut by_path = BTreeMap::new();
        for path in paths {
            let meta = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
            by_path.insert(fs::canonicalize(path).ok()?, (0, meta.len()));
        }
        let all = by_path.values().map(|(_, size)| size).sum();
        (all > 0).then_some(Self { by_path, all })
    }

    /// Asks the kernel. A file that was open and is not any more was read to its end.
    fn look(&mut self, process: &Path) {
        let mut open = BTreeMap::new();
        for entry in fs::read_dir(process.join("fd")).into_iter().flatten().flatten() {
            let Ok(path) = fs::read_link(entry.path()) else { continue };
            if self.by_path.contains_key(&path) {
                let info = fs::read_to_string(process.join("fdinfo").join(entry.file_name())).unwrap_or_default();
                let at = info.lines().find_map(|l| l.strip_prefix("pos:")?.trim().parse::<u64>().ok());
                open.insert(path, at.unwrap_or(0));
            }
        }
        for (path, (read, size)) in &mut self.by_path {
            match open.get(path) {
                Some(at) => *read = (*at).clamp(*read, *size),
                None if *read > 0 => *read = *size,
                None => {}
            }
        }
    }

    fn read(&self) -> u64 {
        self.by_path.values().map(|(read, _)| read).sum()
    }
}

/// `34 %  4.1 of 12.0 GB  0.82 GB/s  10 s left`
fn line(read: u64, all: u64, took: Duration) -> String {
    const GB: f64 = 1e9;
    let (read, all) = (read.min(all) as f64, all as f64);
    let rate = read / took.as_secs_f64().max(0.001);
    let left = if rate > 0.0 { format!("  {:.0} s left", (all - read) / rate) } else { String::new() };
    format!("{:3.0} %  {:.1} of {:.1} GB  {:.2} GB/s{left}", read / all * 100.0, read / GB, all / GB, rate / GB)
}

#[cfg(test)]
#[path = "progress_tests.rs"]
mod tests;

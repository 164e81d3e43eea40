//! Files that alerts are appended to.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
};

/// One file; after an error nothing more is written to it, and what comes is counted.
#[derive(Debug)]
pub(super) struct FileSink {
    path: String,
    /// None: writing failed.
    file: Option<File>,
    why: String,
    all: u64,
    lost: u64,
}

impl FileSink {
    /// Alerts may hold what others must not read: a new file is its owner's. One that isn't a plain file is refused: a FIFO without a reader
    /// would hold the run, now or later.
    pub(super) fn open(path: &str) -> io::Result<Self> {
        let wrong = |why: &dyn std::fmt::Display| format!("alerts to {path}: {why}");
        let mut how = OpenOptions::new();
        let how = how.create(true).append(true).mode(0o600).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
        let odd = "it is no plain file, which alerts are appended to (`to stderr` writes beside the output)";
        let file = how.open(path).map_err(|error| match error.raw_os_error() {
            // A FIFO that nobody reads, or a socket.
            Some(libc::ENXIO) => io::Error::new(error.kind(), wrong(&odd)),
            _ => io::Error::new(error.kind(), wrong(&error)),
        })?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, wrong(&odd)));
        }
        Ok(Self { path: path.to_owned(), file: Some(file), why: String::new(), all: 0, lost: 0 })
    }

    /// Appends a line. What is to be told: it can't be written to any more.
    pub(super) fn write(&mut self, mut line: Vec<u8>) -> Option<String> {
        line.push(b'\n');
        self.all += 1;
        let written = self.file.as_mut().map(|file| file.write_all(&line));
        if matches!(written, Some(Ok(()))) {
            return None;
        }
        self.lost += 1;
        let error = written?.err()?;
        self.file = None;
        self.why = error.to_string();
        Some(format!("alerts to {}: {error}: nothing more is written there", self.path))
    }

    /// At the end: what was not written, if anything wasn't.
    pub(super) fn lost(&self) -> Option<String> {
        let Self { path, why, all, lost, .. } = self;
        (*lost > 0).then(|| format!("alerts to {path}: {lost} of {all} were not written: {why}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, process::Command};

    fn path(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("weftrace-alert-file-{name}-{}", std::process::id()))
    }

    #[test]
    fn its_owners_alone() {
        let path = path("mode");
        let _ = fs::remove_file(&path);
        let mut sink = FileSink::open(&path.display().to_string()).expect("opened");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!((sink.write(b"x".to_vec()), sink.lost()), (None, None));
        assert_eq!(fs::read(&path).expect("read"), b"x\n");
        let _ = fs::remove_file(&path);
    }

    /// A FIFO without a reader, one with a reader, a device.
    #[test]
    fn no_fifos_or_devices() {
        let path = path("fifo");
        let _ = fs::remove_file(&path);
        assert!(Command::new("mkfifo").arg(&path).status().is_ok_and(|s| s.success()));
        let why = |path: &str| FileSink::open(path).expect_err("refused").to_string();
        let name = path.display().to_string();
        assert!(why(&name).contains("no plain file"));
        let reader = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path).expect("a reader");
        assert!(why(&name).contains("no plain file"));
        drop(reader);
        assert!(why("/dev/null").starts_with("alerts to /dev/null: it is no plain file"));
        let _ = fs::remove_file(&path);
    }

    /// After an error what comes is counted.
    #[test]
    fn losses_are_counted() {
        let full = OpenOptions::new().append(true).open("/dev/full").expect("opened");
        let mut sink = FileSink { path: "/f".into(), file: Some(full), why: String::new(), all: 0, lost: 0 };
        let said: Vec<Option<String>> = (0..3).map(|_| sink.write(b"x".to_vec())).collect();
        assert!(said[0].as_ref().is_some_and(|text| text.ends_with(": nothing more is written there")), "{said:?}");
        assert_eq!(said[1..], [None, None]);
        assert!(sink.lost().is_some_and(|text| text.starts_with("alerts to /f: 3 of 3 were not written: No space")));
    }
}

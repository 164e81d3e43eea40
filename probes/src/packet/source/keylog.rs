//! A log of TLS secrets that a program writes (SSLKEYLOGFILE), read as it grows.

use crate::packet::SecretSource;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Read at once at most; what is more comes with the next call.
const MAX_READ: u64 = 64 << 20;

pub struct KeyLog {
    path: PathBuf,
    file: Option<File>,
    read: u64,
}

impl KeyLog {
    /// `later`: the program that writes it may not have begun.
    pub fn open(path: &Path, later: bool) -> io::Result<Self> {
        let file = match File::open(path) {
            Ok(file) => Some(file),
            Err(error) if later && error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Self { path: path.to_owned(), file, read: 0 })
    }

    fn read_on(&mut self) -> io::Result<Vec<u8>> {
        if self.file.is_none() {
            self.file = Some(File::open(&self.path)?);
        }
        let Some(file) = &mut self.file else { return Ok(Vec::new()) };
        let size = file.metadata()?;
        // A file that was begun anew is read from its start; of a pipe nothing is known beforehand.
        if size.is_file() && size.len() < self.read {
            self.read = file.seek(SeekFrom::Start(0))?;
        }
        if size.is_file() && size.len() == self.read {
            return Ok(Vec::new());
        }
        let mut text = Vec::new();
        self.read += file.take(MAX_READ).read_to_end(&mut text)? as u64;
        Ok(text)
    }
}

impl SecretSource for KeyLog {
    /// A log that can't be read now has nothing new.
    fn more(&mut self) -> Vec<u8> {
        self.read_on().unwrap_or_default()
    }
}

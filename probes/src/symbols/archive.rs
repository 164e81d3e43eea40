//! Libraries inside zip archives, as Android's linker loads them: `base.apk!/lib/arm64/libx.so`. Only members that are stored as
//! they are (not compressed) can be mapped, and so probed.

use std::fs::File;
use std::io::{self, Error, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// What stands between an archive's path and a member's.
pub(super) const SEPARATOR: &str = "!/";

/// Sizes and signatures of zip's records (PKWARE's APPNOTE.TXT 4.3.7, 4.3.12, 4.3.16).
const END_SIZE: usize = 22;
const END_MAGIC: &[u8] = b"PK\x05\x06";
const CENTRAL_SIZE: usize = 46;
const CENTRAL_MAGIC: &[u8] = b"PK\x01\x02";
const LOCAL_SIZE: usize = 30;
const LOCAL_MAGIC: &[u8] = b"PK\x03\x04";
/// Longest comment at an archive's end.
const MOST_COMMENT: u64 = 0xffff;
/// Larger directories are not read.
const MOST_DIRECTORY: u32 = 64 << 20;

/// (archive, member) if a path names a member of an archive.
pub fn split(path: &Path) -> Option<(PathBuf, String)> {
    let text = path.to_str()?;
    let (archive, member) = text.split_once(SEPARATOR)?;
    (!path.exists()).then(|| (PathBuf::from(archive), member.to_owned()))
}

/// The file to open and to probe for a path: the archive, or the path itself.
pub fn container(path: &Path) -> PathBuf {
    split(path).map_or_else(|| path.to_path_buf(), |(archive, _)| archive)
}

/// Where a stored member's bytes are: (offset, length). `Err` says what is wrong with the archive.
pub(super) fn member(file: &File, name: &str) -> io::Result<(u64, u64)> {
    let wrong = |what: String| Error::new(ErrorKind::InvalidData, what);
    let directory = directory(file)?;
    let mut at = 0;
    while let Some(entry) = directory.get(at..at + CENTRAL_SIZE) {
        if !entry.starts_with(CENTRAL_MAGIC) {
            break;
        }
        let (name_len, extra, comment) = (half(entry, 28), half(entry, 30), half(entry, 32));
        let found = directory.get(at + CENTRAL_SIZE..at + CENTRAL_SIZE + name_len);
        if found == Some(name.as_bytes()) {
            if half(entry, 10) != 0 {
                return Err(wrong(format!("{name} is compressed in it: what is not stored as it is cannot be mapped")));
            }
            return stored(file, u64::from(word(entry, 42)), u64::from(word(entry, 24)));
        }
        at += CENTRAL_SIZE + name_len + extra + comment;
    }
    Err(wrong(format!("it has no member {name}")))
}

fn stored(file: &File, header_at: u64, size: u64) -> io::Result<(u64, u64)> {
    let mut header = [0; LOCAL_SIZE];
    file.read_exact_at(&mut header, header_at)?;
    if !header.starts_with(LOCAL_MAGIC) {
        return Err(Error::new(ErrorKind::InvalidData, "its directory points to no member"));
    }
    let skip = LOCAL_SIZE + half(&header, 26) + half(&header, 28);
    Ok((header_at + skip as u64, size))
}

/// The bytes of the central directory.
fn directory(file: &File) -> io::Result<Vec<u8>> {
    let wrong = || Error::new(ErrorKind::InvalidData, "it is not a zip archive");
    let len = file.metadata()?.len();
    let tail_len = len.min(MOST_COMMENT + END_SIZE as u64);
    let mut tail = vec![0; tail_len as usize];
    file.read_exact_at(&mut tail, len - tail_len)?;
    let end = memchr::memmem::rfind(&tail, END_MAGIC).and_then(|at| tail.get(at..at + END_SIZE)).ok_or_else(wrong)?;
    let (size, at) = (word(end, 12), word(end, 16));
    if size > MOST_DIRECTORY || u64::from(size) > len {
        return Err(wrong());
    }
    let mut directory = vec![0; size as usize];
    file.read_exact_at(&mut directory, u64::from(at))?;
    Ok(directory)
}

fn half(bytes: &[u8], at: usize) -> usize {
    bytes.get(at..at + 2).map_or(0, |b| usize::from(u16::from_le_bytes([b[0], b[1]])))
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;

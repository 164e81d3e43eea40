//! The bytes of a section: read from its file as they are asked for, or all in memory where they were compressed.
//!
//! The file isn't mapped: debug files are others' to write, and one that is truncated while it is mapped kills who reads it there (SIGBUS). Here
//! it is an error. What is kept of a file is bounded, however large its debug information is.

use super::limits;
use gimli::{Error, ReaderOffsetId, Result, RunTimeEndian};
use std::borrow::Cow;
use std::cell::RefCell;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::rc::Rc;

/// Bytes that are read at once.
const BLOCK: usize = 32 << 10;
/// Blocks kept of a file: 8 MiB.
const MOST_BLOCKS: u64 = 256;

/// Its number, its bytes.
type Block = (u64, Box<[u8]>);

/// A file, and the blocks of it that were read last.
#[derive(Debug)]
pub(super) struct Blocks {
    file: File,
    len: u64,
    /// The block with number n is at n % [`MOST_BLOCKS`], if it is there.
    kept: RefCell<Vec<Option<Block>>>,
}

impl Blocks {
    pub(super) fn new(file: File) -> std::io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self { file, len, kept: RefCell::default() })
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Runs `look` on the bytes from `at` on: those of its block, or an error where the file ends.
    fn with<T>(&self, at: u64, look: impl FnOnce(&[u8]) -> T) -> Result<T> {
        let number = at / BLOCK as u64;
        let slot = (number % MOST_BLOCKS) as usize;
        let mut kept = self.kept.borrow_mut();
        if kept.len() <= slot {
            kept.resize_with(slot + 1, || None);
        }
        let entry = kept.get_mut(slot).ok_or(Error::Io)?;
        if entry.as_ref().is_none_or(|(known, _)| *known != number) {
            *entry = Some((number, self.read(number)?));
        }
        let (_, bytes) = entry.as_ref().ok_or(Error::Io)?;
        let rest = bytes.get((at % BLOCK as u64) as usize..).filter(|rest| !rest.is_empty());
        Ok(look(rest.ok_or(Error::Io)?))
    }

    fn read(&self, number: u64) -> Result<Box<[u8]>> {
        let start = number * BLOCK as u64;
        let len = self.len.checked_sub(start).ok_or(Error::Io)?.min(BLOCK as u64);
        let mut bytes = vec![0; len as usize].into_boxed_slice();
        self.file.read_exact_at(&mut bytes, start).map_err(|_| Error::Io)?;
        Ok(bytes)
    }
}

/// Where a section's bytes are.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Memory(Rc<[u8]>),
    /// So far into the file.
    File(Rc<Blocks>, u64),
}

impl Source {
    /// A piece of a file; None: the file isn't as long.
    pub(super) fn piece(blocks: &Rc<Blocks>, offset: u64, size: u64) -> Option<(Self, usize)> {
        let fits = offset.checked_add(size).is_some_and(|end| end <= blocks.len);
        fits.then_some((Self::File(blocks.clone(), offset), usize::try_from(size).ok()?))
    }

    /// Runs `look` on the bytes from `at` on, as many as are at hand.
    fn with<T>(&self, at: usize, look: impl FnOnce(&[u8]) -> T) -> Result<T> {
        match self {
            Self::Memory(bytes) => Ok(look(bytes.get(at..).ok_or(Error::Io)?)),
            Self::File(blocks, offset) => blocks.with(offset.checked_add(at as u64).ok_or(Error::Io)?, look),
        }
    }
}

/// A section, or a piece of one, as gimli reads it.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    source: Source,
    endian: RunTimeEndian,
    /// The piece, within the section.
    start: usize,
    end: usize,
}

impl Reader {
    pub(super) fn new((source, len): (Source, usize), endian: RunTimeEndian) -> Self {
        Self { source, endian, start: 0, end: len }
    }

    pub(super) fn empty(endian: RunTimeEndian) -> Self {
        Self::new((Source::Memory(Rc::from(&[][..])), 0), endian)
    }

    fn left(&self) -> usize {
        self.end - self.start
    }

    fn short(&self) -> Error {
        Error::UnexpectedEof(gimli::Reader::offset_id(self))
    }
}

impl gimli::Reader for Reader {
    type Endian = RunTimeEndian;
    type Offset = usize;

    fn endian(&self) -> RunTimeEndian {
        self.endian
    }

    fn len(&self) -> usize {
        self.left()
    }

    fn empty(&mut self) {
        self.end = self.start;
    }

    fn truncate(&mut self, len: usize) -> Result<()> {
        if len > self.left() {
            return Err(self.short());
        }
        self.end = self.start + len;
        Ok(())
    }

    fn offset_from(&self, base: &Self) -> usize {
        self.start.saturating_sub(base.start)
    }

    fn offset_id(&self) -> ReaderOffsetId {
        ReaderOffsetId(self.start as u64)
    }

    /// Only errors' texts ask for it, and we show none of these.
    fn lookup_offset_id(&self, _: ReaderOffsetId) -> Option<usize> {
        None
    }

    fn find(&self, byte: u8) -> Result<usize> {
        let mut at = self.start;
        while at < self.end {
            let most = self.end - at;
            let looked = self.source.with(at, |bytes| {
                let bytes = bytes.get(..most).unwrap_or(bytes);
                (memchr::memchr(byte, bytes), bytes.len())
            })?;
            limits::read(looked.0.unwrap_or(looked.1))?;
            match looked {
                (Some(found), _) => return Ok(at + found - self.start),
                (None, 0) => break,
                (None, len) => at += len,
            }
        }
        Err(self.short())
    }

    fn skip(&mut self, len: usize) -> Result<()> {
        if len > self.left() {
            return Err(self.short());
        }
        self.start += len;
        Ok(())
    }

    fn split(&mut self, len: usize) -> Result<Self> {
        let mut first = self.clone();
        first.truncate(len)?;
        self.start += len;
        Ok(first)
    }

    fn to_slice(&self) -> Result<Cow<'_, [u8]>> {
        if let Source::Memory(bytes) = &self.source {
            limits::read(self.left())?;
            return Ok(bytes.get(self.start..self.end).ok_or(Error::Io)?.into());
        }
        let mut bytes = vec![0; self.left()];
        self.clone().read_slice(&mut bytes)?;
        Ok(bytes.into())
    }

    fn to_string(&self) -> Result<Cow<'_, str>> {
        match self.to_slice()? {
            Cow::Borrowed(bytes) => str::from_utf8(bytes).map(Cow::from).map_err(|_| Error::BadUtf8),
            Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::from).map_err(|_| Error::BadUtf8),
        }
    }

    fn to_string_lossy(&self) -> Result<Cow<'_, str>> {
        Ok(match self.to_slice()? {
            Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        })
    }

    fn read_slice(&mut self, mut buf: &mut [u8]) -> Result<()> {
        if buf.len() > self.left() {
            return Err(self.short());
        }
        limits::read(buf.len())?;
        while !buf.is_empty() {
            let taken = self.source.with(self.start, |bytes| {
                let len = bytes.len().min(buf.len());
                buf[..len].copy_from_slice(&bytes[..len]);
                len
            })?;
            if taken == 0 {
                return Err(self.short());
            }
            self.start += taken;
            buf = &mut buf[taken..];
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gimli::Reader as _;
    use std::io::Write;

    fn file(bytes: &[u8], name: &str) -> File {
        let path = std::env::temp_dir().join(format!("weftrace-blocks-{}-{name}", std::process::id()));
        File::create(&path).and_then(|mut f| f.write_all(bytes)).expect("written");
        let opened = File::options().read(true).write(true).open(&path).expect("there");
        let _ = std::fs::remove_file(path);
        opened
    }

    #[test]
    fn reads_across_blocks_as_from_memory() {
        let mut bytes: Vec<u8> = (0..3 * BLOCK + 100).map(|i| (i % 251) as u8 + 1).collect();
        bytes[2 * BLOCK + 7] = 0;
        let blocks = Rc::new(Blocks::new(file(&bytes, "read")).expect("a file"));
        let offset = 5;
        let piece = Source::piece(&blocks, offset, bytes.len() as u64 - offset).expect("as long");
        let lazy = Reader::new(piece, RunTimeEndian::Little);
        let whole: Rc<[u8]> = bytes[offset as usize..].into();
        let len = whole.len();
        let mut memory = Reader::new((Source::Memory(whole), len), RunTimeEndian::Little);
        let mut reader = lazy.clone();
        assert_eq!(reader.find(0), memory.find(0));
        assert_eq!(reader.to_slice().expect("read"), memory.to_slice().expect("there"));
        for _ in 0..2 {
            assert_eq!(reader.skip(BLOCK - 8), memory.skip(BLOCK - 8));
            for _ in 0..5 {
                assert_eq!(reader.read_u32(), memory.read_u32());
                assert_eq!(reader.read_uleb128(), memory.read_uleb128());
            }
        }
        assert_eq!(reader.offset_from(&lazy), len - reader.len());
        assert!(
            reader.skip(len).is_err() && reader.split(len).is_err() && reader.read_slice(&mut vec![0; len]).is_err()
        );
        assert!(Source::piece(&blocks, 6, bytes.len() as u64).is_none());
        assert!(Source::piece(&blocks, u64::MAX, 2).is_none());
    }

    #[test]
    fn a_file_that_is_truncated_meanwhile_is_an_error() {
        let handle = file(&vec![1; 4 * BLOCK], "cut");
        let blocks = Rc::new(Blocks::new(handle.try_clone().expect("open")).expect("a file"));
        let mut reader =
            Reader::new(Source::piece(&blocks, 0, 4 * BLOCK as u64).expect("as long"), RunTimeEndian::Little);
        assert_eq!(reader.read_u8(), Ok(1));
        handle.set_len(10).expect("cut");
        assert_eq!(reader.skip(2 * BLOCK), Ok(()));
        assert!(reader.read_u8().is_err() && reader.find(0).is_err() && reader.to_slice().is_err());
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let handle = file(b"", "large");
        let len = (MOST_BLOCKS + 10) * BLOCK as u64;
        handle.set_len(len).expect("sparse");
        let blocks = Rc::new(Blocks::new(handle).expect("a file"));
        let reader = Reader::new(Source::piece(&blocks, 0, len).expect("as long"), RunTimeEndian::Little);
        assert!(reader.find(1).is_err());
        assert!(blocks.kept.borrow().len() as u64 <= MOST_BLOCKS);
    }
}

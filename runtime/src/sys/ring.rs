//! Consumer of the kernel's event ring (BPF_MAP_TYPE_RINGBUF, kernel/bpf/ringbuf.c).
//!
//! Reads to the producer's position, so that nothing is left uncounted at the end; each drain is bounded by the position it found,
//! so that a consumer whose own system calls are traced still ends.
#![allow(unsafe_code, reason = "maps the ring and reads what the kernel writes into it")]
#![allow(clippy::cast_ptr_alignment, reason = "positions are multiples of 8 in page-aligned mappings")]

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    ptr, slice,
    sync::atomic::{AtomicU32, AtomicU64, Ordering, fence},
    time::{Duration, Instant},
};

/// Bits of a record's length word.
const BUSY: u32 = 1 << 31;
const DISCARDED: u32 = 1 << 30;
/// Length word and page offset before each record.
const RECORD_HEADER: u64 = 8;

/// Bytes read before the kernel is told that their room is free: every producer reads the position, and each time it has changed has
/// to fetch it from our CPU's cache.
const TELL_AFTER: u64 = 4096;

/// The ring of one map.
#[derive(Debug)]
pub struct Ring {
    fd: OwnedFd,
    /// One page, writable: the consumer's position.
    consumer: *mut u8,
    /// Read-only: a page with the producer's position, then the data twice, so that no record wraps.
    producer: *mut u8,
    page: usize,
    size: usize,
}

/// What a drain did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    pub records: u64,
    pub bytes: u64,
    /// There is more to read now: nobody will wake us for it.
    pub more: bool,
    /// It ended at a record that is reserved but not yet written.
    pub busy: bool,
}

impl Ring {
    /// Maps the ring of `map`, `size` bytes (its max_entries).
    pub fn new(map: BorrowedFd<'_>, size: u32) -> io::Result<Self> {
        // SAFETY: takes an integer.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        let fd = map.try_clone_to_owned()?;
        let size = size as usize;
        let consumer = map_pages(fd.as_raw_fd(), page, libc::PROT_READ | libc::PROT_WRITE, 0)?;
        match map_pages(fd.as_raw_fd(), page + 2 * size, libc::PROT_READ, page) {
            Ok(producer) => Ok(Self { fd, consumer, producer, page, size }),
            Err(e) => {
                // SAFETY: the mapping made just above.
                unsafe { libc::munmap(consumer.cast(), page) };
                Err(e)
            }
        }
    }

    fn consumer_pos(&self) -> &AtomicU64 {
        // SAFETY: the page starts with the position, aligned, and lives as long as `self`.
        unsafe { &*self.consumer.cast::<AtomicU64>() }
    }

    /// The producer's position.
    pub fn produced(&self) -> u64 {
        // SAFETY: the page starts with the position, aligned, and lives as long as `self`; the kernel writes it atomically.
        unsafe { &*self.producer.cast::<AtomicU64>() }.load(Ordering::Acquire)
    }

    /// Our position.
    pub fn consumed(&self) -> u64 {
        self.consumer_pos().load(Ordering::Relaxed)
    }

    /// Bytes between the producer's position and ours.
    pub fn pending(&self) -> u64 {
        self.produced().wrapping_sub(self.consumed())
    }

    /// Looks for new records for so long; whether there are some.
    pub fn wait_for_more(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        while self.pending() == 0 {
            if Instant::now() > until {
                return false;
            }
            std::hint::spin_loop();
        }
        true
    }

    /// Bytes of the ring.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Hands every finished record up to the producer's present position to `see`, in order. `see` returning false stops after that
    /// record.
    pub fn drain(&mut self, mut see: impl FnMut(&[u8]) -> bool) -> Drained {
        let mut done = Drained::default();
        let end = self.produced();
        let mut at = self.consumer_pos().load(Ordering::Relaxed);
        let mut told = at;
        let tell_after = TELL_AFTER.min(self.size as u64 / 16);
        while at < end {
            let (word, record) = self.record(at);
            if word & BUSY != 0 {
                done.busy = true;
                break;
            }
            let len = u64::from(word & !DISCARDED);
            let mut go_on = true;
            if word & DISCARDED == 0 {
                // SAFETY: the record is complete, lies within the double mapping (checked by length below) and is not
                // overwritten before the consumer's position passes it.
                let bytes = unsafe { slice::from_raw_parts(record, (len as usize).min(self.size)) };
                go_on = see(bytes);
                done.records += 1;
            }
            let step = (len + RECORD_HEADER).next_multiple_of(8);
            done.bytes += step;
            at += step;
            if at - told >= tell_after {
                self.consumer_pos().store(at, Ordering::Release);
                told = at;
            }
            if !go_on {
                break;
            }
        }
        self.consumer_pos().store(at, Ordering::Release);
        // The kernel wakes us only for a record that begins at our position when it is finished: what came, or was finished, before we
        // wrote ours must be looked for again.
        fence(Ordering::SeqCst);
        done.busy = done.busy && self.record(at).0 & BUSY != 0;
        done.more = !done.busy && self.produced() != at;
        done
    }

    /// The length word of the record at a position, and where its bytes begin.
    fn record(&self, at: u64) -> (u32, *const u8) {
        let offset = (at as usize) & (self.size - 1);
        // SAFETY: `offset` is below the ring's size, a power of two; the data is mapped twice after the producer's page, so eight
        // bytes and the record follow. Positions are multiples of 8.
        unsafe {
            let header = self.producer.add(self.page + offset);
            let word = (*header.cast::<AtomicU32>()).load(Ordering::Acquire);
            (word, header.add(RECORD_HEADER as usize))
        }
    }
}

fn map_pages(fd: RawFd, len: usize, access: i32, offset: usize) -> io::Result<*mut u8> {
    // SAFETY: a new shared mapping of the map's pages at an address of the kernel's choice.
    let at = unsafe { libc::mmap(ptr::null_mut(), len, access, libc::MAP_SHARED, fd, offset as libc::off_t) };
    if at == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(at.cast()) }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the mappings made in `new`, which nothing borrows any more.
        unsafe {
            libc::munmap(self.consumer.cast(), self.page);
            libc::munmap(self.producer.cast(), self.page + 2 * self.size);
        }
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Ring {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

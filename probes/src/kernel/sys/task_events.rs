#![allow(unsafe_code, reason = "perf's rings are shared memory")]
//! What processes map to execute, and which process forks which: perf's side-band records, of every CPU.

use super::SyscallError;
use super::perf::open_task_events;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

/// Pages of records for each CPU, a power of two: over a thousand mappings.
const DATA_PAGES: usize = 32;
/// Of struct perf_event_mmap_page.
const DATA_HEAD: usize = 1024;
const DATA_TAIL: usize = 1032;

/// The rings of all CPUs.
#[derive(Debug)]
pub struct TaskEvents {
    rings: Vec<PerfRing>,
}

/// One CPU's.
#[derive(Debug)]
struct PerfRing {
    fd: OwnedFd,
    at: *mut u8,
    page: usize,
}

// SAFETY: the mapping is this value's own, and freed only by Drop.
unsafe impl Send for PerfRing {}

impl TaskEvents {
    /// Needs CAP_PERFMON.
    pub fn open(cpus: &[u32]) -> Result<Self, SyscallError> {
        let rings = cpus.iter().map(|cpu| PerfRing::open(*cpu)).collect::<Result<_, _>>()?;
        Ok(Self { rings })
    }

    /// Readable when a ring is half full.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.rings.iter().map(|ring| ring.fd.as_fd())
    }

    /// The bytes of all records that are there, one CPU's after the other.
    pub fn take(&mut self, out: &mut Vec<u8>) {
        for ring in &mut self.rings {
            ring.take(out);
        }
    }
}

impl PerfRing {
    fn open(cpu: u32) -> Result<Self, SyscallError> {
        // SAFETY: an integer, no memory.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
        let fd = open_task_events(cpu, (DATA_PAGES * page / 2) as u32)?;
        let len = (DATA_PAGES + 1) * page;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new shared mapping of the event's ring at an address of the kernel's choice.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), len, access, libc::MAP_SHARED, fd.as_raw_fd(), 0) };
        if at == libc::MAP_FAILED {
            return Err(SyscallError::last("mmap"));
        }
        Ok(Self { fd, at: at.cast(), page })
    }

    /// A counter in the ring's first page.
    #[allow(clippy::cast_ptr_alignment, reason = "a page is aligned, and both offsets are multiples of 8")]
    fn counter(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: an aligned u64 within the mapped first page, which the kernel and we only touch whole.
        unsafe { &*self.at.add(offset).cast::<AtomicU64>() }
    }

    fn take(&mut self, out: &mut Vec<u8>) {
        let size = DATA_PAGES * self.page;
        let head = self.counter(DATA_HEAD).load(Ordering::Acquire);
        let tail = self.counter(DATA_TAIL).load(Ordering::Relaxed);
        let used = usize::try_from(head.wrapping_sub(tail)).unwrap_or(0).min(size);
        let from = tail as usize & (size - 1);
        let first = used.min(size - from);
        // SAFETY: `size` bytes are mapped after the first page; the kernel doesn't write between tail and head.
        unsafe {
            let data = self.at.add(self.page);
            out.extend_from_slice(std::slice::from_raw_parts(data.add(from), first));
            out.extend_from_slice(std::slice::from_raw_parts(data, used - first));
        }
        self.counter(DATA_TAIL).store(head, Ordering::Release);
    }
}

impl Drop for PerfRing {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `open`, which nothing borrows any more.
        unsafe { libc::munmap(self.at.cast(), (DATA_PAGES + 1) * self.page) };
    }
}

/// Waits until one of these is readable or was closed at the other end.
pub fn wait_readable(fds: &[OwnedFd]) {
    let mut all: Vec<libc::pollfd> =
        fds.iter().map(|fd| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 }).collect();
    // SAFETY: live descriptors in an array of that length.
    unsafe { libc::poll(all.as_mut_ptr(), all.len() as libc::nfds_t, -1) };
}

/// Whether a read of it would give something now, be it its end or an error.
pub fn readable(fd: BorrowedFd<'_>) -> bool {
    let mut one = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: a live descriptor in an array of one.
    unsafe { libc::poll(&raw mut one, 1, 0) > 0 }
}

#![allow(unsafe_code, reason = "mmap(2), setns(2), socket(2) and the mount calls have no safe wrappers")]
//! Calls that aren't BPF's: mapped files, namespaces, a private tracefs.

use super::SyscallError;
use super::capability::CapSets;
use std::ffi::CStr;
use std::fs::File;
use std::ops::Deref;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

/// A file's bytes, mapped read-only.
#[derive(Debug)]
pub struct Mapping {
    at: *const u8,
    len: usize,
}

// SAFETY: the mapping is private and read-only, and freed only by Drop.
unsafe impl Send for Mapping {}
// SAFETY: as above: only shared reads are possible.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `len` bytes. Only for files of sysfs and the like, which nobody truncates: a page that has gone would be
    /// a SIGBUS.
    pub(crate) fn of_sysfs(file: &File, len: usize) -> Result<Self, SyscallError> {
        // SAFETY: a new private mapping at an address of the kernel's choice.
        let at =
            unsafe { libc::mmap(std::ptr::null_mut(), len, libc::PROT_READ, libc::MAP_PRIVATE, file.as_raw_fd(), 0) };
        if at == libc::MAP_FAILED {
            return Err(SyscallError::last("mmap"));
        }
        Ok(Self { at: at.cast(), len })
    }
}

impl Deref for Mapping {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: `at` is `len` readable bytes until Drop; sysfs's contents don't change.
        unsafe { std::slice::from_raw_parts(self.at, self.len) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `of_sysfs`, which nothing borrows any more.
        unsafe { libc::munmap(self.at.cast_mut().cast(), self.len) };
    }
}

/// A tracefs instance of our own that is in nobody's mount table: its root directory. For hosts where tracefs isn't mounted; it
/// goes with the descriptor. Needs CAP_SYS_ADMIN and Linux 5.2.
pub fn private_tracefs() -> Result<OwnedFd, SyscallError> {
    const FSOPEN_CLOEXEC: libc::c_ulong = 1;
    const FSCONFIG_CMD_CREATE: libc::c_ulong = 6;
    const FSMOUNT_CLOEXEC: libc::c_ulong = 1;
    let kind: &CStr = c"tracefs";
    // SAFETY: a live string; the call returns a new descriptor or -1.
    let context = unsafe { owned(libc::syscall(libc::SYS_fsopen, kind.as_ptr(), FSOPEN_CLOEXEC), "fsopen")? };
    let none = std::ptr::null::<u8>();
    // SAFETY: this command takes neither key nor value.
    let made = unsafe { libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), FSCONFIG_CMD_CREATE, none, none, 0) };
    if made < 0 {
        return Err(SyscallError::last("fsconfig"));
    }
    // SAFETY: a live descriptor; the call returns a new one or -1.
    unsafe { owned(libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), FSMOUNT_CLOEXEC, 0), "fsmount") }
}

/// Moves the calling thread into a namespace; `kind` is CLONE_NEWNET or the like.
pub fn enter_namespace(namespace: BorrowedFd<'_>, kind: i32) -> Result<(), SyscallError> {
    // SAFETY: a live descriptor and an integer.
    let got = unsafe { libc::setns(namespace.as_raw_fd(), kind) };
    if got < 0 { Err(SyscallError::last("setns")) } else { Ok(()) }
}

/// Inode of the calling thread's network namespace; 0: it can't be seen.
pub fn network_namespace() -> u32 {
    std::fs::metadata("/proc/thread-self/ns/net").map_or(0, |metadata| metadata.ino() as u32)
}

/// Index of a network device in the calling thread's network namespace; 0: there is none of that name.
pub fn device_index(device: &str) -> u32 {
    let Ok(name) = std::ffi::CString::new(device) else { return 0 };
    // SAFETY: `name` is a NUL-terminated string that outlives the call.
    unsafe { libc::if_nametoindex(name.as_ptr()) }
}

/// An AF_PACKET socket that receives nothing (protocol 0), to see whether one may be had.
pub fn packet_socket() -> Result<OwnedFd, SyscallError> {
    // SAFETY: integers only; the call returns a new descriptor or -1.
    unsafe {
        owned(i64::from(libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0)), "socket(AF_PACKET)")
    }
}

/// Lets this process have so many descriptors, or as many as it may: the soft limit is often 1024, a third of which are probes.
pub fn want_descriptors(count: u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a live struct of the type that both calls expect.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 && limit.rlim_cur < count {
            limit.rlim_cur = count;
            // Above the hard limit only root may go.
            let all = libc::rlimit { rlim_cur: count, rlim_max: limit.rlim_max.max(count) };
            if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const all) != 0 {
                limit.rlim_cur = count.min(limit.rlim_max);
                libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
            }
        }
    }
}

/// Lets this process lock as much memory as it may: before Linux 5.11 maps and programs count against the limit, which is often 64 KB, and are
/// refused as if they weren't permitted. False: the limit stays as it was, or this thread may make none of them anyway.
pub(super) fn want_locked_memory() -> bool {
    /// CAP_SYS_ADMIN, CAP_BPF
    const MAY: u64 = 1 << 21 | 1 << 39;
    if CapSets::get().is_ok_and(|sets| sets.effective & MAY == 0) {
        return false;
    }
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a live struct of the type that the call expects.
    if unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) } != 0 || limit.rlim_cur == libc::RLIM_INFINITY {
        return false;
    }
    let all = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    let most = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
    // Above the hard limit only CAP_SYS_RESOURCE may go.
    // SAFETY: as above.
    let set = |to: &libc::rlimit| unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, std::ptr::from_ref(to)) == 0 };
    set(&all) || (limit.rlim_cur < limit.rlim_max && set(&most))
}

/// CLOCK_BOOTTIME in ns: the clock of `nsecs`.
pub fn clock_boottime() -> u64 {
    clock(libc::CLOCK_BOOTTIME)
}

/// CPU time of the calling thread in ns: what a start costs.
pub fn clock_thread_cpu() -> u64 {
    clock(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// Lets a program of BPF_PROG_TYPE_SOCKET_FILTER choose what a socket receives.
pub fn packet_filter(socket: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<(), SyscallError> {
    let program: i32 = program.as_raw_fd();
    let len = size_of::<i32>() as libc::socklen_t;
    // SAFETY: a live descriptor and integer of the length that is told.
    let set = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_ATTACH_BPF, (&raw const program).cast(), len)
    };
    if set < 0 { Err(SyscallError::last("setsockopt(SO_ATTACH_BPF)")) } else { Ok(()) }
}

/// Lets a socket receive nothing any more, whatever chose before.
pub fn refuse_all(socket: BorrowedFd<'_>) -> Result<(), SyscallError> {
    // BPF_RET | BPF_K: so many bytes.
    let mut nothing = [Classic { code: 0x06, k: 0, ..Classic::default() }];
    let filter = libc::sock_fprog { len: 1, filter: nothing.as_mut_ptr().cast() };
    let len = size_of::<libc::sock_fprog>() as libc::socklen_t;
    // SAFETY: a live descriptor, and a program of the length that is told, of which the kernel makes a copy.
    let set = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, (&raw const filter).cast(), len)
    };
    if set < 0 { Err(SyscallError::last("setsockopt(SO_ATTACH_FILTER)")) } else { Ok(()) }
}

/// An instruction of a classic socket filter (struct sock_filter).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Classic {
    pub code: u16,
    pub jt: u8,
    pub jf: u8,
    pub k: u32,
}

/// The classic filter that a socket has; empty: none.
pub fn socket_filter(socket: BorrowedFd<'_>) -> Result<Vec<Classic>, SyscallError> {
    /// BPF_MAXINSNS
    const MOST: usize = 4096;
    /// One number for both directions.
    const SO_GET_FILTER: i32 = libc::SO_ATTACH_FILTER;
    let mut filter = vec![Classic::default(); MOST];
    // Counted in instructions, not bytes.
    let mut len = MOST as libc::socklen_t;
    // SAFETY: a live descriptor, and room for as many instructions as is told, of a type that is plain integers.
    let got = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, SO_GET_FILTER, filter.as_mut_ptr().cast(), &raw mut len)
    };
    if got < 0 {
        return Err(SyscallError::last("getsockopt(SO_GET_FILTER)"));
    }
    filter.truncate(len as usize);
    Ok(filter)
}

fn clock(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a live timespec; the clocks asked for exist since Linux 2.6.39.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// # Safety
/// A non-negative `fd` must be a new descriptor that nothing else owns.
unsafe fn owned(fd: i64, call: &'static str) -> Result<OwnedFd, SyscallError> {
    if fd < 0 {
        return Err(SyscallError::last(call));
    }
    // SAFETY: by this function's contract.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

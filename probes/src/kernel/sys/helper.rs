#![allow(unsafe_code, reason = "fork(2), descriptors over sockets and openat2(2) have no safe wrappers")]
//! What the helper process is made of: a child with a socket to its parent, and files opened for it.

use super::SyscallError;
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// Where one is after [`fork_with_channel`].
pub enum Forked {
    Parent { pid: i32, channel: OwnedFd },
    Child { channel: OwnedFd },
}

/// Forks a child that shares one socket of messages with its parent and nothing else: its other descriptors are closed, its standard
/// ones lead to /dev/null, it ignores the terminal's signals and dies with its parent's thread.
pub fn fork_with_channel(patience: Duration) -> Result<Forked, SyscallError> {
    let (ours, theirs) = channel(patience)?;
    // SAFETY: getpid takes nothing.
    let parent = unsafe { libc::getpid() };
    // SAFETY: the child goes on with its own copy of everything. No other thread holds a lock in it: ours has one thread when it forks,
    // and the C library's allocator comes through forks of programs with more.
    match unsafe { libc::fork() } {
        -1 => Err(SyscallError::last("fork")),
        0 => {
            drop(ours);
            settle(&theirs, parent);
            Ok(Forked::Child { channel: theirs })
        }
        pid => Ok(Forked::Parent { pid, channel: ours }),
    }
}

/// Two ends of a socket that keeps messages apart. Ours doesn't wait longer than `patience`.
fn channel(patience: Duration) -> Result<(OwnedFd, OwnedFd), SyscallError> {
    let mut fds = [0; 2];
    // SAFETY: room for two descriptors.
    let made =
        unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC, 0, fds.as_mut_ptr()) };
    if made < 0 {
        return Err(SyscallError::last("socketpair"));
    }
    // SAFETY: both are new and owned by nobody else.
    let (ours, theirs) = unsafe { (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])) };
    let time = libc::timeval { tv_sec: patience.as_secs() as i64, tv_usec: i64::from(patience.subsec_micros()) };
    for option in [libc::SO_RCVTIMEO, libc::SO_SNDTIMEO] {
        let len = size_of::<libc::timeval>() as libc::socklen_t;
        // SAFETY: a live timeval of the length that is told.
        let set =
            unsafe { libc::setsockopt(ours.as_raw_fd(), libc::SOL_SOCKET, option, (&raw const time).cast(), len) };
        if set < 0 {
            return Err(SyscallError::last("setsockopt(SO_RCVTIMEO)"));
        }
    }
    Ok((ours, theirs))
}

/// In the child, before it does anything else.
fn settle(channel: &OwnedFd, parent: i32) {
    let own = channel.as_raw_fd() as u32;
    // SAFETY: integers and strings that live; the descriptors closed belong to objects of the parent that the child never touches or
    // drops: it ends by `exit_now`.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        if libc::getppid() != parent {
            libc::_exit(0);
        }
        libc::prctl(libc::PR_SET_NAME, c"weftrace-helper".as_ptr());
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGQUIT, libc::SIGHUP, libc::SIGTSTP, libc::SIGPIPE] {
            libc::signal(signal, libc::SIG_IGN);
        }
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
        for standard in 0..3 {
            libc::dup2(null, standard);
        }
        close_range(3, own.saturating_sub(1));
        close_range(own + 1, u32::MAX);
    }
}

/// # Safety
/// Nothing may use these descriptors any more.
unsafe fn close_range(first: u32, last: u32) {
    if first > last {
        return;
    }
    // SAFETY: integers only, and this function's contract.
    if unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } < 0 {
        // Before Linux 5.9.
        for fd in first..=last.min(4096) {
            // SAFETY: as above.
            unsafe { libc::close(fd as i32) };
        }
    }
}

/// Ends the child without running anything of what it inherited.
pub fn exit_now() -> ! {
    // SAFETY: doesn't return.
    unsafe { libc::_exit(0) }
}

/// Ends a child of ours and waits for it.
pub fn end_child(pid: i32) {
    // SAFETY: a child that has not been waited for: its number is still its own.
    unsafe {
        libc::kill(pid, libc::SIGKILL);
        libc::waitpid(pid, std::ptr::null_mut(), 0);
    }
}

/// Room for the message that carries one descriptor, aligned as the kernel wants it.
#[repr(C, align(8))]
struct Control([u8; 64]);

/// One message, with a descriptor or without.
pub fn send(channel: BorrowedFd<'_>, bytes: &[u8], file: Option<BorrowedFd<'_>>) -> Result<(), SyscallError> {
    let mut control = Control([0; 64]);
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: msghdr is plain integers and pointers: all-zero is a value of it.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    if let Some(file) = file {
        let size = size_of::<i32>() as u32;
        message.msg_control = (&raw mut control).cast();
        // SAFETY: arithmetic only; one descriptor's room is less than `control` has.
        message.msg_controllen = unsafe { libc::CMSG_SPACE(size) } as _;
        // SAFETY: `msg_control` is aligned and has room for one header and one descriptor.
        unsafe {
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(size) as _;
            libc::CMSG_DATA(header).cast::<i32>().write_unaligned(file.as_raw_fd());
        }
    }
    // SAFETY: everything that the message points to is live.
    let sent = unsafe { libc::sendmsg(channel.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) };
    if sent < 0 { Err(SyscallError::last("sendmsg")) } else { Ok(()) }
}

/// The next message: its length in `into`, and the descriptor that came with it. Length 0: the other side has gone.
pub fn receive(channel: BorrowedFd<'_>, into: &mut [u8]) -> Result<(usize, Option<OwnedFd>), SyscallError> {
    let mut control = Control([0; 64]);
    let mut part = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    // SAFETY: msghdr is plain integers and pointers: all-zero is a value of it.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast();
    message.msg_controllen = size_of::<Control>() as _;
    // SAFETY: everything that the message points to is live and as long as told.
    let got = unsafe { libc::recvmsg(channel.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC) };
    if got < 0 {
        return Err(SyscallError::last("recvmsg"));
    }
    let mut file = None;
    // SAFETY: the kernel has filled `control` with whole headers; a descriptor of SCM_RIGHTS is new and ours.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while !header.is_null() {
            if (*header).cmsg_level == libc::SOL_SOCKET && (*header).cmsg_type == libc::SCM_RIGHTS {
                let fd = libc::CMSG_DATA(header).cast::<i32>().read_unaligned();
                file = Some(OwnedFd::from_raw_fd(fd));
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
    }
    Ok((got as usize, file))
}

#[repr(C)]
struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

/// How [`place_in_root`] opens. Its place in memory is all that a filter of system calls can look at, and it can't be written.
static IN_ROOT: OpenHow = OpenHow {
    flags: (libc::O_PATH | libc::O_CLOEXEC) as u64,
    mode: 0,
    // RESOLVE_NO_MAGICLINKS, RESOLVE_IN_ROOT
    resolve: 0x2 | 0x10,
};

/// Third argument of the openat2(2) of [`place_in_root`]: where it is said how.
pub fn in_root_address() -> u64 {
    (&raw const IN_ROOT).addr() as u64
}

/// Opens `path` (a place only: nothing is read by it) as a process whose root is `root` would: links that lead to `/` lead to that root.
/// Linux 5.6.
pub fn place_in_root(root: BorrowedFd<'_>, path: &CStr) -> Result<OwnedFd, SyscallError> {
    // SAFETY: a live descriptor, string and structure of the size that is told.
    let fd = unsafe {
        libc::syscall(libc::SYS_openat2, root.as_raw_fd(), path.as_ptr(), &raw const IN_ROOT, size_of::<OpenHow>())
    };
    if fd < 0 {
        return Err(SyscallError::last("openat2"));
    }
    // SAFETY: new, and owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

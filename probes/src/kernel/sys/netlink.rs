#![allow(unsafe_code, reason = "socket(2), setsockopt(2) and recvfrom(2) have no safe wrappers")]
//! Netlink sockets to the kernel's netfilter.

use super::SyscallError;
use super::host::Classic;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// A socket that talks to the kernel only.
#[derive(Debug)]
pub struct Netlink(OwnedFd);

/// What a receive has given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// So many bytes of the kernel's.
    Bytes(usize),
    /// Of somebody else: nothing of it counts.
    Foreign,
    /// More than the buffer holds: what there was is gone.
    Cut,
    /// Nothing is there (yet).
    Nothing,
    /// The kernel had no room for some messages and dropped them.
    Overrun,
}

/// SO_MEMINFO's numbers, of which the last counts dropped messages: linux/sock_diag.h.
const MEMINFO_VARS: usize = 9;
const MEMINFO_DROPS: usize = 8;

impl Netlink {
    /// In the calling thread's network namespace.
    pub fn netfilter() -> Result<Self, SyscallError> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        // SAFETY: integers only; the call returns a new descriptor or -1.
        let fd = unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_NETFILTER) };
        if fd < 0 {
            return Err(SyscallError::last("socket(NETLINK_NETFILTER)"));
        }
        // SAFETY: a new descriptor that nothing else owns.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Joins multicast groups, as bits.
    pub fn bind(&self, groups: u32) -> Result<(), SyscallError> {
        let address = address(groups);
        let len = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
        // SAFETY: a live descriptor and an address of the length that is told.
        let bound = unsafe { libc::bind(self.0.as_raw_fd(), (&raw const address).cast(), len) };
        if bound < 0 { Err(SyscallError::last("bind(NETLINK_NETFILTER)")) } else { Ok(()) }
    }

    /// Room for messages that were not read yet: more than usual only where that is permitted.
    pub fn set_room(&self, bytes: u32) {
        for option in [libc::SO_RCVBUF, libc::SO_RCVBUFFORCE] {
            let _ = self.set(option, &bytes, "setsockopt(SO_RCVBUF)");
        }
    }

    /// How long [`Self::receive`] waits, where it may.
    pub fn set_patience(&self, patience: Duration) -> Result<(), SyscallError> {
        let time = libc::timeval {
            tv_sec: patience.as_secs() as libc::time_t,
            tv_usec: patience.subsec_micros() as libc::suseconds_t,
        };
        self.set(libc::SO_RCVTIMEO, &time, "setsockopt(SO_RCVTIMEO)")
    }

    /// Only messages that a program of the classic kind accepts are received.
    pub fn set_filter(&self, program: &mut [Classic]) -> Result<(), SyscallError> {
        let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr().cast() };
        self.set(libc::SO_ATTACH_FILTER, &program, "setsockopt(SO_ATTACH_FILTER)")
    }

    fn set<T>(&self, option: i32, value: &T, call: &'static str) -> Result<(), SyscallError> {
        let len = size_of::<T>() as libc::socklen_t;
        // SAFETY: a live descriptor and a value of the length that is told; what it points to is alive too.
        let set = unsafe {
            libc::setsockopt(self.0.as_raw_fd(), libc::SOL_SOCKET, option, std::ptr::from_ref(value).cast(), len)
        };
        if set < 0 { Err(SyscallError::last(call)) } else { Ok(()) }
    }

    /// A request to the kernel.
    pub fn send(&self, request: &[u8]) -> Result<(), SyscallError> {
        let to = address(0);
        let len = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
        // SAFETY: a live descriptor, `request.len()` readable bytes and an address of the length that is told.
        let sent = unsafe {
            libc::sendto(self.0.as_raw_fd(), request.as_ptr().cast(), request.len(), 0, (&raw const to).cast(), len)
        };
        if sent < 0 { Err(SyscallError::last("sendto(NETLINK_NETFILTER)")) } else { Ok(()) }
    }

    /// The next message, or several. `wait`: for as long as was set.
    pub fn receive(&self, buffer: &mut [u8], wait: bool) -> Result<Received, SyscallError> {
        let mut from = address(0);
        let mut len = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
        let flags = libc::MSG_TRUNC | if wait { 0 } else { libc::MSG_DONTWAIT };
        // SAFETY: a live descriptor, `buffer.len()` writable bytes, room for an address of the length that is told.
        let got = unsafe {
            libc::recvfrom(
                self.0.as_raw_fd(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                flags,
                (&raw mut from).cast(),
                &raw mut len,
            )
        };
        if got < 0 {
            let error = SyscallError::last("recvfrom(NETLINK_NETFILTER)");
            return match error.errno {
                libc::EAGAIN | libc::EINTR => Ok(Received::Nothing),
                libc::ENOBUFS => Ok(Received::Overrun),
                _ => Err(error),
            };
        }
        // MSG_TRUNC: the length of the whole message.
        Ok(match got as usize {
            _ if from.nl_pid != 0 => Received::Foreign,
            whole if whole > buffer.len() => Received::Cut,
            bytes => Received::Bytes(bytes),
        })
    }

    /// How many messages were dropped since it was made; None: this kernel (before 4.12) doesn't say.
    pub fn dropped(&self) -> Option<u32> {
        let mut numbers = [0_u32; MEMINFO_VARS];
        let mut len = size_of_val(&numbers) as libc::socklen_t;
        // SAFETY: a live descriptor, and room for as many bytes as is told.
        let got = unsafe {
            libc::getsockopt(
                self.0.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_MEMINFO,
                numbers.as_mut_ptr().cast(),
                &raw mut len,
            )
        };
        (got == 0 && len as usize > MEMINFO_DROPS * size_of::<u32>()).then(|| numbers[MEMINFO_DROPS])
    }
}

/// The kernel's.
fn address(groups: u32) -> libc::sockaddr_nl {
    // SAFETY: a struct of integers, for which zeros are values.
    let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
    address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
    address.nl_groups = groups;
    address
}

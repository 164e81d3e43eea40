#![allow(
    unsafe_code,
    reason = "getsockname(2), bind(2), ioctl(2) and setsockopt(2) have no safe wrappers for packet sockets"
)]
//! The device that a packet socket is bound to: it may go, and one of its name may come. None of this needs a privilege, nor to be in the
//! socket's network namespace.

use super::SyscallError;
use std::os::fd::{AsRawFd, BorrowedFd};

/// What a packet socket is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoundDevice {
    /// -1: a device that has gone; 0: all devices.
    pub index: i32,
    /// Kind of its hardware (ARPHRD_…), which decides what its packets begin with.
    pub hardware: u16,
}

/// What a packet socket is bound to.
pub fn bound_device(socket: BorrowedFd<'_>) -> Result<BoundDevice, SyscallError> {
    let address = address(socket)?;
    Ok(BoundDevice { index: address.sll_ifindex, hardware: address.sll_hatype })
}

/// Binds a packet socket to another device: rings, filters and what else it has stay.
pub fn bind_to_device(socket: BorrowedFd<'_>, index: i32) -> Result<(), SyscallError> {
    // With the protocol that it has.
    let address = libc::sockaddr_ll { sll_ifindex: index, ..address(socket)? };
    // SAFETY: a live address of the length that is told.
    let done = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), LENGTH) };
    if done < 0 { Err(SyscallError::last("bind(AF_PACKET)")) } else { Ok(()) }
}

/// Index of a device in the socket's network namespace; None: there is none of that name.
pub fn device_of_socket(socket: BorrowedFd<'_>, device: &str) -> Option<i32> {
    let mut name = [0; libc::IFNAMSIZ];
    // With a NUL at its end.
    let place = name.get_mut(..device.len()).filter(|place| place.len() < libc::IFNAMSIZ)?;
    for (to, from) in place.iter_mut().zip(device.bytes()) {
        *to = from as libc::c_char;
    }
    let mut asked = libc::ifreq { ifr_name: name, ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_ifindex: 0 } };
    // SAFETY: a live ifreq, which the call fills; on success the index is there.
    unsafe {
        let done = libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFINDEX, &raw mut asked);
        (done >= 0).then_some(asked.ifr_ifru.ifru_ifindex)
    }
}

/// Lets a packet socket see what its device would pass over for being others'.
pub fn be_promiscuous(socket: BorrowedFd<'_>, index: i32) -> Result<(), SyscallError> {
    let wanted = libc::packet_mreq {
        mr_ifindex: index,
        mr_type: libc::PACKET_MR_PROMISC as u16,
        mr_alen: 0,
        mr_address: [0; 8],
    };
    let len = size_of::<libc::packet_mreq>() as libc::socklen_t;
    // SAFETY: a live struct of the length that is told.
    let set = unsafe {
        let option = (libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP);
        libc::setsockopt(socket.as_raw_fd(), option.0, option.1, (&raw const wanted).cast(), len)
    };
    if set < 0 { Err(SyscallError::last("setsockopt(PACKET_ADD_MEMBERSHIP)")) } else { Ok(()) }
}

const LENGTH: libc::socklen_t = size_of::<libc::sockaddr_ll>() as libc::socklen_t;

fn address(socket: BorrowedFd<'_>) -> Result<libc::sockaddr_ll, SyscallError> {
    let mut address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: 0,
        sll_ifindex: 0,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let mut len = LENGTH;
    // SAFETY: room for an address, and its length.
    let got = unsafe { libc::getsockname(socket.as_raw_fd(), (&raw mut address).cast(), &raw mut len) };
    if got < 0 { Err(SyscallError::last("getsockname(AF_PACKET)")) } else { Ok(address) }
}

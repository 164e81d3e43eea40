//! Descriptors in tokio's event loop.
#![allow(unsafe_code, reason = "tokio asks for a promise about the descriptor")]

use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
};
use tokio::io::{Interest, unix::AsyncFd};

/// Waits for a descriptor to become readable, by a copy of it. Must be called inside a tokio runtime.
pub fn watch(fd: BorrowedFd<'_>) -> io::Result<AsyncFd<OwnedFd>> {
    let copy = fd.try_clone_to_owned()?;
    // SAFETY: the AsyncFd owns the copy, which stays open and the same until both are dropped.
    Ok(unsafe { AsyncFd::register_with_interest(copy, Interest::READABLE) }?)
}

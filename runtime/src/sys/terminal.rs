//! How wide a terminal is.
#![allow(unsafe_code, reason = "ioctl")]

use std::os::fd::{AsFd, AsRawFd};

/// Columns; None: it is no terminal, or doesn't say.
pub fn columns(of: impl AsFd) -> Option<usize> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the descriptor is borrowed for the call, and the kernel fills a winsize that lives here.
    let done = unsafe { libc::ioctl(of.as_fd().as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    (done == 0 && size.ws_col > 0).then_some(usize::from(size.ws_col))
}

//! Writing to a reader that may not read: a pipe, a socket, a terminal that stands still.
#![allow(unsafe_code, reason = "poll(2)")]

use super::interrupt;
use std::{
    fs::File,
    io::{self, ErrorKind, IsTerminal, Write},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd},
        unix::fs::FileTypeExt,
    },
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

/// Once the run is to end a reader may take so long for the next bytes, unless the run is asked to end a second time.
const PATIENCE: Duration = Duration::from_secs(10);
/// Some reader took longer: others have no time of their own.
static OUT_OF_PATIENCE: AtomicBool = AtomicBool::new(false);
/// How often it is looked whether it is.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A pipe that has room takes so much at once (PIPE_BUF).
const PIECE: usize = 4096;

/// Waits for its reader as long as that takes, but not for ever once a signal is to end the run: then writing fails (`TimedOut`), and what was to
/// be written is dropped. The descriptor itself stays as it is, since others have it too.
#[derive(Debug)]
pub struct Patient<W> {
    to: W,
    /// Whether writing may have to wait at all.
    waits: bool,
    gave_up: bool,
}

impl<W: Write + AsFd> Patient<W> {
    pub fn new(to: W) -> Self {
        Self { waits: may_wait(to.as_fd()), to, gave_up: false }
    }
}

impl<W: Write + AsFd> Write for Patient<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.waits {
            return self.to.write(bytes);
        }
        self.gave_up = self.gave_up || !has_room(self.to.as_fd())?;
        if self.gave_up {
            return Err(ErrorKind::TimedOut.into());
        }
        self.to.write(&bytes[..bytes.len().min(PIECE)])
    }

    /// With the number of bytes that nobody took.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut left = bytes;
        while !left.is_empty() {
            match self.write(left) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => left = left.get(n..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::TimedOut => {
                    let text = format!("nobody reads it: {} bytes were dropped", left.len());
                    return Err(io::Error::new(ErrorKind::TimedOut, text));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

fn may_wait(fd: BorrowedFd<'_>) -> bool {
    let kind = fd.try_clone_to_owned().and_then(|copy| File::from(copy).metadata()).map(|of| of.file_type());
    fd.is_terminal() || kind.is_ok_and(|kind| kind.is_fifo() || kind.is_socket())
}

/// Waits until something can be written; false: that took too long.
fn has_room(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let mut since = None;
    loop {
        let mut asked = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
        // SAFETY: one live pollfd, with a descriptor that is borrowed for the call.
        let ready = unsafe { libc::poll(&raw mut asked, 1, LOOK_EVERY.as_millis() as i32) };
        let error = (ready < 0).then(io::Error::last_os_error);
        match error {
            None if ready > 0 => return Ok(true),
            Some(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        let patient = match interrupt::asked() {
            0 => true,
            1 if OUT_OF_PATIENCE.load(Ordering::Relaxed) => false,
            1 => since.get_or_insert_with(Instant::now).elapsed() < PATIENCE,
            _ => false,
        };
        if !patient {
            OUT_OF_PATIENCE.store(true, Ordering::Relaxed);
            return Ok(false);
        }
    }
}

//! A connection on which reading and writing end in time, however slowly the other side goes.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

pub(crate) struct InTime {
    stream: TcpStream,
    due: Instant,
}

impl InTime {
    pub(crate) fn new(stream: TcpStream, due: Instant) -> Self {
        Self { stream, due }
    }

    /// What follows is done by this time.
    pub(crate) fn until(&mut self, due: Instant) {
        self.due = due;
    }

    /// The first byte that comes, which stays to be read; 0 of a connection that ends.
    #[cfg(feature = "tls")]
    pub(crate) fn first(&self) -> io::Result<u8> {
        self.stream.set_read_timeout(Some(left(self.due)?))?;
        let mut byte = [0];
        self.stream.peek(&mut byte)?;
        Ok(byte[0])
    }
}

/// How long it is until then: never nothing, which would mean for ever to sockets.
pub(crate) fn left(due: Instant) -> io::Result<Duration> {
    let left = due.checked_duration_since(Instant::now()).ok_or(io::ErrorKind::TimedOut)?;
    Ok(left.max(Duration::from_millis(1)))
}

impl Read for InTime {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(left(self.due)?))?;
        self.stream.read(bytes)
    }
}

impl Write for InTime {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(left(self.due)?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

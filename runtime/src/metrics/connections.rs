//! Connections of the metrics port: a few at once, each on a thread of its own, and none is kept that has nothing to ask while others wait.

use std::{
    collections::VecDeque,
    io,
    net::{Shutdown, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// So many at once.
pub(super) const MOST: usize = 16;
/// A thread that must end is waited for so long before the next must, too.
const ENDING: Duration = Duration::from_millis(100);

#[derive(Default)]
struct Open {
    count: usize,
    /// Those that haven't asked anything whole yet, by their number: who came first is first.
    silent: VecDeque<(u64, TcpStream)>,
    number: u64,
}

#[derive(Default)]
pub(super) struct Connections {
    open: Mutex<Open>,
    ended: Condvar,
}

impl Connections {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a connection. Where all are taken, whoever has been silent for longest loses its own; where all are being answered, the first
    /// that is done with leaves one.
    pub(super) fn place(self: &Arc<Self>, stream: &TcpStream) -> io::Result<Place> {
        let handle = stream.try_clone()?;
        let mut open = self.lock();
        while open.count >= MOST {
            if let Some((_, longest)) = open.silent.pop_front() {
                // It may have gone.
                let _ = longest.shutdown(Shutdown::Both);
            }
            open = self.ended.wait_timeout(open, ENDING).unwrap_or_else(PoisonError::into_inner).0;
        }
        open.count += 1;
        open.number += 1;
        let number = open.number;
        open.silent.push_back((number, handle));
        Ok(Place { all: Arc::clone(self), number })
    }
}

/// One of them, for as long as it lives.
pub(super) struct Place {
    all: Arc<Connections>,
    number: u64,
}

impl Place {
    /// It has asked: it is answered now, whoever waits.
    pub(super) fn asked(&self) {
        self.all.lock().silent.retain(|(number, _)| *number != self.number);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.asked();
        self.all.lock().count -= 1;
        self.all.ended.notify_all();
    }
}

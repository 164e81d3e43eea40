//! Watching which process maps what, while a script that takes user stacks runs. A thread empties perf's rings before they are
//! full; whoever asks for a name empties them first.

use super::images::Table;
use super::process::{Identity, Region, maps_of};
use crate::kernel::cpus;
use crate::kernel::sys::{TaskEvents, wait_readable};
use std::io::{ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};

/// The thread ends with this.
#[derive(Debug)]
pub struct Watch {
    state: Arc<Mutex<State>>,
    only: Option<u32>,
    /// Closed with us, which the thread sees.
    alive: Option<UnixStream>,
}

#[derive(Debug)]
struct State {
    events: TaskEvents,
    table: Table,
    buffer: Vec<u8>,
}

impl State {
    fn drain(&mut self) {
        let Self { events, table, buffer } = self;
        events.take(buffer);
        if !buffer.is_empty() {
            table.take(buffer, &maps_of);
        }
        buffer.clear();
    }
}

impl Watch {
    /// Opens what needs privileges (CAP_PERFMON), and no thread yet. None: this user may not, or the kernel can't. `only`: the one
    /// process whose stacks are of interest.
    pub fn open(only: Option<u32>) -> Option<Self> {
        let events = TaskEvents::open(&cpus::online()).ok()?;
        let state = Arc::new(Mutex::new(State { events, table: Table::default(), buffer: Vec::new() }));
        Some(Self { state, only, alive: None })
    }

    /// Begins to empty the rings. If no thread can be had they are emptied when names are asked for, and what is lost is told.
    pub fn start(&mut self) {
        let Ok((alive, end)) = UnixStream::pair() else { return };
        let fds: std::io::Result<Vec<OwnedFd>> =
            lock(&self.state).events.descriptors().map(|fd| fd.try_clone_to_owned()).collect();
        let (Ok(mut fds), Ok(ended)) = (fds, end.try_clone()) else { return };
        if ended.set_nonblocking(true).is_err() {
            return;
        }
        fds.push(end.into());
        let (state, only) = (self.state.clone(), self.only);
        let work = move || {
            // What runs already told its mappings before we listened.
            for pid in only.map_or_else(running, |pid| vec![pid]) {
                let regions = maps_of(pid);
                lock(&state).table.seen(pid, regions);
            }
            // Nobody writes there: what can be read is its end.
            while matches!((&ended).read(&mut [0]), Err(e) if e.kind() == ErrorKind::WouldBlock) {
                lock(&state).drain();
                wait_readable(&fds);
            }
        };
        if std::thread::Builder::new().name("mappings".into()).spawn(work).is_ok() {
            self.alive = Some(alive);
        }
    }

    /// The mapping that an address of a process is, or was, in.
    pub(super) fn find(&self, pid: u32, address: u64) -> Option<Region> {
        let mut state = lock(&self.state);
        state.drain();
        state.table.find(pid, address)
    }

    /// Records that the kernel had no room for.
    pub fn lost(&self) -> u64 {
        lock(&self.state).table.lost
    }

    pub(super) fn relatives(&self, pid: u32, file: Identity) -> Vec<u32> {
        lock(&self.state).table.relatives(pid, file)
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn running() -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect()
}

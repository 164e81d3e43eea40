//! Connections, as many at once as there may be. SDKs hold theirs for as long as they live and say something every few seconds: where all places
//! are taken, whoever has been idle for longest gives up its own, as any server may end a connection between requests.

use super::intake::Intake;
use std::{
    collections::BTreeMap,
    future::poll_fn,
    io,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

/// Connections of one listener at once.
const CONNECTIONS: usize = 64;
/// As many more may wait for a place, each for so long.
const WAITING: usize = 64;
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks whether somebody is idle by now.
const LOOK: Duration = Duration::from_millis(500);
/// Where none can be accepted (out of descriptors, for example), it may pass.
const AGAIN: Duration = Duration::from_millis(100);

/// Accepts connections for ever and serves each in a task of its own. Those that no place becomes free for are counted, and told by `refuse`.
pub(super) async fn each_connection<S, F, R>(
    mut accept: impl FnMut(&mut Context<'_>) -> Poll<io::Result<S>>,
    serve: impl Fn(S, Arc<Place>, Arc<Intake>) -> F + Clone + Send + 'static,
    refuse: impl Fn(S) -> R + Clone + Send + 'static,
    intake: Arc<Intake>,
) where
    S: Send + 'static,
    F: Future<Output = ()> + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let places = Places::new(CONNECTIONS);
    loop {
        let Ok(stream) = poll_fn(&mut accept).await else {
            tokio::time::sleep(AGAIN).await;
            continue;
        };
        let Some(asking) = places.ask() else {
            intake.refused();
            continue;
        };
        let (serve, refuse, intake) = (serve.clone(), refuse.clone(), Arc::clone(&intake));
        tokio::spawn(async move {
            match asking.place(PATIENCE).await {
                Ok(place) => serve(stream, place, intake).await,
                Err(_asking) => {
                    intake.refused();
                    refuse(stream).await;
                }
            }
        });
    }
}

#[derive(Default)]
struct Table {
    /// Connections that want a place, and those that were told to leave theirs.
    waiting: usize,
    leaving: usize,
    /// Who is idle, by a number: who has been for longest is first.
    idle: BTreeMap<u64, Arc<Seat>>,
    number: u64,
}

/// What a connection is told by.
#[derive(Default)]
struct Seat {
    told: AtomicBool,
    leave: Notify,
}

pub(super) struct Places {
    free: Arc<Semaphore>,
    table: Mutex<Table>,
}

impl Places {
    pub(super) fn new(count: usize) -> Arc<Self> {
        Arc::new(Self { free: Arc::new(Semaphore::new(count)), table: Mutex::default() })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// None: too many wait already.
    pub(super) fn ask(self: &Arc<Self>) -> Option<Asking> {
        let mut table = self.table();
        if table.waiting >= WAITING {
            return None;
        }
        table.waiting += 1;
        self.make_room(&mut table);
        Some(Asking { all: Arc::clone(self) })
    }

    /// Sends as many away as are waited for, if so many are idle.
    fn make_room(&self, table: &mut Table) {
        while table.waiting > self.free.available_permits() + table.leaving
            && let Some((_, longest)) = table.idle.pop_first()
        {
            table.tell(&longest);
        }
    }
}

impl Table {
    fn tell(&mut self, seat: &Seat) {
        self.leaving += 1;
        seat.told.store(true, Relaxed);
        seat.leave.notify_one();
    }
}

/// A connection that wants a place.
pub(super) struct Asking {
    all: Arc<Places>,
}

impl Asking {
    /// Its place; itself, where none became free in this time.
    pub(super) async fn place(self, patience: Duration) -> Result<Arc<Place>, Self> {
        let due = Instant::now() + patience;
        let mut free = pin!(Arc::clone(&self.all.free).acquire_owned());
        let permit = loop {
            let look = due.min(Instant::now() + LOOK);
            match timeout_at(look, free.as_mut()).await {
                Ok(Ok(permit)) => break permit,
                Ok(Err(_)) => return Err(self),
                Err(_) if look == due => return Err(self),
                Err(_) => self.all.make_room(&mut self.all.table()),
            }
        };
        let all = Arc::clone(&self.all);
        drop(self);
        let idle = AtomicU64::new(0);
        let place = Place { all, seat: Arc::default(), requests: AtomicUsize::new(0), idle, _permit: permit };
        // What it has to say may be under way: nobody sends it away at once.
        place.sit(&mut place.all.table());
        Ok(Arc::new(place))
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.all.table().waiting -= 1;
    }
}

/// The place of a connection, which is idle but while a request is being answered.
pub(super) struct Place {
    all: Arc<Places>,
    seat: Arc<Seat>,
    requests: AtomicUsize,
    /// Its number among the idle; 0: it isn't.
    idle: AtomicU64,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    /// A request is being answered, until this is dropped.
    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        if self.requests.fetch_add(1, Relaxed) == 0 {
            self.rise();
        }
        Busy(Arc::clone(self))
    }

    /// Whether the connection must end once nothing is being answered on it.
    pub(super) fn is_told(&self) -> bool {
        self.seat.told.load(Relaxed)
    }

    /// Waits until it must.
    pub(super) async fn told(&self) {
        while !self.is_told() {
            self.seat.leave.notified().await;
        }
    }

    fn rest(&self) {
        let mut table = self.all.table();
        if self.is_told() {
            return;
        }
        self.sit(&mut table);
        self.all.make_room(&mut table);
    }

    fn sit(&self, table: &mut Table) {
        table.number += 1;
        table.idle.insert(table.number, Arc::clone(&self.seat));
        self.idle.store(table.number, Relaxed);
    }

    fn rise(&self) {
        let number = self.idle.swap(0, Relaxed);
        self.all.table().idle.remove(&number);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.rise();
        if self.is_told() {
            self.all.table().leaving -= 1;
        }
    }
}

/// See [`Place::busy`].
pub(super) struct Busy(Arc<Place>);

impl Drop for Busy {
    fn drop(&mut self) {
        if self.0.requests.fetch_sub(1, Relaxed) == 1 {
            self.0.rest();
        }
    }
}

#[cfg(test)]
#[path = "connections_tests.rs"]
mod tests;

//! A queue and a thread that sends what is in it, in batches.

use super::{
    post::{self, Endpoint},
    write::{self, Resource},
};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, channel, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

/// Items that wait to be sent, and their bytes.
const WAITING: usize = 2048;
const MOST_BYTES: usize = 32 << 20;
/// Items of one request, its bytes, and how long one waits for others.
const BATCH: usize = 256;
const BATCH_BYTES: usize = 1 << 20;
const GATHER: Duration = Duration::from_secs(1);
/// So long a request is tried; and at the end all of them.
const PATIENCE: Duration = Duration::from_secs(30);
const LAST_PATIENCE: Duration = Duration::from_secs(5);

/// What is sent, for people: by which option, and what it is called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Named {
    pub(crate) option: &'static str,
    pub(crate) what: &'static str,
}

/// Fields of a request, and how many things they tell.
struct Item {
    bytes: Vec<u8>,
    count: u64,
}

/// What the thread has done.
#[derive(Default)]
struct Done {
    taken: AtomicU64,
    /// Bytes that wait.
    waiting: AtomicUsize,
    /// Why the last batch was given up; and whether that has been told.
    failed: Mutex<(Option<String>, bool)>,
}

pub(crate) struct Sender {
    named: Named,
    endpoint: Endpoint,
    queue: Option<SyncSender<Item>>,
    /// Until the thread begins.
    receiver: Option<(Receiver<Item>, Resource)>,
    /// Nothing comes of it; it ends with the thread.
    ending: Option<Receiver<()>>,
    done: Arc<Done>,
    /// Things so far.
    all: u64,
    /// There was no room for some.
    full: bool,
    ended: Option<Instant>,
}

impl Sender {
    /// What comes waits until [`Self::start`].
    pub(crate) fn new(named: Named, endpoint: Endpoint, resource: Resource) -> Self {
        let (queue, receiver) = sync_channel(WAITING);
        Self {
            named,
            endpoint,
            queue: Some(queue),
            receiver: Some((receiver, resource)),
            ending: None,
            done: Arc::default(),
            all: 0,
            full: false,
            ended: None,
        }
    }

    /// Begins to send, on a thread that has the privileges of this one.
    pub(crate) fn start(&mut self) {
        let Some((receiver, resource)) = self.receiver.take() else { return };
        let work = Work { endpoint: self.endpoint.clone(), resource, done: Arc::clone(&self.done) };
        let (over, ending) = channel::<()>();
        self.ending = Some(ending);
        let thread = thread::Builder::new().name("weftrace-otlp".into());
        // Without one nothing is taken, which is told.
        let _ = thread.spawn(move || {
            let _over = over;
            work.send_all(&receiver);
        });
    }

    /// Fields of a scope that tell so many things.
    pub(crate) fn send(&mut self, bytes: Vec<u8>, count: u64) {
        let Some(queue) = &self.queue else { return };
        self.all += count;
        let size = bytes.len();
        // Where there is no room it is not sent, and so not taken.
        let before = self.done.waiting.fetch_add(size, Relaxed);
        if before + size > MOST_BYTES || queue.try_send(Item { bytes, count }).is_err() {
            self.done.waiting.fetch_sub(size, Relaxed);
            self.full = true;
        }
    }

    /// What is to be told while it goes on: the first time that something is given up.
    pub(crate) fn said(&mut self) -> Option<String> {
        let mut failed = self.done.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(why), false) = (&failed.0, failed.1) else { return None };
        let said = format!("{} {}: {} are not taken: {why}", self.named.option, self.endpoint, self.named.what);
        failed.1 = true;
        Some(said)
    }

    /// No more comes.
    pub(crate) fn close(&mut self) {
        self.queue = None;
        self.receiver = None;
        self.ended.get_or_insert_with(Instant::now);
    }

    /// Waits for what is on its way, for a while; what was not taken, in words.
    pub(crate) fn wait(&mut self) -> Option<String> {
        self.close();
        let due = self.ended? + LAST_PATIENCE + Duration::from_secs(1);
        let left = due.saturating_duration_since(Instant::now());
        let late = self.ending.take().is_some_and(|ending| ending.recv_timeout(left) == Err(RecvTimeoutError::Timeout));
        // Also those that are under way still: whether they arrive is not known.
        let lost = self.all - self.done.taken.load(Relaxed).min(self.all);
        if lost == 0 {
            return None;
        }
        let failed = self.done.failed.lock().unwrap_or_else(PoisonError::into_inner).0.clone();
        let why = match failed {
            _ if late => "no answer".into(),
            Some(why) => why,
            None if self.full => "too many at once".into(),
            None => "they could not be sent".into(),
        };
        let Named { option, what } = self.named;
        Some(format!("{option} {}: {lost} of {} {what} were not taken: {why}", self.endpoint, self.all))
    }
}

/// What the thread has.
struct Work {
    endpoint: Endpoint,
    resource: Resource,
    done: Arc<Done>,
}

impl Work {
    fn send_all(&self, queue: &Receiver<Item>) {
        let mut ended = None;
        while let Ok(first) = queue.recv() {
            let batch = gather(queue, first, &mut ended);
            let count: u64 = batch.iter().map(|item| item.count).sum();
            let bytes: usize = batch.iter().map(|item| item.bytes.len()).sum();
            let fields: Vec<Vec<u8>> = batch.into_iter().map(|item| item.bytes).collect();
            // At the end there is less patience.
            let patience = ended.map_or(PATIENCE, |at: Instant| LAST_PATIENCE.saturating_sub(at.elapsed()));
            let sent = post::send(&self.endpoint, &write::request(&self.resource, &fields), patience);
            self.done.waiting.fetch_sub(bytes, Relaxed);
            let mut failed = self.done.failed.lock().unwrap_or_else(PoisonError::into_inner);
            match sent {
                Ok((refused, said)) => {
                    // Of results it counts spans, of which each has several.
                    let lost = count.min(refused);
                    self.done.taken.fetch_add(count - lost, Relaxed);
                    if lost > 0 {
                        failed.0 = Some(said);
                    }
                }
                Err(why) => failed.0 = Some(why),
            }
        }
    }
}

/// What comes with the first.
fn gather(queue: &Receiver<Item>, first: Item, ended: &mut Option<Instant>) -> Vec<Item> {
    let (mut bytes, mut batch) = (first.bytes.len(), vec![first]);
    let due = Instant::now() + GATHER;
    while batch.len() < BATCH && bytes < BATCH_BYTES {
        match queue.recv_timeout(due.saturating_duration_since(Instant::now())) {
            Ok(next) => {
                bytes += next.bytes.len();
                batch.push(next);
            }
            Err(RecvTimeoutError::Timeout) => break,
            Err(RecvTimeoutError::Disconnected) => {
                ended.get_or_insert_with(Instant::now);
                break;
            }
        }
    }
    batch
}

#[cfg(test)]
#[path = "sender_tests.rs"]
mod tests;

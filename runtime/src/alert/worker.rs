//! What the run has of a sink that is elsewhere: a queue, and a thread that sends what is in it ([`super::sender`]).

use super::{notice::Notice, sender::Sender, target::Target};
use crate::client::Client;
use std::{
    io,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

/// Notices that wait for one sink.
pub(super) const WAITING: usize = 2048;
/// Groups that a sink with a memory keeps.
pub(super) const REMEMBERED: usize = 10_000;
/// So long one request is tried.
const PATIENCE: Duration = Duration::from_mins(5);
/// And so long all that is left, once the run has ended.
const LAST_PATIENCE: Duration = Duration::from_secs(5);
/// What the threads have beyond that to end.
const GRACE: Duration = Duration::from_secs(1);

/// What a sink's thread and the run share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Notices given to it, and of those the ones taken by the sink.
    all: AtomicU64,
    pub(super) taken: AtomicU64,
    /// Of the others those that there was no room for: in the queue, in the sink's memory.
    dropped: AtomicU64,
    forgotten: AtomicU64,
    news: Mutex<News>,
    /// The run has ended, or the thread.
    changed: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct News {
    pub(super) said: Vec<String>,
    /// Why the last failed.
    pub(super) why: Option<String>,
    /// What was pushed to a Pushgateway is there still, since this failed.
    pub(super) left_there: Option<String>,
    /// When the run ended.
    pub(super) ended: Option<Instant>,
    /// Its thread has ended.
    done: bool,
}

impl News {
    /// Until when a request is tried that began to be then.
    pub(super) fn patience(&self, began: Instant) -> Instant {
        self.ended.map_or(began + PATIENCE, |ended| ended + LAST_PATIENCE)
    }
}

impl Shared {
    pub(super) fn news(&self) -> std::sync::MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `due`. False: the patience with a request that began then ends before.
    pub(super) fn wait(&self, due: Instant, began: Instant) -> bool {
        let mut news = self.news();
        while due < news.patience(began) {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            news = self.changed.wait_timeout(news, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        false
    }

    /// A group that the sink's memory has no room for.
    pub(super) fn forgets(&self, name: &str) {
        if self.forgotten.fetch_add(1, Relaxed) == 0 {
            let text = format!("alerts: {name}: more than {REMEMBERED} groups: what fires beyond them is not sent");
            self.news().said.push(text);
        }
    }
}

/// Says that the thread has ended, however it does.
struct Done(Arc<Shared>);

impl Drop for Done {
    fn drop(&mut self) {
        self.0.news().done = true;
        self.0.changed.notify_all();
    }
}

/// One sink that is elsewhere.
#[derive(Debug)]
pub(super) struct Remote {
    name: String,
    queue: Option<SyncSender<Box<Notice>>>,
    shared: Arc<Shared>,
}

impl Remote {
    /// Its thread has the privileges that the run has by now.
    pub(super) fn start(target: &Target, script: &str, client: Client) -> Self {
        Self::start_by(target, script, client, |work| {
            thread::Builder::new().name("weftrace-alerts".into()).spawn(work).map(drop)
        })
    }

    /// `spawn` runs what it is given elsewhere.
    pub(super) fn start_by(
        target: &Target,
        script: &str,
        client: Client,
        spawn: impl FnOnce(Box<dyn FnOnce() + Send>) -> io::Result<()>,
    ) -> Self {
        let (queue, receiver) = sync_channel(WAITING);
        let shared = Arc::new(Shared::default());
        let sender = Sender::new(target, script, client, Arc::clone(&shared));
        let done = Done(Arc::clone(&shared));
        let work = Box::new(move || {
            let _done = done;
            sender.run(&receiver);
        });
        if let Err(error) = spawn(work) {
            let why = format!("its thread can't be started ({error})");
            let mut news = shared.news();
            news.said.push(format!("alerts: {}: {why}: nothing is sent there", target.name));
            news.why = Some(why);
        }
        Self { name: target.name.clone(), queue: Some(queue), shared }
    }

    pub(super) fn send(&self, notice: Box<Notice>) {
        self.shared.all.fetch_add(1, Relaxed);
        let Some(queue) = &self.queue else { return };
        // Where there is no thread it is not taken either, and why is known.
        if let Err(TrySendError::Full(_)) = queue.try_send(notice)
            && self.shared.dropped.fetch_add(1, Relaxed) == 0
        {
            let text = format!("alerts: {}: more than {WAITING} wait to be sent: what comes is dropped", self.name);
            self.shared.news().said.push(text);
        }
    }

    /// What is to be told of it now.
    pub(super) fn take_said(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.news().said)
    }

    /// No more comes.
    pub(super) fn end(&mut self, now: Instant) {
        self.shared.news().ended = Some(now);
        self.shared.changed.notify_all();
        self.queue = None;
    }

    /// Waits for what is on its way, until the time that all sinks have; what was not taken, if anything wasn't.
    pub(super) fn finish(self, due: Instant) -> Vec<String> {
        let left = due.saturating_duration_since(Instant::now());
        let waited = self.shared.changed.wait_timeout_while(self.shared.news(), left, |news| !news.done);
        drop(waited);
        let mut said = self.take_said();
        said.extend(self.lost());
        if let Some(why) = &self.shared.news().left_there {
            let name = &self.name;
            said.push(format!("alerts: {name}: this run's group was not deleted and stays there: {why}"));
        }
        said
    }

    fn lost(&self) -> Option<String> {
        let (all, taken) = (self.shared.all.load(Relaxed), self.shared.taken.load(Relaxed));
        let (dropped, forgotten) = (self.shared.dropped.load(Relaxed), self.shared.forgotten.load(Relaxed));
        let lost = all - taken.min(all);
        if lost == 0 {
            return None;
        }
        let why = self.shared.news().why.clone().unwrap_or_else(|| "no answer".into());
        let reasons = [
            (lost.saturating_sub(dropped + forgotten), why),
            (dropped, "too many at once".into()),
            (forgotten, format!("more than {REMEMBERED} groups")),
        ];
        let told: Vec<String> = reasons
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .enumerate()
            .map(|(n, (count, why))| if n == 0 { why } else { format!("{count} of them: {why}") })
            .collect();
        Some(format!("alerts: {}: {lost} of {all} were not taken: {}", self.name, told.join("; ")))
    }
}

/// Until when the sinks of a run that ends now are waited for.
pub(super) fn last_due(now: Instant) -> Instant {
    now + LAST_PATIENCE + GRACE
}

#[cfg(test)]
#[path = "worker_tests.rs"]
pub(super) mod tests;

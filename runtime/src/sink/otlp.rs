//! Results of joins as OpenTelemetry spans, sent to a collector: the anchor is a span, its layers are children, its legs events, and where the
//! request names a trace the spans are in that trace, below the caller's span, with a link to it.

mod message;
mod post;

use super::{Message, Sink};
use crate::style::Style;
use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

pub use post::Endpoint;

/// Results that wait to be sent.
const WAITING: usize = 2048;
/// Results of one message, and how long one waits for others.
const BATCH: usize = 256;
const GATHER: Duration = Duration::from_secs(1);
/// At the end, so long is tried.
const PATIENCE: Duration = Duration::from_secs(5);

/// Passes everything on, and sends results besides.
pub struct OtlpSink {
    inner: Box<dyn Sink>,
    err: Box<dyn Write>,
    endpoint: Endpoint,
    queue: Option<SyncSender<Vec<u8>>>,
    thread: Option<JoinHandle<Option<String>>>,
    /// Results so far, and of those the ones that a collector has taken.
    all: u64,
    taken: Arc<AtomicU64>,
    ended: bool,
}

impl OtlpSink {
    /// `err`: where it is told what could not be sent.
    pub fn new(inner: Box<dyn Sink>, endpoint: Endpoint, err: Box<dyn Write>) -> Self {
        Self { inner, err, endpoint, queue: None, thread: None, all: 0, taken: Arc::default(), ended: false }
    }

    /// The thread begins with the first result: by then privileges have been given up.
    fn queue(&mut self) -> Option<&SyncSender<Vec<u8>>> {
        if self.queue.is_none() && !self.ended {
            let (sender, receiver) = sync_channel(WAITING);
            let (endpoint, taken) = (self.endpoint.clone(), Arc::clone(&self.taken));
            let thread = thread::Builder::new().name("weftrace-otlp".into());
            self.thread = thread.spawn(move || send_all(&receiver, &endpoint, &taken)).ok();
            self.queue = Some(sender);
        }
        self.queue.as_ref()
    }

    fn send(&mut self, span: Vec<u8>) {
        self.all += 1;
        if let Some(queue) = self.queue() {
            // Where there is no room it is not sent, and so not taken.
            let _ = queue.try_send(span);
        }
    }

    /// No more comes: waits for what is on its way, for a while, and tells what was not sent.
    fn end(&mut self) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        drop(self.queue.take());
        let why = self.thread.take().and_then(|thread| {
            let due = Instant::now() + PATIENCE + Duration::from_secs(1);
            while !thread.is_finished() && Instant::now() < due {
                thread::sleep(Duration::from_millis(2));
            }
            if thread.is_finished() { thread.join().ok().flatten() } else { Some("no answer".into()) }
        });
        // Also those that are under way still: whether they arrive is not known.
        let (all, dropped) = (self.all, self.all - self.taken.load(Relaxed).min(self.all));
        if dropped > 0 {
            let why = why.unwrap_or_else(|| "too many at once".into());
            let _ = writeln!(
                self.err,
                "WARNING: --otlp-out {}: {dropped} of {all} results were not taken: {why}",
                self.endpoint
            );
        }
    }
}

impl Sink for OtlpSink {
    fn message(&mut self, message: &Message<'_>, style: &mut Style<'_>) -> io::Result<()> {
        match message {
            Message::Joined(shown) => self.send(message::spans(shown)),
            Message::End => self.end(),
            _ => {}
        }
        self.inner.message(message, style)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Sends what comes, in batches; returns why the last failed, if one did.
fn send_all(queue: &Receiver<Vec<u8>>, endpoint: &Endpoint, taken: &AtomicU64) -> Option<String> {
    let mut why = None;
    let mut ended = None;
    loop {
        let Ok(first) = queue.recv() else { return why };
        let mut batch = vec![first];
        let due = Instant::now() + GATHER;
        while batch.len() < BATCH {
            match queue.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(next) => batch.push(next),
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => {
                    ended.get_or_insert_with(Instant::now);
                    break;
                }
            }
        }
        let count = batch.len() as u64;
        // At the end there is less patience.
        let patience = ended.map_or(Duration::from_secs(30), |at| PATIENCE.saturating_sub(at.elapsed()));
        match post::send(endpoint, &message::request(&batch), patience) {
            Ok((refused, said)) => {
                // It counts spans, of which a result has several.
                let lost = if refused == 0 { 0 } else { count.min(refused) };
                taken.fetch_add(count - lost, Relaxed);
                if lost > 0 {
                    why = Some(said);
                }
            }
            Err(error) => why = Some(error),
        }
    }
}

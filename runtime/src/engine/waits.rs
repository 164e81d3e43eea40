//! Everything the loop waits for, as one closed enum.

use super::{packets::Feed, telemetry::TelemetryFeed};
use crate::{
    error::Error,
    metrics::MetricsFeed,
    sys::{Ring, interrupt, watch},
};
use std::{
    future::Future,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::{
    io::unix::AsyncFd,
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    time::Sleep,
};

/// Why the loop woke up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// The event ring has records.
    Ring,
    /// An interval, the watermark tick.
    Timer,
    /// A source of packets, by its place.
    Packets(usize),
    /// Spans or log records have arrived.
    Telemetry,
    /// Somebody asks for metrics.
    Scrape,
    /// Those that end a run, SIGUSR1, and those that blocks name.
    Signal(i32),
    /// The child of `-c`, or the process of `-p`, has ended.
    ProcessEnded,
    /// `--for` is over.
    Deadline,
    /// [`StopHandle::stop`]
    Stop,
}

/// Ends a run from outside, from any thread.
#[derive(Clone, Debug)]
pub struct StopHandle(mpsc::UnboundedSender<()>);

impl StopHandle {
    pub fn stop(&self) {
        // A run that has already ended doesn't listen.
        let _ = self.0.send(());
    }
}

/// When to look into the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RingState {
    /// When the kernel wakes us.
    Armed,
    Now,
    /// Events come thick: let some gather. Nobody wakes us meanwhile, which saves the producers the trouble too.
    At(Instant),
}

/// How long events gather while they come thick: the less, the sooner they would fill the ring. Each wake-up costs the program that
/// is traced an interrupt (on a virtual machine some µs), and us a round of the loop.
const GATHER: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(5)];
/// Wake-ups closer than this are thick, and so many records at once.
const THICK: Duration = Duration::from_millis(2);
const THICK_RECORDS: u64 = 8;

/// How long to let records gather, if so much of the ring was used in the time since it was empty: until an eighth is.
fn gather(since: Duration, (used, all): (u64, u64)) -> Duration {
    let eighth = since.as_nanos().saturating_mul(u128::from(all / 8)) / u128::from(used.max(1));
    Duration::from_nanos(u64::try_from(eighth).unwrap_or(u64::MAX)).clamp(GATHER[0], GATHER[1])
}

pub(crate) struct Waits {
    ring: Option<AsyncFd<OwnedFd>>,
    ring_state: RingState,
    last_ring: Option<Instant>,
    signals: Vec<(i32, Signal)>,
    processes: Vec<AsyncFd<OwnedFd>>,
    stop: mpsc::UnboundedReceiver<()>,
    handle: StopHandle,
    sleep: Pin<Box<Sleep>>,
    pub(crate) deadline: Option<Instant>,
    /// The next interval or tick.
    pub(crate) timer: Option<Instant>,
    /// Sources that had more when their batch was full.
    pub(crate) packets_now: Vec<bool>,
    packets_first: bool,
}

impl Waits {
    /// Must be called inside a tokio runtime. `signals`: those of blocks.
    pub(crate) fn new(ring: Option<&Ring>, signals: &[i32], deadline: Option<Duration>) -> Result<Self, Error> {
        let ring = match ring {
            Some(ring) => Some(watch(ring.as_fd()).map_err(Error::Loop)?),
            None => None,
        };
        let mut numbers = interrupt::note_signals().map_err(Error::Loop)?.to_vec();
        numbers.push(libc::SIGUSR1);
        numbers.extend_from_slice(signals);
        numbers.sort_unstable();
        numbers.dedup();
        let signals = numbers
            .into_iter()
            .map(|n| Ok((n, signal(SignalKind::from_raw(n)).map_err(Error::Loop)?)))
            .collect::<Result<Vec<_>, Error>>()?;
        let (sender, stop) = mpsc::unbounded_channel();
        Ok(Self {
            // What BEGIN wrote is there already, without a wake-up to come.
            ring_state: if ring.is_some() { RingState::Now } else { RingState::Armed },
            ring,
            last_ring: None,
            signals,
            processes: Vec::new(),
            stop,
            handle: StopHandle(sender),
            sleep: Box::pin(tokio::time::sleep(Duration::ZERO)),
            deadline: deadline.map(|d| Instant::now() + d),
            timer: None,
            packets_now: Vec::new(),
            packets_first: false,
        })
    }

    pub(crate) fn stop_handle(&self) -> StopHandle {
        self.handle.clone()
    }

    /// Waits for the end of a process by its pidfd.
    pub(crate) fn watch_process(&mut self, pidfd: BorrowedFd<'_>) -> Result<(), Error> {
        self.processes.push(watch(pidfd).map_err(Error::Loop)?);
        Ok(())
    }

    /// After a drain: when to look again. `used`: bytes of the ring that were in use, and all.
    pub(crate) fn ring_drained(&mut self, records: u64, more: bool, used: (u64, u64)) {
        let now = Instant::now();
        let since = self.last_ring.map_or(Duration::MAX, |last| now - last);
        let thick = since < THICK || (records >= THICK_RECORDS && since < 2 * GATHER[1]);
        self.last_ring = Some(now);
        self.ring_state = if used.0 > used.1 / 4 {
            RingState::Now
        } else if thick && (more || records > 0) {
            RingState::At(now + gather(since, used))
        } else if more {
            RingState::Now
        } else {
            RingState::Armed
        };
        self.packets_first = true;
    }

    /// The next wake-up. Order: what ends the run, then timers, the ring, packets.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        feeds: &mut [Feed],
        (telemetry, metrics): (Option<&mut TelemetryFeed>, Option<&mut MetricsFeed>),
    ) -> Poll<Wake> {
        for (number, signal) in &mut self.signals {
            if signal.poll_recv(cx).is_ready() {
                return Poll::Ready(Wake::Signal(*number));
            }
        }
        if self.stop.poll_recv(cx).is_ready() {
            return Poll::Ready(Wake::Stop);
        }
        let now = Instant::now();
        if self.deadline.is_some_and(|d| d <= now) {
            return Poll::Ready(Wake::Deadline);
        }
        if self.timer.is_some_and(|t| t <= now) {
            return Poll::Ready(Wake::Timer);
        }
        if metrics.is_some_and(|feed| feed.poll_ready(cx)) {
            return Poll::Ready(Wake::Scrape);
        }
        // In turns, so that a busy ring doesn't starve the packets.
        if std::mem::take(&mut self.packets_first)
            && let Some(i) = self.poll_packets(cx, feeds)
        {
            return Poll::Ready(Wake::Packets(i));
        }
        if self.poll_ring(cx, now) {
            return Poll::Ready(Wake::Ring);
        }
        if let Some(i) = self.poll_packets(cx, feeds) {
            return Poll::Ready(Wake::Packets(i));
        }
        if telemetry.is_some_and(|feed| feed.poll_ready(cx)) {
            return Poll::Ready(Wake::Telemetry);
        }
        for process in &self.processes {
            if process.poll_read_ready(cx).is_ready() {
                return Poll::Ready(Wake::ProcessEnded);
            }
        }
        let gather = match self.ring_state {
            RingState::At(at) => Some(at),
            _ => None,
        };
        let Some(next) = [self.deadline, self.timer, gather].into_iter().flatten().min() else { return Poll::Pending };
        self.sleep.as_mut().reset(next.into());
        if self.sleep.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn poll_ring(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let Some(ring) = &self.ring else { return false };
        match self.ring_state {
            RingState::Now => true,
            RingState::At(at) => at <= now,
            RingState::Armed => match ring.poll_read_ready(cx) {
                Poll::Ready(Ok(mut guard)) => {
                    // Cleared before draining: a record that comes meanwhile sets it again.
                    guard.clear_ready();
                    true
                }
                Poll::Ready(Err(_)) | Poll::Pending => false,
            },
        }
    }

    fn poll_packets(&mut self, cx: &mut Context<'_>, feeds: &mut [Feed]) -> Option<usize> {
        self.packets_now.resize(feeds.len(), true);
        for (i, feed) in feeds.iter_mut().enumerate() {
            let ready = match feed {
                Feed::Files(files) => files.poll_ready(cx),
                Feed::Recording(replay) => !replay.ended(),
                #[cfg(feature = "live")]
                Feed::Live(live) => {
                    std::mem::take(&mut self.packets_now[i])
                        || match live.fd.poll_read_ready(cx) {
                            Poll::Ready(Ok(mut guard)) => {
                                guard.clear_ready();
                                true
                            }
                            Poll::Ready(Err(_)) | Poll::Pending => false,
                        }
                }
            };
            if ready {
                return Some(i);
            }
        }
        None
    }
}

//! Spans and log records from applications, as they arrive: listeners on a thread of their own, a bounded queue to the engine.
//!
//! - `intake`: what is wanted, what there is room for, what was refused
//! - `serve`, `grpc`, `http1`: OTLP over gRPC and HTTP
//! - `lines`: lines of JSON from files and sockets; `follow`: files as they grow and are replaced
//! - `connections`: how many are served at once, and who makes room
//! - `place`: addresses as the command line has them
//!
//! Nothing listens unless a block wants spans or log records. What is refused is answered so, counted, and told as a loss of the source.

mod connections;
mod follow;
#[cfg(feature = "grpc")]
mod grpc;
mod http1;
mod intake;
mod lines;
mod place;
mod serve;

pub(crate) use intake::{Intake, Wanted};
pub(crate) use lines::Recorded;
pub(crate) use place::BindError;
pub use place::{LinePlace, TelemetryOptions};

use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
};
use tokio::sync::{mpsc, oneshot};
use weftrace_probes::telemetry::Record;

/// What the engine reads.
pub(crate) struct Arrivals {
    pub(crate) queue: mpsc::Receiver<Vec<Record>>,
    pub(crate) intake: Arc<Intake>,
    /// Where it listens, for people.
    pub(crate) places: Vec<String>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    bound: Option<place::Bound>,
}

impl Arrivals {
    /// Opens all places; nothing is read yet.
    pub(crate) fn bind(options: &TelemetryOptions, wanted: Vec<Wanted>) -> Result<Self, BindError> {
        let bound = place::Bound::open(options)?;
        let (intake, queue) = Intake::new(wanted);
        let places = bound.names();
        Ok(Self { queue, intake: Arc::new(intake), places, stop: None, thread: None, bound: Some(bound) })
    }

    /// Begins to listen, on a thread that has the privileges of this one.
    pub(crate) fn start(&mut self) -> io::Result<()> {
        let Some(bound) = self.bound.take() else { return Ok(()) };
        let (stop, stopped) = oneshot::channel();
        let intake = Arc::clone(&self.intake);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let work = move || {
            runtime.block_on(async {
                bound.listen(&intake);
                // Also if the engine is gone.
                let _ = stopped.await;
            });
            intake.end();
            // What still runs on it is given up.
            runtime.shutdown_background();
        };
        self.thread = Some(thread::Builder::new().name("weftrace-spans".into()).spawn(work)?);
        self.stop = Some(stop);
        Ok(())
    }

    /// No more arrives.
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Arrivals {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests;

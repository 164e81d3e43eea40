//! The run itself: one thread that waits, drains, acts.
//!
//! - `core`: records to actions, handlers, maps, joins, the sink
//! - `actions`: each action's effect
//! - `alerts`: what blocks tell of alerts, on to their sinks
//! - `metrics`: numbers for who asks, and for collectors
//! - `joins`: streams into the join engines, their results into blocks
//! - `sockets`: what system calls moved into `http:` blocks
//! - `nat`: connections that the kernel translates
//! - `passing`: packet blocks, and exchanges that no join would keep
//! - `supply`, `touch`: up to when each source was heard, and which streams its losses touch
//! - `timers`, `packets`, `telemetry`, `waits`: what wakes it
//! - `recording`, `replay`: the run into a recording, and a recording in place of sources
//! - `shutdown`: detach, drain, flush, END, losses, maps
//!
//! What is delivered after `exit()` or a signal: everything that was produced until the probes were detached. Nothing is thrown
//! away: produced = delivered + told lost.

mod actions;
mod alerts;
mod capture;
mod core;
mod in_kernel;
mod joins;
mod keep;
mod locate;
mod metrics;
mod nat;
mod packets;
mod passing;
mod recording;
mod replay;
mod shutdown;
mod sockets;
mod supply;
mod telemetry;
mod timers;
mod touch;
mod updates;
mod waits;
mod warnings;

pub(crate) use core::{Core, CoreOptions, now};
pub(crate) use in_kernel::InKernel;

pub(crate) use joins::trace_of;
pub use keep::KeepOptions;
pub(crate) use keep::Keeper;
pub(crate) use metrics::{answer, push};
pub(crate) use packets::{BlockSpec, Feed, Wants, open_feeds};
pub(crate) use shutdown::{finish, tell_joins};
pub(crate) use sockets::{ExchangeBlock, SocketFeed};
pub(crate) use supply::{BLOCKS, Change, KERNEL};
pub(crate) use telemetry::{Origin, TelemetryBlock, TelemetryFeed};
pub(crate) use timers::Timers;
pub use waits::StopHandle;
pub(crate) use waits::{Waits, Wake};

use weftrace_artifact::{abi::RecordHeader, action::StreamId};

/// Takes the records of `emit`, besides the joins: recorders, tests.
pub trait StreamConsumer {
    /// One record, in order of arrival.
    fn record(&mut self, stream: StreamId, header: RecordHeader, payload: &[u8]);
    /// Everything up to this time (CLOCK_BOOTTIME ns) has arrived.
    fn watermark(&mut self, time: u64);
    /// The end, before END's handlers run.
    fn flush(&mut self);
}

//! The run itself: one thread that waits, drains, acts.
//!
//! - `core`: records to actions, handlers, maps, joins, the sink
//! - `actions`: each action's effect
//! - `joins`: streams into the join engines, their results into blocks
//! - `timers`, `packets`, `waits`: what wakes it
//! - `shutdown`: detach, drain, flush, END, losses, maps
//!
//! What is delivered after `exit()` or a signal: everything that was produced until the probes were detached. Nothing is thrown
//! away: produced = delivered + told lost.

mod actions;
mod capture;
mod core;
mod joins;
mod locate;
mod packets;
mod shutdown;
mod timers;
mod waits;
mod warnings;

pub(crate) use core::{Core, CoreOptions, now};
pub(crate) use packets::{BlockSpec, Feed, LIVE_DISORDER_NS, first_packet_time, open_feeds};
pub(crate) use shutdown::{finish, tell_joins};
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

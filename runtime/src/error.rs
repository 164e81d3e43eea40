//! Why a session could not start or go on.

use crate::{native::CodeError, session::AttachFailure, sys::ChildError};
use std::io;
use weftrace_artifact::Place;
use weftrace_probes::kernel::{MapError, sys::SyscallError};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Map(#[from] MapError),
    #[error(transparent)]
    Code(#[from] CodeError),
    #[error(transparent)]
    Child(#[from] ChildError),
    #[error(transparent)]
    Kernel(#[from] SyscallError),
    #[error("the event ring: {0}")]
    Ring(io::Error),
    #[error("the event loop: {0}")]
    Loop(io::Error),
    #[error("there is no process {0}")]
    NoProcess(u32),
    /// Strict: the first of the probes that did not attach.
    #[error("{probe}: {why}")]
    Attach { probe: String, why: String, remedy: Option<String>, place: Place },
    /// Each has been told to the sink.
    #[error("no probe attached")]
    NothingAttached(Vec<AttachFailure>),
    /// A capture file or device.
    #[error("{source_name}: {why}")]
    Packets { source_name: String, why: String },
    /// It can't be written.
    #[error("{0}")]
    Recording(String),
    /// The address can't be listened at.
    #[error("--metrics {0}")]
    Metrics(String),
    /// `--lateness`, `--uncertainty`
    #[error("--{flag} {name}: no such source; here are {}", if there.is_empty() { "none: the script emits nothing".into() } else { there.join(", ") })]
    NoSource { flag: &'static str, name: String, there: Vec<String> },
    /// Anything but a closed pipe, which ends a run quietly.
    #[error("writing output: {0}")]
    Output(io::Error),
}

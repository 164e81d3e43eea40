//! Recordings: a pcapng file with the packets, and in custom blocks everything else that a run's joins were made of.
//! docs/recording.md is the format.
//!
//! - `event`: what is in the custom blocks, `run` the first of it, `code` as bytes
//! - `notes`: what comes before the events that ask for it
//! - `write`: a run's events to a file, packets with comments
//! - `file`, `sealed`: where that goes, sealed by a passphrase if there is one
//! - `held`: what waits to be written
//! - `redact`: what isn't written, `values` of what a script shows; `http`: of messages of HTTP/1, `frame`: of packets whose payload is unknown
//! - `remap`: streams of a recording as a script has them
//! - `read`: a file's events and packets, in order

pub(crate) mod code;
pub(crate) mod event;
mod file;
mod frame;
mod held;
mod http;
mod notes;
pub(crate) mod read;
pub(crate) mod redact;
pub(crate) mod remap;
pub(crate) mod run;
mod sealed;
pub(crate) mod values;
pub(crate) mod write;

pub(crate) use event::Event;
pub(crate) use file::create_private;
pub(crate) use notes::Notes;
pub use read::{Recorded, RecordingError, open as read_recording};
pub use sealed::{Passphrase, SealError};
pub use write::RecordOptions;

/// Private enterprise numbers identify whose a custom block is. We have none: this is the number that RFC 5612 sets aside for
/// examples, and what follows it says who we are.
pub(crate) const ENTERPRISE: u32 = 32_473;
pub(crate) const MAGIC: &[u8; 8] = b"weftrace";
/// Changes when readers of the one before would misread.
pub(crate) const VERSION: u16 = 3;
/// Those before it that are read too.
pub(crate) const OLDEST: u16 = 1;
/// Events are gathered until there are so many bytes.
const BLOCK_BYTES: usize = 64 << 10;

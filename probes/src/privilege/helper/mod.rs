//! The helper process: it opens files for a process that has given its privileges up.
//!
//! It is forked before anything is attached and holds nothing but a socket and the capabilities to read. It knows a closed list of
//! requests ([`request::Request`]), checks each, and hands over open files: it reads and parses nothing itself but the first bytes of a file.
//! A filter of system calls ([`confine`]) lets it do nothing else. It ends with its parent.

mod client;
mod confine;
mod request;
mod server;

pub use client::{Helper, is_file, open, open_text};
pub use request::Kinds;

use crate::kernel::caps::Capability;

/// What the helper keeps, of what there is.
pub const KEEPS: [Capability; 3] = [Capability::SysPtrace, Capability::DacReadSearch, Capability::CheckpointRestore];

#[cfg(test)]
mod tests;

//! Doing with few privileges: what a plan needs of them ([`crate::kernel::caps`]), giving up the rest once it is attached ([`shed`]), and the helper process
//! that opens what this one may not ([`Helper`]).
//!
//! Everything that needs a privilege happens before the first event: loading, attaching, opening. Reading maps and the ring, and
//! detaching, need none. What is left are names of things that turn up later: the programs and libraries of other users' processes,
//! and files that `cat()` shows.

mod helper;
mod later;
mod shed;
mod trial;

pub use helper::{Helper, KEEPS, Kinds, is_file, open, open_text};
pub use later::Later;
pub use shed::{Shed, shed};
pub use trial::with_only;

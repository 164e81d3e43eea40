//! The runtime's own doors to the kernel and libc: the event ring's pages, the child of `-c`, clocks, one map operation, waiting. Its
//! only `unsafe` besides `native`.

mod child;
mod clock;
pub(crate) mod interrupt;
mod patient;
mod ring;
mod take;
mod terminal;
mod watch;

pub use child::{Child, ChildError, kill_group, pidfd_open};
pub use clock::{Clock, Pair, Step, now, rfc3339, strftime, zone};
pub use patient::Patient;
pub use ring::{Drained, Ring};
pub(crate) use take::lookup_and_delete;
pub use terminal::columns;
pub use watch::watch;

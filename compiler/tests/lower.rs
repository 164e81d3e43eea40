//! Lowering: what scripts mean, checked by running the IR in the reference interpreter.

mod support;

#[path = "lower/hir.rs"]
mod hir;
#[path = "lower/run.rs"]
mod run;

#[path = "lower/actions.rs"]
mod actions;
#[path = "lower/aggregates.rs"]
mod aggregates;
#[path = "lower/control.rs"]
mod control;
#[path = "lower/driver.rs"]
mod driver;
#[path = "lower/heads.rs"]
mod heads;
#[path = "lower/keys.rs"]
mod keys;
#[path = "lower/maps.rs"]
mod maps;
#[path = "lower/memory.rs"]
mod memory;
#[path = "lower/opened.rs"]
mod opened;
#[path = "lower/packets.rs"]
mod packets;
#[path = "lower/rings.rs"]
mod rings;
#[path = "lower/strings.rs"]
mod strings;
#[path = "lower/syscalls.rs"]
mod syscalls;
#[path = "lower/task.rs"]
mod task;
#[path = "lower/twin.rs"]
mod twin;
#[path = "lower/warnings.rs"]
mod warnings;

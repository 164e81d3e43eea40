//! Called by the name `bpftrace`: its command line, its texts, its exit codes. The language is the same; what differs is
//! how a run is asked for and how findings read.

mod args;
mod gate;
mod info;
pub(crate) mod list;
mod render;
mod run;
mod select;
mod stages;

use std::{ffi::OsString, path::Path};

/// The version whose behaviour this is.
pub const VERSION: &str = "0.27.1";

/// Whether a program was called by bpftrace's name.
pub fn is_called(argv0: &OsString) -> bool {
    Path::new(argv0).file_name().is_some_and(|name| name == "bpftrace")
}

/// Runs bpftrace's command line; the exit code.
pub fn main(argv: impl IntoIterator<Item = OsString>) -> i32 {
    match args::parse(argv) {
        Ok(args) => run::run(&args),
        Err(early) => early.print(),
    }
}

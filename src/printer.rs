//! The only place that writes to stdout and stderr. A closed pipe is not an error.

use std::io::{self, IsTerminal, Write};
use weftrace_runtime::join::show::escaped;

pub fn out(text: &str) {
    // A reader that went away (`weftrace … | head`) ends our output, nothing else.
    let _ = io::stdout().lock().write_all(text.as_bytes());
}

pub fn err(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

pub fn err_line(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes());
    let _ = stderr.write_all(b"\n");
}

/// What strangers wrote, as a line or lines of a terminal: with nothing in it that the terminal would obey.
pub fn inert(text: &str) -> String {
    let line = |line: &str| line.split('\t').map(escaped).collect::<Vec<_>>().join("\t");
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// Colour only on a terminal, and not if NO_COLOR is set (no-color.org).
pub fn stderr_colour() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

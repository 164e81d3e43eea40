//! The only place that writes to stdout and stderr. A closed pipe is not an error.

use std::io::{self, IsTerminal, Write};

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

/// Colour only on a terminal, and not if NO_COLOR is set (no-color.org).
pub fn stderr_colour() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

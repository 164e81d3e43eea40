//! The only place that writes to stdout and stderr. A closed pipe is not an error.

use std::{
    fs::File,
    io::{self, IsTerminal, Write},
    os::fd::AsFd,
};
use weftrace_runtime::{join::show::escaped, sys::Patient};

pub fn out(text: &str) {
    // A reader that went away (`weftrace … | head`) ends our output, nothing else.
    let _ = io::stdout().lock().write_all(text.as_bytes());
}

pub fn err(text: &str) {
    let _ = Patient::new(io::stderr().lock()).write_all(text.as_bytes());
}

pub fn err_line(text: &str) {
    err(&format!("{text}\n"));
}

/// Messages about a run; they don't keep it from ending.
pub fn messages() -> Box<dyn Write> {
    Box::new(Patient::new(io::stderr()))
}

/// What a run prints.
pub fn output() -> Box<dyn Write> {
    // As it is written here, not once more gathered in lines.
    match io::stdout().as_fd().try_clone_to_owned() {
        Ok(stdout) => Box::new(Patient::new(File::from(stdout))),
        Err(_) => Box::new(io::stdout()),
    }
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

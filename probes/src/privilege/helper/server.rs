//! The helper's side.

use super::request::{self, Kinds, MAX_REQUEST, Request};
use crate::kernel::sys;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Component, Path};

/// Answers until the other side has gone.
pub(super) fn serve(channel: &OwnedFd, kinds: Kinds) {
    let mut buffer = [0; MAX_REQUEST];
    loop {
        let bytes = match sys::receive(channel.as_fd(), &mut buffer) {
            Ok((0, _)) => return,
            Ok((len, _)) => &buffer[..len],
            Err(e) if e.errno == libc::EINTR => continue,
            Err(_) => return,
        };
        let Some((sequence, request)) = Request::decode(bytes) else { return };
        let opened = answer(&request, kinds);
        let (errno, file) = match &opened {
            Ok(file) => (0, Some(file.as_fd())),
            Err(e) => (e.raw_os_error().unwrap_or(libc::EIO), None),
        };
        if sys::send(channel.as_fd(), &request::answer(sequence, errno), file).is_err() {
            return;
        }
    }
}

fn refused() -> io::Error {
    io::Error::from_raw_os_error(libc::EPERM)
}

/// Opens what is asked for, if it is what the request says.
pub(super) fn answer(request: &Request, kinds: Kinds) -> io::Result<File> {
    let allowed = if matches!(request, Request::Text { .. }) { kinds.text } else { kinds.processes };
    if !allowed {
        return Err(refused());
    }
    match request {
        Request::Maps { pid } => File::open(format!("/proc/{pid}/maps")),
        Request::Mapping { pid, start, end } => {
            program(&place(Path::new(&format!("/proc/{pid}/map_files/{start:x}-{end:x}")))?)
        }
        Request::InRoot { pid, path } => {
            let file = in_root(*pid, path)?;
            if is_perf_map(path) { regular(&file) } else { program(&file) }
        }
        Request::Program { path } if path.is_absolute() => program(&place(path)?),
        // A pipe that nobody writes to is not waited for.
        Request::Text { path } => {
            std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)
        }
        Request::Program { .. } => Err(refused()),
    }
}

/// The file itself, not opened: what it is can be looked at without consequences.
fn place(path: &Path) -> io::Result<File> {
    std::fs::OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_CLOEXEC).open(path)
}

fn in_root(pid: u32, path: &Path) -> io::Result<File> {
    let root = place(Path::new(&format!("/proc/{pid}/root")))?;
    let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| refused())?;
    let file = sys::place_in_root(root.as_fd(), &path).map_err(|e| io::Error::from_raw_os_error(e.errno))?;
    Ok(File::from(file))
}

/// `tmp/perf-PID.map`
fn is_perf_map(path: &Path) -> bool {
    let mut parts = path.components().filter(|c| *c != Component::RootDir).map(|c| c.as_os_str().to_string_lossy());
    let (Some(directory), Some(name), None) = (parts.next(), parts.next(), parts.next()) else { return false };
    let number = name.strip_prefix("perf-").and_then(|n| n.strip_suffix(".map"));
    directory == "tmp" && number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// Opens a place if a regular file is there.
fn regular(place: &File) -> io::Result<File> {
    if !place.metadata()?.is_file() {
        return Err(refused());
    }
    File::open(format!("/proc/self/fd/{}", place.as_raw_fd()))
}

/// The same, of ELF files only.
fn program(place: &File) -> io::Result<File> {
    let file = regular(place)?;
    let mut magic = [0; 4];
    file.read_exact_at(&mut magic, 0)?;
    if magic == *b"\x7fELF" { Ok(file) } else { Err(refused()) }
}

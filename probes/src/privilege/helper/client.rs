//! Our side: opening files, by ourselves where we may.

use super::request::{self, ANSWER, Kinds, Request};
use super::{KEEPS, confine, server};
use crate::kernel::caps::CapSet;
use crate::kernel::sys::{self, CapSets, Forked, SyscallError};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long an answer may take: a file system that hangs is not waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// One for the process, as its privileges are.
static CONNECTION: Mutex<Option<Connection>> = Mutex::new(None);

#[derive(Debug)]
struct Connection {
    channel: OwnedFd,
    pid: i32,
    sequence: u32,
}

/// The helper runs as long as this lives.
#[derive(Debug)]
#[must_use = "dropping it ends the helper"]
pub struct Helper {
    pid: i32,
    capabilities: CapSet,
}

impl Helper {
    /// Forks a helper for these requests. None: it could do no more than we can without it.
    pub fn start(kinds: Kinds) -> Result<Option<Self>, SyscallError> {
        let before = CapSets::get()?;
        let keeps = CapSet(before.permitted & CapSet::of(&KEEPS).0);
        if !kinds.any() || keeps == CapSet::default() {
            return Ok(None);
        }
        match sys::fork_with_channel(PATIENCE)? {
            Forked::Child { channel } => {
                // With more than these it must not go on.
                if crate::privilege::shed(keeps, || true).is_ok() && confine::confine().is_ok() {
                    server::serve(&channel, kinds);
                }
                sys::exit_now()
            }
            Forked::Parent { pid, channel } => {
                *connection() = Some(Connection { channel, pid, sequence: 0 });
                Ok(Some(Self { pid, capabilities: keeps }))
            }
        }
    }

    pub fn pid(&self) -> u32 {
        self.pid as u32
    }

    /// What it holds.
    pub fn capabilities(&self) -> CapSet {
        self.capabilities
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let mut connection = connection();
        if connection.as_ref().is_some_and(|c| c.pid == self.pid) {
            *connection = None;
        }
        sys::end_child(self.pid);
    }
}

fn connection() -> MutexGuard<'static, Option<Connection>> {
    CONNECTION.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens a file for reading; a program, library, memory map or the like that we may not read through the helper, if there is one. Traced
/// programs choose what is at some of the paths: a pipe is not waited for.
pub fn open(path: &Path) -> io::Result<File> {
    unwaited(path).or_else(|error| match Request::of(path) {
        Some(request) => ask_instead(error, &request),
        None => Err(error),
    })
}

/// The same for any file: what `cat()` shows. A pipe isn't one: what is in it is somebody else's to read, and may never come.
pub fn open_text(path: &Path) -> io::Result<File> {
    let file = unwaited(path).or_else(|error| {
        if path.is_absolute() { ask_instead(error, &Request::Text { path: path.to_owned() }) } else { Err(error) }
    })?;
    if file.metadata()?.file_type().is_fifo() {
        return Err(io::Error::other("is a pipe, which cat() doesn't wait for: name a file"));
    }
    Ok(file)
}

/// Opens a file; a pipe is not waited for.
fn unwaited(path: &Path) -> io::Result<File> {
    File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)
}

/// Whether [`open`] would find a regular file.
pub fn is_file(path: &Path) -> bool {
    match path.metadata() {
        Ok(meta) => meta.is_file(),
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => open(path).is_ok(),
        Err(_) => false,
    }
}

/// One request, whether we may open the file ourselves or not.
#[cfg(test)]
pub(super) fn ask(request: &Request) -> Option<io::Result<File>> {
    connection().as_mut()?.ask(request).ok()
}

/// What the helper gives; where it gives nothing, our own error tells more.
fn ask_instead(error: io::Error, request: &Request) -> io::Result<File> {
    if error.kind() != io::ErrorKind::PermissionDenied {
        return Err(error);
    }
    let mut connection = connection();
    let Some(open) = connection.as_mut() else { return Err(error) };
    let Ok(answer) = open.ask(request) else {
        // It has gone, or doesn't answer: a later answer would be another request's.
        *connection = None;
        return Err(error);
    };
    answer.map_err(|e| if e.kind() == io::ErrorKind::PermissionDenied { error } else { e })
}

impl Connection {
    fn ask(&mut self, request: &Request) -> Result<io::Result<File>, SyscallError> {
        self.sequence = self.sequence.wrapping_add(1);
        let Some(bytes) = request.encode(self.sequence) else {
            return Ok(Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG)));
        };
        sys::send(self.channel.as_fd(), &bytes, None)?;
        let mut answer = [0; ANSWER];
        let broken = SyscallError { call: "recvmsg", errno: libc::EPIPE };
        let (len, file) = loop {
            match sys::receive(self.channel.as_fd(), &mut answer) {
                Err(e) if e.errno == libc::EINTR => {}
                other => break other?,
            }
        };
        if len != ANSWER {
            return Err(broken);
        }
        match (request::read_answer(answer), file) {
            ((sequence, 0), Some(file)) if sequence == self.sequence => Ok(Ok(File::from(file))),
            ((sequence, errno), None) if sequence == self.sequence && errno != 0 => {
                Ok(Err(io::Error::from_raw_os_error(errno)))
            }
            _ => Err(broken),
        }
    }
}

//! Network namespaces: opening a source inside another one.

use super::error::SourceError;
use crate::kernel::sys::{device_index, enter_namespace, network_namespace};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// Which network namespace to capture in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NetNs {
    /// A file that stands for it: `/run/netns/NAME`, `/proc/PID/ns/net`.
    Path(PathBuf),
}

impl NetNs {
    /// By the name that `ip netns` knows it by.
    pub fn named(name: &str) -> Self {
        Self::Path(PathBuf::from("/run/netns").join(name))
    }

    /// As probes name it: a name of `ip netns`, a path, or the number of a process in it.
    pub fn written(text: &str) -> Self {
        let named = Self::named(text);
        let Self::Path(path) = &named;
        match text.parse() {
            _ if text.contains('/') => Self::Path(PathBuf::from(text)),
            Ok(pid) if !path.exists() => Self::of_process(pid),
            _ => named,
        }
    }

    /// The one that a process is in.
    pub fn of_process(pid: u32) -> Self {
        Self::Path(PathBuf::from(format!("/proc/{pid}/ns/net")))
    }

    /// Runs `work` inside, in a thread of its own that ends with it: the caller's thread stays where it is. A socket
    /// opened there keeps belonging to that namespace.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, SourceError> {
        let Self::Path(path) = self;
        let refused = |error: io::Error| {
            let name = path.display().to_string();
            if error.kind() == io::ErrorKind::PermissionDenied {
                SourceError::NetNsNotPermitted { name }
            } else {
                SourceError::NoSuchNetNs { name, error }
            }
        };
        let file = File::open(path).map_err(refused)?;
        // Entering needs a privilege, also where one is already.
        if file.metadata().is_ok_and(|m| m.ino() as u32 == network_namespace()) {
            return Ok(work());
        }
        let done = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                enter(&file)?;
                Ok(work())
            });
            thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that entered it ended badly")))
        });
        done.map_err(refused)
    }
}

/// Moves the calling thread, and only it.
fn enter(file: &File) -> io::Result<()> {
    enter_namespace(file.as_fd(), libc::CLONE_NEWNET).map_err(|e| io::Error::from_raw_os_error(e.errno))
}

/// Names of the devices in the calling thread's network namespace, sorted.
pub(super) fn devices() -> Vec<String> {
    let table = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default();
    let mut names: Vec<_> =
        table.lines().skip(2).filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect();
    names.sort();
    names
}

/// Index of a device in the calling thread's network namespace; 0: none.
pub(super) fn index(device: &str) -> u32 {
    device_index(device)
}

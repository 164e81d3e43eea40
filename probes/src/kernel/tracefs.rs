//! Tracepoints as tracefs describes them: names, ids, record layouts.

mod format;

pub use format::parse_format;

use super::sys;
use crate::symbols::glob::{Glob, is_glob};
use std::io::ErrorKind;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use weftrace_lang::world::TraceEvent;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TracefsError {
    #[error("tracefs is not mounted")]
    NotMounted,
    #[error("{0} may not be read by this user")]
    NotPermitted(String),
    #[error("there is no tracepoint {0}")]
    NoSuchEvent(String),
    #[error("{0}: {1}")]
    Io(String, String),
    #[error("{0}: unexpected format: {1}")]
    Format(String, String),
}

impl TracefsError {
    /// What the operator can do about it.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::NotMounted => Some("as root: mount -t tracefs tracefs /sys/kernel/tracing"),
            Self::NotPermitted(_) => Some("run as root, or with CAP_DAC_READ_SEARCH besides CAP_BPF and CAP_PERFMON"),
            Self::NoSuchEvent(_) => Some("`weftrace list 'tracepoint:*'` shows what this kernel has"),
            Self::Io(..) | Self::Format(..) => None,
        }
    }
}

/// A tracefs instance.
#[derive(Debug)]
pub struct Tracefs {
    root: PathBuf,
    /// An instance that only this process sees; `root` names it by number.
    private: Option<OwnedFd>,
}

/// Who may read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// This user may, without a capability.
    Open,
    /// Only its owner.
    Closed,
    NotMounted,
}

impl Access {
    /// As it is mounted now.
    pub fn now() -> Self {
        let mut access = Self::NotMounted;
        for mount in MOUNTS {
            match std::fs::metadata(Path::new(mount).join("events")) {
                // User 0 owns it; another may by its mode, or, with a group of its own, by that.
                Ok(events) => {
                    let open = [Path::new(mount).metadata().ok(), Some(events)]
                        .iter()
                        .all(|m| m.as_ref().is_some_and(|m| m.mode() & 0o5 == 0o5));
                    return if open { Self::Open } else { Self::Closed };
                }
                Err(e) if e.kind() == ErrorKind::PermissionDenied && *mount == *MOUNTS[0] => return Self::Closed,
                Err(_) => {}
            }
        }
        // Below a closed debugfs it can't be seen.
        if std::fs::metadata(MOUNTS[1]).is_err_and(|e| e.kind() == ErrorKind::PermissionDenied) {
            access = Self::Closed;
        }
        access
    }
}

/// Where it is mounted: itself, or within debugfs.
const MOUNTS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

impl Tracefs {
    /// The mounted one; where none is mounted and we may, one of our own that nobody else sees.
    pub fn find() -> Result<Self, TracefsError> {
        let mut denied = None;
        for mount in MOUNTS {
            match std::fs::metadata(Path::new(mount).join("events")) {
                Ok(_) => return Ok(Self { root: mount.into(), private: None }),
                Err(e) if e.kind() == ErrorKind::PermissionDenied => denied = denied.or(Some(mount)),
                Err(_) => {}
            }
        }
        if let Ok(fd) = sys::private_tracefs() {
            return Ok(Self { root: format!("/proc/self/fd/{}", fd.as_raw_fd()).into(), private: Some(fd) });
        }
        Err(denied.map_or(TracefsError::NotMounted, |mount| TracefsError::NotPermitted(mount.into())))
    }

    /// An instance at another place: a container's, or a copy for tests.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), private: None }
    }

    fn read(&self, category: &str, event: &str, file: &str) -> Result<String, TracefsError> {
        let name = format!("{category}:{event}");
        if [category, event].iter().any(|part| part.is_empty() || part.contains('/') || part.starts_with('.')) {
            return Err(TracefsError::NoSuchEvent(name));
        }
        let path = self.root.join("events").join(category).join(event).join(file);
        std::fs::read_to_string(&path).map_err(|e| match e.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => TracefsError::NoSuchEvent(name),
            ErrorKind::PermissionDenied => TracefsError::NotPermitted(self.shown(&path)),
            _ => TracefsError::Io(self.shown(&path), e.to_string()),
        })
    }

    /// A path for messages: one that only this process sees has no name elsewhere.
    fn shown(&self, path: &Path) -> String {
        match (&self.private, path.strip_prefix(&self.root)) {
            (Some(_), Ok(below)) => format!("{} of tracefs", below.display()),
            _ => path.display().to_string(),
        }
    }

    /// The number that perf_event_open takes.
    pub fn id(&self, category: &str, event: &str) -> Result<u64, TracefsError> {
        let text = self.read(category, event, "id")?;
        text.trim().parse().map_err(|_| TracefsError::Format(format!("{category}:{event}/id"), text))
    }

    /// The record's layout.
    pub fn event(&self, category: &str, event: &str) -> Result<TraceEvent, TracefsError> {
        let text = self.read(category, event, "format")?;
        parse_format(category, event, &text)
    }

    /// The kernel's own list of functions that can be traced, one a line. Some hosts forbid reading it.
    pub fn traceable_functions(&self) -> Result<String, TracefsError> {
        let path = self.root.join("available_filter_functions");
        std::fs::read_to_string(&path).map_err(|e| match e.kind() {
            ErrorKind::PermissionDenied => TracefsError::NotPermitted(self.shown(&path)),
            _ => TracefsError::Io(self.shown(&path), e.to_string()),
        })
    }

    /// `category:event` names that match, sorted.
    pub fn list(&self, category: &str, event: &str) -> Result<Vec<String>, TracefsError> {
        let events = self.root.join("events");
        let categories = if is_glob(category) { matching(&events, category)? } else { vec![category.to_owned()] };
        let mut out = Vec::new();
        for category in categories {
            match matching(&events.join(&category), event) {
                Ok(names) => out.extend(names.into_iter().map(|name| format!("{category}:{name}"))),
                Err(TracefsError::NoSuchEvent(_)) => {}
                Err(e) => return Err(e),
            }
        }
        out.sort_unstable();
        Ok(out)
    }
}

/// Directories in `dir` whose names match.
fn matching(dir: &Path, pattern: &str) -> Result<Vec<String>, TracefsError> {
    let glob = Glob::new(pattern);
    let entries = std::fs::read_dir(dir).map_err(|e| match e.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => TracefsError::NoSuchEvent(dir.display().to_string()),
        ErrorKind::PermissionDenied => TracefsError::NotPermitted(dir.display().to_string()),
        _ => TracefsError::Io(dir.display().to_string(), e.to_string()),
    })?;
    Ok(entries
        .flatten()
        .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
        .filter_map(|e| e.file_name().into_string().ok())
        .filter(|name| glob.matches(name))
        .collect())
}

#[cfg(test)]
mod tests;

//! Errors of the parts → answers, with what the operator needs to know.

use crate::kernel::btf::BtfError;
use crate::kernel::tracefs::TracefsError;
use crate::symbols::kallsyms::KallsymsError;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use weftrace_lang::world::Answer;

pub(super) fn from_btf<T>(error: &BtfError) -> Answer<T> {
    match error {
        BtfError::NotPermitted(_) => Answer::NotPermitted(error.to_string()),
        BtfError::Missing(_) | BtfError::Io(..) | BtfError::Malformed(_) => Answer::CouldNotTell(error.to_string()),
    }
}

pub(super) fn from_tracefs<T>(result: Result<T, TracefsError>) -> Answer<T> {
    let error = match result {
        Ok(found) => return Answer::Found(found),
        Err(error) => error,
    };
    let text = match error.remedy() {
        Some(remedy) => format!("{error}; {remedy}"),
        None => error.to_string(),
    };
    match error {
        TracefsError::NoSuchEvent(_) => Answer::NotThere,
        TracefsError::NotPermitted(_) => Answer::NotPermitted(text),
        TracefsError::NotMounted | TracefsError::Io(..) | TracefsError::Format(..) => Answer::CouldNotTell(text),
    }
}

pub(super) fn from_kallsyms<T>(error: &KallsymsError) -> Answer<T> {
    match error {
        KallsymsError::Hidden => Answer::NotPermitted(error.to_string()),
        KallsymsError::Io(_) | KallsymsError::List(_) => Answer::CouldNotTell(error.to_string()),
    }
}

/// The id of a cgroup is the inode number of its directory.
pub(super) fn cgroup_id(path: &Path) -> Answer<u64> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => Answer::Found(found.ino()),
        Ok(_) => Answer::NotThere,
        Err(e) if e.kind() == ErrorKind::NotFound => Answer::NotThere,
        Err(e) if e.kind() == ErrorKind::PermissionDenied => Answer::NotPermitted(e.to_string()),
        Err(e) => Answer::CouldNotTell(e.to_string()),
    }
}

/// Device and inode of this process's pid namespace, unless it is the initial one.
pub(super) fn pid_namespace() -> Option<(u64, u64)> {
    /// PROC_PID_INIT_INO (include/linux/proc_ns.h)
    const INITIAL: u64 = 0xefff_fffc;
    let found = std::fs::metadata("/proc/self/ns/pid").ok()?;
    (found.ino() != INITIAL).then(|| (found.dev(), found.ino()))
}

/// Names of network interfaces of this network namespace, sorted.
pub(super) fn interfaces(dir: &Path) -> Answer<Vec<String>> {
    match std::fs::read_dir(dir) {
        Ok(entries) => {
            // Plain files there (bonding_masters) aren't interfaces.
            let links = entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_symlink()));
            let mut names: Vec<String> = links.filter_map(|e| e.file_name().into_string().ok()).collect();
            names.sort_unstable();
            Answer::Found(names)
        }
        Err(e) => Answer::CouldNotTell(format!("{}: {e}", dir.display())),
    }
}

//! The programs and libraries that running processes have mapped.

use super::find::{Binary, FindError};
use super::glob::Glob;
use super::process::{Identity, Region, parse_region};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Files of all processes; what is beyond is left out.
const MOST_FILES: usize = 10_000;

/// Every file that a process has mapped to execute, in the order of its memory. `root` as in [`Binary`].
pub(super) fn of_process(pid: u32, root: &Path) -> Result<Vec<Binary>, FindError> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/maps")).map_err(|e| match e.kind() {
        std::io::ErrorKind::PermissionDenied => FindError::NotPermitted(format!("/proc/{pid}/maps")),
        _ => FindError::NoProcess(pid),
    })?;
    let mut seen = BTreeSet::new();
    Ok(files(&text, pid, root, &mut seen))
}

/// The same for all processes, each file once.
pub(super) fn of_all() -> Vec<Binary> {
    let mut seen = BTreeSet::new();
    let mut out = Vec::new();
    for pid in pids() {
        // Those that have gone meanwhile, and those of others, have nothing to say.
        let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/maps")) else { continue };
        let Ok(root) = super::find::process_root(pid) else { continue };
        out.extend(files(&text, pid, &root, &mut seen));
        if out.len() >= MOST_FILES {
            out.truncate(MOST_FILES);
            break;
        }
    }
    out
}

/// The programs that processes run (one process, or all), each once: by the name that we have for it, if some process runs it by that, and not by one that goes with a
/// process of another root. Of other users' processes only root may ask.
pub(super) fn programs(pid: Option<u32>) -> Vec<Binary> {
    let pids = match pid {
        Some(pid) => vec![pid],
        None => pids(),
    };
    let mut seen = BTreeMap::new();
    let mut out: Vec<Binary> = Vec::new();
    for pid in pids {
        let link = PathBuf::from(format!("/proc/{pid}/exe"));
        // The kernel's own threads have none.
        let Ok(meta) = link.metadata() else { continue };
        let before = seen.get(&(meta.dev(), meta.ino())).copied();
        if before.is_some_and(|at: usize| out[at].root.as_os_str().is_empty()) {
            continue;
        }
        let (Ok(name), Ok(root)) = (std::fs::read_link(&link), super::find::process_root(pid)) else { continue };
        let named = if root.as_os_str().is_empty() { name } else { root.join(name.strip_prefix("/").unwrap_or(&name)) };
        // Another file may have its name by now, or it is of another file system.
        let same = named.metadata().is_ok_and(|m| (m.dev(), m.ino()) == (meta.dev(), meta.ino()));
        let shown = named.display().to_string();
        let binary = Binary { path: if same { named } else { link }, root, shown };
        match before {
            None => {
                seen.insert((meta.dev(), meta.ino()), out.len());
                out.push(binary);
            }
            Some(at) if binary.root.as_os_str().is_empty() => out[at] = binary,
            Some(_) => {}
        }
    }
    out
}

/// All processes.
fn pids() -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let mut pids: Vec<u32> = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    pids
}

/// Mapped files whose path matches a glob: that of the whole path, or of what is after its last slash if the glob has none.
pub(super) fn matching(pid: u32, root: &Path, glob: &str, known: &[Binary]) -> Result<Vec<Binary>, FindError> {
    let wanted = Glob::new(glob.strip_prefix("./").unwrap_or(glob));
    let mut all = of_process(pid, root)?;
    all.retain(|b| {
        let path = b.path.strip_prefix(root).unwrap_or(&b.path).to_string_lossy().into_owned();
        let last = path.rsplit('/').next().unwrap_or(&path);
        let fits = wanted.matches(&path) || (!glob.contains('/') && wanted.matches(last));
        fits && !known.iter().any(|k| k.path == b.path)
    });
    Ok(all)
}

/// A program or library that was replaced or deleted while the process runs it (an upgrade): what the process has is meant, not what took
/// its name.
pub(super) fn instead_of_replaced(pid: u32, root: &Path, name: &str, found: &mut Vec<Binary>) {
    let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/maps")) else { return };
    let own: Vec<Region> = text.lines().filter_map(parse_region).collect();
    let has = |path: &Path| path.metadata().is_ok_and(|m| own.iter().any(|r| r.identity.1 == m.ino()));
    let gone = |path: &Path| {
        let path = Path::new("/").join(path.strip_prefix(root).unwrap_or(path));
        let text = format!("{} (deleted)", path.display());
        own.iter().find(|r| *r.path == *text)
    };
    if found.is_empty() && name.contains('/') {
        let absolute = std::path::absolute(name).unwrap_or_else(|_| PathBuf::from(name));
        let path = gone(&absolute).map(|region| current(region, pid, root).0).filter(|path| has(path));
        found.extend(path.map(|path| Binary { path, root: root.to_path_buf(), shown: name.to_owned() }));
    }
    for binary in found.iter_mut().filter(|b| !has(&b.path)) {
        if let Some(region) = gone(&binary.path) {
            binary.path = current(region, pid, root).0;
        }
    }
}

fn files(maps: &str, pid: u32, root: &Path, seen: &mut BTreeSet<Identity>) -> Vec<Binary> {
    let mut out = Vec::new();
    for region in maps.lines().filter_map(parse_region) {
        if !region.path.starts_with('/') || !seen.insert(region.identity) {
            continue;
        }
        let (path, shown) = current(&region, pid, root);
        out.push(Binary { path, root: root.to_path_buf(), shown });
    }
    out
}

/// Where the file is now: under its name, or, if that is another file by now (after an upgrade), what the process still has.
fn current(region: &Region, pid: u32, root: &Path) -> (PathBuf, String) {
    let name = region.path.strip_suffix(" (deleted)").unwrap_or(&region.path);
    let path = if root.as_os_str().is_empty() { PathBuf::from(name) } else { root.join(&name[1..]) };
    let same = path.metadata().is_ok_and(|meta| meta.ino() == region.identity.1);
    let shown = path.display().to_string();
    if same {
        return (path, shown);
    }
    let mapping = PathBuf::from(format!("/proc/{pid}/map_files/{:x}-{:x}", region.start, region.end));
    // What the first needs of privileges the second doesn't.
    let program = PathBuf::from(format!("/proc/{pid}/exe"));
    let is_it = |path: &PathBuf| path.metadata().is_ok_and(|meta| meta.ino() == region.identity.1);
    let found = [mapping, program].into_iter().find(is_it);
    (found.unwrap_or(path), shown)
}

//! Where a program's debug information is, if it is in a file of its own.

use super::elf::Layout;
use std::path::{Path, PathBuf};

/// The separate debug file, where GDB's conventions have it.
pub(super) fn find(path: &Path, root: &Path, layout: &Layout) -> Option<PathBuf> {
    candidates(path, root, layout).into_iter().find(|c| c != path && crate::privilege::is_file(c))
}

/// Where the separate debug file may be: by build id, or by name beside the file, in `.debug` beside it, or under
/// /usr/lib/debug.
pub(crate) fn candidates(path: &Path, root: &Path, layout: &Layout) -> Vec<PathBuf> {
    let store = if root.as_os_str().is_empty() { Path::new("/") } else { root }.join("usr/lib/debug");
    let mut candidates = Vec::new();
    if let Some(name) = by_build_id(&layout.build_id) {
        // In a container: ours too, since the id says that it is the same build.
        candidates.extend([store.join(&name), Path::new("/usr/lib/debug").join(name)]);
    }
    // A name only: a path would leave the directories.
    if let Some(name) = layout.debug_link.as_ref().filter(|n| !n.is_empty() && !n.contains('/')) {
        let dir = path.parent().unwrap_or(Path::new(""));
        candidates.extend([dir.join(name), dir.join(".debug").join(name)]);
        let within = dir.strip_prefix(root).unwrap_or(dir);
        candidates.push(store.join(within.strip_prefix("/").unwrap_or(within)).join(name));
    }
    candidates
}

/// The name of a build's separate debug file within a directory of such files; None: it has no id.
pub(crate) fn by_build_id(id: &[u8]) -> Option<String> {
    let (first, rest) = id.split_first()?;
    let hex = rest.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    Some(format!(".build-id/{first:02x}/{hex}.debug"))
}

//! Where a program's debug information is: in itself, or in a file of its own.

use super::DwarfError;
use super::sections::Sections;
use crate::symbols::debug_file::{self, belongs, by_build_id};
use crate::symbols::elf::{self, Layout};
use std::path::{Path, PathBuf};

/// The sections with debug information of a binary, and the file they are in. `root` is prefixed to absolute paths; `extra` are
/// the directories of `--debuginfo`; `wanted` names the sections. None: there is none.
pub(super) fn locate(
    path: &Path,
    root: &Path,
    extra: &[String],
    wanted: fn(&str) -> bool,
) -> Result<Option<(PathBuf, Sections)>, DwarfError> {
    let own = Sections::read(path, wanted)?;
    if own.has(".debug_info") {
        return Ok(Some((path.to_owned(), own)));
    }
    let layout = elf::layout(path).map_err(|e| DwarfError::Malformed(path.display().to_string(), e.to_string()))?;
    for candidate in candidates(path, root, &layout, extra) {
        // A broken or foreign file is passed over, as debuggers do.
        let Ok(found) = Sections::read(&candidate.path, wanted) else { continue };
        if found.has(".debug_info") && belongs(&layout, &found.build_id, &candidate.path, candidate.checksum) {
            return Ok(Some((candidate.path, found)));
        }
    }
    Ok(None)
}

struct Candidate {
    path: PathBuf,
    /// Its contents are compared with the checksum of `.gnu_debuglink`.
    checksum: bool,
}

/// In the order in which they are looked at.
fn candidates(path: &Path, root: &Path, layout: &Layout, extra: &[String]) -> Vec<Candidate> {
    let mut out = Vec::new();
    let beside = path.parent().unwrap_or(Path::new(""));
    let below = beside.strip_prefix(root).unwrap_or(beside);
    let below = below.strip_prefix("/").unwrap_or(below);
    let id = by_build_id(&layout.build_id);
    // Names that the separate file may have.
    let mut names: Vec<String> = debug_file::link_name(layout).into_iter().map(str::to_owned).collect();
    if let Some(name) = path.file_name().map(|n| n.to_string_lossy()) {
        names.extend([format!("{name}.debug"), name.into_owned()]);
    }
    for dir in extra.iter().flat_map(|list| list.split(':')).filter(|d| !d.is_empty()) {
        let (checksum, dir) = dir.strip_prefix('+').map_or((false, dir), |d| (true, d));
        let dir = dir.strip_prefix('-').unwrap_or(dir);
        let dir = beside.join(dir);
        out.extend(id.iter().map(|id| Candidate { path: dir.join(id), checksum }));
        for name in &names {
            out.push(Candidate { path: dir.join(name), checksum });
            out.push(Candidate { path: dir.join(below).join(name), checksum });
        }
    }
    out.extend(debug_file::candidates(path, root, layout).into_iter().map(|path| Candidate { path, checksum: false }));
    out.retain(|c| c.path != path && crate::privilege::is_file(&c.path));
    out
}

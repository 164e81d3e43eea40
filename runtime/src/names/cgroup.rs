//! Paths of cgroups by their ids, in the hierarchies that are mounted.

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};
use weftrace_probes::symbols::glob::Glob;

/// Paths kept at most; beyond that the cache starts anew.
const MAX_PATHS: usize = 4096;
/// Directories looked at for one id.
const MAX_DIRECTORIES: usize = 100_000;

/// A mounted hierarchy: its name (`unified`, or what its mount point is called) and where it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Hierarchy {
    /// cgroup2 comes first.
    v1: bool,
    name: String,
    root: PathBuf,
}

/// A cache of what was found; a cgroup that is gone is looked for anew.
#[derive(Debug, Default)]
pub(super) struct CgroupPaths {
    hierarchies: Option<Vec<Hierarchy>>,
    found: HashMap<(u64, PathBuf), PathBuf>,
}

impl CgroupPaths {
    /// `unified:/a/b,cpu:/a`: by hierarchy, those that don't know the id left out.
    pub(super) fn find(&mut self, id: u64, hierarchies: &str) -> String {
        let wanted = Glob::new(hierarchies);
        let all = self
            .hierarchies
            .get_or_insert_with(|| mounted(&fs::read_to_string("/proc/mounts").unwrap_or_default()))
            .clone();
        let mut parts: Vec<String> = Vec::new();
        for hierarchy in all.iter().filter(|h| wanted.matches(&h.name)) {
            if let Some(path) = self.in_hierarchy(id, &hierarchy.root) {
                let part = format!("{}:{path}", hierarchy.name);
                // The same hierarchy may be mounted twice.
                if !parts.contains(&part) {
                    parts.push(part);
                }
            }
        }
        parts.join(",")
    }

    fn in_hierarchy(&mut self, id: u64, root: &Path) -> Option<String> {
        let key = (id, root.to_owned());
        let known = self.found.get(&key).filter(|path| inode(path) == Some(id)).cloned();
        let path = if let Some(path) = known {
            path
        } else {
            let path = search(id, root)?;
            if self.found.len() >= MAX_PATHS {
                self.found.clear();
            }
            self.found.insert(key, path.clone());
            path
        };
        let below = path.strip_prefix(root).ok()?;
        Some(format!("/{}", below.display()))
    }
}

fn inode(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|m| m.ino())
}

/// The directory with this inode number, level by level.
fn search(id: u64, root: &Path) -> Option<PathBuf> {
    if inode(root) == Some(id) {
        return Some(root.to_owned());
    }
    let mut level = vec![root.to_owned()];
    let mut seen = 0;
    while !level.is_empty() && seen < MAX_DIRECTORIES {
        let mut below = Vec::new();
        for entry in level.iter().filter_map(|d| fs::read_dir(d).ok()).flatten().flatten() {
            if !entry.file_type().is_ok_and(|t| t.is_dir()) {
                continue;
            }
            seen += 1;
            if inode(&entry.path()) == Some(id) {
                return Some(entry.path());
            }
            below.push(entry.path());
        }
        level = below;
    }
    None
}

/// The hierarchies in the text of /proc/mounts.
fn mounted(mounts: &str) -> Vec<Hierarchy> {
    let mut all: Vec<Hierarchy> = mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            let (_, root, kind) = (words.next()?, PathBuf::from(words.next()?), words.next()?);
            let name = match kind {
                "cgroup2" => "unified".to_owned(),
                "cgroup" => root.file_name()?.to_string_lossy().into_owned(),
                _ => return None,
            };
            Some(Hierarchy { v1: kind == "cgroup", name, root })
        })
        .collect();
    all.sort();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_of_mounts() {
        let text = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n\
                    cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let names: Vec<String> = mounted(text).into_iter().map(|h| h.name).collect();
        assert_eq!(names, ["unified", "cpu", "memory"]);
    }

    #[test]
    fn a_directory_is_found_by_its_inode() {
        let root = std::env::temp_dir().join(format!("weftrace-cgroup-{}", std::process::id()));
        let inner = root.join("a/b");
        fs::create_dir_all(&inner).expect("a writable folder");
        let id = inode(&inner).expect("it was made");
        let mut paths = CgroupPaths::default();
        assert_eq!(paths.in_hierarchy(id, &root).as_deref(), Some("/a/b"));
        let top = inode(&root).expect("it was made");
        assert_eq!(paths.in_hierarchy(top, &root).as_deref(), Some("/"));
        fs::remove_dir_all(&root).expect("its own folder");
        assert_eq!(paths.in_hierarchy(id, &root), None);
    }
}

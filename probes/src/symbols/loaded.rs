//! The files that processes have mapped: found again by what they are, not only by their names.

use super::elf;
use super::process::{Identity, Region};
use super::table::Table;
use crate::dwarf::Frames;
use crate::dwarf::unwind::UnwindInfo;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Files whose symbols are kept.
const MAX_FILES: usize = 64;
/// Bytes of a vdso: a few pages.
const MAX_VDSO: u64 = 1 << 20;

/// A file's functions.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) layout: elf::Layout,
    pub(super) table: Table,
    /// The file and its root, to look for debug information; None: it is an image in memory.
    found: Option<(PathBuf, PathBuf)>,
    frames: OnceCell<Option<Frames>>,
    unwind: OnceCell<Option<UnwindInfo>>,
}

impl Loaded {
    fn open(path: &Path, root: &Path) -> Option<Self> {
        let (layout, table) = Table::open(path, root).ok()?;
        let found = Some((path.to_path_buf(), root.to_path_buf()));
        Some(Self { layout, table, found, frames: OnceCell::new(), unwind: OnceCell::new() })
    }

    /// The code that the kernel maps into every process.
    fn of_vdso(pid: u32, region: &Region) -> Option<Self> {
        let bytes = vdso_bytes(pid, region)?;
        let (layout, table) = Table::of(&bytes)?;
        let unwind = OnceCell::from(UnwindInfo::of(&bytes));
        Some(Self { layout, table, found: None, frames: OnceCell::new(), unwind })
    }

    /// Functions and lines at an address of the file.
    pub(super) fn frames(&self) -> Option<&Frames> {
        let open = || self.found.as_ref().and_then(|(path, root)| Frames::open(path, root, &[]).ok().flatten());
        self.frames.get_or_init(open).as_ref()
    }

    pub(super) fn unwind(&self) -> Option<&UnwindInfo> {
        let open = || self.found.as_ref().and_then(|(path, _)| UnwindInfo::open(path));
        self.unwind.get_or_init(open).as_ref()
    }
}

/// The files that were needed, in bounded number.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// With when it was used last.
    known: BTreeMap<Identity, (u64, Rc<Option<Loaded>>)>,
    clock: u64,
}

impl Files {
    /// What a process has mapped there. `relatives`: processes that may still see the file when this one has gone.
    pub(super) fn get(&mut self, pid: u32, region: &Region, relatives: impl Fn() -> Vec<u32>) -> Rc<Option<Loaded>> {
        self.clock += 1;
        let vdso = is_vdso(region);
        // A process of 32 bits has one of its own: told by its size.
        let key = if vdso { (u64::MAX, region.end - region.start) } else { region.identity };
        if let Some((used, loaded)) = self.known.get_mut(&key) {
            *used = self.clock;
            return loaded.clone();
        }
        let loaded = Rc::new(if vdso { Loaded::of_vdso(pid, region) } else { find(pid, region, relatives) });
        if self.known.len() >= MAX_FILES {
            let oldest = self.known.iter().min_by_key(|(_, (used, _))| *used).map(|(key, _)| *key);
            oldest.map(|key| self.known.remove(&key));
        }
        self.known.insert(key, (self.clock, loaded.clone()));
        loaded
    }
}

pub(super) fn is_vdso(region: &Region) -> bool {
    &*region.path == "[vdso]"
}

/// Under its name if that is still this file, as the process sees it or as we do; else by what the process has mapped. A file that
/// took its name meanwhile is never taken for it.
fn find(pid: u32, region: &Region, relatives: impl Fn() -> Vec<u32>) -> Option<Loaded> {
    let name = region.path.strip_suffix(" (deleted)").unwrap_or(&region.path).trim_start_matches('/');
    let (device, inode) = region.identity;
    let meta = |path: &Path| path.metadata().or_else(|_| crate::privilege::open(path)?.metadata());
    let same = |path: &Path| inode == 0 || meta(path).is_ok_and(|m| m.ino() == inode);
    // Some file systems have numbers of devices that their mappings don't: then only the file's own number counts.
    let on_device =
        |m: &std::fs::Metadata| u64::from(libc::major(m.dev())) << 32 | u64::from(libc::minor(m.dev())) == device;
    let exact = |path: &Path| meta(path).is_ok_and(|m| m.ino() == inode && on_device(&m));
    let below = |pid: u32| {
        let root = PathBuf::from(format!("/proc/{pid}/root"));
        (root.join(name), root)
    };
    let open = |(path, root): (PathBuf, PathBuf)| Loaded::open(&path, &root).filter(|_| same(&path));
    // Our own view outlives the process.
    let ours = (Path::new("/").join(name), PathBuf::new());
    if let Some(found) = Some(ours.clone()).filter(|(path, _)| exact(path)).and_then(open) {
        return Some(found);
    }
    if let Some(found) = [below(pid), ours].into_iter().filter(|(path, _)| same(path)).find_map(open) {
        return Some(found);
    }
    let root = below(pid).1;
    let mapping = PathBuf::from(format!("/proc/{pid}/map_files/{:x}-{:x}", region.start, region.end));
    if let Some(found) = Loaded::open(&mapping, &root) {
        return Some(found);
    }
    let program = (PathBuf::from(format!("/proc/{pid}/exe")), root);
    let others = relatives().into_iter().map(below);
    std::iter::once(program).chain(others).filter(|(path, _)| same(path)).find_map(open)
}

/// The vdso of the process, or ours, which is the same if it is as long.
fn vdso_bytes(pid: u32, region: &Region) -> Option<Vec<u8>> {
    let read = |pid: &str, start: u64, end: u64| {
        let len = end.checked_sub(start).filter(|len| *len <= MAX_VDSO)?;
        let mut bytes = vec![0; usize::try_from(len).ok()?];
        let memory = std::fs::File::open(format!("/proc/{pid}/mem")).ok()?;
        memory.read_exact_at(&mut bytes, start).ok()?;
        Some(bytes)
    };
    let own = || {
        let mine = super::process::maps_of(std::process::id()).into_iter().find(is_vdso)?;
        let same = mine.end - mine.start == region.end - region.start;
        if same { read("self", mine.start, mine.end) } else { None }
    };
    read(&pid.to_string(), region.start, region.end).filter(|b| b.starts_with(&object::elf::ELFMAG)).or_else(own)
}

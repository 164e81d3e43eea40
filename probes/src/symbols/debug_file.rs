//! Where a program's debug information is, if it is in a file of its own.

use super::elf::{self, Layout};
use std::{
    collections::HashMap,
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// The separate debug file, where GDB's conventions have it.
pub(super) fn find(path: &Path, root: &Path, layout: &Layout) -> Option<PathBuf> {
    let of_this_build = |file: &PathBuf| {
        file != path && elf::layout(file).is_ok_and(|found| belongs(layout, &found.build_id, file, false))
    };
    candidates(path, root, layout).into_iter().find(of_this_build)
}

/// Whether a debug file is of the same build as a program: by build id where both have one, else (and where `checksum` says so)
/// by the checksum that the program has of it.
pub(crate) fn belongs(program: &Layout, build_id: &[u8], file: &Path, checksum: bool) -> bool {
    let by_id = !program.build_id.is_empty() && !build_id.is_empty();
    if by_id && program.build_id != build_id {
        return false;
    }
    match &program.debug_link {
        Some((_, crc)) if checksum || !by_id => file_checksum(file).is_ok_and(|found| found == *crc),
        _ => by_id,
    }
}

/// Where the separate debug file may be: by build id, or by name beside the file, in `.debug` beside it, or under
/// /usr/lib/debug.
pub(crate) fn candidates(path: &Path, root: &Path, layout: &Layout) -> Vec<PathBuf> {
    let mut candidates = in_stores(root, &layout.build_id);
    if let Some(name) = link_name(layout) {
        let dir = path.parent().unwrap_or(Path::new(""));
        candidates.extend([dir.join(name), dir.join(".debug").join(name)]);
        let within = dir.strip_prefix(root).unwrap_or(dir);
        candidates.push(store(root).join(within.strip_prefix("/").unwrap_or(within)).join(name));
    }
    candidates
}

/// Where a build's separate debug file may be by its id: in the store of the file system it was found in, and in a container in ours
/// too, since the id says that it is the same build.
pub(crate) fn in_stores(root: &Path, id: &[u8]) -> Vec<PathBuf> {
    let Some(name) = by_build_id(id) else { return Vec::new() };
    vec![store(root).join(&name), store(Path::new("/")).join(name)]
}

fn store(root: &Path) -> PathBuf {
    let root = if root.as_os_str().is_empty() { Path::new("/") } else { root };
    root.join("usr/lib/debug")
}

/// The name of a build's separate debug file within a directory of such files; None: it has no id.
pub(crate) fn by_build_id(id: &[u8]) -> Option<String> {
    let (first, rest) = id.split_first()?;
    let hex = rest.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    Some(format!(".build-id/{first:02x}/{hex}.debug"))
}

/// What `.gnu_debuglink` calls the debug file. A path would leave the directories in which it is looked for.
pub(crate) fn link_name(layout: &Layout) -> Option<&str> {
    let (name, _) = layout.debug_link.as_ref()?;
    Some(name.as_str()).filter(|n| !n.is_empty() && !n.contains('/'))
}

/// Checksums of files that are the same as when they were read: device, inode, size, time of the last change.
type Known = HashMap<(u64, u64, u64, i64, i64), u32>;

/// Most files whose checksums are kept.
const MOST: usize = 1 << 10;

/// The checksum of `.gnu_debuglink`. Debug files are long, and asked about by all who want something of them: each is read once.
fn file_checksum(file: &Path) -> std::io::Result<u32> {
    static KNOWN: Mutex<Option<Known>> = Mutex::new(None);
    let file = crate::privilege::open(file)?;
    let of = file.metadata()?;
    let key = (of.dev(), of.ino(), of.len(), of.ctime(), of.ctime_nsec());
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = known().as_ref().and_then(|known| known.get(&key)) {
        return Ok(*found);
    }
    let found = crc32(file)?;
    let mut known = known();
    let known = known.get_or_insert_default();
    if known.len() < MOST {
        known.insert(key, found);
    }
    Ok(found)
}

const CRC_TABLE: [u32; 256] = {
    let mut table = [0u32; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut c, mut bit) = (byte as u32, 0);
        while bit < 8 {
            c = if c & 1 == 1 { 0xedb8_8320 ^ (c >> 1) } else { c >> 1 };
            bit += 1;
        }
        table[byte] = c;
        byte += 1;
    }
    table
};

/// CRC-32 as in zlib, of all bytes.
fn crc32(mut file: impl Read) -> std::io::Result<u32> {
    let mut buffer = vec![0; 64 << 10];
    let mut sum = !0u32;
    loop {
        let bytes = match file.read(&mut buffer) {
            Ok(0) => return Ok(!sum),
            Ok(len) => buffer.get(..len).unwrap_or(&[]),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        sum = bytes.iter().fold(sum, |c, b| CRC_TABLE[usize::from(c as u8 ^ b)] ^ (c >> 8));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_checksum_is_that_of_zlib() {
        assert_eq!(super::crc32(&b"123456789"[..]).expect("memory"), 0xcbf4_3926);
    }
}

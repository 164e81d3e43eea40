//! The files of a library, and their digest.
//!
//! Read from a folder, nothing is taken on trust: no links, no file or folder that everybody may write to, no names that lead
//! elsewhere, bounds for number and size.

use crate::{Error, Result};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::Read,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// Files of a library.
pub(crate) const MOST_FILES: usize = 4096;
/// Bytes of one.
pub(crate) const MOST_BYTES: u64 = 16 << 20;
/// Bytes of all.
pub(crate) const MOST_ALL: u64 = 128 << 20;
/// Folders within each other.
const MOST_DEPTH: usize = 16;

/// Path within the library, with `/` → content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Tree {
    /// `sha256:…` over every file's name and content, each with its length.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for (path, content) in &self.files {
            for part in [path.as_bytes(), content] {
                hash.update((part.len() as u64).to_le_bytes());
                hash.update(part);
            }
        }
        let mut out = String::from("sha256:");
        for byte in hash.finalize() {
            let _ = write!(out, "{byte:02x}");
        }
        out
    }

    /// Adds a file, if its name and size are what a library's may be.
    pub(crate) fn add(&mut self, path: &str, content: Vec<u8>) -> Result<()> {
        check_path(path)?;
        if content.len() as u64 > MOST_BYTES {
            return Err(Error::new(format!("{path} has more than {} MiB", MOST_BYTES >> 20)));
        }
        self.files.insert(path.to_owned(), content);
        if self.files.len() > MOST_FILES {
            return Err(Error::new(format!("a library of more than {MOST_FILES} files")));
        }
        let all: u64 = self.files.values().map(|c| c.len() as u64).sum();
        if all > MOST_ALL {
            return Err(Error::new(format!("a library of more than {} MiB", MOST_ALL >> 20)));
        }
        Ok(())
    }

    /// What is in a folder.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let mut tree = Self::default();
        let mut open = vec![(root.to_owned(), String::new(), 0)];
        while let Some((folder, prefix, depth)) = open.pop() {
            check_folder(&folder)?;
            let failed = |error: std::io::Error| Error::file(&folder, &error);
            for entry in fs::read_dir(&folder).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let path = entry.path();
                let Ok(name) = entry.file_name().into_string() else {
                    return Err(Error::new(format!("{}: its name is no text", path.display())));
                };
                let kind = entry.file_type().map_err(failed)?;
                let within = format!("{prefix}{name}");
                if kind.is_dir() && depth < MOST_DEPTH {
                    open.push((path, format!("{within}/"), depth + 1));
                } else if kind.is_file() {
                    tree.add(&within, read_file(&path)?)?;
                } else {
                    return Err(Error::new(format!("{} is neither a file nor a folder", path.display())));
                }
            }
        }
        Ok(tree)
    }

    /// Writes it into a folder that isn't there yet.
    pub(crate) fn write(&self, root: &Path) -> Result<()> {
        make(root)?;
        for (path, content) in &self.files {
            let file = root.join(path);
            if let Some(folder) = file.parent() {
                make(folder)?;
            }
            fs::write(&file, content).map_err(|error| Error::file(&file, &error))?;
            set_mode(&file, 0o644)?;
        }
        Ok(())
    }
}

/// A folder that others may read, whatever the umask is: where libraries are looked for it may not be everybody's.
pub(crate) fn make(folder: &Path) -> Result<()> {
    let mut made = Vec::new();
    let mut at = Some(folder);
    while let Some(path) = at.filter(|p| !p.as_os_str().is_empty() && !p.exists()) {
        made.push(path.to_owned());
        at = path.parent();
    }
    fs::create_dir_all(folder).map_err(|error| Error::file(folder, &error))?;
    made.iter().try_for_each(|path| set_mode(path, 0o755))
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(|error| Error::file(path, &error))
}

/// Refuses a folder in which everybody may put files.
pub(crate) fn check_folder(folder: &Path) -> Result<()> {
    let meta = fs::symlink_metadata(folder).map_err(|error| Error::file(folder, &error))?;
    if !meta.is_dir() {
        return Err(Error::new(format!("{} is no folder", folder.display())));
    }
    if meta.mode() & 0o002 != 0 {
        let what = format!("everybody may write to {}: nothing in it is trusted", folder.display());
        return Err(Error::new(what).write(format!("chmod o-w {}", folder.display())));
    }
    Ok(())
}

/// A file's content, unless everybody may write to it, it is a link, or too large.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>> {
    let failed = |error: std::io::Error| Error::file(path, &error);
    // A FIFO is opened at once, and found to be none: otherwise it would wait for somebody who writes.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = fs::File::options().read(true).custom_flags(flags).open(path).map_err(failed)?;
    let meta = file.metadata().map_err(failed)?;
    if !meta.is_file() {
        return Err(Error::new(format!("{} is no file", path.display())));
    }
    if meta.mode() & 0o002 != 0 {
        let what = format!("everybody may write to {}: it is not trusted", path.display());
        return Err(Error::new(what).write(format!("chmod o-w {}", path.display())));
    }
    let mut content = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut content).map_err(failed)?;
    if content.len() as u64 > MOST_BYTES {
        return Err(Error::new(format!("{} has more than {} MiB", path.display(), MOST_BYTES >> 20)));
    }
    Ok(content)
}

/// Refuses names that lead out of the library, or that git keeps for itself.
fn check_path(path: &str) -> Result<()> {
    let fine = |part: &str| !matches!(part, "" | "." | "..") && !part.eq_ignore_ascii_case(".git");
    if path.split('/').all(fine) && !path.chars().any(|c| c.is_control() || c == '\\') && path.len() < 4096 {
        return Ok(());
    }
    Err(Error::new(format!("a library has no file `{}`", path.escape_debug())))
}

/// A name beside `path` that nothing else uses.
pub(crate) fn beside(path: &Path, what: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{what}.{}", std::process::id()))
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;

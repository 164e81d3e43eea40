//! Names of libraries, versions, and how a repository is written.

use crate::{Error, Result};
use std::path::{Component, Path, PathBuf};

/// Longest name.
const MOST: usize = 64;

/// Whether a library may be called so: it is the first part of an import, and a folder's name.
pub fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    name.len() <= MOST
        && bytes.next().is_some_and(|b| b.is_ascii_lowercase())
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
}

/// Refuses a name that bundled scripts have for their folder.
pub(crate) fn check_free(name: &str, reserved: &[&str]) -> Result<()> {
    if reserved.contains(&name) {
        return Err(Error::new(format!("a library can't be called {name}: bundled scripts are")));
    }
    Ok(())
}

/// `URL@REV`, where the last `@` is neither a user's (`git@host:path`, `https://me@host/path`) nor part of a path that is there. `here`: where
/// relative paths begin.
pub fn split_rev<'a>(text: &'a str, here: &Path) -> (&'a str, Option<&'a str>) {
    let local = is_local(text);
    // Where the repository's path begins: behind the host.
    let path = match text.split_once("://") {
        _ if is_path(text) => Some(0),
        Some((scheme, rest)) => rest.find('/').map(|at| scheme.len() + 3 + at),
        None => text.find(':').map(|at| at + 1),
    };
    let Some(path) = path.filter(|at| !(local && here.join(&text[*at..]).exists())) else { return (text, None) };
    match text[path..].rfind('@').map(|at| path + at) {
        // No repository is called nothing.
        Some(at) if at > path && !text[..at].ends_with('/') => (&text[..at], Some(&text[at + 1..])),
        _ => (text, None),
    }
}

/// `to` as it is written in a file of the folder `from`; both are whole paths.
pub(crate) fn relative(from: &Path, to: &Path) -> String {
    let same = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(same).map(|_| Component::ParentDir);
    let path: PathBuf = up.chain(to.components().skip(same)).collect();
    // Neither nothing, nor `-x`, nor `host:path`.
    if path.starts_with("..") { path.display().to_string() } else { format!("./{}", path.display()) }
}

/// Whether a repository is on this machine.
pub(crate) fn is_local(url: &str) -> bool {
    url.starts_with("file://") || is_path(url)
}

/// A path, not a URL and not `host:path`: as git has it, a colon behind a slash is part of a path.
pub(crate) fn is_path(url: &str) -> bool {
    match url.find(':') {
        None => true,
        Some(colon) => url.find('/').is_some_and(|slash| slash < colon),
    }
}

/// Transports that don't start programs which the URL names.
const SCHEMES: [&str; 5] = ["https", "ssh", "file", "git", "http"];

/// Refuses what git would not take as a repository, or would take as an option or a program to run.
pub(crate) fn check_url(url: &str) -> Result<()> {
    let wrong = |why: &str| Err(Error::new(format!("`{}` is no repository: {why}", url.escape_debug())));
    if url.is_empty() {
        return wrong("it is empty");
    }
    if url.starts_with('-') {
        return wrong("it begins with `-`");
    }
    if url.chars().any(|c| c.is_control() || c == ' ' || c == '"') {
        return wrong("it has blanks, quotes or control characters");
    }
    if let Some((scheme, _)) = url.split_once("://") {
        if !SCHEMES.contains(&scheme) {
            return wrong(&format!("{scheme}:// is none of {}", SCHEMES.join(", ")));
        }
    } else if url.contains("::") && !is_path(url) {
        // `ext::sh -c …` and other helpers.
        return wrong("it names a program that would fetch it");
    }
    Ok(())
}

/// Refuses what git would take as an option, or as something other than a name of a commit.
pub(crate) fn check_rev(rev: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | '+');
    if rev.is_empty() || rev.starts_with('-') || rev.contains("..") || !rev.chars().all(plain) {
        let what = format!("`{}` is no tag, branch or commit", rev.escape_debug());
        return Err(Error::new(what));
    }
    Ok(())
}

/// Numbers of a version: `1.2.0` → [1, 2, 0]. None: it is none.
fn numbers(version: &str) -> Option<Vec<u64>> {
    // A suffix (`-rc.1`, `+build`) doesn't count.
    let (plain, suffix) = version.split_at(version.find(['-', '+']).unwrap_or(version.len()));
    if !suffix.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'+')) {
        return None;
    }
    let numbers: Option<Vec<u64>> = plain.split('.').map(|n| n.parse().ok()).collect();
    numbers.filter(|n| (1..=3).contains(&n.len()))
}

pub(crate) fn is_version(version: &str) -> bool {
    numbers(version).is_some()
}

/// Whether `have` is at least `wanted`.
pub(crate) fn at_least(have: &str, wanted: &str) -> bool {
    let padded = |v: &str| {
        let mut n = numbers(v).unwrap_or_default();
        n.resize(3, 0);
        n
    };
    padded(have) >= padded(wanted)
}

/// Whether who asks for `wanted` can take `have`: at least that, and the same first number that isn't 0, as semver has it.
pub(crate) fn compatible(have: &str, wanted: &str) -> bool {
    let (Some(mut a), Some(mut b)) = (numbers(have), numbers(wanted)) else { return false };
    a.resize(3, 0);
    b.resize(3, 0);
    let leading = b.iter().position(|n| *n != 0).unwrap_or(2);
    at_least(have, wanted) && a[..=leading] == b[..=leading]
}

#[cfg(test)]
#[path = "names_tests.rs"]
mod tests;

//! What a script calls a binary → a file: a path, a name in PATH, a library's short name.

use super::archive;
use super::glob::{Glob, is_glob};
use super::ldcache;
use super::mapped;
use std::path::{Component, Path, PathBuf};

/// A binary that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binary {
    /// What to open: with `/proc/PID/root` before it where that matters.
    pub path: PathBuf,
    /// `/proc/PID/root`, or empty.
    pub root: PathBuf,
    /// As probes' names show it: as written where a path was written, else as found.
    pub shown: String,
}

impl Binary {
    /// The file that holds it: the archive of an archive's member.
    pub fn path_to_probe(&self) -> PathBuf {
        archive::container(&self.path)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    #[error("{0}: no such file, program in PATH, or library")]
    NotFound(String),
    #[error("{0} may not be read by this user")]
    NotPermitted(String),
    #[error("there is no process {0}")]
    NoProcess(u32),
}

/// Where libraries are when ld.so.cache doesn't say (musl, containers without one).
fn library_dirs() -> impl Iterator<Item = String> {
    let debian = weftrace_arch::all().flat_map(|a| ["/lib/", "/usr/lib/"].map(|dir| format!("{dir}{}", a.multiarch)));
    debian.chain(["/lib64", "/usr/lib64", "/lib", "/usr/lib"].map(str::to_owned))
}

/// Finds every file that `name` means: one, unless it has wildcards. `search` is the PATH to look in; with `pid`, names are
/// those of that process's file system. `*`, or nothing with a process given, is every file that the process (or any) has mapped.
pub fn find(name: &str, pid: Option<u32>, search: &str) -> Result<Vec<Binary>, FindError> {
    match (name, pid) {
        ("*" | "", Some(pid)) => return mapped::of_process(pid, &process_root(pid)?),
        ("*", None) => return Ok(mapped::of_all()),
        _ => {}
    }
    let root = match pid {
        Some(pid) => process_root(pid)?,
        None => PathBuf::new(),
    };
    let mut found = Found { out: Vec::new(), root: &root, denied: None };
    if name.contains('/') {
        let below = pid.is_some() && name.starts_with('/') && !is_of_process(Path::new(name));
        let path = if below { within(&root, name) } else { PathBuf::from(name) };
        let paths = if is_glob(name) && !path.exists() { expand(&path) } else { vec![path] };
        for path in paths {
            found.take(&path, Some(path.display().to_string()));
        }
    } else {
        // The working directory before PATH, if it is a program there.
        if !is_glob(name) && has_magic(Path::new(name)) {
            found.take(Path::new(name), Some(name.to_owned()));
        }
        for path in by_name(name, &root, search) {
            if !is_glob(name) && !found.out.is_empty() {
                break;
            }
            found.take(&path, None);
        }
    }
    if let (true, Some(pid)) = (is_glob(name), pid) {
        found.out.extend(mapped::matching(pid, &root, name, &found.out)?);
    }
    if let (false, Some(pid)) = (is_glob(name), pid) {
        mapped::instead_of_replaced(pid, &root, name, &mut found.out);
    }
    match (found.out.is_empty(), found.denied) {
        (false, _) => Ok(found.out),
        (true, Some(path)) => Err(FindError::NotPermitted(path.display().to_string())),
        (true, None) => Err(FindError::NotFound(name.to_owned())),
    }
}

/// The programs that processes run: of one process, or of all.
pub fn programs(pid: Option<u32>) -> Vec<Binary> {
    mapped::programs(pid)
}

/// Files found so far.
struct Found<'a> {
    out: Vec<Binary>,
    root: &'a Path,
    denied: Option<PathBuf>,
}

impl Found<'_> {
    /// Takes a candidate if it is a file, and not the same one under another name (symbolic links, /lib and /usr/lib).
    fn take(&mut self, path: &Path, shown: Option<String>) {
        match std::fs::metadata(archive::container(path)) {
            Ok(meta) if meta.is_file() => {
                let as_is = !self.root.as_os_str().is_empty() || is_of_process(path);
                let real = if as_is { path.to_path_buf() } else { canonical(path) };
                if !self.out.iter().any(|b| b.path == real) {
                    let shown = shown.unwrap_or_else(|| real.display().to_string());
                    self.out.push(Binary { path: real, root: self.root.to_path_buf(), shown });
                }
            }
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => self.denied = Some(path.to_path_buf()),
            Ok(_) | Err(_) => {}
        }
    }
}

/// Whether it is a file as a process sees it: `/proc/PID/root/…`, `/proc/PID/exe`, `/proc/PID/map_files/…`. Without the link in it the path would be another file's, of our own
/// file system.
fn is_of_process(path: &Path) -> bool {
    let mut parts = path.iter().skip(1).map(std::ffi::OsStr::to_str);
    parts.next() == Some(Some("proc"))
        && parts.next().flatten().is_some_and(|pid| pid.parse::<u32>().is_ok())
        && matches!(parts.next(), Some(Some("root" | "exe" | "map_files")))
}

/// A path without symbolic links; a member of an archive stays one.
fn canonical(path: &Path) -> PathBuf {
    match archive::split(path) {
        None => path.canonicalize().unwrap_or_else(|_| path.to_path_buf()),
        Some((archive, member)) => {
            let mut whole = archive.canonicalize().unwrap_or(archive).into_os_string();
            whole.push(format!("{}{member}", archive::SEPARATOR));
            whole.into()
        }
    }
}

/// Whether it is a file that begins as programs and libraries do.
fn has_magic(path: &Path) -> bool {
    use std::io::Read;
    let mut magic = [0; 4];
    path.is_file()
        && std::fs::File::open(path).and_then(|mut f| f.read_exact(&mut magic)).is_ok()
        && magic == object::elf::ELFMAG
}

/// The root directory as the process sees it; empty if it is ours.
pub(super) fn process_root(pid: u32) -> Result<PathBuf, FindError> {
    if !Path::new(&format!("/proc/{pid}")).exists() {
        return Err(FindError::NoProcess(pid));
    }
    let root = PathBuf::from(format!("/proc/{pid}/root"));
    let same_namespace = |kind: &str| {
        let of = |p: &str| std::fs::read_link(format!("/proc/{p}/{kind}")).ok();
        of("self").is_some() && of("self") == of(&pid.to_string())
    };
    if same_namespace("ns/mnt") && same_namespace("root") { Ok(PathBuf::new()) } else { Ok(root) }
}

/// An absolute path below a root; `..` can't leave it.
fn within(root: &Path, path: &str) -> PathBuf {
    if root.as_os_str().is_empty() {
        return PathBuf::from(path);
    }
    let mut out = root.to_path_buf();
    let mut depth = 0;
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => {
                out.push(name);
                depth += 1;
            }
            Component::ParentDir if depth > 0 => {
                out.pop();
                depth -= 1;
            }
            _ => {}
        }
    }
    out
}

/// A bare name: a program in PATH first, then a library.
fn by_name(name: &str, root: &Path, search: &str) -> Vec<PathBuf> {
    let glob = is_glob(name);
    let mut out = Vec::new();
    for dir in search.split(':').filter(|d| d.starts_with('/')) {
        let path = within(root, dir).join(name);
        out.extend(if glob { expand(&path) } else { vec![path] });
    }
    let mut found = libraries(name, root);
    // `c` as the linker's `-lc`.
    if found.is_empty() && !glob {
        found = libraries(&format!("lib{name}"), root);
    }
    out.extend(found);
    out
}

/// `libssl.so.3` as it is, `libc` as `libc.so` of whatever version.
fn libraries(name: &str, root: &Path) -> Vec<PathBuf> {
    if !name.starts_with("lib") && !is_glob(name) {
        return Vec::new();
    }
    let pattern = Glob::new(name);
    let wanted = |soname: &str| {
        let stem = soname.find(".so").map_or(soname, |at| &soname[..at]);
        // `libc.so`: of any version.
        let unversioned = name.strip_suffix(".so").is_some_and(|name| name == stem);
        pattern.matches(soname) || pattern.matches(stem) || unversioned
    };
    let cache = std::fs::read(within(root, "/etc/ld.so.cache")).unwrap_or_default();
    let mut out: Vec<PathBuf> = ldcache::paths(&cache, wanted).iter().map(|p| within(root, p)).collect();
    // The directories have more (libraries that nothing is linked with yet), but are long to read.
    let complete = !out.is_empty() && !is_glob(name);
    for dir in library_dirs().filter(|_| !complete) {
        let Ok(entries) = std::fs::read_dir(within(root, &dir)) else { continue };
        let mut names: Vec<String> = entries.flatten().filter_map(|e| e.file_name().into_string().ok()).collect();
        names.retain(|n| n.contains(".so") && wanted(n));
        names.sort_unstable();
        out.extend(names.iter().map(|n| within(root, &dir).join(n)));
    }
    out
}

/// Expands wildcards component by component; sorted.
fn expand(path: &Path) -> Vec<PathBuf> {
    /// Files that a pattern may mean; what is beyond is left out.
    const MAX: usize = 10_000;
    let mut found = vec![PathBuf::new()];
    for part in path.components() {
        let text = part.as_os_str().to_string_lossy();
        if !matches!(part, Component::Normal(_)) || !is_glob(&text) {
            for dir in &mut found {
                dir.push(part);
            }
            continue;
        }
        let glob = Glob::new(&text);
        let mut next = Vec::new();
        for dir in &found {
            let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
            let Ok(entries) = std::fs::read_dir(dir) else { continue };
            let names = entries.flatten().map(|e| e.file_name());
            next.extend(names.filter(|n| glob.matches(&n.to_string_lossy())).map(|n| dir.join(n)));
            next.truncate(MAX);
        }
        next.sort_unstable();
        found = next;
    }
    found
}

#[cfg(test)]
#[path = "find_tests.rs"]
mod tests;

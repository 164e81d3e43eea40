//! C headers: beside the script, in the directories that the user names, in the system's.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use weftrace_lang::world::{Answer, Header};

/// Where `#include` looks.
#[derive(Clone, Debug, Default)]
pub struct HeaderPath {
    /// The script's directory, for `#include "…"`.
    pub beside: Option<PathBuf>,
    /// `-I`, in order.
    pub directories: Vec<PathBuf>,
}

/// Where systems have theirs.
fn system_dirs() -> impl Iterator<Item = String> {
    let debian = weftrace_arch::all().map(|a| format!("/usr/include/{}", a.multiarch));
    ["/usr/local/include", "/usr/include"].map(str::to_owned).into_iter().chain(debian)
}
/// Longer files are no headers.
const MAX_FILE: u64 = 4 << 20;

impl HeaderPath {
    pub(super) fn find(&self, path: &str, system: bool) -> Answer<Header> {
        if Path::new(path).is_absolute() {
            return read(Path::new(path), true);
        }
        let beside = self.beside.iter().filter(|_| !system);
        let own = beside.chain(&self.directories).map(|dir| (dir.join(path), true));
        let theirs = system_dirs().map(|dir| (Path::new(&dir).join(path), false));
        let mut refused = Answer::NotThere;
        for (place, own) in own.chain(theirs) {
            match read(&place, own) {
                Answer::NotThere => {}
                Answer::Found(header) => return Answer::Found(header),
                answer => refused = answer,
            }
        }
        refused
    }
}

fn read(path: &Path, own: bool) -> Answer<Header> {
    let name = path.display().to_string();
    match std::fs::metadata(path) {
        Ok(meta) if !meta.is_file() => return Answer::NotThere,
        Ok(meta) if meta.len() > MAX_FILE => return Answer::CouldNotTell(format!("{name} is longer than 4 MiB")),
        _ => {}
    }
    match std::fs::read(path) {
        Ok(bytes) => Answer::Found(Header { name, text: String::from_utf8_lossy(&bytes).into_owned(), own }),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Answer::NotThere,
        Err(e) if e.kind() == ErrorKind::PermissionDenied => Answer::NotPermitted(format!("{name} may not be read")),
        Err(e) => Answer::CouldNotTell(format!("{name}: {e}")),
    }
}

//! Imports: from beside the script, from the bundled library, from directories.

use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};
use weftrace_lang::world::Answer;

/// Where imported modules are looked for.
#[derive(Clone, Debug, Default)]
pub struct ModulePath {
    /// (`std/http`, text): compiled into the binary.
    pub bundled: &'static [(&'static str, &'static str)],
    /// Searched first, in order: the script's directory, then the user's.
    pub directories: Vec<PathBuf>,
}

/// A module's file may leave these out.
const SUFFIXES: [&str; 3] = ["", ".probe", ".bt"];

impl ModulePath {
    /// Scripts in a directory, as paths to import: by name.
    pub(super) fn directory(&self, path: &str) -> Answer<Vec<String>> {
        let plain = Path::new(path).strip_prefix(Component::CurDir).unwrap_or(Path::new(path));
        for directory in self.directories.iter().map(|dir| dir.join(plain)) {
            let Ok(entries) = std::fs::read_dir(&directory) else { continue };
            let names = entries.flatten().filter_map(|e| e.file_name().into_string().ok());
            let mut names: Vec<String> = names.filter(|n| n.ends_with(".bt") || n.ends_with(".probe")).collect();
            names.sort_unstable();
            return Answer::Found(names.iter().map(|n| plain.join(n).display().to_string()).collect());
        }
        Answer::NotThere
    }

    /// (name, text) of `std/http`, `./local`, `/abs/file.bt`.
    pub(super) fn find(&self, path: &str) -> Answer<(String, String)> {
        let relative = Path::new(path);
        let mut failed = None;
        let places: Vec<PathBuf> = if relative.is_absolute() {
            vec![relative.to_path_buf()]
        } else {
            let plain = relative.strip_prefix(Component::CurDir).unwrap_or(relative);
            self.directories.iter().map(|dir| dir.join(plain)).collect()
        };
        for place in places {
            for suffix in SUFFIXES {
                let mut name = place.clone().into_os_string();
                name.push(suffix);
                match std::fs::read_to_string(&name) {
                    Ok(text) => return Answer::Found((name.to_string_lossy().into_owned(), text)),
                    Err(e)
                        if matches!(
                            e.kind(),
                            ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory
                        ) => {}
                    Err(e) => failed = failed.or(Some((name.to_string_lossy().into_owned(), e))),
                }
            }
        }
        if let Some((name, text)) = self.bundled.iter().find(|(name, _)| *name == path) {
            return Answer::Found(((*name).to_owned(), (*text).to_owned()));
        }
        match failed {
            None => Answer::NotThere,
            Some((name, e)) if e.kind() == ErrorKind::PermissionDenied => {
                Answer::NotPermitted(format!("{name} may not be read"))
            }
            Some((name, e)) => Answer::CouldNotTell(format!("{name}: {e}")),
        }
    }
}

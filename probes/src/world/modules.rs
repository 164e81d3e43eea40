//! Imports: from beside the script, from libraries that the project has locked, from the bundled library.

use std::collections::BTreeMap;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use weftrace_lang::world::Answer;

/// The scripts of a library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LibraryTexts {
    /// Which it is, shortened.
    pub commit: String,
    /// Path within it → text
    pub texts: BTreeMap<String, String>,
    /// Names of the libraries that it may import.
    pub uses: Vec<String>,
}

impl LibraryTexts {
    /// A script by its path, whose ending may be left out: as messages name it, and its text.
    pub fn script(&self, library: &str, path: &str) -> Option<(String, String)> {
        SUFFIXES.iter().find_map(|suffix| {
            let (path, text) = self.texts.get_key_value(&format!("{path}{suffix}"))?;
            Some((format!("{library}@{}/{path}", self.commit), text.clone()))
        })
    }
}

/// What a project has locked; asked when an import names it.
pub trait Libraries: fmt::Debug + Send + Sync {
    /// None: no library has this name. Err: why it may not be used.
    fn library(&self, name: &str) -> Option<Result<Arc<LibraryTexts>, String>>;
}

/// Where imported modules are looked for.
#[derive(Clone, Debug, Default)]
pub struct ModulePath {
    /// (`std/http`, text): compiled into the binary. Their folders are theirs: no library is asked for what is in one.
    pub bundled: &'static [(&'static str, &'static str)],
    /// Of a recording: before the bundled ones, after everything else.
    pub recorded: &'static [(&'static str, &'static str)],
    /// Searched first, in order: the script's directory, then the user's.
    pub directories: Vec<PathBuf>,
    pub libraries: Option<Arc<dyn Libraries>>,
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

    /// (name, text) of `std/http`, `./local`, `/abs/file.bt`, `team/db`; `from`: the name of the text that imports it.
    pub(super) fn find(&self, path: &str, from: &str) -> Answer<(String, String)> {
        if let Some((library, folder)) = self.origin(from) {
            return self.within(library, folder, path);
        }
        let local = self.local(path);
        let named = !path.starts_with('.') && !path.starts_with('/');
        let library = if named { self.of_library(path) } else { Answer::NotThere };
        match (local, library) {
            (Answer::Found((file, _)), Answer::Found((other, _))) => Answer::CouldNotTell(format!(
                "{file} and the library's {other} are both called so: write \"./{path}\" for the file beside the script"
            )),
            (Answer::Found(local), _) => Answer::Found(local),
            (local, Answer::NotThere) => self.bundled(path).map_or(local, Answer::Found),
            (_, library) => library,
        }
    }

    /// The library and the folder in it that a text is from.
    fn origin<'n>(&self, from: &'n str) -> Option<(&'n str, &'n str)> {
        let (head, path) = from.split_once('/')?;
        let (library, commit) = head.split_once('@')?;
        let its = self.libraries.as_ref()?.library(library)?.ok()?;
        (its.commit == commit).then_some((library, path.rsplit_once('/').map_or("", |(folder, _)| folder)))
    }

    /// What a library imports: its own files, other libraries, bundled modules; no files of who uses it.
    fn within(&self, library: &str, folder: &str, path: &str) -> Answer<(String, String)> {
        if !path.starts_with('.') {
            return match self.of_library(path) {
                Answer::NotThere => self.bundled(path).map_or(Answer::NotThere, Answer::Found),
                _ if !self.may_use(library, path) => {
                    let other = path.split('/').next().unwrap_or(path);
                    Answer::CouldNotTell(format!("{library} doesn't name {other} under [dependencies]"))
                }
                found => found,
            };
        }
        let mut parts: Vec<&str> = folder.split('/').filter(|p| !p.is_empty()).collect();
        for part in path.split('/') {
            match part {
                "." | "" => {}
                ".." if parts.pop().is_none() => {
                    return Answer::CouldNotTell(format!("it leads out of the library {library}"));
                }
                ".." => {}
                part => parts.push(part),
            }
        }
        self.of_library(&format!("{library}/{}", parts.join("/")))
    }

    /// Whether a library imports its own files, or those of one that it names in its manifest.
    fn may_use(&self, library: &str, path: &str) -> bool {
        let other = path.split('/').next().unwrap_or(path);
        let its = self.libraries.as_ref().and_then(|all| all.library(library)?.ok());
        other == library || its.is_some_and(|its| its.uses.iter().any(|name| name == other))
    }

    fn of_library(&self, path: &str) -> Answer<(String, String)> {
        let Some((name, within)) = path.split_once('/') else { return Answer::NotThere };
        // Looking for a project is no business of scripts that want none of its libraries.
        if self.bundled.iter().any(|(bundled, _)| bundled.split_once('/').is_some_and(|(folder, _)| folder == name)) {
            return Answer::NotThere;
        }
        match self.libraries.as_ref().and_then(|all| all.library(name)) {
            None => Answer::NotThere,
            Some(Err(why)) => Answer::CouldNotTell(why),
            Some(Ok(library)) => match library.script(name, within) {
                Some(found) => Answer::Found(found),
                None => Answer::CouldNotTell(format!(
                    "the library {name} (commit {}) has no script {within}",
                    library.commit
                )),
            },
        }
    }

    fn bundled(&self, path: &str) -> Option<(String, String)> {
        let (name, text) = self.recorded.iter().chain(self.bundled).find(|(name, _)| *name == path)?;
        Some(((*name).to_owned(), (*text).to_owned()))
    }

    /// A file.
    fn local(&self, path: &str) -> Answer<(String, String)> {
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
        match failed {
            None => Answer::NotThere,
            Some((name, e)) if e.kind() == ErrorKind::PermissionDenied => {
                Answer::NotPermitted(format!("{name} may not be read"))
            }
            Some((name, e)) => Answer::CouldNotTell(format!("{name}: {e}")),
        }
    }
}

//! Libraries of the project that a script is in, or that weftrace was started in.

use crate::{bundle, printer};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};
use weftrace_library::{Error, Libraries, Library, Project};
use weftrace_probes::world::{self, LibraryTexts};
use weftrace_runtime::join::show::escaped;

/// Looked for when an import names one: most scripts import none.
#[derive(Debug)]
pub struct OfProject {
    folder: PathBuf,
    found: OnceLock<Result<Option<Libraries>, String>>,
}

impl OfProject {
    pub fn new(folder: Option<&Path>) -> Self {
        let folder = folder.filter(|f| *f != Path::new("")).unwrap_or(Path::new("."));
        Self { folder: folder.to_owned(), found: OnceLock::new() }
    }

    fn all(&self) -> Result<Option<&Libraries>, String> {
        let found = self.found.get_or_init(|| {
            let project = Project::find(&self.folder, &reserved()).map_err(|error| told(&error))?;
            Ok(project.map(|p| p.libraries()))
        });
        found.as_ref().map(Option::as_ref).map_err(Clone::clone)
    }

    /// All, with why some can't be read.
    pub fn each(&self) -> Vec<Result<Library, String>> {
        match self.all() {
            Err(why) => vec![Err(why)],
            Ok(None) => Vec::new(),
            Ok(Some(all)) => {
                let read = |name: &str| all.get(name).map(|l| l.map_err(|error| told(&error)));
                all.names().filter_map(read).collect()
            }
        }
    }

    /// A script by its name (`team/db`): as messages name it, and its text. None: no library has it.
    pub fn script(&self, name: &str) -> Option<Result<(String, String), String>> {
        let (library, path) = name.split_once('/')?;
        match world::Libraries::library(self, library)? {
            Err(why) => Some(Err(why)),
            Ok(texts) => texts.script(library, path).map(Ok),
        }
    }
}

impl world::Libraries for OfProject {
    fn library(&self, name: &str) -> Option<Result<Arc<LibraryTexts>, String>> {
        let all = match self.all() {
            Ok(all) => all?,
            Err(why) => return Some(Err(why)),
        };
        let library = all.get(name)?;
        let texts = library.map(|l| Arc::new(LibraryTexts { commit: l.commit, texts: l.texts, uses: l.uses }));
        Some(texts.map_err(|error| told(&error)))
    }
}

/// An error for a terminal: it may have names and texts of strangers in it.
pub fn told(error: &Error) -> String {
    let write = error.write.as_deref().map(printer::inert);
    Error { what: escaped(&error.what), note: error.note.as_deref().map(escaped), write }.to_string()
}

/// Names that libraries may not have: the folders of bundled scripts.
pub fn reserved() -> Vec<&'static str> {
    let folders: BTreeSet<&str> =
        bundle::SCRIPTS.iter().filter_map(|(name, _)| Some(name.split_once('/')?.0)).collect();
    folders.into_iter().collect()
}

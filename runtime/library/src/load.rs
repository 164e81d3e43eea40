//! Locked libraries as scripts find them: read once, and only what the lock's digest says.

use crate::{
    Error, Lock, Locked, Result,
    project::{FETCHED, Project, VENDORED},
    tree::{self, Tree},
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// A library's scripts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Library {
    pub name: String,
    /// Shortened, for messages.
    pub commit: String,
    /// Path → text; what is no text is left out.
    pub texts: BTreeMap<String, String>,
    /// Names of the libraries under its `[dependencies]`.
    pub uses: Vec<String>,
}

/// Why a library can't be used, for a message.
pub type LoadError = Error;

/// All of a project's.
#[derive(Debug)]
pub struct Libraries {
    root: PathBuf,
    lock: Lock,
    read: Mutex<BTreeMap<String, Result<Library>>>,
}

impl Libraries {
    pub(crate) fn new(project: &Project) -> Self {
        Self { root: project.root.clone(), lock: project.lock.clone(), read: Mutex::default() }
    }

    /// Names of all.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.lock.libraries.keys().map(String::as_str)
    }

    /// None: no library of this name is locked.
    pub fn get(&self, name: &str) -> Option<Result<Library>> {
        if !self.lock.libraries.contains_key(name) {
            return None;
        }
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        Some(read.entry(name.to_owned()).or_insert_with(|| self.load(name)).clone())
    }

    fn load(&self, name: &str) -> Result<Library> {
        let Some(locked) = self.lock.libraries.get(name) else { return Err(Error::new(format!("no library {name}"))) };
        let tree = whole(&self.root, name, locked)?;
        let texts = tree.files.into_iter().filter_map(|(path, bytes)| Some((path, String::from_utf8(bytes).ok()?)));
        let commit = locked.commit.get(..8).unwrap_or(&locked.commit).to_owned();
        Ok(Library { name: name.to_owned(), commit, texts: texts.collect(), uses: locked.uses.clone() })
    }
}

/// The files of a library that are here, if they are what is locked.
pub(crate) fn whole(root: &Path, name: &str, locked: &Locked) -> Result<Tree> {
    let places = [root.join(VENDORED), root.join(FETCHED)];
    let Some(place) = places.iter().find(|p| p.join(name).exists()) else {
        return Err(Error::new(format!("the library {name} is locked, but not here")).write("weftrace lib fetch"));
    };
    // Whoever may rename the folder decides what it is.
    tree::check_folder(place)?;
    let folder = place.join(name);
    let tree = Tree::read(&folder)?;
    if tree.digest() != locked.digest {
        let what = format!("{} is not what is locked: its files were changed", folder.display());
        return Err(Error::new(what)
            .note(format!("locked: commit {}, {}", locked.commit, locked.digest))
            .write("weftrace lib fetch, which brings back what is locked"));
    }
    Ok(tree)
}

//! A folder with a `weftrace.toml`, and what is done to its libraries.

use crate::{
    Dependency, Error, Lock, Manifest, Result, Tree, git,
    load::Libraries,
    names::{self, check_rev, check_url, is_path},
    resolve::{Resolved, Setting, manifest_of, resolve},
    tree::{self, beside},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

pub const MANIFEST: &str = "weftrace.toml";
pub const LOCK: &str = "weftrace.lock";
/// Where fetched libraries are; not for the repository.
pub(crate) const FETCHED: &str = ".weftrace/lib";
/// Where vendored ones are, which win.
pub(crate) const VENDORED: &str = "vendor";

/// What became of a library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub name: String,
    /// Commit and version before; None: it is new.
    pub before: Option<(String, String)>,
    /// None: it is gone.
    pub after: Option<(String, String)>,
}

#[derive(Clone, Debug)]
pub struct Project {
    pub root: PathBuf,
    pub manifest: Manifest,
    pub lock: Lock,
    /// Names that libraries may not have: those of bundled scripts' folders.
    reserved: Vec<&'static str>,
    /// The manifest's text; None: there is none so far.
    text: Option<String>,
}

impl Project {
    /// The project that a folder is in: the nearest folder with a manifest or a lock, itself or above it.
    pub fn find(folder: &Path, reserved: &[&'static str]) -> Result<Option<Self>> {
        let folder = fs::canonicalize(folder).map_err(|error| Error::file(folder, &error))?;
        let of = |folder: &Path| folder.join(MANIFEST).exists() || folder.join(LOCK).exists();
        // Above, what anybody could have put there (/tmp) is nobody's project; here it is refused.
        let above = folder.ancestors().skip(1).take_while(|f| tree::check_folder(f).is_ok());
        match std::iter::once(folder.as_path()).chain(above).find(|f| of(f)) {
            Some(root) => Self::open(root, reserved).map(Some),
            None => Ok(None),
        }
    }

    /// The project of a folder, which need not have a manifest yet.
    pub fn open(root: &Path, reserved: &[&'static str]) -> Result<Self> {
        // A manifest that anybody could have put there says nothing.
        tree::check_folder(root)?;
        let read = |name: &str| {
            let path = root.join(name);
            if !path.exists() {
                return Ok(None);
            }
            let bytes = tree::read_file(&path)?;
            String::from_utf8(bytes).map(Some).map_err(|_| Error::new(format!("{} is no text", path.display())))
        };
        let text = read(MANIFEST)?;
        let manifest = Manifest::parse(text.as_deref().unwrap_or_default(), MANIFEST)?;
        let lock = read(LOCK)?.map(|text| Lock::parse(&text, LOCK)).transpose()?.unwrap_or_default();
        let own = manifest.library.iter().map(|own| (MANIFEST, &own.name));
        let named = own.chain(manifest.dependencies.keys().map(|name| (MANIFEST, name)));
        for (file, name) in named.chain(lock.libraries.keys().map(|name| (LOCK, name))) {
            names::check_free(name, reserved)
                .map_err(|error| Error { what: format!("{file}: {}", error.what), ..error })?;
        }
        Ok(Self { root: root.to_owned(), manifest, lock, reserved: reserved.to_vec(), text })
    }

    /// The libraries that scripts of this project can import.
    pub fn libraries(&self) -> Libraries {
        Libraries::new(self)
    }

    /// Adds a repository, or another revision of one that is there. `here`: where relative paths begin.
    pub fn add(&mut self, url: &str, rev: Option<&str>, here: &Path, by: &Caller<'_>) -> Result<Vec<Change>> {
        check_url(url)?;
        rev.map_or(Ok(()), check_rev)?;
        let git = self.as_written(url, here)?;
        let found = git::fetch(&git, rev, &self.root, &self.scratch()?)?;
        let Some(info) = manifest_of("", url, &found.tree)?.library else {
            let what = format!("{url} is no library: its weftrace.toml has no [library]");
            return Err(Error::new(what).write("[library]\n          name = \"…\"\n          version = \"1.0.0\""));
        };
        if self.manifest.library.as_ref().is_some_and(|own| own.name == info.name) {
            return Err(Error::new(format!("{} is this library's own name", info.name)));
        }
        if let Some(other) = self.manifest.dependencies.get(&info.name).filter(|d| d.git != git) {
            let what = format!("there is a library {} already, from {}", info.name, other.git);
            return Err(Error::new(what)
                .note("imports name libraries, so each name is there once")
                .write(format!("weftrace lib remove {}", info.name)));
        }
        let dependency = Dependency { git, rev: rev.map(str::to_owned), version: None };
        let text = Manifest::with(self.text.as_deref().unwrap_or_default(), MANIFEST, &info.name, &dependency)?;
        let mut kept = self.lock.clone();
        kept.libraries.remove(&info.name);
        self.change(text, &kept, by)
    }

    /// A library that nothing else uses goes.
    pub fn remove(&mut self, name: &str, by: &Caller<'_>) -> Result<Vec<Change>> {
        if !self.manifest.dependencies.contains_key(name) {
            return Err(Error::new(format!("{MANIFEST} has no dependency {name}")));
        }
        let text = Manifest::without(self.text.as_deref().unwrap_or_default(), MANIFEST, name)?;
        self.change(text, &self.lock.clone(), by)
    }

    /// What tags, branches and the default branch are now; None: of all libraries.
    pub fn update(&mut self, names: &[String], by: &Caller<'_>) -> Result<Vec<Change>> {
        if let Some(unknown) =
            names.iter().find(|n| !self.lock.libraries.contains_key(*n) && !self.manifest.dependencies.contains_key(*n))
        {
            return Err(Error::new(format!("there is no library {unknown} here")));
        }
        let mut kept = self.lock.clone();
        kept.libraries.retain(|name, _| !names.is_empty() && !names.contains(name));
        self.change(self.text.clone().unwrap_or_default(), &kept, by)
    }

    /// Brings what is locked, and is not here or not whole. Those that came.
    pub fn fetch(&mut self, by: &Caller<'_>) -> Result<Vec<String>> {
        let missing: Vec<String> = self
            .libraries()
            .names()
            .filter(|n| self.libraries().get(n).is_some_and(|l| l.is_err()))
            .map(str::to_owned)
            .collect();
        if let Some(new) = self.manifest.dependencies.keys().find(|n| !self.lock.libraries.contains_key(*n)) {
            return Err(Error::new(format!("{new} is not locked")).write("weftrace lib update"));
        }
        if missing.is_empty() {
            return Ok(missing);
        }
        let resolved = self.resolved(&self.manifest.clone(), &self.lock.clone(), by)?;
        for name in &missing {
            if let Some(tree) = resolved.trees.get(name) {
                self.put(&self.place(name), tree)?;
            }
        }
        Ok(missing)
    }

    /// Copies libraries to `vendor/`, where they go into the repository with the scripts.
    pub fn vendor(&mut self, by: &Caller<'_>) -> Result<Vec<String>> {
        self.fetch(by)?;
        let names: Vec<String> = self.lock.libraries.keys().cloned().collect();
        for name in &names {
            let from = self.place(name);
            let to = self.root.join(VENDORED).join(name);
            if from != to {
                self.put(&to, &Tree::read(&from)?)?;
            }
        }
        Ok(names)
    }

    /// A relative path as the manifest has it: from the project's folder.
    fn as_written(&self, url: &str, here: &Path) -> Result<String> {
        if !is_path(url) {
            return Ok(url.to_owned());
        }
        let path = here.join(url);
        let path = fs::canonicalize(&path).map_err(|error| Error::file(&path, &error))?;
        let same = !Path::new(url).is_absolute() && fs::canonicalize(here).is_ok_and(|here| here == self.root);
        let written = if same { url.to_owned() } else { path.display().to_string() };
        check_url(&written).map(|()| written)
    }

    fn resolved(&self, manifest: &Manifest, kept: &Lock, by: &Caller<'_>) -> Result<Resolved> {
        let scratch = self.scratch()?;
        let setting =
            Setting { root: &self.root, scratch: &scratch, reserved: &self.reserved, weftrace: by.version, kept };
        resolve(manifest, &setting)
    }

    /// Resolves anew, and writes everything once that has worked.
    fn change(&mut self, text: String, kept: &Lock, by: &Caller<'_>) -> Result<Vec<Change>> {
        let manifest = Manifest::parse(&text, MANIFEST)?;
        let resolved = self.resolved(&manifest, kept, by)?;
        for path in &resolved.left_out {
            (by.tell)(&format!("{path} is a link or a submodule: it is left out"));
        }
        for (name, tree) in &resolved.trees {
            self.put(&self.root.join(FETCHED).join(name), tree)?;
            // A vendored one would win over it.
            let vendored = self.root.join(VENDORED).join(name);
            if vendored.exists() {
                self.put(&vendored, tree)?;
            }
        }
        let changes = changes(&self.lock, &resolved.lock);
        write(&self.root.join(MANIFEST), &text)?;
        write(&self.root.join(LOCK), &resolved.lock.text())?;
        (self.manifest, self.lock, self.text) = (manifest, resolved.lock, Some(text));
        Ok(changes)
    }

    /// Where a library is, or will be.
    fn place(&self, name: &str) -> PathBuf {
        let vendored = self.root.join(VENDORED).join(name);
        if vendored.exists() { vendored } else { self.root.join(FETCHED).join(name) }
    }

    /// Puts files where others were; at no time there is a part of them.
    fn put(&self, to: &Path, tree: &Tree) -> Result<()> {
        let (new, old) = (beside(to, "new"), beside(to, "old"));
        let _ = fs::remove_dir_all(&new);
        if let Some(folder) = to.parent() {
            tree::make(folder)?;
            tree::check_folder(folder)?;
        }
        self.ignore()?;
        tree.write(&new)?;
        let failed = |error: io::Error| Error::file(to, &error);
        if to.exists() {
            let _ = fs::remove_dir_all(&old);
            fs::rename(to, &old).map_err(failed)?;
        }
        fs::rename(&new, to).map_err(failed)?;
        let _ = fs::remove_dir_all(&old);
        Ok(())
    }

    /// What is fetched stays out of the repository.
    fn ignore(&self) -> Result<()> {
        let folder = self.root.join(".weftrace");
        if folder.is_dir() && !folder.join(".gitignore").exists() {
            write(&folder.join(".gitignore"), "*\n")?;
        }
        Ok(())
    }

    /// A folder for git, that isn't there.
    fn scratch(&self) -> Result<PathBuf> {
        let folder = self.root.join(".weftrace");
        tree::make(&folder)?;
        tree::check_folder(&folder)?;
        self.ignore()?;
        let scratch = folder.join(format!("git.{}", std::process::id()));
        let _ = fs::remove_dir_all(&scratch);
        Ok(scratch)
    }
}

/// Who calls.
pub struct Caller<'a> {
    /// weftrace's version.
    pub version: &'a str,
    /// Takes what is worth a warning.
    pub tell: &'a dyn Fn(&str),
}

fn changes(before: &Lock, after: &Lock) -> Vec<Change> {
    let known = |lock: &Lock, name: &str| lock.libraries.get(name).map(|l| (l.commit.clone(), l.version.clone()));
    let mut names: Vec<&String> = before.libraries.keys().chain(after.libraries.keys()).collect();
    names.sort();
    names.dedup();
    names
        .into_iter()
        .map(|name| Change { name: name.clone(), before: known(before, name), after: known(after, name) })
        .filter(|change| change.before != change.after)
        .collect()
}

/// Writes a file as a whole.
fn write(path: &Path, text: &str) -> Result<()> {
    let new = beside(path, "new");
    let written = fs::write(&new, text).and_then(|()| fs::rename(&new, path));
    written.map_err(|error| Error::file(path, &error))
}

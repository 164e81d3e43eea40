//! A folder with a `weftrace.toml`, and what is done to its libraries.

use crate::{
    Dependency, Error, Lock, Locked, Manifest, Result, Tree,
    git::{self, Fetched},
    load::{Libraries, whole},
    names::{self, check_rev, check_url, compatible, is_path},
    resolve::{Resolved, Setting, as_locked, check_least, manifest_of, resolve},
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
        // Whatever is wrong with it, it can be made anew.
        let spoilt = |error: Error| {
            let write = format!("rm {}; weftrace lib update", root.join(LOCK).display());
            error.note("libraries are then what their tags and branches are now").write(write)
        };
        let lock = read(LOCK).and_then(|text| text.map(|text| Lock::parse(&text, LOCK)).transpose());
        let lock = lock.map_err(spoilt)?.unwrap_or_default();
        let own = manifest.library.iter().map(|own| (MANIFEST, &own.name));
        let named = own.chain(manifest.dependencies.keys().map(|name| (MANIFEST, name)));
        for (file, name) in named.chain(lock.libraries.keys().map(|name| (LOCK, name))) {
            let told = |error: Error| Error { what: format!("{file}: {}", error.what), ..error };
            names::check_free(name, reserved)
                .map_err(|error| if file == LOCK { spoilt(told(error)) } else { told(error) })?;
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
        let found = git::fetch(&git, rev, &self.root, &self.scratch()?.path)?;
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
        self.change(text, &kept, Some((info.name, found)), by)
    }

    /// A library that nothing else uses goes.
    pub fn remove(&mut self, name: &str, by: &Caller<'_>) -> Result<Vec<Change>> {
        if !self.manifest.dependencies.contains_key(name) {
            return Err(Error::new(format!("{MANIFEST} has no dependency {name}")));
        }
        let text = Manifest::without(self.text.as_deref().unwrap_or_default(), MANIFEST, name)?;
        self.change(text, &self.lock.clone(), None, by)
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
        self.change(self.text.clone().unwrap_or_default(), &kept, None, by)
    }

    /// Brings what is locked, and is not here or not whole: those commits with those files. Those that came.
    pub fn fetch(&mut self, by: &Caller<'_>) -> Result<Vec<String>> {
        for (name, dependency) in &self.manifest.dependencies {
            check_locked(name, dependency, self.lock.libraries.get(name))?;
        }
        let missing = |(name, locked): &(&String, &Locked)| whole(&self.root, name, locked).is_err();
        let missing: Vec<(&String, &Locked)> = self.lock.libraries.iter().filter(missing).collect();
        for (name, locked) in &missing {
            let fetched = as_locked(name, locked, &self.root, &self.scratch()?.path)?;
            if let Some(info) = manifest_of(name, &locked.git, &fetched.tree)?.library {
                check_least(&info, by.version)?;
            }
            self.put(&self.place(name), &fetched.tree)?;
        }
        Ok(missing.into_iter().map(|(name, _)| name.clone()).collect())
    }

    /// Copies libraries to `vendor/`, where they go into the repository with the scripts.
    pub fn vendor(&mut self, by: &Caller<'_>) -> Result<Vec<String>> {
        self.fetch(by)?;
        for (name, locked) in &self.lock.libraries {
            let from = self.place(name);
            let to = self.root.join(VENDORED).join(name);
            if from != to {
                self.put(&to, &whole(&self.root, name, locked)?)?;
            }
        }
        Ok(self.lock.libraries.keys().cloned().collect())
    }

    /// A relative path as the manifest has it: from the project's folder.
    fn as_written(&self, url: &str, here: &Path) -> Result<String> {
        if !is_path(url) {
            return Ok(url.to_owned());
        }
        let resolved = |path: &Path| fs::canonicalize(path).map_err(|error| Error::file(path, &error));
        let (path, here, root) = (resolved(&here.join(url))?, resolved(here)?, resolved(&self.root)?);
        let written = match Path::new(url).is_absolute() {
            true => path.display().to_string(),
            false if here == root => url.to_owned(),
            false => names::relative(&root, &path),
        };
        check_url(&written).map(|()| written)
    }

    /// Resolves anew, and writes everything once that has worked. `fresh`: see [`resolve`].
    fn change(
        &mut self,
        text: String,
        kept: &Lock,
        fresh: Option<(String, Fetched)>,
        by: &Caller<'_>,
    ) -> Result<Vec<Change>> {
        let manifest = Manifest::parse(&text, MANIFEST)?;
        let resolved = self.resolved(&manifest, kept, fresh, by)?;
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
        for (name, locked) in
            self.lock.libraries.iter().filter(|(name, _)| !resolved.lock.libraries.contains_key(*name))
        {
            self.take_away(name, locked, by);
        }
        tidy(&self.root);
        (self.manifest, self.lock, self.text) = (manifest, resolved.lock, Some(text));
        Ok(changes)
    }

    fn resolved(
        &self,
        manifest: &Manifest,
        kept: &Lock,
        fresh: Option<(String, Fetched)>,
        by: &Caller<'_>,
    ) -> Result<Resolved> {
        let scratch = self.scratch()?;
        let (root, scratch) = (&self.root, &scratch.path);
        let setting = Setting { root, scratch, reserved: &self.reserved, weftrace: by.version, kept };
        resolve(manifest, &setting, fresh)
    }

    /// The files of a library that is locked no more. What somebody made of a vendored one is theirs.
    fn take_away(&self, name: &str, locked: &Locked, by: &Caller<'_>) {
        let _ = fs::remove_dir_all(self.root.join(FETCHED).join(name));
        let vendored = self.root.join(VENDORED).join(name);
        if Tree::read(&vendored).is_ok_and(|tree| tree.digest() == locked.digest) {
            let _ = fs::remove_dir_all(&vendored);
        } else if vendored.exists() {
            (by.tell)(&format!("{} has other files than were locked: it is left there", vendored.display()));
        }
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
    fn scratch(&self) -> Result<Scratch> {
        let folder = self.root.join(".weftrace");
        tree::make(&folder)?;
        let scratch = Scratch { path: folder.join(format!("git.{}", std::process::id())), root: self.root.clone() };
        tree::check_folder(&folder)?;
        self.ignore()?;
        let _ = fs::remove_dir_all(&scratch.path);
        Ok(scratch)
    }
}

/// Gone at the end, with the folders that were made for it alone.
struct Scratch {
    path: PathBuf,
    root: PathBuf,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
        tidy(&self.root);
    }
}

/// Takes away folders of libraries that have none.
fn tidy(root: &Path) {
    for folder in [VENDORED, FETCHED] {
        // Fails where something is in it.
        let _ = fs::remove_dir(root.join(folder));
    }
    let folder = root.join(".weftrace");
    let ours = |entry: io::Result<fs::DirEntry>| entry.is_ok_and(|e| e.file_name() == ".gitignore");
    if fs::read_dir(&folder).is_ok_and(|mut entries| entries.all(ours)) {
        let _ = fs::remove_file(folder.join(".gitignore"));
        let _ = fs::remove_dir(folder);
    }
}

/// Refuses a lock that has something else than the project asks for: which of them is meant, only the user knows.
fn check_locked(name: &str, dependency: &Dependency, locked: Option<&Locked>) -> Result<()> {
    let update = |what: String| Err(Error::new(what).write(format!("weftrace lib update {name}")));
    let Some(locked) = locked else { return update(format!("{name} is not locked")) };
    let shown = |git: &str, rev: Option<&str>| format!("{git}{}", rev.map(|r| format!("@{r}")).unwrap_or_default());
    let asked = shown(&dependency.git, dependency.rev.as_deref());
    let has = shown(&locked.git, locked.rev.as_deref());
    if asked != has {
        return update(format!("{MANIFEST} asks for {name} from {asked}, and {LOCK} has it from {has}"));
    }
    match dependency.version.as_ref().filter(|wanted| !compatible(&locked.version, wanted)) {
        Some(wanted) => update(format!("{MANIFEST} asks for {name} {wanted}, and {LOCK} has {}", locked.version)),
        None => Ok(()),
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

//! From what a project wants to one commit for each library, those that libraries want themselves among them.

use crate::{
    Dependency, Error, Lock, Locked, Manifest, Result, Tree,
    git::{self, Fetched},
    load::whole,
    manifest::LibraryInfo,
    names::{at_least, check_free, compatible, is_local, is_path},
};
use std::{
    collections::{BTreeMap, VecDeque},
    path::Path,
};

/// Libraries of one project, all together.
const MOST: usize = 64;

/// Who asks for what.
struct Wish {
    name: String,
    dependency: Dependency,
    /// The library that wants it; None: the project.
    by: Option<String>,
}

/// What was found.
pub(crate) struct Resolved {
    pub(crate) lock: Lock,
    /// The files of libraries that are not here as they are locked.
    pub(crate) trees: BTreeMap<String, Tree>,
    /// Files that were left out: links, submodules.
    pub(crate) left_out: Vec<String>,
}

/// What decides a resolution besides the manifest.
pub(crate) struct Setting<'a> {
    /// The project's folder.
    pub(crate) root: &'a Path,
    pub(crate) scratch: &'a Path,
    /// Names that libraries may not have.
    pub(crate) reserved: &'a [&'a str],
    /// This program's version.
    pub(crate) weftrace: &'a str,
    /// What stays as it is locked.
    pub(crate) kept: &'a Lock,
}

/// `fresh`: a library of the project that was fetched already, by its name.
pub(crate) fn resolve(
    manifest: &Manifest,
    setting: &Setting<'_>,
    mut fresh: Option<(String, Fetched)>,
) -> Result<Resolved> {
    let mut wishes: VecDeque<Wish> = VecDeque::new();
    for (name, dependency) in &manifest.dependencies {
        wishes.push_back(Wish { name: name.clone(), dependency: dependency.clone(), by: None });
    }
    let mut found = Resolved { lock: Lock::default(), trees: BTreeMap::new(), left_out: Vec::new() };
    let mut asked: BTreeMap<String, Wish> = BTreeMap::new();
    while let Some(wish) = wishes.pop_front() {
        if let Some(first) = asked.get(&wish.name) {
            agree(first, &wish, &found.lock)?;
            continue;
        }
        if asked.len() >= MOST {
            return Err(Error::new(format!("more than {MOST} libraries")));
        }
        let fresh = fresh.take_if(|(name, _)| *name == wish.name && wish.by.is_none());
        let (fetched, came) = files(&wish, setting, fresh.map(|(_, fetched)| fetched))?;
        let (locked, its) = one(&wish, setting, &fetched)?;
        for (name, dependency) in its.dependencies {
            local_only_by_local(&wish, &name, &dependency)?;
            wishes.push_back(Wish { name, dependency, by: Some(wish.name.clone()) });
        }
        found.left_out.extend(fetched.left_out.into_iter().map(|path| format!("{}/{path}", wish.name)));
        if came {
            found.trees.insert(wish.name.clone(), fetched.tree);
        }
        found.lock.libraries.insert(wish.name.clone(), locked);
        asked.insert(wish.name.clone(), wish);
    }
    circles(&found.lock)?;
    Ok(found)
}

/// The files of one library; false: they are here already.
fn files(wish: &Wish, setting: &Setting<'_>, fresh: Option<Fetched>) -> Result<(Fetched, bool)> {
    let (name, dependency) = (&wish.name, &wish.dependency);
    check_free(name, setting.reserved)?;
    // What is locked stays the same commit, also where a branch went on.
    let kept = setting.kept.libraries.get(name).filter(|k| k.git == dependency.git && k.rev == dependency.rev);
    match (kept, fresh) {
        (_, Some(fresh)) => Ok((fresh, true)),
        (None, None) => {
            let rev = dependency.rev.as_deref();
            git::fetch(&dependency.git, rev, setting.root, setting.scratch).map(|fetched| (fetched, true))
        }
        (Some(kept), None) => match whole(setting.root, name, kept) {
            Ok(tree) => Ok((Fetched { commit: kept.commit.clone(), tree, left_out: Vec::new() }, false)),
            Err(_) => as_locked(name, kept, setting.root, setting.scratch).map(|fetched| (fetched, true)),
        },
    }
}

/// What is locked, from its repository: that commit with those files, or nothing.
pub(crate) fn as_locked(name: &str, locked: &Locked, root: &Path, scratch: &Path) -> Result<Fetched> {
    let fetched = git::fetch(&locked.git, Some(&locked.commit), root, scratch)?;
    if fetched.tree.digest() == locked.digest {
        return Ok(fetched);
    }
    let what = format!("{name}: commit {} has other files than were locked", locked.commit);
    Err(Error::new(what)
        .note("the repository was changed under its name, or weftrace.lock was")
        .write(format!("weftrace lib update {name}, if what it has now is to be trusted")))
}

/// Looks whether a library is what was asked for.
fn one(wish: &Wish, setting: &Setting<'_>, fetched: &Fetched) -> Result<(Locked, Manifest)> {
    let (name, dependency) = (&wish.name, &wish.dependency);
    let manifest = manifest_of(name, &dependency.git, &fetched.tree)?;
    let Some(info) = &manifest.library else {
        return Err(Error::new(format!("{} is no library: its weftrace.toml has no [library]", dependency.git)));
    };
    if info.name != *name {
        return Err(Error::new(format!("{} is called {}, not {name}", dependency.git, info.name)));
    }
    check_least(info, setting.weftrace)?;
    if let Some(wanted) = dependency.version.as_ref().filter(|wanted| !compatible(&info.version, wanted)) {
        let by = wish.by.as_deref().unwrap_or("weftrace.toml");
        return Err(Error::new(format!("{name} is version {}, and {by} wants {wanted}", info.version)));
    }
    let locked = Locked {
        git: dependency.git.clone(),
        rev: dependency.rev.clone(),
        version: info.version.clone(),
        commit: fetched.commit.clone(),
        digest: fetched.tree.digest(),
        uses: manifest.dependencies.keys().cloned().collect(),
    };
    Ok((locked, manifest))
}

/// Refuses a library that this version of weftrace is too old for.
pub(crate) fn check_least(info: &LibraryInfo, weftrace: &str) -> Result<()> {
    match info.weftrace.as_ref().filter(|least| !at_least(weftrace, least)) {
        Some(least) => Err(Error::new(format!("{} needs weftrace {least}, and this is {weftrace}", info.name))),
        None => Ok(()),
    }
}

pub(crate) fn manifest_of(name: &str, url: &str, tree: &Tree) -> Result<Manifest> {
    let Some(text) = tree.files.get(crate::MANIFEST) else {
        let what = format!("{url} is no library: it has no weftrace.toml");
        return Err(Error::new(what).note("a library's has [library] with its name and version"));
    };
    let text = std::str::from_utf8(text).map_err(|_| Error::new(format!("{url}: weftrace.toml is no text")))?;
    let file = if name.is_empty() { format!("{url}: weftrace.toml") } else { format!("{name}/weftrace.toml") };
    Manifest::parse(text, &file)
}

/// A library of the project's choice is everybody's; two libraries have to agree.
fn agree(first: &Wish, wish: &Wish, lock: &Lock) -> Result<()> {
    let version = lock.libraries.get(&wish.name).map_or("", |l| l.version.as_str());
    if let Some(wanted) = wish.dependency.version.as_ref().filter(|wanted| !compatible(version, wanted)) {
        let by = wish.by.as_deref().unwrap_or("weftrace.toml");
        return Err(Error::new(format!("{} is version {version}, and {by} wants {wanted}", wish.name)));
    }
    let same = first.dependency.git == wish.dependency.git && first.dependency.rev == wish.dependency.rev;
    if same || first.by.is_none() {
        return Ok(());
    }
    let shown = |wish: &Wish| {
        let rev = wish.dependency.rev.as_deref().map(|rev| format!("@{rev}")).unwrap_or_default();
        format!("{} wants {}{rev}", wish.by.as_deref().unwrap_or("weftrace.toml"), wish.dependency.git)
    };
    let what = format!("two libraries {}: {}, {}", wish.name, shown(first), shown(wish));
    Err(Error::new(what)
        .write(format!("{} = {{ git = \"…\", rev = \"…\" }} under [dependencies], which decides", wish.name)))
}

/// What comes from elsewhere has no say about files of this machine.
fn local_only_by_local(wish: &Wish, name: &str, dependency: &Dependency) -> Result<()> {
    let (by, git) = (&wish.name, &dependency.git);
    if is_path(git) && !git.starts_with('/') {
        return Err(Error::new(format!(
            "{by} wants {name} from {git}: a library names others by URLs, not by relative paths"
        )));
    }
    if is_local(git) && !is_local(&wish.dependency.git) {
        return Err(Error::new(format!("{by} is from elsewhere and wants {name} from this machine ({git})")));
    }
    Ok(())
}

/// Refuses libraries that use each other in a circle.
fn circles(lock: &Lock) -> Result<()> {
    fn visit<'a>(name: &'a str, lock: &'a Lock, way: &mut Vec<&'a str>, done: &mut Vec<&'a str>) -> Result<()> {
        if let Some(at) = way.iter().position(|n| *n == name) {
            let circle: Vec<&str> = way[at..].iter().copied().chain([name]).collect();
            return Err(Error::new(format!("libraries use each other in a circle: {}", circle.join(" → "))));
        }
        if done.contains(&name) {
            return Ok(());
        }
        way.push(name);
        for next in lock.libraries.get(name).into_iter().flat_map(|l| &l.uses) {
            visit(next, lock, way, done)?;
        }
        way.pop();
        done.push(name);
        Ok(())
    }
    let (mut way, mut done) = (Vec::new(), Vec::new());
    lock.libraries.keys().try_for_each(|name| visit(name, lock, &mut way, &mut done))
}

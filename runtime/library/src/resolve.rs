//! From what a project wants to one commit for each library, those that libraries want themselves among them.

use crate::{
    Dependency, Error, Lock, Locked, Manifest, Result, Tree,
    git::{self, Fetched},
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
    /// The files of all libraries that were fetched.
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

pub(crate) fn resolve(manifest: &Manifest, setting: &Setting<'_>) -> Result<Resolved> {
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
        let (locked, its, fetched) = one(&wish, setting)?;
        for (name, dependency) in its.dependencies {
            local_only_by_local(&wish, &name, &dependency)?;
            wishes.push_back(Wish { name, dependency, by: Some(wish.name.clone()) });
        }
        found.left_out.extend(fetched.left_out.into_iter().map(|path| format!("{}/{path}", wish.name)));
        found.trees.insert(wish.name.clone(), fetched.tree);
        found.lock.libraries.insert(wish.name.clone(), locked);
        asked.insert(wish.name.clone(), wish);
    }
    circles(&found.lock)?;
    Ok(found)
}

/// Fetches one library and looks whether it is what was asked for.
fn one(wish: &Wish, setting: &Setting<'_>) -> Result<(Locked, Manifest, Fetched)> {
    let (name, dependency) = (&wish.name, &wish.dependency);
    check_free(name, setting.reserved)?;
    // What is locked stays the same commit, also where a branch went on.
    let kept = setting.kept.libraries.get(name).filter(|k| k.git == dependency.git && k.rev == dependency.rev);
    let rev = kept.map(|k| k.commit.as_str()).or(dependency.rev.as_deref());
    let fetched = git::fetch(&dependency.git, rev, setting.root, setting.scratch)?;
    let digest = fetched.tree.digest();
    if let Some(kept) = kept.filter(|k| k.digest != digest) {
        let what = format!("{name}: commit {} has other files than were locked", kept.commit);
        return Err(Error::new(what).note("the repository was changed under its name, or weftrace.lock was"));
    }
    let manifest = manifest_of(name, &dependency.git, &fetched.tree)?;
    let Some(info) = &manifest.library else {
        return Err(Error::new(format!("{} is no library: its weftrace.toml has no [library]", dependency.git)));
    };
    if info.name != *name {
        return Err(Error::new(format!("{} is called {}, not {name}", dependency.git, info.name)));
    }
    if let Some(least) = info.weftrace.as_ref().filter(|least| !at_least(setting.weftrace, least)) {
        return Err(Error::new(format!("{name} needs weftrace {least}, and this is {}", setting.weftrace)));
    }
    if let Some(wanted) = dependency.version.as_ref().filter(|wanted| !compatible(&info.version, wanted)) {
        let by = wish.by.as_deref().unwrap_or("weftrace.toml");
        return Err(Error::new(format!("{name} is version {}, and {by} wants {wanted}", info.version)));
    }
    let locked = Locked {
        git: dependency.git.clone(),
        rev: dependency.rev.clone(),
        version: info.version.clone(),
        commit: fetched.commit.clone(),
        digest,
        uses: manifest.dependencies.keys().cloned().collect(),
    };
    Ok((locked, manifest, fetched))
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

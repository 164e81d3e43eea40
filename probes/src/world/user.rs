//! Answers about programs and libraries.

use crate::symbols::demangle_all;
use crate::symbols::elf::{self, ElfError};
use crate::symbols::find::{self, Binary, FindError};
use crate::symbols::glob::Glob;
use crate::symbols::instructions;
use crate::symbols::stapsdt;
use crate::symbols::wanted::Wanted;
use std::borrow::Cow;
use std::collections::HashSet;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use weftrace_lang::world::{Answer, UsdtProbe, UserAddress, UserPlace, UserSymbol};

/// Where files are looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Files<'a> {
    pub(super) pid: Option<u32>,
    /// PATH
    pub(super) search: &'a str,
}

impl Files<'_> {
    /// Whether there is such a file; one that may not be read is there too.
    pub(super) fn exists(self, binary: &str) -> bool {
        !matches!(find::find(binary, self.pid, self.search), Err(FindError::NotFound(_) | FindError::NoProcess(_)))
    }

    /// All functions whose names match; by file, then address.
    pub(super) fn functions(self, binary: &str, glob: &str) -> Answer<Vec<UserSymbol>> {
        let wanted = Wanted::new(glob);
        self.collect(binary, |file| {
            let found = elf::functions(&file.path, &file.root, &wanted)?;
            Ok(found.into_iter().map(|f| user_symbol(file, f)).collect())
        })
    }

    /// All markers whose names match; an empty namespace is any.
    pub(super) fn markers(self, binary: &str, namespace: &str, name: &str) -> Answer<Vec<UsdtProbe>> {
        let namespace = Glob::new(if namespace.is_empty() { "*" } else { namespace });
        let name = Glob::new(name);
        self.collect(binary, |file| stapsdt::probes(file, &namespace, &name))
    }

    /// A function or variable.
    pub(super) fn symbol(self, binary: &str, name: &str) -> Answer<UserSymbol> {
        first(self.collect(binary, |file| {
            let found = elf::symbol(&file.path, &file.root, name)?;
            Ok(found.into_iter().map(|(address, size)| named(file, name, address, size)).collect())
        }))
    }

    /// What is at an address.
    pub(super) fn place(self, binary: &str, address: u64) -> Answer<UserPlace> {
        first(self.collect(binary, |file| place(file, address).map(|p| p.into_iter().collect())))
    }

    /// What files have, all together. A file that can't be read counts only if no other has anything.
    fn collect<T>(self, binary: &str, read: impl Fn(&Binary) -> Result<Vec<T>, ElfError>) -> Answer<Vec<T>> {
        let files = match find::find(binary, self.pid, self.search) {
            Ok(files) => files,
            Err(e @ FindError::NotPermitted(_)) => return Answer::NotPermitted(e.to_string()),
            Err(FindError::NotFound(_) | FindError::NoProcess(_)) => return Answer::NotThere,
        };
        let (mut out, mut failed) = (Vec::new(), None);
        for file in &files {
            match read(file) {
                Ok(found) => out.extend(found),
                // Scripts and data among what a pattern matches.
                Err(ElfError::NotElf { .. }) if files.len() > 1 => {}
                Err(e) => failed = failed.or(Some(e)),
            }
        }
        match (out.is_empty(), failed) {
            (false, _) => Answer::Found(out),
            (true, None) => Answer::NotThere,
            (true, Some(ElfError::Io { path, source })) if source.kind() == ErrorKind::PermissionDenied => {
                Answer::NotPermitted(FindError::NotPermitted(path).to_string())
            }
            (true, Some(e)) => Answer::CouldNotTell(e.to_string()),
        }
    }
}

/// The first of several.
pub(super) fn first<T>(all: Answer<Vec<T>>) -> Answer<T> {
    match all {
        Answer::Found(found) => found.into_iter().next().map_or(Answer::NotThere, Answer::Found),
        Answer::NotThere => Answer::NotThere,
        Answer::NotPermitted(why) => Answer::NotPermitted(why),
        Answer::CouldNotTell(why) => Answer::CouldNotTell(why),
    }
}

/// The address of a place in a file's code.
pub(super) fn address(path: &str, file_offset: u64) -> Answer<UserAddress> {
    match elf::layout(Path::new(path)) {
        Ok(layout) => layout
            .to_address(file_offset)
            .map_or(Answer::NotThere, |address| Answer::Found(UserAddress { address, fixed: layout.fixed })),
        Err(e) => Answer::CouldNotTell(e.to_string()),
    }
}

/// Whether an instruction begins at an offset, in the function that begins at `start`.
pub(super) fn instruction(path: &str, start: u64, file_offset: u64) -> Answer<bool> {
    match instructions::begins_at(Path::new(path), start, file_offset) {
        Ok(Some(begins)) => Answer::Found(begins),
        Ok(None) => Answer::CouldNotTell(format!("{path} has more than code there")),
        Err(e) => Answer::CouldNotTell(e.to_string()),
    }
}

fn named(file: &Binary, name: &str, address: u64, size: u64) -> UserSymbol {
    UserSymbol {
        path: file.path_to_probe().display().to_string(),
        shown: file.shown.clone(),
        name: name.to_owned(),
        address,
        size,
        ..UserSymbol::default()
    }
}

fn user_symbol(file: &Binary, f: elf::Function) -> UserSymbol {
    let (rust, chooser) = (f.rust, f.chooser);
    let written = match demangle_all(&f.name) {
        Cow::Owned(written) if f.demangled.is_none() => Some(written),
        _ => None,
    };
    UserSymbol {
        written,
        file_offset: f.file_offset,
        demangled: f.demangled,
        rust,
        chooser,
        ..named(file, &f.name, f.address, f.size)
    }
}

fn place(file: &Binary, address: u64) -> Result<Option<UserPlace>, ElfError> {
    let at = |file_offset, flat, function| UserPlace {
        path: file.path_to_probe().display().to_string(),
        shown: file.shown.clone(),
        file_offset,
        flat,
        function,
    };
    let (layout, table) = match elf::table(&file.path, &file.root) {
        Ok(read) => read,
        Err(ElfError::NotElf { .. }) => return Ok(Some(at(address, true, None))),
        Err(e) => return Err(e),
    };
    let Some(offset) = layout.to_offset(address) else { return Ok(None) };
    let after = table.partition_point(|(start, ..)| *start <= address);
    let function = after.checked_sub(1).and_then(|i| table.get(i)).filter(|(start, size, _)| address - start < *size);
    let function = function.and_then(|(start, size, name)| {
        let file_offset = layout.to_offset(*start)?;
        Some(UserSymbol { file_offset, ..named(file, name, *start, *size) })
    });
    Ok(Some(at(offset, false, function)))
}

/// What a file is known by, whatever its path. Containers of one image have one file, which each shows as another device's.
pub(super) fn identity(path: &Path) -> Option<(u64, u64, i64, i64)> {
    path.metadata().ok().map(|m| (m.ino(), m.size(), m.mtime(), m.mtime_nsec()))
}

impl Files<'_> {
    /// Programs that run and have a function themselves, and libraries of that name which they have mapped, but for those that these names mean: paths to probe. Of what may
    /// not be looked at nothing is known.
    pub(super) fn running_with(self, library: &str, function: &str, known: &[&str]) -> Answer<Vec<String>> {
        // Of one that was replaced its file has no name any more.
        let named =
            |b: &Binary| Path::new(&b.shown).file_name().is_some_and(|n| n.to_string_lossy().starts_with(library));
        let mapped = find::find("*", self.pid, "").unwrap_or_default().into_iter().filter(named);
        let has = |b: &Binary| matches!(elf::symbol(&b.path, &b.root, function), Ok(Some(_)));
        let known = known.iter().flat_map(|name| find::find(name, self.pid, self.search).unwrap_or_default());
        let mut seen: HashSet<_> = known.filter_map(|b| identity(&b.path)).collect();
        let mut new = |b: &Binary| identity(&b.path).is_some_and(|file| seen.insert(file));
        let mut all: Vec<Binary> = find::programs(self.pid).into_iter().chain(mapped).filter(has).collect();
        // What we have a name for doesn't go with a process.
        all.sort_by_key(|file| file.path_to_probe().starts_with("/proc"));
        let all = all.into_iter().filter(|b| new(b));
        Answer::Found(all.map(|b| b.path_to_probe().display().to_string()).collect())
    }
}

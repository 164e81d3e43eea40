//! Answers about Go programs.

use super::user::identity;
use crate::symbols::Binary;
use crate::symbols::elf;
use crate::symbols::find;
use crate::symbols::golang::{GoFile, version};
use crate::symbols::wanted::Wanted;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::rc::Rc;
use weftrace_lang::world::{Answer, GoFunction};

/// The files that were asked about, by path; None: not made by Go.
#[derive(Debug, Default)]
pub(super) struct GoFiles {
    open: RefCell<HashMap<String, Option<Rc<GoFile>>>>,
}

impl GoFiles {
    fn file(&self, path: &str) -> Option<Rc<GoFile>> {
        if let Some(known) = self.open.borrow().get(path) {
            return known.clone();
        }
        // What can't be read is reported where its functions are looked for.
        let opened = GoFile::open(Path::new(path)).ok().flatten().map(Rc::new);
        self.open.borrow_mut().insert(path.to_owned(), opened.clone());
        opened
    }

    /// `symbol`: the function's name in the symbol table.
    pub(super) fn function(&self, path: &str, file_offset: u64, symbol: &str) -> Answer<GoFunction> {
        let Some(file) = self.file(path) else { return Answer::NotThere };
        let Some(address) = file.layout().to_address(file_offset) else { return Answer::NotThere };
        match file.function(address, symbol) {
            Ok(found) => found.map_or(Answer::NotThere, Answer::Found),
            Err(why) => Answer::CouldNotTell(why),
        }
    }

    /// From where a process's first code begins to the program's types.
    pub(super) fn types(&self, path: &str) -> Answer<i64> {
        let Some(file) = self.file(path).filter(|f| f.version().is_some_and(version::names_have_varints)) else {
            return Answer::NotThere;
        };
        let types = elf::symbol(Path::new(path), Path::new(""), "runtime.types").ok().flatten();
        let code = file.layout().segments.iter().filter(|s| s.executable).map(|s| s.address).min();
        match (types, code) {
            (Some((types, _)), Some(code)) => Answer::Found(types.wrapping_sub(code) as i64),
            _ => Answer::NotThere,
        }
    }
}

/// Go programs that run now and have a function, but for the files that are known, by whatever path: paths to probe. Of what may not be looked at nothing is known.
pub(super) fn running(pid: Option<u32>, function: &str, known: &[&str]) -> Answer<Vec<String>> {
    let wanted = Wanted::new(function);
    let has = |path: &Path, root: &Path| {
        // Most programs are none of Go's, which their headers say.
        matches!(elf::go_parts(path), Ok(Some(_))) && elf::functions(path, root, &wanted).is_ok_and(|f| !f.is_empty())
    };
    // One that runs in another mount namespace is found by another path.
    let mut seen: HashSet<_> = known.iter().filter_map(|path| identity(Path::new(path))).collect();
    let mut new = |b: &Binary| identity(&b.path).is_some_and(|file| seen.insert(file));
    let programs = find::programs(pid).into_iter().filter(|b| has(&b.path, &b.root) && new(b));
    Answer::Found(programs.map(|b| b.path_to_probe().display().to_string()).collect())
}

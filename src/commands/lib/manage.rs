//! `weftrace lib add`, `update`, `remove`, `fetch`, `vendor`: the libraries of the project here.

use crate::{exit::ExitStatus, libraries, printer};
use std::path::Path;
use weftrace_library::{Caller, Change, Error, Project, Result, split_rev};
use weftrace_runtime::join::show::escaped;

pub(super) fn add(url: &str, rev: Option<&str>) -> ExitStatus {
    let here = Path::new(".");
    let (url, rev) = match (split_rev(url, here), rev) {
        ((_, Some(_)), Some(_)) => return told(Err(usage("the revision is given twice: after @ and by --rev"))),
        ((url, at), rev) => (url, at.or(rev)),
    };
    told(project(true).and_then(|mut p| p.add(url, rev, here, &caller())).map(|c| changed(&c)))
}

/// What changes the libraries of the project here.
pub(super) fn change(how: impl FnOnce(&mut Project, &Caller<'_>) -> Result<Vec<Change>>) -> ExitStatus {
    told(project(false).and_then(|mut p| how(&mut p, &caller())).map(|c| changed(&c)))
}

/// What copies libraries as they are locked, and gives their names; `what` is said of them.
pub(super) fn copy(what: &str, how: impl FnOnce(&mut Project, &Caller<'_>) -> Result<Vec<String>>) -> ExitStatus {
    told(project(false).and_then(|mut p| how(&mut p, &caller())).map(|names| named(what, &names)))
}

fn caller() -> Caller<'static> {
    Caller {
        version: env!("CARGO_PKG_VERSION"),
        tell: &|text| printer::err_line(&format!("warning: {}", escaped(text))),
    }
}

fn told(done: Result<String>) -> ExitStatus {
    match done {
        Ok(text) => {
            printer::out(&text);
            ExitStatus::Ok
        }
        Err(error) => {
            printer::err_line(&format!("error: {}", libraries::told(&error)));
            ExitStatus::Script
        }
    }
}

/// The project of this folder or above it; `new`: there need not be one.
fn project(new: bool) -> Result<Project> {
    let here = Path::new(".");
    let reserved = libraries::reserved();
    match Project::find(here, &reserved)? {
        Some(project) => Ok(project),
        None if new => {
            let here = std::fs::canonicalize(here).map_err(|error| usage(&format!("this folder: {error}")))?;
            Project::open(&here, &reserved)
        }
        None => Err(Error {
            write: Some("weftrace lib add URL[@REV]".into()),
            ..usage("there is no weftrace.toml here or above")
        }),
    }
}

fn usage(what: &str) -> Error {
    Error { what: what.to_owned(), note: None, write: None }
}

fn changed(changes: &[Change]) -> String {
    if changes.is_empty() {
        return "nothing changed\n".into();
    }
    let shown = |(commit, version): &(String, String)| format!("{version} ({})", commit.get(..8).unwrap_or(commit));
    let line = |c: &Change| match (&c.before, &c.after) {
        (None, Some(after)) => format!("added    {} {}\n", c.name, shown(after)),
        (Some(before), Some(after)) => format!("updated  {} {} → {}\n", c.name, shown(before), shown(after)),
        (_, None) => format!("removed  {}\n", c.name),
    };
    changes.iter().map(line).collect()
}

fn named(what: &str, names: &[String]) -> String {
    if names.is_empty() { "all libraries are here\n".into() } else { format!("{what} {}\n", names.join(", ")) }
}

//! `weftrace lib add`, `update`, `remove`, `fetch`, `vendor`: the libraries of the project here.

use crate::{args::LibCommand, exit::ExitStatus, libraries, printer};
use std::path::Path;
use weftrace_library::{Caller, Change, Error, Project, Result, split_rev};
use weftrace_runtime::join::show::escaped;

/// None: the command is none of these.
pub(super) fn run(command: &LibCommand) -> Option<ExitStatus> {
    let tell = |text: &str| printer::err_line(&format!("warning: {}", escaped(text)));
    let by = Caller { version: env!("CARGO_PKG_VERSION"), tell: &tell };
    let done = match command {
        LibCommand::Add(add) => {
            let (url, at) = split_rev(&add.url);
            match (at, add.rev.as_deref()) {
                (Some(_), Some(_)) => Err(usage("the revision is given twice: after @ and by --rev")),
                (at, rev) => {
                    project(true).and_then(|mut p| p.add(url, at.or(rev), Path::new("."), &by)).map(|c| changed(&c))
                }
            }
        }
        LibCommand::Update(update) => {
            project(false).and_then(|mut p| p.update(&update.names, &by)).map(|c| changed(&c))
        }
        LibCommand::Remove(remove) => project(false).and_then(|mut p| p.remove(&remove.name, &by)).map(|c| changed(&c)),
        LibCommand::Fetch => project(false).and_then(|mut p| p.fetch(&by)).map(|names| named("fetched", &names)),
        LibCommand::Vendor => project(false).and_then(|mut p| p.vendor(&by)).map(|names| named("in vendor/:", &names)),
        LibCommand::List(_) | LibCommand::Search(_) | LibCommand::Show(_) => return None,
    };
    Some(match done {
        Ok(text) => {
            printer::out(&text);
            ExitStatus::Ok
        }
        Err(error) => {
            printer::err_line(&format!("error: {}", libraries::told(&error)));
            ExitStatus::Script
        }
    })
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

//! `weftrace.toml`.
//!
//! ```toml
//! [library]                    # of a library: what it is
//! name = "team"
//! version = "1.2.0"
//! description = "Probes of the platform team"
//! weftrace = "0.1"             # at least
//!
//! [dependencies]               # of a project, or of a library that uses others
//! ops = { git = "https://example.org/ops/probes.git", rev = "v2.0.0", version = "2.0" }
//! ```

use crate::{
    Error, Result,
    names::{check_rev, check_url, is_name, is_version},
};
use std::collections::BTreeMap;
use toml_edit::{DocumentMut, InlineTable, Item, Table, TableLike, Value};

/// `[library]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LibraryInfo {
    pub name: String,
    pub version: String,
    pub description: String,
    /// The least version of weftrace that can read it.
    pub weftrace: Option<String>,
}

/// A row of `[dependencies]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// As git takes it; a relative path begins at the manifest's folder.
    pub git: String,
    /// Tag, branch or commit; None: the default branch.
    pub rev: Option<String>,
    /// What the library's version has to be compatible with.
    pub version: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    pub library: Option<LibraryInfo>,
    pub dependencies: BTreeMap<String, Dependency>,
}

impl Manifest {
    /// Reads a text; `file` is its name in messages.
    pub fn parse(text: &str, file: &str) -> Result<Self> {
        let document = parse(text, file)?;
        let at = |what: String| Error::new(format!("{file}: {what}"));
        if let Some((key, _)) = document.iter().find(|(key, _)| !matches!(*key, "library" | "dependencies")) {
            return Err(at(format!("there is no section `{key}`")).note("there are [library] and [dependencies]"));
        }
        let library = document.get("library").map(|item| library(item).map_err(&at)).transpose()?;
        let mut dependencies = BTreeMap::new();
        if let Some(item) = document.get("dependencies") {
            let table = item.as_table_like().ok_or_else(|| at("`dependencies` is no section".into()))?;
            for (name, item) in table.iter() {
                let dependency = dependency(name, item).map_err(&at)?;
                dependencies.insert(name.to_owned(), dependency);
            }
        }
        Ok(Self { library, dependencies })
    }

    /// The text with a dependency added or changed; everything else stays as it was, comments too.
    pub fn with(text: &str, file: &str, name: &str, dependency: &Dependency) -> Result<String> {
        let mut document = parse(text, file)?;
        let table = document.entry("dependencies").or_insert(Item::Table(Table::new()));
        let table =
            table.as_table_like_mut().ok_or_else(|| Error::new(format!("{file}: `dependencies` is no section")))?;
        let mut row = InlineTable::new();
        row.insert("git", dependency.git.as_str().into());
        for (key, value) in [("rev", &dependency.rev), ("version", &dependency.version)] {
            if let Some(value) = value {
                row.insert(key, value.as_str().into());
            }
        }
        table.insert(name, Item::Value(Value::InlineTable(row)));
        Ok(document.to_string())
    }

    /// The text without it.
    pub fn without(text: &str, file: &str, name: &str) -> Result<String> {
        let mut document = parse(text, file)?;
        if let Some(table) = document.get_mut("dependencies").and_then(Item::as_table_like_mut) {
            table.remove(name);
        }
        Ok(document.to_string())
    }
}

pub(crate) fn parse(text: &str, file: &str) -> Result<DocumentMut> {
    text.parse::<DocumentMut>().map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        Error::new(format!("{file}:{line}: {}", error.message().trim().replace('\n', "; ")))
    })
}

/// A text of a table.
pub(crate) fn string(table: &dyn TableLike, key: &str) -> std::result::Result<Option<String>, String> {
    match table.get(key) {
        None => Ok(None),
        Some(item) => item.as_str().map(|text| Some(text.to_owned())).ok_or_else(|| format!("`{key}` is no text")),
    }
}

/// Refuses keys that mean nothing.
fn only(table: &dyn TableLike, keys: &[&str]) -> std::result::Result<(), String> {
    match table.iter().find(|(key, _)| !keys.contains(key)) {
        Some((key, _)) => Err(format!("there is no `{key}` here: there are {}", keys.join(", "))),
        None => Ok(()),
    }
}

fn library(item: &Item) -> std::result::Result<LibraryInfo, String> {
    let table = item.as_table_like().ok_or("`library` is no section")?;
    only(table, &["name", "version", "description", "weftrace"])?;
    let name = string(table, "name")?.ok_or("the library has no `name`")?;
    if !is_name(&name) {
        return Err(format!(
            "`{}` is no name of a library: a letter, then letters, digits, - and _, all small",
            name.escape_debug()
        ));
    }
    let version = string(table, "version")?.ok_or("the library has no `version`")?;
    let weftrace = string(table, "weftrace")?;
    for version in std::iter::once(&version).chain(&weftrace) {
        if !is_version(version) {
            return Err(format!("`{}` is no version: 1.2.0", version.escape_debug()));
        }
    }
    Ok(LibraryInfo { name, version, description: string(table, "description")?.unwrap_or_default(), weftrace })
}

fn dependency(name: &str, item: &Item) -> std::result::Result<Dependency, String> {
    if !is_name(name) {
        return Err(format!("`{}` is no name of a library", name.escape_debug()));
    }
    let table = item.as_table_like().ok_or_else(|| format!("{name}: write {{ git = \"URL\", rev = \"v1.0.0\" }}"))?;
    let within = |why: String| format!("{name}: {why}");
    only(table, &["git", "rev", "version"]).map_err(within)?;
    let git = string(table, "git").map_err(within)?.ok_or_else(|| within("it has no `git`".into()))?;
    let (rev, version) = (string(table, "rev").map_err(within)?, string(table, "version").map_err(within)?);
    check_url(&git).and_then(|()| rev.as_deref().map_or(Ok(()), check_rev)).map_err(|error| within(error.what))?;
    if let Some(version) = version.as_ref().filter(|v| !is_version(v)) {
        return Err(within(format!("`{}` is no version: 1.2", version.escape_debug())));
    }
    Ok(Dependency { git, rev, version })
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;

//! `weftrace.lock`: what was chosen. It is written by weftrace, and goes into the repository.

use crate::{
    Error, Result,
    manifest::{parse, string},
    names::{is_name, is_version},
};
use std::{collections::BTreeMap, fmt::Write};
use toml_edit::TableLike;

const HEAD: &str = "# Written by `weftrace lib`: which commit each library is, and the digest of its files.\n";

/// One library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locked {
    pub git: String,
    pub rev: Option<String>,
    pub version: String,
    /// Its full name.
    pub commit: String,
    /// [`crate::Tree::digest`]
    pub digest: String,
    /// Names of the libraries that it uses itself.
    pub uses: Vec<String>,
}

/// By name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    pub libraries: BTreeMap<String, Locked>,
}

impl Lock {
    pub fn parse(text: &str, file: &str) -> Result<Self> {
        let document = parse(text, file)?;
        let mut lock = Self::default();
        let at = |what: String| Error::new(format!("{file}: {what}"));
        for (name, item) in document.iter() {
            let table = item.as_table_like().filter(|_| is_name(name));
            let table = table.ok_or_else(|| at(format!("`{}` is no library", name.escape_debug())))?;
            lock.libraries.insert(name.to_owned(), locked(table).map_err(|why| at(format!("{name}: {why}")))?);
        }
        Ok(lock)
    }

    /// As a text; the same for the same content.
    pub fn text(&self) -> String {
        let mut out = HEAD.to_owned();
        for (name, locked) in &self.libraries {
            let quoted = |text: &str| toml_edit::Value::from(text).to_string();
            let _ = writeln!(out, "\n[{name}]\ngit = {}", quoted(&locked.git));
            if let Some(rev) = &locked.rev {
                let _ = writeln!(out, "rev = {}", quoted(rev));
            }
            for (key, value) in [("version", &locked.version), ("commit", &locked.commit), ("digest", &locked.digest)] {
                let _ = writeln!(out, "{key} = {}", quoted(value));
            }
            if !locked.uses.is_empty() {
                let uses: Vec<String> = locked.uses.iter().map(|name| quoted(name)).collect();
                let _ = writeln!(out, "uses = [{}]", uses.join(", "));
            }
        }
        out
    }
}

fn locked(table: &dyn TableLike) -> std::result::Result<Locked, String> {
    let needed = |key: &str| string(table, key)?.ok_or_else(|| format!("it has no `{key}`"));
    let (commit, digest) = (needed("commit")?, needed("digest")?);
    let hex = |text: &str, least: usize| text.len() >= least && text.bytes().all(|b| b.is_ascii_hexdigit());
    if !hex(&commit, 40) {
        return Err("`commit` is no commit's full name".into());
    }
    if !digest.strip_prefix("sha256:").is_some_and(|rest| hex(rest, 64)) {
        return Err("`digest` is no sha256 digest".into());
    }
    let uses = match table.get("uses") {
        None => Vec::new(),
        Some(item) => {
            let names = item.as_array().ok_or("`uses` is no list")?;
            names
                .iter()
                .map(|n| n.as_str().map(str::to_owned).ok_or("`uses` has what is no name"))
                .collect::<std::result::Result<_, _>>()?
        }
    };
    let version = needed("version")?;
    if !is_version(&version) {
        return Err(format!("`{}` is no version", version.escape_debug()));
    }
    Ok(Locked { git: needed("git")?, rev: string(table, "rev")?, version, commit, digest, uses })
}

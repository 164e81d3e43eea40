//! Options that say where alerts go.

use clap::{Args, ValueEnum};
use std::path::PathBuf;
use weftrace_artifact::{
    Place,
    alert::{SinkKind, SinkSpec, ValueFrom},
};
use weftrace_lang::{
    builtins::sinks::{self, At, Row},
    suggest::nearest,
};

/// What becomes of the sinks that a script names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AlertsTo {
    Script,
    Stderr,
}

#[derive(Debug, Args)]
pub struct Alerts {
    /// Where alerts go: `script`, as it says (live), or `stderr` alone (with --read and in a replay)
    #[arg(long = "alerts", value_name = "WHERE", value_enum)]
    pub to: Option<AlertsTo>,
    /// Send alerts there too, whatever the script says: alertmanager=URL, webhook=URL, file=PATH, slack=env:NAME (or file:PATH: what is secret is
    /// read there), webhook=URL,token_env=NAME; may be given several times
    #[arg(long = "alert-to", value_name = "SINK", value_parser = sink)]
    pub more: Vec<SinkSpec>,
    /// A label of all alerts of the run: who sends them (instance=web-3), who is to look at them (team=net); may be given several times
    #[arg(long = "alert-label", value_name = "NAME=TEXT", value_parser = label)]
    pub labels: Vec<(String, String)>,
    /// Trust these certificates (PEM) too, where alerts go to https addresses
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

/// `KIND`, `KIND=WHERE`, `KIND=WHERE,OPTION=VALUE`
fn sink(text: &str) -> Result<SinkSpec, String> {
    let end = text.find(['=', ',']).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let row = sinks::find(name).ok_or_else(|| unknown(name))?;
    let Some(kind) = SinkKind::named(row.name) else { return Err(unknown(name)) };
    let (place, secret) = with_secret(row, rest)?;
    let at = match place.strip_prefix('=') {
        Some(place) if !place.is_empty() => Some(place_of(row, place)?),
        _ => match row.at {
            At::Nothing => None,
            At::SecretUrl(variable) => Some(ValueFrom::Env(variable.into())),
            At::Path | At::Url => return Err(format!("`{text}` doesn't say where; write {}", example(row))),
        },
    };
    Ok(SinkSpec { kind, at, secret, place: Place::default() })
}

/// As labels of scripts, whose names are Prometheus' too.
fn label(text: &str) -> Result<(String, String), String> {
    const LONGEST: usize = 200;
    let Some((name, value)) = text.split_once('=') else {
        return Err(format!("`{text}` is no label; write NAME=TEXT"));
    };
    let word = |c: char| c == '_' || c.is_ascii_alphanumeric();
    if name.is_empty() || !name.chars().all(word) || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(format!("`{name}` is no label's name: letters, digits and _, no digit first"));
    }
    if name == "alertname" {
        return Err("alertname is the label that has the alert's own name".to_owned());
    }
    if value.len() > LONGEST || value.chars().any(char::is_control) {
        return Err(format!("a label's text is one line of at most {LONGEST} bytes"));
    }
    Ok((name.to_owned(), value.to_owned()))
}

fn unknown(name: &str) -> String {
    let known = sinks::SINKS.iter().map(|row| row.name);
    let near = nearest(name, known.clone(), 2);
    let list = if near.is_empty() { known.collect::<Vec<_>>().join(", ") } else { near.join(", ") };
    format!("alerts can't be sent to `{name}`; there is {list}")
}

/// How one is written here.
fn example(row: &Row) -> String {
    match row.at {
        At::Nothing => row.name.to_owned(),
        At::Path => format!("{}=PATH", row.name),
        At::Url => format!("{}=http://HOST:PORT, {0}=env:NAME or {0}=file:PATH", row.name),
        At::SecretUrl(variable) => format!("{}=env:NAME, {0}=file:PATH, or {0} alone ({variable})", row.name),
    }
}

/// Takes `,token_env=NAME` off the end: a comma elsewhere belongs to an address or a path.
fn with_secret<'t>(row: &Row, rest: &'t str) -> Result<(&'t str, Option<ValueFrom>), String> {
    let Some((place, option)) = rest.rsplit_once(',') else { return Ok((rest, None)) };
    let Some((name, value)) = option.split_once('=') else { return Ok((rest, None)) };
    match row.secret.options() {
        Some((env, _)) if name == env && !value.is_empty() => Ok((place, Some(ValueFrom::Env(value.into())))),
        Some((_, file)) if name == file && !value.is_empty() => Ok((place, Some(ValueFrom::File(value.into())))),
        // A secret would stand in the list of processes, which everybody reads.
        Some((env, file)) if matches!(name, "token" | "key" | "secret" | "password") => {
            Err(format!("a secret doesn't stand on a command line; write {env}=NAME or {file}=PATH"))
        }
        _ if name.ends_with("_env") || name.ends_with("_file") => Err(format!("{} has no option {name}", row.name)),
        _ => Ok((rest, None)),
    }
}

fn place_of(row: &Row, place: &str) -> Result<ValueFrom, String> {
    match row.at {
        At::Nothing => return Err(format!("{} takes nothing", row.name)),
        At::Path => return Ok(ValueFrom::Script(place.to_owned())),
        At::Url | At::SecretUrl(_) => {}
    }
    match place.split_once(':') {
        Some(("env", name)) if !name.is_empty() => return Ok(ValueFrom::Env(name.to_owned())),
        Some(("file", path)) if !path.is_empty() => return Ok(ValueFrom::File(path.to_owned())),
        _ => {}
    }
    let Some((_, rest)) = place.split_once("://").filter(|(scheme, _)| matches!(*scheme, "http" | "https")) else {
        return Err(format!("`{place}` is no address; write {}", example(row)));
    };
    if matches!(row.at, At::SecretUrl(_)) {
        return Err(format!(
            "whoever reads this address can write there, and everybody reads command lines; write {}",
            example(row)
        ));
    }
    if rest.split('/').next().unwrap_or("").contains('@') {
        return Err(format!(
            "a password doesn't stand on a command line; write {}=env:NAME or {0}=file:PATH",
            row.name
        ));
    }
    Ok(ValueFrom::Script(place.to_owned()))
}

#[cfg(test)]
#[path = "alerts_tests.rs"]
mod tests;

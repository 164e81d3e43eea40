//! Everything there is to probe on this host, by pattern, as text for listings.
//!
//! A pattern is an attach point with wildcards (`kprobe:vfs_*`, `*ware:*`, `uprobe:/bin/bash:read*`), a bare word that any
//! kernel probe's name may match, or a type (`struct file`, `enum *state`).

mod functions;
mod kernel;
mod user;

pub use functions::{KernelFunctions, VMLINUX};

use crate::kernel::Host;
use crate::symbols::glob::{Glob, is_glob};
use crate::world::HostWorld;
use std::fmt::Write;
use std::path::Path;

/// What is listed, and what could not be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// One probe a line; with parameters, each on a line of its own below it.
    pub text: String,
    /// Why something is missing.
    pub problems: Vec<String>,
}

impl Listing {
    fn line(&mut self, provider: &str, name: &str) {
        let _ = writeln!(self.text, "{provider}:{name}");
    }

    fn params(&mut self, params: impl IntoIterator<Item = String>) {
        for param in params {
            let _ = writeln!(self.text, "    {param}");
        }
    }

    fn problem(&mut self, why: impl Into<String>) {
        let why = why.into();
        if !self.problems.contains(&why) {
            self.problems.push(why);
        }
    }
}

/// A listing's provider: how it is called, and whether a wildcard in the provider's place means it.
#[derive(Debug)]
struct Row {
    name: &'static str,
    aliases: &'static [&'static str],
    group: Group,
    list: fn(&Catalog<'_>, &Wanted<'_>, &mut Listing),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    /// Wildcards mean it.
    Kernel,
    /// Wildcards mean it where a file or a process is named.
    User,
    /// Only its own name means it.
    Named,
}

static ROWS: &[Row] = &[
    Row { name: "fentry", aliases: &["f", "kfunc"], group: Group::Kernel, list: kernel::functions_typed },
    Row { name: "fexit", aliases: &["fr", "kretfunc"], group: Group::Named, list: kernel::functions_typed },
    Row { name: "hardware", aliases: &["h"], group: Group::Kernel, list: kernel::hardware },
    Row { name: "interval", aliases: &["i"], group: Group::Named, list: kernel::times },
    Row { name: "iter", aliases: &["it"], group: Group::Kernel, list: kernel::iterators },
    Row { name: "kprobe", aliases: &["k"], group: Group::Kernel, list: kernel::functions },
    Row { name: "kretprobe", aliases: &["kr"], group: Group::Named, list: kernel::functions },
    Row { name: "profile", aliases: &["p"], group: Group::Named, list: kernel::times },
    Row { name: "rawtracepoint", aliases: &["rt"], group: Group::Kernel, list: kernel::raw_tracepoints },
    Row { name: "self", aliases: &[], group: Group::Named, list: kernel::own_signals },
    Row { name: "software", aliases: &["s"], group: Group::Kernel, list: kernel::software },
    Row { name: "tracepoint", aliases: &["t"], group: Group::Kernel, list: kernel::tracepoints },
    Row { name: "uprobe", aliases: &["u"], group: Group::User, list: user::functions },
    Row { name: "uretprobe", aliases: &["ur"], group: Group::Named, list: user::functions },
    Row { name: "usdt", aliases: &["U"], group: Group::User, list: user::markers },
];

/// The part of a pattern that a provider looks at.
#[derive(Clone, Copy, Debug)]
struct Wanted<'p> {
    provider: &'static str,
    /// `vmlinux` of `fentry:vmlinux:vfs_*`; None: not given.
    target: Option<&'p str>,
    name: &'p str,
}

impl Wanted<'_> {
    fn name(&self) -> Glob {
        Glob::new(self.name)
    }
    fn is_return(&self) -> bool {
        matches!(self.provider, "fexit" | "kretprobe" | "uretprobe")
    }
}

/// Lists what a host has.
#[derive(Debug)]
pub struct Catalog<'h> {
    world: &'h HostWorld,
    host: &'h Host,
    /// With parameters and whole definitions.
    verbose: bool,
}

impl<'h> Catalog<'h> {
    pub fn new(world: &'h HostWorld, verbose: bool) -> Self {
        Self { world, host: world.host(), verbose }
    }

    /// Providers whose names a listing takes, for messages.
    pub fn providers() -> impl Iterator<Item = &'static str> {
        ROWS.iter().map(|row| row.name)
    }

    /// Everything that matches one of several patterns, separated by commas.
    pub fn list(&self, patterns: &str) -> Listing {
        let mut out = Listing::default();
        for pattern in patterns.split(',') {
            self.list_one(pattern.trim(), &mut out);
        }
        out
    }

    fn list_one(&self, pattern: &str, out: &mut Listing) {
        if is_type(pattern) {
            return kernel::types(self, pattern, out);
        }
        // A bare word is any kernel probe's name.
        let (provider, rest) = match pattern.split_once(':') {
            Some((provider, rest)) => (if provider.is_empty() { "*" } else { provider }, rest),
            None if ROWS.iter().any(|row| row.is_called(pattern)) => (pattern, "*"),
            None => ("*", if pattern.is_empty() { "*" } else { pattern }),
        };
        let rest = if rest.is_empty() { "*" } else { rest };
        let (target, name) = match rest.rsplit_once(':') {
            // `software:cpu:`, `uprobe:/bin/bash:`
            Some((target, "")) => (Some(target), "*"),
            Some((target, name)) => (Some(target), name),
            None => (None, rest),
        };
        for row in ROWS.iter().filter(|row| self.means(row, provider, target)) {
            (row.list)(self, &Wanted { provider: row.name, target, name }, out);
        }
    }

    fn means(&self, row: &Row, provider: &str, target: Option<&str>) -> bool {
        if !is_glob(provider) {
            return row.is_called(provider);
        }
        let wide = match row.group {
            Group::Kernel => true,
            Group::User => self.world.pid().is_some() || target.is_some_and(is_file),
            Group::Named => false,
        };
        wide && Glob::new(provider).matches(row.name)
    }
}

/// Whether this names one file, and it is there.
fn is_file(target: &str) -> bool {
    !is_glob(target) && Path::new(target).is_file()
}

impl Row {
    fn is_called(&self, provider: &str) -> bool {
        self.aliases.contains(&provider) || self.name.eq_ignore_ascii_case(provider)
    }
}

/// `struct file`, `union *`, `enum tcp_*`
fn is_type(pattern: &str) -> bool {
    ["struct", "union", "enum"].iter().any(|word| {
        pattern.strip_prefix(word).is_some_and(|rest| rest.starts_with(char::is_whitespace) && !rest.trim().is_empty())
    })
}

#[cfg(test)]
mod tests;

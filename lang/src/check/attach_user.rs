//! Attach points in programs and libraries: functions, addresses, static markers.

use super::attach::{Fault, Found, Point, Resolved, bad, is_glob, unanswered};
use super::cx::Checker;
use super::hints;
use super::providers::ProviderKind;
use crate::ast::Segment;
use crate::diag::Diagnostic;
use crate::hir::Provider;
use crate::span::Span;
use crate::world::{Answer, UserSymbol};

/// What stands behind the file in `uprobe:FILE:…`.
struct Function {
    /// `cpp:` before the name.
    cpp: bool,
    /// Without the offset.
    name: String,
    offset: u64,
    /// In quotes: a name, though it looks like a number.
    quoted: bool,
}

impl Function {
    /// As the world takes it.
    fn pattern(&self) -> String {
        if self.cpp { format!("cpp:{}", self.name) } else { self.name.clone() }
    }

    /// Whether a symbol has just this name.
    fn is(&self, s: &UserSymbol) -> bool {
        s.name == self.name || s.demangled.as_ref() == Some(&self.name)
    }
}

/// A name with `::` in it that was written without quotes is one segment again. None: there is none.
fn rejoined<'p>(p: &Point<'p>) -> Option<Point<'p>> {
    let inner = 1..p.segments.len().saturating_sub(1);
    let colons = inner.into_iter().find(|i| p.text(*i).is_empty() && !p.segments[*i].quoted)?;
    // With -p the name may stand alone; a file's path is not a part of it.
    let first = colons - 1;
    if first == 0 && p.text(0).contains('/') {
        return None;
    }
    let parts = p.segments.get(first..)?;
    let text = parts.iter().map(|s| s.text.as_str()).collect::<Vec<_>>().join(":");
    let span = Span { end: parts.last()?.span.end, ..parts.first()?.span };
    let mut segments = p.segments[..first].to_vec();
    segments.push(Segment { text, quoted: false, span });
    Some(Point { row: p.row, segments, span: p.span, uses: p.uses, optional: p.optional })
}

impl Checker<'_> {
    pub(crate) fn uprobe(&mut self, p: &Point<'_>) -> Resolved {
        let rejoined = rejoined(p);
        let p = rejoined.as_ref().unwrap_or(p);
        if super::user::is_source_line(p.text(0)) {
            return self.source_line(p);
        }
        if let Some(line) = super::user::quoted_source_line(p) {
            return self.source_line(&line);
        }
        let cpp = p.segments.len() > 1 && p.text(p.segments.len() - 2) == "cpp";
        let parts = p.segments.len() - usize::from(cpp);
        // With -p the program is the process's own, if none is named.
        let binary = match (parts, self.opts.pid) {
            (2, _) => p.text(0).to_owned(),
            (1, Some(pid)) => format!("/proc/{pid}/exe"),
            _ => {
                let d = Diagnostic::error("bad-attach-point", p.span, format!("{} is not written so", p.row.name));
                let d = if parts == 1 { d.note("without -p PID it needs the program's path or name") } else { d };
                return Err(bad(d.write(p.row.shape)));
            }
        };
        let function = Self::user_function_of(p, cpp)?;
        if !function.quoted
            && let Some(address) = super::params::parse_number(&function.name).and_then(|n| u64::try_from(n).ok())
        {
            return self.uprobe_address(p, &binary, address);
        }
        match self.world.user_functions(&binary, &function.pattern()) {
            Answer::Found(all) if !all.is_empty() => {
                if all[0].chooser && !is_glob(&function.name) {
                    self.warn_chooser(p, &function.name);
                }
                self.uprobe_targets(p, &binary, &function, all)
            }
            answer => {
                let what = format!("{} in {binary}", function.name);
                Err(unanswered(answer, p.span, &what, |d| self.absent_symbol(d, p, &binary, &function.name)))
            }
        }
    }

    /// IFUNC: what callers call is another function.
    fn warn_chooser(&mut self, p: &Point<'_>, name: &str) {
        let name = name.split_once('@').map_or(name, |(name, _)| name);
        let message =
            format!("{name} only chooses a function when a program is loaded: it does not run when {name} is called");
        let d = Diagnostic::warning("ifunc", p.segment_span(p.segments.len() - 1), message).note(format!(
            "the functions that it chooses from have names like __{name}_avx2 (weftrace list 'uprobe:FILE:*{name}*')"
        ));
        self.report(d);
    }

    /// `name`, `name+8`, `"name"+8`
    fn user_function_of(p: &Point<'_>, cpp: bool) -> Result<Function, Fault> {
        let last = p.segments.len() - 1;
        let (text, quoted) = (p.text(last), p.segments[last].quoted);
        let plain = Function { cpp, name: text.to_owned(), offset: 0, quoted };
        let Some((name, offset)) = text.rsplit_once('+') else { return Ok(plain) };
        let Some(offset) = super::params::parse_number(offset).and_then(|n| u64::try_from(n).ok()) else {
            // `operator+(A)`
            if quoted {
                return Ok(plain);
            }
            let d = Diagnostic::error("bad-attach-point", p.segment_span(last), format!("{offset} is no offset"));
            return Err(bad(d.write(p.row.shape)));
        };
        if offset != 0 && p.row.kind == ProviderKind::Uretprobe {
            let d = Diagnostic::error("bad-attach-point", p.span, "a return has no offset")
                .write(p.row.shape)
                .bpftrace("uretprobes can not be attached to a function offset");
            return Err(bad(d));
        }
        Ok(Function { cpp, name: name.to_owned(), offset, quoted })
    }

    fn uprobe_targets(&mut self, p: &Point<'_>, binary: &str, f: &Function, mut all: Vec<UserSymbol>) -> Resolved {
        // `(*conn).serve` is the whole name of a Go method.
        let glob = is_glob(&f.name) && !all.iter().any(|s| f.is(s));
        if !glob && is_glob(&f.name) {
            all.retain(|s| f.is(s));
        }
        let wildcard = glob || is_glob(binary);
        if !wildcard && all.iter().any(|s| s.demangled.is_none()) && !f.cpp {
            // One symbol is one function, the first of several (of static ones, of versions). A C++ name is all that have it:
            // overloads; a Rust name too: copies for several types.
            all.retain(|s| s.demangled.is_none());
            all.truncate(1);
        }
        // Of programs that were found by themselves one may have ended by now.
        let lenient = wildcard || self.opts.hidden.contains(&p.span.file) && binary.contains('/');
        let mut found: Vec<Found> = Vec::with_capacity(all.len());
        for s in all {
            if !lenient {
                self.bounds(p, &s, f.offset)?;
            }
            // One function under several names fires once: aliases, a constructor's several symbols.
            let same = |t: &Found| matches!(&t.target.provider, Provider::Uprobe { path, offset, .. } if *path == s.path && *offset == s.file_offset + f.offset);
            if found.last().is_some_and(same) {
                continue;
            }
            match self.uprobe_target(p, &s, f.offset, lenient) {
                Ok(target) => found.push(target),
                // What can't be meant is not meant.
                Err(_) if lenient => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(found)
    }

    /// Entry of (or an offset in) a function that was found.
    fn uprobe_target(&mut self, p: &Point<'_>, s: &UserSymbol, offset: u64, wildcard: bool) -> Result<Found, Fault> {
        let plus = if offset == 0 { String::new() } else { format!("+{offset}") };
        let name = match &s.demangled {
            Some(name) if s.rust => p.named(&[s.file(), &format!("\"{name}\"{plus}")]),
            Some(name) => p.named(&[s.file(), "cpp", &format!("\"{name}\"{plus}")]),
            None => p.named(&[s.file(), &format!("{}{plus}", s.name)]),
        };
        let at = s.file_offset.saturating_add(offset);
        let provider = Provider::Uprobe {
            path: s.path.clone(),
            symbol: s.func(self.config.is_on("cpp_demangle")).to_owned(),
            offset: at,
            ret: p.row.kind == ProviderKind::Uretprobe,
            pid: self.traced_pid(),
            go: self.go_places(p, &s.path, at, wildcard)?,
        };
        let mut found = p.found(name, provider, wildcard);
        found.args = self.user_args(p, &s.path, at);
        Ok(found)
    }

    fn uprobe_address(&mut self, p: &Point<'_>, binary: &str, address: u64) -> Resolved {
        let span = p.segment_span(p.segments.len() - 1);
        if is_glob(binary) {
            let d = Diagnostic::error("bad-attach-point", span, "an address is of one file: no wildcards")
                .bpftrace("Cannot use wildcards with absolute address");
            return Err(bad(d));
        }
        let place = match self.world.user_place(binary, address) {
            Answer::Found(place) => place,
            Answer::NotThere if self.world.user_file(binary) => {
                let d = Diagnostic::error("bad-attach-point", span, format!("{address:#x} is in no code of {binary}"))
                    .note("addresses are those of the file (nm, objdump), not of a running process")
                    .bpftrace(format!("ERROR: Could not resolve address: {binary}:{address:#x}"));
                return Err(bad(d));
            }
            answer => {
                let what = format!("{address:#x} in {binary}");
                return Err(unanswered(answer, p.span, &what, |d| self.absent_symbol(d, p, binary, "")));
            }
        };
        self.address_of_code(p, binary, address, &place)?;
        let ret = p.row.kind == ProviderKind::Uretprobe;
        let readable = self.config.is_on("cpp_demangle");
        let symbol = place.function.map_or_else(|| format!("{address:#x}"), |f| f.func(readable).to_owned());
        let shown = if place.shown.is_empty() { &place.path } else { &place.shown };
        let name = p.named(&[shown, p.text(p.segments.len() - 1)]);
        let args = self.user_args(p, &place.path, place.file_offset);
        let (offset, pid) = (place.file_offset, self.traced_pid());
        let go = self.go_places(p, &place.path, offset, false)?;
        let provider = Provider::Uprobe { path: place.path, symbol, offset, ret, pid, go };
        let mut found = p.found(name, provider, false);
        found.args = args;
        Ok(vec![found])
    }

    pub(crate) fn usdt(&mut self, p: &Point<'_>) -> Resolved {
        let pid = self.opts.pid;
        let (binary, namespace, name) = match p.segments.len() {
            1 if pid.is_some() => ("", "", p.text(0)),
            2 => (p.text(0), "", p.text(1)),
            3 => (p.text(0), p.text(1), p.text(2)),
            _ => {
                let d = Diagnostic::error("bad-attach-point", p.span, "usdt is not written so").write(p.row.shape);
                return Err(bad(d.note("without -p PID it needs the program's path or name, or *")));
            }
        };
        if name.is_empty() {
            let d = Diagnostic::error("bad-attach-point", p.span, "which marker?")
                .write(format!("{}*", p.as_written()))
                .bpftrace("usdt probe must have a target function or wildcard");
            return Err(bad(d));
        }
        if binary.is_empty() && pid.is_none() {
            let d = Diagnostic::error("bad-attach-point", p.span, "which program?")
                .write(p.named(&["*", namespace, name]))
                .note("* is every program that runs; with -p PID all files of that process")
                .bpftrace("usdt probe must specify at least path or pid to probe. To target all paths/pids set the path to '*'.");
            return Err(bad(d));
        }
        let wildcard = is_glob(binary) || is_glob(namespace) || is_glob(name) || binary.is_empty();
        match self.world.usdt_probes(binary, namespace, name) {
            Answer::Found(all) if !all.is_empty() => Ok(all
                .into_iter()
                .map(|u| {
                    let shown = if u.shown.is_empty() { &u.path } else { &u.shown };
                    let full = p.named(&[shown, &u.namespace, &u.name]);
                    let provider = Provider::Usdt {
                        path: u.path,
                        namespace: u.namespace,
                        name: u.name,
                        sites: u.sites,
                        pid: self.traced_pid(),
                    };
                    p.found(full, provider, wildcard)
                })
                .collect()),
            answer => {
                let what = format!("the marker {name} in {binary}");
                Err(unanswered(answer, p.span, &what, |d| self.absent_marker(d, p, binary, namespace, name)))
            }
        }
    }

    fn absent_marker(&self, mut d: Diagnostic, p: &Point<'_>, binary: &str, namespace: &str, name: &str) -> Diagnostic {
        if !binary.is_empty() && !self.world.user_file(binary) {
            return Self::absent_file(d, p, binary);
        }
        let place = if binary.is_empty() { "this process" } else { binary };
        let full = if namespace.is_empty() { name.to_owned() } else { format!("{namespace}:{name}") };
        d.message = format!("no marker {full} in {place}");
        d.span = p.segment_span(p.segments.len() - 1);
        d.bpftrace = Some(format!("No matches for usdt {}.", p.as_written().trim_start_matches("usdt:")));
        let all = self.world.usdt_probes(binary, "*", "*").found().unwrap_or_default();
        if all.is_empty() {
            return d.note(format!("{place} has no markers at all: they are compiled in (<sys/sdt.h>)"));
        }
        let mut names: Vec<String> = all.iter().map(|u| format!("{}:{}", u.namespace, u.name)).collect();
        names.sort_unstable();
        names.dedup();
        let near = crate::suggest::nearest(&full, names.iter().map(String::as_str), 4);
        if near.is_empty() {
            d.near(names.into_iter().take(4).collect::<Vec<_>>().join(", "))
        } else {
            d.near(near.join(", "))
        }
    }

    fn absent_file(mut d: Diagnostic, p: &Point<'_>, binary: &str) -> Diagnostic {
        d.message = format!("no program or library {binary}");
        d.span = p.segment_span(0);
        let kind = if p.row.kind == ProviderKind::Usdt { "usdt" } else { "uprobe" };
        d.bpftrace = Some(format!("{kind} target file '{binary}' does not exist or is not executable"));
        hints::for_point(d, p.row.name, &p.as_written())
            .note("the file's path; of a running program: readlink /proc/PID/exe; in a container: /proc/PID/root/…, or -p PID")
    }

    fn absent_symbol(&self, mut d: Diagnostic, p: &Point<'_>, binary: &str, symbol: &str) -> Diagnostic {
        let all = match self.world.user_functions(binary, "*") {
            Answer::Found(all) => all,
            // A file without any symbol answers so too.
            Answer::NotThere if !self.world.user_file(binary) => return Self::absent_file(d, p, binary),
            _ => Vec::new(),
        };
        d.message = format!("no function {symbol} in {binary}");
        d.span = p.segment_span(p.segments.len() - 1);
        d.bpftrace = Some(format!("No matches for {} {binary}:{symbol}.", p.row.name));
        if all.is_empty() {
            d = d.note(format!("{binary} has no function names at all (it is stripped): its debug symbols or an unstripped build would have them"));
        }
        d = hints::for_point(d, p.row.name, &p.as_written());
        // The program only calls it.
        if !is_glob(symbol) && self.world.user_functions("libc", symbol).is_found() {
            return d.note("it is a function of the C library").write(p.named(&["libc", symbol]));
        }
        // C++ names, then Rust's.
        let patterns = ["cpp:*", "*::*"];
        let named = patterns.iter().flat_map(|p| self.world.user_functions(binary, p).found().unwrap_or_default());
        let near = near_in_languages(symbol, &named.collect::<Vec<_>>());
        if !near.is_empty() {
            return d.near(near.join(", "));
        }
        let near = crate::suggest::nearest(symbol, all.iter().map(|s| s.name.as_str()), 4);
        if near.is_empty() { d } else { d.near(near.join(", ")) }
    }
}

/// C++ and Rust functions that may have been meant, as an attach point writes them: of this very name (without namespace or
/// parameters), else of one that is near.
fn near_in_languages(symbol: &str, all: &[UserSymbol]) -> Vec<String> {
    const MOST: usize = 4;
    let base = |name: &str| name.split('(').next().unwrap_or(name).to_owned();
    let last = |name: &str| name.rsplit("::").next().unwrap_or(name).to_owned();
    let written = |s: &UserSymbol, name: &str| if s.rust { format!("\"{name}\"") } else { format!("cpp:\"{name}\"") };
    let named: Vec<(&UserSymbol, &str, String)> =
        all.iter().filter_map(|s| Some((s, s.demangled.as_deref()?, base(s.demangled.as_deref()?)))).collect();
    let wanted = base(symbol);
    let mut out: Vec<String> =
        named.iter().filter(|(_, _, bare)| last(bare) == last(&wanted)).map(|(s, name, _)| written(s, name)).collect();
    if out.is_empty() && symbol.contains("::") {
        let near = crate::suggest::nearest(&wanted, named.iter().map(|(_, _, bare)| bare.as_str()), MOST);
        let found = near.iter().flat_map(|near| named.iter().filter(move |(_, _, bare)| bare == near));
        out = found.map(|(s, name, _)| written(s, name)).collect();
    }
    let mut seen = std::collections::BTreeSet::new();
    out.retain(|name| seen.insert(name.clone()));
    out.truncate(MOST);
    out
}

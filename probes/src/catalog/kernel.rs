//! What the kernel offers: functions, tracepoints, events, iterators, types.

use super::{Catalog, Listing, VMLINUX, Wanted};
use crate::kernel::btf::Btf;
use crate::symbols::glob::{Glob, is_glob};
use std::fmt::Write;
use std::sync::Arc;
use weftrace_lang::{
    check::{HARDWARE, SOFTWARE, counter_names},
    world::{Answer, World},
};

static UNITS: &[&str] = &["hz", "ms", "s", "us"];

pub(super) fn software(_: &Catalog<'_>, wanted: &Wanted<'_>, out: &mut Listing) {
    events(&counter_names(SOFTWARE), wanted, out);
}

pub(super) fn hardware(_: &Catalog<'_>, wanted: &Wanted<'_>, out: &mut Listing) {
    events(&counter_names(HARDWARE), wanted, out);
}

pub(super) fn times(_: &Catalog<'_>, wanted: &Wanted<'_>, out: &mut Listing) {
    events(UNITS, wanted, out);
}

pub(super) fn own_signals(_: &Catalog<'_>, wanted: &Wanted<'_>, out: &mut Listing) {
    if wanted.name().matches("SIGUSR1") && wanted.target.is_none_or(|t| Glob::new(t).matches("signal")) {
        out.line(wanted.provider, "signal:SIGUSR1");
    }
}

/// Names that a count follows: `software:cpu:`. `interval:s:1` and `interval:1s` mean the unit.
fn events(names: &[&str], wanted: &Wanted<'_>, out: &mut Listing) {
    let written = wanted.target.unwrap_or(wanted.name);
    let unit = written.trim_start_matches(|c: char| c.is_ascii_digit());
    let glob = Glob::new(if unit.is_empty() { written } else { unit });
    for name in names.iter().filter(|name| glob.matches(name)) {
        out.line(wanted.provider, &format!("{name}:"));
    }
}

/// vmlinux's types, then those of modules that a pattern may mean.
fn all_btf<'h>(catalog: &Catalog<'h>, out: &mut Listing) -> Vec<&'h Arc<Btf>> {
    match catalog.host.btf() {
        Ok(btf) => std::iter::once(btf).chain(catalog.host.module_btf()).collect(),
        Err(e) => {
            out.problem(e.to_string());
            Vec::new()
        }
    }
}

/// kprobe, kretprobe
pub(super) fn functions(catalog: &Catalog<'_>, wanted: &Wanted<'_>, out: &mut Listing) {
    let all = match catalog.host.functions() {
        Ok(all) => all,
        Err(e) => return out.problem(e.to_string()),
    };
    let (module, glob) = (wanted.target.map(Glob::new), wanted.name());
    let btfs = if catalog.verbose { all_btf(catalog, out) } else { Vec::new() };
    let protos: Vec<_> = btfs.iter().map(|btf| (*btf, btf.prototypes(&glob))).collect();
    let mut sorted: Vec<(&str, &str)> =
        all.iter().filter(|(its, name)| glob.matches(name) && module.as_ref().is_none_or(|m| m.matches(its))).collect();
    if module.is_some() {
        sorted.sort_unstable();
    } else {
        sorted.dedup_by_key(|(_, name)| *name);
    }
    for (its, name) in sorted {
        match module {
            Some(_) => out.line(wanted.provider, &format!("{its}:{name}")),
            None => out.line(wanted.provider, name),
        }
        let Some((btf, known)) = protos.iter().find(|(btf, _)| btf.module_name() == its) else { continue };
        let Ok(at) = known.binary_search_by(|(known, _)| known.as_str().cmp(name)) else { continue };
        if wanted.is_return() {
            out.params(btf.returned(known[at].1));
        } else {
            out.params(btf.parameters(known[at].1, 0, true).unwrap_or_default());
        }
    }
}

/// fentry, fexit: functions with type information.
pub(super) fn functions_typed(catalog: &Catalog<'_>, wanted: &Wanted<'_>, out: &mut Listing) {
    let (module, glob) = (Glob::new(wanted.target.unwrap_or("*")), wanted.name());
    if let Some(id) = wanted.target.and_then(|t| t.strip_prefix("bpf")).filter(|r| r.is_empty() || r.starts_with(':')) {
        return bpf_programs(catalog, id.strip_prefix(':').unwrap_or("*"), wanted, out);
    }
    // Type information also has functions that were inlined away everywhere.
    let known = catalog.host.functions().ok();
    let mut btfs = all_btf(catalog, out);
    btfs.retain(|b| module.matches(b.module_name()));
    btfs.sort_by_key(|b| b.module_name());
    for btf in btfs {
        let module = btf.module_name();
        for (name, id) in btf.prototypes(&glob) {
            if known.is_some_and(|k| !k.has(Some(module), &name)) {
                continue;
            }
            out.line(wanted.provider, &format!("{module}:{name}"));
            if catalog.verbose {
                out.params(btf.parameters(id, 0, false).unwrap_or_default());
                out.params(btf.returned(id).filter(|_| wanted.is_return()));
            }
        }
    }
}

/// Functions of BPF programs that are loaded now: `fentry:bpf:ID:name`.
fn bpf_programs(catalog: &Catalog<'_>, id: &str, wanted: &Wanted<'_>, out: &mut Listing) {
    let (ids, names) = (Glob::new(id), wanted.name());
    match catalog.world.bpf_programs() {
        Answer::Found(programs) => {
            for (id, name) in programs.iter().filter(|(id, n)| ids.matches(&id.to_string()) && names.matches(n)) {
                out.line(wanted.provider, &format!("bpf:{id}:{name}"));
            }
        }
        Answer::NotThere => {}
        Answer::NotPermitted(why) | Answer::CouldNotTell(why) => out.problem(why),
    }
}

pub(super) fn raw_tracepoints(catalog: &Catalog<'_>, wanted: &Wanted<'_>, out: &mut Listing) {
    let (module, glob) = (Glob::new(wanted.target.unwrap_or("*")), wanted.name());
    for btf in all_btf(catalog, out).into_iter().filter(|b| module.matches(b.module_name())) {
        for event in btf.raw_tracepoints(&glob) {
            out.line(wanted.provider, &format!("{}:{event}", btf.module_name()));
            if catalog.verbose {
                out.params(btf.raw_tracepoint_parameters(&event).unwrap_or_default());
            }
        }
    }
}

pub(super) fn tracepoints(catalog: &Catalog<'_>, wanted: &Wanted<'_>, out: &mut Listing) {
    let tracefs = match catalog.host.tracefs() {
        Ok(tracefs) => tracefs,
        Err(e) => return out.problem(e.to_string()),
    };
    let found = match tracefs.list(wanted.target.unwrap_or("*"), wanted.name) {
        Ok(found) => found,
        Err(e) => return out.problem(e.to_string()),
    };
    for name in found {
        out.line(wanted.provider, &name);
        let Some((category, event)) = name.split_once(':').filter(|_| catalog.verbose) else { continue };
        match tracefs.event(category, event) {
            Ok(event) => out.params(event.fields.iter().map(|f| declaration(&f.c_type, &f.name))),
            Err(e) => out.problem(e.to_string()),
        }
    }
}

/// `char[16]`, `comm` → `char comm[16]`
fn declaration(c_type: &str, name: &str) -> String {
    match c_type.split_once('[').filter(|_| !c_type.starts_with("__data_loc") && !c_type.starts_with("__rel_loc")) {
        Some((elem, count)) => format!("{} {name}[{count}", elem.trim_end()),
        None => format!("{c_type} {name}"),
    }
}

/// What `iter:NAME` walks over: the kernel has `bpf_iter_NAME()` and its context's type for each.
pub(super) fn iterators(catalog: &Catalog<'_>, wanted: &Wanted<'_>, out: &mut Listing) {
    const PREFIX: &str = "bpf_iter_";
    // `iter:task:/sys/fs/bpf/pin`
    let glob = Glob::new(wanted.target.unwrap_or(wanted.name));
    for btf in all_btf(catalog, out) {
        if btf.module_name() != VMLINUX {
            continue;
        }
        let contexts = btf.defined(&Glob::new("struct bpf_iter__*"));
        for context in contexts {
            let name = context.name.trim_start_matches("struct bpf_iter__");
            let Some(id) = btf.proto_of(&format!("{PREFIX}{name}")).filter(|_| glob.matches(name)) else { continue };
            out.line(wanted.provider, name);
            if catalog.verbose {
                // The first is the iterator's own bookkeeping.
                out.params(btf.parameters(id, 1, false).unwrap_or_default());
            }
        }
    }
}

/// `struct NAME`, one a line; verbose: where each is from, and its definition.
pub(super) fn types(catalog: &Catalog<'_>, pattern: &str, out: &mut Listing) {
    let pattern = pattern.split_whitespace().collect::<Vec<_>>().join(" ");
    let glob = Glob::new(&pattern);
    let btfs = all_btf(catalog, out);
    let mut seen: Vec<String> = Vec::new();
    for btf in &btfs {
        let found = btf.defined(&glob);
        let fresh = found.into_iter().filter(|d| seen.binary_search(&d.name).is_err()).collect::<Vec<_>>();
        for defined in &fresh {
            if !catalog.verbose {
                let _ = writeln!(out.text, "{}", defined.name);
            } else if let Some(text) = btf.definition(defined.id) {
                let _ = writeln!(out.text, "{}: {text}", btf.module_name());
            }
        }
        seen.extend(fresh.into_iter().map(|d| d.name));
        seen.sort_unstable();
        if !is_glob(&pattern) && !seen.is_empty() {
            return;
        }
    }
}

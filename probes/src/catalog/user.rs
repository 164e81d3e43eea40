//! What programs and libraries offer: functions, and static markers.

use super::{Catalog, Listing, Wanted};
use std::collections::{BTreeMap, BTreeSet};
use weftrace_lang::world::{Answer, UserParam, UserSymbol, World};

/// uprobe, uretprobe
pub(super) fn functions(catalog: &Catalog<'_>, wanted: &Wanted<'_>, out: &mut Listing) {
    // `uprobe:/bin/bash:cpp:"ns::f"`
    let (file, name) = match wanted.target.and_then(|t| t.strip_suffix(":cpp")) {
        Some(file) => (file, format!("cpp:{}", wanted.name.trim_matches('"'))),
        None => (wanted.target.unwrap_or("*"), wanted.name.trim_matches('"').to_owned()),
    };
    let found = told(catalog.world.user_functions(file, &name), file, out);
    let lines = found.iter().map(|f| match &f.demangled {
        Some(shown) if name.starts_with("cpp:") => format!("{}:cpp:\"{shown}\"", f.file()),
        _ => format!("{}:{}", f.file(), f.name),
    });
    for (line, symbol) in lines.zip(&found).collect::<BTreeMap<_, _>>() {
        out.line(wanted.provider, &line);
        if catalog.verbose {
            parameters(catalog, wanted, symbol, out);
        }
    }
}

/// A function's parameters, or its result, where its debug information says them.
fn parameters(catalog: &Catalog<'_>, wanted: &Wanted<'_>, symbol: &UserSymbol, out: &mut Listing) {
    match catalog.world.user_proto(&symbol.path, symbol.file_offset) {
        Answer::Found(proto) if proto.go => {
            let those = if wanted.is_return() { &proto.results } else { &proto.params };
            let of = |(i, p): (usize, &UserParam)| match (p.name.as_str(), wanted.is_return()) {
                ("", true) if those.len() == 1 => format!("retval {}", p.c_type),
                ("", true) => format!("retval.{i} {}", p.c_type),
                (name, true) => format!("retval.{name} {}", p.c_type),
                (name, false) => format!("{name} {}", p.c_type),
            };
            out.params(those.iter().enumerate().map(of));
        }
        Answer::Found(proto) if wanted.is_return() => {
            out.params((proto.ret_c_type != "void").then(|| format!("{} retval", proto.ret_c_type)));
        }
        Answer::Found(proto) => {
            out.params(proto.params.iter().map(|p| format!("{} {}", p.c_type, p.name).trim_end().to_owned()));
        }
        Answer::NotThere => {}
        Answer::NotPermitted(why) | Answer::CouldNotTell(why) => out.problem(why),
    }
}

/// usdt
pub(super) fn markers(catalog: &Catalog<'_>, wanted: &Wanted<'_>, out: &mut Listing) {
    // `usdt:FILE:NAME`, `usdt:FILE:NAMESPACE:NAME`; `usdt:NAME` with a process.
    let (file, namespace) = match wanted.target {
        None if super::is_file(wanted.name) => return list_markers(catalog, wanted, (wanted.name, "*", "*"), out),
        None => ("*", "*"),
        Some(target) => match target.rsplit_once(':') {
            Some((file, namespace)) => (file, namespace),
            None => (target, "*"),
        },
    };
    list_markers(catalog, wanted, (file, namespace, wanted.name), out);
}

fn list_markers(
    catalog: &Catalog<'_>,
    wanted: &Wanted<'_>,
    (file, namespace, name): (&str, &str, &str),
    out: &mut Listing,
) {
    let found = told(catalog.world.usdt_probes(file, namespace, name), file, out);
    let lines = found.iter().map(|m| {
        let shown = if m.shown.is_empty() { &m.path } else { &m.shown };
        format!("{shown}:{}:{}", m.namespace, m.name)
    });
    for line in lines.collect::<BTreeSet<_>>() {
        out.line(wanted.provider, &line);
    }
}

/// What was found; why nothing could be is a problem, that nothing is there is one only where a file was named.
fn told<T>(answer: Answer<Vec<T>>, file: &str, out: &mut Listing) -> Vec<T> {
    match answer {
        Answer::Found(found) => return found,
        Answer::NotThere
            if file.contains('/') && !std::path::Path::new(file).exists() && !file.contains(['*', '?']) =>
        {
            out.problem(format!("{file}: no such file"));
        }
        Answer::NotThere => {}
        Answer::NotPermitted(why) | Answer::CouldNotTell(why) => out.problem(why),
    }
    Vec::new()
}

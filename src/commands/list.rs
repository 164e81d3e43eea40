//! `weftrace list`: what there is to probe and to name.

use crate::{
    args::List,
    bpftrace::list as program,
    bundle,
    exit::ExitStatus,
    frontend::{self, Loaded, Setting},
    printer,
};
use std::{fmt::Write, path::Path};
use weftrace_lang::{check, world::World};
use weftrace_probes::{
    catalog::{Catalog, Listing},
    world::HostWorld,
};

mod joins;
mod modules;

pub fn run(args: &List) -> ExitStatus {
    let pattern = args.pattern.join(",");
    let listing = match pattern.split_once(':').unwrap_or((&pattern, "*")) {
        ("scripts", _) => text(scripts(args.verbose)),
        _ if modules::asked(&pattern) => text(modules::list(&pattern)),
        ("builtins", _) => text(builtins()),
        (provider @ ("http" | "tcp"), glob) => text(exchanges(&HostWorld::new(), provider, glob, args.verbose)),
        (signal @ ("span" | "log"), glob) => text(telemetry_fields(&HostWorld::new(), signal, glob)),
        ("pcap", glob) => text(packet_fields(&HostWorld::new(), glob)),
        ("join", _) => match joins::list(args) {
            Ok(found) => text(found),
            Err(status) => return status,
        },
        _ => match probes(args, &pattern) {
            Ok(listing) => listing,
            Err(status) => return status,
        },
    };
    printer::out(&listing.text);
    for problem in &listing.problems {
        printer::err_line(&format!("warning: {problem}"));
    }
    if !listing.text.is_empty() {
        return ExitStatus::Ok;
    }
    printer::err_line(&format!("nothing matches {pattern}"));
    let provider = pattern.split(':').next().unwrap_or_default();
    if provider == "join" {
        printer::err_line(
            "  = note: joins of a script: weftrace list 'join:*' SCRIPT; without one those of bundled modules",
        );
    } else if pattern.contains(':') && !provider.contains(['*', '?', '[', ' ']) {
        printer::err_line(&nothing(provider));
    }
    ExitStatus::Script
}

fn text(text: String) -> Listing {
    Listing { text, ..Listing::default() }
}

/// What to write where a provider is not known.
fn nothing(provider: &str) -> String {
    let all: Vec<&str> =
        Catalog::providers().chain(["pcap", "http", "tcp", "span", "log", "join", "builtins", "scripts"]).collect();
    let near = weftrace_lang::suggest::nearest(provider, all.iter().copied(), 2);
    match near.first() {
        _ if all.contains(&provider) || provider.len() < 3 => "  = note: `*` and `?` are wildcards".to_owned(),
        Some(_) => format!("  = near by name: {}", near.join(", ")),
        None => format!("  = note: there are {}", all.join(", ")),
    }
}

/// Probes that match a pattern, or those of a script.
fn probes(args: &List, pattern: &str) -> Result<Listing, ExitStatus> {
    let world = frontend::world(args.pid, args.traceable_functions.as_deref()).with_debuginfo(&args.debuginfo);
    let catalog = Catalog::new(&world, args.verbose);
    if !Path::new(pattern).is_file() {
        return Ok(catalog.list(pattern));
    }
    let script = std::fs::read_to_string(pattern).map_err(|error| {
        printer::err_line(&format!("error: {pattern}: {error}"));
        ExitStatus::Script
    })?;
    let mut loaded = Loaded::parse(pattern.to_owned(), script, None, &Setting::default());
    let (patterns, failed) = (program::attach_points(&loaded.script, &[]), loaded.has_errors());
    loaded.report(false, frontend::text_style());
    if failed { Err(ExitStatus::Script) } else { Ok(program::of_program(&catalog, &patterns)) }
}

fn packet_fields(world: &HostWorld, glob: &str) -> String {
    let mut out = String::new();
    for field in world.packet_field_table().iter().filter(|f| check::glob_matches(glob, &f.name)) {
        let _ = writeln!(out, "{:<36} {:<10} {}", field.name, check::type_name(&field.ty), field.doc);
    }
    out
}

/// The sides of sockets; in detail, with what a block on them can name.
fn exchanges(world: &HostWorld, provider: &str, glob: &str, verbose: bool) -> String {
    let mut out = String::new();
    for (of, event, doc) in [
        ("http", "server", "requests that processes of this host answer"),
        ("http", "client", "requests that processes of this host send"),
        ("tcp", "exchange", "requests and answers of any protocol, at processes of this host"),
    ] {
        if of == provider && check::glob_matches(glob.split(':').next().unwrap_or("*"), event) {
            let _ = writeln!(out, "{:<36} {doc}", format!("{of}:{event}[:PORT]"));
        }
    }
    let shown = verbose && !out.is_empty();
    let known = |name: &str| check::exchange_fields(provider).any(|glob| check::glob_matches(glob, name));
    for field in world.packet_field_table().iter().filter(|f| shown && known(&f.name)) {
        let _ = writeln!(out, "    {:<32} {:<10} {}", field.name, check::type_name(&field.ty), field.doc);
    }
    out
}

/// Fields of `span` or `log` blocks; the pattern is of their names, or `*`: which services there are nobody knows before they send.
fn telemetry_fields(world: &HostWorld, signal: &str, glob: &str) -> String {
    let mut out = String::new();
    let other = if signal == "span" { "log." } else { "span." };
    for field in world.telemetry_field_table().iter().filter(|f| !f.name.starts_with(other)) {
        if check::glob_matches(glob, &field.name) {
            let _ = writeln!(out, "{:<36} {:<10} {}", field.name, check::type_name(&field.ty), field.doc);
        }
    }
    out
}

fn builtins() -> String {
    let mut out = String::new();
    for row in weftrace_lang::builtins::rows() {
        let _ = writeln!(out, "{:<44} {}", row.signature, row.doc);
    }
    out
}

fn scripts(verbose: bool) -> String {
    let mut out = String::new();
    for (name, text) in bundle::SCRIPTS {
        let header = bundle::header(text);
        let _ = writeln!(out, "{name:<24} {}", header.title());
        if verbose {
            for key in ["answers", "layers", "needs"] {
                if let Some(value) = header.get(key) {
                    let _ = writeln!(out, "{:<24}   {key}: {value}", "");
                }
            }
        }
    }
    out
}

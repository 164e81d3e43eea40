//! `-l`: what there is to probe, by pattern or by a program's attach points.

use super::{args::Args, render, run};
use crate::{
    frontend::{self, Loaded, Setting},
    printer,
};
use std::path::Path;
use weftrace_lang::{
    ast::{AttachPoint, Item, Script},
    diag::Severity,
};
use weftrace_probes::catalog::{Catalog, Listing};

/// Prints the listing that was asked for; the exit code.
pub fn run(args: &Args) -> Result<i32, String> {
    let pid = args.pid.as_deref().map(run::pid).transpose()?;
    let world = frontend::world(pid, args.traceable_functions.as_deref()).with_debuginfo(&args.debuginfo);
    let catalog = Catalog::new(&world, args.verbose);
    let is_file = |name: &str| Path::new(name).is_file() || name == "-";
    let first = args.rest.first().map(|f| f.to_string_lossy().into_owned()).unwrap_or_default();
    let listing = if args.program.is_some() || is_file(&first) {
        match patterns_of_program(args, pid)? {
            Some(patterns) => of_program(&catalog, &patterns),
            None => return Ok(1),
        }
    } else {
        let patterns = args.rest.iter().map(|p| p.to_string_lossy()).collect::<Vec<_>>().join(",");
        if patterns.contains('.') && !patterns.contains([':', '*']) {
            printer::err_line(&format!(
                "WARNING: It appears that '{patterns}' is a filename but the file does not exist. Treating '{patterns}' as a search pattern."
            ));
        }
        catalog.list(&patterns)
    };
    printer::out(&listing.text);
    for problem in &listing.problems {
        printer::err_line(&format!("WARNING: {problem}"));
    }
    Ok(0)
}

/// Attach points of the program; None: it has errors, which were printed.
fn patterns_of_program(args: &Args, pid: Option<u32>) -> Result<Option<Vec<String>>, String> {
    let (name, text) = run::program(args)?;
    let directory = Path::new(&name).parent().map(Path::to_owned);
    let mut loaded = Loaded::parse(name, text, directory, &Setting { pid, ..Setting::default() });
    loaded.options.positional = run::parameters(args)
        .iter()
        .map(|p| p.to_string_lossy().into_owned())
        .filter(|p| !p.starts_with("--"))
        .collect();
    if loaded.has_errors() {
        printer::err(&render::render_all(&loaded.diagnostics, &loaded.sources, Severity::Error));
        return Ok(None);
    }
    Ok(Some(attach_points(&loaded.script, &loaded.options.positional)))
}

/// A program's attach points as patterns, in its order; those that happen to nothing but the program itself are left out.
pub fn attach_points(script: &Script, parameters: &[String]) -> Vec<String> {
    let mut out = Vec::new();
    for item in &script.items {
        let Item::Probe(probe) = item else { continue };
        let mut probe = Some(probe);
        while let Some(p) = probe {
            out.extend(p.points.iter().filter_map(|point| pattern(point, parameters)));
            probe = p.otherwise.as_deref();
        }
    }
    out
}

/// `hardware:cache-misses:10`; None for begin, end and the like.
fn pattern(point: &AttachPoint, parameters: &[String]) -> Option<String> {
    if point.segments.is_empty() || matches!(point.provider.text.as_str(), "self" | "test" | "bench" | "pcap" | "join")
    {
        return None;
    }
    let mut out = point.provider.text.clone();
    for segment in &point.segments {
        out.push(':');
        out.push_str(&with_parameters(&segment.text, parameters));
    }
    Some(out)
}

/// `$1` as its value.
fn with_parameters(text: &str, parameters: &[String]) -> String {
    let mut pieces = text.split('$');
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let digits = piece.bytes().take_while(u8::is_ascii_digit).count();
        let value = piece[..digits].parse::<usize>().ok().and_then(|n| parameters.get(n.checked_sub(1)?));
        if let Some(value) = value {
            out.push_str(value);
        } else {
            out.push('$');
            out.push_str(&piece[..digits]);
        }
        out.push_str(&piece[digits..]);
    }
    out
}

/// What a program's attach points stand for on this host.
pub fn of_program(catalog: &Catalog<'_>, patterns: &[String]) -> Listing {
    let mut all = Listing::default();
    for pattern in patterns {
        let found = catalog.list(pattern);
        all.text.push_str(&found.text);
        all.problems.extend(found.problems);
    }
    all
}

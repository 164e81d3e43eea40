//! `weftrace list 'join:*'`: joins of bundled modules, or of a script and what it imports, with what blocks there can be at each.

use crate::{
    args::List,
    bundle,
    exit::ExitStatus,
    frontend::{self, Loaded, Setting},
};
use std::{collections::BTreeSet, fmt::Write, path::Path};
use weftrace_lang::{
    ast::{Item, Join, JoinClauseKind, Leg, Script},
    check,
    span::{FileId, SourceMap},
    syntax,
    world::{Answer, World},
};

/// A join with the module that it is of; None: the script's own.
struct Found {
    module: Option<String>,
    join: Join,
}

pub(super) fn list(args: &List) -> Result<String, ExitStatus> {
    let (patterns, script) = match args.pattern.split_last() {
        Some((last, rest)) if !rest.is_empty() && (Path::new(last).is_file() || bundle::find(last).is_some()) => {
            (rest, Some(last))
        }
        _ => (args.pattern.as_slice(), None),
    };
    let mut all = Vec::new();
    match script {
        Some(name) => of_script(name, &mut all)?,
        None => {
            for (name, text) in bundle::SCRIPTS.iter().filter(|(name, _)| name.starts_with("std/")) {
                take(&syntax::parse(text, FileId(0)).0, Some(name), &mut all);
            }
        }
    }
    let mut out = String::new();
    for found in &all {
        for (probe, leg) in probes(&found.join) {
            if patterns.iter().any(|p| matches(p, &probe)) {
                line(&mut out, found, &probe, leg, args.verbose);
            }
        }
    }
    Ok(out)
}

/// `join:*` has the results, `join:*:late` what came late, `join:*:orphan:*` what belonged to nothing: as an attach point does.
fn matches(pattern: &str, probe: &str) -> bool {
    let (wanted, parts): (Vec<&str>, Vec<&str>) = (pattern.split(':').collect(), probe.split(':').collect());
    match wanted.len() {
        1 => wanted[0] == "join",
        n => n == parts.len() && wanted.iter().zip(parts).all(|(w, p)| check::glob_matches(w, p)),
    }
}

/// The blocks that there can be at a join; orphans with their leg.
fn probes(join: &Join) -> Vec<(String, Option<&Leg>)> {
    let name = &join.name.text;
    let legs = join.clauses.iter().filter_map(|c| match &c.kind {
        JoinClauseKind::Leg(leg) => Some((format!("join:{name}:orphan:{}", leg.name.text), Some(leg))),
        _ => None,
    });
    [(format!("join:{name}"), None), (format!("join:{name}:late"), None)].into_iter().chain(legs).collect()
}

fn line(out: &mut String, found: &Found, probe: &str, leg: Option<&Leg>, verbose: bool) {
    let _ = match &found.module {
        Some(module) => writeln!(out, "{probe:<36} import \"{module}\""),
        None => writeln!(out, "{probe}"),
    };
    if !verbose {
        return;
    }
    if let Some(leg) = leg {
        let _ = writeln!(out, "    {}({}) by {}", leg.agg.text, leg.source.text, by(leg));
        return;
    }
    for clause in &found.join.clauses {
        let _ = match &clause.kind {
            JoinClauseKind::From { var, stream, .. } => writeln!(out, "    from {} = {}", var.text, stream.text),
            JoinClauseKind::Leg(leg) if !probe.ends_with(":late") => {
                writeln!(out, "    {} = {}({}) by {}", leg.name.text, leg.agg.text, leg.source.text, by(leg))
            }
            _ => Ok(()),
        };
    }
}

fn by(leg: &Leg) -> String {
    leg.by.iter().map(|k| k.text.as_str()).collect::<Vec<_>>().join(" else ")
}

fn of_script(name: &str, all: &mut Vec<Found>) -> Result<(), ExitStatus> {
    let (text, directory) = match bundle::find(name) {
        Some(text) if !Path::new(name).is_file() => (text.to_owned(), None),
        _ => {
            let text = std::fs::read_to_string(name).map_err(|error| {
                crate::printer::err_line(&format!("error: {name}: {error}"));
                ExitStatus::Script
            })?;
            (text, Path::new(name).parent().map(Path::to_owned))
        }
    };
    let mut loaded = Loaded::parse(name.to_owned(), text, directory, &Setting::default());
    let failed = loaded.has_errors();
    loaded.report(false, frontend::text_style());
    if failed {
        return Err(ExitStatus::Script);
    }
    take(&loaded.script, None, all);
    let own: BTreeSet<String> = all.iter().map(|f| f.join.name.text.clone()).collect();
    imported(&loaded.script, &loaded.world, &mut BTreeSet::new(), all);
    // A script's join takes the place of a module's of its name.
    all.retain(|f| f.module.is_none() || !own.contains(&f.join.name.text));
    Ok(())
}

fn imported(script: &Script, world: &dyn World, seen: &mut BTreeSet<String>, all: &mut Vec<Found>) {
    for item in &script.items {
        let Item::Import(import) = item else { continue };
        if !seen.insert(import.path.clone()) {
            continue;
        }
        if let Answer::Found((name, text)) = world.module(&import.path) {
            let file = SourceMap::default().add(name, text.clone());
            let module = syntax::parse(&text, file).0;
            take(&module, Some(&import.path), all);
            imported(&module, world, seen, all);
        }
    }
}

fn take(script: &Script, module: Option<&str>, all: &mut Vec<Found>) {
    for item in &script.items {
        if let Item::Join(join) = item {
            all.push(Found { module: module.map(str::to_owned), join: join.clone() });
        }
    }
}

//! `weftrace run SCRIPT --help`: a script's header and its flags, those of the modules that it imports too.

use crate::bundle;
use std::{collections::BTreeSet, fmt::Write};
use weftrace_lang::{
    ast::{Item, Script},
    check::{self, Flag},
    span::FileId,
    syntax,
    world::{Answer, World},
};

pub fn text(name: &str, text: &str, script: &Script, world: &dyn World) -> String {
    let header = bundle::header(text);
    let mut out = format!("{name}: {}\n", header.get("title").unwrap_or("a script"));
    for key in ["answers", "layers", "needs", "params"] {
        if let Some(value) = header.get(key) {
            let _ = writeln!(out, "  {key}: {value}");
        }
    }
    let _ = writeln!(out, "\nUsage: weftrace run [OPTIONS OF WEFTRACE] {name} [FLAGS]");
    let mut told = BTreeSet::new();
    flags(text, script, &mut told, &mut out);
    let mut seen = BTreeSet::new();
    let mut imports: Vec<_> = imports(script).into_iter().map(|path| (path, name.to_owned())).collect();
    while let Some((path, from)) = imports.pop() {
        if let Answer::Found((name, text)) = world.module_from(&path, &from) {
            if !seen.insert(name.clone()) {
                continue;
            }
            let (module, _) = syntax::parse(&text, FileId(0));
            flags(&text, &module, &mut told, &mut out);
            imports.extend(self::imports(&module).into_iter().map(|path| (path, name.clone())));
        }
    }
    out
}

/// The modules that a script imports, the first as the last.
fn imports(script: &Script) -> Vec<String> {
    let path = |item: &Item| if let Item::Import(import) = item { Some(import.path.clone()) } else { None };
    script.items.iter().rev().filter_map(path).collect()
}

fn flags(text: &str, script: &Script, told: &mut BTreeSet<String>, out: &mut String) {
    for flag in check::flags(script, text) {
        if told.insert(flag.name.clone()) {
            let _ = writeln!(out, "  {:<20} {} [{}]", written(&flag), flag.help, flag.default);
        }
    }
}

/// `--slow TIME`
pub fn written(flag: &Flag) -> String {
    format!("--{} {}", flag.name, flag.takes).trim_end().to_owned()
}

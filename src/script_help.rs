//! `weftrace run SCRIPT --help`: a script's header and its flags, those of the modules that it imports too.

use crate::bundle;
use std::{collections::BTreeSet, fmt::Write};
use weftrace_lang::{
    ast::{Item, Script},
    span::FileId,
    syntax,
    world::{Answer, World},
};

pub fn text(name: &str, text: &str, script: &Script, world: &dyn World) -> String {
    let mut out = format!("{name}: {}\n", bundle::header(text, "title").unwrap_or("a script"));
    for key in ["answers", "layers", "needs"] {
        if let Some(value) = bundle::header(text, key) {
            let _ = writeln!(out, "  {key}: {value}");
        }
    }
    let _ = writeln!(out, "\nUsage: weftrace run [OPTIONS OF WEFTRACE] {name} [FLAGS]");
    let mut told = BTreeSet::new();
    flags(text, script, &mut told, &mut out);
    let mut seen = BTreeSet::new();
    let mut imports = imports(script);
    while let Some(path) = imports.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        if let Answer::Found((_, text)) = world.module(&path) {
            let (module, _) = syntax::parse(&text, FileId(0));
            flags(&text, &module, &mut told, &mut out);
            imports.extend(self::imports(&module));
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
    for item in &script.items {
        let Item::Param(p) = item else { continue };
        if told.insert(p.name.text.clone()) {
            let default = text.get(p.default.span.start as usize..p.default.span.end as usize).unwrap_or("");
            let _ = writeln!(out, "  --{:<14} {} [{default}]", p.name.text, p.help.as_deref().unwrap_or_default());
        }
    }
}

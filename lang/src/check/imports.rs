//! Modules: their texts come from the world, their items go before those of the script that imports them.

use super::headers;
use crate::ast::{Block, Expr, Ident, Import, Item, Macro, MacroParam, Script};
use crate::diag::Diagnostic;
use crate::span::{FileId, SourceMap, Span};
use crate::world::{Answer, World};
use std::collections::{HashMap, HashSet};

/// Modules of one program, at most: a chain of imports ends.
const MOST_MODULES: usize = 256;

/// What imports brought.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// Modules, each after those that it imports itself.
    pub(crate) scripts: Vec<Script>,
    /// `#define`d values of all texts.
    pub(crate) defines: HashMap<String, Expr>,
    /// `#define`s that take arguments.
    pub(crate) macros: Vec<Macro>,
    pub(crate) diags: Vec<Diagnostic>,
}

/// Reads everything that a script imports or includes.
pub(crate) fn load(script: &Script, sources: &mut SourceMap, world: &dyn World) -> Loaded {
    let mut loaded = Loaded::default();
    let mut seen = HashSet::new();
    modules(script, sources, world, &mut seen, &mut loaded);
    library(script, sources, &mut loaded);
    let mut scripts = headers::load(&loaded.scripts, script, sources, world, &mut loaded.diags);
    scripts.append(&mut loaded.scripts);
    for s in scripts.iter().chain([script]) {
        defines(s, sources, &mut loaded);
    }
    loaded.scripts = scripts;
    loaded
}

/// The language's own macros, where a text calls one of them and defines none itself.
fn library(script: &Script, sources: &mut SourceMap, out: &mut Loaded) {
    const NAME: &str = "stdlib/base.bt";
    const TEXT: &str = include_str!("../stdlib/base.bt");
    let own = |name: &str| {
        let defines = |s: &Script| s.items.iter().any(|i| matches!(i, Item::Macro(m) if m.name.text == name));
        defines(script) || out.scripts.iter().any(defines)
    };
    let called = |name: &str| (0..sources.len()).any(|i| calls(&sources.file(FileId(i as u32)).text, name));
    let names = TEXT.lines().filter_map(|l| l.strip_prefix("macro ")?.split('(').next());
    if names.into_iter().any(|name| called(name) && !own(name)) {
        let file = sources.add(NAME, TEXT);
        out.scripts.insert(0, crate::syntax::parse(TEXT, file).0);
    }
}

/// Whether `name(` stands in a text, as a word.
fn calls(text: &str, name: &str) -> bool {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(name).any(|(at, _)| text[at + name.len()..].starts_with('(') && !text[..at].ends_with(word))
}

fn modules(script: &Script, sources: &mut SourceMap, world: &dyn World, seen: &mut HashSet<String>, out: &mut Loaded) {
    for item in &script.items {
        let Item::Import(import) = item else { continue };
        if !seen.insert(import.path.clone()) {
            continue;
        }
        if seen.len() > MOST_MODULES {
            out.diags.push(Diagnostic::error(
                "too-many-imports",
                import.span,
                format!("more than {MOST_MODULES} modules"),
            ));
            return;
        }
        match world.module(&import.path) {
            Answer::Found((name, text)) => {
                let file = sources.add(name, text.clone());
                let (module, diags) = crate::syntax::parse(&text, file);
                out.diags.extend(diags);
                for item in &module.items {
                    if let Item::Config(c) = item {
                        let d = Diagnostic::error("config-in-module", c.span, "a module cannot have a config block")
                            .other(import.span, "imported here");
                        out.diags.push(d);
                    }
                }
                modules(&module, sources, world, seen, out);
                out.scripts.push(module);
            }
            Answer::NotThere if directory(import, sources, world, seen, out) => {}
            answer => out.diags.push(not_found(&import.path, import.span, &answer)),
        }
    }
}

/// `import "dir"` means every script in it. False: there is no such directory, or nothing in it.
fn directory(
    import: &Import,
    sources: &mut SourceMap,
    world: &dyn World,
    seen: &mut HashSet<String>,
    out: &mut Loaded,
) -> bool {
    let Answer::Found(names) = world.module_directory(&import.path) else { return false };
    let imports = names.iter().map(|path| Item::Import(Import { path: path.clone(), span: import.span }));
    let all = Script { shebang: None, items: imports.collect() };
    modules(&all, sources, world, seen, out);
    !names.is_empty()
}

fn not_found(path: &str, span: Span, answer: &Answer<(String, String)>) -> Diagnostic {
    let d = Diagnostic::error("no-such-module", span, format!("no module \"{path}\""));
    match answer {
        Answer::NotPermitted(why) | Answer::CouldNotTell(why) => d.note(format!("it could not be read: {why}")),
        _ => d.note("looked for beside the script, then in the bundled library (weftrace list modules)"),
    }
}

/// Names of a text that are values: of `#define`s and enums' constants.
fn values(script: &Script) -> HashSet<&str> {
    let mut names = HashSet::new();
    for item in &script.items {
        match item {
            Item::Define(define) => {
                names.insert(define.name.text.as_str());
            }
            Item::CType(def) => names.extend(def.variants.iter().map(|(name, _)| name.text.as_str())),
            _ => {}
        }
    }
    names
}

/// Parses the values of `#define`s, once.
fn defines(script: &Script, sources: &mut SourceMap, out: &mut Loaded) {
    let known = values(script);
    for item in &script.items {
        let Item::Define(define) = item else { continue };
        // `#define X X` stands beside an enum's constant.
        if define.value.trim().is_empty() || define.value == define.name.text {
            continue;
        }
        let file = sources.add(format!("#define {}", define.name.text), define.value.clone());
        let words = define.value.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let named = words.filter(|w| known.contains(w) || out.defines.contains_key(*w)).map(str::to_owned);
        let values: Vec<String> = define.params.iter().flatten().cloned().chain(named).collect();
        // What is no expression only matters where it is used, and there the name is unknown.
        let (e, diags) = crate::syntax::parse_expr_of(&define.value, file, &values);
        let Some(e) = e.filter(|_| diags.is_empty()) else { continue };
        match &define.params {
            None => {
                out.defines.insert(define.name.text.clone(), e);
            }
            Some(params) => {
                let span = e.span;
                let ident = |text: &String| MacroParam::Expr(Ident { text: text.clone(), span: define.name.span });
                out.macros.push(Macro {
                    name: define.name.clone(),
                    params: params.iter().map(ident).collect(),
                    body: Block { stmts: Vec::new(), tail: Some(Box::new(e)), span },
                    span: define.span,
                });
            }
        }
    }
}

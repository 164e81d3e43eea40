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
    let mut way = Way { seen: HashSet::new(), open: vec![sources.file(FileId(0)).name.clone()] };
    modules(script, sources, world, &mut way, &mut loaded);
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

/// Which modules were read, by the names of their texts.
struct Way {
    seen: HashSet<String>,
    /// From the script to where we are.
    open: Vec<String>,
}

impl Way {
    /// The modules from one that is not read to its end yet back to it.
    fn circle(&self, name: &str) -> Option<String> {
        let plain = |name: &str| name.strip_prefix("./").unwrap_or(name).to_owned();
        let at = self.open.iter().position(|open| plain(open) == plain(name))?;
        let names: Vec<&str> = self.open[at..].iter().map(String::as_str).chain([name]).collect();
        Some(names.join(" → "))
    }
}

fn modules(script: &Script, sources: &mut SourceMap, world: &dyn World, way: &mut Way, out: &mut Loaded) {
    for item in &script.items {
        let Item::Import(import) = item else { continue };
        let from = way.open.last().cloned().unwrap_or_default();
        let answer = world.module_from(&import.path, &from);
        let name = answer.clone().found().map_or_else(|| import.path.clone(), |(name, _)| name);
        if let Some(circle) = way.circle(&name) {
            let what = format!("modules import each other in a circle: {circle}");
            let d = Diagnostic::error("import-circle", import.span, what);
            out.diags.push(d.note("what both need goes into a module of its own"));
            continue;
        }
        if !way.seen.insert(name) {
            continue;
        }
        if way.seen.len() > MOST_MODULES {
            out.diags.push(Diagnostic::error(
                "too-many-imports",
                import.span,
                format!("more than {MOST_MODULES} modules"),
            ));
            return;
        }
        match answer {
            Answer::Found((name, text)) => {
                let file = sources.add(name.clone(), text.clone());
                let (module, diags) = crate::syntax::parse(&text, file);
                out.diags.extend(diags);
                for item in &module.items {
                    if let Item::Config(c) = item {
                        let d = Diagnostic::error("config-in-module", c.span, "a module cannot have a config block")
                            .other(import.span, "imported here");
                        out.diags.push(d);
                    }
                }
                way.open.push(name);
                modules(&module, sources, world, way, out);
                way.open.pop();
                out.scripts.push(module);
            }
            Answer::NotThere if directory(import, sources, world, way, out) => {}
            answer => out.diags.push(not_found(&import.path, import.span, &answer)),
        }
    }
}

/// `import "dir"` means every script in it. False: there is no such directory, or nothing in it.
fn directory(import: &Import, sources: &mut SourceMap, world: &dyn World, way: &mut Way, out: &mut Loaded) -> bool {
    let Answer::Found(names) = world.module_directory(&import.path) else { return false };
    let imports = names.iter().map(|path| Item::Import(Import { path: path.clone(), span: import.span }));
    let all = Script { shebang: None, items: imports.collect() };
    modules(&all, sources, world, way, out);
    !names.is_empty()
}

fn not_found(path: &str, span: Span, answer: &Answer<(String, String)>) -> Diagnostic {
    let d = Diagnostic::error("no-such-module", span, format!("no module \"{path}\""));
    match answer {
        Answer::NotPermitted(why) | Answer::CouldNotTell(why) => d.note(why),
        _ => d
            .note("looked for beside the script, in the libraries of weftrace.lock, then in the bundled library")
            .note("weftrace lib list has all; weftrace lib add URL adds a library"),
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

//! From what was typed to a checked program and an artifact.

mod facts;

use facts::Facts;

use crate::{
    args::Source,
    bundle,
    exit::ExitStatus,
    libraries::OfProject,
    own_options::{command_first, own_option, reads_positionals},
    printer, render, script_help,
};
use std::{
    ffi::OsString,
    fmt::Write,
    path::{Path, PathBuf},
    sync::Arc,
};
use weftrace_artifact::Artifact;
use weftrace_compiler::driver;
use weftrace_lang::{
    ast::{Include, Item, Script},
    check, coverage,
    diag::{Diagnostic, Note, Severity},
    hir::Program,
    recorded::WorldLog,
    span::{FileId, SourceMap, Span},
    syntax,
    world::World,
};
use weftrace_probes::world::{HeaderPath, HostWorld, Libraries, ModulePath};

/// What besides the text decides what a script means.
#[derive(Clone, Debug, Default)]
pub struct Setting {
    /// `--read`
    pub reading_file: bool,
    /// Only `test:` blocks run.
    pub only_tests: bool,
    /// Packets come from another network namespace.
    pub other_network: bool,
    /// Flags that stand for settings: as written, the setting, its value.
    pub flags: Vec<(String, String, String)>,
    pub unsafe_ok: bool,
    /// A run without `--write`.
    pub nowhere_to_write: bool,
    /// `-k`
    pub helper_warnings: bool,
    pub pid: Option<u32>,
    /// `--debuginfo`: directories with separate debug information
    pub debuginfo: Vec<String>,
    /// Processes whose stacks `dw_ustack` unwinds; None: any
    pub unwound: Option<Vec<u32>>,
    /// Of `-c`
    pub child_pid: Option<u32>,
    /// The user's list of functions that may be probed.
    pub traceable_functions: Option<PathBuf>,
    /// `-I`
    pub include_directories: Vec<PathBuf>,
    /// `--include`: headers before the script's own.
    pub include_files: Vec<PathBuf>,
    /// Blocks of the script count how often they ran.
    pub coverage: bool,
    /// Metrics are offered or sent.
    pub exemplars: bool,
    /// Modules of a recording, before the bundled ones: (name, text).
    pub modules: &'static [(&'static str, &'static str)],
    /// The recording's own script: what is in this folder now is no part of it.
    pub as_recorded: bool,
    /// The answers that the compilation of the recorded script got, for it or a later version of it.
    pub world: Option<WorldLog>,
    /// What the host answers is written down.
    pub notes_world: bool,
}

/// A script's text, where it came from, and its own arguments.
pub struct Loaded {
    pub name: String,
    pub sources: SourceMap,
    pub file: FileId,
    pub script: Script,
    pub world: HostWorld,
    /// What checker and compiler are answered by.
    facts: Facts,
    pub options: check::Options,
    pub diagnostics: Vec<Diagnostic>,
    /// What counts, if it does.
    pub coverage: Vec<coverage::Point>,
    exemplars: bool,
}

/// Reads a script: `-e` text, a file, or a bundled one by name.
pub fn load(source: &Source, setting: &Setting) -> Result<Loaded, ExitStatus> {
    let (name, text, directory, arguments) = match (&source.program, source.script.split_first()) {
        (Some(program), _) => ("-e".to_owned(), program.clone(), None, &source.script[..]),
        (None, Some((script, _))) if script.to_string_lossy().starts_with('-') && !Path::new(script).exists() => {
            printer::err_line(&format!("error: no option {}", script.to_string_lossy()));
            printer::err_line("  = note: weftrace run --help lists them; a script's own flags follow its name");
            return Err(ExitStatus::Usage);
        }
        (None, Some((script, arguments))) => {
            let (name, text, directory) = read(script)?;
            (name, text, directory, arguments)
        }
        (None, None) => {
            printer::err_line(
                "error: no script: name a file or a bundled script (weftrace list scripts), or write -e 'PROGRAM'",
            );
            return Err(ExitStatus::Usage);
        }
    };
    let setting = Setting { debuginfo: source.debuginfo.clone(), ..setting.clone() };
    let mut loaded = Loaded::parse(name, text, directory, &setting);
    let Loaded { name, script, .. } = &loaded;
    let text = &loaded.sources.file(loaded.file).text;
    if let Some(own) = arguments.iter().find_map(|a| own_option(&a.to_string_lossy(), script, text)) {
        if matches!(own.as_str(), "--help" | "-h") {
            printer::out(&printer::inert(&script_help::text(name, text, script, &loaded.world)));
            return Err(ExitStatus::Ok);
        }
        printer::err_line(&format!("error: {own} is weftrace's own option: what follows the script is for the script"));
        printer::err_line(&format!("  = write: weftrace {own} … {name}"));
        return Err(ExitStatus::Usage);
    }
    let (positional, named) = script_arguments(arguments);
    if let Some(extra) = positional.first().filter(|_| has_params(script) && !reads_positionals(text)) {
        printer::err_line(&format!("error: {name} takes flags, no other arguments: {extra}"));
        printer::err_line(&format!("  = note: weftrace run {name} --help lists them"));
        return Err(ExitStatus::Usage);
    }
    (loaded.options.positional, loaded.options.named) = (positional, named);
    Ok(loaded)
}

/// (name for messages, text, directory for imports)
fn read(script: &OsString) -> Result<(String, String, Option<std::path::PathBuf>), ExitStatus> {
    let path = Path::new(script);
    let name = script.to_string_lossy().into_owned();
    match std::fs::read(path) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => {
                // Editors on other systems write a byte order mark.
                let text = text.strip_prefix('\u{feff}').map_or(text.clone(), str::to_owned);
                let directory = path.parent().map(Path::to_owned);
                Ok((name, text, Some(directory.filter(|d| d != Path::new("")).unwrap_or_else(|| ".".into()))))
            }
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let line = error.as_bytes()[..at].split(|b| *b == b'\n').count();
                printer::err_line(&format!("error: {name} is no text: line {line} is not UTF-8 (byte {at})"));
                Err(ExitStatus::Script)
            }
        },
        Err(_) if bundle::find(&name).is_some() => {
            Ok((name.clone(), bundle::find(&name).unwrap_or_default().to_owned(), None))
        }
        Err(error) => {
            match OfProject::new(None).script(&name) {
                Some(Ok((name, text))) => return Ok((name, text, None)),
                Some(Err(why)) => {
                    printer::err_line(&format!("error: {name}: {why}"));
                    return Err(ExitStatus::Script);
                }
                None => {}
            }
            if let Some(line) = command_first(script) {
                printer::err_line(&format!(
                    "error: {name} is a command, not a script: it comes first, then its options"
                ));
                printer::err_line(&format!("  = write: {}", printer::inert(&line)));
                return Err(ExitStatus::Usage);
            }
            printer::err_line(&format!("error: {name}: {error}"));
            let names: Vec<&str> = bundle::SCRIPTS.iter().map(|(n, _)| *n).collect();
            let near = weftrace_lang::suggest::nearest(&name, names.iter().copied(), 3);
            if !near.is_empty() {
                printer::err_line(&format!("  = near by name: {}", near.join(", ")));
            }
            printer::err_line(
                "  = note: bundled scripts: weftrace list scripts; a program text: weftrace -e 'PROGRAM'",
            );
            Err(ExitStatus::Script)
        }
    }
}

fn has_params(script: &Script) -> bool {
    script.items.iter().any(|i| matches!(i, Item::Param(_)))
}

/// `--name value`, `--name=value` and the rest, in order.
fn script_arguments(arguments: &[OsString]) -> (Vec<String>, Vec<(String, Option<String>)>) {
    let (mut positional, mut named) = (Vec::new(), Vec::new());
    let mut arguments = arguments.iter().map(|a| a.to_string_lossy().into_owned()).peekable();
    while let Some(argument) = arguments.next() {
        match argument.strip_prefix("--") {
            Some("") | None => {
                if argument != "--" {
                    positional.push(argument);
                }
            }
            Some(flag) => {
                if let Some((name, value)) = flag.split_once('=') {
                    named.push((name.to_owned(), Some(value.to_owned())));
                } else {
                    let value = arguments.next_if(|next| !next.starts_with("--"));
                    named.push((flag.to_owned(), value));
                }
            }
        }
    }
    (positional, named)
}

/// This host's facts, with the caller's PATH.
pub fn world(pid: Option<u32>, traceable: Option<&Path>) -> HostWorld {
    let mut world = HostWorld::new().with_pid(pid);
    if let Some(path) = std::env::var_os("PATH") {
        world = world.with_search_path(&path.to_string_lossy());
    }
    if let Some(file) = traceable {
        world.host().set_traceable_file(file.to_owned());
    }
    world
}

/// `BPFTRACE_MAX_STRLEN=200` is the config variable `max_strlen`.
fn environment() -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = std::env::vars()
        .filter_map(|(name, value)| Some((name.strip_prefix("BPFTRACE_")?.to_lowercase(), value)))
        .filter(|(name, _)| !matches!(name.as_str(), "btf" | "kernel_build" | "kernel_source" | "vmlinux" | "color"))
        .collect();
    found.sort();
    found
}

/// A place of the script whose facts this user may not look at.
pub struct Refusal {
    pub source: String,
    pub not_permitted: bool,
    pub why: String,
}

impl Loaded {
    /// A script's text, parsed; imports are looked for in `directory` too.
    pub fn parse(name: String, text: String, directory: Option<PathBuf>, setting: &Setting) -> Self {
        let mut sources = SourceMap::default();
        let headers = HeaderPath { beside: directory.clone(), directories: setting.include_directories.clone() };
        let libraries =
            (!setting.as_recorded).then(|| Arc::new(OfProject::new(directory.as_deref())) as Arc<dyn Libraries>);
        let modules = ModulePath {
            bundled: bundle::SCRIPTS,
            recorded: setting.modules,
            directories: directory.into_iter().collect(),
            libraries,
        };
        let world = world(setting.pid, setting.traceable_functions.as_deref())
            .with_debuginfo(&setting.debuginfo)
            .with_modules(modules)
            .with_headers(headers);
        let facts = Facts::of(setting.world.as_ref(), setting.notes_world);
        let mut defines = syntax::Defines::default();
        let release =
            || setting.world.as_ref().map_or_else(|| world.kernel_release(), |log| log.kernel_release.clone());
        if let Some(version) = text.contains("LINUX_VERSION_CODE").then(|| version_code(&release())).flatten() {
            defines.set("LINUX_VERSION_CODE", &version.to_string());
        }
        let (mut script, diagnostics) = syntax::parse_with(&text, FileId(0), &mut defines);
        let coverage = if setting.coverage { coverage::instrument(&mut script) } else { Vec::new() };
        let includes = setting.include_files.iter().map(|path| {
            // A file of the user's, or one of the headers that need not be installed.
            let own = path.exists().then(|| std::path::absolute(path).ok()).flatten();
            let (system, path) = (own.is_none(), own.as_ref().unwrap_or(path).display().to_string());
            Item::Include(Include { path, system, span: Span::default() })
        });
        script.items.splice(0..0, includes);
        let file = sources.add(name.clone(), text);
        let options = check::Options {
            unsafe_ok: setting.unsafe_ok,
            nowhere_to_write: setting.nowhere_to_write,
            helper_warnings: setting.helper_warnings,
            reading_file: setting.reading_file,
            only_tests: setting.only_tests,
            other_network: setting.other_network,
            config: environment(),
            flags: setting.flags.clone(),
            pid: setting.pid,
            child_pid: setting.child_pid,
            unwound: setting.unwound.clone(),
            ..check::Options::default()
        };
        let exemplars = setting.exemplars;
        Self { name, sources, file, script, world, facts, options, diagnostics, coverage, exemplars }
    }

    /// Checks the script; findings are added to `diagnostics`.
    pub fn check(&mut self) -> Program {
        let broken = self.has_errors();
        let Self { script, sources, world, facts, options, .. } = self;
        let (program, mut found) = facts.ask(world, |world| check::analyze(script, sources, world, options));
        if broken {
            found.retain(|d| self.stands_alone(d));
        }
        self.diagnostics.extend(found);
        program
    }

    /// Whether a finding of the checker is worth telling about a script with syntax errors: what could not be parsed would
    /// only be reported again as missing.
    fn stands_alone(&self, found: &Diagnostic) -> bool {
        const ALONE: &[&str] = &[
            "argument-count",
            "bad-attach-point",
            "bad-filter",
            "bad-format",
            "format-arguments",
            "no-args",
            "no-retval",
            "no-such-probe",
            "packet-field",
            "undefined-variable",
            "unknown-field",
            "unknown-function",
            "unknown-provider",
            "unsafe",
            "wrong-place",
        ];
        let broken = |item: weftrace_lang::span::Span| {
            let inside =
                |d: &Diagnostic| d.span.file == item.file && item.start <= d.span.start && d.span.start <= item.end;
            self.diagnostics.iter().any(|d| d.severity == Severity::Error && inside(d))
        };
        let whole = self
            .script
            .items
            .iter()
            .map(weftrace_lang::ast::Item::span)
            .find(|i| i.start <= found.span.start && found.span.end <= i.end);
        found.severity == Severity::Error
            && ALONE.contains(&found.code)
            && found.span.file == self.file
            && whole.is_some_and(|i| !broken(i))
    }

    /// Whether nothing is wrong but that this user may not look.
    pub fn lacks_only_permission(&self) -> bool {
        let mut errors = self.diagnostics.iter().filter(|d| d.severity == Severity::Error).peekable();
        errors.peek().is_some() && errors.all(Diagnostic::is_refusal)
    }

    /// Takes the findings that say what could not be looked at.
    pub fn take_refusals(&mut self) -> Vec<Refusal> {
        let found = std::mem::take(&mut self.diagnostics);
        let refusals = found.into_iter().filter(|d| d.severity == Severity::Error).map(|d| {
            let notes = d.notes.iter().map(|(Note::Write(t) | Note::Note(t) | Note::Near(t))| t.as_str());
            let why = std::iter::once(d.message.as_str()).chain(notes).collect::<Vec<_>>().join(": ");
            Refusal { source: self.sources.snippet(d.span).to_owned(), not_permitted: d.code == "no-permission", why }
        });
        refusals.collect()
    }

    pub fn compile(&mut self, program: &Program) -> Artifact {
        let target = self.target();
        let Self { sources, world, facts, .. } = self;
        let (artifact, found) = facts.ask(world, |world| driver::compile(program, sources, world, &target));
        self.diagnostics.extend(found);
        artifact
    }

    /// The same with the plan's text.
    pub fn compile_with_plan(&mut self, program: &Program) -> (Artifact, String) {
        let target = self.target();
        let Self { sources, world, facts, .. } = self;
        let (artifact, text, found) =
            facts.ask(world, |world| driver::compile_with_plan(program, sources, world, &target));
        self.diagnostics.extend(found);
        (artifact, text)
    }

    /// What the host answered so far, if that was to be written down.
    pub fn take_world(&mut self) -> Option<WorldLog> {
        self.facts.take_log()
    }

    fn target(&self) -> driver::Options {
        let options = driver::Options::default();
        driver::Options { read_file: self.options.reading_file, exemplars: self.exemplars, ..options }
    }

    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|d| d.severity == Severity::Error)
    }

    /// Prints the findings so far (errors always, warnings unless quiet), each once.
    pub fn report(&mut self, quiet: bool, style: render::Style) {
        let mut found = std::mem::take(&mut self.diagnostics);
        found.retain(|d| !quiet || d.severity == Severity::Error);
        let (idle, found): (Vec<Diagnostic>, Vec<Diagnostic>) =
            found.into_iter().partition(|d| d.code == "not-running" && style != render::Style::Json);
        let text = render::render_all(&found, &self.sources, style);
        // For machines it is the output.
        if style == render::Style::Json {
            printer::out(&text);
        } else {
            printer::err(&text);
            printer::err(&render::more(&found));
        }
        printer::err(&not_running(&idle));
    }
}

/// KERNEL_VERSION(6, 18, 44) of `Linux 6.18.44-… x86_64`.
fn version_code(release: &str) -> Option<u64> {
    let version = release.split_whitespace().find(|w| w.starts_with(|c: char| c.is_ascii_digit()))?;
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse::<u64>().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    Some((next() << 16) + (next() << 8) + next().min(255))
}

/// One line for each reason: `note: not running (--read has no kernel events): a, b`.
fn not_running(idle: &[Diagnostic]) -> String {
    let mut by_reason: Vec<(&str, Vec<&str>)> = Vec::new();
    for d in idle {
        let (name, reason) = d.message.split_once(" is not running: ").unwrap_or((&d.message, ""));
        match by_reason.iter_mut().find(|(r, _)| *r == reason) {
            Some((_, names)) if names.contains(&name) => {}
            Some((_, names)) => names.push(name),
            None => by_reason.push((reason, vec![name])),
        }
    }
    let mut out = String::new();
    for (reason, names) in by_reason {
        let _ = writeln!(out, "note: not running, since {reason}: {}", names.join(", "));
    }
    out
}

/// Text in the terminal's colours, or plain.
pub fn text_style() -> render::Style {
    if printer::stderr_colour() { render::Style::Colour } else { render::Style::Plain }
}

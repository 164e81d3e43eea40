//! Runs a program as bpftrace does.

use super::{args::Args, gate::Gate, render};
use crate::{
    frontend::{Loaded, Setting},
    printer,
};
use std::{
    ffi::OsString,
    fmt::Write as _,
    fs::File,
    io::{self, Read, Write},
    path::Path,
};
use weftrace_artifact::Artifact;
use weftrace_lang::{
    diag::Severity,
    hir::{Missing, Program, Ty},
    span::{FileId, SourceMap},
    syntax,
};
use weftrace_runtime::{
    Error, Session, SessionOptions,
    sink::{JsonSink, Message, Sink, TextSink},
    style::Style,
    sys::Child,
};

/// An error for stderr; the exit code is 1.
type Failed = String;

pub fn run(args: &Args) -> i32 {
    match try_run(args) {
        Ok(code) => code,
        Err(text) => {
            if !text.is_empty() {
                printer::err_line(&format!("ERROR: {text}"));
            }
            1
        }
    }
}

fn try_run(args: &Args) -> Result<i32, Failed> {
    if args.list {
        return super::list::run(args);
    }
    if args.info {
        printer::out(&super::info::text());
        return Ok(0);
    }
    let (name, text) = program(args)?;
    if args.mode() == "format" {
        return laid_out(&name, text);
    }
    let pid = args.pid.as_deref().map(pid).transpose()?;
    let child = args.cmd.as_deref().map(|c| Child::prepare(&command(c))).transpose();
    let child = child.map_err(|e| format!("Failed to fork child: {e}"))?;
    let mut unwound = args.dwarf_pid.iter().map(|p| self::pid(p)).collect::<Result<Vec<u32>, _>>()?;
    unwound.extend(pid.into_iter().chain(child.as_ref().map(Child::pid)));
    let child_pid = child.as_ref().map(Child::pid);
    let setting = Setting { pid, unwound: Some(unwound), child_pid, ..setting(args) };
    let directory = Path::new(&name).parent().map(Path::to_owned);
    let mut loaded = Loaded::parse(name, text, directory, &setting);
    take_parameters(&mut loaded, args);
    let mut sink = sink(args)?;
    let program = loaded.check();
    if asks_for_help(&loaded, &program) {
        printer::err(&parameters_help(&program));
        return Err(String::new());
    }
    let artifact = if loaded.has_errors() { Artifact::default() } else { loaded.compile(&program) };
    printer::err(&render::render_all(&loaded.diagnostics, &loaded.sources, Severity::Error));
    if loaded.has_errors() {
        return Err(String::new());
    }
    if !args.no_warnings {
        printer::err(&render::render_all(&loaded.diagnostics, &loaded.sources, Severity::Warning));
    }
    super::stages::print(args, &mut loaded, &program)?;
    if super::stages::emit_elf(args, &artifact)? {
        return Ok(0);
    }
    let missing = program.config.missing_probes;
    drop((program, loaded));
    let left_out = super::select::left_out(&artifact, args.probe_filter.as_deref())?;
    if left_out.len() == artifact.probes.len() {
        if !args.quiet {
            printer::out("No probes to attach\n");
        }
        return Err(String::new());
    }
    let idle = super::select::idle(&artifact);
    let options = SessionOptions {
        pid,
        strict: missing == Missing::Error,
        allow_unsafe: args.r#unsafe,
        dry_run: args.dry_run,
        by_hand: super::select::by_hand(args.mode()),
        left_out,
        ..SessionOptions::default()
    };
    sink.missing = missing;
    execute(artifact, options, child, Box::new(sink)).map_err(|error| in_its_words(error, idle))
}

/// What the command line says of how the script is checked.
fn setting(args: &Args) -> Setting {
    Setting {
        unsafe_ok: args.r#unsafe,
        nowhere_to_write: true,
        helper_warnings: args.warnings > 0,
        debuginfo: args.debuginfo.clone(),
        traceable_functions: args.traceable_functions.clone(),
        include_directories: args.include_dirs.clone(),
        include_files: args.include_files.clone(),
        ..Setting::default()
    }
}

/// The script's own parameters.
fn take_parameters(loaded: &mut Loaded, args: &Args) {
    for parameter in parameters(args) {
        let parameter = parameter.to_string_lossy();
        match parameter.strip_prefix("--") {
            Some(named) => {
                let (name, value) = named.split_once('=').map_or((named, None), |(n, v)| (n, Some(v.to_owned())));
                loaded.options.named.push((name.to_owned(), value));
            }
            None => loaded.options.positional.push(parameter.into_owned()),
        }
    }
}

/// What bpftrace says when a run can't start; `idle`: why a program without probes has nothing to do.
fn in_its_words(error: Error, idle: Option<&str>) -> Failed {
    match error {
        Error::Attach { probe, why, remedy, .. } => {
            let remedy = remedy.map(|r| format!("\nHINT: {r}")).unwrap_or_default();
            format!(
                "{why}{remedy}\nERROR: Unable to attach probe: {probe}. If this is expected, set the 'missing_probes' config variable to 'warn'."
            )
        }
        Error::NothingAttached(_) => idle.unwrap_or("Attachment failed for all probes.").to_owned(),
        error => error.to_string(),
    }
}

fn execute(
    artifact: Artifact,
    options: SessionOptions,
    child: Option<Child>,
    sink: Box<dyn Sink>,
) -> Result<i32, Error> {
    let dry_run = options.dry_run;
    let mut session = Session::new(artifact, SessionOptions { shed_privileges: true, ..options })?;
    if let Some(child) = child {
        session = session.adopt(child);
    }
    let running = session.start(sink)?;
    if dry_run {
        return Ok(0);
    }
    Ok(running.run()?.exit_code as i32)
}

/// `--fmt`: the script's text laid out anew.
fn laid_out(name: &str, text: String) -> Result<i32, Failed> {
    match syntax::format(&text, FileId(0)) {
        Ok(text) => {
            printer::out(&text);
            Ok(0)
        }
        Err(found) => {
            let mut sources = SourceMap::default();
            sources.add(name.to_owned(), text);
            printer::err(&render::render_all(&found, &sources, Severity::Error));
            Err(String::new())
        }
    }
}

/// `-- --help`, of a script that has no such flag itself.
fn asks_for_help(loaded: &Loaded, program: &Program) -> bool {
    !loaded.has_errors()
        && loaded.options.named.iter().any(|(name, _)| name == "help")
        && !program.params.iter().any(|p| p.name == "help")
}

/// The script's own flags.
fn parameters_help(program: &Program) -> String {
    if program.params.is_empty() {
        return "HINT: no custom program options defined.\n".to_owned();
    }
    let mut out = "HINT: expected program options:\n".to_owned();
    // Switches, then what takes a value, then what is described.
    let mut params: Vec<_> = program.params.iter().collect();
    params.sort_by_key(|p| (!p.help.is_empty(), p.ty != Ty::Bool));
    for p in params {
        let help = if p.help.is_empty() { String::new() } else { format!(": {}", p.help) };
        let _ = writeln!(out, "--{}{help}", p.name);
    }
    out
}

/// What follows the program: its own parameters.
pub(super) fn parameters(args: &Args) -> &[std::ffi::OsString] {
    if args.program.is_some() { &args.rest[..] } else { args.rest.get(1..).unwrap_or_default() }
}

/// bpftrace splits `-c` at blanks, and quotes mean nothing to it; a script that counts on that works here too.
fn command(text: &str) -> Vec<OsString> {
    text.split(' ').filter(|w| !w.is_empty()).map(OsString::from).collect()
}

/// The program's name for messages, and its text.
pub(super) fn program(args: &Args) -> Result<(String, String), Failed> {
    if let Some(program) = &args.program {
        return Ok(("stdin".to_owned(), program.clone()));
    }
    let name = args.rest.first().map(|f| f.to_string_lossy().into_owned()).unwrap_or_default();
    let mut bytes = Vec::new();
    if name == "-" {
        io::stdin().read_to_end(&mut bytes).map_err(|e| format!("failed to read the program: {e}"))?;
        return Ok(("stdin".to_owned(), String::from_utf8_lossy(&bytes).into_owned()));
    }
    match std::fs::read(&name) {
        Ok(bytes) => Ok((name, String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) => Err(format!("failed to open file '{name}': {}", error_text(&error))),
    }
}

/// The C library's text for an error, without Rust's `(os error 2)`.
fn error_text(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// A process id, with bpftrace's words for what is none.
pub(super) fn pid(text: &str) -> Result<u32, Failed> {
    const MOST: u64 = 0x0040_0000;
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return Err(format!("Failed to parse pid: invalid integer: {text}"));
    }
    if digits < text.len() {
        return Err(format!("Failed to parse pid: invalid trailing bytes: {text}"));
    }
    match text.parse::<u64>() {
        Ok(pid) if pid <= MOST => Ok(pid as u32),
        _ => Err(format!("Pid out of range: {text}")),
    }
}

fn sink(args: &Args) -> Result<Noticed, Failed> {
    let to: Box<dyn Write> = match &args.output {
        None => printer::output(),
        Some(path) => Box::new(
            File::create(path)
                .map_err(|e| format!("Failed to open output file: \"{}\": {}", path.display(), error_text(&e)))?,
        ),
    };
    let gate = Gate::new(to);
    let to = Box::new(gate.clone());
    // Results of tests and benchmarks stand alone.
    let quiet = args.quiet || super::select::by_hand(args.mode()).is_some();
    let inner: Box<dyn Sink> = match args.format.as_deref() {
        None | Some("text" | "") => Box::new(TextSink::new(to, printer::messages(), quiet)),
        Some("json") => Box::new(JsonSink::new(to, quiet)),
        Some(other) => return Err(format!("Invalid output format \"{other}\"\nValid formats: 'text', 'json'")),
    };
    let notice = std::env::var_os("__BPFTRACE_NOTIFY_PROBES_ATTACHED").is_some();
    Ok(Noticed { inner, gate, notice, warnings: !args.no_warnings, missing: Missing::Error })
}

/// Says when probes are attached, also for test runners that wait for it, before anything else; leaves out warnings where they are not wanted.
struct Noticed {
    inner: Box<dyn Sink>,
    gate: Gate,
    notice: bool,
    warnings: bool,
    /// What a probe that does not attach means.
    missing: Missing,
}

impl Noticed {
    fn not_attached(&self, probe: &str, why: &str) {
        if self.missing == Missing::Warn && self.warnings {
            printer::err(&format!("WARNING: {why}\nWARNING: Unable to attach probe: {probe}. Skipping.\n"));
        }
    }
}

impl Sink for Noticed {
    fn message(&mut self, message: &Message<'_>, style: &mut Style<'_>) -> io::Result<()> {
        use weftrace_artifact::action::LogLevel;
        let warning = matches!(message, Message::Log { level: LogLevel::Warning, .. } | Message::Warning { .. });
        if warning && !self.warnings {
            return Ok(());
        }
        if let Message::NotAttached { probe, why, .. } = message {
            self.not_attached(probe, why);
            return Ok(());
        }
        if !matches!(message, Message::Attached(_)) {
            return self.inner.message(message, style);
        }
        self.inner.flush()?;
        let before = self.gate.held();
        self.inner.message(message, style)?;
        self.inner.flush()?;
        if self.notice {
            printer::out("__BPFTRACE_NOTIFY_PROBES_ATTACHED\n");
        }
        self.gate.open(before)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

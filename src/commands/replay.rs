//! `weftrace record` and `weftrace replay`: a run that is recorded, and a recording in place of one.

mod world;

use super::run::{self, Mode, Replayed};
use crate::{
    args::{Record, Replay, Run},
    exit::ExitStatus,
    frontend::{Loaded, Setting},
    printer,
};
use std::path::Path;
use weftrace_lang::recorded::WorldLog;
use weftrace_runtime::{Passphrase, RecordOptions, Recorded, RecordingError, SealError, read_recording, sys::Child};

pub fn record(mut args: Record) -> ExitStatus {
    if !args.run.read.is_empty() || args.run.dry_run {
        printer::err_line("error: record records a live run: --read and --dry-run have nothing to record");
        return ExitStatus::Usage;
    }
    let Some(path) = args.run.output.take() else {
        printer::err_line("error: record needs the name of a file to write");
        printer::err_line("  = write: weftrace record -o FILE SCRIPT");
        return ExitStatus::Usage;
    };
    let passphrase = match passphrase(args.passphrase_file.as_deref()) {
        Ok(passphrase) => passphrase.filter(|_| args.encrypt),
        Err(why) => return no_passphrase(&why),
    };
    if args.encrypt && passphrase.is_none() {
        return no_passphrase("--encrypt needs a passphrase");
    }
    let options = RecordOptions { path, redact: !args.run.no_redact, passphrase, ..RecordOptions::default() };
    run::run_as(&args.run, Mode::Record(options))
}

pub fn replay(mut args: Replay) -> ExitStatus {
    if let Some(option) = live_only(&args.run) {
        printer::err_line(&format!("error: {option} is for live runs: a recording has its own events and times"));
        return ExitStatus::Usage;
    }
    let passphrase = match passphrase(args.passphrase_file.as_deref()) {
        Ok(passphrase) => passphrase,
        Err(why) => return no_passphrase(&why),
    };
    let recorded = match read_recording(&args.recording, passphrase.as_ref()) {
        Ok(recorded) => recorded,
        Err(error) => {
            printer::err_line(&format!("error: {error}"));
            let path = args.recording.display();
            let hint = match error {
                RecordingError::NotARecording(_) => format!("weftrace run --read {path} SCRIPT reads its packets"),
                RecordingError::Sealed { error: SealError::NoPassphrase, .. } => {
                    format!("weftrace replay --passphrase-file FILE {path}")
                }
                RecordingError::Sealed { error: SealError::ForAKey, .. } => {
                    format!("age -d -i KEY {path} | weftrace replay -")
                }
                _ => return ExitStatus::Damaged,
            };
            printer::err_line(&format!("  = write: {hint}"));
            return ExitStatus::Damaged;
        }
    };
    let script = match (&args.run.source.program, args.run.source.script.first()) {
        (None, None) => Replayed::Own,
        (None, Some(path)) if is_later(&recorded, Path::new(path)) => Replayed::Later,
        _ => Replayed::Other,
    };
    args.run.read = vec![args.recording];
    run::run_as(&args.run, Mode::Replay { recorded, script })
}

/// Whether a script is the recorded one, or what became of it: it is called the same.
fn is_later(recorded: &Recorded, script: &Path) -> bool {
    let called = recorded.sources().first().and_then(|(name, _)| Path::new(name).file_stem());
    recorded.world().is_some() && called.is_some() && called == script.file_stem()
}

/// The first line of a file, or what the environment says: no command line, which everybody can read. None: neither.
fn passphrase(file: Option<&Path>) -> Result<Option<Passphrase>, String> {
    let Some(file) = file else {
        return Ok(std::env::var(PASSPHRASE).ok().and_then(|text| Passphrase::new(&text)));
    };
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    Passphrase::new(&text).map(Some).ok_or_else(|| format!("{}: its first line is empty", file.display()))
}

const PASSPHRASE: &str = "WEFTRACE_PASSPHRASE";

fn no_passphrase(why: &str) -> ExitStatus {
    printer::err_line(&format!("error: {why}"));
    printer::err_line(&format!("  = write: --passphrase-file FILE, or set {PASSPHRASE}"));
    ExitStatus::Usage
}

/// The first option that means nothing where nothing is live.
fn live_only(args: &Run) -> Option<&'static str> {
    let given = [
        ("--read", !args.read.is_empty()),
        ("--dry-run", args.dry_run),
        ("-c", args.command.is_some()),
        ("-p", args.pid.is_some()),
        ("--netns", args.netns.is_some()),
        ("--promiscuous", args.promiscuous),
        ("--snaplen", args.snaplen.is_some()),
        ("--packet-buffer", args.packet_buffer.is_some()),
        ("--partial", args.partial),
        ("--for", args.duration.is_some()),
        ("--lateness", !args.lateness.is_empty()),
        ("--uncertainty", !args.uncertainty.is_empty()),
    ];
    given.into_iter().find(|(_, given)| *given).map(|(option, _)| option)
}

/// The script that was recorded, with its arguments.
pub fn load(recorded: &Recorded, setting: &Setting) -> Result<Loaded, ExitStatus> {
    let Some((name, text)) = recorded.sources().first() else {
        printer::err_line("error: the recording has no script");
        return Err(ExitStatus::Damaged);
    };
    let mut loaded = Loaded::parse(name.clone(), text.clone(), None, setting);
    let of = |wanted: &str| {
        let arguments = recorded.arguments().iter().filter(move |(kind, ..)| kind == wanted);
        arguments.map(|(_, name, value)| (name.clone(), value.clone())).collect::<Vec<_>>()
    };
    loaded.options.positional = of("positional").into_iter().map(|(_, value)| value).collect();
    loaded.options.named = of("named").into_iter().map(|(name, value)| (name, Some(value))).collect();
    loaded.options.named.extend(of("switch").into_iter().map(|(name, _)| (name, None)));
    loaded.options.config = of("config");
    let number = |kind: &str| of(kind).first().and_then(|(_, pid)| pid.parse().ok());
    (loaded.options.child_pid, loaded.options.pid) = (number("child"), number("pid"));
    loaded.options.other_network = !of("network").is_empty();
    Ok(loaded)
}

/// The recorded script has errors. To the version that recorded it, it had none.
pub fn no_script(recorded: &Recorded) -> ExitStatus {
    if recorded.version() != env!("CARGO_PKG_VERSION") {
        return ExitStatus::Script;
    }
    printer::err_line("error: the recording is damaged: its script can no longer be compiled");
    ExitStatus::Damaged
}

/// What the command line and the environment gave a script, so that a replay compiles the same.
pub fn arguments(loaded: &Loaded, child: Option<&Child>) -> Vec<(String, String, String)> {
    let options = &loaded.options;
    let word = |kind: &str, name: &str, value: &str| (kind.to_owned(), name.to_owned(), value.to_owned());
    let positional = options.positional.iter().map(|value| word("positional", "", value));
    let named = options.named.iter().map(|(name, value)| match value {
        Some(value) => word("named", name, value),
        None => word("switch", name, ""),
    });
    let config = options.config.iter().map(|(name, value)| word("config", name, value));
    let child = child.map(|child| word("child", "", &child.pid().to_string()));
    let pid = options.pid.map(|pid| word("pid", "", &pid.to_string()));
    let network = options.other_network.then(|| word("network", "other", ""));
    positional.chain(named).chain(config).chain(child).chain(pid).chain(network).collect()
}

/// What the host answered, for the recording.
pub fn answers(loaded: &mut Loaded) -> Result<Vec<u8>, ExitStatus> {
    let Some(log) = loaded.take_world() else { return Ok(Vec::new()) };
    world::pack(&log).map_err(|why| {
        printer::err_line(&format!("error: what this host says of the script's probes can't be recorded: {why}"));
        ExitStatus::NotWritten
    })
}

/// The same of a recording; None: it has none, and of its script only what needs no kernel is replayed.
pub fn recorded_world(recorded: &Recorded) -> Result<Option<WorldLog>, ExitStatus> {
    world::unpack(recorded).map_err(|why| {
        printer::err_line(&format!("error: the recording is damaged: the answers of its host can't be read: {why}"));
        ExitStatus::Damaged
    })
}

/// The recording's modules, by every name that an import may have had for them.
pub fn modules(recorded: &Recorded) -> Vec<(&'static str, &'static str)> {
    // A recording may be made to harm: of what is no path nothing is kept.
    const MOST: usize = 256;
    let is_path = |name: &str| name.len() <= 1024 && name.matches('/').count() <= 32;
    let mut modules = Vec::new();
    for (name, text) in recorded.sources().iter().skip(1).filter(|(name, _)| is_path(name)).take(MOST) {
        let text: &'static str = text.clone().leak();
        // A library's text is called `team@COMMIT/db.probe`, and imported as `team/db`.
        let written = match name.split_once('/') {
            Some((library, path)) => format!("{}/{path}", library.split('@').next().unwrap_or(library)),
            None => name.clone(),
        };
        let name = &written;
        let plain = name.trim_end_matches(".probe").trim_end_matches(".bt");
        for name in [name.as_str(), plain] {
            let tails = name.match_indices('/').map(|(at, _)| &name[at + 1..]);
            for tail in std::iter::once(name).chain(tails) {
                for start in ["", "./", "../"] {
                    let written: &'static str = format!("{start}{tail}").leak();
                    modules.push((written, text));
                }
            }
        }
    }
    modules
}

/// What doesn't run has its records in the recording, or is told so.
pub fn reword(loaded: &mut Loaded, own: bool) {
    if own {
        loaded.diagnostics.retain(|d| d.code != "not-running");
    }
    for d in &mut loaded.diagnostics {
        let (from, to) = ("--read has no kernel events", "a recording has of kernel events only what was emitted");
        d.message = d.message.replace(from, to);
    }
}

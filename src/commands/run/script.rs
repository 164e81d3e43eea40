//! From the script to what is to run.

use super::{
    Mode, Replayed, options,
    refusals::{nothing_to_capture, nothing_to_run, nothing_to_write, nothing_watched},
    tells_plan,
};
use crate::{
    args::Run,
    commands::{needs, replay},
    exit::ExitStatus,
    frontend::{self, Loaded, Setting},
    printer,
};
use weftrace_artifact::Artifact;
use weftrace_runtime::sys::Child;

/// A script that can run.
pub(super) struct Ready {
    pub(super) loaded: Loaded,
    pub(super) artifact: Artifact,
    /// As text, if it is told.
    pub(super) plan: String,
}

/// Reads, checks and compiles the script. What is wrong with it has been said.
pub(super) fn ready(args: &Run, mode: &Mode, child: Option<&Child>) -> Result<Ready, ExitStatus> {
    let setting = setting(args, mode, child)?;
    let mut loaded = match mode {
        Mode::Replay { recorded, script: Replayed::Own } => replay::load(recorded, &setting)?,
        _ => frontend::load(&args.source, &setting)?,
    };
    let program = loaded.check();
    let (artifact, plan) = match loaded.has_errors() {
        true => Default::default(),
        false if tells_plan(args) => loaded.compile_with_plan(&program),
        false => (loaded.compile(&program), String::new()),
    };
    let (failed, not_permitted) = (loaded.has_errors(), loaded.lacks_only_permission());
    if let Mode::Replay { script, .. } = mode {
        replay::reword(&mut loaded, *script == Replayed::Own);
    }
    loaded.report(args.quiet, frontend::text_style());
    if not_permitted {
        printer::err(&needs::permit_to_check(&loaded.world));
        return Err(ExitStatus::Attach);
    }
    if failed {
        return Err(match mode {
            Mode::Replay { recorded, script: Replayed::Own } => replay::no_script(recorded),
            _ => ExitStatus::Script,
        });
    }
    if artifact.probes.is_empty() && (artifact.joins.is_empty() || !matches!(mode, Mode::Replay { .. })) {
        return Err(nothing_to_run(!program.probes.is_empty()));
    }
    let waits = !matches!(mode, Mode::Replay { .. }) && args.read.is_empty() && !args.only_tests;
    if waits && let Some(status) = nothing_watched(&program) {
        return Err(status);
    }
    match nothing_to_write(args, &artifact).or_else(|| nothing_to_capture(args, &artifact)) {
        Some(status) => Err(status),
        None => Ok(Ready { loaded, artifact, plan }),
    }
}

fn setting(args: &Run, mode: &Mode, child: Option<&Child>) -> Result<Setting, ExitStatus> {
    let setting = Setting {
        reading_file: !args.read.is_empty(),
        only_tests: args.only_tests,
        other_network: options(args).enters_network(),
        flags: flags(args),
        unsafe_ok: args.r#unsafe,
        helper_warnings: args.warnings,
        nowhere_to_write: args.write.is_none(),
        pid: args.pid,
        child_pid: child.map(Child::pid),
        coverage: args.coverage.is_some(),
        exemplars: args.metrics.at.is_some() || args.otlp.metrics.is_some(),
        ..Setting::default()
    };
    Ok(match mode {
        // Once in a process.
        Mode::Replay { recorded, script } => {
            let world = if *script == Replayed::Other { None } else { replay::recorded_world(recorded)? };
            let reading_file = world.is_none();
            let own = *script == Replayed::Own;
            // What a later version imports is what is there now.
            let modules = if *script == Replayed::Later { Vec::new() } else { replay::modules(recorded) };
            // Packets that the recorded run kept are kept again only if a file is named.
            let nowhere_to_write = setting.nowhere_to_write && *script == Replayed::Other;
            Setting { modules: modules.leak(), as_recorded: own, reading_file, world, nowhere_to_write, ..setting }
        }
        Mode::Record(_) => Setting { notes_world: true, ..setting },
        Mode::Live => setting,
    })
}

/// Flags that stand for settings of the script.
fn flags(args: &Run) -> Vec<(String, String, String)> {
    let flag = |flag: &str, setting: &str, value: String| (flag.to_owned(), setting.to_owned(), value);
    let mut flags = Vec::new();
    if args.promiscuous {
        flags.push(flag("--promiscuous", "pcap_promiscuous", "true".into()));
    }
    if let Some(bytes) = args.snaplen {
        flags.push(flag("--snaplen", "pcap_snaplen", bytes.to_string()));
    }
    if let Some(bytes) = args.packet_buffer {
        flags.push(flag("--packet-buffer", "pcap_buffer_bytes", bytes.to_string()));
    }
    flags
}

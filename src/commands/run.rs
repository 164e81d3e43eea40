//! `weftrace run`.

use super::{dump, needs};
use crate::{
    args::{Format, Run},
    exit::ExitStatus,
    frontend::{self, Loaded, Setting},
    printer,
};
use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::File,
    io::{self, IsTerminal, Write},
};
use weftrace_artifact::{
    Artifact,
    plan::{ProbePlan, Unit, Way},
};
use weftrace_compiler::driver;
use weftrace_lang::hir::Program;
use weftrace_probes::kernel::{
    Host,
    caps::{self, Need, Needs, PlanNeeds},
};
use weftrace_runtime::{
    Error, Outcome, Session, SessionOptions,
    sink::{JsonSink, Sink, TextSink},
    sys::Child,
};

pub fn run(args: &Run) -> ExitStatus {
    // Forked first, and waiting: the script may ask for its number.
    let child = match args.command.as_deref().map(|c| Child::prepare(&words(c))).transpose() {
        Ok(child) => child,
        Err(error) => {
            printer::err_line(&format!("error: -c: {error}"));
            return ExitStatus::Usage;
        }
    };
    let setting = Setting {
        reading_file: !args.read.is_empty(),
        unsafe_ok: args.r#unsafe,
        helper_warnings: args.warnings,
        pid: args.pid,
        child_pid: child.as_ref().map(Child::pid),
        ..Setting::default()
    };
    let mut loaded = match frontend::load(&args.source, &setting) {
        Ok(loaded) => loaded,
        Err(status) => return status,
    };
    let program = loaded.check();
    let artifact = if loaded.has_errors() { Artifact::default() } else { loaded.compile(&program) };
    let (failed, not_permitted) = (loaded.has_errors(), loaded.lacks_only_permission());
    let said = loaded.said();
    loaded.report(args.quiet, frontend::text_style());
    if not_permitted {
        printer::err(&needs::permit_to_check(&said));
        return ExitStatus::Attach;
    }
    if failed {
        return ExitStatus::Script;
    }
    if artifact.probes.is_empty() {
        return nothing_to_run(!program.probes.is_empty());
    }
    let host = Host::new();
    let needs = plan_needs(args, &artifact, (&mut loaded, &program), &host);
    let name = loaded.name.clone();
    drop((program, loaded));
    let sink = match sink(args) {
        Ok(sink) => sink,
        Err(why) => {
            printer::err_line(&format!("error: {why}"));
            return ExitStatus::Usage;
        }
    };
    if lacks_permission(&artifact, &needs, args) {
        return ExitStatus::Attach;
    }
    let options = SessionOptions { refused: refused(&needs), ..options(args) };
    match execute(&name, artifact, (child, host), sink, (options, args)) {
        Ok(Some(outcome)) => finish(&outcome, args),
        Ok(None) => ExitStatus::Ok,
        Err(error) => failed_to_run(&error, &needs, args),
    }
}

/// What the plan needs; with -v and --dry-run it is told, after the plan.
fn plan_needs(args: &Run, artifact: &Artifact, (loaded, program): (&mut Loaded, &Program), host: &Host) -> PlanNeeds {
    let told = args.verbose > 0 || args.dry_run;
    if told {
        printer::err(&dump::stage(loaded, program, driver::Stage::Plan));
    }
    // Files are read as any program reads them. And who may everything lacks nothing: it isn't looked at.
    if !args.read.is_empty() || (!told && host.caps().suffices()) {
        return PlanNeeds::default();
    }
    let needs = PlanNeeds::of(artifact, host, setting_of(args));
    if told {
        printer::err(&needs::plan_lines(&needs));
    }
    needs
}

/// What the command line adds to what the plan needs.
fn setting_of(args: &Run) -> caps::Setting {
    caps::Setting {
        namespace: options(args).enters_network(),
        command: args.command.is_some(),
        commands_run: args.r#unsafe,
    }
}

/// Says why a run did not start or ended early, and what helps.
fn failed_to_run(error: &Error, needs: &PlanNeeds, args: &Run) -> ExitStatus {
    printer::err_line(&format!("error: {}", told_once(error)));
    if let Error::Attach { remedy: Some(remedy), .. } = error {
        printer::err_line(&format!("  = {remedy}"));
    }
    if !needs.attach.missing.is_empty() {
        printer::err(&needs::reasons(&needs.attach.missing));
        printer::err(&needs::how_to_permit(needs.everything()));
    }
    match error {
        Error::Packets { .. } if !args.read.is_empty() => ExitStatus::Damaged,
        _ => ExitStatus::Attach,
    }
}

/// A script without probes, or without any that runs here.
fn nothing_to_run(some: bool) -> ExitStatus {
    if some {
        printer::err_line(
            "error: nothing in this script runs: with --read only pcap blocks, joins, timers, BEGIN and END do",
        );
        printer::err_line("  = write: pcap:any /…/ { … }");
        ExitStatus::Attach
    } else {
        printer::err_line("error: the script has no probes");
        printer::err_line(
            "  = write: tracepoint:tcp:tcp_retransmit_skb { @ = count(); } (weftrace list shows what there is)",
        );
        ExitStatus::Script
    }
}

/// An error's text; the probe's name only once, where the cause names it too.
fn told_once(error: &Error) -> String {
    match error {
        Error::Attach { probe, why, .. } if why.starts_with(&format!("{probe}: ")) => why.clone(),
        error => error.to_string(),
    }
}

/// What the plan needs and this process lacks, before anything is loaded: an error for each probe.
fn lacks_permission(artifact: &Artifact, needs: &PlanNeeds, args: &Run) -> bool {
    if args.partial || needs.attach.missing.is_empty() {
        return false;
    }
    let mut told: Vec<&[Need]> = Vec::new();
    for (probe, its) in artifact.probes.iter().zip(&needs.probes).filter(|(_, n)| !n.missing.is_empty()) {
        printer::err_line(&format!("error: {}: {}", probe.name, not_permitted(its)));
        if !told.contains(&&its.missing[..]) {
            printer::err(&needs::reasons(&its.missing));
            told.push(&its.missing);
        }
    }
    printer::err(&needs::how_to_permit(needs.everything()));
    true
}

fn not_permitted(needs: &Needs) -> String {
    format!("not permitted: it needs {}", needs::list(caps::set(&needs.missing)))
}

/// With --partial, what can run runs: the others, and why not.
fn refused(needs: &PlanNeeds) -> BTreeMap<u32, String> {
    let lacking = (0u32..).zip(&needs.probes).filter(|(_, n)| !n.missing.is_empty());
    lacking.map(|(index, needs)| (index, not_permitted(needs))).collect()
}

/// What the command line decides about the run.
fn options(args: &Run) -> SessionOptions {
    SessionOptions {
        read: args.read.clone(),
        pid: args.pid,
        netns: args.netns.clone(),
        run_for: args.duration,
        count: args.count,
        strict: !args.partial,
        allow_unsafe: args.r#unsafe,
        terminal: args.output.is_none() && io::stdout().is_terminal(),
        dry_run: args.dry_run,
        shed_privileges: true,
        ..SessionOptions::default()
    }
}

/// None: a dry run, which attached and ended.
fn execute(
    name: &str,
    artifact: Artifact,
    (child, host): (Option<Child>, Host),
    sink: Box<dyn Sink>,
    (options, args): (SessionOptions, &Run),
) -> Result<Option<Outcome>, Error> {
    let opening = opening(name, &artifact, &options);
    let mut session = Session::with_host(artifact, options, host)?;
    if let Some(child) = child {
        session = session.adopt(child);
    }
    let running = session.start(sink)?;
    if args.verbose > 0 || args.dry_run {
        running.told_ways().iter().for_each(|line| printer::err_line(line));
    }
    if args.dry_run {
        printer::err_line("attached, and ended: --dry-run");
        return Ok(None);
    }
    if !args.quiet {
        printer::err_line(&opening);
    }
    if args.verbose > 0 {
        printer::err(&needs::told(running.privileges()));
    }
    if std::env::var_os("__BPFTRACE_NOTIFY_PROBES_ATTACHED").is_some() {
        printer::err_line("__BPFTRACE_NOTIFY_PROBES_ATTACHED");
    }
    running.run().map(Some)
}

/// `tcp/retransmit: 2 probes, since 09:14:02Z. Ctrl-C ends.`
fn opening(name: &str, artifact: &Artifact, options: &SessionOptions) -> String {
    let probes = (0u32..).zip(&artifact.probes).filter(|(index, _)| !options.refused.contains_key(index));
    let probes: Vec<&ProbePlan> = probes.map(|(_, plan)| plan).collect();
    // BEGIN and END are not what the reader asks about.
    let waits = |p: &&&ProbePlan| !p.further && !matches!(p.best.way, Way::Begin | Way::End);
    let kernel = probes.iter().filter(waits).filter(|p| matches!(p.best.unit, Unit::Kernel(_))).count();
    let packets = probes.iter().filter(|p| matches!(p.best.way, Way::Pcap { .. })).count();
    let plural = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let mut parts = Vec::new();
    if kernel > 0 {
        parts.push(plural(kernel, "kernel probe"));
    }
    if packets > 0 {
        parts.push(plural(packets, "packet block"));
    }
    if parts.is_empty() {
        parts.push(plural(probes.len(), "probe"));
    }
    let end = if options.read.is_empty() { " Ctrl-C ends." } else { "" };
    format!("{name}: {}.{end}", parts.join(", "))
}

/// Text or NDJSON, to stdout or `-o FILE`.
fn sink(args: &Run) -> Result<Box<dyn Sink>, String> {
    let to: Box<dyn Write> = match &args.output {
        None => Box::new(io::stdout()),
        Some(path) => Box::new(File::create(path).map_err(|e| format!("-o {}: {e}", path.display()))?),
    };
    Ok(match args.format {
        Format::Text => {
            // What was attached is in our opening line.
            let sink = TextSink::new(to, Box::new(io::stderr()), true);
            Box::new(if args.verbose > 0 { sink.verbose() } else { sink })
        }
        Format::Json => Box::new(JsonSink::new(to, args.quiet)),
    })
}

/// Splits `-c` as a shell splits simple words: blanks, single and double quotes, backslashes.
fn words(command: &str) -> Vec<OsString> {
    let (mut words, mut word, mut quote, mut open) = (Vec::new(), String::new(), None, false);
    let mut characters = command.chars();
    while let Some(c) = characters.next() {
        match (c, quote) {
            ('\\', None | Some('"')) => {
                word.extend(characters.next());
                open = true;
            }
            ('\'' | '"', None) => {
                quote = Some(c);
                open = true;
            }
            (c, Some(q)) if c == q => quote = None,
            (c, None) if c.is_whitespace() => {
                if open {
                    words.push(std::mem::take(&mut word).into());
                    open = false;
                }
            }
            (c, _) => {
                word.push(c);
                open = true;
            }
        }
    }
    if open {
        words.push(word.into());
    }
    words
}

fn finish(outcome: &Outcome, args: &Run) -> ExitStatus {
    if outcome.exit_code != 0 {
        return ExitStatus::Code(outcome.exit_code as u8);
    }
    if !args.read.is_empty() && outcome.damaged {
        return ExitStatus::Damaged;
    }
    ExitStatus::Ok
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;

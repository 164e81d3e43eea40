//! `weftrace run`.

mod alerts;
mod for_tests;
mod metrics;
mod otlp;
mod progress;
mod refusals;
mod script;

use super::{needs, replay};
use crate::{
    args::{Output, Run},
    exit::ExitStatus,
    frontend::Loaded,
    printer,
};
use progress::Progress;
use refusals::{failed_to_run, lacks_permission, refused};
use script::Ready;
use std::{
    ffi::OsString,
    fs::File,
    io::{self, IsTerminal, Write},
    os::unix::fs::MetadataExt,
    path::Path,
};
use weftrace_artifact::{
    Artifact,
    plan::{ProbePlan, Unit, Way},
};
use weftrace_probes::kernel::{
    Host,
    caps::{self, PlanNeeds},
};
use weftrace_runtime::{
    ByHand, Error, KeepOptions, Outcome, RecordOptions, Recorded, Session, SessionOptions, TelemetryOptions,
    join::show::waterfall::Look,
    losses::LossKind,
    sink::{JsonSink, OtlpSink, PerfettoSink, PlainJsonSink, Sink, TextSink},
    sys::{Child, Patient, columns},
};

pub fn run(args: &Run) -> ExitStatus {
    run_as(args, Mode::Live)
}

/// What becomes of a run.
#[expect(clippy::large_enum_variant, reason = "there is one")]
pub enum Mode {
    Live,
    /// The arguments are known later.
    Record(RecordOptions),
    /// `args.read` is the recording.
    Replay {
        recorded: Recorded,
        script: Replayed,
    },
}

/// Which script a recording is replayed with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Replayed {
    Own,
    /// A later version of that: what its kernel blocks did is replayed too.
    Later,
    Other,
}

pub fn run_as(args: &Run, mode: Mode) -> ExitStatus {
    // Forked first, and waiting: the script may ask for its number.
    let child = match args.command.as_deref().map(|c| Child::prepare(&words(c))).transpose() {
        Ok(child) => child,
        Err(error) => {
            printer::err_line(&format!("error: -c: {error}"));
            return ExitStatus::Usage;
        }
    };
    let Ready { mut loaded, mut artifact, plan } = match script::ready(args, &mode, child.as_ref()) {
        Ok(ready) => ready,
        Err(status) => return status,
    };
    let host = Host::new();
    let needs = plan_needs(args, &artifact, &plan, &host);
    let arguments = replay::arguments(&loaded, child.as_ref());
    let world = match replay::answers(&mut loaded) {
        Ok(world) => world,
        Err(status) => return status,
    };
    let alerts = match alerts::targets(args, (&mut artifact, &mut loaded), matches!(mode, Mode::Replay { .. })) {
        Ok(alerts) => alerts,
        Err(status) => return status,
    };
    let sink = match sink(args, &artifact) {
        Ok(sink) => for_tests::wrap(sink, args, &loaded),
        Err(why) => {
            printer::err_line(&format!("error: {why}"));
            return ExitStatus::Usage;
        }
    };
    let Loaded { name, sources, .. } = loaded;
    if lacks_permission(&artifact, &needs, args) {
        return ExitStatus::Attach;
    }
    let metrics = match metrics::options(args) {
        Ok(metrics) => metrics,
        Err(status) => return status,
    };
    let otlp = otlp::options(args, &name);
    // What probes cost is asked of the kernel then.
    let cost = metrics.is_some() || otlp.metrics.is_some();
    let options = SessionOptions { refused: refused(&needs), alerts, metrics, otlp, cost, ..options(args) };
    let (options, recorded) = with_mode(options, mode, (arguments, world));
    match execute(&name, (artifact, recorded), (child, host), sink, (options, args)) {
        Ok(Some(outcome)) => finish(&outcome, args),
        Ok(None) => ExitStatus::Ok,
        Err(error) => failed_to_run(&error, &sources, &needs, args),
    }
}

/// What a recording or a replay decides about the run.
fn with_mode(
    mut options: SessionOptions,
    mode: Mode,
    (arguments, world): (Vec<(String, String, String)>, Vec<u8>),
) -> (SessionOptions, Option<Recorded>) {
    match mode {
        Mode::Live => {}
        Mode::Record(record) => options.record = Some(RecordOptions { arguments, world, ..record }),
        Mode::Replay { recorded, script } => {
            let own = script == Replayed::Own;
            options.replay = Some(script != Replayed::Other);
            // What was shown live is shown again.
            options.open |= own && !recorded.is_redacted();
            // Of a run that waits.
            options.heartbeat = None;
            options.count = options.count.or(recorded.count().filter(|_| own));
            return (options, Some(recorded));
        }
    }
    (options, None)
}

/// What the plan needs; with -v and --dry-run it is told, after the plan.
fn plan_needs(args: &Run, artifact: &Artifact, plan: &str, host: &Host) -> PlanNeeds {
    let told = tells_plan(args);
    printer::err(plan);
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

fn tells_plan(args: &Run) -> bool {
    args.verbose > 0 || args.dry_run
}

/// What the command line adds to what the plan needs.
fn setting_of(args: &Run) -> caps::Setting {
    caps::Setting {
        namespace: options(args).enters_network(),
        command: args.command.is_some(),
        commands_run: args.r#unsafe,
    }
}

/// `--write` and what goes with it.
fn keep(args: &Run) -> Option<KeepOptions> {
    Some(KeepOptions {
        path: args.write.clone()?,
        size: args.write_size,
        every: args.write_every.map(|time| time.as_nanos() as u64),
        files: args.write_files,
    })
}

/// What the command line decides about the run.
fn options(args: &Run) -> SessionOptions {
    SessionOptions {
        read: args.read.clone(),
        // A dry run writes nothing.
        keep: keep(args).filter(|_| !args.dry_run),
        tls_keys: args.tls_keys.clone(),
        telemetry: TelemetryOptions { grpc: args.otlp_grpc.0, http: args.otlp_http.0, lines: args.spans.clone() },
        pid: args.pid,
        netns: args.netns.clone(),
        early: args.early,
        lateness: args.lateness.clone(),
        uncertainty: args.uncertainty.clone(),
        run_for: args.duration,
        count: args.count,
        strict: !args.partial,
        allow_unsafe: args.r#unsafe,
        terminal: args.output.is_none() && io::stdout().is_terminal(),
        open: args.no_redact,
        heartbeat: Some(args.heartbeat).filter(|every| !every.is_zero()),
        dry_run: args.dry_run,
        by_hand: args.only_tests.then_some(ByHand::Tests),
        shed_privileges: true,
        ..SessionOptions::default()
    }
}

/// None: a dry run, which attached and ended.
fn execute(
    name: &str,
    (artifact, recorded): (Artifact, Option<Recorded>),
    (child, host): (Option<Child>, Host),
    sink: Box<dyn Sink>,
    (options, args): (SessionOptions, &Run),
) -> Result<Option<Outcome>, Error> {
    let opening = opening(name, &artifact, &options);
    let mut session = Session::with_host(artifact, options, host)?;
    if let Some(child) = child {
        session = session.adopt(child);
    }
    if let Some(recorded) = recorded {
        session = session.replay(recorded);
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
        if let Some(url) = running.metrics_at() {
            printer::err_line(&format!("metrics: {url}"));
        }
        if !running.listens().is_empty() {
            printer::err_line(&format!("spans: {}", running.listens().join(", ")));
        }
    }
    if args.verbose > 0 {
        printer::err(&needs::told(running.privileges()));
    }
    if std::env::var_os("__BPFTRACE_NOTIFY_PROBES_ATTACHED").is_some() {
        printer::err_line("__BPFTRACE_NOTIFY_PROBES_ATTACHED");
    }
    // Privileges are dropped by now: a thread that was there before would keep its own.
    let _progress = Progress::start(&args.read, args.quiet, args.output.is_some());
    running.run().map(Some)
}

/// `tcp/retransmit: 2 probes, since 09:14:02Z. Ctrl-C ends.`
fn opening(name: &str, artifact: &Artifact, options: &SessionOptions) -> String {
    let probes = (0u32..).zip(&artifact.probes).filter(|(index, _)| !options.refused.contains_key(index));
    let probes: Vec<&ProbePlan> = probes.map(|(_, plan)| plan).collect();
    // BEGIN and END are not what the reader asks about.
    let waits = |p: &&&ProbePlan| !p.further && !matches!(p.best.way, Way::Begin | Way::End);
    let takes_packets = |p: &&&ProbePlan| matches!(p.best.way, Way::Pcap { .. });
    let in_kernel = |p: &&&ProbePlan| matches!(p.best.unit, Unit::Kernel(_)) && !takes_packets(p);
    let kernel = probes.iter().filter(waits).filter(in_kernel).count();
    let packets = probes.iter().filter(takes_packets).count();
    let plural = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let mut parts = Vec::new();
    if kernel > 0 {
        parts.push(plural(kernel, "kernel probe"));
    }
    if packets > 0 {
        parts.push(plural(packets, "packet block"));
    }
    let telemetry = probes.iter().filter(|p| matches!(p.best.way, Way::Telemetry { .. })).count();
    if telemetry > 0 {
        parts.push(plural(telemetry, "span block"));
    }
    if parts.is_empty() {
        parts.push(plural(probes.len(), "probe"));
    }
    let end = if options.read.is_empty() { " Ctrl-C ends." } else { "" };
    format!("{name}: {}.{end}", parts.join(", "))
}

/// Text or NDJSON, to stdout or `-o FILE`.
fn sink(args: &Run, artifact: &Artifact) -> Result<Box<dyn Sink>, String> {
    let sink = written(args, artifact)?;
    Ok(match &args.otlp.out {
        Some(endpoint) => Box::new(OtlpSink::new(sink, endpoint.clone(), printer::messages())),
        None => sink,
    })
}

fn written(args: &Run, artifact: &Artifact) -> Result<Box<dyn Sink>, String> {
    let to: Box<dyn Write> = match &args.output {
        None => printer::output(),
        Some(path) if args.read.iter().any(|read| is_same(read, path)) => {
            return Err(format!("-o {}: this file is being read: it is not overwritten", path.display()));
        }
        Some(path) => {
            let file = File::create(path).map_err(|e| format!("-o {}: {e}", path.display()))?;
            Box::new(Patient::new(file))
        }
    };
    if args.format == Output::Json && artifact.options.plain_json {
        return Ok(Box::new(PlainJsonSink::new(to, printer::messages())));
    }
    if args.format == Output::Json {
        return Ok(Box::new(JsonSink::new(to, args.quiet)));
    }
    if args.format == Output::Perfetto {
        let others = TextSink::new(printer::messages(), printer::messages(), true);
        return Ok(Box::new(PerfettoSink::new(to, others)));
    }
    // What was attached is in our opening line.
    let mut sink = TextSink::new(to, printer::messages(), true);
    if args.verbose > 0 {
        sink = sink.verbose();
    }
    if !args.quiet && io::stderr().is_terminal() {
        sink = sink.heartbeat();
    }
    let terminal = args.output.is_none() && io::stdout().is_terminal();
    if terminal || args.format == Output::Waterfall {
        let colour = terminal && std::env::var_os("NO_COLOR").is_none();
        let width = columns(io::stdout()).filter(|_| terminal).unwrap_or(PLAIN_WIDTH);
        sink = sink.waterfall(Look { colour, width });
    }
    Ok(Box::new(sink))
}

fn is_same(one: &Path, other: &Path) -> bool {
    let id = |path: &Path| path.metadata().ok().map(|m| (m.dev(), m.ino()));
    id(one).is_some_and(|one| id(other) == Some(one))
}

/// Columns of what is drawn into a file or a pipe.
const PLAIN_WIDTH: usize = 100;

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
    if outcome.unrecorded || outcome.lost.iter().any(|lost| lost.kind == LossKind::Analysis("kept")) {
        return ExitStatus::NotWritten;
    }
    if outcome.alerts.fired > 0 {
        return ExitStatus::Alert;
    }
    ExitStatus::Ok
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;

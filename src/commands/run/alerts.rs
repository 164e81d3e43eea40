//! Where a script's alerts go.

use crate::{
    args::{AlertsTo, Run},
    exit::ExitStatus,
    frontend::{self, Loaded},
    printer,
};
use weftrace_artifact::{
    Artifact, Place,
    alert::{AlertSpec, SinkKind, SinkSpec},
};
use weftrace_lang::{
    diag::Diagnostic,
    span::{FileId, Span},
};
use weftrace_runtime::AlertTargets;

/// The script's own text; modules come after it.
const SCRIPT: u32 = 0;

/// What the sinks need is read: their addresses and secrets, from the environment and from files. `replay`: of a recording.
pub(super) fn targets(
    args: &Run,
    (artifact, loaded): (&mut Artifact, &mut Loaded),
    replay: bool,
) -> Result<AlertTargets, ExitStatus> {
    let more = &args.alerts.more;
    if artifact.alerts.is_empty() {
        let asked = [("--alert-to", more.is_empty()), ("--alert-label", args.alerts.labels.is_empty())];
        let Some((option, _)) = asked.into_iter().find(|(_, none)| !none) else {
            return Ok(AlertTargets::default());
        };
        printer::err_line(&format!("error: {option}: {} has no alerts", loaded.name));
        return Err(ExitStatus::Usage);
    }
    label(&args.alerts.labels, &mut artifact.alerts)?;
    // What was captured long ago alarms nobody, unless that is asked for.
    let past = replay || !args.read.is_empty();
    let to_sinks = args.alerts.to.map_or(!past, |to| to == AlertsTo::Script) && !args.dry_run;
    let here;
    let alerts = if to_sinks {
        &artifact.alerts
    } else {
        here = artifact.alerts.iter().map(only_here).collect();
        &here
    };
    let trusted = args.alerts.ca_file.as_ref().map(|path| path.display().to_string());
    let trusted = trusted.or_else(|| std::env::var("SSL_CERT_FILE").ok().filter(|path| !path.is_empty()));
    let environment = |name: &str| std::env::var(name).ok();
    let resolved = AlertTargets::resolve(&loaded.name, (alerts, more), trusted.as_deref(), &environment);
    let targets = resolved.map_err(|error| {
        let Some(place) = error.place else {
            printer::err_line(&format!("error: --alert-to {}", error.text));
            return ExitStatus::Usage;
        };
        let span = Span { file: FileId(place.file), start: place.start, end: place.end, expansion: place.expansion };
        let found = Diagnostic::error("sink", span, error.text)
            .note("`--alerts stderr` sends none, and shows them beside the output");
        loaded.diagnostics.push(found);
        loaded.report(args.quiet, frontend::text_style());
        ExitStatus::Usage
    })?;
    // A dry run writes nothing.
    if args.dry_run {
        return Ok(AlertTargets::only_stderr(&loaded.name, alerts));
    }
    if !args.quiet {
        tell_modules(alerts, loaded, &targets);
    }
    Ok(targets)
}

/// Labels of the command line. What a group or the script says is not said otherwise.
fn label(labels: &[(String, String)], alerts: &mut [AlertSpec]) -> Result<(), ExitStatus> {
    for (at, (name, text)) in labels.iter().enumerate() {
        let twice = labels[..at].iter().any(|(other, _)| other == name);
        let has = |alert: &&AlertSpec| alert.group.contains(name) || alert.labels.iter().any(|(own, _)| own == name);
        let clash = match alerts.iter().find(has) {
            _ if twice => Some("it is given twice".to_owned()),
            Some(alert) => Some(format!("alert \"{}\" has a label of this name", alert.name)),
            None => None,
        };
        if let Some(why) = clash {
            printer::err_line(&format!("error: --alert-label {name}: {why}"));
            return Err(ExitStatus::Usage);
        }
        for alert in &mut *alerts {
            alert.labels.push((name.clone(), text.clone()));
        }
    }
    Ok(())
}

/// Who imports a module may not have read where its alerts go.
fn tell_modules(alerts: &[AlertSpec], loaded: &Loaded, targets: &AlertTargets) {
    for (at, alert) in alerts.iter().enumerate().filter(|(_, alert)| alert.place.file != SCRIPT) {
        let sinks: Vec<&str> = targets.elsewhere(at).collect();
        if !sinks.is_empty() {
            let module = &loaded.sources.file(FileId(alert.place.file)).name;
            printer::err_line(&format!("{module}: alert \"{}\" goes to {}", alert.name, sinks.join(", ")));
        }
    }
}

/// The alert, told beside the output alone.
fn only_here(alert: &AlertSpec) -> AlertSpec {
    let sink = SinkSpec { kind: SinkKind::Stderr, at: None, secret: None, place: Place::default() };
    AlertSpec { sinks: vec![sink], ..alert.clone() }
}

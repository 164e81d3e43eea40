//! Where a script's alerts go.

use crate::{
    args::Run,
    exit::ExitStatus,
    frontend::{self, Loaded},
};
use weftrace_artifact::Artifact;
use weftrace_lang::{
    diag::Diagnostic,
    span::{FileId, Span},
};
use weftrace_runtime::AlertTargets;

/// What the sinks need is read: their addresses and secrets, from the environment and from files. `replay`: of a recording.
pub(super) fn targets(
    args: &Run,
    (artifact, loaded): (&Artifact, &mut Loaded),
    replay: bool,
) -> Result<AlertTargets, ExitStatus> {
    if artifact.alerts.is_empty() {
        return Ok(AlertTargets::default());
    }
    // What was captured long ago alarms nobody, unless that is asked for.
    let past = replay || !args.read.is_empty();
    let to_sinks = args.alerts.map_or(!past, |to| to == crate::args::AlertsTo::Script);
    if !to_sinks || args.dry_run {
        return Ok(AlertTargets::only_stderr(&loaded.name, &artifact.alerts));
    }
    let trusted = args.ca_file.as_ref().map(|path| path.display().to_string());
    let trusted = trusted.or_else(|| std::env::var("SSL_CERT_FILE").ok().filter(|path| !path.is_empty()));
    let environment = |name: &str| std::env::var(name).ok();
    AlertTargets::resolve(&loaded.name, &artifact.alerts, trusted.as_deref(), &environment).map_err(|error| {
        let place = error.place;
        let span = Span { file: FileId(place.file), start: place.start, end: place.end, expansion: place.expansion };
        let found = Diagnostic::error("sink", span, error.text)
            .note("`--alerts stderr` sends none, and shows them beside the output");
        loaded.diagnostics.push(found);
        loaded.report(args.quiet, frontend::text_style());
        ExitStatus::Usage
    })
}

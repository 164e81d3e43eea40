//! `--otlp-metrics` and `--otlp-logs`.

use crate::args::Run;
use weftrace_runtime::OtlpOptions;

/// What is sent to collectors; of a dry run nothing.
pub(super) fn options(args: &Run, script: &str) -> OtlpOptions {
    if args.dry_run {
        return OtlpOptions::default();
    }
    OtlpOptions {
        metrics: args.otlp.metrics.clone(),
        every: args.otlp.every,
        series: args.metrics.series as usize,
        logs: args.otlp.logs.clone(),
        script: script.to_owned(),
    }
}

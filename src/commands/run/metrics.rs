//! `--metrics`.

use crate::{args::Run, exit::ExitStatus, printer};
use std::path::Path;
use weftrace_runtime::{MetricsOptions, MetricsTls};

/// Where metrics are offered; what is wrong with that has been said.
pub(super) fn options(args: &Run) -> Result<Option<MetricsOptions>, ExitStatus> {
    let wanted = &args.metrics;
    let Some(address) = wanted.at.filter(|_| !args.dry_run) else { return Ok(None) };
    let kept = wanted.token_file.is_some() || wanted.certificate.is_some();
    if !kept && !address.ip().is_loopback() {
        return Err(refused(&[
            &format!("error: --metrics {address}: other machines can ask there, and nothing keeps them from it"),
            &format!("  = write: --metrics 127.0.0.1:{}", address.port()),
            "  = or: --metrics-token-file FILE, whose first line who asks must know",
            "  = or: --metrics-cert FILE --metrics-key FILE: nobody reads it on the way, but whoever asks gets it",
        ]));
    }
    let token = match &wanted.token_file {
        None => None,
        Some(path) => Some(
            token(path).map_err(|why| refused(&[&format!("error: --metrics-token-file {}: {why}", path.display())]))?,
        ),
    };
    let tls = match (&wanted.certificate, &wanted.key) {
        (Some(certificate), Some(key)) => {
            Some(MetricsTls::read(certificate, key).map_err(|why| refused(&[&format!("error: {why}")]))?)
        }
        _ => None,
    };
    Ok(Some(MetricsOptions { address, token, tls, series: wanted.series as usize }))
}

fn refused(lines: &[&str]) -> ExitStatus {
    for line in lines {
        printer::err_line(line);
    }
    ExitStatus::Usage
}

/// The first line of a file.
fn token(path: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    match text.lines().next().map(str::trim) {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err("its first line is empty".to_owned()),
    }
}

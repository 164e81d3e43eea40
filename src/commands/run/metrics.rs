//! `--metrics`.

use crate::{args::Run, exit::ExitStatus, printer};
use weftrace_runtime::MetricsOptions;

/// Where metrics are offered; what is wrong with that has been said.
pub(super) fn options(args: &Run) -> Result<Option<MetricsOptions>, ExitStatus> {
    let Some(address) = args.metrics.filter(|_| !args.dry_run) else { return Ok(None) };
    let token = match &args.metrics_token_file {
        None if !address.ip().is_loopback() => {
            printer::err_line(&format!(
                "error: --metrics {address}: other machines can ask there, and nothing keeps them from it"
            ));
            printer::err_line(&format!("  = write: --metrics 127.0.0.1:{}", address.port()));
            printer::err_line("  = or: --metrics-token-file FILE, whose first line who asks must know");
            return Err(ExitStatus::Usage);
        }
        None => None,
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| error.to_string());
            let first = text.and_then(|text| match text.lines().next().map(str::trim) {
                Some(line) if !line.is_empty() => Ok(line.to_owned()),
                _ => Err("its first line is empty".to_owned()),
            });
            match first {
                Ok(token) => Some(token),
                Err(why) => {
                    printer::err_line(&format!("error: --metrics-token-file {}: {why}", path.display()));
                    return Err(ExitStatus::Usage);
                }
            }
        }
    };
    Ok(Some(MetricsOptions { address, token, series: args.metrics_series as usize }))
}

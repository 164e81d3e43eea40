//! What is sent to an OpenTelemetry collector.

use super::values::every;
use clap::Args;
use std::time::Duration;
use weftrace_runtime::Endpoint;

#[derive(Debug, Args)]
pub struct Otlp {
    /// Send results of joins to a collector too, as OpenTelemetry spans: http://127.0.0.1:4318
    #[arg(long = "otlp-out", id = "otlp-out", value_name = "URL", value_parser = Endpoint::traces)]
    pub out: Option<Endpoint>,
    /// Send maps and the run's own numbers to a collector too, as OpenTelemetry metrics, again and again and at the end
    #[arg(long = "otlp-metrics", id = "otlp-metrics", value_name = "URL", value_parser = Endpoint::metrics)]
    pub metrics: Option<Endpoint>,
    /// How often metrics are sent
    #[arg(long = "otlp-every", value_name = "TIME", value_parser = every, default_value = "10s", requires = "otlp-metrics")]
    pub every: Duration,
    /// Send alerts, printed results of joins and the lines that the script prints to a collector too, as OpenTelemetry logs
    #[arg(long = "otlp-logs", id = "otlp-logs", value_name = "URL", value_parser = Endpoint::logs)]
    pub logs: Option<Endpoint>,
}

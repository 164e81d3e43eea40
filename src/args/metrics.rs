//! Where the run's numbers are offered.

use super::values::metrics_at;
use clap::{ArgGroup, Args};
use std::{net::SocketAddr, path::PathBuf};

#[derive(Debug, Args)]
#[group(skip)]
#[command(group = ArgGroup::new("numbers").args(["metrics", "otlp-metrics"]).multiple(true))]
pub struct Metrics {
    /// Offer maps, alerts and the run's own numbers to Prometheus at http://ADDRESS/metrics: 127.0.0.1:9464, 9464 (of the loopback)
    #[arg(long = "metrics", id = "metrics", value_name = "ADDRESS", value_parser = metrics_at)]
    pub at: Option<SocketAddr>,
    /// Who asks for metrics must know the token in the first line of FILE; needed where other machines can ask, unless there is a
    /// certificate
    #[arg(long = "metrics-token-file", value_name = "FILE", requires = "metrics")]
    pub token_file: Option<PathBuf>,
    /// Metrics are asked for by https, and FILE is the certificate that is shown (PEM, with those that lead to its root)
    #[arg(long = "metrics-cert", id = "metrics-cert", value_name = "FILE", requires_all = ["metrics", "metrics-key"])]
    pub certificate: Option<PathBuf>,
    /// The certificate's private key (PEM)
    #[arg(long = "metrics-key", id = "metrics-key", value_name = "FILE", requires = "metrics-cert")]
    pub key: Option<PathBuf>,
    /// Of each map so many series, the largest
    #[arg(long = "metrics-series", value_name = "N", default_value_t = weftrace_runtime::SERIES as u32, value_parser = clap::value_parser!(u32).range(1..=100_000), requires = "numbers")]
    pub series: u32,
}

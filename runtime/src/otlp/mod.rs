//! OpenTelemetry's protocol, as who sends: results of joins as spans (`sink/otlp`), the run's numbers as metrics, alerts and lines as logs.
//!
//! - `post`: one request over HTTP, tried again for a while; `sender`: a queue and a thread
//! - `write`: what all messages have; `metrics`, `logs`: theirs

mod logs;
mod metrics;
mod post;
mod sender;
mod write;

pub use post::Endpoint;
pub(crate) use sender::{Named, Sender};
pub(crate) use write::{int, text, weftrace};

use crate::{
    alert::Notice,
    metrics::{Exposition, Trace},
    sink::Message,
    style::Style,
    sys,
};
use logs::Logs;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use weftrace_artifact::map::MapId;
use write::Resource;

/// Metrics are sent so often unless the command line says otherwise.
pub const EVERY: Duration = Duration::from_secs(10);

/// `--otlp-metrics`, `--otlp-logs`
#[derive(Clone, Debug)]
pub struct OtlpOptions {
    pub metrics: Option<Endpoint>,
    pub every: Duration,
    /// Of each map so many series, the largest.
    pub series: usize,
    pub logs: Option<Endpoint>,
    /// The script's name.
    pub script: String,
}

impl Default for OtlpOptions {
    fn default() -> Self {
        Self { metrics: None, every: EVERY, series: crate::metrics::SERIES, logs: None, script: String::new() }
    }
}

/// The run's numbers, as they are sent.
pub(crate) struct PushedMetrics {
    sender: Sender,
    every: Duration,
    due: Instant,
    /// When the run began, CLOCK_REALTIME ns.
    began: u64,
    /// When maps were cleared last: their counts begin anew.
    cleared: BTreeMap<u32, u64>,
    pub(crate) series: usize,
}

/// What a run sends to collectors, but for results of joins.
pub(crate) struct OtlpOut {
    pub(crate) metrics: Option<PushedMetrics>,
    logs: Option<Logs>,
}

impl OtlpOut {
    /// None: nothing is sent.
    pub(crate) fn new(options: &OtlpOptions) -> Option<Self> {
        let OtlpOptions { metrics, every, series, logs, script } = options;
        let resource = resource(script);
        let metrics = metrics.clone().map(|endpoint| PushedMetrics {
            sender: Sender::new(Named { option: "--otlp-metrics", what: "points" }, endpoint, resource.clone()),
            every: *every,
            due: Instant::now() + *every,
            began: sys::now(libc::CLOCK_REALTIME),
            cleared: BTreeMap::new(),
            series: *series,
        });
        let logs = logs.clone().map(|endpoint| {
            Logs::new(Sender::new(Named { option: "--otlp-logs", what: "records" }, endpoint, resource))
        });
        (metrics.is_some() || logs.is_some()).then_some(Self { metrics, logs })
    }

    /// Begins to send, on threads that have the privileges of this one.
    pub(crate) fn start(&mut self) {
        self.senders().for_each(Sender::start);
    }

    fn senders(&mut self) -> impl Iterator<Item = &mut Sender> {
        let metrics = self.metrics.as_mut().map(|metrics| &mut metrics.sender);
        metrics.into_iter().chain(self.logs.as_mut().map(|logs| &mut logs.sender))
    }

    /// When metrics are to be sent again.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.metrics.as_ref().map(|metrics| metrics.due)
    }

    /// Sends the run's numbers.
    pub(crate) fn push(&mut self, all: &Exposition) {
        let Some(pushed) = &mut self.metrics else { return };
        pushed.due = Instant::now() + pushed.every;
        let now = sys::now(libc::CLOCK_REALTIME);
        for (bytes, points) in metrics::families(all, (pushed.began, now)) {
            pushed.sender.send(bytes, points);
        }
    }

    /// A map's counts begin anew.
    pub(crate) fn cleared(&mut self, map: MapId) {
        if let Some(pushed) = &mut self.metrics {
            pushed.cleared.insert(map.0, sys::now(libc::CLOCK_REALTIME));
        }
    }

    /// When they last did, CLOCK_REALTIME ns.
    pub(crate) fn since(&self, map: MapId) -> Option<u64> {
        self.metrics.as_ref()?.cleared.get(&map.0).copied()
    }

    /// What the run has to say.
    pub(crate) fn message(&mut self, message: &Message<'_>, style: &mut Style<'_>) {
        if let Some(logs) = &mut self.logs {
            logs.message(message, style);
        }
    }

    /// An alert fires or resolves; `trace`: that of the record it is about.
    pub(crate) fn alert(&mut self, notice: &Notice, trace: Option<Trace>) {
        if let Some(logs) = &mut self.logs {
            logs.alert(notice, trace);
        }
    }

    /// What is to be told while it goes on.
    pub(crate) fn said(&mut self) -> Vec<String> {
        self.senders().filter_map(Sender::said).collect()
    }

    /// The end: waits for what is on its way, and tells what was not taken.
    pub(crate) fn finish(&mut self) -> Vec<String> {
        if let Some(logs) = &mut self.logs {
            logs.finish();
        }
        // All of them at once: they have the same time.
        self.senders().for_each(Sender::close);
        self.senders().filter_map(Sender::wait).collect()
    }
}

/// Several runs at once are told from each other by it.
fn resource(script: &str) -> Resource {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let (host, pid) = (host.trim(), std::process::id());
    let mut resource = weftrace();
    resource.push(("service.version", env!("CARGO_PKG_VERSION").into()));
    resource.push(("service.instance.id", format!("{host}:{pid}")));
    resource.push(("host.name", host.into()));
    resource.push(("weftrace.script", script.into()));
    resource.retain(|(_, value)| !value.is_empty());
    resource
}

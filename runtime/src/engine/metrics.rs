//! The run's numbers, for who asks.

use super::{core::Core, shutdown};
use crate::{
    metrics::text::{Exposition, Kind, Labels, map_name},
    session::Sources,
    style::Style,
    sys,
};
use std::{collections::BTreeSet, rc::Rc};

/// Answers the question that waits, if any.
pub(crate) fn answer(core: &mut Core, sources: &mut Sources) {
    let Some(question) = core.metrics.as_mut().and_then(|metrics| metrics.take()) else { return };
    let costs = shutdown::measure(core, sources);
    let mut all = Exposition::new(question.open_metrics);
    core.own_metrics(&mut all);
    all.family("weftrace_probe_runs", Kind::Counter, "How often a probe's block ran.");
    let probe = |name: &str| vec![("probe".to_owned(), name.to_owned())];
    let mut seen = BTreeSet::new();
    // Several blocks at one event are one row.
    let rows: Vec<(&str, u64, u64)> = costs
        .iter()
        .filter(|row| seen.insert(row.probe.as_str()))
        .map(|row| {
            let same = costs.iter().filter(|other| other.probe == row.probe);
            let (runs, ns) = same.fold((0, 0), |(runs, ns), other| (runs + other.runs, ns + other.ns));
            (row.probe.as_str(), runs, ns)
        })
        .collect();
    for (name, runs, _) in &rows {
        all.sample("weftrace_probe_runs_total", &probe(name), &runs.to_string());
    }
    all.family("weftrace_probe_seconds", Kind::Counter, "Time that a probe's block took.");
    for (name, _, ns) in &rows {
        all.sample("weftrace_probe_seconds_total", &probe(name), &seconds(*ns));
    }
    core.alert_metrics(&mut all);
    core.map_metrics(&mut all);
    if let Some(metrics) = &mut core.metrics {
        metrics.answered += 1;
    }
    // Whoever asked may have gone.
    let _ = question.answer.try_send(all.end());
}

fn seconds(ns: u64) -> String {
    format!("{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000)
}

/// Bytes, as the kernel says.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|text| text.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kilobytes.map_or(0, |n| n * 1024)
}

impl Core {
    fn own_metrics(&mut self, all: &mut Exposition) {
        all.family("weftrace_build_info", Kind::Gauge, "The version of weftrace, as a label.");
        let version = vec![("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned())];
        all.sample("weftrace_build_info", &version, "1");
        all.family("weftrace_events", Kind::Counter, "Records of probes that were acted on.");
        all.sample("weftrace_events_total", &[], &self.delivered.to_string());
        all.family("weftrace_lost", Kind::Counter, "What was lost, by source and kind (docs/output.md).");
        for row in self.losses.rows() {
            let labels: Labels = vec![("source".into(), row.source.clone()), ("kind".into(), row.kind.name().into())];
            all.sample("weftrace_lost_total", &labels, &row.count.to_string());
        }
        all.family("weftrace_scrapes", Kind::Counter, "Questions answered before this one.");
        let answered = self.metrics.as_ref().map_or(0, |metrics| metrics.answered);
        all.sample("weftrace_scrapes_total", &[], &answered.to_string());
        self.join_metrics(all);
        let (cpu_ns, resident) = (sys::now(libc::CLOCK_PROCESS_CPUTIME_ID), resident());
        all.family("process_cpu_seconds", Kind::Counter, "Time of user and system that weftrace took.");
        all.sample("process_cpu_seconds_total", &[], &seconds(cpu_ns));
        all.family("process_resident_memory_bytes", Kind::Gauge, "Memory that weftrace has.");
        all.sample("process_resident_memory_bytes", &[], &resident.to_string());
    }

    fn join_metrics(&self, all: &mut Exposition) {
        let summaries = self.joins.summaries();
        if summaries.is_empty() {
            return;
        }
        let rows = [
            ("weftrace_join_seen", "Anchors that a join has seen."),
            ("weftrace_join_joined", "Results that a join has made."),
            ("weftrace_join_kept", "Results that a join's keep let through."),
            ("weftrace_join_late", "Records that came too late for a join."),
        ];
        for (n, (name, help)) in rows.into_iter().enumerate() {
            all.family(name, Kind::Counter, help);
            for (join, summary) in &summaries {
                let value = [summary.seen, summary.closed, summary.kept, summary.late][n];
                all.sample(&format!("{name}_total"), &[("join".to_owned(), join.clone())], &value.to_string());
            }
        }
    }

    fn alert_metrics(&self, all: &mut Exposition) {
        let Some(alerts) = &self.alerts else { return };
        all.family("weftrace_alert_firing", Kind::Gauge, "A group of an alert that fires.");
        let name = |spec: &weftrace_artifact::alert::AlertSpec| vec![("alertname".to_owned(), spec.name.clone())];
        for (n, spec) in alerts.specs.iter().enumerate() {
            for values in alerts.engine.firing(n) {
                let mut labels = name(spec);
                labels.extend(crate::alert::Notice::labels(spec, values));
                all.sample("weftrace_alert_firing", &labels, "1");
            }
        }
        all.family("weftrace_alert_fired", Kind::Counter, "Times that a group of an alert began to fire.");
        for (spec, counts) in alerts.specs.iter().zip(alerts.engine.counts()) {
            all.sample("weftrace_alert_fired_total", &name(spec), &counts.fired.to_string());
        }
    }

    fn map_metrics(&mut self, all: &mut Exposition) {
        let artifact = Rc::clone(&self.artifact);
        let most = self.metrics.as_ref().map_or(crate::metrics::SERIES, |metrics| metrics.series);
        let mut left_out: Vec<(String, usize)> = Vec::new();
        let mut names = BTreeSet::new();
        for map in self.native.store().script_maps() {
            let Self { native, names: host, .. } = self;
            let Ok(snapshot) = native.store().snapshot(map) else { continue };
            // Two maps of one name: `@a.b` isn't one, so that this is none of the script's own.
            if !names.insert(map_name(&snapshot.spec.name)) {
                continue;
            }
            let mut style = Style::new(host);
            style.trailer = &artifact.options.str_trunc_trailer;
            style.trailer_from = artifact.options.max_strlen;
            if let Some(n) = all.map(&snapshot, most, &mut style) {
                left_out.push((snapshot.spec.name.clone(), n));
            }
        }
        all.family(
            "weftrace_map_series_left_out",
            Kind::Gauge,
            "Elements of a map beyond --metrics-series, the smallest.",
        );
        for (name, n) in left_out {
            all.sample("weftrace_map_series_left_out", &[("map".to_owned(), name)], &n.to_string());
        }
    }
}

//! The run's numbers, for who asks.

use super::{core::Core, shutdown};
use crate::{
    metrics::{Exposition, Kind, LEFT_OUT, Labels, MapNames, Number, SERIES},
    session::Sources,
    style::Style,
    sys,
};
use std::{collections::HashMap, rc::Rc};
use weftrace_artifact::map::LIBRARY_MAPS;

/// Answers the question that waits, if any.
pub(crate) fn answer(core: &mut Core, sources: &mut Sources) {
    let Some(question) = core.metrics.as_mut().and_then(|metrics| metrics.take()) else { return };
    let all = collect(core, sources);
    if let Some(metrics) = &mut core.metrics {
        metrics.answered += 1;
    }
    question.answer(&all);
}

/// Sends all numbers to a collector, if there is one.
pub(crate) fn push(core: &mut Core, sources: &mut Sources) {
    if core.otlp.as_ref().is_some_and(|otlp| otlp.due().is_some()) {
        let all = collect(core, sources);
        if let Some(otlp) = &mut core.otlp {
            otlp.push(&all);
        }
    }
}

/// All numbers at this moment.
fn collect(core: &mut Core, sources: &mut Sources) -> Exposition {
    let costs = shutdown::measure(core, sources);
    let mut all = Exposition::default();
    core.own_metrics(&mut all);
    all.family("weftrace_probe_runs", Kind::Counter, "How often a probe's block ran.");
    let probe = |name: &str| vec![("probe".to_owned(), name.to_owned())];
    let mut rows = by_probe(costs.iter().map(|row| (row.probe.as_str(), row.runs, row.ns)));
    // The dearest are first.
    let left_out = rows.len().saturating_sub(core.most_series());
    rows.truncate(core.most_series());
    for (name, runs, _) in &rows {
        all.number(probe(name), whole(*runs));
    }
    all.family("weftrace_probe_seconds", Kind::Counter, "Time that a probe's block took.");
    for (name, _, ns) in &rows {
        all.number(probe(name), Number::Time(*ns));
    }
    all.family("weftrace_probe_series_left_out", Kind::Gauge, "Probes beyond --metrics-series, the cheapest.");
    all.number(Labels::new(), whole(left_out as u64));
    core.alert_metrics(&mut all);
    core.map_metrics(&mut all);
    all
}

fn whole(n: u64) -> Number {
    Number::Whole(n.into())
}

/// Runs and ns of each probe, in the order of the first: several blocks at one event are one row.
fn by_probe<'a>(costs: impl Iterator<Item = (&'a str, u64, u64)>) -> Vec<(&'a str, u64, u64)> {
    let mut rows: Vec<(&str, u64, u64)> = Vec::new();
    let mut known = HashMap::new();
    for (probe, runs, ns) in costs {
        let at = *known.entry(probe).or_insert(rows.len());
        match rows.get_mut(at) {
            Some(row) => (row.1, row.2) = (row.1 + runs, row.2 + ns),
            None => rows.push((probe, runs, ns)),
        }
    }
    rows
}

/// Bytes of memory by `/proc/self/status`; None: it doesn't say.
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

impl Core {
    fn own_metrics(&mut self, all: &mut Exposition) {
        all.family("weftrace_build_info", Kind::Gauge, "The version of weftrace, as a label.");
        let version = vec![("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned())];
        all.number(version, whole(1));
        all.family("weftrace_events", Kind::Counter, "Records of probes that were acted on.");
        all.number(Labels::new(), whole(self.delivered));
        all.family("weftrace_lost", Kind::Counter, "What was lost, by source and kind (docs/output.md).");
        for row in self.losses.rows() {
            let labels: Labels = vec![("source".into(), row.source.clone()), ("kind".into(), row.kind.name().into())];
            all.number(labels, whole(row.count));
        }
        if let Some(metrics) = &self.metrics {
            all.family("weftrace_scrapes", Kind::Counter, "Questions answered before this one.");
            all.number(Labels::new(), whole(metrics.answered));
        }
        self.join_metrics(all);
        let cpu_ns = sys::now(libc::CLOCK_PROCESS_CPUTIME_ID);
        all.family("process_cpu_seconds", Kind::Counter, "Time of user and system that weftrace took.");
        all.number(Labels::new(), Number::Time(cpu_ns));
        // Where it isn't known there is none, rather than one of 0.
        if let Some(bytes) = std::fs::read_to_string("/proc/self/status").ok().as_deref().and_then(resident) {
            all.family("process_resident_memory_bytes", Kind::Gauge, "Memory that weftrace has.");
            all.number(Labels::new(), whole(bytes));
        }
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
                all.number(vec![("join".to_owned(), join.clone())], whole(value));
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
                all.number(labels, whole(1));
            }
        }
        all.family("weftrace_alert_fired", Kind::Counter, "Times that a group of an alert began to fire.");
        for (spec, counts) in alerts.specs.iter().zip(alerts.engine.counts()) {
            all.number(name(spec), whole(counts.fired));
        }
        all.family("weftrace_alert_left_out", Kind::Counter, "Times that there was no room for a group of an alert.");
        for (spec, counts) in alerts.specs.iter().zip(alerts.engine.counts()) {
            all.number(name(spec), whole(counts.left_out));
        }
    }

    /// `--metrics-series`
    fn most_series(&self) -> usize {
        let pushed = self.otlp.as_ref().and_then(|otlp| otlp.metrics.as_ref()).map(|pushed| pushed.series);
        self.metrics.as_ref().map(|metrics| metrics.series).or(pushed).unwrap_or(SERIES).max(1)
    }

    fn map_metrics(&mut self, all: &mut Exposition) {
        let artifact = Rc::clone(&self.artifact);
        let most = self.most_series();
        let mut left_out: Vec<(String, usize)> = Vec::new();
        let mut names = MapNames::default();
        let now = super::core::now();
        let offset = self.names.wall(now).wrapping_sub(now);
        let wall = |time: u64| time.wrapping_add(offset);
        for map in self.native.store().script_maps() {
            let Self { native, names: host, .. } = self;
            // Asked first: text and stacks are not shown, and may be many.
            // A script's own working state, as of the bundled modules, has such a name too.
            let spec = native.store().spec(map).filter(|spec| !spec.name.starts_with(LIBRARY_MAPS));
            let Some((kind, name)) = spec.and_then(|spec| names.of(spec)) else { continue };
            // Of a recorded run such maps are known at some moments only.
            if native.store().reads.are_recorded() && native.store().reads.concern(map) {
                continue;
            }
            // Who asks is no part of the run.
            let Ok(snapshot) = native.store().peek(map) else { continue };
            let mut style = Style::of(host, &artifact.options);
            let kept = native.exemplars();
            let n = all.map(&snapshot, (kind, &name), most, &mut style, |key| {
                kept.map_or_else(Vec::new, |kept| kept.of(map, key, wall))
            });
            all.since(self.otlp.as_ref().and_then(|otlp| otlp.since(map)));
            left_out.push((snapshot.spec.name.clone(), n));
        }
        all.family(LEFT_OUT, Kind::Gauge, "Elements of a map beyond --metrics-series, the smallest.");
        for (name, n) in left_out {
            all.number(vec![("map".to_owned(), name)], whole(n as u64));
        }
    }
}

impl Core {
    /// What collectors have refused.
    pub(super) fn tell_collectors(&mut self) {
        let said = self.otlp.as_mut().map(|otlp| otlp.said()).unwrap_or_default();
        for text in &said {
            self.warn(text);
        }
    }

    /// The end of all that is sent.
    pub(super) fn finish_collectors(&mut self) {
        let said = self.otlp.as_mut().map(|otlp| otlp.finish()).unwrap_or_default();
        for text in &said {
            self.warn(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{by_probe, resident};

    #[test]
    fn blocks_of_one_probe_are_added() {
        let costs = [("b", 1, 10), ("a", 2, 20), ("b", 3, 30)];
        assert_eq!(by_probe(costs.into_iter()), [("b", 4, 40), ("a", 2, 20)]);
    }

    #[test]
    fn memory_that_isnt_known() {
        assert_eq!(resident("VmPeak:\t9 kB\nVmRSS:\t    1234 kB\n"), Some(1234 * 1024));
        for unknown in ["", "VmRSS:\t1234 MB\n", "VmRSS:\t kB\n", "VmPeak:\t9 kB\n"] {
            assert_eq!(resident(unknown), None, "{unknown}");
        }
    }
}

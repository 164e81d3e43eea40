//! Metrics as Prometheus' messages, each with its length before it. Messages and the numbers of their fields are those of
//! `io.prometheus.client` (github.com/prometheus/client_model, io/prometheus/client/metrics.proto).

use super::{
    exemplars::Exemplar,
    model::{Exposition, Family, Histogram, Kind, Labels, Point, Powers, Series},
};
use weftrace_probes::telemetry::proto::Writer;

/// Of MetricType.
const COUNTER: u64 = 0;
const GAUGE: u64 = 1;
const SUMMARY: u64 = 2;
const HISTOGRAM: u64 = 4;

/// What lies around 0 in a native histogram, as Prometheus' own clients have it: here 0 alone, as values are whole.
const AROUND_ZERO: f64 = 2.938_735_877_055_719e-39;

pub(super) fn write(all: &Exposition) -> Vec<u8> {
    let mut out = Writer::default();
    for family in all.families.iter().filter(|family| !family.series.is_empty()) {
        let mut message = Writer::default();
        metric_family(&mut message, family);
        out.delimited(&message.0);
    }
    out.0
}

fn metric_family(to: &mut Writer, family: &Family) {
    let (kind, suffix) = match family.kind {
        // In these messages a counter is named as its sample is.
        Kind::Counter => (COUNTER, "_total"),
        Kind::Gauge => (GAUGE, ""),
        Kind::Summary => (SUMMARY, ""),
        Kind::Histogram => (HISTOGRAM, ""),
    };
    to.text(1, &format!("{}{suffix}", family.name));
    to.text(2, &family.help);
    to.varint(3, kind);
    for series in &family.series {
        to.message(4, |metric| write_metric(metric, family.kind, series));
    }
}

/// Metric
fn write_metric(to: &mut Writer, kind: Kind, Series { labels, point }: &Series) {
    pairs(to, labels);
    match point {
        Point::Number(number, exemplar) if kind == Kind::Counter => to.message(3, |counter| {
            counter.double(1, number.float());
            if let Some(exemplar) = exemplar {
                counter.message(2, |message| write_exemplar(message, exemplar));
            }
        }),
        Point::Number(number, _) => to.message(2, |gauge| gauge.double(1, number.float())),
        Point::Mean { total, count } => to.message(4, |summary| {
            summary.varint(1, *count);
            summary.double(2, total.float());
        }),
        Point::Histogram(histogram) => to.message(7, |message| write_histogram(message, histogram)),
    }
}

/// LabelPair
fn pair(to: &mut Writer, name: &str, value: &str) {
    to.message(1, |pair| {
        pair.text(1, name);
        pair.text(2, value);
    });
}

fn pairs(to: &mut Writer, labels: &Labels) {
    for (name, value) in labels {
        pair(to, name, value);
    }
}

/// Exemplar
fn write_exemplar(to: &mut Writer, exemplar: &Exemplar) {
    for (name, value) in exemplar.trace.labels() {
        pair(to, name, &value);
    }
    to.double(2, exemplar.value as f64);
    to.message(3, |time| {
        time.varint(1, exemplar.wall / 1_000_000_000);
        time.varint(2, exemplar.wall % 1_000_000_000);
    });
}

/// Histogram: its buckets by bounds, and those of a native one besides, of which the receiver takes what it knows.
fn write_histogram(to: &mut Writer, histogram: &Histogram) {
    to.varint(1, histogram.count);
    // It isn't known. A message without it would say 0.
    to.double(2, f64::NAN);
    let (mut above, mut before) = (None, 0);
    let ends = histogram.bounds.iter().map(|(bound, count)| (Some(*bound), *count));
    for (bound, count) in ends.chain([(None, histogram.count)]) {
        to.message(3, |bucket| {
            bucket.varint(1, count);
            bucket.double(2, bound.map_or(f64::INFINITY, |bound| bound as f64));
            // Of an empty bucket there is none: the map was cleared since.
            if let Some(exemplar) = histogram.exemplar(above, bound).filter(|_| count != before) {
                bucket.message(3, |message| write_exemplar(message, exemplar));
            }
        });
        (above, before) = (bound, count);
    }
    if let Some(powers) = &histogram.powers {
        write_native(to, powers);
    }
}

fn write_native(to: &mut Writer, powers: &Powers) {
    to.sint(5, powers.schema.into());
    to.double(6, AROUND_ZERO);
    to.varint(7, powers.zero);
    write_buckets(to, (9, 10), &powers.negative);
    write_buckets(to, (12, 13), &powers.positive);
    if powers.negative.is_empty() && powers.positive.is_empty() {
        // By it an empty one is known to be native.
        to.message(12, |span| {
            span.sint(1, 0);
            span.varint(2, 0);
        });
    }
}

/// BucketSpan: stretches of buckets that follow each other, each with the gap before it; and by how much each bucket's count is more than the one's before.
fn write_buckets(to: &mut Writer, (spans, deltas): (u32, u32), buckets: &[(i32, u64)]) {
    let (mut next, mut rest) = (0, buckets);
    while let Some(&(first, _)) = rest.first() {
        let length = rest.iter().zip(first..).take_while(|((place, _), expected)| place == expected).count();
        to.message(spans, |span| {
            span.sint(1, (first - next).into());
            span.varint(2, length as u64);
        });
        next = first + length as i32;
        rest = &rest[length..];
    }
    let before = std::iter::once(0).chain(buckets.iter().map(|(_, count)| *count));
    let steps = buckets.iter().zip(before).map(|((_, count), before)| count.wrapping_sub(before) as i64);
    to.packed_sint(deltas, steps);
}

#[cfg(test)]
#[path = "protobuf_tests.rs"]
mod tests;

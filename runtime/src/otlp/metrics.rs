//! Families as OTLP's Metric messages: opentelemetry/proto/metrics/v1/metrics.proto.

use super::write::text;
use crate::metrics::{Exemplar, Exposition, Family, Histogram, Kind, Labels, Number, Point, Powers, Series};
use weftrace_probes::telemetry::proto::Writer;

/// AggregationTemporality: all since the start.
const CUMULATIVE: u64 = 2;

/// When a family's counts began, and the time of its values, CLOCK_REALTIME ns.
type Times = (u64, u64);

/// Each family that has a value as fields of ScopeMetrics, and how many points it has.
pub(super) fn families(all: &Exposition, (began, now): Times) -> impl Iterator<Item = (Vec<u8>, u64)> {
    all.families.iter().filter(|family| !family.series.is_empty()).map(move |family| {
        let mut out = Writer::default();
        let times = (family.since.unwrap_or(began), now);
        out.message(2, |metric| write_metric(metric, family, times));
        (out.0, family.series.len() as u64)
    })
}

/// Metric
fn write_metric(to: &mut Writer, family: &Family, times: Times) {
    to.text(1, &family.name);
    to.text(2, &family.help);
    let each = |data: &mut Writer, point: fn(&mut Writer, &Series, Times)| {
        for series in &family.series {
            data.message(1, |to| point(to, series, times));
        }
    };
    // All of a map's histograms are of one form.
    let by_powers = matches!(&family.series[..], [Series { point: Point::Histogram(h), .. }, ..] if h.powers.is_some());
    match family.kind {
        Kind::Gauge => to.message(5, |gauge| each(gauge, number)),
        Kind::Counter => to.message(7, |sum| {
            each(sum, number);
            sum.varint(2, CUMULATIVE);
            sum.varint(3, 1);
        }),
        Kind::Histogram => to.message(if by_powers { 10 } else { 9 }, |histogram| {
            each(histogram, if by_powers { exponential } else { explicit });
            histogram.varint(2, CUMULATIVE);
        }),
        Kind::Summary => to.message(11, |summary| each(summary, mean)),
    }
}

fn attributes(to: &mut Writer, field: u32, labels: &Labels) {
    for (name, value) in labels {
        text(to, field, name, value);
    }
}

fn write_times(to: &mut Writer, (began, now): Times) {
    to.fixed64(2, began);
    to.fixed64(3, now);
}

/// NumberDataPoint
fn number(to: &mut Writer, series: &Series, times: Times) {
    let Point::Number(number, exemplar) = &series.point else { return };
    attributes(to, 7, &series.labels);
    write_times(to, times);
    // Two's complement, as sfixed64 is sent; what is beyond it is a double.
    match number {
        Number::Whole(n) if i64::try_from(*n).is_ok() => to.fixed64(6, *n as u64),
        other => to.double(4, other.float()),
    }
    if let Some(exemplar) = exemplar {
        to.message(5, |message| write_exemplar(message, exemplar));
    }
}

/// SummaryDataPoint
fn mean(to: &mut Writer, series: &Series, times: Times) {
    let Point::Mean { total, count } = &series.point else { return };
    attributes(to, 7, &series.labels);
    write_times(to, times);
    to.fixed64(4, *count);
    to.double(5, total.float());
}

/// HistogramDataPoint: no sum, which isn't known.
fn explicit(to: &mut Writer, series: &Series, times: Times) {
    let Point::Histogram(histogram) = &series.point else { return };
    attributes(to, 9, &series.labels);
    write_times(to, times);
    to.fixed64(4, histogram.count);
    let ends = histogram.bounds.iter().map(|(_, count)| *count).chain([histogram.count]);
    let before = std::iter::once(0).chain(histogram.bounds.iter().map(|(_, count)| *count));
    to.packed_fixed64(6, ends.zip(before).map(|(count, before)| count.wrapping_sub(before)));
    to.packed_fixed64(7, histogram.bounds.iter().map(|(bound, _)| (*bound as f64).to_bits()));
    exemplars(to, 8, histogram);
}

/// ExponentialHistogramDataPoint: no sum, which isn't known.
fn exponential(to: &mut Writer, series: &Series, times: Times) {
    let Point::Histogram(Histogram { powers: Some(powers), .. }) = &series.point else { return };
    let Point::Histogram(histogram) = &series.point else { return };
    let Powers { schema, zero, positive, negative } = powers;
    attributes(to, 1, &series.labels);
    write_times(to, times);
    to.fixed64(4, histogram.count);
    to.sint(6, i64::from(*schema));
    to.fixed64(7, *zero);
    buckets(to, 8, positive);
    buckets(to, 9, negative);
    exemplars(to, 11, histogram);
}

/// Buckets: all from the first to the last. OTLP's bucket `i` is that with `i + 1` in [`Powers`].
fn buckets(to: &mut Writer, field: u32, buckets: &[(i32, u64)]) {
    let (Some((first, _)), Some((last, _))) = (buckets.first(), buckets.last()) else { return };
    let mut counts = vec![0; (last - first + 1) as usize];
    for (place, count) in buckets {
        counts[(place - first) as usize] = *count;
    }
    to.message(field, |message| {
        message.sint(1, i64::from(first - 1));
        message.packed_varint(2, counts.into_iter());
    });
}

fn exemplars(to: &mut Writer, field: u32, histogram: &Histogram) {
    // A map that was cleared since has those of before still.
    for exemplar in histogram.exemplars.iter().filter(|_| histogram.count > 0) {
        to.message(field, |message| write_exemplar(message, exemplar));
    }
}

/// Exemplar
fn write_exemplar(to: &mut Writer, exemplar: &Exemplar) {
    to.fixed64(2, exemplar.wall);
    match i64::try_from(exemplar.value) {
        Ok(value) => to.fixed64(6, value as u64),
        Err(_) => to.double(3, exemplar.value as f64),
    }
    let (id, span) = exemplar.trace.bytes();
    if let Some(span) = span {
        to.bytes(4, span);
    }
    to.bytes(5, id);
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;

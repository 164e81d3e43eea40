//! Lines of JSON (docs/spans.md): one object a line, a span, a log record, or a whole OTLP request as the collector's file exporter writes it.

use super::{Attributes, Record, Sender, Taken, bounded, json, kind_name};
use serde_json::{Map, Value};
use std::sync::Arc;
use weftrace_artifact::telemetry::Signal;

/// A line has at most so many bytes.
pub const MAX_LINE: usize = 1 << 20;

/// Reads a line; `now` (CLOCK_REALTIME ns) is the time of log records without one.
pub fn line(bytes: &[u8], now: u64, taken: &mut Taken) {
    let bytes = bytes.trim_ascii();
    if bytes.is_empty() {
        return;
    }
    let Ok(object) = serde_json::from_slice::<Map<String, Value>>(bytes) else {
        return taken.reject("a line is one JSON object");
    };
    let mut request = false;
    for signal in [Signal::Span, Signal::Log] {
        if json::is_request(signal, &object) {
            json::take(signal, &object, now, taken);
            request = true;
        }
    }
    if !request {
        one(&object, now, taken);
    }
}

fn one(object: &Map<String, Value>, now: u64, taken: &mut Taken) {
    let text = |name: &str| bounded(object.get(name).and_then(Value::as_str).unwrap_or_default());
    let signal = match object.get("type").and_then(Value::as_str) {
        Some("span") => Signal::Span,
        Some("log") => Signal::Log,
        None if object.contains_key("span_id") && object.contains_key("start") => Signal::Span,
        None if object.contains_key("body") => Signal::Log,
        _ => return taken.reject("a line has `type`: span or log"),
    };
    let mut resource = Attributes::default();
    attributes(&mut resource, object.get("resource"));
    let mut sender = Sender::of(resource);
    let service = text("service");
    if !service.is_empty() {
        sender.service = service;
    }
    let mut record = Record::new(signal, Arc::new(sender), text("scope").into());
    record.trace_id = text("trace_id");
    record.span_id = text("span_id");
    record.parent_span_id = text("parent_span_id");
    record.name = text("name");
    attributes(&mut record.attributes, object.get("attributes"));
    let start = if signal == Signal::Span { "start" } else { "time" };
    let Some(start) = object.get(start).map_or(Some(0), time) else {
        return taken.reject("a time is RFC 3339 or ns since the epoch");
    };
    record.start = start;
    match signal {
        Signal::Span => {
            let duration = object.get("duration_ns").and_then(Value::as_u64);
            let end = object.get("end").map_or_else(|| duration.and_then(|ns| start.checked_add(ns)), time);
            let Some(end) = end else {
                return taken.reject("a span has `end` (RFC 3339 or ns since the epoch) or `duration_ns`");
            };
            record.end = end;
            let kinds = (0..6).map(kind_name);
            let kind = text("kind");
            record.kind = kinds.into_iter().find(|name| *name == kind).unwrap_or("unspecified");
            record.status = match text("status").as_str() {
                "ok" => "ok",
                "error" => "error",
                _ => "unset",
            };
            record.status_message = text("status_message");
        }
        Signal::Log => {
            record.severity_text = text("severity");
            let severity = object.get("severity_number").and_then(Value::as_u64);
            record.severity = severity.and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
            record.body = object.get("body").map_or(String::new(), |body| bounded(&plain(body)));
        }
    }
    taken.push(record, now);
}

/// `{"http.route": "/x", "http.status": 200}`
fn attributes(out: &mut Attributes, object: Option<&Value>) {
    for (name, value) in object.and_then(Value::as_object).into_iter().flatten() {
        out.add(name, &plain(value));
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// ns since the epoch, of a number (or one in a string) or of an RFC 3339 time.
fn time(value: &Value) -> Option<u64> {
    match value {
        Value::Number(n) => n.as_u64(),
        Value::String(text) => text.parse().ok().or_else(|| rfc3339(text)),
        _ => None,
    }
}

/// `2026-11-29T02:03:04.5Z`, `2026-11-29T02:03:04+01:00`
fn rfc3339(text: &str) -> Option<u64> {
    // Digits only: what is parsed as a number may have a sign.
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<i64>().ok())?;
    let number = |from: usize, to: usize| digits(text.get(from..to)?);
    let mark = |at: usize, marks: &str| text.get(at..=at).filter(|c| marks.contains(c));
    for (at, marks) in [(4, "-"), (7, "-"), (10, "Tt "), (13, ":"), (16, ":")] {
        mark(at, marks)?;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_of_month = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if !(1..=12).contains(&month) || !(1..=days_of_month).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let rest = &text[19..];
    let (nanos, zone) = match rest.strip_prefix('.') {
        Some(fraction) => {
            let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
            let padded = format!("{:0<9}", &fraction[..digits.min(9)]);
            (if digits == 0 { return None } else { padded.parse::<u64>().ok()? }, &fraction[digits..])
        }
        None => (0, rest),
    };
    let offset = match zone {
        "Z" | "z" => 0,
        _ => {
            let sign = if zone.starts_with('-') { -1 } else { 1 };
            let (hours, minutes) = zone.strip_prefix(['+', '-'])?.split_once(':')?;
            if (hours.len(), minutes.len()) != (2, 2) {
                return None;
            }
            let (hours, minutes) = (digits(hours)?, digits(minutes)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            sign * (hours * 3600 + minutes * 60)
        }
    };
    // Days since the epoch by the proleptic calendar, years begun in March.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let era = y.div_euclid(400);
    let day_of_era = (y - era * 400) * 365 + (y - era * 400) / 4 - (y - era * 400) / 100 + (153 * m + 2) / 5 + day - 1;
    let days = era * 146_097 + day_of_era - 719_468;
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset;
    u64::try_from(seconds).ok()?.checked_mul(1_000_000_000)?.checked_add(nanos)
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn times() {
        assert_eq!(rfc3339("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(rfc3339("2023-11-14T22:13:20.012345678Z"), Some(1_700_000_000_012_345_678));
        assert_eq!(rfc3339("2023-11-14T23:13:20.5+01:00"), Some(1_700_000_000_500_000_000));
        assert_eq!(rfc3339("2024-02-29T00:00:00Z"), Some(1_709_164_800_000_000_000));
        for wrong in [
            "",
            "2023",
            "2023-13-01T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2023-04-31T00:00:00Z",
            "2023-11-14T22:13:20",
            "2023-11-14T22:13:20.Z",
            "é023-11-14T22:13:20Z",
            "2023-11-14T+1:-3:20Z",
            "2023-11-14T22:13:20+99:99",
            "2023-11-14T22:13:20+1:00",
            "2023-11-14T22:13:20+5124095576030432:00",
        ] {
            assert_eq!(rfc3339(wrong), None, "{wrong}");
        }
    }
}

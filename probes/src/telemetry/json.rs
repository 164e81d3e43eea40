//! The same messages as JSON (OTLP's mapping: lowerCamelCase, ids in hexadecimal digits, 64-bit numbers as strings or numbers). Names as the .proto files
//! have them (`resource_spans`) are read too: protobuf's JSON mapping has parsers accept both.

use super::{
    Attributes, Record, Sender, Taken, bounded, kind_name,
    proto::Malformed,
    status_name,
    value::{Any, Room},
};
use serde_json::{Map, Value};
use std::sync::Arc;
use weftrace_artifact::telemetry::Signal;

type Object = Map<String, Value>;

/// Reads a request, as `otlp::request` does.
pub fn request(signal: Signal, bytes: &[u8], now: u64) -> Result<Taken, Malformed> {
    let root: Object = serde_json::from_slice(bytes).map_err(|_| Malformed)?;
    // Something else than what is asked for: who knows how many spans it tells of.
    if !root.is_empty() && !is_request(signal, &root) {
        return Err(Malformed);
    }
    let mut taken = Taken::default();
    take(signal, &root, now, &mut taken);
    Ok(taken)
}

/// Of groups, scopes and records.
fn lists(signal: Signal) -> [&'static str; 3] {
    match signal {
        Signal::Span => ["resourceSpans", "scopeSpans", "spans"],
        Signal::Log => ["resourceLogs", "scopeLogs", "logRecords"],
    }
}

/// Whether it is a request with spans, or one with log records. (null is an empty list.)
pub(super) fn is_request(signal: Signal, root: &Object) -> bool {
    field(root, lists(signal)[0]).is_some_and(|groups| groups.is_array() || groups.is_null())
}

/// A member by its name in lowerCamelCase, or as the .proto files have it.
fn field<'a>(of: &'a Object, name: &str) -> Option<&'a Value> {
    let snake = || {
        let mut snake = String::with_capacity(name.len() + 4);
        for letter in name.chars() {
            if letter.is_ascii_uppercase() {
                snake.push('_');
            }
            snake.push(letter.to_ascii_lowercase());
        }
        snake
    };
    of.get(name).or_else(|| name.bytes().any(|b| b.is_ascii_uppercase()).then(snake).and_then(|snake| of.get(&snake)))
}

/// Takes what a parsed request holds.
pub(super) fn take(signal: Signal, root: &Object, now: u64, taken: &mut Taken) {
    let [groups, scopes, records] = lists(signal);
    for group in objects(root, groups) {
        let mut resource = Attributes::default();
        if let Some(Value::Object(its)) = group.get("resource") {
            attributes(&mut resource, its.get("attributes"));
        }
        let sender = Arc::new(Sender::of(resource));
        for scoped in objects(group, scopes) {
            let scope = scoped.get("scope").and_then(|s| s.get("name")).and_then(Value::as_str).unwrap_or_default();
            let scope: Arc<str> = bounded(scope).into();
            for one in objects(scoped, records) {
                let record = Record::new(signal, Arc::clone(&sender), Arc::clone(&scope));
                taken.push(read(record, one), now);
            }
        }
    }
}

fn objects<'a>(of: &'a Object, name: &str) -> impl Iterator<Item = &'a Object> {
    field(of, name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object)
}

fn read(mut record: Record, one: &Object) -> Record {
    let text = |name: &str| bounded(field(one, name).and_then(Value::as_str).unwrap_or_default());
    let count = |name: &str| one.get(name).and_then(Value::as_array).map_or(0, Vec::len) as u32;
    record.trace_id = text("traceId");
    record.span_id = text("spanId");
    attributes(&mut record.attributes, one.get("attributes"));
    match record.signal {
        Signal::Span => {
            record.parent_span_id = text("parentSpanId");
            record.trace_state = text("traceState");
            record.name = text("name");
            record.kind = kind_name(enumerated(one.get("kind"), KINDS));
            record.start = number(field(one, "startTimeUnixNano"));
            record.end = number(field(one, "endTimeUnixNano"));
            (record.events, record.links) = (count("events"), count("links"));
            if let Some(status) = one.get("status") {
                record.status = status_name(enumerated(status.get("code"), STATUSES));
                record.status_message = bounded(status.get("message").and_then(Value::as_str).unwrap_or_default());
            }
        }
        Signal::Log => {
            record.start = number(field(one, "timeUnixNano"));
            if record.start == 0 {
                record.start = number(field(one, "observedTimeUnixNano"));
            }
            record.severity = u32::try_from(number(field(one, "severityNumber"))).unwrap_or(0);
            record.severity_text = text("severityText");
            record.name = text("eventName");
            record.body = one.get("body").map_or(String::new(), |body| bounded(&any(body, &mut Room::new()).text()));
        }
    }
    record
}

const KINDS: &[&str] = &[
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
];
const STATUSES: &[&str] = &["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"];

/// By number, as OTLP has it, or by name, as others write it.
fn enumerated(value: Option<&Value>, names: &[&str]) -> u64 {
    match value {
        Some(Value::String(name)) => names.iter().position(|n| n == name).unwrap_or(0) as u64,
        other => number(other),
    }
}

fn number(value: Option<&Value>) -> u64 {
    value.and_then(read_number).unwrap_or(0)
}

/// `[{"key": …, "value": {"stringValue": …}}]`
fn attributes(out: &mut Attributes, list: Option<&Value>) {
    for pair in list.and_then(Value::as_array).into_iter().flatten() {
        let (key, value) = key_value(pair, &mut Room::new());
        out.add(key, &value.text());
    }
}

fn key_value<'a>(pair: &'a Value, room: &mut Room) -> (&'a str, Any<'a>) {
    let key = pair.get("key").and_then(Value::as_str).unwrap_or_default();
    (key, pair.get("value").map_or(Any::None, |value| any(value, room)))
}

/// An AnyValue.
fn any<'a>(value: &'a Value, room: &mut Room) -> Any<'a> {
    let Some((name, value)) = value.as_object().and_then(|o| o.iter().next()) else { return Any::None };
    let found = match name.as_str() {
        "stringValue" | "string_value" => value.as_str().map(Any::Text),
        "boolValue" | "bool_value" => value.as_bool().map(Any::Flag),
        "intValue" | "int_value" => read_number(value).map(Any::Int),
        "doubleValue" | "double_value" => read_number(value).map(Any::Double),
        // In base64 already.
        "bytesValue" | "bytes_value" => value.as_str().map(|letters| Any::Bytes(bounded(letters))),
        "arrayValue" | "array_value" => Some(room.list(values(value), any).map_or(Any::Deep, Any::List)),
        "kvlistValue" | "kvlist_value" => Some(room.list(values(value), key_value).map_or(Any::Deep, Any::Pairs)),
        _ => None,
    };
    found.unwrap_or(Any::None)
}

/// A number, or one in a string (so are 64 bits written, and what JSON has no number for: NaN, Infinity).
fn read_number<T: std::str::FromStr>(value: &Value) -> Option<T> {
    match value {
        Value::Number(number) => number.to_string().parse().ok(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn values(list: &Value) -> impl Iterator<Item = &Value> {
    list.get("values").and_then(Value::as_array).into_iter().flatten()
}

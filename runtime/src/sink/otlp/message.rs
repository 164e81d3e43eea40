//! A result as OTLP's Span messages.

use crate::{
    decode::Num,
    hash::fnv as hash,
    join::{
        JoinResult, State,
        show::{self, Shown},
    },
    otlp::{int, text},
};
use weftrace_artifact::ty::Type;
use weftrace_probes::telemetry::proto::Writer;

/// Kinds and codes by OTLP's numbers.
const INTERNAL: u64 = 1;
const ERROR: u64 = 2;

/// Fields of anchors that have a name in OpenTelemetry's conventions.
const CONVENTIONS: &[(&str, &str)] = &[
    ("method", "http.request.method"),
    ("path", "url.path"),
    ("status", "http.response.status_code"),
    ("server", "server.address"),
    ("server_port", "server.port"),
    ("client", "client.address"),
    ("client_port", "client.port"),
    ("pid", "process.pid"),
    ("comm", "process.executable.name"),
];

/// Ids that are the same for the same result, also of a replay.
struct Ids {
    trace: [u8; 16],
    span: u64,
    parent: Option<[u8; 8]>,
}

impl Ids {
    fn of(shown: &Shown<'_>) -> Self {
        let result = shown.result;
        let seed = hash(0, result.join.as_bytes());
        let seed = hash(hash(seed, &result.begin.to_le_bytes()), &result.anchor);
        let trace = shown.trace_id().and_then(|id| bytes::<16>(&id)).unwrap_or_else(|| {
            let mut trace = [0; 16];
            trace[..8].copy_from_slice(&hash(seed, b"trace").to_be_bytes());
            trace[8..].copy_from_slice(&seed.to_be_bytes());
            trace
        });
        let parent = bytes::<8>(&result.field("parent_span_id")).filter(|id| *id != [0; 8]);
        Self { trace, span: hash(seed, b"span").max(1), parent }
    }
}

fn bytes<const N: usize>(hex: &str) -> Option<[u8; N]> {
    let mut out = [0; N];
    if hex.len() != 2 * N || !hex.is_ascii() {
        return None;
    }
    for (i, byte) in out.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).ok()?;
    }
    Some(out)
}

/// The anchor's span and one for each piece of a layer, as fields of ScopeSpans.
pub(super) fn spans(shown: &Shown<'_>) -> Vec<u8> {
    let result = shown.result;
    let ids = Ids::of(shown);
    let mut out = Writer::default();
    out.message(2, |span| anchor(span, shown, &ids));
    let (charged, rest) = show::pieces(result);
    let mut number = 0;
    let mut child = |name: &str, (from, to): (u64, u64), leg: Option<usize>| {
        number += 1;
        out.message(2, |span| {
            let id = hash(ids.span, &u64::to_le_bytes(number)).max(1);
            head(span, &ids.trace, id, &ids.span.to_be_bytes(), name);
            times(span, shown, (from, to));
            text(span, 9, "weftrace.layer", name);
            if let Some(source) = leg.and_then(|i| shown.facts.sources.get(i)) {
                text(span, 9, "weftrace.source", source);
            }
        });
    };
    for &leg in &result.blame {
        for piece in &charged[leg as usize] {
            child(&result.legs[leg as usize].name, *piece, Some(leg as usize));
        }
    }
    let name = if result.unknown == 0 { "app" } else { "unknown" };
    for piece in &rest {
        child(name, *piece, None);
    }
    out.0
}

fn head(span: &mut Writer, trace: &[u8], id: u64, parent: &[u8], name: &str) {
    span.bytes(1, trace);
    span.bytes(2, &id.to_be_bytes());
    if !parent.is_empty() {
        span.bytes(4, parent);
    }
    span.text(5, name);
    span.varint(6, INTERNAL);
}

/// Boot times as the wall clock had them.
fn times(span: &mut Writer, shown: &Shown<'_>, (from, to): (u64, u64)) {
    span.fixed64(7, wall(shown, from));
    span.fixed64(8, wall(shown, to));
}

fn wall(shown: &Shown<'_>, boot: u64) -> u64 {
    shown.facts.wall.0.saturating_add(boot.saturating_sub(shown.result.begin))
}

fn anchor(span: &mut Writer, shown: &Shown<'_>, ids: &Ids) {
    let result = shown.result;
    let title = shown.title();
    // Names of spans are few: without what is behind `?`.
    let name = title.split('?').next().filter(|name| !name.is_empty()).unwrap_or(&result.join);
    head(span, &ids.trace, ids.span, ids.parent.as_ref().map_or(&[], |id| id), name);
    times(span, shown, (result.begin, result.end));
    attributes(span, 9, shown);
    for (i, leg) in result.legs.iter().enumerate().filter(|(_, leg)| !leg.off) {
        span.message(11, |event| leg_event(event, shown, i, leg));
    }
    if let Some(parent) = &ids.parent {
        span.message(13, |link| {
            link.bytes(1, &ids.trace);
            link.bytes(2, parent);
        });
    }
    if result.field("status").parse::<u32>().is_ok_and(|status| status >= 500) {
        span.message(15, |status| status.varint(3, ERROR));
    }
}

/// What is known of the anchor and its result, as attributes.
pub(crate) fn attributes(to: &mut Writer, at: u32, shown: &Shown<'_>) {
    let result = shown.result;
    for (field, convention) in CONVENTIONS {
        let value = shown.field(field);
        let number = result.stream.field(field).is_some_and(|f| matches!(f.ty, Type::Int { .. }));
        match value.parse::<u64>() {
            // It is no code of HTTP's: there was no response, or a span's own status.
            Ok(..100) | Err(_) if *field == "status" => {}
            Ok(n) if number => int(to, at, convention, n),
            _ if value.is_empty() => {}
            _ if *field == "path" => text(to, at, convention, value.split('?').next().unwrap_or_default()),
            _ => text(to, at, convention, &value),
        }
    }
    let verdict = result.verdict();
    text(to, at, "weftrace.join", &result.join);
    text(to, at, "weftrace.status", result.status.name());
    text(to, at, "weftrace.verdict.layer", &verdict.layer);
    int(to, at, "weftrace.verdict.percent", verdict.percent);
    for (id, value) in &result.ids {
        text(to, at, &format!("weftrace.id.{id}"), value);
    }
    for (name, value) in [("network.community_id", &shown.facts.community_id), ("container.id", &shown.facts.container)]
    {
        if let Some(value) = value {
            text(to, at, name, value);
        }
    }
}

/// What is known of a leg, also if it is nothing.
fn leg_event(event: &mut Writer, shown: &Shown<'_>, i: usize, leg: &crate::join::LegOutcome) {
    let result: &JoinResult = shown.result;
    let at = leg.intervals().first().map_or(result.begin, |first| first.0.max(result.begin));
    event.fixed64(1, wall(shown, at));
    event.text(2, &format!("leg {}", leg.name));
    match (leg.value(), &leg.state) {
        // What int64 can't hold is its text, as in JSON.
        (Some(Num::Unsigned(value)), _) if i64::try_from(value).is_err() => text(event, 3, "value", &value.to_string()),
        (Some(value), _) => int(event, 3, "value", value.bits()),
        (None, State::Unknown(why)) => text(event, 3, "reason", why),
        (None, State::Ambiguous(n)) => int(event, 3, "candidates", u64::from(*n)),
        (None, _) => {}
    }
    text(event, 3, "state", leg.state.name());
    if !leg.key.is_empty() {
        text(event, 3, "via", leg.via.name());
        text(event, 3, "key", leg.key);
    }
    text(event, 3, "source", shown.facts.sources.get(i).map_or("", |s| s));
    int(event, 3, "count", u64::from(leg.count));
    int(event, 3, "lost", leg.lost);
    int(event, 3, "charged_ns", leg.charged);
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;

//! A result, a summary as JSON: the schema of docs/output.md.

use super::{REDACTED, SCHEMA, Shown, target::is_target};
use crate::{
    decode::{self, Num},
    join::{
        leg::{LegOutcome, State},
        summary::Summary,
    },
    json::{write_field, write_num, write_string},
    style::Style,
    sys,
    text::{push, separated},
};
use std::{collections::BTreeSet, io::Write};
use weftrace_artifact::{
    headers,
    ty::{Field, Type},
};

/// RFC 3339 in UTC, to the nanosecond.
pub(crate) fn rfc3339(wall_ns: u64) -> String {
    let mut out = Vec::new();
    sys::rfc3339(wall_ns, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

fn member(out: &mut Vec<u8>, name: &str, text: Option<&str>) {
    let _ = write!(out, ", \"{name}\": ");
    match text {
        Some(text) => write_string(out, text.as_bytes()),
        None => push(out, "null"),
    }
}

fn number(out: &mut Vec<u8>, name: &str, n: u64) {
    let _ = write!(out, ", \"{name}\": ");
    write_num(out, Num::Unsigned(n));
}

/// Appends a result.
pub fn write(out: &mut Vec<u8>, shown: &Shown<'_>, style: &mut Style<'_>) {
    let (result, facts) = (shown.result, shown.facts);
    let _ = write!(out, "{{\"schema\": {SCHEMA}");
    member(out, "join", Some(&result.join));
    member(out, "status", Some(result.status.name()));
    member(out, "id", (!result.id().is_empty()).then(|| result.id()));
    push(out, ", \"ids\": ");
    separated(out, "[", ", ", "]", &result.ids, |out, (name, value)| {
        push(out, "{\"name\": ");
        write_string(out, name.as_bytes());
        push(out, ", \"value\": ");
        write_string(out, value.as_bytes());
        push(out, "}");
    });
    member(out, "trace_id", shown.trace_id().as_deref());
    member(out, "begin", Some(&rfc3339(facts.wall.0)));
    member(out, "end", Some(&rfc3339(facts.wall.1)));
    number(out, "begin_boot_ns", result.begin);
    number(out, "total_ns", result.total());
    member(out, "server", Some(result.server()).filter(|s| !s.is_empty()).as_deref());
    member(out, "community_id", facts.community_id.as_deref());
    let process = shown.process();
    match &process {
        Some((pid, _)) => number(out, "pid", u64::from(*pid)),
        None => push(out, ", \"pid\": null"),
    }
    member(out, "comm", process.as_ref().map(|p| p.1.as_str()).filter(|comm| !comm.is_empty()));
    member(out, "container", facts.container.as_deref());
    let verdict = result.verdict();
    push(out, ", \"verdict\": {\"layer\": ");
    write_string(out, verdict.layer.as_bytes());
    number(out, "ns", verdict.ns);
    number(out, "percent", verdict.percent);
    member(out, "via", verdict.via);
    push(out, "}, \"legs\": ");
    let rows = result.legs.iter().enumerate().filter(|(_, leg)| !leg.off);
    separated(out, "{", ", ", "}", rows, |out, (i, leg)| {
        write_string(out, leg.name.as_bytes());
        push(out, ": ");
        write_leg(out, leg, facts.sources.get(i).map(String::as_str), result.begin);
    });
    let blame = result.blame.iter().filter_map(|i| result.legs.get(*i as usize)).filter(|leg| !leg.off);
    push(out, ", \"blame\": ");
    separated(out, "[", ", ", "]", blame, |out, leg| write_string(out, leg.name.as_bytes()));
    number(out, "app_ns", result.app);
    number(out, "unknown_ns", result.unknown);
    if let Some(lost) = result.torn {
        number(out, "anchor_lost", lost);
    }
    push(out, ", \"anchor\": ");
    separated(out, "{", ", ", "}", super::plain_fields(&result.stream), |out, field| {
        write_string(out, field.name.as_deref().unwrap_or_default().as_bytes());
        push(out, ": ");
        write_anchor_field(out, shown, field, style);
    });
    push(out, "}");
}

fn write_leg(out: &mut Vec<u8>, leg: &LegOutcome, source: Option<&str>, begin: u64) {
    let _ = write!(out, "{{\"state\": \"{}\", \"value\": ", leg.state.name());
    match leg.value() {
        Some(value) => write_num(out, value),
        None => push(out, "null"),
    }
    member(out, "unit", leg.duration.then_some("ns"));
    member(out, "reason", if let State::Unknown(why) = &leg.state { Some(why) } else { None });
    if let State::Ambiguous(n) = &leg.state {
        number(out, "candidates", u64::from(*n));
    }
    let matched = !leg.key.is_empty();
    member(out, "via", matched.then(|| leg.via.name()));
    member(out, "key", matched.then_some(leg.key));
    member(out, "source", source);
    number(out, "count", u64::from(leg.count));
    number(out, "lost", leg.lost);
    number(out, "charged_ns", leg.charged);
    let _ = write!(out, ", \"approximate\": {}, \"intervals\": ", leg.approximate);
    separated(out, "[", ",", "]", leg.intervals(), |out, (from, to)| {
        let _ =
            write!(out, "[{},{}]", (*from as i64).wrapping_sub(begin as i64), (*to as i64).wrapping_sub(begin as i64));
    });
    push(out, "}");
}

/// As it is; header values and query strings only if they may be shown.
fn write_anchor_field(out: &mut Vec<u8>, shown: &Shown<'_>, field: &Field, style: &mut Style<'_>) {
    let name = field.name.as_deref().unwrap_or_default();
    let anchor = &shown.result.anchor;
    match &field.ty {
        Type::Headers => {
            separated(out, "{", ", ", "}", once_each(decode::member(field, anchor)), |out, (name, value)| {
                write_string(out, name);
                push(out, ": ");
                write_string(out, if shown.may_show(name) { value } else { REDACTED.as_bytes() });
            });
        }
        Type::Str { .. } if is_target(name) && !shown.facts.open => {
            write_string(out, shown.field(name).as_bytes());
        }
        _ => write_field(out, field, anchor, style),
    }
}

/// Each header once, with the value that is found by its name: an object that has a member twice is read in as many ways as there are readers.
fn once_each(packed: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut seen = BTreeSet::new();
    headers::entries(packed).filter(move |(name, _)| seen.insert(String::from_utf8_lossy(name).to_ascii_lowercase()))
}

/// Appends a summary, or the heartbeat's numbers, which are the same.
pub fn write_summary(out: &mut Vec<u8>, join: &str, summary: &Summary, wall: Option<u64>) {
    let _ = write!(out, "{{\"schema\": {SCHEMA}");
    member(out, "join", Some(join));
    if let Some(wall) = wall {
        member(out, "time", Some(&rfc3339(wall)));
    }
    for (name, n) in [
        ("seen", summary.seen),
        ("joined", summary.closed),
        ("passed_over", summary.passed_over),
        ("kept", summary.kept),
        ("late", summary.late),
        ("late_records", summary.late_records),
        ("orphans", summary.orphans),
        ("without_key", summary.keyless),
        ("evicted_anchors", summary.evicted_anchors),
        ("evicted_slowest", summary.evicted_slowest),
        ("evicted_records", summary.evicted_records),
        ("evicted_bindings", summary.evicted_bindings),
        ("evicted_ids", summary.evicted_ids),
        ("lost", summary.lost),
    ] {
        if name == "orphans" && summary.passed_over > 0 {
            push(out, ", \"orphans\": null");
        } else {
            number(out, name, n);
        }
    }
    push(out, ", \"layers\": ");
    separated(out, "[", ", ", "]", summary.by_layer(), |out, layer| {
        push(out, "{\"layer\": ");
        write_string(out, layer.name.as_bytes());
        number(out, "count", layer.count);
        push(out, ", \"peers\": ");
        separated(out, "[", ", ", "]", layer.peers, |out, (peer, count)| {
            push(out, "{\"peer\": ");
            write_string(out, peer.as_bytes());
            number(out, "count", count);
            push(out, "}");
        });
        number(out, "other_peers", layer.other_peers);
        push(out, "}");
    });
    push(out, "}");
}

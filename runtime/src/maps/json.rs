//! Maps as JSON: `{"type": "map"|"hist"|"stats", "data": {"@name": …}}`.

use super::{
    Element, Merged, Snapshot, rows, series,
    text::{is_histogram, write_key},
};
use crate::{
    decode::Num,
    json::{self, write_num, write_string},
    style::Style,
    text::{push, separated},
};
use std::io::Write;
use weftrace_artifact::map::Value;

/// Appends a map's line; nothing for a map without elements. `explicit` as in [`super::write_text`].
pub fn write_json(out: &mut Vec<u8>, map: &Snapshot<'_>, top: u32, div: u32, explicit: bool, style: &mut Style<'_>) {
    let mut contents = Vec::new();
    if !write_contents_json(&mut contents, map, top, div, explicit, style) {
        return;
    }
    let kind = match map.spec.value {
        Value::Hist { .. } | Value::Lhist { .. } => "hist",
        Value::Series { .. } => "tseries",
        Value::Avg { .. } | Value::Stats { .. } => "stats",
        _ => "map",
    };
    let _ = write!(out, "{{\"type\": \"{kind}\", \"data\": {{");
    write_string(out, map.spec.name.as_bytes());
    push(out, ": ");
    out.extend_from_slice(&contents);
    push(out, "}}\n");
}

/// Appends what a map holds, and nothing about it: an object by key, or a value. False where it is empty.
pub fn write_contents_json(
    out: &mut Vec<u8>,
    map: &Snapshot<'_>,
    top: u32,
    div: u32,
    explicit: bool,
    style: &mut Style<'_>,
) -> bool {
    let spec = map.spec;
    let elements = map.top(top);
    let unset;
    let scalar = match (&spec.key, elements) {
        (None, [only, ..]) => Some(only),
        (None, []) if explicit && !is_histogram(spec) => {
            unset = Element { key: Vec::new(), value: Merged::empty(&spec.value) };
            Some(&unset)
        }
        (Some(_), [_, ..]) => None,
        _ => return false,
    };
    match (scalar, &spec.key) {
        (Some(element), _) => write_value_json(out, map, &element.value, div, style),
        (None, Some(ty)) => separated(out, "{", ", ", "}", elements, |out, element| {
            let mut key = Vec::new();
            // Keys are joined by a comma alone, and stacks in them aren't indented.
            write_key(&mut key, ty, &element.key, ",", &mut style.compacted());
            write_string(out, &key);
            push(out, ": ");
            write_value_json(out, map, &element.value, div, style);
        }),
        (None, None) => {}
    }
    true
}

/// Appends an element's value.
pub fn write_value_json(out: &mut Vec<u8>, map: &Snapshot<'_>, merged: &Merged, div: u32, style: &mut Style<'_>) {
    let value = &map.spec.value;
    match (merged, value) {
        (Merged::Series(slots), _) => series::write_json(out, map, slots),
        (Merged::Plain(bytes), Value::Plain(ty)) => json::write_value(out, ty, bytes, &mut style.divided(div)),
        (Merged::Mean { total, count }, Value::Stats { .. }) => {
            let _ = write!(out, "{{\"count\": {count}, \"average\": ");
            write_num(out, merged.average().divided(div));
            push(out, ", \"total\": ");
            write_num(out, *total);
            push(out, "}");
        }
        (Merged::Buckets(buckets), _) => {
            separated(out, "[", ",", "]", rows(value, buckets, div), |out, row| {
                push(out, "{");
                if let Some(low) = &row.low {
                    let _ = write!(out, "\"min\": {}, ", low.value);
                }
                if let Some(high) = &row.high {
                    // The upper bound is inclusive here.
                    let _ = write!(out, "\"max\": {}, ", high.value - 1);
                }
                let _ = write!(out, "\"count\": {}}}", row.count);
            });
        }
        (Merged::Extreme(None), _) => write_num(out, Num::Unsigned(0)),
        _ => write_num(out, merged.average().divided(div)),
    }
}

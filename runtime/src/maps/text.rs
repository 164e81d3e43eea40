//! Maps as text, as bpftrace draws them.

use super::{Element, Merged, Row, Snapshot, rows, series};
use crate::{
    decode::Num,
    style::Style,
    text::{self, push, write_num},
};
use std::io::Write;
use weftrace_artifact::{
    map::{MapSpec, Value},
    ty::Type,
};

/// Columns of a histogram's bar.
const BAR: usize = 52;

/// Appends a map: the `top` largest elements (0: all), numbers divided by `div`. `explicit`: the script asked by `print(@m)`, so a
/// scalar without a value prints as 0.
pub fn write_text(out: &mut Vec<u8>, map: &Snapshot<'_>, top: u32, div: u32, explicit: bool, style: &mut Style<'_>) {
    let spec = map.spec;
    if spec.key.is_none() && map.elements.is_empty() && explicit && !is_histogram(spec) {
        let unset = Element { key: Vec::new(), value: Merged::empty(&spec.value) };
        return write_element(out, map, &unset, div, style);
    }
    for element in map.top(top) {
        write_element(out, map, element, div, style);
    }
}

pub(super) fn is_histogram(spec: &MapSpec) -> bool {
    matches!(spec.value, Value::Hist { .. } | Value::Lhist { .. } | Value::Series { .. })
}

fn write_element(out: &mut Vec<u8>, map: &Snapshot<'_>, element: &Element, div: u32, style: &mut Style<'_>) {
    let spec = map.spec;
    push(out, &spec.name);
    if let Some(ty) = &spec.key {
        push(out, "[");
        write_key(out, ty, &element.key, ", ", style);
        push(out, "]");
    }
    if let Merged::Buckets(buckets) = &element.value {
        push(out, ":\n");
        write_rows(out, &rows(&spec.value, buckets, div));
    } else if let Merged::Series(slots) = &element.value {
        push(out, ":\n");
        series::write_text(out, map, slots);
    } else {
        push(out, ": ");
        write_merged(out, &spec.value, &element.value, div, style);
    }
    push(out, "\n");
}

/// A key: the members of a tuple without its parentheses.
pub(super) fn write_key(out: &mut Vec<u8>, ty: &Type, key: &[u8], sep: &str, style: &mut Style<'_>) {
    let style = &mut style.divided(1);
    match ty {
        Type::Tuple { fields, .. } => {
            text::separated(out, "", sep, "", fields, |out, f| text::write_field(out, f, key, style));
        }
        _ => text::write_value(out, ty, key, style),
    }
}

/// Appends an element's value alone; drawings begin in a line of their own.
pub fn write_value_text(out: &mut Vec<u8>, map: &Snapshot<'_>, value: &Merged, style: &mut Style<'_>) {
    match value {
        Merged::Buckets(buckets) => write_rows(out, &rows(&map.spec.value, buckets, 1)),
        Merged::Series(slots) => series::write_text(out, map, slots),
        plain => write_merged(out, &map.spec.value, plain, 1, style),
    }
}

/// A value that isn't a histogram.
pub fn write_merged(out: &mut Vec<u8>, value: &Value, merged: &Merged, div: u32, style: &mut Style<'_>) {
    match (merged, value) {
        (Merged::Plain(bytes), Value::Plain(ty)) => text::write_value(out, ty, bytes, &mut style.divided(div)),
        (Merged::Mean { total, count }, Value::Stats { .. }) => {
            let _ = write!(out, "{{ .count = {count}, .average = ");
            write_num(out, merged.average().divided(div));
            push(out, ", .total = ");
            write_num(out, *total);
            push(out, " }");
        }
        (Merged::Extreme(None), _) => write_num(out, Num::Unsigned(0)),
        _ => write_num(out, merged.average().divided(div)),
    }
}

/// One line per bucket: its range in 16 columns, its count in 8, a bar of up to 52.
pub(super) fn write_rows(out: &mut Vec<u8>, rows: &[Row]) {
    let max = rows.iter().map(|r| r.count).max().unwrap_or(0);
    for row in rows {
        let range = match (&row.low, &row.high) {
            (None, Some(high)) => format!("(..., {})", high.text),
            (Some(low), None) => format!("[{}, ...)", low.text),
            (Some(low), Some(high)) if low.value + 1 == high.value && is_number(&low.text) && is_number(&high.text) => {
                format!("[{}]", low.text)
            }
            (Some(low), Some(high)) => format!("[{}, {})", low.text, high.text),
            (None, None) => String::new(),
        };
        // In single precision, as the peer computes it: bars must not differ by a column.
        let bar = if max == 0 { 0 } else { ((row.count as f32 / max as f32) * BAR as f32) as usize };
        let _ = writeln!(out, "{range:<16}{:>8} |{:<BAR$}|", row.count, "@".repeat(bar.min(BAR)));
    }
}

fn is_number(text: &str) -> bool {
    text.parse::<i128>().is_ok()
}

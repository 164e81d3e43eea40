//! `tseries()`: numbers by interval, drawn as points on a line per interval.

use super::Snapshot;
use crate::{
    decode::{Num, u64_at},
    sys::strftime,
    text::{push, separated, write_num},
};
use std::io::Write;
use weftrace_artifact::map::{SERIES_BYTES, SeriesHow, Value};

/// Columns between the first and the last border, both included.
const WIDTH: usize = 53;
/// Columns of the lower bound in the lines above and below the drawing.
const LEFT: usize = 21;

/// One interval's slot: what is collected, how much of it (or when), and the interval's number + 1; 0: never used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    value: u64,
    meta: u64,
    mark: u64,
}

impl Slot {
    /// As it lies in a map.
    pub(crate) fn words(&self) -> [u64; 3] {
        [self.value, self.meta, self.mark]
    }
}

/// The slots of one element, merged over CPUs.
pub(super) fn empty(count: u32) -> Vec<Slot> {
    vec![Slot::default(); count as usize]
}

/// Adds one CPU's slots: of two intervals in one slot the later counts, of one interval both parts.
pub(super) fn add(slots: &mut [Slot], bytes: &[u8], how: SeriesHow, signed: bool) {
    for (i, slot) in slots.iter_mut().enumerate() {
        let at = i * SERIES_BYTES as usize;
        let new = Slot { value: u64_at(bytes, at), meta: u64_at(bytes, at + 8), mark: u64_at(bytes, at + 16) };
        if new.mark == 0 || new.mark < slot.mark {
            continue;
        }
        if new.mark > slot.mark {
            *slot = new;
            continue;
        }
        let larger = if signed { new.value as i64 > slot.value as i64 } else { new.value > slot.value };
        match how {
            SeriesHow::Last if new.meta > slot.meta => *slot = new,
            SeriesHow::Last => {}
            SeriesHow::Sum | SeriesHow::Avg => {
                slot.value = slot.value.wrapping_add(new.value);
                slot.meta = slot.meta.wrapping_add(new.meta);
            }
            SeriesHow::Min if !larger => slot.value = new.value,
            SeriesHow::Max if larger => slot.value = new.value,
            SeriesHow::Min | SeriesHow::Max => {}
        }
    }
}

/// The number of the latest interval with something in it, + 1; 0 without one.
pub(super) fn latest(slots: &[Slot]) -> u64 {
    slots.iter().map(|s| s.mark).max().unwrap_or(0)
}

/// An interval's start in wall clock ns and its number, if something was collected.
type Point = (u64, Option<Num>);

/// An element's intervals from its first (within the ring's length of the map's latest) to the map's latest.
fn points(map: &Snapshot<'_>, slots: &[Slot]) -> Vec<Point> {
    let Value::Series { interval, count, how, signed } = map.spec.value else { return Vec::new() };
    let last = map.elements.iter().map(|e| e.value.latest()).max().unwrap_or(0);
    let oldest = last.saturating_sub(u64::from(count) - 1).max(1);
    let Some(first) = slots.iter().map(|s| s.mark).filter(|&mark| mark >= oldest).min() else { return Vec::new() };
    (first..=last)
        .map(|mark| {
            let slot = slots.iter().find(|s| s.mark == mark);
            ((mark - 1).wrapping_mul(interval), slot.map(|s| number(s, how, signed)))
        })
        .collect()
}

fn number(slot: &Slot, how: SeriesHow, signed: bool) -> Num {
    // The interval that began in 1970 is nobody's: bpftrace's shows 0.
    let value = if slot.mark == 1 { 0 } else { slot.value };
    let parts = if how == SeriesHow::Avg { slot.meta.max(1) } else { 1 };
    if signed { Num::Signed((value as i64).wrapping_div(parts as i64)) } else { Num::Unsigned(value / parts) }
}

/// Appends an element's drawing.
pub(super) fn write_text(out: &mut Vec<u8>, map: &Snapshot<'_>, slots: &[Slot]) {
    let points = points(map, slots);
    let numbers = || points.iter().filter_map(|p| p.1);
    let (Some(min), Some(max)) = (numbers().min_by_key(|n| n.wide()), numbers().max_by_key(|n| n.wide())) else {
        return push(out, "<no data>");
    };
    let scale = Scale::new(min, max);
    let step = (points[points.len() - 1].0 - points[0].0) / (points.len() as u64 - 1).max(1);
    let digits = fraction_digits(step);
    let indent = 8 + if digits > 0 { 1 + digits } else { 0 } + 1;
    let head = match digits {
        0 => "hh:mm:ss",
        3 => "hh:mm:ss.ms",
        6 => "hh:mm:ss.μs",
        _ => "hh:mm:ss.ns",
    };
    let bounds = |out: &mut Vec<u8>| {
        let right = WIDTH - LEFT;
        let _ = writeln!(out, "{:indent$}{:<LEFT$}{:>right$}", "", text(scale.min), text(scale.max));
    };
    bounds(out);
    let _ = writeln!(out, "{head:<indent$}|{}|", "_".repeat(WIDTH - 2));
    for (start, value) in &points {
        strftime(*start, "%H:%M:%S", false, out);
        let nanos = start % 1_000_000_000;
        if digits > 0 {
            let _ = write!(out, ".{:0digits$}", nanos / 10u64.pow(9 - digits as u32));
        }
        let _ = write!(out, " {} ", scale.line(*value));
        match value {
            Some(n) => write_num(out, *n),
            None => push(out, "-"),
        }
        push(out, "\n");
    }
    let _ = writeln!(out, "{:indent$}v{}v", "", "_".repeat(WIDTH - 2));
    bounds(out);
}

/// Digits after the seconds that tell intervals of this length apart.
fn fraction_digits(step: u64) -> usize {
    match step {
        1_000_000_000.. => 0,
        1_000_000.. => 3,
        1_000.. => 6,
        _ => 9,
    }
}

fn text(n: Num) -> String {
    n.wide().to_string()
}

/// From numbers to columns.
struct Scale {
    min: Num,
    max: Num,
}

impl Scale {
    /// One number alone gets room on both sides, as far as its type has some.
    fn new(min: Num, max: Num) -> Self {
        if min.wide() != max.wide() {
            return Self { min, max };
        }
        match (min, max) {
            (Num::Signed(a), Num::Signed(b)) => {
                Self { min: Num::Signed(a.saturating_sub(1)), max: Num::Signed(b.saturating_add(1)) }
            }
            (a, b) => {
                Self { min: Num::Unsigned(a.bits().saturating_sub(1)), max: Num::Unsigned(b.bits().saturating_add(1)) }
            }
        }
    }

    /// In single precision, as the peer computes it: points must not differ by a column.
    fn column(&self, n: i128, width: usize) -> usize {
        let (from, range) = (n - self.min.wide(), self.max.wide() - self.min.wide());
        ((width as f32 * from as f32 / range as f32) as usize).min(WIDTH - 1)
    }

    /// Borders, the zero if it lies between them, and the number's point.
    fn line(&self, value: Option<Num>) -> String {
        let mut line = [b' '; WIDTH];
        line[0] = b'|';
        line[WIDTH - 1] = b'|';
        if self.min.wide() < 0 && self.max.wide() > 0 {
            line[self.column(0, WIDTH)] = b'.';
        }
        if let Some(n) = value {
            line[self.column(n.wide(), WIDTH - 1)] = b'*';
        }
        String::from_utf8_lossy(&line).into_owned()
    }
}

/// Appends an element's intervals that have a number.
pub(super) fn write_json(out: &mut Vec<u8>, map: &Snapshot<'_>, slots: &[Slot]) {
    let points = points(map, slots);
    let known = points.iter().filter_map(|(start, n)| Some((*start, (*n)?)));
    separated(out, "[", ",", "]", known, |out, (start, n)| {
        push(out, "{\"interval_start\":\"");
        strftime(start, "%Y-%m-%d %H:%M:%S", true, out);
        let _ = write!(out, ".{:09}\",\"value\":", start % 1_000_000_000);
        crate::json::write_num(out, n);
        push(out, "}");
    });
}

//! Of what is counted while a block knows a trace: the newest of each series, with the trace.

use std::{collections::HashMap, fmt::Write};
use weftrace_artifact::map::{MapId, MapSpec, Value};

/// Series that exemplars are kept of: so many new ones, and as many that were before them.
const SERIES: usize = 2048;
/// Exemplars of one series: of a histogram one for each power of two, or step, the newest.
const OF_SERIES: usize = 16;

/// The trace that a block is about, and of it the span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trace {
    pub(super) id: [u8; 16],
    pub(super) span: Option<[u8; 8]>,
}

impl Trace {
    /// Of hexadecimal digits; None: there is no trace. A span that is none is left out.
    pub(crate) fn of(id: &[u8], span: &[u8]) -> Option<Self> {
        Some(Self { id: digits(id)?, span: digits(span) })
    }

    pub(crate) fn bytes(&self) -> (&[u8], Option<&[u8]>) {
        (&self.id, self.span.as_ref().map(|span| &span[..]))
    }

    /// As labels.
    pub(super) fn labels(&self) -> Vec<(&'static str, String)> {
        let mut labels = vec![("trace_id", hex(&self.id))];
        labels.extend(self.span.map(|span| ("span_id", hex(&span))));
        labels
    }
}

fn digits<const N: usize>(hex: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if hex.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(hex.chunks(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *byte = (digit(0)? * 16 + digit(1)?) as u8;
    }
    (bytes != [0; N]).then_some(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A value that was counted, and the trace that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exemplar {
    pub(crate) trace: Trace,
    /// Of a counter: what was added.
    pub(crate) value: i128,
    /// CLOCK_REALTIME ns.
    pub(crate) wall: u64,
}

/// As it is kept: by the time of the event, and by the part of its histogram.
#[derive(Clone, Copy, Debug)]
struct Kept {
    trace: Trace,
    value: i128,
    /// CLOCK_BOOTTIME ns
    time: u64,
    part: u32,
}

/// By map and key.
type Generation = HashMap<(u32, Box<[u8]>), Vec<Kept>>;

/// In two generations: when the new one is full it becomes the old one, whose series are forgotten unless they were counted again meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Exemplars {
    new: Generation,
    old: Generation,
}

impl Exemplars {
    /// A value was counted. `key`: as the map has it; nothing of maps without keys.
    pub(crate) fn note(&mut self, map: (MapId, &MapSpec), key: &[u8], trace: Trace, value: i128, time: u64) {
        let (id, spec) = map;
        let key = (id.0, Box::from(if spec.key.is_some() { key } else { &[] }));
        if self.new.len() >= SERIES && !self.new.contains_key(&key) {
            self.old = std::mem::take(&mut self.new);
        }
        let before = self.old.remove(&key);
        let kept = self.new.entry(key).or_insert_with(|| before.unwrap_or_default());
        let new = Kept { trace, value, time, part: part(&spec.value, value) };
        if let Some(same) = kept.iter_mut().find(|old| old.part == new.part) {
            *same = new;
        } else if kept.len() < OF_SERIES {
            kept.push(new);
        } else if let Some(oldest) = kept.iter_mut().min_by_key(|old| old.time) {
            *oldest = new;
        }
    }

    /// Of an element; `wall`: the clock's time of an event's.
    pub(crate) fn of(&self, map: MapId, key: &[u8], wall: impl Fn(u64) -> u64) -> Vec<Exemplar> {
        if self.new.is_empty() && self.old.is_empty() {
            return Vec::new();
        }
        let key = (map.0, Box::from(key));
        let kept = self.new.get(&key).or_else(|| self.old.get(&key));
        let shown = |kept: &Kept| Exemplar { trace: kept.trace, value: kept.value, wall: wall(kept.time) };
        kept.into_iter().flatten().map(shown).collect()
    }
}

/// Where in its histogram a value is, coarsely.
fn part(value: &Value, n: i128) -> u32 {
    match *value {
        Value::Hist { .. } if n > 0 => n.ilog2() + 1,
        Value::Lhist { min, step, .. } => {
            ((n - i128::from(min)) / i128::from(step.max(1)) + 1).clamp(0, 1 << 20) as u32
        }
        _ => 0,
    }
}

#[cfg(test)]
#[path = "exemplars_tests.rs"]
mod tests;

//! What `weftrace test` asks of the runs that it starts: results of `test:` blocks without times, and how often each place ran.

use crate::{args::Run, frontend::Loaded};
use serde_json::{Value, json};
use std::{collections::HashMap, io, path::PathBuf};
use weftrace_lang::coverage;
use weftrace_runtime::{
    decode::Num,
    maps::{Merged, Snapshot},
    sink::{Message, Sink},
    style::Style,
};

/// Passes on what a sink gets, but that.
struct ForTests {
    inner: Box<dyn Sink>,
    /// Where the counts go, and what they count.
    coverage: Option<(PathBuf, Vec<Value>)>,
}

pub(super) fn wrap(sink: Box<dyn Sink>, args: &Run, loaded: &Loaded) -> Box<dyn Sink> {
    if args.coverage.is_none() && !args.only_tests {
        return sink;
    }
    let points = loaded.coverage.iter().map(|point| {
        let (line, _) = loaded.sources.line_col(point.span);
        json!({ "kind": point.kind.name(), "line": line, "text": loaded.sources.snippet(point.span).trim() })
    });
    let coverage = args.coverage.clone().map(|path| (path, points.collect()));
    Box::new(ForTests { inner: sink, coverage })
}

impl ForTests {
    /// Writes every place with its count.
    fn write(&self, map: &Snapshot<'_>) -> io::Result<()> {
        let Some((path, points)) = &self.coverage else { return Ok(()) };
        let counts: HashMap<u64, u64> =
            map.elements.iter().filter_map(|e| Some((number(&e.key)?, total(&e.value)?))).collect();
        let mut points = points.clone();
        for (number, point) in (0u64..).zip(&mut points) {
            point["count"] = json!(counts.get(&number).unwrap_or(&0));
        }
        std::fs::write(path, Value::from(points).to_string())
    }
}

/// A key's number: of as many bytes as its type has.
fn number(key: &[u8]) -> Option<u64> {
    let mut bytes = [0; 8];
    bytes.get_mut(..key.len())?.copy_from_slice(key);
    Some(u64::from_ne_bytes(bytes))
}

fn total(value: &Merged) -> Option<u64> {
    match value {
        Merged::Total(Num::Unsigned(n)) => Some(*n),
        Merged::Total(Num::Signed(n)) => u64::try_from(*n).ok(),
        _ => None,
    }
}

impl Sink for ForTests {
    fn message(&mut self, message: &Message<'_>, style: &mut Style<'_>) -> io::Result<()> {
        match message {
            Message::Map { map, .. } if map.spec.name.strip_prefix('@') == Some(coverage::MAP) => self.write(map),
            Message::Test { names, index, passed, output, .. } => {
                let mut text =
                    format!("{} {}\n", if passed[*index] { "ok" } else { "FAILED" }, names[*index]).into_bytes();
                if !passed[*index] {
                    for line in output.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
                        text.extend_from_slice(b"  ");
                        text.extend_from_slice(line);
                        text.push(b'\n');
                    }
                }
                self.inner.message(&Message::Printf(&text), style)
            }
            other => self.inner.message(other, style),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

//! Which places of a script its fixtures reach.

use serde_json::Value;
use std::path::Path;

/// A place of the script: a probe, a branch, a loop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) kind: String,
    pub(super) line: u64,
    /// Its first line.
    pub(super) text: String,
    pub(super) count: u64,
}

/// What all fixtures of a script reach together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Coverage {
    pub(super) places: Vec<Place>,
}

impl Coverage {
    /// What a run wrote; None: it wrote nothing.
    pub(super) fn read(file: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(file).ok()?;
        let Ok(Value::Array(rows)) = serde_json::from_str(&text) else { return None };
        let place = |row: &Value| {
            let text = row["text"].as_str()?.lines().next().unwrap_or_default().to_owned();
            Some(Place {
                kind: row["kind"].as_str()?.to_owned(),
                line: row["line"].as_u64()?,
                text,
                count: row["count"].as_u64()?,
            })
        };
        Some(Self { places: rows.iter().map(place).collect::<Option<_>>()? })
    }

    /// Adds another run of the same script.
    pub(super) fn add(&mut self, other: Self) {
        if self.places.is_empty() {
            *self = other;
            return;
        }
        for (mine, its) in self.places.iter_mut().zip(other.places) {
            mine.count += its.count;
        }
    }

    /// `probes 3/5, branches 12/14`
    pub(super) fn text(&self) -> String {
        let of = |probes: bool| {
            let all = self.places.iter().filter(move |p| (p.kind == "probe") == probes);
            (all.clone().filter(|p| p.count > 0).count(), all.count())
        };
        let ((probes, of_probes), (branches, of_branches)) = (of(true), of(false));
        format!("probes {probes}/{of_probes}, branches {branches}/{of_branches}")
    }

    /// Places that nothing reaches, in the script's order: `line 12: then $took > slow`.
    pub(super) fn missed(&self) -> Vec<String> {
        let mut missed: Vec<&Place> = self.places.iter().filter(|p| p.count == 0).collect();
        missed.sort_by_key(|p| p.line);
        missed.into_iter().map(|p| format!("line {}: {} {}", p.line, p.kind, p.text)).collect()
    }
}

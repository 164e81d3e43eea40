//! The script under test is the bundled one; its ids are taken out if they are withheld. Its records are read as JSON.

use super::plan::{Cause, GO, Hop};
use serde_json::Value;
use std::{collections::BTreeMap, fs, io, path::Path};

/// One record as the script told it.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// CLOCK_BOOTTIME ns.
    pub start: u64,
    pub end: u64,
    pub total: u64,
    pub client_port: u16,
    pub server_port: u16,
    pub status: u64,
    /// The number in the path, which the judge alone looks at.
    pub n: u64,
    pub id: String,
    /// The trace that it is of; empty: it says none.
    pub trace: String,
    /// The layer that the verdict names.
    pub verdict: String,
    /// What each layer is charged with, ms.
    pub layers: BTreeMap<String, u64>,
    /// As it was printed.
    pub text: String,
}

impl Record {
    pub fn hop(&self) -> Hop {
        if self.server_port == GO { Hop::Go } else { Hop::Front }
    }
}

/// The bundled script, as it is run here.
pub struct Script {
    pub text: String,
    /// The layers it can blame.
    pub layers: Vec<String>,
}

impl Script {
    /// Whether it has a layer for a cause.
    pub fn knows(&self, cause: Cause) -> bool {
        cause.layer() == "app" || self.layers.iter().any(|layer| layer == cause.layer())
    }

    /// Whether it looks into a Go program that it is told.
    pub fn asks_for_go(&self) -> bool {
        self.text.contains("import \"std/go\"")
    }

    pub fn read(path: &Path, with_ids: bool) -> io::Result<Self> {
        let bundled = fs::read_to_string(path)?;
        let wrong = |what: &str| io::Error::other(format!("{}: no {what}", path.display()));
        let kept = bundled.lines().filter(|line| with_ids || !line.trim_start().starts_with("ids "));
        let text = kept.collect::<Vec<_>>().join("\n") + "\n";
        if !with_ids && text.lines().any(|line| !line.starts_with("//") && line.contains("request-id")) {
            return Err(wrong("way to withhold the request's id: it is used outside of `ids`"));
        }
        let blame = text.lines().find_map(|line| line.trim().strip_prefix("blame ")).ok_or_else(|| wrong("blame"))?;
        let layers = blame.trim_end_matches(';').split(',').map(|layer| layer.trim().to_owned()).collect();
        Ok(Self { text, layers })
    }
}

/// The records in what weftrace printed (`-f json`).
pub fn records(lines: &[String]) -> Vec<Record> {
    let results = lines.iter().filter(|line| is_record(line));
    let objects = results.filter_map(|line| serde_json::from_str::<Value>(line).ok().map(|value| (line, value)));
    objects.filter_map(|(line, value)| Some(Record { text: line.clone(), ..record(&value["data"])? })).collect()
}

/// The number in the path of a request, of the judge's own only (`/ok/0` is none).
fn number_of(path: &str) -> Option<u64> {
    path.split(['/', '?', '"']).nth(2).and_then(|n| n.parse().ok()).filter(|n| *n > 0)
}

/// Whether a line that weftrace printed is one of these records.
pub fn is_record(line: &str) -> bool {
    let path = line.split_once("\"path\": \"").filter(|_| line.contains("join_result"));
    path.is_some_and(|(_, path)| number_of(path).is_some())
}

/// Numbers that a double can't hold are strings.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn record(data: &Value) -> Option<Record> {
    let anchor = &data["anchor"];
    let n = number_of(anchor["path"].as_str()?)?;
    let legs = data["legs"].as_object()?;
    let charged = |leg: &Value| number(&leg["charged_ns"]).unwrap_or(0) / 1_000_000;
    Some(Record {
        start: number(&anchor["start"])?,
        end: number(&anchor["end"])?,
        total: number(&data["total_ns"])?,
        client_port: number(&anchor["client_port"])? as u16,
        server_port: number(&anchor["server_port"])? as u16,
        status: number(&anchor["status"])?,
        n,
        id: data["id"].as_str().unwrap_or_default().to_owned(),
        trace: data["trace_id"].as_str().or(anchor["trace_id"].as_str()).unwrap_or_default().to_owned(),
        verdict: data["verdict"]["layer"].as_str()?.to_owned(),
        layers: legs.iter().map(|(name, leg)| (name.clone(), charged(leg))).collect(),
        text: String::new(),
    })
}

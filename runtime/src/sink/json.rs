//! NDJSON in bpftrace's shapes: `{"type": T, "data": …}`, one object a line.

use super::{Buffered, Location, Message, Sink, by_hand};
use crate::{
    join::show,
    json::{self, write_string},
    maps, stats,
    style::Style,
    text::{push, separated},
};
use std::io::{self, Write};
use weftrace_artifact::action::LogLevel;

/// All messages to one writer.
pub struct JsonSink {
    out: Buffered,
    /// `-q`: no `attached_probes`.
    quiet: bool,
}

impl JsonSink {
    pub fn new(out: Box<dyn Write>, quiet: bool) -> Self {
        Self { out: Buffered::new(out), quiet }
    }
}

fn data(out: &mut Vec<u8>, kind: &str, value: impl FnOnce(&mut Vec<u8>)) {
    let _ = write!(out, "{{\"type\": \"{kind}\", \"data\": ");
    value(out);
    push(out, "}\n");
}

fn string(out: &mut Vec<u8>, kind: &str, bytes: &[u8]) {
    data(out, kind, |out| write_string(out, bytes));
}

/// `count` beside `data`, as bpftrace has it for numbers about the run.
fn counted(out: &mut Vec<u8>, kind: &str, name: &str, n: u64) {
    let _ = writeln!(out, "{{\"type\": \"{kind}\", \"count\": {n}, \"data\": {{\"{name}\": {n}}}}}");
}

fn located(out: &mut Vec<u8>, kind: &str, text: &[u8], at: &Location) {
    let _ = write!(out, "{{\"type\": \"{kind}\", \"msg\": ");
    write_string(out, text);
    push(out, ", \"filename\": ");
    write_string(out, at.file.as_bytes());
    let _ = writeln!(out, ", \"line\": {}, \"col\": {}}}", at.line, at.column);
}

fn warning(out: &mut Vec<u8>, text: &str, helper: Option<(&str, i64)>, at: &Location, times: u64) {
    let kind = if helper.is_some() { "helper_error" } else { "runtime_error" };
    let _ = write!(out, "{{\"type\": \"{kind}\", \"msg\": ");
    write_string(out, text.as_bytes());
    if let Some((helper, result)) = helper {
        let _ = write!(out, ", \"helper\": \"{helper}\", \"retcode\": {result}");
    }
    push(out, ", \"filename\": ");
    write_string(out, at.file.as_bytes());
    let _ = write!(out, ", \"line\": {}, \"col\": {}", at.line, at.column);
    if times > 1 {
        let _ = write!(out, ", \"times\": {times}");
    }
    push(out, "}\n");
}

impl Sink for JsonSink {
    fn message(&mut self, message: &Message<'_>, style: &mut Style<'_>) -> io::Result<()> {
        let out = self.out.bytes();
        match message {
            Message::Printf(bytes) => string(out, "printf", bytes),
            Message::Time(bytes) => string(out, "time", bytes),
            Message::Join(bytes) => string(out, "join", bytes),
            Message::Cat(bytes) => string(out, "cat", bytes),
            Message::System(bytes) => string(out, "syscall", bytes),
            Message::Value { ty, bytes } => data(out, "value", |out| json::write_value(out, ty, bytes, style)),
            Message::Element { map, value } => {
                data(out, "value", |out| maps::write_value_json(out, map, value, 1, style));
            }
            Message::Map { map, top, div, explicit } => maps::write_json(out, map, *top, *div, *explicit, style),
            Message::Joined(shown) | Message::Early(shown) => {
                data(out, "join_result", |out| show::json::write(out, shown, style));
            }
            Message::Summary { join, summary, heartbeat, wall } => {
                let kind = if *heartbeat { "join_heartbeat" } else { "join_summary" };
                data(out, kind, |out| show::json::write_summary(out, join, summary, heartbeat.then_some(*wall)));
            }
            Message::Alert { json, .. } => data(out, "alert", |out| out.extend_from_slice(json)),
            Message::Log { level, text, at } => {
                let kind = match level {
                    LogLevel::Error => "errorf",
                    LogLevel::Warning => "warnf",
                    LogLevel::Debug => "debugf",
                };
                located(out, kind, text, at);
            }
            Message::Warning { text, helper, at, times } => warning(out, text, *helper, at, *times),
            Message::Attached(n) if !self.quiet => counted(out, "attached_probes", "probes", *n as u64),
            Message::NotAttached { probe, why, remedy, at } => {
                let remedy = remedy.map(|r| format!(" ({r})")).unwrap_or_default();
                located(out, "attach_error", format!("{probe}: {why}{remedy}").as_bytes(), at);
            }
            Message::Test { names, index, ns, passed, output } => {
                data(out, "test_result", |out| by_hand::test_json(out, &names[*index], *ns, passed[*index], output));
            }
            Message::Bench { names, index, ns, runs } => {
                data(out, "benchmark_result", |out| by_hand::bench_json(out, &names[*index], *ns, *runs));
            }
            Message::LostEvents(n) => counted(out, "lost_events", "events", *n),
            Message::Losses(rows) if !rows.is_empty() => data(out, "losses", |out| {
                separated(out, "[", ",", "]", *rows, |out, row| {
                    push(out, "{\"source\": ");
                    write_string(out, row.source.as_bytes());
                    let _ = write!(out, ", \"kind\": \"{}\", \"count\": {}}}", row.kind.name(), row.count);
                });
            }),
            Message::Cost(rows) => data(out, "cost", |out| stats::write_json(out, rows)),
            Message::Attached(_) | Message::Losses(_) | Message::End => {}
        }
        self.out.write_if_full()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

//! Results of joins as a trace that ui.perfetto.dev (and chrome://tracing) opens: Chrome's JSON trace events.
//!
//! Each request is a process of its own there, each layer a thread, so that layers are tracks on one scale of time. What else a script prints goes
//! where messages go.

use super::{Buffered, Message, Sink, TextSink};
use crate::{
    join::show::{self, Shown, line},
    json::write_string,
    style::Style,
    text::push,
};
use std::io::{self, Write};

/// One JSON array of events.
pub struct PerfettoSink {
    out: Buffered,
    others: TextSink,
    requests: u64,
    begun: bool,
}

impl PerfettoSink {
    /// `others`: where everything but results goes.
    pub fn new(out: Box<dyn Write>, others: TextSink) -> Self {
        Self { out: Buffered::new(out), others, requests: 0, begun: false }
    }

    /// An event; `rest` are its further members, each with a comma before it.
    fn event(&mut self, phase: &str, name: &str, track: u64, rest: &[u8]) {
        let number = self.requests;
        let first = !std::mem::replace(&mut self.begun, true);
        let out = self.out.bytes();
        push(out, if first { "[\n" } else { ",\n" });
        let _ = write!(out, "{{\"ph\":\"{phase}\",\"pid\":{number},\"tid\":{track},\"name\":");
        write_string(out, name.as_bytes());
        out.extend_from_slice(rest);
        push(out, "}");
    }

    /// Names a process (track 0) or a thread.
    fn label(&mut self, what: &str, track: u64, name: &str) {
        let mut rest = b",\"args\":{\"name\":".to_vec();
        write_string(&mut rest, name.as_bytes());
        push(&mut rest, "}");
        self.event("M", what, track, &rest);
    }

    fn slice(&mut self, name: &str, track: u64, (from, to): (u64, u64), args: &[(impl AsRef<str>, String)]) {
        let mut rest = Vec::new();
        let _ = write!(rest, ",\"ts\":{},\"dur\":{}", micros(from), micros(to - from));
        push(&mut rest, ",\"args\":{");
        for (i, (key, value)) in args.iter().enumerate() {
            push(&mut rest, if i == 0 { "" } else { "," });
            write_string(&mut rest, key.as_ref().as_bytes());
            push(&mut rest, ":");
            write_string(&mut rest, value.as_bytes());
        }
        push(&mut rest, "}");
        self.event("X", name, track, &rest);
    }

    fn result(&mut self, shown: &Shown<'_>) {
        let result = shown.result;
        self.requests += 1;
        self.label("process_name", 0, &line::head(shown));
        self.label("thread_name", 1, "request");
        let args = arguments(shown);
        self.slice(&shown.title(), 1, (result.begin, result.end), &args);
        let (charged, rest) = show::pieces(result);
        let mut track = 1;
        for (i, blamed) in line::order(result) {
            let leg = &result.legs[i];
            track += 1;
            let value = line::value(result, leg, blamed);
            self.label("thread_name", track, &format!("{} {value}", leg.name));
            let via = if leg.key.is_empty() { String::new() } else { format!("{}({})", leg.via.name(), leg.key) };
            let source = shown.facts.sources.get(i).cloned().unwrap_or_default();
            let (value, charged_ms) = (line::value(result, leg, false), line::ms(leg.charged).to_string());
            let args = [
                ("value", value),
                ("charged", charged_ms),
                ("via", via),
                ("source", source),
                ("lost", leg.lost.to_string()),
            ];
            for piece in &charged[i] {
                self.slice(&leg.name, track, *piece, &args);
            }
        }
        let (name, ns) = if result.unknown == 0 { ("app", result.app) } else { ("unknown", result.unknown) };
        self.label("thread_name", track + 1, &format!("{name} {}", line::ms(ns)));
        let none: [(&str, String); 0] = [];
        for piece in rest {
            self.slice(name, track + 1, piece, &none);
        }
    }
}

/// What is known of a request. Ids have whatever names the script gives them: one that is taken stands behind `id.`, and each stands once.
fn arguments(shown: &Shown<'_>) -> Vec<(String, String)> {
    let result = shown.result;
    let mut args = vec![("join".to_owned(), result.join.clone()), ("verdict".to_owned(), line::verdict(result))];
    args.extend(shown.facts.community_id.clone().map(|id| ("community_id".to_owned(), id)));
    args.extend(shown.trace_id().map(|id| ("trace_id".to_owned(), id)));
    for (name, value) in &result.ids {
        let mut name = name.clone();
        while let Some((_, there)) = args.iter().find(|(have, _)| *have == name) {
            if there == value {
                break;
            }
            name.insert_str(0, "id.");
        }
        if !args.iter().any(|(have, _)| *have == name) {
            args.push((name, value.clone()));
        }
    }
    args
}

/// Microseconds with three digits behind the point.
fn micros(ns: u64) -> String {
    format!("{}.{:03}", ns / 1000, ns % 1000)
}

impl Sink for PerfettoSink {
    fn message(&mut self, message: &Message<'_>, style: &mut Style<'_>) -> io::Result<()> {
        match message {
            Message::Joined(shown) => self.result(shown),
            Message::End => push(self.out.bytes(), if self.begun { "\n]\n" } else { "[]\n" }),
            other => self.others.message(other, style)?,
        }
        self.out.write_if_full()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()?;
        self.others.flush()
    }
}

#[cfg(test)]
#[path = "perfetto_tests.rs"]
mod tests;

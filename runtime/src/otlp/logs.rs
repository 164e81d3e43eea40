//! Alerts, results of joins and the lines that a script prints as OTLP's LogRecord messages: opentelemetry/proto/logs/v1/logs.proto.

use super::{
    sender::Sender,
    write::{int, text},
};
use crate::{
    alert::{Notice, State, cut},
    engine::trace_of,
    join::show::{self, Shown},
    metrics::Trace,
    sink::{self, Message},
    style::Style,
    sys,
    text::write_value,
};
use weftrace_artifact::action::LogLevel;
use weftrace_probes::telemetry::proto::Writer;

/// Longest text of a record, in bytes.
const LONGEST: usize = 16 << 10;

/// SeverityNumber
#[derive(Clone, Copy)]
enum Severity {
    Info = 9,
    Warn = 13,
    Error = 17,
}

pub(super) struct Logs {
    pub(super) sender: Sender,
    /// What was printed of a line that has not ended.
    line: Vec<u8>,
}

impl Logs {
    pub(super) fn new(sender: Sender) -> Self {
        Self { sender, line: Vec::new() }
    }

    pub(super) fn message(&mut self, message: &Message<'_>, style: &mut Style<'_>) {
        match message {
            Message::Printf(bytes) | Message::Time(bytes) | Message::Cat(bytes) => self.printed(bytes),
            Message::Join(bytes) | Message::System(bytes) => {
                self.printed(bytes);
                self.printed(b"\n");
            }
            Message::Value { ty, bytes } => {
                let mut out = Vec::new();
                write_value(&mut out, ty, bytes, style);
                out.push(b'\n');
                self.printed(&out);
            }
            Message::Joined(shown) => self.joined(shown),
            Message::Log { level: LogLevel::Error, text, .. } => self.line_of(Severity::Error, text),
            Message::Log { level: LogLevel::Warning, text, .. } => self.line_of(Severity::Warn, text),
            // Maps are metrics; what was lost is told as such too.
            _ => {}
        }
    }

    /// Whole lines become records.
    fn printed(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|b| *b == b'\n') {
            let room = LONGEST.saturating_sub(self.line.len());
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                self.line_of(Severity::Info, &line);
            }
        }
    }

    fn line_of(&mut self, severity: Severity, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end_matches('\n');
        if !line.is_empty() {
            let now = sys::now(libc::CLOCK_REALTIME);
            self.send(now, severity, ("weftrace.line", line), |_| {});
        }
    }

    fn joined(&mut self, shown: &Shown<'_>) {
        let trace = trace_of(shown.result);
        let head = show::line::head(shown);
        self.send(shown.facts.wall.1, Severity::Info, ("weftrace.join_result", &head), |record| {
            int(record, 6, "weftrace.total_ns", shown.result.end.saturating_sub(shown.result.begin));
            sink::attributes(record, 6, shown);
            in_trace(record, trace);
        });
    }

    pub(super) fn alert(&mut self, notice: &Notice, trace: Option<Trace>) {
        let (severity, state) = match notice.state {
            State::Resolved => (Severity::Info, "resolved"),
            State::Firing | State::Still => (Severity::Warn, "firing"),
        };
        self.send(notice.time, severity, ("weftrace.alert", &notice.text()), |record| {
            text(record, 6, "weftrace.alert.name", &notice.name);
            text(record, 6, "weftrace.alert.state", state);
            text(record, 6, "weftrace.alert.condition", &notice.condition);
            int(record, 6, "weftrace.alert.since_unix_nano", notice.since);
            for (name, value) in &notice.labels {
                text(record, 6, name, value);
            }
            in_trace(record, trace);
        });
    }

    /// LogRecord. `time`: of what it tells, CLOCK_REALTIME ns.
    fn send(&mut self, time: u64, severity: Severity, (name, body): (&str, &str), more: impl FnOnce(&mut Writer)) {
        let mut out = Writer::default();
        out.message(2, |record| {
            record.fixed64(1, time);
            record.fixed64(11, sys::now(libc::CLOCK_REALTIME));
            record.varint(2, severity as u64);
            record.text(
                3,
                match severity {
                    Severity::Info => "INFO",
                    Severity::Warn => "WARN",
                    Severity::Error => "ERROR",
                },
            );
            record.message(5, |any| any.text(1, &cut(&shown(body), LONGEST)));
            record.text(12, name);
            more(record);
        });
        self.sender.send(out.0, 1);
    }

    /// A line that didn't end is one.
    pub(super) fn finish(&mut self) {
        let line = std::mem::take(&mut self.line);
        self.line_of(Severity::Info, &line);
    }
}

/// Text from strangers can't write into a terminal, or turn the direction of writing, where somebody reads it.
fn shown(text: &str) -> String {
    let mut out = String::new();
    for part in text.split_inclusive(['\n', '\t']) {
        let plain = part.trim_end_matches(['\n', '\t']);
        out += &show::escaped(plain);
        out += &part[plain.len()..];
    }
    out
}

fn in_trace(record: &mut Writer, trace: Option<Trace>) {
    let Some(trace) = &trace else { return };
    let (id, span) = trace.bytes();
    record.bytes(9, id);
    if let Some(span) = span {
        record.bytes(10, span);
    }
}

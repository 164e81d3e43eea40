//! Text, as bpftrace prints it.

use super::{Buffered, Location, Message, Sink, by_hand};
use crate::{
    join::show::{self, waterfall::Look},
    maps, stats,
    style::Style,
    sys::strftime,
    text,
    text::push,
};
use std::io::{self, Write};
use weftrace_artifact::action::LogLevel;

/// Results to one writer, messages about the run to another.
pub struct TextSink {
    out: Buffered,
    err: Buffered,
    /// `-q`: no "Attached N probes".
    quiet: bool,
    /// Whether events were in the output since the last flush, so that messages keep their order on a terminal.
    level: LogLevel,
    /// Results of joins are drawn; None: written in lines.
    waterfall: Option<Look>,
    /// While nothing is slow, that is said.
    heartbeat: bool,
}

impl TextSink {
    pub fn new(out: Box<dyn Write>, err: Box<dyn Write>, quiet: bool) -> Self {
        Self {
            out: Buffered::new(out),
            err: Buffered::new(err),
            quiet,
            level: LogLevel::Warning,
            waterfall: None,
            heartbeat: false,
        }
    }

    /// Shows debugf too.
    pub fn verbose(mut self) -> Self {
        self.level = LogLevel::Debug;
        self
    }

    /// Results of joins are drawn.
    pub fn waterfall(mut self, look: Look) -> Self {
        self.waterfall = Some(look);
        self
    }

    /// Says now and then that nothing is slow: somebody watches.
    pub fn heartbeat(mut self) -> Self {
        self.heartbeat = true;
        self
    }

    fn joined(&mut self, shown: &show::Shown<'_>) {
        let out = self.out.bytes();
        let text = match self.waterfall {
            Some(look) => show::waterfall::draw(shown, look),
            None => show::line::text(shown),
        };
        push(out, &text);
        // A waterfall has many lines: an empty one stands between two.
        push(out, if self.waterfall.is_some() { "\n\n" } else { "\n" });
    }

    fn not_attached(&mut self, (probe, why): (&str, &str), remedy: Option<&str>, at: &Location) {
        let mut line = format!("{probe} did not attach: {why}");
        if let Some(remedy) = remedy {
            line += "\n   = ";
            line += remedy;
        }
        self.log(LogLevel::Warning, line.as_bytes(), at);
    }

    fn log(&mut self, level: LogLevel, message: &[u8], at: &Location) {
        if level == LogLevel::Debug && self.level != LogLevel::Debug {
            return;
        }
        let err = self.err.bytes();
        write_location(err, at);
        push(err, level_name(level));
        push(err, ": ");
        err.extend_from_slice(message.strip_suffix(b"\n").unwrap_or(message));
        err.push(b'\n');
        write_frames(err, at, level);
    }

    fn warning(&mut self, text: &str, helper: Option<(&str, i64)>, at: &Location, times: u64) {
        let err = self.err.bytes();
        write_location(err, at);
        push(err, "WARNING: ");
        push(err, text);
        if times > 1 {
            let _ = write!(err, " ({times} times in all)");
        }
        err.push(b'\n');
        if let Some((name, result)) = helper {
            let _ = writeln!(err, "Additional Info - helper: {name}, retcode: {result}");
        }
        write_source(err, at);
        write_frames(err, at, LogLevel::Warning);
    }
}

fn level_name(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error => "ERROR",
        LogLevel::Warning => "WARNING",
        LogLevel::Debug => "DEBUG",
    }
}

fn write_location(out: &mut Vec<u8>, at: &Location) {
    if !at.file.is_empty() {
        let _ = if at.line == at.end_line {
            write!(out, "{}:{}:{}-{}: ", at.file, at.line, at.column, at.end_column)
        } else {
            write!(out, "{}:{}-{}: ", at.file, at.line, at.end_line)
        };
    }
}

/// The script's lines; one line with its place marked.
fn write_source(out: &mut Vec<u8>, at: &Location) {
    for line in &at.source {
        push(out, &line.replace('\t', "    "));
        out.push(b'\n');
    }
    if let [line] = &at.source[..] {
        for (i, c) in line.chars().take(at.end_column.saturating_sub(1) as usize).enumerate() {
            let mark = if i + 1 < at.column as usize { b' ' } else { b'~' };
            out.extend(std::iter::repeat_n(mark, if c == '\t' { 4 } else { 1 }));
        }
        out.push(b'\n');
    }
}

/// The macro calls through which a place is seen.
fn write_frames(out: &mut Vec<u8>, at: &Location, level: LogLevel) {
    for frame in &at.frames {
        write_location(out, frame);
        push(out, level_name(level));
        push(out, ": expanded from\n");
        write_source(out, frame);
    }
}

impl Sink for TextSink {
    fn message(&mut self, message: &Message<'_>, style: &mut Style<'_>) -> io::Result<()> {
        let out = self.out.bytes();
        match message {
            Message::Printf(bytes) | Message::Time(bytes) | Message::Cat(bytes) => out.extend_from_slice(bytes),
            Message::Join(bytes) | Message::System(bytes) => {
                out.extend_from_slice(bytes);
                out.push(b'\n');
            }
            Message::Joined(shown) | Message::Early(shown) => self.joined(shown),
            Message::Summary { join, summary, heartbeat: false, .. } => {
                push(out, &summary.text(join));
                out.push(b'\n');
            }
            Message::Summary { join, summary, wall, .. } => {
                if self.heartbeat {
                    let err = self.err.bytes();
                    strftime(*wall, "%H:%M:%SZ", true, err);
                    let _ = writeln!(err, "  ok  {}", summary.heartbeat(join));
                }
            }
            Message::Alert { text, .. } => {
                let err = self.err.bytes();
                err.extend_from_slice(text);
                err.push(b'\n');
            }
            Message::Value { ty, bytes } => {
                text::write_value(out, ty, bytes, style);
                out.push(b'\n');
            }
            Message::Element { map, value } => {
                maps::write_value_text(out, map, value, style);
                out.push(b'\n');
            }
            Message::Map { map, top, div, explicit } => maps::write_text(out, map, *top, *div, *explicit, style),
            Message::Test { names, index, ns, passed, output } => {
                by_hand::test_text(out, names, *index, *ns, passed, output);
            }
            Message::Bench { names, index, ns, runs } => by_hand::bench_text(out, names, *index, *ns, *runs),
            Message::End => out.extend_from_slice(b"\n\n"),
            Message::Log { level, text, at } => self.log(*level, text, at),
            Message::Warning { text, helper, at, times } => self.warning(text, *helper, at, *times),
            Message::Attached(n) => {
                if !self.quiet {
                    let s = if *n == 1 { "" } else { "s" };
                    let _ = writeln!(self.err.bytes(), "Attached {n} probe{s}");
                }
            }
            Message::NotAttached { probe, why, remedy, at } => self.not_attached((probe, why), *remedy, at),
            Message::LostEvents(n) => drop(writeln!(self.err.bytes(), "Lost {n} events")),
            Message::Losses(rows) => {
                for row in *rows {
                    let _ = writeln!(self.err.bytes(), "WARNING: {row}");
                }
            }
            Message::Cost(rows) => stats::write_text(self.err.bytes(), rows),
        }
        self.out.write_if_full()?;
        self.err.write_if_full()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()?;
        // Nobody may be reading messages any more; results still count.
        let _ = self.err.flush();
        Ok(())
    }
}

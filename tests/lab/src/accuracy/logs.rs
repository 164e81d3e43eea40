//! The logs that the judge reads: the client's, the service's, the injector's.

use super::{drops::Holes, inject::Done, plan::Cause, waits::Waits};
use serde_json::Value;
use std::{collections::BTreeMap, fs, io, path::Path};

/// A request as its client saw it. Times are CLOCK_BOOTTIME ns, durations ns.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    pub server_port: u16,
    pub port: u16,
    pub begin: u64,
    /// When its connection was asked for, if it is the first on it.
    pub opened: u64,
    pub written: u64,
    pub end: u64,
    pub status: u64,
    pub connect: u64,
    pub secure: u64,
    pub new: bool,
    /// The trace of its `traceparent`, 32 hexadecimal digits.
    pub trace: String,
}

/// The same as the service saw it; `waited`: for its upstream.
#[derive(Clone, Copy, Debug, Default)]
pub struct Handled {
    pub port: u16,
    pub begin: u64,
    pub end: u64,
    pub waited: u64,
}

/// All of a run.
#[derive(Clone, Debug, Default)]
pub struct Logs {
    pub sent: BTreeMap<u64, Sent>,
    pub failed: BTreeMap<u64, String>,
    pub handled: BTreeMap<u64, Handled>,
    /// What was done to all requests of a time.
    pub windows: Vec<Done>,
    /// Segments that the router dropped.
    pub holes: Holes,
    /// How long the servers waited for a processor.
    pub waits: Waits,
    /// What was done to one.
    pub to_one: BTreeMap<u64, Vec<Done>>,
}

fn lines(path: &Path) -> io::Result<Vec<Value>> {
    let text = fs::read_to_string(path)?;
    text.lines()
        .map(|line| {
            serde_json::from_str(line).map_err(|e| io::Error::other(format!("{}: {e}: {line}", path.display())))
        })
        .collect()
}

impl Logs {
    pub fn read(client: &Path, service: &Path, injector: Vec<Done>, holes: Holes) -> io::Result<Self> {
        let mut logs = Self { windows: injector, holes, ..Self::default() };
        for line in lines(client)? {
            logs.client(&line);
        }
        for line in lines(service)? {
            logs.service(&line);
        }
        Ok(logs)
    }

    /// The injector's part as text, to be kept: cause, or the client's port of a hole; begin; end.
    pub fn injected(&self) -> String {
        let windows = self.windows.iter().map(|done| format!("{} {} {}\n", done.cause.name(), done.begin, done.end));
        let holes =
            self.holes.iter().flat_map(|(port, holes)| holes.iter().map(move |(a, b)| format!("{port} {a} {b}\n")));
        windows.chain(holes).collect()
    }

    fn client(&mut self, line: &Value) {
        let number = |name: &str| line[name].as_u64().unwrap_or(0);
        let n = number("n");
        if let Some(fault) = line["fault"].as_str() {
            let cause = if fault == "tls" { Cause::Tls } else { Cause::Zwin };
            self.to_one.entry(n).or_default().push(Done { cause, begin: number("begin"), end: number("end") });
        } else if let Some(error) = line["error"].as_str() {
            self.failed.insert(n, error.to_owned());
        } else {
            let sent = Sent {
                server_port: number("server_port") as u16,
                port: number("port") as u16,
                begin: number("begin"),
                opened: if number("index") == 0 { number("opened") } else { number("begin") },
                written: number("sent"),
                end: number("end"),
                status: number("status"),
                connect: number("connect"),
                secure: number("secure"),
                new: line["new"] == true,
                trace: line["trace"].as_str().unwrap_or_default().to_owned(),
            };
            self.sent.insert(n, sent);
        }
    }

    fn service(&mut self, line: &Value) {
        let number = |name: &str| line[name].as_u64().unwrap_or(0);
        if line["gc"].is_u64() {
            self.windows.push(Done { cause: Cause::Gc, begin: number("begin"), end: number("end") });
            return;
        }
        let handled = Handled {
            port: number("port") as u16,
            begin: number("begin"),
            end: number("end"),
            waited: number("answered").saturating_sub(number("asked")),
        };
        self.handled.insert(number("n"), handled);
    }
}

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
    /// When the service stood still for a collection that nobody had asked for: under a quota that may take as long as for one that was.
    pub pauses: Vec<(u64, u64)>,
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

/// Both stops of the world of a collection that wasn't asked for, by the runtime's line of it, `gc 7 @1.002s 3%: 0.01+2.5+0.02 ms clock, …`: when it
/// began, and how long the first stop, the work beside the program and the last stop took.
pub fn pauses(line: &str, program_began: u64) -> Vec<(u64, u64)> {
    let read = || {
        let (_, rest) = line.strip_prefix("gc ")?.split_once(" @")?;
        let (at, rest) = rest.split_once("s ")?;
        let (_, rest) = rest.split_once(": ")?;
        let (clock, _) = rest.split_once(" ms clock")?;
        let took: Vec<f64> = clock.split('+').map(|ms| ms.parse().ok()).collect::<Option<_>>()?;
        let [first, beside, last] = took[..] else { return None };
        let ns = |ms: f64| (ms * 1e6) as u64;
        let begin = program_began + ns(at.parse::<f64>().ok()? * 1e3);
        let end = begin + ns(first + beside + last);
        Some(vec![(begin, begin + ns(first)), (end - ns(last), end)])
    };
    if line.ends_with("(forced)") { Vec::new() } else { read().unwrap_or_default() }
}

impl Logs {
    /// `service`: its own log, and what its runtime says.
    pub fn read(client: &Path, service: [&Path; 2], injector: Vec<Done>, holes: Holes) -> io::Result<Self> {
        let mut logs = Self { windows: injector, holes, ..Self::default() };
        for line in lines(client)? {
            logs.client(&line);
        }
        let mut began = 0;
        for line in lines(service[0])? {
            match line["main"].as_u64() {
                Some(main) => began = main,
                None => logs.service(&line),
            }
        }
        logs.pauses = fs::read_to_string(service[1])?.lines().flat_map(|line| pauses(line, began)).collect();
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

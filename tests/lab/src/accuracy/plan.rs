//! What a run asks for and what is done to it: each request, and the times at which something is done to all of them.

use serde_json::{Value, json};
use std::{fmt::Write as _, str::FromStr};

/// nginx in the clear; with a short backlog; HTTP/2 with prior knowledge; TLS.
pub const FRONT: u16 = 8080;
pub const SHORT: u16 = 8081;
pub const H2C: u16 = 8082;
pub const TLS: u16 = 8443;
/// The Go service behind nginx, and its upstream.
pub const GO: u16 = 9000;
pub const ADMIN: u16 = 9001;
pub const UPSTREAM: u16 = 9002;

/// What takes the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    None,
    Backlog,
    Loss,
    Zwin,
    Tls,
    Gc,
    Poll,
    Cpu,
    Slow,
    Mixed,
}

/// Which of the two connections of a request a cause sits on: the client's to nginx, or nginx's to the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hop {
    Front,
    Go,
}

impl Cause {
    pub const ALL: [Self; 10] = [
        Self::None,
        Self::Backlog,
        Self::Loss,
        Self::Zwin,
        Self::Tls,
        Self::Gc,
        Self::Poll,
        Self::Cpu,
        Self::Slow,
        Self::Mixed,
    ];

    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// The layer that the script must name.
    pub fn layer(self) -> &'static str {
        self.row().1
    }

    /// What it is, for people.
    pub fn text(self) -> &'static str {
        self.row().2
    }

    /// Where it sits.
    pub fn hop(self) -> Hop {
        match self {
            Self::Gc | Self::Poll | Self::Cpu => Hop::Go,
            _ => Hop::Front,
        }
    }

    fn row(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::None => ("none", "app", "no fault"),
            Self::Backlog => ("backlog", "syn", "full SYN backlog"),
            Self::Loss => ("loss", "loss", "packet loss"),
            Self::Zwin => ("zwin", "zwin", "zero window"),
            Self::Tls => ("tls", "tls", "slow TLS handshake"),
            Self::Gc => ("gc", "gc", "Go GC pause"),
            Self::Poll => ("poll", "poll", "slow upstream"),
            Self::Cpu => ("cpu", "runq", "CPU quota"),
            Self::Slow => ("slow", "app", "slow handler"),
            Self::Mixed => ("mixed", "", "all of them"),
        }
    }
}

impl FromStr for Cause {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let names: Vec<_> = Self::ALL.iter().map(|cause| cause.name()).collect();
        Self::ALL
            .into_iter()
            .find(|cause| cause.name() == text)
            .ok_or_else(|| format!("no cause {text:?}: there are {}", names.join(", ")))
    }
}

/// How requests share connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A connection for each request, also from nginx to the service.
    New,
    Keep,
    /// Four requests sent before the first answer.
    Pipeline,
    /// Streams of four cleartext HTTP/2 connections.
    H2,
    /// Connections that are older than weftrace.
    Older,
    /// 200 local ports, used again and again.
    Reuse,
}

impl Mode {
    pub const ALL: [Self; 6] = [Self::New, Self::Keep, Self::Pipeline, Self::H2, Self::Older, Self::Reuse];

    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Keep => "keep-alive",
            Self::Pipeline => "pipelining",
            Self::H2 => "http2",
            Self::Older => "older",
            Self::Reuse => "port reuse",
        }
    }

    fn keeps(self) -> bool {
        !matches!(self, Self::New | Self::Reuse)
    }

    /// Whether nginx keeps its connections to the service.
    pub fn keeps_upstream(self) -> bool {
        self.keeps()
    }
}

impl FromStr for Mode {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let names: Vec<_> = Self::ALL.iter().map(|mode| mode.name()).collect();
        Self::ALL
            .into_iter()
            .find(|mode| mode.name() == text || mode.name().split(' ').next_back() == Some(text))
            .ok_or_else(|| format!("no mode {text:?}: there are {}", names.join(", ")))
    }
}

/// One request of the plan. `faults`: what is done to this one, and for how many ms.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub n: u64,
    pub at: f64,
    pub port: u16,
    pub faults: Vec<(Cause, u64)>,
    batch: Option<u64>,
}

/// Something done to all requests of a time.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub cause: Cause,
    pub at: f64,
    pub ms: u64,
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub mode: Mode,
    pub rate: u32,
    pub requests: Vec<Request>,
    pub windows: Vec<Window>,
}

/// What a marked request gets, ms. A lost answer's time is TCP's: tail loss probe, then a retransmission timeout of 200 ms.
const LOSS_MS: u64 = 200;
const STALL_MS: u64 = 600;
const TLS_MS: u64 = 400;
const WAIT_MS: u64 = 300;
const SLOW_MS: u64 = 300;
/// A full SYN backlog costs the first retransmission's second.
const BACKLOG_MS: u64 = 1000;
const GC_MS: u64 = 300;
/// A window with a tight quota, and how long the quota makes its tasks wait at a time.
const CPU_WINDOW_MS: u64 = 1000;
pub const CPU_PERIOD_MS: u64 = 200;

impl Plan {
    /// `known`: whether the script has a layer for a cause; without one it is left out of the mixture.
    pub fn new(cause: Cause, mode: Mode, rate: u32, count: u64, known: &dyn Fn(Cause) -> bool) -> Self {
        let requests = (1..=count).map(|n| request(cause, mode, n, f64::from(rate), known)).collect();
        let mut windows = windows(cause, count as f64 / f64::from(rate));
        windows.retain(|window| known(window.cause));
        Self { mode, rate, requests, windows }
    }

    /// The request before it on its connection, where they are sent together: nginx asks for one once it has answered the other.
    pub fn before(&self, n: u64) -> Option<u64> {
        let [before, this] = self.requests.get((n as usize).checked_sub(2)?..n as usize)? else { return None };
        (self.mode == Mode::Pipeline && this.batch.is_some() && this.batch == before.batch).then_some(before.n)
    }

    /// As the client reads it.
    pub fn text(&self) -> String {
        let ports = (self.mode == Mode::Reuse).then_some([30_000, 30_000 + self.rate.max(100)]);
        // With the keep-alive of the run, as many as are open at once with the longest fault.
        let before = (self.mode == Mode::Older).then(|| json!([[FRONT, 64], [SHORT, 8]]));
        let run = json!({
            "server": crate::net::SERVER, "keep": self.mode.keeps(), "ports": ports, "before": before.unwrap_or(json!([])),
            "h2": if self.mode == Mode::H2 { 4 } else { 0 }, "h2_port": H2C,
        });
        let mut text = format!("{run}\n");
        for request in &self.requests {
            let _ = writeln!(text, "{}", line(request));
        }
        text
    }
}

fn line(request: &Request) -> Value {
    let ms = |cause| request.faults.iter().find(|(c, _)| *c == cause).map(|(_, ms)| *ms);
    let n = request.n;
    let path = match (ms(Cause::Slow), ms(Cause::Poll), ms(Cause::Zwin)) {
        (Some(slow), ..) => format!("/slow/{n}?ms={slow}"),
        // A goroutine that reads its connection itself, and one that waits for an http.Client.
        (_, Some(wait), _) => format!("/{}/{n}?ms={wait}", if (n / 10).is_multiple_of(2) { "wait" } else { "fetch" }),
        (.., Some(_)) => format!("/big/{n}?kb=256"),
        _ => format!("/ok/{n}"),
    };
    let mut line = json!({"n": n, "at": request.at, "path": path, "port": request.port, "batch": request.batch});
    let mut set = |key: &str, value: Value| line[key] = value;
    if request.port == TLS {
        set("tls", json!(if n.is_multiple_of(2) { "TLSv1_3" } else { "TLSv1_2" }));
    }
    if let Some(ms) = ms(Cause::Tls) {
        set("tls_stall", json!(ms as f64 / 1e3));
    }
    if let Some(ms) = ms(Cause::Zwin) {
        set("stall", json!(ms as f64 / 1e3));
        set("rcvbuf", json!(32768));
    }
    // On a connection of its own.
    set("fresh", json!(request.port == SHORT || ms(Cause::Zwin).is_some() || ms(Cause::Tls).is_some()));
    set("lose", json!(ms(Cause::Loss).is_some()));
    set("h2", json!(request.port == H2C));
    line
}

fn request(cause: Cause, mode: Mode, n: u64, rate: f64, known: &dyn Fn(Cause) -> bool) -> Request {
    let marked = n % 10 == 7;
    let mut faults = match cause {
        Cause::Loss if marked => vec![(cause, LOSS_MS)],
        Cause::Zwin if marked => vec![(cause, STALL_MS)],
        Cause::Tls if marked => vec![(cause, TLS_MS)],
        Cause::Poll if marked => vec![(cause, WAIT_MS)],
        Cause::Slow if marked => vec![(cause, SLOW_MS)],
        Cause::Mixed => mixed(n),
        _ => Vec::new(),
    };
    faults.retain(|(cause, _)| known(*cause));
    if mode == Mode::H2 {
        // One reader for all streams of a connection, and no TLS: those two can't be done to one request.
        faults.retain(|(cause, _)| !matches!(cause, Cause::Zwin | Cause::Tls));
    }
    let secure = cause == Cause::Tls || faults.iter().any(|(c, _)| *c == Cause::Tls);
    let port = match (cause, mode) {
        (_, Mode::H2) => H2C,
        _ if secure => TLS,
        (Cause::Backlog, _) => SHORT,
        (Cause::Mixed, _) if n % 5 == 4 && faults.is_empty() => SHORT,
        _ => FRONT,
    };
    // Those that need a connection of their own aren't sent with others.
    let alone = port != FRONT || faults.iter().any(|(c, _)| *c == Cause::Zwin);
    let group = if mode == Mode::H2 { Some(n / 3) } else { (mode == Mode::Pipeline && !alone).then_some(n / 4) };
    Request { n, at: n as f64 / rate, port, faults, batch: group }
}

/// One fault in eight requests, and some with two, of which the second is the larger.
fn mixed(n: u64) -> Vec<(Cause, u64)> {
    match n % 40 {
        3 => vec![(Cause::Loss, LOSS_MS)],
        11 => vec![(Cause::Zwin, STALL_MS)],
        19 => vec![(Cause::Slow, SLOW_MS)],
        23 => vec![(Cause::Poll, WAIT_MS)],
        31 => vec![(Cause::Tls, TLS_MS)],
        35 => vec![(Cause::Loss, LOSS_MS), (Cause::Slow, 2500)],
        38 => vec![(Cause::Slow, 150), (Cause::Tls, 600)],
        _ => Vec::new(),
    }
}

fn windows(cause: Cause, seconds: f64) -> Vec<Window> {
    let mut windows = Vec::new();
    for (one, ms, every, first) in
        [(Cause::Backlog, BACKLOG_MS, 5.0, 1.0), (Cause::Gc, GC_MS, 3.0, 0.7), (Cause::Cpu, CPU_WINDOW_MS, 4.0, 1.5)]
    {
        if cause != one && cause != Cause::Mixed {
            continue;
        }
        // Mixed, each comes three times less often, and they don't come together.
        let (every, first) = if cause == Cause::Mixed { (15.0, first * 3.0) } else { (every, first) };
        let times = (0..).map(|i| first + every * f64::from(i)).take_while(|at| at + 1.5 < seconds);
        windows.extend(times.map(|at| Window { cause: one, at, ms }));
    }
    windows.sort_by(|a, b| a.at.total_cmp(&b.at));
    windows
}

//! OTLP over HTTP, as a client: one message a connection, tried again for a while.

use crate::alert::{clean, cut};
use crate::client::{Answer, Backoff, Client, NoAnswer, Request, Url};
use std::{
    fmt, thread,
    time::{Duration, Instant},
};
use weftrace_probes::telemetry::proto::Fields;

/// One attempt takes at most so long.
const ATTEMPT: Duration = Duration::from_secs(5);
/// Before the next; doubled each time.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// However long a collector asks for.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What is sent, and where a collector takes it unless it is told otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    Traces,
    Metrics,
    Logs,
}

impl Signal {
    const ALL: [Self; 3] = [Self::Traces, Self::Metrics, Self::Logs];

    fn path(self) -> &'static str {
        match self {
            Self::Traces => "/v1/traces",
            Self::Metrics => "/v1/metrics",
            Self::Logs => "/v1/logs",
        }
    }
}

/// Where something is sent: `http://HOST[:PORT][/PATH]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    url: Url,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.url.origin(), self.url.path)
    }
}

impl Endpoint {
    /// For spans: without a port 4318, without a path `/v1/traces`.
    pub fn traces(url: &str) -> Result<Self, String> {
        Self::parse(url, Signal::Traces)
    }

    /// For metrics: without a path `/v1/metrics`.
    pub fn metrics(url: &str) -> Result<Self, String> {
        Self::parse(url, Signal::Metrics)
    }

    /// For logs: without a path `/v1/logs`.
    pub fn logs(url: &str) -> Result<Self, String> {
        Self::parse(url, Signal::Logs)
    }

    fn parse(url: &str, signal: Signal) -> Result<Self, String> {
        let wrong = || format!("`{url}` is no address; write http://127.0.0.1:4318");
        if url.starts_with("https://") {
            return Err("https is not spoken here: send to a collector of this machine, which passes it on (http://127.0.0.1:4318)".into());
        }
        let mut parsed = Url::parse(url).map_err(|_| wrong())?.or_port(url, 4318);
        if parsed.path.len() < 2 {
            parsed.path = signal.path().into();
        }
        // A collector would take it for what it isn't, and drop it.
        if let Some(other) = Signal::ALL.into_iter().find(|s| *s != signal && parsed.path.ends_with(s.path())) {
            let (origin, right) = (parsed.origin(), signal.path());
            return Err(format!("{} is for something else; write {origin}, or {origin}{right}", other.path()));
        }
        Ok(Self { url: parsed })
    }
}

/// Why an attempt failed, and whether another may not.
struct Failed {
    why: String,
    again: bool,
    after: Option<Duration>,
}

/// Sends a message, again and again for as long as there is patience. How many of its parts were refused, and why.
pub(super) fn send(endpoint: &Endpoint, message: &[u8], patience: Duration) -> Result<(u64, String), String> {
    let due = Instant::now() + patience;
    let mut backoff = Backoff::new(PAUSE, LONGEST_PAUSE, LONGEST_WAIT);
    loop {
        let left = due.saturating_duration_since(Instant::now());
        let failed = match attempt(endpoint, message, left.clamp(Duration::from_millis(100), ATTEMPT)) {
            Ok(taken) => return Ok(taken),
            Err(failed) => failed,
        };
        let wait = backoff.wait(failed.after);
        if !failed.again || Instant::now() + wait >= due {
            return Err(failed.why);
        }
        thread::sleep(wait);
    }
}

fn attempt(endpoint: &Endpoint, message: &[u8], time: Duration) -> Result<(u64, String), Failed> {
    let request = Request {
        method: "POST",
        path: &endpoint.url.path,
        headers: &[("Content-Type", "application/x-protobuf")],
        body: message,
    };
    match Client::default().ask(&endpoint.url, &request, time) {
        Ok(answer) => judged(&answer),
        Err(NoAnswer { why, again }) => Err(Failed { why, again, after: None }),
    }
}

/// How many of its parts were refused, and why.
fn judged(answer: &Answer) -> Result<(u64, String), Failed> {
    let again = match answer.status {
        200..=299 => return Ok(partial(&answer.body)),
        429 | 502 | 503 | 504 => true,
        _ => false,
    };
    Err(Failed {
        why: format!("the collector answers {}", answer.status),
        again,
        after: answer.after.filter(|_| again),
    })
}

/// partial_success of Export{Trace,Metrics,Logs}ServiceResponse: spans, points or records refused, and why.
fn partial(body: &[u8]) -> (u64, String) {
    let (mut refused, mut why) = (0, String::new());
    for field in Fields(body).flatten() {
        let (1, value) = field else { continue };
        for field in Fields(value.bytes().unwrap_or_default()).flatten() {
            match field {
                (1, count) => refused = count.number().unwrap_or(0),
                // A text from elsewhere.
                (2, text) => why = cut(&clean(text.text().unwrap_or_default(), false), 200),
                _ => {}
            }
        }
    }
    (refused, why)
}

#[cfg(test)]
mod tests {
    use super::{Answer, Endpoint, Failed, judged};

    fn read(came: &[u8]) -> Result<(u64, String), Failed> {
        judged(&Answer::of(came).expect("a head"))
    }

    #[test]
    fn addresses() {
        let show = |url: &str| Endpoint::traces(url).map(|e| e.to_string());
        assert_eq!(show("http://collector").as_deref(), Ok("http://collector:4318/v1/traces"));
        assert_eq!(show("http://[::1]:9/x/v1/traces").as_deref(), Ok("http://[::1]:9/x/v1/traces"));
        assert_eq!(show("http://[::1]/").as_deref(), Ok("http://[::1]:4318/v1/traces"));
        let metrics = |url: &str| Endpoint::metrics(url).map(|e| e.to_string());
        assert_eq!(metrics("http://collector").as_deref(), Ok("http://collector:4318/v1/metrics"));
        assert!(metrics("http://h/v1/traces").is_err_and(|why| why.contains("write http://h:4318, or")));
        assert_eq!(Endpoint::logs("http://h:1").map(|e| e.to_string()).as_deref(), Ok("http://h:1/v1/logs"));
        assert!(show("https://collector").is_err_and(|why| why.contains("https")));
        for wrong in ["collector:4318", "http://", "http://a:b", "http://a\r\nX: y", "http://user@host"] {
            assert!(show(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn answers() {
        assert_eq!(read(b"HTTP/1.1 200 OK\r\n\r\n").ok().map(|(n, _)| n), Some(0));
        let partial = b"HTTP/1.1 200 OK\r\n\r\n\x0a\x07\x08\x02\x12\x03bad";
        assert_eq!(read(partial).ok(), Some((2, "bad".to_owned())));
        // What it says can't write into a terminal.
        let evil = b"HTTP/1.1 200 OK\r\n\r\n\x0a\x09\x08\x02\x12\x05\x1b[2Jx";
        assert_eq!(read(evil).ok(), Some((2, "\\x1b[2Jx".to_owned())));
        let busy = read(b"HTTP/1.1 503 x\r\nRetry-After: 3\r\n\r\n").expect_err("failed");
        assert!(busy.again && busy.after.is_some_and(|d| d.as_secs() == 3));
        assert!(!read(b"HTTP/1.1 400 x\r\n\r\n").expect_err("failed").again);
    }
}

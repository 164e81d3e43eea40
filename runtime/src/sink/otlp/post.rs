//! OTLP over HTTP, as a client: one message a connection, tried again for a while.

use std::{
    fmt,
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    thread,
    time::{Duration, Instant},
};
use weftrace_probes::telemetry::proto::Fields;

/// One attempt takes at most so long.
const ATTEMPT: Duration = Duration::from_secs(5);
/// Before the next; doubled each time.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// Of an answer so much is read.
const ANSWER: usize = 64 << 10;

/// Where spans are sent: `http://HOST[:PORT][/PATH]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    host: String,
    port: u16,
    path: String,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}{}", self.host, self.port, self.path)
    }
}

impl Endpoint {
    /// Without a port 4318, without a path `/v1/traces`.
    pub fn parse(url: &str) -> Result<Self, String> {
        let wrong = || format!("`{url}` is no address; write http://127.0.0.1:4318");
        if url.starts_with("https://") {
            return Err("https is not spoken here: send to a collector of this machine, which passes it on (http://127.0.0.1:4318)".into());
        }
        let rest = url.strip_prefix("http://").ok_or_else(wrong)?;
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| wrong())?),
            _ => (authority, 4318),
        };
        let fine = |text: &str| text.bytes().all(|b| b.is_ascii_graphic());
        if host.is_empty() || host.contains('@') || !fine(host) || !fine(path) {
            return Err(wrong());
        }
        let path = if path.len() < 2 { "/v1/traces" } else { path };
        Ok(Self { host: host.to_owned(), port, path: path.to_owned() })
    }
}

/// Why an attempt failed, and whether another may not.
struct Failed {
    why: String,
    again: bool,
    after: Option<Duration>,
}

/// Sends a message, again and again for as long as there is patience. How many spans were refused, and why.
pub(super) fn send(endpoint: &Endpoint, message: &[u8], patience: Duration) -> Result<(u64, String), String> {
    let due = Instant::now() + patience;
    let mut pause = PAUSE;
    loop {
        let left = due.saturating_duration_since(Instant::now());
        let failed = match attempt(endpoint, message, left.clamp(Duration::from_millis(100), ATTEMPT)) {
            Ok(taken) => return Ok(taken),
            Err(failed) => failed,
        };
        let wait = failed.after.unwrap_or(pause);
        if !failed.again || Instant::now() + wait >= due {
            return Err(failed.why);
        }
        thread::sleep(wait);
        pause = (2 * pause).min(LONGEST_PAUSE);
    }
}

fn attempt(endpoint: &Endpoint, message: &[u8], time: Duration) -> Result<(u64, String), Failed> {
    let due = Instant::now() + time;
    let failed = |error: io::Error| Failed { why: reason(&error), again: true, after: None };
    let host = endpoint.host.trim_start_matches('[').trim_end_matches(']');
    let addresses = (host, endpoint.port).to_socket_addrs().map_err(failed)?;
    let mut stream = Err(io::Error::other("no such host"));
    for address in addresses {
        stream = TcpStream::connect_timeout(&address, time);
        if stream.is_ok() {
            break;
        }
    }
    let mut stream = stream.map_err(failed)?;
    stream.set_write_timeout(Some(time)).map_err(failed)?;
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: {}:{}\r\nUser-Agent: weftrace/{}\r\nContent-Type: application/x-protobuf\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        endpoint.path,
        endpoint.host,
        endpoint.port,
        env!("CARGO_PKG_VERSION"),
        message.len()
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(message)).map_err(failed)?;
    let mut came = Vec::new();
    let error = loop {
        if let Some(answer) = Answer::of(&came).filter(|answer| answer.whole || came.len() >= ANSWER) {
            return answer.judged();
        }
        if came.len() >= ANSWER {
            break None;
        }
        match more(&mut stream, &mut came, due) {
            Ok(true) => {}
            Ok(false) => break None,
            Err(error) => break Some(error),
        }
    };
    // What came is all; and once it says that the message was taken, that it was slow to say more doesn't matter.
    match (Answer::of(&came), error) {
        (Some(answer), None) => answer.judged(),
        (Some(answer), Some(_)) if matches!(answer.status, 200..=299) => answer.judged(),
        (_, Some(error)) => Err(failed(error)),
        (None, None) => Err(Failed { why: "no answer that is HTTP".into(), again: true, after: None }),
    }
}

/// Reads what there is. False: there comes no more.
fn more(stream: &mut TcpStream, came: &mut Vec<u8>, due: Instant) -> io::Result<bool> {
    // One that sends a byte now and then doesn't hold us either.
    let left = due.checked_duration_since(Instant::now()).ok_or(io::ErrorKind::TimedOut)?;
    stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
    let mut part = [0; 4096];
    match stream.read(&mut part) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
        read => read.map(|n| {
            came.extend(&part[..n]);
            n > 0
        }),
    }
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "no answer in time".into(),
        _ => error.to_string(),
    }
}

/// What a collector answered, as far as it has come.
struct Answer {
    status: u16,
    /// `Retry-After`, at most half a minute.
    after: Option<Duration>,
    body: Vec<u8>,
    /// Its end was seen. One that doesn't say where it ends, ends with the connection.
    whole: bool,
}

impl Answer {
    /// None: its head isn't there, or is none of HTTP.
    fn of(came: &[u8]) -> Option<Self> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut head = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(at) = head.parse(came).ok()? else { return None };
        let value = |name: &str| {
            let header = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
            std::str::from_utf8(header.value).ok().map(str::trim)
        };
        let (status, rest) = (head.code?, &came[at..]);
        let length = value("content-length").and_then(|length| length.parse::<usize>().ok());
        let (body, whole) = match (status, value("transfer-encoding"), length) {
            (204 | 304, ..) => (Vec::new(), true),
            (_, Some(coding), _) if coding.eq_ignore_ascii_case("chunked") => unchunked(rest),
            (.., Some(length)) => (rest[..length.min(rest.len())].to_vec(), rest.len() >= length),
            _ => (rest.to_vec(), false),
        };
        let after = value("retry-after").and_then(|s| s.parse::<u64>().ok()).map(|s| Duration::from_secs(s.min(30)));
        Some(Self { status, after, body, whole })
    }

    /// How many spans were refused, and why.
    fn judged(&self) -> Result<(u64, String), Failed> {
        let again = match self.status {
            200..=299 => return Ok(partial(&self.body)),
            429 | 502 | 503 | 504 => true,
            _ => false,
        };
        let after = self.after.filter(|_| again);
        Err(Failed { why: format!("the collector answers {}", self.status), again, after })
    }
}

/// The body that lies in chunks, as far as it is there; and whether it is all.
fn unchunked(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Ok(httparse::Status::Complete((at, size))) = httparse::parse_chunk_size(rest) {
        if size == 0 {
            return (body, true);
        }
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let Some(chunk) = rest.get(at..at.saturating_add(size)) else { break };
        body.extend(chunk);
        let Some(next) = rest.get(at + size + 2..) else { break };
        rest = next;
    }
    (body, false)
}

/// partial_success of ExportTraceServiceResponse: spans refused, and why.
fn partial(body: &[u8]) -> (u64, String) {
    let (mut refused, mut why) = (0, String::new());
    for field in Fields(body).flatten() {
        let (1, value) = field else { continue };
        for field in Fields(value.bytes().unwrap_or_default()).flatten() {
            match field {
                (1, count) => refused = count.number().unwrap_or(0),
                (2, text) => text.text().unwrap_or_default().clone_into(&mut why),
                _ => {}
            }
        }
    }
    (refused, why)
}

#[cfg(test)]
mod tests {
    use super::{Answer, Endpoint, Failed};

    fn read(came: &[u8]) -> Result<(u64, String), Failed> {
        Answer::of(came).expect("a head").judged()
    }

    #[test]
    fn addresses() {
        let show = |url: &str| Endpoint::parse(url).map(|e| e.to_string());
        assert_eq!(show("http://collector").as_deref(), Ok("http://collector:4318/v1/traces"));
        assert_eq!(show("http://[::1]:9/x/v1/traces").as_deref(), Ok("http://[::1]:9/x/v1/traces"));
        assert_eq!(show("http://[::1]/").as_deref(), Ok("http://[::1]:4318/v1/traces"));
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
        let busy = read(b"HTTP/1.1 503 x\r\nRetry-After: 3\r\n\r\n").expect_err("failed");
        assert!(busy.again && busy.after.is_some_and(|d| d.as_secs() == 3));
        assert!(!read(b"HTTP/1.1 400 x\r\n\r\n").expect_err("failed").again);
        assert!(Answer::of(b"").is_none() && Answer::of(b"no HTTP\r\n\r\n").is_none());
    }

    /// Where an answer says that it ends, it ends: the connection may stay.
    #[test]
    fn ends_of_answers() {
        let whole = |came: &str| Answer::of(came.as_bytes()).is_some_and(|answer| answer.whole);
        assert!(whole("HTTP/1.1 204 No Content\r\n\r\n") && whole("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
        assert!(!whole("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx") && !whole("HTTP/1.1 200 OK\r\n\r\nx"));
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n\x0a\x07\x08\x02\x12\r\n4\r\n\x03bad\r\n0\r\n\r\n";
        let head = chunked.len() - 24;
        for end in head..chunked.len() {
            assert_eq!(whole(&chunked[..end]), end >= chunked.len() - 2, "{end}");
        }
        assert_eq!(read(chunked.as_bytes()).ok(), Some((2, "bad".to_owned())));
    }
}

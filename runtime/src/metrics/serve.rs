//! `GET /metrics`: who asks does so every few seconds.

use super::{
    MetricsTls, Scrape,
    accept::Form,
    connections::{Connections, Place},
    tls::Connection,
};
use crate::in_time::InTime;
use std::{
    io,
    net::{IpAddr, TcpListener, TcpStream},
    sync::{Arc, mpsc::sync_channel},
    thread,
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// A request comes within this time, all of it with what TLS has to say before; its answer goes within as much.
const PATIENCE: Duration = Duration::from_secs(5);
/// The engine answers within this time, or is too busy.
const ANSWER: Duration = Duration::from_secs(5);
const HEAD: usize = 8 << 10;
const HEADERS: usize = 48;

pub(super) struct Server {
    pub(super) token: Option<Arc<str>>,
    pub(super) tls: Option<MetricsTls>,
    /// It listens on this machine alone, and shows no name of its own.
    pub(super) local: bool,
    pub(super) sender: mpsc::Sender<Scrape>,
}

/// Status, content type, body.
type Answer = (u16, &'static str, Vec<u8>);

fn plain(status: u16, text: &str) -> Answer {
    (status, "text/plain; charset=utf-8", format!("{text}\n").into_bytes())
}

impl Server {
    pub(super) fn listen(self, listener: &TcpListener) {
        let (server, connections) = (Arc::new(self), Arc::default());
        loop {
            let begun = listener.accept().and_then(|(stream, _)| server.begin(stream, &connections));
            if begun.is_err() {
                thread::sleep(Duration::from_millis(100));
            }
            if server.sender.is_closed() {
                return;
            }
        }
    }

    /// Serves a connection on a thread of its own.
    fn begin(self: &Arc<Self>, stream: TcpStream, connections: &Arc<Connections>) -> io::Result<()> {
        let place = connections.place(&stream)?;
        let server = Arc::clone(self);
        // How a connection ends is its client's business.
        let work = move || drop(server.serve(stream, &place));
        thread::Builder::new().name("weftrace-scrape".into()).spawn(work).map(drop)
    }

    fn serve(&self, stream: TcpStream, place: &Place) -> io::Result<()> {
        let stream = InTime::new(stream, Instant::now() + PATIENCE);
        let connection = match &self.tls {
            None => Some(Connection::Plain(stream)),
            Some(tls) => tls.wrap(stream)?,
        };
        let Some(mut connection) = connection else { return Ok(()) };
        let mut came = Vec::new();
        let (status, media, body) = loop {
            let mut headers = [httparse::EMPTY_HEADER; HEADERS];
            let mut request = httparse::Request::new(&mut headers);
            match request.parse(&came) {
                Ok(httparse::Status::Complete(_)) => {
                    place.asked();
                    break self.answer(&request);
                }
                Ok(httparse::Status::Partial) if came.len() < HEAD => {}
                _ => break plain(400, "not a request of HTTP"),
            }
            let mut part = [0; 2048];
            let n = connection.read(&mut part)?;
            if n == 0 {
                return Ok(());
            }
            came.extend_from_slice(&part[..n]);
        };
        let reason = match status {
            200 => "OK",
            400 => "Bad Request",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            _ => "Service Unavailable",
        };
        let more = if status == 401 { "WWW-Authenticate: Bearer\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 {status} {reason}\r\nContent-Type: {media}\r\nContent-Length: {}\r\n{more}Connection: close\r\n\r\n",
            body.len()
        );
        connection.until(Instant::now() + PATIENCE);
        connection.finish(&[head.as_bytes(), &body])
    }

    fn answer(&self, request: &httparse::Request<'_, '_>) -> Answer {
        let header = |name: &str| {
            let found = request.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name))?;
            std::str::from_utf8(found.value).ok().map(str::trim)
        };
        // A page from elsewhere may not ask by a name that it made point here.
        if self.local && !header("host").is_some_and(is_here) {
            return plain(403, "asked by a name that isn't this machine's");
        }
        if let Some(token) = &self.token {
            let given = header("authorization").and_then(|text| text.strip_prefix("Bearer "));
            if !given.is_some_and(|given| same(given.trim().as_bytes(), token.as_bytes())) {
                return plain(401, "a bearer token is needed");
            }
        }
        let path = request.path.unwrap_or_default().split('?').next().unwrap_or_default();
        if path != "/metrics" {
            return plain(404, "metrics are at /metrics");
        }
        if request.method != Some("GET") {
            return plain(405, "metrics are asked for by GET");
        }
        let form = header("accept").map_or(Form::Text, Form::of);
        let (answer, answered) = sync_channel(1);
        let asked = self.sender.try_send(Scrape { form, answer });
        let body = asked.ok().and_then(|()| answered.recv_timeout(ANSWER).ok());
        body.map_or_else(|| plain(503, "too busy"), |body| (200, form.media(), body))
    }
}

/// `127.0.0.1:9464`, `[::1]:9464`, `localhost`
fn is_here(host: &str) -> bool {
    let name =
        host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit())).map_or(host, |(n, _)| n);
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.parse::<IpAddr>().is_ok()
}

/// Compares in a time that doesn't depend on where they differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::{is_here, same};

    #[test]
    fn names_of_this_machine() {
        for here in ["127.0.0.1:9464", "localhost", "localhost:9464", "[::1]:9464", "10.0.0.1"] {
            assert!(is_here(here), "{here}");
        }
        for other in ["evil.example", "evil.example:9464", "", "127.0.0.1.evil.example"] {
            assert!(!is_here(other), "{other}");
        }
        assert!(same(b"abc", b"abc") && !same(b"abc", b"abd") && !same(b"abc", b"ab"));
    }
}

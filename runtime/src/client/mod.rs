//! HTTP as a client: one request a connection, http or https.

mod answer;
mod backoff;
mod resolve;
#[cfg(feature = "tls")]
mod tls;

pub(crate) use answer::Answer;
pub(crate) use backoff::Backoff;

use crate::in_time::{InTime, left};
use std::{
    fmt,
    io::{self, Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// Of an answer so much is read.
const ANSWER: usize = 64 << 10;

/// `http://HOST[:PORT][/PATH]`, or https.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Url {
    tls: bool,
    host: String,
    port: u16,
    pub(crate) path: String,
}

impl fmt::Debug for Url {
    /// The path may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin())
    }
}

impl Url {
    /// Without a port 80 or 443.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "this is no address: write http://HOST:PORT/PATH or https://HOST/PATH".to_owned();
        let (tls, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(wrong()),
        };
        if tls && cfg!(not(feature = "tls")) {
            return Err("https: this weftrace was built without TLS".to_owned());
        }
        let (authority, path) = rest.find(['/', '?']).map_or((rest, ""), |at| rest.split_at(at));
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| wrong())?),
            _ => (authority, if tls { 443 } else { 80 }),
        };
        let fine = |text: &str| text.bytes().all(|b| b.is_ascii_graphic());
        if host.is_empty() || host.contains('@') || !fine(host) || !fine(path) {
            return Err(wrong());
        }
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { tls, host: host.to_owned(), port, path })
    }

    /// With another port, if the text has none.
    pub(crate) fn or_port(mut self, text: &str, port: u16) -> Self {
        let authority = text.split("://").nth(1).unwrap_or_default().split('/').next().unwrap_or_default();
        if authority.rsplit_once(':').is_none_or(|(_, port)| port.ends_with(']')) {
            self.port = port;
        }
        self
    }

    /// Scheme, host and port: what may be shown.
    pub(crate) fn origin(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}:{}", self.host, self.port)
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        self.tls
    }

    /// What is sent there can't be read on the way: encrypted, or it stays on this machine.
    pub(crate) fn is_private(&self) -> bool {
        let host = self.bare_host();
        self.tls || host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    fn bare_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }
}

pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: &'a [u8],
}

/// What connections are made with.
#[derive(Clone, Default)]
pub(crate) struct Client {
    #[cfg(feature = "tls")]
    tls: tls::Trust,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NoAnswer {
    pub(crate) why: String,
    /// It may be another time.
    pub(crate) again: bool,
}

impl NoAnswer {
    fn of(error: &io::Error) -> Self {
        let why = match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "no answer in time".into(),
            _ => error.to_string(),
        };
        // A certificate that isn't trusted stays so.
        Self { why, again: error.kind() != io::ErrorKind::InvalidData }
    }
}

impl Client {
    /// `trusted`: a PEM file of certificates to trust besides the system's. It is read here, so that what is wrong with it is known before
    /// anything has to be sent, and with the privileges that there are at the start.
    #[cfg_attr(not(feature = "tls"), expect(unused_variables, reason = "nothing to trust"))]
    #[cfg_attr(not(feature = "tls"), expect(clippy::unnecessary_wraps, reason = "there is nothing to read"))]
    pub(crate) fn new(trusted: Option<&str>) -> Result<Self, String> {
        Ok(Self {
            #[cfg(feature = "tls")]
            tls: tls::Trust::new(trusted)?,
        })
    }

    /// Sends a request and reads the answer's status and body, in at most this time: with the name's resolution, connecting and TLS.
    pub(crate) fn ask(&self, url: &Url, request: &Request<'_>, time: Duration) -> Result<Answer, NoAnswer> {
        let due = Instant::now() + time;
        let failed = |error: io::Error| NoAnswer::of(&error);
        let mut stream = self.connect(url, due).map_err(failed)?;
        let mut head = format!("{} {} HTTP/1.1\r\nHost: {}:{}\r\n", request.method, request.path, url.host, url.port);
        for (name, value) in request.headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        head.extend([format!(
            "User-Agent: weftrace/{}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            env!("CARGO_PKG_VERSION"),
            request.body.len()
        )]);
        let sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(request.body));
        sent.and_then(|()| stream.flush()).map_err(failed)?;
        let mut came = Vec::new();
        let error = loop {
            if let Some(answer) = Answer::of(&came).filter(|answer| answer.whole || came.len() >= ANSWER) {
                return Ok(answer);
            }
            if came.len() >= ANSWER {
                break None;
            }
            match stream.more(&mut came) {
                Ok(true) => {}
                Ok(false) => break None,
                Err(error) => break Some(error),
            }
        };
        // What came is all; and once it says that the message was taken, that it was slow to say more doesn't matter.
        match (Answer::of(&came), error) {
            (Some(answer), None) => Ok(answer),
            (Some(answer), Some(_)) if matches!(answer.status, 200..=299) => Ok(answer),
            (_, Some(error)) => Err(failed(error)),
            (None, None) => Err(NoAnswer { why: "no answer that is HTTP".into(), again: true }),
        }
    }

    #[cfg_attr(not(feature = "tls"), expect(clippy::unused_self, reason = "nothing to trust"))]
    fn connect(&self, url: &Url, due: Instant) -> io::Result<Stream> {
        let stream = InTime::new(connect(&resolve::resolve(url.bare_host(), url.port, due)?, due)?, due);
        #[cfg(feature = "tls")]
        if url.tls {
            return Ok(Stream::Tls(self.tls.wrap(url.bare_host(), stream)?));
        }
        Ok(Stream::Plain(stream))
    }
}

/// Connects to one of a host's addresses: each is tried for its share of the time that is left.
fn connect(addresses: &[SocketAddr], due: Instant) -> io::Result<TcpStream> {
    let mut failed = io::Error::other("no such host");
    for (address, others) in addresses.iter().zip((1..=addresses.len() as u32).rev()) {
        match TcpStream::connect_timeout(address, (left(due)? / others).max(Duration::from_millis(1))) {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

enum Stream {
    Plain(InTime),
    #[cfg(feature = "tls")]
    Tls(Box<tls::Stream>),
}

impl Stream {
    /// Reads what there is. False: there comes no more.
    fn more(&mut self, came: &mut Vec<u8>) -> io::Result<bool> {
        let mut part = [0; 4096];
        let read = match self {
            Self::Plain(stream) => stream.read(&mut part),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => match stream.read(&mut part) {
                // Many servers end the connection without saying so: HTTP says where the answer ends.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
                read => read,
            },
        };
        match read {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
            read => read.map(|n| {
                came.extend(&part[..n]);
                n > 0
            }),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Client, Request, Url};
    use std::{
        io::Read,
        net::{TcpListener, TcpStream},
        thread,
        time::{Duration, Instant},
    };

    /// How long a request takes that has so much time, to a server that does this with each connection.
    fn asked(scheme: &str, time: Duration, body: &[u8], server: fn(TcpStream)) -> Duration {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                server(stream);
            }
        });
        let url = Url::parse(&format!("{scheme}://127.0.0.1:{port}")).expect("an address");
        let request = Request { method: "POST", path: "/", headers: &[], body };
        let begun = Instant::now();
        let failed = Client::default().ask(&url, &request, time).expect_err("no answer");
        assert!(failed.why.contains("in time") || failed.why.contains("certificates"), "{failed:?}");
        begun.elapsed()
    }

    /// However slowly a server takes what it is sent, or says something within TLS: it has the time that there is in all.
    #[test]
    fn one_deadline_for_everything() {
        let time = Duration::from_millis(300);
        let slow_reader: fn(TcpStream) = |mut stream| {
            let mut part = vec![0; 64 << 10];
            while stream.read(&mut part).is_ok_and(|n| n > 0) {
                thread::sleep(Duration::from_millis(50));
            }
        };
        let took = asked("http", time, &vec![b'x'; 256 << 20], slow_reader);
        assert!(took < Duration::from_secs(5), "{took:?}");
        #[cfg(feature = "tls")]
        {
            // A record that would be 16 KiB long.
            let slow_writer: fn(TcpStream) = |mut stream| {
                use std::io::Write;
                let _ = stream.write_all(&[22, 3, 3, 0x40, 0]);
                while stream.write_all(&[2]).is_ok() {
                    thread::sleep(Duration::from_millis(50));
                }
            };
            let took = asked("https", time, b"", slow_writer);
            assert!(took < Duration::from_secs(5), "{took:?}");
        }
    }

    #[test]
    fn addresses() {
        let show = |text: &str| Url::parse(text).map(|url| (url.origin(), url.path));
        assert_eq!(show("http://h"), Ok(("http://h:80".into(), "/".into())));
        assert_eq!(show("http://[::1]:9/x?key=1"), Ok(("http://[::1]:9".into(), "/x?key=1".into())));
        #[cfg(feature = "tls")]
        assert_eq!(show("https://h/x"), Ok(("https://h:443".into(), "/x".into())));
        for wrong in ["h:80", "http://", "http://a:b", "http://a\r\nX: y", "http://user@host", "ftp://h", "http://a/ b"]
        {
            assert!(Url::parse(wrong).is_err(), "{wrong}");
        }
        let private = |text: &str| Url::parse(text).expect("an address").is_private();
        assert!(private("http://127.0.0.1:1/") && private("http://[::1]/") && !private("http://10.0.0.1/"));
    }
}

//! Heads of requests and responses. What frames their messages is looked for at once, what they say only when handlers ask.

mod fields;
mod read;
mod scan;
mod texts;

use read::{MAX_HEADERS, Said, read};
use std::sync::OnceLock;
use texts::Texts;
use weftrace_artifact::packet::StrRef;

/// Methods a message is recognised by (RFC 9110, WebDAV and its extensions, UPnP).
const METHODS: &[&str] = &[
    "GET",
    "POST",
    "HEAD",
    "PUT",
    "DELETE",
    "OPTIONS",
    "PATCH",
    "CONNECT",
    "TRACE",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "REPORT",
    "MERGE",
    "SEARCH",
    "NOTIFY",
    "M-SEARCH",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "PURGE",
    "MKCALENDAR",
    "ACL",
    "BIND",
    "UNBIND",
    "REBIND",
    "LINK",
    "UNLINK",
    "POLL",
    "BPROPPATCH",
    "RPC_IN_DATA",
    "RPC_OUT_DATA",
];

/// Whether bytes are the start of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sniff {
    Head,
    /// Too short to tell.
    Maybe,
    No,
}

impl Sniff {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        const STATUS: &[u8] = b"HTTP/1.";
        // Most payloads are settled by their first byte.
        match bytes.first() {
            None => return Self::Maybe,
            Some(b'A'..=b'U') => {}
            Some(_) => return Self::No,
        }
        if bytes.starts_with(STATUS) {
            return Self::Head;
        }
        let mut maybe = STATUS.starts_with(bytes);
        for method in METHODS {
            let method = method.as_bytes();
            if bytes.len() <= method.len() {
                maybe |= method.starts_with(bytes);
            } else if bytes.starts_with(method) && bytes[method.len()] == b' ' {
                return Self::first_line(bytes);
            }
        }
        if maybe { Self::Maybe } else { Self::No }
    }

    /// A request line must end in a version, even if it is none that is read: other protocols have a GET too.
    fn first_line(bytes: &[u8]) -> Self {
        let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else {
            return if bytes.iter().any(|&byte| byte < b' ' && byte != b'\r' && byte != b'\t') {
                Self::No
            } else {
                Self::Head
            };
        };
        let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
        let version =
            line.iter().rposition(|&byte| byte == b' ').and_then(|space| line[space + 1..].strip_prefix(b"HTTP/"));
        if matches!(version, Some([b'0'..=b'9', ..])) { Self::Head } else { Self::No }
    }

    /// The same of bytes of which all that there are came at once: with a whole first line any method will do (`QUERY`, `BAN`; RFC 9110, section 9.1: any
    /// token).
    pub(crate) fn of_segment(bytes: &[u8]) -> Self {
        const LONGEST: usize = 32;
        let listed = Self::of(bytes);
        if listed != Self::No {
            return listed;
        }
        let method = bytes.iter().take(LONGEST).take_while(|byte| byte.is_ascii_alphabetic() || b"-_".contains(byte));
        let len = method.count();
        // HTTP/2 begins with one, too.
        let may_be = len > 0 && bytes.get(len) == Some(&b' ') && !bytes.starts_with(b"PRI ");
        if may_be && memchr::memchr(b'\n', bytes).is_some() { Self::first_line(bytes) } else { Self::No }
    }

    /// Whether what follows a message may be another.
    pub(crate) fn follows(bytes: &[u8]) -> bool {
        Self::of_segment(bytes) != Self::No
    }

    /// A whole first line that is one of a message, at the start of a segment: what parsing may start again at.
    pub(crate) fn resumes_at(bytes: &[u8]) -> bool {
        Self::of_segment(bytes) == Self::Head
    }
}

/// One past the empty line that ends a head, looking from `from` on (an earlier call saw what lies before).
pub(crate) fn end_of_head(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(found) = memchr::memchr(b'\n', bytes.get(at..)?) {
        at += found + 1;
        match bytes.get(at..)? {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
    None
}

/// Where a message's body ends (RFC 9112, section 6.3), as far as the head tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(u64),
    Chunked,
    /// Nothing said: requests have no body, responses end with the connection.
    Unsaid,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Request,
    Response,
}

/// What a head says of its message's frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outline {
    pub(crate) kind: Kind,
    pub(crate) status: u32,
    pub(crate) framing: Framing,
    pub(crate) content_length: Option<u64>,
    /// The method is HEAD or CONNECT: their responses are framed in another way.
    pub(crate) bodiless: bool,
    pub(crate) connects: bool,
    /// `Upgrade: h2c`: as a response, it hands the connection over to HTTP/2 in clear.
    pub(crate) to_http2: bool,
}

impl Outline {
    const fn new(kind: Kind) -> Self {
        Self {
            kind,
            status: 0,
            framing: Framing::Unsaid,
            content_length: None,
            bodiless: false,
            connects: false,
            to_http2: false,
        }
    }

    /// Of the head that `bytes` begin with, and where it ends.
    pub(crate) fn of(bytes: &[u8]) -> Option<(Self, usize)> {
        scan::scan(bytes).or_else(|| Self::parse(bytes))
    }

    fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        read(bytes, |said, headers| {
            let mut outline = match *said {
                Said::Request { method, .. } => Self::of_request(method.as_bytes()),
                Said::Response { status, .. } => Self { status: status.into(), ..Self::new(Kind::Response) },
            };
            for header in headers {
                outline.note(header.name.as_bytes(), header.value);
            }
            outline
        })
    }

    fn of_request(method: &[u8]) -> Self {
        Self { bodiless: method == b"HEAD", connects: method == b"CONNECT", ..Self::new(Kind::Request) }
    }

    /// Notes what a field says.
    fn note(&mut self, name: &[u8], value: &[u8]) {
        if name.eq_ignore_ascii_case(b"content-length") {
            self.content_length = self.content_length.or(content_length(value));
            if let (Framing::Unsaid, Some(length)) = (self.framing, self.content_length) {
                self.framing = Framing::Length(length);
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if ends_in_chunked(value) {
                self.framing = Framing::Chunked;
            }
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            self.to_http2 |= value.eq_ignore_ascii_case(b"h2c");
        }
    }
}

/// One head: what frames its message, and its bytes, of which the texts are made when they are asked for.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) outline: Outline,
    /// As it came; empty in HTTP/2, and where nobody will ask what it says.
    bytes: Box<[u8]>,
    texts: OnceLock<Box<Texts>>,
    extra: Option<Box<fields::Extra>>,
}

impl Head {
    /// Parses a whole head, empty line included.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        Outline::of(bytes).map(|(outline, end)| Self::new(outline, &bytes[..end]))
    }

    pub(crate) fn new(outline: Outline, bytes: &[u8]) -> Self {
        Self { outline, bytes: bytes.into(), texts: OnceLock::new(), extra: None }
    }

    /// Whether the parser and the look for what frames a message alone say the same of these bytes, where both say something.
    pub(crate) fn scan_agrees(bytes: &[u8]) -> bool {
        let scanned = scan::scan(bytes);
        scanned.is_none() || Outline::parse(bytes) == scanned
    }

    fn texts(&self) -> &Texts {
        self.texts.get_or_init(|| Box::new(Texts::of(&self.bytes)))
    }

    pub(crate) fn method(&self) -> StrRef {
        self.texts().at(|texts| texts.method)
    }

    pub(crate) fn uri(&self) -> StrRef {
        self.texts().at(|texts| texts.uri)
    }

    pub(crate) fn host(&self) -> Option<StrRef> {
        let texts = self.texts();
        texts.host.map(|host| texts.at(|_| host))
    }

    pub(crate) fn version(&self) -> StrRef {
        self.texts().at(|texts| texts.version)
    }

    pub(crate) fn phrase(&self) -> StrRef {
        self.texts().at(|texts| texts.phrase)
    }

    pub(crate) fn headers(&self) -> StrRef {
        self.texts().at(|texts| texts.headers)
    }

    /// Informational responses other than 101 announce another one.
    pub(crate) fn is_interim(&self) -> bool {
        self.outline.kind == Kind::Response && (100..200).contains(&self.outline.status) && self.outline.status != 101
    }
}

/// One number, perhaps several times (RFC 9112, section 6.3): what passed the field on has put equal ones into one line.
fn content_length(value: &[u8]) -> Option<u64> {
    let mut all = std::str::from_utf8(value).ok()?.split(',').map(|text| text.trim().parse().ok());
    let first = all.next()?;
    first.filter(|_| all.all(|other| other == first))
}

fn ends_in_chunked(value: &[u8]) -> bool {
    let text = std::str::from_utf8(value).unwrap_or_default();
    text.rsplit(',').next().is_some_and(|last| last.trim().eq_ignore_ascii_case("chunked"))
}

#[cfg(test)]
mod tests;

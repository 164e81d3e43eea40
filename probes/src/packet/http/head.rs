//! Heads of requests and responses, by httparse; what handlers may ask of them is kept in one buffer.

mod fields;
mod scan;

use weftrace_artifact::packet::StrRef;
use weftrace_artifact::{abi::HEADERS_CAP, headers};

/// More are not HTTP.
const MAX_HEADERS: usize = 512;

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

    /// A request line must end in a version: other protocols have a GET too.
    fn first_line(bytes: &[u8]) -> Self {
        let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else {
            return if bytes.iter().any(|&byte| byte < b' ' && byte != b'\r' && byte != b'\t') {
                Self::No
            } else {
                Self::Head
            };
        };
        let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
        let at = line.len().saturating_sub(9);
        if line.get(at..).is_some_and(|tail| tail.starts_with(b" HTTP/1.")) { Self::Head } else { Self::No }
    }

    /// A whole first line that is one of a message, at the start of a segment: what parsing may start again at.
    pub(crate) fn resumes_at(bytes: &[u8]) -> bool {
        Self::of(bytes) == Self::Head
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

/// One head. Strings lie in `buf`.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    pub(crate) status: u32,
    pub(crate) framing: Framing,
    pub(crate) content_length: Option<u64>,
    /// The method is HEAD or CONNECT: their responses are framed in another way.
    pub(crate) bodiless: bool,
    pub(crate) connects: bool,
    /// `Upgrade: h2c`
    to_http2: bool,
    buf: Vec<u8>,
    method: Text,
    uri: Text,
    host: Option<Text>,
    version: Text,
    phrase: Text,
    headers: Text,
    extra: Option<Box<fields::Extra>>,
}

/// Where in a head's buffer a text lies. There is a head for each request without an answer: small matters.
#[derive(Clone, Copy, Debug, Default)]
struct Text {
    from: u32,
    to: u32,
}

impl Text {
    fn is_empty(self) -> bool {
        self.from == self.to
    }
}

impl Head {
    /// Parses a whole head, empty line included.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        Self::parse_for(bytes, true).map(|(head, _)| head)
    }

    /// The same of bytes that begin with a head, and where it ends. Without `texts` what it says is not kept, only what frames the message.
    pub(crate) fn parse_for(bytes: &[u8], texts: bool) -> Option<(Self, usize)> {
        if !texts && let Some(scanned) = scan::scan(bytes) {
            return Some(scanned);
        }
        Self::parse_strictly(bytes, texts)
    }

    /// Whether the parser and the look for what frames a message alone say the same of these bytes, where both say something.
    pub(crate) fn scan_agrees(bytes: &[u8]) -> bool {
        let frame = |(head, end): (Self, usize)| {
            let asked = (head.bodiless, head.connects, head.to_http2);
            (head.kind, head.status, head.framing, head.content_length, asked, end)
        };
        let Some(scanned) = scan::scan(bytes) else { return true };
        Self::parse_strictly(bytes, false).map(frame) == Some(frame(scanned))
    }

    fn parse_strictly(bytes: &[u8], texts: bool) -> Option<(Self, usize)> {
        let mut headers = [const { std::mem::MaybeUninit::uninit() }; MAX_HEADERS];
        if bytes.starts_with(b"HTTP/") {
            let mut config = httparse::ParserConfig::default();
            config.allow_spaces_after_header_name_in_responses(true);
            config.allow_obsolete_multiline_headers_in_responses(true);
            config.ignore_invalid_headers_in_responses(true);
            let mut response = httparse::Response::new(&mut []);
            let parsed = config.parse_response_with_uninit_headers(&mut response, bytes, &mut headers);
            let httparse::Status::Complete(end) = parsed.ok()? else { return None };
            let mut head = Self::new(Kind::Response, response.version, response.headers, texts);
            head.status = response.code? as u32;
            if texts {
                head.phrase = head.put(response.reason.unwrap_or_default().as_bytes());
            }
            return Some((head, end));
        }
        let mut config = httparse::ParserConfig::default();
        config.ignore_invalid_headers_in_requests(true);
        config.allow_multiple_spaces_in_request_line_delimiters(true);
        let mut request = httparse::Request::new(&mut []);
        let parsed = config.parse_request_with_uninit_headers(&mut request, bytes, &mut headers);
        let httparse::Status::Complete(end) = parsed.ok()? else { return None };
        let mut head = Self::new(Kind::Request, request.version, request.headers, texts);
        let (method, path) = (request.method?, request.path?);
        head.asks_by(method.as_bytes());
        if texts {
            head.method = head.put(method.as_bytes());
            head.uri = head.put(path.as_bytes());
        }
        Some((head, end))
    }

    fn new(kind: Kind, version: Option<u8>, headers: &[httparse::Header<'_>], texts: bool) -> Self {
        let mut head = Self::empty(kind);
        for header in headers {
            head.frame_by(header.name.as_bytes(), header.value);
        }
        if !texts {
            return head;
        }
        head.buf.reserve(512);
        let host = headers.iter().find(|header| header.name.eq_ignore_ascii_case("host"));
        head.host = host.map(|header| head.put(header.value));
        head.version = head.put(if version == Some(0) { b"HTTP/1.0" } else { b"HTTP/1.1" });
        head.pack(headers);
        head
    }

    fn empty(kind: Kind) -> Self {
        Self {
            kind,
            status: 0,
            framing: Framing::Unsaid,
            content_length: None,
            bodiless: false,
            connects: false,
            to_http2: false,
            buf: Vec::new(),
            method: Text::default(),
            uri: Text::default(),
            host: None,
            version: Text::default(),
            phrase: Text::default(),
            headers: Text::default(),
            extra: None,
        }
    }

    fn put(&mut self, bytes: &[u8]) -> Text {
        let from = self.buf.len();
        self.buf.extend_from_slice(bytes);
        self.since(from)
    }

    /// What was put into the buffer since it was so long.
    fn since(&self, from: usize) -> Text {
        Text { from: from as u32, to: self.buf.len() as u32 }
    }

    fn asks_by(&mut self, method: &[u8]) {
        self.bodiless = method == b"HEAD";
        self.connects = method == b"CONNECT";
    }

    /// Notes what a field says of the message's frame.
    fn frame_by(&mut self, name: &[u8], value: &[u8]) {
        if name.eq_ignore_ascii_case(b"content-length") {
            let text = std::str::from_utf8(value).unwrap_or_default().trim();
            self.content_length = self.content_length.or(text.parse().ok());
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

    fn pack(&mut self, headers: &[httparse::Header<'_>]) {
        let from = self.buf.len();
        pack(&mut self.buf, headers.iter().map(|header| (header.name.as_bytes(), header.value)));
        self.headers = self.since(from);
    }

    fn bytes(&self, text: Text) -> &[u8] {
        self.buf.get(text.from as usize..text.to as usize).unwrap_or_default()
    }

    fn at(&self, text: Text) -> StrRef {
        StrRef::from(self.bytes(text))
    }

    pub(crate) fn method(&self) -> StrRef {
        self.at(self.method)
    }

    pub(crate) fn uri(&self) -> StrRef {
        self.at(self.uri)
    }

    pub(crate) fn host(&self) -> Option<StrRef> {
        self.host.map(|text| self.at(text))
    }

    pub(crate) fn version(&self) -> StrRef {
        self.at(self.version)
    }

    pub(crate) fn phrase(&self) -> StrRef {
        self.at(self.phrase)
    }

    pub(crate) fn headers(&self) -> StrRef {
        self.at(self.headers)
    }

    /// A response that hands the connection over to HTTP/2 in clear.
    pub(crate) fn upgrades_to_http2(&self) -> bool {
        self.to_http2
    }

    /// Informational responses other than 101 announce another one.
    pub(crate) fn is_interim(&self) -> bool {
        self.kind == Kind::Response && (100..200).contains(&self.status) && self.status != 101
    }
}

/// Appends packed headers. Where they are copied only so much goes along, so what is too large for that comes
/// last: a long cookie hides no `x-request-id`. Of one name the first stays the first.
fn pack<'a>(buf: &mut Vec<u8>, all: impl Iterator<Item = (&'a [u8], &'a [u8])>) {
    let mut room = HEADERS_CAP as usize - 1;
    let mut large: Vec<(&[u8], &[u8])> = Vec::new();
    for (name, value) in all.filter(|(name, _)| !name.is_empty()) {
        let size = 3 + name.len() + value.len();
        if size > room || large.iter().any(|(before, _)| before.eq_ignore_ascii_case(name)) {
            large.push((name, value));
        } else if put_header(buf, name, value) {
            room -= size;
        }
    }
    for (name, value) in large {
        put_header(buf, name, value);
    }
}

/// Its name in lower case. False if name or value is longer than the layout can say.
fn put_header(buf: &mut Vec<u8>, name: &[u8], value: &[u8]) -> bool {
    let at = buf.len() + headers::ENTRY_HEAD;
    let fits = headers::push(buf, name, value);
    if fits {
        buf[at..at + name.len()].make_ascii_lowercase();
    }
    fits
}

fn ends_in_chunked(value: &[u8]) -> bool {
    let text = std::str::from_utf8(value).unwrap_or_default();
    text.rsplit(',').next().is_some_and(|last| last.trim().eq_ignore_ascii_case("chunked"))
}

#[cfg(test)]
mod tests;

//! Heads of requests and responses, by httparse; what handlers may ask of them is kept in one buffer.

use std::ops::Range;
use weftrace_artifact::abi::HEADERS_CAP;
use weftrace_artifact::packet::StrRef;

const MAX_HEADERS: usize = 128;

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
    while let Some(found) = bytes.get(at..)?.iter().position(|&byte| byte == b'\n') {
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
    buf: Vec<u8>,
    method: Range<usize>,
    uri: Range<usize>,
    host: Option<Range<usize>>,
    version: Range<usize>,
    phrase: Range<usize>,
    headers: Range<usize>,
}

impl Head {
    /// Parses a whole head, empty line included.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut headers = [const { std::mem::MaybeUninit::uninit() }; MAX_HEADERS];
        if bytes.starts_with(b"HTTP/") {
            let mut config = httparse::ParserConfig::default();
            config.allow_spaces_after_header_name_in_responses(true);
            config.allow_obsolete_multiline_headers_in_responses(true);
            config.ignore_invalid_headers_in_responses(true);
            let mut response = httparse::Response::new(&mut []);
            let parsed = config.parse_response_with_uninit_headers(&mut response, bytes, &mut headers);
            if !parsed.ok()?.is_complete() {
                return None;
            }
            let mut head = Self::new(Kind::Response, response.version, response.headers);
            head.status = response.code? as u32;
            head.phrase = head.put(response.reason.unwrap_or_default().as_bytes());
            return Some(head);
        }
        let mut config = httparse::ParserConfig::default();
        config.ignore_invalid_headers_in_requests(true);
        config.allow_multiple_spaces_in_request_line_delimiters(true);
        let mut request = httparse::Request::new(&mut []);
        let parsed = config.parse_request_with_uninit_headers(&mut request, bytes, &mut headers);
        if !parsed.ok()?.is_complete() {
            return None;
        }
        let mut head = Self::new(Kind::Request, request.version, request.headers);
        let method = request.method?;
        head.bodiless = method == "HEAD";
        head.connects = method == "CONNECT";
        head.method = head.put(method.as_bytes());
        head.uri = head.put(request.path?.as_bytes());
        Some(head)
    }

    fn new(kind: Kind, version: Option<u8>, headers: &[httparse::Header<'_>]) -> Self {
        let mut head = Self {
            kind,
            status: 0,
            framing: Framing::Unsaid,
            content_length: None,
            bodiless: false,
            connects: false,
            buf: Vec::with_capacity(512),
            method: 0..0,
            uri: 0..0,
            host: None,
            version: 0..0,
            phrase: 0..0,
            headers: 0..0,
        };
        head.version = head.put(if version == Some(0) { b"HTTP/1.0" } else { b"HTTP/1.1" });
        head.frame(headers);
        head.pack(headers);
        head
    }

    fn put(&mut self, bytes: &[u8]) -> Range<usize> {
        let from = self.buf.len();
        self.buf.extend_from_slice(bytes);
        from..self.buf.len()
    }

    fn frame(&mut self, headers: &[httparse::Header<'_>]) {
        let mut chunked = false;
        for header in headers {
            if header.name.eq_ignore_ascii_case("content-length") {
                let text = std::str::from_utf8(header.value).unwrap_or_default().trim();
                self.content_length = self.content_length.or(text.parse().ok());
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                chunked |= ends_in_chunked(header.value);
            } else if header.name.eq_ignore_ascii_case("host") && self.host.is_none() {
                self.host = Some(self.put(header.value));
            }
        }
        self.framing = match self.content_length {
            _ if chunked => Framing::Chunked,
            Some(length) => Framing::Length(length),
            None => Framing::Unsaid,
        };
    }

    /// The layout of [`HEADERS_CAP`]: all headers in order until one does not fit.
    fn pack(&mut self, headers: &[httparse::Header<'_>]) {
        let from = self.buf.len();
        for header in headers {
            let (Ok(name_len), Ok(value_len)) = (u8::try_from(header.name.len()), u16::try_from(header.value.len()))
            else {
                break;
            };
            let size = 3 + header.name.len() + header.value.len();
            if name_len == 0 {
                continue;
            }
            if self.buf.len() - from + size > HEADERS_CAP as usize {
                break;
            }
            self.buf.push(name_len);
            self.buf.extend_from_slice(&value_len.to_le_bytes());
            self.buf.extend(header.name.bytes().map(|byte| byte.to_ascii_lowercase()));
            self.buf.extend_from_slice(header.value);
        }
        self.headers = from..self.buf.len();
    }

    fn at(&self, range: &Range<usize>) -> StrRef {
        StrRef::from(&self.buf[range.clone()])
    }

    pub(crate) fn method(&self) -> StrRef {
        self.at(&self.method)
    }

    pub(crate) fn uri(&self) -> StrRef {
        self.at(&self.uri)
    }

    pub(crate) fn host(&self) -> Option<StrRef> {
        self.host.as_ref().map(|range| self.at(range))
    }

    pub(crate) fn version(&self) -> StrRef {
        self.at(&self.version)
    }

    pub(crate) fn phrase(&self) -> StrRef {
        self.at(&self.phrase)
    }

    pub(crate) fn headers(&self) -> StrRef {
        self.at(&self.headers)
    }

    /// Informational responses other than 101 announce another one.
    pub(crate) fn is_interim(&self) -> bool {
        self.kind == Kind::Response && (100..200).contains(&self.status) && self.status != 101
    }
}

fn ends_in_chunked(value: &[u8]) -> bool {
    let text = std::str::from_utf8(value).unwrap_or_default();
    text.rsplit(',').next().is_some_and(|last| last.trim().eq_ignore_ascii_case("chunked"))
}

#[cfg(test)]
mod tests;

//! HTTP/1 as it is masked: where its messages begin, what of them stays, over segments; and records of TLS, which stay whole.

use super::redact::{MASK, Redactor, mask_target, mask_value};
use std::ops::Range;

/// Longest first line that is looked for at once.
const LONGEST_LINE: usize = 8192;
const LONGEST_METHOD: usize = 32;
/// Bytes of `HTTP/1.1`.
const VERSION: usize = 8;
/// How a target begins that names its server.
const SCHEMES: [&[u8]; 2] = [b"http://", b"https://"];

/// Where in its direction's bytes the next segment begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// At a message's first line, or of a protocol not seen yet.
    #[default]
    Start,
    /// In a request's first line, which began in an earlier segment.
    Line(Tail),
    /// In a message's header lines.
    Head(Framing),
    Body(u64),
    ChunkSize,
    /// Of a chunk, with its line end.
    Chunk(u64),
    Trailers,
    /// So many bytes of a TLS record, which is sealed already.
    Sealed(u32),
    /// Behind one: the header of the next, as far as it was there.
    Between(RecordHead),
    Opaque,
}

/// The header of a TLS record (RFC 8446, section 5.1), as far as it was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RecordHead {
    bytes: [u8; 5],
    len: usize,
}

impl RecordHead {
    /// Takes what is missing; how many bytes that were.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let n = bytes.len().min(self.bytes.len() - self.len);
        self.bytes[self.len..self.len + n].copy_from_slice(&bytes[..n]);
        self.len += n;
        n
    }

    fn is_whole(&self) -> bool {
        self.len == self.bytes.len()
    }

    /// The record's length; None: it is none of TLS 1.0 or later.
    fn record(&self) -> Option<u32> {
        /// 2^14 bytes, and what sealing may add.
        const MOST: u16 = (1 << 14) + 2048;
        let [0x14..=0x17, 3, 1..=3, high, low] = self.bytes else { return None };
        Some(u16::from_be_bytes([high, low])).filter(|len| (1..=MOST).contains(len)).map(u32::from)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Framing {
    length: u64,
    chunked: bool,
}

/// The last bytes of a line that goes over segments: enough to tell a request's by its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tail([u8; 1 + VERSION + 2]);

impl Tail {
    fn take(&mut self, bytes: &[u8]) {
        let new = &bytes[bytes.len().saturating_sub(self.0.len())..];
        self.0.copy_within(new.len().., 0);
        let kept = self.0.len() - new.len();
        self.0[kept..].copy_from_slice(new);
    }

    fn ends_request(&self) -> bool {
        let line = trimmed(&self.0);
        matches!(line.split_last_chunk::<VERSION>(), Some(([.., b' '], version)) if is_version(version))
    }
}

impl Redactor {
    /// Masks a segment's bytes, from where the last one ended.
    pub(super) fn walk(&self, mut state: State, mut bytes: &mut [u8]) -> State {
        while !bytes.is_empty() {
            let (used, next) = match state {
                State::Start => match start(bytes) {
                    Begin::Http(end, target) => {
                        mask_target("target", &mut bytes[target]);
                        (end, State::Head(Framing::default()))
                    }
                    Begin::Line => (0, State::Line(Tail::default())),
                    Begin::Tls => (0, State::Between(RecordHead::default())),
                    Begin::Other => (0, State::Opaque),
                },
                State::Line(tail) => rest_of_line(bytes, tail),
                State::Head(framing) => self.header_line(bytes, framing),
                State::Trailers => match self.header_line(bytes, Framing::default()) {
                    (used, State::Head(_)) => (used, State::Trailers),
                    (used, _) => (used, State::Start),
                },
                State::Body(left) => {
                    let n = left.min(bytes.len() as u64) as usize;
                    bytes[..n].fill(MASK);
                    (n, if left > n as u64 { State::Body(left - n as u64) } else { State::Start })
                }
                State::ChunkSize => chunk_size(bytes),
                State::Chunk(left) => {
                    let n = left.min(bytes.len() as u64) as usize;
                    // The line end behind it stays.
                    let data = left.saturating_sub(2).min(n as u64) as usize;
                    bytes[..data].fill(MASK);
                    (n, if left > n as u64 { State::Chunk(left - n as u64) } else { State::ChunkSize })
                }
                State::Sealed(left) => {
                    let n = bytes.len().min(left as usize);
                    let rest = left - n as u32;
                    (n, if rest > 0 { State::Sealed(rest) } else { State::Between(RecordHead::default()) })
                }
                // Many protocols have messages that begin as a record does: each record must, or what follows is masked.
                State::Between(mut head) => {
                    let n = head.take(bytes);
                    match head.record() {
                        Some(len) => (n, State::Sealed(len)),
                        None if !head.is_whole() => (n, State::Between(head)),
                        None => (0, State::Opaque),
                    }
                }
                State::Opaque => {
                    bytes.fill(MASK);
                    // A segment may begin a message again: bodies whose end isn't said, HTTP after something else.
                    return State::Start;
                }
            };
            state = next;
            bytes = &mut bytes[used..];
        }
        state
    }

    /// One header line: its value stays if it may, and how the body is framed is read from it.
    fn header_line(&self, bytes: &mut [u8], mut framing: Framing) -> (usize, State) {
        let Some(end) = bytes.iter().position(|b| *b == b'\n').map(|at| at + 1) else {
            // It goes on in the next segment, where it can't be told what it is.
            bytes.fill(MASK);
            return (bytes.len(), State::Opaque);
        };
        let line = &mut bytes[..end];
        if matches!(line, [b' ' | b'\t', ..]) {
            // The line before goes on (RFC 9112, section 5.2).
            mask_line(line);
            return (end, State::Head(framing));
        }
        if line == b"\r\n" || line == b"\n" {
            let next = match framing {
                Framing { chunked: true, .. } => State::ChunkSize,
                Framing { length: 0, .. } => State::Start,
                Framing { length, .. } => State::Body(length),
            };
            return (end, next);
        }
        let Some(colon) = line.iter().position(|b| *b == b':') else {
            mask_line(line);
            return (end, State::Head(framing));
        };
        let (name, value) = line.split_at_mut(colon);
        if name.eq_ignore_ascii_case(b"content-length") {
            framing.length = std::str::from_utf8(&value[1..]).ok().and_then(|v| v.trim().parse().ok()).unwrap_or(0);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            framing.chunked = value.to_ascii_lowercase().windows(7).any(|w| w == b"chunked");
        }
        if !self.allows(name) {
            let last = value.len() - if value.ends_with(b"\r\n") { 2 } else { 1 };
            mask_value(&mut value[1..last.max(1)]);
        }
        (end, State::Head(framing))
    }
}

enum Begin {
    /// Its first line, with its end, and the target in it if it is a request.
    Http(usize, Range<usize>),
    /// A request's first line, which goes on in the next segment, or is very long.
    Line,
    Tls,
    Other,
}

fn start(bytes: &[u8]) -> Begin {
    let mut head = RecordHead::default();
    head.take(bytes);
    if head.record().is_some() {
        return Begin::Tls;
    }
    let Some(end) = bytes.iter().take(LONGEST_LINE).position(|b| *b == b'\n').map(|at| at + 1) else {
        return if cut_line(bytes).is_some() { Begin::Line } else { Begin::Other };
    };
    let line = trimmed(&bytes[..end]);
    if is_status(line) {
        return Begin::Http(end, 0..0);
    }
    request(line).map_or(Begin::Other, |target| Begin::Http(end, target))
}

/// `HTTP/1.1 200 OK`
fn is_status(line: &[u8]) -> bool {
    let Some((version, [b' ', a, b, c, rest @ ..])) = line.split_at_checked(VERSION) else { return false };
    is_version(version) && [a, b, c].iter().all(|b| b.is_ascii_digit()) && matches!(rest, [] | [b' ', ..])
}

fn is_version(word: &[u8]) -> bool {
    matches!(word, [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0'..=b'9'])
}

/// Where the target lies in `GET /path HTTP/1.1`. Three words and nothing else: the end of a line whose start was not seen must not be taken
/// for one.
fn request(line: &[u8]) -> Option<Range<usize>> {
    let mut words = line.split(|b| *b == b' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let is = words.next().is_none() && is_method(method) && is_version(version) && is_target(method, target);
    is.then(|| method.len() + 1..method.len() + 1 + target.len())
}

fn is_method(word: &[u8]) -> bool {
    (1..=LONGEST_METHOD).contains(&word.len())
        && word.iter().all(|b| b.is_ascii_alphabetic() || matches!(b, b'-' | b'_'))
}

fn is_target(method: &[u8], target: &[u8]) -> bool {
    match target {
        [] => false,
        [b'/' | b'*', ..] => true,
        _ => method == b"CONNECT" || SCHEMES.iter().any(|scheme| starts_with(target, scheme)),
    }
}

/// Where the target lies in a request's first line of which the end is not there; its method may lack its start.
fn cut_line(bytes: &[u8]) -> Option<Range<usize>> {
    let space = bytes.iter().take(LONGEST_METHOD + 1).position(|b| *b == b' ')?;
    let method = &bytes[..space];
    let end = bytes[space + 1..].iter().position(|b| *b == b' ').map_or(bytes.len(), |at| space + 1 + at);
    let target = &bytes[space + 1..end];
    // The start of a target is enough.
    let may_be = is_target(method, target) || SCHEMES.iter().any(|scheme| starts_with(scheme, target));
    ((method.is_empty() || is_method(method)) && may_be).then_some(space + 1..end)
}

fn starts_with(text: &[u8], start: &[u8]) -> bool {
    text.get(..start.len()).is_some_and(|text| text.eq_ignore_ascii_case(start))
}

/// Whether a text is a message.
pub(super) fn begins(text: &[u8]) -> bool {
    matches!(start(text), Begin::Http(..))
}

/// The target in a text that is the start of a request's first line.
pub(super) fn cut_target(text: &[u8]) -> Option<Range<usize>> {
    let target = cut_line(text)?;
    let method = &text[..target.start - 1];
    let plain = method.len() >= 3 && method.iter().all(u8::is_ascii_uppercase);
    (plain && !text.contains(&b'\n') && is_target(method, &text[target.clone()])).then_some(target)
}

/// A line without its end.
fn trimmed(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Masks a request's first line on from where it was cut, whatever it looks like: which part of it this is can't be told.
fn rest_of_line(bytes: &mut [u8], mut tail: Tail) -> (usize, State) {
    let end = bytes.iter().position(|b| *b == b'\n').map(|at| at + 1);
    let len = end.unwrap_or(bytes.len());
    let line = &mut bytes[..len];
    tail.take(line);
    if end.is_none() {
        line.fill(MASK);
        return (len, State::Line(tail));
    }
    mask_line(line);
    // What only looked like a request at its start is masked as anything else.
    let next = if tail.ends_request() { State::Head(Framing::default()) } else { State::Opaque };
    (len, next)
}

/// All but a line's end.
fn mask_line(line: &mut [u8]) {
    let end = if line.ends_with(b"\r\n") { 2 } else { 1 };
    let last = line.len().saturating_sub(end);
    line[..last].fill(MASK);
}

fn chunk_size(bytes: &mut [u8]) -> (usize, State) {
    let Some(end) = bytes.iter().take(32).position(|b| *b == b'\n').map(|at| at + 1) else {
        bytes.fill(MASK);
        return (bytes.len(), State::Opaque);
    };
    let digits = bytes[..end].iter().take_while(|b| b.is_ascii_hexdigit()).count();
    let size = std::str::from_utf8(&bytes[..digits]).ok().and_then(|d| u64::from_str_radix(d, 16).ok());
    match size {
        Some(0) => (end, State::Trailers),
        Some(size) => (end, State::Chunk(size.saturating_add(2))),
        None => (0, State::Opaque),
    }
}

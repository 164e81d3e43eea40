//! What a server answered, as far as it has come.

use std::time::Duration;

#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// `Retry-After`, at most ten minutes.
    pub(crate) after: Option<Duration>,
    pub(crate) body: Vec<u8>,
    /// Its end was seen. One that doesn't say where it ends, ends with the connection.
    pub(super) whole: bool,
}

impl Answer {
    /// None: its head isn't there, or is none of HTTP.
    pub(crate) fn of(came: &[u8]) -> Option<Self> {
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
        let after = value("retry-after").and_then(|s| s.parse::<u64>().ok()).map(|s| Duration::from_secs(s.min(600)));
        Some(Self { status, after, body, whole })
    }

    /// Whether another time may do, of one that says no.
    pub(crate) fn may_be_tried_again(&self) -> bool {
        matches!(self.status, 408 | 429 | 500 | 502 | 503 | 504)
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

#[cfg(test)]
mod tests {
    use super::Answer;

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
        assert_eq!(Answer::of(chunked.as_bytes()).map(|a| a.body), Some(b"\x0a\x07\x08\x02\x12\x03bad".to_vec()));
        assert!(Answer::of(b"").is_none() && Answer::of(b"no HTTP\r\n\r\n").is_none());
    }
}

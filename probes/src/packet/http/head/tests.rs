use super::*;
use weftrace_artifact::{abi::HEADERS_CAP, headers};

fn text(at: StrRef, head: &Head) -> String {
    // Strings lie in the head's buffer: find them there by address, without reading through the pointer.
    let buf = head.texts().buf();
    let from = at.ptr as usize - buf.as_ptr() as usize;
    String::from_utf8_lossy(&buf[from..from + at.len as usize]).into_owned()
}

#[test]
fn starts_are_recognised_by_as_many_bytes_as_there_are() {
    let line = b"GET /a HTTP/1.1\r\n";
    for n in 0..=line.len() {
        let want = if n < 4 { Sniff::Maybe } else { Sniff::Head };
        assert_eq!(Sniff::of(&line[..n]), want, "{n} bytes");
    }
    for n in 0..8 {
        let want = if n < 7 { Sniff::Maybe } else { Sniff::Head };
        assert_eq!(Sniff::of(&b"HTTP/1.1"[..n]), want, "{n} bytes");
    }
    for other in [
        &b"GET key\r\n"[..],
        b"\x16\x03\x01",
        b"SSH-2.0-x",
        b"GETTER x",
        b"220 smtp",
        b"HTTP/2",
        b"PUT\x00",
        b"GET \x01\x02",
    ] {
        assert_eq!(Sniff::of(other), Sniff::No, "{other:?}");
    }
    assert_eq!(Sniff::of(b"M-SEARCH * HTTP/1.1\r\n"), Sniff::Head);
}

#[test]
fn heads_end_at_an_empty_line() {
    assert_eq!(end_of_head(b"a\r\nb\r\n\r\nrest", 0), Some(8));
    assert_eq!(end_of_head(b"a\nb\n\nrest", 0), Some(5));
    assert_eq!(end_of_head(b"a\r\n\r", 0), None);
    assert_eq!(end_of_head(b"", 9), None);
}

#[test]
fn a_request_keeps_what_may_be_asked() {
    let head = Head::parse(b"POST /x?y=1 HTTP/1.0\r\nHost: a.b\r\nContent-Length: 12\r\nX-Id:  7 \r\n\r\n").unwrap();
    assert_eq!(head.outline.kind, Kind::Request);
    assert_eq!(text(head.method(), &head), "POST");
    assert_eq!(text(head.uri(), &head), "/x?y=1");
    assert_eq!(text(head.host().unwrap(), &head), "a.b");
    assert_eq!(text(head.version(), &head), "HTTP/1.0");
    assert_eq!((head.outline.framing, head.outline.content_length), (Framing::Length(12), Some(12)));
    assert_eq!(text(head.headers(), &head), "\u{4}\u{3}\0hosta.b\u{e}\u{2}\0content-length12\u{4}\u{1}\0x-id7");
}

#[test]
fn a_response_keeps_status_and_phrase() {
    let head = Head::parse(b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: gzip, chunked\r\nContent-Length: 3\r\n\r\n")
        .unwrap();
    assert_eq!((head.outline.kind, head.outline.status), (Kind::Response, 404));
    assert_eq!(text(head.phrase(), &head), "Not Found");
    let latin = Head::parse(b"HTTP/1.1 200 \xe9t\xe9 \r\nContent-Length: 0\r\n\r\n").unwrap();
    assert_eq!(latin.texts().bytes(latin.texts().phrase), b"\xe9t\xe9");
    for none in ["HTTP/1.1 200 \r\n\r\n", "HTTP/1.1 200\r\n\r\n"] {
        let none = Head::parse(none.as_bytes()).unwrap();
        assert_eq!(text(none.phrase(), &none), "");
    }
    // Chunked overrides a length.
    assert_eq!(head.outline.framing, Framing::Chunked);
    assert!(Head::parse(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap().is_interim());
    assert!(!Head::parse(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").unwrap().is_interim());
}

/// Records have room for [`HEADERS_CAP`] bytes: what does not fit there hides no others, but the first of a name stays the first.
#[test]
fn long_headers_hide_no_short_ones() {
    let long = "c".repeat(3000);
    let head_text = format!("GET / HTTP/1.1\r\na: 1\r\nCookie: {long}\r\nX-Request-Id: 7\r\nCookie: short\r\n\r\n");
    let head = Head::parse(head_text.as_bytes()).unwrap();
    let packed = head.texts().bytes(head.texts().headers);
    let mut record = [0xff; HEADERS_CAP as usize];
    assert_eq!(headers::copy(&mut record, packed, &[]), 0);
    let kept: Vec<_> = headers::entries(&record).collect();
    assert_eq!(kept, [(&b"a"[..], &b"1"[..]), (b"x-request-id", b"7")]);
    let cookies: Vec<_> = headers::entries(packed).filter(|(name, _)| *name == b"cookie").map(|(_, v)| v).collect();
    assert_eq!(cookies, [long.as_bytes(), b"short"]);
}

#[test]
fn nonsense_gives_nothing() {
    for bytes in [&b""[..], b"GET\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1\r\n\r\n", b"GET / HTTP/3.0\r\n\r\n"] {
        assert!(Head::parse(bytes).is_none(), "{bytes:?}");
    }
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(600));
    assert!(Head::parse(many.as_bytes()).is_none());
}

/// What frames a message alone, of heads as they are: found without the parser.
#[test]
fn usual_heads_are_scanned() {
    let scan = |text: &str| scan::scan(text.as_bytes()).map(|(outline, end)| (outline.status, outline.framing, end));
    let get = "GET /a?b HTTP/1.1\r\nHost: h\r\nCookie: \u{e4}\r\n\r\n";
    assert_eq!(scan(get), Some((0, Framing::Unsaid, get.len())));
    let post = "POST / HTTP/1.0\r\ncontent-LENGTH:  12 \r\nContent-Length-Hint: 9\r\n\r\nbody";
    assert_eq!(scan(post), Some((0, Framing::Length(12), post.len() - 4)));
    let found = "HTTP/1.1 302 Found\r\nTransfer-Encoding: gzip,chunked\r\n\r\n";
    assert_eq!(scan(found), Some((302, Framing::Chunked, found.len())));
    let bare = "HTTP/1.0 200\r\n\r\n";
    assert_eq!(scan(bare), Some((200, Framing::Unsaid, bare.len())));
}

/// What looks unusual is the parser's.
#[test]
fn unusual_heads_are_left_to_the_parser() {
    for text in [
        "GET / HTTP/1.1\r\nHost: h\r\n",
        "GET / HTTP/1.1\nHost: h\n\n",
        "GET  / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.2\r\n\r\n",
        "get / HTTP/1.1\r\n\r\n",
        "GET /\u{e4} HTTP/1.1\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length : 3\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length_2: 3\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: \u{7f}\r\n\r\n",
    ] {
        assert!(scan::scan(text.as_bytes()).is_none(), "{text:?}");
    }
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(600));
    assert!(scan::scan(many.as_bytes()).is_none());
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(4_000))]

    /// Heads put together from what is usual and what is not, some bytes changed.
    #[test]
    fn scanning_says_what_parsing_says(
        parts in proptest::collection::vec(proptest::sample::select(PIECES), 0..12),
        changes in proptest::collection::vec((0..400_usize, proptest::prelude::any::<u8>()), 0..3),
    ) {
        let mut bytes = parts.concat().into_bytes();
        for (at, byte) in changes {
            if let Some(changed) = bytes.get_mut(at) {
                *changed = byte;
            }
        }
        bytes.extend(b"\r\n\r\n");
        for first in ["", "GET /a HTTP/1.1\r\n", "HEAD * HTTP/1.0\r\n", "HTTP/1.1 200 OK\r\n", "HTTP/1.0 304\r\n"] {
            let head = [first.as_bytes(), &bytes].concat();
            proptest::prop_assert!(Head::scan_agrees(&head), "{:?}", String::from_utf8_lossy(&head));
        }
    }
}

const PIECES: &[&str] = &[
    "CONNECT h:1 HTTP/1.1\r\n",
    "Content-Length: 5\r\n",
    "content-length:\t77\t\r\n",
    "Content-Length: x\r\n",
    "Content-Length:\r\n",
    "Content-Length : 4\r\n",
    "CONTENT-LENGTH",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked, gzip\r\n",
    "Transfer-Encoding2: chunked\r\n",
    "Upgrade: h2c\r\n",
    "Upgrade: H2C, x\r\n",
    "Host: a.b\r\n",
    "Host : a\r\n",
    ": no name\r\n",
    "no colon\r\n",
    " folded\r\n",
    "\tfolded: 1\r\n",
    "X: \u{e4}\u{1f600}\r\n",
    "X-\u{e4}: 1\r\n",
    "a: b\n",
    "\r\n",
    "\r",
    "\n",
    " ",
    "\0",
];

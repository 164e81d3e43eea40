use super::*;

fn text(at: StrRef, head: &Head) -> String {
    // Strings lie in the head's buffer: find them there by address, without reading through the pointer.
    let from = at.ptr as usize - head.buf.as_ptr() as usize;
    String::from_utf8_lossy(&head.buf[from..from + at.len as usize]).into_owned()
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
    assert_eq!(head.kind, Kind::Request);
    assert_eq!(text(head.method(), &head), "POST");
    assert_eq!(text(head.uri(), &head), "/x?y=1");
    assert_eq!(text(head.host().unwrap(), &head), "a.b");
    assert_eq!(text(head.version(), &head), "HTTP/1.0");
    assert_eq!((head.framing, head.content_length), (Framing::Length(12), Some(12)));
    assert_eq!(text(head.headers(), &head), "\u{4}\u{3}\0hosta.b\u{e}\u{2}\0content-length12\u{4}\u{1}\0x-id7");
}

#[test]
fn a_response_keeps_status_and_phrase() {
    let head = Head::parse(b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: gzip, chunked\r\nContent-Length: 3\r\n\r\n")
        .unwrap();
    assert_eq!((head.kind, head.status), (Kind::Response, 404));
    assert_eq!(text(head.phrase(), &head), "Not Found");
    // Chunked overrides a length.
    assert_eq!(head.framing, Framing::Chunked);
    assert!(Head::parse(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap().is_interim());
    assert!(!Head::parse(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").unwrap().is_interim());
}

/// Records hold the first [`HEADERS_CAP`] bytes: what does not fit there comes last, but the first of a name stays the first.
#[test]
fn long_headers_hide_no_short_ones() {
    let long = "c".repeat(3000);
    let head_text = format!("GET / HTTP/1.1\r\na: 1\r\nCookie: {long}\r\nX-Request-Id: 7\r\nCookie: short\r\n\r\n");
    let head = Head::parse(head_text.as_bytes()).unwrap();
    let packed = text(head.headers(), &head);
    let places =
        ["\u{1}\u{1}\0a1", "x-request-id7", &format!("cookie{long}"), "cookieshort"].map(|part| packed.find(part));
    assert!(places.is_sorted() && places.iter().all(Option::is_some), "{places:?}");
    assert!(places[1].unwrap() < HEADERS_CAP as usize - 16);
}

#[test]
fn nonsense_gives_nothing() {
    for bytes in [&b""[..], b"GET\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1\r\n\r\n", b"GET / HTTP/3.0\r\n\r\n"] {
        assert!(Head::parse(bytes).is_none(), "{bytes:?}");
    }
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(600));
    assert!(Head::parse(many.as_bytes()).is_none());
}

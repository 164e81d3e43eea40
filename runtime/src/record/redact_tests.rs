use super::{super::http::RecordHead, *};
use weftrace_artifact::{abi::HEADERS_CAP, headers, ty::Field};

fn walked(redactor: &Redactor, pieces: &[&str]) -> Vec<String> {
    let mut state = State::default();
    let mut out = Vec::new();
    for piece in pieces {
        let mut bytes = piece.as_bytes().to_vec();
        state = redactor.walk(state, &mut bytes);
        assert_eq!(bytes.len(), piece.len());
        out.push(String::from_utf8(bytes).expect("text"));
    }
    out
}

#[test]
fn heads_keep_what_frames_them_and_what_the_script_reads() {
    let redactor = Redactor::new(["ids r.header[\"X-Order\"], r.header[\"authorization\"];"].into_iter());
    let out = walked(
        &redactor,
        &[
            "POST /pay?card=4111 HTTP/1.1\r\nHost: shop\r\nAuthorization: Bearer abc\r\nx-order: 7\r\nX-Name: Bob\r\n\
           Content-Length: 9\r\n\r\nsecret",
            "ly!GET / HTTP/1.1\r\n\r\n",
        ],
    );
    assert_eq!(
        out[0],
        "POST /pay?xxxxxxxxx HTTP/1.1\r\nHost: shop\r\nAuthorization: xxxxxx xxx\r\nx-order: 7\r\nX-Name: xxx\r\n\
         Content-Length: 9\r\n\r\nxxxxxx"
    );
    assert_eq!(out[1], "xxxGET / HTTP/1.1\r\n\r\n");
}

#[test]
fn chunks_stay_framed() {
    let redactor = Redactor::new(std::iter::empty());
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nSet-Cookie: id=1\r\n\r\n";
    let out = walked(&redactor, &[head, "5\r\nhel", "lo\r\n0\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n"]);
    assert_eq!(out[0], "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nSet-Cookie: xxxx\r\n\r\n");
    assert_eq!(out[1..], ["5\r\nxxx", "xx\r\n0\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n"]);
}

#[test]
fn what_is_not_understood_is_masked_and_tls_is_sealed_already() {
    let redactor = Redactor::new(std::iter::empty());
    assert_eq!(walked(&redactor, &["password: hunter2\r\n", "more"]), ["xxxxxxxxxxxxxxxxxxx", "xxxx"]);
    assert_eq!(
        walked(&redactor, &["GET / HTTP/1.1\r\nCookie: a", "bc\r\n\r\n"]),
        ["GET / HTTP/1.1\r\nxxxxxxxxx", "xxxxxx"]
    );
    assert_eq!(
        walked(&redactor, &["GET / HTTP/1.1\r\nhost: a\r\n\tsecret: b\r\n\r\n"]),
        ["GET / HTTP/1.1\r\nhost: a\r\nxxxxxxxxxx\r\n\r\n"]
    );
    // Records, cut anywhere.
    let record = |len: u8| [&[0x17, 3, 3, 0, len][..], &vec![b's'; len.into()]].concat();
    let sealed = [record(9), record(1), record(200)].concat();
    for cut in 5..sealed.len() {
        let (mut first, mut second) = (sealed[..cut].to_vec(), sealed[cut..].to_vec());
        let state = redactor.walk(State::Start, &mut first);
        let state = redactor.walk(state, &mut second);
        assert_eq!(([first, second].concat(), state), (sealed.clone(), State::Between(RecordHead::default())), "{cut}");
    }
}

/// A message of MySQL with 790 bytes begins as a record of TLS does; what follows is no record, and is masked.
#[test]
fn what_only_begins_as_tls_is_masked() {
    let redactor = Redactor::new(std::iter::empty());
    let mut query = b"\x16\x03\x00\x00\x03insert into people values ('hunter2')".to_vec();
    redactor.walk(State::Start, &mut query);
    assert!(query.iter().all(|b| *b == MASK), "{query:?}");
    let mut other = b"\x16\x03\x01\x00\x03abchunter2".to_vec();
    let state = redactor.walk(State::Start, &mut other);
    assert!(other.ends_with(b"abcxxxxxxx"), "{other:?}");
    let mut more = b"hunter2".to_vec();
    redactor.walk(state, &mut more);
    assert_eq!(more, b"xxxxxxx");
}

/// Wherever a request's first line is cut: nothing of a query is seen, and the header lines behind it stay what they are.
#[test]
fn first_lines_over_segments() {
    let redactor = Redactor::new(std::iter::empty());
    let line = "GET /cb?code=SECRET&b=SECRET HTTP/1.1\r\n";
    let rest = "host: a\r\ncookie: SECRET\r\ncontent-length: 6\r\n\r\nSECRETHTTP/1.1 200 OK\r\n\r\n";
    let whole = format!("{line}{rest}");
    let clean = "\r\nhost: a\r\ncookie: xxxxxx\r\ncontent-length: 6\r\n\r\nxxxxxxHTTP/1.1 200 OK\r\n\r\n";
    // Before the first space it isn't a request's yet.
    for first in 4..line.len() {
        for second in first..line.len() {
            let pieces = [&whole[..first], &whole[first..second], &whole[second..]].map(str::to_owned);
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).filter(|piece| !piece.is_empty()).collect();
            let out = walked(&redactor, &pieces).concat();
            assert!(out[..line.len() - 2].bytes().all(|b| b == MASK), "{first}, {second}: {out}");
            // The line's own end is masked where it is cut.
            assert_eq!(out[line.len()..], clean[2..], "{first}, {second}");
        }
    }
    for first in 1..4 {
        let out = walked(&redactor, &[&whole[..first], &whole[first..]]).concat();
        assert!(!out.contains("SECRET"), "{out}");
    }
}

/// What stands behind the cut may look like a first line itself.
#[test]
fn the_rest_of_a_first_line_is_no_first_line() {
    let redactor = Redactor::new(std::iter::empty());
    for pieces in [
        &["GET /cb?code=FIRST", "SECOND HTTP/1.1\r\nhost: a\r\n\r\n"][..],
        &["GET /cb?code=FIRST", "SECOND", "THIRD HTTP/1.1\r\nhost: a\r\n\r\n"],
        &["GET /cb?code=FIRST ", "SECOND /THIRD HTTP/1.1\r\nhost: a\r\n\r\n"],
        &["GET ", "SECOND /THIRD HTTP/1.1\r\nhost: a\r\n\r\n"],
        &["GET http://user:FIRST", "SECOND@THIRD/ HTTP/1.1\r\nhost: a\r\n\r\n"],
    ] {
        let out = walked(&redactor, pieces).concat();
        assert!(["FIRST", "SECOND", "THIRD"].iter().all(|word| !out.contains(word)), "{out}");
        assert!(out.ends_with("\r\nhost: a\r\n\r\n"), "{out}");
    }
    // Its start was never seen.
    for line in
        ["SECOND HTTP/1.1\r\n", " /SECOND?x HTTP/1.1\r\n", "a /SECOND b HTTP/1.1\r\n", "K: /SECOND HTTP/1.1\r\n"]
    {
        assert_eq!(walked(&redactor, &[line]), ["x".repeat(line.len())], "{line}");
    }
    // It only looked like one.
    let out = walked(&redactor, &["cut /etc/passwd", " SECOND\nhost: a\r\n", "more"]);
    assert_eq!(out, ["x".repeat(15), format!("{}\n{}", "x".repeat(7), "x".repeat(9)), "xxxx".into()]);
}

#[test]
fn first_lines_have_three_words() {
    let redactor = Redactor::new(std::iter::empty());
    for line in [
        "GET * HTTP/1.1\r\n",
        "M-SEARCH * HTTP/1.1\r\n",
        "CONNECT host:443 HTTP/1.0\r\n",
        "GET HTTPS://host/x HTTP/1.1\n",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.0 404\r\n",
    ] {
        assert_eq!(walked(&redactor, &[line]), [line]);
    }
    for line in [
        "GET x HTTP/1.1\r\n",
        "GET  / HTTP/1.1\r\n",
        "G:T / HTTP/1.1\r\n",
        "GET / HTTP/1.1 \r\n",
        "GET / HTTP/1.10\r\n",
        "GET / HTTP/2.0\r\n",
        "HTTP/1.1SECRET\r\n",
        "HTTP/1.1 SECRET\r\n",
    ] {
        assert_eq!(walked(&redactor, &[line]), ["x".repeat(line.len())], "{line}");
    }
    assert_eq!(
        walked(&redactor, &["GET http://user:SECRET@host/x?SECRET HTTP/1.1\r\n"]),
        ["GET http://xxxxxxxxxxx@host/x?xxxxxx HTTP/1.1\r\n"]
    );
    let long = format!("GET /?{} HTTP/1.1\r\nhost: a\r\n", "S".repeat(10_000));
    let out = walked(&redactor, &[&long]);
    assert!(!out[0].contains('S') && out[0].ends_with("x\r\nhost: a\r\n"));
}

#[test]
fn texts_that_are_cut_in_their_first_line() {
    let redactor = Redactor::new(std::iter::empty());
    for (text, masked) in [
        ("GET /a?SECRET", "GET /a?xxxxxx"),
        ("GET http://u:SECR", "GET http://xxxxxx"),
        ("GET /a?SECRET HTTP/1.1\r\nfoo: SECRET\r\n", "GET /a?xxxxxx HTTP/1.1\r\nfoo: xxxxxx\r\n"),
        ("Hello world?", "Hello world?"),
        ("cat /a?b", "cat /a?b"),
        ("", ""),
    ] {
        let mut bytes = text.as_bytes().to_vec();
        redactor.message(&mut bytes);
        assert_eq!(String::from_utf8_lossy(&bytes), masked);
    }
}

#[test]
fn records_lose_headers_and_query_strings() {
    let mut packed = Vec::new();
    for (name, value) in [("host", "x"), ("cookie", "id=1"), ("x-odd", "y")] {
        headers::push(&mut packed, name.as_bytes(), value.as_bytes());
    }
    packed.resize(HEADERS_CAP as usize, 0);
    let at = packed.len() as u32;
    packed.extend(b"/a?b=c\0\0");
    let field = |name: &str, offset, ty| Field { name: Some(name.into()), offset, ty, bits: None };
    let fields = vec![field("header", 0, Type::Headers), field("path", at, Type::Str { cap: 8 })];
    let spec = StreamSpec { name: "http.request".into(), size: packed.len() as u32, fields };
    Redactor::new(["\"x-odd\""].into_iter()).record(&spec, &mut packed);
    let values: Vec<_> = headers::entries(&packed[..HEADERS_CAP as usize]).map(|(_, v)| v.to_vec()).collect();
    assert_eq!(values, [b"x".to_vec(), b"xxxx".to_vec(), b"y".to_vec()]);
    assert_eq!(&packed[at as usize..], b"/a?xxx\0\0");
}

#[test]
fn targets_of_records() {
    for (name, text, masked) in [
        ("query", "a=b", "xxx"),
        ("referer", "http://u:p@h/?a", "http://xxx@h/?x"),
        ("url", "http://u:p@h/#a", "http://xxx@h/#x"),
        ("name", "/a?b", "/a?b"),
        // What a log says is nobody's business as a whole.
        ("body", "paid by Bob, 4111", "xxxxxxxxxxxxxxxxx"),
    ] {
        let mut bytes = text.as_bytes().to_vec();
        bytes.push(0);
        let cap = bytes.len() as u32;
        let field = Field { name: Some(name.into()), offset: 0, ty: Type::Str { cap }, bits: None };
        let spec = StreamSpec { name: "s".into(), size: cap, fields: vec![field] };
        Redactor::new(std::iter::empty()).record(&spec, &mut bytes);
        assert_eq!(String::from_utf8_lossy(&bytes), format!("{masked}\0"));
    }
    let mut bytes = *b"\x03\0\0\0Bob\0";
    let field = Field { name: Some("body".into()), offset: 0, ty: Type::Buf { cap: 4 }, bits: None };
    let spec = StreamSpec { name: "s".into(), size: 8, fields: vec![field] };
    Redactor::new(std::iter::empty()).record(&spec, &mut bytes);
    assert_eq!(&bytes, b"\x03\0\0\0xxx\0");
}

/// A long cookie comes last, and what was copied of it is in the record.
#[test]
fn a_header_that_was_cut_is_masked() {
    let mut packed = Vec::new();
    headers::push(&mut packed, b"host", b"x");
    headers::push(&mut packed, b"cookie", &[b'c'; 3000]);
    packed.truncate(HEADERS_CAP as usize - 1);
    packed.push(0);
    let field = Field { name: Some("header".into()), offset: 0, ty: Type::Headers, bits: None };
    let spec = StreamSpec { name: "http.request".into(), size: HEADERS_CAP, fields: vec![field] };
    Redactor::new(std::iter::empty()).record(&spec, &mut packed);
    assert_eq!(headers::find(&packed, b"host"), Some(&b"x"[..]));
    assert!(packed.windows(6).any(|name| name == b"cookie") && !packed.windows(2).any(|value| value == b"cc"));
}

#[test]
fn any_bytes_are_walked() {
    let redactor = Redactor::new(std::iter::empty());
    let mut seed = 7u64;
    let words: [&[u8]; 8] = [
        b"GET /",
        b" HTTP/1.1\r\n",
        b"\n",
        b":",
        b"content-length: 99999999999999999999\r\n",
        b"\r\n",
        b"ffffffffffffffff\r\n",
        b"transfer-encoding: chunked\r\n",
    ];
    let mut state = State::default();
    for _ in 0..20_000 {
        let mut bytes = Vec::new();
        for _ in 0..4 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            bytes.extend(words[(seed >> 33) as usize % words.len()]);
        }
        state = redactor.walk(state, &mut bytes);
    }
}

//! Heads of HTTP/1 as kernel programs look at them: what is said to be whole is, and what clients and servers send is found to be.

use crate::{
    hir::{arg, call, cast, e, get, int, map, printf, probe, program, raw_tp, set_var, var},
    run::{Lowered, lower, value, word},
};
use weftrace_lang::hir::{ExprKind, Func, PLAIN_LEFT_AT, PLAIN_MOST, PLAIN_ROOM, Ty};

const AT: u64 = 0x1000;
const PIECES: u64 = 0x9000;

/// Prints what the function says of the arguments.
fn lowered(func: Func) -> Lowered {
    lowered_with(func, 7)
}

/// What is kept lies behind a number in the element by the key `arg3`, of a response in that by this key.
fn lowered_with(func: Func, place: i64) -> Lowered {
    let element = Ty::Tuple(vec![Ty::U64, Ty::Buf { cap: PLAIN_ROOM }]);
    let (key, was) = (|| var(0, Ty::U64), var(1, element.clone()));
    let kept = e(ExprKind::TupleField { base: Box::new(was), index: 1 }, Ty::Buf { cap: PLAIN_ROOM });
    let (by, args) = match func {
        Func::PlainRequest => (arg(3), vec![arg(0), arg(1), kept]),
        _ => (cast(int(place), Ty::U64), vec![arg(0), arg(1), arg(2), arg(3), kept]),
    };
    let open = call(Func::Open, vec![get(0, Some(key()), element.clone())], element.clone());
    let body = vec![set_var(0, by), set_var(1, open), printf(vec![call(func, args, Ty::I64)])];
    let kept_in = crate::opened::library(map("__kept", Some(Ty::U64), element.clone()));
    lower(&program(vec![kept_in], vec![probe(raw_tp(), vec![Ty::U64, element], body)]))
}

/// In the element, before what is kept.
const BEFORE: usize = 8;

fn run(lowered: &Lowered, bytes: &[u8], words: [u64; 4], pieces: Option<&[u8]>) -> (u64, Option<Vec<u8>>) {
    let mut host = lowered.host();
    host.user.insert(AT, [bytes, &[0; 64]].concat());
    if let Some(pieces) = pieces {
        host.user.insert(PIECES, pieces.to_vec());
    }
    let size = lowered.maps[0].value_size as usize;
    host.maps[0].update(&7u64.to_ne_bytes(), &vec![0; size], 0);
    for (i, word) in words.iter().enumerate() {
        host.ctx[i * 8..i * 8 + 8].copy_from_slice(&word.to_ne_bytes());
    }
    lowered.run(0, &mut host);
    let kept = value(&host, 0, &7u64.to_ne_bytes()).map(|element| element[BEFORE..].to_vec());
    (word(&host.records[0].payload), kept)
}

/// The status of what is a response, or the beginning of one, as anybody would read it.
fn status(bytes: &[u8], sent: usize) -> u64 {
    let bytes = &bytes[..bytes.len().min(PLAIN_MOST as usize)];
    let digits = bytes.get(9..12).filter(|d| bytes.starts_with(b"HTTP/1.") && d.iter().all(u8::is_ascii_digit));
    let status = digits.map_or(0, |d| d.iter().fold(0, |all, d| all * 10 + u64::from(d - b'0')));
    let begun = head(bytes).is_some_and(|(end, body)| body.is_some_and(|body| end + body >= sent));
    if begun && status >= 200 && status != 204 && status != 304 { status } else { 0 }
}

/// How long the whole response is of which these are the first bytes.
fn whole(bytes: &[u8]) -> u64 {
    head(bytes).and_then(|(end, body)| Some((end + body?) as u64)).unwrap_or(0)
}

/// Where a head ends, and what it says of its body.
fn head(bytes: &[u8]) -> Option<(usize, Option<usize>)> {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let value = text.split("\ncontent-length: ").nth(1).map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
    Some((end, value.flatten().and_then(|digits| digits.parse().ok())))
}

fn response(status: u16, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} Any\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn responses() {
    let lowered = lowered(Func::PlainResponse);
    // What was said of other responses changes nothing.
    let hints = [0, 1 << 16 | 1 << 26, 60 << 16 | 17 << 26, 0x3ff << 16 | 0x3ff << 26, u64::MAX];
    let says = |text: &str, sent: usize| {
        let said = |last| run(&lowered, text.as_bytes(), [AT, sent as u64, 0, last], None).0;
        let first = said(0);
        for last in hints.into_iter().chain([first]) {
            assert_eq!(said(last), first, "{last:x} {text}");
        }
        (first & 0xffff, first >> PLAIN_LEFT_AT)
    };
    let whole = |text: &str| {
        let (status, left) = says(text, text.len());
        assert_eq!(left, 0, "{text}");
        status
    };
    for code in [200, 201, 301, 404, 500, 599] {
        for headers in
            ["", "Server: nginx\r\nDate: now\r\n", "A: b\r\nContent-Type: c\r\nConnection: close\r\nCache: d\r\n"]
        {
            for body in ["", "x", "hello\n", "\r\n\r\n", "\nContent-Length: 99\r\n\r\n"] {
                let text = response(code, headers, body);
                assert_eq!(whole(&text), u64::from(code), "{text}");
                // In another case; cut short; with more behind it.
                let other = text.replace("Content-Length: ", "CONTENT-length: ");
                assert_eq!(whole(&other), u64::from(code), "{other}");
                let less = if body.is_empty() { (0, 0) } else { (u64::from(code), 1) };
                assert_eq!((says(&text, text.len() - 1), says(&text, text.len() + 1)), (less, (0, 0)), "{text}");
            }
        }
    }
    // Every place that the empty line and the length may have.
    for pad in 0..80 {
        let text = response(200, &format!("X: {}\r\n", "y".repeat(pad)), "hello");
        assert_eq!(whole(&text), 200, "{text}");
    }
    let long = response(200, "", &"z".repeat(5000));
    assert_eq!(whole(&long), 200);
    assert_eq!(whole(&response(200, &format!("X: {}\r\n", "y".repeat(800)), "")), 0);
    let most = "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\nx";
    assert_eq!(says(most, most.len()), (200, 99_999_998));
    for text in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1234567890\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-Content-Length: 0\r\n\r\n",
        "HTTP/1.1 20x OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 100 Go\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 304 No\r\nContent-Length: 0\r\n\r\n",
        "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n",
        "HTTP/1.1 200",
        "",
    ] {
        assert_eq!(whole(text), 0, "{text}");
    }
}

/// Of a response that goes on the first bytes are kept, where there is room for them.
#[test]
fn beginnings_of_responses_are_kept() {
    let mut lowered = lowered(Func::PlainResponse);
    let text = response(206, "", &"b".repeat(600));
    for sent in [text.len() - 600, text.len() - 1] {
        let (said, kept) = run(&lowered, text.as_bytes(), [AT, sent as u64, 0, 0], None);
        assert_eq!((said & 0xffff, said >> PLAIN_LEFT_AT), (206, (text.len() - sent) as u64));
        let (kept, len) = (kept.expect("an element"), sent.min(PLAIN_MOST as usize));
        assert_eq!(kept[..4], (len as u32).to_ne_bytes());
        assert_eq!(&kept[4..4 + len], &text.as_bytes()[..len]);
    }
    let (_, kept) = run(&lowered, text.as_bytes(), [AT, text.len() as u64, 0, 0], None);
    assert_eq!(kept.expect("an element")[..4], [0; 4], "nothing of one that is whole");
    lowered = lowered_with(Func::PlainResponse, 8);
    assert_eq!(run(&lowered, text.as_bytes(), [AT, text.len() as u64, 0, 0], None).0 & 0xffff, 206);
    assert_eq!(run(&lowered, text.as_bytes(), [AT, text.len() as u64 - 9, 0, 0], None).0, 0, "no room");
}

/// The head in one piece of memory, the body in the next.
#[test]
fn responses_in_pieces() {
    let lowered = lowered(Func::PlainResponse);
    let text = response(200, "", "hello");
    let head = text.len() - 5;
    let says = |len: u64, sent: usize| {
        let pieces = [AT.to_ne_bytes(), len.to_ne_bytes()].concat();
        let said = run(&lowered, text.as_bytes(), [0, sent as u64, PIECES, 0], Some(&pieces)).0;
        (said & 0xffff, said >> PLAIN_LEFT_AT)
    };
    let whole = (200, 0);
    assert_eq!((says(head as u64, text.len()), says(text.len() as u64 + 30, text.len())), (whole, whole));
    assert_eq!((says(head as u64 - 1, text.len()), says(head as u64, head)), ((0, 0), (200, 5)));
}

/// Where another response's head ended, and this one's body has an empty line.
#[test]
fn what_was_said_of_another_response_misleads_nobody() {
    let lowered = lowered(Func::PlainResponse);
    let first = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n".to_owned() + &"a".repeat(1000);
    let second = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n\r\n1234567890";
    let say = |text: &str, last| run(&lowered, text.as_bytes(), [AT, text.len() as u64, 0, last], None).0;
    let last = say(&first, 0);
    let said = say(second, last);
    assert_eq!((said & 0xffff, said >> PLAIN_LEFT_AT), (200, 0));
    assert_eq!(said, say(second, 0));
}

#[test]
fn requests() {
    let lowered = lowered(Func::PlainRequest);
    let says = |text: &str, key| run(&lowered, text.as_bytes(), [AT, text.len() as u64, 0, key], None);
    for (text, whole) in [
        ("GET / HTTP/1.1\r\n\r\n", true),
        ("GET /a HTTP/1.1\r\nHost: a\r\nCookie: b\r\n\r\n", true),
        ("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", false),
        ("POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\nhello", true),
        ("PATCH / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", true),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", true),
        ("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhell", false),
        ("POST / HTTP/1.1\r\nContent-Length:5\r\n\r\n", false),
        ("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", false),
        ("GET / HTTP/1.1\r\nHost: a\r\n\r", false),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", false),
        ("BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n", false),
        ("GET", false),
    ] {
        let (said, kept) = says(text, 7);
        assert_eq!(said, u64::from(whole), "{text}");
        if whole {
            let kept = kept.expect("an element");
            assert_eq!(kept[..4], (text.len() as u32).to_ne_bytes());
            assert_eq!(&kept[4..4 + text.len()], text.as_bytes());
        }
        // Without a place there is nothing to keep it in.
        assert_eq!(says(text, 8).0, 0);
    }
    // More than one, or the beginning of another; by whatever method.
    for behind in ["G", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"] {
        for method in ["GET", "HEAD", "BREW"] {
            assert_eq!(says(&format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n{behind}"), 7).0, 2);
        }
    }
    let long = |n: usize| format!("GET / HTTP/1.1\r\nCookie: {}\r\n\r\n", "c".repeat(n));
    let room = PLAIN_MOST as usize - long(0).len();
    assert_eq!((says(&long(room), 7).0, says(&long(room + 1), 7).0), (1, 2));
}

/// Whatever comes, what is said to be whole is.
#[test]
fn nothing_is_whole_that_is_not() {
    let lowered = lowered(Func::PlainResponse);
    let mut state = 20_261_130_u64;
    let mut below = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % n
    };
    let parts = [
        "\r\n",
        "\n",
        "\r",
        "\r\n\r\n",
        "Content-Length: ",
        "content-length:",
        "5",
        "0",
        "HTTP/1.1 ",
        "200",
        "C",
        "c: ",
        "x",
    ];
    let (mut found, mut last) = (0, 0);
    for _ in 0..1500 {
        // Of other lengths too, and with bodies that look like the end of a head: where the last one ended another begins its body.
        let body = ["hello", "\r\n\r\nhello", "\r\n", "hello, hello, hello, hello"][below(4)];
        let mut text = response(200 + below(400) as u16, "", body).into_bytes();
        for _ in 0..below(4) {
            let (at, part) = (below(text.len()), parts[below(parts.len())]);
            let upto = (at + below(4)).min(text.len());
            text.splice(at..upto, part.bytes());
        }
        let sent = text.len() + below(3) - usize::from(below(2) == 0);
        let say = |last| run(&lowered, &text, [AT, sent as u64, 0, last], None).0;
        let (said, hinted) = (say(0), say(last));
        last = if hinted == 0 { last } else { hinted };
        let parts = |said: u64| (said & 0xffff, said >> PLAIN_LEFT_AT);
        found += u64::from(said != 0);
        let seen = &text[..text.len().min(sent)];
        let right = (status(seen, sent), whole(seen).wrapping_sub(sent as u64));
        let shown = || format!("{:?} {:?} of {sent} {}", parts(said), parts(hinted), String::from_utf8_lossy(&text));
        assert!(said == 0 || parts(said) == right, "{}", shown());
        // Of what is more than one response the last byte may be taken for the one's.
        let more = whole(seen) < sent as u64 && parts(hinted).1 == 0;
        assert!(hinted == said || more, "{}", shown());
    }
    assert!(found > 100, "{found}");
}

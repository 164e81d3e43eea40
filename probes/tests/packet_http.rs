//! HTTP on made-up connections, however the bytes are cut.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod packet_support;

use packet_support::build::{ACK, FIN, RST, SYN};
use packet_support::conn::{Conn, GET, MS, OK, SERVER};
use packet_support::strings;
use weftrace_artifact::join::Bound;
use weftrace_artifact::packet::{PacketView, layer, needs};
use weftrace_probes::packet::{ALL_NEEDS, Options, PassedOver, Pipeline};

/// A script that only counts messages sees the same ones, and pays for nothing else.
#[test]
fn messages_alone() {
    let mut conn = Conn::open();
    conn.pipeline = Pipeline::new(ALL_NEEDS & !needs::HTTP_MORE, Options::default());
    conn.send(0, b"HEAD /x HTTP/1.1\r\n\r\n");
    conn.send(1, b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n");
    conn.send(0, GET);
    conn.send(1, &OK[..30]);
    conn.send(1, &OK[30..]);
    conn.send(0, GET);
    conn.close(1, FIN);
    conn.close(0, FIN);
    conn.ack(1);
    assert_eq!((conn.messages(), conn.seen().len()), ((3, 2), 0));
    assert_eq!(conn.counters().http_malformed + conn.counters().http_gaps + conn.counters().http_dropped, 0);
}

/// What nobody keeps is counted; the first of a connection and what took long or failed is presented as always.
#[test]
fn exchanges_of_no_interest_are_counted() {
    const BAD: &[u8] = b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n";
    let mut conn = Conn::open_in(Pipeline::new(ALL_NEEDS & !needs::HTTP_MESSAGES, Options::default()));
    conn.pipeline.pass_over(Some(Bound { longer_than_ns: 2 * MS, status_from: 500 }));
    let mut passed = Vec::new();
    for answer in [OK, OK, BAD, OK] {
        conn.send(0, GET);
        conn.send(1, answer);
        conn.ack(0);
        passed.push(conn.pipeline.passed());
    }
    conn.send(0, GET);
    conn.ack(1);
    conn.ack(1);
    conn.send(1, OK);
    conn.ack(0);
    // One acknowledgement for two.
    conn.send(0, GET);
    conn.send(0, GET);
    conn.send(1, OK);
    conn.send(1, OK);
    conn.ack(0);
    passed.push(conn.pipeline.passed());
    let one = |end| Some(PassedOver { count: 1, end: end * MS });
    assert_eq!(passed[..2], [None, one(8)], "the first of a connection whose handshake was seen is told");
    assert_eq!(passed[2..], [None, one(14), Some(PassedOver { count: 2, end: 24 * MS })]);
    assert_eq!(conn.seen(), [("GET", "/a", 200, true), ("GET", "/a", 503, true), ("GET", "/a", 200, true)]);
    assert_eq!((conn.messages(), conn.pipeline.oldest_unsettled()), ((0, 0), None));
    assert!(conn.ended.iter().all(|(_, view)| view.http.part == 0));
}

#[test]
fn one_exchange_with_its_times() {
    let mut conn = Conn::open();
    conn.send(0, GET); // frame 4
    conn.ack(1);
    conn.send(1, &OK[..30]); // 6
    conn.send(1, &OK[30..]); // 7
    assert_eq!(conn.messages(), (1, 1));
    assert!(conn.seen().is_empty(), "it may have to be sent again");
    conn.ack(0); // 8
    assert_eq!(conn.seen(), [("GET", "/a", 200, true)]);
    assert_eq!(conn.messages(), (1, 1));
    let (frame, view) = conn.ended[0];
    let http = view.http;
    assert_eq!(frame, 8);
    assert_eq!((http.start, http.request_end, http.first_byte, http.end), (4 * MS, 4 * MS, 6 * MS, 7 * MS));
    assert_eq!((http.duration, http.first_on_conn, view.conn_opened), (3 * MS, 1, MS));
    assert_eq!((http.request_from, http.request_to), (0, GET.len() as u64));
    assert_eq!((http.response_from, http.response_to), (0, OK.len() as u64));
    assert_eq!(conn.headers[0], [("host".into(), "h".into()), ("x-request-id".into(), "7".into())]);
    // A second one on the same connection is not the first.
    conn.send(0, GET);
    conn.send(1, OK);
    conn.ack(0);
    assert_eq!((conn.ended[1].1.http.first_on_conn, conn.seen().len()), (0, 2));
}

#[test]
fn heads_cut_at_every_place() {
    let post = b"POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody";
    let answer = b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwxyz\r\n0\r\n\r\n";
    for cut in 1..post.len() {
        for cut2 in [1, cut.min(answer.len() - 1), answer.len() - 1] {
            let mut conn = Conn::open();
            conn.send(0, &post[..cut]);
            conn.ack(1);
            conn.send(0, &post[cut..]);
            conn.send(1, &answer[..cut2]);
            conn.send(1, &answer[cut2..]);
            conn.ack(0);
            assert_eq!(conn.seen(), [("POST", "/b", 201, true)], "cut at {cut} and {cut2}");
            assert_eq!(conn.messages(), (1, 1), "cut at {cut} and {cut2}");
            assert_eq!(conn.counters().http_gaps, 0);
        }
    }
    // Byte by byte.
    let mut conn = Conn::open();
    for (from, bytes) in [(0, &post[..]), (1, &answer[..])] {
        for byte in bytes {
            conn.send(from, &[*byte]);
        }
    }
    conn.ack(0);
    assert_eq!(conn.seen(), [("POST", "/b", 201, true)]);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let mut conn = Conn::open();
    let both = [GET, b"HEAD /h HTTP/1.1\r\n\r\n", b"GET /c HTTP/1.1\r\n\r\n"].concat();
    conn.send(0, &both);
    assert_eq!(conn.messages(), (3, 0), "three requests end in one packet");
    // The response to HEAD announces a body that does not come; 304 has none either.
    let answers = [
        OK,
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
    ]
    .concat();
    conn.send(1, &answers);
    conn.ack(0);
    assert_eq!(conn.seen(), [("GET", "/a", 200, true), ("HEAD", "/h", 200, true), ("GET", "/c", 304, true)]);
    // All in one packet: told apart by part.
    let parts: Vec<u32> = conn.ended.iter().map(|(_, view)| view.http.part).collect();
    assert_eq!(parts, [0, 1, 2]);
}

#[test]
fn interim_responses_end_nothing() {
    let mut conn = Conn::open();
    conn.send(0, b"PUT /p HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    conn.send(1, b"HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(conn.messages(), (0, 1));
    conn.send(0, b"abc");
    conn.send(1, b"HTTP/1.1 204 No Content\r\n\r\n");
    conn.ack(0);
    assert_eq!(conn.seen(), [("PUT", "/p", 204, true)]);
    assert_eq!(conn.messages(), (1, 2));
    assert_eq!(conn.ended[0].1.http.request_end, 6 * MS);
}

#[test]
fn a_body_without_length_ends_with_the_connection() {
    let mut conn = Conn::open();
    conn.send(0, b"GET /old HTTP/1.0\r\n\r\n");
    conn.send(1, b"HTTP/1.0 200 OK\r\n\r\nsome");
    conn.send(1, b" bytes");
    assert!(conn.seen().is_empty());
    conn.close(1, FIN);
    conn.ack(0);
    assert_eq!(conn.seen(), [("GET", "/old", 200, true)]);
    assert_eq!(conn.messages(), (1, 1));
}

#[test]
fn tunnels_end_http() {
    // What is carried by a proxy's tunnel may be HTTP again.
    for (request, answer, inside) in [
        (&b"CONNECT x:80 HTTP/1.1\r\n\r\n"[..], &b"HTTP/1.1 200 Established\r\n\r\n"[..], 1),
        (b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", b"HTTP/1.1 101 Switching Protocols\r\n\r\n", 0),
    ] {
        let mut conn = Conn::open();
        conn.send(0, request);
        conn.send(1, answer);
        conn.send(0, GET);
        conn.send(1, OK);
        assert_eq!(conn.messages(), (1 + inside, 1 + inside));
        assert_eq!(conn.seen().len(), 1, "the inner answer is not acknowledged yet");
        assert!(conn.seen()[0].3);
    }
}

#[test]
fn a_reset_leaves_requests_without_response() {
    let mut conn = Conn::open();
    conn.send(0, &[GET, b"GET /two HTTP/1.1\r\n\r\n"].concat());
    conn.send(1, b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nonly this");
    conn.close(1, RST);
    assert_eq!(conn.seen(), [("GET", "/a", 200, false), ("GET", "/two", 0, false)]);
    assert_eq!(conn.messages(), (2, 0), "a response cut off is no response to Wireshark either");
    let last = conn.ended[1].1.http;
    assert_eq!((last.first_byte, last.end), (0, 6 * MS));
    // A server that closes without answering.
    let mut conn = Conn::open();
    conn.send(0, GET);
    conn.close(1, FIN);
    assert_eq!(conn.seen(), [("GET", "/a", 0, false)]);
}

#[test]
fn the_end_of_a_capture_presents_what_is_open() {
    let mut conn = Conn::open();
    conn.send(0, GET);
    let mut view = PacketView::default();
    assert!(conn.pipeline.finish(&mut view).is_some());
    assert_ne!(view.layers & layer::HTTP_EXCHANGE, 0);
    assert_eq!(
        (strings::text(view.http.uri), view.http.status, view.ip_src[3], view.tcp_dst_port),
        ("/a".into(), 0, 1, SERVER.1)
    );
    assert!(conn.pipeline.finish(&mut view).is_none());
}

#[test]
fn other_protocols_cost_nothing_and_say_nothing() {
    let mut conn = Conn::open();
    conn.send(0, b"\x05\x01\x00\x02\x00\x01\x00\x01\xfc\x03\x03");
    conn.send(1, b"SSH-2.0-OpenSSH_9\r\n");
    conn.send(0, b"GET key\r\n");
    conn.send(1, b"$5\r\nhello\r\n");
    assert_eq!(conn.messages(), (0, 0));
    // HTTP after something else (SOCKS) is found.
    conn.send(0, GET);
    conn.send(1, OK);
    conn.ack(0);
    assert_eq!(conn.seen(), [("GET", "/a", 200, true)]);
    assert_eq!(conn.ended[0].1.http.request_from, 20);
}

#[test]
fn a_new_connection_on_the_same_ports_starts_afresh() {
    let mut conn = Conn::open();
    conn.send(0, GET);
    conn.seq = [900_000, 800_000];
    conn.raw(0, 899_999, SYN, b"");
    assert_eq!(conn.seen(), [("GET", "/a", 0, false)]);
    conn.raw(1, 799_999, SYN | ACK, b"");
    conn.send(0, GET);
    conn.send(1, OK);
    conn.ack(0);
    assert_eq!(conn.seen()[1], ("GET", "/a", 200, true));
    assert_eq!(conn.ended[1].1.http.first_on_conn, 1);
    assert_eq!(conn.ended[1].1.tcp_stream, 1);
}

#[test]
fn heads_beyond_the_limit_are_given_up() {
    let mut conn = Conn::open();
    conn.send(0, b"GET / HTTP/1.1\r\n");
    for _ in 0..70 {
        conn.send(0, format!("x: {}\r\n", "y".repeat(1_000)).as_bytes());
    }
    conn.send(0, b"\r\n");
    assert_eq!(conn.messages(), (0, 0));
    assert_eq!(conn.counters().http_malformed, 1);
    // The next one is found at its segment.
    conn.send(0, GET);
    assert_eq!(conn.messages(), (1, 0));
}

#[test]
fn answers_never_acknowledged_are_kept_within_bounds() {
    let mut conn = Conn::open();
    let (mut seq, acked) = (conn.seq[0], conn.seq[1]);
    for _ in 0..1_000 {
        // The client's acknowledgements stand still.
        conn.with_ack(0, seq, acked, ACK, GET);
        seq = seq.wrapping_add(GET.len() as u32);
        conn.send(1, OK);
    }
    assert_eq!((conn.messages(), conn.seen().len()), ((1_000, 1_000), 1_000 - 256));
    conn.close(1, RST);
    assert_eq!(conn.seen().len(), 1_000);
    assert_eq!(conn.counters().http_dropped, 0);
}

/// tshark shows such a message too; its exchange is not complete.
#[test]
fn a_broken_chunk_ends_its_message() {
    let mut conn = Conn::open();
    conn.send(0, GET);
    conn.send(1, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfx\r\nhello");
    conn.ack(0);
    assert_eq!(conn.messages(), (1, 1));
    assert_eq!(conn.seen(), [("GET", "/a", 200, false)]);
    assert_eq!(conn.counters().http_malformed, 1);
}

/// Bodies are counted, not read: what looks like a message in one is none, and what follows is found behind its last byte.
#[test]
fn bodies_in_many_segments() {
    let body = b"GET /no HTTP/1.1\r\n\r\n".repeat(150);
    for (framing, tail) in
        [("Content-Length: 3000\r\n\r\n", &b""[..]), ("Transfer-Encoding: chunked\r\n\r\nbb8\r\n", b"\r\n0\r\n\r\n")]
    {
        for size in [1, 20, 999, 1500, 3000] {
            let mut conn = Conn::open();
            conn.send(0, GET);
            let head = format!("HTTP/1.1 200 OK\r\n{framing}");
            conn.send(1, head.as_bytes());
            body.chunks(size).for_each(|piece| conn.send(1, piece));
            if !tail.is_empty() {
                conn.send(1, tail);
            }
            let end = conn.number * MS;
            conn.send(0, b"GET /second HTTP/1.1\r\n\r\n");
            conn.send(1, OK);
            conn.ack(0);
            assert_eq!(conn.seen(), [("GET", "/a", 200, true), ("GET", "/second", 200, true)], "{framing} by {size}");
            let http = &conn.ended[0].1.http;
            let len = (head.len() + body.len() + tail.len()) as u64;
            assert_eq!((http.end, http.response_from, http.response_to), (end, 0, len), "{framing} by {size}");
            assert_eq!((conn.messages(), conn.counters().http_gaps), ((2, 2), 0));
        }
    }
    // One without a length, of which a segment was never captured.
    let mut conn = Conn::open();
    conn.send(0, b"GET /old HTTP/1.0\r\n\r\n");
    conn.send(1, b"HTTP/1.0 200 OK\r\n\r\n");
    body.chunks(500).for_each(|piece| conn.send(1, piece));
    conn.seq[1] = conn.seq[1].wrapping_add(500);
    body.chunks(500).for_each(|piece| conn.send(1, piece));
    conn.close(1, FIN);
    conn.ack(0);
    assert_eq!((conn.seen(), conn.counters().http_gaps), (vec![("GET", "/old", 200, false)], 1));
}

/// A response that is sent again ends with its copy; where its receiver says that it had come already (RFC 2883), with what was sent before.
#[test]
fn responses_that_are_sent_again() {
    for (copies, duplicate, end) in [(0, false, 5), (1, false, 6), (1, true, 5), (2, false, 7), (2, true, 6)] {
        let mut conn = Conn::open();
        conn.send(0, GET);
        let (from, to) = (conn.seq[1], conn.seq[1].wrapping_add(OK.len() as u32));
        conn.send(1, OK);
        for _ in 0..copies {
            conn.raw(1, from, ACK, OK);
        }
        if duplicate {
            conn.options = [&[1, 1, 5, 10][..], &from.to_be_bytes(), &to.to_be_bytes()].concat();
        }
        conn.ack(0);
        assert_eq!(conn.seen(), [("GET", "/a", 200, true)]);
        assert_eq!(conn.ended[0].1.http.end, end * MS, "{copies} {duplicate}");
    }
}

/// A connection that is older than the capture, whose first packet is the server's.
#[test]
fn the_client_of_an_older_connection() {
    let mut conn = Conn::new();
    conn.send(1, b"");
    conn.send(0, GET);
    conn.send(1, OK);
    conn.ack(0);
    let view = conn.ended[0].1;
    assert_eq!((conn.seen(), view.tcp_src_port, view.from_client), (vec![("GET", "/a", 200, true)], 40_000, 1));
}

/// A reset that no host heeds, as its number is outside the window, ends nothing; one in the window does.
#[test]
fn forged_resets_end_nothing() {
    let mut conn = Conn::open();
    conn.send(0, GET);
    conn.send(1, OK);
    conn.ack(0);
    for from in [1, 0, 1] {
        conn.raw(from, conn.seq[from].wrapping_add(90_000_000), RST, b"GET /forged HTTP/1.1\r\n\r\n");
    }
    conn.send(0, GET);
    conn.send(1, OK);
    conn.ack(0);
    conn.send(0, GET);
    conn.close(1, RST);
    conn.send(0, GET);
    let all = [("GET", "/a", 200, true), ("GET", "/a", 200, true), ("GET", "/a", 0, false)];
    assert_eq!((&conn.seen()[..], conn.messages()), (&all[..], (3, 2)));
    assert_eq!(conn.counters().http_gaps, 0);
}

/// RFC 9112, section 2.2: a server passes over empty lines before a request.
#[test]
fn empty_lines_before_the_first_request() {
    for lines in [&[&b"\r\n\r\n"[..], GET].concat()[..], &[&b"\n"[..], GET].concat()] {
        for at in [0, 1, 2, 5] {
            let mut conn = Conn::open();
            conn.send(0, &lines[..at]);
            conn.send(0, &lines[at..]);
            conn.send(1, OK);
            conn.ack(0);
            assert_eq!((conn.seen(), conn.messages()), (vec![("GET", "/a", 200, true)], (1, 1)), "{at}");
        }
    }
}

/// A server of HTTP/2 alone sends its SETTINGS before it knows what its client speaks.
#[test]
fn requests_of_http1_to_a_server_of_http2() {
    const SETTINGS: &[u8] = b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64";
    const GOAWAY: &[u8] = b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x01";
    for settings_first in [true, false] {
        let mut conn = Conn::open();
        if settings_first {
            conn.send(1, SETTINGS);
            conn.ack(0);
        }
        conn.send(0, GET);
        if !settings_first {
            conn.send(1, SETTINGS);
        }
        conn.send(1, GOAWAY);
        conn.close(1, FIN);
        conn.close(0, FIN);
        conn.ack(1);
        assert_eq!((conn.seen(), conn.messages()), (vec![("GET", "/a", 0, false)], (1, 0)), "{settings_first}");
        let http = conn.ended[0].1.http;
        assert_eq!((http.first_on_conn, http.request_from, http.request_to), (1, 0, GET.len() as u64));
        let counted = conn.counters();
        assert_eq!((counted.http_malformed, counted.http_dropped, counted.http2.malformed), (0, 0, 0));
    }
}

//! HTTP on made-up connections where what comes is no message as RFC 9112 has it, or an unusual one.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod packet_support;

use packet_support::build::FIN;
use packet_support::conn::{Conn, GET, OK};
use weftrace_artifact::packet::layer;

/// Sends each request and its answer, then closes.
fn talk(turns: &[(&[u8], &[u8])]) -> Conn {
    let mut conn = Conn::open();
    for (request, answer) in turns {
        conn.send(0, request);
        conn.send(1, answer);
        conn.ack(0);
    }
    conn.close(1, FIN);
    conn.close(0, FIN);
    conn.ack(1);
    conn
}

/// Of each exchange its target, its status where that is known, and whether it is complete.
fn statuses(conn: &Conn) -> Vec<(&str, Option<u32>, bool)> {
    let known = conn.ended.iter().map(|(_, view)| view.layers & layer::EXCHANGE_STATUS != 0);
    conn.seen()
        .iter()
        .zip(known)
        .map(|((_, uri, status, complete), known)| (*uri, known.then_some(*status), *complete))
        .collect()
}

#[test]
fn a_length_said_twice_is_one() {
    let twice = b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok";
    let conn = talk(&[(GET, twice), (b"GET /b HTTP/1.1\r\n\r\n", OK)]);
    assert_eq!(statuses(&conn), [("/a", Some(200), true), ("/b", Some(200), true)]);
    assert_eq!(conn.counters().http_malformed, 0);
}

/// The server answered, with what can't be read: that is no missing response, and counted.
#[test]
fn answers_that_cannot_be_read() {
    for answer in [
        &b"ICY 200 OK\r\nicy-name: x\r\n\r\nmp3mp3"[..],
        b"HTTP/0.9 200 ok\r\n\r\n",
        b"HTTP/1.1  200 ok\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.10 200 ok\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 ok\r\nA: b\rc\r\nContent-Length: 0\r\n\r\n",
        b"<html>as once upon a time</html>",
    ] {
        let conn = talk(&[(GET, answer)]);
        assert_eq!(statuses(&conn), [("/a", None, false)], "{}", answer.escape_ascii());
        assert_eq!(conn.counters().http_malformed, 1, "{}", answer.escape_ascii());
        // In pieces, and with a readable one behind it.
        let mut conn = Conn::open();
        conn.send(0, GET);
        for byte in answer.chunks(3) {
            conn.send(1, byte);
            conn.ack(0);
        }
        conn.send(0, b"GET /b HTTP/1.1\r\n\r\n");
        conn.send(1, OK);
        conn.ack(0);
        assert_eq!(statuses(&conn), [("/a", None, false), ("/b", Some(200), true)], "{}", answer.escape_ascii());
        assert_eq!(conn.counters().http_malformed, 1, "{}", answer.escape_ascii());
    }
}

/// A connection that ends without a byte of an answer has none, and that is known.
#[test]
fn no_answer_is_known_to_be_none() {
    let mut conn = Conn::open();
    conn.send(0, GET);
    conn.close(1, FIN);
    conn.close(0, FIN);
    conn.ack(1);
    assert_eq!(statuses(&conn), [("/a", Some(0), false)]);
    assert_eq!(conn.counters().http_malformed, 0);
}

/// What is missing may have been the answer.
#[test]
fn a_lost_answer_is_not_known() {
    let mut conn = Conn::open();
    conn.send(0, GET);
    conn.seq[1] = conn.seq[1].wrapping_add(OK.len() as u32); // never captured
    conn.ack(0);
    conn.close(1, FIN);
    conn.close(0, FIN);
    conn.ack(1);
    assert_eq!(statuses(&conn), [("/a", None, false)]);
    assert_eq!((conn.counters().http_gaps, conn.counters().http_malformed), (1, 0));
}

/// RFC 9110, section 9.1: any token is a method, also that of a connection's first request.
#[test]
fn a_first_request_with_any_method() {
    for method in ["BAN", "QUERY", "get", "X-Ray", "VERSION_CONTROL"] {
        let first = format!("{method} /first HTTP/1.1\r\nHost: h\r\n\r\n");
        let conn = talk(&[(first.as_bytes(), OK), (GET, OK)]);
        assert_eq!(conn.seen(), [(method, "/first", 200, true), ("GET", "/a", 200, true)]);
        assert_eq!((conn.messages(), conn.counters().http_malformed), ((2, 2), 0), "{method}");
    }
}

/// A request that can't be read is counted once, by itself or by its response; others' first lines are none.
#[test]
fn first_requests_that_cannot_be_read() {
    for (first, answer, counted) in [
        (&b"GET /w HTTP/1.0.8\r\nHost: h\r\n\r\n"[..], OK, 1),
        (b"GET /w HTTP/2.0\r\nHost: h\r\n\r\n", OK, 1),
        (b"BAN /w WHAT/1.1\r\nHost: h\r\n\r\n", OK, 1),
        (b"\x16\x03", b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", 1),
        (b"OPTIONS rtsp://h/m RTSP/1.0\r\nCSeq: 1\r\n\r\n", b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n", 0),
        (b"INVITE sip:b@h SIP/2.0\r\nCSeq: 1\r\n\r\n", b"SIP/2.0 200 OK\r\nCSeq: 1\r\n\r\n", 0),
        (b"EHLO h\r\n", b"250 h\r\n", 0),
    ] {
        let mut conn = talk(&[(first, answer)]);
        assert_eq!(conn.counters().http_malformed, counted, "{}", first.escape_ascii());
        assert!(conn.seen().is_empty());
        conn = talk(&[(first, answer), (GET, OK)]);
        if counted > 0 {
            assert_eq!(conn.seen(), [("GET", "/a", 200, true)], "{}", first.escape_ascii());
        }
        assert_eq!(conn.counters().http_malformed, counted, "{}", first.escape_ascii());
    }
}

/// A server that ends a connection on which nothing was asked says so by itself.
#[test]
fn a_timeout_answers_no_request() {
    let mut conn = Conn::open();
    conn.send(1, b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n");
    conn.ack(0);
    assert_eq!((conn.messages(), conn.counters().http_malformed), ((0, 1), 0));
}

//! HTTP on made-up connections whose segments are repeated, reordered or lost.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod packet_support;

use packet_support::build::{ACK, PSH};
use packet_support::conn::{Conn, GET, MS, OK};

/// A segment without bytes that comes late is not the response sent again.
#[test]
fn a_late_empty_segment_moves_no_end() {
    let mut conn = Conn::open();
    conn.send(0, GET); // frame 4
    let start = conn.seq[1];
    conn.send(1, OK); // 5
    conn.raw(1, start.wrapping_add(7), ACK, b""); // 6
    conn.ack(0);
    assert_eq!(conn.ended[0].1.http.end, 5 * MS);
}

/// Captured at the server: the response is seen when it is sent, and again when it was lost.
#[test]
fn a_lost_response_ends_with_its_retransmission() {
    let mut conn = Conn::open();
    conn.send(0, GET); // frame 4
    let start = conn.seq[1];
    conn.send(1, OK); // 5
    conn.with_ack(0, conn.seq[0], start, ACK, b""); // 6: not arrived
    conn.raw(1, start, ACK | PSH, OK); // 7
    conn.ack(0); // 8
    assert_eq!(conn.seen(), [("GET", "/a", 200, true)]);
    assert_eq!((conn.ended[0].0, conn.ended[0].1.http.first_byte, conn.ended[0].1.http.end), (8, 5 * MS, 7 * MS));
    // Once it is acknowledged, a needless copy changes nothing.
    conn.raw(1, start, ACK | PSH, OK);
    conn.ack(0);
    assert_eq!(conn.seen().len(), 1);
}

/// All orders of four segments of a request, each sent twice: one message.
#[test]
fn reordered_and_repeated_segments() {
    let parts: Vec<&[u8]> = GET.chunks(12).collect();
    assert_eq!(parts.len(), 4);
    let orders =
        (0..256).map(|n| [n % 4, n / 4 % 4, n / 16 % 4, n / 64]).filter(|order| (0..4).all(|i| order.contains(&i)));
    let mut tried = 0;
    for order in orders {
        let mut conn = Conn::open();
        let start = conn.seq[0];
        for &i in &order {
            for _ in 0..2 {
                // Nothing acknowledged meanwhile.
                conn.with_ack(0, start.wrapping_add(i as u32 * 12), conn.seq[1], ACK, parts[i]);
            }
        }
        conn.seq[0] = start.wrapping_add(GET.len() as u32);
        conn.send(1, OK);
        conn.ack(0);
        assert_eq!(conn.seen(), [("GET", "/a", 200, true)], "order {order:?}");
        assert_eq!(conn.messages().0, 1, "order {order:?}");
        tried += 1;
    }
    assert_eq!(tried, 24);
}

#[test]
fn a_gap_inside_a_known_body_loses_no_framing() {
    let mut conn = Conn::open();
    conn.send(0, GET);
    conn.send(1, b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n0123456789");
    conn.seq[1] = conn.seq[1].wrapping_add(10); // never captured
    conn.send(1, b"0123456789");
    conn.ack(0);
    assert_eq!(conn.seen(), [("GET", "/a", 200, false)]);
    assert_eq!(conn.messages(), (1, 0));
    conn.send(0, GET);
    conn.send(1, OK);
    conn.ack(0);
    assert_eq!(conn.seen()[1], ("GET", "/a", 200, true));
    assert_eq!(conn.counters().http_gaps, 1);
}

#[test]
fn a_lost_response_does_not_shift_the_others() {
    let mut conn = Conn::open();
    for (i, lost) in [(0, false), (1, true), (2, false), (3, false)] {
        conn.send(0, format!("GET /{i} HTTP/1.1\r\n\r\n").as_bytes());
        let answer = format!("HTTP/1.1 20{i} OK\r\nContent-Length: 0\r\n\r\n");
        if lost {
            conn.seq[1] = conn.seq[1].wrapping_add(answer.len() as u32);
        } else {
            conn.send(1, answer.as_bytes());
        }
        conn.ack(0);
    }
    let mut seen = conn.seen();
    seen.sort_by_key(|(_, uri, ..)| *uri);
    let status: Vec<_> = seen.iter().map(|(_, uri, status, _)| (*uri, *status)).collect();
    assert_eq!(status, [("/0", 200), ("/1", 0), ("/2", 202), ("/3", 203)]);
    assert_eq!(conn.messages(), (4, 3));
}

#[test]
fn a_lost_request_leaves_its_response_alone() {
    let mut conn = Conn::open();
    conn.seq[0] = conn.seq[0].wrapping_add(GET.len() as u32); // never captured
    conn.send(1, OK);
    conn.send(0, b"GET /seen HTTP/1.1\r\n\r\n");
    conn.ack(1);
    conn.send(1, OK);
    conn.ack(0);
    assert_eq!(conn.seen(), [("GET", "/seen", 200, true)]);
    assert_eq!(conn.messages(), (1, 2));
}

/// The first request's segment is missing, or its response's, too: the next one is not its connection's first.
#[test]
fn what_follows_a_lost_first_request_is_not_the_first() {
    for (lost, answered) in [(true, true), (true, false), (false, false)] {
        let mut conn = Conn::open();
        if lost {
            conn.seq[0] = conn.seq[0].wrapping_add(GET.len() as u32);
        } else {
            conn.send(0, b"\r\n");
        }
        if answered {
            conn.send(1, OK);
            conn.ack(0);
        } else if lost {
            conn.seq[1] = conn.seq[1].wrapping_add(OK.len() as u32);
        }
        conn.send(0, GET);
        conn.send(1, OK);
        conn.ack(0);
        assert_eq!((conn.seen().len(), conn.messages().0), (1, 1), "{lost} {answered}");
        assert_eq!(conn.ended[0].1.http.first_on_conn, u32::from(!lost), "{lost} {answered}");
    }
}

/// A head that was captured in part is no message, and counted; a body is as long as it was.
#[test]
fn heads_that_were_captured_in_part_are_counted() {
    let mut conn = Conn::open();
    conn.snap = Some(54 + 20);
    conn.send(0, GET);
    assert_eq!((conn.messages().0, conn.counters().http_cut, conn.counters().http_gaps), (0, 1, 0));
    let mut conn = Conn::open();
    conn.send(0, GET);
    conn.snap = Some(54 + OK.len() - 2);
    conn.send(1, OK);
    conn.ack(0);
    assert_eq!((conn.seen().len(), conn.counters().http_cut), (1, 0));
}

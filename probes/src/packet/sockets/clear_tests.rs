//! What TLS libraries give and take in clear, on a made-up socket.

use super::*;

/// In clear within TLS, of which pieces are not copied and a record is lost: each byte's place is known.
#[test]
fn what_a_library_gives_and_takes_in_clear() {
    let mut bench = Bench::new();
    let clear = |bench: &mut Bench, sent: bool, (at, total): (u64, u64), (from, bytes): (u64, &[u8])| {
        bench.time += 10;
        let last = at + bytes.len() as u64 == total || bytes.is_empty();
        bench.sockets.call(&Call {
            key: 1,
            sent,
            start: bench.time - 1,
            end: bench.time,
            to: bench.to[usize::from(sent)],
            other: bench.to[usize::from(!sent)],
            total,
            at,
            bytes,
            last,
            eof: false,
            clear: from,
            ahead: false,
            task: Task::default(),
        });
        bench.ended()
    };
    let get = b"GET /a HTTP/1.1\r\n\r\n";
    bench.to[0] = bench.to[0].wrapping_add(500);
    assert!(clear(&mut bench, false, (0, 19), (1, get)).is_empty());
    bench.to[1] = bench.to[1].wrapping_add(900);
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n";
    let whole = head.len() as u64 + 5000;
    assert!(clear(&mut bench, true, (0, whole), (1, head)).is_empty());
    let ended = clear(&mut bench, true, (whole, whole), (1, b""));
    assert_eq!(ended, [("2 bytes".to_owned(), 200, true, [481, 500, 0, 900])]);
    // What is encrypted, beside the calls for data, is not its own.
    bench.whole(true, b"\x15\x03\x03\x00\x02\x01\x00");
    // The record with the next request is lost; its response is another one's then.
    assert!(clear(&mut bench, true, (0, 19), (1 + whole, b"HTTP/1.1 204 No\r\n\r\n")).is_empty());
    clear(&mut bench, false, (0, 19), (1 + 2 * 19, get));
    assert_eq!(bench.sockets.counters().gaps, 1);
}

/// What TLS carries beside the bytes in clear is no gap: the handshake, session tickets, records that are sent in parts.
#[test]
fn what_is_in_clear_within_tls() {
    let mut bench = Bench::new();
    bench.carry(false, 300);
    bench.carry(true, 500);
    assert!(bench.clear(false, b"GET /a HTTP/1.1\r\n\r\n").is_empty());
    bench.carry(true, 80);
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    assert_eq!(bench.clear(true, answer), [("2 bytes".to_owned(), 200, true, [322, 341, 602, 642])]);
    assert_eq!(bench.last.0, 1, "the connection's first");
    // The answer is on its way, as the next request comes; then the rest is sent, and told.
    bench.clear(false, b"GET /b HTTP/1.1\r\n\r\n");
    bench.carry(true, 30);
    bench.clear(false, b"GET /c HTTP/1.1\r\n\r\n");
    assert_eq!(bench.clear(true, answer).iter().map(|e| (e.1, e.2)).collect::<Vec<_>>(), [(200, true)]);
    // A body of which only the beginning is copied.
    let head = b"HTTP/1.1 201 OK\r\nContent-Length: 9000\r\n\r\n";
    let total = head.len() as u64 + 9000;
    assert_eq!(
        bench.piece(true, head, (0, total, true), 9200).iter().map(|e| (e.1, e.2)).collect::<Vec<_>>(),
        [(201, true)]
    );
    assert_eq!(bench.sockets.counters(), SocketCounters { calls: 6, ..SocketCounters::default() });
}

#[test]
fn records_in_clear_that_were_lost_are_gaps() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let mut bench = Bench::new();
    bench.clear(false, b"GET /a HTTP/1.1\r\n\r\n");
    // The answer was told in a record that was lost.
    bench.carry(true, 62);
    bench.clear[1] += answer.len() as u64;
    bench.clear(false, b"GET /bc HTTP/1.1\r\n\r\n");
    let ended = bench.clear(true, answer);
    let ended: Vec<_> = ended.iter().map(|e| (e.0.as_str(), e.1, e.2)).collect();
    assert_eq!(ended, [("2 bytes", 0, false), ("3 bytes", 200, true)]);
    assert_eq!(bench.sockets.counters().gaps, 1);
    // In the middle of a call they are not copied, and not lost.
    bench.clear(false, b"GET /d HTTP/1.1\r\n\r\n");
    let head = b"HTTP/1.1 201 OK\r\nContent-Length: 3000\r\n\r\n";
    let total = head.len() as u64 + 3000;
    assert!(bench.piece(true, head, (0, total, false), total as u32 + 22).is_empty());
    let ended = bench.piece(true, &[b'x'; 100], (total - 100, total, true), 0);
    assert_eq!(ended.iter().map(|e| (e.1, e.2)).collect::<Vec<_>>(), [(201, true)]);
    bench.clear(false, b"GET /e HTTP/1.1\r\n\r\n");
    assert_eq!(bench.clear(true, answer).iter().map(|e| (e.1, e.2)).collect::<Vec<_>>(), [(200, true)]);
    assert_eq!(bench.sockets.counters().gaps, 1);
}

/// The kernel's part had to forget how far it was: what there was meanwhile is not known.
#[test]
fn a_count_in_clear_that_begins_anew_is_a_gap() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let mut bench = Bench::new();
    for _ in 0..2 {
        bench.clear(false, b"GET /a HTTP/1.1\r\n\r\n");
        assert_eq!(bench.clear(true, answer).len(), 1);
        bench.clear[1] = 0;
    }
    assert_eq!(bench.sockets.counters().gaps, 1);
}

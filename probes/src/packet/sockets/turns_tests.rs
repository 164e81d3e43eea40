use super::*;
use weftrace_artifact::abi::ConnKey;

const MS: u64 = 1_000_000;

/// A client at 10.0.0.1:40000, a server at 10.0.0.2:5432.
fn socket(local_port: u16, opened: u64) -> Open {
    let mut conn = ConnKey { family: 2, a_port: 40_000, b_port: 5432, ..ConnKey::default() };
    conn.a_addr[..4].copy_from_slice(&[10, 0, 0, 1]);
    conn.b_addr[..4].copy_from_slice(&[10, 0, 0, 2]);
    Open { key: 7, conn, local_port, from: [1000, 2000], opened, ..Open::default() }
}

fn call(sent: bool, at: u64, to: u32, total: u64) -> TurnCall {
    TurnCall {
        socket: socket(5432, 5),
        opened_here: Some(false),
        sent,
        start: at * MS,
        end: at * MS,
        to: if sent { 2000 } else { 1000 } + to,
        total: Some(total),
        task: Task { pid: 4711, ..Task::default() },
    }
}

/// start, first byte, end (ms), bytes of the request and of the answer, whether it is whole.
fn all(turns: &mut Turns) -> Vec<(u64, u64, u64, [u64; 4], bool)> {
    let mut view = PacketView::default();
    std::iter::from_fn(|| {
        let exchange = turns.next(&mut view)?;
        assert!(exchange.served && exchange.port == 5432);
        assert_eq!((view.tcp_src_port, view.tcp_dst_port, &view.ip_src[..4]), (40_000, 5432, &[10, 0, 0, 1][..]));
        let http = view.http;
        let bytes = [http.request_from, http.request_to, http.response_from, http.response_to];
        Some((http.start / MS, http.first_byte / MS, http.end / MS, bytes, http.complete != 0))
    })
    .collect()
}

#[test]
fn a_turn_ends_when_the_next_one_begins_or_nothing_comes() {
    let mut turns = Turns::default();
    // A request in two pieces, an answer in two; then the next one.
    for c in [call(false, 1, 10, 10), call(false, 2, 15, 5), call(true, 8, 100, 100), call(true, 9, 150, 50)] {
        turns.call(&c);
    }
    assert!(all(&mut turns).is_empty());
    turns.call(&call(false, 20, 40, 25));
    assert_eq!(all(&mut turns), [(1, 8, 9, [0, 15, 0, 150], true)]);
    turns.call(&call(true, 30, 160, 10));
    turns.pass(130 * MS - 1);
    assert!(all(&mut turns).is_empty());
    turns.pass(130 * MS);
    assert_eq!(all(&mut turns), [(20, 30, 30, [15, 40, 150, 160], true)]);
    // What is said unasked belongs to no exchange.
    turns.call(&call(true, 500, 170, 10));
    turns.pass(900 * MS);
    assert!(all(&mut turns).is_empty());
    assert_eq!((turns.gaps, turns.evicted), (0, 0));
}

#[test]
fn what_is_not_answered_ends_with_the_connection() {
    let mut turns = Turns::default();
    turns.call(&call(false, 1, 10, 10));
    turns.pass(5000 * MS);
    assert!(all(&mut turns).is_empty(), "an answer may still come");
    turns.end(7, 6000 * MS);
    assert_eq!(all(&mut turns), [(1, 0, 6000, [0, 10, 0, 0], false)]);
    // The same key is another socket's.
    turns.call(&call(false, 1, 10, 10));
    let mut other = call(false, 7000, 3, 3);
    other.socket.opened = 6;
    turns.call(&other);
    assert_eq!(all(&mut turns).len(), 1);
    turns.finish(8000 * MS);
    assert_eq!(all(&mut turns), [(7000, 0, 8000, [0, 3, 0, 0], false)]);
}

#[test]
fn bytes_that_no_call_was_seen_for() {
    let mut turns = Turns::default();
    turns.call(&call(false, 1, 10, 10));
    // 90 bytes of the answer went another way.
    turns.call(&call(true, 2, 100, 10));
    turns.finish(3 * MS);
    assert_eq!(all(&mut turns), [(1, 2, 2, [0, 10, 90, 100], false)]);
    assert_eq!(turns.gaps, 1);
    // Several messages in a call: how many bytes those were is known by the numbers.
    let mut turns = Turns::default();
    turns.call(&call(false, 1, 10, 10));
    turns.call(&TurnCall { total: None, ..call(false, 2, 30, 0) });
    turns.finish(3 * MS);
    assert_eq!(all(&mut turns), [(1, 0, 3, [0, 30, 0, 0], false)]);
    assert_eq!(turns.gaps, 0);
}

#[test]
fn who_asks_on_a_connection_that_is_older() {
    let mut turns = Turns::default();
    let older = |c: TurnCall| TurnCall { opened_here: None, socket: socket(5432, 0), ..c };
    turns.call(&older(call(false, 1, 500, 10)));
    turns.call(&older(call(true, 2, 900, 10)));
    turns.finish(3 * MS);
    assert_eq!(all(&mut turns), [(1, 2, 2, [490, 500, 890, 900], true)]);
}

#[test]
fn offsets_go_beyond_what_sequence_numbers_hold() {
    let mut turns = Turns::default();
    let step = 1u32 << 30;
    for n in 1..=6u32 {
        turns.call(&call(false, u64::from(n), step.wrapping_mul(n), step.into()));
    }
    turns.finish(9 * MS);
    assert_eq!(all(&mut turns)[0].3[..2], [0, 6 << 30]);
}

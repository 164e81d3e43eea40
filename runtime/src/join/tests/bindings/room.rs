//! Bindings that are over, and those that go for want of room.

use super::*;

/// Connections come and go; what was bound to them is over with them and takes no room.
#[test]
fn more_connections_than_there_is_room_for_are_all_told() {
    let small = JoinSpec { max_bytes: 1 << 20, timeout_ns: S, ..bound_spec() };
    let mut engine = Engine::new(small, &all());
    let mut out = Vec::new();
    let connections = 20_000u64;
    for i in 0..connections {
        let (at, key) = (10 * S + i * MS, conn(7, 1000 + (i % 50_000) as u16, (i as u32 + 1, 7)));
        let owned = tie(Tie { conn: Some(key), pid: 40, start: at, ..Tie::default() });
        let paused = pause(40, MS / 10, at + MS / 2);
        let request = (REQUEST, at + MS, request(&key, "a", at, at, at + MS, true));
        let closed = tie(Tie { conn: Some(key), end: at + 2 * MS, ..Tie::default() });
        for (stream, time, payload) in [owned, paused, request, closed] {
            engine.record(stream, time, &payload, &mut Handlers, &mut |o| out.push(o));
        }
        if i % 10 == 0 {
            engine.advance(at, &mut Handlers, &mut |o| out.push(o));
        }
    }
    engine.flush(&mut Handlers, &mut |o| out.push(o));
    assert_eq!(engine.summary().evicted_bindings, 0, "nothing had to go that anyone wanted");
    let all = results(out);
    assert_eq!(all.len() as u64, connections);
    for r in &all {
        assert!(matches!(r.legs[1].state, State::Value(_)), "{:?} at {}", r.legs[1].state, r.begin);
    }
}

/// What has to go for want of room makes unknown what it may have been about, and nothing after that.
#[test]
fn a_binding_that_had_to_go_is_unknown_for_its_own_time() {
    let tight = JoinSpec { max_bytes: 128 << 10, timeout_ns: 100 * S, ..bound_spec() };
    let mut engine = Engine::new(tight, &all());
    let mut out = Vec::new();
    let mut feed = |engine: &mut Engine, (stream, time, payload): (StreamId, u64, Vec<u8>)| {
        engine.record(stream, time, &payload, &mut Handlers, &mut |o| out.push(o));
    };
    let (old, new) = (conn(7, 1, (1, 1)), conn(7, 2, (2, 2)));
    feed(&mut engine, tie(Tie { conn: Some(old), pid: 40, start: 9 * S, ..Tie::default() }));
    feed(&mut engine, tie(Tie { conn: Some(old), end: 12 * S, ..Tie::default() }));
    for i in 0..2000u64 {
        let (at, key) = (10 * S + i * MS, conn(7, 1000 + i as u16, (i as u32 + 1, 7)));
        feed(&mut engine, tie(Tie { conn: Some(key), pid: 41, start: at, ..Tie::default() }));
        feed(&mut engine, tie(Tie { conn: Some(key), end: at + MS / 2, ..Tie::default() }));
    }
    assert!(engine.summary().evicted_bindings > 1000);
    // It is over for long when these come.
    feed(&mut engine, tie(Tie { conn: Some(new), pid: 40, start: 20 * S, ..Tie::default() }));
    feed(&mut engine, pause(40, MS, 21 * S));
    feed(&mut engine, (REQUEST, 10 * S + 2 * MS, request(&old, "then", 10 * S, 10 * S, 10 * S + 2 * MS, true)));
    feed(&mut engine, (REQUEST, 22 * S, request(&new, "now", 20 * S, 20 * S, 22 * S, true)));
    engine.flush(&mut Handlers, &mut |o| out.push(o));
    let all = results(out);
    let gc = |id: &str| all.iter().find(|r| r.id() == id).expect("closed").legs[1].state.clone();
    assert_eq!((gc("then"), gc("now")), (unknown("evicted"), value(1)));
}

/// What ended a part of something that is still there is kept as long as that.
#[test]
fn a_closed_file_stays_closed_while_its_connection_lives() {
    let (key, other) = (conn(7, 5000, (11, 22)), |i: u64| conn(7, 6000 + i as u16, (1, 2)));
    let owned = tie(Tie { conn: Some(key), file: 0xf00, pid: 40, start: 10 * S, ..Tie::default() });
    let closed = tie(Tie { file: 0xf00, end: 11 * S, ..Tie::default() });
    let served = tie(Tie { file: 0xf00, goroutine: 9, pid: 40, start: 100 * S, ..Tie::default() });
    let waits = poll(9, 40, 100 * MS, 101 * S);
    let mut engine = Engine::new(bound_spec(), &all());
    let mut out = Vec::new();
    let mut feed = |(stream, time, payload): (StreamId, u64, Vec<u8>)| {
        engine.record(stream, time, &payload, &mut Handlers, &mut |_| {});
        engine.advance(time, &mut Handlers, &mut |_| {});
        (engine.bytes(), engine.summary().evicted_bindings)
    };
    let (before, _) = feed(owned);
    feed(closed);
    for i in 0..500 {
        let at = 12 * S + i * 150 * MS;
        feed(tie(Tie { conn: Some(other(i)), pid: 41, start: at, ..Tie::default() }));
        feed(tie(Tie { conn: Some(other(i)), end: at + MS, ..Tie::default() }));
    }
    let (after, evicted) = feed(waits);
    assert!(evicted == 0 && after < before + 500 * 200, "what is over went: {after}, {before} before");
    feed(served);
    let request = request(&key, "a", 0, 100 * S, 102 * S, true);
    engine.record(REQUEST, 102 * S, &request, &mut Handlers, &mut |o| out.push(o));
    engine.flush(&mut Handlers, &mut |o| out.push(o));
    assert_eq!(results(out)[0].legs[0].state, unknown("no binding"));
}

//! Legs that find their anchor over what belongs together.

use super::*;
use weftrace_artifact::join::key_of;

mod late;
mod lost;
mod room;
mod via;

const BINDING: StreamId = StreamId(3);
const POLL: StreamId = StreamId(4);
const GC: StreamId = StreamId(5);
const CLOSED: StreamId = StreamId(6);
const LEFT: StreamId = StreamId(7);
const OWNER: StreamId = StreamId(8);

fn all() -> Vec<StreamSpec> {
    let stream = |name: &str, fields: Vec<(&str, Type)>| {
        let (fields, size) = lay_out(fields.into_iter().map(|(n, t)| (Some(n.to_owned()), t)));
        StreamSpec { name: name.into(), fields, size }
    };
    let mut all = streams();
    let keys = vec![
        ("conn", Type::Conn),
        ("start", Type::U64),
        ("end", Type::U64),
        ("file", Type::U64),
        ("goroutine", Type::U64),
        ("pid", Type::U32),
        ("tid", Type::U32),
    ];
    all.push(stream("binding", keys));
    all.push(stream("go.poll_wait", vec![("goroutine", Type::U64), ("dur", Type::U64), ("pid", Type::U32)]));
    all.push(stream("go.gc_pause", vec![("pid", Type::U32), ("dur", Type::U64)]));
    all.push(stream("binding.closed", vec![("conn", Type::Conn), ("end", Type::U64)]));
    all.push(stream("binding.left", vec![("conn", Type::Conn), ("end", Type::U64), ("pid", Type::U32)]));
    let keys = [("conn", Type::Conn), ("start", Type::U64), ("goroutine", Type::U64), ("pid", Type::U32)];
    all.push(stream("binding.owner", keys.to_vec()));
    all
}

fn at(stream: StreamId, name: &str) -> Option<KeyAt> {
    key_of(&all()[stream.0 as usize], name).map(|(_, at)| at)
}

#[derive(Clone, Copy, Default)]
struct Tie {
    conn: Option<ConnKey>,
    start: u64,
    end: u64,
    file: u64,
    goroutine: u64,
    pid: u32,
    tid: u32,
}

fn tie(tie: Tie) -> (StreamId, u64, Vec<u8>) {
    let mut out = tie.conn.unwrap_or_default().to_bytes().to_vec();
    for n in [tie.start, tie.end, tie.file, tie.goroutine] {
        out.extend(n.to_ne_bytes());
    }
    out.extend(tie.pid.to_ne_bytes());
    out.extend(tie.tid.to_ne_bytes());
    (BINDING, if tie.end != 0 { tie.end } else { tie.start }, out)
}

fn poll(goroutine: u64, pid: u32, dur: u64, time: u64) -> (StreamId, u64, Vec<u8>) {
    let mut out = goroutine.to_ne_bytes().to_vec();
    out.extend(dur.to_ne_bytes());
    out.extend(pid.to_ne_bytes());
    out.resize(all()[POLL.0 as usize].size as usize, 0);
    (POLL, time, out)
}

fn pause(pid: u32, dur: u64, time: u64) -> (StreamId, u64, Vec<u8>) {
    let mut out = pid.to_ne_bytes().to_vec();
    out.resize(8, 0);
    out.extend(dur.to_ne_bytes());
    (GC, time, out)
}

fn bound_leg(name: &str, stream: StreamId, kind: KeyKind, key: &str) -> LegSpec {
    LegSpec {
        name: name.into(),
        stream,
        agg: LegAgg::Sum,
        value: all()[stream.0 as usize].field("dur").map(|f| IntAt { offset: f.offset, size: 8, signed: false }),
        interval: None,
        duration: true,
        keys: vec![LegKey { kind, leg: at(stream, key), anchor: None }],
        since_ns: None,
        off: false,
        side: Side::Any,
        place: Place::default(),
    }
}

fn bound_spec() -> JoinSpec {
    let legs = vec![bound_leg("poll", POLL, KeyKind::Goroutine, "goroutine"), bound_leg("gc", GC, KeyKind::Pid, "pid")];
    JoinSpec { legs, blame: vec![1, 0], total: Vec::new(), ..spec() }
}

fn legs(records: &[(StreamId, u64, Vec<u8>)]) -> Vec<LegOutcome> {
    outcomes(bound_spec(), records)
}

fn outcomes(spec: JoinSpec, records: &[(StreamId, u64, Vec<u8>)]) -> Vec<LegOutcome> {
    let mut engine = Engine::new(spec, &all());
    let mut out = Vec::new();
    for (stream, time, payload) in records {
        engine.record(*stream, *time, payload, &mut Handlers, &mut |o| out.push(o));
    }
    engine.flush(&mut Handlers, &mut |o| out.push(o));
    let mut all = results(out);
    assert_eq!(all.len(), 1);
    all.remove(0).legs
}

fn value(ms: u64) -> State {
    State::Value((ms * MS) as i64)
}

fn unknown(why: &str) -> State {
    State::Unknown(why.into())
}

/// conn → file → goroutine → process.
#[test]
fn a_goroutine_is_found_by_the_connection_it_serves() {
    let key = conn(7, 5000, (11, 22));
    let request = (REQUEST, 2 * S, request(&key, "a", S, S, 2 * S, true));
    let owned = tie(Tie { conn: Some(key), file: 0xf00, pid: 40, start: S / 2, ..Tie::default() });
    let served = tie(Tie { file: 0xf00, goroutine: 9, pid: 40, start: S, ..Tie::default() });
    let waits = [poll(9, 40, 100 * MS, 1500 * MS), poll(9, 41, 70 * MS, 1600 * MS), poll(8, 40, 60 * MS, 1600 * MS)];
    let records: Vec<_> = [owned.clone(), served.clone()].into_iter().chain(waits).collect();
    let with = |more: &[(StreamId, u64, Vec<u8>)]| {
        let mut all = records.clone();
        all.extend_from_slice(more);
        legs(&all)
    };
    let found = with(&[pause(40, 20 * MS, 1700 * MS), pause(41, 30 * MS, 1700 * MS), request.clone()]);
    assert_eq!((&found[0].state, found[0].via, found[0].key), (&value(100), Via::Exact, "goroutine"));
    assert_eq!((&found[1].state, found[1].via, found[1].key), (&value(20), Via::Overlap, "pid"));
    // Nothing ties the connection to anything.
    let found = legs(&[poll(9, 40, 100 * MS, 1500 * MS), request]);
    assert_eq!((&found[0].state, &found[1].state), (&unknown("no binding"), &unknown("no binding")));
}

#[test]
fn a_file_that_was_closed_or_used_again_is_another() {
    let (old, new) = (conn(7, 5000, (11, 22)), conn(7, 6000, (33, 44)));
    let file = |conn, start| tie(Tie { conn: Some(conn), file: 0xf00, start, ..Tie::default() });
    let served = |start, end| tie(Tie { file: 0xf00, goroutine: 9, pid: 40, start, end, ..Tie::default() });
    let request = (REQUEST, 2 * S, request(&old, "a", S, S, 2 * S, true));
    let waits = poll(9, 40, 100 * MS, 1500 * MS);
    // The file is the new connection's before the goroutine waits.
    let reused = [file(old, S / 2), file(new, S + 200 * MS), served(S + 300 * MS, 0), waits.clone(), request.clone()];
    assert_eq!(legs(&reused)[0].state, unknown("no binding"));
    // It was closed.
    let closed = tie(Tie { file: 0xf00, end: S + 200 * MS, ..Tie::default() });
    let closed = [file(old, S / 2), closed, served(S + 300 * MS, 0), waits.clone(), request.clone()];
    assert_eq!(legs(&closed)[0].state, unknown("no binding"));
    // The goroutine had gone on to something else when it waited.
    let left = [file(old, S / 2), served(S, S + 100 * MS), waits.clone(), request.clone()];
    assert_eq!(legs(&left)[0].state, State::None);
    // In any order.
    let mut all = vec![file(old, S / 2), file(new, S + 600 * MS), served(S, 0), waits, request];
    for _ in 0..all.len() {
        all.rotate_left(1);
        assert_eq!(legs(&all)[0].state, value(100));
    }
}

#[test]
fn what_was_lost_of_the_bindings_is_unknown() {
    let key = conn(7, 5000, (11, 22));
    let mut engine = Engine::new(bound_spec(), &all());
    let mut out = Vec::new();
    engine.lost((S, S), &[BINDING], 5, None);
    engine.record(REQUEST, 2 * S, &request(&key, "a", S, S, 2 * S, true), &mut Handlers, &mut |o| out.push(o));
    engine.flush(&mut Handlers, &mut |o| out.push(o));
    assert_eq!(results(out)[0].legs[0].state, unknown("lost 5"));
}

/// The legs of an anchor, where the run began at some time and records came after that.
fn legs_since(began: u64, lost: Option<(u64, u64)>, records: &[(StreamId, u64, Vec<u8>)]) -> Vec<LegOutcome> {
    let mut engine = Engine::new(bound_spec(), &all());
    let mut out = Vec::new();
    engine.advance(began, &mut Handlers, &mut |o| out.push(o));
    if let Some(interval) = lost {
        engine.lost(interval, &[BINDING], 1, None);
    }
    for (stream, time, payload) in records {
        engine.record(*stream, *time, payload, &mut Handlers, &mut |o| out.push(o));
    }
    engine.flush(&mut Handlers, &mut |o| out.push(o));
    results(out).remove(0).legs
}

#[test]
fn a_connection_that_was_seen_from_its_begin_has_the_bindings_that_were_seen() {
    let key = conn(7, 5000, (11, 22));
    // Opened at 3 s, used from 4 s on.
    let request = [(REQUEST, 5 * S, request(&key, "a", 3 * S, 4 * S, 5 * S, false))];
    let states = |began, lost| {
        let legs = legs_since(began, lost, &request);
        (legs[0].state.clone(), legs[1].state.clone())
    };
    assert_eq!(states(2 * S, None), (State::None, State::None));
    // It is older than the run, or may be.
    assert_eq!(states(3 * S + S / 2, None), (unknown("no binding"), unknown("no binding")));
    assert_eq!(states(3 * S - MS, None), (unknown("no binding"), unknown("no binding")));
    // A binding was lost in its life, before the request.
    assert_eq!(states(2 * S, Some((3 * S + MS, 3 * S + 2 * MS))), (unknown("lost 1"), unknown("lost 1")));
    assert_eq!(states(2 * S, Some((2 * S + MS, 3 * S - MS))), (State::None, State::None));
}

#[test]
fn a_process_without_goroutines_has_none_that_wait() {
    let (key, other) = (conn(7, 5000, (11, 22)), conn(7, 6000, (33, 44)));
    let request = (REQUEST, 5 * S, request(&key, "a", S, 4 * S, 5 * S, false));
    let owned = tie(Tie { conn: Some(key), pid: 40, start: S, ..Tie::default() });
    let goes = |pid| tie(Tie { conn: Some(other), goroutine: 9, pid, start: 4 * S, ..Tie::default() });
    let poll_of = |more| legs_since(3 * S, None, &[owned.clone(), more, request.clone()]).remove(0).state;
    assert_eq!(poll_of(goes(41)), State::None);
    // It is a Go program, and which of its goroutines it was nobody has said.
    assert_eq!(poll_of(goes(40)), unknown("no binding"));
}

/// A thread reads one request, and another while the first is answered: what that one's goroutine waits for is not the first one's.
#[test]
fn who_serves_two_connections_leads_from_none_to_the_other() {
    let (key, other) = (conn(7, 5000, (11, 22)), conn(7, 6000, (33, 44)));
    let read = |conn, start, end| tie(Tie { conn: Some(conn), pid: 40, tid: 41, start, end, ..Tie::default() });
    let serves =
        |conn, goroutine, start, end| tie(Tie { conn: Some(conn), goroutine, pid: 40, start, end, ..Tie::default() });
    let found = legs(&[
        read(key, S, 2 * S),
        serves(key, 8, S, 2 * S),
        read(other, 1200 * MS, 1400 * MS),
        serves(other, 9, 1200 * MS, 1400 * MS),
        poll(9, 40, 100 * MS, 1350 * MS),
        poll(8, 40, 5 * MS, 1500 * MS),
        (REQUEST, 2 * S, request(&key, "a", S, S, 2 * S, true)),
    ]);
    assert_eq!((&found[0].state, found[0].key), (&value(5), "goroutine"));
}

/// A connection waits in the queue while its process is stopped: who takes it has always been its owner. Also where ends of others had to go.
#[test]
fn who_accepts_was_the_owner_before() {
    let key = conn(7, 5000, (11, 22));
    let owned = |start| tie(Tie { conn: Some(key), pid: 40, start, ..Tie::default() });
    let accepted = |start| {
        let (stream, _, payload) = owned(start);
        (stream, S + 900 * MS, payload)
    };
    let request = (REQUEST, 2 * S, request(&key, "a", S, S, 2 * S, true));
    let gc = |start| legs(&[accepted(start), pause(40, 800 * MS, S + 850 * MS), request.clone()])[1].state.clone();
    assert_eq!((gc(1), gc(0)), (value(800), State::None));
    let tight = JoinSpec { max_bytes: 128 << 10, timeout_ns: 100 * S, ..bound_spec() };
    let mut engine = Engine::new(tight, &all());
    let mut out = Vec::new();
    let mut feed = |(stream, time, payload): (StreamId, u64, Vec<u8>)| {
        engine.record(stream, time, &payload, &mut Handlers, &mut |o| out.push(o));
    };
    for i in 0..2000u64 {
        let (at, key) = (S / 2 + i * MS / 8, conn(7, 1000 + i as u16, (i as u32 + 1, 7)));
        feed(tie(Tie { conn: Some(key), pid: 41, start: at, ..Tie::default() }));
        feed(tie(Tie { conn: Some(key), end: at + MS / 16, ..Tie::default() }));
    }
    [accepted(1), pause(40, 800 * MS, S + 850 * MS), request].into_iter().for_each(&mut feed);
    assert!(engine.summary().evicted_bindings > 1000);
    engine.flush(&mut Handlers, &mut |o| out.push(o));
    assert_eq!(results(out).remove(0).legs[1].state, value(800));
}

/// A process accepts (40), its child serves from 1.5 s on (41), and a third has the connection for other keys: what the first does after that is none
/// of the request's, what the child does is. In any order, and with more bindings of the first than are kept unlooked at.
#[test]
fn a_connection_that_is_handed_over_is_anothers_from_then_on() {
    let (key, other) = (conn(7, 5000, (11, 22)), |i: u64| conn(7, 6000 + i as u16, (1, 2)));
    let owned = |key, pid, start| tie(Tie { conn: Some(key), pid, start, ..Tie::default() });
    let left = |key: ConnKey, pid: u32, end: u64| {
        let mut out = key.to_bytes().to_vec();
        out.extend(end.to_ne_bytes());
        out.extend(pid.to_ne_bytes());
        out.resize(all()[LEFT.0 as usize].size as usize, 0);
        (LEFT, end, out)
    };
    let taken = |key, at| [owned(key, 40, 1), left(key, 40, at), owned(key, 41, S + MS)];
    let with_thread = tie(Tie { conn: Some(key), pid: 42, tid: 43, start: S / 2, ..Tie::default() });
    let thread_left = left(key, 42, S);
    let pauses = [(40, 1, 1200), (40, 2, 1700), (41, 4, 1400), (41, 8, 1800), (42, 16, 1600)];
    let pauses = pauses.map(|(pid, dur, at)| pause(pid, dur * MS, at * MS));
    let request = (REQUEST, 2 * S, request(&key, "a", S, S, 2 * S, true));
    let handed = taken(key, S + 500 * MS).into_iter().chain([with_thread, thread_left]);
    let mut records: Vec<_> = handed.chain(pauses).chain([request]).collect();
    for _ in 0..records.len() {
        records.rotate_left(1);
        assert_eq!(legs(&records)[1].state, value(1 + 4 + 8 + 16));
    }
    // Swept between: what ended a part is kept for as long as that, and no longer.
    let mut engine = Engine::new(bound_spec(), &all());
    let mut out = Vec::new();
    for i in 0..200 {
        for (stream, time, payload) in taken(other(i), 2 * S + i * S) {
            engine.record(stream, time, &payload, &mut Handlers, &mut |o| out.push(o));
        }
        let closed = tie(Tie { conn: Some(other(i)), end: 3 * S + i * S, ..Tie::default() });
        engine.record(closed.0, closed.1, &closed.2, &mut Handlers, &mut |o| out.push(o));
        engine.advance(2 * S + i * S, &mut Handlers, &mut |o| out.push(o));
    }
    assert!(engine.bytes() < 100_000, "{}", engine.bytes());
}

#[test]
fn who_may_have_handed_it_over_is_not_known_to_have_it() {
    let key = conn(7, 5000, (11, 22));
    let owned = tie(Tie { conn: Some(key), pid: 40, start: S / 2, ..Tie::default() });
    let request = (REQUEST, 2 * S, request(&key, "a", S, S, 2 * S, true));
    let gc = |unfed: StreamId| {
        let mut engine = Engine::new(bound_spec(), &all());
        let mut out = Vec::new();
        engine.unfed(unfed, "not attached");
        for (stream, time, payload) in [owned.clone(), pause(40, MS, 1500 * MS), request.clone()] {
            engine.record(stream, time, &payload, &mut Handlers, &mut |o| out.push(o));
        }
        engine.flush(&mut Handlers, &mut |o| out.push(o));
        results(out).remove(0).legs[1].state.clone()
    };
    assert_eq!((gc(CLOSED), gc(LEFT)), (value(1), unknown("not attached")));
}

/// Each end of a connection on one machine is closed for itself.
#[test]
fn the_peers_closing_is_not_ones_own() {
    let key = |local| ConnKey { local, ..conn(7, 5000, (11, 22)) };
    let bytes = |key: &ConnKey| {
        let mut out = key.to_bytes().to_vec();
        let at = std::mem::offset_of!(ConnKey, local);
        out[at] = key.local;
        out
    };
    let with = |local: u8, (stream, time, mut payload): (StreamId, u64, Vec<u8>)| {
        let conn = bytes(&key(local));
        payload[..conn.len()].copy_from_slice(&conn);
        (stream, time, payload)
    };
    let request = (REQUEST, 2 * S, request(&key(0), "a", S, S, 2 * S, true));
    let owned = with(1, tie(Tie { conn: Some(key(1)), pid: 40, start: S / 2, ..Tie::default() }));
    let closed = |local| with(local, tie(Tie { conn: Some(key(local)), end: S + 100 * MS, ..Tie::default() }));
    let gc = |local| legs(&[owned.clone(), closed(local), pause(40, MS, 1500 * MS), request.clone()])[1].state.clone();
    assert_eq!((gc(2), gc(1), gc(0)), (value(1), State::None, State::None));
}

/// A connection's numbers are never another's: to have missed that one ended makes nothing unknown. To have missed a binding does.
#[test]
fn a_lost_end_of_a_connection_leaves_the_rest_known() {
    let key = conn(7, 5000, (11, 22));
    let owned = tie(Tie { conn: Some(key), pid: 40, start: S / 2, ..Tie::default() });
    let gc = |lost: StreamId| {
        let mut engine = Engine::new(bound_spec(), &all());
        let mut out = Vec::new();
        let request = (REQUEST, 2 * S, request(&key, "a", S, S, 2 * S, true));
        for (stream, time, payload) in [owned.clone(), pause(40, MS, 1500 * MS), request] {
            engine.record(stream, time, &payload, &mut Handlers, &mut |o| out.push(o));
        }
        engine.lost((S, 2 * S), &[lost], 3, None);
        engine.flush(&mut Handlers, &mut |o| out.push(o));
        results(out).remove(0).legs[1].state.clone()
    };
    assert_eq!((gc(CLOSED), gc(BINDING)), (value(1), unknown("lost 3")));
}

#[test]
fn a_join_whose_legs_need_none_keeps_no_bindings() {
    let mut engine = Engine::new(spec(), &all());
    let before = engine.bytes();
    let (stream, time, payload) = tie(Tie { file: 0xf00, pid: 40, start: S, ..Tie::default() });
    engine.record(stream, time, &payload, &mut Handlers, &mut |_| {});
    assert_eq!(engine.bytes(), before);
}

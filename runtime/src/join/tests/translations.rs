//! Connections that the kernel translates: found on the other side of it, by their numbers, while the translation holds.

use super::*;
use proptest::prelude::*;
use weftrace_artifact::{
    abi::{BYTES_KEY_SIZE, ByteRange, BytesKey},
    nat,
};

const NAT: StreamId = StreamId(3);
const OWNER: StreamId = StreamId(4);
const PAUSE: StreamId = StreamId(5);
const SENT: StreamId = StreamId(6);

/// The router's network namespace, which the table is of; the server's.
const ROUTER: u32 = 7;
const SERVER: u32 = 9;

fn all() -> Vec<StreamSpec> {
    let stream = |name: &str, fields: Vec<(&str, Type)>| {
        let (fields, size) = lay_out(fields.into_iter().map(|(n, t)| (Some(n.to_owned()), t)));
        StreamSpec { name: name.into(), fields, size }
    };
    let mut all = streams();
    all.push(nat::stream());
    all.push(stream("binding.owner", vec![("conn", Type::Conn), ("start", Type::U64), ("pid", Type::U32)]));
    all.push(stream("pause", vec![("pid", Type::U32), ("dur", Type::U64)]));
    all.push(stream("sent", vec![("bytes", Type::ByteRanges), ("start", Type::U64), ("end", Type::U64)]));
    all
}

type Record = (StreamId, u64, Vec<u8>);

/// As the server has it: 10.0.0.9:8080 instead of 10.0.0.1:80, so that the client, 10.0.0.2, is the smaller end. The numbers are given as [`conn`]
/// has them: the server's first.
fn behind(netns: u32, port: u16, (server, client): (u32, u32)) -> ConnKey {
    let mut key = ConnKey { netns, family: 2, proto: 6, a_port: port, b_port: 8080, ..ConnKey::default() };
    key.a_addr[..4].copy_from_slice(&[10, 0, 0, 2]);
    key.b_addr[..4].copy_from_slice(&[10, 0, 0, 9]);
    (key.a_isn, key.b_isn) = (client, server);
    key
}

/// Another server's, whose address is below the client's: the endpoints keep their places.
fn elsewhere(netns: u32, port: u16, isns: (u32, u32)) -> ConnKey {
    let mut key = conn(netns, port, isns);
    key.a_addr[..4].copy_from_slice(&[10, 0, 0, 0]);
    key
}

fn told(translated: &ConnKey, start: u64, end: u64) -> Record {
    let port = if translated.b_port == 8080 { translated.a_port } else { translated.b_port };
    let conn = ConnKey { client: 2, ..conn(ROUTER, port, (0, 0)) };
    let client = if translated.b_port == 8080 { 1 } else { 2 };
    let translated = ConnKey { netns: ROUTER, a_isn: 0, b_isn: 0, client, ..*translated };
    let mut out = conn.to_bytes().to_vec();
    out.extend(translated.to_bytes());
    out.extend(start.to_ne_bytes());
    out.extend(end.to_ne_bytes());
    (NAT, start.max(end), out)
}

fn there(translated: &ConnKey, time: u64) -> Record {
    told(translated, time, 0)
}

fn gone(translated: &ConnKey, time: u64) -> Record {
    told(translated, 0, time)
}

/// A request from `start` to 2 s on the connection as its client addresses it.
fn asks(key: &ConnKey, opened: u64, start: u64, end: u64) -> Record {
    (REQUEST, end, request(key, "a", opened, start, end, false))
}

fn lost(key: &ConnKey, ms: u64, time: u64) -> Record {
    (LOSS, time, span(key, ms * MS))
}

fn by_conn() -> JoinSpec {
    JoinSpec { legs: vec![leg("loss", LOSS, LegAgg::Sum, None)], blame: vec![0], total: Vec::new(), ..spec() }
}

fn outcomes(spec: JoinSpec, records: &[Record], prepare: impl Fn(&mut Engine)) -> Vec<LegOutcome> {
    let mut engine = Engine::new(spec, &all());
    prepare(&mut engine);
    let mut out = Vec::new();
    for (stream, time, payload) in records {
        engine.record(*stream, *time, payload, &mut Handlers, &mut |o| out.push(o));
    }
    engine.flush(&mut Handlers, &mut |o| out.push(o));
    results(out).into_iter().map(|mut result| result.legs.remove(0)).collect()
}

fn one(records: &[Record]) -> (State, Via) {
    let found = outcomes(by_conn(), records, |_| {});
    assert_eq!(found.len(), 1);
    (found[0].state.clone(), found[0].via)
}

fn value(ms: u64) -> State {
    State::Value((ms * MS) as i64)
}

#[test]
fn numbers_that_agree_are_exact() {
    let request = asks(&conn(ROUTER, 5000, (11, 22)), S / 2, S, 2 * S);
    let (swapped, kept) = (behind(SERVER, 5000, (11, 22)), elsewhere(SERVER, 5000, (11, 22)));
    for server in [swapped, kept] {
        let loss = lost(&server, 100, 1500 * MS);
        assert_eq!(one(&[there(&server, S / 2), loss.clone(), request.clone()]), (value(100), Via::Exact));
        // In the client's namespace the request is the same.
        let of_client = asks(&conn(3, 5000, (11, 22)), S / 2, S, 2 * S);
        assert_eq!(one(&[there(&server, S / 2), loss.clone(), of_client]), (value(100), Via::Exact));
        assert_eq!(one(&[loss.clone(), request.clone()]).0, State::None, "nothing is translated");
    }
    // The other way round: the request is seen at the server, the loss before the translation.
    let served = asks(&swapped, S / 2, S, 2 * S);
    let before = lost(&conn(ROUTER, 5000, (11, 22)), 70, 1500 * MS);
    assert_eq!(one(&[there(&swapped, S / 2), before, served]), (value(70), Via::Exact));
    // Another connection's numbers, and this one's in the wrong places.
    for other in [behind(SERVER, 5000, (11, 33)), behind(SERVER, 5000, (22, 11))] {
        let records = [there(&other, S / 2), lost(&other, 100, 1500 * MS), request.clone()];
        assert_eq!(one(&records).0, State::None);
    }
}

#[test]
fn without_numbers_it_is_a_guess() {
    let request = asks(&conn(ROUTER, 5000, (11, 22)), S / 2, S, 2 * S);
    let unknown = |netns| behind(netns, 5000, (0, 0));
    let at = |netns| lost(&unknown(netns), 100, 1500 * MS);
    assert_eq!(one(&[there(&unknown(SERVER), S / 2), at(SERVER), request.clone()]), (value(100), Via::Guess));
    let two = [there(&unknown(SERVER), S / 2), at(SERVER), at(10), request.clone()];
    assert_eq!(one(&two).0, State::Ambiguous(2));
    // Where it is translated, no other connection has these addresses.
    assert_eq!(one(&[there(&unknown(SERVER), S / 2), at(ROUTER), request]), (value(100), Via::Exact));
    // The anchor is of another place.
    let of_client = asks(&conn(3, 5000, (0, 0)), S / 2, S, 2 * S);
    assert_eq!(one(&[there(&unknown(SERVER), S / 2), at(ROUTER), of_client]), (value(100), Via::Guess));
}

#[test]
fn what_is_over_leads_nowhere() {
    let (first, second) = (behind(ROUTER, 5000, (0, 0)), elsewhere(ROUTER, 5000, (0, 0)));
    let losses = [lost(&first, 100, 2500 * MS), lost(&second, 30, 2500 * MS)];
    let request = asks(&conn(ROUTER, 5000, (0, 0)), 0, 2 * S, 3 * S);
    let with = |more: &[Record]| {
        let mut all = [more, &losses[..]].concat();
        all.push(request.clone());
        one(&all).0
    };
    assert_eq!(with(&[there(&first, S)]), value(100));
    assert_eq!(with(&[there(&first, S), gone(&first, 1900 * MS)]), State::None);
    // It went on into the request: what was lost then was before its end, or not.
    assert_eq!(with(&[there(&first, S), gone(&first, 2600 * MS)]), value(100));
    assert_eq!(with(&[there(&first, S), gone(&first, 2300 * MS)]), State::None);
    // The port is another connection's, which another server gets.
    assert_eq!(with(&[there(&first, S), gone(&first, 1800 * MS), there(&second, 1900 * MS)]), value(30));
    // Its end was not told of.
    assert_eq!(with(&[there(&first, S), there(&second, 1900 * MS)]), value(30));
    // The same pair again, told of after what happened first on it.
    assert_eq!(with(&[there(&first, S), gone(&first, 1800 * MS), there(&first, 2700 * MS)]), value(100));
    // Its beginning was not told of, but its end.
    assert_eq!(with(&[gone(&first, 4 * S)]), value(100));
}

#[test]
fn bytes_keep_their_direction() {
    let bytes = |key: &ConnKey, dir: usize| {
        let mut all = BytesKey::default();
        all.ranges[dir][0] = ByteRange { from: 1, to: 100 };
        let mut out = key.to_bytes().to_vec();
        for range in all.ranges.as_flattened() {
            out.extend(range.from.to_ne_bytes());
            out.extend(range.to.to_ne_bytes());
        }
        out.resize(BYTES_KEY_SIZE as usize, 0);
        out
    };
    let at = Some(KeyAt { offset: 0, pid: None, cap: 0 });
    let keys = vec![LegKey { kind: KeyKind::Bytes, leg: at, anchor: at }];
    let spec = JoinSpec {
        anchor: SENT,
        start_offset: BYTES_KEY_SIZE,
        end_offset: BYTES_KEY_SIZE + 8,
        ids: Vec::new(),
        legs: vec![LegSpec { keys, value: None, ..leg("sent", SENT, LegAgg::Count, None) }],
        ..by_conn()
    };
    let timed = |mut payload: Vec<u8>, from: u64, to: u64| {
        payload.extend(from.to_ne_bytes());
        payload.extend(to.to_ne_bytes());
        (SENT, to, payload)
    };
    // What the server sends: of the first endpoint's direction before the translation, of the second's behind it. Both are anchors and records of
    // the leg, each of itself and of the other.
    let (conn, server) = (conn(ROUTER, 5000, (11, 22)), behind(SERVER, 5000, (11, 22)));
    for (dir, counted) in [(1, 2), (0, 1)] {
        let records = [
            there(&server, S / 2),
            timed(bytes(&conn, 0), S, 2 * S),
            timed(bytes(&ConnKey { local: 2, ..server }, dir), S, 2 * S),
        ];
        let found = outcomes(spec.clone(), &records, |_| {});
        let states: Vec<_> = found.iter().map(|leg| (leg.state.clone(), leg.via)).collect();
        assert_eq!(states, vec![(State::Value(counted), Via::Range); 2], "{dir}");
    }
}

/// Packets that are captured before and behind the translation are the same packets, sockets are two ends.
#[test]
fn what_packets_show_twice_counts_once() {
    let (conn, server) = (conn(ROUTER, 5000, (11, 22)), behind(ROUTER, 5000, (11, 22)));
    let request = asks(&conn, S / 2, S, 2 * S);
    let with = |of: &ConnKey, time: u64| {
        let records = [there(&server, S / 2), lost(&conn, 100, 1500 * MS), lost(of, 100, time), request.clone()];
        let mut engine = Engine::new(by_conn(), &all());
        let mut out = Vec::new();
        for (stream, time, payload) in &records {
            engine.record(*stream, *time, payload, &mut Handlers, &mut |o| out.push(o));
        }
        engine.flush(&mut Handlers, &mut |o| out.push(o));
        let orphans = out.iter().filter(|o| matches!(o, Output::Orphan { .. })).count();
        (results(out)[0].legs[0].state.clone(), orphans)
    };
    assert_eq!(with(&server, 1500 * MS + 20_000), (value(100), 0));
    // Only behind the translation was it lost.
    assert_eq!(with(&server, 1800 * MS), (value(200), 0));
    assert_eq!(with(&ConnKey { local: 2, ..server }, 1500 * MS), (value(200), 0));
}

#[test]
fn a_process_is_found_by_what_the_server_has() {
    let server = behind(SERVER, 5000, (11, 22));
    let mut owner = server.to_bytes().to_vec();
    owner.extend(1_u64.to_ne_bytes());
    owner.extend(40_u64.to_ne_bytes());
    let mut pause = 40_u64.to_ne_bytes().to_vec();
    pause.extend((20 * MS).to_ne_bytes());
    let pid = KeyAt { offset: 0, pid: None, cap: 0 };
    let keys = vec![LegKey { kind: KeyKind::Pid, leg: Some(pid), anchor: None }];
    let value_at = Some(IntAt { offset: 8, size: 8, signed: false });
    let gc = LegSpec { keys, value: value_at, ..leg("gc", PAUSE, LegAgg::Sum, None) };
    let spec = JoinSpec { legs: vec![gc], ..by_conn() };
    let records = [
        (OWNER, S / 2, owner),
        (PAUSE, 1500 * MS, pause),
        there(&server, S / 2),
        asks(&conn(ROUTER, 5000, (11, 22)), S / 2, S, 2 * S),
    ];
    let found = outcomes(spec.clone(), &records, |_| {});
    assert_eq!((&found[0].state, found[0].via), (&value(20), Via::Overlap));
    let untold: Vec<Record> = records.iter().filter(|(stream, ..)| *stream != NAT).cloned().collect();
    assert_eq!(outcomes(spec, &untold, |_| {})[0].state, State::Unknown("no binding".into()));
}

/// A port that is taken again and again has other translations each time. Those that aren't looked at may have had something, too.
#[test]
fn translations_beyond_those_that_are_looked_at_leave_it_unknown() {
    let server = |n: u8| {
        let mut key = behind(SERVER, 5000, (11, 22));
        key.b_addr[3] = n;
        key
    };
    let state = |count: u8, lost_at: Option<u8>| {
        let mut records = Vec::new();
        for n in 0..count {
            let opened = S + u64::from(n) * 10 * MS;
            records.extend([there(&server(n), opened), gone(&server(n), opened + 5 * MS)]);
        }
        records.extend(lost_at.map(|n| lost(&server(n), 1, S + u64::from(n) * 10 * MS + 3 * MS)));
        records.push(asks(&conn(ROUTER, 5000, (11, 22)), S, S, 3 * S));
        one(&records).0
    };
    assert_eq!((state(64, None), state(64, Some(63))), (State::None, value(1)));
    let unknown = State::Unknown("bound to too many keys".into());
    assert_eq!((state(65, None), state(200, Some(7))), (unknown.clone(), unknown));
}

/// A connection that was opened while something was lost may be translated, for as long as it lasts.
#[test]
fn what_was_not_told_is_unknown() {
    let of = |opened: u64, start: u64| {
        let request = asks(&conn(ROUTER, 5000, (11, 22)), opened, start, start + S);
        let loses = |engine: &mut Engine| engine.lost((50 * S, 51 * S), &[NAT], 3, None);
        outcomes(by_conn(), &[request], loses)[0].state.clone()
    };
    assert_eq!(of(50 * S, 51 * S), State::Unknown("lost 3".into()));
    assert_eq!(of(50 * S, 500 * S), State::Unknown("lost 3".into()));
    assert_eq!(of(10 * S, 50 * S), State::None);
    assert_eq!(of(70 * S, 80 * S), State::None);
    // It isn't known when it was opened.
    assert_eq!((of(0, 20 * S), of(0, 80 * S)), (State::None, State::Unknown("lost 3".into())));
}

#[test]
fn there_is_room_for_so_many() {
    let mut engine = Engine::new(JoinSpec { max_bytes: 1 << 18, ..by_conn() }, &all());
    let mut out = Vec::new();
    let translation = |port: u16| there(&behind(SERVER, port, (0, 0)), S + u64::from(port) * MS);
    for port in 1000..9000 {
        let (stream, time, payload) = translation(port);
        engine.record(stream, time, &payload, &mut Handlers, &mut |o| out.push(o));
    }
    engine.advance(10 * S, &mut Handlers, &mut |o| out.push(o));
    assert!(engine.bytes() <= 1 << 18, "{}", engine.bytes());
    assert!(engine.summary().evicted_bindings > 1000);
    let requests = [
        // Its translation is gone, or never was: nobody knows.
        (1000, 2 * S, State::Unknown("evicted".into())),
        (999, 0, State::Unknown("evicted".into())),
        (8999, 9 * S, State::None),
        // Opened since: it is known that it isn't translated.
        (999, 40 * S, State::None),
    ];
    for (port, opened, _) in &requests {
        let (stream, time, payload) = asks(&conn(ROUTER, *port, (11, 22)), *opened, 40 * S, 41 * S);
        engine.record(stream, time, &payload, &mut Handlers, &mut |o| out.push(o));
    }
    engine.flush(&mut Handlers, &mut |o| out.push(o));
    let mut states: Vec<State> = results(out).into_iter().map(|r| r.legs[0].state.clone()).collect();
    for (_, _, expected) in requests {
        let at = states.iter().position(|state| *state == expected).expect("one of them");
        states.remove(at);
    }
}

/// Of what is over nothing is kept.
#[test]
fn what_is_over_is_forgotten() {
    let mut engine = Engine::new(by_conn(), &all());
    let mut most = 0;
    for n in 0..200_u64 {
        for port in 0..10_u16 {
            let server = behind(SERVER, 1000 + n as u16 * 10 + port, (0, 0));
            for (stream, time, payload) in [there(&server, (n + 1) * S), gone(&server, (n + 1) * S + S / 2)] {
                engine.record(stream, time, &payload, &mut Handlers, &mut |_| {});
            }
        }
        engine.advance((n + 1) * S, &mut Handlers, &mut |_| {});
        most = most.max(engine.bytes());
    }
    // Of 2000 those of the last 30 s, and as many that were not looked at since.
    assert!((300 * 100..700 * 300).contains(&most), "{most}");
    engine.advance(1000 * S, &mut Handlers, &mut |_| {});
    assert_eq!(engine.summary().evicted_bindings, 0);
    // They can be told of again, and are found.
    let server = behind(SERVER, 1005, (11, 22));
    let mut out = Vec::new();
    let key = conn(ROUTER, 1005, (11, 22));
    for (stream, time, payload) in
        [there(&server, 1001 * S), lost(&server, 100, 1002 * S), asks(&key, 1001 * S, 1001 * S, 1003 * S)]
    {
        engine.record(stream, time, &payload, &mut Handlers, &mut |o| out.push(o));
    }
    engine.flush(&mut Handlers, &mut |o| out.push(o));
    assert_eq!(results(out)[0].legs[0].state, value(100));
}

proptest! {
    /// What is told between two watermarks may come in any order.
    #[test]
    fn order_does_not_matter(shuffled in Just((0..9_usize).collect::<Vec<_>>()).prop_shuffle(), isn in prop_oneof![Just(0_u32), Just(11)]) {
        let (first, second) = (behind(SERVER, 5000, (isn, 22)), elsewhere(SERVER, 5000, (isn, 22)));
        let records = [
            there(&first, S),
            gone(&first, 1800 * MS),
            there(&second, 1900 * MS),
            there(&behind(SERVER, 5000, (isn, 22)), 2300 * MS),
            lost(&first, 100, 1700 * MS),
            lost(&second, 30, 2200 * MS),
            lost(&first, 7, 2600 * MS),
            asks(&conn(ROUTER, 5000, (isn, 22)), S, S, 3 * S),
            asks(&conn(ROUTER, 5000, (isn, 22)), S, 2 * S, 2250 * MS),
        ];
        let in_order = outcomes(by_conn(), &records, |_| {});
        let mixed: Vec<Record> = shuffled.iter().map(|&i| records[i].clone()).collect();
        let mixed = outcomes(by_conn(), &mixed, |_| {});
        let told = |legs: &[LegOutcome]| legs.iter().map(|l| (l.state.clone(), l.via)).collect::<Vec<_>>();
        prop_assert_eq!(told(&in_order), told(&mixed));
    }
}

//! What a join says: made-up records, and their outcome worked out by hand.

use super::*;

mod before;
mod begun;
mod bindings;
mod bytes;
mod early;
mod gaps;
mod ids;
mod late;
mod property;
mod records;
mod spans;
mod translations;
mod uncertain;

use weftrace_artifact::{
    Place,
    abi::{CONN_KEY_SIZE, ConnKey},
    action::{StreamId, StreamSpec},
    join::{IdSource, IntAt, JoinSpec, JoinView, Keep, KeyAt, KeyKind, LegAgg, LegKey, LegSpec, Side},
    ty::{Type, lay_out},
};

const MS: u64 = 1_000_000;
const S: u64 = 1000 * MS;
const REQUEST: StreamId = StreamId(0);
const CONNECT: StreamId = StreamId(1);
const LOSS: StreamId = StreamId(2);

fn streams() -> Vec<StreamSpec> {
    let stream = |name: &str, fields: Vec<(&str, Type)>| {
        let (fields, size) = lay_out(fields.into_iter().map(|(n, t)| (Some(n.to_owned()), t)));
        StreamSpec { name: name.into(), fields, size }
    };
    vec![
        stream(
            "http.request",
            vec![
                ("conn", Type::Conn),
                ("start", Type::U64),
                ("end", Type::U64),
                ("opened", Type::U64),
                ("first", Type::Bool),
                ("id", Type::Str { cap: 16 }),
            ],
        ),
        stream("tcp.connect", vec![("conn", Type::Conn), ("dur", Type::U64)]),
        stream("tcp.loss", vec![("conn", Type::Conn), ("dur", Type::U64)]),
    ]
}

/// Filter, total and keep as plain functions: handler 0 is "opened", 1 is "first on connection", 2 keeps totals over 1 s.
struct Handlers;

impl Evaluate for Handlers {
    fn call(&mut self, handler: u32, view: &JoinView) -> u64 {
        let spec = &streams()[0];
        let at = |name: &str| spec.field(name).expect("declared").offset as usize;
        #[allow(unsafe_code, reason = "reads the view as generated code does")]
        // SAFETY: the engine hands out views whose anchor has the stream's size, or null for orphans.
        let anchor = unsafe { std::slice::from_raw_parts(view.anchor, spec.size as usize) };
        let u64_at = |n: &str| u64::from_ne_bytes(anchor[at(n)..at(n) + 8].try_into().expect("8 bytes"));
        match handler {
            0 => u64_at("opened"),
            1 => u64::from(anchor[at("first")]),
            2 => u64::from(view.total_ns > S),
            _ => unreachable!(),
        }
    }
}

fn conn(netns: u32, port: u16, isns: (u32, u32)) -> ConnKey {
    let mut key = ConnKey { netns, family: 2, proto: 6, a_port: 80, b_port: port, ..ConnKey::default() };
    key.a_addr[..4].copy_from_slice(&[10, 0, 0, 1]);
    key.b_addr[..4].copy_from_slice(&[10, 0, 0, 2]);
    (key.a_isn, key.b_isn) = isns;
    key
}

fn request(key: &ConnKey, id: &str, opened: u64, start: u64, end: u64, first: bool) -> Vec<u8> {
    let mut out = key.to_bytes().to_vec();
    out.extend(start.to_ne_bytes());
    out.extend(end.to_ne_bytes());
    out.extend(opened.to_ne_bytes());
    out.push(u8::from(first));
    out.extend(id.as_bytes());
    out.resize(streams()[0].size as usize, 0);
    out
}

fn span(key: &ConnKey, dur: u64) -> Vec<u8> {
    let mut out = key.to_bytes().to_vec();
    out.extend(dur.to_ne_bytes());
    out
}

fn leg(name: &str, stream: StreamId, agg: LegAgg, since: Option<u64>) -> LegSpec {
    let at = Some(KeyAt { offset: 0, pid: None, cap: 0 });
    LegSpec {
        name: name.into(),
        stream,
        agg,
        value: Some(IntAt { offset: CONN_KEY_SIZE, size: 8, signed: false }),
        interval: None,
        duration: true,
        keys: vec![LegKey { kind: KeyKind::Conn, leg: at, anchor: at }],
        since_ns: since,
        off: false,
        side: Side::Any,
        place: Place::default(),
    }
}

fn spec() -> JoinSpec {
    let s = &streams()[0];
    let offset = |n: &str| s.field(n).expect("declared").offset;
    JoinSpec {
        name: "slow".into(),
        anchor: REQUEST,
        start_offset: offset("start"),
        end_offset: offset("end"),
        filter: None,
        total: vec![(0, Some(1))],
        ids: vec![IdSource::Field { name: "id".into(), offset: offset("id"), cap: 16 }],
        legs: vec![leg("syn", CONNECT, LegAgg::Last, Some(10 * S)), leg("loss", LOSS, LegAgg::Sum, None)],
        blame: vec![0, 1],
        keep: Keep::All,
        max_anchors: 1000,
        max_bytes: 1 << 20,
        timeout_ns: 30 * S,
        place: Place::default(),
    }
}

/// Feeds records and returns everything that comes out by the end.
fn run(spec: JoinSpec, records: &[(StreamId, u64, Vec<u8>)], prepare: impl Fn(&mut Engine)) -> Vec<Output> {
    let mut engine = Engine::new(spec, &streams());
    prepare(&mut engine);
    let mut out = Vec::new();
    for (stream, time, payload) in records {
        engine.record(*stream, *time, payload, &mut Handlers, &mut |o| out.push(o));
    }
    engine.flush(&mut Handlers, &mut |o| out.push(o));
    out
}

fn results(out: Vec<Output>) -> Vec<JoinResult> {
    out.into_iter().filter_map(|o| if let Output::Result(r) = o { Some(*r) } else { None }).collect()
}

fn only(spec: JoinSpec, records: &[(StreamId, u64, Vec<u8>)]) -> JoinResult {
    let mut all = results(run(spec, records, |_| {}));
    assert_eq!(all.len(), 1);
    all.remove(0)
}

#[test]
fn pieces_sum_to_the_total_and_overlaps_are_charged_once() {
    let key = conn(7, 5000, (11, 22));
    // 1000 … 2000 ms connect, 1900 … 2300 loss, request until 3000.
    let r = only(
        spec(),
        &[
            (CONNECT, 2 * S, span(&key, S)),
            (LOSS, 2300 * MS, span(&key, 400 * MS)),
            (REQUEST, 3 * S, request(&key, "a", S, 2 * S, 3 * S, true)),
        ],
    );
    assert_eq!((r.legs[0].charged, r.legs[1].charged, r.app, r.unknown), (S, 300 * MS, 700 * MS, 0));
    assert_eq!(r.legs.iter().map(|l| l.charged).sum::<u64>() + r.app + r.unknown, r.total());
    assert_eq!(r.verdict().layer, "syn");
    assert_eq!(r.legs[1].state, State::Value((400 * MS) as i64));
}

/// Packets at the server begin with the second SYN; the client's kernel knows of the first.
#[test]
fn the_total_begins_where_any_layer_saw_the_connection_open() {
    let (server, client) = (conn(1, 5000, (11, 22)), conn(2, 5000, (11, 22)));
    let r = only(
        spec(),
        &[
            (CONNECT, 1100 * MS, span(&client, 1050 * MS)),
            (REQUEST, 2 * S, request(&server, "a", 1090 * MS, 1100 * MS, 2 * S, true)),
        ],
    );
    assert_eq!((r.begin, r.total(), r.legs[0].charged), (50 * MS, 1950 * MS, 1050 * MS));
    assert_eq!(r.app, 900 * MS);
}

#[test]
fn a_later_request_is_not_charged_for_the_handshake() {
    let key = conn(7, 5000, (11, 22));
    let r = only(spec(), &[(CONNECT, S, span(&key, S)), (REQUEST, 4 * S, request(&key, "b", 0, 3 * S, 4 * S, false))]);
    assert_eq!(r.legs[0].state, State::Value(S as i64));
    assert_eq!((r.legs[0].charged, r.app), (0, S));
    assert!(r.text.contains("syn 1000 (outside)"), "{}", r.text);
}

#[test]
fn a_reused_port_is_another_connection() {
    let (old, new) = (conn(7, 5000, (11, 22)), conn(7, 5000, (33, 44)));
    let records = [
        (CONNECT, S, span(&old, S)),
        (REQUEST, 1200 * MS, request(&old, "old", 0, S, 1200 * MS, true)),
        (CONNECT, 1500 * MS, span(&new, 200 * MS)),
        (REQUEST, 1600 * MS, request(&new, "new", 1300 * MS, 1500 * MS, 1600 * MS, true)),
        (LOSS, 1590 * MS, span(&new, 50 * MS)),
    ];
    let all = results(run(spec(), &records, |_| {}));
    let by_id = |id: &str| all.iter().find(|r| r.id() == id).expect("closed");
    assert_eq!(by_id("old").legs[0].state, State::Value(S as i64));
    assert_eq!(by_id("new").legs[0].state, State::Value((200 * MS) as i64));
    assert_eq!(by_id("old").legs[1].state, State::None);
    assert_eq!(by_id("new").legs[1].state, State::Value((50 * MS) as i64));
}

#[test]
fn namespaces_with_equal_tuples_do_not_mix() {
    // Server namespaces 1 and 3, client namespaces 2 and 4; sequence numbers tie the ends together.
    let (server_a, client_a) = (conn(1, 5000, (11, 22)), conn(2, 5000, (11, 22)));
    let (server_b, client_b) = (conn(3, 5000, (33, 44)), conn(4, 5000, (33, 44)));
    let records = [
        (CONNECT, S, span(&client_a, S)),
        (CONNECT, S, span(&client_b, 5 * MS)),
        (REQUEST, 2 * S, request(&server_a, "a", 0, S, 2 * S, true)),
        (REQUEST, 2 * S, request(&server_b, "b", 995 * MS, S, 2 * S, true)),
    ];
    let all = results(run(spec(), &records, |_| {}));
    let syn = |id: &str| &all.iter().find(|r| r.id() == id).expect("closed").legs[0];
    assert_eq!((&syn("a").state, syn("a").via), (&State::Value(S as i64), Via::Exact));
    assert_eq!((&syn("b").state, syn("b").via), (&State::Value((5 * MS) as i64), Via::Exact));
}

#[test]
fn without_sequence_numbers_two_candidates_are_ambiguous_and_one_is_a_guess() {
    let server = conn(1, 5000, (0, 0));
    let anchor = (REQUEST, 2 * S, request(&server, "a", 0, S, 2 * S, true));
    let one = [(CONNECT, S, span(&conn(2, 5000, (0, 0)), S)), anchor.clone()];
    assert_eq!(only(spec(), &one).legs[0].via, Via::Guess);
    let two = [one[0].clone(), (CONNECT, S, span(&conn(4, 5000, (0, 0)), S)), anchor];
    let r = only(spec(), &two);
    assert_eq!(r.legs[0].state, State::Ambiguous(2));
    assert_eq!((r.app, r.unknown), (0, r.total()), "nothing may be charged to the application");
}

#[test]
fn nothing_seen_is_none_only_if_nothing_was_lost() {
    let key = conn(7, 5000, (11, 22));
    let anchor = [(REQUEST, 2 * S, request(&key, "a", S, S, 2 * S, true))];
    assert_eq!(only(spec(), &anchor).legs[1].state, State::None);

    let lost = results(run(spec(), &anchor, |e| e.lost((S, 2 * S), &[LOSS], 3, None)));
    assert_eq!(lost[0].legs[1].state, State::Unknown("lost 3".into()));
    assert_eq!((lost[0].app, lost[0].unknown), (0, S));

    let elsewhere = results(run(spec(), &anchor, |e| e.lost((5 * S, 6 * S), &[LOSS], 3, None)));
    assert_eq!(elsewhere[0].legs[1].state, State::None);

    let unfed = results(run(spec(), &anchor, |e| e.unfed(LOSS, "not attached")));
    assert_eq!(unfed[0].legs[1].state, State::Unknown("not attached".into()));
}

#[test]
fn output_does_not_depend_on_arrival_order() {
    let mut records = Vec::new();
    for port in 5000..5200u16 {
        let key = conn(7, port, (u32::from(port), 1));
        let t = u64::from(port) * MS;
        records.push((CONNECT, t, span(&key, 3 * MS)));
        records.push((LOSS, t + 5 * MS, span(&key, 2 * MS)));
        records.push((REQUEST, t + 9 * MS, request(&key, &port.to_string(), t - 3 * MS, t, t + 9 * MS, true)));
    }
    let text = |records: &[(StreamId, u64, Vec<u8>)]| {
        let mut texts: Vec<_> = results(run(spec(), records, |_| {})).into_iter().map(|r| r.text).collect();
        texts.sort();
        texts
    };
    let expected = text(&records);
    assert_eq!(expected.len(), 200);
    let mut seed = 1u64;
    for i in (1..records.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        records.swap(i, (seed >> 33) as usize % (i + 1));
    }
    assert_eq!(text(&records), expected);
}

#[test]
fn anchors_close_once_the_watermark_passes_and_later_ones_are_late() {
    let key = conn(7, 5000, (11, 22));
    let mut engine = Engine::new(spec(), &streams());
    let mut out = Vec::new();
    let anchor = request(&key, "a", S, S, 2 * S, true);
    engine.record(REQUEST, 2 * S, &anchor, &mut Handlers, &mut |o| out.push(o));
    engine.advance(2 * S, &mut Handlers, &mut |o| out.push(o));
    assert!(out.is_empty());
    engine.advance(2 * S + MS, &mut Handlers, &mut |o| out.push(o));
    assert!(matches!(out[..], [Output::Result(_)]));
    engine.record(REQUEST, 2 * S, &anchor, &mut Handlers, &mut |o| out.push(o));
    assert!(matches!(out[1..], [Output::Late { .. }]));
    assert_eq!(engine.summary().late, 1);
}

#[test]
fn keep_decides_and_slowest_ranks() {
    let record = |id: &str, total: u64| {
        let key = conn(7, 5000, (11, 22));
        (REQUEST, 10 * S, request(&key, id, 10 * S - total, 10 * S - total, 10 * S, true))
    };
    let records = [record("a", S / 2), record("b", 3 * S), record("c", 2 * S)];
    let kept = |keep: Keep| {
        let all = results(run(JoinSpec { keep, ..spec() }, &records, |_| {}));
        all.iter().map(|r| r.id().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(kept(Keep::If(2)), ["b", "c"]);
    assert_eq!(kept(Keep::Slowest { count: 1, per_ns: 60 * S }), ["b"]);
}

#[test]
fn memory_is_bounded_and_what_was_dropped_is_unknown() {
    let key = conn(7, 5000, (11, 22));
    let mut records: Vec<_> = (0..2000u64).map(|i| (LOSS, S + i * MS, span(&conn(7, 6000, (1, 2)), MS))).collect();
    records.push((REQUEST, 2 * S, request(&key, "a", S, S, 2 * S, true)));
    let small = JoinSpec { max_bytes: 64 * 1024, ..spec() };
    let out = run(small, &records, |_| {});
    let r = results(out).remove(0);
    assert_eq!(r.legs[1].state, State::Unknown("evicted".into()));
}

/// What is said of a leg in the line of a result.
#[test]
fn what_another_layer_covers_is_not_outside() {
    let key = conn(7, 5000, (11, 22));
    // Connecting took all the time in which bytes were lost.
    let records = [
        (CONNECT, 2 * S, span(&key, S)),
        (LOSS, 1900 * MS, span(&key, 300 * MS)),
        (REQUEST, 3 * S, request(&key, "a", S, 2 * S, 3 * S, true)),
    ];
    let r = only(spec(), &records);
    assert!(r.text.contains("syn 1000 | loss 300 (covered)"), "{}", r.text);
}

#[test]
fn all_legs_see_all_of_a_total_that_begins_earlier() {
    let (server, client) = (conn(1, 5000, (11, 22)), conn(2, 5000, (11, 22)));
    // By the packets opened at 1090 ms, by the client at 50 ms; something was lost of the losses in between.
    let records = [
        (CONNECT, 1100 * MS, span(&client, 1050 * MS)),
        (REQUEST, 2 * S, request(&server, "a", 1090 * MS, 1100 * MS, 2 * S, true)),
    ];
    let all = results(run(spec(), &records, |e| e.lost((500 * MS, 501 * MS), &[LOSS], 2, None)));
    assert_eq!((all[0].begin, &all[0].legs[1].state), (50 * MS, &State::Unknown("lost 2".into())));
    let late = [records[0].clone(), (LOSS, 800 * MS, span(&client, 100 * MS)), records[1].clone()];
    assert_eq!(only(spec(), &late).legs[1].state, State::Value((100 * MS) as i64));
}

#[test]
fn of_a_total_of_nothing_the_application_has_no_part_either() {
    let key = conn(7, 5000, (11, 22));
    let anchor = [(REQUEST, S, request(&key, "a", S, S, S, true))];
    let verdict = |prepare: &dyn Fn(&mut Engine)| results(run(spec(), &anchor, prepare)).remove(0).verdict();
    assert_eq!(verdict(&|_| {}).layer, "app");
    let unknown = verdict(&|e| e.unfed(LOSS, "not attached"));
    assert_eq!((unknown.layer.as_str(), unknown.ns, unknown.percent), ("unknown", 0, 0));
}

#[test]
fn candidates_are_connections_not_records() {
    let anchor = (REQUEST, 2 * S, request(&conn(1, 5000, (0, 0)), "a", S, S, 2 * S, true));
    let loss = |netns, isns, at: u64| (LOSS, S + at * MS, span(&conn(netns, 5000, isns), MS));
    let state = |records: &[(StreamId, u64, Vec<u8>)]| {
        let all: Vec<_> = records.iter().cloned().chain([anchor.clone()]).collect();
        only(spec(), &all).legs[1].state.clone()
    };
    let three = [loss(2, (0, 0), 100), loss(2, (0, 0), 200), loss(4, (0, 0), 300)];
    assert_eq!(state(&three), State::Ambiguous(2));
    assert_eq!(state(&three[..2]), State::Value((2 * MS) as i64));
    // The two ends of one.
    assert_eq!(state(&[loss(2, (11, 22), 100), loss(4, (11, 22), 200)]), State::Value((2 * MS) as i64));
}

//! Legs that go by the bytes of the connection.

use super::*;
use weftrace_artifact::abi::{BYTES_KEY_SIZE, ByteRange, BytesKey};

const SPAN: StreamId = StreamId(0);
const RETRANSMIT: StreamId = StreamId(1);

fn two() -> Vec<StreamSpec> {
    let stream = |name: &str, fields: Vec<(&str, Type)>| {
        let (fields, size) = lay_out(fields.into_iter().map(|(n, t)| (Some(n.to_owned()), t)));
        StreamSpec { name: name.into(), fields, size }
    };
    vec![
        stream("http.request", vec![("bytes", Type::ByteRanges), ("start", Type::U64), ("end", Type::U64)]),
        stream("tcp.retransmit", vec![("bytes", Type::ByteRanges), ("conn", Type::Conn)]),
    ]
}

/// Ranges as (direction, from, to).
fn bytes(key: &ConnKey, ranges: &[(usize, u64, u64)]) -> Vec<u8> {
    let mut all = BytesKey::default();
    for (i, &(dir, from, to)) in ranges.iter().enumerate() {
        all.ranges[dir][i] = ByteRange { from, to };
    }
    let mut out = key.to_bytes().to_vec();
    for range in all.ranges.as_flattened() {
        out.extend(range.from.to_ne_bytes());
        out.extend(range.to.to_ne_bytes());
    }
    out.resize(BYTES_KEY_SIZE as usize, 0);
    out
}

fn state(anchor: Vec<u8>, retransmit: Vec<u8>, of: &ConnKey) -> (State, Via) {
    let at = |offset| Some(KeyAt { offset, pid: None, cap: 0 });
    let keys = vec![
        LegKey { kind: KeyKind::Bytes, leg: at(0), anchor: at(0) },
        LegKey { kind: KeyKind::Conn, leg: at(BYTES_KEY_SIZE), anchor: at(0) },
    ];
    let loss = LegSpec { keys, agg: LegAgg::Count, value: None, ..leg("loss", RETRANSMIT, LegAgg::Count, None) };
    let spec = JoinSpec {
        anchor: SPAN,
        start_offset: BYTES_KEY_SIZE,
        end_offset: BYTES_KEY_SIZE + 8,
        total: Vec::new(),
        ids: Vec::new(),
        legs: vec![loss],
        blame: Vec::new(),
        ..spec()
    };
    let mut anchor = anchor;
    anchor.extend(S.to_ne_bytes());
    anchor.extend((2 * S).to_ne_bytes());
    let mut record = retransmit;
    record.extend(of.to_bytes());
    let mut engine = Engine::new(spec, &two());
    let mut out = Vec::new();
    engine.record(RETRANSMIT, 1500 * MS, &record, &mut Handlers, &mut |o| out.push(o));
    engine.record(SPAN, 2 * S, &anchor, &mut Handlers, &mut |o| out.push(o));
    engine.flush(&mut Handlers, &mut |o| out.push(o));
    let result = results(out).remove(0);
    (result.legs[0].state.clone(), result.legs[0].via)
}

#[test]
fn a_neighbours_bytes_are_not_the_anchors() {
    let key = conn(7, 5000, (11, 22));
    let own = || bytes(&key, &[(0, 100, 200), (1, 1000, 9000)]);
    let found = |ranges: &[(usize, u64, u64)]| state(own(), bytes(&key, ranges), &key);
    assert_eq!(found(&[(0, 150, 160)]), (State::Value(1), Via::Range));
    assert_eq!(found(&[(1, 8999, 20_000)]), (State::Value(1), Via::Range));
    assert_eq!(found(&[(0, 200, 300)]).0, State::None, "the bytes after it");
    assert_eq!(found(&[(0, 1000, 1100)]).0, State::None, "the other direction's numbers");
    assert_eq!(found(&[(0, 150 + (1 << 32), 160 + (1 << 32))]).0, State::None, "4 GiB later");
    assert_eq!(found(&[(0, 10, 20), (0, 199, 201)]), (State::Value(1), Via::Range), "one of several");
}

#[test]
fn else_is_for_records_without_bytes() {
    let key = conn(7, 5000, (11, 22));
    let own = || bytes(&key, &[(0, 100, 200)]);
    let (other, none) = (conn(7, 5000, (500, 600)), ConnKey::default());
    assert_eq!(state(own(), bytes(&none, &[]), &key), (State::Value(1), Via::Exact));
    assert_eq!(state(own(), bytes(&none, &[]), &other).0, State::None, "another incarnation");
    // What the anchor doesn't know of itself cannot be decided.
    let undecided = state(bytes(&key, &[]), bytes(&key, &[(0, 1, 2)]), &key).0;
    assert_eq!(undecided, State::Unknown("its bytes are not known".into()));
}

/// A socket's counters may be one off, and packets may not know where the connection began.
#[test]
fn bytes_are_compared_by_what_they_count_from() {
    let (packets, socket, unknown) = (conn(7, 5000, (11, 22)), conn(7, 5000, (12, 22)), conn(7, 5000, (0, 0)));
    let own = |key: &ConnKey| bytes(key, &[(0, 100, 200)]);
    assert_eq!(state(own(&packets), bytes(&socket, &[(0, 98, 99)]), &socket).0, State::None);
    assert_eq!(state(own(&packets), bytes(&socket, &[(0, 99, 100)]), &socket).0, State::Value(1));
    assert_eq!(state(own(&packets), bytes(&socket, &[(0, 199, 250)]), &socket).0, State::None);
    // As sent: 11 + 100 to 11 + 200.
    assert_eq!(state(own(&packets), bytes(&unknown, &[(0, 110, 111)]), &unknown).0, State::None);
    assert_eq!(state(own(&packets), bytes(&unknown, &[(0, 110, 112)]), &unknown).0, State::Value(1));
    assert_eq!(state(own(&packets), bytes(&unknown, &[(0, 211, 300)]), &unknown).0, State::None);
}

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
    marked(key, &ranges.iter().map(|&(dir, from, to)| (dir, from, to, false)).collect::<Vec<_>>())
}

/// The same, and whether bytes of others lie in them.
fn marked(key: &ConnKey, ranges: &[(usize, u64, u64, bool)]) -> Vec<u8> {
    let mut all = BytesKey::default();
    for &(dir, from, to, merged) in ranges {
        assert!(all.put(dir, ByteRange { from, to }, merged));
    }
    let mut out = key.to_bytes().to_vec();
    for range in all.ranges.as_flattened() {
        out.extend(range.from.to_ne_bytes());
        out.extend(range.to.to_ne_bytes());
    }
    out.extend(all.merged.to_ne_bytes());
    out.extend(all.crossed.to_ne_bytes());
    assert_eq!(out.len(), BYTES_KEY_SIZE as usize);
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

/// Two streams of one connection, frame by frame: what was lost of one isn't the other's; a segment with bytes of both is both's.
#[test]
fn a_neighbouring_streams_frames_are_not_the_anchors() {
    let key = conn(7, 5000, (11, 22));
    let frames = |first: u64| -> Vec<_> { (0..7).map(|i| (1, first + 200 * i, first + 200 * i + 100)).collect() };
    let of = |first| bytes(&key, &[vec![(0, first, first + 20)], frames(first)].concat());
    let found = |anchor: Vec<u8>, ranges: &[(usize, u64, u64)]| state(anchor, bytes(&key, ranges), &key);
    for i in 0..7 {
        let lost = [(1, 1000 + 200 * i, 1100 + 200 * i)];
        assert_eq!(found(of(1000), &lost), (State::Value(1), Via::Range), "frame {i}");
        assert_eq!(found(of(1100), &lost).0, State::None, "frame {i} is the other's");
        let both = [(1, 1050 + 200 * i, 1150 + 200 * i)];
        assert_eq!([found(of(1000), &both).0, found(of(1100), &both).0], [State::Value(1), State::Value(1)]);
    }
    assert_eq!(
        found(of(1000), &[(0, 1200, 1300)]).0,
        State::None,
        "what is beyond a half is not the other direction's"
    );
}

/// Where there was no room for all ranges, what matches may be another's: that is said.
#[test]
fn merged_ranges_are_shared() {
    let key = conn(7, 5000, (11, 22));
    let own = || marked(&key, &[(1, 100, 200, false), (1, 300, 900, true)]);
    let found = |ranges: &[(usize, u64, u64, bool)]| state(own(), marked(&key, ranges), &key);
    assert_eq!(found(&[(1, 150, 160, false)]), (State::Value(1), Via::Range));
    assert_eq!(found(&[(1, 150, 160, true)]), (State::Value(1), Via::Overlap), "the record's own are not sure");
    assert_eq!(found(&[(1, 350, 360, false)]), (State::Value(1), Via::Overlap));
    assert_eq!(found(&[(1, 150, 350, false)]), (State::Value(1), Via::Range), "some of it is the anchor's for sure");
    assert_eq!(found(&[(1, 210, 290, false)]).0, State::None);
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

//! Random records, keys, lifetimes and losses against a reckoning that looks at every record and every moment.

mod oracle;

use super::*;
use oracle::{Expected, expected};
use proptest::prelude::*;
use weftrace_artifact::join::key_of;

const PAUSE: StreamId = StreamId(1);
const WAIT: StreamId = StreamId(2);
const BINDING: StreamId = StreamId(3);

/// All times are multiples of it: more than what counts as concurrent.
const TICK: u64 = MS;

fn world() -> Vec<StreamSpec> {
    let stream = |name: &str, fields: Vec<(&str, Type)>| {
        let (fields, size) = lay_out(fields.into_iter().map(|(n, t)| (Some(n.to_owned()), t)));
        StreamSpec { name: name.into(), fields, size }
    };
    let anchor = vec![("conn", Type::Conn), ("start", Type::U64), ("end", Type::U64), ("pid", Type::U32)];
    let timed = |key: &'static str, ty: Type| vec![(key, ty), ("start", Type::U64), ("end", Type::U64)];
    let mut binding = timed("conn", Type::Conn);
    binding.extend([("file", Type::U64), ("goroutine", Type::U64), ("cookie", Type::U64), ("pid", Type::U32)]);
    vec![
        stream("http.request", anchor),
        stream("pause", timed("pid", Type::U32)),
        stream("wait", [timed("conn", Type::Conn), vec![("goroutine", Type::U64), ("pid", Type::U32)]].concat()),
        stream("binding", binding),
    ]
}

fn field(stream: StreamId, name: &str) -> u32 {
    world()[stream.0 as usize].field(name).expect("declared").offset
}

#[derive(Clone, Debug)]
enum What {
    Anchor {
        conn: u8,
        pid: u32,
        said: Said,
    },
    Pause {
        pid: u32,
    },
    Wait {
        conn: u8,
        goroutine: u64,
        pid: u32,
    },
    /// A single key that is not 0: what it was bound to, it is no more.
    Tie {
        conn: u8,
        file: u64,
        goroutine: u64,
        cookie: u64,
        pid: u32,
        ends: bool,
    },
    Lost {
        streams: Vec<StreamId>,
    },
}

/// Which records there are of an anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    End,
    BeginAndEnd,
    Begin,
}

#[derive(Clone, Debug)]
struct Event {
    from: u64,
    to: u64,
    what: What,
}

/// 0: none. Two tuples, each with two incarnations.
fn connection(n: u8) -> ConnKey {
    match n {
        0 => ConnKey::default(),
        n => conn(7, 5000 + u16::from(n & 1), (u32::from(n) * 100, 1)),
    }
}

fn payload(event: &Event) -> (StreamId, Vec<u8>) {
    payload_of(event, !matches!(event.what, What::Anchor { said: Said::Begin, .. }))
}

/// `end`: whether the record says when it ended.
fn payload_of(event: &Event, end: bool) -> (StreamId, Vec<u8>) {
    let write = |stream: StreamId, fields: &[(&str, &[u8])]| {
        let mut out = vec![0; world()[stream.0 as usize].size as usize];
        for (name, bytes) in fields {
            let at = field(stream, name) as usize;
            out[at..at + bytes.len()].copy_from_slice(bytes);
        }
        (stream, out)
    };
    let (start, end) = ((event.from * TICK).to_ne_bytes(), (u64::from(end) * event.to * TICK).to_ne_bytes());
    match &event.what {
        What::Anchor { conn, pid, .. } => {
            let (conn, pid) = (connection(*conn).to_bytes(), pid.to_ne_bytes());
            write(REQUEST, &[("conn", &conn), ("start", &start), ("end", &end), ("pid", &pid)])
        }
        What::Pause { pid } => write(PAUSE, &[("pid", &pid.to_ne_bytes()), ("start", &start), ("end", &end)]),
        What::Wait { conn, goroutine, pid } => {
            let (conn, goroutine, pid) = (connection(*conn).to_bytes(), goroutine.to_ne_bytes(), pid.to_ne_bytes());
            let keys: [(&str, &[u8]); 3] = [("conn", &conn), ("goroutine", &goroutine), ("pid", &pid)];
            write(WAIT, &[&keys[..], &[("start", &start), ("end", &end)]].concat())
        }
        What::Tie { conn, file, goroutine, cookie, pid, ends } => {
            let end = if *ends { end } else { [0; 8] };
            let conn = connection(*conn).to_bytes();
            let keys = [*file, *goroutine, *cookie].map(u64::to_ne_bytes);
            let pid = pid.to_ne_bytes();
            let numbers: [(&str, &[u8]); 4] =
                [("file", &keys[0]), ("goroutine", &keys[1]), ("cookie", &keys[2]), ("pid", &pid)];
            write(BINDING, &[&[("conn", &conn[..]), ("start", &start), ("end", &end)], &numbers[..]].concat())
        }
        What::Lost { .. } => unreachable!("no record"),
    }
}

fn join_spec(limits: Limits) -> JoinSpec {
    let at = |stream: StreamId, name: &str| key_of(&world()[stream.0 as usize], name).map(|(_, at)| at);
    let leg = |name: &str, stream: StreamId, agg, kind: KeyKind, bound: bool, since| LegSpec {
        name: name.into(),
        stream,
        agg,
        value: None,
        interval: Some((field(stream, "start"), field(stream, "end"))),
        duration: true,
        keys: vec![LegKey {
            kind,
            leg: at(stream, kind.name()),
            anchor: if bound { None } else { at(REQUEST, kind.name()) },
        }],
        since_ns: since,
        off: false,
        side: Side::Any,
        place: Place::default(),
    };
    JoinSpec {
        name: "p".into(),
        anchor: REQUEST,
        start_offset: field(REQUEST, "start"),
        end_offset: field(REQUEST, "end"),
        filter: None,
        total: Vec::new(),
        ids: Vec::new(),
        legs: vec![
            leg("pause", PAUSE, LegAgg::Count, KeyKind::Pid, false, None),
            leg("wait", WAIT, LegAgg::Count, KeyKind::Conn, false, None),
            leg("before", WAIT, LegAgg::Last, KeyKind::Conn, false, Some(20 * TICK)),
            leg("bound", WAIT, LegAgg::Count, KeyKind::Goroutine, true, None),
            leg("owned", PAUSE, LegAgg::Count, KeyKind::Pid, true, None),
        ],
        blame: vec![1, 0, 3, 4],
        keep: Keep::All,
        max_anchors: 1000,
        max_bytes: limits.room,
        timeout_ns: limits.timeout * TICK,
        place: Place::default(),
    }
}

const SPAN: u64 = 60;

#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Bytes.
    room: u64,
    /// Ticks.
    timeout: u64,
}

/// Longer than any anchor, and than all that there is, or not.
fn timeout() -> impl Strategy<Value = u64> {
    prop_oneof![14..SPAN, Just(1000)]
}

fn event() -> impl Strategy<Value = Event> {
    let said = prop_oneof![3 => Just(Said::End), 1 => Just(Said::BeginAndEnd), 1 => Just(Said::Begin)];
    let tie = |conn, file, goroutine, cookie, pid, ends| What::Tie { conn, file, goroutine, cookie, pid, ends };
    let what = prop_oneof![
        3 => (1..5u8, 0..3u32, said).prop_map(|(conn, pid, said)| What::Anchor { conn, pid, said }),
        2 => (1..3u32).prop_map(|pid| What::Pause { pid }),
        4 => (0..5u8, 0..4u64, 0..3u32).prop_map(|(conn, goroutine, pid)| What::Wait { conn, goroutine, pid }),
        4 => (0..5u8, 0..3u64, 0..4u64, 0..2u64, 0..3u32, any::<bool>())
            .prop_map(move |(conn, file, goroutine, cookie, pid, ends)| tie(conn, file, goroutine, cookie, pid, ends)),
        // As the library has them: a connection's process, and the end of what a key was bound to.
        2 => (1..5u8, 1..3u32).prop_map(move |(conn, pid)| tie(conn, 0, 0, 0, pid, false)),
        2 => prop_oneof![
            (1..5u8).prop_map(move |conn| tie(conn, 0, 0, 0, 0, true)),
            (1..3u64).prop_map(move |file| tie(0, file, 0, 0, 0, true)),
            (1..3u32).prop_map(move |pid| tie(0, 0, 0, 0, pid, true)),
        ],
        1 => prop::sample::subsequence(vec![PAUSE, WAIT, BINDING], 1..=3).prop_map(|streams| What::Lost { streams }),
    ];
    // Anchors at even times, all else at odd ones: what happens at once is concurrent, which is not what this is about.
    (1..SPAN / 2, 0..6u64, what).prop_map(|(from, len, what)| {
        let from = 2 * from + u64::from(!matches!(what, What::Anchor { .. }));
        Event { from, to: from + 2 * len, what }
    })
}

/// One result, in full.
type Line = (u64, u64, String);

/// Feeds the events: those between two watermarks in the order that `shuffle` says. Also says how many anchors came late.
fn play(events: &[Event], cuts: &[u64], shuffle: u64, limits: Limits) -> (Vec<Line>, Vec<JoinResult>, usize) {
    let mut engine = Engine::new(join_spec(limits), &world());
    let mut out = Vec::new();
    let mut events = events.to_vec();
    // Losses are told before the watermark that passes them, in the control stream's order.
    for event in &events {
        if let What::Lost { streams } = &event.what {
            engine.lost((event.from * TICK, event.to * TICK), streams, 1, None);
        }
    }
    events.retain(|event| !matches!(event.what, What::Lost { .. }));
    let mut seed = shuffle | 1;
    let mut random = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let mut cuts: Vec<u64> = cuts.iter().copied().chain([u64::MAX]).collect();
    cuts.sort_unstable();
    // (time, its record)
    let said = |event: &Event| match event.what {
        What::Anchor { said: Said::Begin, .. } => vec![(event.from, payload(event))],
        What::Anchor { said: Said::BeginAndEnd, .. } => {
            vec![(event.from, payload_of(event, false)), (event.to, payload(event))]
        }
        _ => vec![(event.to, payload(event))],
    };
    let mut records: Vec<(u64, (StreamId, Vec<u8>))> = events.iter().flat_map(said).collect();
    for cut in cuts {
        let (mut batch, rest): (Vec<_>, Vec<_>) = records.into_iter().partition(|(time, _)| *time < cut);
        records = rest;
        batch.sort_by_cached_key(|_| random());
        for (time, (stream, payload)) in &batch {
            engine.record(*stream, time * TICK, payload, &mut Handlers, &mut |o| out.push(o));
        }
        engine.advance(cut.saturating_mul(TICK), &mut Handlers, &mut |o| out.push(o));
    }
    engine.flush(&mut Handlers, &mut |o| out.push(o));
    let late = out.iter().filter(|o| matches!(o, Output::Late { .. })).count();
    let all = results(out);
    let line = |r: &JoinResult| (r.end, r.begin, format!("{} {:?} {:?}", r.text, r.legs, r.anchor));
    (all.iter().map(line).collect(), all, late)
}

fn check(result: &JoinResult, expected: &[Expected]) -> Result<(), TestCaseError> {
    for (leg, (state, _)) in result.legs.iter().zip(expected) {
        prop_assert_eq!(&leg.state, state, "{} of {}", leg.name, result.text);
    }
    // Moment by moment: the first of `blame` that covers it.
    let mut charged = [0; 5];
    for t in result.begin / TICK..result.end / TICK {
        if let Some(leg) = [1, 0, 3, 4].into_iter().find(|leg| expected[*leg].1.contains(&t)) {
            charged[leg] += TICK;
        }
    }
    let known = [0, 1, 3, 4].into_iter().all(|leg| !matches!(expected[leg].0, State::Unknown(_)));
    let rest = result.total() - charged.iter().sum::<u64>();
    prop_assert_eq!(result.legs.iter().map(|l| l.charged).collect::<Vec<_>>(), charged);
    prop_assert_eq!((result.app, result.unknown), if known { (rest, 0) } else { (0, rest) });
    Ok(())
}

/// The anchor that a result is of; one that has not ended lasts until the last watermark.
fn anchor_of(events: &[Event], result: &JoinResult) -> Event {
    let is = |e: &&Event| {
        let said = |end: bool| payload_of(e, end).1[..] == result.anchor[..];
        matches!(e.what, What::Anchor { .. }) && (said(true) || said(false))
    };
    let found = events.iter().find(is).expect("an anchor").clone();
    Event { to: result.end / TICK, ..found }
}

/// What the engine may know of when it closes an anchor: what arrives afterwards is not known to it.
fn there(events: &[Event], cuts: &[u64], result: &JoinResult) -> Vec<Event> {
    let cut = cuts.iter().copied().filter(|cut| *cut > result.end / TICK).min();
    let cut = cut.filter(|_| matches!(result.status, Status::Closed | Status::Open)).unwrap_or(u64::MAX);
    let lost = |e: &Event| matches!(e.what, What::Lost { .. });
    events.iter().filter(|e| lost(e) || e.to < cut).cloned().collect()
}

/// How many results there are: of those that begin alike and don't end, one, unless one of them ends.
fn results_of(events: &[Event]) -> usize {
    let anchors = events.iter().filter_map(|e| match e.what {
        What::Anchor { conn, said, .. } => Some(((e.from, conn), said)),
        _ => None,
    });
    let (begun, ended): (Vec<_>, Vec<_>) = anchors.partition(|(_, said)| *said == Said::Begin);
    let mut names: Vec<_> = begun.iter().map(|(name, _)| *name).collect();
    // Connections of one tuple are one name.
    let tuple = |(from, conn): (u64, u8)| (from, conn & 1);
    for name in &mut names {
        *name = tuple(*name);
    }
    names.retain(|name| ended.iter().all(|(other, _)| tuple(*other) != *name));
    names.sort_unstable();
    names.dedup();
    ended.len() + names.len()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_a_look_at_everything(
        events in prop::collection::vec(event(), 1..40),
        cuts in prop::collection::vec(1..SPAN + 12, 0..4),
        shuffles in any::<(u64, u64)>(),
        timeout in timeout(),
    ) {
        let limits = Limits { room: 1 << 20, timeout };
        let (lines, all, _) = play(&events, &cuts, shuffles.0, limits);
        prop_assert_eq!(all.len(), results_of(&events));
        for result in &all {
            check(result, &expected(&there(&events, &cuts, result), &anchor_of(&events, result)))?;
        }
        // The same in any order.
        let (again, ..) = play(&events, &cuts, shuffles.1, limits);
        prop_assert_eq!(lines, again);
    }

    /// With little room something is unknown, but nothing is said that isn't so.
    #[test]
    fn want_of_room_makes_nothing_wrong(
        events in prop::collection::vec(event(), 30..80),
        cuts in prop::collection::vec(1..SPAN + 12, 0..12),
        shuffle in any::<u64>(),
        room in 200..12_000u64,
        timeout in timeout(),
    ) {
        let (_, all, late) = play(&events, &cuts, shuffle, Limits { room, timeout });
        // Of one that had to be told before its end, the end is late.
        let wanted = results_of(&events);
        prop_assert!(all.len() <= wanted && all.len() + late >= wanted, "{} and {late} of {wanted}", all.len());
        for result in &all {
            let expected = expected(&there(&events, &cuts, result), &anchor_of(&events, result));
            for (leg, (state, _)) in result.legs.iter().zip(&expected) {
                let honest = leg.state == *state || matches!(leg.state, State::Unknown(_));
                prop_assert!(honest, "{}: {:?}, not {:?}", leg.name, leg.state, state);
            }
            let pieces = result.legs.iter().map(|l| l.charged).sum::<u64>() + result.app + result.unknown;
            prop_assert_eq!(pieces, result.total());
        }
    }
}

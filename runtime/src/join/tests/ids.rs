//! Joins by ids: how many anchors carry one is known for as long as there is room, and what isn't known is not said.

use super::*;
use proptest::prelude::*;

const BY_ID: StreamId = LOSS;

fn all() -> Vec<StreamSpec> {
    let mut all = streams();
    let (fields, size) = lay_out([(Some("id".to_owned()), Type::Str { cap: 16 })]);
    all[BY_ID.0 as usize] = StreamSpec { name: "by_id".into(), fields, size };
    all
}

fn by_id(room: u64) -> JoinSpec {
    let at = KeyAt { offset: 0, pid: None, cap: 16 };
    let keys = vec![LegKey { kind: KeyKind::Id, leg: Some(at), anchor: None }];
    let by_id = LegSpec { keys, value: None, duration: false, ..leg("by_id", BY_ID, LegAgg::Count, None) };
    let spec = spec();
    JoinSpec { legs: vec![by_id], blame: vec![0], total: Vec::new(), max_bytes: room, timeout_ns: 300 * S, ..spec }
}

struct Bench {
    engine: Engine,
    out: Vec<Output>,
}

impl Bench {
    fn new(spec: JoinSpec) -> Self {
        let mut engine = Engine::new(spec, &all());
        engine.uncertain(&|_, _| 0);
        Self { engine, out: Vec::new() }
    }

    fn anchor(&mut self, id: &str, start: u64, end: u64) {
        let payload = request(&conn(7, 5000, (11, 22)), id, 0, start, end, false);
        self.engine.record(REQUEST, end, &payload, &mut Handlers, &mut |o| self.out.push(o));
    }

    fn named(&mut self, id: &str, time: u64) {
        self.engine.record(BY_ID, time, format!("{id:\0<16}").as_bytes(), &mut Handlers, &mut |o| self.out.push(o));
    }

    fn advance(&mut self, watermark: u64) {
        self.engine.advance(watermark, &mut Handlers, &mut |o| self.out.push(o));
    }

    /// (id, end, status, what the leg says)
    fn told(&mut self) -> Vec<(String, u64, Status, State)> {
        let told = |r: JoinResult| (r.id().to_owned(), r.end, r.status, r.legs[0].state.clone());
        results(std::mem::take(&mut self.out)).into_iter().map(told).collect()
    }
}

const ROOM: u64 = 128 * 1024;

/// What is kept of anchors that are over leaves room for the legs' records.
#[test]
fn ids_of_closed_anchors_do_not_starve_the_rest() {
    let mut bench = Bench::new(by_id(ROOM));
    for n in 1..20_000 {
        let (id, end) = (format!("id-{n}"), S + n * MS);
        bench.named(&id, end);
        bench.anchor(&id, end, end);
        bench.advance(end);
        assert!(bench.engine.bytes() <= ROOM, "{}", bench.engine.bytes());
    }
    bench.engine.flush(&mut Handlers, &mut |o| bench.out.push(o));
    let told = bench.told();
    assert_eq!(told.len(), 19_999);
    assert!(told.iter().all(|(.., state)| *state == State::Value(1)));
    let summary = bench.engine.summary();
    assert_eq!(summary.evicted_anchors, 0);
    assert!(summary.evicted_ids > 15_000 && summary.evicted_records > 15_000, "{summary:?}");
    let text = summary.text("j");
    assert!(
        text.contains(&format!("ids of closed anchors dropped for want of room: {}", grouped(summary.evicted_ids)))
    );
}

fn grouped(n: u64) -> String {
    format!("{},{:03}", n / 1000, n % 1000)
}

/// An anchor that may have a namesake which was forgotten is not told as the only one.
#[test]
fn a_namesake_that_was_forgotten_leaves_it_unknown() {
    let mut bench = Bench::new(by_id(ROOM));
    // Under way all the time; the other one is over at once.
    bench.anchor("same", S, S + MS);
    for n in 1..3_000 {
        let end = S + (n + 1) * MS;
        bench.anchor(&format!("id-{n}"), end, end);
        bench.advance(end);
    }
    let end = 5 * S;
    bench.named("same", end);
    bench.anchor("same", S, end);
    bench.named("none", end);
    bench.anchor("none", 4990 * MS, end);
    bench.anchor("nothing", S, end);
    bench.advance(end + 1);
    let state = |told: &[(String, u64, Status, State)], id: &str| {
        told.iter().find(|(i, e, ..)| i == id && *e == end).expect("told").3.clone()
    };
    let told = bench.told();
    assert!(bench.engine.summary().evicted_ids > 0);
    assert_eq!(state(&told, "same"), State::Unknown("evicted".into()));
    assert_eq!(state(&told, "none"), State::Value(1), "all that were about then are known");
    // Whoever else has its id: nothing was seen of it.
    let mut room = Bench::new(by_id(1 << 30));
    room.anchor("same", S, S + MS);
    room.named("same", end);
    room.anchor("same", S, end);
    room.advance(end + 1);
    assert_eq!(state(&room.told(), "same"), State::Ambiguous(2));
}

/// Beginnings that came to an end, too, leave room; and what was told is not told again when that was forgotten.
#[test]
fn forgotten_beginnings_are_not_told_twice() {
    let spec = JoinSpec { timeout_ns: 5 * S, ..by_id(ROOM) };
    let mut bench = Bench::new(spec);
    let begin = |bench: &mut Bench, id: &str, start: u64| {
        let payload = request(&conn(7, 5000, (11, 22)), id, 0, start, 0, false);
        bench.engine.record(REQUEST, start, &payload, &mut Handlers, &mut |o| bench.out.push(o));
    };
    for n in 0..100 {
        begin(&mut bench, "long", S + n);
    }
    bench.advance(7 * S);
    let told = bench.told();
    assert_eq!(told.len(), 100);
    assert!(told.iter().all(|(_, _, status, _)| *status == Status::Open));
    for n in 1..4_000 {
        let end = 7 * S + n * MS;
        begin(&mut bench, "short", end - 1);
        bench.anchor("short", end - 1, end);
        bench.named("short", end);
        bench.advance(end + 1);
        assert!(bench.engine.bytes() <= ROOM, "{}", bench.engine.bytes());
    }
    let told = bench.told();
    assert_eq!(told.len(), 3_999);
    assert!(told.iter().all(|(.., state)| *state == State::Value(1)), "{:?}", told.last());
    // The ends of those that were told as open, and beginnings that come again.
    for n in 0..100 {
        bench.anchor("long", S + n, 12 * S);
        begin(&mut bench, "short", 7 * S + n * MS);
    }
    let late = bench.out.iter().filter(|o| matches!(o, Output::Late { .. })).count();
    bench.engine.flush(&mut Handlers, &mut |o| bench.out.push(o));
    assert_eq!((bench.told(), late), (Vec::new(), 200));
}

/// What comes at the watermark itself is not there yet.
#[test]
fn one_that_is_closed_for_want_of_room_where_the_watermark_is_may_lack_something() {
    let mut bench = Bench::new(JoinSpec { max_anchors: 1, ..by_id(ROOM) });
    bench.named("a", S);
    bench.anchor("a", S, 2 * S);
    bench.anchor("b", S, 3 * S);
    bench.advance(2 * S);
    let told = bench.told();
    assert_eq!(told, [("a".into(), 2 * S, Status::Evicted, State::Unknown("evicted".into()))]);
}

/// (id, start or time, length; None: a leg's record)
type Event = (u8, u64, Option<u64>);

/// One result: (id, begin, end), and what its leg says.
type Line = (String, (u64, u64), State);

fn play(events: &[Event], cuts: &[u64], (max_anchors, room): (u32, u64)) -> Vec<Line> {
    let mut bench = Bench::new(JoinSpec { max_anchors, ..by_id(room) });
    let mut events = events.to_vec();
    events.sort_by_key(|(_, start, len)| start + len.unwrap_or(0));
    let mut cuts = cuts.to_vec();
    cuts.sort_unstable();
    let mut cuts = cuts.into_iter().peekable();
    for (id, start, len) in events {
        let end = start + len.unwrap_or(0);
        while let Some(cut) = cuts.next_if(|cut| *cut <= end) {
            bench.advance(cut * MS);
        }
        let id = format!("id-{id}");
        match len {
            Some(_) => bench.anchor(&id, start * MS, end * MS),
            None => bench.named(&id, end * MS),
        }
    }
    bench.engine.flush(&mut Handlers, &mut |o| bench.out.push(o));
    let line = |r: JoinResult| (r.id().to_owned(), (r.begin / MS, r.end / MS), r.legs[0].state.clone());
    results(bench.out).into_iter().map(line).collect()
}

/// What an anchor's leg should say: by a look at everything that was there when it was closed.
fn expected(events: &[Event], cuts: &[u64], id: &str, (begin, end): (u64, u64)) -> State {
    let closed = cuts.iter().copied().filter(|cut| *cut > end).min().unwrap_or(u64::MAX);
    let of = |e: &&Event| format!("id-{}", e.0) == id;
    let anchors = events.iter().filter(of).filter_map(|(_, start, len)| len.map(|len| (*start, start + len)));
    let others = anchors.filter(|(s, e)| *s <= end && *e >= begin && *e < closed).count() - 1;
    let records =
        events.iter().filter(of).filter(|(_, time, len)| len.is_none() && (begin..=end).contains(time)).count();
    match (records, others) {
        (0, _) => State::None,
        (n, 0) => State::Value(n as i64),
        (_, n) => State::Ambiguous(n as u32 + 1),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Where there is room, as a look at everything says; with little room it may be unknown, but never something else.
    #[test]
    fn as_a_look_at_everything_says_or_unknown(
        events in prop::collection::vec((0..5_u8, 10..400_u64, prop::option::of(0..60_u64)), 1..150),
        cuts in prop::collection::vec(1..480_u64, 0..40),
        room in 1_000..20_000_u64,
    ) {
        let anchors = events.iter().filter(|e| e.2.is_some()).count();
        for (limit, ample) in [((1000, 1 << 30), true), ((12, room), false)] {
            let all = play(&events, &cuts, limit);
            prop_assert_eq!(all.len(), anchors);
            for (id, time, state) in all {
                let expected = expected(&events, &cuts, &id, time);
                let honest = state == expected || !ample && state == State::Unknown("evicted".into());
                prop_assert!(honest, "{} {:?}: {:?}, not {:?}", id, time, state, expected);
            }
        }
    }
}

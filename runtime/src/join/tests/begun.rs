//! Anchors whose record says only that they have begun, until another says when they ended.

use super::*;

/// Timeout of the join.
const TIME: u64 = 5 * S;

fn engine() -> Engine {
    Engine::new(JoinSpec { timeout_ns: TIME, total: Vec::new(), ..spec() }, &streams())
}

fn key() -> ConnKey {
    conn(7, 5000, (11, 22))
}

fn begins(id: &str, start: u64) -> (StreamId, u64, Vec<u8>) {
    (REQUEST, start, request(&key(), id, 0, start, 0, false))
}

fn ends(id: &str, start: u64, end: u64) -> (StreamId, u64, Vec<u8>) {
    (REQUEST, end, request(&key(), id, 0, start, end, false))
}

fn lost(at: u64) -> (StreamId, u64, Vec<u8>) {
    (LOSS, at, span(&key(), 10 * MS))
}

/// A record, or a watermark.
type Step = Result<(StreamId, u64, Vec<u8>), u64>;

/// Feeds records and watermarks.
fn play(engine: &mut Engine, steps: &[Step]) -> Vec<Output> {
    let mut out = Vec::new();
    for step in steps {
        match step {
            Ok((stream, time, payload)) => {
                engine.record(*stream, *time, payload, &mut Handlers, &mut |o| out.push(o));
            }
            Err(watermark) => engine.advance(*watermark, &mut Handlers, &mut |o| out.push(o)),
        }
    }
    out
}

fn told(out: &[Output]) -> Vec<(Status, u64, u64)> {
    let of = |o: &Output| if let Output::Result(r) = o { Some((r.status, r.begin, r.end)) } else { None };
    out.iter().filter_map(of).collect()
}

fn counts(engine: &Engine) -> (u64, u64, u64) {
    let summary = engine.summary();
    (summary.seen, summary.closed, summary.late)
}

#[test]
fn the_end_ends_what_has_begun() {
    let mut engine = engine();
    let out = play(&mut engine, &[Ok(begins("a", S)), Err(2 * S), Ok(ends("a", S, 3 * S)), Err(4 * S)]);
    assert_eq!(told(&out), [(Status::Closed, S, 3 * S)]);
    // Nor is it told again when its time would be up.
    let out = play(&mut engine, &[Err(20 * S), Err(u64::MAX)]);
    assert_eq!((told(&out), counts(&engine)), (vec![], (1, 1, 0)));
}

#[test]
fn the_end_may_come_before_the_beginning() {
    let steps = [Ok(ends("a", S, 3 * S)), Ok(begins("a", S)), Err(4 * S), Err(20 * S), Err(u64::MAX)];
    let mut engine = engine();
    assert_eq!(told(&play(&mut engine, &steps)), [(Status::Closed, S, 3 * S)]);
    assert_eq!(counts(&engine), (1, 1, 0));
    // Also when it was told already.
    let mut engine = self::engine();
    let other = ends("b", S / 2, S);
    let steps =
        [Ok(begins("b", S / 2)), Ok(other), Ok(ends("a", S, 2 * S)), Err(3 * S), Ok(begins("a", S)), Err(20 * S)];
    assert_eq!(told(&play(&mut engine, &steps)), [(Status::Closed, S / 2, S), (Status::Closed, S, 2 * S)]);
    assert_eq!(counts(&engine), (2, 2, 0));
}

#[test]
fn what_does_not_end_in_time_is_open_and_its_end_late() {
    let mut engine = engine();
    let steps = [Ok(begins("a", S)), Ok(lost(S + MS)), Err(S + TIME), Err(S + TIME + MS)];
    let out = play(&mut engine, &steps);
    assert_eq!(told(&out), [(Status::Open, S, S + TIME)]);
    let Output::Result(result) = &out[0] else { unreachable!() };
    // All of its time is known: nothing of that was let go before it.
    assert_eq!(result.legs[1].state, State::Value((10 * MS) as i64));
    assert_eq!(result.legs[0].state, State::None);
    let out = play(&mut engine, &[Ok(ends("a", S, S + TIME + 2 * MS))]);
    assert!(matches!(out[..], [Output::Late { .. }]));
    assert_eq!(counts(&engine), (1, 1, 1));
}

#[test]
fn a_beginning_may_be_late_itself() {
    let mut engine = engine();
    let out = play(&mut engine, &[Err(10 * S), Ok(begins("a", S)), Ok(ends("a", S, 11 * S)), Err(20 * S)]);
    assert!(matches!(out[..], [Output::Late { .. }, Output::Late { .. }]));
    assert_eq!(counts(&engine), (1, 0, 2));
}

/// The end of the run: what its legs saw is still there.
#[test]
fn what_is_open_at_the_end_of_the_run_is_flushed_with_its_legs() {
    let mut engine = engine();
    let mut out = play(&mut engine, &[Ok(begins("a", S)), Ok(lost(2 * S)), Err(3 * S), Err(u64::MAX)]);
    engine.flush(&mut Handlers, &mut |o| out.push(o));
    assert_eq!(told(&out), [(Status::Flushed, S, 3 * S)]);
    let Output::Result(result) = &out[0] else { unreachable!() };
    assert_eq!((&result.legs[1].state, result.app), (&State::Value((10 * MS) as i64), 2 * S - 10 * MS));
    assert_eq!((out.len(), engine.summary().orphans), (1, 0), "used, so no orphan");
}

#[test]
fn of_two_that_begin_alike_one_is_told_whichever_came_first() {
    let play = |first: &str, second: &str| {
        let mut engine = engine();
        let mut out = play(&mut engine, &[Ok(begins(first, S)), Ok(begins(second, S)), Err(2 * S)]);
        engine.flush(&mut Handlers, &mut |o| out.push(o));
        results(out).iter().map(|r| r.id().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((play("a", "b"), play("b", "a")), (vec!["a".to_owned()], vec!["a".to_owned()]));
}

/// Memory is that of what is there.
#[test]
fn what_has_ended_takes_its_room_once() {
    let bytes = |steps: &[Result<_, u64>]| {
        let mut engine = engine();
        play(&mut engine, steps);
        engine.bytes()
    };
    let (both, end) = (bytes(&[Ok(begins("a", S)), Ok(ends("a", S, 3 * S))]), bytes(&[Ok(ends("a", S, 3 * S))]));
    assert!(both - end < u64::from(streams()[0].size) + 400, "{both}, {end} without the beginning");
}

/// Ids are known from the beginning.
#[test]
fn what_is_open_has_its_ids() {
    let mut all = streams();
    let fields = [("id", Type::Str { cap: 16 })];
    let (fields, size) = lay_out(fields.into_iter().map(|(n, t)| (Some(n.to_owned()), t)));
    all[LOSS.0 as usize] = StreamSpec { name: "by_id".into(), fields, size };
    let at = KeyAt { offset: 0, pid: None, cap: 16 };
    let keys = vec![LegKey { kind: KeyKind::Id, leg: Some(at), anchor: None }];
    let by_id = LegSpec { keys, value: None, duration: false, ..leg("by_id", LOSS, LegAgg::Count, None) };
    let spec = JoinSpec { legs: vec![by_id], blame: Vec::new(), total: Vec::new(), ..spec() };
    let mut engine = Engine::new(spec, &all);
    let named = |id: &str| (LOSS, 2 * S, format!("{id:\0<16}").into_bytes());
    let mut out = play(&mut engine, &[Ok(begins("a", S)), Ok(named("a")), Ok(named("b")), Err(3 * S)]);
    engine.flush(&mut Handlers, &mut |o| out.push(o));
    let result = results(out).remove(0);
    assert_eq!((&result.legs[0].state, result.legs[0].via), (&State::Value(1), Via::Exact));
}

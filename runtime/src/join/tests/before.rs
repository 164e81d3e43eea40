//! What was before the probes ran, and beginnings that are none.

use super::*;

/// The first result's legs `syn` (by connection, since 10 s) and `loss`, where the probes run since some time; what is app, what is unknown.
fn since(
    from: u64,
    opened: u64,
    (start, end): (u64, u64),
    records: &[(StreamId, u64, Vec<u8>)],
) -> (State, State, u64, u64) {
    let key = conn(7, 5000, (11, 22));
    let mut all = records.to_vec();
    all.push((REQUEST, end, request(&key, "a", opened, start, end, false)));
    let seen = |e: &mut Engine| [CONNECT, LOSS].into_iter().for_each(|stream| e.seen_from(stream, from));
    let result = results(run(spec(), &all, seen)).remove(0);
    assert_eq!(result.verdict().layer, if result.app > 0 { "app" } else { "unknown" });
    (result.legs[0].state.clone(), result.legs[1].state.clone(), result.app, result.unknown)
}

fn unknown(why: &str) -> State {
    State::Unknown(why.into())
}

fn before() -> State {
    unknown("before the run")
}

#[test]
fn what_began_before_the_probes_ran_is_unknown() {
    // The request itself did.
    assert_eq!(since(20 * S, 0, (19 * S, 21 * S), &[]), (before(), before(), 0, 2 * S));
    // So did what is asked of before it; of the request all was seen.
    assert_eq!(since(20 * S, 0, (22 * S, 23 * S), &[]), (before(), State::None, S, 0));
    assert_eq!(since(20 * S, 0, (31 * S, 32 * S), &[]), (State::None, State::None, S, 0));
    // What was found then may not be all.
    let loss = (LOSS, 21 * S, span(&conn(7, 5000, (11, 22)), S / 2));
    assert_eq!(since(20 * S, 0, (19 * S, 21 * S), &[loss]).1, before());
}

/// What was found within the total is charged, though what the leg says as a whole isn't known.
#[test]
fn what_was_found_in_a_total_that_was_seen_is_charged() {
    let key = conn(7, 5000, (11, 22));
    let records =
        [(LOSS, 22_500 * MS, span(&key, 400 * MS)), (REQUEST, 23 * S, request(&key, "a", 0, 22 * S, 23 * S, false))];
    let mut spec = spec();
    spec.legs[1].since_ns = Some(10 * S);
    let result = results(run(spec, &records, |e| e.seen_from(LOSS, 20 * S))).remove(0);
    assert_eq!((result.legs[1].state.clone(), result.legs[1].charged), (before(), 400 * MS));
    assert_eq!((result.app, result.unknown, result.verdict().layer.as_str()), (600 * MS, 0, "app"));
}

#[test]
fn a_connection_has_nothing_that_is_older_than_it() {
    assert_eq!(since(20 * S, 21 * S, (22 * S, 23 * S), &[]), (State::None, State::None, S, 0));
    assert_eq!(since(20 * S, 19 * S, (22 * S, 23 * S), &[]).0, before());
}

#[test]
fn streams_that_nobody_had_to_watch_are_complete() {
    let key = conn(7, 5000, (11, 22));
    let early = [(REQUEST, 2 * S, request(&key, "a", S, S, 2 * S, false))];
    let legs = results(run(spec(), &early, |e| e.seen_from(LOSS, 5 * S))).remove(0).legs;
    assert_eq!((legs[0].state.clone(), legs[1].state.clone()), (State::None, before()));
}

#[test]
fn a_beginning_that_is_not_known_is_none() {
    let key = conn(7, 5000, (11, 22));
    let of = |opened, first| {
        let r = only(spec(), &[(REQUEST, 9 * S, request(&key, "a", opened, 8 * S, 9 * S, first))]);
        (r.begin, r.total())
    };
    assert_eq!(of(7 * S, true), (7 * S, 2 * S));
    assert_eq!(of(0, true), (8 * S, S));
    // Of another clock, say.
    assert_eq!(of(10 * S, true), (8 * S, S));
}

#[test]
fn all_losses_are_counted_whatever_the_reason_of_one() {
    let key = conn(7, 5000, (11, 22));
    let records = [(REQUEST, 2 * S, request(&key, "a", S, S, 2 * S, false))];
    let prepare = |e: &mut Engine| {
        e.lost((S, 2 * S), &[LOSS], 3, None);
        e.lost((S, 2 * S), &[LOSS], 1, Some("io_uring"));
    };
    let leg = results(run(spec(), &records, prepare)).remove(0).legs.remove(1);
    assert_eq!((leg.state, leg.lost), (unknown("io_uring"), 3));
}

/// What isn't there from a time on may be missing: only where nothing was found, and the window reaches that far.
#[test]
fn what_may_still_come_is_unknown_where_nothing_was_found() {
    let key = conn(7, 5000, (11, 22));
    let told = |loss: Option<u64>, doubts: &[(u64, &str)]| {
        let mut records = vec![(REQUEST, 9 * S, request(&key, "a", 7 * S, 8 * S, 9 * S, false))];
        records.extend(loss.map(|end| (LOSS, end, span(&key, 100 * MS))));
        let doubt = |e: &mut Engine| doubts.iter().for_each(|(from, why)| e.doubted(LOSS, *from, why));
        let result = results(run(spec(), &records, doubt)).remove(0);
        (result.legs[1].state.clone(), result.verdict().layer)
    };
    assert_eq!(told(None, &[(8_500 * MS, "not yet")]), (unknown("not yet"), "unknown".into()));
    assert_eq!(told(None, &[(10 * S, "not yet")]), (State::None, "app".into()));
    assert_eq!(told(Some(8_700 * MS), &[(0, "not attached")]), (State::Value(100_000_000), "app".into()));
    // The earliest counts.
    assert_eq!(told(None, &[(0, "not attached"), (8_500 * MS, "not yet")]).0, unknown("not attached"));
    assert_eq!(told(None, &[(8_500 * MS, "not yet"), (0, "not attached")]).0, unknown("not attached"));
}

/// The slowest take no more than half of the room.
#[test]
fn the_slowest_are_bounded() {
    let small = JoinSpec { keep: Keep::Slowest { count: 1_000_000, per_ns: 3600 * S }, max_bytes: 1 << 20, ..spec() };
    let mut engine = Engine::new(small, &streams());
    let mut out = Vec::new();
    for i in 0..20_000u64 {
        let key = conn(7, 1000 + (i % 50_000) as u16, (i as u32 + 1, 7));
        let start = 10 * S + i * MS;
        let payload = request(&key, "a", 0, start, start + MS + i, false);
        engine.record(REQUEST, start + 2 * MS, &payload, &mut Handlers, &mut |o| out.push(o));
        engine.advance(start, &mut Handlers, &mut |o| out.push(o));
        assert!(engine.bytes() <= 1 << 20);
    }
    engine.flush(&mut Handlers, &mut |o| out.push(o));
    let (evicted, kept) = (engine.summary().evicted_slowest, results(out));
    assert_eq!(evicted + kept.len() as u64, 20_000);
    assert!(kept.len() > 500, "{} kept", kept.len());
    // The slowest of all, and nothing was closed before its time.
    assert!(kept.iter().all(|r| r.total() >= MS + evicted && r.status != Status::Evicted));
}

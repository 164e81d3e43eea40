//! Sources whose times are not equally sure.

use super::*;

/// By how much what the kernel says, and what packets say, may be apart from the anchors.
const SURE: u64 = 5_000;
const UNSURE: u64 = 3 * MS;

fn apart(one: StreamId, other: StreamId) -> u64 {
    assert_eq!(one, REQUEST);
    if other == LOSS { UNSURE } else { SURE }
}

/// Losses and connects at `beyond` after a request's end: which are counted.
fn counted(beyond: u64) -> (State, State) {
    let key = conn(7, 5000, (11, 22));
    let legs = vec![leg("syn", CONNECT, LegAgg::Count, None), leg("loss", LOSS, LegAgg::Count, None)];
    let legs = legs.into_iter().map(|leg| LegSpec { value: None, duration: false, ..leg }).collect();
    let spec = JoinSpec { legs, blame: vec![], total: vec![], ..spec() };
    let records = [
        (REQUEST, 2 * S, request(&key, "a", 0, S, 2 * S, false)),
        (CONNECT, 2 * S + beyond, span(&key, 1)),
        (LOSS, 2 * S + beyond, span(&key, 1)),
    ];
    let all = results(run(spec, &records, |engine| engine.uncertain(&apart)));
    (all[0].legs[0].state.clone(), all[0].legs[1].state.clone())
}

#[test]
fn each_leg_reaches_as_far_as_its_own_source() {
    let one = || State::Value(1);
    assert_eq!(counted(0), (one(), one()));
    assert_eq!(counted(SURE), (one(), one()));
    assert_eq!(counted(SURE + 1), (State::None, one()));
    assert_eq!(counted(UNSURE), (State::None, one()));
    assert_eq!(counted(UNSURE + 1), (State::None, State::None));
}

/// What may still be at once with an anchor is waited for, and no longer.
#[test]
fn an_anchor_waits_for_its_least_sure_leg() {
    let key = conn(7, 5000, (11, 22));
    let mut engine = Engine::new(spec(), &streams());
    let mut out = Vec::new();
    engine.uncertain(&apart);
    let anchor = request(&key, "a", 0, S, 2 * S, false);
    engine.record(REQUEST, 2 * S, &anchor, &mut Handlers, &mut |o| out.push(o));
    engine.advance(2 * S + UNSURE, &mut Handlers, &mut |o| out.push(o));
    assert!(out.is_empty());
    engine.advance(2 * S + UNSURE + 1, &mut Handlers, &mut |o| out.push(o));
    assert_eq!(results(out).len(), 1);
    // All by one clock: what is not before the watermark may still come, all else was there.
    let mut out = Vec::new();
    engine.uncertain(&|_, _| 0);
    let anchor = request(&key, "b", 0, 3 * S, 4 * S, false);
    engine.record(REQUEST, 4 * S, &anchor, &mut Handlers, &mut |o| out.push(o));
    engine.advance(4 * S, &mut Handlers, &mut |o| out.push(o));
    assert!(out.is_empty());
    engine.advance(4 * S + 1, &mut Handlers, &mut |o| out.push(o));
    assert_eq!(results(out).len(), 1);
}

/// How the connection was opened is what ended before the request began, as surely as the leg's own source says.
#[test]
fn what_opened_the_connection_is_as_sure_as_its_source() {
    let begin = |over: u64| {
        let key = conn(7, 5000, (11, 22));
        let records =
            [(CONNECT, S + over, span(&key, 500 * MS)), (REQUEST, 2 * S, request(&key, "a", 900 * MS, S, 2 * S, true))];
        results(run(spec(), &records, |engine| engine.uncertain(&apart)))[0].begin
    };
    assert_eq!(begin(SURE), 500 * MS + SURE);
    assert_eq!(begin(SURE + 1), 900 * MS);
}

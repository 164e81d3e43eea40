//! What was lost of bindings, long after that.

use super::*;

/// States of the legs `poll` and `gc` of one request from 100 to 101 s, of a connection that was opened at 3 s, or when it is said; the run began at 2 s.
/// `meanwhile`: what happens to the engine at 4 s.
fn long_after(opened: u64, records: &[(StreamId, u64, Vec<u8>)], meanwhile: impl Fn(&mut Engine)) -> (State, State) {
    long_after_of(&all(), opened, records, meanwhile)
}

fn long_after_of(
    streams: &[StreamSpec],
    opened: u64,
    records: &[(StreamId, u64, Vec<u8>)],
    meanwhile: impl Fn(&mut Engine),
) -> (State, State) {
    let key = conn(7, 5000, (11, 22));
    let mut engine = Engine::new(bound_spec(), streams);
    let mut out = Vec::new();
    engine.advance(2 * S, &mut Handlers, &mut |o| out.push(o));
    for (stream, time, payload) in records {
        engine.record(*stream, *time, payload, &mut Handlers, &mut |o| out.push(o));
    }
    meanwhile(&mut engine);
    for at in 1..20 {
        engine.advance(5 * at * S, &mut Handlers, &mut |o| out.push(o));
    }
    let (stream, time, paused) = pause(40, MS, 100 * S + MS);
    engine.record(stream, time, &paused, &mut Handlers, &mut |o| out.push(o));
    let payload = request(&key, "a", opened, 100 * S, 101 * S, false);
    engine.record(REQUEST, 101 * S, &payload, &mut Handlers, &mut |o| out.push(o));
    engine.advance(102 * S, &mut Handlers, &mut |o| out.push(o));
    let legs = results(out).remove(0).legs;
    (legs[0].state.clone(), legs[1].state.clone())
}

fn owned() -> (StreamId, u64, Vec<u8>) {
    tie(Tie { conn: Some(conn(7, 5000, (11, 22))), pid: 40, start: 3 * S, ..Tie::default() })
}

/// Who has a connection is told once: if that was lost nothing says it again, however long the connection lasts.
#[test]
fn a_lost_binding_is_missing_for_as_long_as_the_connection_lasts() {
    let lost = |stream: StreamId| move |e: &mut Engine| e.lost((4 * S, 4 * S), &[stream], 1, None);
    let both = |state: State| (state.clone(), state);
    assert_eq!(long_after(3 * S, &[], |_| {}), both(State::None), "nothing was lost");
    assert_eq!(long_after(3 * S, &[], lost(OWNER)), both(unknown("lost 1")));
    assert_eq!(long_after(0, &[owned()], lost(OWNER)), both(unknown("lost 1")), "it may be as old as that");
    assert_eq!(long_after(5 * S, &[], lost(OWNER)), both(State::None), "it is younger");
    assert_eq!(long_after(3 * S, &[], lost(LOSS)), both(State::None), "it leads nowhere");
    // It may be another's by now.
    assert_eq!(long_after(3 * S, &[owned()], |_| {}).1, value(1));
    assert_eq!(long_after(3 * S, &[owned()], lost(LEFT)).1, unknown("lost 1"));
    assert_eq!(long_after(3 * S, &[owned()], lost(CLOSED)).1, value(1));
    // A loss that touches several streams is one.
    let several = |e: &mut Engine| e.lost((4 * S, 4 * S), &[LEFT, OWNER, GC], 1, None);
    assert_eq!(long_after(3 * S, &[owned()], several).1, unknown("lost 1"));
}

/// What a source that stood still has not told yet it tells later.
#[test]
fn a_source_that_stood_still_has_told_all_since() {
    let stalled = |from, to| move |e: &mut Engine| e.stalled((from, to), &[OWNER]);
    assert_eq!(long_after(3 * S, &[owned()], stalled(4 * S, 20 * S)).1, value(1));
    assert_eq!(long_after(3 * S, &[owned()], stalled(4 * S, 100 * S)).1, unknown("stalled"));
    // What was lost meanwhile is.
    let both = |e: &mut Engine| {
        e.stalled((4 * S, 20 * S), &[OWNER]);
        e.lost((4 * S, 20 * S), &[OWNER], 2, None);
    };
    assert_eq!(long_after(3 * S, &[owned()], both).1, unknown("lost 2"));
}

/// Records that say when they ended end by themselves: one that was lost is missing for its own time. If some don't, nobody knows which was lost.
#[test]
fn what_is_told_when_it_is_over_is_missing_for_its_own_time() {
    let other = |end| tie(Tie { conn: Some(conn(7, 6000, (1, 2))), pid: 41, start: 3 * S, end, ..Tie::default() });
    let owner = {
        let mut payload = conn(7, 5000, (11, 22)).to_bytes().to_vec();
        payload.extend([3 * S, 0].map(u64::to_ne_bytes).concat());
        payload.extend([40u32, 0].map(u32::to_ne_bytes).concat());
        payload.resize(all()[OWNER.0 as usize].size as usize, 0);
        (OWNER, 3 * S, payload)
    };
    let gc = |streams: &[StreamSpec], end, at: u64| {
        let lost = |e: &mut Engine| e.lost((at, at), &[BINDING], 1, None);
        long_after_of(streams, 3 * S, &[owner.clone(), other(end)], lost).1
    };
    assert_eq!(gc(&all(), 3 * S + MS, 4 * S), value(1));
    assert_eq!(gc(&all(), 3 * S + MS, 100 * S), unknown("lost 1"));
    assert_eq!(gc(&all(), 0, 4 * S), unknown("lost 1"));
    // One that ends what another stream has told, as a thread goes on to another goroutine, counts after it is over.
    let mut more = all();
    let keys = [("goroutine", Type::U64), ("start", Type::U64), ("pid", Type::U32), ("tid", Type::U32)];
    let (fields, size) = lay_out(keys.into_iter().map(|(n, t)| (Some(n.to_owned()), t)));
    more.push(StreamSpec { name: "binding.runs".into(), fields, size });
    assert_eq!(gc(&more, 3 * S + MS, 4 * S), unknown("lost 1"));
}

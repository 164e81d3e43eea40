use super::*;
use weftrace_artifact::alert::AlertSpec;

const S: u64 = 1_000_000_000;

fn spec(for_s: u64, every_s: Option<u64>, on_events: bool) -> AlertSpec {
    AlertSpec {
        name: "a".into(),
        group: vec!["peer".into()],
        for_ns: for_s * S,
        every_ns: every_s.map(|s| s * S),
        on_events,
        ..AlertSpec::default()
    }
}

fn told(peer: &str, second: u64, holds: bool) -> Told {
    Told {
        alert: 0,
        time: second * S,
        key: peer.into(),
        values: vec![peer.into()],
        message: format!("{peer} at {second}"),
        holds,
    }
}

/// Looks once a second: `holds` says which peers meet the condition then. What was told, as (second, state, peer, seconds it held).
fn by_time(spec: AlertSpec, seconds: u64, holds: impl Fn(u64) -> Vec<&'static str>) -> Vec<(u64, State, String, u64)> {
    let mut engine = Engine::new(&[spec]);
    let mut all = Vec::new();
    let mut note =
        |found: Found| all.push((found.time / S, found.state, found.values[0].clone(), (found.time - found.since) / S));
    for second in 0..seconds {
        for peer in holds(second) {
            engine.told(told(peer, second, true)).into_iter().for_each(&mut note);
        }
        engine.looked(0, second * S).into_iter().for_each(&mut note);
    }
    all
}

#[test]
fn fires_once_and_resolves() {
    let seen = by_time(spec(0, None, false), 300, |s| if (10..200).contains(&s) { vec!["x"] } else { vec![] });
    assert_eq!(seen, [(10, State::Firing, "x".into(), 0), (200, State::Resolved, "x".into(), 190)]);
}

#[test]
fn holds_for_a_time() {
    // A break begins the time anew.
    let seen = by_time(spec(30, None, false), 200, |s| {
        if (10..39).contains(&s) || (50..100).contains(&s) { vec!["x"] } else { vec![] }
    });
    assert_eq!(seen, [(80, State::Firing, "x".into(), 30), (100, State::Resolved, "x".into(), 50)]);
}

#[test]
fn told_again_every_so_often() {
    let seen = by_time(spec(0, Some(60), false), 200, |s| if s < 150 { vec!["x"] } else { vec![] });
    let states: Vec<_> = seen.iter().map(|(at, state, ..)| (*at, *state)).collect();
    assert_eq!(states, [(0, State::Firing), (60, State::Still), (120, State::Still), (150, State::Resolved)]);
}

/// One that flickers is told once a minute, and how often it fired meanwhile.
#[test]
fn flickering_is_damped() {
    let mut engine = Engine::new(&[spec(0, None, false)]);
    let mut all = Vec::new();
    for second in 0..130 {
        if second % 4 < 2 {
            all.extend(engine.told(told("x", second, true)));
        }
        all.extend(engine.looked(0, second * S));
    }
    let seen: Vec<_> = all.iter().map(|f| (f.time / S, f.state, f.untold)).collect();
    // Fires at 0, 4, 8 …: those until 60 are told with it.
    assert_eq!(
        seen,
        [
            (0, State::Firing, 0),
            (2, State::Resolved, 0),
            (60, State::Firing, 14),
            (62, State::Resolved, 0),
            (120, State::Firing, 14),
            (122, State::Resolved, 0)
        ]
    );
    assert_eq!(engine.counts().next(), Some(Counts { fired: 33, firing: 1, left_out: 0 }));
}

#[test]
fn groups_are_apart() {
    let seen = by_time(spec(2, None, false), 20, |s| match s {
        0..=4 => vec!["x", "y"],
        5..=9 => vec!["y"],
        _ => vec![],
    });
    let who: Vec<_> = seen.iter().map(|(at, state, peer, _)| (*at, *state, peer.as_str())).collect();
    assert_eq!(
        who,
        [(2, State::Firing, "x"), (2, State::Firing, "y"), (5, State::Resolved, "x"), (10, State::Resolved, "y")]
    );
}

/// Events say nothing once they are over: without one for `every`, it is over. It is told again by an event, not by time that passes.
#[test]
fn events_resolve_by_silence() {
    let mut engine = Engine::new(&[spec(0, Some(60), true)]);
    let mut all = Vec::new();
    for second in 0..200 {
        if [5, 30, 70].contains(&second) {
            all.extend(engine.told(told("x", second, true)));
        }
        all.extend(engine.looked(0, second * S));
    }
    let seen: Vec<_> = all.iter().map(|f| (f.time / S, f.state)).collect();
    assert_eq!(seen, [(5, State::Firing), (70, State::Still), (130, State::Resolved)]);
}

/// `for` at events: all of them in that time.
#[test]
fn events_hold_for_a_time() {
    let mut engine = Engine::new(&[spec(10, None, true)]);
    let mut all = Vec::new();
    for (second, holds) in [(0, true), (5, false), (6, true), (12, true), (17, true), (18, false)] {
        all.extend(engine.told(told("x", second, holds)));
    }
    let seen: Vec<_> = all.iter().map(|f| (f.time / S, f.state)).collect();
    assert_eq!(seen, [(17, State::Firing), (18, State::Resolved)]);
}

/// Events that are rarer than a minute hold too, whatever `for` says; once it fires, silence resolves it: of a minute, or as long as `for` is.
#[test]
fn rare_events_hold_for_a_time() {
    for (for_s, fires, resolves) in [(10, 90, 90 + 60), (200, 270, 270 + 200)] {
        let mut engine = Engine::new(&[spec(for_s, None, true)]);
        let mut all = Vec::new();
        for second in 0..500 {
            if second % 90 == 0 && second <= fires {
                all.extend(engine.told(told("x", second, true)));
            }
            all.extend(engine.looked(0, second * S));
        }
        let seen: Vec<_> = all.iter().map(|f| (f.time / S, f.state)).collect();
        assert_eq!(seen, [(fires, State::Firing), (resolves, State::Resolved)]);
    }
}

/// Those that wait make room for others once they were silent for long, and are counted.
#[test]
fn groups_that_wait_are_bounded() {
    let mut engine = Engine::new(&[spec(10, None, true)]);
    for n in 0..MOST_GROUPS as u64 {
        engine.told(Told { key: n.to_ne_bytes().into(), ..told("x", 0, true) });
    }
    engine.looked(0, 59 * S);
    engine.told(told("y", 59, true));
    assert_eq!(engine.counts().next().map(|c| c.left_out), Some(1));
    engine.looked(0, 60 * S);
    assert_eq!(engine.counts().next().map(|c| c.left_out), Some(1 + MOST_GROUPS as u64));
    assert_eq!(engine.told(told("y", 61, true)), None);
    assert!(engine.told(told("y", 71, true)).is_some());
}

#[test]
fn groups_are_bounded_and_counted() {
    let mut engine = Engine::new(&[spec(0, None, false)]);
    for n in 0..MOST_GROUPS as u64 + 7 {
        engine.told(Told { key: n.to_ne_bytes().into(), ..told("x", 0, true) });
    }
    assert_eq!(engine.counts().next().map(|c| (c.fired, c.left_out)), Some((MOST_GROUPS as u64, 7)));
    engine.looked(0, 0);
    // Those that are over make room, once they can't be told again.
    engine.looked(0, S);
    engine.looked(0, 61 * S);
    assert_eq!(engine.firing(0).count(), 0);
    assert!(engine.told(told("y", 62, true)).is_some());
}

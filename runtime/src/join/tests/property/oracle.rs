//! What a join should say of these events: every record and every moment is looked at.

use super::*;

/// What a leg should say: (its state, the moments it covers).
pub(super) type Expected = (State, Vec<u64>);

fn lost(events: &[Event], streams: &[StreamId], window: (u64, u64)) -> Option<State> {
    let touches = |touched: &[StreamId]| touched.iter().any(|stream| streams.contains(stream));
    let hit = |e: &&Event| matches!(&e.what, What::Lost { streams } if touches(streams)) && meets(e, window);
    let n = events.iter().filter(hit).count();
    (n > 0).then(|| State::Unknown(format!("lost {n}")))
}

/// Where losses of bindings count: always, since who is bound may have been so ever since; but where all records say when they ended, and there are
/// any, only those of the window.
fn bound_since(events: &[Event], (from, to): (u64, u64)) -> (u64, u64) {
    let says =
        |e: &Event, said: bool| matches!(e.what, What::Tie { ends, .. } if ends == said) && ties(&e.what).len() > 1;
    let end_all = events.iter().any(|e| says(e, true)) && !events.iter().any(|e| says(e, false));
    (if end_all { from } else { 0 }, to)
}

/// What was lost of a leg's stream within the window, or of the bindings that led there.
fn lost_bound(events: &[Event], stream: StreamId, window: (u64, u64)) -> Option<State> {
    let since = bound_since(events, window);
    let hit = |e: &&Event| match &e.what {
        What::Lost { streams } => {
            streams.contains(&stream) && meets(e, window) || streams.contains(&BINDING) && meets(e, since)
        }
        _ => false,
    };
    let n = events.iter().filter(hit).count();
    (n > 0).then(|| State::Unknown(format!("lost {n}")))
}

fn meets(event: &Event, (from, to): (u64, u64)) -> bool {
    event.to >= from && event.from <= to
}

fn covered(records: &[&Event]) -> Vec<u64> {
    records.iter().flat_map(|e| e.from..e.to).collect()
}

fn counted(records: &[&Event]) -> Expected {
    let n = records.len() as i64;
    (if n == 0 { State::None } else { State::Value(n) }, covered(records))
}

/// Kinds of keys.
const CONN: u8 = 0;
const FILE: u8 = 1;
const GOROUTINE: u8 = 2;
const COOKIE: u8 = 3;
const PID: u8 = 4;

/// A goroutine's number is one in its process.
fn in_process(goroutine: u64, pid: u32) -> u64 {
    goroutine + 1000 * u64::from(pid)
}

/// The keys that a binding ties: (kind, number).
fn ties(what: &What) -> Vec<(u8, u64)> {
    let What::Tie { conn, file, goroutine, cookie, pid, .. } = what else { return Vec::new() };
    let all = [(CONN, u64::from(*conn)), (FILE, *file), (COOKIE, *cookie), (PID, u64::from(*pid))];
    let goroutine = Some((GOROUTINE, in_process(*goroutine, *pid))).filter(|_| *goroutine != 0);
    all.into_iter().filter(|(_, n)| *n != 0).chain(goroutine).collect()
}

/// Of what a key has at most one at a time.
fn one(of: u8, partner: u8) -> bool {
    [(FILE, CONN), (FILE, COOKIE), (COOKIE, CONN), (COOKIE, FILE), (GOROUTINE, PID)].contains(&(of, partner))
}

/// Whether the binding ties `a` to `b` at a moment: not if another has come between.
fn tied_at(events: &[Event], binding: &Event, a: (u8, u64), b: (u8, u64), t: u64) -> bool {
    let ends = matches!(binding.what, What::Tie { ends: true, .. });
    let single = ties(&binding.what).len() < 2;
    if single || binding.from > t || ends && binding.to <= t {
        return false;
    }
    !events.iter().any(|other| {
        let keys = ties(&other.what);
        let closes = keys.len() == 1;
        let begin = if closes { other.to } else { other.from };
        let later = begin > binding.from && begin <= t;
        let takes = |of: (u8, u64), partner: (u8, u64)| {
            keys.contains(&of) && (closes || one(of.0, partner.0) && keys.iter().any(|k| k.0 == partner.0))
        };
        later && (takes(a, b) || takes(b, a))
    })
}

/// What an anchor's keys lead to at a moment, over at most four bindings, where keys of this kind are asked for.
fn reached_at(events: &[Event], (conn, pid): (u8, u32), asked: u8, t: u64) -> Vec<(u8, u64)> {
    let mut reached = vec![(CONN, u64::from(conn)), (PID, u64::from(pid))];
    reached.retain(|key| key.1 != 0);
    // What the anchor has itself no binding tells it.
    let own: Vec<u8> = reached.iter().map(|key| key.0).filter(|kind| *kind != asked).collect();
    for _ in 0..4 {
        let mut more: Vec<(u8, u64)> = Vec::new();
        for binding in events {
            let keys = ties(&binding.what);
            // A process leads to nothing of what it has many of.
            for &a in keys.iter().filter(|k| k.0 != PID && reached.contains(k)) {
                let news = |b: &&(u8, u64)| **b != a && !own.contains(&b.0);
                more.extend(keys.iter().filter(|b| news(b) && tied_at(events, binding, a, **b, t)));
            }
        }
        let processes = reached.iter().filter(|k| k.0 == GOROUTINE && k.1 >= 1000).map(|k| (PID, k.1 / 1000));
        more.extend(processes);
        reached.extend(more);
        reached.sort_unstable();
        reached.dedup();
    }
    reached
}

pub(super) fn expected(events: &[Event], anchor: &Event) -> Vec<Expected> {
    let What::Anchor { conn, pid, .. } = anchor.what else { unreachable!() };
    let window = (anchor.from, anchor.to);
    let of = |wanted: &dyn Fn(&What) -> bool| {
        events.iter().filter(|e| wanted(&e.what) && meets(e, window)).collect::<Vec<_>>()
    };
    let unless = |lost: Option<State>, found: Expected| lost.map_or(found, |state| (state, Vec::new()));
    let pauses = of(&|w| matches!(w, What::Pause { pid: p } if *p == pid));
    let no_pid = (State::Unknown("no key".into()), Vec::new());
    let pause = if pid == 0 { no_pid } else { counted(&pauses) };
    let waits = of(&|w| matches!(w, What::Wait { conn: c, .. } if *c == conn));
    let early = (anchor.from.saturating_sub(20), anchor.to);
    let inside =
        |e: &&Event| matches!(e.what, What::Wait { conn: c, .. } if c == conn) && e.from >= early.0 && e.to <= early.1;
    let before = events.iter().any(|e| inside(&e));
    let moments = |asked: u8| -> Vec<(u64, Vec<(u8, u64)>)> {
        (window.0..=window.1).map(|t| (t, reached_at(events, (conn, pid), asked, t))).collect()
    };
    let (to_goroutines, to_processes) = (moments(GOROUTINE), moments(PID));
    let reached = |moments: &[(u64, Vec<(u8, u64)>)], e: &Event, key: (u8, u64)| {
        moments.iter().any(|(t, all)| e.from <= *t && *t <= e.to && all.contains(&key))
    };
    let bound = of(&|w| matches!(w, What::Wait { goroutine, .. } if *goroutine != 0));
    let bound: Vec<&Event> = bound
        .into_iter()
        .filter(|e| match e.what {
            What::Wait { goroutine, pid, .. } => reached(&to_goroutines, e, (GOROUTINE, in_process(goroutine, pid))),
            _ => false,
        })
        .collect();
    let owned = pauses_of_any(events, window).into_iter().filter(|(e, pid)| reached(&to_processes, e, (PID, *pid)));
    let owned: Vec<&Event> = owned.map(|(e, _)| e).collect();
    let unbound = |found: &[&Event]| {
        let nothing = (State::Unknown("no binding".into()), Vec::new());
        if found.is_empty() { nothing } else { counted(found) }
    };
    let all: Vec<(u8, u64)> = to_goroutines.iter().flat_map(|(_, all)| all).copied().collect();
    // A process of which no record tells a goroutine has none that wait.
    let mut owners = all.iter().filter(|key| key.0 == PID).map(|key| key.1);
    let goes = |pid: u64| {
        let told = |what: &What| match what {
            What::Tie { goroutine, pid, .. } | What::Wait { goroutine, pid, .. } if *goroutine != 0 => u64::from(*pid),
            _ => 0,
        };
        events.iter().any(|e| told(&e.what) == pid)
    };
    let no_goroutine = owners.clone().next().is_some() && !owners.any(goes);
    let led = all.iter().any(|key| key.0 == GOROUTINE) || no_goroutine;
    let bound = if led { counted(&bound) } else { unbound(&bound) };
    let other = |key: &(u8, u64)| key.0 == PID && key.1 != u64::from(pid);
    let led = to_processes.iter().any(|(_, all)| all.iter().any(other));
    let owned = if led { counted(&owned) } else { unbound(&owned) };
    vec![
        unless(lost(events, &[PAUSE], window), pause),
        unless(lost(events, &[WAIT], window), counted(&waits)),
        unless(lost(events, &[WAIT], early), (if before { State::Value(1) } else { State::None }, Vec::new())),
        unless(lost_bound(events, WAIT, window), bound),
        unless(lost_bound(events, PAUSE, window), owned),
    ]
}

/// Of every process.
fn pauses_of_any(events: &[Event], window: (u64, u64)) -> Vec<(&Event, u64)> {
    let of = |e: &&Event| matches!(e.what, What::Pause { .. }) && meets(e, window);
    let pid = |e: &Event| if let What::Pause { pid } = e.what { u64::from(pid) } else { 0 };
    events.iter().filter(of).map(|e| (e, pid(e))).collect()
}

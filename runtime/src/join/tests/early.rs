//! What is told of an anchor before what comes late.

use super::*;

fn key() -> ConnKey {
    conn(7, 5000, (11, 22))
}

/// Of losses nothing comes before the end.
fn late() -> Vec<StreamId> {
    vec![LOSS]
}

fn asked(id: &str, start: u64, end: u64) -> Vec<u8> {
    request(&key(), id, 0, start, end, false)
}

struct Bench {
    engine: Engine,
    out: Vec<Output>,
}

impl Bench {
    fn new(spec: JoinSpec) -> Self {
        let mut bench = Self { engine: Engine::new(spec, &streams()), out: Vec::new() };
        bench.early(0);
        bench
    }

    fn record(&mut self, stream: StreamId, time: u64, payload: &[u8]) {
        self.engine.record(stream, time, payload, &mut Handlers, &mut |o| self.out.push(o));
    }

    /// All but what is late has come up to here.
    fn early(&mut self, watermark: u64) {
        self.engine.tell_early((watermark, late()), &mut Handlers, &mut |o| self.out.push(o));
    }

    fn advance(&mut self, watermark: u64) {
        self.engine.advance(watermark, &mut Handlers, &mut |o| self.out.push(o));
    }

    /// What came out since the last call: whether it is early, its end, the states of syn and loss, what is app and unknown.
    fn told(&mut self) -> Vec<(bool, u64, String, String, u64, u64)> {
        let told = self.out.drain(..).filter_map(|output| {
            let (early, r) = match output {
                Output::Early(r) => (true, r),
                Output::Result(r) => (false, r),
                _ => return None,
            };
            assert_eq!(early, r.status == Status::Early);
            assert_eq!(r.legs.iter().map(|leg| leg.charged).sum::<u64>() + r.app + r.unknown, r.end - r.begin);
            let state = |i: usize| format!("{:?}", r.legs[i].state);
            Some((early, r.end, state(0), state(1), r.app, r.unknown))
        });
        told.collect()
    }
}

#[test]
fn each_anchor_once_and_its_result_as_ever() {
    let mut bench = Bench::new(spec());
    bench.record(CONNECT, S + 5 * MS, &span(&key(), 5 * MS));
    bench.record(REQUEST, 2 * S, &asked("a", S, 2 * S));
    bench.early(2 * S);
    assert_eq!(bench.told(), []);
    bench.early(3 * S);
    let told = bench.told();
    let [(true, end, syn, loss, 0, unknown)] = &told[..] else { panic!("{told:?}") };
    assert_eq!((*end, syn.contains("5000000"), loss.contains("not yet")), (2 * S, true, true), "{told:?}");
    assert_eq!(*unknown, S - 5 * MS);
    // Not again; and it waits for what is late.
    bench.early(4 * S);
    bench.advance(S);
    assert_eq!(bench.told(), []);
    bench.record(LOSS, S + 100 * MS, &span(&key(), 50 * MS));
    bench.advance(5 * S);
    let told = bench.told();
    let [(false, _, _, loss, app, 0)] = &told[..] else { panic!("{told:?}") };
    assert!(loss.contains("50000000"), "{told:?}");
    assert_eq!(*app, S - 55 * MS);
    assert_eq!((bench.engine.summary().seen, bench.engine.summary().closed), (1, 1));
}

#[test]
fn in_order_of_their_ends_and_only_what_is_kept() {
    let mut bench = Bench::new(JoinSpec { keep: Keep::If(2), total: Vec::new(), ..spec() });
    for (id, start, end) in [("b", S, 3 * S), ("fast", S, S + MS), ("a", S, 2 * S + MS)] {
        bench.record(REQUEST, end, &asked(id, start, end));
    }
    bench.early(9 * S);
    let ends: Vec<(bool, u64)> = bench.told().iter().map(|t| (t.0, t.1)).collect();
    assert_eq!(ends, [(true, 2 * S + MS), (true, 3 * S)]);
    // What was evicted meanwhile is not told of once more.
    bench.record(REQUEST, 4 * S, &asked("c", S, 4 * S));
    bench.engine.flush(&mut Handlers, &mut |o| bench.out.push(o));
    bench.early(u64::MAX);
    let told = bench.told();
    assert!(told.iter().all(|t| !t.0) && told.len() == 3, "{told:?}");
}

#[test]
fn nothing_where_the_anchors_themselves_come_late_or_the_slowest_are_asked_for() {
    let mut bench = Bench::new(spec());
    bench.record(REQUEST, 2 * S, &asked("a", S, 2 * S));
    bench.engine.tell_early((9 * S, vec![REQUEST]), &mut Handlers, &mut |o| bench.out.push(o));
    assert_eq!(bench.told(), []);
    let mut bench = Bench::new(JoinSpec { keep: Keep::Slowest { count: 1, per_ns: S }, ..spec() });
    bench.record(REQUEST, 2 * S, &asked("a", S, 2 * S));
    bench.early(9 * S);
    assert_eq!(bench.told(), []);
}

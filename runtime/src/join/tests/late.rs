//! Records of legs that come when results of their time have been told.

use super::*;

struct Bench {
    engine: Engine,
    out: Vec<Output>,
}

impl Bench {
    /// One request from 1 to 2 s was told, and the watermark is at 3 s.
    fn new() -> Self {
        let mut bench = Self { engine: Engine::new(spec(), &streams()), out: Vec::new() };
        bench.request(5000, S, 2 * S);
        bench.advance(3 * S);
        assert_eq!(bench.told(), [State::None]);
        bench
    }

    fn record(&mut self, stream: StreamId, time: u64, payload: &[u8]) {
        self.engine.record(stream, time, payload, &mut Handlers, &mut |o| self.out.push(o));
    }

    fn request(&mut self, port: u16, start: u64, end: u64) {
        self.record(REQUEST, end, &request(&key(port), "a", start, start, end, false));
    }

    /// A loss that lasted 100 ms.
    fn loss(&mut self, port: u16, end: u64) {
        self.record(LOSS, end, &span(&key(port), 100 * MS));
    }

    fn advance(&mut self, watermark: u64) {
        self.engine.advance(watermark, &mut Handlers, &mut |o| self.out.push(o));
    }

    /// What results since the last call say of losses.
    fn told(&mut self) -> Vec<State> {
        results(std::mem::take(&mut self.out)).into_iter().map(|r| r.legs[1].state.clone()).collect()
    }

    /// By how much what came since the last call was late, ms.
    fn late(&mut self) -> Vec<u64> {
        let late = |o: Output| if let Output::LateRecord { stream: LOSS, by } = o { Some(by / MS) } else { None };
        std::mem::take(&mut self.out).into_iter().filter_map(late).collect()
    }
}

fn key(port: u16) -> ConnKey {
    conn(7, port, (11, 22))
}

#[test]
fn what_comes_behind_the_watermark_is_counted_and_what_others_lack_is_unknown() {
    let mut bench = Bench::new();
    bench.loss(5000, 1500 * MS);
    bench.loss(5001, 2800 * MS);
    bench.request(5001, 2600 * MS, 3500 * MS);
    bench.request(5002, 1450 * MS, 3500 * MS);
    bench.request(5003, 2850 * MS, 3500 * MS);
    assert_eq!((bench.late(), bench.engine.summary().late_records), (vec![1500], 1), "the other reaches no result");
    bench.advance(4 * S);
    let late = State::Unknown("late".into());
    let mine = State::Value((100 * MS) as i64);
    assert_eq!(bench.told(), [late, mine, State::None], "by their begin");
    assert!(bench.engine.summary().text("slow").contains("leg records too late for results: 1"));
}

/// It is there for all results that are still to be told.
#[test]
fn a_late_record_is_its_anchors_if_that_is_open() {
    let mut bench = Bench::new();
    bench.request(5001, 1500 * MS, 3500 * MS);
    bench.loss(5001, 1600 * MS);
    assert_eq!(bench.late(), [1400]);
    bench.advance(4 * S);
    assert_eq!(bench.told(), [State::Value((100 * MS) as i64)]);
}

/// A source promises when its events come, not what they tell of: the last segment of a loss is acknowledged long after it was sent.
#[test]
fn what_an_event_tells_of_the_past_is_in_time() {
    let fields = [("conn", Type::Conn), ("start", Type::U64), ("end", Type::U64)];
    let (fields, size) = lay_out(fields.into_iter().map(|(n, t)| (Some(n.to_owned()), t)));
    let mut all = streams();
    all[LOSS.0 as usize] = StreamSpec { name: "wait".into(), fields, size };
    let wait = LegSpec {
        value: None,
        interval: Some((CONN_KEY_SIZE, CONN_KEY_SIZE + 8)),
        ..leg("wait", LOSS, LegAgg::Count, None)
    };
    let mut engine = Engine::new(JoinSpec { legs: vec![wait], blame: Vec::new(), ..spec() }, &all);
    engine.record(REQUEST, 2 * S, &request(&key(5000), "a", S, S, 2 * S, false), &mut Handlers, &mut |_| {});
    engine.advance(3 * S, &mut Handlers, &mut |_| {});
    let mut late = |time: u64, (start, end): (u64, u64)| {
        let payload = [&key(5000).to_bytes()[..], &start.to_ne_bytes(), &end.to_ne_bytes()].concat();
        let before = engine.summary().late_records;
        engine.record(LOSS, time, &payload, &mut Handlers, &mut |_| {});
        engine.summary().late_records > before
    };
    assert!(!late(3 * S, (S, 2 * S)), "its event came in time");
    assert!(!late(2900 * MS, (S, 3 * S)), "it ended at the watermark");
    assert!(!late(2900 * MS, (2500 * MS, 2900 * MS)), "no result was told that it may belong to");
    assert!(late(2900 * MS, (1900 * MS, 2900 * MS)));
}

/// What a run's end brings was in no result's way.
#[test]
fn nothing_is_late_at_the_end_but_what_was_before() {
    let mut bench = Bench::new();
    bench.advance(u64::MAX);
    bench.engine.flush(&mut Handlers, &mut |_| {});
    bench.loss(5000, 3 * S);
    assert_eq!((bench.late(), bench.engine.summary().late_records), (vec![], 0));
}

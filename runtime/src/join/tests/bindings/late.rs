//! Bindings that come when results were told that they may belong to.

use super::*;

/// With `binding.owner` of processes alone, as std/tcp has it: which goroutine serves a connection is told when that is over (std/go).
struct Bench {
    engine: Engine,
    out: Vec<Output>,
}

impl Bench {
    /// The run began at 2 s.
    fn new() -> Self {
        let mut streams = all();
        let keys = [("conn", Type::Conn), ("start", Type::U64), ("pid", Type::U32)];
        let (fields, size) = lay_out(keys.into_iter().map(|(n, t)| (Some(n.to_owned()), t)));
        streams[OWNER.0 as usize] = StreamSpec { name: "binding.owner".into(), fields, size };
        let mut bench = Self { engine: Engine::new(bound_spec(), &streams), out: Vec::new() };
        bench.advance(2 * S);
        bench
    }

    fn record(&mut self, (stream, time, payload): (StreamId, u64, Vec<u8>)) {
        self.engine.record(stream, time, &payload, &mut Handlers, &mut |o| self.out.push(o));
    }

    fn advance(&mut self, watermark: u64) {
        self.engine.advance(watermark, &mut Handlers, &mut |o| self.out.push(o));
    }

    /// Its connection was opened at 3 s.
    fn request(&mut self, port: u16, start: u64, end: u64) {
        self.record((REQUEST, end, request(&key(port), "a", 3 * S, start, end, false)));
    }

    fn owned(&mut self, port: u16, pid: u32, start: u64, time: u64) {
        let mut payload = key(port).to_bytes().to_vec();
        payload.extend(start.to_ne_bytes());
        payload.extend(pid.to_ne_bytes());
        payload.resize(payload.len().next_multiple_of(8), 0);
        self.record((OWNER, time, payload));
    }

    fn handled(&mut self, port: u16, goroutine: u64, start: u64, end: u64) {
        self.record(tie(Tie { conn: Some(key(port)), goroutine, pid: 40, start, end, ..Tie::default() }));
    }

    /// What results since the last call say of goroutines and of processes, and by how many ms records came too late.
    fn told(&mut self) -> (Vec<(State, State)>, Vec<u64>) {
        let out = std::mem::take(&mut self.out);
        let late = |o: &Output| if let Output::LateRecord { by, .. } = o { Some(by / MS) } else { None };
        let late = out.iter().filter_map(late).collect();
        (results(out).into_iter().map(|r| (r.legs[0].state.clone(), r.legs[1].state.clone())).collect(), late)
    }
}

fn key(port: u16) -> ConnKey {
    conn(7, port, (11, 22))
}

/// A handler waits for another service and answers, which is acknowledged; it returns 200 ms later, and only then it is told whose it was.
#[test]
fn a_binding_that_is_told_when_it_is_over_may_be_on_its_way() {
    let mut bench = Bench::new();
    for port in 5000..5003 {
        bench.owned(port, if port == 5001 { 41 } else { 40 }, 1, 3 * S);
    }
    bench.handled(6000, 7, 2100 * MS, 2200 * MS);
    bench.record(poll(9, 40, 1500 * MS, 4900 * MS));
    bench.request(5000, 3200 * MS, 5 * S);
    bench.request(5001, 3300 * MS, 5 * S);
    bench.advance(5050 * MS);
    // The other one's process has no goroutines.
    assert_eq!(bench.told(), (vec![(unknown("no binding"), State::None), (State::None, State::None)], vec![]));
    bench.handled(5000, 9, 3200 * MS, 5200 * MS);
    assert_eq!((bench.told().1, bench.engine.summary().late_records), (vec![50], 1));
    // In time for the next one, which finds its own.
    bench.record(poll(9, 40, 100 * MS, 5400 * MS));
    bench.request(5000, 5300 * MS, 5500 * MS);
    bench.handled(5000, 9, 5300 * MS, 5450 * MS);
    bench.advance(6 * S);
    assert_eq!(bench.told(), (vec![(value(100), State::None)], vec![]));
    // Of another one's time, or of what is not open yet, nothing was told.
    bench.request(5002, 6100 * MS, 6200 * MS);
    bench.handled(5000, 9, 5550 * MS, 6100 * MS);
    bench.handled(5002, 8, 6100 * MS, 6150 * MS);
    bench.advance(7 * S);
    assert_eq!(bench.told(), (vec![(State::None, State::None)], vec![]));
}

/// That its process is a Go program nobody knew by then: what was said of it wasn't so, which is counted.
#[test]
fn the_first_binding_of_a_process_may_come_too_late() {
    let mut bench = Bench::new();
    bench.owned(5000, 40, 1, 3 * S);
    bench.request(5000, 3200 * MS, 5 * S);
    bench.advance(5050 * MS);
    assert_eq!(bench.told(), (vec![(State::None, State::None)], vec![]));
    bench.handled(5000, 9, 3200 * MS, 5200 * MS);
    assert_eq!(bench.told().1, [50]);
}

/// HTTP/2, gRPC and fasthttp are served by goroutines of which no binding tells. That the process has some is known by what they wait for.
#[test]
fn goroutines_that_no_binding_tells_of() {
    let mut bench = Bench::new();
    bench.owned(5000, 40, 1, 3 * S);
    bench.owned(5001, 41, 1, 3 * S);
    bench.record(poll(9, 40, 300 * MS, 4 * S));
    bench.request(5000, 3200 * MS, 5 * S);
    bench.request(5001, 3300 * MS, 5 * S);
    bench.advance(5050 * MS);
    assert_eq!(bench.told(), (vec![(unknown("no binding"), State::None), (State::None, State::None)], vec![]));
}

/// A source that is behind: others of its may be on their way too.
#[test]
fn a_binding_from_behind_the_watermark_is_late() {
    let mut bench = Bench::new();
    bench.request(5000, 3200 * MS, 4 * S);
    bench.advance(6 * S);
    assert_eq!(bench.told(), (vec![(unknown("no binding"), State::None)], vec![]));
    bench.request(5001, 3500 * MS, 6500 * MS);
    bench.request(5002, 5600 * MS, 6500 * MS);
    bench.request(5003, 3500 * MS, 6500 * MS);
    bench.record(pause(40, MS, 6400 * MS));
    bench.owned(5001, 40, 1, 5500 * MS);
    assert_eq!((bench.told().1, bench.engine.summary().late_records), (vec![500], 1));
    bench.advance(7 * S);
    let gc: Vec<State> = bench.told().0.into_iter().map(|(_, gc)| gc).collect();
    assert_eq!(gc, [value(1), unknown("late"), State::None]);
    // In time.
    bench.owned(5004, 40, 1, 7 * S);
    assert!(bench.told().1.is_empty());
}

/// What is known of results that lack something goes before anything else has to.
#[test]
fn results_that_lack_a_binding_take_little_room() {
    let mut bench = Bench::new();
    for i in 0..30_000u64 {
        let at = 3 * S + i * MS / 10;
        bench.record((REQUEST, at, request(&conn(7, 5000 + i as u16, (i as u32, 1)), "a", 3 * S, at, at, false)));
        if i % 100 == 0 {
            bench.advance(at);
        }
        assert!(bench.engine.bytes() <= (1 << 20) * 9 / 8, "{}", bench.engine.bytes());
    }
    assert_eq!(bench.engine.summary().evicted_anchors, 0);
}

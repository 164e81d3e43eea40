//! Spans: by ids, and by clocks that are less sure than the anchors'.

use super::*;
use weftrace_artifact::join::key_of;

const SPAN: StreamId = LOSS;

fn all() -> Vec<StreamSpec> {
    let mut all = streams();
    let fields = [("id", Type::Str { cap: 16 }), ("start", Type::U64), ("end", Type::U64), ("dur", Type::U64)];
    let (fields, size) = lay_out(fields.map(|(name, ty)| (Some(name.to_owned()), ty)));
    all[SPAN.0 as usize] = StreamSpec { name: "app.span".into(), fields, size };
    all
}

/// The longest, and how many.
fn spec_of(timeout_ns: u64) -> JoinSpec {
    let of = &all()[SPAN.0 as usize];
    let at = |name: &str| of.field(name).expect("declared").offset;
    let leg = |name: &str, agg, value: Option<IntAt>| LegSpec {
        value,
        interval: Some((at("start"), at("end"))),
        keys: vec![LegKey { kind: KeyKind::Id, leg: key_of(of, "id").map(|(_, at)| at), anchor: None }],
        ..leg(name, SPAN, agg, None)
    };
    let longest = leg("handler", LegAgg::Max, Some(IntAt { offset: at("dur"), size: 8, signed: false }));
    let legs = vec![longest, LegSpec { duration: false, ..leg("spans", LegAgg::Count, None) }];
    JoinSpec { legs, blame: vec![0], timeout_ns, ..spec() }
}

/// Requests of one trace, each on a connection of its own, and the trace's spans: all in ms.
struct Bench {
    engine: Engine,
    out: Vec<Output>,
    port: u16,
}

impl Bench {
    fn new(epsilon: u64, timeout: u64) -> Self {
        let mut engine = Engine::new(spec_of(timeout * MS), &all());
        engine.uncertain(&|_, _| epsilon * MS);
        Self { engine, out: Vec::new(), port: 5000 }
    }

    /// `opened`: the connection, whose first request it is.
    fn request(&mut self, opened: Option<u64>, (start, end): (u64, u64)) {
        self.port += 1;
        let (key, opened, first) = (conn(7, self.port, (11, 22)), opened.unwrap_or(0) * MS, opened.is_some());
        let payload = request(&key, "trace", opened, start * MS, end * MS, first);
        self.engine.record(REQUEST, end * MS, &payload, &mut Handlers, &mut |o| self.out.push(o));
    }

    fn span(&mut self, (start, end): (u64, u64)) {
        let mut payload = format!("{:\0<16}", "trace").into_bytes();
        payload.extend([start, end, end - start].iter().flat_map(|ms| (ms * MS).to_ne_bytes()));
        self.engine.record(SPAN, end * MS, &payload, &mut Handlers, &mut |o| self.out.push(o));
    }

    fn advance(&mut self, watermark: u64) -> Vec<JoinResult> {
        self.engine.advance(watermark * MS, &mut Handlers, &mut |o| self.out.push(o));
        results(std::mem::take(&mut self.out))
    }
}

/// What the legs say of requests that come one after the other, with their spans.
fn states(epsilon: u64, requests: &[(u64, u64)], spans: &[(u64, u64)]) -> Vec<(State, State)> {
    let mut bench = Bench::new(epsilon, 30_000);
    for request in requests {
        bench.request(None, *request);
    }
    for span in spans {
        bench.span(*span);
    }
    let told = bench.advance(10_000);
    assert_eq!(told.len(), requests.len());
    told.into_iter().map(|r| (r.legs[0].state.clone(), r.legs[1].state.clone())).collect()
}

fn ms(ms: u64) -> State {
    State::Value((ms * MS) as i64)
}

fn ambiguous(among: u32) -> (State, State) {
    (State::Ambiguous(among), State::Ambiguous(among))
}

/// A client opens a second connection and uses it later: the total of that one's request begins with it, and has the first request's span in it.
#[test]
fn a_total_that_began_before_another_request_of_the_trace_was_over() {
    let mut bench = Bench::new(5, 30_000);
    bench.request(None, (1000, 1050));
    bench.span((1002, 1048));
    bench.request(Some(1001), (1060, 1110));
    bench.span((1062, 1108));
    let told = bench.advance(10_000);
    let first = &told[0].legs;
    assert_eq!((&first[0].state, first[0].charged, &first[1].state), (&ms(46), 46 * MS, &State::Value(1)));
    let second = &told[1];
    assert_eq!((second.begin, second.total()), (1001 * MS, 109 * MS));
    assert_eq!((second.legs[0].state.clone(), second.legs[1].state.clone()), ambiguous(2));
    assert_eq!((second.legs[0].charged, second.app, second.unknown), (0, 0, 109 * MS));
}

/// Requests of one trace that are no further apart than the spans' times are sure: a span may be the one's or the other's.
#[test]
fn requests_of_a_trace_that_are_close_to_each_other() {
    let requests = [(1000, 1050), (1052, 1102), (1104, 1154)];
    let spans = [(1001, 1049), (1053, 1101), (1105, 1153)];
    assert_eq!(states(5, &requests, &spans), [ambiguous(2), ambiguous(3), ambiguous(2)]);
    // By one clock, or where the spans lie well within.
    let one = |dur| (ms(dur), State::Value(1));
    assert_eq!(states(0, &requests, &spans), [one(48), one(48), one(48)]);
    let requests = [(1000, 1050), (1054, 1104)];
    assert_eq!(states(5, &requests, &[(1003, 1045), (1060, 1098)]), [one(42), one(38)]);
    // The first one's span is told 3 ms too late, the second's 3 ms too early: each is within the other's reach.
    assert_eq!(states(5, &requests, &[(1011, 1053), (1052, 1100)]), [ambiguous(2), ambiguous(2)]);
    // Of two at once nothing is clear, wherever the spans lie.
    assert_eq!(states(5, &[(1000, 1100), (1090, 1200)], &[(1010, 1020)])[0], ambiguous(2));
}

/// The other request was over so long before that none of its records is wanted any more, but for one that is told too late.
#[test]
fn a_request_that_was_over_before_is_known_for_as_long_as_its_spans() {
    let mut bench = Bench::new(5, 1000);
    bench.request(None, (1000, 1050));
    bench.span((1002, 1054));
    assert_eq!(bench.advance(1060)[0].legs[0].state, ms(52));
    bench.request(None, (1058, 2058));
    assert!(bench.advance(2063).is_empty());
    let told = bench.advance(2064);
    assert_eq!(told[0].legs[0].state, State::Ambiguous(2));
}

/// Spans by one clock stay as they lie to each other: two that followed each other are not laid over each other. What a leg asks for that was before the request is
/// not taken to have been within it.
#[test]
fn spans_by_one_clock_are_moved_together() {
    let mut bench = Bench::new(200, 30_000);
    bench.request(None, (1000, 1020));
    bench.span((980, 990));
    bench.span((990, 1000));
    let told = bench.advance(10_000).remove(0);
    assert_eq!((told.legs[0].charged, told.app), (20 * MS, 0));
    let mut spec = spec_of(30_000 * MS);
    spec.legs.iter_mut().for_each(|leg| leg.since_ns = Some(S));
    let mut bench = Bench { engine: Engine::new(spec, &all()), ..Bench::new(5, 30_000) };
    bench.engine.uncertain(&|_, _| 5 * MS);
    bench.request(None, (1000, 1005));
    bench.span((995, 999));
    let told = bench.advance(10_000).remove(0);
    assert_eq!((told.legs[0].state.clone(), told.legs[0].charged, told.app), (ms(4), 0, 5 * MS));
}

/// Another host's clock is ahead, or behind, by less than it was said to be: its span is charged for as long as it was.
#[test]
fn a_span_by_another_hosts_clock_is_charged_in_full() {
    let charged = |epsilon: u64, span: (u64, u64)| {
        let mut bench = Bench::new(epsilon, 30_000);
        bench.request(None, (1000, 1212));
        bench.span(span);
        let told = bench.advance(10_000).remove(0);
        assert_eq!(told.legs[0].charged + told.app, 212 * MS);
        assert_eq!(told.legs[0].state, ms(span.1 - span.0));
        told.legs[0].charged / MS
    };
    // From 1010 to 1210 in truth.
    assert_eq!(charged(200, (1160, 1360)), 200);
    assert_eq!(charged(200, (860, 1060)), 200);
    assert_eq!(charged(5, (1010, 1210)), 200);
    // A little longer than the request, and much.
    assert_eq!(charged(200, (1152, 1365)), 212);
    assert_eq!(charged(200, (990, 1300)), 212);
    // It is further off than it may be: where it is said to have been it was not, and where it was isn't known.
    assert_eq!(charged(100, (1160, 1360)), 52);
    // What follows the response was not within the request, however close behind it that began.
    assert_eq!(charged(5, (1213, 1413)), 0);
    assert_eq!(charged(5, (800, 999)), 0);
}

//! The join's budget: events per second on one core with 200,000 open anchors, eight legs, the verdict on and 2 % out of order, beside a plain hash
//! join over the same stream; and once more where each connection is bound to a process, by which a ninth leg goes. Prints, and asserts that
//! all found the same.
#![allow(clippy::print_stdout, reason = "a program, not the library")]

use std::collections::HashMap;
use std::time::{Duration, Instant};
use weftrace_artifact::{
    Place,
    abi::ConnKey,
    action::{StreamId, StreamSpec},
    join::{IntAt, JoinSpec, JoinView, Keep, KeyAt, KeyKind, LegAgg, LegKey, LegSpec, Side},
    ty::{Type, lay_out},
};
use weftrace_runtime::join::{Engine, Evaluate, LegOutcome, Output, State};

const LEGS: u64 = 8;
/// Anchors that have arrived and wait for the watermark.
const OPEN: u64 = 200_000;
/// ns of event time from one event to the next: a million a second.
const STEP: u64 = 1000;
const PER_ANCHOR: u64 = LEGS + 1;
/// A leg's record comes so many anchors before its own.
const AHEAD: u64 = 2_000;
const LIMIT: u64 = 640 << 20;
const CONN: u32 = 0;
const START: u32 = 56;
const END: u32 = 64;
const DUR: u32 = 72;
const SIZE: usize = 80;
/// Streams of the row with bindings, beside the anchor's and the legs'.
const OWNER: StreamId = StreamId(LEGS as u32 + 1);
const CLOSED: StreamId = StreamId(LEGS as u32 + 2);
const PAUSE: StreamId = StreamId(LEGS as u32 + 3);
/// Processes that all connections are of.
const PROCESSES: u64 = 4;
/// Anchors that begin before one ends.
const LIFE: u64 = (LEGS + 1) * AHEAD;

fn streams() -> Vec<StreamSpec> {
    let stream = |name: &str, fields: &[(&str, Type)]| {
        let (fields, size) = lay_out(fields.iter().map(|(n, t)| (Some((*n).to_owned()), t.clone())));
        StreamSpec { name: name.into(), fields, size }
    };
    let timed = [("conn", Type::Conn), ("start", Type::U64), ("end", Type::U64), ("dur", Type::U64)];
    let mut all: Vec<_> = (0..=LEGS).map(|i| stream(&format!("s{i}"), &timed)).collect();
    all.push(stream("binding.owner", &[("conn", Type::Conn), ("start", Type::U64), ("pid", Type::U32)]));
    all.push(stream("binding.closed", &[("conn", Type::Conn), ("end", Type::U64)]));
    all.push(stream("pause", &[("pid", Type::U32), ("dur", Type::U64)]));
    all
}

/// `bound`: with a leg by the process, which only bindings know.
fn spec(bound: bool) -> JoinSpec {
    let at = Some(KeyAt { offset: CONN, pid: None, cap: 0 });
    let leg = |i: u64| LegSpec {
        name: format!("leg{i}"),
        stream: StreamId(i as u32),
        agg: LegAgg::Sum,
        value: Some(IntAt { offset: DUR, size: 8, signed: false }),
        interval: Some((START, END)),
        duration: true,
        keys: vec![LegKey { kind: KeyKind::Conn, leg: at, anchor: at }],
        since_ns: None,
        off: false,
        side: Side::Any,
        place: Place::default(),
    };
    let by_pid = LegKey { kind: KeyKind::Pid, leg: at, anchor: None };
    let pause = LegSpec {
        name: "pause".into(),
        stream: PAUSE,
        value: Some(IntAt { offset: 8, size: 8, signed: false }),
        interval: None,
        keys: vec![by_pid],
        ..leg(0)
    };
    JoinSpec {
        name: "bench".into(),
        anchor: StreamId(0),
        start_offset: START,
        end_offset: END,
        filter: None,
        total: vec![(0, None)],
        ids: Vec::new(),
        legs: (1..=LEGS).map(leg).chain(bound.then_some(pause)).collect(),
        blame: (0..LEGS as u32).collect(),
        keep: Keep::If(1),
        max_anchors: 4 * OPEN as u32,
        max_bytes: LIMIT,
        timeout_ns: 2_000_000_000,
        place: Place::default(),
    }
}

/// `total r.start; keep` one in a thousand.
struct Handlers;

impl Evaluate for Handlers {
    fn call(&mut self, handler: u32, view: &JoinView) -> u64 {
        #[expect(unsafe_code, reason = "reads the view as generated code does")]
        // SAFETY: the engine's views have an anchor of the stream's size.
        let anchor = unsafe { std::slice::from_raw_parts(view.anchor, SIZE) };
        match handler {
            0 => number(anchor, START),
            _ => u64::from(is_kept(view.begin_ns)),
        }
    }
}

fn is_kept(begin: u64) -> bool {
    (begin / STEP).is_multiple_of(1000)
}

fn number(payload: &[u8], at: u32) -> u64 {
    let at = at as usize;
    u64::from_ne_bytes(payload[at..at + 8].try_into().unwrap_or_default())
}

/// Event number `n` as (stream, time): written to `payload`.
fn event(n: u64, payload: &mut [u8; SIZE]) -> (StreamId, u64) {
    let stream = n % PER_ANCHOR;
    let time = (n + 10 * AHEAD * PER_ANCHOR) * STEP;
    let anchor = if stream == 0 { n / PER_ANCHOR } else { n / PER_ANCHOR + stream * AHEAD };
    connection(anchor, payload);
    let dur = if stream == 0 { LIFE * PER_ANCHOR * STEP } else { 50_000 + n % 1000 };
    for (at, value) in [(START, time - dur), (END, time), (DUR, dur)] {
        payload[at as usize..at as usize + 8].copy_from_slice(&value.to_ne_bytes());
    }
    (StreamId(stream as u32), time)
}

/// 300,000 connections, each used again with other sequence numbers.
fn connection(anchor: u64, payload: &mut [u8; SIZE]) {
    let (port, generation) = (anchor % 300_000, anchor / 300_000 + 1);
    payload.fill(0);
    payload[4..6].copy_from_slice(&2u16.to_ne_bytes());
    payload[6..8].copy_from_slice(&6u16.to_ne_bytes());
    payload[8..12].copy_from_slice(&[10, 0, 0, 1]);
    payload[24..28].copy_from_slice(&[10, 1, (port / 60_000) as u8, 2]);
    payload[40..42].copy_from_slice(&80u16.to_ne_bytes());
    payload[42..44].copy_from_slice(&((port % 60_000) as u16 + 1).to_ne_bytes());
    payload[44..48].copy_from_slice(&(generation as u32 * 1000).to_ne_bytes());
    payload[48..52].copy_from_slice(&(anchor as u32 | 1 << 31).to_ne_bytes());
}

/// What comes beside an anchor's record: one begins whose process is told, one is closed. Calls `record` with stream and payload.
fn bindings(anchor: u64, time: u64, mut record: impl FnMut(StreamId, &[u8])) {
    let mut payload = [0; SIZE];
    for (stream, of) in [(OWNER, Some(anchor + LIFE)), (CLOSED, anchor.checked_sub(AHEAD))] {
        let Some(of) = of else { continue };
        connection(of, &mut payload);
        payload[START as usize..START as usize + 8].copy_from_slice(&time.to_ne_bytes());
        if stream == OWNER {
            payload[64..68].copy_from_slice(&process(of).to_ne_bytes());
        }
        record(stream, &payload[..if stream == OWNER { 72 } else { 64 }]);
    }
    // Pauses of 1 ms, a hundred a second.
    if anchor.is_multiple_of(1_000_000_000 / STEP / PER_ANCHOR / 100) {
        let mut pause = [0; 16];
        pause[..4].copy_from_slice(&process(anchor / 1000).to_ne_bytes());
        pause[8..].copy_from_slice(&1_000_000u64.to_ne_bytes());
        record(PAUSE, &pause);
    }
}

fn process(anchor: u64) -> u32 {
    (anchor % PROCESSES) as u32 + 1
}

/// The anchor of the event at a time.
fn anchor_at(time: u64) -> u64 {
    time / STEP / PER_ANCHOR - 10 * AHEAD
}

/// Anchors that have all that belongs to them: the first came before some of it, the last are not over at the end.
fn settled(events: u64) -> std::ops::Range<u64> {
    LIFE..(events / PER_ANCHOR).saturating_sub(2 * OPEN)
}

/// Event numbers in order of arrival: one in fifty comes up to a second late.
struct Arrivals {
    next: u64,
    late: std::collections::BinaryHeap<std::cmp::Reverse<(u64, u64)>>,
}

impl Arrivals {
    fn next(&mut self) -> u64 {
        loop {
            if let Some(&std::cmp::Reverse((due, n))) = self.late.peek()
                && due <= self.next
            {
                self.late.pop();
                return n;
            }
            let n = self.next;
            self.next += 1;
            let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
            if !mixed.is_multiple_of(50) {
                return n;
            }
            self.late.push(std::cmp::Reverse((n + mixed % 1_000_000, n)));
        }
    }
}

fn arrivals() -> Arrivals {
    Arrivals { next: 0, late: std::collections::BinaryHeap::new() }
}

/// User time of this process.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = fields.iter().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

/// Says the rate; returns the CPU time of an event in ns.
fn say(what: &str, events: u64, took: Duration, more: &str) -> f64 {
    let rate = events as f64 / took.as_secs_f64() / 1e6;
    println!("{what:<34} {rate:6.2} M events/s of CPU time{more}");
    1e3 / rate
}

/// The engine: (value of the eight legs of kept anchors that are settled, ns per event).
fn engine(events: u64, bound: bool) -> (u64, f64) {
    let before = resident();
    let mut engine = Engine::new(spec(bound), &streams());
    engine.want_orphans(|_| false);
    let (mut sum, mut paused) = (0, 0);
    let mut payload = [0; SIZE];
    let (mut most, mut largest, mut fed) = (0, 0, 0);
    let mut arrivals = arrivals();
    let (begun, wall) = (cpu(), Instant::now());
    let mut out = |output: Output| {
        let Output::Result(result) = output else { return };
        if settled(events).contains(&anchor_at(result.end)) {
            sum += result.legs.iter().take(LEGS as usize).map(value).sum::<u64>();
            paused += result.legs.iter().skip(LEGS as usize).map(value).sum::<u64>();
        }
    };
    // What arrives late is at most a second late; the rest of the lag keeps as many anchors open as wanted.
    let lag = OPEN * PER_ANCHOR * STEP;
    for i in 0..events {
        let (stream, time) = event(arrivals.next(), &mut payload);
        engine.record(stream, time, &payload, &mut Handlers, &mut out);
        fed += 1;
        if bound && stream.0 == 0 {
            bindings(anchor_at(time), time, |stream, payload| {
                engine.record(stream, time, payload, &mut Handlers, &mut out);
                fed += 1;
            });
        }
        if i % 10_000 == 0 {
            let now = (arrivals.next + 10 * AHEAD * PER_ANCHOR) * STEP;
            engine.advance(now.saturating_sub(lag), &mut Handlers, &mut out);
            most = most.max(resident().saturating_sub(before));
            largest = largest.max(engine.bytes());
        }
    }
    let (took, wall) = (cpu().saturating_sub(begun), wall.elapsed());
    let mib = |n: u64| n >> 20;
    let summary = engine.summary().clone();
    let evicted = summary.evicted_records + summary.evicted_anchors + summary.evicted_bindings;
    // The second engine takes what the first has left.
    let resident = if bound { String::new() } else { format!("{} MiB resident, ", mib(most)) };
    let more = format!(
        "; {} anchors open; {resident}{} MiB by its own count, limit {} MiB; {evicted} evicted, {} late; wall {wall:.1?}",
        summary.seen - summary.closed,
        mib(largest),
        mib(LIMIT),
        summary.late,
    );
    let each = say(if bound { "the join with bindings" } else { "the join" }, fed, took, &more);
    assert_eq!((evicted, summary.late, summary.late_records), (0, 0, 0), "there is room and time for all");
    assert!(!bound || paused > 0 || settled(events).is_empty(), "processes are found over bindings");
    (sum, each)
}

/// Of a leg that is known.
fn value(leg: &LegOutcome) -> u64 {
    match &leg.state {
        State::Value(value) => *value as u64,
        State::None => 0,
        State::Unknown(_) | State::Ambiguous(_) => panic!("{leg:?}"),
    }
}

/// Legs by connection in a hash table, taken out when the anchor and all eight are there: no windows, no order, no losses, no verdict.
/// Returns what [`engine`] does.
fn hash_join(events: u64) -> u64 {
    let mut table: HashMap<[u8; 52], ([u64; LEGS as usize], u64, u64)> = HashMap::new();
    let mut payload = [0; SIZE];
    let mut arrivals = arrivals();
    let begun = cpu();
    let mut sum = 0;
    for _ in 0..events {
        let (stream, time) = event(arrivals.next(), &mut payload);
        let key: [u8; 52] = payload[..52].try_into().unwrap_or([0; 52]);
        let (legs, there, end) = table.entry(key).or_default();
        match stream.0 {
            0 => *end = time,
            leg => legs[leg as usize - 1] += number(&payload, DUR),
        }
        *there += 1;
        if *there == PER_ANCHOR {
            if settled(events).contains(&anchor_at(*end)) && is_kept(*end - LIFE * PER_ANCHOR * STEP) {
                sum += legs.iter().sum::<u64>();
            }
            table.remove(&key);
        }
    }
    say("a plain hash join", events, cpu().saturating_sub(begun), &format!("; {} keys", table.len()));
    sum
}

fn main() {
    assert_eq!(size_of::<ConnKey>(), START as usize);
    let events = std::env::var("EVENTS").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000_000);
    let mut payload = [0; SIZE];
    let (begun, mut arrivals) = (cpu(), arrivals());
    let mut sum = 0;
    for _ in 0..events {
        sum += event(arrivals.next(), &mut payload).1 ^ u64::from(payload[48]);
    }
    say("making the events alone", events, cpu().saturating_sub(begun), &format!(" (included below; {})", sum % 2));
    let plain = hash_join(events);
    let ((joined, without), (again, with)) = (engine(events, false), engine(events, true));
    println!(
        "with bindings {:.2} of the CPU time of an event without; {} ms in the legs of those kept",
        with / without,
        joined / 1_000_000
    );
    assert_eq!((joined, again), (plain, plain), "all joins find the same");
    assert!(plain > 0 || settled(events).is_empty());
}

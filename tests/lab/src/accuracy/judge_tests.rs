//! The judge must be able to fail: a right run, and each way to be wrong.

use super::{
    inject::Done,
    judge::{Hold, Tally, judge},
    logs::{Handled, Logs, Sent, pauses},
    plan::{Cause, GO, Hop, Mode, Plan},
    script::{Record, records},
};

const MS: u64 = 1_000_000;
const COUNT: u64 = 40;

fn trace(n: u64) -> String {
    format!("{n:032x}")
}

/// Each request takes 6 ms, marked ones as much longer as their fault.
fn run(cause: Cause) -> (Plan, Logs, Vec<Record>) {
    let plan = Plan::new(cause, Mode::Keep, 100, COUNT, &|_| true);
    let (mut logs, mut records) = (Logs::default(), Vec::new());
    for request in &plan.requests {
        let n = request.n;
        let begin = n * 1000 * MS;
        let fault: u64 = request.faults.iter().map(|(_, ms)| ms * MS).sum();
        let (end, port) = (begin + 6 * MS + fault, 40_000 + n as u16);
        let sent = Sent {
            server_port: request.port,
            port,
            begin,
            opened: begin,
            written: begin,
            end,
            status: 200,
            trace: trace(n),
            ..Sent::default()
        };
        logs.sent.insert(n, sent);
        let waited = if cause == Cause::Poll { fault } else { 0 };
        logs.handled.insert(n, Handled { port: port + 1000, begin: begin + MS, end: end - MS, waited });
        for (cause, ms) in &request.faults {
            match cause {
                Cause::Zwin | Cause::Tls => {
                    logs.to_one.entry(n).or_default().push(Done { cause: *cause, begin, end: begin + ms * MS });
                }
                Cause::Loss => logs.holes.entry(port).or_default().push((begin + MS, begin + MS + ms * MS)),
                _ => {}
            }
        }
        let verdict = if request.faults.is_empty() { "app" } else { cause.layer() }.to_owned();
        let front = Record {
            n,
            start: begin + MS,
            end: end - MS,
            total: end - begin - 2 * MS,
            client_port: port,
            server_port: request.port,
            status: 200,
            id: format!("req-{n}"),
            trace: trace(n),
            verdict: if cause == Cause::Poll { "app".into() } else { verdict.clone() },
            ..Record::default()
        };
        let behind = if matches!(cause, Cause::Poll | Cause::Slow) { verdict } else { "app".into() };
        records.push(Record { client_port: port + 1000, server_port: GO, verdict: behind, ..front.clone() });
        records.push(front);
    }
    (plan, logs, records)
}

fn judged(cause: Cause, spoil: impl FnOnce(&mut Logs, &mut Vec<Record>)) -> Tally {
    let (plan, mut logs, mut records) = run(cause);
    spoil(&mut logs, &mut records);
    judge(&plan, &logs, &records, true)
}

#[test]
fn a_right_run_keeps_every_promise() {
    for cause in [Cause::None, Cause::Loss, Cause::Zwin, Cause::Poll, Cause::Slow] {
        let tally = judged(cause, |_, _| {});
        assert_eq!(tally.broken(cause, Hold::All), Vec::<String>::new(), "{cause:?} {:?}", tally.misses);
        assert_eq!((tally.joined, tally.expected, tally.wrong), (80, 80, 0));
        let marked = if cause == Cause::None { 0 } else { 4 };
        assert_eq!(tally.affected, if cause == Cause::Slow { 2 * marked } else { marked }, "{cause:?}");
    }
}

#[test]
fn each_wrong_join_is_found() {
    let wrong = |spoil: fn(&mut Record)| judged(Cause::None, |_, records| spoil(&mut records[11])).wrong;
    assert_eq!(wrong(|_| {}), 0);
    assert_eq!(wrong(|r| r.client_port += 1), 1);
    assert_eq!(wrong(|r| r.status = 201), 1);
    assert_eq!(wrong(|r| r.id = "req-1".into()), 1);
    assert_eq!(wrong(|r| (r.start, r.end) = (r.start + 500 * MS, r.end + 500 * MS)), 1);
    assert_eq!(wrong(|r| r.total = 300 * MS), 1);
    assert_eq!(wrong(|r| r.trace = trace(1)), 1);
    assert_eq!(wrong(|r| r.trace.clear()), 1);
    // A layer that nothing was induced of: another request's. At nginx (11) and at the service (10).
    for layer in ["syn", "tls", "loss", "zwin", "gc", "poll", "runq", "accept"] {
        for record in [10, 11] {
            let tally = judged(Cause::None, |_, records| {
                let _ = records[record].layers.insert(layer.into(), 200);
            });
            assert_eq!((tally.wrong, tally.impossible), (1, 1), "{layer} {record}");
            assert_eq!(tally.broken(Cause::None, Hold::Joins), Vec::<String>::new());
        }
    }
    // Told twice; told though never sent.
    assert_eq!(judged(Cause::None, |_, records| records.push(records[11].clone())).wrong, 1);
    assert_eq!(judged(Cause::None, |_, records| records.push(Record { n: 999, ..records[11].clone() })).wrong, 1);
}

/// A collection that nobody asked for, which a quota stretched: the runtime's own word for it is taken, and for no more than it says.
#[test]
fn pauses_that_the_runtime_tells_were_there() {
    let line = "gc 8 @4.001s 2%: 0.021+3.5+199 ms clock, 0.043+0.31/4.8/0.22+398 ms cpu, 15->15->8 MB, 16 MB goal, 0 MB stacks, 0 MB globals, 2 P";
    let told = pauses(line, 7 * MS);
    assert_eq!(told, [(4_008 * MS, 4_008 * MS + 21_000), (4_011 * MS + 521_000, 4_210 * MS + 521_000)]);
    for other in [&format!("{line} (forced)"), "gc 8 @4.001s 2%: 0.021+3.5", "panic: nothing", ""] {
        assert!(pauses(other, 7 * MS).is_empty(), "{other}");
    }
    let (plan, mut logs, mut records) = run(Cause::Cpu);
    let Some(record) = records.iter_mut().find(|record| record.hop() == Hop::Go) else { panic!("no record") };
    record.layers.insert("gc".into(), 70);
    let at = record.start;
    assert_eq!(judge(&plan, &logs, &records, true).impossible, 1);
    logs.pauses = vec![(at, at + 10 * MS)];
    assert_eq!(judge(&plan, &logs, &records, true).impossible, 1, "only a few ms of it");
    // As long as the request was at the service.
    let n = records.iter().find(|record| record.hop() == Hop::Go).map_or(0, |record| record.n);
    if let Some(handled) = logs.handled.get_mut(&n) {
        handled.end += 100 * MS;
    }
    logs.pauses = vec![(at, at + 100 * MS)];
    assert_eq!(judge(&plan, &logs, &records, true).impossible, 0);
}

#[test]
fn missing_records_and_wrong_verdicts_break_promises() {
    let tally = judged(Cause::None, |_, records| drop(records.remove(3)));
    assert_eq!((tally.joined, tally.broken(Cause::None, Hold::All).len()), (79, 1));
    assert_eq!(tally.broken(Cause::None, Hold::Joins).len(), 0);
    let tally = judged(Cause::None, |_, records| records.truncate(70));
    assert_eq!(tally.broken(Cause::None, Hold::Joins), ["87.50 % joined, wanted 95"]);
    for verdict in ["app", "unknown"] {
        let tally = judged(Cause::Loss, |_, records| {
            records.iter_mut().filter(|r| r.verdict == "loss").for_each(|r| r.verdict = verdict.into());
        });
        assert_eq!((tally.affected, tally.right, tally.broken(Cause::Loss, Hold::All).len()), (4, 0, 1));
    }
    for verdict in ["loss", "unknown"] {
        let tally = judged(Cause::None, |_, records| records[0].verdict = verdict.into());
        assert_eq!((tally.blamed + tally.unknown, tally.broken(Cause::None, Hold::All).len()), (1, 1));
    }
}

/// The client hung, or ended without a word: the request is in its plan and in no log.
#[test]
fn requests_without_an_answer_are_counted() {
    let tally = judged(Cause::None, |logs, _| drop(logs.sent.remove(&5)));
    assert_eq!((tally.failed, tally.expected, tally.wrong), (1, 78, 0), "{:?}", tally.misses);
    assert_eq!(tally.broken(Cause::None, Hold::Joins), ["1 requests failed"]);
    // It may have a record, but not two.
    let tally = judged(Cause::None, |logs, records| {
        logs.sent.remove(&5);
        records.push(records.iter().find(|record| record.n == 5).expect("it is there").clone());
    });
    assert_eq!(tally.wrong, 1);
}

/// The service has no part in what happened to the client's connection.
#[test]
fn the_services_record_is_judged_where_the_fault_is_at_the_client() {
    for verdict in ["gc", "unknown"] {
        let tally = judged(Cause::Loss, |_, records| {
            let mut behind = records.iter_mut().filter(|record| record.n == 7 && record.server_port == GO);
            behind.next().expect("it is there").verdict = verdict.into();
        });
        assert_eq!((tally.affected, tally.right, tally.blamed + tally.unknown), (4, 4, 1), "{verdict}");
    }
}

/// Sent together: the service got the second once it had answered the first, which the pause had stopped.
#[test]
fn a_pause_before_the_service_had_a_request_is_not_its_records() {
    let (mut plan, mut logs, mut records) = run(Cause::None);
    plan = Plan::new(Cause::None, Mode::Pipeline, plan.rate, COUNT, &|_| true);
    assert_eq!((plan.before(4), plan.before(5), plan.before(1)), (None, Some(4), None));
    let begin = logs.sent[&4].begin;
    logs.windows.push(Done { cause: Cause::Gc, begin, end: begin + 300 * MS });
    for (n, from, to) in [(4, 0, 305), (5, 305, 311)] {
        let (sent, handled) = (logs.sent.get_mut(&n).expect("sent"), logs.handled.get_mut(&n).expect("handled"));
        (sent.begin, sent.opened, sent.written, sent.end) = (begin, begin, begin, begin + (to + 1) * MS);
        (handled.begin, handled.end) = (begin + from * MS, begin + to * MS);
        for record in records.iter_mut().filter(|record| record.n == n) {
            let from = if record.server_port == GO { from } else { 0 };
            (record.start, record.end, record.total) = (begin + from * MS, begin + to * MS, (to - from) * MS);
            if record.server_port == GO && n == 4 {
                record.verdict = "gc".into();
            }
        }
    }
    let tally = judge(&plan, &logs, &records, true);
    // The client waited for both, which to its connection is the application; at the service one was in the pause.
    assert_eq!((tally.affected, tally.right, tally.wrong, tally.blamed), (1, 1, 0, 0), "{:?}", tally.misses);
}

/// What queued up behind a pause may have waited for a processor until the service had caught up, and no longer.
#[test]
fn a_processor_is_waited_for_until_the_service_has_caught_up() {
    for (late, wrong) in [(true, 0), (false, 1)] {
        let tally = judged(Cause::None, |logs, records| {
            let end = logs.sent[&7].begin - 500 * MS;
            logs.windows.push(Done { cause: Cause::Gc, begin: end - 300 * MS, end });
            // Asked for within the pause, and its handler began when the judged one was there.
            let asked = logs.sent.get_mut(&6).expect("sent");
            (asked.begin, asked.opened, asked.written, asked.end) = (end - MS, end - MS, end - MS, end + 600 * MS);
            logs.handled.get_mut(&6).expect("handled").begin = if late { logs.sent[&7].begin } else { end };
            records.retain(|record| record.n != 6);
            for record in records.iter_mut().filter(|record| record.n == 7) {
                record.layers.insert("runq".into(), 200);
            }
        });
        assert_eq!(tally.wrong, 2 * wrong, "{late} {:?}", tally.misses);
    }
}

/// The kernel says that the service's threads waited for a processor, and nginx's didn't.
#[test]
fn a_wait_for_a_processor_is_as_long_as_the_kernels() {
    let tally = judged(Cause::None, |logs, records| {
        let begin = logs.sent[&5].begin;
        logs.waits = [(Hop::Go, vec![(begin - MS, 0), (begin + 20 * MS, 150 * MS)]), (Hop::Front, vec![(0, 0)])].into();
        for record in records.iter_mut().filter(|record| record.n == 5) {
            record.layers.insert("runq".into(), 180);
        }
    });
    assert_eq!((tally.wrong, tally.impossible), (1, 1), "{:?}", tally.misses);
    assert!(tally.misses[0].contains("(Front)"), "{:?}", tally.misses);
}

#[test]
fn who_was_not_delayed_is_not_affected() {
    let tally = judged(Cause::Slow, |logs, records| {
        logs.sent.values_mut().for_each(|sent| sent.end = sent.begin + 6 * MS);
        for record in records {
            (record.end, record.total) = (record.start + 4 * MS, 4 * MS);
        }
    });
    assert_eq!((tally.affected, tally.wrong), (0, 0));
    assert_eq!(tally.broken(Cause::Slow, Hold::All), ["no request was affected"]);
}

#[test]
fn a_pause_of_all_touches_those_in_it() {
    let tally = judged(Cause::Gc, |logs, records| {
        let sent = logs.sent.get_mut(&5).expect("it is there");
        sent.end += 300 * MS;
        logs.windows.push(Done { cause: Cause::Gc, begin: sent.begin, end: sent.begin + 300 * MS });
        logs.handled.get_mut(&5).expect("it is there").end += 300 * MS;
        for record in records.iter_mut().filter(|record| record.n == 5) {
            (record.end, record.total) = (record.end + 300 * MS, record.total + 300 * MS);
            if record.server_port == GO {
                record.verdict = "gc".into();
                record.layers.insert("gc".into(), 299);
            }
        }
    });
    assert_eq!((tally.affected, tally.right, tally.wrong, tally.blamed), (1, 1, 0, 0), "{:?}", tally.misses);
}

/// The client stopped reading, and the collector began after the service was done: its connection has no part in that.
#[test]
fn a_pause_after_the_service_was_done_is_not_its_records() {
    let tally = judged(Cause::Gc, |logs, records| {
        let (sent, handled) =
            (logs.sent.get_mut(&5).expect("it is there"), logs.handled.get_mut(&5).expect("it is there"));
        handled.end = sent.begin + 3 * MS;
        sent.end += 600 * MS;
        logs.to_one.entry(5).or_default().push(Done { cause: Cause::Zwin, begin: sent.begin + 4 * MS, end: sent.end });
        logs.windows.push(Done { cause: Cause::Gc, begin: sent.begin + 100 * MS, end: sent.begin + 400 * MS });
        let front = records.iter_mut().find(|record| record.n == 5 && record.server_port != GO).expect("it is there");
        (front.end, front.total) = (front.end + 600 * MS, front.total + 600 * MS);
        front.verdict = "zwin".into();
    });
    assert_eq!((tally.affected, tally.right, tally.wrong, tally.blamed), (1, 1, 0, 0), "{:?}", tally.misses);
}

#[test]
fn records_as_they_are_printed() {
    let line = |path: &str| {
        format!(
            r#"{{"type": "join_result", "data": {{"schema": 1, "id": "req-17", "total_ns": 1500, "verdict": {{"layer": "syn", "ns": 1400}},
            "legs": {{"syn": {{"state": "value", "charged_ns": 1000000}}, "loss": {{"state": "none", "charged_ns": 0}}}}, "anchor": {{"start": "9007199254740993",
            "end": 9, "client_port": 40001, "server_port": 8080, "status": 200, "path": "{path}"}}}}}}"#
        )
    };
    let lines = ["{}".into(), line("/slow/17"), line("/ok/0"), line("/gc")];
    let records = records(&lines);
    assert_eq!(records.len(), 1);
    let record = &records[0];
    assert_eq!((record.start, record.end, record.total, record.n), (9_007_199_254_740_993, 9, 1500, 17));
    assert_eq!((record.verdict.as_str(), record.id.as_str(), record.client_port), ("syn", "req-17", 40001));
    assert_eq!((record.layers["syn"], record.layers["loss"]), (1, 0));
}

//! Holds the records against the logs. What a record says is believed in nothing: not its request, not its connection, not its layers.

use super::{
    inject::Done,
    logs::{Handled, Logs, Sent},
    plan::{CPU_PERIOD_MS, Cause, Hop, Plan, SHORT},
    script::Record,
    waits::{self, Waits},
};
use std::collections::{BTreeMap, BTreeSet};

const MS: u64 = 1_000_000;
/// How far two clocks' readings of one moment may lie apart: a packet's time, and a program's that was woken for it.
const SLACK: u64 = 5 * MS;
/// Less than this is no fault worth a verdict: a hole that a sender mends at once.
const FLOOR: u64 = 20 * MS;
/// How much of a layer may be real and not induced: a loaded machine.
const NOISE_MS: u64 = 50;

/// How long the last handlers that began late may still wait for a processor.
const QUEUED: u64 = 200 * MS;

/// What a run is held to: all that the project promises, or what doesn't depend on how busy the machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    All,
    Joins,
}

/// What came out of one run.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub requests: usize,
    /// Those that the client got no answer to.
    pub failed: usize,
    /// Requests times the connections each of them used, and how many of those have one record.
    pub expected: usize,
    pub joined: usize,
    pub wrong: usize,
    /// Those among them that only a layer gives away, which has more than there was of it: on a busy machine it may be real.
    pub impossible: usize,
    /// Requests that a fault really delayed, and those among them whose record names the fault's layer.
    pub affected: usize,
    pub right: usize,
    /// The same by cause.
    pub by_cause: BTreeMap<Cause, (usize, usize)>,
    /// Records that no fault touched, those blamed on a layer all the same, and those that say `unknown`.
    pub clean: usize,
    pub blamed: usize,
    pub unknown: usize,
    /// The first of everything that wasn't right, for people.
    pub misses: Vec<String>,
}

impl Tally {
    pub fn joined_share(&self) -> f64 {
        share(self.joined, self.expected)
    }
    pub fn right_share(&self) -> f64 {
        share(self.right, self.affected)
    }
    pub fn blamed_share(&self) -> f64 {
        share(self.blamed + self.unknown, self.clean)
    }

    /// What is held of a run; each promise that isn't kept as text.
    pub fn broken(&self, cause: Cause, hold: Hold) -> Vec<String> {
        let mut broken = Vec::new();
        let mut want = |kept: bool, what: String| {
            if !kept {
                broken.push(what);
            }
        };
        let (joined, wrong) = match hold {
            Hold::All => (99.5, self.wrong),
            Hold::Joins => (95.0, self.wrong - self.impossible),
        };
        want(self.failed * 200 <= self.requests, format!("{} requests failed", self.failed));
        want(self.joined_share() >= joined, format!("{:.2} % joined, wanted {joined}", self.joined_share()));
        want(wrong == 0, format!("{wrong} wrong joins"));
        if cause != Cause::None {
            want(self.affected > 0, "no request was affected".into());
        }
        if hold == Hold::Joins {
            // On a busy machine other causes come in between; but a layer that is not seen at all is found.
            want(
                cause == Cause::None || self.right_share() >= 40.0,
                format!("{:.1} % verdicts right, wanted 40", self.right_share()),
            );
            return broken;
        }
        if cause == Cause::None {
            want(self.blamed_share() <= 0.5, format!("{:.2} % blamed, wanted at most 0.5", self.blamed_share()));
        } else {
            let wanted = if cause == Cause::Mixed { 85.0 } else { 95.0 };
            want(self.right_share() >= wanted, format!("{:.1} % verdicts right, wanted {wanted}", self.right_share()));
        }
        broken
    }

    fn miss(&mut self, what: String) {
        if self.misses.len() < 200 {
            self.misses.push(what);
        }
    }
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 100.0 } else { part as f64 * 100.0 / whole as f64 }
}

/// One request, by all logs.
struct Truth<'a> {
    n: u64,
    sent: &'a Sent,
    handled: Option<&'a Handled>,
    /// What the injector did to it, ns.
    faults: Vec<(Cause, u64, u64)>,
    /// Of causes of a time: how much of them fell into the service's part, ns. The client's wait for something else may meet them too.
    at_service: BTreeMap<Cause, u64>,
    /// How long the service stood still meanwhile for collections that nobody had asked for, ns.
    paused: u64,
    /// A pause or a quota touched it, or what had queued up behind one: it may have waited for a processor for any part of its time.
    waits: bool,
}

impl Truth<'_> {
    /// The faults that can be in the record of one connection.
    fn at(&self, hop: Hop) -> impl Iterator<Item = (Cause, u64, u64)> {
        let here = move |&(cause, ns, whole): &(Cause, u64, u64)| {
            let service = self.at_service.get(&cause).filter(|_| hop == Hop::Go);
            (cause, service.copied().unwrap_or(ns), whole)
        };
        self.faults.iter().map(here).filter(|(_, ns, _)| *ns > 0)
    }
}

/// `with_ids`: the join had the request's id, and must have told it.
pub fn judge(plan: &Plan, logs: &Logs, records: &[Record], with_ids: bool) -> Tally {
    let mut tally = Tally { requests: plan.requests.len(), ..Tally::default() };
    let mut found: BTreeMap<(u64, Hop), Vec<&Record>> = BTreeMap::new();
    for record in records {
        found.entry((record.n, record.hop())).or_default().push(record);
    }
    let (usual, busy) = (usual(plan, logs), busy(plan, logs));
    for (&n, sent) in &logs.sent {
        let truth = truth(plan, logs, &busy, (n, sent));
        for hop in [Hop::Front, Hop::Go] {
            tally.expected += 1;
            let records = found.remove(&(n, hop)).unwrap_or_default();
            let [record] = records[..] else {
                tally.wrong += records.len().saturating_sub(1);
                tally.miss(format!("request {n} ({hop:?}, port {}): {} records", sent.port, records.len()));
                continue;
            };
            tally.joined += 1;
            let layer = impossible(&truth, hop, record, &logs.waits);
            let why = wrong(&truth, hop, record, with_ids);
            tally.impossible += usize::from(why.is_none() && layer.is_some());
            if let Some(why) = why.or(layer) {
                tally.wrong += 1;
                tally.miss(format!("request {n} ({hop:?}): WRONG JOIN: {why}\n{}", record.text));
            }
            verdict(&mut tally, plan, &truth, hop, record, usual);
        }
    }
    for request in plan.requests.iter().filter(|request| !logs.sent.contains_key(&request.n)) {
        tally.failed += 1;
        let why = logs.failed.get(&request.n).map_or("no answer", String::as_str);
        tally.miss(format!("request {} (port {}) failed: {why}", request.n, request.port));
    }
    // Records of requests that nobody sent; those that failed may have one.
    for ((n, hop), records) in found {
        let asked = (1..=plan.requests.len() as u64).contains(&n);
        let wrong = records.len() - usize::from(asked);
        if wrong > 0 {
            tally.wrong += wrong;
            tally.miss(format!("request {n} ({hop:?}) got no answer, and has a record\n{}", records[0].text));
        }
    }
    tally
}

/// How long a request takes to which nothing is done: the median.
fn usual(plan: &Plan, logs: &Logs) -> u64 {
    let clean = plan.requests.iter().filter(|request| request.faults.is_empty());
    let mut times: Vec<u64> = clean.filter_map(|r| logs.sent.get(&r.n)).map(|sent| sent.end - sent.begin).collect();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or(0)
}

fn overlap(a: (u64, u64), b: (u64, u64)) -> u64 {
    a.1.min(b.1).saturating_sub(a.0.max(b.0))
}

fn truth<'a>(plan: &Plan, logs: &'a Logs, busy: &[(u64, u64)], (n, sent): (u64, &'a Sent)) -> Truth<'a> {
    let handled = logs.handled.get(&n);
    let request = plan.requests.get(n as usize - 1);
    let mut faults = Vec::new();
    for &(cause, ms) in request.iter().flat_map(|request| &request.faults) {
        match cause {
            Cause::Slow => faults.push((cause, ms * MS, ms * MS)),
            // A pause meanwhile makes the service wait longer: that is the pause's share.
            Cause::Poll => faults.push((cause, handled.map_or(0, |h| h.waited.min(ms * MS)), ms * MS)),
            _ => {}
        }
    }
    for done in logs.to_one.get(&n).into_iter().flatten() {
        faults.push((done.cause, done.end - done.begin, done.end - done.begin));
    }
    for done in &logs.windows {
        faults.extend(in_window(done, sent));
    }
    let service = at_service(plan, logs, n, sent);
    let during = |cause| logs.windows.iter().filter(move |done| done.cause == cause);
    let ns = |cause| during(cause).map(|done| overlap(service, (done.begin, done.end))).sum();
    let paused = logs.pauses.iter().map(|pause| overlap(service, *pause)).sum();
    let at_service = [Cause::Gc, Cause::Cpu].into_iter().map(|cause| (cause, ns(cause))).collect();
    let times = (sent.begin, sent.end);
    let holes = logs.holes.get(&sent.port).into_iter().flatten().copied();
    let (lost, whole) = hole(times, holes);
    if lost > 0 {
        faults.push((Cause::Loss, lost, whole));
    }
    let waits = busy.iter().any(|time| overlap((sent.begin, sent.end), *time) > 0);
    Truth { n, sent, handled, faults, at_service, paused, waits }
}

/// The times of pauses and quotas, each until the service had caught up with what it was asked meanwhile.
fn busy(plan: &Plan, logs: &Logs) -> Vec<(u64, u64)> {
    let began = |(n, sent): (&u64, &Sent)| Some((at_service(plan, logs, *n, sent).0, logs.handled.get(n)?.begin));
    let mut asked: Vec<_> = logs.sent.iter().filter_map(began).collect();
    asked.sort_unstable();
    let late = |end: u64, &(asked, began): &(u64, u64)| if asked < end { end.max(began) } else { end };
    let windows = logs.windows.iter().filter(|done| matches!(done.cause, Cause::Gc | Cause::Cpu));
    windows.map(|done| (done.begin, asked.iter().fold(done.end, late) + QUEUED)).collect()
}

/// From when nginx can have asked the service for it until the service was done.
fn at_service(plan: &Plan, logs: &Logs, n: u64, sent: &Sent) -> (u64, u64) {
    let before = plan.before(n).and_then(|n| logs.handled.get(&n)).map_or(0, |handled| handled.end);
    (sent.written.max(before), logs.handled.get(&n).map_or(sent.end, |handled| handled.end))
}

/// For how long a request's connection had a hole, and how long the holes were that touched it.
fn hole(request: (u64, u64), holes: impl Iterator<Item = (u64, u64)>) -> (u64, u64) {
    let mut touching: Vec<_> = holes.filter(|hole| overlap(*hole, request) > 0).collect();
    touching.sort_unstable();
    let (mut ns, mut whole, mut free) = (0, 0, 0);
    for (begin, end) in touching {
        let begin = begin.max(free);
        ns += overlap((begin, end), request);
        whole += end.saturating_sub(begin);
        free = free.max(end);
    }
    (ns, whole)
}

/// What a fault of a time did to this request: (cause, ns of it, ns that it takes in full).
fn in_window(done: &Done, sent: &Sent) -> Option<(Cause, u64, u64)> {
    let whole = done.end - done.begin;
    let (ns, whole) = match done.cause {
        // Only those who connect to the short backlog, while it is full.
        Cause::Backlog if sent.server_port == SHORT && sent.new => {
            let hit = overlap((sent.begin, sent.begin + sent.connect), (done.begin, done.end)) > 0;
            (if hit { sent.connect } else { 0 }, whole)
        }
        Cause::Gc => (overlap((sent.written, sent.end), (done.begin, done.end)), whole),
        Cause::Cpu => (overlap((sent.written, sent.end), (done.begin, done.end)), CPU_PERIOD_MS * MS),
        _ => (0, whole),
    };
    (ns > 0).then_some((done.cause, ns, whole))
}

/// Why this can't be the record of this request.
fn wrong(truth: &Truth<'_>, hop: Hop, record: &Record, with_ids: bool) -> Option<String> {
    let sent = truth.sent;
    let (port, name) = match hop {
        Hop::Front => (Some(sent.port), "client"),
        Hop::Go => (truth.handled.map(|handled| handled.port), "nginx"),
    };
    if hop == Hop::Front && record.server_port != sent.server_port
        || port.is_some_and(|port| record.client_port != port)
    {
        return Some(format!("it is of port {}, the {name} says {port:?}", record.client_port));
    }
    if record.status != sent.status {
        return Some(format!("its status is {}, the client got {}", record.status, sent.status));
    }
    let (begin, end) = (sent.begin.saturating_sub(SLACK), sent.end + SLACK);
    if record.start < begin || record.end > end || record.start > record.end {
        let off = |at: u64| (at as f64 - sent.begin as f64) / MS as f64;
        let (a, b, client) = (off(record.start), off(record.end), off(sent.end));
        return Some(format!("it lasts from {a:.1} to {b:.1} ms, for the client from 0 to {client:.1}"));
    }
    if record.total > end - begin.min(sent.opened) || record.total < record.end - record.start {
        return Some(format!("its total is {} ms", record.total / MS));
    }
    if let Some(handled) = truth.handled
        && (record.start > handled.begin + SLACK || record.end + SLACK < handled.begin)
    {
        return Some("the service had it at another time".into());
    }
    if with_ids && record.id != format!("req-{}", truth.n) {
        return Some(format!("its id is {:?}", record.id));
    }
    if record.trace != sent.trace && (with_ids || !record.trace.is_empty()) {
        return Some(format!("its trace is {:?}, the client's {}", record.trace, sent.trace));
    }
    None
}

/// A layer with more than there was of it: another request's or connection's.
fn impossible(truth: &Truth<'_>, hop: Hop, record: &Record, waited: &Waits) -> Option<String> {
    let sent = truth.sent;
    let done = |cause: Cause| truth.faults.iter().filter(|(c, ..)| *c == cause).map(|(_, ns, _)| ns / MS).sum::<u64>();
    let any = |cause: Cause| truth.faults.iter().any(|(c, ..)| *c == cause);
    // A starved service reads and accepts late.
    let starved = done(Cause::Cpu) + done(Cause::Gc);
    let front = hop == Hop::Front;
    let bounds = [
        ("syn", if front { sent.connect / MS } else { starved }),
        ("tls", if front { sent.secure / MS } else { 0 }),
        // A reader that stops lets its buffer overflow, too.
        ("loss", if front && (any(Cause::Loss) || any(Cause::Zwin)) { u64::MAX } else { starved }),
        ("zwin", if front && any(Cause::Zwin) { u64::MAX } else { starved }),
        ("gc", if front { 0 } else { done(Cause::Gc) + truth.paused / MS }),
        ("poll", if front { 0 } else { done(Cause::Poll) + starved }),
        (
            "runq",
            if truth.waits {
                u64::MAX
            } else {
                waits::during(waited, hop, record.end.saturating_sub(record.total), record.end) / MS
            },
        ),
        ("accept", if front { 0 } else { starved }),
    ];
    bounds.into_iter().find_map(|(layer, most)| {
        let said = record.layers.get(layer).copied().unwrap_or(0);
        (said > most.saturating_add(NOISE_MS)).then(|| format!("{layer} {said} ms, there were {most} ms of it"))
    })
}

/// How a fault shows at a connection: behind nginx all is the application for the client's connection.
fn layer_at(cause: Cause, hop: Hop) -> Option<&'static str> {
    match (cause.hop(), hop) {
        _ if cause == Cause::Slow => Some("app"),
        (a, b) if a == b => Some(cause.layer()),
        (Hop::Go, Hop::Front) => Some("app"),
        _ => None,
    }
}

fn verdict(tally: &mut Tally, plan: &Plan, truth: &Truth<'_>, hop: Hop, record: &Record, usual: u64) {
    let mut shares: BTreeMap<&str, u64> = BTreeMap::new();
    for (cause, ns, _) in truth.at(hop) {
        if let Some(layer) = layer_at(cause, hop) {
            *shares.entry(layer).or_default() += ns;
        }
    }
    let elsewhere = !truth.faults.is_empty() && shares.keys().all(|layer| *layer == "app");
    let delay = (truth.sent.end - truth.sent.begin).saturating_sub(usual);
    let here = |cause: Cause| cause == Cause::Slow || cause.hop() == hop;
    let largest = truth.at(hop).filter(|(cause, ..)| here(*cause)).max_by_key(|(_, ns, _)| *ns);
    if let Some((cause, ns, whole)) = largest
        && delay.min(ns) * 2 >= whole
        && whole >= FLOOR
        && let Some((&wanted, _)) = shares.iter().max_by_key(|(_, ns)| **ns)
    {
        tally.affected += 1;
        let right = record.verdict == wanted;
        tally.right += usize::from(right);
        let row = tally.by_cause.entry(cause).or_default();
        row.0 += 1;
        row.1 += usize::from(right);
        if !right {
            let induced: BTreeSet<_> = truth.faults.iter().map(|(c, ns, _)| (c.name(), ns / MS)).collect();
            let ms = (truth.sent.end - truth.sent.begin) / MS;
            tally.miss(format!(
                "request {} ({hop:?}, {}): wanted {wanted}, induced {induced:?}, client {ms} ms\n{}",
                truth.n,
                plan.mode.name(),
                record.text
            ));
        }
        return;
    }
    if truth.faults.is_empty() || elsewhere {
        tally.clean += 1;
        match record.verdict.as_str() {
            "app" => return,
            "unknown" => tally.unknown += 1,
            _ => tally.blamed += 1,
        }
        tally.miss(format!("request {} ({hop:?}): no fault, and blamed\n{}", truth.n, record.text));
    }
}

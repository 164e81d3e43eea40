//! Joins under stress: a thousand connections at once, a port used again within a second, and two pairs of namespaces with equal tuples.

use crate::{
    client::{self, Request, Seen},
    demo::{Pieces, is_verdict, records},
    net::{Drop, Net},
    server::{PORT, Server},
    watch::Watch,
};
use std::{collections::BTreeMap, io, path::Path, thread, time::Duration};

type Running = Vec<(String, thread::JoinHandle<io::Result<Seen>>)>;
type Records = BTreeMap<String, (u64, Pieces)>;

pub fn run(weftrace: &Path) -> io::Result<bool> {
    let net = Net::new("j")?;
    let twin = Net::new("k")?;
    let directory = std::env::temp_dir().join(format!("weftrace-joins-{}", std::process::id()));
    let server = Server::start(&net, &directory.join("j"))?;
    let other = Server::start(&twin, &directory.join("k"))?;
    let args = ["run", "--netns", &net.server(), "http/slow_requests", "--slow", "0"].map(String::from);
    let watch = Watch::start(weftrace, &args, false)?;
    let crowd = crowd(&net)?;
    let reused = reused_port(&net)?;
    let twins = equal_tuples(&net, &twin)?;
    watch.printed(crowd.len() + reused.len() + twins.len(), Duration::from_secs(10), is_verdict);
    let (out, err, clean) = watch.stop()?;
    drop((server, other));
    let _ = std::fs::remove_dir_all(&directory);
    let records = records(&out);
    let mut right = clean;
    for (name, wrong) in [
        ("1,000 connections at once", check(&crowd, &records)),
        ("a port used again within a second", check(&reused, &records)),
        ("equal tuples in two pairs of namespaces", check(&twins, &records)),
    ] {
        println!(
            "{name}: {}",
            if wrong.is_empty() { "right".to_owned() } else { format!("WRONG\n{}", wrong.join("\n")) }
        );
        right &= wrong.is_empty();
    }
    if !right {
        println!("{}", err.join("\n"));
    }
    Ok(right)
}

fn request(id: String, path: &str, client_port: u16) -> Request {
    Request { id, path: path.into(), client_port, server_port: PORT, stall: Duration::ZERO }
}

fn start(net: &Net, request: Request, running: &mut Running) {
    running.push((request.id.clone(), client::start(&net.client(), request)));
}

fn finish(running: Running) -> io::Result<Vec<(String, Seen)>> {
    let mut seen = Vec::new();
    for (id, thread) in running {
        let result = thread.join().map_err(|_| io::Error::other("a client panicked"))?;
        seen.push((id.clone(), result.map_err(|e| io::Error::new(e.kind(), format!("{id}: {e}")))?));
    }
    Ok(seen)
}

/// Every twentieth loses its first SYN.
fn crowd(net: &Net) -> io::Result<Vec<(String, Seen)>> {
    for port in (20_000..21_000).step_by(20) {
        net.arm(Drop::Syn(1), port)?;
    }
    let mut running = Running::new();
    for port in 20_000..21_000u16 {
        start(net, request(format!("c{port}"), "/delay/400", port), &mut running);
    }
    finish(running)
}

/// The first connection of the port loses its SYN, the second, right after it, doesn't.
fn reused_port(net: &Net) -> io::Result<Vec<(String, Seen)>> {
    let mut seen = Vec::new();
    for round in 0..2 {
        if round == 0 {
            net.arm(Drop::Syn(1), 33_000)?;
        }
        let mut running = Running::new();
        start(net, request(format!("again{round}"), "/delay/50", 33_000), &mut running);
        seen.extend(finish(running)?);
    }
    Ok(seen)
}

/// The same addresses and ports at the same time, in namespaces that weftrace's packets don't come from: their SYNs are lost, ours aren't.
fn equal_tuples(net: &Net, twin: &Net) -> io::Result<Vec<(String, Seen)>> {
    let (mut ours, mut theirs) = (Running::new(), Running::new());
    for port in 34_000..34_010u16 {
        twin.arm(Drop::Syn(1), port)?;
        start(twin, request(format!("twin{port}"), "/delay/100", port), &mut theirs);
        start(net, request(format!("own{port}"), "/delay/100", port), &mut ours);
    }
    finish(theirs)?;
    finish(ours)
}

/// Each record's total and connect time, against what its client measured. A client that shares its processors with a thousand others is
/// woken late: it can only say that the request took no longer. What was injected bounds it from below.
fn check(seen: &[(String, Seen)], records: &Records) -> Vec<String> {
    let mut wrong = Vec::new();
    for (id, client) in seen {
        let (total, connect) = (client.total.as_millis() as u64, client.connect.as_millis() as u64);
        match records.get(id) {
            None => wrong.push(format!("{id}: no record")),
            Some((said, pieces)) => {
                let piece = |name: &str| pieces.get(name).copied().unwrap_or(0);
                let (syn, app, runq) = (piece("syn"), piece("app"), piece("runq"));
                let sum: u64 = crate::LAYERS.iter().map(|layer| piece(layer)).sum();
                // A thousand at once also wait for a processor, and what the server waits for one is blamed on that first: it is neither
                // the handshake's nor the delay that was asked for.
                let lost = connect >= SYN_TIMER_MS;
                let syn_right = syn <= connect + SLACK_MS && (!lost || syn + runq >= SYN_TIMER_MS);
                let delayed = app + runq >= delay(id);
                if !syn_right || *said > total + SLACK_MS || !delayed || sum.abs_diff(*said) > 3 {
                    wrong.push(format!(
                        "{id}: total {said} ms (client {total}), syn {syn} ms (client {connect}), runq {runq} ms, app {app} ms"
                    ));
                }
            }
        }
    }
    wrong.truncate(20);
    wrong
}

/// The first retransmission of a SYN (RFC 6298, section 2.1).
const SYN_TIMER_MS: u64 = 1000;
const SLACK_MS: u64 = 15;

/// The application's delay by the request's kind.
fn delay(id: &str) -> u64 {
    match id.trim_end_matches(|c: char| c.is_ascii_digit()) {
        "c" => 400,
        "again" => 50,
        _ => 100,
    }
}

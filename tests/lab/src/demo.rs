//! The demo: one request per fault, two faults at once, and what weftrace made of them.

use crate::{
    client::{self, Request, Seen},
    net::{Drop, Net, done_inside},
    server::{PORT, SHORT_PORT, Server},
    watch::Watch,
};
use std::{collections::BTreeMap, io, path::Path, thread, time::Duration};

/// One slow request: what is done to it, and the layers that must answer for it, largest first.
struct Case {
    id: &'static str,
    path: &'static str,
    drops: &'static [Drop],
    stall_ms: u64,
    layers: &'static [(&'static str, Induced)],
}

/// How long a cause really took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Induced {
    /// Known beforehand, ms.
    Ms(u64),
    /// What the client measured to connect.
    Connect,
    /// How long the client's buffer was full.
    Full,
    /// What is left of the client's total once the other causes are taken away.
    Rest,
}

impl Induced {
    fn ms(self, client: &Seen, others: u64) -> u64 {
        match self {
            Self::Ms(ms) => ms,
            Self::Connect => client.connect.as_millis() as u64,
            Self::Full => client.full.as_millis() as u64,
            Self::Rest => (client.total.as_millis() as u64).saturating_sub(others),
        }
    }
}

const CASES: &[Case] = &[
    Case { id: "syn-lost", path: "/small", drops: &[Drop::Syn(1)], stall_ms: 0, layers: &[("syn", Induced::Connect)] },
    Case {
        id: "synack-lost",
        path: "/small",
        drops: &[Drop::SynAck(1)],
        stall_ms: 0,
        layers: &[("syn", Induced::Connect)],
    },
    Case {
        id: "response-lost",
        path: "/small",
        drops: &[Drop::Response(3)],
        stall_ms: 0,
        layers: &[("loss", Induced::Rest)],
    },
    Case { id: "reader-stalls", path: "/big", drops: &[], stall_ms: 1500, layers: &[("zwin", Induced::Full)] },
    Case { id: "app-slow", path: "/delay/700", drops: &[], stall_ms: 0, layers: &[("app", Induced::Ms(700))] },
    Case {
        id: "syn-and-app",
        path: "/delay/600",
        drops: &[Drop::Syn(1)],
        stall_ms: 0,
        layers: &[("syn", Induced::Connect), ("app", Induced::Ms(600))],
    },
    Case {
        id: "loss-and-app",
        path: "/delay/900",
        drops: &[Drop::Response(2)],
        stall_ms: 0,
        layers: &[("app", Induced::Ms(900)), ("loss", Induced::Rest)],
    },
];

/// Layers of one printed record, in ms.
pub type Pieces = BTreeMap<String, u64>;

pub fn run(weftrace: &Path, script: &str) -> io::Result<bool> {
    let directory = std::env::temp_dir().join(format!("weftrace-demo-{}", std::process::id()));
    let net = match Net::new("d") {
        Ok(net) => net,
        Err(error) => {
            println!("RECORDED (no network namespaces here: {error})");
            return recorded(weftrace, script);
        }
    };
    println!("LIVE: {} -> router -> {}, nginx on port {PORT}, faults made in the router", net.client(), net.server());
    net.gso(false)?;
    let server = Server::start(&net, &directory)?;
    let args = ["run", "--netns", &net.server(), script, "--slow", "150ms"].map(String::from);
    let watch = Watch::start(weftrace, &args, true)?;
    let outcome = traffic(&net, &server);
    // In-flight packets and the kernel's last events are younger than the watermark's margin.
    watch.printed(CASES.len() + 1, Duration::from_secs(10), is_verdict);
    let (out, _, clean) = watch.stop()?;
    drop(server);
    let _ = std::fs::remove_dir_all(&directory);
    let seen = outcome?;
    let right = compare(&seen, &records(&out));
    if !clean {
        println!("weftrace did not exit cleanly");
    }
    Ok(right && clean)
}

/// Everything the clients do; returns what they saw, by id.
fn traffic(net: &Net, server: &Server) -> io::Result<BTreeMap<String, Seen>> {
    let client = net.client();
    let mut running = Vec::new();
    for i in 0..40u16 {
        let request = request(&format!("fast-{i}"), "/small", 20000 + i, PORT, 0);
        running.push((request.id.clone(), client::start(&client, request)));
    }
    for (port, case) in (30000..).zip(CASES) {
        for drop in case.drops {
            net.arm(*drop, port)?;
        }
        let request = request(case.id, case.path, port, PORT, case.stall_ms);
        running.push((request.id.clone(), client::start(&client, request)));
        thread::sleep(Duration::from_millis(30));
    }
    let mut seen = BTreeMap::new();
    finish(running, &mut seen)?;
    finish(vec![full_backlog(&client, server)?], &mut seen)?;
    Ok(seen)
}

fn finish(
    running: Vec<(String, thread::JoinHandle<io::Result<Seen>>)>,
    seen: &mut BTreeMap<String, Seen>,
) -> io::Result<()> {
    for (id, request) in running {
        let result = request.join().map_err(|_| io::Error::other("a client panicked"))?;
        seen.insert(id.clone(), result.map_err(|e| io::Error::new(e.kind(), format!("request {id}: {e}")))?);
    }
    Ok(())
}

fn request(id: &str, path: &str, client_port: u16, server_port: u16, stall_ms: u64) -> Request {
    let (id, path) = (id.to_owned(), path.to_owned());
    Request { id, path, client_port, server_port, stall: Duration::from_millis(stall_ms) }
}

/// nginx is stopped for 1.5 s while connections that ask nothing fill the accept queue of a short-backlog listener: the next
/// client's SYNs are dropped until it goes on.
fn full_backlog(client: &str, server: &Server) -> io::Result<(String, thread::JoinHandle<io::Result<Seen>>)> {
    server.pause()?;
    let fill = || (0..2u16).map(|i| client::connect(40000 + i, SHORT_PORT, false)).collect::<io::Result<Vec<_>>>();
    let fillers = done_inside(client, fill)?;
    let request = request("backlog-full", "/small", 40010, SHORT_PORT, 0);
    let running = ("backlog-full".to_owned(), client::start(client, request));
    thread::sleep(Duration::from_millis(1500));
    server.resume()?;
    drop(fillers);
    Ok(running)
}

/// The second line of a record.
pub fn is_verdict(line: &str) -> bool {
    line.trim_start().starts_with("verdict ")
}

/// The printed records by id: `syn 1003 | loss none | app 4 | unknown 0`.
pub fn records(lines: &[String]) -> BTreeMap<String, (u64, Pieces)> {
    let mut found = BTreeMap::new();
    for window in lines.windows(3) {
        let [head, verdict, pieces] = window else { continue };
        if !is_verdict(verdict) {
            continue;
        }
        let Some(id) = head.split_whitespace().next() else { continue };
        let words: Vec<&str> = head.split_whitespace().collect();
        let total = words.iter().position(|w| *w == "ms").and_then(|at| words[at - 1].parse().ok()).unwrap_or(0);
        let pieces = pieces.split('|').filter_map(|piece| {
            let mut words = piece.split_whitespace();
            let (name, value) = (words.next()?, words.next()?);
            let outside = words.next().is_some();
            Some((name.to_owned(), if outside { 0 } else { value.parse().unwrap_or(0) }))
        });
        found.insert(id.to_owned(), (total, pieces.collect()));
    }
    found
}

/// Holds every record against what the client measured.
fn compare(seen: &BTreeMap<String, Seen>, records: &BTreeMap<String, (u64, Pieces)>) -> bool {
    println!("\nrequest          client saw       weftrace says     induced          verdict");
    let backlog = Case { id: "backlog-full", path: "", drops: &[], stall_ms: 0, layers: &[("syn", Induced::Connect)] };
    let mut all_right = true;
    for case in CASES.iter().chain([&backlog]) {
        let Some(client) = seen.get(case.id) else { continue };
        let Some((total, pieces)) = records.get(case.id) else {
            println!("{:<16} {:>7} ms       no record", case.id, client.total.as_millis());
            all_right = false;
            continue;
        };
        let (right, why) = judge(case, client, *total, pieces);
        all_right &= right;
        let layers: Vec<String> =
            case.layers.iter().map(|(l, _)| format!("{l} {}", pieces.get(*l).copied().unwrap_or(0))).collect();
        println!(
            "{:<16} {:>7} ms       {:>7} ms        {:<16} {}{why}",
            case.id,
            client.total.as_millis(),
            total,
            layers.join(" + "),
            if right { "right" } else { "WRONG" },
        );
    }
    for id in seen.keys().filter(|id| id.starts_with("fast")) {
        if records.contains_key(id) {
            println!("{id}: not slow, but reported");
        }
    }
    all_right
}

fn judge(case: &Case, client: &Seen, total: u64, pieces: &Pieces) -> (bool, String) {
    // What a busy machine's server waited for a processor meanwhile is blamed on that first, and not on what was induced.
    let waited = pieces.get("runq").copied().unwrap_or(0);
    let close = |said: u64, injected: u64| {
        let tolerance = (injected / 20).max(10);
        said <= injected + tolerance && said + waited + tolerance >= injected
    };
    let sum: u64 = crate::LAYERS.iter().filter_map(|l| pieces.get(*l)).sum();
    // Each piece is rounded to a millisecond.
    if sum.abs_diff(total) > 3 {
        return (false, format!(": the layers sum to {sum}"));
    }
    let (largest, _) = pieces
        .iter()
        .filter(|(name, _)| crate::LAYERS.contains(&name.as_str()))
        .max_by_key(|(_, ms)| **ms)
        .map_or(("", 0), |(name, ms)| (name.as_str(), *ms));
    if largest != case.layers[0].0 {
        return (false, format!(": the largest layer is {largest}"));
    }
    let others = case.layers.iter().filter(|(_, i)| *i != Induced::Rest).map(|(_, i)| i.ms(client, 0)).sum();
    for (layer, induced) in case.layers {
        let induced = induced.ms(client, others);
        let said = pieces.get(*layer).copied().unwrap_or(0);
        if !close(said, induced) {
            return (false, format!(": {layer} {said} ms, induced {induced} ms"));
        }
    }
    (true, String::new())
}

/// Where namespaces can't be made: the same script on the recording that ships with the project.
fn recorded(weftrace: &Path, script: &str) -> io::Result<bool> {
    let recording = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/http/slow_requests.pcap");
    let status = std::process::Command::new(weftrace)
        .args(["run", "--read"])
        .arg(recording)
        .args([script, "--slow", "150ms"])
        .status()?;
    Ok(status.success())
}

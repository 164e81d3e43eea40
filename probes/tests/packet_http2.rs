//! HTTP/2 frame by frame against tshark 4.0: `http2/NAME.pcap` with `http2/NAME.truth`, which is what [`tshark`] says of it.
//! `WEFTRACE_HTTP2_CAPTURES=DIR` compares all captures of a folder with the tshark that is installed.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod packet_support;

use packet_support::http2::{exchange, fixture, present};
use packet_support::strings;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use weftrace_artifact::packet::{PacketView, layer};
use weftrace_probes::packet::{Http2Counters, Pipeline};

/// What is compared, by tshark's names.
const NAMES: &[&str] = &[
    "http2.streamid",
    "http2.type",
    "http2.flags",
    "http2.length",
    "http2.headers.method",
    "http2.headers.path",
    "http2.headers.authority",
    "http2.headers.scheme",
    "http2.headers.status",
    "http2.rst_stream.error",
    "http2.goaway.error",
    "http2.goaway.last_stream_id",
    "http2.window_update.window_size_increment",
    "http2.push_promise.promised_stream_id",
    "http2.header.name",
    "http2.header.value",
];

/// Ports of the captures that tshark does not find HTTP/2 on.
const PORTS: &[&str] = &["80", "443", "3000", "8443", "8888", "9100-9110", "54321"];

/// By packet: each field's values in the order of frames.
type Seen = BTreeMap<u64, Vec<Vec<String>>>;

/// What tshark says of a capture, one line a packet: its number, then each field's values.
/// `told`: that these ports speak HTTP/2. Untold it looks for the client's preface, on some ports only.
fn tshark(capture: &Path, told: bool) -> String {
    let mut command = Command::new("tshark");
    command.args(["-n", "-T", "fields", "-E", "occurrence=a", "-E", "aggregator=\u{1f}", "-Y", "http2"]);
    for ports in if told { PORTS } else { &[] } {
        command.arg("-d").arg(format!("tcp.port=={ports},http2"));
    }
    command.args(["-e", "frame.number", "-r"]).arg(capture);
    for name in NAMES {
        command.args(["-e", name]);
    }
    String::from_utf8_lossy(&command.output().expect("tshark runs").stdout).into_owned()
}

fn parse(text: &str) -> Seen {
    let mut seen = Seen::new();
    for line in text.lines() {
        let mut cells = line.split('\t');
        let number = cells.next().unwrap().parse().unwrap();
        let cell = |cell: &str| cell.split('\u{1f}').filter(|v| !v.is_empty()).map(decimal).collect();
        seen.insert(number, cells.map(cell).collect());
    }
    seen
}

fn decimal(text: &str) -> String {
    let hex = text.strip_prefix("0x").and_then(|hex| u64::from_str_radix(hex, 16).ok());
    hex.map_or_else(|| text.to_owned(), |n| n.to_string())
}

fn add(view: &PacketView, seen: &mut Seen) {
    if view.layers & layer::HTTP2 == 0 {
        return;
    }
    let f = &view.http2;
    let has = |bit: u64| view.layers & bit != 0;
    let number = |is: bool, n: u32| is.then(|| n.to_string());
    let text = |is: bool, s| is.then(|| strings::text(s));
    let headers = if has(layer::HTTP2_HEADERS) { strings::headers(f.headers) } else { Vec::new() };
    let one = |value: Option<String>| value.into_iter().filter(|v| !v.is_empty()).collect::<Vec<_>>();
    let values = [
        one(number(true, f.stream)),
        one(number(true, f.kind)),
        one(number(true, f.flags)),
        one(number(true, f.len)),
        one(text(has(layer::HTTP2_METHOD), f.method)),
        one(text(has(layer::HTTP2_PATH), f.path)),
        one(text(has(layer::HTTP2_AUTHORITY), f.authority)),
        one(text(has(layer::HTTP2_METHOD), f.scheme)),
        one(number(has(layer::HTTP2_STATUS), f.status)),
        one(number(has(layer::HTTP2_RESET), f.error)),
        one(number(has(layer::HTTP2_GOAWAY), f.error)),
        one(number(has(layer::HTTP2_GOAWAY), f.value)),
        one(number(has(layer::HTTP2_WINDOW), f.value)),
        one(number(has(layer::HTTP2_PROMISED), f.value)),
        headers.iter().map(|(name, _)| name.clone()).collect(),
        headers.iter().map(|(_, value)| value.clone()).filter(|v| !v.is_empty()).collect(),
    ];
    let all = seen.entry(view.number).or_insert_with(|| vec![Vec::new(); NAMES.len()]);
    for (all, values) in all.iter_mut().zip(values) {
        all.extend(values);
    }
}

fn ours(capture: &Path) -> (Seen, Pipeline) {
    let mut seen = Seen::new();
    let pipeline = present(capture, |_| false, |view| add(view, &mut seen));
    (seen, pipeline)
}

/// Packets whose values differ. Headers are compared without regard to their order: long ones come last. Those of a block in several
/// frames tshark shows where they lie, we with the frame that ends it: these are not compared.
fn differences(have: &Seen, want: &Seen) -> Vec<String> {
    let mut wrong = Vec::new();
    let numbers: std::collections::BTreeSet<_> = have.keys().chain(want.keys()).collect();
    let none = vec![Vec::new(); NAMES.len()];
    for number in numbers {
        let (have, want) = (have.get(number).unwrap_or(&none), want.get(number).unwrap_or(&none));
        // END_HEADERS is missing in HEADERS, or there is a CONTINUATION.
        let in_parts = want[1].iter().zip(&want[2]).any(|(kind, flags)| {
            kind == "9" || (kind == "1" && flags.parse::<u32>().is_ok_and(|flags| flags & 4 == 0))
        });
        for ((name, have), want) in NAMES.iter().zip(have).zip(want) {
            let (mut have, mut want) = (have.clone(), want.clone());
            if in_parts && name.starts_with("http2.header") {
                continue;
            }
            if name.starts_with("http2.header.") {
                have.sort_unstable();
                want.sort_unstable();
            }
            if have != want {
                wrong.push(format!("packet {number}: {name}\n  have {have:?}\n  want {want:?}"));
            }
        }
    }
    wrong
}

/// What tshark says where it sees most.
fn nearest(capture: &Path, have: &Seen) -> String {
    let both = [tshark(capture, false), tshark(capture, true)];
    both.into_iter().min_by_key(|text| differences(have, &parse(text)).len()).unwrap()
}

fn folder(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = std::fs::read_dir(dir).unwrap().flatten().map(|entry| entry.path()).collect();
    found.retain(|path| path.extension().is_some_and(|e| e == "pcap" || e == "pcapng"));
    found.sort();
    found
}

#[test]
fn fixtures_equal_tshark() {
    let captures = folder(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/http2")));
    assert!(captures.len() >= 4);
    for capture in captures {
        let truth = capture.with_extension("truth");
        let (have, _) = ours(&capture);
        if std::env::var_os("WEFTRACE_BLESS").is_some() {
            std::fs::write(&truth, nearest(&capture, &have)).unwrap();
        }
        let want = parse(&std::fs::read_to_string(&truth).unwrap());
        let wrong = differences(&have, &want);
        assert!(wrong.is_empty(), "{}:\n{}", capture.display(), wrong.join("\n"));
        assert!(!want.is_empty());
    }
}

#[test]
fn captures_equal_tshark() {
    let Some(dir) = std::env::var_os("WEFTRACE_HTTP2_CAPTURES") else {
        println!("SKIP WEFTRACE_HTTP2_CAPTURES: not asked for");
        return;
    };
    let mut failed = 0;
    for capture in folder(Path::new(&dir)) {
        let (have, pipeline) = ours(&capture);
        let want = parse(&nearest(&capture, &have));
        let wrong = differences(&have, &want);
        let frames: usize = have.values().map(|values| values[0].len()).sum();
        println!(
            "{}: {} packets, {frames} frames, {} differences, {:?}",
            capture.display(),
            have.len(),
            wrong.len(),
            pipeline.counters().http2
        );
        for line in wrong.iter().take(6) {
            println!("  {}", line.chars().take(1500).collect::<String>());
        }
        failed += wrong.len();
    }
    assert_eq!(failed, 0);
}

fn exchanges(name: &str) -> BTreeMap<String, u32> {
    let mut all = BTreeMap::new();
    let pipeline = present(
        &fixture(name),
        |_| false,
        |view| {
            if view.layers & layer::HTTP_EXCHANGE != 0 {
                assert!(view.http.end >= view.http.start && view.http.duration == view.http.end - view.http.start);
                *all.entry(exchange(view)).or_insert(0) += 1;
            }
        },
    );
    assert_eq!(pipeline.counters().http2, Http2Counters::default(), "nothing is unknown");
    assert_eq!(pipeline.counters().http_dropped, 0);
    all
}

#[test]
fn calls_with_their_status() {
    let call = "HTTP/2 POST /demo.Greeter/";
    let want = [
        (format!("{call}Ok 200 whole grpc demo.Greeter/Ok 0 "), 20),
        (format!("{call}Fail 200 whole grpc demo.Greeter/Fail 5 no such thing: \u{fc} 100%"), 10),
        (format!("{call}Missing 200 whole grpc demo.Greeter/Missing 12 Method not found!"), 10),
        (format!("{call}Slow 0 cut error 8 grpc demo.Greeter/Slow ?"), 1),
        (format!("{call}Stream 200 whole grpc demo.Greeter/Stream 0 "), 1),
    ];
    assert_eq!(exchanges("grpc.pcap"), BTreeMap::from(want));
}

/// The request of HTTP/1 is answered on stream 1.
#[test]
fn an_upgrade_is_one_exchange() {
    let want = [
        ("HTTP/1.1 GET /up?x=1 200 whole".to_owned(), 1),
        ("HTTP/2 GET /n3 202 whole".to_owned(), 1),
        ("HTTP/2 GET /n5 202 whole".to_owned(), 1),
        ("HTTP/2 GET /n7 202 whole".to_owned(), 1),
    ];
    assert_eq!(exchanges("upgrade.pcap"), BTreeMap::from(want));
}

/// Inside TLS, with the secrets that the file holds. It ends before the last response of a connection.
#[test]
fn decrypted_exchanges() {
    let all = exchanges("tls.pcapng");
    let lines: Vec<_> = all.keys().map(String::as_str).collect();
    assert_eq!(lines, ["HTTP/2 GET /index.html 200 whole", "HTTP/2 GET /nope 404 whole", "HTTP/2 GET /r 0 cut"]);
}

#[test]
fn pushes_resets_and_trailers() {
    let all = exchanges("pushes.pcap");
    let count = |what: &str| all.iter().filter(|(line, _)| line.contains(what)).map(|(_, n)| n).sum::<u32>();
    assert_eq!((count("/pushed"), count("/push?"), count("/trail"), count("/rst")), (10, 10, 10, 10));
    // Node ends a stream before it resets it without an error.
    assert_eq!((count("error"), count("cut"), count(" 404 whole")), (0, 0, 6));
    assert_eq!(all.values().sum::<u32>(), 70);
}

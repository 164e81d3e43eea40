//! `span` and `log` blocks with what applications send, and joins with them; results sent to a collector. The SDK and the collector are the real ones
//! where Python has them (`WEFTRACE_OTEL_PYTHON` names an interpreter with opentelemetry-sdk and both OTLP exporters).
#![allow(clippy::print_stdout, reason = "tests say what they skip")]

#[path = "otel/python.rs"]
mod python;

use python::{Collector, python};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

const SPAN: &str = r#"{"type": "span", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7", "service": "checkout", "name": "GET /orders", "kind": "server", "start": "2026-11-22T15:16:51Z", "duration_ns": 2000000, "attributes": {"n": 7}}"#;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn weftrace(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weftrace"));
    command.args(args).current_dir(root()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn file(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("weftrace-spans-{name}-{}", std::process::id()))
}

/// A port that is free now.
fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port()
}

/// Runs until it says where it listens.
fn listening(args: &[&str]) -> (Child, BufReader<std::process::ChildStderr>) {
    let mut child = weftrace(args).spawn().expect("weftrace runs");
    let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
    let mut line = String::new();
    while !line.starts_with("spans: ") {
        line.clear();
        if stderr.read_line(&mut line).expect("readable") == 0 {
            break;
        }
    }
    assert!(line.starts_with("spans: "), "it doesn't listen");
    (child, stderr)
}

fn ended(mut child: Child) -> String {
    let due = Instant::now() + Duration::from_mins(1);
    while child.try_wait().expect("a child").is_none() {
        if Instant::now() > due {
            let _ = child.kill();
        }
        thread::sleep(Duration::from_millis(20));
    }
    let mut out = String::new();
    child.stdout.take().expect("piped").read_to_string(&mut out).expect("readable");
    out
}

/// A client and a server with the SDK; prints trace ids.
fn service(python: &str, args: &[&str]) -> Output {
    let mut command = Command::new(python);
    command.arg("tests/otel/service.py").args(args).current_dir(root()).output().expect("python runs")
}

const PRINT: &str = r#"span:check*:"GET *" { printf("%s %s %s %d %s\n", service, span.trace_id, span.name, span.dur / 1ms, span.attribute["n"]); }"#;
const PRINTED: &str = "checkout 4bf92f3577b34da6a3ce929d0e0e4736 GET /orders 2 7\n";

#[test]
fn lines_from_a_file_and_from_sockets() {
    let path = file("lines");
    fs::write(&path, format!("{SPAN}\nno json\n{}\n", SPAN.replace("checkout", "billing"))).expect("writable");
    let place = path.to_str().expect("UTF-8");
    let off = ["--otlp-grpc", "off", "--otlp-http", "off"];
    let output = weftrace(&[&["run"], &off[..], &["--spans", place, "--for", "1s", "-e", PRINT]].concat());
    let Output { stdout, stderr, .. } = { output }.output().expect("weftrace runs");
    assert_eq!(text(&stdout).trim_end(), PRINTED.trim_end(), "{}", text(&stderr));
    assert!(text(&stderr).contains("lost 1 spans or log records"), "{}", text(&stderr));
    fs::remove_file(&path).expect("there");

    let path = file("socket");
    let place = format!("unix:{}", path.display());
    let (child, _err) = listening(&[&["run"], &off[..], &["--spans", &place, "--count", "1", "-e", PRINT]].concat());
    writeln!(UnixStream::connect(&path).expect("it listens"), "{SPAN}").expect("written");
    assert_eq!(ended(child).trim_end(), PRINTED.trim_end());
    assert!(!path.exists(), "its socket goes with it");

    let place = format!("tcp:127.0.0.1:{}", port());
    let (child, _err) = listening(&[&["run"], &off[..], &["--spans", &place, "--count", "1", "-e", PRINT]].concat());
    writeln!(TcpStream::connect(&place[4..]).expect("it listens"), "{SPAN}").expect("written");
    assert_eq!(ended(child).trim_end(), PRINTED.trim_end());
}

/// As logrotate leaves files: cut where they are, or under another name.
#[test]
fn a_file_that_is_rotated_is_read_on() {
    let (path, other) = (file("rotated"), file("rotated-1"));
    let add = |path: &Path, name: &str| {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(path).expect("writable");
        writeln!(file, "{}", SPAN.replace("GET /orders", name)).expect("written");
    };
    add(&path, "GET /before-1");
    add(&path, "GET /before-2");
    let place = path.to_str().expect("UTF-8");
    let off = ["--otlp-grpc", "off", "--otlp-http", "off"];
    let args = [&["run"], &off[..], &["--spans", place, "--count", "4", "--for", "30s", "-e", PRINT]].concat();
    let (mut child, _err) = listening(&args);
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    let mut printed = String::new();
    let mut read_up_to = |name: &str| {
        while !printed.contains(name) {
            assert!(out.read_line(&mut printed).expect("text") > 0, "no {name}: {printed}");
        }
    };
    read_up_to("/before-2");
    fs::OpenOptions::new().write(true).open(&path).and_then(|file| file.set_len(0)).expect("cut");
    add(&path, "GET /cut");
    read_up_to("/cut");
    fs::rename(&path, &other).expect("renamed");
    add(&path, "GET /renamed");
    read_up_to("/renamed");
    out.read_to_string(&mut printed).expect("text");
    assert!(child.wait().expect("a child").success());
    for name in ["/before-1", "/before-2", "/cut", "/renamed"] {
        assert_eq!(printed.matches(name).count(), 1, "{name}: {printed}");
    }
    fs::remove_file(&path).and_then(|()| fs::remove_file(&other)).expect("there");
}

/// A request by hand: JSON, in chunks, and one that is no request; the answers tell what was refused.
#[test]
fn otlp_over_http_answers_honestly() {
    let port = port().to_string();
    let args = ["run", "--otlp-grpc", "off", "--otlp-http", &port, "--count", "1", "-e"];
    let (child, _err) = listening(&[&args[..], &[r#"span:checkout { printf("%s\n", span.name); }"#]].concat());
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).expect("it listens");
    let mut ask = |path: &str, headers: &str, body: &str| {
        let _ =
            write!(stream, "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{headers}\r\n{body}");
        let mut reader = BufReader::new(stream.try_clone().expect("a copy"));
        let (mut head, mut line, mut length) = (String::new(), String::new(), 0);
        while line != "\r\n" {
            line.clear();
            if reader.read_line(&mut line).expect("an answer") == 0 {
                break;
            }
            if let Some(n) = line.strip_prefix("Content-Length: ") {
                length = n.trim().parse().expect("a number");
            }
            head += &line;
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("a body");
        format!("{} {}", head.split(' ').nth(1).unwrap_or_default(), text(&body))
    };
    assert!(ask("/v1/metrics", "Content-Length: 2\r\n", "{}").starts_with("404 "));
    assert!(ask("/v1/traces", "Content-Length: 1\r\n", "{").starts_with("400 "));
    let span = |id: &str| {
        format!(
            r#"{{"traceId":"{id}","spanId":"00f067aa0ba902b7","name":"order","startTimeUnixNano":"5","endTimeUnixNano":"6"}}"#
        )
    };
    let request = |spans: &str| {
        format!(
            r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"checkout"}}}}]}},"scopeSpans":[{{"spans":[{spans}]}}]}}]}}"#
        )
    };
    let bad = request(&span("0"));
    let answer = ask("/v1/traces", &format!("Content-Length: {}\r\n", bad.len()), &bad);
    assert!(answer.contains(r#""rejectedSpans":"1""#) && answer.contains("trace id"), "{answer}");
    let good = request(&span("4bf92f3577b34da6a3ce929d0e0e4736"));
    let (a, b) = good.split_at(100);
    let chunks = format!("{:x}\r\n{a}\r\n{:x}\r\n{b}\r\n0\r\n\r\n", a.len(), b.len());
    assert_eq!(ask("/v1/traces", "Transfer-Encoding: chunked\r\n", &chunks), "200 {}");
    assert_eq!(ended(child).trim_end(), "order");
}

#[test]
fn a_port_in_use_is_told_with_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let args = ["run", "--otlp-grpc", "off", "--otlp-http", &port, "-e", "span:* { print(span.name); }"];
    let output = weftrace(&args).output().expect("weftrace runs");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("is in use") && said.contains("--otlp-http") && said.contains("OTEL_EXPORTER"), "{said}");
    // Nothing listens for a script without such a block.
    let args = ["run", "--otlp-grpc", "off", "--otlp-http", &port, "-q", "-e", "BEGIN { print(1); exit(); }"];
    assert!(
        weftrace(&args).output().expect("weftrace runs").status.code() != Some(3)
            || text(&output.stderr).contains("CAP_")
    );
}

/// An unmodified SDK with its default batches, by gRPC and by HTTP.
#[test]
fn spans_of_the_python_sdk() {
    let Some(python) = python() else { return };
    let protocols = if cfg!(feature = "grpc") { &["grpc", "http"][..] } else { &["http"] };
    for protocol in protocols {
        let port = port().to_string();
        let (mine, other) =
            if *protocol == "grpc" { ("--otlp-grpc", "--otlp-http") } else { ("--otlp-http", "--otlp-grpc") };
        let script = r#"span:checkout { printf("%s %s %s %d\n", span.trace_id, span.kind, span.attribute["http.request.method"], span.dur / 1ms); }"#;
        let (child, _err) = listening(&["run", mine, &port, other, "off", "--count", "6", "-e", script]);
        let endpoint = format!("http://127.0.0.1:{port}");
        let output = service(&python, &[protocol, &endpoint, "3", "30"]);
        let printed = ended(child);
        let told = text(&output.stdout);
        assert_eq!(told.lines().count(), 3, "{}", text(&output.stderr));
        for line in told.lines() {
            let trace = line.split(' ').next().expect("a trace id");
            let mut mine: Vec<&str> = printed.lines().filter(|l| l.starts_with(trace)).collect();
            mine.sort_unstable();
            assert_eq!(mine.len(), 2, "{protocol}: {printed}");
            assert!(mine[0].contains(" client ") && mine[1].contains(" server GET "), "{printed}");
            let ms: u64 = mine[1].rsplit(' ').next().expect("a time").parse().expect("a number");
            assert!((30..2000).contains(&ms), "{printed}");
        }
    }
}

/// Requests on the wire and their spans find each other by trace id, five seconds later.
#[test]
fn requests_join_their_spans() {
    let Some(python) = python() else { return };
    if !nix_is_root() {
        println!("SKIP CAP_NET_RAW");
        return;
    }
    let (served, port) = (port().to_string(), port().to_string());
    let args = [
        "run",
        "--otlp-grpc",
        "off",
        "--otlp-http",
        &port,
        "-f",
        "json",
        "--count",
        "3",
        "--for",
        "40s",
        "http/traces",
        // Other tests speak HTTP too.
        "--port",
        &served,
    ];
    let (child, _err) = listening(&args);
    let endpoint = format!("http://127.0.0.1:{port}");
    // The service lives on: its batches come by their own clock.
    let output = service(&python, &["http", &endpoint, "3", "100", "9", &served]);
    let printed = ended(child);
    let told = text(&output.stdout);
    let results: Vec<serde_json::Value> = printed
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"))
        .filter(|v| v["type"] == "join_result")
        .map(|v| v["data"].clone())
        .collect();
    assert_eq!(results.len(), 3, "{printed}");
    for line in told.lines() {
        let trace = line.split(' ').next().expect("a trace id");
        let result = results.iter().find(|r| r["trace_id"] == trace).unwrap_or_else(|| panic!("{trace}: {printed}"));
        assert_eq!(result["legs"]["spans"]["value"], 2, "{result}");
        assert_eq!(result["legs"]["handler"]["key"], "id");
        let handler = result["legs"]["handler"]["value"].as_u64().expect("a time");
        assert!((100_000_000..2_000_000_000).contains(&handler), "{result}");
        assert!(result["anchor"]["path"].as_str().expect("a path").ends_with("?[redacted]"));
    }
}

fn nix_is_root() -> bool {
    fs::read_to_string("/proc/self/status").is_ok_and(|s| s.lines().any(|l| l.starts_with("Uid:\t0\t")))
}

/// A recording and the spans of its time, without listening.
#[test]
fn recorded_spans_join_recorded_packets() {
    let path = file("recorded");
    // The capture's requests have no traceparent: their own id is what the spans carry.
    let lines: String = ["app-slow", "syn-lost", "fast-1"]
        .iter()
        .map(|id| SPAN.replace("\"attributes\": {\"n\": 7}", &format!("\"attributes\": {{\"id\": \"{id}\"}}")) + "\n")
        .collect();
    fs::write(&path, lines).expect("writable");
    let script = r#"
        import "std/http";
        span:* { emit app.work(id = (string[32])span.attribute["id"], start = span.start, end = span.end, dur = span.dur); }
        pcap:any:"tcp" /http.exchange/ {
            emit web.request(id = (string[32])http.exchange.header["x-request-id"], start = http.exchange.start, end = http.exchange.end);
        }
        join j { from r = web.request(); ids r.id; work = sum(app.work.dur) by id since 1h; }
        join:j /work.state == "value"/ { printf("%s %d\n", id, (work ?? 0) / 1ms); }"#;
    let args = [
        "run",
        "-q",
        "--read",
        "scripts/http/slow_requests.pcap",
        "--spans",
        path.to_str().expect("UTF-8"),
        "-e",
        script,
    ];
    let output = weftrace(&args).output().expect("weftrace runs");
    let mut lines: Vec<String> = text(&output.stdout).lines().map(str::to_owned).collect();
    lines.sort();
    assert!(
        lines.contains(&"app-slow 2".to_owned()) && lines.contains(&"fast-1 2".to_owned()),
        "{lines:?} {}",
        text(&output.stderr)
    );
    fs::remove_file(&path).expect("there");
}

#[test]
fn results_reach_a_collector_as_spans() {
    let Some(python) = python() else { return };
    // Busy at first: it is tried again.
    let collector = Collector::start(&python, &["503"]);
    let url = collector.url.clone();
    let capture = "scripts/http/slow_requests.pcap";
    let args =
        ["run", "-q", "--read", capture, "--otlp-out", &url, "scripts/http/slow_requests.probe", "--slow", "150ms"];
    let output = weftrace(&args).output().expect("weftrace runs");
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
    let spans = collector.end();
    let anchors: Vec<_> = spans.iter().filter(|s| s["parentSpanId"] == "").collect();
    assert_eq!(anchors.len(), 7, "{spans:?}");
    // Who asked for spans sends nothing else.
    assert!(spans.iter().all(|s| s["signal"] == "spans"), "{spans:?}");
    for anchor in anchors {
        let children: Vec<_> = spans.iter().filter(|s| s["parentSpanId"] == anchor["spanId"]).collect();
        let time = |s: &serde_json::Value, end: &str| s[end].as_str().expect("ns").parse::<u64>().expect("a number");
        let length = |s: &serde_json::Value| time(s, "endTimeUnixNano") - time(s, "startTimeUnixNano");
        // The layers' pieces are the total.
        assert_eq!(children.iter().map(|c| length(c)).sum::<u64>(), length(anchor), "{anchor}");
        assert!(children.iter().all(|c| c["traceId"] == anchor["traceId"]));
        assert_eq!(anchor["events"].as_array().expect("legs").len(), 4, "{anchor}");
    }
}

#[test]
fn a_collector_that_is_not_there_is_told() {
    let url = format!("http://127.0.0.1:{}", port());
    let capture = "scripts/http/slow_requests.pcap";
    let args =
        ["run", "-q", "--read", capture, "--otlp-out", &url, "scripts/http/slow_requests.probe", "--slow", "150ms"];
    let output = weftrace(&args).output().expect("weftrace runs");
    let said = text(&output.stderr);
    assert!(said.contains("7 of 7 results were not taken") && said.contains("refused"), "{said}");
}

/// Whether what was sent arrived is not known: it is told, and the run ends.
#[test]
fn a_collector_that_never_ends_its_answer_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                while stream.write_all(b"H").is_ok() {
                    thread::sleep(Duration::from_millis(200));
                }
            });
        }
    });
    let capture = "scripts/http/slow_requests.pcap";
    let args =
        ["run", "-q", "--read", capture, "--otlp-out", &url, "scripts/http/slow_requests.probe", "--slow", "150ms"];
    let begun = Instant::now();
    let output = weftrace(&args).output().expect("weftrace runs");
    let said = text(&output.stderr);
    assert!(said.contains("7 of 7 results were not taken: no answer"), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}

#[test]
fn a_trace_for_perfetto_is_json_with_a_track_for_each_layer() {
    let capture = "scripts/http/slow_requests.pcap";
    let args =
        ["run", "-q", "--read", capture, "-f", "perfetto", "scripts/http/slow_requests.probe", "--slow", "150ms"];
    let output = weftrace(&args).output().expect("weftrace runs");
    let events: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).expect("a JSON array");
    let named = |what: &str| events.iter().filter(|e| e["ph"] == "M" && e["name"] == what).count();
    assert_eq!(named("process_name"), 7);
    // The request, the four legs that packets feed, and the rest.
    assert_eq!(named("thread_name"), 7 * 6);
    let slices = events.iter().filter(|e| e["ph"] == "X");
    assert!(slices.clone().count() >= 14 && slices.clone().all(|e| e["ts"].is_number() && e["dur"].is_number()));
    assert!(slices.clone().any(|e| e["name"] == "zwin" && e["args"]["via"] == "exact(conn)"));
}

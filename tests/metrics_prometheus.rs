//! Exemplars and native histograms, as Debian's Prometheus takes them: spans and joins with traces, asked for by Prometheus' queries.
#![allow(clippy::print_stdout, reason = "tests say what they skip")]
#![allow(clippy::float_cmp, reason = "whole numbers")]
#![allow(clippy::zombie_processes, reason = "waited for where the server is dropped")]

#[path = "metrics/run.rs"]
mod run;

use run::{Folder, certificates, running};
use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant, SystemTime},
};

/// Spans are counted as they come, and as results of a join.
const PROGRAM: &str = r"
    span:shop {
        @spans[span.name] = count(); @span_us = hist(span.dur / 1us, 3); @span_ms = lhist(span.dur / 1ms, 0, 100, 10);
        emit app.work(trace_id = (string[33])span.trace_id, start = span.start, end = span.end);
    }
    join j { from r = app.work(); ids r.trace_id; }
    join:j { @joined = count(); @total_us = hist(total / 1us); @shortest = min(total); }
    interval:1s { @ticks = count(); @elsewhere = hist(5); }";

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Prometheus, which asks a run each second.
struct Prometheus {
    child: Child,
    port: u16,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port()
}

impl Prometheus {
    /// `more`: of the job. None: it isn't installed.
    fn start(folder: &Folder, target: u16, features: &str, more: &str) -> Option<Self> {
        let port = free_port();
        let config = folder.file(&format!("{port}.yml"));
        let text = format!(
            "global: {{ scrape_interval: 1s }}\nscrape_configs:\n- job_name: weftrace\n  static_configs: [ {{ targets: [\"127.0.0.1:{target}\"] }} ]\n{more}"
        );
        fs::write(&config, text).expect("written");
        let child = Command::new("prometheus")
            .arg(format!("--config.file={config}"))
            .arg(format!("--storage.tsdb.path={}", folder.file(&format!("{port}.data"))))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg(format!("--enable-feature={features}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        if child.is_err() {
            println!("SKIP prometheus");
        }
        Some(Self { child: child.ok()?, port })
    }

    fn get(&self, path: &str) -> Option<serde_json::Value> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        serde_json::from_str(text.split_once("\r\n\r\n")?.1).ok()
    }

    /// Asks until there is something.
    fn until<T>(&self, path: &str, wanted: impl Fn(&serde_json::Value) -> Option<T>) -> T {
        let due = Instant::now() + Duration::from_mins(1);
        loop {
            let answer = self.get(path).unwrap_or_default();
            if let Some(found) = wanted(&answer["data"]) {
                return found;
            }
            assert!(Instant::now() < due, "{path}: {answer}");
            thread::sleep(Duration::from_millis(300));
        }
    }

    /// The first number that a query gives.
    fn number(&self, query: &str) -> f64 {
        let query: String = query.bytes().fold(String::new(), |text, b| text + &format!("%{b:02x}"));
        self.until(&format!("/api/v1/query?query={query}"), |data| {
            data["result"][0]["value"][1].as_str()?.parse().ok().filter(|n: &f64| *n > 0.0)
        })
    }

    /// (labels of a series' exemplar and its value) by the series' name.
    fn exemplars(&self, name: &str) -> Vec<(serde_json::Value, f64)> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
        let path = format!("/api/v1/query_exemplars?query={name}&start={}&end={}", now - 600, now + 60);
        self.until(&path, |data| {
            let series = data.as_array()?.iter();
            let all = series.flat_map(|s| s["exemplars"].as_array().cloned().unwrap_or_default());
            let all: Vec<_> = all
                .map(|e| (e["labels"].clone(), e["value"].as_str().and_then(|v| v.parse().ok()).expect("a number")))
                .collect();
            (!all.is_empty()).then_some(all)
        })
    }
}

/// One span of 3 ms each 100 ms, by lines, until nobody reads them.
fn send_spans(port: u16) {
    thread::spawn(move || {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        for n in 1.. {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_nanos() as u64;
            let line = format!(
                r#"{{"type": "span", "trace_id": "{TRACE}", "span_id": "{n:016x}", "service": "shop", "name": "GET /", "start": {}, "duration_ns": 3000000}}"#,
                now - 3_000_000
            );
            if writeln!(stream, "{line}").is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(100));
        }
    });
}

/// In OpenMetrics, and in Prometheus' messages beside native histograms.
#[test]
fn exemplars_and_native_histograms() {
    let folder = Folder::new("prometheus");
    let port = free_port();
    let place = format!("tcp:127.0.0.1:{port}");
    let off = ["--otlp-grpc", "off", "--otlp-http", "off", "--lateness", "spans=200ms"];
    let args = [&["--metrics", "127.0.0.1:0", "--spans", &place], &off[..]].concat();
    let run = running(PROGRAM, &args).expect("it runs");
    send_spans(port);
    let Some(plain) = Prometheus::start(&folder, run.port, "exemplar-storage", "") else { return };
    let Some(native) = Prometheus::start(&folder, run.port, "exemplar-storage,native-histograms", "") else { return };
    for (prometheus, buckets) in [(&plain, "_bucket"), (&native, "")] {
        for (name, value) in [
            ("weftrace_map_spans_total".to_owned(), 1.0),
            ("weftrace_map_joined_total".to_owned(), 1.0),
            (format!("weftrace_map_span_us{buckets}"), 3000.0),
            (format!("weftrace_map_total_us{buckets}"), 3000.0),
            ("weftrace_map_span_ms_bucket".to_owned(), 3.0),
        ] {
            let found = prometheus.exemplars(&name);
            assert!(found.iter().all(|(labels, v)| labels["trace_id"] == TRACE && *v == value), "{name}: {found:?}");
            // The span's own; of a join the anchor names none here.
            let of_span = !name.contains("joined") && !name.contains("total_us");
            assert_eq!(found[0].0["span_id"].as_str().is_some_and(|id| id.len() == 16), of_span, "{name}: {found:?}");
        }
    }
    // 3,000 us: with powers of two anything from 2,048 to 4,096, with eight parts of each at most an eighth more.
    let median = |name: &str| native.number(&format!("histogram_quantile(0.5, rate({name}[10s]))"));
    let (whole, eighth) = (median("weftrace_map_total_us"), median("weftrace_map_span_us"));
    assert!((2048.0..=4096.0).contains(&whole), "{whole}");
    assert!((2700.0..=3400.0).contains(&eighth), "{eighth}");
    let counted = native.number("histogram_count(weftrace_map_span_us)");
    assert!(counted >= native.number("weftrace_map_joined_total") - 30.0, "{counted}");
    // Those by bounds are as they were, also beside native ones.
    let linear = native.number("histogram_quantile(0.5, rate(weftrace_map_span_ms_bucket[10s]))");
    assert!((0.0..=9.0).contains(&linear), "{linear}");
    let classic = plain.number("histogram_quantile(0.5, rate(weftrace_map_total_us_bucket[10s]))");
    assert!((2047.0..=4095.0).contains(&classic), "{classic}");
    // What no trace is known of has none.
    let answer =
        plain.get("/api/v1/query_exemplars?query=weftrace_map_ticks_total&start=0&end=9999999999").expect("an answer");
    assert_eq!(answer["data"], serde_json::json!([]), "{answer}");
}

/// As docs/metrics.md says: a certificate that the configuration trusts, and a token.
#[test]
fn by_https_with_a_token() {
    let folder = Folder::new("prometheus-https");
    if !certificates(&folder, &["a"]) {
        return;
    }
    let (certificate, key, token) = (folder.file("a.pem"), folder.file("a.key"), folder.file("token"));
    fs::write(&token, "TOPSECRET\n").expect("written");
    let run = running(
        "interval:100ms { @ticks = count(); }",
        &[
            "--metrics",
            "0.0.0.0:0",
            "--metrics-cert",
            &certificate,
            "--metrics-key",
            &key,
            "--metrics-token-file",
            &token,
        ],
    )
    .expect("it runs");
    let more = format!(
        "  scheme: https\n  tls_config: {{ca_file: {certificate}}}\n  authorization: {{credentials_file: {token}}}\n"
    );
    let Some(prometheus) = Prometheus::start(&folder, run.port, "exemplar-storage", &more) else { return };
    assert!(prometheus.number("weftrace_map_ticks_total") > 0.0);
}

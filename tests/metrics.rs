//! `--metrics`: what Prometheus gets, and who gets nothing. Debian's promtool judges the format.
#![allow(clippy::print_stdout, reason = "tests say what they skip")]
#![allow(clippy::float_cmp, reason = "whole numbers")]
#![allow(clippy::zombie_processes, reason = "waited for where the run is dropped")]

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const PROGRAM: &str = "begin { for ($i : 0..20) { @many[$i, \"x\\\"y\"] = $i; } @lat = hist(5); @lat = hist(0); @avg[1] = avg(10); \
    @avg[1] = avg(20); @__own[1] = 1; @text = \"t\"; } interval:100ms { @ticks = count(); } \
    alert \"busy\" when @ticks > 2;";

struct Run {
    child: Child,
    port: u16,
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs until it is dropped; None: it ended, with this on stderr.
fn running(program: &str, args: &[&str]) -> Result<Run, String> {
    let mut all = vec!["run"];
    all.extend(args);
    all.extend(["-e", program]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_weftrace"))
        .args(all)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("weftrace runs");
    let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
    let mut said = String::new();
    loop {
        let mut line = String::new();
        if stderr.read_line(&mut line).expect("readable") == 0 {
            let _ = child.wait();
            return Err(said);
        }
        if let Some(address) = line.trim().strip_prefix("metrics: http://") {
            let port = address.trim_end_matches("/metrics").rsplit(':').next().and_then(|p| p.parse().ok());
            // It must not stop for want of a reader.
            thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
            return Ok(Run { child, port: port.expect("a port") });
        }
        said.push_str(&line);
    }
}

fn ask(port: u16, request: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("HTTP");
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
    (status, head.to_owned(), body.to_owned())
}

fn get(port: u16, more: &str) -> (u16, String, String) {
    ask(port, &format!("GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{more}\r\n"))
}

fn samples(body: &str) -> BTreeMap<String, f64> {
    let rows = body.lines().filter(|l| !l.starts_with('#')).filter_map(|l| l.rsplit_once(' '));
    rows.map(|(name, value)| (name.to_owned(), value.parse().expect("a number"))).collect()
}

/// Asks until it is so.
fn until(port: u16, wanted: impl Fn(&BTreeMap<String, f64>) -> bool) -> BTreeMap<String, f64> {
    let due = Instant::now() + Duration::from_mins(1);
    loop {
        let all = samples(&get(port, "").2);
        if wanted(&all) {
            return all;
        }
        assert!(Instant::now() < due, "{all:?}");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn maps_alerts_and_itself() {
    let run = running(PROGRAM, &["--metrics", "127.0.0.1:0", "--metrics-series", "5"]).expect("it runs");
    let all = until(run.port, |all| {
        all.get("weftrace_map_ticks_total").is_some_and(|n| *n > 2.0)
            && all.contains_key("weftrace_alert_firing{alertname=\"busy\"}")
    });
    assert_eq!(all["weftrace_map_many{key1=\"19\",key2=\"x\\\"y\"}"], 19.0);
    assert_eq!(all.keys().filter(|k| k.starts_with("weftrace_map_many{")).count(), 5);
    assert_eq!(all["weftrace_map_series_left_out{map=\"@many\"}"], 15.0);
    assert_eq!((all["weftrace_map_lat_bucket{le=\"0\"}"], all["weftrace_map_lat_bucket{le=\"7\"}"]), (1.0, 2.0));
    assert_eq!((all["weftrace_map_avg_sum{key=\"1\"}"], all["weftrace_map_avg_count{key=\"1\"}"]), (30.0, 2.0));
    assert_eq!(all["weftrace_alert_fired_total{alertname=\"busy\"}"], 1.0);
    assert!(!all.keys().any(|k| k.contains("text") || k.contains("own")), "{all:?}");
    assert!(all.keys().any(|k| k.starts_with("weftrace_probe_runs_total{probe=\"interval:100ms\"")), "{all:?}");
    assert!(all["process_resident_memory_bytes"] > 1e6 && all["process_cpu_seconds_total"] > 0.0);
    let (_, head, text) = get(run.port, "");
    assert!(head.contains("Content-Type: text/plain; version=0.0.4"));
    judged(&text);
    let (_, head, text) = get(run.port, "Accept: application/openmetrics-text; version=1.0.0\r\n");
    assert!(head.contains("Content-Type: application/openmetrics-text; version=1.0.0"));
    assert!(text.ends_with("\n# EOF\n") && text.contains("# TYPE weftrace_events counter\n"));
}

/// By promtool, which also knows good names from bad ones.
fn judged(text: &str) {
    let Ok(mut child) =
        Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn()
    else {
        println!("SKIP promtool");
        return;
    };
    child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() || output.status.code() == Some(3), "{said}\n{text}");
    assert!(!said.contains("error while linting"), "{said}\n{text}");
}

#[test]
fn who_gets_nothing() {
    let file = std::env::temp_dir().join(format!("weftrace-metrics-{}", std::process::id()));
    fs::write(&file, "TOPSECRET\n").expect("written");
    let path = file.display().to_string();
    let run = running("interval:100ms { @++; }", &["--metrics", "127.0.0.1:0", "--metrics-token-file", &path])
        .expect("it runs");
    assert_eq!(get(run.port, "").0, 401);
    assert_eq!(get(run.port, "Authorization: Bearer other\r\n").0, 401);
    assert_eq!(get(run.port, "Authorization: Bearer TOPSECRET\r\n").0, 200);
    let other =
        format!("GET /metrics HTTP/1.1\r\nHost: evil.example:{}\r\nAuthorization: Bearer TOPSECRET\r\n\r\n", run.port);
    assert_eq!(ask(run.port, &other).0, 403);
    let at =
        |line: &str| ask(run.port, &format!("{line}\r\nHost: localhost\r\nAuthorization: Bearer TOPSECRET\r\n\r\n")).0;
    assert_eq!((at("GET / HTTP/1.1"), at("POST /metrics HTTP/1.1"), at("nonsense")), (404, 405, 400));
    drop(run);
    let _ = fs::remove_file(&file);
    let open = running("interval:100ms { @++; }", &["--metrics", "0.0.0.0:0"]).err().expect("refused");
    assert!(open.contains("other machines can ask") && open.contains("--metrics-token-file FILE"), "{open}");
}

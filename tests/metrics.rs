//! `--metrics`: what Prometheus gets, and who gets nothing. Debian's promtool judges the format.
#![allow(clippy::print_stdout, reason = "tests say what they skip")]
#![allow(clippy::float_cmp, reason = "whole numbers")]
#![allow(clippy::zombie_processes, reason = "waited for where the run is dropped")]

#[path = "metrics/run.rs"]
mod run;

use run::{Folder, certificates, running};
use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const PROGRAM: &str = "begin { for ($i : 0..20) { @many[$i, \"x\\\"y\"] = $i; } @lat = hist(5); @lat = hist(0); @avg[1] = avg(10); \
    @avg[1] = avg(20); @__own[1] = 1; @text = \"t\"; } interval:100ms { @ticks = count(); } \
    alert \"busy\" when @ticks > 2;";

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
    assert!(
        open.contains("other machines can ask")
            && open.contains("--metrics-token-file FILE")
            && open.contains("--metrics-cert FILE"),
        "{open}"
    );
}

/// curl's exit code and what it got.
fn curl(args: &[&str]) -> Option<(Option<i32>, String)> {
    let output = Command::new("curl").args(["-sS", "--noproxy", "*", "-m", "20"]).args(args).output();
    if output.is_err() {
        println!("SKIP curl");
    }
    let output = output.ok()?;
    Some((output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// Who says nothing, or something every now and then, holds nobody, and isn't waited for longer than for anybody.
#[test]
fn silent_connections_hold_nobody() {
    let run = running("interval:100ms { @++; }", &["--metrics", "127.0.0.1:0"]).expect("it runs");
    let connected = || TcpStream::connect(("127.0.0.1", run.port)).expect("it listens");
    for silent in [2, 40] {
        let silent: Vec<TcpStream> = (0..silent).map(|_| connected()).collect();
        let asked = Instant::now();
        assert_eq!(get(run.port, "").0, 200);
        assert!(asked.elapsed() < Duration::from_secs(4), "{} silent: {:?}", silent.len(), asked.elapsed());
    }
    let (mut slow, begun) = (connected(), Instant::now());
    let mut head = b"GET /metrics HTTP/1.1\r\nX: ".iter().chain(std::iter::repeat(&b'x'));
    while slow.write_all(&[*head.next().expect("no end")]).is_ok() {
        thread::sleep(Duration::from_millis(300));
        assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
    }
}

/// Whoever verifies the certificate gets them, and nobody without TLS; a handshake that goes slowly holds nobody.
#[test]
fn by_https() {
    let folder = Folder::new("https");
    if !certificates(&folder, &["a"]) {
        return;
    }
    let (certificate, key) = (folder.file("a.pem"), folder.file("a.key"));
    let tls = ["--metrics", "0.0.0.0:0", "--metrics-cert", &certificate, "--metrics-key", &key];
    let run = running("interval:100ms { @++; }", &tls).expect("it runs");
    let url = format!("https://localhost:{}/metrics", run.port);
    let Some((code, body)) = curl(&["--cacert", &certificate, &url]) else { return };
    assert!(code == Some(0) && body.contains("weftrace_events_total"), "{code:?} {body}");
    for version in ["1.2", "1.3"] {
        let (code, _) = curl(&["--cacert", &certificate, "--tls-max", version, &url]).expect("curl");
        assert_eq!(code, Some(0), "TLS {version}");
    }
    // 60: the certificate isn't trusted.
    assert_eq!(curl(&[&url]).expect("curl").0, Some(60));
    let (status, _, said) = get(run.port, "");
    assert!(status == 400 && said.contains("https"), "{status} {said}");
    // One that begins a handshake and goes on, byte by byte.
    let mut slow = TcpStream::connect(("127.0.0.1", run.port)).expect("it listens");
    slow.write_all(&[22, 3, 1, 2, 0, 1]).expect("sent");
    thread::spawn(move || {
        while slow.write_all(&[0]).is_ok() {
            thread::sleep(Duration::from_millis(300));
        }
    });
    thread::sleep(Duration::from_millis(100));
    let begun = Instant::now();
    assert_eq!(curl(&["--cacert", &certificate, &url]).expect("curl").0, Some(0));
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

/// Token and TLS go together; and what is wrong with the files is said by the option that names them.
#[test]
fn certificates_and_keys() {
    let folder = Folder::new("keys");
    if !certificates(&folder, &["a", "b"]) {
        return;
    }
    fs::write(folder.file("token"), "TOPSECRET\n").expect("written");
    let (a, a_key, b_key, token) =
        (folder.file("a.pem"), folder.file("a.key"), folder.file("b.key"), folder.file("token"));
    let both =
        ["--metrics", "127.0.0.1:0", "--metrics-cert", &a, "--metrics-key", &a_key, "--metrics-token-file", &token];
    let run = running("interval:100ms { @++; }", &both).expect("it runs");
    let url = format!("https://localhost:{}/metrics", run.port);
    let asked =
        |more: &[&str]| curl(&[&["--cacert", &a, "-o", "/dev/null", "-w", "%{http_code}"], more, &[&url]].concat());
    let Some((_, status)) = asked(&[]) else { return };
    assert_eq!(status, "401");
    assert_eq!(asked(&["-H", "Authorization: Bearer TOPSECRET"]).expect("curl").1, "200");
    drop(run);
    let locked = folder.file("locked.key");
    let words = ["pkey", "-in", &a_key, "-aes256", "-passout", "pass:x", "-out", &locked];
    assert!(Command::new("openssl").args(words).status().expect("openssl").success());
    let missing = folder.file("missing");
    let wrong = [
        (&a, &b_key, "--metrics-key", "not the key of the certificate"),
        (&a_key, &a_key, "--metrics-cert", "no certificate in PEM form is in it"),
        (&a, &a, "--metrics-key", "no private key in PEM form is in it"),
        (&a, &locked, "--metrics-key", "locked by a passphrase"),
        (&missing, &a_key, "--metrics-cert", "No such file"),
        (&a, &missing, "--metrics-key", "No such file"),
    ];
    for (certificate, key, option, why) in wrong {
        let args = ["--metrics", "127.0.0.1:0", "--metrics-cert", certificate, "--metrics-key", key];
        let said = running("interval:100ms { @++; }", &args).err().expect("refused");
        assert!(said.contains(option) && said.contains(why), "{said}");
    }
    let alone = running("interval:100ms { @++; }", &["--metrics", "127.0.0.1:0", "--metrics-cert", &a]);
    let said = alone.err().expect("refused");
    assert!(said.contains("--metrics-key"), "{said}");
}

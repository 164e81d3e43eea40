//! Alerts from a script to their receivers: fired and resolved, sent as each receiver wants it, and exit code 4. The receivers are servers of this test that
//! refuse what the real ones document to refuse, and Debian's Alertmanager and Pushgateway.
#![allow(clippy::print_stdout, reason = "tests say what they skip")]

#[path = "alerts/asked.rs"]
mod asked;
#[path = "alerts/receivers.rs"]
mod receivers;
#[path = "alerts/servers.rs"]
mod servers;

use receivers::{ok, receiver, robot};
use servers::Served;
use std::{
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::Mutex,
};

/// Requests of HTTP.
const CAPTURE: &str = "scripts/http/slow_requests.pcap";

/// `a` is counted ten times a second for a while, then no more. With `count()` in windows of a second.
const BUSY: &str = "interval:100ms { @t++; if (@t < 25) { @n[\"a<1>\"] = count(); } if (@t > 60) { exit(); } }";

fn weftrace(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weftrace"));
    command.args(args).current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
    command
}

fn run(program: &str, env: &[(&str, &str)], args: &[&str]) -> Output {
    let mut all = vec!["run", "-q"];
    all.extend(args);
    all.extend(["-e", program]);
    weftrace(&all).envs(env.iter().copied()).output().expect("weftrace runs")
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn file(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("weftrace-alerts-{name}-{}", std::process::id()))
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[test]
fn fires_and_resolves() {
    let path = file("log");
    let _ = fs::remove_file(&path);
    let program = format!(
        "{BUSY} alert \"busy\" when rate(@n[$who], 1s) > 3 to stderr, file(\"{}\") group by $who \
         message \"%s \\x1b[2J: %d\\nin 1 s\", $who, rate(@n[$who], 1s) labels team = \"net\";",
        path.display()
    );
    let output = run(&program, &[], &[]);
    assert_eq!(output.status.code(), Some(4), "{}", err(&output));
    let said = err(&output);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    // The message is that of the last time that the condition held.
    assert!(lines[0].contains("Z  ALERT  busy  a<1> \\x1b[2J: ") && lines[0].ends_with(" in 1 s"), "{said}");
    assert!(lines[1].contains("Z  RESOLVED  busy  a<1> \\x1b[2J: ") && lines[1].contains("  after "), "{said}");
    let log = fs::read_to_string(&path).expect("the file");
    let objects: Vec<serde_json::Value> = log.lines().map(json).collect();
    assert_eq!(objects.iter().map(|o| o["state"].as_str()).collect::<Vec<_>>(), [Some("firing"), Some("resolved")]);
    assert_eq!(objects[0]["labels"], json("{\"who\": \"a<1>\", \"team\": \"net\"}"));
    assert_eq!(objects[0]["condition"], "rate(@n[$who], 1s) > 3");
    let _ = fs::remove_file(&path);
}

#[test]
fn exit_codes() {
    let fires = "alert \"a\" on interval:100ms when @t >= 0;";
    let code = |program: &str| run(program, &[], &[]).status.code();
    assert_eq!(code(&format!("interval:100ms {{ @t++; if (@t > 3) {{ exit(); }} }} {fires}")), Some(4));
    assert_eq!(code(&format!("interval:100ms {{ @t++; if (@t > 3) {{ exit(7); }} }} {fires}")), Some(7));
    assert_eq!(
        code("interval:100ms { @t++; if (@t > 3) { exit(); } } alert \"a\" on interval:100ms when @t < 0;"),
        Some(0)
    );
}

/// As JSON it is an object of the output.
#[test]
fn objects_in_the_output() {
    let program = "interval:100ms { @t++; if (@t > 20) { exit(); } } alert \"a\" when @t > 1 for 100ms every 10s;";
    let output = run(program, &[], &["-f", "json"]);
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let alert = out.lines().map(json).find(|o| o["type"] == "alert").expect("an alert");
    assert_eq!((alert["data"]["alert"].as_str(), alert["data"]["schema"].as_u64()), (Some("a"), Some(1)));
}

/// An alert at a join has the record, without what is nobody's business.
#[test]
fn carries_the_joined_record() {
    let program = "import \"std/http\"; join slow { from r = http.request(); ids r.header[\"x-request-id\"]; } join:slow { } \
                   alert \"any\" on join:slow when total > 0 group by r.path to webhook(env=\"HOOK\");";
    let (port, kept) = receiver(|_| ok(""));
    let hook = format!("http://127.0.0.1:{port}/in?key=hidden");
    let output = run(program, &[("HOOK", &hook)], &["--alerts", "script", "--read", CAPTURE]);
    assert_eq!(output.status.code(), Some(4), "{}", err(&output));
    let kept = kept.lock().expect("kept");
    let alerts: Vec<serde_json::Value> =
        kept.iter().flat_map(|r| json(&r.body)["alerts"].as_array().cloned().unwrap_or_default()).collect();
    assert!(!alerts.is_empty());
    for alert in alerts.iter().filter(|a| a["state"] == "firing") {
        assert_eq!(alert["record"]["join"], "slow", "{alert}");
        assert_eq!(alert["labels"]["path"], alert["record"]["anchor"]["path"]);
    }
    assert!(!err(&output).contains("hidden"));
}

/// What happened long ago alarms nobody: while a capture is read, and in a replay, alerts go to stderr alone unless the command line says otherwise.
#[test]
fn the_past_goes_to_stderr_alone() {
    let program = "import \"std/http\"; join slow { from r = http.request(); } join:slow { } \
                   alert \"any\" on join:slow when total > 0 to webhook(env=\"HOOK\");";
    let (port, kept) = receiver(|_| ok(""));
    let hook = format!("http://127.0.0.1:{port}/");
    let came = || std::mem::take(&mut *kept.lock().expect("kept")).len();
    // Without the variable too: where nothing is sent nothing is read.
    for env in [&[("HOOK", hook.as_str())][..], &[]] {
        let output = run(program, env, &["--read", CAPTURE]);
        assert!(output.status.code() == Some(4) && err(&output).contains("  ALERT  any  "), "{}", err(&output));
        assert_eq!(came(), 0);
    }
    let recording = file("recording");
    let path = recording.display().to_string();
    let live = "interval:100ms { @t++; emit work.done(start = nsecs - 50ms, end = nsecs); if (@t > 5) { exit(); } } \
                join slow { from w = work.done; } join:slow { } \
                alert \"any\" on join:slow when total > 0 to webhook(env=\"HOOK\");";
    let record = weftrace(&["record", "-q", "-o", &path, "--alerts", "stderr", "-e", live]).output().expect("it runs");
    assert!(recording.exists(), "{}", err(&record));
    let replay = |more: &[&str]| {
        let all = [&["replay", "-q"], more, &[path.as_str()]].concat();
        weftrace(&all).env("HOOK", &hook).output().expect("it runs")
    };
    assert_eq!(came(), 0);
    let output = replay(&[]);
    assert!(output.status.code() == Some(4) && err(&output).contains("  ALERT  any  "), "{}", err(&output));
    assert_eq!(came(), 0);
    let output = replay(&["--alerts", "script"]);
    assert!(output.status.code() == Some(4) && !err(&output).contains("ALERT"), "{}", err(&output));
    assert!(came() > 0);
    let _ = fs::remove_file(&recording);
}

/// Three hundred groups at once arrive at each chat, within its limits.
#[test]
fn chats_within_their_limits() {
    let wecom_busy = "HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n{\"errcode\": 45009, \"errmsg\": \"freq limit\"}";
    let (wecom, wecom_kept) = receiver(robot(2048, 20, "/text/content", wecom_busy));
    let (dingtalk, dingtalk_kept) = receiver(robot(20_000, 20, "/text/content", wecom_busy));
    let slack_busy = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 30\r\nContent-Length: 0\r\n\r\n";
    let (slack, slack_kept) = receiver(robot(40_000, 60, "/text", slack_busy));
    let key = file("key");
    fs::write(&key, "SECKEY\n").expect("written");
    let program = format!(
        "begin {{ for ($i : 0..300) {{ @n[$i] = 1; }} }} interval:100ms {{ @t++; if (@t > 40) {{ exit(); }} }} \
         alert \"many\" when @n[$i] > 0 group by $i to slack, wecom(env=\"W\"), dingtalk(env=\"D\", key_file=\"{}\") \
         message \"group %d. <!channel> <@U1>\", $i;",
        key.display()
    );
    let url = |port: u16| format!("http://127.0.0.1:{port}/robot/send?access_token=TOPSECRET");
    let output =
        run(&program, &[("WEFTRACE_SLACK_WEBHOOK", &url(slack)), ("W", &url(wecom)), ("D", &url(dingtalk))], &[]);
    let said = err(&output);
    assert_eq!((output.status.code(), said.as_str()), (Some(4), ""));
    for (name, kept, at) in [
        ("slack", slack_kept, "/text"),
        ("wecom", wecom_kept, "/text/content"),
        ("dingtalk", dingtalk_kept, "/text/content"),
    ] {
        let kept = kept.lock().expect("kept");
        let texts: Vec<String> = kept
            .iter()
            .map(|r| json(&r.body).pointer(at).and_then(|t| t.as_str()).unwrap_or_default().to_owned())
            .collect();
        let all = texts.join("\n");
        for group in 0..300 {
            assert_eq!(all.matches(&format!("group {group}. ")).count(), 1, "{name}: {group}");
        }
        assert!(!all.contains("<@") && (name != "slack" || !all.contains("<!")), "{name}");
        if name == "dingtalk" {
            assert!(kept[0].head.starts_with("POST /robot/send?access_token=TOPSECRET&timestamp="), "{}", kept[0].head);
            assert!(kept[0].head.contains("&sign="));
        }
    }
    let _ = fs::remove_file(&key);
}

/// A receiver that fails is asked again; one that refuses is told, without what is secret.
#[test]
fn tried_again_and_told() {
    let count = Mutex::new(0);
    let (port, kept) = receiver(move |_| {
        let mut count = count.lock().expect("a count");
        *count += 1;
        if *count == 1 { "HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n".into() } else { ok("") }
    });
    let program = "interval:100ms { @t++; if (@t > 40) { exit(); } } \
                   alert \"a\" when @t > 1 to webhook(env=\"HOOK\", token_env=\"TOKEN\");";
    let hook = format!("http://127.0.0.1:{port}/x");
    let output = run(program, &[("HOOK", &hook), ("TOKEN", "TOPSECRET")], &[]);
    assert!(err(&output).contains("alerts: webhook (of HOOK): it answers 503; it is tried again"), "{}", err(&output));
    let kept = kept.lock().expect("kept");
    assert_eq!(kept.len(), 2);
    assert!(kept[1].head.contains("Authorization: Bearer TOPSECRET\r\n") && kept[1].body == kept[0].body);
    let (port, _) = receiver(|request| {
        // It says what it was asked.
        let said = format!("no \x1b[2Jx {}", request.head.replace("\r\n", " "));
        format!("HTTP/1.1 403 no\r\nContent-Length: {}\r\n\r\n{said}", said.len())
    });
    let output = run(program, &[("HOOK", &format!("http://127.0.0.1:{port}/TOPSECRET")), ("TOKEN", "TOPSECRET")], &[]);
    let said = err(&output);
    assert!(said.contains("1 alert not sent: it answers 403 (no \\x1b[2Jx POST (secret) HTTP/1.1"), "{said}");
    assert!(said.contains("alerts: webhook (of HOOK): 1 of 1 were not taken: it answers 403"), "{said}");
    assert!(!said.contains("TOPSECRET"));
    // Missing secrets are told before anything runs.
    let output = run(program, &[("HOOK", &hook)], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        err(&output).contains("the environment variable TOKEN isn't set") && err(&output).contains("^^^"),
        "{}",
        err(&output)
    );
}

/// A receiver that asks to be asked again at once is not: three times in the second that the run lasts and the five that are left.
#[test]
fn asked_again_no_sooner() {
    let (port, kept) = receiver(|_| "HTTP/1.1 503 x\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n".into());
    let program =
        "interval:100ms { @t++; if (@t > 10) { exit(); } } alert \"a\" when @t >= 0 to webhook(env=\"HOOK\");";
    let output = run(program, &[("HOOK", &format!("http://127.0.0.1:{port}/"))], &[]);
    assert!(err(&output).contains("1 of 1 were not taken: it answers 503"), "{}", err(&output));
    let count = kept.lock().expect("kept").len();
    assert!((2..=4).contains(&count), "{count} requests");
}

/// What a Pushgateway doesn't delete at the end stays there, and is told.
#[test]
fn groups_that_stay_at_a_pushgateway() {
    let (port, kept) = receiver(|request| {
        let deletes = request.head.starts_with("DELETE ");
        if deletes { "HTTP/1.1 403 x\r\nContent-Length: 0\r\n\r\n".into() } else { ok("") }
    });
    let program = format!(
        "interval:100ms {{ @t++; if (@t > 10) {{ exit(); }} }} alert \"a\" when @t >= 0 to pushgateway(\"http://127.0.0.1:{port}\");"
    );
    let output = run(&program, &[], &[]);
    let wanted = format!(
        "alerts: pushgateway http://127.0.0.1:{port}: this run's group was not deleted and stays there: it answers 403"
    );
    assert!(err(&output).contains(&wanted), "{}", err(&output));
    assert!(!err(&output).contains("were not taken"), "{}", err(&output));
    assert!(kept.lock().expect("kept").iter().any(|request| request.head.starts_with("DELETE ")));
}

/// https, with a certificate that is verified: an unknown one is refused.
#[test]
fn https_is_verified() {
    let folder = file("tls");
    fs::create_dir_all(&folder).expect("a folder");
    let (key, cert) = (folder.join("key.pem"), folder.join("cert.pem"));
    fs::write(folder.join("names"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n").expect("written");
    let ec = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    for command in [
        format!("req -x509 {ec} -days 2 -subj /CN=tests -keyout ca.key -out ca.pem"),
        format!("req {ec} -subj /CN=localhost -keyout key.pem -out request.pem"),
        "x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out cert.pem"
            .into(),
    ] {
        let Ok(made) = Command::new("openssl").args(command.split(' ')).current_dir(&folder).output() else {
            println!("SKIP openssl");
            return;
        };
        assert!(made.status.success(), "{}", err(&made));
    }
    let server = "import http.server,ssl,sys\nclass H(http.server.BaseHTTPRequestHandler):\n def do_POST(s):\n  print(s.rfile.read(int(s.headers['content-length'])).decode(),flush=True); s.send_response(200); s.send_header('content-length','0'); s.end_headers()\nh=http.server.HTTPServer(('127.0.0.1',0),H)\nc=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); c.load_cert_chain(sys.argv[2],sys.argv[1])\nh.socket=c.wrap_socket(h.socket,server_side=True)\nprint(h.server_port,flush=True)\nh.serve_forever()";
    let mut child = Command::new("python3")
        .args(["-c", server])
        .args([&key, &cert])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("python3");
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    let _ended = Served { child, port: 0, folder: folder.clone() };
    let mut port = String::new();
    out.read_line(&mut port).expect("its port");
    let program = format!(
        "interval:100ms {{ @t++; if (@t > 30) {{ exit(); }} }} alert \"a\" when @t > 1 to webhook(\"https://localhost:{}/\");",
        port.trim()
    );
    let output = run(&program, &[], &[]);
    assert!(
        err(&output).contains("not sent: its certificate is signed by nobody who is trusted here"),
        "{}",
        err(&output)
    );
    let output = run(&program, &[], &["--ca-file", &folder.join("ca.pem").display().to_string()]);
    assert_eq!(err(&output), "");
    // One that has none is told before anything runs.
    let output = run(&program, &[], &["--ca-file", &folder.join("names").display().to_string()]);
    assert_eq!(output.status.code(), Some(2), "{}", err(&output));
    assert!(
        err(&output).contains("no certificate in PEM form is in it") && err(&output).contains("^^^"),
        "{}",
        err(&output)
    );
    let mut line = String::new();
    out.read_line(&mut line).expect("what came");
    assert_eq!(json(&line)["alerts"][0]["alert"], "a");
}

//! Spans that come later than joins wait for them, or that may still come when a run ends.

mod traced;

use std::{
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    process::{Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};
use traced::{folder, lines, text, weftrace};

const OFF: [&str; 4] = ["--otlp-grpc", "off", "--otlp-http", "off"];

/// One request of a second that ended so long before it is told of.
fn script(ago: &str) -> String {
    r#"
import "std/otel";
interval:ms:100 /@done == 0/ {
  @done = 1;
  emit tick.tock(trace_id = "4bf92f3577b34da6a3ce929d0e0e4736", start = nsecs - AGO - 1s, end = nsecs - AGO);
}
join ticks { from r = tick.tock(); part = sum(app.span.dur) by trace_id; blame part; timeout 60s; }
join:ticks { printf("%s %s\n", part.state, part.reason); }
"#
    .replace("AGO", ago)
}

/// A span of two seconds that ended a while ago.
fn span() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("later than 1970").as_nanos();
    let (start, end) = (now - 2_500_000_000, now - 500_000_000);
    format!(
        r#"{{"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7", "name": "b", "service": "a", "start": {start}, "end": {end}}}"#
    )
}

fn file(name: &str) -> std::path::PathBuf {
    folder().join(format!("lateness-{name}-{}", std::process::id()))
}

/// Records a run in which a span comes once the result that it belongs to was told: what it printed, and said.
fn record(file: &Path, place: &Path) -> (Vec<String>, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_weftrace"))
        .args(["record", "--lateness", "spans=100ms", "-e", &script("0s"), "-o"])
        .arg(file)
        .args(OFF)
        .arg("--spans")
        .arg(format!("unix:{}", place.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
    let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
    let (mut printed, mut said) = (String::new(), String::new());
    while !printed.contains("none") {
        assert!(stdout.read_line(&mut printed).expect("text") > 0, "{printed}");
    }
    writeln!(UnixStream::connect(place).expect("it listens"), "{}", span()).expect("written");
    while !said.contains("too late") {
        assert!(stderr.read_line(&mut said).expect("text") > 0, "{said}");
    }
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(interrupt.is_ok_and(|status| status.success()));
    stdout.read_to_string(&mut printed).expect("text");
    stderr.read_to_string(&mut said).expect("text");
    assert!(child.wait().expect("it ends").success(), "{said}");
    (lines(printed.as_bytes()), said)
}

/// What is said of it.
fn about(said: &str) -> Vec<String> {
    said.lines().filter(|line| line.contains("too late")).map(str::to_owned).collect()
}

#[test]
fn a_span_that_comes_too_late_is_counted_and_told_with_what_to_do() {
    let (recording, place) = (file("recording"), file("socket"));
    let (printed, said) = record(&recording, &place);
    let summary = "ticks: 1 kept of 1: app 1. Lost: 0, leg records too late for results: 1.";
    assert_eq!(printed[..2], ["none ", summary]);
    let told = about(&said);
    let [only] = &told[..] else { panic!("{said}") };
    assert!(only.contains("a record of app.span came ") && only.contains("with --lateness spans=TIME, "), "{said}");

    // A replay says the same.
    let again = weftrace(&["replay", recording.to_str().expect("UTF-8")]);
    assert_eq!((lines(&again.stdout), about(&text(&again.stderr))), (printed, told));
    std::fs::remove_file(recording).expect("there");
}

/// Who waits longer for spans knows longer that there may be more.
#[test]
fn what_may_still_come_at_the_end_is_as_late_as_its_source() {
    let args = ["run", "-q", "--for", "1s", "--lateness", "spans=30s", "-e", &script("8s")];
    let output = weftrace(&[&args[..], &OFF, &["--spans", "/dev/null"]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(lines(&output.stdout)[0], "unknown not yet");
}

/// A join that waits for spans tells its results seconds later than what they are of; who asks what the last seconds brought finds them there, and so does a replay.
#[test]
fn what_a_join_counts_is_of_the_time_at_which_it_is_told() {
    let script = r#"
import "std/otel";
interval:ms:100 { emit tick.tock(trace_id = "4bf92f3577b34da6a3ce929d0e0e4736", start = nsecs - 10ms, end = nsecs); }
join ticks { from r = tick.tock(); part = sum(app.span.dur) by trace_id; }
join:ticks { @n = count(); }
interval:s:1 { printf("%d\n", rate(@n, 1s)); }
END { clear(@n); }"#;
    let recording = file("rates");
    let place = recording.to_str().expect("UTF-8");
    let args = ["record", "-q", "--for", "5500ms", "--lateness", "spans=2s", "-e", script, "-o", place];
    let output = weftrace(&[&args[..], &OFF, &["--spans", "/dev/null"]].concat());
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    let printed = lines(&output.stdout);
    let numbers = |line: &String| line.parse::<u32>().expect("a number");
    let (early, then) = (numbers(&printed[0]), numbers(&printed[3]));
    assert!(early == 0 && (7..13).contains(&then), "{printed:?} {said}");
    let again = weftrace(&["replay", "-q", place]);
    assert_eq!(lines(&again.stdout), printed, "{}", text(&again.stderr));
    std::fs::remove_file(recording).expect("there");
}

/// What an application logs is nobody's business but its own: no recording has it, unless it is asked to.
#[test]
fn the_text_of_logs_is_not_recorded() {
    const SECRET: &str = "card 4111 of Bob";
    let line = format!(
        r#"{{"type": "log", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "service": "a", "severity": "WARN", "body": "{SECRET}"}}"#
    );
    let (recording, logs) = (file("bodies"), file("logs"));
    std::fs::write(&logs, line + "\n").expect("writable");
    let script = r#"import "std/otel"; join logs { from r = app.log(); }
        join:logs { printf("%s %s\n", r.severity, r.body); }"#;
    let place = recording.to_str().expect("UTF-8");
    for (more, told) in [(&[][..], "x".repeat(SECRET.len())), (&["--no-redact"], SECRET.to_owned())] {
        let args = ["record", "-q", "--for", "1s", "-e", script, "-o", place, "--spans", logs.to_str().expect("UTF-8")];
        let output = weftrace(&[&args[..], &OFF, more].concat());
        let printed = lines(&output.stdout);
        assert_eq!(printed[0], format!("WARN {told}"), "{}", text(&output.stderr));
        let bytes = std::fs::read(&recording).expect("there");
        let has = bytes.windows(SECRET.len()).any(|part| part == SECRET.as_bytes());
        assert_eq!(has, told == SECRET, "{more:?}");
        assert_eq!(lines(&weftrace(&["replay", "-q", place]).stdout), printed, "{more:?}");
    }
    // Who doesn't record reads it.
    let args = ["run", "-q", "--for", "1s", "-e", script, "--spans", logs.to_str().expect("UTF-8")];
    assert_eq!(lines(&weftrace(&[&args[..], &OFF].concat()).stdout)[0], format!("WARN {SECRET}"));
    std::fs::remove_file(recording).and_then(|()| std::fs::remove_file(logs)).expect("there");
}

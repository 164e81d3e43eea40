//! `--early`: what a join knows is printed before the spans come that it waits for, once, and blocks run for the result alone.
#![allow(clippy::print_stdout, reason = "tests say what they skip")]

mod traced;

use std::{io::Write, os::unix::net::UnixStream, process::Command};
use traced::{Tracer, folder, text};

const SCRIPT: &str = r#"
import "std/otel";
interval:s:1 /@done == 0/ {
  @done = 1;
  emit tick.tock(trace_id = "4bf92f3577b34da6a3ce929d0e0e4736", start = nsecs - 8s, end = nsecs, dur = (uint64)8000000000);
}
join ticks { from r = tick.tock(); part = sum(app.span.dur) by trace_id; blame part; timeout 30s; }
join:ticks { printf("%d ms of it, %s\n", part / 1ms, verdict); }
"#;

/// A span of half a second that began two seconds ago.
fn span() -> String {
    let start = Command::new("date").args(["-u", "-d", "-2 seconds", "+%FT%TZ"]).output().expect("date runs");
    let start = text(&start.stdout);
    format!(
        r#"{{"type": "span", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7", "service": "a", "name": "b", "kind": "server", "start": "{}", "duration_ns": 500000000}}"#,
        start.trim()
    )
}

#[test]
fn an_early_word_and_the_result() {
    let path = folder().join(format!("early-{}", std::process::id()));
    let place = format!("unix:{}", path.display());
    // It ends with the result.
    let off = ["--otlp-grpc", "off", "--otlp-http", "off", "--lateness", "spans=4s", "-f", "json", "--count", "1"];
    let run = |more: &[&str]| -> Vec<String> {
        let tracer = Tracer::start(SCRIPT, &[&off[..], &["--for", "60s", "--spans", &place], more].concat());
        writeln!(UnixStream::connect(&path).expect("it listens"), "{}", span()).expect("written");
        let (lines, said) = tracer.ended();
        assert!(!said.contains("error"), "{said}");
        lines.into_iter().filter(|line| line.contains("join_result") || line.contains("\"printf\"")).collect()
    };
    let lines = run(&["--early"]);
    let [early, result] = &lines[..] else { panic!("{lines:#?}") };
    for part in ["\"status\": \"early\"", "\"state\": \"unknown\"", "\"reason\": \"not yet\"", "\"unknown_ns\": 80000"]
    {
        assert!(early.contains(part), "{part}: {early}");
    }
    assert!(result.contains("500 ms of it, app 7500 ms"), "{result}");
    // Without it there is the result alone.
    let lines = run(&[]);
    assert!(matches!(&lines[..], [line] if line.contains("500 ms of it")), "{lines:#?}");
}

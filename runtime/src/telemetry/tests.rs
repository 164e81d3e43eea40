use super::{
    intake::{Intake, Wanted},
    lines::Lines,
    place::{LinePlace, TelemetryOptions},
};
use std::sync::atomic::Ordering::Relaxed;
use weftrace_artifact::telemetry::Signal;
use weftrace_probes::telemetry::{Taken, lines};

const LINE: &[u8] = br#"{"type": "span", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7", "service": "a", "name": "x", "start": 5, "end": 6}"#;

fn taken(text: &[u8]) -> Taken {
    let mut taken = Taken::default();
    lines::line(text, 0, &mut taken);
    taken
}

#[test]
fn what_is_wanted_is_queued_until_there_is_no_room() {
    let (intake, mut queue) = Intake::new(vec![Wanted::new(Signal::Span, "a*", "*")]);
    assert!(intake.wants(Signal::Span) && !intake.wants(Signal::Log));
    assert_eq!(intake.offer(taken(LINE)), (0, None));
    let other = String::from_utf8_lossy(LINE).replace("\"a\"", "\"b\"");
    assert_eq!(intake.offer(taken(other.as_bytes())), (0, None));
    let first = queue.try_recv().expect("the wanted one");
    assert_eq!((first.len(), first[0].name.as_str()), (1, "x"));
    assert!(queue.try_recv().is_err(), "nobody wanted the other");
    intake.taken(&first);
    let mut refused = 0;
    for _ in 0..5000 {
        refused += intake.offer(taken(LINE)).0;
    }
    assert_eq!(refused, 5000 - 4096);
    assert_eq!(intake.counts.full.load(Relaxed), refused);
}

#[test]
fn lines_come_in_pieces_and_may_be_too_long() {
    let (intake, mut queue) = Intake::new(vec![Wanted::new(Signal::Span, "*", "*")]);
    let mut lines = Lines::default();
    let (a, b) = LINE.split_at(40);
    lines.feed(a, &intake);
    lines.feed(b, &intake);
    assert!(queue.try_recv().is_err(), "the line has not ended");
    lines.feed(b"\n", &intake);
    assert!(queue.try_recv().is_ok());
    let long = vec![b'x'; 100_000];
    for _ in 0..20 {
        lines.feed(&long, &intake);
    }
    lines.feed(b"\n", &intake);
    assert_eq!(intake.counts.malformed.load(Relaxed), 1);
    lines.feed(LINE, &intake);
    lines.finish(&intake);
    assert!(queue.try_recv().is_ok(), "the last line needs no end");
}

#[test]
fn places() {
    assert_eq!(LinePlace::parse("a.ndjson"), Ok(LinePlace::File("a.ndjson".into())));
    assert_eq!(LinePlace::parse("unix:/run/x").map(|p| p.to_string()).as_deref(), Ok("unix:/run/x"));
    assert!(LinePlace::parse("tcp:localhost").is_err_and(|why| why.contains("tcp:127.0.0.1:9000")));
    let usual = TelemetryOptions::default();
    assert!([usual.grpc, usual.http].iter().all(|a| a.is_some_and(|a| a.ip().is_loopback())));
}

/// The real SDK over gRPC, where Python has it.
#[cfg(feature = "grpc")]
#[test]
#[allow(clippy::print_stdout, reason = "tests say what they skip")]
fn spans_by_grpc() {
    use std::process::Command;
    let python = std::env::var("WEFTRACE_OTEL_PYTHON").unwrap_or_else(|_| "python3".into());
    let asked = "import opentelemetry.exporter.otlp.proto.grpc";
    if !Command::new(&python).args(["-c", asked]).output().is_ok_and(|o| o.status.success()) {
        println!("SKIP opentelemetry-sdk for Python");
        return;
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
    let grpc = Some(std::net::SocketAddr::from(([127, 0, 0, 1], port)));
    let options = TelemetryOptions { grpc, http: None, lines: Vec::new() };
    let wanted = vec![Wanted::new(Signal::Span, "checkout", "*")];
    let mut arrivals = super::Arrivals::bind(&options, wanted).unwrap_or_else(|e| panic!("{}", e.why));
    arrivals.start().expect("a thread");
    let service = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/otel/service.py");
    let endpoint = format!("http://127.0.0.1:{port}");
    let output = Command::new(&python).args([service, "grpc", &endpoint, "3", "5"]).output().expect("python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    arrivals.stop();
    let mut names = Vec::new();
    while let Ok(records) = arrivals.queue.try_recv() {
        names.extend(records.iter().map(|r| (r.name.clone(), r.kind)));
    }
    names.sort();
    let (client, server) = (("order".to_owned(), "client"), ("GET /orders/:id".to_owned(), "server"));
    assert_eq!(names, [vec![server; 3], vec![client; 3]].concat(), "{}", String::from_utf8_lossy(&output.stderr));
}

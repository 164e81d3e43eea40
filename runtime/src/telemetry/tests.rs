use super::{
    intake::{Intake, Wanted},
    lines::Lines,
    place::{LinePlace, TelemetryOptions},
};
use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::atomic::Ordering::Relaxed,
    time::Duration,
};
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

/// A log record whose trace id is none is taken without, which is counted where somebody wants it: spans of its trace lack it.
#[test]
fn log_records_without_the_trace_id_they_came_with_are_counted() {
    let log = br#"{"type": "log", "body": "x", "trace_id": "1-5759e988-bd862e3fe1be46a994272793"}"#;
    for (signal, queued) in [(Signal::Log, 1), (Signal::Span, 0)] {
        let (intake, mut queue) = Intake::new(vec![Wanted::new(signal, "*", "*")]);
        assert_eq!(intake.offer(taken(log)), (0, None));
        assert_eq!(
            (queue.try_recv().map_or(0, |all| all.len()), intake.counts.untraced.load(Relaxed)),
            (queued, queued as u64)
        );
    }
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

/// Listens at a free port of the loopback, over HTTP or gRPC.
fn listening(grpc: bool) -> (super::Arrivals, std::net::SocketAddr) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let options = TelemetryOptions {
        grpc: Some(address).filter(|_| grpc),
        http: Some(address).filter(|_| !grpc),
        lines: Vec::new(),
    };
    let wanted = vec![Wanted::new(Signal::Span, "*", "*")];
    let mut arrivals = super::Arrivals::bind(&options, wanted).unwrap_or_else(|e| panic!("{}", e.why));
    arrivals.start().expect("a thread");
    (arrivals, address)
}

fn names(arrivals: &mut super::Arrivals) -> Vec<String> {
    let mut names = Vec::new();
    while let Ok(records) = arrivals.queue.try_recv() {
        arrivals.intake.taken(&records);
        names.extend(records.into_iter().map(|record| record.name));
    }
    names
}

/// A span of this name, as a request in JSON.
fn request(name: &str) -> String {
    format!(
        r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"traceId":"4bf92f3577b34da6a3ce929d0e0e4736","spanId":"00f067aa0ba902b7","name":"{name}","startTimeUnixNano":"5","endTimeUnixNano":"6"}}]}}]}}]}}"#
    )
}

/// Sends a span on a connection; the answer's status, or nothing where the connection has ended.
fn post(stream: &mut TcpStream, name: &str) -> Option<String> {
    let body = request(name);
    let head = "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).ok()?;
    let mut answer = [0; 512];
    let n = stream.read(&mut answer).ok().filter(|n| *n > 0)?;
    Some(String::from_utf8_lossy(&answer[..n]).split(' ').nth(1)?.to_owned())
}

fn connected(address: std::net::SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
    stream
}

/// SDKs hold their connections: where all places are taken, the one that has been silent for longest ends, and who had it connects again.
#[test]
fn more_clients_than_places() {
    let (mut arrivals, address) = listening(false);
    let mut clients: Vec<TcpStream> = Vec::new();
    for i in 0..70 {
        let mut client = connected(address);
        assert_eq!(post(&mut client, &format!("n{i}")).as_deref(), Some("200"), "{i}");
        clients.push(client);
    }
    let silent = clients[..6].iter_mut().map(|client| client.read(&mut [0; 8]).expect("no reset"));
    assert_eq!(silent.collect::<Vec<_>>(), [0; 6]);
    assert_eq!(post(&mut clients[6], "again").as_deref(), Some("200"));
    assert_eq!(post(&mut connected(address), "anew").as_deref(), Some("200"));
    let wanted: Vec<String> = (0..70).map(|i| format!("n{i}")).chain(["again".into(), "anew".into()]).collect();
    assert_eq!(names(&mut arrivals), wanted);
    assert_eq!(arrivals.intake.counts.full.load(Relaxed), 0);
}

/// Where all are being answered, and as many wait, the next is counted.
#[test]
fn clients_that_find_no_place_are_counted() {
    let (arrivals, address) = listening(false);
    let mut clients = Vec::new();
    for _ in 0..128 {
        let mut client = connected(address);
        client.write_all(b"POST /v1/tra").expect("sent");
        clients.push(client);
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(arrivals.intake.counts.full.load(Relaxed), 0);
    assert_eq!(post(&mut connected(address), "late"), None);
    assert_eq!(arrivals.intake.counts.full.load(Relaxed), 1);
}

#[test]
fn what_is_no_request_is_answered_and_counted() {
    let (arrivals, address) = listening(false);
    let mut client = connected(address);
    client.write_all(b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03").expect("sent");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("not a request"), "{answer}");
    assert_eq!(arrivals.intake.counts.malformed.load(Relaxed), 1);
}

/// The answer's status to a request with this first line and these headers.
fn status_of(address: std::net::SocketAddr, first: &str, headers: &str) -> String {
    let mut client = connected(address);
    let body = request("x");
    write!(
        client,
        "{first} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .expect("sent");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("an answer");
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

/// What is packed in another way is lost, and counted; what weftrace never takes, as metrics, is not.
#[test]
fn messages_that_are_refused_are_counted_where_they_are_lost() {
    let (arrivals, address) = listening(false);
    let json = "Content-Type: application/json\r\n";
    let lost = || arrivals.intake.counts.malformed.load(Relaxed);
    for (n, packed) in (1..).zip(["zstd", "snappy", "deflate"]) {
        let headers = format!("{json}Content-Encoding: {packed}\r\n");
        assert_eq!((status_of(address, "POST /v1/traces", &headers).as_str(), lost()), ("415", n), "{packed}");
    }
    assert_eq!((status_of(address, "POST /v1/metrics", json).as_str(), lost()), ("404", 3));
    assert_eq!((status_of(address, "GET /v1/traces", json).as_str(), lost()), ("405", 3));
    assert_eq!((status_of(address, "POST /v1/logs", json).as_str(), lost()), ("200", 3), "nobody wants log records");
    assert_eq!((status_of(address, "POST /v1/traces", json).as_str(), lost()), ("200", 3));
}

/// SDKs that send to `localhost` try ::1 first, and not all of them anything else.
#[test]
#[allow(clippy::print_stdout, reason = "tests say what they skip")]
fn the_loopback_has_two_addresses() {
    let Ok(other) = std::net::TcpListener::bind("[::1]:0") else {
        println!("SKIP ::1");
        return;
    };
    drop(other);
    let (mut arrivals, address) = listening(false);
    let port = address.port();
    assert_eq!(arrivals.places, [format!("OTLP/HTTP 127.0.0.1:{port} and [::1]:{port}")]);
    let also = std::net::SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, port));
    for (name, at) in [("four", address), ("six", also)] {
        assert_eq!(post(&mut connected(at), name).as_deref(), Some("200"));
    }
    assert_eq!(names(&mut arrivals), ["four", "six"]);
    drop(arrivals);
    // Somebody else is at the one.
    let _held = std::net::TcpListener::bind(also).expect("free");
    let options = TelemetryOptions { grpc: None, http: Some(address), lines: Vec::new() };
    let Err(refused) = super::Arrivals::bind(&options, Vec::new()) else { panic!("it is taken") };
    assert!(refused.why.contains(&format!("port {port} of ::1 is in use")), "{}", refused.why);
    let elsewhere = format!("--otlp-http 127.0.0.1:{}", port.saturating_add(10_000));
    assert!(refused.remedy.contains(&elsewhere), "{}", refused.remedy);
}

/// An exporter of OTLP over HTTP that is pointed at this port, or one that speaks TLS, isn't heard: it is counted. A look whether the port is open is none.
#[cfg(feature = "grpc")]
#[test]
fn what_is_no_grpc_is_counted() {
    let (arrivals, address) = listening(true);
    let spoken: [&[u8]; 2] = [
        b"POST /v1/traces HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\0\0",
    ];
    for (n, bytes) in (1..).zip(spoken) {
        let mut silent = connected(address);
        silent.shutdown(std::net::Shutdown::Write).expect("open");
        let _ = silent.read_to_end(&mut Vec::new());
        let mut client = connected(address);
        client.write_all(bytes).expect("sent");
        // It may end by a reset; and it ends before it is counted.
        let _ = client.read_to_end(&mut Vec::new());
        let counted = || arrivals.intake.counts.malformed.load(Relaxed);
        let due = std::time::Instant::now() + Duration::from_secs(10);
        while counted() < n && std::time::Instant::now() < due {
            std::thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(counted(), n);
    }
}

/// As gRPC has it, the same number stands for what isn't there and for what can't be unpacked.
#[cfg(feature = "grpc")]
#[test]
fn messages_by_grpc_that_are_packed_in_another_way_are_counted() {
    let (arrivals, address) = listening(true);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let asked = |service: &str| {
        let path = format!("/opentelemetry.proto.collector.{service}/Export");
        runtime.block_on(async {
            let stream = tokio::net::TcpStream::connect(address).await.expect("it listens");
            let (client, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
            tokio::spawn(connection);
            let mut client = client.ready().await.expect("ready");
            let request = http::Request::post(path).header("grpc-encoding", "zstd").body(()).expect("a request");
            let (answer, mut sending) = client.send_request(request, false).expect("open");
            sending.send_data(bytes::Bytes::from_static(b"\x01\0\0\0\x03abc"), true).expect("sent");
            let answer = tokio::time::timeout(Duration::from_secs(30), answer).await.expect("in time").expect("heard");
            let status = answer.headers().get("grpc-status").expect("a status").to_str().expect("digits").to_owned();
            (status, arrivals.intake.counts.malformed.load(Relaxed))
        })
    };
    assert_eq!(asked("trace.v1.TraceService"), ("12".to_owned(), 1));
    assert_eq!(asked("metrics.v1.MetricsService"), ("12".to_owned(), 1));
}

#[cfg(feature = "grpc")]
#[test]
fn more_clients_of_grpc_than_places() {
    use weftrace_probes::telemetry::proto::Writer;
    let mut message = Writer::default();
    message.message(1, |group| {
        group.message(2, |scoped| {
            scoped.message(2, |span| {
                span.bytes(1, &[7; 16]);
                span.bytes(2, &[7; 8]);
                span.text(5, "order");
                span.fixed64(7, 5);
                span.fixed64(8, 6);
            });
        });
    });
    let body = [&[0][..], &(message.0.len() as u32).to_be_bytes(), &message.0].concat();
    let (mut arrivals, address) = listening(true);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut clients = Vec::new();
        for i in 0..70 {
            let stream = tokio::net::TcpStream::connect(address).await.expect("it listens");
            let (client, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
            let ends = tokio::spawn(connection);
            let mut client = client.ready().await.expect("ready");
            let request = http::Request::post("/opentelemetry.proto.collector.trace.v1.TraceService/Export");
            let (answer, mut sending) = client.send_request(request.body(()).expect("a request"), false).expect("open");
            sending.send_data(bytes::Bytes::from(body.clone()), true).expect("sent");
            let answer = tokio::time::timeout(Duration::from_secs(30), answer).await.expect("in time");
            assert_eq!(answer.expect("an answer").status(), 200, "{i}");
            clients.push((client, ends));
        }
        // The first were asked to go, and went.
        for (client, ends) in clients.drain(..6) {
            let ended = tokio::time::timeout(Duration::from_secs(30), ends).await.expect("in time").expect("no panic");
            assert!(ended.is_ok(), "{ended:?}");
            drop(client);
        }
        assert!(clients.iter().all(|(_, ends)| !ends.is_finished()));
    });
    assert_eq!(names(&mut arrivals), vec!["order"; 70]);
    assert_eq!(arrivals.intake.counts.full.load(Relaxed), 0);
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

//! What io_uring moves at sockets isn't seen, and that is told: how often, at how many sockets, and by every join that would have read it.
#![cfg(target_arch = "x86_64")]
#![allow(clippy::print_stdout, reason = "tests say what they skip")]

mod traced;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
    time::Duration,
};
use traced::{Running, Tracer, build, ready};

const CONNECTIONS: usize = 3;
const REQUESTS: usize = 5;

/// tests/programs/io_uring_server.c, and its port. None: the kernel has no io_uring, or none of this kind.
fn server(mode: &str) -> Option<(Running, u16)> {
    if !ready("rawtracepoint") {
        println!("SKIP raw tracepoints");
        return None;
    }
    let program = build("io_uring_server", "io_uring_server.c", &["-O1"])?;
    let mut command = Command::new(program);
    command.args([mode, &CONNECTIONS.to_string()]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it runs");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("text");
    let Ok(port) = line.trim().parse() else {
        assert_eq!(child.wait().ok().and_then(|status| status.code()), Some(77), "it says no port");
        println!("SKIP io_uring");
        return None;
    };
    Some((Running(child), port))
}

/// Asks on several connections, one request after the other. False: the kernel has no operation of this kind.
fn ask(server: &mut Running, port: u16) -> bool {
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket");
        for i in 0..REQUESTS {
            // In one call: the server answers what it gets at once.
            stream.write_all(format!("GET /ring?{i} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).expect("sent");
            let mut got = Vec::new();
            while !got.ends_with(b"done") {
                let mut piece = [0; 100];
                let n = stream.read(&mut piece).unwrap_or(0);
                if n == 0 {
                    assert_eq!(server.0.wait().ok().and_then(|status| status.code()), Some(77), "no response");
                    println!("SKIP this operation of io_uring");
                    return false;
                }
                got.extend_from_slice(&piece[..n]);
            }
        }
    }
    true
}

/// The number before a text.
fn count(said: &str, text: &str) -> Option<usize> {
    said.lines().find(|l| l.contains(text))?.split("lost ").nth(1)?.split(' ').next()?.parse().ok()
}

/// Each mode moves the same requests: the client's calls show them, the server's don't, and the joins know. `operations`: at least; other
/// programs of the machine may have theirs.
fn is_told(mode: &str, operations: usize) {
    let Some((mut server, port)) = server(mode) else { return };
    let script = r#"
http:client:PORT { emit app.asked(conn = tcp.conn, start = http.exchange.start, end = http.exchange.end); }
http:server:PORT { emit app.served(conn = tcp.conn, start = http.exchange.start, end = http.exchange.end, dur = http.exchange.dur); }
tracepoint:sock:inet_sock_set_state /args.dport == PORT && args.oldstate == 2 && args.newstate == 1/ {
  emit app.opened(conn = conn((struct sock *)args.skaddr), start = nsecs, end = nsecs + 1000000000);
}
join asked { from r = app.asked(); total r.start; }
join:asked { printf("asked\n"); }
join opened { from r = app.opened(); total r.start; served = sum(app.served.dur) by conn; blame served; timeout 30s; }
join:opened { printf("served %s %s\n", served.state, served.reason); }
"#;
    let tracer = Tracer::start(&script.replace("PORT", &port.to_string()), &[]);
    if !ask(&mut server, port) {
        return;
    }
    let (lines, said) = tracer.end();
    assert_eq!(lines.iter().filter(|l| *l == "asked").count(), CONNECTIONS * REQUESTS, "{lines:#?} {said}");
    let told = count(&said, "operations of io_uring on TCP sockets");
    assert!(told.is_some_and(|n| n >= operations), "{mode}: {told:?} {said}");
    let sockets = count(&said, "TCP sockets used by io_uring");
    assert!(sockets.is_some_and(|n| n >= CONNECTIONS), "{mode}: {sockets:?} {said}");
    let served: Vec<&String> = lines.iter().filter(|l| l.starts_with("served")).collect();
    assert_eq!(served.len(), CONNECTIONS, "{lines:#?} {said}");
    assert!(served.iter().all(|l| *l == "served unknown io_uring"), "{mode}: never none: {served:#?} {said}");
}

/// Each request is one operation that receives and one that sends.
#[test]
fn one_by_one() {
    is_told("single", CONNECTIONS * REQUESTS * 2);
}

#[test]
fn with_registered_files_and_buffers() {
    is_told("fixed", CONNECTIONS * REQUESTS * 2);
}

/// One operation receives all requests of a connection: it waits, and is woken for each of them.
#[test]
fn one_operation_for_many_requests() {
    is_told("multishot", CONNECTIONS * REQUESTS * 2);
}

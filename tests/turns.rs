//! `tcp:exchange` beside a server and a client of a protocol that nobody parses: its exchanges are what both have done.
#![cfg(target_arch = "x86_64")]

mod traced;

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::Command,
    thread,
    time::Duration,
};
use traced::{Tracer, can_watch_sockets, weftrace};

const BLOCK: &str = r#"
tcp:exchange:PORT {
  printf("%d [%d,%d) [%d,%d) complete=%d first=%d wait=%d %d\n", tcp.exchange.served, tcp.exchange.request_from, tcp.exchange.request_to,
    tcp.exchange.response_from, tcp.exchange.response_to, tcp.exchange.complete, tcp.exchange.first_on_conn,
    tcp.exchange.complete ? (tcp.exchange.first_byte - tcp.exchange.request_end) / 1ms : 0, pid);
}"#;

/// Answers each `;` with 120 bytes in two pieces, after so long; one that asks for nothing isn't answered.
fn serve(listener: TcpListener, delays: &'static [u64]) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        for delay in delays {
            let mut byte = [0];
            while byte != *b";" {
                stream.read_exact(&mut byte).expect("a request");
            }
            thread::sleep(Duration::from_millis(*delay));
            stream.write_all(&[b'x'; 100]).expect("sent");
            stream.write_all(&[b'y'; 20]).expect("sent");
        }
        let _ = stream.read(&mut [0; 10]);
    })
}

fn ask(stream: &mut TcpStream) {
    stream.write_all(b"select").expect("sent");
    thread::sleep(Duration::from_millis(5));
    stream.write_all(b" 1;").expect("sent");
    let mut answer = [0; 120];
    stream.read_exact(&mut answer).expect("an answer");
}

fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    (listener, port)
}

/// Lines of one end, without what it waited; and the waits, ms.
fn end_of(lines: &[String], served: &str) -> (Vec<String>, Vec<u64>) {
    let mine: Vec<&String> = lines.iter().filter(|line| line.starts_with(served)).collect();
    let wait = |line: &&String| line.split("wait=").nth(1)?.split(' ').next()?.parse().ok();
    let rest = |line: &&String| line[2..].split(" wait=").next().unwrap_or_default().to_owned();
    (mine.iter().map(rest).collect(), mine.iter().filter_map(wait).collect())
}

#[test]
fn both_ends_tell_of_each_turn() {
    if !can_watch_sockets() {
        return;
    }
    let (listener, port) = listener();
    let tracer = Tracer::start(&BLOCK.replace("PORT", &port.to_string()), &[]);
    let server = serve(listener, &[0, 60, 0]);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream.set_nodelay(true).expect("a socket");
    ask(&mut stream);
    ask(&mut stream);
    // Nothing comes for a while: the answer is over.
    thread::sleep(Duration::from_millis(400));
    ask(&mut stream);
    stream.write_all(b"bye").expect("sent");
    drop(stream);
    server.join().expect("it answered");
    let (lines, said) = tracer.end();
    let wanted = [
        "[0,9) [0,120) complete=1 first=1",
        "[9,18) [120,240) complete=1 first=0",
        "[18,27) [240,360) complete=1 first=0",
        "[27,30) [0,0) complete=0 first=0",
    ];
    for served in ["1", "0"] {
        let (turns, waits) = end_of(&lines, served);
        assert_eq!(turns, wanted, "{lines:#?} {said}");
        assert!((50..1000).contains(&waits[1]) && waits[0] < 50 && waits[2] < 50, "{lines:#?}");
    }
    let me = format!(" {}", std::process::id());
    assert!(lines.iter().all(|line| line.ends_with(&me)), "{lines:#?}");
}

#[test]
fn a_connection_that_is_older() {
    if !can_watch_sockets() {
        return;
    }
    let (listener, port) = listener();
    let server = serve(listener, &[0, 0, 0]);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    let from = stream.local_addr().expect("an address").port();
    ask(&mut stream);
    let tracer = Tracer::start(&BLOCK.replace("PORT", &port.min(from).to_string()), &[]);
    ask(&mut stream);
    ask(&mut stream);
    drop(stream);
    server.join().expect("it answered");
    let (lines, said) = tracer.end();
    // The lower port's side is taken for the server: which of the two that is here nobody chose.
    let wanted = ["[9,18) [120,240) complete=1 first=0", "[18,27) [240,360) complete=1 first=0"];
    if port < from {
        assert_eq!(end_of(&lines, "1").0, wanted, "{lines:#?} {said}");
        assert_eq!(end_of(&lines, "0").0, wanted, "{lines:#?} {said}");
    } else {
        assert!(!lines.is_empty(), "{said}");
    }
}

/// Beside `http:` blocks: each sees what is its own.
#[test]
fn beside_http() {
    if !can_watch_sockets() {
        return;
    }
    let (web, http) = listener();
    let (other, port) = listener();
    let script = BLOCK.replace("PORT", &port.to_string())
        + &format!("http:server:{http} {{ printf(\"H %s\\n\", http.exchange.uri); }}");
    let tracer = Tracer::start(&script, &[]);
    let server = serve(other, &[0]);
    ask(&mut TcpStream::connect(("127.0.0.1", port)).expect("it listens"));
    server.join().expect("it answered");
    let answer = thread::spawn(move || {
        let (mut stream, _) = web.accept().expect("a connection");
        let _ = stream.read(&mut [0; 100]).expect("a request");
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").expect("sent");
    });
    let mut stream = TcpStream::connect(("127.0.0.1", http)).expect("it listens");
    stream.write_all(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    let _ = stream.read(&mut [0; 100]).expect("a response");
    answer.join().expect("it answered");
    let (mut lines, said) = tracer.end();
    lines.sort();
    let ours: Vec<&str> = lines.iter().map(|line| line.split(" wait").next().unwrap_or_default()).collect();
    assert_eq!(ours, ["0 [0,9) [0,120) complete=1 first=1", "1 [0,9) [0,120) complete=1 first=1", "H /a"], "{said}");
}

/// The stream of the module is an anchor like any other; and what was recorded of it replays.
#[test]
fn a_join_of_turns() {
    if !can_watch_sockets() {
        return;
    }
    let folder = std::env::temp_dir().join(format!("weftrace-turns-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let (file, script, program) = (folder.join("x.pcapng"), folder.join("turns.probe"), folder.join("ask.py"));
    let (listener, port) = listener();
    let text = format!(
        "import \"std/tcp_exchange\"; import \"std/tcp\";
join slow {{ from q = tcp.exchange(port={port}, served=false); loss = sum(tcp.loss.dur) by conn; blame loss; keep q.dur > 50ms; }}
join:slow {{ printf(\"%s asked %d, answered %d: %s\\n\", q.comm, q.asked, q.answered, verdict); }}"
    );
    std::fs::write(&script, text).expect("written");
    let client = format!(
        "import socket\nc = socket.create_connection(('127.0.0.1', {port}))\nfor _ in range(2):\n  c.sendall(b'select 1;')\n  n = 0\n  while n < 120: n += len(c.recv(200))\n"
    );
    std::fs::write(&program, client).expect("written");
    let server = serve(listener, &[0, 80]);
    let child = format!("python3 {}", program.display());
    let live = Command::new(env!("CARGO_BIN_EXE_weftrace"))
        .args(["record", "-o"])
        .arg(&file)
        .args(["-c", &child])
        .arg(&script)
        .output()
        .expect("weftrace runs");
    let said = String::from_utf8_lossy(&live.stdout).into_owned();
    assert!(said.starts_with("python3 asked 9, answered 120: app"), "{said} {}", String::from_utf8_lossy(&live.stderr));
    server.join().expect("it answered");
    let again = weftrace(&["replay", file.to_str().expect("a path")]);
    assert_eq!(String::from_utf8_lossy(&again.stdout), said);
    std::fs::remove_dir_all(&folder).expect("removed");
}

#[test]
fn what_can_and_what_cannot_be_named() {
    let told = |script: &str| {
        let out = weftrace(&["check", "-e", script]);
        String::from_utf8_lossy(&out.stderr).into_owned()
    };
    assert!(told("tcp:foo { print(1); }").contains("tcp:exchange[:PORT]"));
    assert!(told("tcp:exchange:0 { print(1); }").contains("is no port: 1 to 65535"));
    assert!(told("tcp:exchange { print(http.exchange.uri); }").contains("known here: tcp.exchange.*"));
    assert!(told("pcap:any { print(tcp.exchange.dur); }").contains("tcp.exchange.dur is known in tcp:exchange blocks"));
    let out = weftrace(&["list", "-v", "tcp:*"]);
    let listed = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(listed.starts_with("tcp:exchange[:PORT]") && listed.contains("tcp.exchange.first_byte"), "{listed}");
}

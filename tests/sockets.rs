//! `http:server` and `http:client` beside real servers: what is seen at their sockets is what their own logs and the clients say.
#![cfg(target_arch = "x86_64")]
#![allow(clippy::print_stdout, reason = "tests say what they skip")]

mod traced;

use std::{
    io::{BufRead, BufReader, IoSlice, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
    time::Duration,
};
use traced::{
    Running, Tracer, build, can_watch_sockets,
    nginx::{Nginx, free_port, sorted},
    soon, weftrace,
};

const SCRIPT: &str = r#"
http:server:PORT {
  printf("S %s %s %s %d %d first=%d [%d,%d) [%d,%d) %d\n", comm, http.exchange.method, http.exchange.uri, http.exchange.status,
    http.exchange.complete, http.exchange.first_on_conn, http.exchange.request_from, http.exchange.request_to,
    http.exchange.response_from, http.exchange.response_to, pid);
}
http:client:PORT {
  printf("C %s %s %s %d %d first=%d [%d,%d) [%d,%d) %d\n", comm, http.exchange.method, http.exchange.uri, http.exchange.status,
    http.exchange.complete, http.exchange.first_on_conn, http.exchange.request_from, http.exchange.request_to,
    http.exchange.response_from, http.exchange.response_to, pid);
}"#;

fn tracer(port: u16) -> Tracer {
    Tracer::start(&SCRIPT.replace("PORT", &port.to_string()), &[])
}

fn connect(port: u16) -> TcpStream {
    assert!(soon(|| TcpStream::connect(("127.0.0.1", port)).is_ok()), "nobody listens on {port}");
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream.set_nodelay(true).expect("a socket");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket");
    stream
}

/// Reads one response; its status and body. `piece`: bytes asked for at once; each looked at first without being taken.
fn response(stream: &mut TcpStream, piece: usize) -> (u16, Vec<u8>) {
    let mut got = Vec::new();
    let mut buffer = vec![0; piece];
    loop {
        stream.peek(&mut buffer).expect("a response");
        let n = stream.read(&mut buffer).expect("a response");
        got.extend_from_slice(&buffer[..n]);
        let Some(end) = got.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&got[..end]).to_lowercase();
        let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")?.parse::<usize>().ok());
        let whole = match length {
            Some(length) => got.len() >= end + 4 + length,
            None => got.ends_with(b"\r\n0\r\n\r\n"),
        };
        if whole || n == 0 {
            let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
            return (status, got.split_off(end + 4));
        }
    }
}

/// The lines of one side, without the process.
fn side<'a>(lines: &'a [String], side: &str) -> Vec<&'a str> {
    lines.iter().filter(|l| l.starts_with(side)).map(String::as_str).collect()
}

/// `method path status` of each line.
fn requests(lines: &[&str]) -> Vec<String> {
    let words = |l: &&str| l.split(' ').skip(2).take(3).collect::<Vec<_>>().join(" ");
    lines.iter().map(words).collect()
}

fn nginx(port: u16, port2: u16) -> Option<Nginx> {
    let servers = format!(
        "server {{ listen 127.0.0.1:{port}; root HOME/www;
           location = /fine {{ return 200 'fine'; }}
           location /packed/ {{ alias HOME/www/; gzip on; gzip_types *; }} }}
         server {{ listen 127.0.0.1:{port2} http2; root HOME/www; location = /fine {{ return 200 'fine'; }} }}"
    );
    Nginx::start(Nginx::home(&format!("nginx-{port}")), &servers)
}

/// One after the other, read in small pieces; then several at once; then a request byte by byte.
fn ask_in_pieces(stream: &mut TcpStream) {
    for i in 0..3 {
        write!(stream, "GET /small?one={i} HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
        assert_eq!(response(stream, 7).0, 200);
    }
    let mut all = Vec::new();
    for i in 0..5 {
        write!(all, "GET /none?many={i} HTTP/1.1\r\nHost: a\r\n\r\n").expect("written");
    }
    stream.write_all(&all).expect("sent");
    for _ in 0..5 {
        let mut one = [0; 1];
        // Responses lie one behind the other: byte by byte none is passed over.
        let mut got = Vec::new();
        while !got.ends_with(b"</html>\r\n") {
            stream.read_exact(&mut one).expect("a response");
            got.push(one[0]);
        }
    }
    for byte in b"GET /fine?slow HTTP/1.1\r\nHost: a\r\n\r\n" {
        stream.write_all(&[*byte]).expect("sent");
    }
    assert_eq!(response(stream, 100).1, b"fine");
}

/// Bodies: long with a length, chunked of unknown length, one that is sent.
fn ask_for_bodies(stream: &mut TcpStream) {
    stream.write_all(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    assert_eq!(response(stream, 65536).1.len(), 300_000);
    stream.write_all(b"GET /packed/big HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n").expect("sent");
    response(stream, 65536);
    let mut post = b"POST /fine HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n".to_vec();
    post.resize(post.len() + 200_000, b'G');
    stream.write_all(&post).expect("sent");
    assert_eq!(response(stream, 4096).0, 200);
}

#[test]
fn what_nginx_logs_is_seen_at_its_sockets() {
    if !can_watch_sockets() {
        return;
    }
    let (port, port2) = (free_port(), free_port());
    let Some(server) = nginx(port, port2) else { return };
    // A connection that is older than weftrace.
    let mut old = connect(port);
    old.write_all(b"GET /small?before HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    response(&mut old, 1000);
    assert!(soon(|| !server.logged().is_empty()));
    let before = server.logged();
    let tracer = tracer(port);
    old.write_all(b"GET /small?old HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    assert_eq!(response(&mut old, 1000).0, 200);
    let mut stream = connect(port);
    ask_in_pieces(&mut stream);
    ask_for_bodies(&mut stream);
    drop((stream, old));
    assert!(soon(|| server.logged().len() == before.len() + 13), "{:?}", server.logged());
    let (lines, said) = tracer.end();
    let served = side(&lines, "S ");
    let with_before = sorted(requests(&served).into_iter().chain(before).collect());
    assert_eq!(with_before, server.logged(), "{lines:#?} {said}");
    let sent = side(&lines, "C ");
    assert_eq!(requests(&served).len(), sent.len(), "{lines:#?} {said}");
    // Of the chunked body only the beginnings of the calls were copied: whether its end was among them isn't known.
    let whole = |l: &&str| l.contains(" 1 first=") || l.contains(" /packed/big ");
    assert!(served.iter().all(|l| l.starts_with("S nginx ") && whole(l)), "{served:#?} {said}");
    // Both sides say the same of the bytes; but nginx answers before it has read what is sent.
    let bytes = |l: &&str| l[l.find('[').unwrap_or(0)..l.rfind(' ').unwrap_or(0)].to_owned();
    let of = |side: &[&str]| sorted(side.iter().filter(|l| !l.contains(" POST ")).map(bytes).collect());
    assert_eq!(of(&served), of(&sent), "{said}");
    let first = served.iter().filter(|l| l.contains("first=1")).count();
    assert_eq!(first, 1, "the older connection's first exchange is not its first: {served:#?}");
}

#[test]
fn http2_streams_of_nginx_and_h2load() {
    if !can_watch_sockets() {
        return;
    }
    let (port, port2) = (free_port(), free_port());
    let Some(_server) = nginx(port, port2) else { return };
    drop(connect(port2));
    let tracer = tracer(port2);
    let urls = ["small", "big", "none", "fine"].map(|path| format!("http://127.0.0.1:{port2}/{path}"));
    let Ok(out) = Command::new("h2load").args(["-n", "40", "-c", "2", "-m", "10"]).args(&urls).output() else {
        println!("SKIP h2load");
        return;
    };
    let told = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(told.contains("40 done"), "{told}");
    let (lines, said) = tracer.end();
    let all: Vec<String> = ["/big 200", "/fine 200", "/none 404", "/small 200"]
        .iter()
        .flat_map(|request| vec![format!("GET {request}"); 10])
        .collect();
    for (name, program) in [("S ", "S nginx "), ("C ", "C h2load ")] {
        let mut seen = requests(&side(&lines, name));
        seen.sort();
        assert_eq!(seen, all, "{lines:#?} {said}");
        assert!(side(&lines, name).iter().all(|l| l.starts_with(program) && l.contains(" 1 first=")), "{lines:#?}");
    }
    // Other programs of the machine may move what sockets don't show.
    let others = |l: &str| l.contains("io_uring") || l.contains("messages within TLS");
    assert!(!said.lines().any(|l| l.contains("lost") && !others(l)), "{said}");
}

/// A process that accepts, and hands each connection to another one, which duplicates the descriptor and serves.
const HANDED_OVER: &str = r"
import os, socket, sys
a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
if os.fork() == 0:
    a.close()
    while True:
        data, fds, _, _ = socket.recv_fds(b, 16, 1)
        if not fds: os._exit(0)
        fd = os.dup(fds[0]); os.close(fds[0])
        got = b''
        while not got.endswith(b'\r\n\r\n'):
            more = os.readv(fd, [p := bytearray(5), q := bytearray(9)])
            if more == 0: break
            got += (bytes(p) + bytes(q))[:more]
        if got: os.writev(fd, [b'HTTP/1.1 201 Made\r\nContent-', b'Length: 4\r\n\r\n', b'do', b'ne'])
        os.close(fd)
b.close()
s = socket.create_server(('127.0.0.1', int(sys.argv[1])))
print(os.getpid(), flush=True)
while True:
    c, _ = s.accept()
    socket.send_fds(a, [b'x'], [c.fileno()]); c.close()
";

#[test]
fn descriptors_that_move() {
    if !can_watch_sockets() {
        return;
    }
    let port = free_port();
    let child = Command::new("python3")
        .args(["-c", HANDED_OVER, &port.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else {
        println!("SKIP python3");
        return;
    };
    let mut pid = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut pid).expect("it listens");
    let _server = Running(child);
    let tracer = tracer(port);
    for i in 0..4 {
        let mut stream = connect(port);
        write!(stream, "GET /moved?{i} HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
        assert_eq!(response(&mut stream, 64), (201, b"done".to_vec()));
    }
    let (lines, said) = tracer.end();
    for name in ["S ", "C "] {
        let seen = requests(&side(&lines, name));
        assert_eq!(seen, (0..4).map(|i| format!("GET /moved?{i} 201")).collect::<Vec<_>>(), "{lines:#?} {said}");
    }
    // Who read the request served it, not who accepted.
    let accepted = format!(" {}", pid.trim());
    assert!(side(&lines, "S ").iter().all(|l| !l.ends_with(&accepted)), "{lines:#?}");
}

/// Blocks on one side, or on some ports: the rest is passed over in the kernel.
#[test]
fn one_side_alone() {
    if !can_watch_sockets() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let served = std::thread::spawn(move || {
        for stream in listener.incoming().take(6) {
            let mut stream = stream.expect("a connection");
            let mut head = [0; 100];
            let n = stream.read(&mut head).expect("a request");
            assert!(head[..n].ends_with(b"\r\n\r\n"));
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").expect("sent");
        }
    });
    let block = |point: &str, name: &str| {
        format!(r#"{point} /tcp.dstport == {port}/ {{ printf("{name} %s\n", http.exchange.uri); }} "#)
    };
    let (server, client) = (block("http:server", "S"), block("http:client", "C"));
    let mine = block(&format!("http:server:{port}"), "S") + &block(&format!("http:client:{}", port ^ 1), "C");
    for (i, (script, sides)) in [(server, "S"), (client, "C"), (mine, "S")].iter().enumerate() {
        let tracer = Tracer::start(script, &[]);
        for k in 0..2 {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
            let request = format!("GET /{i}{k} HTTP/1.1\r\nHost: a\r\n\r\n");
            stream.write_all(request.as_bytes()).expect("sent");
            assert_eq!(response(&mut stream, 64).0, 200);
        }
        let (lines, said) = tracer.end();
        assert_eq!(lines, [format!("{sides} /{i}0"), format!("{sides} /{i}1")], "{script} {said}");
    }
    served.join().expect("all were answered");
}

/// With `-p` only what that process sends and gets is told, whoever is at the other end.
#[test]
fn of_one_process() {
    if !can_watch_sockets() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let served = std::thread::spawn(move || {
        let mut stream = listener.accept().expect("a connection").0;
        assert!(stream.read(&mut [0; 1000]).expect("a request") > 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").expect("sent");
    });
    let script = format!("http:* /tcp.dstport == {port}/ {{ printf(\"%d\\n\", pid); }}");
    let own = std::process::id().to_string();
    let tracer = Tracer::start(&script, &["-p", &own]);
    let url = format!("http://127.0.0.1:{port}/");
    let Ok(asked) = std::process::Command::new("curl").args(["-s", "-m", "5", &url]).status() else {
        println!("SKIP curl");
        return;
    };
    assert!(asked.success());
    served.join().expect("it was answered");
    let (lines, said) = tracer.end();
    assert_eq!(lines, [own], "the server, not curl: {said}");
}

#[test]
fn what_can_and_what_cannot_be_named() {
    let out = weftrace(&["check", "-e", "http:server { print(tcp.len); }"]);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(said.contains("sockets don't show packets") && said.contains("http.exchange.*"), "{said}");
    let out = weftrace(&["check", "-e", "http:proxy:80 { print(1); }"]);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(said.contains("no side proxy") && said.contains("http:server[:PORT]"), "{said}");
    let out = weftrace(&["list", "http:*"]);
    assert_eq!(String::from_utf8_lossy(&out.stdout).lines().count(), 2);
}

/// Heads as long as servers take them, each in one call: of such a call more is copied than of others.
#[test]
fn long_heads_in_one_call() {
    if !can_watch_sockets() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut buffer = vec![0; 1 << 16];
        for status in [200, 404, 201] {
            let mut got = 0;
            while !buffer[..got].ends_with(b"\r\n\r\n") {
                got += stream.read(&mut buffer[got..]).expect("a request");
            }
            let head = format!("HTTP/1.1 {status} X\r\nContent-Length: 2\r\nPolicy: {}\r\n\r\nok", "p".repeat(12_000));
            stream.write_all(head.as_bytes()).expect("sent");
        }
    });
    let tracer = tracer(port);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    for path in ["/a", "/b", "/c"] {
        let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nCookie: {}\r\n\r\n", "c".repeat(12_000));
        stream.write_all(head.as_bytes()).expect("sent");
        assert_eq!(response(&mut stream, 1 << 16).1, b"ok");
    }
    drop(stream);
    server.join().expect("it ended");
    let (lines, said) = tracer.end();
    let wanted = ["GET /a 200", "GET /b 404", "GET /c 201"];
    for end in ["S", "C"] {
        assert_eq!(requests(&side(&lines, end)), wanted, "{end}: {lines:?}\n{said}");
    }
    assert!(!said.contains("lost"), "{said}");
}

/// First requests whose first three letters are not what a call's first buffer begins with: they come byte by byte into memory with other letters, in pieces of which the first is
/// short or empty, or behind an empty line.
#[test]
fn first_requests_in_other_shapes() {
    if !can_watch_sockets() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let shapes: [&[&str]; 5] = [
        &["GET /whole HTTP/1.1\r\n\r\n"],
        &["", "GET /empty HTTP/1.1\r\n\r\n"],
        &["G", "ET /one HTTP/1.1\r\n\r\n"],
        &["GE", "T /two HTTP/1.1\r\n\r\n"],
        &["\r\nGET /line HTTP/1.1\r\n\r\n"],
    ];
    let served = std::thread::spawn(move || {
        // Every other one is read byte by byte.
        for (most, stream) in [64, 1].repeat(shapes.len()).into_iter().zip(listener.incoming()) {
            let mut stream = stream.expect("a connection");
            let (mut buffer, mut got) = ([b'z'; 64], Vec::new());
            while !got.ends_with(b"1\r\n\r\n") {
                let n = stream.read(&mut buffer[..most]).expect("a request");
                got.extend_from_slice(&buffer[..n]);
                buffer.fill(b'z');
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").expect("sent");
        }
    });
    let tracer = tracer(port);
    for shape in shapes.iter().flat_map(|shape| [shape, shape]) {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        let pieces: Vec<IoSlice<'_>> = shape.iter().map(|piece| IoSlice::new(piece.as_bytes())).collect();
        let sent = stream.write_vectored(&pieces).expect("sent");
        assert_eq!(sent, shape.concat().len());
        assert_eq!(response(&mut stream, 64).0, 200);
    }
    served.join().expect("all were answered");
    let (lines, said) = tracer.end();
    let wanted: Vec<String> =
        ["whole", "empty", "one", "two", "line"].iter().flat_map(|path| vec![format!("GET /{path} 200"); 2]).collect();
    for end in ["S", "C"] {
        let told = side(&lines, end);
        assert_eq!(requests(&told), wanted, "{end}: {lines:#?}\n{said}");
        // Bytes of an empty line that were read by themselves aren't told: what they were isn't known.
        let first = told.iter().filter(|line| line.contains(" first=1 ")).count();
        assert_eq!(first, if end == "S" { 9 } else { 10 }, "{lines:#?}");
    }
}

/// Where the bytes of several messages of one call lie isn't known: that there were some is told, and what comes next is not the connection's first.
#[test]
fn several_messages_of_one_call() {
    let Some(program) = build("messages", "messages.c", &[]).filter(|_| can_watch_sockets()) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        for _ in 0..2 {
            let (mut buffer, mut got) = ([0; 256], Vec::new());
            while !got.ends_with(b"\r\n\r\n") {
                let n = stream.read(&mut buffer).expect("a request");
                got.extend_from_slice(&buffer[..n]);
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").expect("sent");
        }
    });
    let tracer = tracer(port);
    assert!(Command::new(program).arg(port.to_string()).status().expect("it runs").success());
    served.join().expect("both were answered");
    let (lines, said) = tracer.end();
    assert_eq!(requests(&side(&lines, "S")), ["GET /messages 200", "GET /write 200"], "{lines:#?}");
    let client = side(&lines, "C");
    assert_eq!(requests(&client), ["GET /write 200"], "{lines:#?}");
    assert!(client[0].contains(" first=0 "), "{lines:#?}");
    assert!(said.contains("lost 1 pieces of HTTP streams"), "{said}");
}

//! `http:` blocks, and joins on them, beside servers and clients that speak TLS by OpenSSL: what is seen in clear is what the server's
//! log says.
#![cfg(target_arch = "x86_64")]
#![allow(clippy::print_stdout, reason = "tests say what they skip")]

mod traced;

use std::{
    net::TcpStream,
    process::{Command, Stdio},
};
use traced::{
    Tracer,
    nginx::{Nginx, certificate, free_port, sorted},
    ready, soon,
};

const SCRIPT: &str = r#"
http:*:PORT {
  printf("%s %s %s %d %d %d\n", comm, http.exchange.method, http.exchange.uri, http.exchange.status, http.exchange.complete,
    http.exchange.first_on_conn);
}"#;

/// nginx with a certificate of its own.
struct Secure {
    nginx: Nginx,
    /// Without TLS; with it; HTTP/2 with it.
    plain: u16,
    port: u16,
    port2: u16,
}

impl Secure {
    /// None: something isn't there.
    fn start() -> Option<Self> {
        Self::start_with("")
    }

    /// The same with more of a configuration.
    fn start_with(more: &str) -> Option<Self> {
        if !ready("uprobe") || !ready("rawtracepoint") {
            println!("SKIP uprobes or raw tracepoints");
            return None;
        }
        let (plain, port, port2) = (free_port(), free_port(), free_port());
        let home = Nginx::home(&format!("nginx-tls-{port}"));
        certificate(&home)?;
        let servers = format!(
            "ssl_certificate HOME/cert; ssl_certificate_key HOME/key; {more}
             server {{ listen 127.0.0.1:{plain}; listen 127.0.0.1:{port} ssl; root HOME/www; location = /fine {{ return 200 'fine'; }} }}
             server {{ listen 127.0.0.1:{port2} ssl http2; root HOME/www; location = /fine {{ return 200 'fine'; }} }}"
        );
        let nginx = Nginx::start(home, &servers)?;
        assert!(soon(|| TcpStream::connect(("127.0.0.1", port2)).is_ok()), "nginx doesn't listen");
        Some(Self { nginx, plain, port, port2 })
    }

    fn logged(&self) -> Vec<String> {
        self.nginx.logged()
    }
}

/// `method path status` of what one program did.
fn of(lines: &[String], program: &str) -> Vec<String> {
    let mine = lines.iter().filter(|l| l.split(' ').next() == Some(program));
    sorted(mine.map(|l| l.split(' ').skip(1).take(3).collect::<Vec<_>>().join(" ")).collect())
}

/// Runs a client; None: it isn't there.
fn run(name: &str, args: &[String]) -> Option<String> {
    let Ok(out) = Command::new(name).args(args).stdin(Stdio::null()).output() else {
        println!("SKIP {name}");
        return None;
    };
    assert!(out.status.success(), "{name} {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    Some(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// What was lost of these requests: of other programs on the machine there may be more that sockets don't show.
fn lost(said: &str) -> Vec<&str> {
    let others = ["io_uring", "messages within TLS", "reads of memory"];
    said.lines().filter(|l| l.contains("lost ") && !others.iter().any(|other| l.contains(other))).collect()
}

/// What a client and nginx did, both as nginx's log has it.
fn agree(server: &Secure, tracer: Tracer, client: &str, count: usize) {
    assert!(soon(|| server.logged().len() == count), "{:?}", server.logged());
    let (lines, said) = tracer.end();
    for program in ["nginx", client] {
        assert_eq!(of(&lines, program), server.logged(), "{program}: {lines:#?} {said}");
    }
    assert!(lines.iter().all(|l| l.split(' ').nth(4) == Some("1")), "complete: {lines:#?} {said}");
    assert!(lost(&said).is_empty(), "{said}");
}

/// Several requests on each of two connections. nginx takes a request's first bytes within the handshake already.
#[test]
fn curl_and_nginx() {
    let Some(server) = Secure::start() else { return };
    let tracer = Tracer::start(&SCRIPT.replace("PORT", &server.port.to_string()), &[]);
    for _ in 0..2 {
        let urls = ["small", "big", "none", "fine", "small?again", "big?again"];
        let urls = urls.map(|path| format!("https://127.0.0.1:{}/{path}", server.port));
        let args: Vec<String> = ["-k", "-s", "--http1.1"].map(str::to_owned).into_iter().collect();
        let args = args.into_iter().chain(urls.iter().flat_map(|url| ["-o".into(), "/dev/null".into(), url.clone()]));
        if run("curl", &args.collect::<Vec<_>>()).is_none() {
            return;
        }
    }
    agree(&server, tracer, "curl", 12);
}

/// A request that comes with the client's hello, as a session of before allows it. The client writes it before its socket is known, which is counted.
#[test]
fn early_data() {
    let Some(server) = Secure::start_with("ssl_early_data on; ssl_protocols TLSv1.3;") else { return };
    let tracer = Tracer::start(&SCRIPT.replace("PORT", &server.port.to_string()), &[]);
    let home = Nginx::home(&format!("early-{}", server.port));
    let ask = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    std::fs::write(home.join("first"), ask("/fine?first")).expect("a file");
    std::fs::write(home.join("early"), ask("/fine?early")).expect("a file");
    let say = |args: &[&str], input: Stdio| {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-tls1_3", "-ign_eof", "-connect", &format!("127.0.0.1:{}", server.port)]).args(args);
        let out = command.current_dir(&home).stdin(input).output().expect("openssl");
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    let first = std::fs::File::open(home.join("first")).expect("a file");
    say(&["-sess_out", "session"], first.into());
    let said = say(&["-sess_in", "session", "-early_data", "early"], Stdio::null());
    assert!(said.contains("Early data was accepted"), "{said}");
    assert!(soon(|| server.logged().len() == 2), "{:?}", server.logged());
    let (lines, said) = tracer.end();
    assert_eq!(of(&lines, "nginx"), server.logged(), "{lines:#?} {said}");
    assert_eq!(of(&lines, "openssl"), ["GET /fine?first 200"], "{lines:#?} {said}");
    assert!(said.contains("messages within TLS") && lost(&said).is_empty(), "{said}");
}

/// One after the other; several at once; a body that is sent.
const CLIENT: &str = r"
import http.client, socket, ssl, sys
context = ssl.create_default_context(); context.check_hostname = False; context.verify_mode = ssl.CERT_NONE
port = int(sys.argv[1])
c = http.client.HTTPSConnection('127.0.0.1', port, context=context)
for path in ['/small', '/big', '/none', '/fine']:
    c.request('GET', path); c.getresponse().read()
c.request('POST', '/fine', b'G' * 50000); c.getresponse().read()
s = context.wrap_socket(socket.create_connection(('127.0.0.1', port)))
s.sendall(b''.join(b'GET /fine?%d HTTP/1.1\r\nHost: a\r\n\r\n' % i for i in range(5)))
got = b''
while got.count(b'fine') < 5:
    got += s.recv(7)
";

#[test]
fn python_and_nginx() {
    let Some(server) = Secure::start() else { return };
    let tracer = Tracer::start(&SCRIPT.replace("PORT", &server.port.to_string()), &[]);
    if run("python3", &["-c".into(), CLIENT.into(), server.port.to_string()]).is_none() {
        return;
    }
    agree(&server, tracer, "python3", 10);
}

/// Streams of HTTP/2 within TLS: many at once on two connections, with more than is copied of a call.
#[test]
fn h2load_and_nginx() {
    let Some(server) = Secure::start() else { return };
    let tracer = Tracer::start(&SCRIPT.replace("PORT", &server.port2.to_string()), &[]);
    let urls = ["small", "big", "none", "fine"].map(|path| format!("https://127.0.0.1:{}/{path}", server.port2));
    let args: Vec<String> = ["-n", "40", "-c", "2", "-m", "10"].map(str::to_owned).into_iter().chain(urls).collect();
    let Some(told) = run("h2load", &args) else { return };
    assert!(told.contains("40 done"), "{told}");
    agree(&server, tracer, "h2load", 40);
}

const JOINED: &str = r#"
import "std/http_sockets"; import "std/tcp"; import "std/sched";
join web {
  from  r = http.request(server_port=PORT);
  total r.conn.opened if r.first_on_conn, r.start;
  syn   = max(tcp.connect.dur) by conn since 10s;
  queue = sum(tcp.accept_queue.dur) by conn since 10s;
  runq  = sum(sched.runq.dur) by pid;
  blame syn, queue, runq;
}
join:web {
  printf("%s %s %s %d first=%d syn=%s queue=%s runq=%s %s\n", r.comm, r.method, r.path, r.status, r.first_on_conn, syn.state, queue.state,
    runq.state, app + unknown <= total ? "within" : "beyond");
}"#;

/// Requests at sockets as anchors, with and without TLS: each has one record, and legs of its connection and of its process.
#[test]
fn joins_on_requests_at_sockets() {
    let Some(server) = Secure::start() else { return };
    for (scheme, port) in [("http", server.plain), ("https", server.port)] {
        let before = server.logged().len();
        let tracer = Tracer::start(&JOINED.replace("PORT", &port.to_string()), &[]);
        let urls = ["small", "big", "none"].map(|path| format!("{scheme}://127.0.0.1:{port}/{path}"));
        let args: Vec<String> = ["-k", "-s", "--http1.1"].map(str::to_owned).into_iter().collect();
        let args = args.into_iter().chain(urls.iter().flat_map(|url| ["-o".into(), "/dev/null".into(), url.clone()]));
        if run("curl", &args.collect::<Vec<_>>()).is_none() {
            return;
        }
        assert!(soon(|| server.logged().len() == before + 3), "{:?}", server.logged());
        let (lines, said) = tracer.end();
        assert_eq!(of(&lines, "nginx"), ["GET /big 200", "GET /none 404", "GET /small 200"], "{lines:#?} {said}");
        for line in lines.iter().filter(|l| l.starts_with("nginx ")) {
            assert!(line.contains(" syn=value queue=value "), "{scheme}: {line} {said}");
            assert!(line.contains("runq=value") || line.contains("runq=none"), "{scheme}: {line} {said}");
            assert!(line.ends_with(" within"), "{line}");
        }
        assert_eq!(lines.iter().filter(|l| l.contains(" first=1 ")).count(), 1, "{lines:#?}");
        assert!(lost(&said).is_empty(), "{said}");
    }
}

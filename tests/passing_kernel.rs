//! Exchanges that end in the kernel: whatever a server and its clients do on a connection, what is kept and what is counted is what a run says that reads
//! every one of them.
#![cfg(target_arch = "x86_64")]
#![allow(clippy::print_stdout, reason = "tests say what they skip")]

mod traced;

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::fd::AsRawFd,
    thread,
    time::Duration,
};
use traced::{Tracer, printed, ready};

const SCRIPT: &str =
    "http:server:PORT { emit web.request(conn = tcp.conn, start = http.exchange.start, end = http.exchange.end,
  dur = http.exchange.dur, first_on_conn = http.exchange.first_on_conn, status = http.exchange.status,
  complete = http.exchange.complete, path = (string[64])http.exchange.uri, method = (string[8])http.exchange.method); }
join web { from r = web.request(); total r.start; keep total > 300ms || r.status >= 500; timeout 30s; }
join:web { printf(\"%s %s %d %d\\n\", r.method, r.path, r.status, r.complete); } LAST";

/// What happens on a connection, one after the other.
#[derive(Clone, Debug)]
enum Step {
    /// The client sends.
    Ask(String),
    /// The server reads once.
    Read,
    /// It sends, and the client reads that.
    Answer(String),
    /// It sends that from a file, and the client reads it.
    File(String),
    /// The client doesn't wait for what comes.
    Part(String),
    /// The server asks for no bytes, by `recvmsg`.
    Nothing,
    /// The server has so many bytes go from its socket into a pipe, unread.
    Splice(usize),
    Wait(u64),
}
use Step::{Answer, Ask, File, Nothing, Part, Read as Take, Splice, Wait};

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn post(path: &str, len: usize) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n")
}

fn reply(status: u16, len: usize) -> String {
    format!("HTTP/1.1 {status} Any\r\nServer: s\r\nContent-Type: text/plain\r\nContent-Length: {len}\r\n\r\n")
}

/// Ways to ask and to answer, by number; `n` makes their paths differ.
#[allow(clippy::too_many_lines, reason = "a list")]
fn ways(n: u64) -> Vec<Vec<Step>> {
    let at = |name: &str| format!("/{name}/{n}");
    let full = |status, body: &str| reply(status, body.len()) + body;
    let one = |ask: String, answer: String| vec![Ask(ask), Take, Answer(answer)];
    let long = "x".repeat(900);
    vec![
        one(get(&at("plain")), full(200, "hello")),
        one(get(&at("missing")), full(404, "no")),
        one(get(&at("bad")), full(503, "no")),
        one(get(&at("worst")), full(599, "")),
        vec![Ask(get(&at("slow"))), Take, Wait(400), Answer(full(200, "late"))],
        // Slow only as a whole: neither piece is.
        vec![Ask(get(&at("halves"))), Take, Wait(200), Answer(reply(200, 4)), Wait(200), Answer("late".into())],
        one(get(&at("head")).replace("GET", "HEAD"), reply(200, 5)),
        one(post(&at("post"), 5) + "abcde", full(200, "ok")),
        one(post(&at("bad-post"), 5) + "abcde", full(500, "ok")),
        vec![Ask(post(&at("post-in-two"), 5)), Take, Ask("abcde".into()), Take, Answer(full(502, "ok"))],
        vec![
            Ask(post(&at("body-is-one"), get("/inner").len())),
            Take,
            Ask(get("/inner")),
            Take,
            Answer(full(200, "ok")),
        ],
        vec![
            Ask(post(&at("expects"), 2).replace("Host", "Expect: 100-continue\r\nHost")),
            Take,
            Answer("HTTP/1.1 100 Continue\r\n\r\n".into()),
            Ask("ab".into()),
            Take,
            Answer(full(500, "ok")),
        ],
        one(
            get(&at("chunked")),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_owned(),
        ),
        vec![
            Ask(get(&at("chunks"))),
            Take,
            Answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n".into()),
            Wait(400),
            Answer("0\r\n\r\n".into()),
        ],
        one(get(&at("empty")), "HTTP/1.1 204 No Content\r\n\r\n".into()),
        one(get(&at("known")), "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n".into()),
        one(get(&at("lower")), full(200, "hello").to_lowercase().replace("http/1.1", "HTTP/1.1")),
        one(get(&at("unsaid")).replace("Host: a", &format!("Cookie: {long}")), full(500, "ok")),
        one(get(&at("long")).replace("Host: a", &format!("Cookie: {long}")), full(200, "ok")),
        one(get(&at("long-answer")), reply(200, 2).replace("Server: s", &format!("Server: {long}")) + "ok"),
        one(get(&at("large")), full(200, &long)),
        one(get(&at("middle")).replace("Host: a", &format!("Cookie: {}", &long[..380])), full(200, "ok")),
        one(get(&at("middle-answer")), reply(200, 2).replace("Server: s", &format!("Server: {}", &long[..380])) + "ok"),
        one(get(&at("bad-middle")), reply(503, 2).replace("Server: s", &format!("Server: {}", &long[..380])) + "no"),
        // A length in the body is none, and neither is a head there.
        one(get(&at("inside")), full(200, "\r\n\r\nHTTP/1.1 500 No\r\nContent-Length: 7\r\n\r\n")),
        one(get(&at("short")), full(200, "a\nContent-Length: 3\r\n\r\n")),
        // Two requests in one call, both answered in one; the second is to be kept.
        one(get(&at("pair-a")) + &get(&at("pair-b")), full(200, "a") + &full(500, "b")),
        vec![
            Ask(get(&at("two-a")) + &get(&at("two-b"))),
            Take,
            Answer(full(200, "a")),
            Wait(400),
            Answer(full(200, "b")),
        ],
        // The second comes while the first is answered.
        vec![Ask(get(&at("in-a"))), Take, Ask(get(&at("in-b"))), Take, Answer(full(200, "a")), Answer(full(500, "b"))],
        vec![
            Ask(get(&at("mid-a"))),
            Take,
            Answer(reply(200, 3)),
            Ask(get(&at("mid-b"))),
            Take,
            Answer("abc".into()),
            Wait(400),
            Answer(full(200, "b")),
        ],
        // As long as two are outstanding each answer is to the request before the last.
        vec![
            Ask(get(&at("slides-a")) + &get(&at("slides-b"))),
            Take,
            Answer(full(200, "a")),
            Ask(get(&at("slides-c"))),
            Take,
            Answer(full(200, "b")),
            Wait(400),
            Ask(get(&at("slides-d"))),
            Take,
            Answer(full(200, "c")),
            Answer(full(200, "d")),
        ],
        // A call for nothing is no end.
        vec![
            Ask(get(&at("asked"))),
            Nothing,
            Take,
            Nothing,
            Answer(full(200, "ok")),
            Nothing,
            Ask(get(&at("after"))),
            Take,
            Answer(full(500, "b")),
        ],
        // Answered before its body has come.
        vec![
            Ask(post(&at("early"), 5).replace("Content-Length: 5", "Transfer-Encoding: chunked")),
            Take,
            Answer(full(401, "no")),
            Ask("5\r\nhello\r\n0\r\n\r\n".into()),
            Take,
            Ask(get(&at("then"))),
            Take,
            Answer(full(500, "b")),
        ],
        vec![Ask(post(&at("spliced"), 5)), Take, Ask("abcde".into()), Splice(5), Answer(full(502, "ok"))],
        // A response in several calls.
        vec![Ask(get(&at("static"))), Take, Answer(reply(200, 615)), File("s".repeat(615))],
        vec![Ask(get(&at("bad-static"))), Take, Answer(reply(500, 615)), File("s".repeat(615))],
        vec![
            Ask(get(&at("static-halves"))),
            Take,
            Answer(reply(200, 8)),
            Wait(400),
            File("late".into()),
            File("last".into()),
        ],
        vec![
            Ask(get(&at("pieces"))),
            Take,
            Answer(reply(200, 12) + "a"),
            Answer("bcd".into()),
            File("efgh".into()),
            Answer("ijkl".into()),
        ],
        vec![
            Ask(get(&at("late-piece"))),
            Take,
            Answer(reply(200, 6) + "a"),
            Answer("bcd".into()),
            Wait(400),
            Answer("ef".into()),
        ],
        vec![Ask(get(&at("large-file"))), Take, Answer(reply(200, 300_000)), File("l".repeat(300_000))],
        vec![
            Ask(get(&at("head-static")).replace("GET", "HEAD")),
            Take,
            Answer(reply(200, 615)),
            Ask(get(&at("behind"))),
            Take,
            Answer(full(500, "b")),
        ],
        // The next request comes before the last piece; more of its own request does.
        vec![
            Ask(get(&at("early-a"))),
            Take,
            Answer(reply(200, 6)),
            Answer("abc".into()),
            Ask(get(&at("early-b"))),
            Take,
            Answer("def".into()),
            Answer(full(500, "b")),
        ],
        vec![
            Ask(get(&at("rest")) + "GET /cut"),
            Take,
            Answer(reply(200, 4)),
            Ask(" HTTP/1.1\r\n\r\n".into()),
            Take,
            Answer("abcd".into()),
            Answer(full(500, "b")),
        ],
        one(get(&at("more")), full(200, "hello")),
    ]
}

/// Does that on a connection of its own, whose ends it gives; what the server was told is not looked at.
fn act(listener: &TcpListener, steps: &[Step]) -> [TcpStream; 2] {
    let mut client = TcpStream::connect(listener.local_addr().expect("an address")).expect("it listens");
    let (mut server, _) = listener.accept().expect("a connection");
    for stream in [&client, &server] {
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
    }
    let mut room = vec![0; 1 << 16];
    for step in steps {
        match step {
            Ask(bytes) => client.write_all(bytes.as_bytes()).expect("sent"),
            Take => assert!(server.read(&mut room).expect("a request") > 0),
            Answer(bytes) => {
                server.write_all(bytes.as_bytes()).expect("sent");
                client.read_exact(&mut room[..bytes.len()]).expect("an answer");
            }
            File(bytes) => {
                let sent = server.try_clone().expect("a socket");
                thread::scope(|scope| {
                    scope.spawn(|| send_file(&sent, bytes));
                    room.resize(room.len().max(bytes.len()), 0);
                    client.read_exact(&mut room[..bytes.len()]).expect("an answer");
                });
            }
            Part(bytes) => server.write_all(bytes.as_bytes()).expect("sent"),
            Nothing => receive_nothing(&server),
            Splice(len) => splice(&server, *len),
            Wait(ms) => thread::sleep(Duration::from_millis(*ms)),
        }
    }
    [client, server]
}

#[allow(unsafe_code, reason = "std has no sendfile for sockets")]
fn send_file(to: &TcpStream, bytes: &str) {
    let name = std::env::temp_dir().join(format!("weftrace-passing-{}", std::process::id()));
    std::fs::write(&name, bytes).expect("a file");
    let file = std::fs::File::open(&name).expect("a file");
    let mut left = bytes.len();
    while left > 0 {
        // SAFETY: both are open descriptors, and no offset is given.
        let sent = unsafe { libc::sendfile(to.as_raw_fd(), file.as_raw_fd(), std::ptr::null_mut(), left) };
        assert!(sent > 0, "{}", std::io::Error::last_os_error());
        left -= sent as usize;
    }
}

#[allow(unsafe_code, reason = "std has no recvmsg")]
fn receive_nothing(from: &TcpStream) {
    // SAFETY: all of its members may be zero: no address, no pieces.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    // SAFETY: an open descriptor, and the message lives through the call.
    let got = unsafe { libc::recvmsg(from.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT) };
    assert!(got <= 0, "{got}");
}

#[allow(unsafe_code, reason = "std has no splice")]
fn splice(from: &TcpStream, len: usize) {
    let (mut out, pipe) = std::io::pipe().expect("a pipe");
    let none = std::ptr::null_mut;
    // SAFETY: both are open descriptors, and no offsets are given.
    let moved = unsafe { libc::splice(from.as_raw_fd(), none(), pipe.as_raw_fd(), none(), len, 0) };
    assert_eq!(moved, len as isize, "{}", std::io::Error::last_os_error());
    out.read_exact(&mut vec![0; len]).expect("what was spliced");
}

/// A sequence that looks random, and is the same every time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

fn plain(n: u64) -> Vec<Step> {
    ways(n)[0].clone()
}

/// What is done on each connection: each way by itself, between plain ones, and all of them in many orders.
fn connections() -> Vec<Vec<Step>> {
    let mut all: Vec<Vec<Step>> = Vec::new();
    for way in 0..ways(0).len() {
        let n = way as u64;
        all.push([plain(n), plain(100 + n), ways(200 + n)[way].clone(), plain(300 + n), plain(400 + n)].concat());
    }
    let mut numbers = Numbers(20_261_130);
    for i in 0..24 {
        let steps = (0..10).map(|k| {
            let ways = ways(1000 + i * 10 + k);
            let way = numbers.below(2 * ways.len());
            // Half of them are plain.
            ways.get(way).unwrap_or(&ways[0]).clone()
        });
        all.push(steps.collect::<Vec<_>>().concat());
    }
    // Behind what no server should send nothing is sure: it is the last of its connection.
    let more = vec![Ask(get("/too-much")), Take, Answer(reply(200, 3)), Part("abcHTTP/1.1 500 No".into()), Wait(50)];
    all.push([plain(900), plain(901), more].concat());
    all
}

#[test]
fn what_is_kept_and_what_is_counted_is_what_a_run_says_that_reads_all() {
    if !ready("rawtracepoint") {
        println!("SKIP raw tracepoints");
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port().to_string();
    let script = SCRIPT.replace("PORT", &port);
    let tracer = Tracer::start(&script.replace("LAST", ""), &["-f", "json"]);
    let reads_all = Tracer::start(&script.replace("LAST", "join:web:late { @late = count(); }"), &["-f", "json"]);
    let all = connections();
    // What has no answer when its connection ends, and when the run does.
    let unanswered = |n, name: &str| [plain(n), plain(n + 1), vec![Ask(get(name)), Take, Wait(400)]].concat();
    let ends = act(&listener, &unanswered(500, "/goes"));
    let stays = act(&listener, &unanswered(600, "/stays"));
    // The same in the middle of an answer.
    let begun = |n, name: &str| {
        let half = vec![Ask(get(name)), Take, Answer(reply(200, 9) + "abc"), File("def".into()), Wait(400)];
        [plain(n), plain(n + 1), half].concat()
    };
    let ends_begun = act(&listener, &begun(700, "/goes-begun"));
    let stays_begun = act(&listener, &begun(800, "/stays-begun"));
    drop((ends, ends_begun));
    for steps in &all {
        act(&listener, steps);
    }
    let ((lines, said), (all_lines, said_of_all)) = (tracer.end(), reads_all.end());
    let summary = |lines: &[String], name: &str| -> String {
        let line = lines.iter().rfind(|line| line.contains("\"passed_over\"")).cloned().unwrap_or_default();
        let value = line.split(&format!("\"{name}\": ")).nth(1).and_then(|rest| rest.split([',', '}']).next());
        value.unwrap_or("?").to_owned()
    };
    let (kept, kept_of_all) = (printed(&lines), printed(&all_lines));
    let only = |a: &[String], b: &[String]| a.iter().filter(|line| !b.contains(line)).cloned().collect::<Vec<_>>();
    let differ = (only(&kept, &kept_of_all), only(&kept_of_all, &kept));
    assert!(kept == kept_of_all, "{differ:#?} {said} {said_of_all}");
    assert!(printed(&all_lines).len() > 40, "{all_lines:#?}");
    let after = printed(&lines).iter().filter(|line| line.contains("GET /after/")).count();
    assert!(after > 0 && !lines.iter().any(|line| line.contains("GET /asked/")), "{after}");
    for path in ["GET /goes 0 0", "GET /stays 0 0", "GET /goes-begun 200 0", "GET /stays-begun 200 0"] {
        assert!(printed(&lines).iter().any(|line| line.contains(path)), "{path}: {lines:#?} {said}");
    }
    drop((stays, stays_begun));
    assert_eq!(summary(&lines, "seen"), summary(&all_lines, "seen"), "{lines:#?}");
    assert_eq!(
        (summary(&all_lines, "passed_over").as_str(), said.contains("lost")),
        ("0", said_of_all.contains("lost")),
        "{said} {said_of_all}"
    );
    let passed: u64 = summary(&lines, "passed_over").parse().expect("a number");
    assert!(passed > 100, "{passed}");
}

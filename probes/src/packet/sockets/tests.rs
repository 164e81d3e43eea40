//! Calls on a made-up socket.

use super::*;
use weftrace_artifact::{abi::ConnKey, packet::PacketView};

#[path = "ahead_tests.rs"]
mod ahead_tests;
#[path = "clear_tests.rs"]
mod clear_tests;
#[path = "frames_tests.rs"]
mod frames_tests;
#[path = "lost_tests.rs"]
mod lost_tests;

const CLIENT: [u8; 4] = [10, 0, 0, 1];
const SERVER: [u8; 4] = [10, 0, 0, 2];
/// Sequence numbers of the first bytes got and sent: they wrap.
const FROM: [u32; 2] = [u32::MAX - 10, 77];

/// An exchange: uri, status, complete, bytes of both directions.
type Told = (String, u32, bool, [u64; 4]);

struct Bench {
    sockets: Sockets,
    view: Box<PacketView>,
    to: [u32; 2],
    /// Bytes in clear so far.
    clear: [u64; 2],
    time: u64,
    /// Of the exchange last presented: whether it is its connection's first, when it began and ended.
    last: (u32, u64, u64),
    view_known: u64,
    /// Of each exchange, whether its status (or that it has none) is known.
    status_known: Vec<bool>,
    /// When all ended.
    ends: Vec<u64>,
    /// Where their frames lie: (of the response, from, to, whether others' bytes lie in it).
    frames: Vec<Vec<(bool, u64, u64, bool)>>,
}

fn key() -> ConnKey {
    let mut conn = ConnKey { family: 2, proto: 6, a_port: 4000, b_port: 80, ..ConnKey::default() };
    (conn.a_addr[..4]).copy_from_slice(&CLIENT);
    (conn.b_addr[..4]).copy_from_slice(&SERVER);
    conn
}

fn open(opened: u64) -> Open {
    Open { key: 1, conn: key(), local_port: 80, local: SERVER, from: FROM, bytes: None, opened, time: 5 }
}

impl Bench {
    /// The server's socket of a connection that is seen from its start.
    fn new() -> Self {
        let mut sockets = Sockets::new(needs::HTTP, &Options::default());
        sockets.open(&open(5));
        Self {
            sockets,
            view: Box::default(),
            to: FROM,
            clear: [0; 2],
            time: 10,
            last: (0, 0, 0),
            view_known: 0,
            status_known: Vec::new(),
            ends: Vec::new(),
            frames: Vec::new(),
        }
    }

    /// A call for these bytes, which has just ended.
    fn moved<'a>(&self, sent: bool, bytes: &'a [u8]) -> Call<'a> {
        let dir = usize::from(sent);
        Call {
            key: 1,
            sent,
            start: self.time - 1,
            end: self.time,
            to: self.to[dir],
            other: self.to[1 - dir],
            total: bytes.len() as u64,
            at: 0,
            bytes,
            last: true,
            eof: false,
            clear: 0,
            ahead: false,
            task: Task::default(),
        }
    }

    /// A call for `total` bytes of which these were copied; what has ended.
    fn call(&mut self, sent: bool, bytes: &[u8], total: usize, tid: u32) -> Vec<Told> {
        let dir = usize::from(sent);
        self.to[dir] = self.to[dir].wrapping_add(total as u32);
        self.time += 10;
        let task = Task { pid: 7, tid, comm: *b"server\0\0\0\0\0\0\0\0\0\0" };
        self.sockets.call(&Call { total: total as u64, task, ..self.moved(sent, bytes) });
        self.ended()
    }

    /// The same of a piece of a call within TLS, in clear from byte `at` on, for which the stream has carried `carried` bytes more.
    fn piece(&mut self, sent: bool, bytes: &[u8], (at, total, last): (u64, u64, bool), carried: u32) -> Vec<Told> {
        let dir = usize::from(sent);
        self.carry(sent, carried);
        self.time += 10;
        let clear = 1 + self.clear[dir];
        self.sockets.call(&Call { total, at, last, clear, ..self.moved(sent, bytes) });
        self.clear[dir] += if last { total } else { 0 };
        self.ended()
    }

    /// The same of a call of which all was copied.
    fn clear(&mut self, sent: bool, bytes: &[u8]) -> Vec<Told> {
        self.piece(sent, bytes, (0, bytes.len() as u64, true), bytes.len() as u32 + 22)
    }

    /// The stream goes on, and nobody tells of it.
    fn carry(&mut self, sent: bool, bytes: u32) {
        let to = &mut self.to[usize::from(sent)];
        *to = to.wrapping_add(bytes);
    }

    fn whole(&mut self, sent: bool, bytes: &[u8]) -> Vec<Told> {
        self.call(sent, bytes, bytes.len(), 9)
    }

    fn ended(&mut self) -> Vec<Told> {
        let mut all = Vec::new();
        while let Some(exchange) = self.sockets.next(&mut self.view) {
            // It is the server's socket, which may ask, too.
            let (from, to, port) = if exchange.served { (CLIENT, SERVER, 80) } else { (SERVER, CLIENT, 4000) };
            assert_eq!(exchange.port, port);
            assert_eq!((&self.view.ip_src[..4], &self.view.ip_dst[..4]), (&from[..], &to[..]));
            let http = &self.view.http;
            self.view_known = self.view.known;
            self.status_known.push(self.view.layers & layer::EXCHANGE_STATUS != 0);
            self.last = (http.first_on_conn, http.start, http.end);
            self.ends.push(http.end);
            self.frames.push(
                http.frames.iter().map(|(second, range, merged)| (second, range.from, range.to, merged)).collect(),
            );
            let uri = format!("{} bytes", http.uri.len);
            let bytes = [http.request_from, http.request_to, http.response_from, http.response_to];
            all.push((uri, http.status, http.complete == 1, bytes));
        }
        all
    }
}

#[test]
fn requests_in_pieces_and_several_at_once() {
    let mut bench = Bench::new();
    assert!(bench.whole(false, b"GET /a HT").is_empty());
    assert!(bench.whole(false, b"TP/1.1\r\n\r\nGET /bc HTTP/1.1\r\n\r\n").is_empty());
    let one = bench.whole(true, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(one, [("2 bytes".to_owned(), 200, true, [0, 19, 0, 40])]);
    assert_eq!(bench.last, (1, 19, 40));
    // The body is counted, not copied; its last bytes end the exchange.
    let head = b"HTTP/1.1 404 No\r\nContent-Length: 5000\r\n\r\n";
    assert!(bench.call(true, head, head.len() + 1000, 9).is_empty());
    let to = 40 + head.len() as u64 + 5000;
    assert_eq!(bench.call(true, b"", 4000, 9), [("3 bytes".to_owned(), 404, true, [19, 39, 40, to])]);
    assert_eq!(bench.sockets.counters(), SocketCounters { calls: 5, ..SocketCounters::default() });
}

#[test]
fn a_chunked_body_that_was_cut_ends_where_it_ends() {
    let mut bench = Bench::new();
    bench.whole(false, b"GET /a HTTP/1.1\r\n\r\n");
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8000\r\nxxxx";
    assert!(bench.call(true, head, 60_000, 9).is_empty());
    assert!(bench.call(true, b"yyyy", 60_000, 9).is_empty());
    assert_eq!(bench.whole(true, b"zz\r\n0\r\n\r\n"), [("2 bytes".to_owned(), 200, true, [0, 19, 0, 120_009])]);
    // Without such an end the next head says so.
    bench.whole(false, b"GET /b HTTP/1.1\r\n\r\nGET /c HTTP/1.1\r\n\r\n");
    assert!(bench.call(true, head, 60_000, 9).is_empty());
    let told = bench.time;
    bench.time += 60_000;
    let ended = bench.whole(true, b"HTTP/1.1 204 No\r\n\r\n");
    assert_eq!(ended.iter().map(|e| (e.1, e.2)).collect::<Vec<_>>(), [(200, false), (204, true)]);
    // It lasted as long as something of it came, not until the next.
    assert_eq!(bench.ends[bench.ends.len() - 2..], [told, told + 60_010]);
}

#[test]
fn what_no_call_shows_is_told_and_the_next_head_found() {
    let mut bench = Bench::new();
    bench.whole(false, b"GET /a HTTP/1.1\r\n\r\n");
    // The response was sent by something else.
    bench.to[1] = bench.to[1].wrapping_add(100);
    bench.whole(false, b"GET /b HTTP/1.1\r\n\r\n");
    let ended = bench.whole(true, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(ended.iter().map(|e| (e.1, e.2)).collect::<Vec<_>>(), [(0, false), (200, true)]);
    assert_eq!(bench.sockets.counters().gaps, 1);
}

/// What lies beyond the bytes that are copied of a call is counted where it was more than a body, and the next response isn't taken for the one it was in.
#[test]
fn a_head_that_was_cut_is_counted() {
    let mut bench = Bench::new();
    let whole = b"HTTP/1.1 201 No\r\nContent-Length: 0\r\n\r\n";
    bench.whole(false, b"GET /a HTTP/1.1\r\n\r\n");
    assert!(bench.call(true, b"HTTP/1.1 200 OK\r\nX: xxxx", 9000, 9).is_empty());
    let of = |told: Vec<Told>| told.iter().map(|e| (e.1, e.2)).collect::<Vec<_>>();
    // Who asks again had the answer: it lies among what was cut.
    assert_eq!(of(bench.whole(false, b"GET /b HTTP/1.1\r\n\r\n")), [(0, false)]);
    assert_eq!(of(bench.whole(true, whole)), [(201, true)]);
    // The same of a request: of what was asked within it nothing is known.
    assert!(bench.call(false, b"GET /c HTTP/1.1\r\nCookie: xxxx", 9000, 9).is_empty());
    assert!(bench.whole(true, whole).is_empty());
    bench.whole(false, b"GET /d HTTP/1.1\r\n\r\n");
    assert_eq!(of(bench.whole(true, whole)), [(201, true)]);
    assert_eq!(bench.sockets.counters().http_cut, 2);
}

/// What a server sends before anything is asked (SMTP, FTP) is not told, and none of an answer; what it sends unseen after a request is.
#[test]
fn a_server_that_speaks_first() {
    for (greets, unseen, gaps) in [(8, 0, 0), (0, 0, 0), (8, 5, 1), (0, 5, 1)] {
        let mut b = Bench::new();
        b.to[1] = b.to[1].wrapping_add(greets);
        b.call(false, b"EHLO me\r\n", 9, 1);
        b.to[1] = b.to[1].wrapping_add(unseen);
        b.call(true, b"250 OK\r\n", 8, 1);
        b.call(false, b"QUIT\r\n", 6, 1);
        assert_eq!(b.sockets.counters.gaps, gaps, "{greets} {unseen}");
    }
}

/// What is missing begins with the rest of the response before: only what lies behind that is of the next one.
#[test]
fn a_gap_in_a_body_is_first_of_that_body() {
    let of = |told: Vec<Told>| told.iter().map(|e| (e.1, e.2)).collect::<Vec<_>>();
    let begun = |missing: u32| {
        let mut bench = Bench::new();
        bench.whole(false, b"GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n");
        assert!(bench.whole(true, b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nxxxx").is_empty());
        // Sent by something else.
        bench.to[1] = bench.to[1].wrapping_add(missing);
        assert!(bench.whole(false, b"GET /c HTTP/1.1\r\n\r\n").is_empty());
        of(bench.whole(true, b"HTTP/1.1 201 No\r\nContent-Length: 0\r\n\r\n"))
    };
    // The second was answered among it: what comes now is the third's.
    assert_eq!(begun(3000), [(0, false), (200, false), (201, true)]);
    assert_eq!(begun(996), [(200, false), (201, true)]);
}

#[test]
fn what_is_asked_within_a_tunnel_is_not_the_first() {
    let mut bench = Bench::new();
    bench.whole(false, b"CONNECT a:80 HTTP/1.1\r\n\r\n");
    assert_eq!(bench.whole(true, b"HTTP/1.1 200 OK\r\n\r\n").len(), 1);
    assert_eq!(bench.last.0, 1);
    bench.whole(false, b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(bench.whole(true, b"HTTP/1.1 204 No\r\n\r\n").len(), 1);
    assert_eq!(bench.last.0, 0);
}

#[test]
fn methods_that_are_not_known_are_told() {
    let mut bench = Bench::new();
    let answer = b"HTTP/1.1 204 No\r\n\r\n";
    for method in ["GET", "QUERY", "BAN", "get", "CCM_POST", "X-Y"] {
        bench.whole(false, format!("{method} /a HTTP/1.1\r\n\r\n").as_bytes());
        let told: Vec<_> = bench.whole(true, answer).iter().map(|e| (e.1, e.2)).collect();
        assert_eq!(told, [(204, true)], "{method}");
    }
    assert_eq!(bench.sockets.counters(), SocketCounters { calls: 12, ..SocketCounters::default() });
}

#[test]
fn threads_and_the_end_of_a_socket() {
    let mut bench = Bench::new();
    let get = b"GET /a HTTP/1.1\r\n\r\n";
    bench.call(false, get, get.len(), 21);
    bench.call(false, get, get.len(), 22);
    bench.call(false, get, get.len(), 23);
    bench.whole(true, b"HTTP/1.1 204 No\r\n\r\n");
    assert_eq!(bench.sockets.more.owner_tid, 21);
    bench.whole(true, b"HTTP/1.1 204 No\r\n\r\n");
    assert_eq!(bench.sockets.more.owner_tid, 22);
    bench.sockets.end(1, true, None, None, 100);
    assert_eq!(bench.ended().iter().map(|e| (e.1, e.2)).collect::<Vec<_>>(), [(0, false)]);
    assert_eq!((bench.sockets.more.owner_tid, bench.sockets.len()), (23, 0));
    bench.whole(false, get);
    assert_eq!(bench.sockets.counters().unknown, 1, "it was not told of again");
    // The place is another's.
    bench.sockets.open(&open(200));
    (bench.to, bench.time) = (FROM, 210);
    bench.whole(false, get);
    assert_eq!(bench.whole(true, b"HTTP/1.1 204 No\r\n\r\n").len(), 1);
}

/// A server with many threads: who began a request is known as long as it is open, and not kept any longer.
#[test]
fn owners_of_open_requests_are_kept() {
    let mut bench = Bench::new();
    let get = b"GET /a HTTP/1.1\r\n\r\n";
    let answer = b"HTTP/1.1 204 No\r\n\r\n";
    for tid in 0..1000 {
        // Half of the head by one thread, the rest by another; the answer by a third.
        bench.call(false, &get[..5], 5, tid);
        bench.call(false, &get[5..], get.len() - 5, tid + 5000);
        assert_eq!(bench.call(true, answer, answer.len(), tid + 9000).len(), 1);
        assert_eq!(bench.sockets.more.owner_tid, tid);
        assert!(bench.sockets.owners < 8, "{} after {tid} requests", bench.sockets.owners);
    }
    for tid in 0..200 {
        bench.call(false, get, get.len(), tid);
    }
    assert!(bench.sockets.owners >= 200);
    for tid in 0..200 {
        bench.call(true, answer, answer.len(), tid % 3);
        assert_eq!(bench.sockets.more.owner_tid, tid);
    }
    assert_eq!(bench.sockets.counters().owners_dropped, 0);
    bench.sockets.end(1, true, None, None, bench.time);
    assert_eq!(bench.sockets.owners, 0, "they go with their socket");
}

#[test]
fn owners_beyond_the_bound_are_counted() {
    let mut bench = Bench::new();
    bench.sockets.most_owners = 9;
    let get = b"GET /a HTTP/1.1\r\n\r\n";
    for tid in 0..10 {
        bench.call(false, get, get.len(), tid);
    }
    assert_eq!((bench.sockets.owners, bench.sockets.counters().owners_dropped), (1, 9));
    let mut known = Vec::new();
    for _ in 0..10 {
        bench.whole(true, b"HTTP/1.1 204 No\r\n\r\n");
        known.push(bench.view_known);
    }
    let owned = |known: &&u64| **known & weftrace_artifact::packet::known::OWNER != 0;
    assert_eq!(known.iter().filter(owned).count(), 1, "of the others it is not said whose they are");
}

/// Of two threads' calls that which lies behind may be told first: each keeps its own bytes.
#[test]
fn a_call_that_is_told_late_takes_no_other_bytes() {
    let mut bench = Bench::new();
    let get = b"GET /a HTTP/1.1\r\n\r\n";
    bench.whole(false, get);
    bench.whole(true, b"HTTP/1.1 204 No\r\n\r\n");
    let early = bench.to[0];
    bench.to[0] = early.wrapping_add(get.len() as u32);
    bench.call(false, get, get.len(), 2);
    let late = std::mem::replace(&mut bench.to[0], early);
    bench.call(false, get, get.len(), 1);
    bench.to[0] = late.wrapping_add(get.len() as u32);
    assert_eq!(bench.whole(true, b"HTTP/1.1 204 No\r\n\r\n").len(), 1);
    assert_eq!(bench.sockets.more.owner_tid, 2);
}

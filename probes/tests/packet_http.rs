//! HTTP on made-up connections: however the bytes are cut, repeated, reordered or lost.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod packet_support;

use packet_support::build::{ACK, FIN, PSH, RST, SYN, Tcp};
use packet_support::{Exchange, Tally, strings};
use weftrace_artifact::packet::{PacketView, layer};
use weftrace_probes::packet::{ALL_NEEDS, Counters, LinkType, Options, Pipeline, RawPacket};

const CLIENT: (u8, u16) = (1, 40_000);
const SERVER: (u8, u16) = (2, 8_080);
const MS: u64 = 1_000_000;

/// A connection between two endpoints, whose packets go through a pipeline one ms apart.
struct Conn {
    pipeline: Pipeline,
    tally: Tally,
    number: u64,
    /// Next sequence number of client and server.
    seq: [u32; 2],
    /// Views of exchanges, in order.
    ended: Vec<(u64, PacketView)>,
    headers: Vec<Vec<(String, String)>>,
}

impl Conn {
    fn new() -> Self {
        let pipeline = Pipeline::new(ALL_NEEDS, Options::default());
        Self {
            pipeline,
            tally: Tally::default(),
            number: 0,
            seq: [u32::MAX - 50, 7_000],
            ended: Vec::new(),
            headers: Vec::new(),
        }
    }

    fn open() -> Self {
        let mut conn = Self::new();
        conn.raw(0, conn.seq[0], SYN, b"");
        conn.seq[0] = conn.seq[0].wrapping_add(1);
        conn.raw(1, conn.seq[1], SYN | ACK, b"");
        conn.seq[1] = conn.seq[1].wrapping_add(1);
        conn.raw(0, conn.seq[0], ACK, b"");
        conn
    }

    /// One packet; acknowledges what the other side has sent so far.
    fn raw(&mut self, from: usize, seq: u32, flags: u8, payload: &[u8]) {
        self.with_ack(from, seq, self.seq[1 - from], flags, payload);
    }

    fn with_ack(&mut self, from: usize, seq: u32, ack: u32, flags: u8, payload: &[u8]) {
        let (a, b) = if from == 0 { (CLIENT, SERVER) } else { (SERVER, CLIENT) };
        let ack = if flags & ACK != 0 { ack } else { 0 };
        let frame = Tcp { seq, ack, flags, payload: payload.to_vec(), ..Tcp::new(a.0, a.1, b.0, b.1) }.frame();
        self.number += 1;
        let packet = RawPacket {
            data: &frame,
            len: frame.len() as u32,
            link: LinkType::ETHERNET,
            interface: 0,
            netns: 0,
            number: self.number,
            time_ns: self.number * MS,
            boot_ns: None,
            live: false,
        };
        let mut view = PacketView::default();
        assert!(self.pipeline.process(&packet, &mut view));
        loop {
            self.tally.http(&view);
            if view.layers & layer::HTTP_EXCHANGE != 0 {
                self.ended.push((self.number, view));
                self.headers.push(strings::headers(view.http.request_headers));
            }
            if !self.pipeline.next_part(&mut view) {
                break;
            }
        }
    }

    /// New bytes in one segment.
    fn send(&mut self, from: usize, payload: &[u8]) {
        let seq = self.seq[from];
        self.seq[from] = seq.wrapping_add(payload.len() as u32);
        self.raw(from, seq, ACK | PSH, payload);
    }

    /// An acknowledgement of everything.
    fn ack(&mut self, from: usize) {
        self.raw(from, self.seq[from], ACK, b"");
    }

    fn close(&mut self, from: usize, flag: u8) {
        let seq = self.seq[from];
        self.seq[from] = seq.wrapping_add(1);
        self.raw(from, seq, ACK | flag, b"");
    }

    fn seen(&self) -> Vec<(&str, &str, u32, bool)> {
        self.tally
            .exchanges
            .iter()
            .map(|e: &Exchange| (e.method.as_str(), e.uri.as_str(), e.status, e.complete))
            .collect()
    }

    fn counters(&self) -> Counters {
        self.pipeline.counters()
    }

    fn messages(&self) -> (u64, u64) {
        (self.tally.count("http_requests"), self.tally.count("http_responses"))
    }
}

const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: h\r\nX-Request-Id: 7\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

#[test]
fn one_exchange_with_its_times() {
    let mut conn = Conn::open();
    conn.send(0, GET); // frame 4
    conn.ack(1);
    conn.send(1, &OK[..30]); // 6
    conn.send(1, &OK[30..]); // 7
    assert_eq!(conn.messages(), (1, 1));
    assert!(conn.seen().is_empty(), "it may have to be sent again");
    conn.ack(0); // 8
    assert_eq!(conn.seen(), [("GET", "/a", 200, true)]);
    assert_eq!(conn.messages(), (1, 1));
    let (frame, view) = conn.ended[0];
    let http = view.http;
    assert_eq!(frame, 8);
    assert_eq!((http.start, http.request_end, http.first_byte, http.end), (4 * MS, 4 * MS, 6 * MS, 7 * MS));
    assert_eq!((http.duration, http.first_on_conn, view.conn_opened), (3 * MS, 1, MS));
    assert_eq!((http.request_from, http.request_to), (0, GET.len() as u64));
    assert_eq!((http.response_from, http.response_to), (0, OK.len() as u64));
    assert_eq!(conn.headers[0], [("host".into(), "h".into()), ("x-request-id".into(), "7".into())]);
    // A second one on the same connection is not the first.
    conn.send(0, GET);
    conn.send(1, OK);
    conn.ack(0);
    assert_eq!((conn.ended[1].1.http.first_on_conn, conn.seen().len()), (0, 2));
}

/// Captured at the server: the response is seen when it is sent, and again when it was lost.
#[test]
fn a_lost_response_ends_with_its_retransmission() {
    let mut conn = Conn::open();
    conn.send(0, GET); // frame 4
    let start = conn.seq[1];
    conn.send(1, OK); // 5
    conn.with_ack(0, conn.seq[0], start, ACK, b""); // 6: not arrived
    conn.raw(1, start, ACK | PSH, OK); // 7
    conn.ack(0); // 8
    assert_eq!(conn.seen(), [("GET", "/a", 200, true)]);
    assert_eq!((conn.ended[0].0, conn.ended[0].1.http.first_byte, conn.ended[0].1.http.end), (8, 5 * MS, 7 * MS));
    // Once it is acknowledged, a needless copy changes nothing.
    conn.raw(1, start, ACK | PSH, OK);
    conn.ack(0);
    assert_eq!(conn.seen().len(), 1);
}

#[test]
fn heads_cut_at_every_place() {
    let post = b"POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody";
    let answer = b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwxyz\r\n0\r\n\r\n";
    for cut in 1..post.len() {
        for cut2 in [1, cut.min(answer.len() - 1), answer.len() - 1] {
            let mut conn = Conn::open();
            conn.send(0, &post[..cut]);
            conn.ack(1);
            conn.send(0, &post[cut..]);
            conn.send(1, &answer[..cut2]);
            conn.send(1, &answer[cut2..]);
            conn.ack(0);
            assert_eq!(conn.seen(), [("POST", "/b", 201, true)], "cut at {cut} and {cut2}");
            assert_eq!(conn.messages(), (1, 1), "cut at {cut} and {cut2}");
            assert_eq!(conn.counters().http_gaps, 0);
        }
    }
    // Byte by byte.
    let mut conn = Conn::open();
    for (from, bytes) in [(0, &post[..]), (1, &answer[..])] {
        for byte in bytes {
            conn.send(from, &[*byte]);
        }
    }
    conn.ack(0);
    assert_eq!(conn.seen(), [("POST", "/b", 201, true)]);
}

/// All orders of four segments of a request, each sent twice: one message.
#[test]
fn reordered_and_repeated_segments() {
    let parts: Vec<&[u8]> = GET.chunks(12).collect();
    assert_eq!(parts.len(), 4);
    let orders =
        (0..256).map(|n| [n % 4, n / 4 % 4, n / 16 % 4, n / 64]).filter(|order| (0..4).all(|i| order.contains(&i)));
    let mut tried = 0;
    for order in orders {
        let mut conn = Conn::open();
        let start = conn.seq[0];
        for &i in &order {
            for _ in 0..2 {
                // Nothing acknowledged meanwhile.
                conn.with_ack(0, start.wrapping_add(i as u32 * 12), conn.seq[1], ACK, parts[i]);
            }
        }
        conn.seq[0] = start.wrapping_add(GET.len() as u32);
        conn.send(1, OK);
        conn.ack(0);
        assert_eq!(conn.seen(), [("GET", "/a", 200, true)], "order {order:?}");
        assert_eq!(conn.messages().0, 1, "order {order:?}");
        tried += 1;
    }
    assert_eq!(tried, 24);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let mut conn = Conn::open();
    let both = [GET, b"HEAD /h HTTP/1.1\r\n\r\n", b"GET /c HTTP/1.1\r\n\r\n"].concat();
    conn.send(0, &both);
    assert_eq!(conn.messages(), (3, 0), "three requests end in one packet");
    // The response to HEAD announces a body that does not come; 304 has none either.
    let answers = [
        OK,
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
    ]
    .concat();
    conn.send(1, &answers);
    conn.ack(0);
    assert_eq!(conn.seen(), [("GET", "/a", 200, true), ("HEAD", "/h", 200, true), ("GET", "/c", 304, true)]);
    // All in one packet: told apart by part.
    let parts: Vec<u32> = conn.ended.iter().map(|(_, view)| view.http.part).collect();
    assert_eq!(parts, [0, 1, 2]);
}

#[test]
fn interim_responses_end_nothing() {
    let mut conn = Conn::open();
    conn.send(0, b"PUT /p HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    conn.send(1, b"HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(conn.messages(), (0, 1));
    conn.send(0, b"abc");
    conn.send(1, b"HTTP/1.1 204 No Content\r\n\r\n");
    conn.ack(0);
    assert_eq!(conn.seen(), [("PUT", "/p", 204, true)]);
    assert_eq!(conn.messages(), (1, 2));
    assert_eq!(conn.ended[0].1.http.request_end, 6 * MS);
}

#[test]
fn a_body_without_length_ends_with_the_connection() {
    let mut conn = Conn::open();
    conn.send(0, b"GET /old HTTP/1.0\r\n\r\n");
    conn.send(1, b"HTTP/1.0 200 OK\r\n\r\nsome");
    conn.send(1, b" bytes");
    assert!(conn.seen().is_empty());
    conn.close(1, FIN);
    conn.ack(0);
    assert_eq!(conn.seen(), [("GET", "/old", 200, true)]);
    assert_eq!(conn.messages(), (1, 1));
}

#[test]
fn tunnels_end_http() {
    for (request, answer) in [
        (&b"CONNECT x:443 HTTP/1.1\r\n\r\n"[..], &b"HTTP/1.1 200 Established\r\n\r\n"[..]),
        (b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
    ] {
        let mut conn = Conn::open();
        conn.send(0, request);
        conn.send(1, answer);
        conn.send(0, GET);
        conn.send(1, OK);
        assert_eq!(conn.messages(), (1, 1));
        assert_eq!(conn.seen().len(), 1);
        assert!(conn.seen()[0].3);
    }
}

#[test]
fn a_reset_leaves_requests_without_response() {
    let mut conn = Conn::open();
    conn.send(0, &[GET, b"GET /two HTTP/1.1\r\n\r\n"].concat());
    conn.send(1, b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nonly this");
    conn.close(1, RST);
    assert_eq!(conn.seen(), [("GET", "/a", 200, false), ("GET", "/two", 0, false)]);
    assert_eq!(conn.messages(), (2, 0), "a response cut off is no response to Wireshark either");
    let last = conn.ended[1].1.http;
    assert_eq!((last.first_byte, last.end), (0, 6 * MS));
    // A server that closes without answering.
    let mut conn = Conn::open();
    conn.send(0, GET);
    conn.close(1, FIN);
    assert_eq!(conn.seen(), [("GET", "/a", 0, false)]);
}

#[test]
fn the_end_of_a_capture_presents_what_is_open() {
    let mut conn = Conn::open();
    conn.send(0, GET);
    let mut view = PacketView::default();
    assert!(conn.pipeline.finish(&mut view));
    assert_ne!(view.layers & layer::HTTP_EXCHANGE, 0);
    assert_eq!(
        (strings::text(view.http.uri), view.http.status, view.ip_src[3], view.tcp_dst_port),
        ("/a".into(), 0, 1, SERVER.1)
    );
    assert!(!conn.pipeline.finish(&mut view));
}

#[test]
fn a_gap_inside_a_known_body_loses_no_framing() {
    let mut conn = Conn::open();
    conn.send(0, GET);
    conn.send(1, b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n0123456789");
    conn.seq[1] = conn.seq[1].wrapping_add(10); // never captured
    conn.send(1, b"0123456789");
    conn.ack(0);
    assert_eq!(conn.seen(), [("GET", "/a", 200, false)]);
    assert_eq!(conn.messages(), (1, 0));
    conn.send(0, GET);
    conn.send(1, OK);
    conn.ack(0);
    assert_eq!(conn.seen()[1], ("GET", "/a", 200, true));
    assert_eq!(conn.counters().http_gaps, 1);
}

#[test]
fn a_lost_response_does_not_shift_the_others() {
    let mut conn = Conn::open();
    for (i, lost) in [(0, false), (1, true), (2, false), (3, false)] {
        conn.send(0, format!("GET /{i} HTTP/1.1\r\n\r\n").as_bytes());
        let answer = format!("HTTP/1.1 20{i} OK\r\nContent-Length: 0\r\n\r\n");
        if lost {
            conn.seq[1] = conn.seq[1].wrapping_add(answer.len() as u32);
        } else {
            conn.send(1, answer.as_bytes());
        }
        conn.ack(0);
    }
    let mut seen = conn.seen();
    seen.sort_by_key(|(_, uri, ..)| *uri);
    let status: Vec<_> = seen.iter().map(|(_, uri, status, _)| (*uri, *status)).collect();
    assert_eq!(status, [("/0", 200), ("/1", 0), ("/2", 202), ("/3", 203)]);
    assert_eq!(conn.messages(), (4, 3));
}

#[test]
fn a_lost_request_leaves_its_response_alone() {
    let mut conn = Conn::open();
    conn.seq[0] = conn.seq[0].wrapping_add(GET.len() as u32); // never captured
    conn.send(1, OK);
    conn.send(0, b"GET /seen HTTP/1.1\r\n\r\n");
    conn.ack(1);
    conn.send(1, OK);
    conn.ack(0);
    assert_eq!(conn.seen(), [("GET", "/seen", 200, true)]);
    assert_eq!(conn.messages(), (1, 2));
}

#[test]
fn other_protocols_cost_nothing_and_say_nothing() {
    let mut conn = Conn::open();
    conn.send(0, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    conn.send(1, b"SSH-2.0-OpenSSH_9\r\n");
    conn.send(0, b"GET key\r\n");
    conn.send(1, b"$5\r\nhello\r\n");
    assert_eq!(conn.messages(), (0, 0));
    // HTTP after something else (SOCKS) is found.
    conn.send(0, GET);
    conn.send(1, OK);
    conn.ack(0);
    assert_eq!(conn.seen(), [("GET", "/a", 200, true)]);
    assert_eq!(conn.ended[0].1.http.request_from, 20);
}

#[test]
fn a_new_connection_on_the_same_ports_starts_afresh() {
    let mut conn = Conn::open();
    conn.send(0, GET);
    conn.seq = [900_000, 800_000];
    conn.raw(0, 899_999, SYN, b"");
    assert_eq!(conn.seen(), [("GET", "/a", 0, false)]);
    conn.raw(1, 799_999, SYN | ACK, b"");
    conn.send(0, GET);
    conn.send(1, OK);
    conn.ack(0);
    assert_eq!(conn.seen()[1], ("GET", "/a", 200, true));
    assert_eq!(conn.ended[1].1.http.first_on_conn, 1);
    assert_eq!(conn.ended[1].1.tcp_stream, 1);
}

#[test]
fn heads_beyond_the_limit_are_given_up() {
    let mut conn = Conn::open();
    conn.send(0, b"GET / HTTP/1.1\r\n");
    for _ in 0..70 {
        conn.send(0, format!("x: {}\r\n", "y".repeat(1_000)).as_bytes());
    }
    conn.send(0, b"\r\n");
    assert_eq!(conn.messages(), (0, 0));
    assert_eq!(conn.counters().http_malformed, 1);
    // The next one is found at its segment.
    conn.send(0, GET);
    assert_eq!(conn.messages(), (1, 0));
}

#[test]
fn answers_never_acknowledged_are_kept_within_bounds() {
    let mut conn = Conn::open();
    let (mut seq, acked) = (conn.seq[0], conn.seq[1]);
    for _ in 0..1_000 {
        // The client's acknowledgements stand still.
        conn.with_ack(0, seq, acked, ACK, GET);
        seq = seq.wrapping_add(GET.len() as u32);
        conn.send(1, OK);
    }
    assert_eq!((conn.messages(), conn.seen().len()), ((1_000, 1_000), 1_000 - 256));
    conn.close(1, RST);
    assert_eq!(conn.seen().len(), 1_000);
    assert_eq!(conn.counters().http_dropped, 0);
}

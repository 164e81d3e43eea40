//! Which bytes an exchange of HTTP/2 has: its own frames, between those of other streams.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod packet_support;

use packet_support::build::{ACK, PSH};
use packet_support::conn::Conn;
use std::collections::BTreeMap;
use weftrace_artifact::{
    abi::BytesKey,
    packet::{PacketBytes, layer},
};
use weftrace_probes::packet::bytes_key;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST: u8 = 3;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// `GET /`, and 200.
const GET: &[u8] = &[0x82, 0x86, 0x84];
const OK: &[u8] = &[0x88];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// (direction: 0 the client's, from, to, whether others' bytes lie in it); data begin at 1.
type Ranges = Vec<(usize, u64, u64, bool)>;

/// What a connection carries, beside which bytes are whose.
struct Talk {
    conn: Conn,
    /// What was written in each direction and not sent; how much there was before.
    unsent: [Vec<u8>; 2],
    sent: [u64; 2],
    /// By stream: its bytes in each direction.
    own: BTreeMap<u32, [Vec<u64>; 2]>,
}

impl Talk {
    /// Streams 1 and 3 are asked for, and their responses have begun.
    fn of_two() -> Self {
        let mut talk = Self::new();
        talk.get(1);
        talk.get(3);
        talk.send(0, 1460);
        talk.frame(1, (HEADERS, END_HEADERS), 1, OK);
        talk.frame(1, (HEADERS, END_HEADERS), 3, OK);
        talk
    }

    fn new() -> Self {
        let mut talk = Self { conn: Conn::open(), unsent: Default::default(), sent: [0; 2], own: BTreeMap::new() };
        talk.write(0, 0, PREFACE);
        talk.write(0, 0, &frame(4, 0, 0, &[]));
        talk.write(1, 0, &frame(4, 0, 0, &[]));
        talk
    }

    fn write(&mut self, dir: usize, stream: u32, bytes: &[u8]) {
        let from = self.sent[dir] + self.unsent[dir].len() as u64 + 1;
        self.own.entry(stream).or_default()[dir].extend(from..from + bytes.len() as u64);
        self.unsent[dir].extend(bytes);
    }

    fn frame(&mut self, dir: usize, (kind, flags): (u8, u8), stream: u32, payload: &[u8]) {
        self.write(dir, stream, &frame(kind, flags, stream, payload));
    }

    fn get(&mut self, stream: u32) {
        self.frame(0, (HEADERS, END_STREAM | END_HEADERS), stream, GET);
    }

    /// Sends what was written in segments of so many bytes, and acknowledges.
    fn send(&mut self, dir: usize, most: usize) {
        for segment in std::mem::take(&mut self.unsent[dir]).chunks(most) {
            self.conn.send(dir, segment);
            self.sent[dir] += segment.len() as u64;
        }
        self.conn.ack(1 - dir);
    }

    /// What was written is sent, and not captured.
    fn lose(&mut self, dir: usize) {
        let missing = std::mem::take(&mut self.unsent[dir]).len();
        self.conn.seq[dir] = self.conn.seq[dir].wrapping_add(missing as u32);
        self.sent[dir] += missing as u64;
    }

    /// By stream, the status of each exchange that has ended; None: it isn't known.
    fn statuses(&self) -> BTreeMap<u32, Option<u32>> {
        let status = |layers: u64, status: u32| (layers & layer::EXCHANGE_STATUS != 0).then_some(status);
        self.conn.ended.iter().map(|(_, view)| (view.http.stream, status(view.layers, view.http.status))).collect()
    }

    /// By stream, what its exchange has.
    fn told(&self) -> BTreeMap<u32, Ranges> {
        let ended = self
            .conn
            .ended
            .iter()
            .map(|(_, view)| (view.http.stream, ranges(&bytes_key(view, PacketBytes::Exchange).unwrap())));
        ended.collect()
    }

    /// What a stream's are, one beside the other.
    fn runs(&self, stream: u32) -> Ranges {
        let mut runs = Ranges::new();
        for (dir, own) in self.own[&stream].iter().enumerate() {
            for &byte in own {
                match runs.last_mut() {
                    Some(run) if (run.0, run.2) == (dir, byte) => run.2 += 1,
                    _ => runs.push((dir, byte, byte + 1, false)),
                }
            }
        }
        runs
    }
}

fn ranges(key: &BytesKey) -> Ranges {
    let all = key.ranges.as_flattened().iter().enumerate().filter(|(_, range)| !range.is_empty());
    let dir = |i: usize| BytesKey::direction(i, key.crossed);
    let mut all: Ranges = all.map(|(i, range)| (dir(i), range.from, range.to, key.merged >> i & 1 == 1)).collect();
    all.sort_unstable();
    all
}

#[test]
fn frames_of_two_streams_between_each_other() {
    for most in [1, 7, 100, 1460] {
        let mut talk = Talk::new();
        talk.frame(0, (HEADERS, END_STREAM), 1, &GET[..1]);
        talk.frame(0, (CONTINUATION, END_HEADERS), 1, &GET[1..]);
        talk.frame(0, (HEADERS, END_HEADERS), 3, GET);
        talk.write(0, 0, &frame(8, 0, 0, &[0, 0, 1, 0]));
        talk.frame(0, (DATA, END_STREAM), 3, b"asked");
        talk.send(0, most);
        talk.frame(1, (HEADERS, END_HEADERS), 1, OK);
        talk.frame(1, (HEADERS, END_HEADERS), 3, OK);
        for _ in 0..2 {
            talk.frame(1, (DATA, 0), 1, &[b'x'; 300]);
            talk.frame(1, (DATA, 0), 1, &[b'x'; 50]);
            talk.frame(1, (DATA, 0), 3, &[b'y'; 200]);
        }
        talk.frame(1, (HEADERS, END_STREAM | END_HEADERS), 1, &[0, 1, b'a', 1, b'b']);
        talk.frame(1, (DATA, END_STREAM), 3, b"");
        talk.send(1, most);
        let told = talk.told();
        assert_eq!(told.keys().collect::<Vec<_>>(), [&1, &3], "by {most}");
        for (stream, ranges) in told {
            assert_eq!(ranges, talk.runs(stream), "stream {stream} by {most}");
        }
        assert_eq!(talk.runs(3).iter().filter(|run| run.0 == 0).count(), 2, "apart in the request too");
    }
}

/// However streams take turns and segments are cut: all of a stream's bytes are there, and what is not marked has no others.
#[test]
fn many_streams_in_any_order() {
    let mut random = 3_u32;
    let mut next = |below: u32| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 8) % below
    };
    let (mut exact, mut merged) = (0, 0);
    for _ in 0..60 {
        let mut talk = Talk::new();
        let streams: Vec<u32> = (0..2 + next(4)).map(|i| 2 * i + 1).collect();
        let mut left: Vec<(u32, u32)> = streams.iter().map(|stream| (*stream, next(12))).collect();
        for stream in &streams {
            talk.get(*stream);
        }
        talk.send(0, 1460);
        for stream in &streams {
            talk.frame(1, (HEADERS, END_HEADERS), *stream, OK);
        }
        while !left.is_empty() {
            let at = next(left.len() as u32) as usize;
            let (stream, frames) = left[at];
            let ends = if frames == 0 { END_STREAM } else { 0 };
            talk.frame(1, (DATA, ends), stream, &vec![b'x'; next(2000) as usize]);
            left[at].1 = frames.saturating_sub(1);
            if frames == 0 {
                left.swap_remove(at);
            }
        }
        talk.send(1, 1 + next(1460) as usize);
        let told = talk.told();
        assert_eq!(told.len(), streams.len());
        for (stream, ranges) in told {
            let runs = talk.runs(stream);
            if runs.len() <= BytesKey::ROOM {
                assert_eq!(ranges, runs, "stream {stream}");
                exact += 1;
                continue;
            }
            assert_eq!(ranges.len(), BytesKey::ROOM);
            for run in &runs {
                assert!(ranges.iter().any(|r| r.0 == run.0 && r.1 <= run.1 && run.2 <= r.2), "{run:?} of {ranges:?}");
            }
            for range in &ranges {
                assert_eq!(range.3, !runs.contains(&(range.0, range.1, range.2, false)), "{range:?} of {runs:?}");
            }
            merged += 1;
        }
    }
    assert!(exact > 20 && merged > 20, "{exact} {merged}");
}

/// A stream that ends before its frames do: by a reset of the other side, whose frame is one of it too.
#[test]
fn a_reset_stream_has_what_was_on_its_way() {
    let mut talk = Talk::of_two();
    talk.frame(1, (DATA, 0), 3, &[b'y'; 500]);
    talk.frame(1, (DATA, 0), 1, &[b'x'; 1000]);
    talk.unsent[1].truncate(900);
    talk.send(1, 1460);
    talk.frame(0, (RST, 0), 1, &[0, 0, 0, 8]);
    talk.send(0, 1460);
    let told = talk.told();
    assert_eq!(told.keys().collect::<Vec<_>>(), [&1]);
    assert_eq!(told[&1], talk.runs(1), "to the end that its header promises");
    assert_eq!(told[&1].iter().filter(|range| range.0 == 0).count(), 2);
}

/// Bytes that the capture lacks: frames may have begun in them, and of what follows it isn't known whose it is until one is found.
#[test]
fn what_is_missing_may_be_any_open_streams() {
    let mut talk = Talk::of_two();
    talk.send(1, 1460);
    let lost = talk.sent[1];
    talk.frame(1, (DATA, 0), 1, &[b'x'; 191]);
    talk.frame(1, (DATA, 0), 3, &[b'y'; 91]);
    let missing = std::mem::take(&mut talk.unsent[1]).len() as u64;
    talk.conn.seq[1] = talk.conn.seq[1].wrapping_add(missing as u32);
    talk.sent[1] += missing;
    // Of no stream: frames are found again behind it.
    talk.write(1, 0, &frame(6, 0, 0, &[0; 8]));
    talk.frame(1, (DATA, END_STREAM), 1, &[b'x'; 100]);
    talk.frame(1, (DATA, END_STREAM), 3, &[b'y'; 100]);
    talk.send(1, 1460);
    let told = talk.told();
    let gap = (1, lost + 1, lost + missing + 1, true);
    for stream in [1, 3] {
        let mut own = talk.runs(stream);
        own.retain(|run| run.0 == 0 || run.1 <= lost || run.1 > lost + missing + 1);
        own.push(gap);
        own.sort_unstable();
        // What touches it is one range with it.
        let touching = own.iter().position(|run| run.0 == 1 && run.2 == gap.1);
        if let Some(at) = touching {
            own[at + 1].1 = own[at].1;
            own.remove(at);
        }
        assert_eq!(told[&stream], own, "stream {stream}");
        let views: Vec<_> = talk.conn.ended.iter().filter(|(_, view)| view.http.stream == stream).collect();
        assert!(views.iter().all(|(_, view)| view.http.complete == 0));
    }
}

/// A loss is its own sender's bytes, told with the packet that acknowledges them.
#[test]
fn mended_bytes_have_their_place() {
    let mut conn = Conn::open();
    let base = conn.seq[1];
    let segment = |i: u32| base.wrapping_add(100 * i);
    // Only the repairs are looked at, packet by packet.
    let mut told = Vec::new();
    let mut send = |conn: &mut Conn, from: usize, seq: u32, ack: u32, len: usize| {
        conn.with_ack(from, seq, ack, ACK | PSH, &vec![b'x'; len]);
        let view = conn.views.last().unwrap();
        if let Some(key) = bytes_key(view, PacketBytes::Repair) {
            told.push((from, ranges(&key)));
        }
    };
    let client = conn.seq[0];
    for i in 0..6 {
        send(&mut conn, 1, segment(i), client, 100);
    }
    for _ in 0..3 {
        send(&mut conn, 0, client, segment(1), 0);
    }
    for i in [1, 4] {
        send(&mut conn, 1, segment(i), client, 100);
    }
    // With data of the client's own, which is none of them.
    send(&mut conn, 0, client, segment(6), 40);
    assert_eq!(told, [(0, vec![(1, 101, 201, false), (1, 401, 501, false)])]);
}

/// The response lies in bytes that were passed over, as frames had to be looked for: of requests that were made before and after the hole.
#[test]
fn a_response_in_bytes_that_were_not_read_is_not_known() {
    let mut talk = Talk::of_two();
    talk.send(1, 1460);
    talk.frame(1, (DATA, 0), 1, &[b'x'; 200]);
    talk.lose(1);
    // The hole is told of when something comes behind it.
    talk.write(1, 0, &[b'x'; 30]);
    talk.send(1, 1460);
    // Nothing in the segment says where a frame begins: it neither begins nor ends with one.
    talk.get(5);
    talk.send(0, 1460);
    talk.write(1, 0, &[b'x'; 100]);
    talk.frame(1, (HEADERS, END_HEADERS), 5, OK);
    talk.frame(1, (DATA, END_STREAM), 5, &[b'y'; 20]);
    talk.send(1, 130);
    // Another one comes when frames are read again, and has its status.
    talk.get(7);
    talk.send(0, 1460);
    talk.frame(1, (HEADERS, END_HEADERS), 7, OK);
    talk.frame(1, (DATA, END_STREAM), 7, b"z");
    talk.send(1, 1460);
    talk.conn.close(0, packet_support::build::RST);
    assert_eq!(talk.statuses(), BTreeMap::from([(1, Some(200)), (3, Some(200)), (5, None), (7, Some(200))]));
    assert!(talk.conn.counters().http2.gaps > 0);
}

/// A connection that is older than the capture, of whose server's bytes the first are the middle of a frame.
#[test]
fn a_response_before_the_first_frame_that_is_read_is_not_known() {
    let mut talk = Talk { conn: Conn::new(), unsent: Default::default(), sent: [0; 2], own: BTreeMap::new() };
    talk.frame(0, (4, 0), 0, &[]);
    talk.frame(0, (HEADERS, END_STREAM | END_HEADERS), 1, &[GET, &[0, 1, b'a', 1, b'b']].concat());
    talk.send(0, 1460);
    talk.write(1, 0, &[b'x'; 100]);
    talk.frame(1, (HEADERS, END_HEADERS), 1, OK);
    talk.frame(1, (DATA, END_STREAM), 1, &[b'y'; 20]);
    talk.send(1, 130);
    talk.conn.close(0, packet_support::build::RST);
    assert_eq!(talk.statuses(), BTreeMap::from([(1, None)]));
}

/// A header block that can't be decoded, as a number in it has no end: there was a response.
#[test]
fn a_response_that_cannot_be_decoded_is_not_known() {
    let mut talk = Talk::new();
    talk.get(1);
    talk.send(0, 1460);
    talk.frame(1, (HEADERS, END_HEADERS), 1, &[0xff; 12]);
    talk.frame(1, (DATA, END_STREAM), 1, b"y");
    talk.send(1, 1460);
    assert_eq!(talk.statuses(), BTreeMap::from([(1, None)]));
    assert_eq!(talk.conn.counters().http2.malformed, 1);
}

/// Of a request whose header block lacks bytes nothing is told, and that is counted: of bytes that were lost, and of such as were not captured.
#[test]
fn requests_that_are_not_told_are_counted() {
    let long = [GET, &[0, 1, b'a', 100], &[b'b'; 100]].concat();
    let block = frame(HEADERS, END_STREAM | END_HEADERS, 1, &long);
    let mut talk = Talk::new();
    talk.write(0, 1, &block[..40]);
    talk.send(0, 1460);
    talk.write(0, 1, &block[40..80]);
    talk.lose(0);
    talk.write(0, 1, &block[80..]);
    talk.send(0, 1460);
    let counted = talk.conn.counters().http2;
    assert_eq!((talk.statuses().len(), counted.gaps, counted.cut), (0, 1, 0));

    let mut talk = Talk::new();
    talk.send(0, 1460);
    talk.conn.snap = Some(54 + 40);
    talk.write(0, 1, &block[..60]);
    talk.send(0, 1460);
    talk.conn.snap = None;
    talk.write(0, 1, &block[60..]);
    talk.send(0, 1460);
    let counted = talk.conn.counters().http2;
    assert_eq!((talk.statuses().len(), counted.gaps, counted.cut), (0, 0, 1));

    // A direction that begins with a hole.
    let mut talk = Talk::new();
    talk.send(0, 1460);
    talk.lose(1);
    talk.frame(1, (HEADERS, END_HEADERS), 1, OK);
    talk.send(1, 1460);
    assert_eq!(talk.conn.counters().http2.gaps, 1);
}

//! Calls that are told before they are made.

use super::{Bench, Call, Told};

impl Bench {
    /// A call within TLS that has begun, in pieces of these bytes.
    fn begins(&mut self, pieces: &[&[u8]]) {
        self.time += 10;
        let total = pieces.iter().map(|piece| piece.len() as u64).sum();
        let (mut at, clear) = (0, 1 + self.clear[1]);
        for (i, bytes) in pieces.iter().enumerate() {
            let last = i + 1 == pieces.len();
            self.sockets.call(&Call { total, at, last, clear, ahead: true, ..self.moved(true, bytes) });
            at += bytes.len() as u64;
        }
        self.clear[1] += total;
        assert!(self.ended().is_empty(), "not sent yet");
    }

    /// It has ended; `carried`: by so many bytes more.
    fn wrote(&mut self, moved: i64, carried: u32) -> Vec<Told> {
        self.carry(true, carried);
        self.time += 10;
        self.sockets.wrote(1, self.to[1], moved, self.time);
        self.ended()
    }
}

const GET: &[u8] = b"GET /a HTTP/1.1\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 204 No\r\n\r\n";

/// An answer ends with its call, and lies where that has put it.
#[test]
fn what_is_sent_ends_with_its_call() {
    let mut bench = Bench::new();
    bench.clear(false, GET);
    bench.begins(&[&ANSWER[..5], &ANSWER[5..]]);
    let began = bench.time;
    assert_eq!(bench.wrote(19, 41), [("2 bytes".to_owned(), 204, true, [22, 41, 0, 41])]);
    assert_eq!(bench.last.2, began + 10);
    assert_eq!((bench.sockets.ahead, bench.sockets.counters().gaps), (0, 0));
    // What failed was not sent: its request has no answer.
    bench.clear(false, GET);
    bench.begins(&[ANSWER]);
    assert!(bench.wrote(-1, 0).is_empty());
    bench.sockets.end(1, true, None, None, bench.time);
    assert_eq!(bench.ended().iter().map(|e| (e.1, e.2)).collect::<Vec<_>>(), [(0, false)]);
    assert_eq!(bench.sockets.ahead, 0);
}

/// What was read behind it shows that it was sent, before its end is told.
#[test]
fn what_comes_behind_it_comes_after_it() {
    let mut bench = Bench::new();
    bench.clear(false, GET);
    bench.begins(&[ANSWER]);
    bench.carry(true, 41);
    bench.time += 10;
    assert_eq!(bench.clear(false, GET).len(), 1, "the first is answered");
    assert!(bench.wrote(19, 0).is_empty());
    bench.begins(&[ANSWER]);
    // The end of that one is lost; then another one begins.
    bench.carry(true, 41);
    bench.clear(false, GET);
    bench.begins(&[ANSWER]);
    bench.carry(true, 41);
    bench.sockets.end(1, true, None, None, bench.time);
    assert_eq!(bench.ended().len(), 1);
    assert_eq!((bench.sockets.ahead, bench.sockets.owners, bench.sockets.counters().gaps), (0, 0, 0));
}

/// The next request is read while the answer to this one is still to be sent.
#[test]
fn requests_come_without_an_answer() {
    let mut bench = Bench::new();
    let mut uris = Vec::new();
    bench.clear(false, GET);
    bench.begins(&[ANSWER]);
    uris.extend(bench.wrote(19, 41));
    for uri in [&b"GET /bc HTTP/1.1\r\n\r\n"[..], b"GET /def HTTP/1.1\r\n\r\n"] {
        bench.clear(false, &uri[..1]);
        bench.clear(false, &uri[1..]);
        bench.begins(&[ANSWER]);
        // Of the one after it.
        bench.clear(false, b"G");
        uris.extend(bench.wrote(19, 41));
        bench.clear(false, b"ET / HTTP/1.1\r\n\r\n");
        bench.begins(&[ANSWER]);
        uris.extend(bench.wrote(19, 41));
    }
    let uris: Vec<_> = uris.iter().map(|e| (e.0.as_str(), e.1, e.2)).collect();
    let all = ["2 bytes", "3 bytes", "1 bytes", "4 bytes", "1 bytes"].map(|uri| (uri, 204, true));
    assert_eq!(uris, all);
}

/// A program that sends the encrypted bytes itself says nothing of how much of a call it sent: two calls go out at once, one in parts.
#[test]
fn what_a_program_sends_itself_has_ended_with_its_last_byte() {
    const ANY: i64 = 1 << 40;
    let mut bench = Bench::new();
    bench.clear(false, GET);
    bench.begins(&[ANSWER]);
    assert_eq!(bench.wrote(ANY, 41).len(), 1);
    bench.clear(false, GET);
    bench.begins(&[&ANSWER[..10]]);
    bench.begins(&[&ANSWER[10..]]);
    let both = bench.wrote(ANY, 63);
    assert_eq!(both[0].3[2..], [41, 104], "none of the bytes before: {both:?}");
    assert_eq!(bench.last.2, bench.time);
    bench.clear(false, GET);
    bench.begins(&[ANSWER]);
    assert!(bench.wrote(ANY, 12).is_empty(), "more is to come");
    let parts = bench.wrote(ANY, 29);
    assert_eq!((parts[0].3[2..].to_vec(), bench.last.2), (vec![104, 145], bench.time), "{parts:?}");
    assert_eq!((bench.sockets.ahead, bench.sockets.counters().gaps), (0, 0));
}

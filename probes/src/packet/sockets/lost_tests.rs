//! Responses that were not seen, or can't be read: of such an exchange nothing is known, and the next ones have their own.

use super::*;

const GET: &[u8] = b"GET /a HTTP/1.1\r\n\r\n";

fn answer(status: u32) -> Vec<u8> {
    format!("HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\nok").into_bytes()
}

/// What was told: the status if it is known, and whether the response was whole.
fn told(bench: &mut Bench, all: &[Told]) -> Vec<(Option<u32>, bool)> {
    let known = std::mem::take(&mut bench.status_known);
    assert_eq!(known.len(), all.len());
    all.iter().zip(known).map(|(told, known)| (known.then_some(told.1), told.2)).collect()
}

impl Bench {
    /// A request, and a response that can't be read.
    fn unread(&mut self, how: &str) -> Vec<Told> {
        let mut all = self.whole(false, GET);
        let long = [b"HTTP/1.1 201 X\r\nX: ".to_vec(), vec![b'v'; 70_000], b"\r\n\r\n".to_vec()].concat();
        match how {
            "its head is longer than what is copied" => {
                let (dir, total) = (1, 45_000);
                self.to[dir] = self.to[dir].wrapping_add(total);
                let call = Call { total: total.into(), last: false, ..self.moved(true, &long[..32_768]) };
                self.sockets.call(&call);
                self.sockets.call(&Call { at: u64::from(total) - 16, last: true, bytes: b"vvvv\r\n\r\nok", ..call });
                all.extend(self.ended());
            }
            "its head is longer than what is kept" => {
                all.extend(long.chunks(10_000).flat_map(|part| self.whole(true, part)));
            }
            "it is none" => all.extend(self.whole(true, b"ICY 200 OK\r\n\r\n")),
            "two calls that sent it say not how much" => {
                for bytes in [30, 2] {
                    self.carry(true, bytes);
                    self.sockets.call(&Call { total: 0, ..self.moved(true, b"") });
                    all.extend(self.ended());
                }
            }
            "its call was not told" => self.carry(true, 40),
            _ => unreachable!(),
        }
        all
    }
}

const UNREAD: [&str; 5] = [
    "its head is longer than what is copied",
    "its head is longer than what is kept",
    "it is none",
    "two calls that sent it say not how much",
    "its call was not told",
];

#[test]
fn what_is_not_understood_is_its_own_requests() {
    for how in UNREAD {
        let mut bench = Bench::new();
        let mut all = bench.whole(false, GET);
        all.extend(bench.whole(true, &answer(200)));
        all.extend(bench.unread(how));
        for status in [202, 203] {
            all.extend(bench.whole(false, GET));
            all.extend(bench.whole(true, &answer(status)));
        }
        let known = |status| (Some(status), true);
        assert_eq!(told(&mut bench, &all), [known(200), (None, false), known(202), known(203)], "{how}");
    }
}

/// The connection ends behind it: there was a response, as the sockets' numbers say where no call does. What is not answered is known to be none only where they say that, too.
#[test]
fn the_last_response_of_a_connection() {
    for how in UNREAD {
        let mut bench = Bench::new();
        bench.unread(how);
        bench.sockets.end(1, true, Some(bench.to), None, bench.time);
        let all = bench.ended();
        assert_eq!(told(&mut bench, &all), [(None, false)], "{how}");
    }
    // An end of data is a byte of its own.
    for end in [0, 1] {
        let mut bench = Bench::new();
        bench.whole(false, GET);
        bench.carry(true, end);
        bench.sockets.end(1, true, Some(bench.to), None, bench.time);
        let all = bench.ended();
        assert_eq!(told(&mut bench, &all), [(Some(0), false)]);
        assert_eq!(bench.sockets.counters().gaps, 0);
    }
}

/// Requests of a connection that is older, within the body of a response of which nothing is known: where in what follows their responses lie isn't known either.
#[test]
fn requests_behind_a_body_that_began_before() {
    let within_a_body = || {
        let mut bench = Bench::new();
        bench.sockets = Sockets::new(needs::HTTP, &Options::default());
        bench.sockets.open(&open(0));
        bench.carry(true, 5000);
        bench
    };
    let mut bench = within_a_body();
    for _ in 0..3 {
        bench.whole(false, GET);
    }
    let rest = [&[b'x'; 1000][..], &answer(200), &answer(201), &answer(202)].concat();
    assert!(bench.whole(true, &rest).is_empty());
    // In the same way where all of it but the beginning was not copied.
    assert!(bench.call(true, b"", 5000, 1).is_empty());
    bench.sockets.end(1, true, Some(bench.to), None, bench.time);
    let all = bench.ended();
    assert_eq!(told(&mut bench, &all), [(None, false); 3]);
    assert_eq!(bench.last.0, 0);
    // The second one is sent just before the first one is answered.
    let mut bench = within_a_body();
    bench.whole(false, GET);
    bench.whole(true, &[b'x'; 1000]);
    let mut all = bench.whole(false, GET);
    all.extend([200, 201].iter().flat_map(|&status| bench.whole(true, &answer(status))));
    assert_eq!(told(&mut bench, &all), [(None, false); 2]);
}

/// A response that was read behind such bytes may be another request's.
#[test]
fn a_response_that_may_be_anothers() {
    let mut bench = Bench::new();
    bench.whole(false, GET);
    // The call that sent this one's response and the call that got the next request are not told.
    bench.carry(true, 40);
    bench.carry(false, 19);
    let all = bench.whole(true, &answer(201));
    assert_eq!(told(&mut bench, &all), [(None, false)]);
    bench.whole(false, GET);
    let all = bench.whole(true, &answer(202));
    assert_eq!(told(&mut bench, &all), [(Some(202), true)]);
}

/// What came before the first request that was read may have been another one.
#[test]
fn a_first_request_that_was_not_read() {
    let cut = |bench: &mut Bench| drop(bench.call(false, b"GET /a HTTP/1.1\r\nCookie: xxxx", 9000, 1));
    let long = |bench: &mut Bench| {
        bench.whole(false, b"GET /a HTTP/1.1\r\nCookie: ");
        (0..7).for_each(|_| drop(bench.whole(false, &[b'x'; 10_000])));
        bench.whole(false, b"\r\n\r\n");
    };
    let none = |bench: &mut Bench| drop(bench.whole(false, b"*GET* what is this?\r\n"));
    let untold = |bench: &mut Bench| bench.carry(false, 50);
    let ways: [&dyn Fn(&mut Bench); 4] = [&cut, &long, &none, &untold];
    for (i, way) in ways.into_iter().enumerate() {
        let mut bench = Bench::new();
        way(&mut bench);
        bench.whole(true, &answer(200));
        bench.whole(false, GET);
        let all = bench.whole(true, &answer(202));
        assert_eq!(told(&mut bench, &all), [(Some(202), true)], "{i}");
        assert_eq!(bench.last.0, 0, "{i}");
    }
    // An empty line is none.
    let mut bench = Bench::new();
    bench.whole(false, b"\r\n\r\n");
    bench.whole(false, GET);
    bench.whole(true, &answer(202));
    assert_eq!(bench.last.0, 1);
}

/// Of requests that were sent before any answer one is missing: which of the others have which response isn't known. Those before it have theirs.
#[test]
fn a_missing_request_among_several() {
    let mut bench = Bench::new();
    bench.whole(false, GET);
    bench.carry(false, 19);
    for _ in 0..2 {
        bench.whole(false, GET);
    }
    let mut all: Vec<Told> =
        [200, 201, 202, 203].iter().flat_map(|&status| bench.whole(true, &answer(status))).collect();
    bench.whole(false, GET);
    all.extend(bench.whole(true, &answer(204)));
    assert_eq!(told(&mut bench, &all), [(Some(200), true), (None, false), (None, false), (Some(204), true)]);
}

/// More was passed over than a sequence number tells: the next ones lie behind it.
#[test]
fn gigabytes_that_were_passed_over() {
    for gone in [1 << 31, 3 << 30, 5 << 30] {
        let mut bench = Bench::new();
        bench.whole(false, GET);
        let mut all = bench.whole(true, &answer(200));
        for dir in [false, true] {
            bench.carry(dir, gone as u32);
        }
        let answered = answer(200).len() as u64;
        let bytes = [19 + gone, answered + gone];
        // It is said a moment later how far both have come.
        bench.sockets.past(1, bench.to, Some([bytes[0] + 1448, bytes[1] + 1448]));
        bench.whole(false, GET);
        all.extend(bench.whole(true, &answer(202)));
        assert_eq!(all[1].3, [bytes[0], bytes[0] + 19, bytes[1], bytes[1] + answered]);
        assert_eq!(told(&mut bench, &all), [(Some(200), true), (Some(202), true)]);
        assert_eq!(bench.sockets.counters().gaps, 0);
    }
}

/// A response that another thread got before the one that sent its request was told: what is whose isn't known of that one alone.
#[test]
fn a_request_that_is_told_behind_its_response() {
    let mut bench = Bench::new();
    bench.whole(true, GET);
    let mut all = bench.whole(false, &answer(200));
    let before = bench.to;
    bench.carry(true, 19);
    all.extend(bench.whole(false, &answer(201)));
    let late = Call { other: before[0], ..bench.moved(true, GET) };
    bench.sockets.call(&late);
    all.extend(bench.ended());
    bench.whole(true, GET);
    all.extend(bench.whole(false, &answer(202)));
    assert_eq!(told(&mut bench, &all), [(Some(200), true), (None, false), (Some(202), true)]);
}

/// Within TLS the counts of what is in clear say whether there was more.
#[test]
fn the_last_response_within_tls() {
    for (clear, known) in [([20, 41], None), ([20, 1], Some(0)), ([20, 0], Some(0))] {
        let mut bench = Bench::new();
        bench.carry(false, 300);
        bench.carry(true, 500);
        bench.clear(false, GET);
        bench.sockets.end(1, true, Some(bench.to), Some(clear), bench.time);
        let all = bench.ended();
        assert_eq!(told(&mut bench, &all), [(known, false)], "{clear:?}");
        assert_eq!(bench.sockets.counters().gaps, u64::from(known.is_none()));
    }
}

/// The next connection has a socket at the same address, and the end of the one before was not told: what that still carried isn't known.
#[test]
fn a_connection_whose_end_was_lost() {
    for tls in [false, true] {
        let asked = |bench: &mut Bench| if tls { bench.clear(false, GET) } else { bench.whole(false, GET) };
        let mut bench = Bench::new();
        asked(&mut bench);
        bench.sockets.open(&open(99));
        let all = bench.ended();
        assert_eq!(told(&mut bench, &all), [(None, false)]);
        // Nor was the begin of the next one.
        let mut bench = Bench::new();
        asked(&mut bench);
        assert!(bench.sockets.is_of(1, FROM[0].wrapping_add(1448), bench.time), "more is coming in");
        assert!(bench.ended().is_empty());
        assert!(!bench.sockets.is_of(1, 0x1234_5678, bench.time));
        let all = bench.ended();
        assert_eq!(told(&mut bench, &all), [(None, false)]);
        assert_eq!((bench.sockets.len(), bench.sockets.counters().unknown), (0, 1));
    }
}

/// More requests wait than are kept: whose the responses are isn't known until all have come.
#[test]
fn more_requests_than_are_kept() {
    let mut bench = Bench::new();
    let many = 300;
    (0..many).for_each(|_| drop(bench.whole(false, GET)));
    let mut all: Vec<Told> = (0..many).flat_map(|_| bench.whole(true, &answer(201))).collect();
    let dropped = many - all.len();
    assert!(dropped > 0 && bench.sockets.counters().http_dropped == dropped as u64);
    bench.whole(false, GET);
    all.extend(bench.whole(true, &answer(202)));
    let told = told(&mut bench, &all);
    assert!(told[..many - dropped].iter().all(|one| *one == (None, false)));
    assert_eq!(told[many - dropped..], [(Some(202), true)]);
}

/// Of a connection that is older than the run the bytes lie where both ends count them.
#[test]
fn a_connection_that_had_moved_gigabytes() {
    let mut bench = Bench::new();
    bench.sockets = Sockets::new(needs::HTTP, &Options::default());
    let before = [5u64 << 30, 9 << 30];
    for (dir, bytes) in [false, true].into_iter().zip(before) {
        bench.carry(dir, bytes as u32);
    }
    bench.sockets.open(&Open { bytes: Some(before), ..open(0) });
    bench.whole(false, GET);
    let all = bench.whole(true, &answer(200));
    let answered = answer(200).len() as u64;
    assert_eq!(all[0].3, [before[0], before[0] + 19, before[1], before[1] + answered]);
}

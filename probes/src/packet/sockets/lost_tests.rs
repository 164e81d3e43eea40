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
        bench.sockets.end(1, true, Some(bench.to), bench.time);
        let all = bench.ended();
        assert_eq!(told(&mut bench, &all), [(None, false)], "{how}");
    }
    // An end of data is a byte of its own.
    for end in [0, 1] {
        let mut bench = Bench::new();
        bench.whole(false, GET);
        bench.carry(true, end);
        bench.sockets.end(1, true, Some(bench.to), bench.time);
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
    bench.sockets.end(1, true, Some(bench.to), bench.time);
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

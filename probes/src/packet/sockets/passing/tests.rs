//! The same calls, with exchanges passed over and without: what is presented differs by those that are of no interest, and by nothing else.

use super::super::{Call, Exchange, Open, Options, SocketCounters, Sockets, Task};
use weftrace_artifact::{
    abi::ConnKey,
    join::Bound,
    packet::{PacketView, needs},
};

/// Slower than 1000, or failed.
const BOUND: Bound = Bound { longer_than_ns: 1000, status_from: 500 };
const FROM: [u32; 2] = [u32::MAX - 900, 77];

/// Length of the uri, status, complete, first on its connection, times, bytes of both directions, thread.
type Told = (u64, u32, [u32; 2], [u64; 2], [u64; 4], u32);

struct Side {
    sockets: Sockets,
    view: Box<PacketView>,
    bound: Option<Bound>,
    told: Vec<Told>,
    passed: u64,
}

impl Side {
    fn new(bound: Option<Bound>) -> Self {
        let sockets = Sockets::new(needs::HTTP | needs::OWNER, &Options::default());
        Self { sockets, view: Box::default(), bound, told: Vec::new(), passed: 0 }
    }

    fn open(&mut self, time: u64) {
        let mut conn = ConnKey { family: 2, proto: 6, a_port: 4000, b_port: 80, ..ConnKey::default() };
        (conn.a_addr[3], conn.b_addr[3]) = (1, 2);
        self.sockets.open(&Open {
            key: 1,
            conn,
            local_port: 80,
            local: [0, 0, 0, 2],
            from: FROM,
            bytes: None,
            opened: time,
            time,
        });
        self.present();
    }

    fn call(&mut self, call: &Call<'_>) {
        self.sockets.pass_over(self.bound);
        let passed = self.sockets.call(call);
        assert!(passed.is_none_or(|exchange| exchange == Exchange { served: true, port: 80 }));
        self.passed += u64::from(passed.is_some());
        self.present();
    }

    fn end(&mut self, gone: bool, time: u64) {
        self.sockets.end(1, gone, None, None, time);
        self.present();
    }

    fn present(&mut self) {
        while self.sockets.next(&mut self.view).is_some() {
            let (http, known) = (&self.view.http, self.view.known);
            let owner = known & weftrace_artifact::packet::known::OWNER != 0;
            self.told.push((
                http.uri.len,
                http.status,
                [http.complete, http.first_on_conn],
                [http.start, http.end],
                [http.request_from, http.request_to, http.response_from, http.response_to],
                if owner { self.sockets.more.owner_tid } else { 0 },
            ));
        }
    }
}

/// Those of interest, and how many others.
fn of_interest(told: &[Told]) -> (Vec<&Told>, u64) {
    let of = |told: &&Told| told.2[1] != 0 || BOUND.allows(told.3[1] - told.3[0], told.1);
    let kept: Vec<&Told> = told.iter().filter(of).collect();
    let others = (told.len() - kept.len()) as u64;
    (kept, others)
}

/// xorshift64
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len() as u64) as usize]
    }
}

/// One connection after another, on both sides.
struct Pair {
    random: Random,
    sides: [Side; 2],
    to: [u32; 2],
    time: u64,
    serial: u64,
}

impl Pair {
    fn new(seed: u64) -> Self {
        let sides = [Side::new(None), Side::new(Some(BOUND))];
        let mut pair = Self { random: Random(seed), sides, to: FROM, time: 10, serial: 0 };
        pair.open();
        pair
    }

    fn open(&mut self) {
        self.to = FROM;
        self.time += 5;
        self.sides.iter_mut().for_each(|side| side.open(self.time));
    }

    /// One call for all of it, told in pieces of memory; a piece may be lost, or not copied.
    fn call(&mut self, sent: bool, pieces: &[&[u8]]) {
        let total: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
        let dir = usize::from(sent);
        self.to[dir] = self.to[dir].wrapping_add(total as u32);
        self.time += if self.random.below(12) == 0 { 2000 } else { 10 + self.random.below(30) };
        let tid = 1 + self.random.below(2) as u32;
        let task = Task { pid: 7, tid, comm: *b"server\0\0\0\0\0\0\0\0\0\0" };
        let (mut at, lost) = (0, self.random.below(150));
        for (i, piece) in pieces.iter().enumerate() {
            let last = i + 1 == pieces.len();
            if lost != i as u64 {
                let call = Call {
                    key: 1,
                    sent,
                    start: self.time - if sent { 5 } else { 0 },
                    end: self.time,
                    to: self.to[dir],
                    other: self.to[1 - dir],
                    total,
                    at,
                    bytes: piece,
                    last,
                    eof: false,
                    clear: 0,
                    ahead: false,
                    task,
                };
                self.sides.iter_mut().for_each(|side| side.call(&call));
            }
            at += piece.len() as u64;
        }
    }

    fn request(&mut self) {
        self.serial += 1;
        let method = self.random.one(&["GET", "GET", "GET", "GET", "HEAD", "POST", "DELETE", "FOO"]);
        let more = self.random.one(&[
            "",
            "",
            "",
            "X-Request-Id: 7\r\n",
            "Upgrade: h2c\r\n",
            "Content-Length: 3\r\n",
            " bad\r\n",
        ]);
        let body = if more.starts_with("Content") { "abc" } else { "" };
        let text = format!("{method} /{} HTTP/1.1\r\nHost: a\r\n{more}\r\n{body}", self.serial);
        match self.random.below(12) {
            0 => {
                let (a, b) = text.as_bytes().split_at(text.len() / 2);
                self.call(false, &[a]);
                self.call(false, &[b]);
            }
            1 => {
                let twice = text.repeat(2);
                self.call(false, &[twice.as_bytes()]);
            }
            2 => {
                self.call(false, &[text.as_bytes()]);
                self.call(false, &[text.as_bytes()]);
            }
            _ => self.call(false, &[text.as_bytes()]),
        }
    }

    fn response(&mut self) {
        let status =
            self.random.one(&["200 OK", "200 OK", "200 OK", "404 No", "204 No", "304 No", "500 Bad", "100 Go on"]);
        let framing = self.random.one(&[
            "Content-Length: 5\r\n",
            "Content-Length: 5\r\n",
            "Content-Length: 5\r\n",
            "Content-Length: 50\r\n",
            "",
            "Transfer-Encoding: chunked\r\n",
        ]);
        let body: &[u8] = if framing.starts_with('T') { b"2\r\nok\r\n0\r\n\r\n" } else { b"hello" };
        let head = format!("HTTP/1.1 {status}\r\n{framing}\r\n");
        match self.random.below(6) {
            0 => {
                self.call(true, &[head.as_bytes()]);
                self.call(true, &[body]);
            }
            1 | 2 => {
                let whole = [head.as_bytes(), body].concat();
                self.call(true, &[&whole]);
            }
            _ => self.call(true, &[head.as_bytes(), body]),
        }
    }

    /// What most connections carry.
    fn plain(&mut self) {
        self.serial += 1;
        let request = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", self.serial);
        self.call(false, &[request.as_bytes()]);
        let head: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        match self.random.below(2) {
            0 => self.call(true, &[head, b"hello"]),
            _ => self.call(true, &[&[head, b"hello"].concat()]),
        }
    }

    fn step(&mut self) {
        if self.random.below(4) > 0 {
            return self.plain();
        }
        match self.random.below(20) {
            0 => self.sides.iter_mut().for_each(|side| side.end(false, self.time)),
            1 | 6 | 7 => {
                self.sides.iter_mut().for_each(|side| side.end(true, self.time));
                self.open();
            }
            // What no call shows.
            2 => {
                let dir = self.random.below(2) as usize;
                self.to[dir] = self.to[dir].wrapping_add(20);
            }
            3 => self.response(),
            4 => self.request(),
            5 => self.open(),
            _ => {
                self.request();
                self.response();
            }
        }
    }
}

#[test]
fn nothing_else_is_missing() {
    let mut passed = 0;
    for seed in 1..60 {
        let mut pair = Pair::new(seed * 0x9e37_79b9);
        for _ in 0..300 {
            pair.step();
        }
        for side in &mut pair.sides {
            while side.sockets.finish_one() {
                side.present();
            }
        }
        let [all, some] = &pair.sides;
        let ((kept, others), (kept_too, left)) = (of_interest(&all.told), of_interest(&some.told));
        assert_eq!(kept, kept_too, "seed {seed}");
        assert_eq!(others, left + some.passed, "seed {seed}: of no interest");
        // A piece that was lost behind a head that was enough is no gap.
        let same = |side: &Side| SocketCounters { gaps: 0, ..side.sockets.counters() };
        assert_eq!(same(all), same(some), "seed {seed}");
        assert_eq!(all.passed, 0);
        passed += some.passed;
    }
    assert!(passed > 1000, "{passed} passed over");
}

#[test]
fn a_request_waits_until_it_is_asked_for() {
    let mut pair = Pair::new(1);
    pair.random = Random(7);
    let get: &[u8] = b"GET /a HTTP/1.1\r\n\r\n";
    let answer: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let side = &mut pair.sides[1];
    let (mut to, mut time) = (FROM, 100);
    let mut call = |side: &mut Side, sent: bool, bytes: &[u8], after: u64| {
        let dir = usize::from(sent);
        to[dir] = to[dir].wrapping_add(bytes.len() as u32);
        time += after;
        let (total, task) = (bytes.len() as u64, Task::default());
        side.call(&Call {
            key: 1,
            sent,
            start: time,
            end: time,
            to: to[dir],
            other: to[1 - dir],
            total,
            at: 0,
            bytes,
            last: true,
            eof: false,
            clear: 0,
            ahead: false,
            task,
        });
        (side.passed, side.told.len())
    };
    // The first of the connection is told, the second is not, and a slow one is.
    assert_eq!([call(side, false, get, 10), call(side, true, answer, 10)], [(0, 0), (0, 1)]);
    assert_eq!([call(side, false, get, 10), call(side, true, answer, 1000)], [(0, 1), (1, 1)]);
    assert_eq!([call(side, false, get, 10), call(side, true, answer, 1001)], [(1, 1), (1, 2)]);
    // One that nobody answers, too.
    assert_eq!(call(side, false, get, 10), (1, 2));
    side.end(true, 9000);
    assert_eq!((side.passed, side.told.len()), (1, 3));
    assert_eq!((side.told[2].1, side.told[2].2), (0, [0, 0]));
}

//! Each rule of the analysis on the smallest exchange that shows it.

use super::*;
use weftrace_artifact::packet::analysis::NAMES;

const MS: u64 = 1_000_000;

/// Two directions and a clock.
struct Talk {
    dirs: [Direction; 2],
    irtt: u64,
    now: u64,
    list: Segments,
}

impl Talk {
    fn new() -> Self {
        Self {
            dirs: [Direction::default(), Direction::default()],
            irtt: 0,
            now: 1_000 * MS,
            list: Segments::new(1_000),
        }
    }

    /// A connection with its handshake: client at 101, server at 501, windows of 1000.
    fn open() -> Self {
        let mut talk = Self::new();
        assert_eq!(talk.send(0, 100, 0, 0, 1000, SYN), "");
        assert_eq!(talk.send(1, 500, 101, 0, 1000, SYN | ACK), "");
        assert_eq!(talk.send(0, 101, 501, 0, 1000, ACK), "");
        talk.irtt = 10 * MS;
        talk
    }

    fn verdict(&mut self, dir: usize, seq: u32, ack: u32, len: u32, window: u32, flags: u32) -> Verdict {
        self.now += 1;
        self.take(dir, &Segment { seq, ack, len, window, flags, time: self.now, stamps: None })
    }

    fn take(&mut self, dir: usize, segment: &Segment) -> Verdict {
        let (seq, flags) = (segment.seq, segment.flags);
        let [a, b] = &mut self.dirs;
        let (fwd, rev) = if dir == 0 { (a, b) } else { (b, a) };
        if !fwd.base_known {
            (fwd.base_seq, fwd.base_known) = (seq, true);
        }
        let verdict = analyse(fwd, rev, self.irtt, segment, 0, Some(&mut self.list));
        fwd.place(seq, segment.len);
        if flags & SYN != 0 {
            fwd.scale = -2;
        }
        verdict
    }

    fn send(&mut self, dir: usize, seq: u32, ack: u32, len: u32, window: u32, flags: u32) -> String {
        let found = self.verdict(dir, seq, ack, len, window, flags).flags;
        NAMES.iter().filter(|(bit, _)| found & bit != 0).map(|(_, name)| *name).collect::<Vec<_>>().join(" ")
    }
}

#[test]
fn a_clean_exchange_has_no_findings() {
    let mut talk = Talk::open();
    assert_eq!(talk.send(0, 101, 501, 100, 1000, ACK), "");
    assert_eq!(talk.send(1, 501, 201, 200, 1000, ACK), "");
    assert_eq!(talk.send(0, 201, 701, 0, 1000, ACK), "");
    assert_eq!(talk.send(0, 201, 701, 0, 1000, ACK | FIN), "");
    assert_eq!(talk.send(1, 701, 202, 0, 1000, ACK | FIN), "");
}

#[test]
fn late_repetition_is_a_retransmission_and_tells_its_timeout() {
    let mut talk = Talk::open();
    talk.send(0, 101, 501, 100, 1000, ACK);
    talk.now += 200 * MS;
    let verdict = talk.verdict(0, 101, 501, 100, 1000, ACK);
    assert_eq!(verdict.flags, flag::RETRANSMISSION);
    assert_eq!(verdict.rto, Some(200 * MS + 1));
    // A SYN too.
    let mut talk = Talk::new();
    talk.send(0, 100, 0, 0, 1000, SYN);
    talk.now += 1_000 * MS;
    assert_eq!(talk.send(0, 100, 0, 0, 1000, SYN), "retransmission");
}

#[test]
fn two_duplicate_acks_make_it_fast() {
    let mut talk = Talk::open();
    talk.send(0, 101, 501, 100, 1000, ACK); // lost on the way
    talk.send(0, 201, 501, 100, 1000, ACK);
    talk.send(0, 301, 501, 100, 1000, ACK);
    talk.send(1, 501, 101, 0, 1000, ACK);
    let second = talk.verdict(1, 501, 101, 0, 1000, ACK);
    assert_eq!((second.flags, second.dup_ack_num), (flag::DUPLICATE_ACK, 2));
    assert_eq!(talk.send(0, 101, 501, 100, 1000, ACK), "retransmission fast_retransmission");
    // 20 ms later it is a plain one.
    talk.send(1, 501, 101, 0, 1000, ACK);
    talk.now += 20 * MS;
    assert_eq!(talk.send(0, 101, 501, 100, 1000, ACK), "retransmission");
}

#[test]
fn repairs_are_told_when_they_are_acknowledged() {
    let mut talk = Talk::open();
    let first = talk.now;
    talk.send(0, 101, 501, 100, 1000, ACK); // lost on the way
    talk.send(0, 201, 501, 100, 1000, ACK); // lost on the way
    talk.now += 10 * MS;
    talk.send(0, 301, 501, 100, 1000, ACK);
    talk.send(1, 501, 101, 0, 1000, ACK);
    // Two segments as one, at once: out of order for tshark, but their bytes were here before.
    let again = talk.verdict(0, 101, 501, 200, 1000, ACK);
    assert_eq!((again.flags & flag::RETRANSMISSION, again.repaired), (0, None));
    let (since, until) = talk.verdict(1, 501, 401, 0, 1000, ACK).repaired.expect("a repair");
    assert!(since <= first + 2 && (10 * MS..11 * MS).contains(&(until - since)), "{since} {until}");
    // Told once.
    assert_eq!(talk.verdict(1, 501, 401, 0, 1000, ACK).repaired, None);
}

#[test]
fn no_repairs() {
    // Bytes that were never here and overtook each other; acknowledged ones.
    let mut talk = Talk::open();
    talk.send(0, 201, 501, 100, 1000, ACK);
    talk.send(0, 101, 501, 100, 1000, ACK);
    assert_eq!(talk.verdict(1, 501, 301, 0, 1000, ACK).repaired, None);
    talk.now += 300 * MS;
    talk.send(0, 101, 501, 100, 1000, ACK);
    assert_eq!(talk.verdict(1, 501, 301, 0, 1000, ACK).repaired, None);
    // A connection that is reset before anybody acknowledged.
    talk.send(0, 301, 501, 100, 1000, ACK);
    talk.now += 300 * MS;
    talk.send(0, 301, 501, 100, 1000, ACK);
    assert!(talk.verdict(1, 501, 301, 0, 1000, ACK | RST).repaired.is_some());
}

#[test]
fn acknowledged_bytes_again_are_spurious() {
    let mut talk = Talk::open();
    talk.send(0, 101, 501, 100, 1000, ACK);
    talk.send(1, 501, 201, 0, 1000, ACK);
    talk.now += 300 * MS;
    assert_eq!(talk.send(0, 101, 501, 100, 1000, ACK), "retransmission spurious_retransmission");
}

#[test]
fn quick_older_bytes_are_out_of_order() {
    let mut talk = Talk::open();
    talk.send(0, 101, 501, 100, 1000, ACK);
    assert_eq!(talk.send(0, 301, 501, 100, 1000, ACK), "lost_segment");
    assert_eq!(talk.send(0, 201, 501, 100, 1000, ACK), "out_of_order");
    // The same after more than a round trip.
    let mut talk = Talk::open();
    talk.send(0, 201, 501, 100, 1000, ACK);
    talk.now += 10 * MS;
    assert_eq!(talk.send(0, 101, 501, 100, 1000, ACK), "retransmission");
}

#[test]
fn windows_close_and_open() {
    let mut talk = Talk::open();
    assert_eq!(talk.send(0, 101, 501, 1000, 1000, ACK), "window_full");
    assert_eq!(talk.send(1, 501, 1101, 0, 0, ACK), "zero_window");
    assert_eq!(talk.send(0, 1101, 501, 1, 1000, ACK), "zero_window_probe");
    assert_eq!(talk.send(1, 501, 1101, 0, 0, ACK), "zero_window zero_window_probe_ack");
    assert_eq!(talk.send(1, 501, 1101, 0, 1000, ACK), "window_update");
    // The probed byte is new data now, not a retransmission.
    assert_eq!(talk.send(0, 1101, 501, 50, 1000, ACK), "");
}

#[test]
fn keep_alives_are_told_from_retransmissions() {
    let mut talk = Talk::open();
    talk.send(0, 101, 501, 100, 1000, ACK);
    talk.send(1, 501, 201, 0, 1000, ACK);
    talk.now += 5_000 * MS;
    assert_eq!(talk.send(0, 200, 501, 1, 1000, ACK), "keep_alive");
    assert_eq!(talk.send(1, 501, 201, 0, 1000, ACK), "keep_alive_ack");
}

#[test]
fn an_ack_for_bytes_never_seen() {
    let mut talk = Talk::open();
    talk.send(0, 101, 501, 100, 1000, ACK);
    assert_eq!(talk.send(1, 501, 401, 0, 1000, ACK), "ack_lost_segment");
    // Not again for the same.
    assert_eq!(talk.send(1, 501, 401, 10, 1000, ACK), "");
}

#[test]
fn round_trips_and_bytes_in_flight() {
    let mut talk = Talk::open();
    assert_eq!(talk.verdict(0, 101, 501, 100, 1000, ACK).bytes_in_flight, Some(100));
    assert_eq!(talk.verdict(0, 201, 501, 100, 1000, ACK).bytes_in_flight, Some(200));
    talk.now += 30 * MS;
    let ack = talk.verdict(1, 501, 201, 0, 1000, ACK);
    assert_eq!(ack.ack_rtt, Some(30 * MS + 2));
    // Part of the second segment.
    assert_eq!(talk.verdict(1, 501, 250, 0, 1000, ACK).ack_rtt, None);
    assert_eq!(talk.verdict(0, 301, 501, 10, 1000, ACK).bytes_in_flight, Some(61));
    // A hole: not known until the other side acknowledges.
    assert_eq!(talk.verdict(0, 400, 501, 10, 1000, ACK).bytes_in_flight, None);
    talk.verdict(1, 501, 250, 0, 1000, ACK);
    assert_eq!(talk.verdict(0, 410, 501, 10, 1000, ACK).bytes_in_flight, Some(170));
    // Selectively acknowledged bytes are not in flight.
    talk.dirs[1].sacked = 20;
    assert_eq!(talk.verdict(0, 420, 501, 10, 1000, ACK).bytes_in_flight, Some(160));
}

#[test]
fn sequence_numbers_wrap() {
    let mut talk = Talk::new();
    talk.send(0, u32::MAX - 99, 501, 100, 1000, ACK);
    // 0 doubles as "unset", as in tshark; one past it is a number like others.
    assert_eq!(talk.send(0, 0, 501, 100, 1000, ACK), "");
    assert_eq!(talk.send(0, 100, 501, 100, 1000, ACK), "");
    talk.now += 500 * MS;
    assert_eq!(talk.send(0, 0, 501, 100, 1000, ACK), "retransmission");
}

/// RFC 3522: an acknowledgement that echoes what was sent before the copy answers the original.
#[test]
fn a_copy_that_was_not_needed_mends_nothing() {
    for (echoed, mends) in [(71, false), (103, false), (104, true), (120, true)] {
        let mut talk = Talk::open();
        let mut sent = |dir, seq, ack, len, stamps| {
            talk.now += 300 * MS;
            let segment = Segment { seq, ack, len, window: 1000, flags: ACK, time: talk.now, stamps: Some(stamps) };
            talk.take(dir, &segment).repaired.is_some()
        };
        sent(0, 101, 501, 100, (71, 1));
        sent(0, 101, 501, 100, (104, 1));
        assert_eq!(sent(1, 501, 201, 0, (1, echoed)), mends, "{echoed}");
    }
}

/// The fast ways of the list against the plain rule.
#[test]
fn lists_agree_with_a_plain_scan() {
    let mut random = 1_u32;
    let mut next = |below: u32| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 8) % below
    };
    for round in 0..200 {
        let mut list = Segments::new(100);
        let mut dir = Direction { base_seq: 1_000, ..Direction::default() };
        let mut plain: Vec<(u32, u32, u64)> = Vec::new(); // newest first
        let mut high = 2_000_u32;
        for time in 1..60_u64 {
            if next(3) > 0 {
                let seq = if round % 2 == 0 || next(4) > 0 { high } else { high.wrapping_sub(next(50)) };
                let end = seq.wrapping_add(1 + next(20));
                high = high.max(end);
                list.push(&mut dir, &Segment { seq, len: end.wrapping_sub(seq), time, ..Segment::default() }, 0);
                plain.insert(0, (seq, end, time));
            } else {
                let ack = high.wrapping_sub(next(60));
                let mut want = None;
                plain.retain_mut(|(seq, end, time)| {
                    if ack == *end {
                        want = Some(*time);
                    }
                    if before(ack, *end) {
                        if before(*seq, ack) {
                            *seq = ack;
                        }
                        return true;
                    }
                    false
                });
                assert_eq!(list.acknowledge(&mut dir, ack).sent, want);
            }
            let first = plain.iter().map(|(seq, ..)| seq.wrapping_sub(1_000)).min();
            let last = plain.iter().map(|(_, end, _)| end.wrapping_sub(1_000)).max();
            assert_eq!(list.in_flight(&dir, 0), first.zip(last).map(|(first, last)| last - first));
            assert_eq!(dir.in_list as usize, plain.len());
        }
        list.clear(&mut [dir, Direction::default()]);
    }
}

#[test]
fn a_full_list_is_counted() {
    let mut list = Segments::new(2);
    let mut dir = Direction::default();
    for i in 0..5 {
        list.push(&mut dir, &Segment { seq: i * 10, len: 10, time: 1, ..Segment::default() }, 0);
    }
    assert_eq!((dir.in_list, list.dropped), (2, 3));
}

/// As many segments are under way in one direction as are listed: a copy that isn't listed may mend a loss that nobody is told of then.
#[test]
fn copies_that_find_no_room_are_counted() {
    let mut talk = Talk::open();
    talk.list = Segments::new(usize::MAX);
    talk.irtt = MS;
    let base = 101;
    for i in 0..u32::from(MAX_LISTED) + 10 {
        talk.send(0, base + i, 501, 1, 1000, ACK);
    }
    assert_eq!((talk.dirs[0].in_list, talk.list.dropped), (MAX_LISTED, 0), "nothing was sent again");
    // At once, and later.
    assert!(talk.send(0, base, 501, 1, 1000, ACK).contains("out_of_order"));
    assert_eq!(talk.list.dropped, 1);
    talk.now += 10 * MS;
    assert!(talk.send(0, base + u32::from(MAX_LISTED) + 3, 501, 1, 1000, ACK).contains("retransmission"));
    assert_eq!(talk.list.dropped, 2);
    // What was there before is none of them, nor what comes when there is room again.
    talk.send(1, 501, base + 5000, 0, 1000, ACK);
    talk.send(0, base, 501, 1, 1000, ACK);
    talk.now += 10 * MS;
    talk.send(0, base + 6000, 501, 1, 1000, ACK);
    assert_eq!(talk.list.dropped, 2);
    assert!(talk.verdict(1, 501, base + 6001, 0, 1000, ACK).repaired.is_some());
}

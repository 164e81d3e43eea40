use super::*;
use crate::join::{LegOutcome, State, Status, Via};
use std::rc::Rc;

const MINUTE: u64 = 60_000_000_000;

fn result(total: u64, end: u64, anchor: &[u8]) -> Box<JoinResult> {
    Box::new(JoinResult::new(
        (Rc::default(), anchor.into()),
        (end - total, end),
        Vec::new(),
        (total, 0),
        Status::Closed,
    ))
}

fn all(slowest: &mut Slowest, time: u64) -> Vec<(u64, u64)> {
    std::iter::from_fn(|| slowest.next_before(time)).map(|result| (result.end, result.total())).collect()
}

#[test]
fn the_slowest_of_each_window_come_in_order() {
    let mut slowest = Slowest::default();
    for (total, end) in [(5, 100), (9, 200), (7, 300), (9, 150), (1, MINUTE + 10), (2, MINUTE + 20)] {
        let result = result(total, end, &[]);
        if slowest.wants(&result, 3, MINUTE) {
            slowest.add(result, 3, MINUTE);
        }
    }
    assert_eq!(all(&mut slowest, MINUTE - 1), []);
    assert_eq!(all(&mut slowest, MINUTE), [(150, 9), (200, 9), (300, 7)]);
    assert_eq!(all(&mut slowest, u64::MAX), [(MINUTE + 20, 2), (MINUTE + 10, 1)]);
    assert_eq!((slowest.bytes(), slowest.windows.len()), (0, 0));
}

/// Two of the same record are two.
#[test]
fn equal_ones_are_all_kept() {
    let mut slowest = Slowest::default();
    for _ in 0..3 {
        slowest.add(result(5, 100, b"same"), 10, MINUTE);
    }
    assert_eq!(all(&mut slowest, u64::MAX).len(), 3);
}

#[test]
fn all_that_a_result_holds_is_counted() {
    let bytes = |result: Box<JoinResult>| {
        let mut slowest = Slowest::default();
        slowest.add(result, 10, MINUTE);
        slowest.bytes()
    };
    let plain = bytes(result(5, 100, &[0; 100]));
    assert!(plain >= (size_of::<JoinResult>() + 100) as u64);
    let mut more = result(5, 100, &[0; 100]);
    more.join = "j".repeat(200);
    more.ids = vec![("n".repeat(300), "v".repeat(400))];
    more.blame = vec![0; 25];
    let leg = LegOutcome {
        name: "l".repeat(500),
        state: State::Unknown("r".repeat(600)),
        signed: false,
        via: Via::Exact,
        key: "",
        count: 0,
        lost: 0,
        charged: 0,
        approximate: false,
        duration: true,
        off: false,
        unseen_before: false,
        unled: false,
        intervals: vec![(0, 1); 50],
    };
    more.legs = vec![leg];
    let held = 200 + 300 + 400 + 100 + 500 + 600 + 800 + size_of::<LegOutcome>() + 2 * size_of::<String>();
    assert!(bytes(more) - plain >= held as u64);
}

/// The fullest window gives way, and what went is known.
#[test]
fn what_is_beyond_the_room_goes_from_the_fullest_window() {
    let mut slowest = Slowest::default();
    let each = {
        slowest.add(result(1, 100, &[1; 64]), 100, MINUTE);
        slowest.bytes()
    };
    for n in 2..=20 {
        slowest.add(result(n, 100, &[1; 64]), 100, MINUTE);
    }
    slowest.add(result(1, MINUTE + 100, &[1; 64]), 100, MINUTE);
    assert_eq!(slowest.keep_within(6 * each), 15);
    let kept = all(&mut slowest, u64::MAX);
    assert_eq!(kept.iter().map(|(_, total)| *total).collect::<Vec<_>>(), [20, 19, 18, 17, 16, 1]);
}

//! Stretches in which something is missing.

use crate::join::gaps::Gaps;

const WHY: Option<&str> = Some("evicted");

#[test]
fn what_grows_backwards_is_missing_from_its_begin() {
    let mut gaps = Gaps::default();
    gaps.add((100, 110), 1, None);
    gaps.add((200, 210), 1, WHY);
    gaps.add((50, 205), 1, WHY);
    // More than are kept apart: those that lie closest become one.
    for i in 0..300 {
        gaps.add((1000 + 10 * i, 1001 + 10 * i), 1, None);
    }
    assert_eq!(gaps.within((60, 70)), Some((3, WHY)));
    assert!(gaps.within((0, 49)).is_none() && gaps.within((4100, 5000)).is_none());
    let all = gaps.within((0, 10_000)).map(|(count, _)| count);
    assert_eq!(all, Some(303), "each is counted");
}

#[test]
fn what_is_over_is_forgotten_beside_what_lasts() {
    let mut gaps = Gaps::default();
    gaps.add((0, u64::MAX), 1, WHY);
    for i in 1..5 {
        gaps.add((10 * i, 10 * i), 1, None);
    }
    gaps.forget_before(40);
    assert_eq!(gaps.within((0, 100)), Some((2, WHY)));
}

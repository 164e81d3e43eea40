use super::*;

/// (of the second direction, from, to, marked as shared)
type Seen = (bool, u64, u64, bool);

#[derive(Default)]
struct Covered([Ranges; 2]);

impl Covered {
    fn add(&mut self, dir: usize, from: u64, to: u64, unsure: bool) {
        self.0[dir].add(from, to, unsure);
    }
}

fn seen(covered: &Covered, first: usize) -> Vec<Seen> {
    let view = view(&covered.0[first], &covered.0[1 - first]);
    view.iter().map(|(second, range, merged)| (second, range.from, range.to, merged)).collect()
}

#[test]
fn frames_between_those_of_others_stay_apart() {
    let mut covered = Covered::default();
    covered.add(1, 24, 60, false);
    covered.add(0, 9, 40, false);
    covered.add(0, 40, 100, false);
    covered.add(0, 300, 309, false);
    covered.add(0, 305, 305, false);
    let own = [(false, 24, 60, false), (true, 9, 100, false), (true, 300, 309, false)];
    assert_eq!(seen(&covered, 1), own);
    // Two frames in one record, and one that spans two.
    covered.add(0, 300, 400, false);
    covered.add(0, 300, 500, false);
    assert_eq!(seen(&covered, 1)[2], (true, 300, 500, false));
}

#[test]
fn where_there_are_too_many_the_closest_become_one() {
    let mut covered = Covered::default();
    covered.add(0, 0, 10, false);
    // One hundred of ten bytes; what lies between grows and shrinks.
    for i in 0..100_u64 {
        let from = 1000 * i + if i % 10 == 9 { 500 } else { i % 7 };
        covered.add(1, from, from + 10, false);
    }
    let view = seen(&covered, 0);
    assert_eq!(view.len(), BytesKey::ROOM);
    assert_eq!(view[0], (false, 0, 10, false));
    assert!(view[1..].iter().all(|range| range.0), "{view:?}");
    assert!(view[1..].iter().all(|(_, from, to, merged)| *merged == (to - from > 10)), "{view:?}");
    let taken = |at: u64| view[1..].iter().any(|(_, from, to, _)| (*from..*to).contains(&at));
    assert!((0..100).all(|i| taken(1000 * i + if i % 10 == 9 { 500 } else { i % 7 })), "nothing of it is missing");
    // By what is best if all are known at once: the widest gaps stay.
    let gaps = |starts: Vec<u64>| {
        let mut gaps: Vec<u64> = starts.windows(2).map(|w| w[1] - w[0] - 10).collect();
        gaps.sort_unstable_by(|a, b| b.cmp(a));
        gaps[..BytesKey::ROOM - 2].iter().sum::<u64>()
    };
    let best = gaps((0..100).map(|i| 1000 * i + if i % 10 == 9 { 500 } else { i % 7 }).collect());
    let kept: u64 = view[1..].windows(2).map(|w| w[1].1 - w[0].2).sum();
    assert_eq!(kept, best);
}

/// The room is for both directions together.
#[test]
fn either_direction_may_need_the_room() {
    for dir in [0, 1] {
        let mut covered = Covered::default();
        for i in 0..20 {
            covered.add(dir, 100 * i, 100 * i + 50, false);
        }
        covered.add(1 - dir, 7, 9, false);
        let view = seen(&covered, 0);
        let of = |answers: bool| view.iter().filter(|range| range.0 == answers).count();
        assert_eq!((of(dir == 1), of(dir == 0)), (BytesKey::ROOM - 1, 1));
    }
    // Both at once: the narrowest go, wherever they are.
    let mut covered = Covered::default();
    for i in 0..8 {
        covered.add(0, 1000 * i, 1000 * i + 990, false);
        covered.add(1, 1000 * i, 1000 * i + 10, false);
    }
    let view = seen(&covered, 0);
    assert_eq!(view[0], (false, 0, 7990, true));
    assert_eq!(view.len(), BytesKey::ROOM);
    let wide: Vec<Seen> = (1..8).map(|i| (true, 1000 * i, 1000 * i + 10, false)).collect();
    assert_eq!(view[2..], wide[1..], "{view:?}");
    assert_eq!(view[1], (true, 0, 1010, true));
}

#[test]
fn what_was_not_seen_is_marked() {
    let mut covered = Covered::default();
    covered.add(1, 0, 10, false);
    covered.add(1, 10, 20, true);
    covered.add(1, 40, 50, false);
    covered.add(1, 60, 70, true);
    let view = [(true, 0, 20, true), (true, 40, 50, false), (true, 60, 70, true)];
    assert_eq!(seen(&covered, 0), view);
    // Those that are merged before and behind keep their marks.
    for i in 0..20 {
        covered.add(1, 1000 * (i + 1), 1000 * (i + 1) + 10, false);
    }
    let view = seen(&covered, 0);
    assert_eq!(view.len(), BytesKey::ROOM);
    assert_eq!(view.iter().filter(|range| range.3).count(), view.iter().filter(|range| range.2 - range.1 > 10).count());
    assert_eq!(view[..2], [(true, 0, 13_010, true), (true, 14_000, 14_010, false)]);
}

#[test]
fn what_comes_out_of_order_finds_its_place() {
    let mut covered = Covered::default();
    for from in [40, 0, 20, 60] {
        covered.add(1, from, from + 10, from == 20);
    }
    covered.add(1, 15, 18, false);
    let all = [(true, 0, 10, false), (true, 15, 18, false), (true, 20, 30, true), (true, 40, 50, false)];
    assert_eq!(seen(&covered, 0)[..4], all);
    covered.add(1, 18, 20, false);
    covered.add(1, 45, 46, false);
    assert_eq!(seen(&covered, 0)[1..3], [(true, 15, 30, true), (true, 40, 50, false)]);
    covered.add(1, 5, 45, false);
    assert_eq!(seen(&covered, 0), [(true, 0, 50, true), (true, 60, 70, false)]);
}

/// Beside a set of single bytes: all of it is there, what is not marked is nothing but it, and no two ranges touch.
#[test]
fn agrees_with_a_set_of_bytes() {
    let mut random = 11_u32;
    let mut next = |below: u32| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        u64::from((random >> 8) % below)
    };
    let (mut full, mut exact) = (0, 0);
    for _ in 0..2000 {
        let (mut ranges, mut model) = (Ranges::default(), [0_u8; 400]);
        for _ in 0..=next(13) {
            let from = next(380);
            let to = from + next(20);
            let unsure = next(8) == 0;
            ranges.add(from, to, unsure);
            model[from as usize..to as usize].iter_mut().for_each(|byte| *byte |= 1 + u8::from(unsure));
        }
        let all: Vec<_> = ranges.iter().collect();
        assert!(all.len() <= ROOM && all.windows(2).all(|two| two[0].0.to < two[1].0.from), "{all:?}");
        for (at, byte) in (0..).zip(model) {
            let found = all.iter().find(|(range, _)| (range.from..range.to).contains(&at));
            let right = match found {
                Some((_, marked)) => *marked || byte == 1,
                None => byte == 0,
            };
            assert!(right, "byte {at} is {byte}: {all:?}");
        }
        full += usize::from(all.len() == ROOM);
        exact += usize::from(all.iter().all(|(_, marked)| !marked));
    }
    assert!(full > 100 && exact > 100, "{full} {exact}");
}

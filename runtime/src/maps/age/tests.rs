use super::*;
use weftrace_artifact::{map::Value, ty::Type};

const RING: Ring = Ring { offset: 8, bucket_ns: 10, slots: 4, only_ns: Some(30) };

/// What generated code does for an event.
fn count(value: &mut [u8], now: u64, by: u64) {
    let put = |value: &mut [u8], at: usize, word: u64| value[at..at + 8].copy_from_slice(&word.to_ne_bytes());
    let (number, total) = (now / RING.bucket_ns, u64_at(value, 0));
    let at = RING.offset as usize + (number % u64::from(RING.slots)) as usize * RING_SLOT_BYTES as usize;
    if u64_at(value, at + 8) < number + 1 {
        put(value, at, total);
        put(value, at + 8, number + 1);
    }
    put(value, 0, total + by);
}

fn empty() -> Vec<u8> {
    vec![0; 8 + 4 * RING_SLOT_BYTES as usize]
}

/// Against the list of all events: everything of the window, and of one bucket before it at most.
#[test]
fn what_a_window_holds() {
    let (mut value, mut events, mut seed) = (empty(), Vec::new(), 7u64);
    let mut now = 5;
    for _ in 0..5000 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        now += (seed >> 33) % 23;
        if seed >> 62 != 0 {
            count(&mut value, now, 1);
            events.push(now);
        }
        let since = |from: u64| events.iter().filter(|t| **t >= from).count() as u64;
        let (exactly, at_most) = (since((now + 1).saturating_sub(30)), since(now.saturating_sub(39)));
        let held = grown(&RING, &value, 30, now).unwrap_or(0);
        assert!(exactly <= held && held <= at_most, "{exactly} <= {held} <= {at_most} at {now}");
    }
}

/// Parts of several CPUs, added up, hold what one map would.
#[test]
fn parts_are_one() {
    let (mut whole, mut parts, mut seed) = (empty(), vec![empty(), empty(), empty()], 3u64);
    let mut now = 0;
    for _ in 0..5000 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        now += (seed >> 33) % 17;
        count(&mut whole, now, seed >> 60);
        count(&mut parts[(seed >> 40) as usize % 3], now, seed >> 60);
        let together = merged(&RING, &parts, whole.len());
        for window in [10, 20, 30] {
            let apart: u64 = parts.iter().filter_map(|p| grown(&RING, p, window, now)).sum();
            assert_eq!(grown(&RING, &whole, window, now), Some(apart), "{window} at {now}");
            assert_eq!(grown(&RING, &together, window, now), Some(apart), "{window} at {now}");
        }
    }
    assert_eq!(grown(&RING, &whole, 30, now + 1000), None);
}

/// What is swept is old; what was written behind that time, by others that were heard earlier, is not.
#[test]
fn what_was_written_later_is_not_old() {
    let spec = MapSpec { ring: Some(RING), ..crate::maps::tests::spec(Some(Type::U64), Value::Count) };
    let mut value = empty();
    count(&mut value, 1_000, 1);
    for (now, old) in [(500, false), (990, false), (1_000, false), (1_029, false), (1_040, true), (9_000, true)] {
        assert_eq!(is_old(&spec, std::slice::from_ref(&value), now), old, "{now}");
    }
}

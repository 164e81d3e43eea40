use super::*;

/// Bounds are where the buckets of the language begin, less one.
#[test]
fn bounds_are_those_of_the_rows() {
    for bits in 0..=5u8 {
        let count = hist_buckets(bits) as usize;
        for i in 0..count - 1 {
            let mut buckets = vec![0u64; count];
            buckets[i] = 1;
            let value = Value::Hist { bits };
            let high = crate::maps::rows(&value, &buckets, 1)[0].high.clone().expect("a bound").value;
            if let Some(bound) = log_bound(i as u32, bits) {
                assert_eq!(bound, high - 1, "bits {bits} bucket {i}");
            } else {
                assert_ne!(high & (high - 1), 0, "bits {bits} bucket {i}: {high}");
            }
        }
    }
}

/// Where a number is by its size alone, in a slow way: the first bucket whose end isn't below it.
fn slow_place(value: f64, schema: u8) -> i32 {
    let base = f64::from(1u32 << schema);
    (-1..10_000).find(|i| (f64::from(*i) / base).exp2() >= value * (1.0 - 1e-12)).expect("one")
}

#[test]
fn places_of_numbers() {
    for schema in 0..=5u8 {
        for value in (1..3000).chain([4095, 4096, 4097, 1 << 30, (1 << 30) + 1]) {
            let value = f64::from(value);
            assert_eq!(place(value, schema), slow_place(value, schema), "{value} at {schema}");
        }
        // Bounds belong to the bucket below.
        for power in 0..64 {
            assert_eq!(place(f64::from(power).exp2(), schema), power << schema);
        }
    }
}

/// What each bucket of `hist()` is in a native one: but for exact powers of two, which are at its lower end, all of its numbers are there.
#[test]
fn buckets_of_hist_are_powers_of_two() {
    let mut buckets = vec![0u64; hist_buckets(0) as usize];
    (buckets[0], buckets[1], buckets[2], buckets[4]) = (1, 2, 3, 5);
    let all = powers(&buckets, 0);
    // Negative ones; 0; 1; 4 to 7, in (4, 8].
    assert_eq!((all.schema, all.zero), (0, 2));
    assert_eq!((all.negative, all.positive), (vec![(0, 1)], vec![(0, 3), (3, 5)]));
}

/// Of finer ones too every count is somewhere, in order, and never further from its numbers than a bucket is wide.
#[test]
fn finer_buckets_keep_their_counts_and_places() {
    for bits in 1..=5u8 {
        let buckets = vec![1u64; hist_buckets(bits) as usize];
        let all = powers(&buckets, bits);
        let sum: u64 = all.positive.iter().map(|(_, count)| count).sum();
        assert_eq!(sum + all.zero + 1, buckets.len() as u64);
        assert!(all.positive.is_sorted_by(|a, b| a.0 < b.0), "{bits}");
        for i in 2..buckets.len() as u32 {
            let (first, last) = (log_begin(i - 1, bits), log_begin(i, bits) - 1);
            let width = 1.0 / f64::from(1u32 << bits);
            let end = (f64::from(place((first + last) as f64 / 2.0, bits)) * width).exp2();
            let factor = 1.0 + width;
            assert!(end >= first as f64 * 0.999_999 && end <= (last + 1) as f64 * factor, "{bits} {i}: {end}");
        }
    }
}

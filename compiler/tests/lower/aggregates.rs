//! Every aggregate's bytes, as `weftrace_artifact::map::Value` documents them.

use crate::hir::*;
use crate::run::*;
use weftrace_artifact::map::{Kind, hist_buckets, lhist_buckets};
use weftrace_lang::hir::{Agg, Ty};

/// Feeds numbers (as argument 0 of a raw tracepoint) to one scalar aggregate; its bytes.
fn feed(kind: Agg, signed: bool, numbers: &[i64]) -> Vec<u8> {
    let n = if signed { e(weftrace_lang::hir::ExprKind::Arg(0), Ty::I64) } else { arg(0) };
    let arg = (kind != Agg::Count).then_some(n);
    let p = program(vec![agg("m", None, kind)], vec![probe(raw_tp(), vec![], vec![aggregate(0, None, arg)])]);
    let lowered = lower(&p);
    assert_eq!(lowered.maps[0].kind, Kind::PercpuArray);
    let mut host = lowered.host();
    for n in numbers {
        host.ctx[..8].copy_from_slice(&n.to_le_bytes());
        lowered.run(0, &mut host);
    }
    let bytes = value(&host, 0, &[0; 4]).expect("arrays have their element").to_vec();
    let presence = lowered.maps[0].presence.expect("scalar") as usize;
    assert_eq!(word(&bytes[presence..]), u64::from(!numbers.is_empty()));
    bytes
}

#[test]
fn counts_and_sums() {
    assert_eq!(word(&feed(Agg::Count, false, &[9, 9, 9])), 3);
    assert_eq!(word(&feed(Agg::Sum { signed: true }, true, &[5, -7])) as i64, -2);
    assert_eq!(word(&feed(Agg::Sum { signed: false }, false, &[])), 0);
}

#[test]
fn extremes_need_no_start_value() {
    let min = feed(Agg::Min { signed: true }, true, &[5, -7, 3]);
    assert_eq!((word(&min) as i64, word(&min[8..])), (-7, 1));
    // As unsigned numbers, -7 is large.
    let min = feed(Agg::Min { signed: false }, false, &[5, -7, 9]);
    assert_eq!((word(&min), word(&min[8..])), (5, 1));
    let max = feed(Agg::Max { signed: true }, true, &[-5, -7]);
    assert_eq!((word(&max) as i64, word(&max[8..])), (-5, 1));
    let none = feed(Agg::Max { signed: true }, true, &[]);
    assert_eq!((word(&none), word(&none[8..])), (0, 0));
}

#[test]
fn averages_keep_total_and_count() {
    for kind in [Agg::Avg { signed: true }, Agg::Stats { signed: true }] {
        let bytes = feed(kind, true, &[10, -4, 6]);
        assert_eq!((word(&bytes) as i64, word(&bytes[8..])), (12, 3));
    }
}

/// The documented bucket, computed the slow way.
fn hist_bucket(n: i64, bits: u8) -> usize {
    if n < 0 {
        return 0;
    }
    let n = n as u64;
    if n < 1 << bits {
        return n as usize + 1;
    }
    let l = u64::from(n.ilog2());
    let b = u64::from(bits);
    ((((l - b) + 1) << b) + ((n >> (l - b)) & ((1 << b) - 1)) + 1) as usize
}

#[test]
fn histograms_put_every_number_in_its_bucket() {
    let numbers = [i64::MIN, -1, 0, 1, 2, 3, 4, 7, 8, 100, 1023, 1024, 4095, 1 << 31, (1 << 32) + 5, i64::MAX];
    for bits in [0, 1, 3, 5] {
        for n in numbers {
            let bytes = feed(Agg::Hist { bits }, true, &[n]);
            let full: Vec<usize> = (0..hist_buckets(bits) as usize).filter(|i| word(&bytes[i * 8..]) != 0).collect();
            assert_eq!(full, [hist_bucket(n, bits)], "hist({n}, {bits})");
        }
        // Unsigned arguments have no negative bucket.
        let bytes = feed(Agg::Hist { bits }, false, &[-1]);
        assert_eq!(word(&bytes[(hist_buckets(bits) as usize - 1) * 8..]), 1, "hist(u64::MAX, {bits})");
    }
}

#[test]
fn linear_histograms_have_open_ends() {
    let (min, max, step) = (10, 45, 10);
    assert_eq!(lhist_buckets(min, max, step), 5);
    for (n, bucket) in [(-3, 0), (9, 0), (10, 1), (19, 1), (20, 2), (39, 3), (40, 4), (44, 4), (45, 4), (1000, 4)] {
        let bytes = feed(Agg::Lhist { min, max, step }, true, &[n]);
        let full: Vec<usize> = (0..5).filter(|i| word(&bytes[i * 8..]) != 0).collect();
        assert_eq!(full, [bucket], "lhist({n})");
    }
}

#[test]
fn keyed_aggregates_make_elements_and_count_full_maps() {
    for kind in [Agg::Count, Agg::Hist { bits: 0 }] {
        let big = matches!(kind, Agg::Hist { .. });
        let n = (kind != Agg::Count).then(|| int(5));
        let p = program(
            vec![agg("m", Some(Ty::U64), kind)],
            vec![probe(raw_tp(), vec![], vec![aggregate(0, Some(arg(0)), n)])],
        );
        let lowered = lower(&p);
        assert_eq!(lowered.maps[0].kind, Kind::PercpuHash);
        let mut host = lowered.host();
        for key in [1u64, 2, 3, 4, 5, 1] {
            host.ctx[..8].copy_from_slice(&key.to_le_bytes());
            lowered.run(0, &mut host);
        }
        assert_eq!(host.maps[0].len(), 4, "max_entries");
        let at = if big { 4 * 8 } else { 0 };
        assert_eq!(word(&value(&host, 0, &1u64.to_le_bytes()).expect("key 1")[at..]), 2);
        assert_eq!(host.losses[1], 1, "the fifth key was lost");
    }
}

#[test]
fn aggregates_that_kernel_programs_read_are_not_in_parts() {
    use weftrace_lang::hir::BinOp;
    for (kind, want) in [
        (Agg::Count, vec![1u64, 2, 3]),
        (Agg::Sum { signed: false }, vec![10, 20, 30]),
        (Agg::Avg { signed: false }, vec![10, 10, 10]),
    ] {
        let n = (kind != Agg::Count).then(|| cast(int(10), Ty::U64));
        let over = binary(BinOp::Gt, get(0, Some(pid()), Ty::U64), cast(int(0), Ty::U64), Ty::Bool);
        let p = program(
            vec![agg("m", Some(Ty::U32), kind)],
            vec![probe(
                raw_tp(),
                vec![],
                vec![aggregate(0, Some(pid()), n), iff(over, vec![printf(vec![get(0, Some(pid()), Ty::U64)])], vec![])],
            )],
        );
        let lowered = lower(&p);
        assert_eq!(lowered.maps[0].kind, Kind::Hash);
        let mut host = lowered.host();
        (0..3).for_each(|_| lowered.run(0, &mut host));
        let seen: Vec<u64> = host.records.iter().map(|r| word(&r.payload)).collect();
        assert_eq!(seen, want);
    }
    let p = program(
        vec![agg("m", None, Agg::Min { signed: false })],
        vec![probe(raw_tp(), vec![], vec![aggregate(0, None, Some(arg(0))), printf(vec![get(0, None, Ty::U64)])])],
    );
    // min has no atomic form: its parts are put together.
    let lowered = lower(&p);
    assert_eq!(lowered.maps[0].kind, Kind::PercpuArray);
    let mut host = lowered.host();
    for n in [7u64, 5, 9] {
        host.ctx[..8].copy_from_slice(&n.to_le_bytes());
        lowered.run(0, &mut host);
    }
    let seen: Vec<u64> = host.records.iter().map(|r| word(&r.payload)).collect();
    assert_eq!(seen, [7, 5, 5]);
}

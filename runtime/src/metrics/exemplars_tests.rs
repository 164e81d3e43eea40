use super::*;
use weftrace_artifact::ty::Type;

fn spec(value: Value) -> MapSpec {
    crate::maps::tests::spec(Some(Type::U32), value)
}

fn trace(n: u32) -> Trace {
    Trace::of(format!("{n:032x}").as_bytes(), b"").expect("a trace")
}

#[test]
fn traces() {
    let trace = Trace::of(b"4bf92f3577b34da6a3ce929d0e0e4736", b"00F067AA0BA902B7").expect("a trace");
    let labels = trace.labels();
    assert_eq!(labels[0], ("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736".to_owned()));
    assert_eq!(labels[1], ("span_id", "00f067aa0ba902b7".to_owned()));
    let no_span = Trace::of(b"4bf92f3577b34da6a3ce929d0e0e4736", &[b'0'; 16]).expect("a trace");
    assert_eq!(no_span.labels().len(), 1);
    for none in [&b""[..], &[b'0'; 32], b"4bf92f3577b34da6a3ce929d0e0e473", b"4bf92f3577b34da6a3ce929d0e0e473g"] {
        assert!(Trace::of(none, b"").is_none(), "{none:?}");
    }
}

/// Of a histogram one of each power of two stays, the newest.
#[test]
fn the_newest_of_each_part() {
    let (spec, mut all) = (spec(Value::Hist { bits: 0 }), Exemplars::default());
    for (n, value) in [(1, 5), (2, 7), (3, 900), (4, -1)] {
        all.note((MapId(0), &spec), &[1, 0, 0, 0], trace(n), value, u64::from(n));
    }
    let mut values: Vec<_> = all.of(MapId(0), &[1, 0, 0, 0], |t| t + 100).iter().map(|e| (e.value, e.wall)).collect();
    values.sort_unstable();
    assert_eq!(values, [(-1, 104), (7, 102), (900, 103)]);
    assert!(all.of(MapId(0), &[2, 0, 0, 0], |t| t).is_empty() && all.of(MapId(1), &[1, 0, 0, 0], |t| t).is_empty());
}

/// However many series and buckets there are.
#[test]
fn memory_is_bounded() {
    let (spec, mut all) = (spec(Value::Lhist { min: 0, max: 1000, step: 1 }), Exemplars::default());
    for n in 0..10_000u32 {
        all.note((MapId(0), &spec), &n.to_ne_bytes(), trace(1), 1, u64::from(n));
        // This one is counted all the time.
        all.note((MapId(0), &spec), &u32::MAX.to_ne_bytes(), trace(2), i128::from(n % 1000), u64::from(n));
    }
    assert!(all.new.len() <= SERIES && all.old.len() <= SERIES);
    let busy = all.of(MapId(0), &u32::MAX.to_ne_bytes(), |t| t);
    assert_eq!(busy.len(), OF_SERIES);
    assert!(busy.iter().all(|e| e.wall >= 9_000), "{busy:?}");
    assert!(all.of(MapId(0), &0u32.to_ne_bytes(), |t| t).is_empty());
}

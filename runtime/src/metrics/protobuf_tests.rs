use super::*;
use crate::metrics::{Trace, model::Number};
use weftrace_probes::telemetry::proto::{Fields, Value};

fn histogram(powers: Option<Powers>) -> Exposition {
    let trace = Trace::of(b"4bf92f3577b34da6a3ce929d0e0e4736", b"").expect("a trace");
    let exemplar = Exemplar { trace, value: 6, wall: 1_700_000_000_250_000_000 };
    let bounds = vec![(-1, 0), (0, 2), (1, 2), (3, 2), (7, 7)];
    let mut all = Exposition::default();
    all.family("h", Kind::Histogram, "help");
    let point = Point::Histogram(Histogram { bounds, count: 7, powers, exemplars: vec![exemplar] });
    all.point(vec![("key".into(), "a\"b".into())], point);
    all
}

/// The fields of the histogram in the only metric of the only family.
fn fields(bytes: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let raw = |value: Value<'_>| match value {
        Value::Varint(n) => n.to_le_bytes().to_vec(),
        Value::Fixed64(n) => n.to_le_bytes().to_vec(),
        Value::Fixed32(n) => n.to_le_bytes().to_vec(),
        Value::Bytes(bytes) => bytes.to_vec(),
    };
    let all = |bytes: &[u8]| -> Vec<(u32, Vec<u8>)> {
        Fields(bytes).map(|field| field.expect("well formed")).map(|(n, value)| (n, raw(value))).collect()
    };
    let inner = |bytes: &[u8], n: u32| all(bytes).into_iter().find(|(m, _)| *m == n).expect("there").1;
    // Its length is less than 128 here, or two bytes.
    let at = bytes.iter().position(|b| *b < 128).expect("a length") + 1;
    all(&inner(&inner(&bytes[at..], 4), 7))
}

fn of(fields: &[(u32, Vec<u8>)], n: u32) -> Vec<&[u8]> {
    fields.iter().filter(|(m, _)| *m == n).map(|(_, bytes)| &bytes[..]).collect()
}

#[test]
fn native_buckets() {
    let powers =
        Powers { schema: 2, zero: 2, positive: vec![(-3, 4), (-2, 1), (2, 6), (3, 6)], negative: vec![(0, 1)] };
    let fields = fields(&write(&histogram(Some(powers))));
    // sint32 2
    assert_eq!(of(&fields, 5), [&4u64.to_le_bytes()[..]]);
    assert_eq!(of(&fields, 7), [&2u64.to_le_bytes()[..]]);
    // From -3 two, after a gap of three two more: offset (zigzag), length.
    assert_eq!(of(&fields, 12), [&[8, 5, 16, 2][..], &[8, 6, 16, 2]]);
    // 4, -3, 5, 0
    assert_eq!(of(&fields, 13), [&[8, 5, 10, 0][..]]);
    assert_eq!((of(&fields, 9), of(&fields, 10)), (vec![&[8, 0, 16, 1][..]], vec![&[2][..]]));
}

#[test]
fn bounds_and_what_is_not_known() {
    let fields = fields(&write(&histogram(None)));
    let sum = f64::from_le_bytes(of(&fields, 2)[0].try_into().expect("eight bytes"));
    assert!(sum.is_nan());
    let buckets = of(&fields, 3);
    assert_eq!(buckets.len(), 6);
    // The exemplar, in the bucket to 7 alone.
    let with: Vec<bool> = buckets.iter().map(|bucket| bucket.windows(8).any(|part| part == b"trace_id")).collect();
    assert_eq!(with, [false, false, false, false, true, false]);
    assert!(of(&fields, 5).is_empty() && of(&fields, 12).is_empty());
}

/// An empty one is native too.
#[test]
fn nothing_counted() {
    let fields = fields(&write(&histogram(Some(Powers::default()))));
    assert_eq!((of(&fields, 12), of(&fields, 13).len()), (vec![&[8, 0, 16, 0][..]], 0));
}

#[test]
fn names_of_counters() {
    let mut all = Exposition::default();
    all.family("n", Kind::Counter, "help");
    all.family("m", Kind::Counter, "help");
    all.number(Vec::new(), Number::Time(1_500_000_000));
    let bytes = write(&all);
    assert!(!bytes.windows(7).any(|part| part == b"n_total") && bytes.windows(7).any(|part| part == b"m_total"));
    assert!(bytes.windows(8).any(|part| part == 1.5f64.to_le_bytes()));
}

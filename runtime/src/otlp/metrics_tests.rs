use super::*;
use weftrace_probes::telemetry::proto::{Fields, Value};

/// The first field of this number, at each level.
fn field<'a>(bytes: &'a [u8], path: &[u32]) -> Option<Value<'a>> {
    let (first, rest) = path.split_first()?;
    let found = Fields(bytes).map(|field| field.expect("well formed")).find(|(n, _)| n == first)?.1;
    if rest.is_empty() { Some(found) } else { field(found.bytes().expect("a message"), rest) }
}

fn only(kind: Kind, point: Point) -> Vec<u8> {
    let mut all = Exposition::default();
    all.family("none", Kind::Gauge, "");
    all.family("x", kind, "");
    all.point(Vec::new(), point);
    let mut all: Vec<_> = families(&all, (100, 200)).collect();
    assert_eq!(all.len(), 1, "what has no value isn't sent");
    let (bytes, points) = all.remove(0);
    assert_eq!(points, 1);
    bytes
}

/// OTLP's bucket 0 is (1, 2], which is number 1 here; what lies between is sent as 0.
#[test]
fn buckets_by_powers() {
    let powers = Powers { schema: 0, zero: 0, positive: vec![(-1, 4), (1, 3)], negative: vec![] };
    let histogram = Histogram { bounds: Vec::new(), count: 7, powers: Some(powers), exemplars: Vec::new() };
    let bytes = only(Kind::Histogram, Point::Histogram(histogram));
    let at = |path: &[u32]| field(&bytes, &[&[2, 10, 1], path].concat());
    // sint32 -2
    assert_eq!(at(&[8, 1]), Some(Value::Varint(3)));
    assert_eq!(at(&[8, 2]), Some(Value::Bytes(&[4, 0, 3])));
    assert_eq!((at(&[4]), at(&[5]), at(&[9])), (Some(Value::Fixed64(7)), None, None));
    assert_eq!((at(&[2]), at(&[3])), (Some(Value::Fixed64(100)), Some(Value::Fixed64(200))));
}

#[test]
fn numbers_of_any_size() {
    let number = |n: Number| {
        let bytes = only(Kind::Gauge, Point::Number(n, None));
        let (int, double) = (field(&bytes, &[2, 5, 1, 6]), field(&bytes, &[2, 5, 1, 4]));
        (int.map(|v| v.number().expect("one") as i64), double.map(|v| f64::from_bits(v.number().expect("one"))))
    };
    assert_eq!(number(Number::Whole(-5)), (Some(-5), None));
    assert_eq!(number(Number::Whole(u64::MAX.into())), (None, Some(u64::MAX as f64)));
    assert_eq!(number(Number::Time(1_500_000_000)), (None, Some(1.5)));
}

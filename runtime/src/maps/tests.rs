use super::*;
use crate::{names::NoNames, style::Style};
use weftrace_artifact::{
    Place,
    map::{Home, Role},
    ty::lay_out,
};

pub(crate) fn spec(key: Option<Type>, value: Value) -> MapSpec {
    let size = value.size().next_multiple_of(8);
    let presence = key.is_none().then_some(size);
    MapSpec {
        name: "@".into(),
        role: Role::Script,
        kind: Kind::PercpuHash,
        home: Home::Kernel,
        key_size: key.as_ref().map_or(4, Type::size),
        key,
        value,
        value_size: size + if presence.is_some() { 8 } else { 0 },
        max_entries: 100,
        presence,
        ring: None,
        ttl: None,
        place: Place::default(),
    }
}

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_ne_bytes()).collect()
}

fn part(key: &[u8], cpus: &[&[u64]]) -> Part {
    Part { key: key.to_vec(), values: cpus.iter().map(|c| words(c)).collect() }
}

fn print(spec: &MapSpec, parts: Vec<Part>, top: u32, div: u32) -> (String, String) {
    let map = Snapshot::new(spec, parts);
    let (mut plain, mut quoted) = (Vec::new(), Vec::new());
    write_text(&mut plain, &map, top, div, true, &mut Style::new(&mut NoNames));
    write_json(&mut quoted, &map, top, div, true, &mut Style::new(&mut NoNames));
    (String::from_utf8(plain).expect("UTF-8"), String::from_utf8(quoted).expect("UTF-8"))
}

/// Adds a value to a histogram as programs do.
fn hist(bits: u8, values: &[i64]) -> Vec<u64> {
    let mut buckets = vec![0; hist_len(bits)];
    for &v in values {
        buckets[bucket(v, bits)] += 1;
    }
    buckets
}

fn hist_len(bits: u8) -> usize {
    weftrace_artifact::map::hist_buckets(bits) as usize
}

fn bucket(v: i64, bits: u8) -> usize {
    if v < 0 {
        return 0;
    }
    let (v, bits) = (v as u64, u64::from(bits));
    if v < 1 << bits {
        return v as usize + 1;
    }
    let log = u64::from(v.ilog2());
    ((((log - bits + 1) << bits) + ((v >> (log - bits)) & ((1 << bits) - 1))) + 1) as usize
}

#[test]
fn counts_are_summed_over_cpus_and_homes_and_sorted() {
    let spec = spec(Some(Type::U32), Value::Count);
    let key = |n: u32| n.to_ne_bytes();
    let parts = vec![
        part(&key(3), &[&[5], &[2]]),
        part(&key(1), &[&[7], &[0]]),
        part(&key(2), &[&[1], &[0]]),
        part(&key(2), &[&[100]]),
    ];
    let (text, json) = print(&spec, parts.clone(), 0, 0);
    assert_eq!(text, "@[1]: 7\n@[3]: 7\n@[2]: 101\n");
    assert_eq!(json, "{\"type\": \"map\", \"data\": {\"@\": {\"1\": 7, \"3\": 7, \"2\": 101}}}\n");
    assert_eq!(print(&spec, parts, 2, 3).0, "@[3]: 2\n@[2]: 33\n");
}

#[test]
fn keys_of_several_members_lose_their_parentheses() {
    let (fields, size) = lay_out([(None, Type::Str { cap: 8 }), (None, Type::I64)]);
    let spec = spec(Some(Type::Tuple { fields, size }), Value::Count);
    let parts = vec![part(b"a b\0\0\0\0\0\x02\0\0\0\0\0\0\0", &[&[2]])];
    let (text, json) = print(&spec, parts, 0, 0);
    assert_eq!(text, "@[a b, 2]: 2\n");
    assert_eq!(json, "{\"type\": \"map\", \"data\": {\"@\": {\"a b,2\": 2}}}\n");
}

#[test]
fn scalars_know_whether_they_were_set() {
    let spec = spec(None, Value::Sum { signed: true });
    let set = vec![part(&[0; 4], &[&[-10i64 as u64, 1], &[3, 0]])];
    assert_eq!(print(&spec, set, 0, 0), ("@: -7\n".into(), "{\"type\": \"map\", \"data\": {\"@\": -7}}\n".into()));
    let unset = vec![part(&[0; 4], &[&[0, 0], &[0, 0]])];
    // print(@) shows it as 0, the end doesn't show it.
    assert_eq!(print(&spec, unset.clone(), 0, 0).0, "@: 0\n");
    let mut out = Vec::new();
    write_text(&mut out, &Snapshot::new(&spec, unset), 0, 0, false, &mut Style::new(&mut NoNames));
    assert!(out.is_empty());
}

#[test]
fn extremes_ignore_cpus_without_values() {
    let min = spec(Some(Type::U32), Value::Min { signed: true });
    let parts = || vec![part(&[1, 0, 0, 0], &[&[0, 0], &[-4i64 as u64, 1], &[9, 1]]), part(&[2, 0, 0, 0], &[&[0, 0]])];
    assert_eq!(print(&min, parts(), 0, 0).0, "@[1]: -4\n@[2]: 0\n");
    let max = spec(Some(Type::U32), Value::Max { signed: true });
    assert_eq!(print(&max, parts(), 0, 0).0, "@[2]: 0\n@[1]: 9\n");
}

#[test]
fn averages_and_stats() {
    let parts = || vec![part(b"x", &[&[-14i64 as u64, 2], &[4, 1]])];
    let key = Some(Type::Str { cap: 1 });
    let avg = spec(key.clone(), Value::Avg { signed: true });
    let (text, json) = print(&avg, parts(), 0, 0);
    assert_eq!(text, "@[x..]: -3\n");
    assert_eq!(json, "{\"type\": \"stats\", \"data\": {\"@\": {\"x..\": -3}}}\n");
    let stats = spec(None, Value::Stats { signed: true });
    let (text, json) = print(&stats, vec![part(&[0; 4], &[&[-14i64 as u64, 2, 1], &[4, 1, 1]])], 0, 0);
    assert_eq!(text, "@: { .count = 3, .average = -3, .total = -10 }\n");
    assert_eq!(json, "{\"type\": \"stats\", \"data\": {\"@\": {\"count\": 3, \"average\": -3, \"total\": -10}}}\n");
    let unset = vec![part(&[0; 4], &[&[0, 0, 0]])];
    assert_eq!(print(&stats, unset, 0, 0).0, "@: { .count = 0, .average = 0, .total = 0 }\n");
}

#[test]
fn histograms_are_drawn_as_in_bpftrace() {
    let spec = spec(Some(Type::U32), Value::Hist { bits: 0 });
    let parts = vec![part(&[1, 0, 0, 0], &[&hist(0, &[-1, 2, 3, 6, 20])])];
    let expected = "@[1]:\n\
(..., 0)               1 |@@@@@@@@@@@@@@@@@@@@@@@@@@                          |\n\
[0]                    0 |                                                    |\n\
[1]                    0 |                                                    |\n\
[2, 4)                 2 |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@|\n\
[4, 8)                 1 |@@@@@@@@@@@@@@@@@@@@@@@@@@                          |\n\
[8, 16)                0 |                                                    |\n\
[16, 32)               1 |@@@@@@@@@@@@@@@@@@@@@@@@@@                          |\n\n";
    assert_eq!(print(&spec, parts.clone(), 0, 0).0, expected);
    let (_, json) = print(&spec, parts, 0, 0);
    assert!(json.starts_with("{\"type\": \"hist\", \"data\": {\"@\": {\"1\": [{\"max\": -1, \"count\": 1},{\"min\": 0, \"max\": 0, \"count\": 0},"));
}

#[test]
fn histograms_with_finer_buckets() {
    let spec = spec(Some(Type::U32), Value::Hist { bits: 3 });
    let values: Vec<i64> = (0..1024).collect();
    let found = rows(&spec.value, &hist(3, &values), 1);
    // One bucket per number up to 16, then eight to a power of two.
    assert!(found[..16].iter().all(|r| r.count == 1));
    let ranges: Vec<_> = found[16..20].iter().map(|r| (r.low.as_ref().map(|l| l.value), r.count)).collect();
    assert_eq!(ranges, [(Some(16), 2), (Some(18), 2), (Some(20), 2), (Some(22), 2)]);
    let last = found.last().expect("rows");
    assert_eq!(
        (last.low.as_ref().map(|l| l.value), last.high.as_ref().map(|l| l.value), last.count),
        (Some(960), Some(1024), 64)
    );
    assert_eq!(found.iter().map(|r| r.count).sum::<u64>(), 1024);
}

#[test]
fn the_largest_numbers_have_labels() {
    for bits in 0..=5u8 {
        let value = Value::Hist { bits };
        let found = rows(&value, &hist(bits, &[i64::MAX]), 1);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].high.as_ref().map(|l| l.value), Some(1 << 63));
        // Unsigned numbers above that have buckets too.
        let mut buckets = vec![0; hist_len(bits)];
        *buckets.last_mut().expect("buckets") = 1;
        assert_eq!(rows(&value, &buckets, 1)[0].high.as_ref().map(|l| l.value), Some(1 << 64), "bits {bits}");
    }
}

#[test]
fn linear_histograms() {
    let value = Value::Lhist { min: 0, max: 10, step: 2 };
    let spec = spec(Some(Type::U32), value);
    let parts = vec![part(&[1, 0, 0, 0], &[&[1, 0, 2, 0, 1, 0, 1]])];
    let expected = "@[1]:\n\
(..., 0)               1 |@@@@@@@@@@@@@@@@@@@@@@@@@@                          |\n\
[0, 2)                 0 |                                                    |\n\
[2, 4)                 2 |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@|\n\
[4, 6)                 0 |                                                    |\n\
[6, 8)                 1 |@@@@@@@@@@@@@@@@@@@@@@@@@@                          |\n\
[8, 10)                0 |                                                    |\n\
[10, ...)              1 |@@@@@@@@@@@@@@@@@@@@@@@@@@                          |\n\n";
    let (text, json) = print(&spec, parts, 0, 0);
    assert_eq!(text, expected);
    assert!(json.ends_with("{\"min\": 8, \"max\": 9, \"count\": 0},{\"min\": 10, \"count\": 1}]}}}\n"), "{json}");
    // What max cuts off the last step counts as above; labels in K, one number per bucket.
    let labels = |value: Value, n: usize| {
        let mut buckets = vec![0; n];
        buckets.fill(1);
        let mut out = Vec::new();
        super::text::write_rows(&mut out, &rows(&value, &buckets, 1));
        let text = String::from_utf8(out).expect("UTF-8");
        text.lines().map(|l| l[..16].trim().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        labels(Value::Lhist { min: 0, max: 2500, step: 1024 }, 4),
        ["(..., 0)", "[0, 1K)", "[1K, 2K)", "[2K, ...)"]
    );
    assert_eq!(labels(Value::Lhist { min: 0, max: 2, step: 1 }, 4), ["(..., 0)", "[0]", "[1]", "[2, ...)"]);
}

#[test]
fn an_empty_histogram_prints_its_name_only() {
    let spec = spec(Some(Type::U32), Value::Hist { bits: 0 });
    let zeroed = || vec![part(&[1, 0, 0, 0], &[&hist(0, &[])])];
    assert_eq!(print(&spec, zeroed(), 0, 0).0, "@[1]:\n\n");
    assert_eq!(print(&spec, zeroed(), 0, 0).1, "{\"type\": \"hist\", \"data\": {\"@\": {\"1\": []}}}\n");
    assert_eq!(print(&spec, vec![], 0, 0), (String::new(), String::new()));
}

#[test]
fn order_never_depends_on_the_order_of_reading() {
    let spec = spec(Some(Type::U32), Value::Plain(Type::Int { bytes: 4, signed: true }));
    let mut parts: Vec<Part> = (0..50u32).map(|i| part(&(i * 7 % 50).to_ne_bytes(), &[&[u64::from(i % 3)]])).collect();
    let once = print(&spec, parts.clone(), 0, 0);
    parts.reverse();
    parts.rotate_left(13);
    assert_eq!(print(&spec, parts, 0, 0), once);
}

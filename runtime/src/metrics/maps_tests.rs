use super::*;
use crate::maps::Part;
use weftrace_artifact::{map::hist_buckets, ty::Field};

fn spec(name: &str, key: Option<Type>, value: Value) -> MapSpec {
    // Without a key, too, what was counted is there.
    MapSpec { name: name.into(), presence: None, ..crate::maps::tests::spec(key, value) }
}

fn part(key: &[u8], words: &[u64]) -> Part {
    Part { key: key.to_vec(), values: vec![words.iter().flat_map(|w| w.to_ne_bytes()).collect()] }
}

fn shown(spec: &MapSpec, parts: Vec<Part>, most: usize) -> (String, Option<usize>) {
    let mut names = crate::names::NoNames;
    let mut style = Style::new(&mut names);
    let mut all = Exposition::default();
    let named = MapNames::default().of(spec);
    let snapshot = Snapshot::new(spec, parts);
    let left_out = named.map(|(kind, name)| all.map(&snapshot, (kind, &name), most, &mut style, |_| Vec::new()));
    (String::from_utf8(crate::metrics::text::write(&all, false)).expect("text"), left_out)
}

const TEXT: Type = Type::Str { cap: 8 };

#[test]
fn counters_with_keys() {
    let spec = spec("@n", Some(TEXT), Value::Count);
    let parts = vec![part(b"a\"b\\\0\0\0\0", &[3]), part(b"x\ny\0\0\0\0\0", &[5])];
    let (text, left_out) = shown(&spec, parts.clone(), 10);
    assert_eq!(
        text,
        "# HELP weftrace_map_n_total @n of the script\n# TYPE weftrace_map_n_total counter\n\
         weftrace_map_n_total{key=\"a\\\"b\\\\\"} 3\nweftrace_map_n_total{key=\"x\\ny\"} 5\n"
    );
    assert_eq!(left_out, Some(0));
    // The largest stay, and it is known how many are missing.
    let (text, left_out) = shown(&spec, parts, 1);
    assert!(text.ends_with("{key=\"x\\ny\"} 5\n") && !text.contains("a\\\""), "{text}");
    assert_eq!(left_out, Some(1));
}

#[test]
fn keys_of_several_parts() {
    let field = |offset| Field { name: None, offset, ty: Type::I64, bits: None };
    let tuple = Type::Tuple { fields: vec![field(0), field(8)], size: 16 };
    let key: Vec<u8> = [7u64, 9].iter().flat_map(|w| w.to_ne_bytes()).collect();
    let (text, _) = shown(&spec("@", Some(tuple), Value::Max { signed: false }), vec![part(&key, &[4, 1])], 10);
    assert!(text.ends_with("# TYPE weftrace_map gauge\nweftrace_map{key1=\"7\",key2=\"9\"} 4\n"), "{text}");
}

#[test]
fn means_are_summaries() {
    let (text, _) = shown(&spec("@lat", None, Value::Avg { signed: true }), vec![part(&[], &[u64::MAX - 9, 4])], 10);
    assert!(
        text.ends_with("# TYPE weftrace_map_lat summary\nweftrace_map_lat_sum -10\nweftrace_map_lat_count 4\n"),
        "{text}"
    );
}

/// Cumulative, by inclusive bounds, from the first bucket on.
#[test]
fn histograms() {
    let mut buckets = vec![0u64; hist_buckets(0) as usize];
    (buckets[0], buckets[1], buckets[4]) = (1, 2, 5);
    let (text, _) = shown(&spec("@h", None, Value::Hist { bits: 0 }), vec![part(&[], &buckets)], 10);
    let rows: Vec<&str> = text.lines().skip(2).collect();
    // A negative one, two zeros, five of 4 to 7.
    assert_eq!(
        rows,
        [
            "weftrace_map_h_bucket{le=\"-1\"} 1",
            "weftrace_map_h_bucket{le=\"0\"} 3",
            "weftrace_map_h_bucket{le=\"1\"} 3",
            "weftrace_map_h_bucket{le=\"3\"} 3",
            "weftrace_map_h_bucket{le=\"7\"} 8",
            "weftrace_map_h_bucket{le=\"+Inf\"} 8",
            "weftrace_map_h_count 8"
        ]
    );
    let linear = Value::Lhist { min: 0, max: 30, step: 10 };
    let (text, _) = shown(&spec("@l", None, linear), vec![part(&[], &[1, 0, 2, 0, 4])], 10);
    let rows: Vec<&str> = text.lines().skip(2).collect();
    assert_eq!(
        rows,
        [
            "weftrace_map_l_bucket{le=\"-1\"} 1",
            "weftrace_map_l_bucket{le=\"9\"} 1",
            "weftrace_map_l_bucket{le=\"19\"} 3",
            "weftrace_map_l_bucket{le=\"29\"} 3",
            "weftrace_map_l_bucket{le=\"+Inf\"} 7",
            "weftrace_map_l_count 7"
        ]
    );
}

#[test]
fn what_is_no_number_is_not_shown() {
    assert_eq!(shown(&spec("@t", None, Value::Plain(TEXT)), vec![part(&[], &[1])], 10), (String::new(), None));
}

/// No two families have a sample of the same name, nor a map one of ours.
#[test]
fn names_that_would_be_the_same() {
    let mut names = MapNames::default();
    let mut of = |name: &str, value: Value| names.of(&spec(name, None, value)).expect("a number").1;
    let gauge = || Value::Max { signed: false };
    assert_eq!(of("@a", Value::Count), "weftrace_map_a");
    assert_eq!(of("@a_total", gauge()), "weftrace_map_a_total_2");
    assert_eq!(of("@b_count", gauge()), "weftrace_map_b_count");
    assert_eq!(of("@b", Value::Avg { signed: false }), "weftrace_map_b_2");
    assert_eq!(of("@h", Value::Hist { bits: 0 }), "weftrace_map_h");
    assert_eq!(of("@h_bucket", gauge()), "weftrace_map_h_bucket_2");
    assert_eq!(of("@m.a", gauge()), "weftrace_map_m_a");
    assert_eq!(of("@m_a", gauge()), "weftrace_map_m_a_2");
    assert_eq!(of("@series_left_out", gauge()), "weftrace_map_series_left_out_2");
    // What isn't shown takes no name.
    assert!(names.of(&spec("@t", None, Value::Plain(TEXT))).is_none());
}

/// A part of a key that is named as a histogram's bound.
#[test]
fn labels_that_would_be_the_same() {
    let fields = vec![Field { name: Some("le".into()), offset: 0, ty: Type::I64, bits: None }];
    let key = Type::Tuple { fields, size: 8 };
    let buckets = vec![0u64; hist_buckets(0) as usize];
    let (text, _) =
        shown(&spec("@h", Some(key), Value::Hist { bits: 0 }), vec![part(&7u64.to_ne_bytes(), &buckets)], 1);
    assert!(text.contains("weftrace_map_h_bucket{key_le=\"7\",le=\"-1\"} 0\n"), "{text}");
}

#[test]
fn names() {
    assert_eq!((map_name("@"), map_name("@a_b2")), ("weftrace_map".to_owned(), "weftrace_map_a_b2".to_owned()));
}

/// However long they are: cut, two keys stay two, and the same in every run.
#[test]
fn long_keys_stay_apart() {
    let ty = Type::Str { cap: 400 };
    let key = |end: &str| format!("{:\0<400}", "x".repeat(300) + end).into_bytes();
    let spec = spec("@n", Some(ty), Value::Count);
    let (text, _) = shown(&spec, vec![part(&key("a"), &[1]), part(&key("b"), &[2])], 10);
    let labels: Vec<&str> = text.lines().filter_map(|line| line.split('"').nth(1)).collect();
    assert!(labels.len() == 2 && labels[0] != labels[1], "{text}");
    assert!(labels.iter().all(|label| label.len() <= LONGEST && label.contains("x\u{2026}")), "{text}");
    // Bytes that are no text too.
    assert_eq!(label_text(b"\xffa"), "\u{fffd}ab6f56a7d");
    assert_eq!(label_text(b"\xfea"), "\u{fffd}ab6f923c0");
}

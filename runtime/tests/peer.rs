//! Drawings compared with an installed bpftrace's, on the same data.

use std::process::Command;
use weftrace_artifact::{
    Place,
    map::{Home, Kind, MapSpec, Role, Value},
    ty::Type,
};
use weftrace_runtime::{
    maps::{Part, Snapshot, write_text},
    names::NoNames,
    style::Style,
};

/// What bpftrace draws for one map after these updates: the lines of histograms.
fn bpftrace(update: &str, values: &[i64]) -> Option<Vec<String>> {
    let updates: String = values.iter().map(|v| update.replace('$', &v.to_string())).collect();
    let script = format!("BEGIN {{ {updates} exit(); }}");
    let output = Command::new("bpftrace").args(["-e", &script]).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let rows: Vec<String> = text.lines().filter(|l| l.ends_with('|')).map(str::to_owned).collect();
    (!rows.is_empty()).then_some(rows)
}

fn ours(value: Value, buckets: &[u64]) -> Vec<String> {
    let spec = MapSpec {
        name: "@".into(),
        role: Role::Script,
        kind: Kind::PercpuHash,
        home: Home::Kernel,
        key: Some(Type::U32),
        value_size: value.size(),
        value,
        key_size: 4,
        max_entries: 1,
        presence: None,
        ring: None,
        ttl: None,
        place: Place::default(),
    };
    let bytes = buckets.iter().flat_map(|b| b.to_ne_bytes()).collect();
    let map = Snapshot::new(&spec, [Part { key: vec![0; 4], values: vec![bytes] }]);
    let mut out = Vec::new();
    write_text(&mut out, &map, 0, 0, false, &mut Style::new(&mut NoNames));
    let text = String::from_utf8(out).expect("UTF-8");
    text.lines().filter(|l| l.ends_with('|')).map(str::to_owned).collect()
}

fn log2_buckets(values: &[i64]) -> Vec<u64> {
    let mut buckets = vec![0; 66];
    for &v in values {
        let bucket = match v {
            ..0 => 0,
            0 => 1,
            _ => v.ilog2() as usize + 2,
        };
        buckets[bucket] += 1;
    }
    buckets
}

#[test]
fn log2_histograms() {
    for values in
        [&[1i64, 5000, -1, 70_000, 70_001, 70_002, 3, 3][..], &[1 << 29, 1 << 30], &[0], &[1023, 1024, 1_048_576]]
    {
        let Some(theirs) = bpftrace("@=hist($);", values) else {
            println!("SKIP bpftrace as root");
            return;
        };
        assert_eq!(ours(Value::Hist { bits: 0 }, &log2_buckets(values)), theirs, "{values:?}");
    }
}

#[test]
fn linear_histograms() {
    for (min, max, step, values) in [
        (0i64, 100i64, 10i64, &[-5i64, 0, 9, 10, 55, 99, 100, 1000][..]),
        (0, 10, 1, &[3, 3, 4, 9]),
        (1024, 8192, 1024, &[1024, 1025, 4096, 8191]),
    ] {
        let Some(theirs) = bpftrace(&format!("@=lhist($,{min},{max},{step});"), values) else {
            println!("SKIP bpftrace as root");
            return;
        };
        let value = Value::Lhist { min, max, step };
        let mut buckets = vec![0; (value.size() / 8) as usize];
        let last = buckets.len() - 1;
        for &v in values {
            let at = if v < min {
                0
            } else if v >= max {
                last
            } else {
                ((v - min) / step + 1) as usize
            };
            buckets[at] += 1;
        }
        let ours: Vec<String> = ours(value, &buckets).iter().map(|l| open_end(l)).collect();
        assert_eq!(ours, theirs.iter().map(|l| open_end(l)).collect::<Vec<_>>(), "{values:?}");
    }
}

/// bpftrace 0.17 prints a range of one number as `[3, 4)`, 0.27 as `[3]`, which is what we print.
fn open_end(line: &str) -> String {
    let range = line[..16].trim();
    let short = range
        .strip_prefix('[')
        .and_then(|r| r.strip_suffix(')'))
        .and_then(|r| r.split_once(", "))
        .and_then(|(a, b)| (a.parse::<i64>().ok()? + 1 == b.parse::<i64>().ok()?).then(|| format!("[{a}]")));
    match short {
        Some(short) => format!("{short:<16}{}", &line[16..]),
        None => line.to_owned(),
    }
}

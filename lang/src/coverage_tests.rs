use super::*;
use crate::{span::FileId, syntax};

/// Kind and text of every point.
fn points(text: &str) -> Vec<(&'static str, String)> {
    let (mut script, diags) = syntax::parse(text, FileId(0));
    assert!(diags.is_empty(), "{diags:?}");
    let found = instrument(&mut script);
    found.iter().map(|p| (p.kind.name(), text[p.span.start as usize..p.span.end as usize].to_owned())).collect()
}

#[test]
fn every_block_has_a_point() {
    let text = r"
fn twice($x: int64): int64 { return $x * 2; }
BEGIN, END /1 == 1/ {
  if (pid > 1) { @a = 1; } else if (pid > 2) { @a = 2; }
  for ($i : 0..3) { while (@b < 3) { @b++; } }
}
kprobe:f { @c = 1; } else tracepoint:a:b { @c = 2; }
";
    let expected = [
        ("function", "twice"),
        ("probe", "BEGIN, END"),
        ("then", "pid > 1"),
        ("then", "pid > 2"),
        ("else", "pid > 2"),
        ("loop", "$i"),
        ("loop", "@b < 3"),
        ("probe", "kprobe:f"),
        ("probe", "tracepoint:a:b"),
    ];
    let expected: Vec<_> = expected.iter().map(|(kind, text)| (*kind, (*text).to_owned())).collect();
    let mut found = points(text);
    for (_, text) in &mut found {
        *text = text.trim().to_owned();
    }
    assert_eq!(found, expected);
}

#[test]
fn values_stay_values() {
    // A condition whose value is used gets no branch of its own, and nothing to count in.
    assert_eq!(points("BEGIN { $x = pid > 1 ? 2 : 3; $y = if (pid > 1) { 4 } else { 5 }; }").len(), 1);
    assert!(points("struct s { int a; };").is_empty());
}

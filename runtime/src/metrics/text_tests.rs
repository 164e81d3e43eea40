use super::*;
use crate::metrics::{Trace, model::Histogram};

fn exemplar(value: i128) -> Exemplar {
    let trace = Trace::of(b"4bf92f3577b34da6a3ce929d0e0e4736", b"00f067aa0ba902b7").expect("a trace");
    Exemplar { trace, value, wall: 1_700_000_000_250_000_000 }
}

fn all() -> Exposition {
    let mut all = Exposition::default();
    all.family("n", Kind::Counter, "a \\ b\nc");
    all.point(vec![("key".into(), "x".into())], Point::Number(Number::Whole(3), Some(exemplar(1))));
    all.family("h", Kind::Histogram, "");
    let bounds = vec![(-1, 0), (0, 1), (1, 1), (3, 1), (7, 4)];
    let exemplars = vec![exemplar(2), exemplar(5), exemplar(7), exemplar(100)];
    all.point(vec![], Point::Histogram(Histogram { bounds, count: 4, powers: None, exemplars }));
    all
}

/// Only OpenMetrics has a place for them; and each is at its own bucket, if there is anything in it.
#[test]
fn exemplars() {
    const MARK: &str = "# {trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\",span_id=\"00f067aa0ba902b7\"}";
    let text = String::from_utf8(write(&all(), true)).expect("text");
    assert!(text.starts_with("# HELP n a \\\\ b\\nc\n# TYPE n counter\n"), "{text}");
    assert!(text.contains(&format!("n_total{{key=\"x\"}} 3 {MARK} 1 1700000000.250000000\n")), "{text}");
    let with: Vec<&str> = text.lines().filter(|line| line.contains(MARK)).collect();
    assert_eq!(with.len(), 2, "{text}");
    assert!(with[1].starts_with("h_bucket{le=\"7\"} 4 "), "{text}");
    // A count has a place only beside a sum there.
    assert!(text.ends_with("h_bucket{le=\"+Inf\"} 4\n# EOF\n"), "{text}");
    let plain = String::from_utf8(write(&all(), false)).expect("text");
    assert!(plain.ends_with("h_count 4\n"), "{plain}");
    assert!(!plain.contains("trace_id") && plain.contains("# TYPE n_total counter\nn_total{key=\"x\"} 3\n"), "{plain}");
}

use super::*;
use proptest::prelude::*;

proptest! {
    /// As a look through all of them says.
    #[test]
    fn those_that_meet_are_counted(
        spans in proptest::collection::vec((0u64..40, 0u64..12), 0..40),
        gone in 0usize..40,
        from in 0u64..50,
        length in 0u64..12,
        watermark in 0u64..60,
    ) {
        let mut all: Vec<Interval> = spans.iter().map(|(start, length)| (*start, start + length)).collect();
        let mut kept = Spans::default();
        for span in &all {
            kept.add(*span);
        }
        for _ in 0..gone.min(all.len()) {
            kept.remove(all.pop().expect("there is one"));
        }
        let to = from + length;
        let meets = |span: &&Interval| span.0 <= to && span.1 >= from && span.1 < watermark;
        prop_assert_eq!(kept.meeting((from, to), watermark), all.iter().filter(meets).count());
        prop_assert_eq!(kept.is_empty(), all.is_empty());
    }
}

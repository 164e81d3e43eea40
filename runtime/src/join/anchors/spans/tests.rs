use super::*;
use crate::join::keys::Digest;
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
        let (mut kept, mut nodes) = (Spans::default(), Nodes::new(0));
        let node = nodes.hold(Digest::default().id(b"id"));
        for span in &all {
            kept.add(node, *span, &mut nodes);
        }
        if !all.is_empty() && gone > 0 {
            // The oldest go: of those that end at once the first to begin.
            all.sort_by_key(|(start, end)| (*end, *start));
            let evicted = kept.evict_oldest(gone, &mut nodes) as usize;
            prop_assert_eq!(evicted, gone.min(all.len()));
            for gone in all.drain(..evicted) {
                prop_assert!(!kept.knows(gone));
            }
        }
        let to = from + length;
        let meets = |span: &&Interval| span.0 <= to && span.1 >= from && span.1 < watermark;
        prop_assert_eq!(kept.meeting(node, (from, to), watermark), all.iter().filter(meets).count());
        let first = all.iter().filter(|span| span.0 <= to && span.1 >= from).map(|span| span.1).min();
        prop_assert_eq!((kept.first_end(node, (from, to)), kept.len()), (first, all.len()));
        prop_assert_eq!(kept.by_id.is_empty(), all.is_empty());
        kept.expire(100, &mut nodes);
        prop_assert_eq!((kept.bytes(), kept.shared), (0, (0, 0)));
    }
}

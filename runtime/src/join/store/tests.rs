use super::*;
use proptest::prelude::*;
use weftrace_artifact::{
    Place,
    join::{LegAgg, Side},
};

/// Records: the key, the begin, the end.
fn store() -> Store {
    let at = Some(KeyAt { offset: 0, pid: None, cap: 0 });
    let leg = LegSpec {
        name: "leg".into(),
        stream: StreamId(0),
        agg: LegAgg::Count,
        value: None,
        interval: Some((8, 16)),
        duration: false,
        keys: vec![LegKey { kind: KeyKind::Cookie, leg: at, anchor: at }],
        since_ns: None,
        off: false,
        side: Side::Any,
        place: Place::default(),
    };
    Store::new(Shape::of(&leg), 0, 24, Vec::new())
}

struct Bench {
    store: Store,
    nodes: Nodes,
    digest: Digest,
    /// (key, begin, end) of those that are there.
    all: Vec<(u64, u64, u64)>,
}

impl Bench {
    fn new() -> Self {
        Self { store: store(), nodes: Nodes::new(1), digest: Digest::default(), all: Vec::new() }
    }

    fn insert(&mut self, key: u64, start: u64, end: u64) {
        let payload = [key, start, end].map(u64::to_ne_bytes).concat();
        let past = Past { watermark: 0, told_to: 0 };
        let taken = self.store.insert(&payload, end, past, (&mut self.nodes, &self.digest));
        assert_eq!(taken, Taken::InTime);
        self.all.push((key, start, end));
    }

    /// All that is found under a key.
    fn found(&self, key: u64, from: u64) -> Vec<Interval> {
        let at = KeyAt { offset: 0, pid: None, cap: 0 };
        let carried = self.digest.read(KeyKind::Cookie, &key.to_ne_bytes(), at).expect("a key");
        let Some(node) = self.nodes.find(&carried.node) else { return Vec::new() };
        self.store.find(node, from, &self.nodes).map(|(_, record)| record.interval).collect()
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A record that ends so much before or behind the time.
    Insert {
        key: u64,
        late: u64,
        ahead: u64,
        len: u64,
    },
    Expire {
        behind: u64,
    },
    Evict {
        most: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let late = prop_oneof![6 => Just(0), 2 => 0..100_u64, 1 => 0..3000_u64];
    let ahead = prop_oneof![9 => Just(0), 1 => 0..3000_u64];
    prop_oneof![
        40 => (1..3_u64, late, ahead, 0..200_u64).prop_map(|(key, late, ahead, len)| Step::Insert { key, late, ahead, len }),
        1 => (4_000..30_000_u64).prop_map(|behind| Step::Expire { behind }),
        1 => (1..20_usize).prop_map(|most| Step::Evict { most }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// What ends at a time or later is found, however late it came, as by a look at everything.
    #[test]
    fn all_that_end_later_are_found(steps in proptest::collection::vec(step(), 0..1500), from in 4_000..24_000_u64) {
        let mut bench = Bench::new();
        let mut time = 5_000;
        for step in steps {
            match step {
                Step::Insert { key, late, ahead, len } => {
                    time += 10;
                    let end = time + ahead - late.min(time);
                    bench.insert(key, end.saturating_sub(len), end);
                }
                Step::Expire { behind } => {
                    // Only forward: what came late since stays until time goes on.
                    let before = time.saturating_sub(behind).max(bench.store.expired_to + 1);
                    bench.store.expire(before, &mut bench.nodes, |_, _| {});
                    bench.all.retain(|(.., end)| *end >= before);
                }
                Step::Evict { most } => {
                    let evicted = bench.store.evict_oldest(most, &mut bench.nodes);
                    assert_eq!(evicted, most.min(bench.all.len()) as u64);
                    bench.all.sort_by_key(|(key, start, end)| (*end, *start, *key));
                    bench.all.drain(..evicted as usize);
                }
            }
        }
        for key in 1..3 {
            let mut found: Vec<Interval> = bench.found(key, from).into_iter().filter(|i| i.1 >= from).collect();
            let of = bench.all.iter().filter(|(k, _, end)| *k == key && *end >= from);
            let mut expected: Vec<Interval> = of.map(|(_, start, end)| (*start, *end)).collect();
            found.sort_unstable();
            expected.sort_unstable();
            prop_assert_eq!(found, expected, "key {}", key);
        }
    }
}

/// Half of the records come late, one of them very late: what is looked through for a time is what came since, and not all there is.
#[test]
fn disorder_is_no_reason_to_look_through_everything() {
    let mut bench = Bench::new();
    let mut most = 0;
    for n in 1..40_000_u64 {
        let late = if n == 20_000 { 500_000 } else { n % 2 * 1_333 };
        let end = 1_000_000 + n - late;
        bench.insert(7, end, end);
        // What belongs to the last hundred moments.
        most = most.max(bench.found(7, 1_000_000 + n - 100).len());
    }
    assert!((50..200).contains(&most), "{most}");
    // What was late is found where it belongs.
    assert!(bench.found(7, 520_000).contains(&(520_000, 520_000)));
}

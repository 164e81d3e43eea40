//! Which streams of bindings lead from a join's anchor to what a leg goes by.
//!
//! By kinds of keys, as their fields are called; the join itself goes from key to key (runtime/src/join/bindings.rs) by the same rules.

use super::prune::is_led_to;
use std::collections::{BTreeMap, BTreeSet};
use weftrace_artifact::join::{HOLDS_MANY, MAX_STEPS, is_binding};
use weftrace_lang::{
    check::{KEYS, is_key},
    hir::{JoinDef, LegDef, Program, StreamRef, Ty},
};

type Kinds<'a> = BTreeSet<&'a str>;

/// Whether the binding `stream` may say something of one of the join's legs.
pub(super) fn leads(program: &Program, join: &JoinDef, stream: StreamRef) -> bool {
    if !is_binding(&program.streams[stream.index()].name) {
        return false;
    }
    let tied = keys(program, stream);
    let mut ways = join.legs.iter().filter(|leg| !leg.off).flat_map(|leg| Ways::of(program, join, leg));
    // A single key is what has ended.
    ways.any(|ways| if tied.len() > 1 { ways.lead_over(&tied) } else { tied.is_subset(&ways.passed) })
}

/// What a stream's records carry to be found by. Bytes are a connection's.
fn keys(program: &Program, stream: StreamRef) -> Kinds<'_> {
    let fields = program.streams[stream.index()].fields.iter();
    let keys = fields.filter(|(name, ty)| is_key(name, ty) || matches!(ty, Ty::Str { .. }));
    keys.map(|(name, _)| if name == "bytes" { "conn" } else { name.as_str() }).collect()
}

/// The ways from an anchor to a leg's records.
struct Ways<'a> {
    /// What the anchor has itself.
    own: Kinds<'a>,
    /// In how many steps a kind is reached from the anchor, and the leg's records from it.
    from: BTreeMap<&'a str, usize>,
    to: BTreeMap<&'a str, usize>,
    /// What is on some way.
    passed: Kinds<'a>,
}

impl<'a> Ways<'a> {
    /// Of each key that a leg goes by and one of both lacks.
    fn of(program: &'a Program, join: &'a JoinDef, leg: &'a LegDef) -> Vec<Self> {
        let (anchor, of_leg) = (keys(program, join.anchor), keys(program, leg.stream));
        let ways = leg.by.iter().filter(|key| is_led_to(program, join, leg, key)).map(|key| {
            if of_leg.contains(key.as_str()) {
                Self::between(program, &anchor, [key.as_str()].into())
            } else if anchor.contains(key.as_str()) {
                Self::between(program, &[key.as_str()].into(), of_leg.clone())
            } else {
                Self::between(program, &anchor, of_leg.clone())
            }
        });
        ways.collect()
    }

    fn between(program: &'a Program, anchor: &Kinds<'a>, mut wanted: Kinds<'a>) -> Self {
        // Of a process that has no goroutines it is known that the leg has none.
        if wanted.contains("goroutine") {
            wanted.insert("pid");
        }
        let bindings = (0u32..).zip(&program.streams).filter(|(_, s)| is_binding(&s.name));
        let mut all: Vec<Kinds<'a>> = bindings.map(|(i, _)| keys(program, StreamRef(i))).collect();
        // A goroutine's number is one in its process.
        all.push(["goroutine", "pid"].into());
        // What the anchor has itself it is not told. (Ids of one trace may be several.)
        let own: Kinds<'a> = anchor.iter().copied().filter(|kind| KEYS.iter().any(|row| row.name == *kind)).collect();
        let is_news = |next: &str| !own.contains(next);
        let from = steps(anchor, &all, |tied, here, next| is_step(tied, here, next) && is_news(next));
        let to = steps(&wanted, &all, |tied, here, next| is_step(tied, next, here) && is_news(here));
        let on_a_way = |kind: &&str| from.get(*kind).zip(to.get(*kind)).is_some_and(|(n, m)| n + m <= MAX_STEPS);
        let passed = from.keys().copied().filter(on_a_way).collect();
        Self { own, from, to, passed }
    }

    /// Whether a way takes a step between two of these.
    fn lead_over(&self, tied: &Kinds<'a>) -> bool {
        let within = |here: &str, next: &str| {
            let steps = self.from.get(here).zip(self.to.get(next)).map(|(n, m)| n + 1 + m);
            steps.is_some_and(|n| n <= MAX_STEPS) && !self.own.contains(next)
        };
        tied.iter().any(|here| tied.iter().any(|next| is_step(tied, here, next) && within(here, next)))
    }
}

fn is_step(tied: &Kinds<'_>, here: &str, next: &str) -> bool {
    let holds_many = HOLDS_MANY.iter().any(|(holder, held)| holder.name() == here && held.name() == next);
    here != next && tied.contains(here) && tied.contains(next) && !holds_many
}

/// In how many steps each kind is reached from some.
fn steps<'a>(
    start: &Kinds<'a>,
    all: &[Kinds<'a>],
    is_step: impl Fn(&Kinds<'a>, &str, &str) -> bool,
) -> BTreeMap<&'a str, usize> {
    let mut reached: BTreeMap<&str, usize> = start.iter().map(|kind| (*kind, 0)).collect();
    for n in 1..=MAX_STEPS {
        let before: Vec<&str> = reached.keys().copied().collect();
        for tied in all {
            for next in tied.iter().filter(|next| before.iter().any(|here| is_step(tied, here, next))) {
                reached.entry(next).or_insert(n);
            }
        }
    }
    reached
}

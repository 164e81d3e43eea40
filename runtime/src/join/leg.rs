//! One leg's outcome for one anchor: which records belong to it, and what they add up to.

mod outcome;
mod state;
mod translated;

use super::bindings::{Bindings, Reached};
use super::gaps::Losses;
use super::keys::{Agreement, Ends, Known, Range, agree, overlap};
use super::nodes::Nodes;
use super::store::{Record, Store};
use super::translations::{Told, Translations};
use super::verdict::{Interval, bring_in, merge};
pub use outcome::{LegOutcome, State, Via};
use state::{Doubts, state};
use weftrace_artifact::join::{KeyKind, LegAgg, LegSpec, Side};

/// What an anchor offers its legs.
pub(super) struct Anchor<'a> {
    /// When its connection was opened; 0: it isn't known.
    pub opened: u64,
    pub start: u64,
    /// Begin of the total, at most `start`.
    pub begin: u64,
    pub end: u64,
    /// Its own keys, in the order of the engine's list of them.
    pub keys: &'a [Option<Known>],
    /// Nodes of its ids.
    pub ids: &'a [u32],
    pub ranges: &'a [Range],
    /// What arrived from before this time is all there is.
    pub complete_to: u64,
    /// Its connection was opened after the run had begun: a key that none leads to it doesn't have, unless that is told when it is over, or was lost.
    pub all_bindings_known: bool,
}

/// Where a leg's key comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    /// The anchor's own key of this number.
    Own(usize),
    /// Bindings from the anchor's key of this number, or from all of them.
    Bound(Option<usize>),
    /// Any of the anchor's ids.
    Ids,
}

/// What a leg's outcome is made from.
pub(super) struct Inputs<'a> {
    pub spec: &'a LegSpec,
    /// Its records and the anchor that are no further apart may be at once, ns.
    pub epsilon: u64,
    /// One for each key.
    pub sources: &'a [Source],
    pub nodes: &'a Nodes,
    pub bindings: &'a Bindings,
    pub translations: &'a Translations,
    /// Where translations of the anchor's connection are told of.
    pub told: Option<Told>,
    pub unfed: Option<&'a str>,
    pub losses: &'a Losses,
    /// Since when its probes run; 0: always.
    pub seen_from: u64,
    /// From when on what isn't there may be missing, and why.
    pub doubted: Option<(u64, &'a str)>,
    /// Of a leg by ids: how many other anchors carry the anchor's within a time that has its own in it; None: that isn't known.
    pub namesakes: Option<&'a dyn Fn(Interval) -> Option<u32>>,
}

/// Buffers that are used again.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    hits: Vec<Hit>,
    used: Vec<(u32, Via)>,
    /// What packets show twice: it isn't counted again.
    twice: Vec<u32>,
    start: Vec<Reached>,
    /// Kinds that the anchor has itself.
    own: Vec<KeyKind>,
    reached: Vec<Reached>,
}

impl Scratch {
    /// What was used is nobody's orphan.
    fn mark(&self, store: &mut Store, leg: u32) {
        let all = self.used.iter().map(|(id, _)| id).chain(&self.twice);
        all.for_each(|id| store.mark(*id, leg));
    }
}

#[derive(Clone, Copy, Debug)]
struct Hit {
    id: u32,
    agreement: Agreement,
    /// The key under which it was found.
    under: KeyKind,
    /// By bytes among which are others' too.
    merged: bool,
    /// As the anchor has them.
    ends: Ends,
    /// From the other side of a translation.
    translated: bool,
}

/// Finds the leg's records for an anchor and aggregates them; marks them as used.
pub(super) fn outcome(
    inputs: &Inputs<'_>,
    store: &mut Store,
    leg: u32,
    anchor: &Anchor<'_>,
    scratch: &mut Scratch,
) -> LegOutcome {
    let spec = inputs.spec;
    let window = window(spec, anchor, inputs.epsilon);
    let mut out = LegOutcome::new(spec);
    if spec.off {
        return out;
    }
    let mut doubts = Doubts { keyless: true, ..Doubts::default() };
    scratch.used.clear();
    scratch.twice.clear();
    for (i, source) in inputs.sources.iter().enumerate() {
        let asked = Some(spec.keys[i].kind).filter(|_| matches!(source, Source::Bound(None)));
        start(inputs, store, (*source, asked), anchor, window, &mut doubts, scratch);
        let reached = std::mem::take(&mut scratch.reached);
        gather(inputs, store, i as u8, anchor, window, &reached, &mut doubts, scratch);
        scratch.reached = reached;
        choose(spec.keys[i].kind, store, &mut out, &mut doubts, scratch);
    }
    // Several ways may lead to one record.
    scratch.used.sort_unstable();
    scratch.used.dedup_by_key(|(id, _)| *id);
    aggregate(inputs, store, &scratch.used, (anchor.begin, anchor.end), &mut out);
    out.unled = doubts.unled;
    doubts.among = among(inputs, store, anchor, window, &scratch.used);
    out.state = state(inputs, store, window, anchor, &doubts, &mut out);
    if matches!(out.state, State::Value(_)) || out.unseen_before {
        scratch.mark(store, leg);
        // (Where what lies before the total was not seen, what was found within it is all there is.)
        out.approximate = merge(&mut out.intervals);
    } else {
        // Some of it may be known, but not all.
        out.intervals.clear();
        if !matches!(out.state, State::None) {
            scratch.mark(store, leg);
        }
    }
    out
}

/// The time in which a leg's records may lie.
fn window(spec: &LegSpec, anchor: &Anchor<'_>, epsilon: u64) -> Interval {
    let from = spec.since_ns.map_or(anchor.begin, |since| anchor.begin.min(anchor.start.saturating_sub(since)));
    (from.saturating_sub(epsilon), anchor.end.saturating_add(epsilon))
}

/// What is said where others carry the anchor's id at a time from which a record was taken for its own: two times by clocks that may be `epsilon` apart,
/// of the record and of the other anchor, that are no further apart may be one.
fn among(
    inputs: &Inputs<'_>,
    store: &Store,
    anchor: &Anchor<'_>,
    window: Interval,
    used: &[(u32, Via)],
) -> Option<State> {
    let namesakes = inputs.namesakes?;
    let all = used.iter().map(|(id, _)| store.get(*id).interval);
    let (from, to) = all.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))?;
    // As far as they count. Beyond the anchor's own time others matter only where some lie.
    let (from, to) = (from.max(window.0), to.min(window.1));
    let since = inputs.spec.since_ns.unwrap_or(0);
    let own = (anchor.start.saturating_sub(since), anchor.end.saturating_add(since));
    let around = (own.0.min(from.saturating_sub(inputs.epsilon)), own.1.max(to.saturating_add(inputs.epsilon)));
    State::among(namesakes(around))
}

/// The keys to look under; `asked`: of what kind bindings are to tell.
fn start(
    inputs: &Inputs<'_>,
    store: &Store,
    (source, asked): (Source, Option<KeyKind>),
    anchor: &Anchor<'_>,
    window: Interval,
    doubts: &mut Doubts,
    scratch: &mut Scratch,
) {
    scratch.reached.clear();
    let at = |node: u32, ends: Option<Ends>| Reached {
        node,
        interval: window,
        ends,
        guess: false,
        translated: false,
        swapped: false,
    };
    let own = |known: &Known| known.node.map(|node| at(node, known.ends));
    let key = |i: usize| anchor.keys.get(i).and_then(Option::as_ref);
    match source {
        Source::Own(i) => {
            doubts.keyless &= key(i).is_none();
            scratch.reached.extend(key(i).and_then(own));
            doubts.met.too_many |= inputs.translations.expand(&mut scratch.reached);
        }
        Source::Ids => {
            doubts.keyless &= anchor.ids.is_empty();
            scratch.reached.extend(anchor.ids.iter().map(|&node| at(node, None)));
        }
        Source::Bound(from) => {
            let has = |i: &usize| key(*i).is_some();
            let mut from = from.into_iter().chain(if from.is_some() { 0..0 } else { 0..anchor.keys.len() });
            doubts.keyless &= !from.clone().any(|i| has(&i));
            doubts.bindings_used = true;
            // (Ids of one trace may be several.)
            let is_told = |kind: &KeyKind| *kind == KeyKind::Id || asked == Some(*kind);
            scratch.own.clear();
            scratch.own.extend(from.clone().filter_map(key).map(|known| known.kind).filter(|kind| !is_told(kind)));
            scratch.start.clear();
            let kinds = from.clone().filter_map(key).map(|known| known.kind);
            scratch.start.extend(from.by_ref().filter_map(key).filter_map(own));
            doubts.met.too_many |= inputs.translations.expand(&mut scratch.start);
            let ends = anchor.keys.iter().flatten().find_map(|carried| carried.ends);
            let Scratch { start, reached, own, .. } = scratch;
            let met = inputs.bindings.reach(start, own, inputs.spec.side, ends.as_ref(), inputs.nodes, reached);
            doubts.met.too_many |= met.too_many | inputs.translations.expand(reached);
            doubts.met.unsided |= met.unsided;
            // Only what bindings have added.
            let of_kind = |key: KeyKind, r: &Reached| inputs.nodes.key(r.node).is(key);
            let bound = reached.iter().any(|r| {
                !start.iter().any(|s| s.node == r.node)
                    && inputs.spec.keys.iter().any(|k| k.leg.is_none() || of_kind(k.kind, r))
            });
            if !bound {
                doubts.unled |= !lead_at_once(inputs, store, &kinds.collect::<Vec<_>>());
                let known = anchor.all_bindings_known && !doubts.unled;
                doubts.unbound |= !known && !in_no_goroutine(inputs, anchor, reached);
            }
        }
    }
}

/// Whether what leads to the leg's keys from some of the anchor's is told as it begins: what isn't there is not on its way.
fn lead_at_once(inputs: &Inputs<'_>, store: &Store, from: &[KeyKind]) -> bool {
    let own = inputs.spec.keys.iter().filter(|key| key.leg.is_some()).map(|key| key.kind);
    let led_to = store.led_to_by().filter(|_| inputs.spec.keys.iter().any(|key| key.leg.is_none()));
    inputs.bindings.lead_at_once(from, own.chain(led_to))
}

/// Whether goroutines are asked for, and the process is known and has none that any binding knows: it isn't the Go program that is watched.
fn in_no_goroutine(inputs: &Inputs<'_>, anchor: &Anchor<'_>, reached: &[Reached]) -> bool {
    let mut owners = reached.iter().map(|r| r.node).filter(|node| inputs.nodes.key(*node).is(KeyKind::Pid)).peekable();
    let owned = owners.peek().is_some() || anchor.keys.iter().flatten().any(|key| key.kind == KeyKind::Pid);
    owned
        && inputs.spec.keys.iter().all(|key| key.kind == KeyKind::Goroutine)
        && !owners.any(|owner| inputs.bindings.have_goroutines(owner))
}

/// Collects the records under the keys that lie in the window and may belong to the anchor.
#[expect(clippy::too_many_arguments, reason = "the pieces are borrowed from one engine")]
fn gather(
    inputs: &Inputs<'_>,
    store: &Store,
    index: u8,
    anchor: &Anchor<'_>,
    window: Interval,
    reached: &[Reached],
    doubts: &mut Doubts,
    scratch: &mut Scratch,
) {
    let spec = inputs.spec;
    let by_bytes = spec.keys[usize::from(index)].kind == KeyKind::Bytes;
    scratch.hits.clear();
    for key in reached {
        let from = window.0.max(key.interval.0);
        for (id, record) in store.find(key.node, from, inputs.nodes) {
            if record.key != index || !belongs(spec, record, window) || !overlaps(record, key.interval) {
                continue;
            }
            let mut agreement = key.ends.map_or(Agreement::Yes, |ends| agree(&ends, &record.ends));
            if agreement == Agreement::Yes && key.guess {
                agreement = Agreement::Maybe;
            }
            if agreement == Agreement::No || !right_side(spec.side, record, key.ends, doubts) {
                continue;
            }
            let mut merged = false;
            if by_bytes {
                if anchor.ranges.is_empty() {
                    doubts.unplaced = true;
                    continue;
                }
                let Some(ends) = key.ends else { continue };
                let turned = |own: &Range| own.turned(key.swapped);
                let shared = |r: &Range, own: &Range| overlap(&turned(own), &ends, r, &record.ends);
                let among = |is_own: &dyn Fn(&Range, &Range) -> bool| {
                    store.any_range(id, record, |r| anchor.ranges.iter().any(|own| is_own(r, own) && shared(r, own)))
                };
                if !among(&|_, _| true) {
                    continue;
                }
                merged = !among(&|r, own| !r.merged && !own.merged);
            }
            let ends = if key.swapped { record.ends.swapped() } else { record.ends };
            let under = inputs.nodes.key(key.node).kind();
            scratch.hits.push(Hit { id, agreement, under, merged, ends, translated: key.translated });
        }
    }
}

fn right_side(side: Side, record: &Record, anchor: Option<Ends>, doubts: &mut Doubts) -> bool {
    let Some(anchor) = anchor.filter(|_| side != Side::Any) else { return true };
    let of = record.ends.side(&anchor);
    doubts.met.unsided |= of.is_none();
    of == Some(side)
}

/// Records of `last` and `first` must lie wholly in the window (a handshake of a later incarnation of the port does
/// not), those that add up need only overlap it.
fn belongs(spec: &LegSpec, record: &Record, window: Interval) -> bool {
    match spec.agg {
        LegAgg::Last | LegAgg::First => record.interval.0 >= window.0 && record.interval.1 <= window.1,
        LegAgg::Sum | LegAgg::Count | LegAgg::Min | LegAgg::Max | LegAgg::Avg => overlaps(record, window),
    }
}

fn overlaps(record: &Record, (from, to): Interval) -> bool {
    record.interval.1 >= from && record.interval.0 <= to
}

/// Keeps the records that agree best about the connection.
fn choose(kind: KeyKind, store: &Store, out: &mut LegOutcome, doubts: &mut Doubts, scratch: &mut Scratch) {
    let best = scratch.hits.iter().map(|hit| hit.agreement).max();
    let Some(best) = best else { return };
    scratch.hits.retain(|hit| hit.agreement == best);
    translated::once(store, &mut scratch.hits, &mut scratch.twice);
    // What bindings lead to is no surer than where the record was found; bytes are looked up by their connection.
    let by = |hit: &Hit| if Via::of(hit.under) > Via::of(kind) { hit.under } else { kind };
    let via = |hit: &Hit| match best {
        Agreement::Yes if hit.merged => Via::Overlap,
        Agreement::Yes => Via::of(by(hit)),
        Agreement::Maybe | Agreement::No => Via::Guess,
    };
    if best == Agreement::Maybe {
        let candidates = connections(&scratch.hits);
        doubts.several += if candidates > 1 { candidates } else { 0 };
    }
    if let Some(worst) = scratch.hits.iter().max_by_key(|hit| via(hit))
        && (out.key.is_empty() || via(worst) > out.via)
    {
        (out.via, out.key) = (via(worst), by(worst).name());
    }
    scratch.used.extend(scratch.hits.iter().map(|hit| (hit.id, via(hit))));
}

/// How many connections records may be of, as far as they can be told apart: by namespace, unless they are its two ends.
fn connections(hits: &[Hit]) -> u32 {
    let same = |a: &Ends, b: &Ends| a.netns == b.netns || agree(a, b) == Agreement::Yes;
    let mut all: Vec<Ends> = hits.iter().map(|hit| hit.ends).collect();
    all.sort_unstable();
    let mut found: Vec<Ends> = Vec::new();
    for ends in all {
        if !found.iter().any(|other| same(other, &ends)) {
            found.push(ends);
        }
    }
    found.len() as u32
}

fn aggregate(inputs: &Inputs<'_>, store: &Store, used: &[(u32, Via)], total: Interval, out: &mut LegOutcome) {
    let spec = inputs.spec;
    // As it is compared: by its type.
    let number = |bits: i64| if out.signed { i128::from(bits) } else { i128::from(bits as u64) };
    let mut value: Option<i128> = None;
    let mut chosen: Option<(u64, u64, i128)> = None;
    for record in used.iter().map(|(id, _)| store.get(*id)) {
        let own = number(record.value);
        let at = (record.interval.1, record.interval.0, own);
        match spec.agg {
            LegAgg::Last => chosen = Some(chosen.map_or(at, |best| best.max(at))),
            LegAgg::First => chosen = Some(chosen.map_or(at, |best| best.min(at))),
            LegAgg::Sum | LegAgg::Avg => value = Some(value.unwrap_or(0) + own),
            LegAgg::Count => value = Some(value.unwrap_or(0) + 1),
            LegAgg::Min => value = Some(value.map_or(own, |v| v.min(own))),
            LegAgg::Max => value = Some(value.map_or(own, |v| v.max(own))),
        }
        if spec.duration && chosen.is_none() {
            out.intervals.push(record.interval);
        }
    }
    if let Some((end, start, last)) = chosen {
        value = Some(last);
        out.intervals.push((start, end));
    }
    // What an id says is the anchor's was within it, whatever the clock says that told its time.
    if inputs.namesakes.is_some() {
        bring_in(&mut out.intervals, total, inputs.epsilon, spec.since_ns.is_some());
    }
    if spec.agg == LegAgg::Avg {
        value = value.and_then(|sum| sum.checked_div(used.len() as i128));
    }
    out.count = used.len() as u32;
    // Sums wrap, as the script's own numbers do.
    out.state = value.map_or(State::None, |value| State::Value(value as i64));
}

//! What may be said of a leg: whether anything stands in the way of knowing.

use super::{Anchor, Inputs, LegOutcome, State};
use crate::join::{
    bindings::Met,
    gaps::{Asked, EVICTED, LATE},
    store::Store,
    translations::Told,
    verdict::Interval,
};
use weftrace_artifact::join::{KeyKind, LegKey};

/// The reason where a leg's window begins before its probes ran.
const BEFORE: &str = "before the run";

/// What stands in the way of knowing.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    /// The anchor has none of the keys.
    pub keyless: bool,
    /// No binding led to a key.
    pub unbound: bool,
    /// No binding led to a key, and one may still come: such are told when they are over.
    pub unled: bool,
    pub bindings_used: bool,
    pub met: Met,
    /// Records that carry bytes, where the anchor's are not known.
    pub unplaced: bool,
    /// Candidates of so many connections.
    pub several: u32,
    /// What was found by an id may be another anchor's.
    pub among: Option<State>,
}

fn is_of_conn(key: &LegKey) -> bool {
    matches!(key.kind, KeyKind::Conn | KeyKind::Bytes)
}

/// What may be said.
pub(super) fn state(
    inputs: &Inputs<'_>,
    store: &Store,
    window: Interval,
    anchor: &Anchor<'_>,
    doubts: &Doubts,
    out: &mut LegOutcome,
) -> State {
    let unknown = |why: &str| State::Unknown(why.to_owned());
    if let Some(reason) = inputs.unfed {
        return unknown(reason);
    }
    let bound = doubts.bindings_used;
    let bindings: Vec<Asked> =
        if bound { inputs.bindings.asked(anchor.opened.saturating_sub(inputs.epsilon), window) } else { Vec::new() };
    let told = inputs.told.filter(|_| bound || inputs.spec.keys.iter().any(is_of_conn));
    let told_of = told.map(|Told { asked: (stream, window), .. }| Asked::within(stream, window));
    let asked = [Asked::within(inputs.spec.stream, window)].into_iter().chain(bindings.iter().copied()).chain(told_of);
    if let Some((lost, reason)) = inputs.losses.within(&asked) {
        out.lost = lost;
        return State::Unknown(reason.map_or_else(|| format!("lost {lost}"), str::to_owned));
    }
    if let Some((_, Some(reason))) = inputs.bindings.gone.within(window).filter(|_| bound) {
        return unknown(reason);
    }
    let evicted = told.is_some_and(|told| told.evicted) || store.gone.within(window).is_some();
    if evicted || window.1 >= anchor.complete_to {
        return unknown(EVICTED);
    }
    if window.0 + inputs.epsilon < store.expired_to {
        return unknown("older than the join's timeout");
    }
    if doubts.several > 0 {
        return State::Ambiguous(doubts.several);
    }
    if let Some(doubt) = &doubts.among {
        return doubt.clone();
    }
    if doubts.unplaced {
        return unknown("its bytes are not known");
    }
    if doubts.met.unsided {
        return unknown("client or server is not known");
    }
    if doubts.met.too_many {
        return unknown("bound to too many keys");
    }
    if out.count == 0 && doubts.keyless {
        return unknown("no key");
    }
    if out.count == 0 && doubts.unbound {
        return unknown("no binding");
    }
    let late = store.late.within(window).or_else(|| inputs.bindings.late.within(window).filter(|_| bound));
    if out.count == 0 && late.is_some() {
        return unknown(LATE);
    }
    if let Some((_, reason)) = inputs.doubted.filter(|(from, _)| out.count == 0 && window.1 > *from) {
        return unknown(reason);
    }
    // Last: whatever else is in doubt is so within the total too. A connection has nothing that is older than its own opening.
    let of_conn = !doubts.bindings_used && inputs.spec.keys.iter().all(is_of_conn);
    let from = if of_conn { window.0.max(anchor.opened) } else { window.0 };
    if from.saturating_add(inputs.epsilon) < inputs.seen_from {
        out.unseen_before = inputs.seen_from <= anchor.begin.saturating_add(inputs.epsilon);
        return unknown(BEFORE);
    }
    std::mem::replace(&mut out.state, State::None)
}

//! How close events may be and nobody can say which was first.

use weftrace_artifact::{action::StreamId, join::LegSpec};

/// Where nobody has said how sure the sources' times are, ns.
pub(crate) const UNSAID_NS: u64 = 100_000;

/// Of each leg of a join, ns.
#[derive(Debug)]
pub(super) struct Epsilon {
    legs: Vec<u64>,
    most: u64,
}

impl Epsilon {
    pub(super) fn unsaid(legs: usize) -> Self {
        Self { legs: vec![UNSAID_NS; legs], most: UNSAID_NS }
    }

    /// `apart`: of an event of the anchor's stream and one of another; `bound`: whether bindings of these streams lead to a leg.
    pub(super) fn new(
        legs: &[LegSpec],
        bindings: &[StreamId],
        bound: impl Fn(usize) -> bool,
        apart: impl Fn(StreamId) -> u64,
    ) -> Self {
        let bindings = bindings.iter().map(|stream| apart(*stream)).max().unwrap_or(0);
        let leg = |(i, leg): (usize, &LegSpec)| apart(leg.stream).max(if bound(i) { bindings } else { 0 });
        let legs: Vec<u64> = legs.iter().enumerate().map(leg).collect();
        Self { most: legs.iter().copied().max().unwrap_or(0), legs }
    }

    pub(super) fn leg(&self, i: usize) -> u64 {
        self.legs.get(i).copied().unwrap_or(self.most)
    }

    /// Of any leg.
    pub(super) fn most(&self) -> u64 {
        self.most
    }
}

//! What a leg came to, as data.

use crate::{
    decode::Num,
    join::{gaps::EVICTED, verdict::Interval},
};
use weftrace_artifact::join::{KeyKind, LegSpec};

/// How a leg's records were matched, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Via {
    /// One to one: the same connection.
    Exact,
    /// Bytes of the anchor's own.
    Range,
    /// Overlap in time of something shared (a process).
    Overlap,
    /// The same tuple in another namespace, with nothing to tell incarnations apart.
    Guess,
}

impl Via {
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Range => "range",
            Self::Overlap => "overlap",
            Self::Guess => "guess",
        }
    }

    pub(super) fn of(kind: KeyKind) -> Self {
        match kind {
            KeyKind::Bytes => Self::Range,
            KeyKind::Pid | KeyKind::Tid | KeyKind::Cgroup => Self::Overlap,
            // A goroutine handles one request at a time, as a connection does.
            KeyKind::Conn | KeyKind::Goroutine | KeyKind::File | KeyKind::Socket | KeyKind::Cookie | KeyKind::Id => {
                Self::Exact
            }
        }
    }
}

/// A leg's four outcomes. "None" is said only when it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// 64 bits: [`LegOutcome::value`] has the number.
    Value(i64),
    /// The probe ran, nothing was lost, nothing was seen.
    None,
    /// Why it can't be known: `lost 3`, `not attached`, `evicted`.
    Unknown(String),
    /// So many candidates, and nothing to tell them apart.
    Ambiguous(u32),
}

impl State {
    /// As scripts and outputs have it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Value(_) => "value",
            Self::None => "none",
            Self::Unknown(_) => "unknown",
            Self::Ambiguous(_) => "ambiguous",
        }
    }

    /// Why it is unknown; else empty.
    pub fn reason(&self) -> &str {
        if let Self::Unknown(why) = self { why } else { "" }
    }

    /// What is said where so many other anchors carry the id too; None: it isn't known how many.
    pub(super) fn among(namesakes: Option<u32>) -> Option<Self> {
        match namesakes {
            None => Some(Self::Unknown(EVICTED.to_owned())),
            Some(0) => None,
            Some(others) => Some(Self::Ambiguous(others.saturating_add(1))),
        }
    }
}

#[derive(Clone, Debug)]
pub struct LegOutcome {
    pub name: String,
    pub state: State,
    /// The value has a sign.
    pub signed: bool,
    pub via: Via,
    /// The key that matched (`conn`, `pid` …); empty if nothing did.
    pub key: &'static str,
    /// Records that belong to the anchor.
    pub count: u32,
    /// Events lost in the leg's window that might have belonged to it.
    pub lost: u64,
    /// Time charged to it in the verdict, ns.
    pub charged: u64,
    /// Close intervals were merged to stay within bounds.
    pub approximate: bool,
    /// The value is a duration in ns.
    pub duration: bool,
    /// Switched off: not shown.
    pub off: bool,
    /// It is unknown, but of the total itself its probes have missed nothing.
    pub(in crate::join) unseen_before: bool,
    /// No binding led to its keys, and one may come when what it tells of is over.
    pub(in crate::join) unled: bool,
    pub(in crate::join) intervals: Vec<Interval>,
}

impl LegOutcome {
    /// If it is known.
    pub fn value(&self) -> Option<Num> {
        let State::Value(bits) = self.state else { return None };
        Some(if self.signed { Num::Signed(bits) } else { Num::Unsigned(bits as u64) })
    }

    /// When its records were, in CLOCK_BOOTTIME ns: sorted, disjoint.
    pub fn intervals(&self) -> &[(u64, u64)] {
        &self.intervals
    }

    /// Whether it may be said how much of the total was its own.
    pub(in crate::join) fn is_known(&self) -> bool {
        matches!(self.state, State::Value(_) | State::None) || self.unseen_before
    }

    pub(super) fn new(spec: &LegSpec) -> Self {
        Self {
            name: String::new(),
            state: State::None,
            signed: spec.value.is_some_and(|at| at.signed),
            via: Via::Exact,
            key: "",
            count: 0,
            lost: 0,
            charged: 0,
            approximate: false,
            duration: spec.duration,
            off: spec.off,
            unseen_before: false,
            unled: false,
            intervals: Vec::new(),
        }
    }
}

//! One leg's outcome for one anchor: which records belong to it, and what they add up to.

use super::keys::{Agreement, agree};
use super::store::{Key, Record, Store};
use super::verdict::{Interval, merge};
use std::collections::BTreeSet;
use weftrace_artifact::{
    abi::ConnKey,
    join::{KeyKind, LegAgg, LegSpec},
};

/// Sources closer in time than this are concurrent: the error of converting capture time to boot time.
pub(super) const EPSILON_NS: u64 = 100_000;

/// How a leg's records were matched, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Via {
    /// One to one: the same connection.
    Exact,
    /// Overlap in time of something shared (a process).
    Overlap,
    /// The same tuple in another namespace, with nothing to tell incarnations apart.
    Guess,
}

impl Via {
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Overlap => "overlap",
            Self::Guess => "guess",
        }
    }
}

/// A leg's four outcomes. "None" is said only when it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Value(i64),
    /// The probe ran, nothing was lost, nothing was seen.
    None,
    /// Why it can't be known: `lost 3`, `not attached`, `evicted`.
    Unknown(String),
    /// So many candidates, and nothing to tell them apart.
    Ambiguous(u32),
}

#[derive(Clone, Debug)]
pub struct LegOutcome {
    pub name: String,
    pub state: State,
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
    pub(super) intervals: Vec<Interval>,
}

/// What an anchor offers its legs.
pub(super) struct Anchor<'a> {
    pub payload: &'a [u8],
    pub start: u64,
    /// Begin of the total, at most `start`.
    pub begin: u64,
    pub end: u64,
}

/// What is known to be missing from a leg's stream in the anchor's window.
#[derive(Clone, Debug, Default)]
pub(super) struct Missing {
    pub lost: u64,
    /// The stream had no source at all.
    pub unfed: Option<String>,
}

/// Finds the leg's records for an anchor and aggregates them; marks them as used.
pub(super) fn outcome(spec: &LegSpec, store: &mut Store, anchor: &Anchor<'_>, missing: &Missing) -> LegOutcome {
    let window = window(spec, anchor);
    let found = spec.keys.iter().enumerate().find_map(|(i, key)| {
        let (wanted, conn) = Key::read(key.kind, anchor.payload, key.anchor_offset)?;
        let hits: Vec<(u64, &Record)> =
            store.find(i as u8, wanted).filter(|(_, record)| belongs(spec, record, window)).collect();
        let (hits, via) = choose(hits, conn.as_ref(), key.kind);
        (!matches!(&hits, Hits::Ids(ids) if ids.is_empty())).then_some((hits, via, key.kind))
    });
    let blank = LegOutcome {
        name: spec.name.clone(),
        state: State::None,
        via: Via::Exact,
        key: "",
        count: 0,
        lost: missing.lost,
        charged: 0,
        approximate: false,
        duration: spec.duration,
        intervals: Vec::new(),
    };
    match found {
        None => LegOutcome { state: nothing(store, window, missing), ..blank },
        Some((Hits::Several(n), via, kind)) => {
            LegOutcome { state: State::Ambiguous(n), via, key: key_name(kind), count: n, ..blank }
        }
        Some((Hits::Ids(ids), via, kind)) => {
            let (value, mut intervals) = aggregate(spec, store, &ids);
            for id in &ids {
                store.mark(*id);
            }
            let approximate = merge(&mut intervals);
            let count = ids.len() as u32;
            LegOutcome { state: State::Value(value), via, key: key_name(kind), count, approximate, intervals, ..blank }
        }
    }
}

enum Hits {
    Ids(Vec<u64>),
    /// Candidates of so many namespaces.
    Several(u32),
}

/// The time in which a leg's records may lie.
fn window(spec: &LegSpec, anchor: &Anchor<'_>) -> Interval {
    let from = spec.since_ns.map_or(anchor.begin, |since| anchor.begin.min(anchor.start.saturating_sub(since)));
    (from.saturating_sub(EPSILON_NS), anchor.end + EPSILON_NS)
}

/// Records of `last` and `first` must lie wholly in the window (a handshake of a later incarnation of the port does
/// not), those that add up need only overlap it.
fn belongs(spec: &LegSpec, record: &Record, (from, to): Interval) -> bool {
    let (start, end) = record.interval;
    match spec.agg {
        LegAgg::Last | LegAgg::First => start >= from && end <= to,
        LegAgg::Sum | LegAgg::Count | LegAgg::Min | LegAgg::Max => end >= from && start <= to,
    }
}

/// Keeps the records that agree best about the connection.
fn choose(hits: Vec<(u64, &Record)>, conn: Option<&ConnKey>, kind: KeyKind) -> (Hits, Via) {
    let Some(conn) = conn else {
        let via = if matches!(kind, KeyKind::Id { .. }) { Via::Exact } else { Via::Overlap };
        return (Hits::Ids(hits.into_iter().map(|(id, _)| id).collect()), via);
    };
    let agreement = |record: &Record| record.conn.as_ref().map_or(Agreement::No, |other| agree(conn, other));
    let sure: Vec<u64> = hits.iter().filter(|(_, r)| agreement(r) == Agreement::Yes).map(|(id, _)| *id).collect();
    if !sure.is_empty() {
        return (Hits::Ids(sure), Via::Exact);
    }
    let maybe: Vec<&(u64, &Record)> = hits.iter().filter(|(_, r)| agreement(r) == Agreement::Maybe).collect();
    let places: BTreeSet<u32> = maybe.iter().filter_map(|(_, r)| r.conn.map(|c| c.netns)).collect();
    if places.len() > 1 {
        return (Hits::Several(maybe.len() as u32), Via::Guess);
    }
    (Hits::Ids(maybe.iter().map(|(id, _)| *id).collect()), Via::Guess)
}

/// Nothing was found: is that knowledge?
fn nothing(store: &Store, window: Interval, missing: &Missing) -> State {
    if let Some(reason) = &missing.unfed {
        State::Unknown(reason.clone())
    } else if missing.lost > 0 {
        State::Unknown(format!("lost {}", missing.lost))
    } else if store.evicted_to >= window.0 && store.evicted > 0 {
        State::Unknown("evicted".into())
    } else if window.0 + EPSILON_NS < store.expired_to {
        State::Unknown("older than the join's timeout".into())
    } else {
        State::None
    }
}

fn aggregate(spec: &LegSpec, store: &Store, ids: &[u64]) -> (i64, Vec<Interval>) {
    let mut records: Vec<&Record> = ids.iter().filter_map(|id| store.get(*id)).collect();
    records.sort_by_key(|r| (r.interval.1, r.interval.0, r.value));
    let intervals = |records: &[&Record]| records.iter().map(|r| r.interval).collect();
    let values = || records.iter().map(|r| r.value);
    match spec.agg {
        LegAgg::Last => records.last().map_or((0, vec![]), |r| (r.value, vec![r.interval])),
        LegAgg::First => records.first().map_or((0, vec![]), |r| (r.value, vec![r.interval])),
        LegAgg::Sum => (values().fold(0, i64::wrapping_add), intervals(&records)),
        LegAgg::Count => (records.len() as i64, intervals(&records)),
        LegAgg::Min => (values().min().unwrap_or(0), intervals(&records)),
        LegAgg::Max => (values().max().unwrap_or(0), intervals(&records)),
    }
}

fn key_name(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::Conn => "conn",
        KeyKind::Pid => "pid",
        KeyKind::Tid => "tid",
        KeyKind::Id { .. } => "id",
    }
}

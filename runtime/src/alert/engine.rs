//! When alerts fire and resolve: a function of what their blocks tell and of event time, without a clock of its own.

use std::collections::BTreeMap;
use weftrace_artifact::alert::AlertSpec;

/// Groups of one alert that are known at a time; more are counted and left out.
pub(crate) const MOST_GROUPS: usize = 1000;
/// A group that fires again so soon after it was told is not told again before: it flickers. `every` replaces it.
const FLICKER_NS: u64 = 60_000_000_000;

/// What is to be told of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Firing,
    /// It still is.
    Still,
    Resolved,
}

/// A group as a block tells it.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) alert: usize,
    /// Event time, ns.
    pub(crate) time: u64,
    /// The keys' bytes: equal for one group.
    pub(crate) key: Vec<u8>,
    pub(crate) values: Vec<String>,
    pub(crate) message: String,
    /// Whether it meets the condition.
    pub(crate) holds: bool,
}

/// Something to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) alert: usize,
    pub(crate) state: State,
    pub(crate) key: Vec<u8>,
    pub(crate) values: Vec<String>,
    pub(crate) message: String,
    /// Event time: since when the condition has held, and now.
    pub(crate) since: u64,
    pub(crate) time: u64,
    /// How often it fired since it was last told.
    pub(crate) untold: u64,
}

/// Counts of one alert, over the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Times that a group began to fire.
    pub fired: u64,
    /// Groups that fire now.
    pub firing: u64,
    /// Groups that there was no room for.
    pub left_out: u64,
}

#[derive(Debug, Default)]
struct Group {
    values: Vec<String>,
    message: String,
    /// Since when the condition has held without a break; None: it doesn't.
    since: Option<u64>,
    /// When it last held.
    held: u64,
    firing: bool,
    /// When it was last told that it fires.
    told: Option<u64>,
    /// It was told that it fires, and not yet that it no longer does.
    open: bool,
    untold: u64,
    /// The look in which it was last told to hold.
    look: u64,
}

#[derive(Debug)]
struct One {
    for_ns: u64,
    every_ns: Option<u64>,
    on_events: bool,
    groups: BTreeMap<Vec<u8>, Group>,
    look: u64,
    counts: Counts,
}

/// All alerts of a script.
#[derive(Debug)]
pub(crate) struct Engine {
    alerts: Vec<One>,
}

impl Engine {
    pub(crate) fn new(specs: &[AlertSpec]) -> Self {
        let one = |spec: &AlertSpec| One {
            for_ns: spec.for_ns,
            every_ns: spec.every_ns,
            on_events: spec.on_events,
            groups: BTreeMap::new(),
            look: 0,
            counts: Counts::default(),
        };
        Self { alerts: specs.iter().map(one).collect() }
    }

    /// By alert.
    pub(crate) fn counts(&self) -> impl Iterator<Item = Counts> + '_ {
        self.alerts.iter().map(One::counts)
    }

    /// Values of the groups that fire, by alert.
    pub(crate) fn firing(&self, alert: usize) -> impl Iterator<Item = &[String]> + '_ {
        let groups = self.alerts.get(alert).into_iter().flat_map(|one| one.groups.values());
        groups.filter(|g| g.firing).map(|g| g.values.as_slice())
    }

    /// A block has told a group.
    pub(crate) fn told(&mut self, told: Told) -> Option<Found> {
        let one = self.alerts.get_mut(told.alert)?;
        let (alert, time) = (told.alert, told.time);
        if !told.holds {
            let group = one.groups.get_mut(&told.key)?;
            return group.ends().map(|state| group.found(alert, state, told.key, time));
        }
        if !one.groups.contains_key(&told.key) && one.groups.len() >= MOST_GROUPS {
            one.counts.left_out += 1;
            return None;
        }
        let (gap, for_ns, every, look) = (one.gap(), one.for_ns, one.every_ns, one.look);
        let group = one.groups.entry(told.key.clone()).or_default();
        (group.values, group.message, group.look) = (told.values, told.message, look);
        group.held = group.held.max(time);
        let since = *group.since.get_or_insert(time);
        if !group.firing && time.saturating_sub(since) >= for_ns {
            group.firing = true;
            group.untold += 1;
            one.counts.fired += 1;
        }
        let group = one.groups.get_mut(&told.key)?;
        group.due(time, gap, every).map(|state| group.found(alert, state, told.key, time))
    }

    /// All groups of an alert that meet its condition at this time have been told; or, of one that is asked at events, it is this time.
    pub(crate) fn looked(&mut self, alert: usize, time: u64) -> Vec<Found> {
        let Some(one) = self.alerts.get_mut(alert) else { return Vec::new() };
        let (gap, every, look, on_events) = (one.gap(), one.every_ns, one.look, one.on_events);
        let (silence, full) = (gap.max(one.for_ns), one.groups.len() >= MOST_GROUPS);
        let counts = &mut one.counts;
        let mut all = Vec::new();
        one.groups.retain(|key, group| {
            let gone = if on_events {
                // One that waits for `for` goes on waiting, as long as there is room: no event has said that it doesn't hold.
                let waits = group.since.is_some() && !group.firing;
                let gone = time.saturating_sub(group.held) >= silence && (full || !waits);
                counts.left_out += u64::from(gone && waits);
                gone
            } else {
                group.look != look
            };
            // At events it is told again when there is one: that nothing came isn't that it goes on.
            let waits_for_event = on_events && group.open;
            let state = match (gone, waits_for_event) {
                (true, _) => group.ends(),
                (false, true) => None,
                (false, false) => group.due(time, gap, every),
            };
            all.extend(state.map(|state| group.found(alert, state, key.clone(), time)));
            // What was told is remembered until it may be told again.
            group.since.is_some() || group.told.is_some_and(|told| time.saturating_sub(told) < gap)
        });
        one.look += 1;
        all
    }
}

impl One {
    /// A group is told to fire no more often.
    fn gap(&self) -> u64 {
        self.every_ns.unwrap_or(FLICKER_NS)
    }

    fn counts(&self) -> Counts {
        Counts { firing: self.groups.values().filter(|g| g.firing).count() as u64, ..self.counts }
    }
}

impl Group {
    /// What is due of one whose condition holds.
    fn due(&mut self, time: u64, gap: u64, every: Option<u64>) -> Option<State> {
        let may = self.told.is_none_or(|told| time.saturating_sub(told) >= gap);
        if !self.firing || !may || (self.open && every.is_none()) {
            return None;
        }
        self.told = Some(time);
        Some(if std::mem::replace(&mut self.open, true) { State::Still } else { State::Firing })
    }

    /// Its condition doesn't hold any more.
    fn ends(&mut self) -> Option<State> {
        self.firing = false;
        if !std::mem::take(&mut self.open) {
            self.since = None;
            return None;
        }
        Some(State::Resolved)
    }

    fn found(&mut self, alert: usize, state: State, key: Vec<u8>, time: u64) -> Found {
        let since = self.since.unwrap_or(time);
        if state == State::Resolved {
            self.since = None;
        }
        let untold = std::mem::take(&mut self.untold).saturating_sub(1);
        Found { alert, state, key, values: self.values.clone(), message: self.message.clone(), since, time, untold }
    }
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
